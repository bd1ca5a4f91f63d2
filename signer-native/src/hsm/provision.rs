//! Making a token where there is none: `edgeseal dev` on `SoftHSM`.

use std::path::Path;

use cryptoki::{
    context::Pkcs11,
    error::{Error, RvError},
    session::UserType,
    slot::Slot,
    types::AuthPin,
};

use super::{
    HsmError,
    pkcs11::{Pin, Pkcs11Settings, TokenSelector, explain, load},
};

/// Makes a token called `label` in the first free slot of a software module, with this security officer's PIN and this
/// user's PIN, unless it is there already. A token left half made by a crash is completed.
///
/// # Errors
/// When the module cannot be loaded, has no free slot, or holds a token of that name under another security officer's PIN.
pub fn provision_soft_token(module: &Path, label: &str, so_pin: &Pin, pin: &Pin) -> Result<bool, HsmError> {
    let settings = Pkcs11Settings {
        module: module.to_owned(),
        token: TokenSelector::Label(label.to_owned()),
        pin: pin.clone(),
        processes: 0,
        threads: 1,
        queue: 1,
        deadline: std::time::Duration::from_secs(1),
    };
    let context = load(&settings)?;
    let made = provision(&context, label, &so_pin.auth(), &pin.auth());
    // Slots are numbered anew when the module is initialized again, by whoever uses the token next.
    context.finalize().map_err(|error| explain("hsm.module", &error))?;
    made
}

fn provision(context: &Pkcs11, label: &str, so_pin: &AuthPin, pin: &AuthPin) -> Result<bool, HsmError> {
    let failed = |error: Error| explain("making the token", &error);
    let present = find(context, label)?;
    if let Some((_, true)) = present {
        return Ok(false);
    }
    let slot = if let Some((slot, false)) = present {
        slot
    } else {
        let slots = context.get_slots_with_token().map_err(failed)?;
        let free = slots.into_iter().find(|slot| context.get_token_info(*slot).is_ok_and(|info| !info.token_initialized()));
        let free = free.ok_or_else(|| HsmError::Misconfigured("hsm.module has no free slot to make a token in".to_owned()))?;
        context.init_token(free, so_pin, label).map_err(failed)?;
        find(context, label)?.map_or(free, |(slot, _)| slot)
    };
    let session = context.open_rw_session(slot).map_err(failed)?;
    match session.login(UserType::So, Some(so_pin)) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
        Err(error) => return Err(failed(error)),
    }
    session.init_pin(pin).map_err(failed)?;
    Ok(true)
}

/// The slot of the token, and whether its user PIN is set.
fn find(context: &Pkcs11, label: &str) -> Result<Option<(Slot, bool)>, HsmError> {
    let slots = context.get_slots_with_initialized_token().map_err(|error| explain("hsm.module", &error))?;
    Ok(slots.into_iter().find_map(|slot| {
        let info = context.get_token_info(slot).ok()?;
        (info.label().trim_end_matches(['\0', ' ']) == label).then_some((slot, info.user_pin_initialized()))
    }))
}

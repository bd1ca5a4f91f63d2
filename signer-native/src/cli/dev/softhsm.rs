//! A `SoftHSM` token of one's own.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use zeroize::Zeroizing;

use super::{Layout, write_private};
use crate::{
    error::{Failure, FailureKind},
    hsm::{Pin, Pkcs11Settings, TokenSelector, provision_soft_token},
};

/// Where distributions put it: Debian, Fedora, Arch, built from source, Homebrew.
const PLACES: [&str; 7] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

/// The module to use.
pub(super) fn find(named: Option<&Path>) -> Result<PathBuf, Failure> {
    match named {
        Some(path) if path.exists() => std::path::absolute(path)
            .map_err(|error| Failure::new(FailureKind::System, format!("--module {}: {error}", path.display()))),
        Some(path) => Err(Failure::configuration(format!("--module {} does not exist; name SoftHSM's libsofthsm2.so", path.display()))),
        None => PLACES.iter().map(PathBuf::from).find(|path| path.exists()).ok_or_else(|| {
            Failure::configuration("SoftHSM is not installed where distributions put it; install it (Debian: apt install softhsm2) or name its library with --module")
        }),
    }
}

/// Makes the token if it is not there, and gives the settings to use it with. The PINs are on the disk before the token
/// knows them, so that a crash in between locks nobody out.
pub(super) async fn provision(layout: &Layout, module: &Path, label: &str) -> Result<Pkcs11Settings, Failure> {
    let so_pin = pin(&layout.path("so-pin"))?;
    let user_pin = pin(&layout.path("pin"))?;
    let (path, label, user) = (module.to_owned(), label.to_owned(), user_pin.clone());
    let name = label.clone();
    let made = tokio::task::spawn_blocking(move || provision_soft_token(&path, &name, &so_pin, &user)).await;
    made.map_err(|error| Failure::new(FailureKind::Hsm, format!("making the token failed: {error}")))??;
    Ok(Pkcs11Settings {
        module: module.to_owned(),
        token: TokenSelector::Label(label),
        pin: user_pin,
        processes: 0,
        threads: 2,
        queue: 256,
        deadline: Duration::from_secs(5),
    })
}

/// The PIN in a file, made up if there is none.
fn pin(path: &Path) -> Result<Pin, Failure> {
    let system = |why: String| Failure::new(FailureKind::System, format!("{}: {why}", path.display()));
    let value = match fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text.trim_end().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut octets = Zeroizing::new([0; 18]);
            getrandom::fill(octets.as_mut()).map_err(|error| system(format!("no randomness: {error}")))?;
            let value = Zeroizing::new(Base64UrlUnpadded::encode_string(octets.as_ref()));
            write_private(path, &value)?;
            value
        }
        Err(error) => return Err(system(format!("cannot be read: {error}"))),
    };
    Ok(Pin::new(value, path.display().to_string()))
}

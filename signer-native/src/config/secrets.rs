//! Secrets: from files, the environment or systemd, never from the command line.

use std::{
    env,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::Settings;
use crate::error::Failure;

/// Secrets: never a flag, since command lines are visible to everybody.
#[derive(Clone, Copy)]
pub(super) struct Secret {
    /// The variable that holds it.
    pub(super) variable: &'static str,
    /// Its name among systemd's credentials.
    pub(super) credential: &'static str,
    /// What it is, for messages.
    pub(super) what: &'static str,
}

pub(super) const PIN: Secret =
    Secret { variable: "EDGESEAL_HSM_PIN", credential: "edgeseal-pin", what: "the PIN of the token's user" };

pub(super) const STORE_PASSWORD: Secret = Secret {
    variable: "EDGESEAL_STORE_PASSWORD",
    credential: "edgeseal-store-password",
    what: "the password of the database's user",
};

impl Settings {
    /// A secret and where it is from: the environment, else a file, else systemd's credentials.
    pub(super) fn secret(
        &self,
        setting: &str,
        file: Option<&PathBuf>,
        secret: Secret,
    ) -> Result<Option<(Zeroizing<String>, String)>, Failure> {
        let Secret { variable, credential, what } = secret;
        let (value, origin) = if let Ok(value) = env::var(variable) {
            (Zeroizing::new(value), variable.to_owned())
        } else if let Some(path) = file {
            let path = self.base.join(path);
            let origin = format!("{setting} {}", path.display());
            (read_secret(&path, &origin, what)?, origin)
        } else {
            let Some(folder) = env::var_os("CREDENTIALS_DIRECTORY") else { return Ok(None) };
            let path = PathBuf::from(folder).join(credential);
            if !path.exists() {
                return Ok(None);
            }
            let origin = format!("the systemd credential {credential}");
            (read_secret(&path, &origin, what)?, origin)
        };
        if value.is_empty() {
            return Err(Failure::configuration(format!("{origin} is empty; it takes {what}")));
        }
        Ok(Some((value, origin)))
    }
}

pub(super) fn read_secret(path: &Path, origin: &str, what: &str) -> Result<Zeroizing<String>, Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    let failed = |error: std::io::Error| {
        Failure::configuration(format!("{origin} cannot be read ({error}); it takes a file that holds {what}"))
    };
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
    // A group of its own may read it: that is how orchestrators hand secrets to users other than root.
    let open_to = match mode {
        mode if mode & 0o007 != 0 => Some("open to everybody on this machine"),
        mode if mode & 0o020 != 0 => Some("open to its group, which may write it"),
        _ => None,
    };
    if let Some(open_to) = open_to {
        return Err(Failure::configuration(format!("{origin} is {open_to}; chmod 600 {}", path.display())));
    }
    let mut content = Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
    let kept = content.trim_end_matches(['\r', '\n']).len();
    content.truncate(kept);
    Ok(content)
}

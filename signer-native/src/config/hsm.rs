//! The section `hsm`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{
    Settings,
    secrets::{PIN, Secret},
};
use crate::{
    error::Failure,
    hsm::{Pin, Pkcs11Settings, TokenSelector},
    issue::Lifetime,
};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawHsm {
    module: Option<PathBuf>,
    token: Option<String>,
    slot: Option<u64>,
    pin_file: Option<PathBuf>,
    processes: Option<usize>,
    threads: Option<usize>,
    queue: Option<usize>,
    deadline: Option<Lifetime>,
    environment: BTreeMap<String, String>,
}

impl Settings {
    /// Variables that the module needs in its environment.
    pub fn environment(&self) -> Vec<(&str, &str)> {
        self.raw.hsm.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// Worker processes of a signer; single commands have the module in their own.
    pub(super) fn processes(&self) -> Result<usize, Failure> {
        let processes = self.raw.hsm.processes.unwrap_or(0);
        if processes > 64 {
            return Err(Failure::configuration(format!(
                "hsm.processes is {processes}; it takes 0 (none beside the signer) to 64"
            )));
        }
        Ok(processes)
    }

    /// The HSM, with the module in this process.
    ///
    /// # Errors
    /// When the module, the token or the PIN is not given.
    pub fn hsm(&self) -> Result<Pkcs11Settings, Failure> {
        let RawHsm { module, token, slot, pin_file, processes: _, threads, queue, deadline, environment: _ } = &self.raw.hsm;
        let module = self.file("hsm.module", module.as_ref(), "the PKCS#11 library of your HSM")?;
        let token = match (token, slot) {
            (Some(label), None) => TokenSelector::Label(label.clone()),
            (None, Some(slot)) => TokenSelector::Slot(*slot),
            (Some(_), Some(_)) => return Err(Failure::configuration("hsm.token and hsm.slot are both set; keep one")),
            (None, None) => return Err(self.missing("hsm.token", "the label of your token, or hsm.slot")),
        };
        let threads = threads.unwrap_or(2);
        if !(1..=256).contains(&threads) {
            return Err(Failure::configuration(format!("hsm.threads is {threads}; it takes 1 to 256")));
        }
        let queue = queue.unwrap_or(256);
        if !(1..=65_536).contains(&queue) {
            return Err(Failure::configuration(format!("hsm.queue is {queue}; it takes 1 to 65536")));
        }
        let deadline = deadline.unwrap_or(Lifetime(5)).as_secs();
        if !(1..=60).contains(&deadline) {
            return Err(Failure::configuration(format!("hsm.deadline is {deadline}s; it takes 1s to 60s")));
        }
        let pin = self.pin(pin_file.as_ref())?;
        Ok(Pkcs11Settings { module, token, pin, processes: 0, threads, queue, deadline: Duration::from_secs(deadline) })
    }

    fn pin(&self, pin_file: Option<&PathBuf>) -> Result<Pin, Failure> {
        let found = self.secret("hsm.pin_file", pin_file, PIN)?;
        let (pin, origin) = found.ok_or_else(|| {
            let Secret { variable, credential, .. } = PIN;
            self.missing(
                "hsm.pin_file",
                &format!("a file with mode 0600 that holds the PIN, or {variable}, or the systemd credential {credential}"),
            )
        })?;
        Ok(Pin::new(pin, origin))
    }
}

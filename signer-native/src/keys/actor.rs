//! Who does something: a name that the audit keeps, and by which two people are told apart.

use std::{fmt, fs, os::unix::fs::MetadataExt as _};

/// Who does something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    name: String,
}

impl Actor {
    /// Time itself, through the signer.
    pub fn system() -> Self {
        Self { name: "system".to_owned() }
    }

    /// An administrator, by the name in the certificate.
    pub fn administrator(name: &str) -> Self {
        Self { name: format!("admin:{name}") }
    }

    /// Whoever runs this command on the signer's own machine. The login is asked for rather than the user, so that two
    /// people who become root stay two people; where no login is known (a container), the user is.
    pub fn local() -> Self {
        let login = fs::read_to_string("/proc/self/loginuid").ok().and_then(|text| text.trim().parse::<u32>().ok());
        let user = || fs::metadata("/proc/self").map(|metadata| metadata.uid()).ok();
        let id = login.filter(|id| *id != u32::MAX).or_else(user);
        let name = match id {
            Some(id) => named(id).unwrap_or_else(|| id.to_string()),
            None => "unknown".to_owned(),
        };
        Self { name: format!("local:{name}") }
    }

    /// Who is behind a name: the same for `local:alice` and `admin:alice`.
    pub fn person(name: &str) -> &str {
        name.split_once(':').map_or(name, |(_, person)| person)
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

fn named(id: u32) -> Option<String> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let id = id.to_string();
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    })
}

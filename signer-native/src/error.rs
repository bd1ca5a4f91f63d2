//! How a command ends when it does not end well: one sentence, and one documented exit code.

use std::fmt;

use crate::{audit::AuditError, hsm::HsmError, keys::registry::RegistryError, store::StoreError};

/// The kind of a failure; each has its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The answer is no: a token was rejected, a rule forbids the step, the signer refused.
    Refused,
    /// The command line cannot be meant.
    Usage,
    /// A setting is missing, malformed, or names what is not there; a wrong PIN too.
    Configuration,
    /// The HSM cannot be used now.
    Hsm,
    /// An address is in use or cannot be listened on.
    Address,
    /// The store cannot be used.
    Store,
    /// Another machine cannot be reached, or answers nonsense.
    Remote,
    /// This machine: a file cannot be written, no randomness, no threads.
    System,
}

impl FailureKind {
    /// The exit code of the process.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Configuration => 3,
            Self::Hsm => 4,
            Self::Address => 5,
            Self::Store => 6,
            Self::Remote => 7,
            Self::System => 8,
        }
    }
}

/// A value that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The member that holds it: `max_lifetime`.
    pub field: String,
    /// What is wrong with it, and what it takes; to stand behind the member's name.
    pub sentence: String,
}

impl Invalid {
    /// About this member.
    pub fn new(field: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { field: field.into(), sentence: sentence.into() }
    }
}

/// A failure: what, and how it is mended, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    kind: FailureKind,
    sentence: String,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, sentence: impl Into<String>) -> Self {
        Self { kind, sentence: sentence.into() }
    }

    /// A setting is missing, malformed, or names what is not there.
    pub fn configuration(sentence: impl Into<String>) -> Self {
        Self::new(FailureKind::Configuration, sentence)
    }

    /// The kind.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.sentence)
    }
}

impl std::error::Error for Failure {}

impl From<HsmError> for Failure {
    fn from(error: HsmError) -> Self {
        let kind = match &error {
            HsmError::Misconfigured(_) | HsmError::PinRefused(_) | HsmError::Unsupported(_) => FailureKind::Configuration,
            _ => FailureKind::Hsm,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Store(error) => error.into(),
            AuditError::Deadline(_) | AuditError::Ended => Self::new(FailureKind::Store, error.to_string()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Misconfigured(_) => Self::configuration(error.to_string()),
            StoreError::Conflict(_) | StoreError::Exists(_) => Self::new(FailureKind::Refused, format!("refused: {error}")),
            StoreError::Unavailable(_) | StoreError::Corrupt(_) => Self::new(FailureKind::Store, error.to_string()),
        }
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Refused(_)
            | RegistryError::TooManyKeys { .. }
            | RegistryError::OwnProposal { .. }
            | RegistryError::SecondPersonNew { .. }
            | RegistryError::NotRevocable(_)
            | RegistryError::StillNeeded(_)
            | RegistryError::NoProposal(_) => Self::new(FailureKind::Refused, format!("refused: {error}")),
            RegistryError::Audit(error) => error.into(),
            RegistryError::Hsm(error) => error.into(),
            RegistryError::Store(error) => error.into(),
            RegistryError::Unsound(_) => Self::new(FailureKind::Hsm, error.to_string()),
        }
    }
}

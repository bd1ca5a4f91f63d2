//! Who does the arithmetic natively: AWS-LC, tables for P-256 keys that have proved hot, or the pure-Rust reference.

mod aws_lc;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use edgeseal_core::{
    Algorithm, Jwk, SignatureBackend, SignatureInvalid, SignatureValid,
    backend::{
        SignatureInput,
        p256::{GeneratorTable, HotKeys, PreparedKey},
        rustcrypto::RustCrypto,
    },
    jwk::KeyMaterial,
};

pub use aws_lc::AwsLc;

/// Octets for tables, at most: the generator's and those of 256 keys, together 64 MiB.
const HOT_KEYS_BUDGET: usize = 257 * PreparedKey::BYTES;
/// Valid signatures after which a key gets its table: sooner, it would not have paid for itself with a key that is seldom used.
const HOT_KEYS_THRESHOLD: u32 = 32;

/// The backend of hot keys, in reports.
const TABLES: &str = "p256-tables";

/// Which arithmetic to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// Tables for hot keys of ES256, AWS-LC for everything else.
    #[default]
    Auto,
    /// As `Auto`, with a table for every key of ES256 at once, so that tests see what tables say.
    P256Tables,
    /// AWS-LC for everything.
    AwsLcRs,
    /// The pure-Rust reference for everything.
    RustCrypto,
}

impl Choice {
    /// All of them, as the command line names them.
    pub const ALL: [Self; 4] = [Self::Auto, Self::P256Tables, Self::AwsLcRs, Self::RustCrypto];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::P256Tables => TABLES,
            Self::AwsLcRs => "aws-lc-rs",
            Self::RustCrypto => "rustcrypto",
        }
    }
}

/// The arithmetic of this process; one for all issuers, shared between threads.
#[derive(Debug)]
pub struct Native {
    choice: Choice,
    aws_lc: AwsLc,
    hot_keys: Mutex<HotKeys>,
    generator: OnceLock<GeneratorTable>,
}

impl Default for Native {
    fn default() -> Self {
        Self::new(Choice::Auto)
    }
}

impl Native {
    /// A backend that has seen no key yet.
    pub fn new(choice: Choice) -> Self {
        let hot_keys = Mutex::new(HotKeys::new(HOT_KEYS_BUDGET, HOT_KEYS_THRESHOLD));
        Self { choice, aws_lc: AwsLc::new(), hot_keys, generator: OnceLock::new() }
    }

    /// Whether the signature is valid, and the name of the backend that says so.
    pub fn verify_by(&self, input: &SignatureInput) -> (&'static str, Result<SignatureValid, SignatureInvalid>) {
        fn answer(
            backend: &impl SignatureBackend,
            input: &SignatureInput,
        ) -> (&'static str, Result<SignatureValid, SignatureInvalid>) {
            (backend.name(), backend.verify(input))
        }
        match self.choice {
            Choice::RustCrypto => answer(&RustCrypto, input),
            Choice::Auto if input.algorithm() == Algorithm::Es256 => self.es256(input),
            Choice::P256Tables if input.algorithm() == Algorithm::Es256 => (TABLES, self.with_table(input)),
            Choice::Auto | Choice::P256Tables | Choice::AwsLcRs => answer(&self.aws_lc, input),
        }
    }

    /// Whether a signature over a message of which only the digest is known is valid. Always by AWS-LC.
    pub fn verifies_digest(&self, algorithm: Algorithm, key: &Arc<Jwk>, digest: &[u8], signature: &[u8]) -> bool {
        // The same rules for key and signature as where the message is known.
        SignatureInput::new(algorithm, Arc::clone(key), Vec::new(), signature.to_vec()).is_ok()
            && self.aws_lc.verifies_digest(algorithm, key.public_key(), digest, signature)
    }

    fn es256(&self, input: &SignatureInput) -> (&'static str, Result<SignatureValid, SignatureInvalid>) {
        let hot_keys = || self.hot_keys.lock().unwrap_or_else(PoisonError::into_inner);
        let key = input.key().public_key();
        // The lock is not held while anybody computes.
        let prepared = hot_keys().get(key);
        if let Some(prepared) = prepared {
            return (TABLES, prepared.verify_input(input));
        }
        let answer = self.aws_lc.verify(input);
        if answer.is_ok() {
            hot_keys().count_valid(key);
        }
        (self.aws_lc.name(), answer)
    }

    fn with_table(&self, input: &SignatureInput) -> Result<SignatureValid, SignatureInvalid> {
        let KeyMaterial::Ec { sec1, .. } = input.key().public_key().material() else { return Err(SignatureInvalid) };
        let generator = self.generator.get_or_init(GeneratorTable::new);
        PreparedKey::new(generator, sec1).ok_or(SignatureInvalid)?.verify_input(input)
    }
}

impl SignatureBackend for Native {
    fn name(&self) -> &'static str {
        self.choice.name()
    }

    fn verify(&self, input: &SignatureInput) -> Result<SignatureValid, SignatureInvalid> {
        self.verify_by(input).1
    }
}

//! The audit key, and the checkpoints that it signs.

use std::sync::Arc;

use edgeseal_core::{Algorithm, Jwk};

use super::checkpoint::{self, Statement};
use crate::{
    keys::{Key, Purpose, Registry, Slot, now, registry::RegistryError},
    store::{Store, StoreError},
};

/// Chains of one checkpoint at most: a hundred and sixty fill a token of the largest size.
const CHAINS: usize = 100;

/// Makes checkpoints. Several signers may: a number is given once, and who comes second makes no other.
#[derive(Clone)]
pub struct Keeper {
    store: Store,
    registry: Arc<Registry>,
}

impl Keeper {
    /// A keeper of the log in this store.
    pub fn new(store: Store, registry: Arc<Registry>) -> Self {
        Self { store, registry }
    }

    /// The public audit keys, the oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn keys(&self) -> Result<Vec<Jwk>, RegistryError> {
        let keys = self.registry.ledger().keys().await?;
        keys.iter().filter(|key| key.purpose == Purpose::Audit && key.activated_at.is_some()).map(jwk).collect()
    }

    /// Makes checkpoints of all chains that grew since they were last spoken of; gives the last of these checkpoints, or none when
    /// no chain grew. The audit key is made at the first.
    ///
    /// # Errors
    /// When the store or the HSM cannot be used.
    pub async fn checkpoint(&self) -> Result<Option<String>, RegistryError> {
        // First the last one, then the chains: if another signer makes one in between, this one's number is taken.
        let mut last = self.store.last_checkpoint().await?;
        let tails = self.store.audit_tails().await?;
        let chains: Vec<Statement> = tails.into_iter().map(|(chain, seq, hash)| Statement { chain, seq, hash }).collect();
        let mut made = None;
        for chains in chains.chunks(CHAINS) {
            let (id, document) = self.sign(last.as_ref(), chains).await?;
            let stated: Vec<(String, u64)> = chains.iter().map(|statement| (statement.chain.clone(), statement.seq)).collect();
            match self.store.append_checkpoint(id, &document, &stated).await {
                Ok(()) => {}
                // Another signer made this one at the same time; what it left out is for the next.
                Err(StoreError::Conflict(_)) => break,
                Err(error) => return Err(error.into()),
            }
            made = Some(document.clone());
            last = Some((id, document));
        }
        Ok(made)
    }

    /// The checkpoint after `last`, and its number.
    async fn sign(&self, last: Option<&(u64, String)>, chains: &[Statement]) -> Result<(u64, String), RegistryError> {
        let key = self.registry.ensure(&self.slot()).await?;
        let jwk = jwk(&key)?;
        let before = last.map(|(id, document)| (*id, checkpoint::hash(document)));
        let before = before.as_ref().map(|(id, hash)| (*id, hash.as_str()));
        let unsigned = checkpoint::unsigned(key.algorithm, key.kid().unwrap_or_default(), before, now(), chains)
            .map_err(RegistryError::Unsound)?;
        let signature = self.registry.sign_unverified(key.id, key.algorithm, unsigned.signing_input()).await?;
        let document = unsigned.attach(&signature);
        checkpoint::Checkpoint::parse(&document)
            .and_then(|read| read.verify(&document, &jwk))
            .map_err(|reason| RegistryError::Unsound(format!("a checkpoint was discarded: {reason}")))?;
        Ok((last.map_or(1, |(id, _)| id + 1), document))
    }

    /// What the audit key is like: on P-256, or RSA where the HSM has no P-256. It signs for ever.
    fn slot(&self) -> Slot {
        let on_curve = self.registry.supports(Algorithm::Es256, 0);
        Slot {
            purpose: Purpose::Audit,
            issuer: String::new(),
            profile: String::new(),
            agent: None,
            algorithm: if on_curve { Algorithm::Es256 } else { Algorithm::Rs256 },
            rsa_bits: if on_curve { 0 } else { 2_048 },
            max_lifetime: 0,
            rotate_after: None,
            publish_ahead: 0,
            valid_for: None,
        }
    }
}

fn jwk(key: &Key) -> Result<Jwk, RegistryError> {
    let text = key.published.as_ref().map_or("", |published| &published.jwk);
    let jwk = Jwk::from_json(text);
    jwk.map_err(|problem| StoreError::Corrupt(format!("the JWK of key {}: {}", key.id, problem.as_str())).into())
}

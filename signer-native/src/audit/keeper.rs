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
/// How often an export tries to make a checkpoint of its own beside other signers.
const TRIES: usize = 5;

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

    /// Makes checkpoints, for an export to end with: the number of the last one, and the audit keys that signed all of them. In this
    /// order, since another signer may let a new key sign at any moment.
    ///
    /// # Errors
    /// When the store or the HSM cannot be used.
    pub async fn conclude(&self) -> Result<(u64, Vec<Jwk>), RegistryError> {
        for _ in 0..TRIES {
            // What another signer made instead may be from before the rows that this export is to have.
            if let (_, true) = self.advance().await? {
                let end = self.store.last_checkpoint().await?.map_or(0, |(id, _)| id);
                return Ok((end, self.keys().await?));
            }
        }
        Err(StoreError::Conflict("other signers were faster with every checkpoint; try the export again".to_owned()).into())
    }

    /// Makes checkpoints of all chains that grew since they were last spoken of; gives the last of these checkpoints, or none when
    /// no chain grew. The audit key is made at the first.
    ///
    /// # Errors
    /// When the store or the HSM cannot be used.
    pub async fn checkpoint(&self) -> Result<Option<String>, RegistryError> {
        Ok(self.advance().await?.0)
    }

    /// The same, and whether checkpoints speak of all rows by now that were there when this began.
    async fn advance(&self) -> Result<(Option<String>, bool), RegistryError> {
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
                Err(StoreError::Conflict(_)) => return Ok((made, false)),
                Err(error) => return Err(error.into()),
            }
            made = Some(document.clone());
            last = Some((id, document));
        }
        Ok((made, true))
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

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use sqlx::{Connection as _, sqlite::SqliteConnectOptions};

    use super::*;
    use crate::{
        audit::{
            export,
            verify::{Expectation, verify},
        },
        hsm::memory::MemoryKeyStore,
        keys::{Actor, Command, Ledger, Timing},
        store::StoreSettings,
    };

    const TIMING: Timing =
        Timing { jwks_max_age: 300, stale_window: 3_600, lease: 10, publish_ahead: 0, dangerous_activation_delay: Some(0) };

    #[tokio::test]
    async fn an_export_has_what_was_there_though_another_signer_makes_a_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreSettings::Sqlite(folder.path().join("store.db"))).await.unwrap();
        let (ledger, hsm) = (Ledger::new(store.clone(), TIMING, Vec::new()), Arc::new(MemoryKeyStore::default()));
        let registry = Arc::new(Registry::new(ledger, hsm.clone()));
        let keeper = Keeper::new(store.clone(), Arc::clone(&registry));
        // It began before there was any row, and ends while the audit key is made.
        let other = store.clone();
        hsm.meanwhile(move || {
            let other = other.clone();
            async move { other.append_checkpoint(1, "another signer's", &[]).await.unwrap() }
        });
        registry.ledger().record(&Actor::local(), "audit.export", "", "{}").await.unwrap();
        let asked = store.audit_tails().await.unwrap();
        assert_eq!(keeper.conclude().await.unwrap().0, 2);
        let left = store.audit_tails().await.unwrap();
        assert!(!asked.iter().any(|tail| left.contains(tail)), "{left:?}");
        // Where that happens every time, nobody gets an export that lacks rows.
        let options = SqliteConnectOptions::new().filename(folder.path().join("store.db"));
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        let faster = "CREATE TRIGGER faster BEFORE INSERT ON checkpoints BEGIN \
                      INSERT INTO checkpoints (id, document) VALUES (NEW.id, 'x'); END";
        sqlx::query(faster).execute(&mut connection).await.unwrap();
        registry.ledger().record(&Actor::local(), "audit.export", "", "{}").await.unwrap();
        let refused = keeper.conclude().await.unwrap_err();
        assert!(refused.to_string().contains("try the export again"), "{refused}");
    }

    #[tokio::test]
    async fn an_export_ends_before_what_a_key_signed_that_it_does_not_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreSettings::Sqlite(folder.path().join("store.db"))).await.unwrap();
        let ledger = Ledger::new(store.clone(), TIMING, Vec::new());
        let registry = Arc::new(Registry::new(ledger, Arc::new(MemoryKeyStore::default())));
        let keeper = Keeper::new(store.clone(), Arc::clone(&registry));
        registry.ledger().record(&Actor::local(), "audit.export", "", "{}").await.unwrap();
        let (end, keys) = keeper.conclude().await.unwrap();
        // Meanwhile another audit key signs.
        let next = registry.generate(&keeper.slot(), None, &Actor::system()).await.unwrap();
        let activate = Command::Activate { emergency: false };
        registry.ledger().command(next.kid().unwrap(), activate, &Actor::local()).await.unwrap();
        keeper.checkpoint().await.unwrap().unwrap();
        assert!(store.last_checkpoint().await.unwrap().unwrap().0 > end);
        let mut out = Vec::new();
        export::write(&store, &keys, end, &mut out).await.unwrap().unwrap();
        let report = verify(Cursor::new(out), &Expectation::default()).unwrap();
        assert_eq!((report.checkpoints, report.kids.len()), (end, 1));
    }
}

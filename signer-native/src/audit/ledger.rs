//! The ledger of keys that ISMS-P 2.7.2 and CSAP 12.3.2 ask for: for each key owner, purpose, generation, storage,
//! distribution, validity, recovery and destruction, put together from the registry, the approvals and the log.

use serde::Serialize;
use utoipa::ToSchema;

use super::{AuditFilter, chain::Row};
use crate::{
    hsm::StoreDescription,
    keys::{Key, Ledger, Moment, Origin, Purpose, State, registry::RegistryError},
    store::{Decision, StoreError},
};

/// Rows of the log that are read for a key.
const PAGE: u64 = 10;
/// Seconds: how long after a key's `created_at` its row may be written. `audit.deadline` has at most 30.
const ANNOUNCED: u64 = 60;

/// One key. What neither happened nor is planned is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = KeyLedgerEntry)]
pub struct Entry {
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// `CKA_ID` in the HSM.
    pub cka_id: String,
    /// What people call it.
    pub label: String,
    /// For whom it signs: the profile of an issuer, one agent, or the signer itself.
    pub owner: String,
    /// What it signs.
    pub purpose: String,
    /// JWA algorithm and kind of key.
    pub algorithm: String,
    /// How it came to be.
    pub generation: String,
    /// When.
    pub generated_at: String,
    /// On whose word.
    pub generated_by: String,
    /// Where the private half is.
    pub storage: String,
    /// How the public half is distributed, and that the private one is not.
    pub distribution: String,
    /// Where it stands.
    pub state: String,
    /// When it was published.
    pub published_at: String,
    /// From when on it signed.
    pub valid_from: String,
    /// Until when it signed.
    pub valid_until: String,
    /// When it is rotated by age.
    pub rotation_at: String,
    /// Seconds: the longest lifetime of its tokens.
    pub max_token_lifetime: u64,
    /// When the last token signed with it can have expired and it left the JWK Set.
    pub retired_at: String,
    /// What there is to recover it by.
    pub recovery: String,
    /// When it was declared compromised.
    pub compromised_at: String,
    /// How it ends or ended.
    pub destruction: String,
    /// Who proposed its destruction.
    pub destruction_proposed_by: String,
    /// Who approved it.
    pub destruction_approved_by: String,
    /// When it will be, or was, destroyed.
    pub destroyed_at: String,
}

/// The ledger of all keys, the oldest first.
///
/// # Errors
/// When the store cannot be read.
pub async fn compile(ledger: &Ledger, hsm: &StoreDescription) -> Result<Vec<Entry>, RegistryError> {
    let approvals = ledger.store().approvals().await?;
    let keys = ledger.keys().await?;
    let mut entries = Vec::with_capacity(keys.len());
    for key in &keys {
        let mut entry = describe(ledger, key, hsm);
        entry.generated_by = maker(ledger, key).await?;
        let decided = approvals.iter().rev().find(|approval| {
            Some(approval.subject.as_str()) == key.kid()
                && matches!(approval.decided, Some((Decision::Approved, ..)))
                && (key.destroy_at.is_some() || key.destroyed_at.is_some())
        });
        if let Some(approval) = decided {
            entry.destruction_proposed_by.clone_from(&approval.proposer);
            entry.destruction_approved_by = approval.decided.as_ref().map(|(_, who, _)| who.clone()).unwrap_or_default();
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Who had a key made or taken in: the log says, in a row that is announced in the moment of `created_at`.
async fn maker(ledger: &Ledger, key: &Key) -> Result<String, RegistryError> {
    let action = if key.origin == Origin::Generated { "keys.generate" } else { "keys.import" };
    let filter = AuditFilter {
        action: Some(action.to_owned()),
        subject: Some(key.id.to_string()),
        from: Some(key.created_at),
        to: Some(key.created_at.plus_secs(ANNOUNCED)),
        ..AuditFilter::default()
    };
    let rows = ledger.store().audit_earliest(&filter, PAGE).await?;
    let Some(row) = rows.first() else { return Ok(String::new()) };
    let read = Row::read(&row.hash, &row.body)
        .map_err(|reason| StoreError::Corrupt(format!("row {} of chain {}: {reason}", row.seq, row.chain)))?;
    Ok(read.text("actor").to_owned())
}

fn describe(ledger: &Ledger, key: &Key, hsm: &StoreDescription) -> Entry {
    let moment = |at: Option<edgeseal_core::Timestamp>| at.map(|at| Moment(at).to_string()).unwrap_or_default();
    let url = ledger.issuers().get(&key.issuer).cloned().unwrap_or_else(|| key.issuer.clone());
    let generated = key.origin == Origin::Generated;
    let set = key.agent.as_ref().map_or_else(|| url.clone(), |agent| format!("{url}/agents/{agent}"));
    let (owner, purpose, distribution) = match (key.purpose, &key.agent) {
        (Purpose::Token, None) => (format!("profile {} of issuer {url}", key.profile), "signs tokens", shown(key, &set)),
        (Purpose::Token, Some(agent)) => {
            (format!("agent {agent} under profile {}", key.profile), "signs digests of tokens", shown(key, &set))
        }
        (Purpose::Audit, _) => (
            "the signer".to_owned(),
            "signs checkpoints of the audit log",
            "public key in every export of the audit log".to_owned(),
        ),
        (Purpose::Control, _) => {
            ("the signer".to_owned(), "signs revocation documents", "public key in the edges' configuration".to_owned())
        }
        (Purpose::Ca, _) => {
            ("the signer".to_owned(), "signs certificates of agents", "its certificate goes to every agent".to_owned())
        }
    };
    let (generation, protection) = making(key);
    Entry {
        kid: key.kid().unwrap_or_default().to_owned(),
        cka_id: key.id.to_string(),
        label: key.label.clone().unwrap_or_default(),
        owner,
        purpose: purpose.to_owned(),
        algorithm: format!("{} ({})", key.algorithm, key.kind()),
        generation: generation.to_owned(),
        generated_at: Moment(key.created_at).to_string(),
        storage: format!("token {:?} of {} ({}); {protection}", hsm.token, hsm.library, hsm.module),
        distribution,
        state: key.state.to_string(),
        published_at: moment(key.published_at),
        valid_from: moment(key.activated_at),
        valid_until: moment(key.demoted_at.or(key.not_after)),
        rotation_at: moment(ledger.rotation(key)),
        max_token_lifetime: key.max_lifetime,
        retired_at: moment(key.retired_at),
        recovery: if generated {
            "none outside the HSM's own backup; a lost key is replaced by another"
        } else {
            "from where it was made; a lost key is replaced by another"
        }
        .to_owned(),
        compromised_at: moment(key.compromised_at),
        destruction: ending(key).to_owned(),
        destroyed_at: moment(key.destroyed_at.or(key.destroy_at)),
        ..Entry::default()
    }
}

/// How the public half of a key for tokens is distributed.
fn shown(key: &Key, set: &str) -> String {
    match key.state {
        State::Published | State::Active | State::Suspended | State::Retiring => {
            format!("public key in the JWK Set of {set}; the private key is not distributed")
        }
        State::Generating | State::Failed => "nothing of it was distributed".to_owned(),
        _ => format!("public key was in the JWK Set of {set}; the private key was not distributed"),
    }
}

/// How a key came to be, and how its private half is kept: what the HSM reported is known of a key that was published.
fn making(key: &Key) -> (&'static str, &'static str) {
    match (key.origin, key.published.is_some()) {
        (Origin::Generated, true) => ("generated inside the HSM", "sensitive and never extractable, as the HSM reports"),
        (Origin::Generated, false) => ("was to be generated inside the HSM", "the HSM reported nothing"),
        (Origin::Imported | Origin::Entering, _) => ("imported: made elsewhere", "others may have a copy"),
    }
}

/// How a key ends or ended.
fn ending(key: &Key) -> &'static str {
    match (key.state, key.destroyed_at.is_some()) {
        (State::Failed, true) => "was never whole; what there was of it is removed",
        // What the signer has not put there is its owner's.
        (State::Failed, false) if key.origin == Origin::Imported => "was not taken in; the pair stays as it was found",
        (State::Failed, false) => "was never whole; what there is of it, or comes late, is yet to be removed",
        // A destroyed key may be declared compromised afterwards.
        (State::Destroyed, _) | (_, true) => "both objects destroyed in the HSM and proved absent",
        (State::DestroyScheduled, false) => "scheduled on the word of two people",
        _ => "two people decide it, 7 to 30 days before it happens",
    }
}

/// The ledger as CSV (RFC 4180) with a line of names. A cell that a spreadsheet would take for a formula gets an apostrophe.
pub fn csv(entries: &[Entry]) -> String {
    let mut out = String::new();
    let names: Vec<&str> = cells(&Entry::default()).into_iter().map(|(name, _)| name).collect();
    out.push_str(&names.join(","));
    out.push_str("\r\n");
    for entry in entries {
        let line: Vec<String> = cells(entry).into_iter().map(|(_, value)| quoted(&value)).collect();
        out.push_str(&line.join(","));
        out.push_str("\r\n");
    }
    out
}

fn cells(entry: &Entry) -> [(&'static str, String); 24] {
    [
        ("kid", entry.kid.clone()),
        ("cka_id", entry.cka_id.clone()),
        ("label", entry.label.clone()),
        ("owner", entry.owner.clone()),
        ("purpose", entry.purpose.clone()),
        ("algorithm", entry.algorithm.clone()),
        ("generation", entry.generation.clone()),
        ("generated_at", entry.generated_at.clone()),
        ("generated_by", entry.generated_by.clone()),
        ("storage", entry.storage.clone()),
        ("distribution", entry.distribution.clone()),
        ("state", entry.state.clone()),
        ("published_at", entry.published_at.clone()),
        ("valid_from", entry.valid_from.clone()),
        ("valid_until", entry.valid_until.clone()),
        ("rotation_at", entry.rotation_at.clone()),
        ("max_token_lifetime", entry.max_token_lifetime.to_string()),
        ("retired_at", entry.retired_at.clone()),
        ("recovery", entry.recovery.clone()),
        ("compromised_at", entry.compromised_at.clone()),
        ("destruction", entry.destruction.clone()),
        ("destruction_proposed_by", entry.destruction_proposed_by.clone()),
        ("destruction_approved_by", entry.destruction_approved_by.clone()),
        ("destroyed_at", entry.destroyed_at.clone()),
    ]
}

fn quoted(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let cell = if formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use edgeseal_core::{Algorithm, Timestamp};

    use super::*;
    use crate::{hsm::KeyId, keys::Published};

    #[test]
    fn no_key_is_said_to_be_what_nobody_proved() {
        let at = Timestamp::from_secs(1_000);
        let made = Key::generating(KeyId::random().unwrap(), Purpose::Token, Algorithm::Es256, at);
        let whole = Key { published: Some(Published { kid: "kid".to_owned(), jwk: "{}".to_owned() }), ..made.clone() };
        assert_eq!(making(&whole), ("generated inside the HSM", "sensitive and never extractable, as the HSM reports"));
        assert_eq!(making(&made), ("was to be generated inside the HSM", "the HSM reported nothing"));
        let failed = |origin, destroyed_at| Key { state: State::Failed, origin, destroyed_at, ..made.clone() };
        assert!(ending(&failed(Origin::Generated, Some(at))).contains("is removed"));
        for origin in [Origin::Generated, Origin::Entering] {
            assert!(ending(&failed(origin, None)).contains("yet to be removed"));
        }
        let foreign = failed(Origin::Imported, None);
        assert!(making(&foreign).1.contains("a copy") && ending(&foreign).contains("stays"), "{}", ending(&foreign));
        for state in [State::Destroyed, State::Compromised] {
            assert!(ending(&Key { state, destroyed_at: Some(at), ..whole.clone() }).contains("proved absent"), "{state}");
        }
        for (state, says) in [(State::DestroyScheduled, "scheduled"), (State::Compromised, "7 to 30"), (State::Active, "7 to 30")]
        {
            assert!(ending(&Key { state, ..whole.clone() }).contains(says), "{state}");
        }
    }

    #[test]
    fn a_key_is_in_its_set_as_long_as_it_is_published() {
        let key = |state| Key {
            state,
            ..Key::generating(KeyId::random().unwrap(), Purpose::Token, Algorithm::Es256, Timestamp::from_secs(1_000))
        };
        for (states, says) in [
            (&[State::Published, State::Active, State::Suspended, State::Retiring][..], "public key in the JWK Set of u;"),
            (
                &[State::Retired, State::Compromised, State::DestroyScheduled, State::Destroyed],
                "public key was in the JWK Set of u;",
            ),
            (&[State::Generating, State::Failed], "nothing"),
        ] {
            for state in states {
                assert!(shown(&key(*state), "u").starts_with(says), "{state}");
            }
        }
    }

    #[test]
    fn cells_are_quoted() {
        let entry = Entry { label: "=cmd|'x'".to_owned(), owner: "a, \"b\"\nc".to_owned(), ..Entry::default() };
        let text = csv(&[entry]);
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert!(lines[0].starts_with("kid,cka_id,label,owner,"), "{text}");
        assert!(lines[1].starts_with(",,'=cmd|'x',\"a, \"\"b\"\"\nc\","), "{text}");
        assert_eq!(lines.len(), 3);
        let members = serde_json::json!(Entry::default());
        let names: std::collections::BTreeSet<&str> = members.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, lines[0].split(',').collect(), "CSV and JSON say the same");
    }
}

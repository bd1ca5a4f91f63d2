//! PURE. Rows of the audit log, each of which holds the hash of the one before it.
//!
//! A row is one JSON object, written in one way only. Its hash is SHA-256 over [`DOMAIN`] and the octets of that object,
//! which holds the hash of the row before it: who changes, drops or moves a row changes every hash after it.

use edgeseal_core::{Timestamp, json};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{AuditPlace, Event, Position, encode, moment};

/// What is hashed before a row, so that no other document has the same hash.
pub const DOMAIN: &[u8] = b"edgeseal audit row 1\n";
/// What the first row of a chain says of the row before it: 32 zero octets.
pub const GENESIS: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// One row of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// The chain: one per signer process.
    pub chain: String,
    /// Its place in the chain, without gaps.
    pub seq: u64,
    /// The chain's hash up to and with this row.
    pub hash: String,
    /// The digest by which a token is looked up, where the row is about one.
    pub digest: Option<String>,
    /// When, as the body says it too.
    pub at: Timestamp,
    /// What happened.
    pub body: String,
}

impl AuditRow {
    /// Where it stands among all rows.
    pub fn place(&self) -> AuditPlace {
        AuditPlace { at: self.at, chain: self.chain.clone(), seq: self.seq }
    }
}

/// The end of a chain, to which rows are added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    id: String,
    seq: u64,
    hash: String,
}

impl Chain {
    /// A chain without rows.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), seq: 0, hash: GENESIS.to_owned() }
    }

    /// A chain whose last row is this one.
    pub fn at(id: impl Into<String>, seq: u64, hash: impl Into<String>) -> Self {
        Self { id: id.into(), seq, hash: hash.into() }
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The number of its last row; 0 before the first.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The hash of its last row; [`GENESIS`] before the first.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Where its last row stands.
    pub fn position(&self) -> Position {
        Position { chain: self.id.clone(), seq: self.seq }
    }

    /// The next row.
    pub fn append(&mut self, at: Timestamp, event: Event) -> AuditRow {
        let Event { actor, action, subject, detail, digest } = event;
        let seq = self.seq + 1;
        let mut body = String::with_capacity(320);
        body.push_str("{\"chain\":");
        json::write_string(&self.id, &mut body);
        body.push_str(",\"seq\":");
        body.push_str(&seq.to_string());
        for (name, value) in
            [("prev", &*self.hash), ("at", &moment(at)), ("actor", &actor), ("action", &action), ("subject", &subject)]
        {
            body.push_str(",\"");
            body.push_str(name);
            body.push_str("\":");
            json::write_string(value, &mut body);
        }
        if let Some(digest) = &digest {
            body.push_str(",\"digest\":");
            json::write_string(digest, &mut body);
        }
        if !detail.is_empty() {
            body.push_str(",\"detail\":");
            json::write_object(&detail, &mut body);
        }
        body.push('}');
        let hash = hash(&body);
        self.seq = seq;
        self.hash.clone_from(&hash);
        AuditRow { chain: self.id.clone(), seq, hash, digest, at, body }
    }

    /// Takes a row if it is the next one.
    ///
    /// # Errors
    /// In words for people, what is wrong with it.
    pub fn follow(&mut self, row: &Row<'_>) -> Result<(), String> {
        let Row { hash, body, .. } = row;
        if self::hash(body) != *hash {
            return Err("its content does not have its hash: one of them was changed".to_owned());
        }
        let seq = row.seq();
        if row.chain() != self.id {
            return Err(format!("it does not belong to chain {}", self.id));
        }
        if seq != self.seq + 1 {
            return Err(format!("it has the number {seq}, and the next one of its chain is {}", self.seq + 1));
        }
        if row.text("prev") != self.hash {
            return Err("it does not name the hash of the row before it".to_owned());
        }
        self.seq = seq;
        (*hash).clone_into(&mut self.hash);
        Ok(())
    }
}

/// A row as it was found somewhere, of which nothing is known to be true.
#[derive(Debug)]
pub struct Row<'a> {
    hash: &'a str,
    body: &'a str,
    members: Map<String, Value>,
}

impl<'a> Row<'a> {
    /// Reads a row.
    ///
    /// # Errors
    /// In words, when it is none.
    pub fn read(hash: &'a str, body: &'a str) -> Result<Self, String> {
        let (_, members) = json::parse_object(body.as_bytes()).map_err(|error| format!("it is no JSON object: {error}"))?;
        Ok(Self { hash, body, members })
    }

    /// The chain that it says it belongs to.
    pub fn chain(&self) -> &str {
        self.text("chain")
    }

    /// The number that it says it has; 0 when it says none.
    pub fn seq(&self) -> u64 {
        self.members.get("seq").and_then(Value::as_u64).unwrap_or_default()
    }

    /// A member that is text; empty when it is not there.
    pub fn text(&self, member: &str) -> &str {
        self.members.get(member).and_then(Value::as_str).unwrap_or_default()
    }

    /// What it says beyond that.
    pub fn details(&self) -> Option<&Value> {
        self.members.get("detail")
    }

    /// A detail.
    pub fn detail(&self, name: &str) -> Option<&Value> {
        self.details()?.get(name)
    }
}

/// The hash of a row with this body, base64url.
pub fn hash(body: &str) -> String {
    encode(&Sha256::new().chain_update(DOMAIN).chain_update(body.as_bytes()).finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<AuditRow> {
        let mut chain = Chain::new("c1");
        let at = Timestamp::from_millis(1_760_000_000_007);
        vec![
            chain.append(at, Event::new("system", "chain.start", "")),
            chain.append(at, Event::new("agent:a\"b", "token.intent", "kid").with("n", 1).with_digest("d".to_owned())),
            chain.append(at, Event::new("system", "chain.end", "")),
        ]
    }

    fn follow(chain: &mut Chain, hash: &str, body: &str) -> Result<(), String> {
        chain.follow(&Row::read(hash, body)?)
    }

    #[test]
    fn a_row_is_written_in_one_way() {
        let rows = rows();
        assert_eq!(
            rows[0].body,
            format!(
                r#"{{"chain":"c1","seq":1,"prev":"{GENESIS}","at":"2025-10-09T08:53:20.007Z","actor":"system","action":"chain.start","subject":""}}"#
            )
        );
        assert!(rows[1].body.contains(&format!(r#""prev":"{}""#, rows[0].hash)), "{}", rows[1].body);
        assert!(
            rows[1]
                .body
                .ends_with(r#""actor":"agent:a\"b","action":"token.intent","subject":"kid","digest":"d","detail":{"n":1}}"#)
        );
    }

    #[test]
    fn rows_follow_each_other_and_nothing_else() {
        let rows = rows();
        let mut chain = Chain::new("c1");
        for row in &rows {
            follow(&mut chain, &row.hash, &row.body).unwrap();
        }
        assert_eq!((chain.seq(), chain.hash()), (3, rows[2].hash.as_str()));
        // Again, dropped, in another chain.
        assert!(follow(&mut chain, &rows[2].hash, &rows[2].body).unwrap_err().contains("the number 3"));
        let mut chain = Chain::new("c1");
        assert!(follow(&mut chain, &rows[1].hash, &rows[1].body).unwrap_err().contains("the number 2"));
        assert!(follow(&mut Chain::new("c2"), &rows[0].hash, &rows[0].body).unwrap_err().contains("chain c2"));
        // A row of the right number whose predecessor was another.
        let mut chain = Chain::at("c1", 1, GENESIS);
        assert!(follow(&mut chain, &rows[1].hash, &rows[1].body).unwrap_err().contains("the row before"));
        // Any octet.
        for at in 0..rows[1].body.len() {
            let mut changed = rows[1].body.clone().into_bytes();
            changed[at] ^= 1;
            let mut chain = Chain::at("c1", 1, rows[0].hash.clone());
            assert!(follow(&mut chain, &rows[1].hash, &String::from_utf8_lossy(&changed)).is_err(), "octet {at}");
        }
    }
}

//! Agents that were invited, their codes and certificates, and the authorities that signed these.

use std::collections::BTreeSet;

use edgeseal_core::Timestamp;

use super::{
    Store, StoreError,
    database::{Statement, Transaction},
};

/// An agent, or a name that was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRow {
    /// Its name.
    pub name: String,
    /// Its policy as JSON; `None` when it stands in the configuration.
    pub policy: Option<String>,
    /// When it was invited first, or revoked.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// What an agent that is invited may do.
#[derive(Clone, Copy, Debug)]
pub enum Terms<'a> {
    /// What the configuration says.
    Configured,
    /// This policy, as JSON.
    Given(&'a str),
    /// What the store says when the invitation is written.
    Kept,
}

/// By what somebody gets a certificate. It still has to stand when the certificate is written down.
#[derive(Clone, Copy, Debug)]
pub enum Grant<'a> {
    /// An invitation that was used, by the hash of its code.
    Invitation(&'a str),
    /// The certificate so far, by its fingerprint.
    Certificate(&'a str),
}

/// A certificate that the signer issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentCertificate {
    /// SHA-256 of its DER, as base64url.
    pub fingerprint: String,
    /// The agent that it names.
    pub agent: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Its end.
    pub not_after: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// An authority of agents' certificates whose key is in the HSM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The `kid` of its key.
    pub kid: String,
    /// Its certificate, PEM.
    pub certificate: String,
}

impl Store {
    /// A number that rises with every change to agents, certificates and authorities.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn agents_version(&self) -> Result<u64, StoreError> {
        let rows = self.database.rows(Statement::new("SELECT number FROM versions WHERE name = 'agents'")).await?;
        rows.first().map_or(Ok(0), |row| row.number("number"))
    }

    /// All agents.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn agents(&self) -> Result<Vec<AgentRow>, StoreError> {
        let rows =
            self.database.rows(Statement::new("SELECT name, policy, created_at, revoked_at FROM agents ORDER BY name")).await?;
        rows.iter()
            .map(|row| {
                Ok(AgentRow {
                    name: row.text("name")?,
                    policy: row.optional_text("policy")?,
                    created_at: row.moment("created_at")?,
                    revoked_at: row.optional_moment("revoked_at")?,
                })
            })
            .collect()
    }

    /// Names that were revoked or deleted once, also if somebody was invited under them since: only certificates of the signer's own
    /// authority count.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn barred_agents(&self) -> Result<BTreeSet<String>, StoreError> {
        let select = Statement::new("SELECT name FROM agents WHERE barred_at IS NOT NULL UNION SELECT name FROM agents_barred");
        let rows = self.database.rows(select).await?;
        rows.iter().map(|row| row.text("name")).collect()
    }

    /// Certificates that have not ended.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn agent_certificates(&self, now: Timestamp) -> Result<Vec<AgentCertificate>, StoreError> {
        let select = Statement::new(
            "SELECT fingerprint, agent, issued_at, not_after, revoked_at FROM agent_certificates WHERE not_after > $1",
        );
        let rows = self.database.rows(select.bind(now)).await?;
        rows.iter()
            .map(|row| {
                Ok(AgentCertificate {
                    fingerprint: row.text("fingerprint")?,
                    agent: row.text("agent")?,
                    issued_at: row.moment("issued_at")?,
                    not_after: row.moment("not_after")?,
                    revoked_at: row.optional_moment("revoked_at")?,
                })
            })
            .collect()
    }

    /// The authorities, the oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn authorities(&self) -> Result<Vec<Authority>, StoreError> {
        let rows =
            self.database.rows(Statement::new("SELECT kid, certificate FROM authorities ORDER BY created_at, kid")).await?;
        rows.iter().map(|row| Ok(Authority { kid: row.text("kid")?, certificate: row.text("certificate")? })).collect()
    }

    /// Writes an authority's certificate, unless one of its key is there.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn insert_authority(&self, authority: &Authority, at: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.change_agents().await?;
        let insert = Statement::new(
            "INSERT INTO authorities (kid, certificate, created_at) VALUES ($1, $2, $3) ON CONFLICT (kid) DO NOTHING",
        );
        transaction.execute(insert.bind(authority.kid.as_str()).bind(authority.certificate.as_str()).bind(at)).await?;
        transaction.commit().await
    }

    /// Writes an invitation by the hash of its code, and the agent's policy if one is given. An agent that was revoked is not
    /// any more; its certificates stay so, and none of another authority counts.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the policy is to be kept and there is none.
    pub async fn invite(
        &self,
        agent: &str,
        terms: Terms<'_>,
        code: &str,
        at: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.change_agents().await?;
        let policy = match terms {
            Terms::Configured => Some(None),
            Terms::Given(policy) => Some(Some(policy.to_owned())),
            Terms::Kept => None,
        };
        if let Some(policy) = policy {
            let upsert = Statement::new(
                "INSERT INTO agents (name, policy, created_at) VALUES ($1, $2, $3) \
                 ON CONFLICT (name) DO UPDATE SET policy = excluded.policy, revoked_at = NULL",
            );
            transaction.execute(upsert.bind(agent).bind(policy).bind(at)).await?;
        } else {
            // Whoever changed the policy since it was looked at has changed it.
            let update = Statement::new("UPDATE agents SET revoked_at = NULL WHERE name = $1 AND policy IS NOT NULL");
            if transaction.execute(update.bind(agent)).await? != 1 {
                return Err(StoreError::Conflict(format!("agent {agent} is gone")));
            }
        }
        let insert = Statement::new("INSERT INTO invitations (code, agent, expires_at) VALUES ($1, $2, $3)");
        transaction.execute(insert.bind(code).bind(agent).bind(expires_at)).await?;
        transaction.execute(Statement::new("DELETE FROM invitations WHERE expires_at <= $1").bind(at)).await?;
        transaction.commit().await
    }

    /// Writes a new agent, which nobody is yet.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is one of this name.
    pub async fn create_agent(&self, agent: &str, policy: &str, at: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.change_agents().await?;
        let insert =
            Statement::new("INSERT INTO agents (name, policy, created_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING");
        if transaction.execute(insert.bind(agent).bind(policy).bind(at)).await? != 1 {
            return Err(StoreError::Conflict(format!("an agent {agent} is there already")));
        }
        transaction.commit().await
    }

    /// Changes what an agent may do.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is none of this name.
    pub async fn edit_agent(&self, agent: &str, policy: &str) -> Result<(), StoreError> {
        let mut transaction = self.change_agents().await?;
        let update = Statement::new("UPDATE agents SET policy = $2 WHERE name = $1");
        if transaction.execute(update.bind(agent).bind(policy)).await? != 1 {
            return Err(StoreError::Conflict(format!("agent {agent} is gone")));
        }
        transaction.commit().await
    }

    /// Agents with a code that is still good, and until when.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn invitations(&self, now: Timestamp) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let select = Statement::new(
            "SELECT agent, MAX(expires_at) AS until FROM invitations WHERE used_at IS NULL AND expires_at > $1 GROUP BY agent",
        );
        let rows = self.database.rows(select.bind(now)).await?;
        rows.iter().map(|row| Ok((row.text("agent")?, row.moment("until")?))).collect()
    }

    /// Uses up an invitation: the agent that it is for, if it is good, and the first to come.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn use_invitation(&self, code: &str, at: Timestamp) -> Result<Option<String>, StoreError> {
        let update = Statement::new(
            "UPDATE invitations SET used_at = $2 WHERE code = $1 AND used_at IS NULL AND expires_at > $2 RETURNING agent",
        );
        let rows = self.database.rows(update.bind(code).bind(at)).await?;
        rows.first().map(|row| row.text("agent")).transpose()
    }

    /// Lets an invitation be used after all: whoever used it at that moment got no certificate, or does not know whether they used it.
    /// One that another has used stays so.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn give_invitation_back(&self, code: &str, used_at: Timestamp) -> Result<(), StoreError> {
        let update = Statement::new("UPDATE invitations SET used_at = NULL WHERE code = $1 AND used_at = $2");
        self.database.execute(update.bind(code).bind(used_at)).await.map(drop)
    }

    /// Forgets certificates that have ended; whoever asks must believe the time.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn forget_agent_certificates(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.database.execute(Statement::new("DELETE FROM agent_certificates WHERE not_after <= $1").bind(now)).await
    }

    /// Writes a certificate, before anybody gets it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the agent was revoked meanwhile, also if it was invited again since.
    pub async fn insert_agent_certificate(&self, certificate: &AgentCertificate, grant: Grant<'_>) -> Result<(), StoreError> {
        let AgentCertificate { fingerprint, agent, issued_at, not_after, revoked_at: _ } = certificate;
        let mut transaction = self.change_agents().await?;
        let (insert, by) = match grant {
            Grant::Invitation(code) => (
                "INSERT INTO agent_certificates (fingerprint, agent, issued_at, not_after) \
                 SELECT $1, name, $3, $4 FROM agents WHERE name = $2 AND revoked_at IS NULL AND EXISTS \
                 (SELECT 1 FROM invitations WHERE code = $5 AND agent = $2 AND used_at IS NOT NULL)",
                code,
            ),
            Grant::Certificate(before) => (
                "INSERT INTO agent_certificates (fingerprint, agent, issued_at, not_after) \
                 SELECT $1, name, $3, $4 FROM agents WHERE name = $2 AND revoked_at IS NULL AND EXISTS \
                 (SELECT 1 FROM agent_certificates WHERE fingerprint = $5 AND agent = $2 AND revoked_at IS NULL)",
                before,
            ),
        };
        let insert = Statement::new(insert).bind(fingerprint.as_str()).bind(agent.as_str()).bind(*issued_at).bind(*not_after);
        let insert = insert.bind(by);
        if transaction.execute(insert).await? != 1 {
            return Err(StoreError::Conflict(format!("agent {agent} was revoked")));
        }
        transaction.commit().await
    }

    /// Deletes an agent of which no key of its own is believed any more, and what it may repeat. Every certificate of it stays,
    /// revoked, and its name stays barred: whoever gets it later is somebody else.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is none such.
    pub async fn delete_agent(&self, agent: &str, at: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.change_agents().await?;
        let delete = Statement::new(
            "DELETE FROM agents WHERE name = $1 AND NOT EXISTS (SELECT 1 FROM keys WHERE agent = $1 AND state IN \
             ('generating', 'published', 'active', 'suspended', 'retiring'))",
        );
        if transaction.execute(delete.bind(agent)).await? != 1 {
            return Err(StoreError::Conflict(format!("agent {agent} is gone, or has a key of its own again")));
        }
        let bar = Statement::new("INSERT INTO agents_barred (name, barred_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING");
        transaction.execute(bar.bind(agent).bind(at)).await?;
        transaction.execute(Statement::new("DELETE FROM idempotency WHERE agent = $1").bind(agent)).await?;
        keep_out(&mut transaction, agent, at).await?;
        transaction.commit().await
    }

    /// Revokes a name, every certificate of it and every invitation for it.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn revoke_agent(&self, agent: &str, at: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.change_agents().await?;
        let upsert = Statement::new(
            "INSERT INTO agents (name, policy, created_at, revoked_at, barred_at) VALUES ($1, NULL, $2, $2, $2) \
             ON CONFLICT (name) DO UPDATE SET revoked_at = excluded.revoked_at, barred_at = excluded.barred_at",
        );
        transaction.execute(upsert.bind(agent).bind(at)).await?;
        keep_out(&mut transaction, agent, at).await?;
        transaction.commit().await
    }

    /// Begins a change of agents, announced first of all: two take turns by that row, and whoever comes second sees all that the first
    /// has done.
    async fn change_agents(&self) -> Result<Transaction, StoreError> {
        let mut transaction = self.database.begin().await?;
        transaction.execute(Statement::new("UPDATE versions SET number = number + 1 WHERE name = 'agents'")).await?;
        Ok(transaction)
    }
}

/// Revokes every certificate of a name and every invitation for it.
async fn keep_out(transaction: &mut Transaction, agent: &str, at: Timestamp) -> Result<(), StoreError> {
    let certificates = Statement::new("UPDATE agent_certificates SET revoked_at = $2 WHERE agent = $1 AND revoked_at IS NULL");
    transaction.execute(certificates.bind(agent).bind(at)).await?;
    transaction.execute(Statement::new("DELETE FROM invitations WHERE agent = $1").bind(agent)).await.map(drop)
}

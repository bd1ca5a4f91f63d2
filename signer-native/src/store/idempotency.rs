//! Requests that an agent may repeat under the same key: what makes the repetition the same token, and never the token.

use edgeseal_core::Timestamp;

use super::{Store, StoreError, database::Statement};

/// What a repetition of a request is given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeatable {
    /// A digest of the path and the body.
    pub body: String,
    /// `jti`; of a batch, what the members' are made from.
    pub jwt_id: String,
    /// When it was first asked.
    pub at: Timestamp,
}

impl Store {
    /// Writes a request under the agent's key, unless one is there that has not ended; gives what stands there then.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn repeatable(
        &self,
        agent: &str,
        name: &str,
        request: &Repeatable,
        expires_at: Timestamp,
    ) -> Result<Repeatable, StoreError> {
        let Repeatable { body, jwt_id, at } = request;
        let insert = Statement::new(
            "INSERT INTO idempotency (agent, name, body, jti, iat, expires_at) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (agent, name) DO UPDATE SET body = excluded.body, jti = excluded.jti, iat = excluded.iat, \
             expires_at = excluded.expires_at WHERE idempotency.expires_at <= excluded.iat",
        );
        let insert = insert.bind(agent).bind(name).bind(body.as_str()).bind(jwt_id.as_str()).bind(*at).bind(expires_at);
        if self.database.execute(insert).await? == 1 {
            return Ok(request.clone());
        }
        let select =
            Statement::new("SELECT body, jti, iat FROM idempotency WHERE agent = $1 AND name = $2").bind(agent).bind(name);
        let rows = self.database.rows(select).await?;
        let row = rows.first().ok_or_else(|| StoreError::Conflict("an idempotency key".to_owned()))?;
        Ok(Repeatable { body: row.text("body")?, jwt_id: row.text("jti")?, at: row.moment("iat")? })
    }

    /// Forgets requests that have ended.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn forget_requests(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.database.execute(Statement::new("DELETE FROM idempotency WHERE expires_at <= $1").bind(now)).await
    }
}

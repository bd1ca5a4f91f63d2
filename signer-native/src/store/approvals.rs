//! What one person proposed and another has to approve.

use edgeseal_core::Timestamp;

use super::{
    Store, StoreError,
    database::{Row, Statement, Transaction},
};

/// A proposal, open or decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Its name.
    pub id: String,
    /// What is to be done, such as `keys.schedule_destroy`.
    pub action: String,
    /// To what.
    pub subject: String,
    /// With what parameters, as JSON.
    pub detail: String,
    /// Who proposed it.
    pub proposer: String,
    /// When.
    pub proposed_at: Timestamp,
    /// When it can be approved no more.
    pub expires_at: Timestamp,
    /// Who decided, what and when; `None` while open.
    pub decided: Option<(Decision, String, Timestamp)>,
}

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A second person approved it, and it was done.
    Approved,
    /// Somebody withdrew it, the proposer perhaps.
    Withdrawn,
    /// Nobody approved it in time.
    Lapsed,
}

impl Decision {
    /// Its name in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Withdrawn => "withdrawn",
            Self::Lapsed => "lapsed",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Approved, Self::Withdrawn, Self::Lapsed].into_iter().find(|decision| decision.as_str() == name)
    }
}

const COLUMNS: &str = "SELECT id, action, subject, detail, proposer, proposed_at, expires_at, decision, decider, decided_at FROM approvals ORDER BY proposed_at, id";

impl Store {
    /// Writes a new proposal. One of the same action and subject that nobody approved in time makes way.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when such a proposal is open already.
    pub async fn propose(&self, approval: &Approval) -> Result<(), StoreError> {
        let Approval { id, action, subject, detail, proposer, proposed_at, expires_at, decided: _ } = approval;
        let mut transaction = self.database.begin().await?;
        transaction
            .execute(
                Statement::new(
                    "UPDATE approvals SET decision = 'lapsed', decided_at = expires_at \
                     WHERE action = $1 AND subject = $2 AND decision IS NULL AND expires_at <= $3",
                )
                .bind(action.as_str())
                .bind(subject.as_str())
                .bind(*proposed_at),
            )
            .await?;
        transaction
            .execute(
                Statement::new(
                    "INSERT INTO approvals (id, action, subject, detail, proposer, proposed_at, expires_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7)",
                )
                .bind(id.as_str())
                .bind(action.as_str())
                .bind(subject.as_str())
                .bind(detail.as_str())
                .bind(proposer.as_str())
                .bind(*proposed_at)
                .bind(*expires_at),
            )
            .await?;
        transaction.commit().await
    }

    /// All proposals, the oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn approvals(&self) -> Result<Vec<Approval>, StoreError> {
        self.database.rows(Statement::new(COLUMNS)).await?.iter().map(approval).collect()
    }

    /// Takes a proposal back.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is not open any more.
    pub async fn withdraw(&self, id: &str, who: &str, at: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        decide(&mut transaction, id, Decision::Withdrawn, who, at).await?;
        transaction.commit().await
    }
}

/// Decides an open proposal. Its proposer may withdraw it, and never approve it.
pub(super) async fn decide(
    transaction: &mut Transaction,
    id: &str,
    decision: Decision,
    who: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    let sql = match decision {
        Decision::Approved => {
            "UPDATE approvals SET decision = $2, decider = $3, decided_at = $4 \
             WHERE id = $1 AND decision IS NULL AND proposer <> $3 AND expires_at > $4"
        }
        Decision::Withdrawn | Decision::Lapsed => {
            "UPDATE approvals SET decision = $2, decider = $3, decided_at = $4 WHERE id = $1 AND decision IS NULL"
        }
    };
    let statement = Statement::new(sql).bind(id).bind(decision.as_str()).bind(who).bind(at);
    let done = transaction.execute(statement).await?;
    if done == 1 { Ok(()) } else { Err(StoreError::Conflict(format!("proposal {id} is not open for this decision"))) }
}

fn approval(row: &Row) -> Result<Approval, StoreError> {
    let decided = match (row.optional_text("decision")?, row.optional_moment("decided_at")?) {
        (Some(name), Some(at)) => {
            let decision =
                Decision::from_name(&name).ok_or_else(|| StoreError::Corrupt(format!("approvals.decision is {name:?}")))?;
            Some((decision, row.optional_text("decider")?.unwrap_or_default(), at))
        }
        _ => None,
    };
    Ok(Approval {
        id: row.text("id")?,
        action: row.text("action")?,
        subject: row.text("subject")?,
        detail: row.text("detail")?,
        proposer: row.text("proposer")?,
        proposed_at: row.moment("proposed_at")?,
        expires_at: row.moment("expires_at")?,
        decided,
    })
}

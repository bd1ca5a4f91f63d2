//! Leases: one signer at a time does what must happen once. The fencing number is checked inside the transaction that
//! writes, so that a leader that slept through its lease changes nothing.

use edgeseal_core::Timestamp;

use super::{
    Store, StoreError,
    database::{Statement, Transaction},
};

/// Seconds: what the clocks of two signers may differ.
const CLOCKS_DIFFER: u64 = 60;

/// The right to write as a leader; it ends when another takes the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The lease.
    pub lease: String,
    /// Who holds it.
    pub holder: String,
    /// Rises with every change of holder.
    pub number: u64,
}

impl Store {
    /// Takes a lease until `until`, or holds on to it; `None` while another holds it. A lease that would end much later than
    /// any that is taken now was written by a clock that was wrong, and binds nobody: fencing keeps its holder from writing.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn take_lease(
        &self,
        lease: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Fence>, StoreError> {
        let rows = self.database.rows(
            Statement::new(
                "INSERT INTO leases (name, holder, fence, expires_at) VALUES ($1, $2, 1, $3) ON CONFLICT (name) DO UPDATE SET \
                 fence = CASE WHEN leases.holder = excluded.holder THEN leases.fence ELSE leases.fence + 1 END, \
                 holder = excluded.holder, expires_at = excluded.expires_at \
                 WHERE leases.holder = excluded.holder OR leases.expires_at <= $4 OR leases.expires_at > $5 \
                 RETURNING fence",
            )
            .bind(lease)
            .bind(holder)
            .bind(until)
            .bind(now)
            .bind(until.plus_secs(CLOCKS_DIFFER)),
        );
        let rows = rows.await?;
        let number = rows.first().map(|row| row.number("fence")).transpose()?;
        Ok(number.map(|number| Fence { lease: lease.to_owned(), holder: holder.to_owned(), number }))
    }

    /// Gives a lease back, so that the next one need not wait for its end.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn give_lease_back(&self, fence: &Fence) -> Result<(), StoreError> {
        let statement = Statement::new("UPDATE leases SET expires_at = 0 WHERE name = $1 AND holder = $2 AND fence = $3");
        let Fence { lease, holder, number } = fence;
        self.database.execute(statement.bind(lease.as_str()).bind(holder.as_str()).bind(*number)).await.map(drop)
    }
}

/// Locks the lease's row until the transaction ends, if it is still held.
pub(super) async fn check(transaction: &mut Transaction, fence: &Fence) -> Result<(), StoreError> {
    let statement = Statement::new("UPDATE leases SET fence = fence WHERE name = $1 AND holder = $2 AND fence = $3");
    let Fence { lease, holder, number } = fence;
    let held = transaction.execute(statement.bind(lease.as_str()).bind(holder.as_str()).bind(*number)).await?;
    if held == 1 { Ok(()) } else { Err(StoreError::Conflict(format!("another signer has taken the lease {lease}"))) }
}

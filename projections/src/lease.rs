//! Who may move a shard of a projection: the holder of the current epoch.
//!
//! A lease ends by the database's clock when it is not renewed, and every take-over counts the epoch
//! up. What protects the rows is not the lease but the fence: a batch that does not find its own
//! epoch and its own checkpoint changes nothing. The lease only keeps two workers from taking turns.

use std::time::Duration;

use contracts::Position;
use deadpool_postgres::{GenericClient, Pool, Transaction};

use crate::error::ProjectionError;

/// How long a worker that fell silent keeps its shard. Short, because the fence is what counts.
pub(crate) const LEASE_FOR: Duration = Duration::from_secs(3);
/// How often an idle worker renews: three times within the lease.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(1);

/// A shard until a projection's checkpoint is moved by somebody else.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    pub(crate) name: &'static str,
    pub(crate) version: i32,
    pub(crate) shard: i32,
    epoch: i64,
    /// The checkpoint: everything up to here is in the rows.
    pub(crate) position: Position,
}

impl Lease {
    /// Takes the shard if nobody holds it.
    pub(crate) async fn take(
        pool: &Pool,
        name: &'static str,
        version: i32,
        owner: &str,
    ) -> Result<Option<Self>, ProjectionError> {
        let client = pool.get().await?;
        let statement = client.prepare_cached(include_str!("sql/take_lease.sql")).await?;
        let shard = 0;
        let found = client
            .query_opt(&statement, &[&name, &version, &shard, &owner, &seconds(LEASE_FOR)])
            .await?;
        let Some(row) = found else {
            return Ok(None);
        };
        let (epoch, position) = (row.try_get(0)?, Position::new(row.try_get(1)?));
        Ok(Some(Self { name, version, shard, epoch, position }))
    }

    /// Moves the checkpoint within `tx`; the shard is locked until it ends.
    ///
    /// # Errors
    /// [`ProjectionError::LeaseLost`] when the epoch or the checkpoint is another by now.
    pub(crate) async fn fence_in_tx(
        &self,
        tx: &Transaction<'_>,
        to: Position,
    ) -> Result<(), ProjectionError> {
        let Self { name, version, shard, epoch, position } = self;
        let statement = tx.prepare_cached(include_str!("sql/fence.sql")).await?;
        let (from, to) = (position.number(), to.number());
        let lease = seconds(LEASE_FOR);
        let moved =
            tx.execute(&statement, &[name, version, shard, epoch, &from, &to, &lease]).await?;
        if moved == 1 { Ok(()) } else { Err(self.lost()) }
    }

    /// Keeps the shard while there is nothing to do.
    pub(crate) async fn renew(&self, pool: &Pool) -> Result<(), ProjectionError> {
        let Self { name, version, shard, epoch, .. } = self;
        let client = pool.get().await?;
        let statement = client.prepare_cached(include_str!("sql/renew_lease.sql")).await?;
        let lease = seconds(LEASE_FOR);
        let kept = client.execute(&statement, &[name, version, shard, epoch, &lease]).await?;
        if kept == 1 { Ok(()) } else { Err(self.lost()) }
    }

    /// Gives the shard back; a shard that was lost stays lost.
    pub(crate) async fn release(&self, pool: &Pool) -> Result<(), ProjectionError> {
        let Self { name, version, shard, epoch, .. } = self;
        let client = pool.get().await?;
        let statement = client.prepare_cached(include_str!("sql/release_lease.sql")).await?;
        client.execute(&statement, &[name, version, shard, epoch]).await?;
        Ok(())
    }

    /// Notes what stops the shard, for whoever looks at its status.
    pub(crate) async fn note_error(&self, pool: &Pool, error: &str) -> Result<(), ProjectionError> {
        let Self { name, version, shard, epoch, .. } = self;
        let client = pool.get().await?;
        let statement = client.prepare_cached(include_str!("sql/note_error.sql")).await?;
        client.execute(&statement, &[name, version, shard, epoch, &error]).await?;
        Ok(())
    }

    fn lost(&self) -> ProjectionError {
        ProjectionError::LeaseLost { name: self.name, version: self.version }
    }
}

/// Whole and parts of a second as `make_interval` takes them.
fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

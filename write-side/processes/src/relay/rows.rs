//! The relay's side of the outbox table: claim, and everything that a claim allows.
//!
//! Every write names its claim, a random token, and happens only while that claim stands. A worker
//! that wakes up after its lease was taken over gets [`RowError::LeaseLost`] and records nothing.
//! Leases run on the database's clock, so workers need not agree on theirs. They are renewed for rows
//! that a task of this worker still holds ([`Hold`]): a claim whose answer was lost, or a row that
//! could not be requeued because the database was unavailable, is claimable again after one lease.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::{BillingKeyId, Sealed, Text, UserId};
use deadpool_postgres::{Pool, PoolError, Transaction};
use domain::Settlement;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::metrics;

mod combine;
mod hold;

use combine::{Combiner, Kind};
use hold::Held;
pub use hold::Hold;

/// A row of the outbox, leased to us.
#[derive(Debug)]
pub struct ClaimedRow {
    /// The row; the same event always yields the same id.
    pub id: Uuid,
    /// Which kind of aggregate asked for it.
    pub aggregate_type: String,
    /// Which one.
    pub aggregate_id: String,
    /// The version to which the event that asked for it brought the aggregate.
    pub version: u64,
    /// The sort of call.
    pub kind: String,
    /// The effect.
    pub payload: Value,
    /// The request id of the chain.
    pub correlation_id: String,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// Proof of this claim.
    pub claim: Uuid,
    /// For how long the outcome of an earlier call has been unknown; `None` when it isn't.
    pub unknown_for: Option<Duration>,
    /// How long ago a request was last stored, which is before it was sent; `None`: never.
    pub sent_ago: Option<Duration>,
    /// Calls that were sent or may have been.
    pub calls: u32,
    /// The settlement, when a worker stored one and did not come to tell it.
    pub outcome: Option<Value>,
    /// When it was requested.
    pub created_at: DateTime<Utc>,
    /// How long ago that was, on the database's clock.
    pub age: Duration,
    /// Keeps the lease alive for as long as this value lives.
    pub hold: Hold,
}

/// Why the outbox gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// The database is away, slow, or refused a statement.
    #[error("reach the outbox")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The row was taken over by another worker: what we did is theirs to find out and record.
    #[error("the lease was lost to another worker")]
    LeaseLost,
}

/// A recurring key as `billing_keys` keeps it.
#[derive(Debug)]
pub struct KeptKey {
    /// What the log refers to it by.
    pub id: BillingKeyId,
    /// Whose.
    pub user: UserId,
    /// The key; `None` when the answer that held it was lost.
    pub sealed: Option<SealedKey>,
}

/// A recurring key under its user's key, with what every use of it must repeat.
#[derive(Debug, Clone)]
pub struct SealedKey {
    /// The key.
    pub sid: Sealed<String>,
    /// The payer's pseudonym.
    pub partner_user_id: String,
    /// The merchant code it was issued to.
    pub cid: Option<Text<64>>,
    /// The payment that yielded it.
    pub tid: Text<64>,
}

/// The outbox, for one worker.
#[derive(Clone)]
pub struct Rows {
    pool: Pool,
    owner: String,
    lease: Duration,
    held: Held,
    requests: Arc<Combiner>,
    outcomes: Arc<Combiner>,
    ends: Arc<Combiner>,
}

impl Rows {
    /// For the worker `owner`, whose claims last for `lease`.
    pub fn new(pool: Pool, owner: String, lease: Duration) -> Self {
        let combine = |kind| Arc::new(Combiner::new(kind, pool.clone(), owner.clone(), lease));
        Self {
            requests: combine(Kind::Request),
            outcomes: combine(Kind::Outcome),
            ends: combine(Kind::Finish),
            held: Held::default(),
            pool,
            owner,
            lease,
        }
    }

    /// Leases up to `limit` rows of `class`, at most one of each stream, each the oldest of its stream:
    /// first those whose lease ran out, then those that are due.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn claim(&self, class: RowClass, limit: usize) -> Result<Vec<ClaimedRow>, RowError> {
        let expired = include_str!("sql/claim_expired.sql");
        let mut claimed = self.claim_by(expired, class, limit).await?;
        if claimed.len() < limit {
            match self.claim_due(class, limit - claimed.len()).await {
                Ok(due) => claimed.extend(due),
                Err(error) if claimed.is_empty() => return Err(error),
                // What was claimed is in hand: dropped, it would wait for another lease to run out.
                Err(error) => {
                    tracing::warn!(error = %super::with_causes(&error), "claimed no due rows");
                }
            }
        }
        Ok(claimed)
    }

    /// As [`claim`](Self::claim), without those whose lease ran out.
    ///
    /// # Errors
    /// The database is away.
    pub async fn claim_due(
        &self,
        class: RowClass,
        limit: usize,
    ) -> Result<Vec<ClaimedRow>, RowError> {
        self.claim_by(include_str!("sql/claim_due.sql"), class, limit).await
    }

    async fn claim_by(
        &self,
        sql: &str,
        class: RowClass,
        limit: usize,
    ) -> Result<Vec<ClaimedRow>, RowError> {
        let client = self.pool.get().await?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let statement = client.prepare_cached(sql).await?;
        let values: [&(dyn ToSql + Sync); 5] =
            [&self.owner, &millis(self.lease), &limit, &class.name(), &class.kinds()];
        let rows = client.query(&statement, &values).await?;
        rows.iter().map(|row| claimed(row, &self.held)).collect()
    }

    /// Stores what is about to be sent and renews the lease.
    ///
    /// # Errors
    /// The lease is lost, or the database away: then nobody may be called.
    pub async fn store_request(&self, row: &ClaimedRow, request: &Value) -> Result<(), RowError> {
        self.requests.write(row.id, row.claim, request.clone()).await
    }

    /// Stores what finally came of it and, in the same transaction, the recurring key it yielded.
    ///
    /// # Errors
    /// The lease is lost, or the database away: then it has to be found out again. A key is kept
    /// although the lease is lost, because nobody could find it out.
    pub async fn store_outcome(
        &self,
        row: &ClaimedRow,
        settlement: &Settlement,
        key: Option<&KeptKey>,
    ) -> Result<(), RowError> {
        let outcome = serde_json::to_value(settlement).map_err(RowError::other)?;
        let Some(key) = key else {
            return self.outcomes.write(row.id, row.claim, outcome).await;
        };
        let mut client = self.pool.get().await?;
        let tx = client.transaction().await?;
        let claim: [&(dyn ToSql + Sync); 4] = [&row.id, &self.owner, &row.claim, &outcome];
        let is_ours = tx.execute(include_str!("sql/store_outcome.sql"), &claim).await? == 1;
        // What the payment came to is for whoever has the row now to find out; a key is not: it was
        // told once, to us.
        let kept = if is_ours || key.sealed.is_some() {
            keep_in_tx(&tx, key).await?
        } else {
            Kept::Nothing
        };
        tx.commit().await?;
        if kept == Kept::Orphan {
            metrics::billing_key_orphaned();
            tracing::error!(billing_key.id = %key.id, "a second recurring key; kept to be ended");
        }
        if is_ours { Ok(()) } else { Err(RowError::LeaseLost) }
    }

    /// Whether the recurring key `id` is stored, whatever the row that yielded it came to.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn has_key(&self, id: BillingKeyId) -> Result<bool, RowError> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(include_str!("sql/has_billing_key.sql")).await?;
        Ok(client.query_one(&statement, &[&id.uuid()]).await?.try_get(0)?)
    }

    /// Requeues the row until `pause` has passed.
    ///
    /// # Errors
    /// The lease is lost, or the database away; then the lease runs out by itself.
    pub async fn put_off(&self, row: &ClaimedRow, put_off: &PutOff) -> Result<(), RowError> {
        let PutOff { state, pause, is_counted, is_unsent, why } = put_off;
        let calls = i32::try_from(row.calls).unwrap_or(i32::MAX);
        let values: [&(dyn ToSql + Sync); 6] =
            [&state.name(), &millis(*pause), is_counted, why, is_unsent, &calls];
        self.write(row, include_str!("sql/put_off.sql"), &values).await
    }

    /// Leaves the row to an operator.
    ///
    /// # Errors
    /// The lease is lost, or the database away; then the lease runs out by itself.
    pub async fn bury(&self, row: &ClaimedRow, why: &str) -> Result<(), RowError> {
        self.write(row, include_str!("sql/bury.sql"), &[&why]).await
    }

    /// Takes the row out of the outbox: it was carried out and its aggregate told.
    ///
    /// # Errors
    /// The lease is lost, or the database away; then the telling is repeated, which is harmless.
    pub async fn finish(&self, row: &ClaimedRow) -> Result<(), RowError> {
        self.ends.write(row.id, row.claim, Value::Null).await
    }

    /// Keeps the leases of the rows in hand alive. A worker that dies stops doing so, and its rows
    /// are free after one lease.
    ///
    /// # Errors
    /// The database is away; then the leases run out unless it comes back in time.
    pub async fn renew(&self) -> Result<(), RowError> {
        let (ids, claims) = self.held.claims();
        if ids.is_empty() {
            return Ok(());
        }
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(include_str!("sql/renew.sql")).await?;
        client.execute(&statement, &[&self.owner, &millis(self.lease), &ids, &claims]).await?;
        Ok(())
    }

    /// How long to wait between two renewals: a lease is renewed once a third of it is over, and two
    /// renewals may fail before it runs out.
    pub fn renewal_pause(&self) -> Duration {
        self.lease / 5
    }

    /// How many rows stand in which state, and the age of the oldest of each.
    ///
    /// # Errors
    /// The database is away.
    pub async fn count(&self) -> Result<Vec<(String, u32, Duration)>, RowError> {
        let client = self.pool.get().await?;
        let rows = client.query(include_str!("sql/count.sql"), &[]).await?;
        rows.iter()
            .map(|row| {
                let count: i64 = row.try_get("rows")?;
                let oldest: i64 = row.try_get("oldest_ms")?;
                let oldest = Duration::from_millis(u64::try_from(oldest).unwrap_or_default());
                Ok((row.try_get("state")?, u32::try_from(count).unwrap_or(u32::MAX), oldest))
            })
            .collect()
    }

    /// One statement on one row, under the claim.
    async fn write(
        &self,
        row: &ClaimedRow,
        sql: &str,
        more: &[&(dyn ToSql + Sync)],
    ) -> Result<(), RowError> {
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&row.id, &self.owner, &row.claim];
        values.extend_from_slice(more);
        write_one(&self.pool, sql, &values).await
    }
}

/// What became of a recurring key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// It is the key, or its absence is on record, or both were known.
    Nothing,
    /// There was another one already.
    Orphan,
}

/// Keeps a recurring key, or that it is missing. The first key stays; one of another payment stands
/// apart, because it is as alive at the gateway and has to be ended there.
async fn keep_in_tx(tx: &Transaction<'_>, key: &KeptKey) -> Result<Kept, RowError> {
    let sealed = key.sealed.as_ref();
    let sid = sealed.map(|it| serde_json::to_value(&it.sid)).transpose();
    let sid = sid.map_err(RowError::other)?;
    let partner = sealed.map(|it| it.partner_user_id.as_str());
    let cid = sealed.and_then(|it| it.cid.as_ref()).map(Text::as_str);
    let tid = sealed.map(|it| it.tid.as_str());
    let values: [&(dyn ToSql + Sync); 6] =
        [&key.id.uuid(), &key.user.uuid(), &sid, &partner, &cid, &tid];
    let written = tx.execute(include_str!("sql/keep_billing_key.sql"), &values).await?;
    if written == 1 || sealed.is_none() {
        return Ok(Kept::Nothing);
    }
    match tx.execute(include_str!("sql/keep_orphan.sql"), &values).await? {
        1 => Ok(Kept::Orphan),
        _ => Ok(Kept::Nothing),
    }
}

/// One statement that must meet exactly the row it claims.
async fn write_one(pool: &Pool, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<(), RowError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(sql).await?;
    match client.execute(&statement, values).await? {
        1 => Ok(()),
        _ => Err(RowError::LeaseLost),
    }
}

/// How a row waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutOff {
    /// In which state.
    pub state: WaitingState,
    /// For how long.
    pub pause: Duration,
    /// Whether it used up a try.
    pub is_counted: bool,
    /// Whether the request stored under this claim was certainly not sent.
    pub is_unsent: bool,
    /// Why.
    pub why: String,
}

/// The state in which a row waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitingState {
    /// Certainly nothing happened, or only the report to the aggregate is left.
    Waiting,
    /// It has to be looked up first.
    Unknown,
}

/// Who waits for a row. Each class is claimed by itself and has a budget of its own, so that a backlog
/// of one never delays the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowClass {
    /// A shopper: payment pages and approvals.
    Shopper,
    /// No shopper stands at the checkout for it: refunds.
    Background,
}

impl RowClass {
    /// The stored name; the column `outbox.class` is generated from the kind.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shopper => "shopper",
            Self::Background => "background",
        }
    }

    /// The kinds of this class that this release can execute. Others stay where they are, for a worker
    /// of a later release.
    pub const fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Shopper => &["payment_ready", "payment_approve"],
            Self::Background => &["payment_cancel"],
        }
    }
}

impl WaitingState {
    /// Why the row waits: the label of the metric and of the log line.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Waiting => "again",
            Self::Unknown => "look_up",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Unknown => "unknown",
        }
    }
}

impl RowError {
    fn other(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Database(Box::new(error))
    }
}

impl From<tokio_postgres::Error> for RowError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::other(error)
    }
}

impl From<PoolError> for RowError {
    fn from(error: PoolError) -> Self {
        Self::other(error)
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rows({})", self.owner)
    }
}

fn claimed(row: &Row, held: &Held) -> Result<ClaimedRow, RowError> {
    let id: Uuid = row.try_get("id")?;
    let claim: Uuid = row.try_get("claim")?;
    let attempt: i32 = row.try_get("attempt")?;
    let calls: i32 = row.try_get("calls")?;
    let sequence: i64 = row.try_get("sequence")?;
    let duration = |column| {
        let milliseconds: Option<i64> = row.try_get(column)?;
        // Negative when the database's clock was set back.
        let elapsed = milliseconds.map(|it| u64::try_from(it).unwrap_or_default());
        Ok::<_, RowError>(elapsed.map(Duration::from_millis))
    };
    Ok(ClaimedRow {
        id,
        aggregate_type: row.try_get("aggregate_type")?,
        aggregate_id: row.try_get("aggregate_id")?,
        version: u64::try_from(sequence).unwrap_or_default(),
        kind: row.try_get("kind")?,
        payload: row.try_get("payload")?,
        correlation_id: row.try_get("correlation_id")?,
        attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
        claim,
        unknown_for: duration("unknown_ms")?,
        sent_ago: duration("requested_ms")?,
        calls: u32::try_from(calls).unwrap_or_default(),
        outcome: row.try_get("outcome")?,
        created_at: row.try_get("created_at")?,
        age: duration("age_ms")?.unwrap_or_default(),
        hold: held.take(id, claim),
    })
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

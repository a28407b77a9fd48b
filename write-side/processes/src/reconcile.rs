//! Holding our books against the gateway's.
//!
//! Approved payments are compared with the gateway's answer to a look-up; what differs becomes an
//! event of the order, counted and alarmed once, and nothing is corrected by itself. Payments
//! that nobody is working on although their outcome is open are looked up and, once the gateway
//! knows, handed back to the relay. No money moves from here: the only call made is the question.
//!
//! Ours is the order itself, read before the question; what was found is recorded at that very
//! version. An order that moved meanwhile is compared anew rather than alarmed about.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::events::DifferenceKind;
use contracts::{OrderId, Text, Won};
use deadpool_postgres::Pool;
use domain::order::{Attempt, Order, PlacedOrder, RefundStage};
use event_feed::FeedReader;
use event_store::{Executor, StoreError};
use serde::Serialize;
use service_kit::clock::SharedClock;
use service_kit::shutdown::Shutdown;
use tokio::task::JoinSet;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::gateway::{Doubt, Outcome, PaymentGateway, PaymentQuestion, PaymentState, Standing};
use crate::metrics;
use crate::reactions::{PaymentIndex, Reaction, ReactionError};

mod differences;
mod pending;
pub mod table;

pub use differences::Difference;
pub use operator::LOOK_UP_AFTER;

/// Times an order that moves is compared again before it is left for another day.
const MOVES_MAX: u32 = 3;
/// Events folded at once while the index is brought up to date.
const INDEX_BATCH: u32 = 500;

/// How hard the gateway is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Questions under way at once; well below the limit of the look-up lane, which the relay needs.
    pub calls_max: usize,
    /// Shortest time between the beginnings of two questions.
    pub pause: Duration,
    /// Payments read from the index at once.
    pub page: i64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { calls_max: 4, pause: Duration::from_millis(100), page: 200 }
    }
}

/// Holds our books against the gateway's. Clones share everything.
#[derive(Clone)]
pub struct Reconciler {
    /// The database of the index and of the differences.
    pub pool: Pool,
    /// Our books.
    pub orders: Executor<Order>,
    /// Theirs.
    pub gateway: Arc<dyn PaymentGateway>,
    /// What time it is, and how long a pause takes.
    pub clock: SharedClock,
    /// How hard the gateway is asked.
    pub pace: Pace,
    /// Ends between two questions.
    pub shutdown: Shutdown,
}

/// Why reconciliation could not go on; it may be started again at any time.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The tables of reconciliation are away.
    #[error("reach the tables of reconciliation")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An order could not be read or written.
    #[error("reach an order")]
    Orders(#[from] StoreError),
    /// The index could not be brought up to date.
    #[error("fold the log into the index of payments")]
    Index(#[from] ReactionError),
    /// What was to be written down cannot be.
    #[error("comparing order {0} ended early")]
    Ended(OrderId),
}

impl From<tokio_postgres::Error> for ReconcileError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(Box::new(error))
    }
}

impl From<deadpool_postgres::PoolError> for ReconcileError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        Self::Database(Box::new(error))
    }
}

/// Which payments: booked by the gateway at or after `from` and before `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first instant.
    pub from: DateTime<Utc>,
    /// The instant after the last.
    pub to: DateTime<Utc>,
}

/// One side of the books about one payment; amounts in won.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Books {
    /// What was paid.
    pub amount: i64,
    /// What of it went back.
    pub cancelled: i64,
    /// `PAID`, `PARTLY_REFUNDED` or `REFUNDED`; on their side also what else the gateway says.
    pub status: String,
}

/// What came of comparing a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Both sides say the same.
    Same,
    /// They do not.
    Differs,
    /// Money is moving right now; nothing can be said.
    UnderWay,
    /// The gateway did not answer.
    Unanswered,
}

/// One payment, ours and theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Which order.
    pub order_id: OrderId,
    /// Its number for people.
    pub number: String,
    /// Which attempt.
    pub attempt: u32,
    /// The gateway's id of the payment.
    pub tid: String,
    /// Our side.
    pub ours: Books,
    /// Their side, when they told it.
    pub theirs: Option<Books>,
    /// What came of it.
    pub verdict: Verdict,
    /// In what they differ.
    pub differences: Vec<Difference>,
    /// Why the gateway told nothing, when it did not.
    pub unanswered: Option<String>,
}

/// How many payments came out how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Both sides say the same.
    pub same: u64,
    /// They do not.
    pub differing: u64,
    /// Money is moving right now.
    pub under_way: u64,
    /// The gateway did not answer.
    pub unanswered: u64,
}

impl Summary {
    /// Payments compared.
    pub const fn total(&self) -> u64 {
        self.same + self.differing + self.under_way + self.unanswered
    }

    /// Whether every payment was compared and none differs.
    pub const fn is_clean(&self) -> bool {
        self.differing == 0 && self.unanswered == 0
    }

    fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Same => self.same += 1,
            Verdict::Differs => self.differing += 1,
            Verdict::UnderWay => self.under_way += 1,
            Verdict::Unanswered => self.unanswered += 1,
        }
    }
}

/// A payment of the index.
#[derive(Debug, Clone, Copy)]
struct Indexed {
    order: OrderId,
    attempt: u32,
    since: DateTime<Utc>,
}

impl Indexed {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let attempt: i32 = row.try_get("attempt")?;
        Ok(Self {
            order: OrderId::new(row.try_get("order_id")?),
            attempt: attempt.unsigned_abs(),
            since: row.try_get("since")?,
        })
    }
}

impl Reconciler {
    /// Folds what the log has and the index has not yet.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub async fn update_index(&self) -> Result<(), ReconcileError> {
        let feed = FeedReader::new(self.pool.clone());
        while !self.shutdown.is_requested() {
            if PaymentIndex.apply_batch(&feed, &self.pool, INDEX_BATCH).await?.is_caught_up {
                break;
            }
        }
        Ok(())
    }

    /// Compares every payment approved within `span`, telling `seen` each as it is answered.
    ///
    /// # Errors
    /// [`ReconcileError`]; differences found before stay written down.
    pub async fn compare(
        &self,
        span: Span,
        mut seen: impl FnMut(&Compared) + Send,
    ) -> Result<Summary, ReconcileError> {
        let mut summary = Summary::default();
        let mut after = Indexed { order: OrderId::new(Uuid::nil()), attempt: 0, since: span.from };
        loop {
            let page = self.page_after(after, span).await?;
            let Some(last) = page.last() else {
                break;
            };
            after = *last;
            self.compare_all(page, &mut summary, &mut seen).await?;
            if self.shutdown.is_requested() {
                break;
            }
        }
        Ok(summary)
    }

    /// Compares at most `limit` payments: those about which a difference is open, whenever they were
    /// approved, and of those approved within `span` as many more as are drawn by lot.
    ///
    /// # Errors
    /// As [`Reconciler::compare`].
    pub async fn compare_sample(&self, span: Span, limit: u32) -> Result<Summary, ReconcileError> {
        let client = self.pool.get().await?;
        let limit = i64::from(limit);
        let mut rows = client.query(include_str!("reconcile/sql/differing.sql"), &[&limit]).await?;
        let rest = limit - i64::try_from(rows.len()).unwrap_or(limit);
        let statement = include_str!("reconcile/sql/sample.sql");
        rows.extend(client.query(statement, &[&span.from, &span.to, &rest]).await?);
        drop(client);
        let chosen = rows.iter().map(Indexed::read).collect::<Result<Vec<_>, _>>()?;
        let mut summary = Summary::default();
        self.compare_all(chosen, &mut summary, &mut |_compared| ()).await?;
        Ok(summary)
    }

    async fn page_after(&self, after: Indexed, span: Span) -> Result<Vec<Indexed>, ReconcileError> {
        let client = self.pool.get().await?;
        let attempt = i32::try_from(after.attempt).unwrap_or(i32::MAX);
        let statement = include_str!("reconcile/sql/approved.sql");
        let rows = client
            .query(
                statement,
                &[&after.since, &after.order.uuid(), &attempt, &span.to, &self.pace.page],
            )
            .await?;
        Ok(rows.iter().map(Indexed::read).collect::<Result<Vec<_>, _>>()?)
    }

    /// Asks about each, some at once and none too soon after another.
    async fn compare_all(
        &self,
        payments: Vec<Indexed>,
        summary: &mut Summary,
        seen: &mut (impl FnMut(&Compared) + Send),
    ) -> Result<(), ReconcileError> {
        let mut asked = JoinSet::new();
        for payment in payments {
            if self.shutdown.is_requested() {
                break;
            }
            if self.pace.calls_max <= asked.len() {
                take(asked.join_next().await, payment.order, summary, seen)?;
            }
            let this = self.clone();
            asked.spawn(async move { this.compare_one(payment).await });
            self.clock.sleep(self.pace.pause).await;
        }
        while let Some(ended) = asked.join_next().await {
            take(Some(ended), OrderId::new(Uuid::nil()), summary, seen)?;
        }
        Ok(())
    }

    /// `None`: the order has no such payment, which only a wrong index says.
    async fn compare_one(&self, payment: Indexed) -> Result<Option<Compared>, ReconcileError> {
        let mut moves = 0;
        let compared = loop {
            let before = self.orders.load(payment.order.uuid()).await?;
            let Some(order) = before.state.placed() else {
                return Ok(None);
            };
            let Some(compared) = self.ask(order, payment.attempt).await else {
                return Ok(None);
            };
            if self.note(&before, order, &compared).await? {
                break compared;
            }
            moves += 1;
            if MOVES_MAX <= moves {
                break Compared { verdict: Verdict::UnderWay, ..compared };
            }
        };
        metrics::reconciled(compared.verdict.name());
        Ok(Some(compared))
    }

    async fn ask(&self, order: &PlacedOrder, number: u32) -> Option<Compared> {
        let attempt = order.attempt(number)?;
        let approval = attempt.stage.approval()?;
        let ours = ours(order, attempt);
        let question = question(order, attempt, &approval.tid);
        let mut compared = Compared {
            order_id: order.order_id,
            number: order.number.as_str().to_owned(),
            attempt: number,
            tid: approval.tid.as_str().to_owned(),
            ours,
            theirs: None,
            verdict: Verdict::Unanswered,
            differences: Vec::new(),
            unanswered: None,
        };
        match self.gateway.look_up(&question).await {
            Outcome::Done(standing) => {
                let theirs = theirs(&standing);
                let is_moving = is_moving(order, attempt, &compared.ours, &theirs);
                compared.hold_against(theirs, is_moving);
            }
            Outcome::Unknown(doubt @ Doubt::Mismatch(_)) => {
                compared.differ(DifferenceKind::Mismatch, &doubt.to_string());
            }
            // Money that we booked and that they know nothing of.
            Outcome::Declined(decline) => {
                compared.differ(DifferenceKind::Refused, decline.code.as_str());
            }
            Outcome::Unknown(doubt) => compared.unanswered = Some(doubt.to_string()),
            Outcome::NotSent(reason) => compared.unanswered = Some(reason.to_string()),
        }
        Some(compared)
    }
}

impl Compared {
    /// They told their books.
    fn hold_against(&mut self, theirs: Books, is_moving: bool) {
        self.differences = differences_between(&self.ours, &theirs);
        self.verdict = match self.differences.is_empty() {
            true => Verdict::Same,
            false if is_moving => Verdict::UnderWay,
            false => Verdict::Differs,
        };
        self.theirs = Some(theirs);
    }

    /// They told no books, and that itself is a difference.
    fn differ(&mut self, kind: DifferenceKind, told: &str) {
        self.verdict = Verdict::Differs;
        self.differences = Vec::from_iter(Difference::new(kind, &self.ours.status, told));
    }
}

impl Verdict {
    /// The name of the verdict, for tables and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Differs => "differs",
            Self::UnderWay => "under_way",
            Self::Unanswered => "unanswered",
        }
    }
}

fn take(
    ended: Option<Result<Result<Option<Compared>, ReconcileError>, tokio::task::JoinError>>,
    order: OrderId,
    summary: &mut Summary,
    seen: &mut (impl FnMut(&Compared) + Send),
) -> Result<(), ReconcileError> {
    let Some(ended) = ended else {
        return Ok(());
    };
    let ended = ended.map_err(|_panicked| ReconcileError::Ended(order))?;
    if let Some(compared) = ended? {
        summary.count(compared.verdict);
        seen(&compared);
    }
    Ok(())
}

fn question(order: &PlacedOrder, attempt: &Attempt, tid: &Text<64>) -> PaymentQuestion {
    PaymentQuestion {
        terms: order.terms(attempt),
        payment_ref: tid.clone(),
        correlation_id: Uuid::now_v7().to_string(),
    }
}

fn ours(order: &PlacedOrder, attempt: &Attempt) -> Books {
    let (amount, cancelled) = (attempt.paid(), order.refunded_of(attempt));
    Books {
        amount: amount.amount(),
        cancelled: cancelled.amount(),
        status: status(amount, cancelled).to_owned(),
    }
}

fn theirs(standing: &Standing) -> Books {
    let (amount, status) = match &standing.state {
        PaymentState::Paid(paid) => {
            (paid.amount.total, status(paid.amount.total, standing.given_back).to_owned())
        }
        PaymentState::Pending { .. } => (Won::ZERO, "PENDING".to_owned()),
        PaymentState::KeyIssued => (Won::ZERO, "KEY_ISSUED".to_owned()),
        PaymentState::Failed { code } => (Won::ZERO, format!("FAILED {code}")),
        PaymentState::Other(word) => (Won::ZERO, word.clone()),
    };
    Books { amount: amount.amount(), cancelled: standing.given_back.amount(), status }
}

fn status(amount: Won, cancelled: Won) -> &'static str {
    match cancelled {
        Won::ZERO => "PAID",
        part if part < amount => "PARTLY_REFUNDED",
        _ => "REFUNDED",
    }
}

fn differences_between(ours: &Books, theirs: &Books) -> Vec<Difference> {
    [
        (DifferenceKind::Amount, ours.amount.to_string(), theirs.amount.to_string()),
        (DifferenceKind::Cancelled, ours.cancelled.to_string(), theirs.cancelled.to_string()),
        (DifferenceKind::Status, ours.status.clone(), theirs.status.clone()),
    ]
    .into_iter()
    .filter(|(_, ours, theirs)| ours != theirs)
    .filter_map(|(kind, ours, theirs)| Difference::new(kind, &ours, &theirs))
    .collect()
}

/// Whether refunds that are under way explain that more went back there than here.
fn is_moving(order: &PlacedOrder, attempt: &Attempt, ours: &Books, theirs: &Books) -> bool {
    let pending = order.refunds.iter().filter(|refund| {
        refund.attempt == attempt.number && matches!(refund.stage, RefundStage::Pending)
    });
    let pending: i64 = pending.map(|refund| refund.amount.amount()).sum();
    let more = theirs.cancelled - ours.cancelled;
    ours.amount == theirs.amount && 0 < more && more <= pending
}

impl fmt::Debug for Reconciler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconciler").field("pace", &self.pace).finish_non_exhaustive()
    }
}

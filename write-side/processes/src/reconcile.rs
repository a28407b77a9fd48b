//! Holding our books against the gateway's.
//!
//! Approved payments are compared with the gateway's answer to a look-up; what differs becomes an
//! event of the order, counted and alarmed once, and nothing is corrected by itself. Payments
//! that nobody is working on although their outcome is open are looked up and, once the gateway
//! knows, handed back to the relay. What ended without money is looked up again, too (`ended`,
//! `refunds`). No money moves from here: the only call made is the question.
//!
//! Ours is the order itself, read before the question; what was found is recorded at that very
//! version. An order that moved meanwhile is compared anew rather than alarmed about. One that cannot
//! be read is alarmed and passed over (`single`).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::{OrderId, Text};
use deadpool_postgres::Pool;
use domain::order::{Attempt, Order, PlacedOrder};
use event_feed::FeedReader;
use event_store::{Executor, StoreError};
use service_kit::clock::SharedClock;
use service_kit::shutdown::Shutdown;
use tokio::task::{self, JoinSet};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::gateway::{PaymentGateway, PaymentQuestion};
use crate::metrics;
use crate::reactions::{PaymentIndex, Reaction, ReactionError};

mod differences;
pub mod due;
mod ended;
mod not_done;
mod pending;
mod refunds;
mod showing;
mod single;
pub mod table;
mod verdict;

pub use differences::Difference;
pub use not_done::{CONTRADICTED, NotDone};
pub use verdict::{Books, Compared, Summary, Verdict};

pub use operator::{LOOK_UP_AFTER, REFUND_OVERDUE_AFTER};
use single::Net;
use verdict::judged;

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
    /// The tables of reconciliation are unavailable.
    #[error("reach the tables of reconciliation")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An order could not be read or written.
    #[error("read or write an order")]
    Orders(#[from] StoreError),
    /// The index could not be brought up to date.
    #[error("fold the log into the index of payments")]
    Index(#[from] ReactionError),
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

    /// The columns that name it.
    fn key(&self) -> (Uuid, i32) {
        (self.order.uuid(), i32::try_from(self.attempt).unwrap_or(i32::MAX))
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
        let mut asked = Asked::default();
        for payment in payments {
            if self.shutdown.is_requested() {
                break;
            }
            if self.pace.calls_max <= asked.comparisons.len() {
                asked.take(summary, seen).await?;
            }
            let this = self.clone();
            let comparison = async move { this.compare_one(payment).await };
            let id = asked.comparisons.spawn(comparison).id();
            asked.orders.insert(id, payment.order);
            self.clock.sleep(self.pace.pause).await;
        }
        while asked.take(summary, seen).await? {}
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
        let question = question(order, attempt, &attempt.stage.approval()?.tid);
        let outcome = self.gateway.look_up(&question).await;
        judged(order, attempt, &outcome, self.clock.now())
    }
}

/// Comparisons under way, each with its order.
#[derive(Default)]
struct Asked {
    comparisons: JoinSet<Result<Option<Compared>, ReconcileError>>,
    orders: HashMap<task::Id, OrderId>,
}

impl Asked {
    /// Waits for the next comparison to end, counts it and shows it; `false`: none is under way.
    async fn take(
        &mut self,
        summary: &mut Summary,
        seen: &mut (impl FnMut(&Compared) + Send),
    ) -> Result<bool, ReconcileError> {
        let Some(ended) = self.comparisons.join_next_with_id().await else {
            return Ok(false);
        };
        let id = ended.as_ref().map_or_else(task::JoinError::id, |(id, _compared)| *id);
        let order = self.orders.remove(&id).unwrap_or(OrderId::new(Uuid::nil()));
        let compared = match ended {
            Ok((_id, outcome)) => Net::Comparison.of_one(order, outcome)?,
            Err(error) => {
                Net::Comparison.panicked(order, &error);
                None
            }
        };
        match compared {
            Some(Some(compared)) => {
                summary.count(compared.verdict);
                seen(&compared);
            }
            // The order has no such payment.
            Some(None) => (),
            None => summary.passed_over += 1,
        }
        Ok(true)
    }
}

fn question(order: &PlacedOrder, attempt: &Attempt, tid: &Text<64>) -> PaymentQuestion {
    PaymentQuestion {
        terms: order.terms(attempt),
        payment_ref: tid.clone(),
        correlation_id: Uuid::now_v7().to_string(),
    }
}

impl fmt::Debug for Reconciler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconciler").field("pace", &self.pace).finish_non_exhaustive()
    }
}

//! What happens because time passes: a cron table, each line one job.
//!
//! Jobs decide nothing. They find what is due and send commands that the aggregates may ignore, or
//! remove what nobody needs any more; so a job that runs twice, or on two machines, does no harm.
//! Every job works in batches and stops between two of them when the process ends.

mod cron;

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::{Actor, Metadata, OrderId};
use croner::errors::CronError;
use deadpool_postgres::Pool;
use domain::order::{Order, OrderCommand, OrderStatus};
use event_store::{CommandContext, Executor, PgEventStore};
use service_kit::clock::SharedClock;
use service_kit::shutdown::Shutdown;
use uuid::Uuid;

use self::cron::Table;
use crate::metrics;
use crate::reconcile::{Reconciler, Span};
use crate::relay::with_causes;

/// Every minute: unpaid orders whose time is over.
const EXPIRE_ORDERS: &str = "0 * * * * *";
/// Twice an hour, away from the full hour: receipts and outbox rows that nobody asks for again.
const CLEAN_UP: &str = "30 17,47 * * * *";
/// Every minute, away from the full one: payments whose outcome is overdue.
const LOOK_UP_PENDING: &str = "25 * * * * *";
/// Every night at 03:40 in Korea, away from the banks' maintenance around midnight: a sample of the
/// last days' payments.
const COMPARE_SAMPLE: &str = "0 40 18 * * *";
/// Payments compared in a night: under a minute of questions at the usual pace.
const SAMPLE_MAX: u32 = 500;
/// The days that the sample is drawn from.
const SAMPLE_SPAN: TimeDelta = TimeDelta::days(7);
/// Orders expired per round trip.
const EXPIRE_BATCH_MAX: i64 = 200;
/// Rows removed by one statement: short enough to hold nobody up.
const CLEAN_BATCH_MAX: u32 = 1_000;
/// How long an order whose payment is under way is left alone before it is asked again.
const ASK_AGAIN_AFTER: TimeDelta = TimeDelta::minutes(1);
/// How long outbox rows that were carried out are kept for questions.
const DONE_KEPT_FOR: TimeDelta = TimeDelta::days(30);

/// Why a job did not end well; it runs again at its next time.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The database is away.
    #[error("reach the database")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl JobError {
    fn new(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Database(Box::new(error))
    }
}

/// The jobs, callable without a cron table.
#[derive(Clone)]
pub struct Jobs {
    /// The database of the job tables.
    pub pool: Pool,
    /// Receipts.
    pub store: Arc<PgEventStore>,
    /// Orders to expire.
    pub orders: Executor<Order>,
    /// What time it is.
    pub clock: SharedClock,
    /// Ends jobs between two batches.
    pub shutdown: Shutdown,
}

impl Jobs {
    /// Asks every order whose time is over to expire; returns how many did.
    ///
    /// # Errors
    /// The database is away; what was expired stays so.
    pub async fn expire_orders(&self) -> Result<u64, JobError> {
        let mut expired = 0;
        loop {
            let due = self.due_orders().await?;
            let is_last = i64::try_from(due.len()).unwrap_or(i64::MAX) < EXPIRE_BATCH_MAX;
            for order in due {
                if self.shutdown.is_requested() {
                    return Ok(expired);
                }
                expired += u64::from(self.expire(order).await?);
            }
            if is_last {
                metrics::orders_expired(expired);
                return Ok(expired);
            }
        }
    }

    async fn due_orders(&self) -> Result<Vec<OrderId>, JobError> {
        let client = self.pool.get().await.map_err(JobError::new)?;
        let now = self.clock.now();
        let statement = include_str!("schedule/sql/due_orders.sql");
        let rows = client.query(statement, &[&now, &EXPIRE_BATCH_MAX]).await;
        let ids = rows.map_err(JobError::new)?;
        ids.iter().map(|row| row.try_get(0).map(OrderId::new).map_err(JobError::new)).collect()
    }

    /// Whether the order expired now. One that cannot be asked is left for later, so that it stands
    /// in nobody's way.
    async fn expire(&self, order: OrderId) -> Result<bool, JobError> {
        let now = self.clock.now();
        let context = CommandContext::new(Metadata {
            actor: Actor::System("expiry".to_owned()),
            correlation_id: Uuid::now_v7().to_string(),
            causation_id: None,
            idempotency_key: None,
        });
        let command = OrderCommand::ExpireOrder { at: now };
        let recorded = match self.orders.dispatch(order.uuid(), command, context).await {
            Ok(recorded) => recorded,
            Err(error) => {
                let error = with_causes(&error);
                tracing::warn!(order.id = %order, error, "failed to expire an order");
                self.ask_again(order, now).await?;
                return Ok(false);
            }
        };
        if recorded.state.status().is_none_or(is_over) {
            self.forget(order).await?;
        } else {
            self.ask_again(order, now).await?;
        }
        Ok(!recorded.events.is_empty())
    }

    async fn ask_again(&self, order: OrderId, now: DateTime<Utc>) -> Result<(), JobError> {
        let client = self.pool.get().await.map_err(JobError::new)?;
        let later = now + ASK_AGAIN_AFTER;
        let statement = include_str!("schedule/sql/ask_again.sql");
        client.execute(statement, &[&order.uuid(), &later]).await.map_err(JobError::new)?;
        Ok(())
    }

    async fn forget(&self, order: OrderId) -> Result<(), JobError> {
        let client = self.pool.get().await.map_err(JobError::new)?;
        let statement = include_str!("reactions/sql/forget_expiry.sql");
        client.execute(statement, &[&vec![order.uuid()]]).await.map_err(JobError::new)?;
        Ok(())
    }

    /// Removes receipts that expired and outbox rows that were carried out long ago; returns how
    /// many.
    ///
    /// # Errors
    /// The database is away; what was removed stays so.
    pub async fn clean_up(&self) -> Result<u64, JobError> {
        let now = self.clock.now();
        let mut removed = 0;
        while !self.shutdown.is_requested() {
            let receipts = self.store.forget_receipts(now, CLEAN_BATCH_MAX).await;
            let receipts = receipts.map_err(JobError::new)?;
            let rows = self.forget_done(now - DONE_KEPT_FOR).await?;
            removed += receipts + rows;
            if receipts.max(rows) < u64::from(CLEAN_BATCH_MAX) {
                break;
            }
        }
        Ok(removed)
    }

    async fn forget_done(&self, before: DateTime<Utc>) -> Result<u64, JobError> {
        let client = self.pool.get().await.map_err(JobError::new)?;
        let statement = include_str!("schedule/sql/forget_done.sql");
        let limit = i64::from(CLEAN_BATCH_MAX);
        client.execute(statement, &[&before, &limit]).await.map_err(JobError::new)
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Jobs")
    }
}

/// Nothing is left that could expire.
const fn is_over(status: OrderStatus) -> bool {
    match status {
        OrderStatus::Placed
        | OrderStatus::AwaitingPayment
        | OrderStatus::Declined
        | OrderStatus::Unresolved => false,
        OrderStatus::Paid
        | OrderStatus::Expired
        | OrderStatus::Cancelled
        | OrderStatus::PartlyRefunded
        | OrderStatus::Refunded => true,
    }
}

/// Runs the cron table until `shutdown`.
///
/// # Errors
/// The table cannot be read, which only a wrong line in this file causes.
pub async fn run(jobs: Jobs, reconciler: Reconciler, shutdown: Shutdown) -> Result<(), CronError> {
    let mut table = Table::new(Arc::clone(&jobs.clock));
    let expiring = jobs.clone();
    table.add("expire_orders", EXPIRE_ORDERS, move || {
        let jobs = expiring.clone();
        async move { jobs.expire_orders().await }
    })?;
    table.add("clean_up", CLEAN_UP, move || {
        let jobs = jobs.clone();
        async move { jobs.clean_up().await }
    })?;
    let looking_up = reconciler.clone();
    table.add("look_up_pending", LOOK_UP_PENDING, move || {
        let reconciler = looking_up.clone();
        async move { reconciler.look_up_pending().await.map_err(JobError::new) }
    })?;
    table.add("compare_sample", COMPARE_SAMPLE, move || {
        let reconciler = reconciler.clone();
        async move {
            let to = reconciler.clock.now();
            let span = Span { from: to - SAMPLE_SPAN, to };
            let compared = reconciler.compare_sample(span, SAMPLE_MAX).await;
            compared.map(|summary| summary.total()).map_err(JobError::new)
        }
    })?;
    table.run(shutdown).await;
    tracing::info!("schedule stopped");
    Ok(())
}

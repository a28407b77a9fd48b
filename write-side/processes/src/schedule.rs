//! What happens because time passes: a cron table, each line one job.
//!
//! Jobs decide nothing. They find what is due and send commands that the aggregates may ignore, or
//! remove what nobody needs any more; so a job that runs twice, or on two machines, does no harm.
//! Every job works in batches and stops between two of them when the process ends.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::{Actor, Metadata, OrderId};
use croner::errors::CronError;
use deadpool_postgres::Pool;
use domain::order::{Order, OrderCommand, OrderStatus};
use event_store::{CommandContext, Executor, PgEventStore};
use service_kit::clock::SharedClock;
use service_kit::shutdown::Shutdown;
use service_kit::skew::Skew;
use uuid::Uuid;

use crate::metrics;
use crate::reconcile::{ReconcileError, Reconciler, Span};
use crate::relay::with_causes;

pub mod line;

use line::Line;

/// Every minute: unpaid orders whose time is over.
const EXPIRE_ORDERS: &str = "0 * * * * *";
/// Twice an hour, away from the full hour: receipts and outbox rows that nobody asks for again.
const CLEAN_UP: &str = "30 17,47 * * * *";
/// Every minute, away from the full one: payments whose outcome is overdue.
const LOOK_UP_PENDING: &str = "25 * * * * *";
/// Every minute, away from both: ended attempts that are looked up once more.
const LOOK_UP_ENDED: &str = "35 * * * * *";
/// Every minute, away from all three: refunds that are overdue or were refused.
const LOOK_UP_REFUNDS: &str = "45 * * * * *";
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

/// Why a job did not end well; it runs again at its next time.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The database is unavailable.
    #[error("reach the database")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A net or a comparison could not go on.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
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
    /// Whether that clock is one that is set by hand, in development: it may differ from the
    /// database's as far as it likes. Otherwise nothing that a wrong clock would destroy is done
    /// while it differs.
    pub is_clock_settable: bool,
    /// Ends jobs between two batches.
    pub shutdown: Shutdown,
}

impl Jobs {
    /// Compares this process's clock with the database's; `false`: it is wrong, alarmed, and nothing
    /// may be done that a wrong clock would destroy. A clock that is set by hand is right.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn is_clock_right(&self) -> Result<bool, JobError> {
        let skew = Skew::measure(&*self.clock, &self.pool).await.map_err(JobError::new)?;
        let seconds = skew.seconds();
        metrics::clock_skew(seconds);
        let is_wrong = skew.is_too_much() && !self.is_clock_settable;
        if is_wrong {
            tracing::error!(seconds, "this clock differs from the database's; jobs are left out");
        }
        Ok(!is_wrong)
    }

    /// Asks every order whose time is over to expire; returns how many did. None does while this
    /// process's clock is wrong.
    ///
    /// # Errors
    /// The database is away; what was expired stays so.
    pub async fn expire_orders(&self) -> Result<u64, JobError> {
        if !self.is_clock_right().await? {
            return Ok(0);
        }
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

    /// Removes receipts that expired and outbox rows that were carried out long ago, by the
    /// database's clock; returns how many.
    ///
    /// # Errors
    /// The database is away; what was removed stays so.
    pub async fn clean_up(&self) -> Result<u64, JobError> {
        if !self.is_clock_right().await? {
            return Ok(0);
        }
        let mut removed = 0;
        while !self.shutdown.is_requested() {
            let receipts = self.store.forget_receipts(CLEAN_BATCH_MAX).await;
            let receipts = receipts.map_err(JobError::new)?;
            let rows = self.forget_done().await?;
            removed += receipts + rows;
            if receipts.max(rows) < u64::from(CLEAN_BATCH_MAX) {
                break;
            }
        }
        Ok(removed)
    }

    async fn with_right_clock(
        &self,
        work: impl Future<Output = Result<u64, ReconcileError>>,
    ) -> Result<u64, JobError> {
        if !self.is_clock_right().await? {
            return Ok(0);
        }
        Ok(work.await?)
    }

    async fn forget_done(&self) -> Result<u64, JobError> {
        let client = self.pool.get().await.map_err(JobError::new)?;
        let statement = include_str!("schedule/sql/forget_done.sql");
        let limit = i64::from(CLEAN_BATCH_MAX);
        client.execute(statement, &[&limit]).await.map_err(JobError::new)
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
    let line = |name, when| Line::read(name, when, Arc::clone(&jobs.clock), shutdown.clone());
    let expire = || {
        let jobs = jobs.clone();
        async move { jobs.expire_orders().await }
    };
    let clean_up = || {
        let jobs = jobs.clone();
        async move { jobs.clean_up().await }
    };
    // That a page has ended is read off this process's clock, and ends payments: not while it is wrong.
    let look_up_pending = || {
        let (jobs, reconciler) = (jobs.clone(), reconciler.clone());
        async move { jobs.with_right_clock(reconciler.look_up_pending()).await }
    };
    let look_up_ended = || {
        let (jobs, reconciler) = (jobs.clone(), reconciler.clone());
        async move { jobs.with_right_clock(reconciler.look_up_ended()).await }
    };
    let look_up_refunds = || {
        let reconciler = reconciler.clone();
        async move { Ok(reconciler.look_up_refunds().await?) }
    };
    let compare = || {
        let reconciler = reconciler.clone();
        async move {
            let to = reconciler.clock.now();
            let span = Span { from: to - SAMPLE_SPAN, to };
            let compared = reconciler.compare_sample(span, SAMPLE_MAX).await;
            Ok(compared.map(|summary| summary.total())?)
        }
    };
    tokio::join!(
        line("expire_orders", EXPIRE_ORDERS)?.run(expire),
        line("clean_up", CLEAN_UP)?.run(clean_up),
        line("look_up_pending", LOOK_UP_PENDING)?.run(look_up_pending),
        line("look_up_ended", LOOK_UP_ENDED)?.run(look_up_ended),
        line("look_up_refunds", LOOK_UP_REFUNDS)?.run(look_up_refunds),
        line("compare_sample", COMPARE_SAMPLE)?.run(compare),
    );
    tracing::info!("schedule stopped");
    Ok(())
}

async fn run_once(name: &'static str, work: impl Future<Output = Result<u64, JobError>>) {
    // No job may hold the table up for ever.
    const JOB_WAIT_MAX: Duration = Duration::from_mins(10);
    match tokio::time::timeout(JOB_WAIT_MAX, work).await {
        Ok(Ok(count)) => {
            metrics::schedule_run(name, "done");
            if 0 < count {
                tracing::info!(job = name, count, "job done");
            }
        }
        Ok(Err(error)) => {
            metrics::schedule_run(name, "failed");
            tracing::warn!(job = name, error = with_causes(&error), "job failed; it runs again");
        }
        Err(_elapsed) => {
            metrics::schedule_run(name, "failed");
            tracing::warn!(job = name, "job took too long; it runs again");
        }
    }
}

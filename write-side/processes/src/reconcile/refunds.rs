//! The net under refunds: a pending one is looked up by the hour, a refused one once in the following
//! night.
//!
//! While an outbox row is on its way the relay does this by itself. A dead row is handed back to the
//! relay as soon as a look-up shows that the refund went through; a refund without any row is recorded
//! from here. A refund that has been pending for more than an hour is a difference until it ends.

use chrono::{DateTime, Utc};
use contracts::{OrderId, RefundId, Won};
use domain::order::{Attempt, Order, OrderCommand, PlacedOrder, Refund, RefundStage};
use event_store::{DispatchError, Loaded};
use tokio_postgres::Row;
use uuid::Uuid;

use super::differences::context;
use super::due::following_night;
use super::pending::EffectRow;
use super::single::Net;
use super::{Indexed, REFUND_OVERDUE_AFTER, ReconcileError, Reconciler, Summary, judged, question};
use crate::gateway::{GivenBack, Outcome, PaymentState, Standing};
use crate::metrics;
use crate::relay::with_causes;

/// Refunds looked up by one run.
const BATCH_MAX: i64 = 100;
/// Payments compared anew by one run because a refund of theirs ended.
const SETTLED_MAX: i64 = 20;

/// A refund of the index.
struct IndexedRefund {
    id: RefundId,
    order: OrderId,
    is_refused: bool,
    row: Option<EffectRow>,
    /// The settlement that the row holds, by its name.
    settled: Option<String>,
}

impl IndexedRefund {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let state: &str = row.try_get("state")?;
        Ok(Self {
            id: RefundId::new(row.try_get("refund_id")?),
            order: OrderId::new(row.try_get("order_id")?),
            is_refused: state == "refused",
            row: EffectRow::read(row)?,
            settled: row.try_get("settled")?,
        })
    }
}

/// What a look-up says about one refund.
enum Answer {
    /// The refunded sum has grown by exactly this refund.
    WentBack(GivenBack),
    /// It has not grown.
    Unchanged,
    /// Another sum than ours, with or without this refund.
    OtherSum,
    /// Nothing that can be relied on.
    Nothing,
}

impl Answer {
    fn of(outcome: &Outcome<Standing>, before: Won, amount: Won, now: DateTime<Utc>) -> Self {
        let Outcome::Done(standing) = outcome else {
            return Self::Nothing;
        };
        if !matches!(standing.state, PaymentState::Paid(_)) {
            return Self::Nothing;
        }
        if standing.given_back == before {
            return Self::Unchanged;
        }
        if Some(standing.given_back) != before.checked_add(amount) {
            return Self::OtherSum;
        }
        let last = standing.last_given_back.clone().filter(|last| last.amount == amount);
        Self::WentBack(last.unwrap_or(GivenBack { action_ref: None, amount, at: now }))
    }
}

/// A refund with all that is known about it.
struct Found<'a> {
    indexed: &'a IndexedRefund,
    loaded: &'a Loaded<Order>,
    order: &'a PlacedOrder,
    attempt: &'a Attempt,
    refund: &'a Refund,
}

impl Reconciler {
    /// Looks up refunds that are overdue or were refused, and compares anew what differed because of
    /// a refund that has ended; returns how many refunds went through after all, or were handed back
    /// to the relay.
    ///
    /// # Errors
    /// [`ReconcileError`]; what was recorded before stays so.
    pub async fn look_up_refunds(&self) -> Result<u64, ReconcileError> {
        let client = self.pool.get().await?;
        let statement = include_str!("sql/claim_refunds.sql");
        let rows = client.query(statement, &[&self.clock.now(), &BATCH_MAX]).await?;
        drop(client);
        let due = rows.iter().map(IndexedRefund::read).collect::<Result<Vec<_>, _>>()?;
        let mut ended = 0;
        for refund in due {
            // A claim that is not used is due again after its lease.
            if self.shutdown.is_requested() {
                return Ok(ended);
            }
            let outcome = self.look_up_refund(&refund).await;
            // One that is passed over is due again after its lease.
            ended += u64::from(Net::Refunds.of_one(refund.order, outcome)?.unwrap_or(false));
        }
        self.compare_settled().await?;
        Ok(ended)
    }

    /// Whether the refund went through, or will be reported by the relay.
    async fn look_up_refund(&self, indexed: &IndexedRefund) -> Result<bool, ReconcileError> {
        let loaded = self.orders.load(indexed.order.uuid()).await?;
        let Some(order) = loaded.state.placed() else {
            return Ok(false);
        };
        let Some(refund) = order.refund(indexed.id) else {
            return Ok(false);
        };
        let Some(attempt) = order.attempt(refund.attempt) else {
            return Ok(false);
        };
        let found = Found { indexed, loaded: &loaded, order, attempt, refund };
        match (&refund.stage, indexed.is_refused) {
            (RefundStage::Pending, false) => self.look_up_pending_refund(&found).await,
            (RefundStage::Failed { .. }, true) => self.look_up_refused_refund(&found).await,
            // The index follows, or never will: an event that was parked is handled after later ones.
            (RefundStage::Succeeded, _) => self.forget_refund(indexed.id).await.map(|()| false),
            (RefundStage::Failed { code, .. }, false) => {
                self.mark_refused(indexed.id, code.as_str()).await.map(|()| false)
            }
            (RefundStage::Pending, true) => Ok(false),
        }
    }

    async fn look_up_pending_refund(&self, found: &Found<'_>) -> Result<bool, ReconcileError> {
        let now = self.clock.now();
        let is_overdue = REFUND_OVERDUE_AFTER <= now - found.refund.requested_at;
        let (row, settled) = (found.indexed.row.as_ref(), found.indexed.settled.as_deref());
        if let Some(row) = row {
            // The answer is there and only has to be reported.
            if row.is_dead() && settled.is_some_and(|settled| settled != "unresolved") {
                return self.give_back(row.id).await;
            }
            // The relay is at work, and has the time that a refund takes.
            if !row.is_dead() && !is_overdue {
                return Ok(false);
            }
        }
        let (answer, compared) = self.ask_about(found).await?;
        if let Answer::WentBack(given_back) = answer {
            let has_ended = match row {
                None => self.record_refund(found, given_back).await?,
                Some(row) if row.is_dead() => self.give_back(row.id).await?,
                // The relay finds it out by itself.
                Some(_) => false,
            };
            if has_ended {
                return Ok(true);
            }
        }
        if is_overdue && let Some(compared) = compared {
            // An order that moved meanwhile is compared an hour later.
            self.note(found.loaded, found.order, &compared).await?;
        }
        Ok(false)
    }

    async fn look_up_refused_refund(&self, found: &Found<'_>) -> Result<bool, ReconcileError> {
        // Money that goes back right now could be that of either: by the hour until it is still.
        let is_moving = found.order.refunds.iter().any(|other| {
            other.attempt == found.attempt.number && matches!(other.stage, RefundStage::Pending)
        });
        if is_moving {
            return Ok(false);
        }
        let (answer, compared) = self.ask_about(found).await?;
        match answer {
            Answer::WentBack(given_back) => {
                metrics::reconcile_net_found("refund");
                let (order, refund) = (found.order.order_id, found.refund.id);
                tracing::error!(order.id = %order, refund.id = %refund, "a refused refund went through");
                self.record_refund(found, given_back).await
            }
            Answer::Unchanged => self.ask_no_more(found.indexed.id).await.map(|()| false),
            Answer::OtherSum => {
                if let Some(compared) = compared
                    && self.note(found.loaded, found.order, &compared).await?
                {
                    self.ask_no_more(found.indexed.id).await?;
                }
                Ok(false)
            }
            Answer::Nothing => Ok(false),
        }
    }

    async fn ask_about(
        &self,
        Found { order, attempt, refund, .. }: &Found<'_>,
    ) -> Result<(Answer, Option<super::Compared>), ReconcileError> {
        let Some(approval) = attempt.stage.approval() else {
            return Ok((Answer::Nothing, None));
        };
        self.clock.sleep(self.pace.pause).await;
        let outcome = self.gateway.look_up(&question(order, attempt, &approval.tid)).await;
        metrics::reconciled("looked_up");
        let now = self.clock.now();
        let before = order.refunded_of(attempt);
        let compared = judged(order, attempt, &outcome, now);
        Ok((Answer::of(&outcome, before, refund.amount, now), compared))
    }

    async fn record_refund(
        &self,
        found: &Found<'_>,
        given_back: GivenBack,
    ) -> Result<bool, ReconcileError> {
        let (order, refund_id) = (found.order.order_id, found.refund.id);
        let command = OrderCommand::RecordRefund {
            refund_id,
            aid: given_back.action_ref,
            amount: given_back.amount,
            refunded_at: given_back.at,
            at: self.clock.now(),
        };
        // At the version that was asked about: the money may be that of a refund requested meanwhile.
        let context = context().at_version(found.loaded.version);
        match self.orders.dispatch(order.uuid(), command, context).await {
            Ok(_recorded) => {
                tracing::warn!(order.id = %order, refund.id = %refund_id, "a refund without a row was found");
                Ok(true)
            }
            Err(DispatchError::Stale { .. } | DispatchError::Conflict) => Ok(false),
            Err(DispatchError::Store(error)) => Err(error.into()),
            Err(error) => {
                let error = with_causes(&error);
                tracing::warn!(order.id = %order, refund.id = %refund_id, error, "the order took no refund");
                Ok(false)
            }
        }
    }

    /// Compares payments about which a difference is open only because a refund was pending.
    async fn compare_settled(&self) -> Result<(), ReconcileError> {
        let client = self.pool.get().await?;
        let rows = client.query(include_str!("sql/settled_refunds.sql"), &[&SETTLED_MAX]).await?;
        drop(client);
        let settled = rows.iter().map(Indexed::read).collect::<Result<Vec<_>, _>>()?;
        self.compare_all(settled, &mut Summary::default(), &mut |_compared| ()).await
    }

    async fn forget_refund(&self, refund: RefundId) -> Result<(), ReconcileError> {
        let client = self.pool.get().await?;
        let statement = include_str!("../reactions/sql/refund_succeeded.sql");
        client.execute(statement, &[&refund.uuid()]).await?;
        Ok(())
    }

    async fn mark_refused(&self, refund: RefundId, code: &str) -> Result<(), ReconcileError> {
        let (refund, now): (Uuid, _) = (refund.uuid(), self.clock.now());
        let client = self.pool.get().await?;
        let statement = include_str!("sql/mark_refused.sql");
        client.execute(statement, &[&refund, &code, &now, &following_night(now)]).await?;
        Ok(())
    }

    async fn ask_no_more(&self, refund: RefundId) -> Result<(), ReconcileError> {
        let client = self.pool.get().await?;
        client.execute(include_str!("sql/ask_no_more.sql"), &[&refund.uuid()]).await?;
        Ok(())
    }
}

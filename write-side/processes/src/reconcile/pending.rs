//! Payments whose outcome is open and that nobody is working on: looked up until the gateway knows.
//!
//! As long as an outbox row is on its way, the relay does this by itself. A row that died is given
//! back to the relay as soon as a look-up shows that it would get an answer; a payment without any
//! row is told to its order from here. What the gateway does not know either is asked about less and
//! less often and stays alarmed.

use chrono::{DateTime, TimeDelta, Utc};
use contracts::events::{DifferenceKind, GatewayStep};
use contracts::{Actor, BillingKeyId, Text, UserId};
use domain::Settlement;
use domain::order::{Attempt, OrderCommand, PlacedOrder, Stage};
use event_store::DispatchError;
use tokio_postgres::Row;
use uuid::Uuid;

use super::differences::context;
use super::ended::has_ended;
use super::single::Net;
use super::{Difference, Indexed, LOOK_UP_AFTER, ReconcileError, Reconciler, question};
use crate::metrics;
use crate::operator::{By, Intervention, Operator, OperatorError};
use crate::relay::decide::{Next, RetryPolicy, Try};
use crate::relay::deliver::payment_command;

/// Payments looked up by one run.
const BATCH_MAX: i64 = 100;
/// Longest time between two look-ups of a payment that stays open.
const PAUSE_MAX: TimeDelta = TimeDelta::hours(1);

/// The row that is to bring the outcome.
pub(super) struct EffectRow {
    pub(super) id: Uuid,
    state: String,
}

impl EffectRow {
    pub(super) fn read(row: &Row) -> Result<Option<Self>, tokio_postgres::Error> {
        let id: Option<Uuid> = row.try_get("row_id")?;
        let state: Option<String> = row.try_get("row_state")?;
        Ok(id.zip(state).map(|(id, state)| Self { id, state }))
    }

    /// Whether the relay gave it up.
    pub(super) fn is_dead(&self) -> bool {
        self.state == DEAD
    }
}

/// The state of a row that the relay gave up.
const DEAD: &str = "dead";

impl Reconciler {
    /// Looks up payments whose outcome is overdue; returns how many of them got one, or were given
    /// back to the relay for it.
    ///
    /// # Errors
    /// [`ReconcileError`]; what was settled before stays so.
    pub async fn look_up_pending(&self) -> Result<u64, ReconcileError> {
        self.show_open().await?;
        let client = self.pool.get().await?;
        let statement = include_str!("sql/pending.sql");
        let rows = client.query(statement, &[&self.clock.now(), &BATCH_MAX]).await?;
        drop(client);
        let mut settled = 0;
        for row in rows {
            if self.shutdown.is_requested() {
                break;
            }
            let payment = Indexed::read(&row)?;
            let effect = EffectRow::read(&row)?;
            let outcome = self.look_up_one(payment, effect).await;
            settled += u64::from(Net::Pending.of_one(payment.order, outcome)?.unwrap_or(false));
            self.look_later(payment).await?;
        }
        Ok(settled)
    }

    /// Whether the payment has an outcome now, or will have one from the relay.
    async fn look_up_one(
        &self,
        payment: Indexed,
        row: Option<EffectRow>,
    ) -> Result<bool, ReconcileError> {
        // Rows under way are the relay's; a held one is left alone because an operator holds it.
        if row.as_ref().is_some_and(|row| !row.is_dead()) {
            return Ok(false);
        }
        let loaded = self.orders.load(payment.order.uuid()).await?;
        let Some(order) = loaded.state.placed() else {
            return Ok(false);
        };
        let Some(attempt) = order.attempt(payment.attempt) else {
            return Ok(false);
        };
        if has_ended(attempt) {
            self.mark_ended(payment).await?;
        }
        if !is_open(attempt) {
            return Ok(false);
        }
        let Some(page) = &attempt.page else {
            return Ok(false);
        };
        self.clock.sleep(self.pace.pause).await;
        let outcome = self.gateway.look_up(&question(order, attempt, &page.tid)).await;
        let now = self.clock.now();
        let at = Try::looking_up(payment.since, now);
        let next = RetryPolicy::default().after_approve_look_up(outcome, at);
        metrics::reconciled("looked_up");
        match (next, row) {
            (Next::Settle(Settlement::Unresolved { reason, .. }, note), _) => {
                self.alarm((order, loaded.version), attempt, &reason, note).await?;
                Ok(false)
            }
            // The relay asks again and settles: it alone also knows what to do with the key.
            (Next::Settle(..), Some(row)) => self.give_back(row.id).await,
            (Next::Settle(settlement, _), None) => self.tell(order, attempt, settlement, now).await,
            (Next::Again { .. } | Next::LookUp { .. } | Next::CallNow, _) => Ok(false),
        }
    }

    async fn alarm(
        &self,
        (order, version): (&PlacedOrder, u64),
        attempt: &Attempt,
        reason: &Text<100>,
        note: Option<String>,
    ) -> Result<(), ReconcileError> {
        let theirs = match note {
            Some(note) => format!("{reason}: {note}"),
            None => reason.as_str().to_owned(),
        };
        let found = Difference::new(DifferenceKind::Unresolved, "no outcome", &theirs);
        let found = Vec::from_iter(found);
        // An order that moved meanwhile may have its outcome: the next look will tell.
        self.record(order.order_id, version, attempt.number, found).await.map(drop)
    }

    /// Hands a dead row back to the relay. One that was held or taken up meanwhile is left alone.
    pub(super) async fn give_back(&self, row: Uuid) -> Result<bool, ReconcileError> {
        let operator = Operator::new(self.pool.clone());
        let by = By {
            actor: Actor::System("reconciliation".to_owned()),
            request_id: Uuid::now_v7().to_string(),
        };
        match operator.intervene_from(DEAD, row, Intervention::Retry, &by).await {
            Ok(()) => Ok(true),
            // An operator or another worker was faster.
            Err(OperatorError::NoSuchRow(_) | OperatorError::WrongState { .. }) => Ok(false),
            Err(error) => Err(ReconcileError::Database(Box::new(error))),
        }
    }

    async fn tell(
        &self,
        order: &PlacedOrder,
        attempt: &Attempt,
        settlement: Settlement,
        now: DateTime<Utc>,
    ) -> Result<bool, ReconcileError> {
        let (order_id, settled) = (order.order_id, settlement.name());
        let terms = order.terms(attempt);
        let Some(command) = payment_command(GatewayStep::Approve, &terms, settlement, now) else {
            return Ok(false);
        };
        // Before the approval: what is paid has its key, or a row that says that it is missing.
        if let (Some(key), OrderCommand::RecordApproval(_)) = (terms.billing_key, &command) {
            self.keep_missing_key(key, terms.user_id).await?;
        }
        match self.orders.dispatch(order_id.uuid(), command, context()).await {
            Ok(_recorded) => {
                tracing::warn!(order.id = %order_id, settled, "an outcome without a row was found");
                Ok(true)
            }
            Err(DispatchError::Store(error)) => Err(error.into()),
            Err(error) => {
                tracing::warn!(order.id = %order_id, settled, %error, "the order took no outcome");
                Ok(false)
            }
        }
    }

    async fn keep_missing_key(
        &self,
        key: BillingKeyId,
        user: UserId,
    ) -> Result<(), ReconcileError> {
        let client = self.pool.get().await?;
        let statement = include_str!("sql/missing_key.sql");
        if client.execute(statement, &[&key.uuid(), &user.uuid()]).await? == 1 {
            metrics::billing_key_missing();
            tracing::error!(billing_key.id = %key, "paid, but without key");
        }
        Ok(())
    }

    async fn mark_ended(&self, payment: Indexed) -> Result<(), ReconcileError> {
        let (order, attempt) = payment.key();
        let client = self.pool.get().await?;
        let statement = include_str!("sql/mark_ended.sql");
        client.execute(statement, &[&order, &attempt, &self.clock.now()]).await?;
        Ok(())
    }

    /// Asks again after as long as it has been open, so that pauses double.
    async fn look_later(&self, payment: Indexed) -> Result<(), ReconcileError> {
        let now = self.clock.now();
        let pause = (now - payment.since).clamp(LOOK_UP_AFTER, PAUSE_MAX);
        let (order, attempt) = payment.key();
        let client = self.pool.get().await?;
        let statement = include_str!("sql/look_later.sql");
        client.execute(statement, &[&order, &attempt, &(now + pause)]).await?;
        Ok(())
    }
}

const fn is_open(attempt: &Attempt) -> bool {
    matches!(attempt.stage, Stage::ApprovalRequested { .. } | Stage::Unresolved { .. })
}

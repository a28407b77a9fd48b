//! Tells an order what came of its effect, once: the command is idempotent under the row's id.

use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::events::GatewayStep;
use contracts::{Actor, Metadata, OrderId, Text, Won};
use domain::effects::{CancelEffect, Effect, PaymentTerms};
use domain::order::{Order, OrderCommand, RecordApproval, RefundStage};
use domain::{Refusal, RefusalKind, Settlement};
use event_store::{CommandContext, DispatchError, Executor, ReceiptKey, StoreError};
use uuid::Uuid;

use super::rows::ClaimedRow;
use super::with_causes;
use crate::metrics;

/// How long a told settlement is remembered: longer than any row can stay in the outbox between a
/// telling and its repetition.
const RECEIPT_KEPT_FOR: Duration = Duration::from_hours(7 * 24);
/// The scope of the relay's receipts.
const RECEIPT_SCOPE: &str = "outbox";

/// Tells orders.
#[derive(Debug, Clone)]
pub struct Delivery {
    orders: Executor<Order>,
}

/// A row with what it says: whose it is and what is to be done.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// The row.
    pub row: &'a ClaimedRow,
    /// The order that asked for it.
    pub order: OrderId,
    /// What it asked for.
    pub effect: &'a Effect,
}

/// What was refunded of a payment before a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefundedBefore {
    /// The sum.
    pub amount: Won,
    /// The tax-free part of it.
    pub tax_free: Won,
}

/// What became of a telling.
#[derive(Debug)]
pub enum Told {
    /// It is on record, now or since an earlier telling.
    Recorded,
    /// Not now: the store is away or busy.
    Later(String),
    /// The order does not take it; telling again would end the same way.
    Refused(String),
}

impl Delivery {
    /// Tells orders through `orders`.
    pub const fn new(orders: Executor<Order>) -> Self {
        Self { orders }
    }

    /// Fetches the order as it was when `row` was asked for, or later, so that [`tell`](Self::tell)
    /// finds it at hand. When it cannot be had now, telling says so.
    pub async fn prepare(&self, row: &ClaimedRow, order: OrderId) {
        if let Err(error) = self.orders.load_at_least(order.uuid(), row.version).await {
            tracing::debug!(error = with_causes(&error), "not fetched yet");
        }
    }

    /// What went back before `cancel` of the payment it gives back from, as the order has it now.
    /// Rows of an order are carried out one after another, so every earlier refund has ended by now;
    /// one that the gateway refused after `cancel` was asked for gave nothing back, and the guard
    /// that was computed then counts it.
    ///
    /// # Errors
    /// The order cannot be read.
    pub async fn given_back_before(
        &self,
        order: OrderId,
        cancel: &CancelEffect,
    ) -> Result<RefundedBefore, StoreError> {
        let loaded = self.orders.load(order.uuid()).await?;
        let Some(order) = loaded.state.placed() else {
            return Ok(RefundedBefore { amount: Won::ZERO, tax_free: Won::ZERO });
        };
        let others = || {
            order.refunds.iter().filter(|refund| {
                refund.attempt == cancel.terms.attempt
                    && refund.id != cancel.refund_id
                    && matches!(refund.stage, RefundStage::Succeeded)
            })
        };
        // Refunds never exceed what was paid, so their sums are sums.
        let amount = Won::sum(others().map(|it| it.amount)).unwrap_or(cancel.terms.amount);
        let tax_free = Won::sum(others().map(|it| it.tax_free)).unwrap_or(cancel.terms.tax_free);
        Ok(RefundedBefore { amount, tax_free })
    }

    /// Tells the order what came of its effect.
    pub async fn tell(
        &self,
        Task { row, order, effect }: Task<'_>,
        settlement: &Settlement,
        now: DateTime<Utc>,
    ) -> Told {
        let Some(command) = command(effect, settlement.clone(), now) else {
            return Told::Refused(format!("{} does not end as {settlement:?}", effect.kind()));
        };
        let context = context(row, settlement);
        match self.orders.dispatch(order.uuid(), command, context).await {
            Ok(_recorded) => Told::Recorded,
            Err(DispatchError::Refused(refusal)) => refused(effect, settlement, &refusal),
            Err(
                error @ (DispatchError::Stale { .. }
                | DispatchError::Conflict
                | DispatchError::ClaimTaken { .. }
                | DispatchError::KeyReused),
            ) => Told::Later(error.to_string()),
            Err(DispatchError::Store(error)) => not_stored(&error),
        }
    }
}

/// Whatever the database refuses today (a full disk, a server that became read-only, a function that
/// is being replaced) may be mended without touching the row. Only what cannot be decoded stays so.
fn not_stored(error: &StoreError) -> Told {
    let why = with_causes(error);
    match error {
        StoreError::Decode(_) | StoreError::Corrupt { .. } => Told::Refused(why),
        StoreError::Database(_) | StoreError::Settings => {
            metrics::relay_report_refused();
            tracing::error!(why, "the database refuses to record an outcome");
            Told::Later(why)
        }
        StoreError::Unavailable(_) | StoreError::OutcomeUnknown => Told::Later(why),
    }
}

/// A page that nobody needs any more may be refused: it moves no money and dies by itself.
fn refused(
    effect: &Effect,
    settlement: &Settlement,
    refusal: &(impl Refusal + std::fmt::Display),
) -> Told {
    let (code, settled) = (refusal.code(), settlement.name());
    let is_page = matches!(effect, Effect::PaymentReady(_));
    if is_page && refusal.kind() == RefusalKind::Conflict {
        tracing::warn!(code, settled, "page not needed");
        return Told::Recorded;
    }
    Told::Refused(format!("{settled}: {code}: {refusal}"))
}

fn context(row: &ClaimedRow, settlement: &Settlement) -> CommandContext<Order> {
    let key = receipt_key(row.id, settlement);
    let receipt = ReceiptKey {
        scope: RECEIPT_SCOPE.to_owned(),
        // One row reports each key once; its stored outcome never changes in between.
        request_digest: key.clone(),
        key,
        keep_for: RECEIPT_KEPT_FOR,
    };
    let metadata = Metadata {
        actor: Actor::System("relay".to_owned()),
        correlation_id: row.correlation_id.clone(),
        causation_id: Some(row.id.to_string()),
        idempotency_key: None,
    };
    CommandContext::new(metadata).with_receipt(receipt).knowing(row.version)
}

/// A row may be unresolved more than once, for another reason each time: an operator has it tried again
/// in between. Everything else ends it.
fn receipt_key(row: Uuid, settlement: &Settlement) -> String {
    let name = settlement.name();
    match settlement {
        Settlement::Unresolved { reason, .. } => format!("{row}/{name}/{reason}"),
        Settlement::Opened { .. }
        | Settlement::Approved { .. }
        | Settlement::GivenBack { .. }
        | Settlement::Declined { .. }
        | Settlement::TokenRefused { .. }
        | Settlement::NotSent { .. } => format!("{row}/{name}"),
    }
}

/// The command that tells it; `None` when this effect cannot end like this.
fn command(effect: &Effect, settlement: Settlement, now: DateTime<Utc>) -> Option<OrderCommand> {
    match effect {
        Effect::PaymentReady(ready) => {
            let attempt = ready.terms.attempt;
            if let Settlement::Opened { tid, redirect, ready_at, expires_at, cid } = settlement {
                let page =
                    OrderCommand::RecordReady { attempt, tid, redirect, ready_at, expires_at, cid };
                return Some(page);
            }
            payment_command(GatewayStep::Ready, &ready.terms, settlement, now)
        }
        Effect::PaymentApprove(approve) => {
            payment_command(GatewayStep::Approve, &approve.terms, settlement, now)
        }
        Effect::PaymentCancel(cancel) => {
            let refund_id = cancel.refund_id;
            match settlement {
                Settlement::GivenBack { aid, amount, refunded_at } => {
                    Some(OrderCommand::RecordRefund {
                        refund_id,
                        aid,
                        amount,
                        refunded_at,
                        at: now,
                    })
                }
                Settlement::Declined { class, code, at } => {
                    Some(OrderCommand::RecordRefundFailure { refund_id, class, code, at })
                }
                Settlement::Unresolved { reason, at } => {
                    Some(OrderCommand::RecordRefundUnresolved { refund_id, reason, at })
                }
                Settlement::Opened { .. }
                | Settlement::Approved { .. }
                | Settlement::TokenRefused { .. }
                | Settlement::NotSent { .. } => None,
            }
        }
    }
}

pub(crate) fn payment_command(
    step: GatewayStep,
    terms: &PaymentTerms,
    settlement: Settlement,
    now: DateTime<Utc>,
) -> Option<OrderCommand> {
    let attempt = terms.attempt;
    match settlement {
        Settlement::Approved { tid, aid, amount, method, approved_at, billing_key } => {
            let approval = RecordApproval {
                attempt,
                tid,
                aid,
                amount,
                method,
                approved_at,
                billing_key,
                at: now,
            };
            (step == GatewayStep::Approve).then(|| OrderCommand::RecordApproval(Box::new(approval)))
        }
        Settlement::Declined { class, code, at } => {
            Some(OrderCommand::RecordDecline { attempt, step, class, code, at })
        }
        Settlement::TokenRefused { code, at } => (step == GatewayStep::Approve)
            .then_some(OrderCommand::RecordTokenRefused { attempt, code, at }),
        Settlement::NotSent { at } => Some(OrderCommand::RecordNotSent { attempt, step, at }),
        Settlement::Unresolved { reason, at } => Some(unresolved(attempt, step, reason, at)),
        Settlement::Opened { .. } | Settlement::GivenBack { .. } => None,
    }
}

fn unresolved(
    attempt: u32,
    step: GatewayStep,
    reason: Text<100>,
    at: DateTime<Utc>,
) -> OrderCommand {
    OrderCommand::RecordUnresolved { attempt, step, reason, at }
}

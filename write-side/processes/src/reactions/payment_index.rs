//! Which payments moved money or may have: a small table folded from the log, so that
//! reconciliation finds them without asking a read model. Amounts are read from the order itself.
//!
//! An attempt that ended stays, as `ended`, when an approval was ever asked for: reconciliation
//! removes it once the gateway has confirmed that no money moved. An event that is handled after a
//! later one changes nothing, because a row remembers the position of the event that made it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contracts::events::{GatewayStep, OrderEvent};
use contracts::{DecodeError, EventBody, RecordedEvent};
use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::ReactionError;
use super::table::TableFold;
use crate::reconcile::LOOK_UP_AFTER;

/// Folds the log into `payment_index`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PaymentIndex;

impl TableFold for PaymentIndex {
    const NAME: &'static str = "payment_index";
    const EVENT_TYPES: &'static [&'static str] = &[
        "PaymentApprovalRequested",
        "PaymentUnresolved",
        "PaymentApproved",
        "PaymentDeclined",
        "PaymentAbandoned",
        "PaymentTokenRefused",
    ];

    /// How each payment stands, by order and attempt.
    type Changes = BTreeMap<(Uuid, i32), Change>;

    fn fold(changes: &mut Self::Changes, event: &RecordedEvent) -> Result<(), DecodeError> {
        if event.aggregate_type != OrderEvent::AGGREGATE_TYPE {
            return Ok(());
        }
        let Some(step) = step(&event.decode::<OrderEvent>()?) else {
            return Ok(());
        };
        // Attempts are counted from 1 within an order; none has that many.
        let key = (event.aggregate_id, i32::try_from(step.attempt).unwrap_or(i32::MAX));
        let before = changes.get(&key);
        // Approved is the end: nothing makes it doubtful again.
        if before.is_some_and(|before| before.state == State::Approved) {
            return Ok(());
        }
        let was_asked = step.was_asked || before.is_some_and(|before| before.was_asked);
        let position = event.position.number();
        let change = Change { state: step.state, since: step.since, position, was_asked };
        changes.insert(key, change);
        Ok(())
    }

    async fn write_in_tx(
        tx: &Transaction<'_>,
        changes: Self::Changes,
    ) -> Result<(), ReactionError> {
        // Whether an approval was asked for is only known from an earlier batch, which left a row.
        let (ended, kept): (Vec<_>, Vec<_>) = changes
            .into_iter()
            .partition(|(_, change)| change.state == State::Ended && !change.was_asked);
        if !kept.is_empty() {
            let Columns { orders, attempts, states, since, next, positions } = &columns(kept);
            let remember = tx.prepare_cached(include_str!("sql/remember_payment.sql")).await?;
            tx.execute(&remember, &[orders, attempts, states, since, next, positions]).await?;
        }
        if !ended.is_empty() {
            let Columns { orders, attempts, since, positions, .. } = &columns(ended);
            let end = tx.prepare_cached(include_str!("sql/end_payment.sql")).await?;
            tx.execute(&end, &[orders, attempts, since, positions]).await?;
        }
        Ok(())
    }
}

/// How a payment stands, as far as the log of this batch says.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    state: State,
    since: DateTime<Utc>,
    position: i64,
    /// Whether the gateway is known to have been asked for an approval.
    was_asked: bool,
}

/// The states of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Approving,
    Unresolved,
    Approved,
    Ended,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Approving => "approving",
            Self::Unresolved => "unresolved",
            Self::Approved => "approved",
            Self::Ended => "ended",
        }
    }

    /// When a payment that stands so since `since` is looked up first. For one that ended, the order
    /// knows when: after its page's end.
    fn first_look_up(self, since: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Approving | Self::Unresolved | Self::Approved => since + LOOK_UP_AFTER,
            Self::Ended => since,
        }
    }
}

/// Rows of the table, column by column.
#[derive(Default)]
struct Columns {
    orders: Vec<Uuid>,
    attempts: Vec<i32>,
    states: Vec<&'static str>,
    since: Vec<DateTime<Utc>>,
    next: Vec<DateTime<Utc>>,
    positions: Vec<i64>,
}

fn columns(changes: Vec<((Uuid, i32), Change)>) -> Columns {
    let mut columns = Columns::default();
    for ((order, attempt), Change { state, since, position, .. }) in changes {
        columns.orders.push(order);
        columns.attempts.push(attempt);
        columns.states.push(state.name());
        columns.since.push(since);
        columns.next.push(state.first_look_up(since));
        columns.positions.push(position);
    }
    columns
}

/// What one event says about an attempt.
struct Step {
    attempt: u32,
    state: State,
    since: DateTime<Utc>,
    was_asked: bool,
}

fn step(event: &OrderEvent) -> Option<Step> {
    let (attempt, state, since, was_asked) = match event {
        OrderEvent::PaymentApprovalRequested { attempt, requested_at, .. } => {
            (attempt, State::Approving, requested_at, true)
        }
        OrderEvent::PaymentUnresolved {
            attempt,
            step: GatewayStep::Approve,
            unresolved_at,
            ..
        } => (attempt, State::Unresolved, unresolved_at, true),
        OrderEvent::PaymentApproved { attempt, approved_at, .. } => {
            (attempt, State::Approved, approved_at, true)
        }
        OrderEvent::PaymentDeclined { attempt, step, declined_at, .. } => {
            (attempt, State::Ended, declined_at, *step == GatewayStep::Approve)
        }
        // Another return may bring another token; until then the attempt rests without money.
        OrderEvent::PaymentTokenRefused { attempt, refused_at, .. } => {
            (attempt, State::Ended, refused_at, true)
        }
        OrderEvent::PaymentAbandoned { attempt, abandoned_at, .. } => {
            (attempt, State::Ended, abandoned_at, false)
        }
        // A refund whose outcome is unknown leaves the payment approved.
        OrderEvent::PaymentUnresolved { .. }
        | OrderEvent::Placed { .. }
        | OrderEvent::PaymentRequested { .. }
        | OrderEvent::PaymentReady { .. }
        | OrderEvent::PaymentReturned { .. }
        | OrderEvent::Expired { .. }
        | OrderEvent::Cancelled { .. }
        | OrderEvent::RefundRequested { .. }
        | OrderEvent::RefundSucceeded { .. }
        | OrderEvent::RefundFailed { .. }
        | OrderEvent::PaymentDifferenceFound { .. }
        | OrderEvent::PaymentDifferenceSettled { .. }
        | OrderEvent::ReceiverChanged { .. } => return None,
    };
    Some(Step { attempt: *attempt, state, since: *since, was_asked })
}

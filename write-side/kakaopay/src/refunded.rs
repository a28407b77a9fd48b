//! How much of a payment has been refunded, as a look-up states it.
//!
//! The reference calls every field that states the sum optional, and an absent one is never zero: a
//! refund in doubt would be sent again, and a payment cancelled on the merchant pages believed paid.
//! So the sum is taken from whichever sources are there, all of them must agree, and the status must
//! agree with them. Where none is there, a status that states the sum by itself does. Otherwise the
//! answer is unreadable in this point.

use crate::answers::Order;
use crate::words::{ActionType, OrderStatus};

/// The refunded sum in won; `None` when it cannot be read.
pub(crate) fn of(order: &Order) -> Option<i64> {
    let total = order.amount.total;
    match order.status {
        OrderStatus::Ready
        | OrderStatus::SendTms
        | OrderStatus::OpenPayment
        | OrderStatus::SelectMethod
        | OrderStatus::ArsWaiting
        | OrderStatus::AuthPassword
        | OrderStatus::IssuedSid
        | OrderStatus::FailAuthPassword
        | OrderStatus::QuitPayment
        | OrderStatus::FailPayment => of_unpaid(order),
        // This status is itself the statement that nothing went back.
        OrderStatus::SuccessPayment => match agreed(of_paid(order)) {
            Stated::Sum(0) | Stated::Nothing => Some(0),
            Stated::Sum(_) | Stated::Contradiction => None,
        },
        OrderStatus::PartCancelPayment => sum_of_paid(order).filter(|it| 0 < *it && *it < total),
        // And this one the statement that all of it did, at once or in parts.
        OrderStatus::CancelPayment => match agreed(of_paid(order)) {
            Stated::Nothing => Some(total),
            Stated::Sum(sum) if sum == total => Some(total),
            Stated::Sum(_) | Stated::Contradiction => None,
        },
        OrderStatus::Other(_) => sum_of_paid(order).filter(|it| 0 <= *it && *it <= total),
    }
}

/// What the sources together state.
enum Stated {
    Sum(i64),
    Nothing,
    Contradiction,
}

fn agreed(sources: [Option<i64>; 3]) -> Stated {
    let mut stated = sources.into_iter().flatten();
    match stated.next() {
        None => Stated::Nothing,
        Some(first) if stated.all(|sum| sum == first) => Stated::Sum(first),
        Some(_) => Stated::Contradiction,
    }
}

/// Nothing was paid, so nothing can be cancelled, and `cancel_available_amount` states nothing.
fn of_unpaid(order: &Order) -> Option<i64> {
    match agreed([order.canceled_amount.map(|amount| amount.total), in_history(order, 0), None]) {
        Stated::Sum(0) | Stated::Nothing => Some(0),
        Stated::Sum(_) | Stated::Contradiction => None,
    }
}

fn sum_of_paid(order: &Order) -> Option<i64> {
    match agreed(of_paid(order)) {
        Stated::Sum(sum) => Some(sum),
        Stated::Nothing | Stated::Contradiction => None,
    }
}

fn of_paid(order: &Order) -> [Option<i64>; 3] {
    let total = order.amount.total;
    [
        order.canceled_amount.map(|amount| amount.total),
        order.cancel_available_amount.and_then(|rest| total.checked_sub(rest.total)),
        in_history(order, total),
    ]
}

/// The sum of the CANCEL entries, where the history is understood as a whole: every entry readable,
/// of a known kind and with its sum, and the payments in it worth `paid`. Where points are entered
/// apart from the method's part, the entries are no totals and this is no source.
fn in_history(order: &Order, paid: i64) -> Option<i64> {
    let history = &order.payment_action_details;
    if !history.is_whole {
        return None;
    }
    let (mut payments, mut cancels) = (0_i64, 0_i64);
    for action in &history.readable {
        let amount = action.amount?;
        match action.payment_action_type {
            ActionType::Payment => payments = payments.checked_add(amount)?,
            ActionType::Cancel => cancels = cancels.checked_add(amount)?,
            ActionType::IssuedSid => (),
            ActionType::Other(_) => return None,
        }
    }
    (payments == paid).then_some(cancels)
}

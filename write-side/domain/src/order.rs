//! An order: what was bought, at which prices, and every try to pay for it or give the money back.
//!
//! Promises: one open payment attempt at a time; paid if and only if the gateway approved exactly
//! the amount asked for while the order waited for it; what goes back never exceeds what was paid, pending refunds included;
//! an approval that nobody waits for any more is given back by the very append that records it.
//! Whatever the gateway says twice, late, or about something else changes nothing, unless it says
//! that money moved: then it is put on record.

mod command;
mod comparing;
mod consequences;
mod effects;
mod ending;
mod fold;
mod paying;
mod placing;
#[cfg(test)]
mod properties;
mod refunding;
mod refusal;
mod returning;
mod state;
mod status;
#[cfg(test)]
mod tests;

use contracts::Claim;
use contracts::events::{CancelledBy, OrderEvent};

pub use self::command::{OfferedLine, OrderCommand, PlaceOrder, RecordApproval};
pub use self::comparing::{Differences, Sides};
pub use self::paying::MISMATCH;
pub use self::placing::{EXPIRES_AFTER, LINES_MAX, PAGE_AWAITED};
use self::refunding::RefundWanted;
pub use self::refusal::{OrderRefusal, PriceChange};
pub use self::returning::TOKENS_MAX;
pub use self::state::{
    Approval, Attempt, Course, Order, PaymentPage, PlacedOrder, Refund, RefundStage, Stage,
};
pub use self::status::OrderStatus;
use crate::effects::Effect;
use crate::kernel::{EventSourced, Principal};

/// Kind of the claim on an order number.
pub const CLAIM_NUMBER: &str = "order.number";

type Decision = Result<Vec<OrderEvent>, OrderRefusal>;

impl PlacedOrder {
    /// Its owner only: paying is nobody else's business.
    fn check_owner(&self, by: Principal) -> Result<(), OrderRefusal> {
        match by {
            Principal::User(user_id) | Principal::Admin(user_id) if user_id == self.user_id => {
                Ok(())
            }
            Principal::User(_) | Principal::Admin(_) | Principal::System => {
                Err(OrderRefusal::NotFound)
            }
        }
    }

    /// Its owner, an administrator or a process of ours; the answer is what goes on record.
    fn check_may_end(&self, by: Principal) -> Result<CancelledBy, OrderRefusal> {
        match by {
            Principal::User(user_id) | Principal::Admin(user_id) if user_id == self.user_id => {
                Ok(CancelledBy::User)
            }
            Principal::Admin(_) => Ok(CancelledBy::Admin),
            Principal::System => Ok(CancelledBy::System),
            Principal::User(_) => Err(OrderRefusal::NotFound),
        }
    }

    fn decide(&self, command: OrderCommand) -> Decision {
        match command {
            OrderCommand::PlaceOrder(command) => self.place_again(&command),
            OrderCommand::RequestPayment { by, current_offers, at } => {
                self.request_payment(by, &current_offers, at)
            }
            OrderCommand::RecordReady { attempt, tid, redirect, ready_at, expires_at, cid } => {
                let page = PaymentPage { tid, redirect, ready_at, expires_at, cid };
                self.record_ready(attempt, page)
            }
            OrderCommand::RecordReturn { attempt, returned_as, at } => {
                self.record_return(attempt, returned_as, at)
            }
            OrderCommand::RecordApproval(told) => self.record_approval(*told),
            OrderCommand::RecordDecline { attempt, step, class, code, at } => {
                self.record_decline(attempt, step, class, code, at)
            }
            OrderCommand::RecordUnresolved { attempt, step, reason, at } => {
                self.record_unresolved(attempt, step, reason, at)
            }
            OrderCommand::RecordNotSent { attempt, step, at } => {
                self.record_not_sent(attempt, step, at)
            }
            OrderCommand::RecordTokenRefused { attempt, code, at } => {
                self.record_token_refused(attempt, code, at)
            }
            OrderCommand::ExpireOrder { at } => Ok(self.expire(at)),
            OrderCommand::CancelOrder { by, refund_id, reason, at } => {
                self.cancel(by, refund_id, reason.as_ref(), at)
            }
            OrderCommand::RequestRefund { by, refund_id, amount, attempt, reason, at } => {
                let wanted = RefundWanted { refund_id, amount, attempt };
                self.request_refund(by, wanted, reason, at)
            }
            OrderCommand::RecordRefund { refund_id, aid, amount, refunded_at, at } => {
                self.record_refund(refund_id, aid, amount, refunded_at, at)
            }
            OrderCommand::RecordRefundUnresolved { refund_id, reason, at } => {
                self.record_refund_unresolved(refund_id, reason, at)
            }
            OrderCommand::RecordRefundFailure { refund_id, class, code, at } => {
                self.record_refund_failure(refund_id, class, code, at)
            }
            OrderCommand::RecordDifferences { attempt, found, at } => {
                self.record_differences(attempt, &found, at)
            }
            OrderCommand::ChangeReceiver { by, receiver } => self.change_receiver(by, receiver),
        }
    }
}

impl EventSourced for Order {
    type Body = OrderEvent;
    type Order = OrderCommand;
    type Refused = OrderRefusal;

    fn decide(&self, command: OrderCommand) -> Decision {
        match (self, command) {
            (Self::Unplaced, OrderCommand::PlaceOrder(command)) => placing::place(*command),
            (Self::Unplaced, _) => Err(OrderRefusal::NotFound),
            (Self::Placed(order), command) => order.decide(command),
        }
    }

    fn evolve(&mut self, event: &OrderEvent) {
        fold::evolve(self, event);
    }

    fn effects(&self, event: &OrderEvent) -> Vec<Effect> {
        self.placed().and_then(|order| order.effect(event)).into_iter().collect()
    }

    fn claims(event: &OrderEvent) -> Vec<Claim> {
        if let OrderEvent::Placed { number, .. } = event {
            return vec![Claim::Take { kind: CLAIM_NUMBER, name: number.to_string() }];
        }
        Vec::new()
    }
}

crate::aggregate!(Order, OrderEvent, OrderCommand, OrderRefusal);

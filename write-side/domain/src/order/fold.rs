//! Folding the events of an order. Total and dull: no judgement, no clock, nothing refused.

use contracts::RefundId;
use contracts::events::{GatewayStep, OrderEvent, ReturnedAs};

use super::comparing::{Differences, Sides};
use super::state::{
    Approval, Attempt, Course, Order, PaymentPage, PlacedOrder, Refund, RefundStage, Stage,
};

/// Folds one event into the order.
pub(super) fn evolve(order: &mut Order, event: &OrderEvent) {
    match (&mut *order, event) {
        (
            Order::Unplaced,
            OrderEvent::Placed {
                order_id,
                number,
                user_id,
                kind,
                from_cart,
                lines,
                total,
                tax_free,
                vat,
                receiver,
                placed_at,
                expires_at,
            },
        ) => {
            *order = Order::Placed(Box::new(PlacedOrder {
                order_id: *order_id,
                number: number.clone(),
                user_id: *user_id,
                kind: *kind,
                from_cart: *from_cart,
                lines: lines.clone(),
                total: *total,
                tax_free: *tax_free,
                vat: *vat,
                receiver: receiver.clone(),
                placed_at: *placed_at,
                expires_at: *expires_at,
                course: Course::Open,
                attempts: Vec::new(),
                refunds: Vec::new(),
            }));
        }
        (Order::Placed(placed), event) => placed.fold(event),
        // History of an order that was never placed: there is nothing to fold it into.
        (Order::Unplaced, _) => {}
    }
}

impl PlacedOrder {
    fn fold(&mut self, event: &OrderEvent) {
        match event {
            // Placed once; a second one would be history that `decide` never writes.
            OrderEvent::Placed { .. } => {}
            OrderEvent::Expired { .. } => self.course = Course::Expired,
            OrderEvent::Cancelled { .. } => self.course = Course::Cancelled,
            OrderEvent::ReceiverChanged { receiver } => self.receiver = receiver.clone(),
            OrderEvent::RefundRequested { .. }
            | OrderEvent::RefundSucceeded { .. }
            | OrderEvent::RefundFailed { .. } => self.fold_refund(event),
            OrderEvent::PaymentRequested { .. } => self.fold_request(event),
            OrderEvent::PaymentReady { attempt, .. }
            | OrderEvent::PaymentReturned { attempt, .. }
            | OrderEvent::PaymentApprovalRequested { attempt, .. }
            | OrderEvent::PaymentApproved { attempt, .. }
            | OrderEvent::PaymentDeclined { attempt, .. }
            | OrderEvent::PaymentUnresolved { attempt, .. }
            | OrderEvent::PaymentAbandoned { attempt, .. }
            | OrderEvent::PaymentDifferenceFound { attempt, .. }
            | OrderEvent::PaymentDifferenceSettled { attempt, .. } => {
                let number = *attempt;
                if let Some(attempt) = self.attempt_mut(number) {
                    attempt.fold(event);
                }
            }
        }
    }

    fn fold_request(&mut self, event: &OrderEvent) {
        let OrderEvent::PaymentRequested {
            attempt,
            partner_order_id,
            item_name,
            quantity,
            amount,
            tax_free,
            vat,
            recurring,
            requested_at,
        } = event
        else {
            return;
        };
        self.attempts.push(Attempt {
            number: *attempt,
            partner_order_id: partner_order_id.clone(),
            item_name: item_name.clone(),
            quantity: *quantity,
            amount: *amount,
            tax_free: *tax_free,
            vat: *vat,
            recurring: *recurring,
            requested_at: *requested_at,
            page: None,
            returned: false,
            stage: Stage::Requested,
            refund_unresolved: false,
            differences: Differences::new(),
        });
    }

    fn fold_refund(&mut self, event: &OrderEvent) {
        if let OrderEvent::RefundRequested {
            refund_id,
            attempt,
            amount,
            tax_free,
            requested_at,
            ..
        } = event
        {
            self.refunds.push(Refund {
                id: *refund_id,
                attempt: *attempt,
                amount: *amount,
                tax_free: *tax_free,
                requested_at: *requested_at,
                stage: RefundStage::Pending,
            });
        }
        if let OrderEvent::RefundSucceeded { refund_id, .. } = event {
            self.settle_refund(*refund_id, RefundStage::Succeeded);
        }
        if let OrderEvent::RefundFailed { refund_id, class, code, .. } = event {
            let failed = RefundStage::Failed { class: *class, code: code.clone() };
            self.settle_refund(*refund_id, failed);
        }
    }

    fn settle_refund(&mut self, refund_id: RefundId, stage: RefundStage) {
        let Some(refund) = self.refunds.iter_mut().find(|it| it.id == refund_id) else {
            return;
        };
        refund.stage = stage;
        let number = refund.attempt;
        if let Some(attempt) = self.attempt_mut(number) {
            attempt.refund_unresolved = false;
        }
    }

    fn attempt_mut(&mut self, number: u32) -> Option<&mut Attempt> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.attempts.get_mut(index)
    }
}

impl Attempt {
    fn fold(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::PaymentReady { tid, redirect, ready_at, expires_at, cid, .. } => {
                self.page = Some(PaymentPage {
                    tid: tid.clone(),
                    redirect: redirect.clone(),
                    ready_at: *ready_at,
                    expires_at: *expires_at,
                    cid: cid.clone(),
                });
                self.stage = Stage::Ready;
            }
            OrderEvent::PaymentReturned {
                returned_as:
                    ReturnedAs::Authenticated { .. } | ReturnedAs::Cancelled | ReturnedAs::Failed,
                ..
            } => self.returned = true,
            OrderEvent::PaymentApprovalRequested { requested_at, .. } => {
                self.stage = Stage::ApprovalRequested { at: *requested_at };
            }
            OrderEvent::PaymentApproved {
                tid,
                aid,
                amount,
                method,
                approved_at,
                billing_key,
                ..
            } => {
                self.stage = Stage::Approved(Approval {
                    tid: tid.clone(),
                    aid: aid.clone(),
                    amount: *amount,
                    method: *method,
                    approved_at: *approved_at,
                    billing_key: *billing_key,
                });
            }
            OrderEvent::PaymentDeclined { step, class, code, .. } => {
                self.stage = Stage::Declined { step: *step, class: *class, code: code.clone() };
            }
            OrderEvent::PaymentUnresolved { step: GatewayStep::Cancel, .. } => {
                self.refund_unresolved = true;
            }
            OrderEvent::PaymentUnresolved { reason, unresolved_at, .. } => {
                self.stage = Stage::Unresolved { reason: reason.clone(), at: *unresolved_at };
            }
            OrderEvent::PaymentAbandoned { reason, .. } => {
                self.stage = Stage::Abandoned { reason: *reason };
            }
            OrderEvent::PaymentDifferenceFound { kind, ours, theirs, .. } => {
                let sides = Sides { ours: ours.clone(), theirs: theirs.clone() };
                self.differences.insert(*kind, sides);
            }
            OrderEvent::PaymentDifferenceSettled { kind, .. } => {
                self.differences.remove(kind);
            }
            // These are not about one attempt's course; `PlacedOrder::fold` takes them.
            OrderEvent::Placed { .. }
            | OrderEvent::PaymentRequested { .. }
            | OrderEvent::Expired { .. }
            | OrderEvent::Cancelled { .. }
            | OrderEvent::RefundRequested { .. }
            | OrderEvent::RefundSucceeded { .. }
            | OrderEvent::RefundFailed { .. }
            | OrderEvent::ReceiverChanged { .. } => {}
        }
    }
}

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
            OrderEvent::PaymentUnresolved {
                attempt, step: GatewayStep::Cancel, refund_id, ..
            } => self.fold_refund_unresolved(*attempt, *refund_id),
            OrderEvent::PaymentReady { attempt, .. }
            | OrderEvent::PaymentReturned { attempt, .. }
            | OrderEvent::PaymentApprovalRequested { attempt, .. }
            | OrderEvent::PaymentApproved { attempt, .. }
            | OrderEvent::PaymentDeclined { attempt, .. }
            | OrderEvent::PaymentUnresolved { attempt, .. }
            | OrderEvent::PaymentTokenRefused { attempt, .. }
            | OrderEvent::PaymentAbandoned { attempt, .. }
            | OrderEvent::PaymentDifferenceFound { attempt, .. }
            | OrderEvent::PaymentDifferenceSettled { attempt, .. } => {
                // An open page keeps the order open, however late it was asked for.
                if let OrderEvent::PaymentReady { expires_at, .. } = event {
                    self.expires_at = self.expires_at.max(*expires_at);
                }
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
            token_marks: Vec::new(),
            waiting_tokens: Vec::new(),
            tokens_refused: 0,
            stage: Stage::Requested,
            was_declined: false,
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
            refundable_before,
            by,
            ..
        } = event
        {
            self.refunds.push(Refund {
                id: *refund_id,
                attempt: *attempt,
                amount: *amount,
                tax_free: *tax_free,
                requested_at: *requested_at,
                by: *by,
                leaves_nothing: amount == refundable_before,
                is_unresolved: false,
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
        if let Some(refund) = self.refunds.iter_mut().find(|it| it.id == refund_id) {
            refund.stage = stage;
            refund.is_unresolved = false;
        }
    }

    /// Events that are older than the field name no refund: the oldest pending one of the attempt is
    /// meant, because refunds are carried out one after another.
    fn fold_refund_unresolved(&mut self, attempt: u32, refund_id: Option<RefundId>) {
        let is_meant = |refund: &Refund| match refund_id {
            Some(id) => refund.id == id,
            None => refund.attempt == attempt && refund.stage == RefundStage::Pending,
        };
        if let Some(refund) = self.refunds.iter_mut().find(|refund| is_meant(refund)) {
            refund.is_unresolved = true;
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
                returned_as: ReturnedAs::Authenticated { pg_token, token_mark },
                ..
            } => {
                self.token_marks.push(token_mark.clone());
                self.waiting_tokens.push(pg_token.clone());
            }
            OrderEvent::PaymentApprovalRequested { pg_token, requested_at, .. } => {
                self.waiting_tokens.retain(|waiting| waiting != pg_token);
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
                self.was_declined = true;
                self.stage = Stage::Declined { step: *step, class: *class, code: code.clone() };
            }
            OrderEvent::PaymentTokenRefused { .. } => {
                self.tokens_refused += 1;
                self.stage = Stage::Ready;
            }
            OrderEvent::PaymentUnresolved { reason, unresolved_at, .. } => {
                self.stage = Stage::Unresolved { reason: reason.clone(), at: *unresolved_at };
            }
            OrderEvent::PaymentAbandoned { reason, .. } => {
                self.stage = Stage::Abandoned { reason: *reason };
            }
            OrderEvent::PaymentDifferenceFound { .. }
            | OrderEvent::PaymentDifferenceSettled { .. } => self.fold_difference(event),
            OrderEvent::PaymentReturned {
                returned_as: ReturnedAs::Cancelled | ReturnedAs::Failed, ..
            }
            // What brings no token, and what `PlacedOrder::fold` takes.
            | OrderEvent::Placed { .. }
            | OrderEvent::PaymentRequested { .. }
            | OrderEvent::Expired { .. }
            | OrderEvent::Cancelled { .. }
            | OrderEvent::RefundRequested { .. }
            | OrderEvent::RefundSucceeded { .. }
            | OrderEvent::RefundFailed { .. }
            | OrderEvent::ReceiverChanged { .. } => {}
        }
    }

    fn fold_difference(&mut self, event: &OrderEvent) {
        if let OrderEvent::PaymentDifferenceFound { kind, ours, theirs, .. } = event {
            let sides = Sides { ours: ours.clone(), theirs: theirs.clone() };
            self.differences.insert(*kind, sides);
        }
        if let OrderEvent::PaymentDifferenceSettled { kind, .. } = event {
            self.differences.remove(kind);
        }
    }
}

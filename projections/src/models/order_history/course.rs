//! What became of an order: its attempts to pay, its refunds, its end. Total and dull.
//!
//! The status is money first, as in the order itself: paid in time, it is paid or refunded, whatever
//! follows. A payment that came too late changes nothing about how the order ended.

use chrono::{DateTime, Utc};
use contracts::events::{
    AbandonReason, DeclineClass, GatewayStep, OrderEvent, PaymentMethod, RedirectUrls,
};
use contracts::{OrderId, RefundId, Won};
use serde::{Deserialize, Serialize};

/// What became of an order after it was placed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Course {
    pub(super) end: End,
    pub(super) attempts: Vec<Attempt>,
    pub(super) refunds: Vec<Refund>,
}

/// Whether it was ended from outside its payments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) enum End {
    #[default]
    Open,
    Expired,
    Cancelled,
}

/// One try to pay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Attempt {
    pub(super) number: u32,
    pub(super) amount: Won,
    pub(super) requested_at: DateTime<Utc>,
    pub(super) stage: Stage,
    /// Where the shopper pays, while an approval is under way: should its token be refused, the page
    /// is open again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    page: Option<Page>,
    /// Whether it was declined before its approval came, too late: that is still how it ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    was_declined: bool,
}

/// A payment page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Page {
    redirect: RedirectUrls,
    expires_at: DateTime<Utc>,
}

/// Where a try to pay stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Stage {
    Requested,
    Ready { redirect: RedirectUrls, expires_at: DateTime<Utc> },
    Approving,
    Unresolved,
    Approved { paid: Won, method: PaymentMethod, approved_at: DateTime<Utc> },
    Declined { class: DeclineClass },
    Abandoned { reason: AbandonReason },
}

/// One refund.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Refund {
    pub(super) id: RefundId,
    pub(super) attempt: u32,
    pub(super) amount: Won,
    pub(super) requested_at: DateTime<Utc>,
    pub(super) stage: RefundStage,
    /// Whether it was made by itself because the approval came too late.
    pub(super) is_automatic: bool,
}

/// Where a refund stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum RefundStage {
    Requested,
    Succeeded { refunded_at: DateTime<Utc> },
    Failed,
}

impl Course {
    /// Folds one event of the order `id` in.
    pub(super) fn fold(&mut self, id: OrderId, event: &OrderEvent) {
        match event {
            OrderEvent::Expired { .. } => self.end = End::Expired,
            OrderEvent::Cancelled { .. } => self.end = End::Cancelled,
            OrderEvent::PaymentRequested { attempt, amount, requested_at, .. } => {
                self.attempts.push(Attempt {
                    number: *attempt,
                    amount: *amount,
                    requested_at: *requested_at,
                    stage: Stage::Requested,
                    page: None,
                    was_declined: false,
                });
            }
            OrderEvent::RefundRequested { refund_id, attempt, amount, requested_at, .. } => {
                self.refunds.push(Refund {
                    id: *refund_id,
                    attempt: *attempt,
                    amount: *amount,
                    requested_at: *requested_at,
                    stage: RefundStage::Requested,
                    is_automatic: *refund_id == RefundId::automatic(id, *attempt),
                });
            }
            OrderEvent::RefundSucceeded { refund_id, refunded_at, .. } => {
                self.settle(*refund_id, RefundStage::Succeeded { refunded_at: *refunded_at });
            }
            OrderEvent::RefundFailed { refund_id, .. } => {
                self.settle(*refund_id, RefundStage::Failed);
            }
            OrderEvent::PaymentReady { attempt, .. }
            | OrderEvent::PaymentApprovalRequested { attempt, .. }
            | OrderEvent::PaymentApproved { attempt, .. }
            | OrderEvent::PaymentDeclined { attempt, .. }
            | OrderEvent::PaymentUnresolved { attempt, .. }
            | OrderEvent::PaymentTokenRefused { attempt, .. }
            | OrderEvent::PaymentAbandoned { attempt, .. } => self.advance(*attempt, event),
            // Coming back moves nothing by itself: an approval or the end of the attempt follows.
            // Differences from the gateway's books are the shop's business and not the shopper's.
            OrderEvent::Placed { .. }
            | OrderEvent::PaymentDifferenceFound { .. }
            | OrderEvent::PaymentDifferenceSettled { .. }
            | OrderEvent::PaymentReturned { .. }
            | OrderEvent::ReceiverChanged { .. } => {}
        }
    }

    fn settle(&mut self, id: RefundId, stage: RefundStage) {
        if let Some(refund) = self.refunds.iter_mut().find(|refund| refund.id == id) {
            refund.stage = stage;
        }
    }

    fn advance(&mut self, number: u32, event: &OrderEvent) {
        let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.number == number)
        else {
            return;
        };
        if let OrderEvent::PaymentTokenRefused { .. } = event {
            attempt.reopen();
        } else if let Some(stage) = stage_after(event) {
            attempt.move_to(stage);
        }
    }

    /// The stored name of where the order stands.
    pub(super) fn status(&self) -> &'static str {
        if let Some((attempt, paid)) = self.paid_in_time() {
            return match self.refunded_of(attempt, paid) {
                Won::ZERO => "PAID",
                part if part < paid => "PARTLY_REFUNDED",
                _ => "REFUNDED",
            };
        }
        if self.attempts.iter().any(|attempt| attempt.stage == Stage::Unresolved) {
            return "UNRESOLVED";
        }
        match (self.end, self.attempts.last().map(|attempt| &attempt.stage)) {
            (End::Expired, _) => "EXPIRED",
            (End::Cancelled, _) => "CANCELLED",
            (End::Open, Some(Stage::Declined { .. })) => "DECLINED",
            (End::Open, Some(Stage::Approved { .. })) if self.was_latest_declined() => "DECLINED",
            (
                End::Open,
                Some(Stage::Requested | Stage::Ready { .. } | Stage::Approving | Stage::Unresolved),
            ) => "AWAITING_PAYMENT",
            (End::Open, Some(Stage::Approved { .. } | Stage::Abandoned { .. }) | None) => "PLACED",
        }
    }

    fn was_latest_declined(&self) -> bool {
        self.attempts.last().is_some_and(|attempt| attempt.was_declined)
    }

    /// What was approved by the attempt that paid the order, or came too late to, and what went back
    /// of it.
    pub(super) fn money(&self) -> (Won, Won) {
        let Some((attempt, paid)) = self.paid_in_time().or_else(|| self.approved().next()) else {
            return (Won::ZERO, Won::ZERO);
        };
        (paid, self.refunded_of(attempt, paid))
    }

    fn refunded_of(&self, attempt: u32, paid: Won) -> Won {
        let went_back = self.refunds.iter().filter(|refund| {
            refund.attempt == attempt && matches!(refund.stage, RefundStage::Succeeded { .. })
        });
        Won::sum(went_back.map(|refund| refund.amount)).unwrap_or(paid)
    }

    /// The attempt that paid the order while it waited for it, and what it paid.
    fn paid_in_time(&self) -> Option<(u32, Won)> {
        let came_too_late = |number: u32| {
            self.refunds.iter().any(|refund| refund.is_automatic && refund.attempt == number)
        };
        self.approved().find(|(number, _)| !came_too_late(*number))
    }

    /// The approved attempts, and what each paid.
    fn approved(&self) -> impl Iterator<Item = (u32, Won)> {
        self.attempts.iter().filter_map(|attempt| match &attempt.stage {
            Stage::Approved { paid, .. } => Some((attempt.number, *paid)),
            Stage::Requested
            | Stage::Ready { .. }
            | Stage::Approving
            | Stage::Unresolved
            | Stage::Declined { .. }
            | Stage::Abandoned { .. } => None,
        })
    }
}

impl Attempt {
    /// The page is kept while an approval is under way, and no longer.
    fn move_to(&mut self, stage: Stage) {
        self.was_declined |= matches!(stage, Stage::Declined { .. });
        let left = std::mem::replace(&mut self.stage, stage);
        self.page = match (left, &self.stage) {
            (Stage::Ready { redirect, expires_at }, Stage::Approving) => {
                Some(Page { redirect, expires_at })
            }
            _ => None,
        };
    }

    fn reopen(&mut self) {
        if let Some(Page { redirect, expires_at }) = self.page.take() {
            self.stage = Stage::Ready { redirect, expires_at };
        }
    }
}

/// Where an attempt stands after `event`; `None` when that leaves it where it is.
fn stage_after(event: &OrderEvent) -> Option<Stage> {
    match event {
        OrderEvent::PaymentReady { redirect, expires_at, .. } => {
            Some(Stage::Ready { redirect: redirect.clone(), expires_at: *expires_at })
        }
        OrderEvent::PaymentApprovalRequested { .. } => Some(Stage::Approving),
        OrderEvent::PaymentApproved { amount, method, approved_at, .. } => {
            Some(Stage::Approved { paid: amount.total, method: *method, approved_at: *approved_at })
        }
        OrderEvent::PaymentDeclined { class, .. } => Some(Stage::Declined { class: *class }),
        OrderEvent::PaymentUnresolved {
            step: GatewayStep::Ready | GatewayStep::Approve, ..
        } => Some(Stage::Unresolved),
        OrderEvent::PaymentAbandoned { reason, .. } => Some(Stage::Abandoned { reason: *reason }),
        // An unresolved cancel is about a refund, whose own events follow.
        OrderEvent::PaymentUnresolved { step: GatewayStep::Cancel, .. }
        | OrderEvent::PaymentTokenRefused { .. }
        | OrderEvent::Placed { .. }
        | OrderEvent::PaymentRequested { .. }
        | OrderEvent::PaymentReturned { .. }
        | OrderEvent::Expired { .. }
        | OrderEvent::Cancelled { .. }
        | OrderEvent::RefundRequested { .. }
        | OrderEvent::RefundSucceeded { .. }
        | OrderEvent::RefundFailed { .. }
        | OrderEvent::PaymentDifferenceFound { .. }
        | OrderEvent::PaymentDifferenceSettled { .. }
        | OrderEvent::ReceiverChanged { .. } => None,
    }
}

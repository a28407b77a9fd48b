//! What an order knows about itself: a fold of its events, and the questions asked of it.

use chrono::{DateTime, Utc};
use contracts::events::{
    AbandonReason, ApprovedAmount, CancelledBy, DeclineClass, GatewayStep, OrderKind, OrderLine,
    PaymentMethod, RedirectUrls,
};
use contracts::{
    BillingKeyId, OrderId, OrderNumber, Receiver, RefundId, Sealed, Text, UserId, Won,
};
use serde::{Deserialize, Serialize};

use super::comparing::Differences;
use super::status::OrderStatus;

/// One order, or the absence of one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Order {
    /// Nothing was ordered under this id.
    #[default]
    Unplaced,
    /// Somebody ordered.
    Placed(Box<PlacedOrder>),
}

/// An order that somebody placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedOrder {
    /// Which.
    pub order_id: OrderId,
    /// The number for people.
    pub number: OrderNumber,
    /// The owner.
    pub user_id: UserId,
    /// One-off or subscription.
    pub kind: OrderKind,
    /// Whether the lines leave the owner's cart when paid.
    pub from_cart: bool,
    /// The lines, as on the day of the order.
    pub lines: Vec<OrderLine>,
    /// Sum of price times quantity.
    pub total: Won,
    /// The tax-free part of it.
    pub tax_free: Won,
    /// The value-added tax in it.
    pub vat: Won,
    /// To whom.
    pub receiver: Sealed<Receiver>,
    /// When it was placed.
    pub placed_at: DateTime<Utc>,
    /// When it expires unless a payment is being approved: a time after it was placed, and not
    /// before the end of any payment page that was opened for it.
    pub expires_at: DateTime<Utc>,
    /// Whether it still waits to be paid.
    pub course: Course,
    /// Every payment attempt, oldest first; attempt `n` stands at index `n - 1`.
    pub attempts: Vec<Attempt>,
    /// Every refund, oldest first.
    pub refunds: Vec<Refund>,
}

/// Whether an order was ended from outside its payments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Course {
    /// It was not.
    Open,
    /// Nobody paid in time.
    Expired,
    /// It was called off before it was paid.
    Cancelled,
}

/// One try to pay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number within the order, from 1.
    pub number: u32,
    /// What the gateway knows it as.
    pub partner_order_id: Text<100>,
    /// What the gateway shows as bought.
    pub item_name: Text<100>,
    /// Pieces in all.
    pub quantity: u32,
    /// To be paid.
    pub amount: Won,
    /// The tax-free part of it.
    pub tax_free: Won,
    /// The value-added tax in it.
    pub vat: Won,
    /// Whether the approval also yields a recurring key.
    pub recurring: bool,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// The payment page, once the gateway opened one.
    pub page: Option<PaymentPage>,
    /// The marks of the tokens that the shopper's browser came back with, oldest first.
    pub token_marks: Vec<Option<Text<64>>>,
    /// Tokens that came back while another one was being tried, oldest first.
    pub waiting_tokens: Vec<Sealed<String>>,
    /// How many of its tokens the gateway refused.
    pub tokens_refused: usize,
    /// Where it stands.
    pub stage: Stage,
    /// Whether the gateway ever refused it, which an approval that comes afterwards does not undo.
    #[serde(default)]
    pub was_declined: bool,
    /// In what the gateway's books differ from ours, as of the last comparison.
    pub differences: Differences,
}

/// Where the shopper pays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentPage {
    /// The gateway's id of the payment.
    pub tid: Text<64>,
    /// Where the browser goes.
    pub redirect: RedirectUrls,
    /// When the gateway opened it.
    pub ready_at: DateTime<Utc>,
    /// When it stops working.
    pub expires_at: DateTime<Utc>,
    /// The merchant code it was opened with, where that is on record.
    #[serde(default)]
    pub cid: Option<Text<64>>,
}

/// Where a payment attempt stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The gateway is being asked for a page.
    Requested,
    /// The shopper has a page to pay on.
    Ready,
    /// The gateway is being asked to move the money.
    ApprovalRequested {
        /// Since when.
        at: DateTime<Utc>,
    },
    /// Nobody knows whether money moved.
    Unresolved {
        /// What happened.
        reason: Text<100>,
        /// Since when.
        at: DateTime<Utc>,
    },
    /// The money moved, exactly the amount asked for.
    Approved(Approval),
    /// The gateway said no.
    Declined {
        /// To which call.
        step: GatewayStep,
        /// What sort of no.
        class: DeclineClass,
        /// The gateway's code.
        code: Text<100>,
    },
    /// It ended and no money moved.
    Abandoned {
        /// Why.
        reason: AbandonReason,
    },
}

/// What the gateway booked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The gateway's id of the payment.
    pub tid: Text<64>,
    /// The gateway's id of the approval.
    pub aid: Text<64>,
    /// What was booked.
    pub amount: ApprovedAmount,
    /// What it was paid with.
    pub method: PaymentMethod,
    /// When.
    pub approved_at: DateTime<Utc>,
    /// The recurring key it yielded.
    pub billing_key: Option<BillingKeyId>,
}

/// One refund.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// Which.
    pub id: RefundId,
    /// The attempt whose money it gives back.
    pub attempt: u32,
    /// How much.
    pub amount: Won,
    /// The tax-free part of it.
    pub tax_free: Won,
    /// When it was requested.
    pub requested_at: DateTime<Utc>,
    /// Who asked for it.
    pub by: CancelledBy,
    /// Whether nothing of the payment was left to be asked for after it.
    pub leaves_nothing: bool,
    /// Whether the call got no answer that we know of.
    pub is_unresolved: bool,
    /// Where it stands.
    pub stage: RefundStage,
}

/// Where a refund stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefundStage {
    /// The gateway is being asked.
    Pending,
    /// The money went back.
    Succeeded,
    /// The gateway refused; the sum is free to be asked for again.
    Failed {
        /// What sort of no.
        class: DeclineClass,
        /// The gateway's code.
        code: Text<100>,
    },
}

impl Stage {
    /// What the gateway booked, when it did.
    pub const fn approval(&self) -> Option<&Approval> {
        match self {
            Self::Approved(approval) => Some(approval),
            Self::Requested
            | Self::Ready
            | Self::ApprovalRequested { .. }
            | Self::Unresolved { .. }
            | Self::Declined { .. }
            | Self::Abandoned { .. } => None,
        }
    }

    /// Whether the attempt may still lead to money moving as far as we know.
    pub const fn is_open(&self) -> bool {
        match self {
            Self::Requested
            | Self::Ready
            | Self::ApprovalRequested { .. }
            | Self::Unresolved { .. } => true,
            Self::Approved(_) | Self::Declined { .. } | Self::Abandoned { .. } => false,
        }
    }
}

impl Attempt {
    /// What was paid by it; nothing unless it was approved.
    pub fn paid(&self) -> Won {
        self.stage.approval().map_or(Won::ZERO, |approval| approval.amount.total)
    }
}

impl RefundStage {
    /// Whether its sum is taken: it went through or is pending.
    pub const fn is_taken(&self) -> bool {
        match self {
            Self::Pending | Self::Succeeded => true,
            Self::Failed { .. } => false,
        }
    }
}

impl Order {
    /// The order, when one was placed.
    pub fn placed(&self) -> Option<&PlacedOrder> {
        match self {
            Self::Unplaced => None,
            Self::Placed(order) => Some(order),
        }
    }

    /// Its owner.
    pub fn owner(&self) -> Option<UserId> {
        self.placed().map(|order| order.user_id)
    }

    /// Where it stands.
    pub fn status(&self) -> Option<OrderStatus> {
        self.placed().map(PlacedOrder::status)
    }

    /// The newest payment attempt.
    pub fn latest_attempt(&self) -> Option<&Attempt> {
        self.placed().and_then(PlacedOrder::latest_attempt)
    }
}

impl PlacedOrder {
    /// The newest payment attempt.
    pub fn latest_attempt(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// The attempt with this number, from 1.
    pub fn attempt(&self, number: u32) -> Option<&Attempt> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.attempts.get(index)
    }

    /// The attempt that may still lead to money moving; at most one is open.
    pub fn open_attempt(&self) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.stage.is_open())
    }

    /// The attempt that paid the order: an approved one, rather one that came in time.
    pub fn payment(&self) -> Option<&Attempt> {
        self.paid_in_time().or_else(|| self.approved().next())
    }

    /// The attempt that paid the order while it waited to be paid; at most one does.
    pub fn paid_in_time(&self) -> Option<&Attempt> {
        self.approved().find(|attempt| !self.came_too_late(attempt))
    }

    fn approved(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().filter(|attempt| attempt.stage.approval().is_some())
    }

    /// The attempt whose outcome nobody knows.
    pub fn unresolved_attempt(&self) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| matches!(attempt.stage, Stage::Unresolved { .. }))
    }

    /// The refund with this id.
    pub fn refund(&self, refund_id: RefundId) -> Option<&Refund> {
        self.refunds.iter().find(|refund| refund.id == refund_id)
    }

    /// What went back of the money of `attempt`.
    pub fn refunded_of(&self, attempt: &Attempt) -> Won {
        self.sum_of_refunds(attempt, |stage| matches!(stage, RefundStage::Succeeded))
    }

    /// What can still be asked back of the money of `attempt`: refunds that went through or are
    /// pending are taken off, failed ones are not.
    pub fn refundable_of(&self, attempt: &Attempt) -> Won {
        let taken = self.sum_of_refunds(attempt, RefundStage::is_taken);
        attempt.paid().checked_sub(taken).unwrap_or(Won::ZERO)
    }

    /// Whether the approval of `attempt` came when it could no longer pay the order: then, and only
    /// then, its automatic refund is on record.
    pub fn came_too_late(&self, attempt: &Attempt) -> bool {
        self.refund(RefundId::automatic(self.order_id, attempt.number)).is_some()
    }

    pub(super) fn sum_of_refunds(
        &self,
        attempt: &Attempt,
        counts: impl Fn(&RefundStage) -> bool,
    ) -> Won {
        let amounts = self
            .refunds
            .iter()
            .filter(|refund| refund.attempt == attempt.number && counts(&refund.stage))
            .map(|refund| refund.amount);
        // Amounts are checked against what was paid, so they can't overflow; should history hold
        // worse, nothing more is refundable.
        Won::sum(amounts).unwrap_or_else(|| attempt.paid())
    }
}

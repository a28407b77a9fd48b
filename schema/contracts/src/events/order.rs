//! What happens to an order and to the payments made for it.
//!
//! A payment attempt is numbered from 1 within its order. The gateway's secrets (the token of the
//! return, the recurring key) appear sealed or by reference only.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::event_body;
use crate::{
    BillingKeyId, DiscountRate, ItemId, OrderId, OrderNumber, Period, Quantity, Receiver, RefundId,
    Text, UserId, Won,
};

use crate::personal::Sealed;

/// Bought once, or opening subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderKind {
    /// No line has a period.
    OneOff,
    /// Every line has a period and opens a subscription when paid.
    Subscription,
}

/// One line of an order: a snapshot of the day it was placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    /// Place in the order, from 1.
    pub line_no: u16,
    /// What.
    pub item_id: ItemId,
    /// Its name on that day.
    pub item_name: Text<300>,
    /// Price of one piece before discount.
    pub origin_price: Won,
    /// Discount on that day, in tenths of a percent.
    pub discount_rate: DiscountRate,
    /// Price of one piece after discount.
    pub unit_price: Won,
    /// How many.
    pub quantity: Quantity,
    /// How often it comes; in subscription orders always, otherwise never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
}

/// Which call to the gateway something is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayStep {
    /// Opening the payment page.
    Ready,
    /// Moving the money.
    Approve,
    /// Giving money back.
    Cancel,
}

/// Where a shopper's browser goes to pay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedirectUrls {
    /// For a desktop browser.
    pub pc: Text<2000>,
    /// For a mobile browser.
    pub mobile: Text<2000>,
    /// For a web view in an app.
    pub app: Text<2000>,
}

/// How the shopper came back from the payment page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReturnedAs {
    /// With the token that lets us move the money; no proof of payment by itself.
    Authenticated {
        /// The gateway's one-time token, under the user's key.
        pg_token: Sealed<String>,
        /// A keyed digest of the token: tells a repeated return from one with another token.
        /// Absent in events that are older than the field.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token_mark: Option<Text<64>>,
    },
    /// The shopper left the page.
    Cancelled,
    /// The page said it failed.
    Failed,
}

/// What was paid with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentMethod {
    /// A card.
    Card,
    /// The gateway's own money.
    Money,
    /// Something the gateway named that we don't know yet.
    Other,
}

/// The parts of an approved amount, in won, as the gateway booked them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovedAmount {
    /// The whole.
    pub total: Won,
    /// The tax-free part.
    pub tax_free: Won,
    /// The value-added tax in it.
    pub vat: Won,
    /// The part paid with points.
    pub point: Won,
    /// The part the gateway discounted.
    pub discount: Won,
}

/// What sort of no the gateway gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeclineClass {
    /// May work another day or with another card.
    Soft,
    /// Won't work without the shopper doing something.
    Hard,
    /// The payment page's time ran out.
    Expired,
    /// Our own configuration or contract; no fault of the shopper's.
    Merchant,
    /// The gateway's answer did not match what we asked for; alarmed, never counted as paid.
    Mismatch,
}

/// Why a payment attempt ended without an answer about money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbandonReason {
    /// The shopper left the page.
    CancelledByShopper,
    /// The page reported a failure.
    FailedOnPage,
    /// The gateway could not be reached; nothing was sent.
    NotSent,
    /// The order expired.
    Expired,
    /// The order was cancelled.
    OrderCancelled,
}

/// Who ended an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelledBy {
    /// Its owner.
    User,
    /// An administrator.
    Admin,
    /// The system.
    System,
}

/// In what the gateway's books differ from ours about one payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// What was paid.
    Amount,
    /// What of it went back.
    Cancelled,
    /// How the payment stands.
    Status,
    /// Their answer is about something else than was asked for.
    Mismatch,
    /// They refuse to tell of a payment that we booked.
    Refused,
    /// We have no outcome, and they tell none that could be booked.
    Unresolved,
}

impl DifferenceKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Amount,
        Self::Cancelled,
        Self::Status,
        Self::Mismatch,
        Self::Refused,
        Self::Unresolved,
    ];

    /// Its name, as events and tables have it and as metrics are labelled.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Amount => "amount",
            Self::Cancelled => "cancelled",
            Self::Status => "status",
            Self::Mismatch => "mismatch",
            Self::Refused => "refused",
            Self::Unresolved => "unresolved",
        }
    }
}

/// Facts about one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderEvent {
    /// The order was placed; every amount in it is a snapshot of that moment.
    #[serde(rename = "OrderPlaced")]
    Placed {
        /// Which order: attempts, refunds and subscriptions are named after it.
        order_id: OrderId,
        /// The number for people; claimed, so that it is unique.
        number: OrderNumber,
        /// Whose.
        user_id: UserId,
        /// One-off or subscription.
        kind: OrderKind,
        /// Whether its lines come from the user's cart and leave it when paid.
        from_cart: bool,
        /// 1 to 100 lines.
        lines: Vec<OrderLine>,
        /// Sum of price times quantity.
        total: Won,
        /// The tax-free part of the total; 0 for everything the shop sells today.
        tax_free: Won,
        /// The value-added tax in the total.
        vat: Won,
        /// To whom.
        receiver: Sealed<Receiver>,
        /// When, by the process's clock.
        placed_at: DateTime<Utc>,
        /// When it expires unless a payment is under way.
        expires_at: DateTime<Utc>,
    },
    /// The shopper wants to pay; the gateway is to be asked for a payment page.
    #[serde(rename = "PaymentRequested")]
    PaymentRequested {
        /// Number of the attempt within this order, from 1.
        attempt: u32,
        /// What the gateway knows this attempt as: order id, dash, attempt.
        partner_order_id: Text<100>,
        /// What the gateway shows as bought.
        item_name: Text<100>,
        /// Pieces in all.
        quantity: u32,
        /// To be paid.
        amount: Won,
        /// The tax-free part of it.
        tax_free: Won,
        /// The value-added tax in it.
        vat: Won,
        /// Whether the approval also yields a recurring key.
        recurring: bool,
        /// When, by the process's clock.
        requested_at: DateTime<Utc>,
    },
    /// The gateway opened a payment page.
    #[serde(rename = "PaymentReady")]
    PaymentReady {
        /// Which attempt.
        attempt: u32,
        /// The gateway's id of this payment.
        tid: Text<64>,
        /// Where the browser goes.
        redirect: RedirectUrls,
        /// When the gateway opened it.
        ready_at: DateTime<Utc>,
        /// When the page stops working.
        expires_at: DateTime<Utc>,
        /// The merchant code it was opened with, by which it is looked up and refunded for ever;
        /// absent in events that are older than the field.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cid: Option<Text<64>>,
    },
    /// The shopper's browser came back.
    #[serde(rename = "PaymentReturned")]
    PaymentReturned {
        /// Which attempt.
        attempt: u32,
        /// With what.
        returned_as: ReturnedAs,
        /// When, by the process's clock.
        returned_at: DateTime<Utc>,
    },
    /// The money is to be moved; the gateway is to be asked to approve.
    #[serde(rename = "PaymentApprovalRequested")]
    PaymentApprovalRequested {
        /// Which attempt.
        attempt: u32,
        /// The gateway's id of the payment.
        tid: Text<64>,
        /// The one-time token of the return, under the user's key.
        pg_token: Sealed<String>,
        /// When, by the process's clock.
        requested_at: DateTime<Utc>,
    },
    /// The gateway moved the money, exactly the amount asked for.
    #[serde(rename = "PaymentApproved")]
    PaymentApproved {
        /// Which attempt.
        attempt: u32,
        /// The gateway's id of the payment.
        tid: Text<64>,
        /// The gateway's id of the approval.
        aid: Text<64>,
        /// What was booked.
        amount: ApprovedAmount,
        /// What it was paid with.
        method: PaymentMethod,
        /// When the gateway booked it.
        approved_at: DateTime<Utc>,
        /// The recurring key it yielded, if it did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        billing_key: Option<BillingKeyId>,
    },
    /// The gateway said no; the shopper may try again.
    #[serde(rename = "PaymentDeclined")]
    PaymentDeclined {
        /// Which attempt.
        attempt: u32,
        /// Which call.
        step: GatewayStep,
        /// What sort of no.
        class: DeclineClass,
        /// The gateway's code, for example `-780/LACK_BALANCE`.
        code: Text<100>,
        /// When, by the process's clock.
        declined_at: DateTime<Utc>,
    },
    /// Nobody knows yet whether money moved; it is being looked up.
    #[serde(rename = "PaymentUnresolved")]
    PaymentUnresolved {
        /// Which attempt.
        attempt: u32,
        /// Which call.
        step: GatewayStep,
        /// What happened, from a closed set of codes.
        reason: Text<100>,
        /// When, by the process's clock.
        unresolved_at: DateTime<Utc>,
        /// The refund, when the step is `cancel`; absent in events that are older than the field.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refund_id: Option<RefundId>,
    },
    /// The gateway refused the token of a return and moved no money. The attempt waits for another
    /// return until its page ends.
    #[serde(rename = "PaymentTokenRefused")]
    PaymentTokenRefused {
        /// Which attempt.
        attempt: u32,
        /// The gateway's code.
        code: Text<100>,
        /// When, by the process's clock.
        refused_at: DateTime<Utc>,
    },
    /// An attempt ended and no money moved.
    #[serde(rename = "PaymentAbandoned")]
    PaymentAbandoned {
        /// Which attempt.
        attempt: u32,
        /// Why.
        reason: AbandonReason,
        /// When, by the process's clock.
        abandoned_at: DateTime<Utc>,
    },
    /// Nobody paid in time.
    #[serde(rename = "OrderExpired")]
    Expired {
        /// When, by the process's clock.
        expired_at: DateTime<Utc>,
    },
    /// The order was called off before it was paid, or its owner called it off while a refund of
    /// all its money, asked for by another, was under way.
    #[serde(rename = "OrderCancelled")]
    Cancelled {
        /// Who did.
        by: CancelledBy,
        /// Why, if told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Text<200>>,
        /// When, by the process's clock.
        cancelled_at: DateTime<Utc>,
    },
    /// Money is to be given back; the gateway is to be asked.
    #[serde(rename = "RefundRequested")]
    RefundRequested {
        /// Which refund.
        refund_id: RefundId,
        /// The attempt whose payment it gives back.
        attempt: u32,
        /// The gateway's id of that payment.
        tid: Text<64>,
        /// How much.
        amount: Won,
        /// The tax-free part of it.
        tax_free: Won,
        /// What could still be given back before this refund: the guard against doubling it.
        refundable_before: Won,
        /// Who asked.
        by: CancelledBy,
        /// Why, if told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Text<200>>,
        /// When, by the process's clock.
        requested_at: DateTime<Utc>,
    },
    /// The gateway gave the money back.
    #[serde(rename = "RefundSucceeded")]
    RefundSucceeded {
        /// Which refund.
        refund_id: RefundId,
        /// The gateway's id of this action, when the answer told it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        aid: Option<Text<64>>,
        /// How much.
        amount: Won,
        /// When the gateway booked it.
        refunded_at: DateTime<Utc>,
    },
    /// The gateway refused to give the money back; it may be asked again.
    #[serde(rename = "RefundFailed")]
    RefundFailed {
        /// Which refund.
        refund_id: RefundId,
        /// What sort of no.
        class: DeclineClass,
        /// The gateway's code.
        code: Text<100>,
        /// When, by the process's clock.
        failed_at: DateTime<Utc>,
    },
    /// The gateway's books were found to differ from ours; recorded anew when a side changes, and
    /// not when the same is found again.
    #[serde(rename = "PaymentDifferenceFound")]
    PaymentDifferenceFound {
        /// Which attempt.
        attempt: u32,
        /// In what.
        kind: DifferenceKind,
        /// What we have: an amount in won or a word.
        ours: Text<200>,
        /// What they say: an amount in won, a word, a code or the names of fields.
        theirs: Text<200>,
        /// When, by the process's clock.
        found_at: DateTime<Utc>,
    },
    /// A difference is gone: the books agree again, or a payment without outcome got one.
    #[serde(rename = "PaymentDifferenceSettled")]
    PaymentDifferenceSettled {
        /// Which attempt.
        attempt: u32,
        /// In what they differed.
        kind: DifferenceKind,
        /// When, by the process's clock.
        settled_at: DateTime<Utc>,
    },
    /// The order goes to somebody or somewhere else.
    #[serde(rename = "ReceiverChanged")]
    ReceiverChanged {
        /// To whom from here on.
        receiver: Sealed<Receiver>,
    },
}

event_body!(OrderEvent, "order", {
    Placed => "OrderPlaced" v 1,
    PaymentRequested => "PaymentRequested" v 1,
    PaymentReady => "PaymentReady" v 1,
    PaymentReturned => "PaymentReturned" v 1,
    PaymentApprovalRequested => "PaymentApprovalRequested" v 1,
    PaymentApproved => "PaymentApproved" v 1,
    PaymentDeclined => "PaymentDeclined" v 1,
    PaymentUnresolved => "PaymentUnresolved" v 1,
    PaymentTokenRefused => "PaymentTokenRefused" v 1,
    PaymentAbandoned => "PaymentAbandoned" v 1,
    Expired => "OrderExpired" v 1,
    Cancelled => "OrderCancelled" v 1,
    RefundRequested => "RefundRequested" v 1,
    RefundSucceeded => "RefundSucceeded" v 1,
    RefundFailed => "RefundFailed" v 1,
    PaymentDifferenceFound => "PaymentDifferenceFound" v 1,
    PaymentDifferenceSettled => "PaymentDifferenceSettled" v 1,
    ReceiverChanged => "ReceiverChanged" v 1,
});

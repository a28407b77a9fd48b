//! What can be asked of an order, and what the gateway's answers are recorded with.
//!
//! A person's command carries `by`. The `Record…` commands are sent by the outbox relay and the
//! reconciliation alone; an answer to a question that is no longer open changes nothing, unless it
//! says that money moved.

use chrono::{DateTime, Utc};
use contracts::events::{
    ApprovedAmount, DeclineClass, GatewayStep, OrderKind, PaymentMethod, RedirectUrls, ReturnedAs,
};
use contracts::{
    BillingKeyId, DiscountRate, ItemId, OrderId, Period, Quantity, Receiver, RefundId, Sealed,
    Text, Won,
};

use super::comparing::Differences;
use crate::item::ItemOffer;
use crate::kernel::Principal;

/// One line as it is to be ordered: the offer of now, read from the item aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedLine {
    /// What.
    pub item_id: ItemId,
    /// Its name today.
    pub name: Text<300>,
    /// Price of one piece before discount.
    pub origin_price: Won,
    /// Discount today, in tenths of a percent.
    pub discount_rate: DiscountRate,
    /// Whether it can be bought today.
    pub on_sale: bool,
    /// How many.
    pub quantity: Quantity,
    /// How often it comes; in subscription orders always, otherwise never.
    pub period: Option<Period>,
}

/// Places an order.
#[derive(Debug, Clone)]
pub struct PlaceOrder {
    /// Who orders; becomes the owner.
    pub by: Principal,
    /// A fresh id from the edge.
    pub order_id: OrderId,
    /// One-off or subscription.
    pub kind: OrderKind,
    /// Whether the lines come from the user's cart and leave it when paid.
    pub from_cart: bool,
    /// 1 to 100 lines, each item once.
    pub lines: Vec<OfferedLine>,
    /// To whom, sealed for this order's stream.
    pub receiver: Sealed<Receiver>,
    /// Now.
    pub at: DateTime<Utc>,
}

/// What the gateway said when it moved the money.
#[derive(Debug, Clone)]
pub struct RecordApproval {
    /// Which attempt.
    pub attempt: u32,
    /// The gateway's id of the payment.
    pub tid: Text<64>,
    /// The gateway's id of the approval.
    pub aid: Text<64>,
    /// What it booked.
    pub amount: ApprovedAmount,
    /// What it was paid with.
    pub method: PaymentMethod,
    /// When the gateway booked it.
    pub approved_at: DateTime<Utc>,
    /// The recurring key it yielded, already sealed beside the log under
    /// `BillingKeyId::of(order)`; `None` when the answer held none (a look-up never does).
    pub billing_key: Option<BillingKeyId>,
    /// Now.
    pub at: DateTime<Utc>,
}

/// A command to one order; its stream is the order's id.
#[derive(Debug, Clone)]
pub enum OrderCommand {
    /// Places it; no event when the same owner placed this id before.
    PlaceOrder(Box<PlaceOrder>),
    /// Opens a payment attempt at today's prices. While one waits for the shopper it is kept and
    /// there is no event: `latest_attempt` tells its page.
    RequestPayment {
        /// The owner.
        by: Principal,
        /// What each ordered item costs now.
        current_offers: Vec<(ItemId, ItemOffer)>,
        /// Now.
        at: DateTime<Utc>,
    },
    /// The gateway opened a payment page.
    RecordReady {
        /// Which attempt.
        attempt: u32,
        /// The gateway's id of the payment.
        tid: Text<64>,
        /// Where the browser goes.
        redirect: RedirectUrls,
        /// When the gateway opened it.
        ready_at: DateTime<Utc>,
        /// When the page stops working.
        expires_at: DateTime<Utc>,
        /// The merchant code it was opened with.
        cid: Option<Text<64>>,
    },
    /// The shopper's browser came back; the edge has checked the nonce of its URL.
    RecordReturn {
        /// Which attempt.
        attempt: u32,
        /// With what.
        returned_as: ReturnedAs,
        /// Now.
        at: DateTime<Utc>,
    },
    /// The gateway moved the money.
    RecordApproval(Box<RecordApproval>),
    /// The gateway said no to opening a page or to moving the money.
    RecordDecline {
        /// Which attempt.
        attempt: u32,
        /// Ready or approve; a refused refund is a `RecordRefundFailure`.
        step: GatewayStep,
        /// What sort of no.
        class: DeclineClass,
        /// The gateway's code.
        code: Text<100>,
        /// Now.
        at: DateTime<Utc>,
    },
    /// The gateway refused the token of the return and moved no money; never sent when an earlier
    /// call of the attempt had an unknown outcome.
    RecordTokenRefused {
        /// Which attempt.
        attempt: u32,
        /// The gateway's code.
        code: Text<100>,
        /// Now.
        at: DateTime<Utc>,
    },
    /// Nobody knows what the gateway did. For a page this ends the attempt (a page moves no money);
    /// for an approval it blocks the order until it is known; for a refund it is put on record and
    /// the refund stays pending.
    RecordUnresolved {
        /// Which attempt.
        attempt: u32,
        /// Which call.
        step: GatewayStep,
        /// What happened, from a closed set of codes.
        reason: Text<100>,
        /// Now.
        at: DateTime<Utc>,
    },
    /// The call was given up before anything was sent: the attempt ends, the shopper may try again.
    RecordNotSent {
        /// Which attempt.
        attempt: u32,
        /// Ready or approve; an unsent refund is a `RecordRefundFailure`.
        step: GatewayStep,
        /// Now.
        at: DateTime<Utc>,
    },
    /// Ends the order if nobody paid in time; no event when it is too early, paid, over, or a
    /// payment's outcome is open.
    ExpireOrder {
        /// Now.
        at: DateTime<Utc>,
    },
    /// Calls the order off; gives the money back when it is paid.
    CancelOrder {
        /// The owner, an administrator or the system.
        by: Principal,
        /// The id of the refund, should one be due.
        refund_id: RefundId,
        /// Why, if told.
        reason: Option<Text<200>>,
        /// Now.
        at: DateTime<Utc>,
    },
    /// Gives money back; no event when the same refund was asked for before, whatever became of it.
    RequestRefund {
        /// The owner, an administrator or the system.
        by: Principal,
        /// Which refund; a fresh id from the edge. A failed refund is asked for again under a new.
        refund_id: RefundId,
        /// How much.
        amount: Won,
        /// The attempt whose payment is refunded. Without it the owner means the payment that paid
        /// the order in time; anybody else may leave it out only while a single payment has money
        /// left.
        attempt: Option<u32>,
        /// Why, if told.
        reason: Option<Text<200>>,
        /// Now.
        at: DateTime<Utc>,
    },
    /// The gateway gave the money back.
    RecordRefund {
        /// Which refund.
        refund_id: RefundId,
        /// The gateway's id of this action, when the answer told it.
        aid: Option<Text<64>>,
        /// How much it gave back.
        amount: Won,
        /// When the gateway booked it.
        refunded_at: DateTime<Utc>,
        /// Now.
        at: DateTime<Utc>,
    },
    /// It is unknown whether the gateway gave the money back: on record, and its sum stays taken.
    RecordRefundUnresolved {
        /// Which refund.
        refund_id: RefundId,
        /// What happened, from a closed set of codes.
        reason: Text<100>,
        /// Now.
        at: DateTime<Utc>,
    },
    /// The gateway refused to give the money back, or was never asked.
    RecordRefundFailure {
        /// Which refund.
        refund_id: RefundId,
        /// What sort of no.
        class: DeclineClass,
        /// The gateway's code.
        code: Text<100>,
        /// Now.
        at: DateTime<Utc>,
    },
    /// What a comparison of a payment with the gateway's books found, all of it: what is new or
    /// stands otherwise goes on record, what is gone is settled, and the same changes nothing.
    RecordDifferences {
        /// Which attempt.
        attempt: u32,
        /// In what the books differ; empty when they agree.
        found: Differences,
        /// Now.
        at: DateTime<Utc>,
    },
    /// Sends the order to somebody or somewhere else.
    ChangeReceiver {
        /// The owner or an administrator.
        by: Principal,
        /// To whom from here on, sealed for this order's stream.
        receiver: Sealed<Receiver>,
    },
}

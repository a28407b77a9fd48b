//! Why an order refuses.

use contracts::{ItemId, Text, Won};

use crate::kernel::{Refusal, RefusalKind};

/// One line whose price differs from the day of the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceChange {
    /// Which item.
    pub item_id: ItemId,
    /// Its name on the day of the order.
    pub item_name: Text<300>,
    /// What one piece cost then.
    pub ordered: Won,
    /// What one piece costs now.
    pub now: Won,
}

/// Why a command to an order was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderRefusal {
    /// There is no such order, or it isn't the caller's.
    #[error("there is no such order")]
    NotFound,
    /// The order has no such payment attempt.
    #[error("the order has no such payment attempt")]
    NoSuchAttempt,
    /// The order has no such refund.
    #[error("the order has no such refund")]
    NoSuchRefund,
    /// The id names an order of somebody else.
    #[error("the order id is taken")]
    AlreadyPlaced,
    /// A process orders nothing.
    #[error("an order has an owner")]
    OwnerRequired,
    /// Not 1 to 100 lines.
    #[error("an order has 1 to 100 lines")]
    LineCount,
    /// The same item in two lines.
    #[error("each item stands in one line")]
    RepeatedItem,
    /// A line of a subscription order has no rhythm.
    #[error("each line of a subscription order has a period")]
    PeriodRequired,
    /// A line of a one-off order has a rhythm.
    #[error("a one-off order has no periods")]
    PeriodNotAllowed,
    /// Some items can't be bought today.
    #[error("some items are not on sale")]
    ItemWithdrawn {
        /// Which.
        items: Vec<ItemId>,
    },
    /// Nothing to pay, or more than an order may cost.
    #[error("an order costs between 1 and 100,000,000 won")]
    TotalOutOfRange,
    /// Prices differ from the day of the order; placing again confirms them.
    #[error("prices have changed since the order was placed")]
    PriceChanged {
        /// The lines that differ.
        changes: Vec<PriceChange>,
        /// What the order would cost now.
        new_total: Won,
    },
    /// The order is paid.
    #[error("the order is paid already")]
    AlreadyPaid,
    /// A payment is being approved.
    #[error("a payment is under way")]
    PaymentUnderWay,
    /// A payment's outcome is unknown.
    #[error("the outcome of a payment is being looked up")]
    PaymentUnresolved,
    /// The attempt has no payment page yet.
    #[error("the payment page is not open yet")]
    PaymentNotReady,
    /// A second approval under another payment id.
    #[error("the attempt was approved under another payment id")]
    ApprovedOtherwise,
    /// This kind of answer doesn't belong to this call.
    #[error("the answer does not belong to this call")]
    WrongStep,
    /// The order's time ran out.
    #[error("the order has expired")]
    Expired,
    /// The order was called off.
    #[error("the order was cancelled")]
    Cancelled,
    /// Nothing was paid, so nothing can be given back.
    #[error("the order is not paid")]
    NotPaid,
    /// Nothing to give back.
    #[error("a refund is at least 1 won")]
    EmptyRefund,
    /// More than is left of the payment.
    #[error("the refund exceeds what is left of the payment")]
    RefundTooLarge {
        /// What is left.
        refundable: Won,
    },
    /// Several payments of the order have money left, and none of them is named.
    #[error("more than one payment of the order has money left: name its attempt")]
    RefundAttemptAmbiguous,
    /// The refund's id names a refund of another amount or payment.
    #[error("the refund id names another refund")]
    RefundIdReused,
    /// All money went back.
    #[error("the order is refunded")]
    Refunded,
}

impl Refusal for OrderRefusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "order.not_found",
            Self::NoSuchAttempt => "order.no_such_attempt",
            Self::NoSuchRefund => "order.no_such_refund",
            Self::AlreadyPlaced => "order.already_placed",
            Self::OwnerRequired => "order.owner_required",
            Self::LineCount => "order.line_count",
            Self::RepeatedItem => "order.repeated_item",
            Self::PeriodRequired => "order.period_required",
            Self::PeriodNotAllowed => "order.period_not_allowed",
            Self::ItemWithdrawn { .. } => "order.item_withdrawn",
            Self::TotalOutOfRange => "order.total_out_of_range",
            Self::PriceChanged { .. } => "order.price_changed",
            Self::AlreadyPaid => "order.already_paid",
            Self::PaymentUnderWay => "order.payment_under_way",
            Self::PaymentUnresolved => "order.payment_unresolved",
            Self::PaymentNotReady => "order.payment_not_ready",
            Self::ApprovedOtherwise => "order.approved_otherwise",
            Self::WrongStep => "order.wrong_step",
            Self::Expired => "order.expired",
            Self::Cancelled => "order.cancelled",
            Self::NotPaid => "order.not_paid",
            Self::EmptyRefund => "order.empty_refund",
            Self::RefundTooLarge { .. } => "order.refund_too_large",
            Self::RefundAttemptAmbiguous => "order.refund_attempt_ambiguous",
            Self::RefundIdReused => "order.refund_id_reused",
            Self::Refunded => "order.refunded",
        }
    }

    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotFound | Self::NoSuchAttempt | Self::NoSuchRefund => RefusalKind::NotFound,
            Self::AlreadyPlaced
            | Self::PriceChanged { .. }
            | Self::AlreadyPaid
            | Self::PaymentUnderWay
            | Self::PaymentUnresolved
            | Self::PaymentNotReady
            | Self::ApprovedOtherwise
            | Self::Expired
            | Self::Cancelled
            | Self::NotPaid
            | Self::RefundAttemptAmbiguous
            | Self::RefundIdReused
            | Self::Refunded => RefusalKind::Conflict,
            Self::OwnerRequired
            | Self::LineCount
            | Self::RepeatedItem
            | Self::PeriodRequired
            | Self::PeriodNotAllowed
            | Self::ItemWithdrawn { .. }
            | Self::TotalOutOfRange
            | Self::WrongStep
            | Self::EmptyRefund
            | Self::RefundTooLarge { .. } => RefusalKind::Rule,
        }
    }
}

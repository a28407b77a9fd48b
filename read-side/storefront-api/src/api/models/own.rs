//! What callers see of their own carts, orders and payments.
//!
//! Lines, payments and refunds are stored in the shape they are shown in; reading them into these
//! types keeps everything else that is stored with them from being shown.

use chrono::{DateTime, FixedOffset};
use poem_openapi::{Enum, Object};
use serde::Deserialize;
use uuid::Uuid;

use super::PageInfo;
use crate::api::cart_routes::CartKind;

/// One of the caller's carts.
#[derive(Debug, Object)]
#[oai(rename = "Cart", rename_all = "camelCase", example)]
pub(crate) struct CartView {
    /// The cart's id; always the same for one user and kind.
    pub(crate) cart_id: Uuid,
    /// Which of the two.
    pub(crate) kind: CartKind,
    /// In the order in which they were added.
    pub(crate) lines: Vec<CartLine>,
    /// Sums over the lines that can be ordered, at current prices.
    pub(crate) totals: CartTotals,
}

/// One line of a cart.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub(crate) struct CartLine {
    /// What.
    pub(crate) item_id: Uuid,
    /// Its name on the day it was added.
    pub(crate) item_name: String,
    /// The picture in lists, if there is one.
    #[oai(skip_serializing_if_is_none)]
    pub(crate) thumbnail_url: Option<String>,
    /// How many, 1 to 99.
    pub(crate) quantity: i64,
    /// Days between deliveries; in the subscription cart always, otherwise never.
    #[oai(skip_serializing_if_is_none)]
    pub(crate) period_days: Option<u16>,
    /// Price of one piece when it was added, in won.
    pub(crate) snapshot_price: i64,
    /// Price of one piece before discount today, in won.
    pub(crate) origin_price: i64,
    /// Price of one piece today, in won: what an order placed now is charged.
    pub(crate) current_price: i64,
    /// Whether today's price is another than the one it was added at.
    pub(crate) price_changed: bool,
    /// Whether the item left the shop; such a line cannot be ordered and is not in the totals.
    pub(crate) withdrawn: bool,
    /// Today's price times quantity, in won.
    pub(crate) line_total: i64,
}

/// Sums over the lines of a cart that can be ordered, in won.
#[derive(Debug, Default, Object)]
#[oai(rename_all = "camelCase")]
pub(crate) struct CartTotals {
    /// Pieces.
    pub(crate) quantity: i64,
    /// Before discount.
    pub(crate) origin_total: i64,
    /// What the discounts take off.
    pub(crate) discount_total: i64,
    /// To be paid: `originTotal` less `discountTotal`.
    pub(crate) payable_total: i64,
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum OrderStatus {
    /// Placed; no payment was requested yet.
    Placed,
    /// A payment was requested and has no outcome yet.
    AwaitingPayment,
    /// Paid in full.
    Paid,
    /// The latest payment was declined; another may be tried.
    Declined,
    /// Nobody paid in time.
    Expired,
    /// Called off.
    Cancelled,
    /// Part of the money was given back.
    PartlyRefunded,
    /// All of the money was given back.
    Refunded,
    /// A payment's outcome is being looked up.
    Unresolved,
}

impl OrderStatus {
    /// The stored name, the same as the one in answers.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "PLACED",
            Self::AwaitingPayment => "AWAITING_PAYMENT",
            Self::Paid => "PAID",
            Self::Declined => "DECLINED",
            Self::Expired => "EXPIRED",
            Self::Cancelled => "CANCELLED",
            Self::PartlyRefunded => "PARTLY_REFUNDED",
            Self::Refunded => "REFUNDED",
            Self::Unresolved => "UNRESOLVED",
        }
    }
}

/// Bought once, or opening subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderKind {
    /// No line has a period.
    OneOff,
    /// Every line has a period.
    Subscription,
}

/// One page of the caller's orders.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", example)]
pub(crate) struct OrderPage {
    /// Newest first.
    pub(crate) orders: Vec<OrderSummary>,
    /// Which page this is, of how many.
    pub(crate) page_info: PageInfo,
}

/// An order as lists show it.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", example)]
pub(crate) struct OrderSummary {
    /// The order's id.
    pub(crate) id: Uuid,
    /// The number that people use, `YYMMDD-XXXXXXXX`.
    pub(crate) number: String,
    /// Bought once, or opening subscriptions.
    pub(crate) kind: OrderKind,
    /// Where it stands.
    pub(crate) status: OrderStatus,
    /// The first line's name, with "외 N건" when there are N more.
    pub(crate) title: String,
    /// When it was placed.
    pub(crate) placed_at: DateTime<FixedOffset>,
    /// What it costs, in won.
    pub(crate) total: i64,
    /// What was given back so far, in won.
    pub(crate) refunded_total: i64,
    /// What was ordered, as it was on that day.
    pub(crate) lines: Vec<OrderLine>,
}

/// One line of an order: a snapshot of the day it was placed.
#[derive(Debug, Object, Deserialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderLine {
    /// Place in the order, from 1.
    pub(crate) line_no: u16,
    /// What.
    pub(crate) item_id: Uuid,
    /// Its name on that day.
    pub(crate) item_name: String,
    /// Price of one piece before discount, in won.
    pub(crate) origin_price: i64,
    /// Discount in percent, with one decimal.
    pub(crate) discount_rate: f64,
    /// Price of one piece, in won.
    pub(crate) unit_price: i64,
    /// How many.
    pub(crate) quantity: u32,
    /// Days between deliveries; in subscription orders always, otherwise never.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default)]
    pub(crate) period_days: Option<u16>,
    /// Price times quantity, in won.
    pub(crate) line_total: i64,
}

/// One of the caller's orders, with everything known about it.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub(crate) struct OrderDetail {
    /// The order's id.
    pub(crate) id: Uuid,
    /// The number that people use, `YYMMDD-XXXXXXXX`.
    pub(crate) number: String,
    /// Bought once, or opening subscriptions.
    pub(crate) kind: OrderKind,
    /// Where it stands.
    pub(crate) status: OrderStatus,
    /// The first line's name, with "외 N건" when there are N more.
    pub(crate) title: String,
    /// When it was placed.
    pub(crate) placed_at: DateTime<FixedOffset>,
    /// When it expires unless it is paid.
    pub(crate) expires_at: DateTime<FixedOffset>,
    /// What it costs, in won.
    pub(crate) total: i64,
    /// The value-added tax in it, in won.
    pub(crate) vat: i64,
    /// The tax-free part of it, in won.
    pub(crate) tax_free: i64,
    /// What was paid, in won.
    pub(crate) paid_total: i64,
    /// What was given back so far, in won.
    pub(crate) refunded_total: i64,
    /// What was ordered, as it was on that day.
    pub(crate) lines: Vec<OrderLine>,
    /// To whom; absent once the data has been erased.
    #[oai(skip_serializing_if_is_none)]
    pub(crate) receiver: Option<ReceiverView>,
    /// Every attempt to pay, oldest first.
    pub(crate) payments: Vec<PaymentView>,
    /// Every refund, oldest first.
    pub(crate) refunds: Vec<RefundView>,
}

/// Where and to whom an order is delivered.
#[derive(Debug, Object)]
#[oai(rename = "Receiver", rename_all = "camelCase")]
pub(crate) struct ReceiverView {
    /// The name on the parcel.
    pub(crate) name: String,
    /// The number the courier calls, digits only.
    pub(crate) phone: String,
    /// Postal code.
    pub(crate) zip: String,
    /// Province, city and street.
    pub(crate) city: String,
    /// Building, floor and door.
    pub(crate) detail: String,
}

/// How an attempt to pay stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum PaymentStatus {
    /// The payment page is being opened.
    Requested,
    /// The payment page is open: `redirect` says where.
    Ready,
    /// The shopper came back and the money is being moved.
    Approving,
    /// The money was moved.
    Approved,
    /// The gateway said no.
    Declined,
    /// Nobody knows yet; it is being looked up.
    Unresolved,
    /// It ended and no money moved.
    Abandoned,
}

/// One attempt to pay an order.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "Payment", rename_all = "camelCase", example)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PaymentView {
    /// Number of the attempt within its order, from 1.
    pub(crate) attempt: u32,
    /// How it stands.
    pub(crate) status: PaymentStatus,
    /// How much, in won.
    pub(crate) amount: i64,
    /// When it was requested.
    pub(crate) requested_at: DateTime<FixedOffset>,
    /// Where to pay, while the page is open.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default)]
    pub(crate) redirect: Option<Redirect>,
    /// When the page stops working, once it was opened.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default)]
    pub(crate) expires_at: Option<DateTime<FixedOffset>>,
    /// What it was paid with: `CARD`, `MONEY` or `OTHER`.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default)]
    pub(crate) method: Option<String>,
    /// When the gateway booked it.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default)]
    pub(crate) approved_at: Option<DateTime<FixedOffset>>,
    /// What sort of no it was, or why it ended without money being moved.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default)]
    pub(crate) reason: Option<String>,
}

/// Where a browser goes to pay.
#[derive(Debug, Object, Deserialize)]
#[oai(rename_all = "camelCase")]
pub(crate) struct Redirect {
    /// A desktop browser.
    pub(crate) pc: String,
    /// A mobile browser.
    pub(crate) mobile: String,
    /// A web view in an app.
    pub(crate) app: String,
}

/// How a refund stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum RefundStatus {
    /// The gateway is being asked.
    Requested,
    /// The money was given back.
    Succeeded,
    /// The gateway refused; it is being taken care of.
    Failed,
}

/// One refund of an order.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "Refund", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefundView {
    /// The refund's id.
    pub(crate) id: Uuid,
    /// How it stands.
    pub(crate) status: RefundStatus,
    /// How much, in won.
    pub(crate) amount: i64,
    /// When it was requested.
    pub(crate) requested_at: DateTime<FixedOffset>,
    /// When the gateway booked it.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default)]
    pub(crate) refunded_at: Option<DateTime<FixedOffset>>,
}

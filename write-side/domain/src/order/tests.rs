//! Given, when, then: what the order decides. Every command and every refusal at least once.

mod approving;
mod comparing;
mod consequences;
mod ending;
mod placing;
mod refunding;
mod returning;

use chrono::{DateTime, Utc};
use contracts::events::{
    ApprovedAmount, OrderEvent, OrderKind, PaymentMethod, RedirectUrls, ReturnedAs,
};
use contracts::{BillingKeyId, DiscountRate, ItemId, OrderId, RefundId, Won};
use uuid::Uuid;

use super::{OfferedLine, Order, OrderCommand, OrderRefusal, PlaceOrder, RecordApproval};
use crate::fixtures::{KIM, given, item, minute, pieces, sealed, text, when, won};
use crate::item::ItemOffer;
use crate::kernel::{EventSourced, Principal};

pub(super) fn order_id() -> OrderId {
    OrderId::new(Uuid::from_u128(0xabc))
}

pub(super) fn refund_id(number: u128) -> RefundId {
    RefundId::new(Uuid::from_u128(0x2000 + number))
}

/// Two pieces of item 1 at 10,000 won with 10 % off, one of item 2 at 5,000: 23,000 won.
pub(super) fn two_lines() -> Vec<OfferedLine> {
    vec![offered(1, 10_000, 100, 2), offered(2, 5_000, 0, 1)]
}

pub(super) fn offered(number: u128, origin_price: i64, tenths: u16, count: i64) -> OfferedLine {
    OfferedLine {
        item_id: item(number),
        name: text(&format!("홍삼 {number}호")),
        origin_price: won(origin_price),
        discount_rate: DiscountRate::try_from(tenths).unwrap(),
        on_sale: true,
        quantity: pieces(count),
        period: None,
    }
}

pub(super) fn place(lines: Vec<OfferedLine>) -> PlaceOrder {
    PlaceOrder {
        by: KIM,
        order_id: order_id(),
        kind: OrderKind::OneOff,
        from_cart: true,
        lines,
        receiver: sealed("home"),
        at: minute(0),
    }
}

pub(super) fn placing(command: PlaceOrder) -> OrderCommand {
    OrderCommand::PlaceOrder(Box::new(command))
}

pub(super) fn offers() -> Vec<(ItemId, ItemOffer)> {
    vec![(item(1), offer(10_000, 100)), (item(2), offer(5_000, 0))]
}

pub(super) fn offer(origin_price: i64, tenths: u16) -> ItemOffer {
    let discount_rate = DiscountRate::try_from(tenths).unwrap();
    ItemOffer {
        name: text("홍삼"),
        origin_price: won(origin_price),
        discount_rate,
        unit_price: discount_rate.price_of(won(origin_price)),
        on_sale: true,
    }
}

pub(super) fn request_payment(by: Principal, at: i64) -> OrderCommand {
    OrderCommand::RequestPayment { by, current_offers: offers(), at: minute(at) }
}

pub(super) fn ready(attempt: u32) -> OrderCommand {
    let url = || text("https://pay.example/page");
    OrderCommand::RecordReady {
        attempt,
        tid: text(&format!("T{attempt}")),
        redirect: RedirectUrls { pc: url(), mobile: url(), app: url() },
        ready_at: minute(1),
        expires_at: minute(16),
        cid: Some(text("TC0ONETIME")),
    }
}

pub(super) fn authenticated() -> ReturnedAs {
    token("token")
}

/// Back from the page with a token of this name.
pub(super) fn token(name: &str) -> ReturnedAs {
    ReturnedAs::Authenticated { pg_token: sealed(name), token_mark: Some(text(name)) }
}

pub(super) fn returned(attempt: u32, returned_as: ReturnedAs) -> OrderCommand {
    OrderCommand::RecordReturn { attempt, returned_as, at: minute(3) }
}

pub(super) fn amount(total: Won) -> ApprovedAmount {
    ApprovedAmount {
        total,
        tax_free: Won::ZERO,
        vat: total.vat_included(Won::ZERO),
        point: Won::ZERO,
        discount: Won::ZERO,
    }
}

pub(super) fn approval(attempt: u32, total: i64) -> RecordApproval {
    RecordApproval {
        attempt,
        tid: text(&format!("T{attempt}")),
        aid: text(&format!("A{attempt}")),
        amount: amount(won(total)),
        method: PaymentMethod::Card,
        approved_at: minute(4),
        billing_key: None,
        at: minute(4),
    }
}

pub(super) fn approved(told: RecordApproval) -> OrderCommand {
    OrderCommand::RecordApproval(Box::new(told))
}

pub(super) fn refund(number: u128, total: i64) -> OrderCommand {
    OrderCommand::RequestRefund {
        by: KIM,
        refund_id: refund_id(number),
        amount: won(total),
        attempt: None,
        reason: None,
        at: minute(5),
    }
}

/// An order of 23,000 won that went through these commands.
pub(super) fn order_after(commands: Vec<OrderCommand>) -> Order {
    let mut order: Order = given(&[]);
    when(&mut order, placing(place(two_lines())));
    for command in commands {
        when(&mut order, command);
    }
    order
}

/// Ordered, and the shopper has a page to pay on.
pub(super) fn ready_order() -> Order {
    order_after(vec![request_payment(KIM, 1), ready(1)])
}

/// Ordered, and the gateway is asked to move the money.
pub(super) fn approving_order() -> Order {
    order_after(vec![request_payment(KIM, 1), ready(1), returned(1, authenticated())])
}

/// Ordered and paid.
pub(super) fn paid_order() -> Order {
    let mut order = approving_order();
    when(&mut order, approved(approval(1, 23_000)));
    order
}

pub(super) fn refused(order: &Order, command: OrderCommand) -> OrderRefusal {
    order.decide(command).unwrap_err()
}

pub(super) fn unchanged(order: &Order, command: OrderCommand) {
    assert_eq!(order.decide(command).unwrap(), Vec::new());
}

/// The stored names of what happened.
pub(super) fn names(events: &[OrderEvent]) -> Vec<&'static str> {
    events.iter().map(contracts::EventBody::event_type).collect()
}

pub(super) fn now(at: i64) -> DateTime<Utc> {
    minute(at)
}

pub(super) fn key() -> BillingKeyId {
    BillingKeyId::of(order_id())
}

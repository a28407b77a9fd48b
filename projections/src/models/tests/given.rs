//! Events as given.

use chrono::{DateTime, TimeDelta, Utc};
use contracts::events::{
    ApprovedAmount, CancelledBy, CartEvent, DeclineClass, GatewayStep, ItemDetails, ItemEvent,
    OrderEvent, OrderKind, OrderLine, PaymentMethod, RedirectUrls,
};
use contracts::{
    CartKey, CartKind, Category, DiscountRate, ItemId, OrderId, OrderNumber, Quantity, RefundId,
    ReportNo, Sealed, Text, UserId, Won,
};
use uuid::Uuid;

use super::log::{A, B, noon};

pub(super) fn won(amount: i64) -> Won {
    Won::try_from(amount).unwrap()
}

pub(super) fn text<const MAX: usize>(raw: &str) -> Text<MAX> {
    Text::parse(raw).unwrap()
}

pub(super) fn registered(categories: &[Category], tenths: u16) -> ItemEvent {
    ItemEvent::Registered {
        report_no: ReportNo::try_from("20040020007113".to_owned()).unwrap(),
        details: ItemDetails {
            product_name: text("루테인"),
            enterprise: None,
            registered_on: None,
            expiration: None,
            appearance: None,
            serving_use: None,
            storage: None,
            intake_hint: None,
            main_function: None,
            base_standard: None,
            thumbnail_url: None,
            description_image_url: None,
        },
        origin_price: won(1_000),
        discount_rate: DiscountRate::try_from(tenths).unwrap(),
        categories: categories.iter().copied().collect(),
    }
}

pub(super) fn cart() -> CartKey {
    CartKey { user_id: UserId::new(B), kind: CartKind::OneOff }
}

pub(super) fn added(item: u128, quantity: i64, unit_price: i64) -> CartEvent {
    let quantity = Quantity::try_from(quantity).unwrap();
    CartEvent::ItemAdded {
        cart: cart(),
        item_id: ItemId::new(Uuid::from_u128(item)),
        item_name: text("루테인"),
        requested: quantity,
        quantity,
        period: None,
        unit_price: won(unit_price),
    }
}

pub(super) fn placed() -> OrderEvent {
    placed_with(1)
}

pub(super) fn placed_with(lines: u16) -> OrderEvent {
    OrderEvent::Placed {
        order_id: OrderId::new(A),
        number: OrderNumber::derive(noon().date_naive(), A),
        user_id: UserId::new(B),
        kind: OrderKind::OneOff,
        from_cart: false,
        lines: (1..=lines).map(line).collect(),
        total: won(1_000),
        tax_free: Won::ZERO,
        vat: won(91),
        receiver: Sealed::from_parts(1, String::new(), String::new()),
        placed_at: noon(),
        expires_at: noon() + TimeDelta::minutes(30),
    }
}

/// The first line is of item `B`, each later one of another item.
fn line(line_no: u16) -> OrderLine {
    OrderLine {
        line_no,
        item_id: ItemId::new(Uuid::from_u128(B.as_u128() + u128::from(line_no) - 1)),
        item_name: text("루테인"),
        origin_price: won(500),
        discount_rate: DiscountRate::NONE,
        unit_price: won(500),
        quantity: Quantity::try_from(2).unwrap(),
        period: None,
    }
}

pub(super) fn requested(attempt: u32) -> OrderEvent {
    OrderEvent::PaymentRequested {
        attempt,
        partner_order_id: text("o-1"),
        item_name: text("루테인"),
        quantity: 2,
        amount: won(1_000),
        tax_free: Won::ZERO,
        vat: won(91),
        recurring: false,
        requested_at: noon(),
    }
}

pub(super) fn approved(attempt: u32, total: i64) -> OrderEvent {
    let amount = ApprovedAmount {
        total: won(total),
        tax_free: Won::ZERO,
        vat: Won::ZERO,
        point: Won::ZERO,
        discount: Won::ZERO,
    };
    OrderEvent::PaymentApproved {
        attempt,
        tid: text("T"),
        aid: text("A"),
        amount,
        method: PaymentMethod::Money,
        approved_at: noon(),
        billing_key: None,
    }
}

pub(super) fn declined(attempt: u32) -> OrderEvent {
    OrderEvent::PaymentDeclined {
        attempt,
        step: GatewayStep::Approve,
        class: DeclineClass::Soft,
        code: text("-780"),
        declined_at: noon(),
    }
}

pub(super) fn unresolved(step: GatewayStep) -> OrderEvent {
    let reason = text("timeout");
    OrderEvent::PaymentUnresolved {
        attempt: 1,
        step,
        reason,
        unresolved_at: noon(),
        refund_id: None,
    }
}

pub(super) fn refund(number: u128, amount: i64) -> [OrderEvent; 2] {
    let refund_id = RefundId::new(Uuid::from_u128(number));
    let by = CancelledBy::User;
    [
        OrderEvent::RefundRequested {
            refund_id,
            attempt: 1,
            tid: text("T"),
            amount: won(amount),
            tax_free: Won::ZERO,
            refundable_before: won(1_000),
            by,
            reason: None,
            requested_at: noon(),
        },
        OrderEvent::RefundSucceeded {
            refund_id,
            aid: None,
            amount: won(amount),
            refunded_at: noon(),
        },
    ]
}

pub(super) fn ready(attempt: u32, expires_at: DateTime<Utc>) -> OrderEvent {
    let url = || text("https://pay.example/page");
    OrderEvent::PaymentReady {
        attempt,
        tid: text("T"),
        redirect: RedirectUrls { pc: url(), mobile: url(), app: url() },
        ready_at: noon(),
        expires_at,
        cid: None,
    }
}

//! The folds alone, without a database: given events, then rows.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use contracts::events::{
    ApprovedAmount, CartEvent, DeclineClass, DifferenceKind, GatewayStep, ItemDetails, ItemEvent,
    OrderEvent, OrderKind, OrderLine, PaymentMethod, RedirectUrls,
};
use contracts::{
    CartKey, CartKind, Category, DiscountRate, EventBody, ItemId, OrderId, OrderNumber, Position,
    Quantity, RecordedEvent, RefundId, ReportNo, Sealed, Text, UserId, Won,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::model;
use crate::cell::{Cell, Row};
use crate::working::{Incoming, Pass};

const A: Uuid = Uuid::from_u128(0xa);
const B: Uuid = Uuid::from_u128(0xb);

/// A log in memory.
#[derive(Default)]
struct Log(Vec<RecordedEvent>);

impl Log {
    fn with<E: EventBody>(mut self, id: Uuid, event: &E) -> Self {
        let sequence = self.0.iter().filter(|it| it.aggregate_id == id).count() + 1;
        self.0.push(RecordedEvent {
            position: Position::new(i64::try_from(self.0.len()).unwrap() + 1),
            aggregate_type: E::AGGREGATE_TYPE.to_owned(),
            aggregate_id: id,
            sequence: i64::try_from(sequence).unwrap(),
            event_type: event.event_type().to_owned(),
            event_version: "1".to_owned(),
            payload: event.encode().unwrap(),
            metadata: Value::Null,
            recorded_at: noon(),
        });
        self
    }

    fn incoming(&self, name: &str) -> Vec<Incoming> {
        let wanted = model(name).unwrap().event_types();
        let read = self.0.iter().filter(|it| wanted.contains(&it.event_type.as_str()));
        read.cloned().map(Incoming::of).collect()
    }

    /// The rows of one table of a projection, or the first refusal.
    fn rows(&self, name: &str, table: usize) -> Result<Vec<Row>, String> {
        let mut working = model(name).unwrap().working(true);
        let Pass::Folded(aside) = working.fold(&self.incoming(name), &HashSet::new()) else {
            panic!("a complete working set lacks nothing");
        };
        if let Some(first) = aside.into_iter().next() {
            return Err(first.error.unwrap());
        }
        Ok(std::mem::take(&mut working.changes().unwrap()[table].upserts))
    }

    /// One column of the only row of a table.
    fn only(&self, name: &str, column: usize) -> Cell {
        let rows = self.rows(name, 0).unwrap();
        assert_eq!(rows.len(), 1);
        rows[0][column].clone()
    }
}

fn noon() -> DateTime<Utc> {
    "2026-11-23T03:00:00Z".parse().unwrap()
}

fn won(amount: i64) -> Won {
    Won::try_from(amount).unwrap()
}

fn text<const MAX: usize>(raw: &str) -> Text<MAX> {
    Text::parse(raw).unwrap()
}

fn registered(categories: &[Category], tenths: u16) -> ItemEvent {
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

fn totals(log: &Log) -> BTreeMap<String, (i64, i64)> {
    let rows = log.rows("category_totals", 0).unwrap();
    let total = |row: &Row| match row.as_slice() {
        [Cell::Text(name), Cell::BigInt(items), Cell::BigInt(discounted)] => {
            (name.clone(), (*items, *discounted))
        }
        other => panic!("{other:?}"),
    };
    rows.iter().map(total).collect()
}

#[test]
fn totals_follow_categories_discounts_and_withdrawals() {
    let none = DiscountRate::NONE;
    let only_bone = ItemEvent::Recategorised { categories: [Category::Bone].into() };
    let log = Log::default()
        .with(A, &registered(&[Category::Eye, Category::Bone], 100))
        .with(B, &registered(&[Category::Eye], 0))
        .with(A, &only_bone);
    let expected = [("ALL", (2, 1)), ("BONE", (1, 1)), ("EYE", (1, 0))];
    assert_eq!(totals(&log), expected.map(|(name, total)| (name.to_owned(), total)).into());

    let log = log
        .with(A, &ItemEvent::DiscountChanged { discount_rate: none })
        .with(B, &ItemEvent::Withdrawn { reason: None })
        .with(B, &ItemEvent::Relisted {});
    let expected = [("ALL", (2, 0)), ("BONE", (1, 0)), ("EYE", (1, 0))];
    assert_eq!(totals(&log), expected.map(|(name, total)| (name.to_owned(), total)).into());
}

#[test]
fn history_that_makes_no_sense_is_refused_and_not_guessed() {
    let unknown = Log::default().with(A, &ItemEvent::Relisted {});
    for name in ["item_detail", "item_by_category", "category_totals"] {
        assert_eq!(unknown.rows(name, 0).unwrap_err(), "the item was never registered", "{name}");
    }
    let twice =
        Log::default().with(A, &registered(&[Category::Eye], 0)).with(A, &registered(&[], 0));
    assert_eq!(twice.rows("item_detail", 0).unwrap_err(), "the item was registered before");
    let unpaid = Log::default().with(A, &approved(1, 1_000));
    assert_eq!(unpaid.rows("order_history", 0).unwrap_err(), "the order was never placed");
}

fn cart() -> CartKey {
    CartKey { user_id: UserId::new(B), kind: CartKind::OneOff }
}

fn added(item: u128, quantity: i64, unit_price: i64) -> CartEvent {
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

#[test]
fn an_item_added_again_keeps_its_place_and_takes_the_newest_price() {
    let (item_id, bought_in) = (ItemId::new(Uuid::from_u128(2)), None);
    let log = Log::default()
        .with(A, &added(1, 2, 900))
        .with(A, &added(2, 1, 500))
        .with(A, &added(1, 5, 800))
        .with(A, &CartEvent::ItemRemoved { cart: cart(), item_id, bought_in })
        .with(A, &added(2, 9, 500));
    let Cell::Text(lines) = log.only("cart_view", 4) else { panic!() };
    let lines: Value = serde_json::from_str(&lines).unwrap();
    let expected = |item: u128, quantity, unit_price| {
        json!({
            "itemId": Uuid::from_u128(item), "itemName": "루테인", "quantity": quantity,
            "unitPrice": unit_price,
        })
    };
    assert_eq!(lines, json!([expected(1, 5, 800), expected(2, 9, 500)]));
    assert_eq!(log.only("cart_view", 5), Cell::BigInt(5));
}

fn placed() -> OrderEvent {
    placed_with(1)
}

fn placed_with(lines: u16) -> OrderEvent {
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

/// How often documents are loaded until a paid order of so many items is folded, by a projection
/// that has none of them in memory.
fn loads(name: &str, lines: u16) -> usize {
    let log = Log::default().with(A, &placed_with(lines)).with(A, &approved(1, 1_000));
    let mut working = model(name).unwrap().working(false);
    let events = log.incoming(name);
    for loads in 0.. {
        match working.fold(&events, &HashSet::new()) {
            Pass::Folded(aside) => {
                assert!(aside.is_empty(), "{name}, {lines} lines: {aside:?}");
                return loads;
            }
            Pass::Missing(missing) => {
                for (table, keys) in missing {
                    working.supply(table, keys, Vec::new()).unwrap();
                }
            }
        }
        assert!(loads < 200, "{name}, {lines} lines: asks for ever more documents");
    }
    unreachable!("the loop ends by itself");
}

/// When the loop over an order's items ended at the first one that was missing, an order of `n`
/// items took `n + 1` loads, and one of seven stopped the shop window for ever.
#[test]
fn an_order_of_any_size_needs_no_more_loads_than_one_of_one_item() {
    for name in crate::names() {
        for lines in 1..=100 {
            assert!(loads(name, lines) <= 2, "{name}, {lines} lines: {}", loads(name, lines));
        }
    }
}

fn requested(attempt: u32) -> OrderEvent {
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

fn approved(attempt: u32, total: i64) -> OrderEvent {
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

fn declined(attempt: u32) -> OrderEvent {
    OrderEvent::PaymentDeclined {
        attempt,
        step: GatewayStep::Approve,
        class: DeclineClass::Soft,
        code: text("-780"),
        declined_at: noon(),
    }
}

fn unresolved(step: GatewayStep) -> OrderEvent {
    let reason = text("timeout");
    OrderEvent::PaymentUnresolved {
        attempt: 1,
        step,
        reason,
        unresolved_at: noon(),
        refund_id: None,
    }
}

fn refund(number: u128, amount: i64) -> [OrderEvent; 2] {
    let refund_id = RefundId::new(Uuid::from_u128(number));
    let by = contracts::events::CancelledBy::User;
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

#[test]
fn an_orders_status_follows_its_money_first() {
    let expired = || OrderEvent::Expired { expired_at: noon() };
    let [part_asked, part_back] = refund(1, 400);
    let [rest_asked, rest_back] = refund(2, 600);
    let steps: [(OrderEvent, &str); 11] = [
        (placed(), "PLACED"),
        (requested(1), "AWAITING_PAYMENT"),
        (unresolved(GatewayStep::Approve), "UNRESOLVED"),
        (expired(), "UNRESOLVED"),
        (approved(1, 1_000), "PAID"),
        (part_asked, "PAID"),
        (unresolved(GatewayStep::Cancel), "PAID"),
        (part_back, "PARTLY_REFUNDED"),
        (rest_asked, "PARTLY_REFUNDED"),
        (rest_back, "REFUNDED"),
        (expired(), "REFUNDED"),
    ];
    let mut log = Log::default();
    for (event, status) in steps {
        log = log.with(A, &event);
        assert_eq!(log.only("order_history", 4), Cell::text(status), "after {event:?}");
    }
    let declined_once = Log::default().with(A, &placed()).with(A, &requested(1));
    let declined_once = declined_once.with(A, &declined(1));
    assert_eq!(declined_once.only("order_history", 4), Cell::text("DECLINED"));
    let again = declined_once.with(A, &requested(2));
    assert_eq!(again.only("order_history", 4), Cell::text("AWAITING_PAYMENT"));
}

/// As `a_payment_that_came_too_late_changes_nothing_about_how_an_order_ended` of the order itself.
#[test]
fn a_late_payment_leaves_the_status_and_shows_its_money() {
    let expired = || OrderEvent::Expired { expired_at: noon() };
    let cancelled = OrderEvent::Cancelled {
        by: contracts::events::CancelledBy::User,
        reason: None,
        cancelled_at: noon(),
    };
    let abandoned = OrderEvent::PaymentAbandoned {
        attempt: 1,
        reason: contracts::events::AbandonReason::NotSent,
        abandoned_at: noon(),
    };
    let refund_id = RefundId::automatic(OrderId::new(A), 1);
    let asked = match refund(1, 1_000) {
        [OrderEvent::RefundRequested { tid, amount, tax_free, refundable_before, by, .. }, _] => {
            OrderEvent::RefundRequested {
                refund_id,
                attempt: 1,
                tid,
                amount,
                tax_free,
                refundable_before,
                by,
                reason: None,
                requested_at: noon(),
            }
        }
        other => panic!("{other:?}"),
    };
    let refused = OrderEvent::RefundFailed {
        refund_id,
        class: DeclineClass::Merchant,
        code: text("-722"),
        failed_at: noon(),
    };
    let back = OrderEvent::RefundSucceeded {
        refund_id,
        aid: None,
        amount: won(1_000),
        refunded_at: noon(),
    };
    let placed = || Log::default().with(A, &placed()).with(A, &requested(1));
    for (log, status) in [
        (placed().with(A, &expired()), "EXPIRED"),
        (placed().with(A, &cancelled), "CANCELLED"),
        (placed().with(A, &declined(1)), "DECLINED"),
        (placed().with(A, &abandoned), "PLACED"),
        (placed().with(A, &declined(1)).with(A, &expired()), "EXPIRED"),
    ] {
        let status = Cell::text(status);
        assert_eq!(log.only("order_history", 4), status);
        let log = log.with(A, &approved(1, 1_000)).with(A, &asked);
        assert_eq!(log.only("order_history", 4), status, "while its refund is pending");
        let log = log.with(A, &refused);
        assert_eq!(log.only("order_history", 4), status, "refused");
        let money = |log: &Log| [12, 13].map(|column| log.only("order_history", column));
        assert_eq!(money(&log), [Cell::BigInt(1_000), Cell::BigInt(0)], "what is owed");
        let Cell::Text(refunds) = log.only("order_history", 16) else { panic!("no text") };
        assert!(refunds.contains("FAILED"), "{refunds}");
        let log = log.with(A, &back);
        assert_eq!(log.only("order_history", 4), status, "refunded");
        assert_eq!(money(&log), [Cell::BigInt(1_000), Cell::BigInt(1_000)]);
    }
    let log = placed().with(A, &declined(1)).with(A, &approved(1, 1_000)).with(A, &asked);
    let log = log.with(A, &requested(2));
    assert_eq!(log.only("order_history", 4), Cell::text("AWAITING_PAYMENT"));
    let log = log.with(A, &approved(2, 1_000)).with(A, &refused);
    assert_eq!(log.only("order_history", 4), Cell::text("PAID"));
}

fn ready(attempt: u32, expires_at: DateTime<Utc>) -> OrderEvent {
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

#[test]
fn an_order_expires_with_its_last_page_and_never_before_its_own_end() {
    let expires = |log: &Log| log.only("order_history", 8);
    let log = Log::default().with(A, &placed()).with(A, &requested(1));
    let earlier = log.with(A, &ready(1, noon() + TimeDelta::minutes(20)));
    assert_eq!(expires(&earlier), Cell::instant(noon() + TimeDelta::minutes(30)));
    let later = earlier.with(A, &requested(2)).with(A, &ready(2, noon() + TimeDelta::minutes(40)));
    assert_eq!(expires(&later), Cell::instant(noon() + TimeDelta::minutes(40)));
}

/// The shopper goes back to the page that was open, and finds it.
#[test]
fn a_refused_token_shows_the_page_again() {
    let log = Log::default().with(A, &placed()).with(A, &requested(1));
    let open = log.with(A, &ready(1, noon() + TimeDelta::minutes(15)));
    let shown = open.only("order_history", 15);
    let approving = OrderEvent::PaymentApprovalRequested {
        attempt: 1,
        tid: text("T"),
        pg_token: Sealed::from_parts(1, String::new(), String::new()),
        requested_at: noon(),
    };
    let refused =
        OrderEvent::PaymentTokenRefused { attempt: 1, code: text("-708"), refused_at: noon() };
    let tried = open.with(A, &approving);
    assert_ne!(tried.only("order_history", 15), shown);
    let again = tried.with(A, &refused);
    assert_eq!(again.only("order_history", 15), shown);
    assert_eq!(again.only("order_history", 4), Cell::text("AWAITING_PAYMENT"));
}

/// Whoever changes the order names the version that it shows.
#[test]
fn a_difference_moves_the_version_of_an_order_and_nothing_that_is_shown() {
    let kind = DifferenceKind::Cancelled;
    let (ours, theirs) = (text("0"), text("400"));
    let found =
        OrderEvent::PaymentDifferenceFound { attempt: 1, kind, ours, theirs, found_at: noon() };
    let settled = OrderEvent::PaymentDifferenceSettled { attempt: 1, kind, settled_at: noon() };
    let paid = || Log::default().with(A, &placed()).with(A, &requested(1)).with(A, &approved(1, 1));
    let compared = paid().with(A, &found).with(A, &settled);
    let mut row = compared.rows("order_history", 0).unwrap().remove(0);
    assert_eq!(row[19..], [Cell::BigInt(5), Cell::BigInt(5)], "version and position");
    row.truncate(19);
    assert_eq!(row, paid().rows("order_history", 0).unwrap()[0][..19]);
    assert_eq!(entries(&compared), entries(&paid()));
}

/// The ledger as (account, amount), in the order of its bookings.
fn entries(log: &Log) -> Vec<(String, i64)> {
    let rows = log.rows("payment_ledger", 0).unwrap();
    let entry = |row: &Row| match row.as_slice() {
        [_, Cell::Text(account), _, _, Cell::BigInt(amount), ..] => (account.clone(), *amount),
        other => panic!("{other:?}"),
    };
    rows.iter().map(entry).collect()
}

#[test]
fn only_money_that_moved_is_booked_and_each_booking_sums_to_zero() {
    let [part_asked, part_back] = refund(1, 400);
    let [rest_asked, _] = refund(2, 600);
    let asked = Log::default()
        .with(A, &approved(1, 1_000))
        .with(A, &part_asked)
        .with(A, &unresolved(GatewayStep::Cancel));
    let sold = [("gateway_receivable".to_owned(), 1_000), ("sales".to_owned(), -1_000)];
    assert_eq!(entries(&asked), sold);

    let back = asked.with(A, &part_back).with(A, &rest_asked);
    let given = [("gateway_receivable".to_owned(), -400), ("refunds".to_owned(), 400)];
    assert_eq!(entries(&back), [sold, given].concat());

    let twice = back.with(A, &approved(1, 1_000));
    let refusal = twice.rows("payment_ledger", 0).unwrap_err();
    assert_eq!(refusal, "attempt 1 was approved before");
}

#[test]
fn what_a_fold_lacks_is_asked_for_table_by_table() {
    let log = Log::default()
        .with(A, &placed())
        .with(A, &requested(1))
        .with(A, &approved(1, 1_000))
        .with(B, &registered(&[Category::Eye], 0));
    let events = log.incoming("item_by_category");
    let mut working = model("item_by_category").unwrap().working(false);
    let none = HashSet::new();
    let mut asked = Vec::new();
    while let Pass::Missing(missing) = working.fold(&events, &none) {
        for (table, keys) in missing {
            asked.push((table, keys.clone()));
            working.supply(table, keys, Vec::new()).unwrap();
        }
    }
    // The item and the order at once, although the order's events come first.
    assert_eq!(asked, [(2, vec![Cell::Uuid(B)]), (3, vec![Cell::Uuid(A)])]);
    let changes = working.changes().unwrap();
    assert_eq!(changes[0].upserts.len(), 2);
    assert_eq!(changes[0].upserts[0][5], Cell::BigInt(2), "two pieces sold");
}

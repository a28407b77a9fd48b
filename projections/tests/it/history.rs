//! Histories of a shop: deterministic out of a seed, legal, and with every event in them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use contracts::events::{
    AbandonReason, ApprovedAmount, CancelledBy, CartEvent, DeclineClass, GatewayStep, ItemDetails,
    ItemEvent, OrderEvent, OrderKind, OrderLine, PaymentMethod, RedirectUrls, ReturnedAs,
};
use contracts::{
    CartKey, CartKind, Category, DiscountRate, ItemId, OrderId, OrderNumber, Period, Quantity,
    RefundId, ReportNo, Sealed, Text, UserId, Won,
};
use uuid::Uuid;

use crate::support::Shop;

pub(crate) fn won(amount: i64) -> Won {
    Won::try_from(amount).unwrap()
}

pub(crate) fn text<const MAX: usize>(raw: &str) -> Text<MAX> {
    Text::parse(raw).unwrap()
}

pub(crate) fn noon() -> DateTime<Utc> {
    "2026-11-23T03:00:00.123456789Z".parse().unwrap()
}

pub(crate) fn report_no(number: u64) -> ReportNo {
    ReportNo::try_from(format!("{number:014}")).unwrap()
}

pub(crate) fn item_id(number: u64) -> ItemId {
    ItemId::of(&report_no(number))
}

/// The number of a thing as a UUID.
pub(crate) fn id(number: u64) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(number))
}

pub(crate) fn registered(
    number: u64,
    origin_price: i64,
    tenths: u16,
    of: &[Category],
) -> ItemEvent {
    ItemEvent::Registered {
        report_no: report_no(number),
        details: details(&format!("루테인 \"{number}\"")),
        origin_price: won(origin_price),
        discount_rate: DiscountRate::try_from(tenths).unwrap(),
        categories: of.iter().copied().collect(),
    }
}

pub(crate) fn details(name: &str) -> ItemDetails {
    ItemDetails {
        product_name: text(name),
        enterprise: Some(text("(주)건강")),
        registered_on: chrono::NaiveDate::from_ymd_opt(2020, 1, 31),
        expiration: None,
        appearance: None,
        serving_use: Some(text("1일 1회")),
        storage: None,
        intake_hint: None,
        main_function: Some(text("눈 건강에 도움\\ {,}")),
        base_standard: None,
        thumbnail_url: Some(text("https://images.example/1.jpg")),
        description_image_url: None,
    }
}

pub(crate) fn line(line_no: u16, item: u64, unit_price: i64, quantity: i64) -> OrderLine {
    OrderLine {
        line_no,
        item_id: item_id(item),
        item_name: text(&format!("루테인 {item}")),
        origin_price: won(unit_price),
        discount_rate: DiscountRate::NONE,
        unit_price: won(unit_price),
        quantity: Quantity::try_from(quantity).unwrap(),
        period: None,
    }
}

pub(crate) fn placed(order: Uuid, user: u64, lines: Vec<OrderLine>) -> OrderEvent {
    let total = lines.iter().map(|it| it.unit_price.checked_mul(it.quantity.count()).unwrap());
    let total = Won::sum(total).unwrap();
    OrderEvent::Placed {
        order_id: OrderId::new(order),
        number: OrderNumber::derive(contracts::calendar::business_date(noon()), order),
        user_id: UserId::new(id(user)),
        kind: OrderKind::OneOff,
        from_cart: true,
        lines,
        total,
        tax_free: Won::ZERO,
        vat: total.vat_included(Won::ZERO),
        receiver: Sealed::from_parts(1, "bm9uY2U=".to_owned(), "c2VhbGVk".to_owned()),
        placed_at: noon(),
        expires_at: noon() + TimeDelta::minutes(30),
    }
}

pub(crate) fn requested(order: Uuid, attempt: u32, amount: i64) -> OrderEvent {
    OrderEvent::PaymentRequested {
        attempt,
        partner_order_id: text(&format!("{order}-{attempt}")),
        item_name: text("루테인"),
        quantity: 1,
        amount: won(amount),
        tax_free: Won::ZERO,
        vat: Won::ZERO,
        recurring: false,
        requested_at: noon(),
    }
}

pub(crate) fn ready(attempt: u32) -> OrderEvent {
    OrderEvent::PaymentReady {
        attempt,
        tid: text("T1"),
        redirect: RedirectUrls {
            pc: text("https://pay.example/pc"),
            mobile: text("https://pay.example/mobile"),
            app: text("https://pay.example/app"),
        },
        ready_at: noon(),
        expires_at: noon() + TimeDelta::minutes(15),
        cid: None,
    }
}

pub(crate) fn approved(attempt: u32, amount: i64) -> OrderEvent {
    OrderEvent::PaymentApproved {
        attempt,
        tid: text("T1"),
        aid: text("A1"),
        amount: ApprovedAmount {
            total: won(amount),
            tax_free: Won::ZERO,
            vat: Won::ZERO,
            point: Won::ZERO,
            discount: Won::ZERO,
        },
        method: PaymentMethod::Card,
        approved_at: noon(),
        billing_key: None,
    }
}

pub(crate) fn refund_requested(refund: RefundId, attempt: u32, amount: i64) -> OrderEvent {
    OrderEvent::RefundRequested {
        refund_id: refund,
        attempt,
        tid: text("T1"),
        amount: won(amount),
        tax_free: Won::ZERO,
        refundable_before: won(amount),
        by: CancelledBy::User,
        reason: None,
        requested_at: noon(),
    }
}

pub(crate) fn refunded(refund: RefundId, amount: i64) -> OrderEvent {
    OrderEvent::RefundSucceeded {
        refund_id: refund,
        aid: None,
        amount: won(amount),
        refunded_at: noon(),
    }
}

/// Numbers that look random and are the same for the same seed (xorshift).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    pub(crate) fn amount(&mut self, end: u64) -> i64 {
        i64::try_from(self.below(end)).unwrap()
    }
}

/// A shop's days: items come and change, carts fill and empty, orders are paid and refunded.
pub(crate) struct History {
    dice: Dice,
    items: u64,
    on_sale: BTreeMap<u64, bool>,
    carts: BTreeMap<u64, BTreeSet<u64>>,
    orders: u64,
}

impl History {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self {
            dice: Dice::seeded(seed),
            items: 0,
            on_sale: BTreeMap::new(),
            carts: BTreeMap::new(),
            orders: 0,
        }
    }

    /// Lets `steps` things happen, each of one event or a few.
    pub(crate) async fn go_on(&mut self, shop: &mut Shop, steps: usize) {
        for _ in 0..steps {
            match self.dice.below(10) {
                _ if self.items < 5 => self.new_item(shop).await,
                0 => self.new_item(shop).await,
                1..=3 => self.change_item(shop).await,
                4..=6 => self.change_cart(shop).await,
                _ => self.order(shop).await,
            }
        }
    }

    fn categories(&mut self) -> BTreeSet<Category> {
        let mut pick = || Category::ALL[usize::try_from(self.dice.below(9)).unwrap()];
        let (first, second) = (pick(), pick());
        BTreeSet::from([first, second])
    }

    async fn new_item(&mut self, shop: &mut Shop) {
        self.items += 1;
        let number = self.items;
        let (price, tenths) = (1_000 + self.dice.below(500_000), self.dice.below(3) * 125);
        let of: Vec<Category> = self.categories().into_iter().collect();
        let price = i64::try_from(price).unwrap();
        let event = registered(number, price, u16::try_from(tenths).unwrap(), &of);
        shop.record(item_id(number).uuid(), &event).await;
        self.on_sale.insert(number, true);
    }

    async fn change_item(&mut self, shop: &mut Shop) {
        let number = 1 + self.dice.below(self.items);
        let is_on_sale = self.on_sale[&number];
        let event = match self.dice.below(6) {
            0 => ItemEvent::Repriced { origin_price: won(self.dice.amount(90_000)) },
            1 | 2 => ItemEvent::DiscountChanged {
                discount_rate: DiscountRate::try_from(
                    u16::try_from(self.dice.below(3) * 155).unwrap(),
                )
                .unwrap(),
            },
            3 => ItemEvent::Recategorised { categories: self.categories() },
            4 => ItemEvent::DetailsChanged { details: details("오메가3 \\\"새 이름\"") },
            _ if is_on_sale => ItemEvent::Withdrawn { reason: Some(text("회수")) },
            _ => ItemEvent::Relisted {},
        };
        if let ItemEvent::Withdrawn { .. } | ItemEvent::Relisted {} = event {
            self.on_sale.insert(number, !is_on_sale);
        }
        shop.record(item_id(number).uuid(), &event).await;
    }

    async fn change_cart(&mut self, shop: &mut Shop) {
        let user = self.dice.below(4);
        let kind = if user.is_multiple_of(2) { CartKind::OneOff } else { CartKind::Subscription };
        let cart = CartKey { user_id: UserId::new(id(user)), kind };
        let item = 1 + self.dice.below(self.items);
        let quantity = Quantity::try_from(1 + self.dice.amount(9)).unwrap();
        let lines = self.carts.entry(user).or_default();
        let has_it = lines.contains(&item);
        let item_id = item_id(item);
        let event = match self.dice.below(8) {
            0 => CartEvent::Cleared { cart },
            1 if has_it => CartEvent::ItemRemoved { cart, item_id, bought_in: None },
            2 | 3 if has_it => {
                CartEvent::QuantityChanged { cart, item_id, quantity, bought_in: None }
            }
            4 if has_it && kind == CartKind::Subscription => {
                CartEvent::PeriodChanged { cart, item_id, period: Period::try_from(60).unwrap() }
            }
            _ => CartEvent::ItemAdded {
                cart,
                item_id,
                item_name: text("루테인 \"눈\""),
                requested: quantity,
                quantity,
                period: (kind == CartKind::Subscription).then(|| Period::try_from(30).unwrap()),
                unit_price: won(self.dice.amount(10_000)),
            },
        };
        match &event {
            CartEvent::ItemAdded { .. } => {
                lines.insert(item);
            }
            CartEvent::ItemRemoved { .. } => {
                lines.remove(&item);
            }
            CartEvent::Cleared { .. } => lines.clear(),
            CartEvent::QuantityChanged { .. }
            | CartEvent::PeriodChanged { .. }
            | CartEvent::OrderBought { .. } => {}
        }
        shop.record(cart.id().uuid(), &event).await;
    }

    async fn order(&mut self, shop: &mut Shop) {
        self.orders += 1;
        let order = id(1_000_000 + self.orders);
        let first = 1 + self.dice.below(self.items);
        let second = 1 + self.dice.below(self.items);
        let lines = vec![line(1, first, 3_000, 2), line(2, second, 500, 8)];
        let user = self.dice.below(4);
        let events = self.course(order, placed(order, user, lines));
        for event in events {
            shop.record(order, &event).await;
        }
    }

    /// One of the ways that an order of 10,000 won can go.
    #[expect(clippy::too_many_lines, reason = "one list, a way after the other")]
    fn course(&mut self, order: Uuid, placed: OrderEvent) -> Vec<OrderEvent> {
        let attempt = 1;
        let automatic = RefundId::automatic(OrderId::new(order), attempt);
        let refund = RefundId::new(id(2_000_000 + self.orders));
        let returned = OrderEvent::PaymentReturned {
            attempt,
            returned_as: ReturnedAs::Authenticated { pg_token: token(), token_mark: None },
            returned_at: noon(),
        };
        let approving = OrderEvent::PaymentApprovalRequested {
            attempt,
            tid: text("T1"),
            pg_token: token(),
            requested_at: noon(),
        };
        let unresolved = |step| OrderEvent::PaymentUnresolved {
            attempt,
            step,
            reason: text("timeout"),
            unresolved_at: noon(),
            refund_id: None,
        };
        let mut events = vec![placed];
        let way = self.dice.below(9);
        if way == 0 {
            events.push(OrderEvent::Cancelled {
                by: CancelledBy::User,
                reason: Some(text("변심")),
                cancelled_at: noon(),
            });
            return events;
        }
        events.push(requested(order, attempt, 10_000));
        if way == 1 {
            return events;
        }
        events.push(ready(attempt));
        if way == 2 {
            events.push(OrderEvent::PaymentAbandoned {
                attempt,
                reason: AbandonReason::CancelledByShopper,
                abandoned_at: noon(),
            });
            events.push(OrderEvent::Expired { expired_at: noon() });
            return events;
        }
        events.extend([returned, approving]);
        match way {
            3 => events.push(OrderEvent::PaymentDeclined {
                attempt,
                step: GatewayStep::Approve,
                class: DeclineClass::Soft,
                code: text("-780/LACK_BALANCE"),
                declined_at: noon(),
            }),
            4 => events.push(unresolved(GatewayStep::Approve)),
            5 => events.extend([
                unresolved(GatewayStep::Approve),
                OrderEvent::Expired { expired_at: noon() },
                approved(attempt, 10_000),
                refund_requested(automatic, attempt, 10_000),
                refunded(automatic, 10_000),
            ]),
            6 => events.extend([
                approved(attempt, 10_000),
                refund_requested(refund, attempt, 4_000),
                unresolved(GatewayStep::Cancel),
                refunded(refund, 4_000),
                OrderEvent::ReceiverChanged {
                    receiver: Sealed::from_parts(1, "bg==".to_owned(), "Yw==".to_owned()),
                },
            ]),
            7 => events.extend([
                approved(attempt, 10_000),
                refund_requested(refund, attempt, 10_000),
                OrderEvent::RefundFailed {
                    refund_id: refund,
                    class: DeclineClass::Merchant,
                    code: text("-1"),
                    failed_at: noon(),
                },
            ]),
            _ => events.push(approved(attempt, 10_000)),
        }
        events
    }
}

fn token() -> Sealed<String> {
    Sealed::from_parts(1, "bm9uY2U=".to_owned(), "dG9rZW4=".to_owned())
}

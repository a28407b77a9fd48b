//! What follows from an order, in every order of arrival.
//!
//! Two reactions read the order's events at least once, each with a lag of its own: one opens
//! subscriptions and takes lines out of the cart, the other ends subscriptions. Each reads the order
//! as it stands at any time after the event at hand. Whatever the schedule, the end is the same. With
//! pending refunds counted as gone in `is_to_be_delivered` (seen so) a paid order is not delivered;
//! without opening before ending (seen so) a late opener brings a subscription back.

use contracts::events::{DeclineClass, OrderEvent, OrderKind, SubscriptionCancelledBy};
use contracts::{CartKey, CartKind};
use proptest::prelude::*;

use super::*;
use crate::cart::{AddItem, Cart, CartCommand};
use crate::fixtures::{ADMIN, days, kim};
use crate::order::PlacedOrder;
use crate::subscription::{
    Ender, OpenSubscription, Subscription, SubscriptionCommand, SubscriptionStatus,
};

const TOTAL: i64 = 9_000;

fn subscription_order() -> Vec<OrderEvent> {
    let lines = vec![OfferedLine { period: Some(days(30)), ..offered(1, 9_000, 0, 1) }];
    let mut order = Order::default();
    let mut history = Vec::new();
    let current_offers = vec![(item(1), offer(9_000, 0))];
    for command in [
        placing(PlaceOrder { kind: OrderKind::Subscription, ..place(lines) }),
        OrderCommand::RequestPayment { by: KIM, current_offers, at: minute(1) },
        ready(1),
        returned(1, authenticated()),
    ] {
        history.extend(when(&mut order, command));
    }
    history
}

/// What is asked of the order after its approval was asked for.
fn command() -> impl Strategy<Value = OrderCommand> {
    let number = || 1_u128..5;
    let by = || prop_oneof![2 => Just(KIM), 1 => Just(ADMIN), 1 => Just(Principal::System)];
    let part = || prop_oneof![Just(TOTAL), Just(4_000), Just(5_000)];
    prop_oneof![
        3 => Just(approved(approval(1, TOTAL))),
        1 => Just(OrderCommand::RecordNotSent {
            attempt: 1,
            step: contracts::events::GatewayStep::Approve,
            at: minute(4),
        }),
        2 => (by(), number(), part()).prop_map(|(by, number, amount)| {
            OrderCommand::RequestRefund {
                by,
                refund_id: refund_id(number),
                amount: won(amount),
                attempt: None,
                reason: None,
                at: minute(5),
            }
        }),
        1 => (by(), number()).prop_map(|(by, number)| OrderCommand::CancelOrder {
            by,
            refund_id: refund_id(number),
            reason: None,
            at: minute(5),
        }),
        3 => (number(), part()).prop_map(|(number, amount)| OrderCommand::RecordRefund {
            refund_id: refund_id(number),
            aid: None,
            amount: won(amount),
            refunded_at: minute(6),
            at: minute(6),
        }),
        2 => number().prop_map(|number| OrderCommand::RecordRefundFailure {
            refund_id: refund_id(number),
            class: DeclineClass::Soft,
            code: text("-781"),
            at: minute(6),
        }),
    ]
}

fn cart_key() -> CartKey {
    CartKey { user_id: kim(), kind: CartKind::Subscription }
}

/// The streams that the reactions write to.
struct Streams {
    subscription: Subscription,
    cart: Cart,
}

impl Streams {
    fn new() -> Self {
        let mut streams = Self { subscription: Subscription::default(), cart: Cart::default() };
        streams.put_into_cart(3);
        streams
    }

    fn put_into_cart(&mut self, count: i64) {
        let line = AddItem {
            item_id: item(1),
            item_name: text("홍삼"),
            quantity: pieces(count),
            period: Some(days(30)),
            unit_price: won(9_000),
            on_sale: true,
        };
        when(&mut self.cart, CartCommand::AddItem { by: KIM, cart: cart_key(), item: line });
    }

    /// As `reactions/paid_orders.rs` does.
    fn paid(&mut self, event: &OrderEvent, order: &PlacedOrder) {
        if !matches!(event, OrderEvent::PaymentApproved { .. }) || !order.is_to_be_delivered() {
            return;
        }
        self.open(order);
        let lines = order.lines.iter().map(|line| (line.item_id, line.quantity)).collect();
        let (cart, order_id) = (cart_key(), order.order_id);
        when(&mut self.cart, CartCommand::RemoveBought { cart, order_id, lines });
    }

    /// As `reactions/ended_orders.rs` does.
    fn ended(&mut self, event: &OrderEvent, order: &PlacedOrder) {
        let is_read = matches!(
            event,
            OrderEvent::RefundRequested { .. }
                | OrderEvent::RefundSucceeded { .. }
                | OrderEvent::Cancelled { .. }
        );
        let Some(by) = order.subscriptions_end().filter(|_| is_read) else { return };
        self.open(order);
        let by = match by {
            SubscriptionCancelledBy::OrderCalledOff => Ender::OrderCalledOff,
            SubscriptionCancelledBy::OrderRefunded
            | SubscriptionCancelledBy::User
            | SubscriptionCancelledBy::Admin
            | SubscriptionCancelledBy::System => Ender::OrderRefunded,
        };
        let end = SubscriptionCommand::CancelSubscription { by, reason: None, at: minute(9) };
        when(&mut self.subscription, end);
    }

    fn open(&mut self, order: &PlacedOrder) {
        let line = &order.lines[0];
        let open = OpenSubscription {
            user_id: order.user_id,
            order_id: order.order_id,
            line_no: line.line_no,
            item_id: line.item_id,
            item_name: line.item_name.clone(),
            quantity: line.quantity,
            unit_price: line.unit_price,
            period: line.period.unwrap(),
            receiver: sealed("home"),
            billing_key: key(),
            key_missing: false,
            paid_on: contracts::calendar::business_date(minute(4)),
            at: minute(8),
        };
        when(&mut self.subscription, SubscriptionCommand::OpenSubscription(Box::new(open)));
    }
}

fn order_of(history: &[OrderEvent]) -> Order {
    Order::replay(history)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_follows_from_an_order_does_not_depend_on_when_it_is_read(
        commands in prop::collection::vec(command(), 1..16),
        lags in prop::collection::vec((prop::bool::ANY, 0_usize..20, prop::bool::weighted(0.2)), 64),
    ) {
        let mut history = subscription_order();
        let mut order = order_of(&history);
        // The events of one command are one append: they are read together or not at all.
        let mut appends = vec![history.len()];
        for command in commands {
            for event in order.decide(command).unwrap_or_default() {
                order.evolve(&event);
                history.push(event);
            }
            appends.push(history.len());
        }

        let mut streams = Streams::new();
        let (mut paid_through, mut ended_through) = (0, 0);
        let mut was_refilled = false;
        let mut schedule = lags.into_iter().cycle();
        while paid_through < history.len() || ended_through < history.len() {
            let (is_paid, ahead, is_repeated) = schedule.next().unwrap();
            let is_paid = ended_through == history.len() || (is_paid && paid_through < history.len());
            let through = if is_paid { &mut paid_through } else { &mut ended_through };
            let event = &history[*through];
            // Read as it stands then or later, and perhaps once more after a crash.
            let read = history.len().min(*through + 1 + ahead);
            let read = appends.iter().copied().find(|end| read <= *end).unwrap_or(read);
            let read = order_of(&history[..read]);
            let handle = |streams: &mut Streams| match (read.placed(), is_paid) {
                (Some(order), true) => streams.paid(event, order),
                (Some(order), false) => streams.ended(event, order),
                (None, _) => {}
            };
            handle(&mut streams);
            if is_repeated {
                if is_paid && streams.cart.line(item(1)).is_none_or(|it| it.quantity.count() < 3)
                    && !was_refilled
                {
                    streams.put_into_cart(1);
                    was_refilled = true;
                }
                handle(&mut streams);
            }
            *through += 1;
        }

        let placed = order.placed().unwrap();
        let status = streams.subscription.status();
        match (placed.paid_in_time(), placed.subscriptions_end()) {
            (None, _) => prop_assert_eq!(status, None),
            (Some(_), None) => prop_assert_eq!(status, Some(SubscriptionStatus::Active)),
            (Some(_), Some(_)) => prop_assert_eq!(status, Some(SubscriptionStatus::Cancelled)),
        }
        let left = streams.cart.pieces();
        let refilled = u32::from(was_refilled);
        if placed.is_to_be_delivered() {
            prop_assert_eq!(left, 2 + refilled, "taken out once");
        }
        if placed.paid_in_time().is_none() {
            prop_assert_eq!(left, 3);
        }
    }
}

fn refund_by(by: Principal, number: u128, amount: i64) -> OrderCommand {
    let (refund_id, amount, at) = (refund_id(number), won(amount), minute(5));
    OrderCommand::RequestRefund { by, refund_id, amount, attempt: None, reason: None, at }
}

fn succeeded(number: u128, amount: i64) -> OrderCommand {
    OrderCommand::RecordRefund {
        refund_id: refund_id(number),
        aid: None,
        amount: won(amount),
        refunded_at: minute(6),
        at: minute(6),
    }
}

fn failed(number: u128) -> OrderCommand {
    let (refund_id, class, at) = (refund_id(number), DeclineClass::Soft, minute(6));
    OrderCommand::RecordRefundFailure { refund_id, class, code: text("-781"), at }
}

fn cancel(by: Principal) -> OrderCommand {
    OrderCommand::CancelOrder { by, refund_id: refund_id(9), reason: None, at: minute(5) }
}

/// What ends the subscriptions, and when: the rule of the design as a table.
#[test]
fn an_order_ends_its_subscriptions_by_its_owners_word_or_by_its_refunds() {
    let history = subscription_order();
    let paid = || {
        let mut order = order_of(&history);
        when(&mut order, approved(approval(1, TOTAL)));
        order
    };
    let ends = |order: &Order| order.placed().unwrap().subscriptions_end();
    let called_off = Some(SubscriptionCancelledBy::OrderCalledOff);
    let refunded = Some(SubscriptionCancelledBy::OrderRefunded);
    for (what, commands, expected) in [
        ("nothing", vec![], None),
        ("owner cancels", vec![cancel(KIM)], called_off),
        ("and the refund is refused", vec![cancel(KIM), failed(9)], called_off),
        ("owner asks all back", vec![refund_by(KIM, 1, TOTAL)], called_off),
        ("a part goes back", vec![refund_by(KIM, 1, 4_000), succeeded(1, 4_000)], None),
        (
            "owner asks the rest back",
            vec![refund_by(ADMIN, 1, 4_000), refund_by(KIM, 2, 5_000)],
            called_off,
        ),
        ("an administrator asks", vec![refund_by(ADMIN, 1, TOTAL)], None),
        (
            "an administrator's parts are through",
            vec![
                refund_by(ADMIN, 1, 4_000),
                refund_by(ADMIN, 2, 5_000),
                succeeded(2, 5_000),
                succeeded(1, 4_000),
            ],
            refunded,
        ),
        (
            "owner's part and the shop's rest are through",
            vec![
                refund_by(KIM, 1, 4_000),
                refund_by(Principal::System, 2, 5_000),
                succeeded(1, 4_000),
                succeeded(2, 5_000),
            ],
            refunded,
        ),
        (
            "owner cancels while an administrator's refund is under way",
            vec![refund_by(ADMIN, 1, TOTAL), cancel(KIM), failed(1)],
            called_off,
        ),
    ] {
        let mut order = paid();
        for command in commands {
            when(&mut order, command);
        }
        assert_eq!(ends(&order), expected, "{what}");
    }
}

#[test]
fn a_payment_that_came_too_late_ends_no_subscription_because_it_opened_none() {
    let history = subscription_order();
    let mut late = order_of(&history);
    when(
        &mut late,
        OrderCommand::RecordNotSent {
            attempt: 1,
            step: contracts::events::GatewayStep::Approve,
            at: minute(4),
        },
    );
    when(&mut late, approved(approval(1, TOTAL)));
    assert_eq!(late.placed().unwrap().subscriptions_end(), None);
}

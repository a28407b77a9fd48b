//! Whatever is asked of an order, in whatever sequence: the books stay right.

use contracts::events::{DeclineClass, DifferenceKind, GatewayStep, OrderEvent, ReturnedAs};
use contracts::{EventBody, RefundId, Won};
use proptest::prelude::*;

use super::tests::{
    approval, approved, order_id, place, placing, ready, refund_id, request_payment, token,
    two_lines,
};
use super::{Differences, Order, OrderCommand, OrderStatus, PlacedOrder, Sides, Stage};
use crate::Effect;
use crate::fixtures::{ADMIN, KIM, LEE, minute, sealed, text, won};
use crate::kernel::{EventSourced, Principal};

const TOTAL: i64 = 23_000;

fn returned_as() -> impl Strategy<Value = ReturnedAs> {
    prop_oneof![
        4 => (1_u8..8).prop_map(|name| token(&format!("token {name}"))),
        1 => Just(ReturnedAs::Cancelled),
        1 => Just(ReturnedAs::Failed),
    ]
}

fn step() -> impl Strategy<Value = GatewayStep> {
    prop_oneof![Just(GatewayStep::Ready), Just(GatewayStep::Approve), Just(GatewayStep::Cancel)]
}

fn principal() -> impl Strategy<Value = Principal> {
    prop_oneof![
        4 => Just(KIM),
        1 => Just(LEE),
        1 => Just(ADMIN),
        1 => Just(Principal::System),
    ]
}

fn any_refund_id() -> impl Strategy<Value = RefundId> {
    prop_oneof![
        3 => (1_u128..4).prop_map(refund_id),
        1 => (1_u32..4).prop_map(|attempt| RefundId::automatic(order_id(), attempt)),
    ]
}

fn paying_command() -> impl Strategy<Value = OrderCommand> {
    let attempt = || 0_u32..5;
    prop_oneof![
        3 => (principal(), 0_i64..20).prop_map(|(by, at)| request_payment(by, at)),
        3 => attempt().prop_map(ready),
        3 => (attempt(), returned_as()).prop_map(|(attempt, returned_as)| {
            OrderCommand::RecordReturn { attempt, returned_as, at: minute(3) }
        }),
        3 => (attempt(), prop_oneof![4 => Just(TOTAL), 1 => Just(TOTAL - 1)])
            .prop_map(|(attempt, total)| approved(approval(attempt, total))),
        1 => (attempt(), step()).prop_map(|(attempt, step)| OrderCommand::RecordDecline {
            attempt,
            step,
            class: DeclineClass::Soft,
            code: text("-780"),
            at: minute(4),
        }),
        1 => (attempt(), step()).prop_map(|(attempt, step)| OrderCommand::RecordUnresolved {
            attempt,
            step,
            reason: text("timeout"),
            at: minute(4),
        }),
        1 => attempt().prop_map(|attempt| OrderCommand::RecordTokenRefused {
            attempt,
            code: text("-708"),
            at: minute(4),
        }),
        1 => (attempt(), step()).prop_map(|(attempt, step)| OrderCommand::RecordNotSent {
            attempt,
            step,
            at: minute(4),
        }),
    ]
}

fn differences() -> impl Strategy<Value = Differences> {
    let side = || prop::sample::select(vec!["0", "1000", "PAID"]).prop_map(text);
    let sides = (side(), side()).prop_map(|(ours, theirs)| Sides { ours, theirs });
    prop::collection::btree_map(prop::sample::select(DifferenceKind::ALL.to_vec()), sides, 0..3)
}

fn other_command() -> impl Strategy<Value = OrderCommand> {
    prop_oneof![
        Just(placing(place(two_lines()))),
        (0_i64..40).prop_map(|at| OrderCommand::ExpireOrder { at: minute(at) }),
        (principal(), any_refund_id()).prop_map(|(by, refund_id)| OrderCommand::CancelOrder {
            by,
            refund_id,
            reason: None,
            at: minute(5),
        }),
        (principal(), any_refund_id(), 0_i64..TOTAL + 2, prop::option::of(0_u32..4)).prop_map(
            |(by, refund_id, amount, attempt)| OrderCommand::RequestRefund {
                by,
                refund_id,
                amount: won(amount),
                attempt,
                reason: None,
                at: minute(5),
            }
        ),
        (any_refund_id(), prop_oneof![Just(TOTAL), 0..TOTAL]).prop_map(|(refund_id, amount)| {
            OrderCommand::RecordRefund {
                refund_id,
                aid: None,
                amount: won(amount),
                refunded_at: minute(6),
                at: minute(6),
            }
        }),
        any_refund_id().prop_map(|refund_id| OrderCommand::RecordRefundFailure {
            refund_id,
            class: DeclineClass::Soft,
            code: text("-740"),
            at: minute(6),
        }),
        principal().prop_map(|by| OrderCommand::ChangeReceiver { by, receiver: sealed("office") }),
        (0_u32..4, differences()).prop_map(|(attempt, found)| OrderCommand::RecordDifferences {
            attempt,
            found,
            at: minute(7),
        }),
    ]
}

/// What the gateway or an operator would say of each refund that is pending.
fn settle_pending(order: &Order) -> Vec<OrderCommand> {
    let Some(placed) = order.placed() else { return Vec::new() };
    let pending = placed.refunds.iter().filter(|it| it.stage == super::RefundStage::Pending);
    pending
        .map(|refund| OrderCommand::RecordRefund {
            refund_id: refund.id,
            aid: None,
            amount: refund.amount,
            refunded_at: minute(6),
            at: minute(6),
        })
        .collect()
}

fn check_books(order: &PlacedOrder, history: &[OrderEvent]) {
    for attempt in &order.attempts {
        let taken = Won::sum(
            order
                .refunds
                .iter()
                .filter(|refund| refund.attempt == attempt.number && refund.stage.is_taken())
                .map(|refund| refund.amount),
        )
        .unwrap();
        assert!(taken <= attempt.paid(), "more goes back than was paid");
        assert!(order.refunded_of(attempt) <= taken);
    }
    let live = |stage: &Stage| {
        matches!(stage, Stage::Requested | Stage::Ready | Stage::ApprovalRequested { .. })
    };
    assert!(order.attempts.iter().filter(|it| live(&it.stage)).count() <= 1, "two open attempts");
    // What came too late is refunded by the very append that records it.
    let is_automatic = |attempt: u32| {
        let automatic = RefundId::automatic(order.order_id, attempt);
        history.iter().any(|event| {
            matches!(event, OrderEvent::RefundRequested { refund_id, .. } if *refund_id == automatic)
        })
    };
    let approved_in_time = history.iter().any(|event| {
        matches!(event, OrderEvent::PaymentApproved { attempt, amount, .. }
            if amount.total == order.total && !is_automatic(*attempt))
    });
    let is_paid = matches!(
        order.status(),
        OrderStatus::Paid | OrderStatus::PartlyRefunded | OrderStatus::Refunded
    );
    assert_eq!(is_paid, approved_in_time, "paid if and only if exactly its amount was approved");
    let in_time = order
        .attempts
        .iter()
        .filter(|attempt| attempt.stage.approval().is_some() && !order.came_too_late(attempt));
    assert!(in_time.count() <= 1, "two payments were kept");
}

/// The events that ask something of the gateway, and nothing else does.
fn check_effects(order: &Order, event: &OrderEvent) {
    let effects = order.effects(event);
    let expected = match event.event_type() {
        "PaymentRequested" => Some("payment_ready"),
        "PaymentApprovalRequested" => Some("payment_approve"),
        "RefundRequested" => Some("payment_cancel"),
        _ => None,
    };
    assert_eq!(effects.iter().map(Effect::kind).collect::<Vec<_>>(), Vec::from_iter(expected));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_books_of_an_order_are_right_after_any_sequence(
        commands in prop::collection::vec(
            prop_oneof![3 => paying_command(), 2 => other_command()],
            1..60,
        ),
        placed_first in prop::bool::weighted(0.9),
        settles in prop::bool::ANY,
    ) {
        let mut order = Order::default();
        let mut history: Vec<OrderEvent> = Vec::new();
        let first = placed_first.then(|| placing(place(two_lines())));
        for command in first.into_iter().chain(commands) {
            let decided = order.decide(command.clone());
            prop_assert_eq!(&decided, &Order::replay(&history).decide(command.clone()));
            for event in decided.unwrap_or_default() {
                order.evolve(&event);
                check_effects(&order, &event);
                history.push(event);
            }
            prop_assert_eq!(&order, &Order::replay(&history));
            if matches!(command, OrderCommand::RecordDifferences { .. }) {
                // What was found is on record: found again, it changes nothing.
                prop_assert_eq!(order.decide(command).unwrap_or_default(), Vec::new());
            }
            if let Some(placed) = order.placed() {
                check_books(placed, &history);
            }
        }
        for command in settle_pending(&order).into_iter().filter(|_| settles) {
            for event in order.decide(command).unwrap_or_default() {
                order.evolve(&event);
                history.push(event);
            }
        }
        if let Some(placed) = order.placed() {
            check_books(placed, &history);
        }
        // The state itself survives being stored, as the framework's snapshots would.
        let stored = serde_json::to_value(&order).unwrap();
        prop_assert_eq!(serde_json::from_value::<Order>(stored).unwrap(), order);
        // Any part of any history, in any order, folds without a panic.
        history.reverse();
        drop(Order::replay(&history));
    }
}

//! Giving money back.

use contracts::RefundId;
use contracts::events::{DeclineClass, GatewayStep, OrderEvent};

use super::*;
use crate::Effect;
use crate::fixtures::{ADMIN, LEE};
use crate::order::{MISMATCH, OrderStatus};

fn refunded(number: u128, total: i64) -> OrderCommand {
    OrderCommand::RecordRefund {
        refund_id: refund_id(number),
        aid: Some(text("A7")),
        amount: won(total),
        refunded_at: now(6),
        at: now(6),
    }
}

fn failed(number: u128) -> OrderCommand {
    OrderCommand::RecordRefundFailure {
        refund_id: refund_id(number),
        class: DeclineClass::Merchant,
        code: text("-740"),
        at: now(6),
    }
}

#[test]
fn two_equal_partial_refunds_with_two_ids_are_two_and_one_id_is_one() {
    let mut order = paid_order();
    assert_eq!(names(&when(&mut order, refund(1, 3_000))), ["RefundRequested"]);
    unchanged(&order, refund(1, 3_000));
    assert_eq!(refused(&order, refund(1, 4_000)), OrderRefusal::RefundIdReused);
    let events = when(&mut order, refund(2, 3_000));
    let effects = order.effects(&events[0]);
    let [Effect::PaymentCancel(effect)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((effect.amount, effect.refundable_before), (won(3_000), won(20_000)));
    assert_eq!((effect.tid.as_str(), effect.tax_free), ("T1", won(0)));
}

#[test]
fn the_status_follows_what_went_back_and_not_what_was_asked() {
    let mut order = paid_order();
    when(&mut order, refund(1, 3_000));
    assert_eq!(order.status(), Some(OrderStatus::Paid));
    assert_eq!(names(&when(&mut order, refunded(1, 3_000))), ["RefundSucceeded"]);
    assert_eq!(order.status(), Some(OrderStatus::PartlyRefunded));
    unchanged(&order, refunded(1, 3_000));
    unchanged(&order, failed(1));
    when(&mut order, refund(2, 20_000));
    when(&mut order, refunded(2, 20_000));
    assert_eq!(order.status(), Some(OrderStatus::Refunded));
    let move_away = OrderCommand::ChangeReceiver { by: KIM, receiver: sealed("office") };
    assert_eq!(refused(&order, move_away), OrderRefusal::Refunded);
}

#[test]
fn pending_refunds_count_against_what_was_paid() {
    let mut order = paid_order();
    when(&mut order, refund(1, 20_000));
    assert_eq!(
        refused(&order, refund(2, 3_001)),
        OrderRefusal::RefundTooLarge { refundable: won(3_000) }
    );
    assert_eq!(names(&order.decide(refund(2, 3_000)).unwrap()), ["RefundRequested"]);
}

#[test]
fn a_failed_refund_frees_its_sum_for_a_new_one() {
    let mut order = paid_order();
    when(&mut order, refund(1, 23_000));
    assert_eq!(names(&when(&mut order, failed(1))), ["RefundFailed"]);
    assert_eq!(order.status(), Some(OrderStatus::Paid));
    unchanged(&order, failed(1));
    unchanged(&order, refund(1, 23_000));
    assert_eq!(names(&when(&mut order, refund(2, 23_000))), ["RefundRequested"]);
}

#[test]
fn a_refund_that_went_through_after_all_is_believed_while_its_sum_is_free() {
    let mut order = paid_order();
    when(&mut order, refund(1, 23_000));
    when(&mut order, failed(1));
    let believed = order.decide(refunded(1, 23_000)).unwrap();
    assert_eq!(names(&believed), ["RefundSucceeded"]);
    when(&mut order, refund(2, 23_000));
    // Both can't be true; the second stays pending and the contradiction is on record.
    assert_eq!(names(&when(&mut order, refunded(1, 23_000))), ["PaymentUnresolved"]);
    assert_eq!(order.status(), Some(OrderStatus::Paid));
}

#[test]
fn a_refund_of_another_amount_than_asked_is_a_mismatch_on_record_once() {
    let mut order = paid_order();
    when(&mut order, refund(1, 3_000));
    let events = when(&mut order, refunded(1, 2_000));
    let [OrderEvent::PaymentUnresolved { reason, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(reason.as_str(), MISMATCH);
    unchanged(&order, refunded(1, 2_000));
    assert_eq!(order.status(), Some(OrderStatus::Paid));
    when(&mut order, refunded(1, 3_000));
    assert_eq!(order.status(), Some(OrderStatus::PartlyRefunded));
}

#[test]
fn an_unknown_refund_is_on_record_and_keeps_its_sum() {
    let unknown = || OrderCommand::RecordUnresolved {
        attempt: 1,
        step: GatewayStep::Cancel,
        reason: text("timeout"),
        at: now(6),
    };
    let mut order = paid_order();
    unchanged(&order, unknown());
    when(&mut order, refund(1, 23_000));
    assert_eq!(names(&when(&mut order, unknown())), ["PaymentUnresolved"]);
    unchanged(&order, unknown());
    assert_eq!(order.status(), Some(OrderStatus::Paid));
    assert_eq!(refused(&order, refund(2, 1)), OrderRefusal::RefundTooLarge { refundable: won(0) });
}

#[test]
fn only_paid_money_goes_back_and_never_nothing() {
    assert_eq!(refused(&approving_order(), refund(1, 1)), OrderRefusal::NotPaid);
    assert_eq!(refused(&paid_order(), refund(1, 0)), OrderRefusal::EmptyRefund);
    assert_eq!(refused(&paid_order(), refunded(1, 1)), OrderRefusal::NoSuchRefund);
    assert_eq!(refused(&paid_order(), failed(1)), OrderRefusal::NoSuchRefund);
}

#[test]
fn a_stranger_gets_nothing_back_and_the_shop_may_give() {
    let by = |by| OrderCommand::RequestRefund {
        by,
        refund_id: refund_id(1),
        amount: won(1),
        attempt: None,
        reason: None,
        at: now(5),
    };
    assert_eq!(refused(&paid_order(), by(LEE)), OrderRefusal::NotFound);
    assert!(paid_order().decide(by(ADMIN)).is_ok());
}

/// F12: the reaction to a payment may come while a refund is pending that is refused afterwards.
#[test]
fn a_pending_refund_keeps_nothing_from_being_delivered_and_a_succeeded_one_does() {
    let is_delivered = |order: &Order| order.placed().unwrap().is_to_be_delivered();
    let mut order = paid_order();
    when(&mut order, refund(1, 23_000));
    assert!(is_delivered(&order), "pending");
    let mut refused = order.clone();
    when(&mut refused, failed(1));
    assert!(is_delivered(&refused), "refused");
    when(&mut order, refunded(1, 23_000));
    assert!(!is_delivered(&order), "succeeded");

    let mut in_parts = paid_order();
    for command in [refund(1, 3_000), refund(2, 20_000), refunded(2, 20_000)] {
        when(&mut in_parts, command);
    }
    assert!(is_delivered(&in_parts), "a part");
    when(&mut in_parts, refunded(1, 3_000));
    assert!(!is_delivered(&in_parts), "all parts");
}

/// F18: there was one flag for all refunds of an attempt, so that settling one hid the other.
#[test]
fn settling_one_refund_leaves_the_other_unresolved() {
    let unknown = |number| OrderCommand::RecordRefundUnresolved {
        refund_id: refund_id(number),
        reason: text("timeout"),
        at: now(6),
    };
    let mut order = paid_order();
    for command in [refund(1, 3_000), refund(2, 4_000)] {
        when(&mut order, command);
    }
    for number in [1, 2] {
        assert_eq!(names(&when(&mut order, unknown(number))), ["PaymentUnresolved"], "{number}");
    }
    when(&mut order, refunded(1, 3_000));
    unchanged(&order, unknown(2));
    unchanged(&order, unknown(1));
    assert_eq!(refused(&order, unknown(3)), OrderRefusal::NoSuchRefund);
}

/// An event that is older than the refund's id in it means the oldest pending refund.
#[test]
fn an_older_event_of_an_unresolved_refund_names_none() {
    let mut order = paid_order();
    for command in [refund(1, 3_000), refund(2, 4_000)] {
        when(&mut order, command);
    }
    order.evolve(&OrderEvent::PaymentUnresolved {
        attempt: 1,
        step: GatewayStep::Cancel,
        reason: text("timeout"),
        unresolved_at: now(6),
        refund_id: None,
    });
    let flags: Vec<bool> =
        order.placed().unwrap().refunds.iter().map(|refund| refund.is_unresolved).collect();
    assert_eq!(flags, [true, false]);
}

/// The first attempt was declined and had been paid all the same; the second one paid in time. The
/// net found the first, and its automatic refund was refused.
fn paid_twice() -> Order {
    let mut order = approving_order();
    for command in [
        OrderCommand::RecordDecline {
            attempt: 1,
            step: GatewayStep::Approve,
            class: DeclineClass::Soft,
            code: text("-780"),
            at: now(4),
        },
        request_payment(KIM, 5),
        ready(2),
        returned(2, authenticated()),
        approved(approval(2, 23_000)),
        approved(approval(1, 23_000)),
        OrderCommand::RecordRefundFailure {
            refund_id: RefundId::automatic(order_id(), 1),
            class: DeclineClass::Merchant,
            code: text("-722"),
            at: now(6),
        },
    ] {
        when(&mut order, command);
    }
    order
}

fn refund_of(by: Principal, number: u128, total: i64, attempt: Option<u32>) -> OrderCommand {
    let (refund_id, amount, at) = (refund_id(number), won(total), now(7));
    OrderCommand::RequestRefund { by, refund_id, amount, attempt, reason: None, at }
}

/// The attempt whose payment the command takes money back from.
fn attempt_refunded(order: &mut Order, command: OrderCommand) -> (u32, String) {
    let events = when(order, command);
    let [OrderEvent::RefundRequested { attempt, tid, .. }] = &events[..] else {
        panic!("{events:?}");
    };
    (*attempt, tid.as_str().to_owned())
}

/// The remedy for a refused automatic refund took the payment that paid the order, because no
/// request could name another one.
#[test]
fn whoever_is_not_the_owner_names_the_payment_while_two_have_money_left() {
    for by in [ADMIN, Principal::System] {
        let mut order = paid_twice();
        let unnamed = refund_of(by, 1, 23_000, None);
        assert_eq!(refused(&order, unnamed), OrderRefusal::RefundAttemptAmbiguous);
        let late = attempt_refunded(&mut order, refund_of(by, 1, 23_000, Some(1)));
        assert_eq!(late, (1, "T1".to_owned()));
        assert!(order.placed().unwrap().is_to_be_delivered(), "the wanted order stays");
        // One payment has money left: there is nothing to mistake.
        let rest = attempt_refunded(&mut order, refund_of(by, 2, 1_000, None));
        assert_eq!(rest, (2, "T2".to_owned()));
    }
}

#[test]
fn the_owner_asks_for_the_payment_that_paid_in_time() {
    let mut order = paid_twice();
    let asked = attempt_refunded(&mut order, refund_of(KIM, 1, 23_000, None));
    assert_eq!(asked, (2, "T2".to_owned()));
    // And for the other one when nothing is left of it.
    let asked = attempt_refunded(&mut order, refund_of(KIM, 2, 23_000, None));
    assert_eq!(asked, (1, "T1".to_owned()));
}

/// Two thirds of the good payment were left, so that the late sum was refused as too large.
#[test]
fn a_late_payment_goes_back_although_part_of_the_good_one_is_back() {
    let mut order = paid_twice();
    when(&mut order, refund_of(ADMIN, 1, 3_000, Some(2)));
    when(&mut order, refunded(1, 3_000));
    let late = attempt_refunded(&mut order, refund_of(ADMIN, 2, 23_000, Some(1)));
    assert_eq!(late, (1, "T1".to_owned()));
    assert_eq!(
        refused(&order, refund_of(ADMIN, 3, 20_001, Some(2))),
        OrderRefusal::RefundTooLarge { refundable: won(20_000) }
    );
}

#[test]
fn a_refund_names_an_attempt_that_was_paid() {
    let order = paid_twice();
    for unknown in [0, 3] {
        let named = refund_of(ADMIN, 1, 1, Some(unknown));
        assert_eq!(refused(&order, named), OrderRefusal::NoSuchAttempt);
    }
    let approving = approving_order();
    assert_eq!(refused(&approving, refund_of(ADMIN, 1, 1, Some(1))), OrderRefusal::NotPaid);
}

#[test]
fn one_refund_id_is_of_one_payment() {
    let mut order = paid_twice();
    when(&mut order, refund_of(ADMIN, 1, 23_000, Some(1)));
    unchanged(&order, refund_of(ADMIN, 1, 23_000, Some(1)));
    unchanged(&order, refund_of(ADMIN, 1, 23_000, None));
    let other = refund_of(ADMIN, 1, 23_000, Some(2));
    assert_eq!(refused(&order, other), OrderRefusal::RefundIdReused);
}

/// Calling the order off is about the order: it needs no attempt, whoever does it.
#[test]
fn calling_an_order_off_refunds_the_payment_that_paid_it() {
    for by in [KIM, ADMIN] {
        let mut order = paid_twice();
        let cancel =
            OrderCommand::CancelOrder { by, refund_id: refund_id(1), reason: None, at: now(7) };
        assert_eq!(attempt_refunded(&mut order, cancel), (2, "T2".to_owned()));
    }
}

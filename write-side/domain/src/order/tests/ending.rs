//! Expiring, cancelling and sending elsewhere.

use contracts::events::{AbandonReason, CancelledBy, OrderEvent};

use super::*;
use crate::fixtures::{ADMIN, LEE};
use crate::order::OrderStatus;

fn expire(at: i64) -> OrderCommand {
    OrderCommand::ExpireOrder { at: now(at) }
}

fn cancel(by: Principal) -> OrderCommand {
    OrderCommand::CancelOrder {
        by,
        refund_id: refund_id(1),
        reason: Some(text("생각이 바뀜")),
        at: now(6),
    }
}

fn move_to(by: Principal, receiver: &str) -> OrderCommand {
    OrderCommand::ChangeReceiver { by, receiver: sealed(receiver) }
}

#[test]
fn an_unpaid_order_expires_when_its_time_is_over_and_not_before() {
    let mut order = order_after(vec![]);
    unchanged(&order, expire(14));
    assert_eq!(names(&when(&mut order, expire(15))), ["OrderExpired"]);
    assert_eq!(order.status(), Some(OrderStatus::Expired));
    unchanged(&order, expire(16));
    assert_eq!(refused(&order, cancel(KIM)), OrderRefusal::Expired);
    assert_eq!(refused(&order, move_to(KIM, "office")), OrderRefusal::Expired);
}

#[test]
fn expiring_ends_the_attempt_that_waits_for_the_shopper() {
    let mut order = ready_order();
    let events = when(&mut order, expire(15));
    let [OrderEvent::PaymentAbandoned { reason: AbandonReason::Expired, .. }, _] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(names(&events), ["PaymentAbandoned", "OrderExpired"]);
    // Somebody comes back to a page that outlived the order: on record, once, and no approval.
    assert_eq!(names(&when(&mut order, returned(1, authenticated()))), ["PaymentReturned"]);
    unchanged(&order, returned(1, authenticated()));
    assert_eq!(order.status(), Some(OrderStatus::Expired));
}

#[test]
fn an_order_does_not_expire_while_money_may_be_moving_or_has_moved() {
    unchanged(&approving_order(), expire(60));
    unchanged(&paid_order(), expire(60));
}

#[test]
fn an_unpaid_order_is_cancelled_once_by_who_may() {
    for (by, recorded) in [
        (KIM, CancelledBy::User),
        (ADMIN, CancelledBy::Admin),
        (Principal::System, CancelledBy::System),
    ] {
        let mut order = ready_order();
        let events = when(&mut order, cancel(by));
        let [OrderEvent::PaymentAbandoned { .. }, OrderEvent::Cancelled { by, .. }] = &events[..]
        else {
            panic!("{events:?}");
        };
        assert_eq!(*by, recorded);
        assert_eq!(order.status(), Some(OrderStatus::Cancelled));
        unchanged(&order, cancel(KIM));
        unchanged(&order, expire(60));
        assert_eq!(refused(&order, request_payment(KIM, 7)), OrderRefusal::Cancelled);
        assert_eq!(refused(&order, move_to(KIM, "office")), OrderRefusal::Cancelled);
    }
    assert_eq!(refused(&ready_order(), cancel(LEE)), OrderRefusal::NotFound);
}

#[test]
fn an_order_is_not_cancelled_while_money_may_be_moving() {
    assert_eq!(refused(&approving_order(), cancel(KIM)), OrderRefusal::PaymentUnderWay);
}

#[test]
fn cancelling_a_paid_order_gives_back_what_is_left_of_the_money() {
    let mut order = paid_order();
    when(&mut order, refund(9, 3_000));
    let events = when(&mut order, cancel(KIM));
    let [OrderEvent::RefundRequested { refund_id: id, amount, .. }] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((*id, *amount), (refund_id(1), won(20_000)));
    unchanged(&order, cancel(KIM));
}

#[test]
fn the_owner_and_the_shop_may_send_an_order_elsewhere() {
    let mut order = paid_order();
    assert_eq!(names(&when(&mut order, move_to(KIM, "office"))), ["ReceiverChanged"]);
    unchanged(&order, move_to(KIM, "office"));
    assert_eq!(names(&when(&mut order, move_to(ADMIN, "neighbour"))), ["ReceiverChanged"]);
    assert_eq!(refused(&order, move_to(LEE, "elsewhere")), OrderRefusal::NotFound);
}

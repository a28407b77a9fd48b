//! Expiring, cancelling and sending elsewhere.

use contracts::events::{AbandonReason, CancelledBy, GatewayStep, OrderEvent};

use super::*;
use crate::fixtures::{ADMIN, LEE};
use crate::order::OrderStatus;

fn expire(at: i64) -> OrderCommand {
    OrderCommand::ExpireOrder { at: now(at) }
}

fn cancel(by: Principal) -> OrderCommand {
    cancel_at(by, 6)
}

fn cancel_at(by: Principal, at: i64) -> OrderCommand {
    OrderCommand::CancelOrder {
        by,
        refund_id: refund_id(1),
        reason: Some(text("생각이 바뀜")),
        at: now(at),
    }
}

/// A page that is opened at `at` and lives for fifteen minutes.
fn page(attempt: u32, at: i64) -> OrderCommand {
    let OrderCommand::RecordReady { attempt, tid, redirect, .. } = ready(attempt) else {
        unreachable!();
    };
    OrderCommand::RecordReady {
        attempt,
        tid,
        redirect,
        ready_at: now(at),
        expires_at: now(at + 15),
        cid: None,
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
    let events = when(&mut order, expire(16));
    let [OrderEvent::PaymentAbandoned { reason: AbandonReason::Expired, .. }, _] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(names(&events), ["PaymentAbandoned", "OrderExpired"]);
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

/// A shopper who asked for the page in the order's last minutes has the page's whole life.
#[test]
fn an_order_does_not_expire_before_the_page_that_is_open() {
    let mut order = order_after(vec![request_payment(KIM, 14), page(1, 14)]);
    unchanged(&order, expire(28));
    assert_eq!(order.placed().unwrap().expires_at, now(29));
    // Leaving the page takes none of that time away: the order may be paid again until then.
    when(
        &mut order,
        OrderCommand::RecordReturn { attempt: 1, returned_as: ReturnedAs::Cancelled, at: now(20) },
    );
    assert_eq!(names(&order.decide(request_payment(KIM, 28)).unwrap()), ["PaymentRequested"]);
    assert_eq!(refused(&order, request_payment(KIM, 29)), OrderRefusal::Expired);
    assert_eq!(names(&when(&mut order, expire(29))), ["OrderExpired"]);
}

#[test]
fn from_its_end_on_an_order_is_treated_as_expired_before_the_job_says_so() {
    let order = ready_order();
    assert_eq!(names(&order.decide(cancel_at(KIM, 15)).unwrap()).last(), Some(&"OrderCancelled"));
    assert_eq!(refused(&order, cancel_at(KIM, 16)), OrderRefusal::Expired);
    let back = OrderCommand::RecordReturn { attempt: 1, returned_as: authenticated(), at: now(16) };
    unchanged(&order, back);
}

#[test]
fn coming_back_to_an_order_that_is_over_records_no_token() {
    let mut order = ready_order();
    when(&mut order, cancel(KIM));
    unchanged(&order, returned(1, authenticated()));
    let mut order = ready_order();
    when(&mut order, expire(16));
    unchanged(&order, returned(1, authenticated()));
}

#[test]
fn an_order_whose_only_payment_came_too_late_can_still_be_called_off() {
    let mut order = late_then_second();
    let events = when(&mut order, cancel(KIM));
    assert_eq!(names(&events), ["PaymentAbandoned", "OrderCancelled"]);
}

/// A payment that came too late and went back counted as one, so that the second page never ended.
#[test]
fn an_order_whose_only_payment_came_too_late_still_expires() {
    let mut order = late_then_second();
    unchanged(&order, expire(15));
    assert_eq!(names(&when(&mut order, expire(60))), ["PaymentAbandoned", "OrderExpired"]);
    unchanged(&order, returned(2, authenticated()));
}

/// The first attempt was approved after it had been given up, and went back; a second page is open.
fn late_then_second() -> Order {
    let mut order = approving_order();
    for command in [
        OrderCommand::RecordNotSent { attempt: 1, step: GatewayStep::Approve, at: now(4) },
        request_payment(KIM, 5),
        ready(2),
        approved(approval(1, 23_000)),
        OrderCommand::RecordRefund {
            refund_id: contracts::RefundId::automatic(order_id(), 1),
            aid: None,
            amount: won(23_000),
            refunded_at: now(6),
            at: now(6),
        },
    ] {
        when(&mut order, command);
    }
    order
}

#[test]
fn an_order_shows_as_expired_from_its_end_on() {
    let shown = |order: &Order, at| order.placed().unwrap().status_at(now(at));
    assert_eq!(shown(&ready_order(), 15), OrderStatus::AwaitingPayment);
    assert_eq!(shown(&ready_order(), 16), OrderStatus::Expired);
    assert_eq!(shown(&order_after(vec![]), 15), OrderStatus::Expired);
    assert_eq!(shown(&approving_order(), 60), OrderStatus::AwaitingPayment);
    assert_eq!(shown(&paid_order(), 60), OrderStatus::Paid);
}

/// With the page recorded whenever it comes (seen so) an order that was shown as expired waits for its
/// payment once more.
#[test]
fn a_page_that_comes_after_the_orders_end_brings_nothing_back() {
    let mut order = order_after(vec![request_payment(KIM, 1)]);
    let events = when(&mut order, page(1, 15));
    assert_eq!(names(&events), ["PaymentAbandoned", "OrderExpired"]);
    assert_eq!(order.status(), Some(OrderStatus::Expired));
}

/// What became of an order before its first attempt was found paid: the net found it, too late, and
/// the automatic refund was refused.
fn found_paid_too_late(mut order: Order) -> Order {
    when(&mut order, approved(approval(1, 23_000)));
    when(
        &mut order,
        OrderCommand::RecordRefundFailure {
            refund_id: contracts::RefundId::automatic(order_id(), 1),
            class: contracts::events::DeclineClass::Merchant,
            code: text("-722"),
            at: now(6),
        },
    );
    order
}

fn ended(command: OrderCommand) -> Order {
    let mut order = approving_order();
    when(&mut order, command);
    order
}

fn declined_order() -> Order {
    ended(OrderCommand::RecordDecline {
        attempt: 1,
        step: GatewayStep::Approve,
        class: contracts::events::DeclineClass::Soft,
        code: text("-780"),
        at: now(4),
    })
}

fn not_sent_order() -> Order {
    let step = GatewayStep::Approve;
    ended(OrderCommand::RecordNotSent { attempt: 1, step, at: now(4) })
}

/// An order that was shown as expired was shown as paid for ever once a payment was found and its
/// refund was refused, although nothing is delivered.
#[test]
fn a_payment_that_came_too_late_changes_nothing_about_how_an_order_ended() {
    let after = |mut order: Order, command| {
        when(&mut order, command);
        order
    };
    for (order, status) in [
        (after(ready_order(), expire(16)), OrderStatus::Expired),
        (after(ready_order(), cancel(KIM)), OrderStatus::Cancelled),
        (declined_order(), OrderStatus::Declined),
        (not_sent_order(), OrderStatus::Placed),
        (after(declined_order(), expire(16)), OrderStatus::Expired),
    ] {
        assert_eq!(order.status(), Some(status));
        let mut late = order.clone();
        when(&mut late, approved(approval(1, 23_000)));
        assert_eq!(late.status(), Some(status), "while its refund is pending");
        assert_eq!(found_paid_too_late(order).status(), Some(status), "refused");
        let refund_id = contracts::RefundId::automatic(order_id(), 1);
        let (amount, refunded_at) = (won(23_000), now(6));
        let back =
            OrderCommand::RecordRefund { refund_id, aid: None, amount, refunded_at, at: now(6) };
        when(&mut late, back);
        assert_eq!(late.status(), Some(status), "refunded");
    }
}

/// It answered that the order is paid, although nothing was paid in time.
#[test]
fn an_order_whose_only_payment_came_too_late_may_be_paid_again() {
    for order in [declined_order(), not_sent_order()] {
        let mut order = found_paid_too_late(order);
        assert_eq!(names(&when(&mut order, request_payment(KIM, 7))), ["PaymentRequested"]);
        // One attempt at a time, and none beside one that may move money.
        unchanged(&order, request_payment(KIM, 8));
        when(&mut order, ready(2));
        unchanged(&order, request_payment(KIM, 8));
        when(&mut order, returned(2, authenticated()));
        assert_eq!(refused(&order, request_payment(KIM, 8)), OrderRefusal::PaymentUnderWay);
        let mut unknown = order.clone();
        let (step, reason) = (GatewayStep::Approve, text("timeout"));
        let lost = OrderCommand::RecordUnresolved { attempt: 2, step, reason, at: now(8) };
        when(&mut unknown, lost);
        assert_eq!(refused(&unknown, request_payment(KIM, 9)), OrderRefusal::PaymentUnresolved);

        assert_eq!(names(&when(&mut order, approved(approval(2, 23_000)))), ["PaymentApproved"]);
        assert_eq!(order.status(), Some(OrderStatus::Paid));
        assert_eq!(refused(&order, request_payment(KIM, 9)), OrderRefusal::AlreadyPaid);
    }
    let mut over = ready_order();
    when(&mut over, expire(16));
    let over = found_paid_too_late(over);
    assert_eq!(refused(&over, request_payment(KIM, 17)), OrderRefusal::Expired);
}

#[test]
fn calling_off_an_order_whose_only_payment_came_too_late_ends_it_and_asks_for_the_money() {
    let mut order = found_paid_too_late(declined_order());
    let events = when(&mut order, cancel(KIM));
    assert_eq!(names(&events), ["OrderCancelled", "RefundRequested"]);
    assert_eq!(order.status(), Some(OrderStatus::Cancelled));
    unchanged(&order, cancel(KIM));

    let mut over = ready_order();
    when(&mut over, expire(16));
    let mut over = found_paid_too_late(over);
    assert_eq!(names(&when(&mut over, cancel_at(KIM, 17))), ["RefundRequested"]);
    assert_eq!(over.status(), Some(OrderStatus::Expired));
    assert_eq!(refused(&over, cancel_at(KIM, 18)), OrderRefusal::Expired);
}

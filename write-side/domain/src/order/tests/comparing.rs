//! What a comparison with the gateway's books puts on record.

use contracts::events::{DeclineClass, DifferenceKind, GatewayStep, OrderEvent};

use super::*;
use crate::order::{Differences, OrderStatus, Sides};

const FOUND: &str = "PaymentDifferenceFound";
const SETTLED: &str = "PaymentDifferenceSettled";

fn differing(found: &[(DifferenceKind, &str, &str)]) -> Differences {
    let sides = |ours, theirs| Sides { ours: text(ours), theirs: text(theirs) };
    found.iter().map(|(kind, ours, theirs)| (*kind, sides(ours, theirs))).collect()
}

fn compared(found: &[(DifferenceKind, &str, &str)]) -> OrderCommand {
    OrderCommand::RecordDifferences { attempt: 1, found: differing(found), at: now(60) }
}

const CANCELLED: (DifferenceKind, &str, &str) = (DifferenceKind::Cancelled, "0", "5000");
const STATUS: (DifferenceKind, &str, &str) = (DifferenceKind::Status, "PAID", "PARTLY_REFUNDED");
const OPEN: (DifferenceKind, &str, &str) =
    (DifferenceKind::Unresolved, "no outcome", "mismatch: mismatch in amount");

#[test]
fn a_difference_is_on_record_once_however_often_it_is_found() {
    let mut order = paid_order();
    let events = when(&mut order, compared(&[CANCELLED, STATUS]));
    assert_eq!(
        events[0],
        OrderEvent::PaymentDifferenceFound {
            attempt: 1,
            kind: DifferenceKind::Cancelled,
            ours: text("0"),
            theirs: text("5000"),
            found_at: now(60),
        }
    );
    assert_eq!(names(&events), [FOUND, FOUND]);
    unchanged(&order, compared(&[CANCELLED, STATUS]));
}

#[test]
fn a_side_that_says_something_else_is_found_anew() {
    let mut order = paid_order();
    when(&mut order, compared(&[CANCELLED, STATUS]));
    let more = (DifferenceKind::Cancelled, "0", "6000");
    let events = when(&mut order, compared(&[more, STATUS]));
    let [OrderEvent::PaymentDifferenceFound { kind: DifferenceKind::Cancelled, theirs, .. }] =
        &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(theirs.as_str(), "6000");
    unchanged(&order, compared(&[more, STATUS]));
}

#[test]
fn a_difference_that_is_gone_is_settled_once_and_may_come_back() {
    let mut order = paid_order();
    when(&mut order, compared(&[CANCELLED, STATUS]));
    let events = when(&mut order, compared(&[STATUS]));
    let settled = OrderEvent::PaymentDifferenceSettled {
        attempt: 1,
        kind: DifferenceKind::Cancelled,
        settled_at: now(60),
    };
    assert_eq!(events, [settled]);
    unchanged(&order, compared(&[STATUS]));
    assert_eq!(names(&when(&mut order, compared(&[CANCELLED]))), [FOUND, SETTLED]);
}

#[test]
fn books_that_agree_and_always_did_are_no_event() {
    unchanged(&paid_order(), compared(&[]));
    unchanged(&approving_order(), compared(&[]));
}

#[test]
fn a_difference_moves_no_money_and_no_status() {
    let mut order = paid_order();
    for event in when(&mut order, compared(&[CANCELLED, STATUS])) {
        assert_eq!(order.effects(&event), []);
    }
    assert_eq!(order.status(), Some(OrderStatus::Paid));
    assert_eq!(names(&when(&mut order, refund(1, 23_000))), ["RefundRequested"]);
}

#[test]
fn a_payment_without_outcome_stops_being_one_with_its_outcome() {
    let decline = OrderCommand::RecordDecline {
        attempt: 1,
        step: GatewayStep::Approve,
        class: DeclineClass::Merchant,
        code: text("resolved_by_operator"),
        at: now(61),
    };
    let not_sent =
        OrderCommand::RecordNotSent { attempt: 1, step: GatewayStep::Approve, at: now(61) };
    for (outcome, name) in [
        (approved(approval(1, 23_000)), "PaymentApproved"),
        (decline, "PaymentDeclined"),
        (not_sent, "PaymentAbandoned"),
    ] {
        let mut order = approving_order();
        assert_eq!(names(&when(&mut order, compared(&[OPEN]))), [FOUND]);
        assert_eq!(names(&when(&mut order, outcome)), [name, SETTLED]);
        unchanged(&order, compared(&[]));
    }
}

#[test]
fn an_attempt_that_was_never_made_has_no_differences() {
    let command =
        OrderCommand::RecordDifferences { attempt: 2, found: differing(&[STATUS]), at: now(60) };
    assert_eq!(refused(&paid_order(), command), OrderRefusal::NoSuchAttempt);
    assert_eq!(refused(&Order::Unplaced, compared(&[STATUS])), OrderRefusal::NotFound);
}

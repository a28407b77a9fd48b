//! What becomes of a payment attempt: answers in time, twice, late, wrong and missing.

use contracts::RefundId;
use contracts::events::{AbandonReason, DeclineClass, GatewayStep, OrderEvent, OrderKind};

use super::*;
use crate::Effect;
use crate::fixtures::days;
use crate::order::{MISMATCH, OrderStatus};

fn declined(attempt: u32, step: GatewayStep) -> OrderCommand {
    OrderCommand::RecordDecline {
        attempt,
        step,
        class: DeclineClass::Soft,
        code: text("-780/LACK_BALANCE"),
        at: now(4),
    }
}

fn unresolved(attempt: u32, step: GatewayStep, reason: &str) -> OrderCommand {
    OrderCommand::RecordUnresolved { attempt, step, reason: text(reason), at: now(4) }
}

fn not_sent(attempt: u32, step: GatewayStep) -> OrderCommand {
    OrderCommand::RecordNotSent { attempt, step, at: now(4) }
}

fn status(order: &Order) -> OrderStatus {
    order.status().unwrap()
}

#[test]
fn a_page_is_recorded_once() {
    let mut order = order_after(vec![request_payment(KIM, 1)]);
    assert_eq!(names(&when(&mut order, ready(1))), ["PaymentReady"]);
    assert_eq!(order.latest_attempt().unwrap().page.as_ref().unwrap().tid.as_str(), "T1");
    unchanged(&order, ready(1));
    assert_eq!(refused(&order, ready(2)), OrderRefusal::NoSuchAttempt);
    assert_eq!(refused(&order, ready(0)), OrderRefusal::NoSuchAttempt);
}

#[test]
fn a_return_asks_for_the_approval_in_the_same_append_and_once() {
    let mut order = ready_order();
    let events = when(&mut order, returned(1, authenticated()));
    assert_eq!(names(&events), ["PaymentReturned", "PaymentApprovalRequested"]);
    let effects: Vec<_> = events.iter().flat_map(|event| order.effects(event)).collect();
    let [Effect::PaymentApprove(effect)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((effect.tid.as_str(), effect.terms.amount), ("T1", won(23_000)));
    let merchant = effect.terms.merchant.as_ref().map(contracts::Text::as_str);
    assert_eq!(merchant, Some("TC0ONETIME"), "the code that the page was opened with");
    for again in [authenticated(), ReturnedAs::Cancelled, ReturnedAs::Failed] {
        unchanged(&order, returned(1, again));
    }
}

#[test]
fn a_return_without_a_payment_ends_the_attempt_and_frees_the_order() {
    for (returned_as, reason) in [
        (ReturnedAs::Cancelled, AbandonReason::CancelledByShopper),
        (ReturnedAs::Failed, AbandonReason::FailedOnPage),
    ] {
        let mut order = ready_order();
        let events = when(&mut order, returned(1, returned_as));
        let [OrderEvent::PaymentReturned { .. }, OrderEvent::PaymentAbandoned { reason: why, .. }] =
            &events[..]
        else {
            panic!("{events:?}");
        };
        assert_eq!(*why, reason);
        assert_eq!(status(&order), OrderStatus::Placed);
        assert_eq!(names(&when(&mut order, request_payment(KIM, 5))), ["PaymentRequested"]);
        assert_eq!(order.latest_attempt().unwrap().number, 2);
    }
}

#[test]
fn nobody_returns_from_a_page_that_was_not_opened() {
    let order = order_after(vec![request_payment(KIM, 1)]);
    assert_eq!(refused(&order, returned(1, authenticated())), OrderRefusal::PaymentNotReady);
    assert_eq!(refused(&order, approved(approval(1, 23_000))), OrderRefusal::PaymentNotReady);
}

#[test]
fn an_approval_of_exactly_the_amount_pays_the_order_once() {
    let mut order = approving_order();
    assert_eq!(names(&when(&mut order, approved(approval(1, 23_000)))), ["PaymentApproved"]);
    assert_eq!(status(&order), OrderStatus::Paid);
    assert!(order.placed().unwrap().is_to_be_delivered());
    unchanged(&order, approved(approval(1, 23_000)));
    unchanged(&order, declined(1, GatewayStep::Approve));
    unchanged(&order, unresolved(1, GatewayStep::Approve, "timeout"));
    unchanged(&order, not_sent(1, GatewayStep::Approve));
    let other = RecordApproval { tid: text("T9"), ..approval(1, 23_000) };
    assert_eq!(refused(&order, approved(other)), OrderRefusal::ApprovedOtherwise);
    assert_eq!(refused(&order, request_payment(KIM, 5)), OrderRefusal::AlreadyPaid);
}

#[test]
fn an_answer_that_differs_from_the_question_is_unresolved_and_never_paid() {
    let right = || approval(1, 23_000);
    let vat_wrong = ApprovedAmount { vat: won(2_090), ..amount(won(23_000)) };
    let tax_wrong = ApprovedAmount { tax_free: won(1), ..amount(won(23_000)) };
    for wrong in [
        approval(1, 22_999),
        approval(1, 23_001),
        RecordApproval { tid: text("T9"), ..right() },
        RecordApproval { amount: vat_wrong, ..right() },
        RecordApproval { amount: tax_wrong, ..right() },
        RecordApproval { billing_key: Some(key()), ..right() },
    ] {
        let mut order = approving_order();
        let events = when(&mut order, approved(wrong.clone()));
        let [OrderEvent::PaymentUnresolved { reason, .. }] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(reason.as_str(), MISMATCH);
        assert_eq!(status(&order), OrderStatus::Unresolved);
        unchanged(&order, approved(wrong));
        unchanged(&order, unresolved(1, GatewayStep::Approve, "timeout"));
        assert_eq!(refused(&order, request_payment(KIM, 5)), OrderRefusal::PaymentUnresolved);
    }
}

#[test]
fn a_recurring_approval_yields_the_key_of_its_order_or_none_when_looked_up() {
    let recurring = || {
        let lines = vec![OfferedLine { period: Some(days(30)), ..offered(1, 10_000, 100, 1) }];
        let mut order = given::<Order>(&[]);
        when(&mut order, placing(PlaceOrder { kind: OrderKind::Subscription, ..place(lines) }));
        for command in [request_payment(KIM, 1), ready(1), returned(1, authenticated())] {
            when(&mut order, command);
        }
        order
    };
    for billing_key in [Some(key()), None] {
        let mut order = recurring();
        let told = RecordApproval { billing_key, ..approval(1, 9_000) };
        assert_eq!(names(&when(&mut order, approved(told))), ["PaymentApproved"]);
        let paid = order.placed().unwrap().payment().unwrap().stage.approval().unwrap().clone();
        assert_eq!(paid.billing_key, billing_key);
    }
    let other = contracts::BillingKeyId::new(Uuid::from_u128(7));
    let told = RecordApproval { billing_key: Some(other), ..approval(1, 9_000) };
    let mut order = recurring();
    assert_eq!(names(&when(&mut order, approved(told))), ["PaymentUnresolved"]);
}

#[test]
fn a_declined_payment_may_be_tried_again() {
    let mut order = approving_order();
    let events = when(&mut order, declined(1, GatewayStep::Approve));
    assert_eq!(names(&events), ["PaymentDeclined"]);
    assert_eq!(status(&order), OrderStatus::Declined);
    unchanged(&order, declined(1, GatewayStep::Approve));
    assert_eq!(names(&when(&mut order, request_payment(KIM, 5))), ["PaymentRequested"]);
    assert_eq!(order.placed().unwrap().attempts.len(), 2);
    assert_eq!(status(&order), OrderStatus::AwaitingPayment);
}

#[test]
fn a_declined_page_may_be_tried_again() {
    let mut order = order_after(vec![request_payment(KIM, 1)]);
    let events = when(&mut order, declined(1, GatewayStep::Ready));
    assert_eq!(names(&events), ["PaymentDeclined"]);
    unchanged(&order, ready(1));
    assert_eq!(refused(&order, declined(1, GatewayStep::Cancel)), OrderRefusal::WrongStep);
}

#[test]
fn what_was_never_sent_frees_the_order() {
    for (mut order, step) in [
        (order_after(vec![request_payment(KIM, 1)]), GatewayStep::Ready),
        (approving_order(), GatewayStep::Approve),
    ] {
        let events = when(&mut order, not_sent(1, step));
        let [OrderEvent::PaymentAbandoned { reason: AbandonReason::NotSent, .. }] = &events[..]
        else {
            panic!("{events:?}");
        };
        unchanged(&order, not_sent(1, step));
        // The answer to a call that was given up comes after all: nobody waits for that page.
        unchanged(&order, ready(1));
        assert_eq!(names(&when(&mut order, request_payment(KIM, 5))), ["PaymentRequested"]);
    }
    assert_eq!(refused(&ready_order(), not_sent(1, GatewayStep::Cancel)), OrderRefusal::WrongStep);
}

#[test]
fn an_unheard_page_ends_the_attempt_because_a_page_moves_no_money() {
    let mut order = order_after(vec![request_payment(KIM, 1)]);
    let events = when(&mut order, unresolved(1, GatewayStep::Ready, "timeout"));
    assert_eq!(names(&events), ["PaymentAbandoned"]);
}

#[test]
fn an_unknown_outcome_blocks_the_order_until_it_is_known() {
    let mut order = approving_order();
    let events = when(&mut order, unresolved(1, GatewayStep::Approve, "timeout"));
    assert_eq!(names(&events), ["PaymentUnresolved"]);
    assert_eq!(status(&order), OrderStatus::Unresolved);
    unchanged(&order, unresolved(1, GatewayStep::Approve, "timeout"));
    unchanged(&order, not_sent(1, GatewayStep::Approve));
    unchanged(&order, OrderCommand::ExpireOrder { at: now(60) });
    assert_eq!(refused(&order, request_payment(KIM, 5)), OrderRefusal::PaymentUnresolved);

    let mut declined_later = order.clone();
    when(&mut declined_later, declined(1, GatewayStep::Approve));
    assert_eq!(status(&declined_later), OrderStatus::Declined);

    when(&mut order, approved(approval(1, 23_000)));
    assert_eq!(status(&order), OrderStatus::Paid);
}

#[test]
fn an_approval_of_an_attempt_nobody_waits_for_is_given_back_at_once() {
    let expired = {
        let mut order = ready_order();
        when(&mut order, OrderCommand::ExpireOrder { at: now(16) });
        order
    };
    let abandoned = {
        let mut order = approving_order();
        when(&mut order, not_sent(1, GatewayStep::Approve));
        order
    };
    let declined = {
        let mut order = approving_order();
        when(&mut order, declined(1, GatewayStep::Approve));
        order
    };
    for mut order in [expired, abandoned, declined] {
        let events = when(&mut order, approved(approval(1, 23_000)));
        assert_eq!(names(&events), ["PaymentApproved", "RefundRequested"]);
        let effects = order.effects(&events[1]);
        let [Effect::PaymentCancel(effect)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(effect.refund_id, RefundId::automatic(order_id(), 1));
        assert_eq!((effect.amount, effect.refundable_before), (won(23_000), won(23_000)));
        assert!(!order.placed().unwrap().is_to_be_delivered());
        unchanged(&order, approved(approval(1, 23_000)));
    }
}

#[test]
fn a_late_approval_beside_a_paying_one_is_given_back_and_the_order_stays_paid() {
    let mut order = approving_order();
    when(&mut order, declined(1, GatewayStep::Approve));
    for command in [
        request_payment(KIM, 5),
        ready(2),
        returned(2, authenticated()),
        approved(approval(2, 23_000)),
    ] {
        when(&mut order, command);
    }
    let events = when(&mut order, approved(approval(1, 23_000)));
    assert_eq!(names(&events), ["PaymentApproved", "RefundRequested"]);
    let placed = order.placed().unwrap();
    assert_eq!(placed.payment().unwrap().number, 2);
    assert_eq!(status(&order), OrderStatus::Paid);
    assert!(placed.is_to_be_delivered());
}

#[test]
fn no_approval_is_asked_for_while_an_earlier_attempt_may_have_taken_the_money() {
    let mut order = approving_order();
    for command in [
        not_sent(1, GatewayStep::Approve),
        request_payment(KIM, 5),
        ready(2),
        approved(approval(1, 1)),
    ] {
        when(&mut order, command);
    }
    assert_eq!(status(&order), OrderStatus::Unresolved);
    let events = when(&mut order, returned(2, authenticated()));
    assert_eq!(names(&events), ["PaymentReturned", "PaymentAbandoned"]);
}

#[test]
fn an_unresolved_payment_that_turns_out_approved_is_given_back_when_another_paid() {
    let mut order = approving_order();
    for command in [
        not_sent(1, GatewayStep::Approve),
        request_payment(KIM, 5),
        ready(2),
        returned(2, authenticated()),
        approved(approval(1, 1)),
        approved(approval(2, 23_000)),
    ] {
        when(&mut order, command);
    }
    assert_eq!(status(&order), OrderStatus::Paid);
    let events = when(&mut order, approved(approval(1, 23_000)));
    assert_eq!(names(&events), ["PaymentApproved", "RefundRequested"]);
    assert_eq!(order.placed().unwrap().payment().unwrap().number, 2);
}

/// F18: a late approval that went back counted as the payment, so the second one was given back, too.
#[test]
fn a_second_attempt_pays_although_an_earlier_approval_came_too_late() {
    let mut order = approving_order();
    for command in [
        not_sent(1, GatewayStep::Approve),
        request_payment(KIM, 5),
        ready(2),
        returned(2, authenticated()),
        approved(approval(1, 23_000)),
    ] {
        when(&mut order, command);
    }
    assert_eq!(names(&when(&mut order, approved(approval(2, 23_000)))), ["PaymentApproved"]);
    let placed = order.placed().unwrap();
    assert_eq!(placed.payment().unwrap().number, 2);
    assert!(placed.is_to_be_delivered());
}

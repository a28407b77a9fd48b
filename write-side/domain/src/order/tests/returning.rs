//! Coming back from the payment page, with the true token, another or none.

use contracts::events::{DeclineClass, GatewayStep, OrderEvent};

use super::*;
use crate::Effect;
use crate::order::{OrderStatus, TOKENS_MAX};

fn token_refused(attempt: u32) -> OrderCommand {
    OrderCommand::RecordTokenRefused { attempt, code: text("-708"), at: now(4) }
}

/// The token that the gateway is asked to approve with.
fn approved_with(order: &Order, events: &[OrderEvent]) -> Option<Effect> {
    events.iter().flat_map(|event| order.effects(event)).last()
}

fn with(token_name: &str, effect: Option<Effect>) -> bool {
    let wanted = sealed::<String>(token_name);
    matches!(effect, Some(Effect::PaymentApprove(approve)) if approve.pg_token == wanted)
}

#[test]
fn a_refused_token_leaves_the_attempt_open_for_the_true_one() {
    let mut order = ready_order();
    when(&mut order, returned(1, token("cut")));
    assert_eq!(names(&when(&mut order, token_refused(1))), ["PaymentTokenRefused"]);
    assert_eq!(order.status(), Some(OrderStatus::AwaitingPayment));
    unchanged(&order, token_refused(1));
    // The cut address again is no other token.
    unchanged(&order, returned(1, token("cut")));
    unchanged(&order, request_payment(KIM, 4));

    let events = when(&mut order, returned(1, token("true")));
    assert_eq!(names(&events), ["PaymentReturned", "PaymentApprovalRequested"]);
    assert!(with("true", approved_with(&order, &events)));
    assert_eq!(names(&when(&mut order, approved(approval(1, 23_000)))), ["PaymentApproved"]);
    assert_eq!(order.status(), Some(OrderStatus::Paid));
    unchanged(&order, token_refused(1));
}

/// With room for one waiting token (seen so) the true one is replaced by a later one, and its address
/// is refused as known from then on.
#[test]
fn tokens_that_come_while_another_is_tried_are_tried_in_their_order() {
    let mut order = ready_order();
    when(&mut order, returned(1, token("cut")));
    for name in ["true", "cut elsewhere"] {
        assert_eq!(names(&when(&mut order, returned(1, token(name)))), ["PaymentReturned"]);
        unchanged(&order, returned(1, token(name)));
    }
    unchanged(&order, returned(1, ReturnedAs::Cancelled));
    for name in ["true", "cut elsewhere"] {
        let events = when(&mut order, token_refused(1));
        assert_eq!(names(&events), ["PaymentTokenRefused", "PaymentApprovalRequested"]);
        assert!(with(name, approved_with(&order, &events)), "{name}");
    }
    // Nothing more waits: refused as well, the attempt is open for another return.
    assert_eq!(names(&when(&mut order, token_refused(1))), ["PaymentTokenRefused"]);
}

/// However many come at once, each of them is tried, and the attempt ends declined.
#[test]
fn waiting_tokens_are_all_tried_before_the_limit_ends_the_attempt() {
    let mut order = ready_order();
    for number in 1..=TOKENS_MAX {
        when(&mut order, returned(1, token(&format!("cut {number}"))));
    }
    unchanged(&order, returned(1, token("too many")));
    for _tried in 1..TOKENS_MAX {
        let events = when(&mut order, token_refused(1));
        assert_eq!(names(&events), ["PaymentTokenRefused", "PaymentApprovalRequested"]);
    }
    assert_eq!(names(&when(&mut order, token_refused(1))), ["PaymentDeclined"]);
}

#[test]
fn only_so_many_tokens_are_tried() {
    let mut order = ready_order();
    for number in 1..TOKENS_MAX {
        when(&mut order, returned(1, token(&format!("cut {number}"))));
        assert_eq!(names(&when(&mut order, token_refused(1))), ["PaymentTokenRefused"]);
    }
    when(&mut order, returned(1, token("cut at last")));
    unchanged(&order, returned(1, token("too many")));
    let events = when(&mut order, token_refused(1));
    let [OrderEvent::PaymentDeclined { step, class, .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((*step, *class), (GatewayStep::Approve, DeclineClass::Hard));
    assert_eq!(order.status(), Some(OrderStatus::Declined));
}

#[test]
fn a_token_refused_ends_no_doubt() {
    let mut order = approving_order();
    when(
        &mut order,
        OrderCommand::RecordUnresolved {
            attempt: 1,
            step: GatewayStep::Approve,
            reason: text("timeout"),
            at: now(4),
        },
    );
    assert_eq!(refused(&order, token_refused(1)), OrderRefusal::PaymentUnresolved);
}

#[test]
fn after_a_refused_token_the_shopper_may_leave_and_the_order_expires_with_its_page() {
    let refused_once = || {
        let mut order = ready_order();
        when(&mut order, returned(1, token("cut")));
        when(&mut order, token_refused(1));
        order
    };
    let mut left = refused_once();
    assert_eq!(
        names(&when(&mut left, returned(1, ReturnedAs::Cancelled))),
        ["PaymentReturned", "PaymentAbandoned"]
    );
    let mut expired = refused_once();
    unchanged(&expired, OrderCommand::ExpireOrder { at: now(15) });
    when(&mut expired, OrderCommand::ExpireOrder { at: now(16) });
    assert_eq!(expired.status(), Some(OrderStatus::Expired));
}

//! Where an order stands.

use chrono::TimeDelta;
use contracts::events::{
    AbandonReason, CancelledBy, DeclineClass, DifferenceKind, GatewayStep, OrderEvent,
};
use contracts::{OrderId, RefundId, Sealed};

use super::given::{approved, declined, placed, ready, refund, requested, text, unresolved, won};
use super::log::{A, Log, noon};
use super::payment_ledger::entries;
use crate::cell::Cell;

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
    let cancelled =
        OrderEvent::Cancelled { by: CancelledBy::User, reason: None, cancelled_at: noon() };
    let abandoned = OrderEvent::PaymentAbandoned {
        attempt: 1,
        reason: AbandonReason::NotSent,
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

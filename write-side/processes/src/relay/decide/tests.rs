//! The table of what follows which answer.

use contracts::events::{ApprovedAmount, PaymentMethod};

use chrono::TimeDelta;

use super::*;

fn now() -> DateTime<Utc> {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn on_try(number: u32) -> Try {
    Try {
        number,
        age: Duration::from_secs(1),
        now: now(),
        unknown_for: None,
        sent_ago: None,
        calls: 1,
    }
}

fn late(age: Duration) -> Try {
    Try { age, ..on_try(50) }
}

/// The outcome of an earlier call has been unknown for this long.
fn unknown(unknown_for: Duration) -> Try {
    Try { unknown_for: Some(unknown_for), sent_ago: Some(unknown_for), ..on_try(3) }
}

fn won(amount: i64) -> Won {
    Won::try_from(amount).unwrap()
}

fn paid() -> Paid {
    Paid {
        payment_ref: Text::parse("T1").unwrap(),
        action_ref: Text::parse("A1").unwrap(),
        amount: ApprovedAmount {
            total: won(2_200),
            tax_free: Won::ZERO,
            vat: won(200),
            point: Won::ZERO,
            discount: Won::ZERO,
        },
        method: PaymentMethod::Money,
        approved_at: now(),
        key: None,
    }
}

fn standing(state: PaymentState, given_back: i64) -> Outcome<Standing> {
    Outcome::Done(Standing { state, given_back: won(given_back), last_given_back: None })
}

fn lost<T>() -> Outcome<T> {
    Outcome::Unknown(Doubt::Lost("unknown.timeout".to_owned()))
}

fn refused_connection<T>() -> Outcome<T> {
    Outcome::NotSent(NotSent::Connect("refused".to_owned()))
}

fn settlement(next: Next) -> &'static str {
    match next {
        Next::Settle(settlement, _) => settlement.name(),
        Next::Again { .. } => "again",
        Next::LookUp { .. } => "look up",
        Next::CallNow => "call now",
    }
}

fn policy() -> RetryPolicy {
    RetryPolicy::default()
}

#[test]
fn a_lost_approval_is_looked_up_and_never_repeated_at_once() {
    for number in [1, 2, 12, 1_000] {
        assert_eq!(settlement(policy().after_approve(lost(), on_try(number))), "look up");
    }
    let refused = Outcome::Unknown(Doubt::Refused("-702".to_owned()));
    assert_eq!(settlement(policy().after_approve(refused, on_try(1))), "look up");
}

#[test]
fn a_payment_found_paid_is_approved() {
    let found = standing(PaymentState::Paid(paid()), 0);
    assert_eq!(settlement(policy().after_approve_look_up(found, on_try(2))), "approved");
}

#[test]
fn a_payment_found_paid_and_given_back_is_nobodys_guess() {
    let found = standing(PaymentState::Paid(paid()), 100);
    assert_eq!(settlement(policy().after_approve_look_up(found, on_try(2))), "unresolved");
}

/// Whatever the gateway states as the page's opening, and whatever this worker's clock shows.
#[test]
fn a_pending_payment_is_approved_again_while_its_page_lives() {
    let openings = [None, Some(now() - TimeDelta::hours(1)), Some(now() + TimeDelta::hours(1))];
    for opened_at in openings {
        let next = |seconds| {
            let at = Try { age: Duration::from_secs(seconds), ..unknown(Duration::from_secs(1)) };
            let pending = standing(PaymentState::Pending { opened_at }, 0);
            settlement(policy().after_approve_look_up(pending, at))
        };
        assert_eq!([next(899), next(900), next(959)], ["call now", "look up", "look up"]);
        assert_eq!(next(960), "declined");
    }
}

#[test]
fn unanswered_look_ups_go_on_for_a_day_however_many_they_are() {
    let many = |hours| Try { number: 5_000, ..unknown(Duration::from_hours(hours)) };
    let approval = |hours| settlement(policy().after_approve_look_up(lost(), many(hours)));
    assert_eq!([approval(23), approval(24)], ["look up", "unresolved"]);
    let refund =
        |hours| settlement(policy().after_cancel_look_up(lost(), won(0), won(1), many(hours)));
    assert_eq!([refund(23), refund(24)], ["look up", "unresolved"]);
}

/// F1: whatever follows an unknown call, and however old the row is.
#[test]
fn an_unknown_outcome_is_ended_by_no_later_call() {
    let decline = || {
        let code = Text::parse("-723").unwrap();
        Decline { class: DeclineClass::Expired, code, text: String::new(), is_of_token: false }
    };
    let reasons = [
        NotSent::BreakerOpen { retry_after: Duration::from_secs(9) },
        NotSent::Busy,
        NotSent::Connect("refused".to_owned()),
        NotSent::NotNow("-9798".to_owned()),
        NotSent::Stale { age: Duration::from_secs(11) },
        NotSent::Unbuildable("no".to_owned()),
    ];
    for age in [Duration::from_secs(1), Duration::from_mins(15), Duration::from_hours(100)] {
        let at = Try { age, ..unknown(Duration::from_secs(1)) };
        for reason in &reasons {
            let approve = policy().after_approve(Outcome::NotSent(reason.clone()), at);
            assert!(matches!(approve, Next::LookUp { is_unsent: true, .. }), "{approve:?}");
            let cancel = policy().after_cancel(Outcome::NotSent(reason.clone()), at);
            assert!(matches!(cancel, Next::LookUp { is_unsent: true, .. }), "{cancel:?}");
        }
        let approve = policy().after_approve(Outcome::Declined(decline()), at);
        assert!(matches!(approve, Next::LookUp { is_unsent: false, .. }), "{approve:?}");
        let cancel = policy().after_cancel(Outcome::Declined(decline()), at);
        assert!(matches!(cancel, Next::LookUp { is_unsent: false, .. }), "{cancel:?}");
    }
}

/// F4: the first call may still be under way, and a partial refund can happen twice.
#[test]
fn a_refund_is_repeated_only_after_the_first_call_is_over() {
    let unchanged = || standing(PaymentState::Paid(paid()), 500);
    let next = |sent_ago: Duration, calls| {
        let at = Try { sent_ago: Some(sent_ago), calls, ..unknown(sent_ago) };
        policy().after_cancel_look_up(unchanged(), won(500), won(700), at)
    };
    let early = next(Duration::from_secs(7), 1);
    let Next::LookUp { pause, .. } = early else { panic!("{early:?}") };
    assert_eq!(pause + Duration::from_secs(7), policy().refund_repeat_after);
    let over = policy().refund_repeat_after;
    assert_eq!(settlement(next(over, 1)), "call now");
    assert_eq!(settlement(next(over, 5)), "call now", "the fifth repeat");
    assert_eq!(settlement(next(over, 6)), "unresolved", "six calls, and nothing refunded");
}

#[test]
fn an_open_breaker_uses_up_no_look_up() {
    let open = Outcome::NotSent(NotSent::BreakerOpen { retry_after: Duration::from_secs(9) });
    let next = policy().after_approve_look_up(open, on_try(1_000));
    assert!(matches!(next, Next::LookUp { is_counted: false, .. }), "{next:?}");
}

#[test]
fn a_throttled_call_uses_up_no_try_and_waits_for_its_turn() {
    let retry_after = Duration::from_secs(9);
    let throttled = || NotSent::Throttled { retry_after };
    let at = on_try(1_000);
    let nexts = [
        policy().after_ready(Outcome::NotSent(throttled()), at),
        policy().after_approve(Outcome::NotSent(throttled()), at),
        policy().after_approve_look_up(Outcome::NotSent(throttled()), at),
        policy().after_cancel(Outcome::NotSent(throttled()), at),
        policy().after_cancel_look_up(Outcome::NotSent(throttled()), won(0), won(1), at),
    ];
    for next in nexts {
        let (Next::Again { pause, is_counted, .. } | Next::LookUp { pause, is_counted, .. }) = next
        else {
            panic!("{next:?}");
        };
        assert!(!is_counted && retry_after <= pause, "{pause:?}");
    }
}

#[test]
fn a_mismatch_is_never_believed_and_never_repeated() {
    let mismatch = || Doubt::Mismatch(vec!["amount.total"]);
    let approve = policy().after_approve(Outcome::Unknown(mismatch()), on_try(1));
    assert_eq!(settlement(approve), "unresolved");
    let look_up = policy().after_approve_look_up(Outcome::Unknown(mismatch()), on_try(1));
    assert_eq!(settlement(look_up), "unresolved");
    let cancel = policy().after_cancel(Outcome::Unknown(mismatch()), on_try(1));
    assert_eq!(settlement(cancel), "unresolved");
}

#[test]
fn an_unsent_approval_is_tried_while_the_page_lives() {
    assert_eq!(settlement(policy().after_approve(refused_connection(), on_try(9))), "again");
    let at = late(Duration::from_mins(15));
    assert_eq!(settlement(policy().after_approve(refused_connection(), at)), "not_sent");
}

#[test]
fn a_page_is_asked_for_three_times() {
    let next = |number| settlement(policy().after_ready(refused_connection(), on_try(number)));
    assert_eq!([next(1), next(2), next(3)], ["again", "again", "not_sent"]);
    let lost_page = |number| settlement(policy().after_ready(lost(), on_try(number)));
    assert_eq!([lost_page(1), lost_page(3)], ["again", "not_sent"]);
}

#[test]
fn the_running_total_tells_what_became_of_a_refund() {
    let next = |given_back, number| {
        let found = standing(PaymentState::Paid(paid()), given_back);
        let at = Try { number, ..unknown(Duration::from_mins(1)) };
        settlement(policy().after_cancel_look_up(found, won(500), won(700), at))
    };
    assert_eq!(next(500, 2), "call now", "nothing happened");
    assert_eq!(next(1_200, 2), "given_back", "it happened");
    assert_eq!(next(700, 2), "unresolved", "something else happened");
}

#[test]
fn an_unsent_refund_fails_after_days_and_not_before() {
    let next = |age| settlement(policy().after_cancel(refused_connection(), late(age)));
    assert_eq!(next(Duration::from_hours(24)), "again");
    assert_eq!(next(Duration::from_hours(72)), "declined");
}

#[test]
fn pauses_grow_and_are_bounded() {
    let policy = policy();
    for number in 1..100 {
        let pause = policy.pause(number);
        assert!(policy.pause_min <= pause && pause <= policy.pause_max * 2, "{number}: {pause:?}");
    }
    assert!(policy.pause(1) < policy.pause(5));
}

/// A refused token leaves the attempt open for another return, unless an earlier call is unknown: that
/// one may have been carried out.
#[test]
fn a_refused_token_ends_nothing_and_settles_nothing_unknown() {
    let refused = || {
        let (code, text) = (Text::parse("-708").unwrap(), String::new());
        Outcome::Declined(Decline { class: DeclineClass::Hard, code, text, is_of_token: true })
    };
    assert_eq!(settlement(policy().after_approve(refused(), on_try(1))), "token_refused");
    let at = unknown(Duration::from_secs(1));
    assert_eq!(settlement(policy().after_approve(refused(), at)), "look up");
}

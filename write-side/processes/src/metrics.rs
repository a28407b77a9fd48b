//! The worker's metrics: every name a constant, every label from a closed set.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use operator::{MissingKeyCounts, RefundCounts};

/// Gateway calls by operation and result (`done`, `declined`, `not_sent`, `unknown`).
pub const GATEWAY_CALLS: &str = "gateway_calls_total";
/// How long gateway calls take, by operation.
pub const GATEWAY_CALL_SECONDS: &str = "gateway_call_seconds";
/// Answers that were not the ones to our request. Every one is an alarm: money may have moved.
pub const GATEWAY_MISMATCHES: &str = "gateway_mismatches_total";
/// 1 while KakaoPay's test codes are allowed on its real address: orders are paid and no money moves.
pub const GATEWAY_TEST_MODE: &str = "gateway_test_mode";
/// Calls refused because the gateway refuses our access (key, address, merchant code), by operation.
/// Every one is an alarm: nothing is paid or refunded until an operator mends it.
pub const GATEWAY_ACCESS_REFUSED: &str = "gateway_access_refused_total";
/// Payment pages that the gateway states as opened before our call or after its answer, by more than
/// clocks that are kept right differ: our own time is used, so that no order expires by the gateway's.
pub const GATEWAY_CLOCK_SKEWED: &str = "gateway_clock_skewed_total";
/// Calls over the limit of calls per second, by class and result: `delayed` until their turn came,
/// or `turned_away` because it would have come too late.
pub const GATEWAY_THROTTLED: &str = "gateway_throttled_total";
/// State of a breaker by class: 0 closed, 1 half open, 2 open.
pub const BREAKER_STATE: &str = "gateway_breaker_state";
/// Transitions of a breaker by class and new state.
pub const BREAKER_CHANGES: &str = "gateway_breaker_changes_total";
/// Calls a breaker did not let through, by class.
pub const BREAKER_REJECTED: &str = "gateway_breaker_rejected_total";
/// Outbox rows carried out, by kind and settlement.
pub const RELAY_SETTLED: &str = "relay_settled_total";
/// Outbox rows put off, by kind and reason (`again`, `look_up`, `deliver`).
pub const RELAY_PUT_OFF: &str = "relay_put_off_total";
/// Outbox rows that died and wait for an operator, by kind. Every one is an alarm.
pub const RELAY_DIED: &str = "relay_died_total";
/// Outcomes that the database refused to record, for a reason that isn't ours. Every one is an alarm:
/// the report is repeated until it succeeds.
pub const RELAY_REPORTS_REFUSED: &str = "relay_reports_refused_total";
/// Records refused because the lease was lost to another worker.
pub const RELAY_LEASES_LOST: &str = "relay_leases_lost_total";
/// Outbox rows by state, as of the last count.
pub const RELAY_ROWS: &str = "relay_rows";
/// Age of the oldest outbox row that nobody holds back, as of the last count.
pub const RELAY_OLDEST_SECONDS: &str = "relay_oldest_row_seconds";
/// Recurring keys that KakaoPay issued and whose answer was lost.
pub const BILLING_KEYS_MISSING: &str = "relay_billing_keys_missing_total";
/// Recurring keys that came beside another one of the same order. Each is alive at KakaoPay until it
/// is ended there.
pub const BILLING_KEYS_ORPHANED: &str = "relay_billing_keys_orphaned_total";
/// Recurring keys of answers that are not stored yet. An alarm after a minute: such a key stands in
/// this process's memory and nowhere else, and the process must not be killed.
pub const BILLING_KEYS_HELD: &str = "relay_billing_keys_held";
/// Events handled by reactions, by reaction.
pub const REACTIONS_HANDLED: &str = "reactions_handled_total";
/// Events set aside by reactions, by reaction. Every one is an alarm.
pub const REACTIONS_PARKED: &str = "reactions_parked_total";
/// Failures of a reaction that will be tried again, by reaction.
pub const REACTIONS_FAILED: &str = "reactions_failed_total";
/// Runs of scheduled jobs, by job and result (`done`, `failed`).
pub const SCHEDULE_RUNS: &str = "schedule_runs_total";
/// Unpaid orders that the schedule expired.
pub const ORDERS_EXPIRED: &str = "schedule_orders_expired_total";
/// Payments held against the gateway's books, by verdict; `looked_up` for those without outcome.
pub const RECONCILED: &str = "reconciled_payments_total";
/// Differences between the gateway's books and ours that were new, by kind. Every one is an alarm.
pub const RECONCILE_DIFFERENCES: &str = "reconcile_differences_total";
/// Differences that are still open, as of the last minute. An alarm as long as it is above 0.
pub const RECONCILE_OPEN: &str = "reconcile_differences_open";
/// Payments and refunds that ended as "no" and were found carried out, by kind (`payment`, `refund`).
/// Every one is an alarm: the answer that was believed was wrong.
pub const RECONCILE_NET_FOUND: &str = "reconcile_net_found_total";
/// Orders that a net or the nightly comparison passed over, by net (`pending`, `ended`, `refunds`,
/// `comparison`) and reason (`undecodable`, `refused` by the database, `panicked`). Every one is an
/// alarm: money of that order is not looked after until this build can read it.
pub const RECONCILE_PASSED_OVER: &str = "reconcile_passed_over_total";
/// Refunds that the gateway refused, by kind (`automatic`, `requested`). Every automatic one is an
/// alarm: it refunds a payment that came too late, and no shopper asks for it again.
pub const REFUNDS_REFUSED: &str = "refunds_refused_total";
/// Refunds that are open by state (`overdue`: pending for over an hour; `refused`), as of the last
/// minute.
pub const REFUNDS_OPEN: &str = "refunds_open";
/// Open refunds that are due tomorrow, today or earlier, as of the last minute. An alarm as long as
/// it is above 0.
pub const REFUNDS_DUE_SOON: &str = "refunds_due_soon";
/// Recurring keys that are missing, by age (`under_a_day`, `under_a_week`, `older`), as of the last
/// minute.
pub const BILLING_KEYS_MISSING_NOW: &str = "billing_keys_missing";
/// How far this process's clock is ahead of the database's, in seconds; behind is negative. An alarm
/// beyond 60 s: orders no longer expire, and nothing is cleaned up.
pub const CLOCK_SKEW: &str = "worker_clock_skew_seconds";

/// Gives every metric its unit and help; called once by `run`.
pub fn describe() {
    describe_counter!(GATEWAY_CALLS, Unit::Count, "gateway calls by operation and result");
    describe_histogram!(GATEWAY_CALL_SECONDS, Unit::Seconds, "how long gateway calls take");
    describe_counter!(GATEWAY_MISMATCHES, Unit::Count, "answers that do not match the request");
    describe_counter!(GATEWAY_ACCESS_REFUSED, Unit::Count, "calls whose access was refused");
    describe_counter!(GATEWAY_CLOCK_SKEWED, Unit::Count, "pages opened at a time not ours");
    describe_gauge!(GATEWAY_TEST_MODE, Unit::Count, "1 while test codes are allowed");
    describe_counter!(GATEWAY_THROTTLED, Unit::Count, "calls over the limit per second");
    describe_gauge!(BREAKER_STATE, Unit::Count, "0 closed, 1 half open, 2 open");
    describe_counter!(BREAKER_CHANGES, Unit::Count, "transitions of a breaker");
    describe_counter!(BREAKER_REJECTED, Unit::Count, "calls a breaker did not let through");
    describe_counter!(RELAY_SETTLED, Unit::Count, "outbox rows carried out");
    describe_counter!(RELAY_PUT_OFF, Unit::Count, "outbox rows put off");
    describe_counter!(RELAY_DIED, Unit::Count, "outbox rows that wait for an operator");
    describe_counter!(
        RELAY_REPORTS_REFUSED,
        Unit::Count,
        "outcomes the database refused to record"
    );
    describe_counter!(RELAY_LEASES_LOST, Unit::Count, "records refused for a lost lease");
    describe_gauge!(RELAY_ROWS, Unit::Count, "outbox rows by state");
    describe_gauge!(RELAY_OLDEST_SECONDS, Unit::Seconds, "age of the oldest row under way");
    describe_counter!(BILLING_KEYS_MISSING, Unit::Count, "recurring keys lost with their answer");
    describe_counter!(BILLING_KEYS_ORPHANED, Unit::Count, "second recurring keys of an order");
    describe_gauge!(BILLING_KEYS_HELD, Unit::Count, "recurring keys that are not stored yet");
    describe_counter!(REACTIONS_HANDLED, Unit::Count, "events handled by reactions");
    describe_counter!(REACTIONS_PARKED, Unit::Count, "events set aside by reactions");
    describe_counter!(REACTIONS_FAILED, Unit::Count, "failures of reactions, to be tried again");
    describe_counter!(SCHEDULE_RUNS, Unit::Count, "runs of scheduled jobs");
    describe_counter!(ORDERS_EXPIRED, Unit::Count, "unpaid orders expired");
    describe_counter!(RECONCILED, Unit::Count, "payments held against the gateway's books");
    describe_counter!(
        RECONCILE_DIFFERENCES,
        Unit::Count,
        "new differences from the gateway's books"
    );
    describe_gauge!(RECONCILE_OPEN, Unit::Count, "differences that are still open");
    describe_counter!(RECONCILE_NET_FOUND, Unit::Count, "what ended as no and was carried out");
    describe_counter!(
        RECONCILE_PASSED_OVER,
        Unit::Count,
        "orders that could not be read or written"
    );
    describe_counter!(REFUNDS_REFUSED, Unit::Count, "refunds that the gateway refused");
    describe_gauge!(REFUNDS_OPEN, Unit::Count, "refunds that are overdue or were refused");
    describe_gauge!(REFUNDS_DUE_SOON, Unit::Count, "open refunds due by tomorrow");
    describe_gauge!(BILLING_KEYS_MISSING_NOW, Unit::Count, "recurring keys that are missing");
    describe_gauge!(CLOCK_SKEW, Unit::Seconds, "this clock ahead of the database's");
}

pub(crate) fn gateway_call(operation: &'static str, result: &'static str, took: Duration) {
    counter!(GATEWAY_CALLS, "operation" => operation, "result" => result).increment(1);
    histogram!(GATEWAY_CALL_SECONDS, "operation" => operation).record(took);
}

pub(crate) fn gateway_mismatch(operation: &'static str) {
    counter!(GATEWAY_MISMATCHES, "operation" => operation).increment(1);
}

pub(crate) fn gateway_access_refused(operation: &'static str) {
    counter!(GATEWAY_ACCESS_REFUSED, "operation" => operation).increment(1);
}

pub(crate) fn gateway_clock_skewed() {
    counter!(GATEWAY_CLOCK_SKEWED).increment(1);
}

pub(crate) fn gateway_test_mode(is_on: bool) {
    gauge!(GATEWAY_TEST_MODE).set(if is_on { 1.0 } else { 0.0 });
}

pub(crate) fn gateway_throttled(class: &'static str, result: &'static str) {
    counter!(GATEWAY_THROTTLED, "class" => class, "result" => result).increment(1);
}

pub(crate) fn breaker_state(class: &'static str, state: u8) {
    gauge!(BREAKER_STATE, "class" => class).set(f64::from(state));
}

pub(crate) fn breaker_changed(class: &'static str, to: &'static str) {
    counter!(BREAKER_CHANGES, "class" => class, "to" => to).increment(1);
}

pub(crate) fn breaker_rejected(class: &'static str) {
    counter!(BREAKER_REJECTED, "class" => class).increment(1);
}

pub(crate) fn relay_settled(kind: &'static str, settlement: &'static str) {
    counter!(RELAY_SETTLED, "kind" => kind, "settlement" => settlement).increment(1);
}

pub(crate) fn relay_put_off(kind: &'static str, reason: &'static str) {
    counter!(RELAY_PUT_OFF, "kind" => kind, "reason" => reason).increment(1);
}

pub(crate) fn relay_died(kind: &'static str) {
    counter!(RELAY_DIED, "kind" => kind).increment(1);
}

pub(crate) fn relay_report_refused() {
    counter!(RELAY_REPORTS_REFUSED).increment(1);
}

pub(crate) fn relay_lease_lost() {
    counter!(RELAY_LEASES_LOST).increment(1);
}

pub(crate) fn relay_rows(state: &'static str, rows: u32, oldest: Duration) {
    gauge!(RELAY_ROWS, "state" => state).set(f64::from(rows));
    gauge!(RELAY_OLDEST_SECONDS, "state" => state).set(oldest.as_secs_f64());
}

pub(crate) fn billing_key_missing() {
    counter!(BILLING_KEYS_MISSING).increment(1);
}

pub(crate) fn billing_key_orphaned() {
    counter!(BILLING_KEYS_ORPHANED).increment(1);
}

pub(crate) fn billing_keys_held(keys: usize) {
    gauge!(BILLING_KEYS_HELD).set(f64::from(u32::try_from(keys).unwrap_or(u32::MAX)));
}

pub(crate) fn reaction_handled(reaction: &'static str, events: u64) {
    counter!(REACTIONS_HANDLED, "reaction" => reaction).increment(events);
}

pub(crate) fn reaction_parked(reaction: &'static str) {
    counter!(REACTIONS_PARKED, "reaction" => reaction).increment(1);
}

pub(crate) fn reaction_failed(reaction: &'static str) {
    counter!(REACTIONS_FAILED, "reaction" => reaction).increment(1);
}

pub(crate) fn schedule_run(job: &'static str, result: &'static str) {
    counter!(SCHEDULE_RUNS, "job" => job, "result" => result).increment(1);
}

pub(crate) fn orders_expired(orders: u64) {
    counter!(ORDERS_EXPIRED).increment(orders);
}

pub(crate) fn reconciled(verdict: &'static str) {
    counter!(RECONCILED, "verdict" => verdict).increment(1);
}

pub(crate) fn reconcile_differences_open(open: u32) {
    gauge!(RECONCILE_OPEN).set(f64::from(open));
}

pub(crate) fn reconcile_difference(kind: &'static str) {
    counter!(RECONCILE_DIFFERENCES, "kind" => kind).increment(1);
}

pub(crate) fn reconcile_net_found(kind: &'static str) {
    counter!(RECONCILE_NET_FOUND, "kind" => kind).increment(1);
}

pub(crate) fn reconcile_passed_over(net: &'static str, reason: &'static str) {
    counter!(RECONCILE_PASSED_OVER, "net" => net, "reason" => reason).increment(1);
}

pub(crate) fn refund_refused(is_automatic: bool) {
    let kind = if is_automatic { "automatic" } else { "requested" };
    counter!(REFUNDS_REFUSED, "kind" => kind).increment(1);
}

pub(crate) fn refunds_open(counts: RefundCounts) {
    let RefundCounts { overdue, refused, due_soon } = counts;
    gauge!(REFUNDS_OPEN, "state" => "overdue").set(f64::from(overdue));
    gauge!(REFUNDS_OPEN, "state" => "refused").set(f64::from(refused));
    gauge!(REFUNDS_DUE_SOON).set(f64::from(due_soon));
}

pub(crate) fn billing_keys_missing_now(counts: MissingKeyCounts) {
    let MissingKeyCounts { under_a_day, under_a_week, older } = counts;
    for (age, keys) in
        [("under_a_day", under_a_day), ("under_a_week", under_a_week), ("older", older)]
    {
        gauge!(BILLING_KEYS_MISSING_NOW, "age" => age).set(f64::from(keys));
    }
}

pub(crate) fn clock_skew(seconds: f64) {
    gauge!(CLOCK_SKEW).set(seconds);
}

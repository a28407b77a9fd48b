//! What goes wrong at the gateway when no script is given. The one place for a new kind of fault.
//!
//! [`default_mix`] hits single calls with a probability; [`bursts`] hit several calls of an
//! operation in a row, because an outage that ends with the next call is none; a [`storm`] is the
//! sequence that made a doubt forgotten once: late commits, then nothing goes through.

use kakaopay_sim::{Fault, FaultRule, FaultScript, Operation, When};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::json;

/// Calls of one operation for which faults are drawn, per order and to begin with. Later calls go
/// well, so that every run comes to an end.
const FAULTY_CALLS_PER_ORDER: u64 = 6;
const FAULTY_CALLS_LEAST: u64 = 100;

/// Longer than the processes of a run wait for an answer (2 s): the caller has given up by then.
const COMMITTED_LATE_MS: u64 = 3_500;
/// How long calls of a storm are worked on: a look-up at half that time finds a pending payment.
const COMMITTED_IN_STORM_MS: u64 = 4_500;
/// Calls of a storm that are committed late, and calls after them that are not let through. With
/// both workers' breakers open in between they last about half a minute.
const LATE_IN_STORM: u64 = 3;
const REFUSED_IN_STORM: u64 = 90;

/// Calls in a row that go wrong in the same way.
struct Burst {
    operation: Operation,
    fault: Fault,
    calls: u64,
    per_hundred_orders: u64,
}

fn bursts() -> Vec<Burst> {
    let burst = |operation, fault, calls, per_hundred_orders| Burst {
        operation,
        fault,
        calls,
        per_hundred_orders,
    };
    let late = Fault::DelayThenCommit { ms: COMMITTED_LATE_MS };
    vec![
        burst(Operation::Approve, Fault::Maintenance, 8, 1),
        burst(Operation::Approve, late.clone(), 3, 1),
        burst(Operation::Cancel, Fault::Maintenance, 4, 1),
        burst(Operation::Cancel, late, 2, 1),
        burst(Operation::Cancel, unclassified(), 3, 2),
        burst(Operation::Order, Fault::Fail { status: 500 }, 10, 1),
        burst(Operation::Ready, Fault::Maintenance, 3, 1),
    ]
}

/// Rules for single calls, by probability.
pub(crate) fn default_mix() -> FaultScript {
    let operations = [Operation::Ready, Operation::Approve, Operation::Cancel, Operation::Order];
    let mut rules = Vec::new();
    for operation in operations {
        let mut add = |probability: f64, fault: Fault| {
            rules.push(FaultRule::new(operation, When::Probability(probability), fault));
        };
        add(0.08, Fault::CommitThenDrop);
        add(0.03, Fault::Fail { status: 500 });
        add(0.05, Fault::LatencyUniform { min_ms: 50, max_ms: 400 });
        add(0.02, Fault::TruncatedJson);
        add(0.02, Fault::Maintenance);
        add(0.01, Fault::DropBeforeCommit);
        match operation {
            Operation::Approve => {
                add(0.02, Fault::DelayThenCommit { ms: COMMITTED_LATE_MS });
                add(0.03, declined(-780, Some("LACK_BALANCE")));
            }
            Operation::Cancel => {
                add(0.03, Fault::DelayThenCommit { ms: COMMITTED_LATE_MS });
                add(0.04, declined(-781, Some("BANK_ACCOUNT_BLOCKED")));
                add(0.04, unclassified());
            }
            Operation::Ready => add(0.02, declined(-798, None)),
            Operation::Order => {
                add(0.03, Fault::AlterAnswer { patch: json!({ "canceled_amount": null }) });
                add(0.02, Fault::AlterAnswer { patch: json!({ "created_at": null }) });
            }
            Operation::Subscription
            | Operation::Inactive
            | Operation::Status
            | Operation::PayPage => {}
        }
    }
    FaultScript { seed: 0, rules }
}

/// A method code that is in no table and no documentation: a refusal that nothing can be made of.
fn unclassified() -> Fault {
    declined(-781, Some("9X9X"))
}

fn declined(code: i64, reason: Option<&str>) -> Fault {
    Fault::Decline {
        code,
        message: None,
        method_result_code: reason.map(str::to_owned),
        method_result_message: None,
        status: 400,
    }
}

/// A few approvals are committed after their callers gave up, and the calls that follow are
/// certainly not sent.
pub(super) fn storm(from: u64) -> Vec<FaultRule> {
    let late = Fault::DelayThenCommit { ms: COMMITTED_IN_STORM_MS };
    let end = from + LATE_IN_STORM;
    in_a_row(Operation::Approve, &late, from, LATE_IN_STORM)
        .chain(in_a_row(Operation::Approve, &Fault::Maintenance, end, REFUSED_IN_STORM))
        .collect()
}

/// Answers of approvals that are slow, so that several are on their way when something ends.
pub(super) fn slow_approvals(from: u64, calls: u64, ms: u64) -> Vec<FaultRule> {
    in_a_row(Operation::Approve, &Fault::Latency { ms }, from, calls).collect()
}

fn in_a_row(
    operation: Operation,
    fault: &Fault,
    from: u64,
    calls: u64,
) -> impl Iterator<Item = FaultRule> {
    let fault = fault.clone();
    (from..from + calls).map(move |call| FaultRule::new(operation, When::Call(call), fault.clone()))
}

/// The bursts of a run of so many orders.
pub(super) fn drawn_bursts(orders: u64, random: &mut StdRng) -> Vec<FaultRule> {
    let mut rules = Vec::new();
    for burst in bursts() {
        let last = calls_expected(burst.operation, orders);
        for _ in 0..orders * burst.per_hundred_orders / 100 {
            let from = random.random_range(1..=last);
            rules.extend(in_a_row(burst.operation, &burst.fault, from, burst.calls));
        }
    }
    rules
}

/// About how many calls of an operation a run makes at least.
pub(super) fn calls_expected(operation: Operation, orders: u64) -> u64 {
    let calls = match operation {
        Operation::Approve | Operation::Ready => orders * 3 / 4,
        Operation::Cancel => orders / 5,
        Operation::Order
        | Operation::Subscription
        | Operation::Inactive
        | Operation::Status
        | Operation::PayPage => orders / 8,
    };
    calls.max(1)
}

/// The same script with every probability drawn out into the calls it hits.
pub(super) fn drawn_out(mix: &FaultScript, orders: u64, random: &mut StdRng) -> Vec<FaultRule> {
    let last = FAULTY_CALLS_LEAST + orders * FAULTY_CALLS_PER_ORDER;
    let mut rules = Vec::new();
    for rule in &mix.rules {
        let When::Probability(probability) = rule.when else {
            rules.push(rule.clone());
            continue;
        };
        for call in 1..=last {
            if random.random_bool(probability.clamp(0.0, 1.0)) {
                rules.push(FaultRule { when: When::Call(call), ..rule.clone() });
            }
        }
    }
    rules
}

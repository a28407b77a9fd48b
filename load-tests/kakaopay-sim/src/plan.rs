//! A fault script at work: its counters, its draws, and the calls on hold.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::RngExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::faults::{Fault, FaultRule, FaultScript, Latency, Operation, When};
use crate::hold::{HeldCall, HoldPoint};

/// What happens to one call before it arrives.
#[derive(Debug, Default)]
pub(crate) struct Lateness {
    /// How long it is on the wire.
    pub(crate) pause: Duration,
    /// End the holds of the rules that keep it on the wire.
    pub(crate) released: Vec<CancellationToken>,
    /// The hold that concerns its arrival.
    pub(crate) hold: Option<Arc<HeldCall>>,
}

/// What happens to one call from its arrival on.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Waited for before the call is carried out.
    pub(crate) latency: Duration,
    /// The fault, if any; never one of the two latencies, and none on the wire.
    pub(crate) fault: Option<Fault>,
    /// Ends the two holds of the rule.
    pub(crate) released: CancellationToken,
    /// The hold that concerns its commit or its answer.
    pub(crate) hold: Option<Arc<HeldCall>>,
}

/// A script at work.
#[derive(Debug)]
pub(crate) struct Faults {
    base: Latency,
    base_random: StdRng,
    script: FaultScript,
    set_at: DateTime<Utc>,
    /// For each rule the calls it has matched, and what ends its holds.
    rules: Vec<(u64, CancellationToken)>,
    random: StdRng,
    /// Holds that wait for their call, each with the calls still to come.
    holds: Vec<(u64, Arc<HeldCall>)>,
}

impl Faults {
    pub(crate) fn new(base: Latency, seed: u64) -> Self {
        Self {
            base,
            base_random: StdRng::seed_from_u64(seed),
            script: FaultScript::default(),
            set_at: DateTime::UNIX_EPOCH,
            rules: Vec::new(),
            random: StdRng::seed_from_u64(0),
            holds: Vec::new(),
        }
    }

    /// Replaces the script, starts its counters and its time anew, and releases every call that a
    /// rule holds.
    pub(crate) fn set(&mut self, script: FaultScript, now: DateTime<Utc>) {
        for (_, released) in &self.rules {
            released.cancel();
        }
        self.rules = script.rules.iter().map(|_| (0, CancellationToken::new())).collect();
        self.random = StdRng::seed_from_u64(script.seed);
        self.script = script;
        self.set_at = now;
    }

    pub(crate) fn script(&self) -> &FaultScript {
        &self.script
    }

    /// Releases the calls that a rule holds; the rule stays. False when there is no such rule.
    pub(crate) fn release(&mut self, rule: usize) -> bool {
        let Some((_, released)) = self.rules.get_mut(rule) else {
            return false;
        };
        released.cancel();
        *released = CancellationToken::new();
        true
    }

    /// Holds the `n`-th call of its operation that comes from now on.
    pub(crate) fn hold(&mut self, n: u64, call: Arc<HeldCall>) {
        self.holds.push((n.max(1), call));
    }

    /// Decides what happens to a call on the wire.
    pub(crate) fn lateness(
        &mut self,
        operation: Operation,
        body: &Value,
        now: DateTime<Utc>,
    ) -> Lateness {
        let hold = self.take_hold(operation, |at| at == HoldPoint::Arrival);
        let mut late = Lateness { hold, ..Lateness::default() };
        let is_asked = Fault::is_on_the_wire;
        self.firing(operation, body, now, is_asked, |fault, _, released| {
            if let Fault::ArriveLate { ms } = fault {
                late.pause += Duration::from_millis(*ms);
            } else {
                late.released.push(released.clone());
            }
        });
        late
    }

    /// Decides what happens to a call that has arrived. Every rule that concerns it counts it,
    /// whichever fires.
    pub(crate) fn plan(&mut self, operation: Operation, body: &Value, now: DateTime<Utc>) -> Plan {
        let base = if operation == Operation::PayPage { Latency::NONE } else { self.base };
        let mut latency = base.draw(&mut self.base_random);
        let mut first = None;
        let is_asked = |fault: &Fault| !fault.is_on_the_wire();
        self.firing(operation, body, now, is_asked, |fault, random, released| {
            if let Some(more) = fault.latency() {
                latency += more.draw(random);
            } else if first.is_none() {
                first = Some((fault.clone(), released.clone()));
            }
        });
        let hold = self.take_hold(operation, |at| at != HoldPoint::Arrival);
        let (fault, released) =
            first.map_or_else(Default::default, |(fault, released)| (Some(fault), released));
        Plan { latency, fault, released, hold }
    }

    /// Counts a call with every rule that is asked and concerns it, and hands out those that fire.
    fn firing(
        &mut self,
        operation: Operation,
        body: &Value,
        now: DateTime<Utc>,
        is_asked: impl Fn(&Fault) -> bool,
        mut hand_out: impl FnMut(&Fault, &mut StdRng, &CancellationToken),
    ) {
        let age = now.signed_duration_since(self.set_at).num_milliseconds();
        let age_ms = u64::try_from(age).unwrap_or(0);
        let rules = self.script.rules.iter().zip(&mut self.rules);
        let concerned = |rule: &FaultRule| is_asked(&rule.fault) && rule.concerns(operation, body);
        for (rule, (matched, released)) in rules.filter(|(rule, _)| concerned(rule)) {
            *matched += 1;
            if fires(rule.when, *matched, age_ms, &mut self.random) {
                hand_out(&rule.fault, &mut self.random, released);
            }
        }
    }

    /// Counts a call with every hold of its operation; returns the one whose call it is.
    fn take_hold(
        &mut self,
        operation: Operation,
        is_asked: impl Fn(HoldPoint) -> bool,
    ) -> Option<Arc<HeldCall>> {
        for (left, call) in &mut self.holds {
            if call.operation == operation && is_asked(call.at) {
                *left = left.saturating_sub(1);
            }
        }
        let due = self.holds.iter().position(|(left, _)| *left == 0)?;
        Some(self.holds.swap_remove(due).1)
    }
}

fn fires(when: When, matched: u64, age_ms: u64, random: &mut StdRng) -> bool {
    match when {
        When::Always => true,
        When::Call(n) => matched == n,
        When::First(n) => matched <= n,
        When::Every(n) => 0 < n && matched.is_multiple_of(n),
        When::Probability(p) => random.random_bool(p.clamp(0.0, 1.0)),
        When::For { ms } => age_ms < ms,
        When::Between { from_ms, to_ms } => from_ms <= age_ms && age_ms < to_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fired(script: &Value, bodies: &[Value]) -> Vec<bool> {
        let mut faults = Faults::new(Latency::NONE, 0);
        let now = DateTime::UNIX_EPOCH;
        faults.set(FaultScript::from_json(script).expect("a script"), now);
        let fault = |body| faults.plan(Operation::Approve, body, now).fault;
        bodies.iter().map(fault).map(|fault| fault.is_some()).collect()
    }

    #[test]
    fn a_rule_counts_only_the_calls_it_concerns() {
        let script = json!([{
            "operation": "approve", "when": { "call": 2 }, "where": { "tid": "T1" },
            "fault": { "kind": "commit_then_drop" }
        }]);
        let (one, two) = (json!({ "tid": "T1" }), json!({ "tid": "T2" }));
        assert_eq!(
            fired(&script, &[one.clone(), two.clone(), one.clone(), one, two]),
            [false, false, true, false, false]
        );
    }

    #[test]
    fn the_same_seed_fails_the_same_calls() {
        let script = json!({ "seed": 7, "rules": [
            { "when": { "probability": 0.5 }, "fault": { "kind": "commit_then_500" } }
        ]});
        let bodies = vec![Value::Null; 64];
        let first = fired(&script, &bodies);
        assert_eq!(first, fired(&script, &bodies));
        assert!(first.contains(&true) && first.contains(&false));
    }

    #[test]
    fn latencies_add_up_and_the_first_fault_wins() {
        let mut faults = Faults::new(Latency { min_ms: 1, max_ms: 1 }, 0);
        let rule = |fault| FaultRule::new(Operation::Ready, When::Always, fault);
        let script = FaultScript {
            seed: 0,
            rules: vec![
                rule(Fault::Latency { ms: 10 }),
                rule(Fault::Maintenance),
                rule(Fault::LatencyUniform { min_ms: 100, max_ms: 100 }),
                rule(Fault::CommitThenDrop),
            ],
        };
        faults.set(script, DateTime::UNIX_EPOCH);
        let plan = faults.plan(Operation::Ready, &Value::Null, DateTime::UNIX_EPOCH);
        assert_eq!(plan.latency, Duration::from_millis(111));
        assert_eq!(plan.fault, Some(Fault::Maintenance));
    }

    #[test]
    fn a_script_with_a_misspelt_field_is_refused() {
        let script =
            json!([{ "operation": "approve", "wen": "always", "fault": { "kind": "fail" } }]);
        assert!(FaultScript::from_json(&script).is_err());
    }

    #[test]
    fn every_and_first_fire_as_they_say() {
        let script = |when: Value| json!([{ "when": when, "fault": { "kind": "fail" } }]);
        let bodies = vec![Value::Null; 4];
        assert_eq!(fired(&script(json!({ "every": 2 })), &bodies), [false, true, false, true]);
        assert_eq!(fired(&script(json!({ "first": 2 })), &bodies), [true, true, false, false]);
        assert_eq!(fired(&script(json!({ "every": 0 })), &bodies), [false; 4]);
    }

    #[test]
    fn windows_open_and_close_by_the_clock() {
        let mut faults = Faults::new(Latency::NONE, 0);
        let script = json!([
            { "when": { "for": { "ms": 1_000 } }, "fault": { "kind": "maintenance" } },
            { "when": { "between": { "from_ms": 2_000, "to_ms": 3_000 } },
              "fault": { "kind": "bad_gateway" } },
        ]);
        let start = DateTime::UNIX_EPOCH + chrono::TimeDelta::days(1);
        faults.set(FaultScript::from_json(&script).expect("a script"), start);
        let mut at = |ms| {
            let now = start + chrono::TimeDelta::milliseconds(ms);
            faults.plan(Operation::Order, &Value::Null, now).fault
        };
        let (maintenance, bad_gateway) = (Some(Fault::Maintenance), Some(Fault::BadGateway));
        assert_eq!([at(-5), at(0), at(999)], [(); 3].map(|()| maintenance.clone()));
        assert_eq!([at(1_000), at(1_999)], [None, None]);
        assert_eq!([at(2_000), at(2_999)], [(); 2].map(|()| bad_gateway.clone()));
        assert_eq!(at(3_000), None);
    }

    #[test]
    fn a_late_call_is_counted_by_its_other_rules_when_it_arrives() {
        let mut faults = Faults::new(Latency::NONE, 0);
        let script = json!([
            { "when": { "call": 1 }, "fault": { "kind": "arrive_late", "ms": 5 } },
            { "when": { "call": 1 }, "fault": { "kind": "commit_then_drop" } },
        ]);
        let now = DateTime::UNIX_EPOCH;
        faults.set(FaultScript::from_json(&script).expect("a script"), now);
        let late = faults.lateness(Operation::Cancel, &Value::Null, now);
        let overtaking = faults.lateness(Operation::Cancel, &Value::Null, now);
        assert_eq!((late.pause, overtaking.pause), (Duration::from_millis(5), Duration::ZERO));
        let mut arrives = || faults.plan(Operation::Cancel, &Value::Null, now).fault;
        assert_eq!((arrives(), arrives()), (Some(Fault::CommitThenDrop), None));
    }
}

//! The fault script: which call goes wrong, and how.
//!
//! A script is a list of rules; each counts the calls it matches, and its counter decides when it
//! fires. Latencies of all firing rules add up; of the other faults the first one counts. The
//! draws of a script come from its seed, so the same calls in the same order fail the same way.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// What can be disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Opens a payment.
    Ready,
    /// Approves it.
    Approve,
    /// Looks it up.
    Order,
    /// Gives money back.
    Cancel,
    /// Charges a recurring key.
    Subscription,
    /// Ends a recurring key.
    Inactive,
    /// Asks how it stands.
    Status,
    /// A shopper presses a button of the pay page.
    PayPage,
}

/// When a rule fires, by the calls it has matched since the script was set.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// At every call.
    #[default]
    Always,
    /// At this one; the first call is 1.
    Call(u64),
    /// At the first so many.
    First(u64),
    /// At every so-many-th.
    Every(u64),
    /// At each with this probability, between 0 and 1.
    Probability(f64),
}

/// How a call goes wrong. "Commits" means that the simulator carries the call out: the ledger
/// shows it, whatever the caller gets to see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// Takes so long, then goes on as usual.
    Latency {
        /// Milliseconds.
        ms: u64,
    },
    /// Takes a while between the two, evenly distributed, then goes on as usual.
    LatencyUniform {
        /// Shortest, in milliseconds.
        min_ms: u64,
        /// Longest, in milliseconds.
        max_ms: u64,
    },
    /// Answers with a server error and commits nothing.
    Fail {
        /// The HTTP status; 500 when left out.
        #[serde(default = "internal_server_error")]
        status: u16,
    },
    /// Refuses with any code. -780, -781 and -782 come after all other checks, as the method's.
    Decline {
        /// `error_code`.
        code: i64,
        /// `error_message`; a stock text when left out.
        #[serde(default)]
        message: Option<String>,
        /// `extras.method_result_code`; no extras when left out.
        #[serde(default)]
        method_result_code: Option<String>,
        /// `extras.method_result_message`.
        #[serde(default)]
        method_result_message: Option<String>,
        /// The HTTP status; 400 when left out.
        #[serde(default = "bad_request")]
        status: u16,
    },
    /// Refuses with `USER_LOCKED` in the extras; the payment stays open.
    UserLocked,
    /// Commits, then cuts the connection without a byte of an answer.
    CommitThenDrop,
    /// Cuts the connection and commits nothing.
    DropBeforeCommit,
    /// Commits, then answers 500.
    #[serde(rename = "commit_then_500")]
    CommitThen500,
    /// Waits, then commits and answers; a caller that has given up by then does not stop it.
    DelayThenCommit {
        /// Milliseconds.
        ms: u64,
    },
    /// Commits, then waits, then answers.
    CommitThenDelay {
        /// Milliseconds.
        ms: u64,
    },
    /// Waits until the script is replaced or deleted, then commits and answers.
    HoldThenCommit,
    /// Commits, waits until the script is replaced or deleted, then answers.
    CommitThenHold,
    /// Commits, then answers 200 with half the JSON.
    TruncatedJson,
    /// Commits, then answers with these fields replaced.
    AlterAnswer {
        /// The fields, merged into the answer at any depth.
        patch: Value,
    },
    /// Commits, then answers with every number as text.
    StringNumbers,
    /// Answers 503 with -9798 and commits nothing.
    Maintenance,
    /// Answers 502 with a page instead of JSON, as a proxy would, and commits nothing.
    BadGateway,
    /// On the pay page: the browser asks for the approval URL twice.
    DuplicateRedirect,
}

const fn internal_server_error() -> u16 {
    500
}

const fn bad_request() -> u16 {
    400
}

/// One line of a script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// The call it concerns; every one when left out.
    #[serde(default)]
    pub operation: Option<Operation>,
    /// When it fires; always when left out.
    #[serde(default)]
    pub when: When,
    /// Fields of the request body that must have these values, for example a `partner_user_id`.
    #[serde(default, rename = "where")]
    pub matching: BTreeMap<String, String>,
    /// What happens.
    pub fault: Fault,
}

impl FaultRule {
    /// A rule for one operation.
    pub fn new(operation: Operation, when: When, fault: Fault) -> Self {
        Self { operation: Some(operation), when, matching: BTreeMap::new(), fault }
    }

    /// Restricts the rule to requests with this value in this field.
    #[must_use]
    pub fn only_where(mut self, field: &str, value: &str) -> Self {
        self.matching.insert(field.to_owned(), value.to_owned());
        self
    }

    fn concerns(&self, operation: Operation, body: &Value) -> bool {
        self.operation.is_none_or(|concerned| concerned == operation)
            && self.matching.iter().all(|(field, value)| body[field].as_str() == Some(value))
    }
}

/// A whole script.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultScript {
    /// Where the draws come from.
    #[serde(default)]
    pub seed: u64,
    /// The rules, the more important ones first.
    pub rules: Vec<FaultRule>,
}

impl FaultScript {
    /// A script of one rule.
    pub fn of(operation: Operation, when: When, fault: Fault) -> Self {
        Self { seed: 0, rules: vec![FaultRule::new(operation, when, fault)] }
    }

    /// Reads a script, or a bare list of rules.
    pub fn from_json(json: &Value) -> Result<Self, serde_json::Error> {
        if json.is_array() {
            return Ok(Self { seed: 0, rules: Vec::deserialize(json)? });
        }
        Self::deserialize(json)
    }
}

/// How long something takes, in milliseconds, evenly distributed between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// Shortest.
    pub min_ms: u64,
    /// Longest.
    pub max_ms: u64,
}

impl Latency {
    /// No time at all.
    pub const NONE: Self = Self { min_ms: 0, max_ms: 0 };

    fn draw(self, random: &mut StdRng) -> Duration {
        if self.max_ms <= self.min_ms {
            return Duration::from_millis(self.min_ms);
        }
        Duration::from_millis(random.random_range(self.min_ms..=self.max_ms))
    }
}

/// What will happen to one call.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Waited for before the call is carried out.
    pub(crate) latency: Duration,
    /// The fault, if any; never one of the two latencies.
    pub(crate) fault: Option<Fault>,
    /// Ends the two holds.
    pub(crate) released: CancellationToken,
}

/// A script at work: its counters and its draws.
#[derive(Debug)]
pub(crate) struct Faults {
    base: Latency,
    base_random: StdRng,
    script: FaultScript,
    matched: Vec<u64>,
    random: StdRng,
    released: CancellationToken,
}

impl Faults {
    pub(crate) fn new(base: Latency, seed: u64) -> Self {
        Self {
            base,
            base_random: StdRng::seed_from_u64(seed),
            script: FaultScript::default(),
            matched: Vec::new(),
            random: StdRng::seed_from_u64(0),
            released: CancellationToken::new(),
        }
    }

    /// Replaces the script, starts its counters anew, and lets go of every call on hold.
    pub(crate) fn set(&mut self, script: FaultScript) {
        self.matched = vec![0; script.rules.len()];
        self.random = StdRng::seed_from_u64(script.seed);
        self.script = script;
        self.released.cancel();
        self.released = CancellationToken::new();
    }

    pub(crate) fn script(&self) -> &FaultScript {
        &self.script
    }

    /// Decides on one call. Every rule that concerns it counts it, whichever fires.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all faults but the latencies are alike")]
    pub(crate) fn plan(&mut self, operation: Operation, body: &Value) -> Plan {
        let mut latency = match operation {
            Operation::PayPage => Duration::ZERO,
            Operation::Ready
            | Operation::Approve
            | Operation::Order
            | Operation::Cancel
            | Operation::Subscription
            | Operation::Inactive
            | Operation::Status => self.base.draw(&mut self.base_random),
        };
        let mut fault = None;
        for (rule, matched) in self.script.rules.iter().zip(&mut self.matched) {
            if !rule.concerns(operation, body) {
                continue;
            }
            *matched += 1;
            if !fires(rule.when, *matched, &mut self.random) {
                continue;
            }
            match &rule.fault {
                Fault::Latency { ms } => latency += Duration::from_millis(*ms),
                Fault::LatencyUniform { min_ms, max_ms } => {
                    latency += Latency { min_ms: *min_ms, max_ms: *max_ms }.draw(&mut self.random);
                }
                other if fault.is_none() => fault = Some(other.clone()),
                _ => {}
            }
        }
        Plan { latency, fault, released: self.released.clone() }
    }
}

fn fires(when: When, matched: u64, random: &mut StdRng) -> bool {
    match when {
        When::Always => true,
        When::Call(n) => matched == n,
        When::First(n) => matched <= n,
        When::Every(n) => 0 < n && matched.is_multiple_of(n),
        When::Probability(p) => random.random_bool(p.clamp(0.0, 1.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fired(script: &Value, bodies: &[Value]) -> Vec<bool> {
        let mut faults = Faults::new(Latency::NONE, 0);
        faults.set(FaultScript::from_json(script).expect("a script"));
        bodies.iter().map(|body| faults.plan(Operation::Approve, body).fault.is_some()).collect()
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
        faults.set(FaultScript {
            seed: 0,
            rules: vec![
                rule(Fault::Latency { ms: 10 }),
                rule(Fault::Maintenance),
                rule(Fault::LatencyUniform { min_ms: 100, max_ms: 100 }),
                rule(Fault::CommitThenDrop),
            ],
        });
        let plan = faults.plan(Operation::Ready, &Value::Null);
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
}

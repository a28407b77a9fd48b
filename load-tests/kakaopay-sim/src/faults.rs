//! The fault script: which call goes wrong, and how.
//!
//! A script is a list of rules; each counts the calls it matches, and its counter decides when it
//! fires. What delays a call on the wire is decided when the call is sent, everything else when it
//! arrives. Latencies of all firing rules add up, on the wire and after it; of the other faults the
//! first one counts. The draws of a script come from its seed, so the same calls in the same order
//! fail the same way.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

/// When a rule fires, by the calls it has matched or the time that has passed since the script was
/// set. Time is that of the simulator's clock, so that a test can end a window by moving the clock.
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
    /// At every call for so long.
    For {
        /// Milliseconds.
        ms: u64,
    },
    /// At every call between the two moments.
    Between {
        /// Milliseconds from the setting of the script to the first moment.
        from_ms: u64,
        /// Milliseconds to the first moment after the window.
        to_ms: u64,
    },
}

/// How a call goes wrong. "Commits" means that the simulator carries the call out: the ledger
/// shows it, whatever the caller gets to see. A call that is refused on its own account loses or
/// delays its refusal in the same way; `CommitThenDecline`, `TruncatedJson`, `AlterAnswer` and
/// `StringNumbers` concern only calls that are carried out.
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
    /// Commits, then answers 400 with this code: carried out, whatever the refusal says. KakaoPay's
    /// -1 and the words `INTERNAL_ERROR` and `BANK_FIRM_UNKNOWN` leave open whether money moved.
    CommitThenDecline {
        /// `error_code`.
        code: i64,
        /// `extras.method_result_code`; no extras when left out.
        #[serde(default)]
        method_result_code: Option<String>,
    },
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
    /// Late on the wire: arrives after so long, then goes on as usual. Until then it is not counted
    /// and keeps no other call off its payment, so a call sent later can overtake it. A caller that
    /// hangs up does not stop it.
    ArriveLate {
        /// Milliseconds.
        ms: u64,
    },
    /// Late on the wire until the rule is released or the script replaced or deleted.
    HoldThenArrive,
    /// Waits until the rule is released or the script replaced or deleted, then commits and
    /// answers.
    HoldThenCommit,
    /// Commits, waits until the rule is released or the script replaced or deleted, then answers.
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

impl Fault {
    /// Whether it happens before the call arrives.
    pub(crate) const fn is_on_the_wire(&self) -> bool {
        matches!(self, Self::ArriveLate { .. } | Self::HoldThenArrive)
    }

    /// How long it takes, where it does nothing else.
    pub(crate) const fn latency(&self) -> Option<Latency> {
        if let Self::LatencyUniform { min_ms, max_ms } = *self {
            return Some(Latency { min_ms, max_ms });
        }
        if let Self::Latency { ms } = *self {
            return Some(Latency { min_ms: ms, max_ms: ms });
        }
        None
    }
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

    pub(crate) fn concerns(&self, operation: Operation, body: &Value) -> bool {
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

    pub(crate) fn draw(self, random: &mut StdRng) -> Duration {
        if self.max_ms <= self.min_ms {
            return Duration::from_millis(self.min_ms);
        }
        Duration::from_millis(random.random_range(self.min_ms..=self.max_ms))
    }
}

//! What came of a run, as the last line says it.

use std::collections::BTreeMap;

use serde::Serialize;

/// Findings told in words; all are counted.
pub(crate) const FINDINGS_SHOWN_MAX: usize = 40;

/// The last line.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Verdict {
    /// Orders in the log.
    pub(crate) orders: u64,
    /// Orders whose payment is recorded.
    pub(crate) paid: u64,
    /// Payments for which the gateway says that money moved.
    pub(crate) charged_by_sim: u64,
    /// Bookings that stand in one of the two books alone, or with another sum.
    pub(crate) lost: u64,
    /// Orders placed, charged or given back more than once for one intention.
    pub(crate) doubled: u64,
    /// Payments, refunds and outbox rows of which nobody knows the end.
    pub(crate) unresolved: u64,
    /// Rows of read models that differ from a replay, and carts and subscriptions that don't follow
    /// from the orders.
    pub(crate) differences: u64,
    /// Places in logs where something planted stands.
    pub(crate) leaks: u64,
    /// Answers that no shopper expects, and requests that were never answered.
    pub(crate) troubles: u64,
    /// Processes that ended although nobody had killed them.
    pub(crate) deaths: u64,
    /// Whether everything came to rest in the time allowed.
    pub(crate) quiet: bool,
    /// What seed, and the fingerprint of what it drew.
    pub(crate) seed: u64,
    /// The same for the same kills, faults and orders.
    pub(crate) schedule: String,
    /// Processes killed.
    pub(crate) kills: u64,
    /// Whom, how often.
    pub(crate) killed: BTreeMap<&'static str, u64>,
    /// Calls to the gateway that a fault hit, latency aside.
    pub(crate) faults_fired: u64,
    /// Money calls that took more than one try: looked up in between.
    pub(crate) settled_by_lookup: u64,
    /// Look-ups that the gateway answered.
    pub(crate) lookups: u64,
    /// Requests that shoppers sent again.
    pub(crate) repeated: u64,
    /// Refusals of the gateway to payments.
    pub(crate) declined: u64,
    /// Orders called off before they were paid, or expired.
    pub(crate) ended_unpaid: u64,
    /// Orders that expired.
    pub(crate) expired: u64,
    /// Refunds recorded.
    pub(crate) refunds: u64,
    /// Refunds the gateway refused.
    pub(crate) refunds_refused: u64,
    /// Won charged, by our books.
    pub(crate) paid_won: i64,
    /// Won charged, by the gateway's.
    pub(crate) charged_won: i64,
    /// Won given back, by our books.
    pub(crate) refunded_won: i64,
    /// Won given back, by the gateway's.
    pub(crate) cancelled_won: i64,
    /// Events of orders, carts and subscriptions.
    pub(crate) events: u64,
    /// Rows of read models compared with a replay.
    pub(crate) rows_verified: u64,
    /// Bytes of logs searched.
    pub(crate) log_bytes: u64,
    /// For how many planted values.
    pub(crate) planted: u64,
    /// Seconds of shopping.
    pub(crate) shopping_seconds: u64,
    /// Seconds until everything was at rest after that.
    pub(crate) quiet_seconds: u64,
    /// Seconds in all.
    pub(crate) seconds: u64,
    /// What was found, in words.
    pub(crate) findings: Vec<String>,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub(crate) const fn is_well(&self) -> bool {
        self.lost == 0
            && self.doubled == 0
            && self.unresolved == 0
            && self.differences == 0
            && self.leaks == 0
            && self.troubles == 0
            && self.deaths == 0
            && self.quiet
    }

    /// Notes a finding in words; its count is the caller's.
    pub(crate) fn tell(&mut self, finding: String) {
        if self.findings.len() < FINDINGS_SHOWN_MAX {
            self.findings.push(finding);
        }
    }
}

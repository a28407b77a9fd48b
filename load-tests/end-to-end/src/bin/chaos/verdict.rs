//! What came of a run, as the last line says it.

use std::collections::BTreeMap;

use serde::Serialize;

/// Findings told in words; all are counted.
pub(crate) const FINDINGS_SHOWN_MAX: usize = 40;

/// Hundredths of the orders that are to be paid that must be, or the run proves nothing.
pub(crate) const PAID_PERCENT_LEAST: u64 = 80;

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
    /// What a shopper was promised and what left no event.
    pub(crate) broken_promises: u64,
    /// Payments, refunds and outbox rows of which nobody knows the end.
    pub(crate) unresolved: u64,
    /// Rows of read models and tables that differ from a fold of the log, carts and subscriptions
    /// that don't follow from the orders, recurring keys that are not the issued ones.
    pub(crate) differences: u64,
    /// Places in logs where something planted stands.
    pub(crate) leaks: u64,
    /// Answers that no shopper expects, and requests that were never answered.
    pub(crate) troubles: u64,
    /// Processes that ended although nobody had killed them.
    pub(crate) deaths: u64,
    /// Orders whose shoppers meant to pay and kept at it.
    pub(crate) planned_to_pay: u64,
    /// How many of them are paid; at least [`PAID_PERCENT_LEAST`] of a hundred.
    pub(crate) planned_paid: u64,
    /// Whether everything came to rest in the time allowed, each time it was waited for.
    pub(crate) quiet: bool,
    /// How often it was waited for.
    pub(crate) rests: u64,
    /// What seed, and the fingerprint of what it drew.
    pub(crate) seed: u64,
    /// The same for the same kills, faults and orders.
    pub(crate) schedule: String,
    /// Requests in the intent ledger.
    pub(crate) intents: u64,
    /// How many of them were acknowledged.
    pub(crate) acknowledged: u64,
    /// Recurring keys that the gateway issued.
    pub(crate) keys: u64,
    /// How many of them never reached the shop.
    pub(crate) keys_missing: u64,
    /// Subscriptions opened.
    pub(crate) subscriptions: u64,
    /// How many of them ended.
    pub(crate) subscriptions_ended: u64,
    /// Nightly comparisons that ran.
    pub(crate) nights: u64,
    /// How many had to run.
    pub(crate) nights_planned: u64,
    /// Dead rows that were taken up again at the end.
    pub(crate) retried_by_operator: u64,
    /// Refusals of the gateway to refunds.
    pub(crate) cancels_refused: u64,
    /// Processes killed.
    pub(crate) kills: u64,
    /// What happened how often: kills, freezes, outages, jumps of the clock.
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
            && self.broken_promises == 0
            && self.unresolved == 0
            && self.differences == 0
            && self.leaks == 0
            && self.troubles == 0
            && self.deaths == 0
            && self.quiet
            && self.nights_planned <= self.nights
            && self.is_paid_enough()
    }

    /// Whether enough of the orders that were to be paid are.
    pub(crate) const fn is_paid_enough(&self) -> bool {
        self.planned_to_pay * PAID_PERCENT_LEAST <= self.planned_paid * 100
    }

    /// Notes whether everything came to rest once more. A phase that never did is not forgotten.
    pub(crate) const fn rested(&mut self, is_quiet: bool) {
        self.quiet = is_quiet && (self.rests == 0 || self.quiet);
        self.rests += 1;
    }

    /// Notes whether the comparison of a night that had to run did.
    pub(crate) fn passed_a_night(&mut self, is_compared: bool) {
        self.nights_planned += 1;
        if is_compared {
            self.nights += 1;
        } else {
            self.tell(format!("never compared: night {}", self.nights_planned));
        }
    }

    /// Notes a finding in words; its count is the caller's.
    pub(crate) fn tell(&mut self, finding: String) {
        if self.findings.len() < FINDINGS_SHOWN_MAX {
            self.findings.push(finding);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(rests: &[bool], nights: &[bool]) -> bool {
        let mut verdict = Verdict::default();
        for is_quiet in rests {
            verdict.rested(*is_quiet);
        }
        for is_compared in nights {
            verdict.passed_a_night(*is_compared);
        }
        verdict.is_well()
    }

    #[test]
    fn a_phase_without_rest_and_a_night_without_comparison_spoil_a_run() {
        assert!(after(&[true, true], &[true, true]));
        assert!(!after(&[], &[]));
        // Passed before: the last phase had the word, and nights were only counted.
        assert!(!after(&[false, true], &[true, true]));
        assert!(!after(&[true, true], &[true, false]));
    }
}

//! One order as the log has it: its lines, its payments and its refunds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use uuid::Uuid;

use super::{Event, id, korean_date};

/// How an order ended that was not paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was called off.
    CalledOff,
    /// It was not paid in time.
    Expired,
}

/// A line of an order.
#[derive(Debug, Clone)]
pub(crate) struct LineBook {
    pub(crate) line_no: i64,
    pub(crate) item: Uuid,
    pub(crate) quantity: i64,
    pub(crate) unit_price: i64,
    pub(crate) period: Option<i64>,
}

/// A payment that was approved.
#[derive(Debug, Clone)]
pub(crate) struct Approval {
    pub(crate) attempt: i64,
    /// The gateway's id of the payment.
    pub(crate) tid: String,
    pub(crate) amount: i64,
    pub(crate) position: i64,
    pub(crate) billing_key: Option<Uuid>,
    /// The Korean date of the approval.
    pub(crate) paid_on: String,
    /// Why no order waited for it when it came, so that all of it must go back.
    pub(crate) owed_back: Option<OwedBack>,
}

/// Why a payment goes back unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwedBack {
    /// The order had ended.
    OrderEnded,
    /// The attempt had been declined or abandoned.
    AttemptEnded,
    /// Another payment had paid the order.
    PaidAlready,
}

/// A refund, from its request to its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct RefundBook {
    /// How often it was requested.
    pub(crate) requested: u32,
    pub(crate) attempt: i64,
    pub(crate) tid: String,
    pub(crate) amount: i64,
    /// Who asked: `user`, `admin` or `system`.
    pub(crate) by: String,
    /// Whether it left nothing of the payment.
    pub(crate) is_of_the_rest: bool,
    /// The sums and positions at which it was recorded as made.
    pub(crate) succeeded: Vec<(i64, i64)>,
    /// How often it was refused.
    pub(crate) failed: u64,
    /// Whether it was all of a payment that no order waited for, and requested after that.
    pub(crate) is_owed: bool,
}

/// What one order says.
#[derive(Debug, Default)]
pub(crate) struct OrderBook {
    /// How often it was placed.
    pub(crate) placed: u32,
    pub(crate) user: Uuid,
    pub(crate) number: String,
    /// What it costs, in won.
    pub(crate) total: i64,
    /// Whether its lines came from a cart.
    pub(crate) from_cart: bool,
    /// Whether its lines become subscriptions.
    pub(crate) is_subscription: bool,
    pub(crate) lines: Vec<LineBook>,
    /// The receiver, sealed under the user's key.
    pub(crate) receiver: Value,
    /// Attempts for which a page was asked, each time it was recorded.
    pub(crate) requested: Vec<i64>,
    /// Attempts with a recorded return of the browser, and abandoned ones.
    pub(crate) returned: BTreeSet<i64>,
    /// What was charged, each time it was recorded.
    pub(crate) approved: Vec<Approval>,
    /// What was refunded or is to be.
    pub(crate) refunds: BTreeMap<Uuid, RefundBook>,
    /// Attempts with a requested approval and no recorded outcome.
    pub(crate) approving: BTreeSet<i64>,
    /// Attempts of which it is not known whether money moved.
    pub(crate) unresolved: BTreeSet<i64>,
    /// Refusals of the gateway to a payment.
    pub(crate) declined: u64,
    /// Attempts that were declined or abandoned.
    pub(crate) given_up: BTreeSet<i64>,
    /// How it ended, if it was called off or expired before it was paid.
    pub(crate) ended_unpaid: Option<Ending>,
    /// Whether it was called off or expired, paid or not.
    pub(crate) is_over: bool,
    /// The sequence of its last event.
    pub(crate) version: i64,
}

impl OrderBook {
    /// Everything that was charged, in won.
    pub(crate) fn approved_sum(&self) -> i64 {
        self.approved.iter().map(|approval| approval.amount).sum()
    }

    /// The payment that came while the order waited for it: every other one is refunded by the
    /// system itself.
    pub(crate) fn paid_in_time(&self) -> Option<&Approval> {
        let is_late = |attempt: i64| {
            self.refunds.values().any(|refund| refund.by == "system" && refund.attempt == attempt)
        };
        self.approved.iter().find(|approval| !is_late(approval.attempt))
    }

    /// Everything that was refunded, in won.
    pub(crate) fn refunded_sum(&self) -> i64 {
        self.refunds.values().map(RefundBook::succeeded_sum).sum()
    }

    /// What was refunded of one payment, in won.
    pub(crate) fn refunded_of(&self, tid: &str) -> i64 {
        let of_it = self.refunds.values().filter(|refund| refund.tid == tid);
        of_it.map(RefundBook::succeeded_sum).sum()
    }

    /// The number of requested refunds without a recorded outcome.
    pub(crate) fn refunding(&self) -> usize {
        self.refunds.values().filter(|refund| refund.is_pending()).count()
    }

    /// Whether it was paid and called off: its owner asked for everything that was left.
    pub(crate) fn is_called_off(&self) -> bool {
        self.refunds.values().any(|refund| refund.by == "user" && refund.is_of_the_rest)
    }

    pub(super) fn fold(&mut self, event: &Event) {
        self.version = event.sequence;
        self.is_over |= matches!(event.name.as_str(), "OrderCancelled" | "OrderExpired");
        let attempt = event.number("/attempt");
        match event.name.as_str() {
            "OrderPlaced" => self.place(event),
            "PaymentRequested" => self.requested.push(attempt),
            "PaymentReturned" => {
                self.returned.insert(attempt);
            }
            "PaymentApprovalRequested" => {
                self.approving.insert(attempt);
            }
            "PaymentApproved" => {
                let owed_back = self.owed_back(attempt);
                self.settle(attempt);
                self.approved.push(Approval {
                    owed_back,
                    attempt,
                    tid: event.text("/tid"),
                    amount: event.number("/amount/total"),
                    position: event.position,
                    billing_key: event.id("/billing_key"),
                    paid_on: korean_date(&event.text("/approved_at")),
                });
            }
            "PaymentDeclined" => {
                self.settle(attempt);
                self.given_up.insert(attempt);
                self.declined += 1;
            }
            "PaymentAbandoned" | "PaymentTokenRefused" => {
                self.settle(attempt);
                self.returned.insert(attempt);
                // After a wrong token the attempt waits for another return.
                if event.name == "PaymentAbandoned" {
                    self.given_up.insert(attempt);
                }
            }
            // A refund without an outcome is pending, and counted as such.
            "PaymentUnresolved" if event.text("/step") != "cancel" => {
                self.unresolved.insert(attempt);
            }
            // Of a paid order it is the owner's word, and the money shows the rest.
            "OrderCancelled" if self.paid_in_time().is_some() => {}
            "OrderCancelled" => self.ended_unpaid = Some(Ending::CalledOff),
            "OrderExpired" => self.ended_unpaid = Some(Ending::Expired),
            "ReceiverChanged" => self.receiver = event.at("/receiver").clone(),
            "RefundRequested" | "RefundSucceeded" | "RefundFailed" => self.fold_refund(event),
            _ => {}
        }
    }

    fn place(&mut self, event: &Event) {
        self.placed += 1;
        self.user = event.id("/user_id").unwrap_or_default();
        self.number = event.text("/number");
        self.total = event.number("/total");
        self.from_cart = event.at("/from_cart").as_bool().unwrap_or_default();
        self.is_subscription = event.text("/kind") == "subscription";
        self.receiver = event.at("/receiver").clone();
        let lines = event.at("/lines").as_array().cloned().unwrap_or_default();
        self.lines = lines.iter().map(line).collect();
    }

    /// Why no order waits for a payment of this attempt that comes now.
    fn owed_back(&self, attempt: i64) -> Option<OwedBack> {
        if self.approved.iter().any(|other| other.owed_back.is_none()) {
            return Some(OwedBack::PaidAlready);
        }
        if self.is_over {
            return Some(OwedBack::OrderEnded);
        }
        Some(OwedBack::AttemptEnded).filter(|_| self.given_up.contains(&attempt))
    }

    fn fold_refund(&mut self, event: &Event) {
        let is_owed = self.approved.iter().any(|it| {
            it.owed_back.is_some()
                && it.attempt == event.number("/attempt")
                && it.tid == event.text("/tid")
                && it.amount == event.number("/amount")
        });
        let refund = self.refunds.entry(event.id("/refund_id").unwrap_or_default()).or_default();
        let amount = event.number("/amount");
        match event.name.as_str() {
            "RefundRequested" => {
                refund.requested += 1;
                refund.attempt = event.number("/attempt");
                refund.tid = event.text("/tid");
                refund.amount = amount;
                refund.by = event.text("/by");
                refund.is_owed = is_owed;
                refund.is_of_the_rest = amount == event.number("/refundable_before");
            }
            "RefundSucceeded" => refund.succeeded.push((amount, event.position)),
            _ => refund.failed += 1,
        }
    }

    fn settle(&mut self, attempt: i64) {
        self.approving.remove(&attempt);
        self.unresolved.remove(&attempt);
    }
}

impl RefundBook {
    fn succeeded_sum(&self) -> i64 {
        self.succeeded.iter().map(|(amount, _)| amount).sum()
    }

    /// Whether it is recorded as refused, and not as made after all.
    pub(crate) fn is_refused(&self) -> bool {
        0 < self.failed && self.succeeded.is_empty()
    }

    /// Whether its end is not recorded.
    pub(crate) fn is_pending(&self) -> bool {
        self.succeeded.is_empty() && self.failed == 0
    }
}

fn line(line: &Value) -> LineBook {
    LineBook {
        line_no: line["line_no"].as_i64().unwrap_or_default(),
        item: id(&line["item_id"]).unwrap_or_default(),
        quantity: line["quantity"].as_i64().unwrap_or_default(),
        unit_price: line["unit_price"].as_i64().unwrap_or_default(),
        period: line["period"].as_i64(),
    }
}

//! What comes of comparing a payment: both sides, and in what they differ.

use chrono::{DateTime, Utc};
use contracts::events::DifferenceKind;
use contracts::{OrderId, Won};
use domain::order::{Attempt, PlacedOrder, Refund, RefundStage};
use serde::Serialize;

use super::{Difference, REFUND_OVERDUE_AFTER};
use crate::gateway::{Doubt, Outcome, PaymentState, Standing};

/// One side of the books about one payment; amounts in won.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Books {
    /// What was paid.
    pub amount: i64,
    /// What of it went back.
    pub cancelled: i64,
    /// `PAID`, `PARTLY_REFUNDED` or `REFUNDED`; on their side also what else the gateway says.
    pub status: String,
}

/// What came of comparing a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Both sides say the same.
    Same,
    /// They do not.
    Differs,
    /// Money is moving right now; nothing can be said.
    UnderWay,
    /// The gateway did not answer.
    Unanswered,
}

/// One payment, ours and theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Which order.
    pub order_id: OrderId,
    /// Its number for people.
    pub number: String,
    /// Which attempt.
    pub attempt: u32,
    /// The gateway's id of the payment.
    pub tid: String,
    /// Our side.
    pub ours: Books,
    /// Their side, when they told it.
    pub theirs: Option<Books>,
    /// What came of it.
    pub verdict: Verdict,
    /// In what they differ.
    pub differences: Vec<Difference>,
    /// Why the gateway told nothing, when it did not.
    pub unanswered: Option<String>,
}

/// How many payments came out how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Both sides say the same.
    pub same: u64,
    /// They do not.
    pub differing: u64,
    /// Money is moving right now.
    pub under_way: u64,
    /// The gateway did not answer.
    pub unanswered: u64,
    /// The order could not be read, so nothing was compared.
    pub passed_over: u64,
}

impl Summary {
    /// Payments that were to be compared.
    pub const fn total(&self) -> u64 {
        self.same + self.differing + self.under_way + self.unanswered + self.passed_over
    }

    /// Whether every payment was compared and none differs.
    pub const fn is_clean(&self) -> bool {
        self.differing == 0 && self.unanswered == 0 && self.passed_over == 0
    }

    pub(super) fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Same => self.same += 1,
            Verdict::Differs => self.differing += 1,
            Verdict::UnderWay => self.under_way += 1,
            Verdict::Unanswered => self.unanswered += 1,
        }
    }
}

/// Our ledger about an approved payment beside what the gateway answered at `now`.
pub(super) fn judged(
    order: &PlacedOrder,
    attempt: &Attempt,
    outcome: &Outcome<Standing>,
    now: DateTime<Utc>,
) -> Option<Compared> {
    let approval = attempt.stage.approval()?;
    let mut compared = Compared {
        order_id: order.order_id,
        number: order.number.as_str().to_owned(),
        attempt: attempt.number,
        tid: approval.tid.as_str().to_owned(),
        ours: ours(order, attempt),
        theirs: None,
        verdict: Verdict::Unanswered,
        differences: Vec::new(),
        unanswered: None,
    };
    match outcome {
        Outcome::Done(standing) => {
            let theirs = theirs(standing);
            let is_moving = is_moving(order, attempt, now, (&compared.ours, &theirs));
            compared.hold_against(theirs, is_moving, overdue(order, attempt, now));
        }
        Outcome::Unknown(doubt @ Doubt::Mismatch(_)) => {
            compared.differ(DifferenceKind::Mismatch, &doubt.to_string());
        }
        // Money that we booked and that they know nothing of.
        Outcome::Declined(decline) => {
            compared.differ(DifferenceKind::Refused, decline.code.as_str());
        }
        Outcome::Unknown(doubt) => compared.unanswered = Some(doubt.to_string()),
        Outcome::NotSent(reason) => compared.unanswered = Some(reason.to_string()),
    }
    Some(compared)
}

impl Compared {
    /// They told their books. `overdue`: the refunds in won that are pending for too long.
    fn hold_against(&mut self, theirs: Books, is_moving: bool, overdue: i64) {
        self.differences = differences_between(&self.ours, &theirs);
        if 0 < overdue {
            let (ours, theirs) =
                (format!("refunds of {overdue} pending"), format!("{} refunded", theirs.cancelled));
            let kind = DifferenceKind::Unresolved;
            self.differences.extend(Difference::new(kind, &ours, &theirs));
        }
        self.verdict = match self.differences.is_empty() {
            true => Verdict::Same,
            false if is_moving => Verdict::UnderWay,
            false => Verdict::Differs,
        };
        self.theirs = Some(theirs);
    }

    /// They told no books, and that itself is a difference.
    fn differ(&mut self, kind: DifferenceKind, told: &str) {
        self.verdict = Verdict::Differs;
        self.differences = Vec::from_iter(Difference::new(kind, &self.ours.status, told));
    }
}

impl Verdict {
    /// The name of the verdict, for tables and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Differs => "differs",
            Self::UnderWay => "under_way",
            Self::Unanswered => "unanswered",
        }
    }
}

fn ours(order: &PlacedOrder, attempt: &Attempt) -> Books {
    let (amount, cancelled) = (attempt.paid(), order.refunded_of(attempt));
    Books {
        amount: amount.amount(),
        cancelled: cancelled.amount(),
        status: status(amount, cancelled).to_owned(),
    }
}

fn theirs(standing: &Standing) -> Books {
    let (amount, status) = match &standing.state {
        PaymentState::Paid(paid) => {
            (paid.amount.total, status(paid.amount.total, standing.given_back).to_owned())
        }
        PaymentState::Pending { .. } => (Won::ZERO, "PENDING".to_owned()),
        PaymentState::KeyIssued => (Won::ZERO, "KEY_ISSUED".to_owned()),
        PaymentState::Undone => (standing.given_back, "REFUNDED".to_owned()),
        PaymentState::Failed { code } => (Won::ZERO, format!("FAILED {code}")),
        PaymentState::Other(word) => (Won::ZERO, word.clone()),
    };
    Books { amount: amount.amount(), cancelled: standing.given_back.amount(), status }
}

fn status(amount: Won, cancelled: Won) -> &'static str {
    match cancelled {
        Won::ZERO => "PAID",
        part if part < amount => "PARTLY_REFUNDED",
        _ => "REFUNDED",
    }
}

fn differences_between(ours: &Books, theirs: &Books) -> Vec<Difference> {
    [
        (DifferenceKind::Amount, ours.amount.to_string(), theirs.amount.to_string()),
        (DifferenceKind::Cancelled, ours.cancelled.to_string(), theirs.cancelled.to_string()),
        (DifferenceKind::Status, ours.status.clone(), theirs.status.clone()),
    ]
    .into_iter()
    .filter(|(_, ours, theirs)| ours != theirs)
    .filter_map(|(kind, ours, theirs)| Difference::new(kind, &ours, &theirs))
    .collect()
}

/// Whether refunds that are under way explain that more went back there than here.
fn is_moving(
    order: &PlacedOrder,
    attempt: &Attempt,
    now: DateTime<Utc>,
    (ours, theirs): (&Books, &Books),
) -> bool {
    let pending = pending_of(order, attempt, |refund| !is_overdue(refund, now));
    let more = theirs.cancelled - ours.cancelled;
    ours.amount == theirs.amount && 0 < more && more <= pending
}

/// What of the payment has been on its way back for longer than a refund takes, in won.
fn overdue(order: &PlacedOrder, attempt: &Attempt, now: DateTime<Utc>) -> i64 {
    pending_of(order, attempt, |refund| is_overdue(refund, now))
}

fn pending_of(order: &PlacedOrder, attempt: &Attempt, counts: impl Fn(&Refund) -> bool) -> i64 {
    let refunds = order.refunds.iter().filter(|refund| {
        refund.attempt == attempt.number
            && matches!(refund.stage, RefundStage::Pending)
            && counts(refund)
    });
    refunds.map(|refund| refund.amount.amount()).sum()
}

fn is_overdue(refund: &Refund, now: DateTime<Utc>) -> bool {
    REFUND_OVERDUE_AFTER <= now - refund.requested_at
}

//! The net under attempts that ended without money: each is looked up until the gateway confirmed
//! twice that no money moved, once after the page's end and once in the following night.
//!
//! An approval is asked for at most once per token, so after the page's end nothing can move the money
//! any more; the second answer covers what the gateway books late. Found paid, the approval is
//! recorded, and the order requests the refund by itself. A payment with other sums than ours is never
//! believed: it is a difference at the first look-up. A payment that was refunded there in full, as
//! an operator does after a mismatch, is no money, and final: one answer closes the net. An unanswered
//! look-up is repeated by the hour, and after a week the attempt is a difference.

use chrono::{DateTime, TimeDelta, Utc};
use contracts::events::DifferenceKind;
use domain::order::{Attempt, OrderCommand, PlacedOrder, RecordApproval, Stage};
use event_store::DispatchError;
use tokio_postgres::Row;

use super::differences::context;
use super::due::following_night;
use super::single::Net;
use super::{Difference, Indexed, ReconcileError, Reconciler, question};
use crate::gateway::{Doubt, Outcome, Paid, PaymentState, Standing};
use crate::metrics;
use crate::relay::with_causes;

/// Attempts claimed by one statement.
const BATCH_MAX: i64 = 100;
/// Batches of one run: what is left has its turn a minute later.
const BATCHES_MAX: u32 = 10;
/// Answers that end the net.
const ANSWERS: i32 = 2;
/// How long after its page's end an approval that the gateway was working on may still be booked.
const PAGE_GRACE: TimeDelta = TimeDelta::minutes(1);
/// Pause after a look-up that was not answered, and the lease of a claim.
const ASK_AGAIN_AFTER: TimeDelta = TimeDelta::hours(1);
/// Pause after an order moved between being read and being told what was found.
const AFTER_MOVE: TimeDelta = TimeDelta::minutes(1);
/// How long an attempt may stay without two answers before it is a difference.
const UNANSWERED_FOR: TimeDelta = TimeDelta::days(7);

/// An attempt of the index that ended.
struct Ended {
    payment: Indexed,
    position: i64,
    answers: i32,
    answered_at: Option<DateTime<Utc>>,
}

impl Ended {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            payment: Indexed::read(row)?,
            position: row.try_get("position")?,
            answers: row.try_get("answers")?,
            answered_at: row.try_get("answered_at")?,
        })
    }

    /// When the next look-up is worth something.
    fn due(&self, page_end: DateTime<Utc>) -> DateTime<Utc> {
        let after_page = page_end + PAGE_GRACE;
        self.answered_at.map_or(after_page, |at| following_night(at).max(after_page))
    }
}

/// What a look-up after the page's end says about an attempt that ended without money.
enum Answer {
    /// The money moved.
    Paid(Box<Paid>),
    /// It did not, and it cannot any more.
    NoMoney,
    /// It moved, and all of it went back, though not by us: no more can move.
    RefundedInFull,
    /// It moved and went back in part, and not by us.
    RefundedElsewhere(String),
    /// It is another payment, or one of other sums, in these fields: never believed, and no silence.
    Mismatched(String),
    /// Nothing that can be relied on.
    Nothing(String),
}

impl Answer {
    fn of(outcome: Outcome<Standing>) -> Self {
        let standing = match outcome {
            Outcome::Done(standing) => standing,
            Outcome::Declined(decline) => {
                return Self::Nothing(format!("refused: {}", decline.code));
            }
            Outcome::NotSent(reason) => return Self::Nothing(reason.to_string()),
            Outcome::Unknown(doubt @ Doubt::Mismatch(_)) => {
                return Self::Mismatched(doubt.to_string());
            }
            Outcome::Unknown(doubt) => return Self::Nothing(doubt.to_string()),
        };
        if matches!(standing.state, PaymentState::Undone) {
            return Self::RefundedInFull;
        }
        if let PaymentState::Paid(paid) = &standing.state
            && !standing.given_back.is_zero()
            && standing.given_back == paid.amount.total
        {
            return Self::RefundedInFull;
        }
        if !standing.given_back.is_zero() {
            return Self::RefundedElsewhere(format!("{} refunded", standing.given_back.amount()));
        }
        match standing.state {
            PaymentState::Paid(paid) => Self::Paid(Box::new(paid)),
            PaymentState::Pending { .. } | PaymentState::Failed { .. } => Self::NoMoney,
            // Issued for nothing, though the attempt was for money: as good as no answer.
            PaymentState::KeyIssued => Self::Nothing("a key was issued for 0 won".to_owned()),
            PaymentState::Undone => Self::RefundedInFull,
            PaymentState::Other(word) => Self::Nothing(format!("state {word}")),
        }
    }
}

impl Reconciler {
    /// Looks up ended attempts that are due; returns how many of them were paid after all.
    ///
    /// # Errors
    /// [`ReconcileError`]; what was recorded before stays so.
    pub async fn look_up_ended(&self) -> Result<u64, ReconcileError> {
        let mut found = 0;
        for _batch in 0..BATCHES_MAX {
            let due = self.claim_ended().await?;
            let is_last = i64::try_from(due.len()).unwrap_or(i64::MAX) < BATCH_MAX;
            for ended in due {
                // A claim that is not used is due again after its lease.
                if self.shutdown.is_requested() {
                    return Ok(found);
                }
                let outcome = self.look_up_ended_one(&ended).await;
                // One that is passed over is due again after its lease.
                let is_found = Net::Ended.of_one(ended.payment.order, outcome)?.unwrap_or(false);
                found += u64::from(is_found);
            }
            if is_last {
                break;
            }
        }
        Ok(found)
    }

    /// Due attempts. Claimed for an hour, so that two workers never count one answer each.
    async fn claim_ended(&self) -> Result<Vec<Ended>, ReconcileError> {
        let now = self.clock.now();
        let client = self.pool.get().await?;
        let statement = include_str!("sql/claim_ended.sql");
        let rows = client.query(statement, &[&now, &BATCH_MAX, &(now + ASK_AGAIN_AFTER)]).await?;
        Ok(rows.iter().map(Ended::read).collect::<Result<_, _>>()?)
    }

    /// Whether the attempt was paid after all.
    async fn look_up_ended_one(&self, ended: &Ended) -> Result<bool, ReconcileError> {
        let loaded = self.orders.load(ended.payment.order.uuid()).await?;
        let Some(order) = loaded.state.placed() else {
            return Ok(false);
        };
        let Some(attempt) = order.attempt(ended.payment.attempt).filter(|it| has_ended(it)) else {
            // The order has moved on, and the index follows.
            return Ok(false);
        };
        let Some(page) = &attempt.page else {
            return Ok(false);
        };
        // The page's end as the order recorded it: what this clock says alone ends nothing.
        let due = ended.due(page.expires_at);
        if self.clock.now() < due {
            self.ask_ended_again(ended, due).await?;
            return Ok(false);
        }
        self.clock.sleep(self.pace.pause).await;
        let outcome = self.gateway.look_up(&question(order, attempt, &page.tid)).await;
        metrics::reconciled("looked_up");
        let seen = (order, loaded.version);
        match Answer::of(outcome) {
            Answer::Paid(paid) => self.record_found(order, attempt, *paid).await,
            Answer::NoMoney => self.answered(ended, seen, attempt).await.map(|()| false),
            Answer::RefundedInFull => {
                self.refunded_in_full(ended, seen, attempt).await.map(|()| false)
            }
            Answer::RefundedElsewhere(what) | Answer::Mismatched(what) => {
                self.note_ended(ended, seen, attempt, &what).await.map(|()| false)
            }
            Answer::Nothing(why) => {
                if UNANSWERED_FOR <= self.clock.now() - ended.payment.since {
                    self.note_ended(ended, seen, attempt, &why).await?;
                }
                Ok(false)
            }
        }
    }

    async fn record_found(
        &self,
        order: &PlacedOrder,
        attempt: &Attempt,
        paid: Paid,
    ) -> Result<bool, ReconcileError> {
        let command = OrderCommand::RecordApproval(Box::new(RecordApproval {
            attempt: attempt.number,
            tid: paid.payment_ref,
            aid: paid.action_ref,
            amount: paid.amount,
            method: paid.method,
            approved_at: paid.approved_at,
            // The order does not keep this money, so it needs no key either.
            billing_key: None,
            at: self.clock.now(),
        }));
        metrics::reconcile_net_found("payment");
        let (id, attempt) = (order.order_id, attempt.number);
        tracing::error!(order.id = %id, attempt, "an attempt that ended without money was paid");
        match self.orders.dispatch(id.uuid(), command, context()).await {
            Ok(_recorded) => Ok(true),
            Err(DispatchError::Store(error)) => Err(error.into()),
            Err(error) => {
                let error = with_causes(&error);
                tracing::warn!(order.id = %id, attempt, error, "the order took no approval");
                Ok(false)
            }
        }
    }

    /// Counts an answer "no money"; the last one removes the attempt.
    async fn answered(
        &self,
        ended: &Ended,
        seen: (&PlacedOrder, u64),
        attempt: &Attempt,
    ) -> Result<(), ReconcileError> {
        if ended.answers + 1 < ANSWERS {
            let now = self.clock.now();
            return self.count_answer(ended, now, following_night(now)).await;
        }
        self.close(ended, seen, attempt).await
    }

    /// Logs that money moved and went back, and closes the net.
    async fn refunded_in_full(
        &self,
        ended: &Ended,
        seen: (&PlacedOrder, u64),
        attempt: &Attempt,
    ) -> Result<(), ReconcileError> {
        let (order, number) = (ended.payment.order, attempt.number);
        tracing::warn!(order.id = %order, attempt = number, "an ended attempt was paid and refunded in full");
        self.close(ended, seen, attempt).await
    }

    /// Removes the attempt, and settles what was found to differ before.
    async fn close(
        &self,
        ended: &Ended,
        (order, version): (&PlacedOrder, u64),
        attempt: &Attempt,
    ) -> Result<(), ReconcileError> {
        // That there was no answer for long, or money left there, is settled by the answer.
        let is_settled = attempt.differences.is_empty()
            || self.record(order.order_id, version, attempt.number, Vec::new()).await?;
        if !is_settled {
            return self.ask_ended_again(ended, self.clock.now() + AFTER_MOVE).await;
        }
        let (order, attempt) = ended.payment.key();
        let client = self.pool.get().await?;
        let statement = include_str!("sql/forget_ended.sql");
        client.execute(statement, &[&order, &attempt, &ended.position]).await?;
        Ok(())
    }

    async fn count_answer(
        &self,
        ended: &Ended,
        now: DateTime<Utc>,
        next: DateTime<Utc>,
    ) -> Result<(), ReconcileError> {
        let (order, attempt) = ended.payment.key();
        let client = self.pool.get().await?;
        let statement = include_str!("sql/count_answer.sql");
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&order, &attempt, &ended.position, &ended.answers, &now, &next];
        client.execute(statement, &values).await?;
        Ok(())
    }

    async fn ask_ended_again(
        &self,
        ended: &Ended,
        at: DateTime<Utc>,
    ) -> Result<(), ReconcileError> {
        let (order, attempt) = ended.payment.key();
        let client = self.pool.get().await?;
        let statement = include_str!("sql/ask_ended_again.sql");
        client.execute(statement, &[&order, &attempt, &ended.position, &at]).await?;
        Ok(())
    }

    /// Records that the attempt cannot be closed; once, however often it is found.
    async fn note_ended(
        &self,
        ended: &Ended,
        (order, version): (&PlacedOrder, u64),
        attempt: &Attempt,
        theirs: &str,
    ) -> Result<(), ReconcileError> {
        let kind = DifferenceKind::Unresolved;
        let known = attempt.differences.contains_key(&kind);
        let found = Difference::new(kind, "ended without money", theirs);
        // The reason may change from hour to hour, and is no news.
        if known || found.is_none() {
            return Ok(());
        }
        let found = Vec::from_iter(found);
        if self.record(order.order_id, version, attempt.number, found).await? {
            return Ok(());
        }
        // The alarm does not wait for the end of the claim.
        self.ask_ended_again(ended, self.clock.now() + AFTER_MOVE).await
    }
}

pub(super) const fn has_ended(attempt: &Attempt) -> bool {
    matches!(attempt.stage, Stage::Declined { .. } | Stage::Abandoned { .. })
}

#[cfg(test)]
mod tests {
    use contracts::{OrderId, Text, Won};

    use super::*;
    use crate::gateway::NotSent;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_second_look_up_is_made_in_the_night_after_the_first() {
        let payment = Indexed {
            order: OrderId::new(uuid::Uuid::nil()),
            attempt: 1,
            since: at("2026-11-23T03:00:00Z"),
        };
        let mut ended = Ended { payment, position: 1, answers: 0, answered_at: None };
        let page_end = at("2026-11-23T03:15:00Z");
        assert_eq!(ended.due(page_end), at("2026-11-23T03:16:00Z"));
        ended.answered_at = Some(at("2026-11-23T03:16:30Z"));
        assert_eq!(ended.due(page_end), at("2026-11-23T18:40:00Z"));
    }

    #[test]
    fn only_a_readable_answer_about_this_payment_counts() {
        let standing = |state, given_back| {
            let given_back = Won::try_from(given_back).unwrap();
            Outcome::Done(Standing { state, given_back, last_given_back: None })
        };
        let failed = || PaymentState::Failed { code: Text::parse("FAIL_PAYMENT").unwrap() };
        let pending = PaymentState::Pending { opened_at: None };
        for outcome in [standing(failed(), 0), standing(pending, 0)] {
            assert!(matches!(Answer::of(outcome), Answer::NoMoney));
        }
        let unanswered = [
            Outcome::Unknown(Doubt::Lost("truncated".to_owned())),
            Outcome::NotSent(NotSent::Busy),
            standing(PaymentState::Other("NEW_WORD".to_owned()), 0),
        ];
        for outcome in unanswered {
            assert!(matches!(Answer::of(outcome), Answer::Nothing(_)));
        }
        let elsewhere = Answer::of(standing(failed(), 500));
        assert!(matches!(elsewhere, Answer::RefundedElsewhere(_)));
        let mismatch = Answer::of(Outcome::Unknown(Doubt::Mismatch(vec!["amount.total"])));
        assert!(matches!(mismatch, Answer::Mismatched(_)));
        let undone = Answer::of(standing(PaymentState::Undone, 500));
        assert!(matches!(undone, Answer::RefundedInFull));
    }
}

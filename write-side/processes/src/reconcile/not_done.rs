//! An operator says that a call was not carried out: the gateway is asked first.
//!
//! Declining an order that was charged lets its shopper pay again, and failing a refund that went
//! through lets it be asked for again. So a row that names a payment ends as not done only if one look-up
//! confirms that nothing happened and that nothing can happen any more. An answer that cannot be
//! relied on confirms nothing. The look-up is made once and by nothing else than this question.

use std::time::Duration;

use contracts::{OrderId, Text, Won};
use domain::effects::{ApproveEffect, CancelEffect, Effect, PaymentTerms};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{ReconcileError, Reconciler};
use crate::gateway::{Doubt, Outcome, PaymentQuestion, PaymentState, Standing};
use crate::relay::decide::{PAGE_GRACE, RetryPolicy};

/// The code of a look-up that found the contrary; the administrators' API has it for a stored outcome.
pub const CONTRADICTED: &str = "outbox.contradicted";
/// The code of a look-up from which nothing follows.
const UNANSWERED: &str = "outbox.unanswered";

/// Whether a row may end as not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotDone {
    /// Nothing happened and nothing can: the row may end so as long as it is in this state.
    Confirmed {
        /// `dead` or `held`.
        state: String,
    },
    /// There is nothing to ask: no such row, or one in a state that allows no end. The attempt to end it
    /// reports which.
    NothingToAsk,
    /// It must not.
    Refused {
        /// Stable name of the reason: `outbox.contradicted` or `outbox.unanswered`.
        code: &'static str,
        /// The reason, for an operator.
        why: String,
    },
}

/// What the gateway's answer says about the row's call.
enum Answer {
    /// Nothing happened, and nothing can.
    Nothing,
    /// It was carried out, or money moved otherwise than it asks for.
    Contrary(String),
    /// It does not say.
    Silence(String),
}

/// A row that has given up, or is held.
struct RowToEnd {
    kind: String,
    payload: Value,
    state: String,
    order: Option<OrderId>,
    was_sent: bool,
    age: Duration,
    sent_ago: Option<Duration>,
}

impl RowToEnd {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let order: &str = row.try_get("aggregate_id")?;
        let duration = |column| {
            let milliseconds: Option<i64> = row.try_get(column)?;
            // Negative when the database's clock was set back.
            let elapsed = milliseconds.map(|it| u64::try_from(it).unwrap_or_default());
            Ok::<_, tokio_postgres::Error>(elapsed.map(Duration::from_millis))
        };
        Ok(Self {
            kind: row.try_get("kind")?,
            payload: row.try_get("payload")?,
            state: row.try_get("state")?,
            order: order.parse().ok(),
            was_sent: row.try_get("was_sent")?,
            age: duration("age_ms")?.unwrap_or_default(),
            sent_ago: duration("requested_ms")?,
        })
    }
}

impl Reconciler {
    /// Asks the gateway once whether the call of `row` was carried out.
    ///
    /// # Errors
    /// [`ReconcileError`]: the row or its order cannot be read.
    pub async fn look_up_not_done(&self, row: Uuid) -> Result<NotDone, ReconcileError> {
        let client = self.pool.get().await?;
        let found = client.query_opt(include_str!("sql/row_to_end.sql"), &[&row]).await?;
        drop(client);
        let Some(found) = found else { return Ok(NotDone::NothingToAsk) };
        let row = RowToEnd::read(&found)?;
        let answer = match serde_json::from_value(row.payload.clone()) {
            // It has no name at the gateway yet, and no money moves by it.
            Ok(Effect::PaymentReady(_)) => Answer::Nothing,
            Ok(Effect::PaymentApprove(effect)) => self.ask_about_approval(&row, &effect).await,
            Ok(Effect::PaymentCancel(effect)) => self.ask_about_cancel(&row, &effect).await?,
            Err(_unreadable) => Answer::Silence(format!("a {} cannot be read", row.kind)),
        };
        Ok(match answer {
            Answer::Nothing => NotDone::Confirmed { state: row.state },
            Answer::Contrary(why) => NotDone::Refused { code: CONTRADICTED, why },
            Answer::Silence(why) => NotDone::Refused { code: UNANSWERED, why },
        })
    }

    async fn ask_about_approval(&self, row: &RowToEnd, effect: &ApproveEffect) -> Answer {
        let standing = match self.standing_of(&effect.terms, &effect.tid).await {
            Ok(standing) => standing,
            Err(answer) => return answer,
        };
        approval(row, &effect.tid, &standing)
    }

    async fn ask_about_cancel(
        &self,
        row: &RowToEnd,
        effect: &CancelEffect,
    ) -> Result<Answer, ReconcileError> {
        let Some(order) = row.order else {
            return Ok(Answer::Silence("its order cannot be read".to_owned()));
        };
        let loaded = self.orders.load(order.uuid()).await?;
        let placed = loaded.state.placed();
        let before = placed.and_then(|it| Some(it.refunded_of(it.attempt(effect.terms.attempt)?)));
        let Some(before) = before else {
            return Ok(Answer::Silence("its order has no such payment".to_owned()));
        };
        let standing = match self.standing_of(&effect.terms, &effect.tid).await {
            Ok(standing) => standing,
            Err(answer) => return Ok(answer),
        };
        Ok(cancel(row, (&effect.tid, before, effect.amount), &standing))
    }

    async fn standing_of(&self, terms: &PaymentTerms, tid: &Text<64>) -> Result<Standing, Answer> {
        let question = PaymentQuestion {
            terms: terms.clone(),
            payment_ref: tid.clone(),
            correlation_id: Uuid::now_v7().to_string(),
        };
        match self.gateway.look_up(&question).await {
            Outcome::Done(standing) => Ok(standing),
            Outcome::Unknown(doubt @ Doubt::Mismatch(_)) => Err(Answer::Contrary(format!(
                "payment {tid} is there with other terms than ours ({doubt}); if it was paid, cancel it \
                 there in full first"
            ))),
            Outcome::Declined(decline) => {
                Err(Answer::Silence(format!("the look-up of {tid} was refused: {}", decline.code)))
            }
            Outcome::NotSent(reason) => Err(silence(tid, &reason)),
            Outcome::Unknown(doubt) => Err(silence(tid, &doubt)),
        }
    }
}

fn silence(tid: &Text<64>, why: &impl std::fmt::Display) -> Answer {
    Answer::Silence(format!("the look-up of {tid} was not answered: {why}"))
}

fn approval(row: &RowToEnd, tid: &Text<64>, standing: &Standing) -> Answer {
    match &standing.state {
        PaymentState::Paid(paid) if standing.given_back == paid.amount.total => Answer::Nothing,
        PaymentState::Paid(paid) => {
            let (total, back) = (paid.amount.total.amount(), standing.given_back.amount());
            let what = format!("payment {tid} was paid: {total} won, {back} of it refunded");
            Answer::Contrary(format!("{what}; retry the row, so that this is recorded"))
        }
        PaymentState::Undone => Answer::Nothing,
        PaymentState::Failed { .. } if standing.given_back.is_zero() => Answer::Nothing,
        PaymentState::Failed { code } => {
            Answer::Silence(format!("payment {tid} failed ({code}), and money went back"))
        }
        // As long as its page is open, what was sent may still be booked.
        PaymentState::Pending { .. }
            if !row.was_sent || RetryPolicy::default().approve_for + PAGE_GRACE <= row.age =>
        {
            Answer::Nothing
        }
        PaymentState::Pending { .. } => {
            Answer::Silence(format!("payment {tid} is pending and its page is still open"))
        }
        PaymentState::KeyIssued => Answer::Silence(format!("only a key was issued by {tid}")),
        PaymentState::Other(word) => Answer::Silence(format!("payment {tid} is in state {word}")),
    }
}

/// `before`: what of the payment was refunded by other refunds, as the order has it.
fn cancel(
    row: &RowToEnd,
    (tid, before, amount): (&Text<64>, Won, Won),
    standing: &Standing,
) -> Answer {
    if !matches!(standing.state, PaymentState::Paid(_)) {
        return Answer::Silence(format!("payment {tid} is not paid: {:?}", standing.state));
    }
    let (theirs, asked) = (standing.given_back.amount(), amount.amount());
    let (ours, with_it) = (before.amount(), before.amount().saturating_add(asked));
    // The sum only grows: as long as this refund does not fit into it, it was not carried out.
    if with_it <= theirs {
        let what =
            format!("{theirs} won of payment {tid} were refunded, {ours} of it by other refunds");
        return Answer::Contrary(if theirs == with_it {
            format!("{what}; retry the row, so that this is recorded")
        } else {
            what
        });
    }
    let sent_ago = row.sent_ago.unwrap_or(row.age);
    if row.was_sent && sent_ago < RetryPolicy::default().refund_repeat_after {
        let seconds = sent_ago.as_secs();
        return Answer::Silence(format!(
            "the refund was sent {seconds} s ago and may be under way"
        ));
    }
    Answer::Nothing
}

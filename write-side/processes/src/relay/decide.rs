//! What to do about a gateway's answer: the table of the payments design as pure functions.
//!
//! Nothing here calls, stores or waits. The rule above all others: an outcome that was ever unknown
//! stays unknown until a look-up settles it, whatever later calls are answered. Only a look-up that
//! reports "nothing happened" permits another call: of an approval at once, because its tid lets it
//! happen once; of a refund only after the last moment at which the first call could still be carried
//! out, because a partial refund may otherwise happen twice.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::{DateTime, Utc};
use contracts::events::DeclineClass;
use contracts::{Text, Won};
use domain::Settlement;

use crate::gateway::{
    Checkout, Decline, Doubt, GivenBack, NotSent, Outcome, Paid, PaymentState, Standing,
};

/// When the relay tries again and when it gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Calls in all to open a payment page: a shopper is waiting for it.
    pub ready_tries_max: u32,
    /// First pause between tries; doubles from there, with jitter.
    pub pause_min: Duration,
    /// Longest pause between tries.
    pub pause_max: Duration,
    /// First pause before a look-up; doubles from there, with jitter.
    pub look_up_pause_min: Duration,
    /// Longest pause before a look-up.
    pub look_up_pause_max: Duration,
    /// How long an unknown outcome is looked up by the relay. Then it is listed as unresolved, and
    /// looked up by the hour.
    pub unknown_for_max: Duration,
    /// How long an unsent approval is tried: the life of the payment page.
    pub approve_for: Duration,
    /// How long an unsent refund is tried before it counts as failed.
    pub cancel_for: Duration,
    /// Shortest time between storing a refund's request and repeating the call: the call's own
    /// time-out, and a margin for a request that is late on the wire.
    pub refund_repeat_after: Duration,
    /// How often a refund's call is repeated after look-ups that found nothing. A gateway that keeps
    /// refusing for a reason it doesn't give is a case for an operator.
    pub refund_repeats_max: u32,
    /// How long a recurring key must be absent before it counts as lost: another worker may hold it
    /// in memory, having stood still or lost the database, and stores it as soon as it can.
    pub key_absent_for: Duration,
}

/// What a refund waits in addition to the call's time-out before it is repeated.
pub const REFUND_MARGIN: Duration = Duration::from_secs(15);

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            ready_tries_max: 3,
            pause_min: Duration::from_millis(300),
            pause_max: Duration::from_mins(1),
            look_up_pause_min: Duration::from_millis(500),
            look_up_pause_max: Duration::from_secs(30),
            unknown_for_max: Duration::from_hours(24),
            approve_for: Duration::from_mins(15),
            cancel_for: Duration::from_hours(72),
            refund_repeat_after: kakaopay::ClientConfig::CALL_TIMEOUT + REFUND_MARGIN,
            refund_repeats_max: 5,
            key_absent_for: Duration::from_secs(15),
        }
    }
}

/// Longest pause of a row that cannot go on because something of ours is unavailable, without jitter: a
/// shopper may wait for it once that is back.
const UNAVAILABLE_PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long past its end a payment page is still looked up before it counts as expired: an approval
/// that KakaoPay was working on when the page ended is done by then.
pub(crate) const PAGE_GRACE: Duration = Duration::from_mins(1);

/// One try at an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Try {
    /// Which, from 1; calls and look-ups together.
    pub number: u32,
    /// How long ago the effect was requested.
    pub age: Duration,
    /// The instant of the answer.
    pub now: DateTime<Utc>,
    /// For how long the outcome of an earlier call has been unknown; `None` when it isn't.
    pub unknown_for: Option<Duration>,
    /// How long ago a request was last stored, which is before it was sent.
    pub sent_ago: Option<Duration>,
    /// Calls that were sent or may have been.
    pub calls: u32,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Next {
    /// It is settled; `doubt` says what an operator should know besides.
    Settle(Settlement, Option<String>),
    /// This call certainly changed nothing, and neither did an earlier one: call again after a pause.
    Again {
        /// The pause.
        pause: Duration,
        /// Whether it used up a try.
        is_counted: bool,
        /// Why, for the row.
        why: String,
    },
    /// The outcome is unknown: look up after a pause.
    LookUp {
        /// The pause.
        pause: Duration,
        /// Whether it used up a try.
        is_counted: bool,
        /// Whether this very call was certainly not sent, so that an earlier one is the unknown one.
        is_unsent: bool,
        /// Why, for the row.
        why: String,
    },
    /// A look-up found that nothing happened: call now, under the same lease.
    CallNow,
}

impl RetryPolicy {
    /// After asking for a payment page. No money moves, so a lost answer is simply asked again.
    pub fn after_ready(&self, outcome: Outcome<Checkout>, at: Try) -> Next {
        match outcome {
            Outcome::Done(checkout) => settled(Settlement::Opened {
                tid: checkout.payment_ref,
                redirect: checkout.redirect,
                ready_at: checkout.opened_at,
                expires_at: checkout.expires_at,
                cid: checkout.merchant,
            }),
            Outcome::Declined(decline) => declined(decline, at),
            // The shopper is told at once rather than kept waiting for a breaker.
            Outcome::NotSent(reason @ NotSent::BreakerOpen { .. }) => not_sent(&reason, at),
            Outcome::NotSent(reason) if reason.is_permanent() => not_sent(&reason, at),
            Outcome::NotSent(reason) if self.is_last_page(!reason.is_free(), at) => {
                not_sent(&reason, at)
            }
            Outcome::NotSent(reason) => self.again(&reason, at),
            Outcome::Unknown(doubt) if self.is_last_page(true, at) => {
                Next::Settle(Settlement::NotSent { at: at.now }, Some(doubt.to_string()))
            }
            Outcome::Unknown(doubt) => {
                let pause = self.pause(at.number);
                Next::Again { pause, is_counted: true, why: doubt.to_string() }
            }
        }
    }

    /// Whether a payment page is not asked for again after this try.
    fn is_last_page(&self, is_counted: bool, at: Try) -> bool {
        self.approve_for <= at.age || (is_counted && self.ready_tries_max <= at.number)
    }

    /// After asking to move the money.
    pub fn after_approve(&self, outcome: Outcome<Paid>, at: Try) -> Next {
        match outcome {
            Outcome::Done(paid) => approved(paid),
            Outcome::Declined(decline) if at.is_unknown() => self.contradicted(&decline, at),
            Outcome::NotSent(reason) if at.is_unknown() => self.still_unknown(&reason, at),
            // Nothing moved, and another return may bring the true token.
            Outcome::Declined(decline) if decline.is_of_token => {
                settled(Settlement::TokenRefused { code: decline.code, at: at.now })
            }
            Outcome::Declined(decline) => declined(decline, at),
            Outcome::NotSent(reason) if reason.is_permanent() || self.approve_for <= at.age => {
                not_sent(&reason, at)
            }
            Outcome::NotSent(reason) => self.again(&reason, at),
            Outcome::Unknown(doubt) => self.doubted(&doubt, at),
        }
    }

    /// After looking up a payment whose approval is in doubt.
    pub fn after_approve_look_up(&self, outcome: Outcome<Standing>, at: Try) -> Next {
        let standing = match self.standing(outcome, at) {
            Ok(standing) => standing,
            Err(next) => return next,
        };
        match standing.state {
            PaymentState::Paid(paid) if standing.given_back.is_zero() => approved(paid),
            // Paid and given back, but not by us: our books cannot tell that story by themselves.
            PaymentState::Paid(_) | PaymentState::Undone => {
                unresolved("given_back_elsewhere", None, at)
            }
            PaymentState::Failed { code } => {
                let class = DeclineClass::Soft;
                settled(Settlement::Declined { class, code, at: at.now })
            }
            PaymentState::Pending { .. } => self.after_pending(at),
            // No order asks for 0 won, so this is no answer to an approval of ours.
            PaymentState::KeyIssued => self.look_up_again("only a key was issued".to_owned(), at),
            PaymentState::Other(word) => self.look_up_again(format!("state {word}"), at),
        }
    }

    /// The token still works while the page does; later the payment can no longer happen. Measured from
    /// the request, which came while the page was open, on the database's clock: a worker whose own
    /// clock is ahead would end a payment that KakaoPay is still working on.
    fn after_pending(&self, at: Try) -> Next {
        if at.age < self.approve_for {
            return Next::CallNow;
        }
        if at.age < self.approve_for + PAGE_GRACE {
            return look_up("pending past its end".to_owned(), self.look_up_pause_max);
        }
        let Ok(code) = Text::parse("expired") else {
            return self.look_up_again("expired".to_owned(), at);
        };
        settled(Settlement::Declined { class: DeclineClass::Expired, code, at: at.now })
    }

    /// After asking to give money back.
    pub fn after_cancel(&self, outcome: Outcome<GivenBack>, at: Try) -> Next {
        match outcome {
            Outcome::Done(given_back) => refunded(given_back),
            Outcome::Declined(decline) if at.is_unknown() => self.contradicted(&decline, at),
            Outcome::NotSent(reason) if at.is_unknown() => self.still_unknown(&reason, at),
            Outcome::Declined(decline) => declined(decline, at),
            Outcome::NotSent(reason) if reason.is_permanent() || self.cancel_for <= at.age => {
                let Ok(code) = Text::parse("not_sent") else {
                    return self.again(&reason, at);
                };
                let class = DeclineClass::Merchant;
                let failed = Settlement::Declined { class, code, at: at.now };
                Next::Settle(failed, Some(reason.to_string()))
            }
            Outcome::NotSent(reason) => self.again(&reason, at),
            Outcome::Unknown(doubt) => self.doubted(&doubt, at),
        }
    }

    /// After looking up a payment whose refund is in doubt: the running total tells.
    pub fn after_cancel_look_up(
        &self,
        outcome: Outcome<Standing>,
        before: Won,
        amount: Won,
        at: Try,
    ) -> Next {
        let standing = match self.standing(outcome, at) {
            Ok(standing) => standing,
            Err(next) => return next,
        };
        if !matches!(standing.state, PaymentState::Paid(_)) {
            return self.look_up_again(format!("not paid: {:?}", standing.state), at);
        }
        if standing.given_back == before {
            return self.after_unchanged(at);
        }
        if Some(standing.given_back) != before.checked_add(amount) {
            let why = format!("{} given back in all", standing.given_back.amount());
            return unresolved("given_back_elsewhere", Some(why), at);
        }
        let last = standing.last_given_back.filter(|last| last.amount == amount);
        refunded(last.unwrap_or(GivenBack { action_ref: None, amount, at: at.now }))
    }

    /// The sum has not grown. The first call may still be under way there, and a second one could give
    /// the same part back once more.
    fn after_unchanged(&self, at: Try) -> Next {
        let sent_ago = at.sent_ago.or(at.unknown_for).unwrap_or(at.age);
        if let Some(rest) = self.refund_repeat_after.checked_sub(sent_ago)
            && !rest.is_zero()
        {
            return look_up("nothing refunded yet".to_owned(), rest);
        }
        if self.refund_repeats_max < at.calls {
            let why = format!("{} calls, and nothing refunded", at.calls);
            return unresolved("not_refunded", Some(why), at);
        }
        Next::CallNow
    }

    #[expect(clippy::result_large_err, reason = "made once a look-up and taken apart at once")]
    /// How the payment stands, or what to do when that could not be found out.
    fn standing(&self, outcome: Outcome<Standing>, at: Try) -> Result<Standing, Next> {
        match outcome {
            Outcome::Done(standing) => Ok(standing),
            Outcome::Declined(decline) => {
                Err(self.look_up_again(format!("look-up: {}", decline.code), at))
            }
            Outcome::NotSent(reason) if reason.is_free() => {
                let pause = self.look_up_pause(at.number).max(reason.retry_after());
                let why = format!("look-up: {reason}");
                Err(Next::LookUp { pause, is_counted: false, is_unsent: false, why })
            }
            Outcome::NotSent(reason) => Err(self.look_up_again(format!("look-up: {reason}"), at)),
            Outcome::Unknown(doubt @ Doubt::Mismatch(_)) => {
                Err(unresolved("mismatch", Some(doubt.to_string()), at))
            }
            Outcome::Unknown(doubt) => Err(self.look_up_again(format!("look-up: {doubt}"), at)),
        }
    }

    /// After an answer that left doubt about money.
    fn doubted(&self, doubt: &Doubt, at: Try) -> Next {
        if matches!(doubt, Doubt::Mismatch(_)) {
            return unresolved("mismatch", Some(doubt.to_string()), at);
        }
        // Never given up here: at least one look-up follows every doubtful call.
        look_up(doubt.to_string(), self.look_up_pause(at.number))
    }

    /// A definite no to a call that followed an unknown one: the first may have done what the second
    /// is refused for.
    fn contradicted(&self, decline: &Decline, at: Try) -> Next {
        look_up(
            format!("declined after an unknown call: {}", decline.code),
            self.look_up_pause(at.number),
        )
    }

    /// A call that was not sent says nothing about the unknown one before it.
    fn still_unknown(&self, reason: &NotSent, at: Try) -> Next {
        Next::LookUp {
            pause: self.look_up_pause(at.number).max(reason.retry_after()),
            is_counted: !reason.is_free(),
            is_unsent: true,
            why: format!("not sent after an unknown call: {reason}"),
        }
    }

    fn look_up_again(&self, why: String, at: Try) -> Next {
        if at.unknown_for.is_some_and(|unknown_for| self.unknown_for_max <= unknown_for) {
            return unresolved("look_up_failed", Some(why), at);
        }
        look_up(why, self.look_up_pause(at.number))
    }

    fn again(&self, reason: &NotSent, at: Try) -> Next {
        // The breaker's own pause is exact; the others are those of a crowd, and want jitter.
        let pause = match reason {
            NotSent::BreakerOpen { retry_after } => self.pause_min.max(*retry_after),
            NotSent::Busy
            | NotSent::Throttled { .. }
            | NotSent::Stale { .. }
            | NotSent::Connect(_)
            | NotSent::NotNow(_)
            | NotSent::Access(_)
            | NotSent::Unbuildable(_) => self.pause(at.number).max(reason.retry_after()),
        };
        Next::Again { pause, is_counted: !reason.is_free(), why: reason.to_string() }
    }

    /// The pause after try `number`.
    pub fn pause(&self, number: u32) -> Duration {
        backoff(self.pause_min, self.pause_max, number)
    }

    /// The pause after something of ours was unavailable for the `times`th time in succession.
    pub fn unavailable_pause(&self, times: u32) -> Duration {
        backoff(self.pause_min, self.pause_max.min(UNAVAILABLE_PAUSE_MAX), times)
    }

    fn look_up_pause(&self, number: u32) -> Duration {
        backoff(self.look_up_pause_min, self.look_up_pause_max, number)
    }
}

/// `min` doubled `number - 1` times, at most `max`, and up to as much again at random, so that what
/// failed together is not tried again together.
fn backoff(min: Duration, max: Duration, number: u32) -> Duration {
    let mut pauses = ExponentialBuilder::new()
        .with_min_delay(min)
        .with_max_delay(max)
        .without_max_times()
        .with_jitter()
        .build();
    let index = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
    pauses.nth(index.min(32)).unwrap_or(max)
}

impl Try {
    /// A look-up by itself, without a row: of a payment requested at `requested_at`, at `now`. However
    /// long it goes unanswered, it ends nothing.
    pub fn looking_up(requested_at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        let age = (now - requested_at).to_std().unwrap_or_default();
        Self {
            number: 1,
            age,
            now,
            unknown_for: Some(Duration::ZERO),
            sent_ago: Some(age),
            calls: 1,
        }
    }

    const fn is_unknown(&self) -> bool {
        self.unknown_for.is_some()
    }
}

const fn look_up(why: String, pause: Duration) -> Next {
    Next::LookUp { pause, is_counted: true, is_unsent: false, why }
}

fn settled(settlement: Settlement) -> Next {
    Next::Settle(settlement, None)
}

/// Without a recurring key: whoever has one at hand adds it.
fn approved(paid: Paid) -> Next {
    settled(Settlement::Approved {
        tid: paid.payment_ref,
        aid: paid.action_ref,
        amount: paid.amount,
        method: paid.method,
        approved_at: paid.approved_at,
        billing_key: None,
    })
}

fn refunded(given_back: GivenBack) -> Next {
    settled(Settlement::GivenBack {
        aid: given_back.action_ref,
        amount: given_back.amount,
        refunded_at: given_back.at,
    })
}

fn declined(decline: Decline, at: Try) -> Next {
    let Decline { class, code, text, is_of_token: _ } = decline;
    Next::Settle(Settlement::Declined { class, code, at: at.now }, Some(text))
}

fn not_sent(reason: &NotSent, at: Try) -> Next {
    Next::Settle(Settlement::NotSent { at: at.now }, Some(reason.to_string()))
}

fn unresolved(reason: &'static str, why: Option<String>, at: Try) -> Next {
    match Text::parse(reason) {
        Ok(reason) => Next::Settle(Settlement::Unresolved { reason, at: at.now }, why),
        // The codes above are fixed and short.
        Err(_) => unreachable!("{reason}"),
    }
}

#[cfg(test)]
mod tests;

//! The shopper's browser comes back from the payment page.
//!
//! A token is tried once: a reloaded page, a prefetch or a proxy that repeats the request changes
//! nothing. A token that the gateway refuses (a link that was cut, a tampered address) does not end
//! the attempt: another return may bring the true one until the page ends. One that comes while
//! another is being tried waits, and is tried in its turn should the earlier ones be refused.

use chrono::{DateTime, Utc};
use contracts::events::{AbandonReason, DeclineClass, GatewayStep, OrderEvent, ReturnedAs};
use contracts::{Sealed, Text};

use super::paying::abandoned;
use super::state::{Attempt, Course, PaymentPage, PlacedOrder, Stage};
use super::{Decision, OrderRefusal};

/// The most tokens that are tried for one attempt. A page yields one; wrong ones come from links that
/// a messenger cut or rewrote, which happens once or twice. Each costs a call that fails, so that more
/// would let a visitor with a page's address keep the gateway busy.
pub const TOKENS_MAX: usize = 5;

impl PlacedOrder {
    pub(super) fn record_return(
        &self,
        number: u32,
        returned_as: ReturnedAs,
        at: DateTime<Utc>,
    ) -> Decision {
        let attempt = self.known_attempt(number)?;
        let Some(page) = &attempt.page else {
            return Err(OrderRefusal::PaymentNotReady);
        };
        let is_new = match &returned_as {
            ReturnedAs::Authenticated { token_mark, .. } => attempt.may_try(token_mark.as_ref()),
            ReturnedAs::Cancelled | ReturnedAs::Failed => true,
        };
        // Nothing follows from a return to what is over, and no token is kept for it.
        if !is_new || self.course != Course::Open || self.has_expired(at) {
            return Ok(Vec::new());
        }
        let is_token = matches!(returned_as, ReturnedAs::Authenticated { .. });
        let next = match &attempt.stage {
            Stage::Ready => Some(self.after_return(number, page, &returned_as, at)),
            Stage::ApprovalRequested { .. } if is_token => None,
            Stage::ApprovalRequested { .. }
            | Stage::Requested
            | Stage::Unresolved { .. }
            | Stage::Approved(_)
            | Stage::Declined { .. }
            | Stage::Abandoned { .. } => return Ok(Vec::new()),
        };
        let returned =
            OrderEvent::PaymentReturned { attempt: number, returned_as, returned_at: at };
        Ok([Some(returned), next].into_iter().flatten().collect())
    }

    fn after_return(
        &self,
        attempt: u32,
        page: &PaymentPage,
        returned_as: &ReturnedAs,
        at: DateTime<Utc>,
    ) -> OrderEvent {
        match returned_as {
            // An earlier attempt may have taken the money after all: not before that is known.
            ReturnedAs::Authenticated { .. } if self.unresolved_attempt().is_some() => {
                abandoned(attempt, AbandonReason::FailedOnPage, at)
            }
            ReturnedAs::Authenticated { pg_token, .. } => {
                approval_requested(attempt, page, pg_token, at)
            }
            ReturnedAs::Cancelled => abandoned(attempt, AbandonReason::CancelledByShopper, at),
            ReturnedAs::Failed => abandoned(attempt, AbandonReason::FailedOnPage, at),
        }
    }

    pub(super) fn record_token_refused(
        &self,
        number: u32,
        code: Text<100>,
        at: DateTime<Utc>,
    ) -> Decision {
        let attempt = self.known_attempt(number)?;
        match &attempt.stage {
            Stage::ApprovalRequested { .. } => Ok(attempt.token_refused(code, at)),
            // An earlier call may have moved the money, whatever is said of the token since.
            Stage::Unresolved { .. } => Err(OrderRefusal::PaymentUnresolved),
            Stage::Requested
            | Stage::Ready
            | Stage::Approved(_)
            | Stage::Declined { .. }
            | Stage::Abandoned { .. } => Ok(Vec::new()),
        }
    }
}

impl Attempt {
    /// Whether a token with this mark is another one than those that came before, and may be tried.
    fn may_try(&self, mark: Option<&Text<64>>) -> bool {
        let is_known = self.token_marks.iter().any(|known| known.as_ref() == mark);
        !is_known && self.token_marks.len() < TOKENS_MAX
    }

    fn token_refused(&self, code: Text<100>, at: DateTime<Utc>) -> Vec<OrderEvent> {
        let attempt = self.number;
        if TOKENS_MAX <= self.tokens_refused + 1 {
            let (step, class) = (GatewayStep::Approve, DeclineClass::Hard);
            let declined =
                OrderEvent::PaymentDeclined { attempt, step, class, code, declined_at: at };
            return [Some(declined), self.outcome_found(at)].into_iter().flatten().collect();
        }
        let refused = OrderEvent::PaymentTokenRefused { attempt, code, refused_at: at };
        let next = self.page.as_ref().zip(self.waiting_tokens.first());
        let next = next.map(|(page, token)| approval_requested(attempt, page, token, at));
        [Some(refused), next, self.outcome_found(at)].into_iter().flatten().collect()
    }
}

fn approval_requested(
    attempt: u32,
    page: &PaymentPage,
    pg_token: &Sealed<String>,
    at: DateTime<Utc>,
) -> OrderEvent {
    OrderEvent::PaymentApprovalRequested {
        attempt,
        tid: page.tid.clone(),
        pg_token: pg_token.clone(),
        requested_at: at,
    }
}

//! A lane per class of calls, so that a slow recurring run cannot starve checkouts.
//!
//! Each lane has a client with connections of its own, a limit of calls under way, and a breaker.
//! Nothing waits in line for long: a full lane is as definite a "not sent" as a refused connection.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kakaopay::{CallError, Client, ErrorClass, Operation};
use service_kit::clock::SharedClock;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::NotSent;
use crate::breaker::{Breaker, BreakerPolicy, BreakerState};
use crate::metrics;

/// How a lane restrains itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LanePolicy {
    /// Calls under way at once.
    pub calls_max: usize,
    /// Longest wait for a place.
    pub place_wait: Duration,
    /// When it stops calling altogether.
    pub breaker: BreakerPolicy,
}

/// One class of calls.
pub struct Lane {
    client: Client,
    places: Arc<Semaphore>,
    place_wait: Duration,
    breaker: Breaker,
}

impl Lane {
    /// A lane over its own client; `class` labels its metrics.
    pub fn new(
        class: &'static str,
        client: Client,
        policy: LanePolicy,
        clock: SharedClock,
    ) -> Self {
        Self {
            client,
            places: Arc::new(Semaphore::new(policy.calls_max)),
            place_wait: policy.place_wait,
            breaker: Breaker::new(class, policy.breaker, clock),
        }
    }

    /// How its breaker stands.
    pub fn state(&self) -> BreakerState {
        self.breaker.state()
    }

    /// How long its breaker certainly lets no call through; `None` when one may pass.
    pub fn open_for(&self) -> Option<Duration> {
        self.breaker.open_for()
    }

    /// Makes one call within the lane's limits. The outer error: it was not let through.
    pub(super) async fn call<'a, T, F>(
        &'a self,
        operation: Operation,
        call: impl FnOnce(&'a Client) -> F,
    ) -> Result<Result<T, CallError>, NotSent>
    where
        F: Future<Output = Result<T, CallError>> + 'a,
    {
        let waiting = timeout(self.place_wait, self.places.acquire());
        let Ok(Ok(_place)) = waiting.await else {
            return Err(NotSent::Busy);
        };
        let permit = self
            .breaker
            .admit()
            .map_err(|open| NotSent::BreakerOpen { retry_after: open.retry_after })?;
        let begun = Instant::now();
        let answer = call(&self.client).await;
        permit.record(answer.as_ref().is_err_and(is_failure));
        let result = match &answer {
            Ok(_) => "done",
            Err(CallError::Declined(_)) => "declined",
            Err(CallError::NotSent(_)) => "not_sent",
            Err(CallError::Unknown(_)) => "unknown",
        };
        metrics::gateway_call(operation.name(), result, begun.elapsed());
        Ok(answer)
    }
}

/// Whether an error says something about KakaoPay's health. A declined payment does not; being
/// turned away for the number of our requests does.
fn is_failure(error: &CallError) -> bool {
    match error {
        CallError::NotSent(kakaopay::NotSent::Request(_)) => false,
        CallError::NotSent(_) | CallError::Unknown(_) => true,
        CallError::Declined(refusal) => {
            refusal.extras.is_none()
                && matches!(refusal.class(), ErrorClass::Transient | ErrorClass::TransientLong)
        }
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lane").field(&self.breaker).finish()
    }
}

//! A lane per class of calls, so that a slow recurring run cannot starve checkouts.
//!
//! Each lane has a client with connections of its own, a limit of calls under way, a limit of calls
//! per second, and a breaker. A call is admitted first and made afterwards, so that the relay can
//! store its request in between: a call that the lane refuses was never recorded as sent. Nothing
//! waits in line for long: a full lane is as definite a "not sent" as a refused connection. Our own
//! restraint says nothing about the gateway, so the breaker doesn't count it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kakaopay::{CallError, Client, ErrorClass, Operation};
use service_kit::clock::SharedClock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::throttle::{Passed, RatePolicy, Throttle};
use super::{Admission, NotSent};
use crate::breaker::{Breaker, BreakerPolicy, BreakerState, Permit};
use crate::metrics;

/// How a lane restrains itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LanePolicy {
    /// Calls under way at once.
    pub calls_max: usize,
    /// How often calls may be made.
    pub rate: RatePolicy,
    /// Longest wait for a place and a turn together.
    pub place_wait: Duration,
    /// When it stops calling altogether.
    pub breaker: BreakerPolicy,
}

/// One class of calls.
pub struct Lane {
    class: &'static str,
    client: Client,
    places: Arc<Semaphore>,
    throttle: Throttle,
    place_wait: Duration,
    breaker: Breaker,
}

/// A place, a turn and the breaker's permit for one call.
#[derive(Debug)]
pub(super) struct Pass {
    permit: Permit,
    place: OwnedSemaphorePermit,
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
            class,
            client,
            places: Arc::new(Semaphore::new(policy.calls_max)),
            throttle: Throttle::new(policy.rate, SharedClock::clone(&clock)),
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

    /// Waits for a place and a turn, both within [`LanePolicy::place_wait`].
    ///
    /// # Errors
    /// The breaker is open, all places are taken, or the turn would come too late.
    pub(super) async fn admit(&self) -> Result<Pass, NotSent> {
        // An open breaker answers at once, before any wait.
        drop(self.ask_breaker()?);
        let deadline = Instant::now() + self.place_wait;
        let place = timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            return Err(NotSent::Busy);
        };
        // Last of the waits, so that every turn taken is a call made.
        self.wait_for_turn(deadline).await?;
        Ok(Pass { permit: self.ask_breaker()?, place })
    }

    /// Makes one call within the lane's limits. The outer error: it was not admitted.
    pub(super) async fn call<'a, T, F>(
        &'a self,
        operation: Operation,
        call: impl FnOnce(&'a Client) -> F,
    ) -> Result<Result<T, CallError>, NotSent>
    where
        F: Future<Output = Result<T, CallError>> + 'a,
    {
        self.call_admitted(Admission::pending(), operation, call).await
    }

    /// As [`call`](Self::call), with what [`admit`](Self::admit) gave.
    pub(super) async fn call_admitted<'a, T, F>(
        &'a self,
        admission: Admission,
        operation: Operation,
        call: impl FnOnce(&'a Client) -> F,
    ) -> Result<Result<T, CallError>, NotSent>
    where
        F: Future<Output = Result<T, CallError>> + 'a,
    {
        let Pass { permit, place } = match admission.pass {
            Some(pass) => pass,
            None => self.admit().await?,
        };
        let begun = Instant::now();
        let answer = call(&self.client).await;
        permit.record(answer.as_ref().is_err_and(is_failure));
        drop(place);
        let result = match &answer {
            Ok(_) => "done",
            Err(CallError::Declined(_)) => "declined",
            Err(CallError::NotSent(_)) => "not_sent",
            Err(CallError::Unknown(_)) => "unknown",
        };
        metrics::gateway_call(operation.name(), result, begun.elapsed());
        Ok(answer)
    }

    fn ask_breaker(&self) -> Result<Permit, NotSent> {
        let admitted = self.breaker.admit();
        admitted.map_err(|open| NotSent::BreakerOpen { retry_after: open.retry_after })
    }

    async fn wait_for_turn(&self, deadline: Instant) -> Result<(), NotSent> {
        match self.throttle.pass(deadline).await {
            Ok(Passed::AtOnce) => Ok(()),
            Ok(Passed::Late) => {
                metrics::gateway_throttled(self.class, "delayed");
                Ok(())
            }
            Err(throttled) => {
                metrics::gateway_throttled(self.class, "turned_away");
                Err(NotSent::Throttled { retry_after: throttled.retry_after })
            }
        }
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use kakaopay::{ClientConfig, SecretKey};
    use service_kit::clock::ManualClock;
    use testkit::eventually;

    use super::*;

    /// Ten calls a second, one at once.
    fn lane(place_wait: Duration) -> (Arc<Lane>, ManualClock) {
        let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
        let address = "http://127.0.0.1:9".parse().unwrap();
        let client = Client::new(&ClientConfig::new(address, SecretKey::new("DEV"))).unwrap();
        let (calls_per_second, burst) = (NonZeroU32::new(10).unwrap(), NonZeroU32::MIN);
        let policy = LanePolicy {
            calls_max: 100,
            rate: RatePolicy { calls_per_second, burst },
            place_wait,
            breaker: BreakerPolicy::default(),
        };
        (Arc::new(Lane::new("charge", client, policy, clock.shared())), clock)
    }

    async fn call(lane: &Lane) -> Result<(), NotSent> {
        let called = lane.call(Operation::Subscription, |_client| async { Ok(()) }).await;
        called.map(|answer| answer.expect("the call itself does not fail"))
    }

    #[tokio::test]
    async fn over_the_limit_a_call_waits_for_its_turn() {
        let (lane, clock) = lane(Duration::from_mins(1));
        call(&lane).await.unwrap();
        let waiting = tokio::spawn({
            let lane = Arc::clone(&lane);
            async move { call(&lane).await }
        });
        let asleep = || async { (clock.sleepers() == 1).then_some(()) };
        eventually(Duration::from_secs(30), asleep).await;
        assert!(!waiting.is_finished());
        clock.advance(Duration::from_millis(100));
        waiting.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_turn_that_comes_too_late_is_not_waited_for_and_no_failure_of_the_gateway() {
        let (lane, _clock) = lane(Duration::from_millis(50));
        call(&lane).await.unwrap();
        for _ in 0..100 {
            let throttled = call(&lane).await.unwrap_err();
            assert_eq!(throttled, NotSent::Throttled { retry_after: Duration::from_millis(100) });
            assert!(throttled.is_free());
        }
        assert_eq!(lane.state(), BreakerState::Closed);
    }
}

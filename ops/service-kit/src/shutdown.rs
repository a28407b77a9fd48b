//! Telling every loop of a process to end, and letting each end at its own seam.
//!
//! A [`Shutdown`] is handed to each loop and server; whoever holds the [`ShutdownTrigger`] ends them
//! all. Asking twice is the same as asking once, and nobody can miss it by looking late.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock};

/// The end of the process as its loops see it. Clones share one fate.
#[derive(Debug, Clone)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Whether the end was asked for.
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Ends once the end is asked for; at once if it already was.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }

    /// A shutdown that is requested `delay` after this one. Needs a running tokio runtime.
    #[must_use]
    pub fn delayed(&self, delay: Duration) -> Self {
        if delay.is_zero() {
            return self.clone();
        }
        let (first, (trigger, later)) = (self.clone(), pair());
        tokio::spawn(async move {
            first.requested().await;
            SystemClock.sleep(delay).await;
            trigger.trigger();
        });
        later
    }

    /// A pair that also ends with this one, but can be ended alone.
    pub fn child(&self) -> (ShutdownTrigger, Shutdown) {
        let token = self.0.child_token();
        (ShutdownTrigger(token.clone()), Shutdown(token))
    }

    /// A shutdown that is never asked for; for tools that end by themselves.
    pub fn never() -> Self {
        Self(CancellationToken::new())
    }
}

/// The hand that ends a process. Dropping it changes nothing.
#[derive(Debug, Clone)]
pub struct ShutdownTrigger(CancellationToken);

impl ShutdownTrigger {
    /// Asks every holder of the matching [`Shutdown`] to end.
    pub fn trigger(&self) {
        self.0.cancel();
    }

    /// Runs `work`, then asks every holder of the matching [`Shutdown`] to end.
    pub async fn after<T>(&self, work: impl Future<Output = T>) -> T {
        let ended = work.await;
        self.trigger();
        ended
    }
}

/// A trigger and what it triggers.
pub fn pair() -> (ShutdownTrigger, Shutdown) {
    let token = CancellationToken::new();
    (ShutdownTrigger(token.clone()), Shutdown(token))
}

/// A shutdown that SIGINT or SIGTERM asks for. Needs a running tokio runtime.
///
/// # Errors
/// The operating system refuses the signal handlers.
pub fn on_signals() -> std::io::Result<Shutdown> {
    use tokio::signal::unix::{SignalKind, signal};

    let (trigger, shutdown) = pair();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        };
        tracing::info!(signal = name, "shutting down");
        trigger.trigger();
    });
    Ok(shutdown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_late_look_still_sees_the_request() {
        let (trigger, shutdown) = pair();
        assert!(!shutdown.is_requested());
        trigger.trigger();
        trigger.trigger();
        shutdown.requested().await;
        assert!(shutdown.clone().is_requested());
    }

    #[test]
    fn a_child_ends_alone_or_with_its_parent() {
        let (trigger, shutdown) = pair();
        let (first_trigger, first) = shutdown.child();
        let (_second_trigger, second) = shutdown.child();
        first_trigger.trigger();
        assert!(first.is_requested() && !second.is_requested() && !shutdown.is_requested());
        trigger.trigger();
        assert!(second.is_requested());
    }

    #[tokio::test]
    async fn a_delayed_one_is_requested_later() {
        let (trigger, shutdown) = pair();
        let (at_once, later) =
            (shutdown.delayed(Duration::ZERO), shutdown.delayed(Duration::from_millis(50)));
        trigger.trigger();
        assert!(at_once.is_requested() && !later.is_requested());
        later.requested().await;
    }

    #[tokio::test]
    async fn the_end_of_one_work_ends_the_next() {
        let (trigger, shutdown) = pair();
        assert_eq!(trigger.after(async { 7 }).await, 7);
        assert!(shutdown.is_requested());
    }

    #[test]
    fn dropping_the_trigger_asks_for_nothing() {
        let (trigger, shutdown) = pair();
        drop(trigger);
        assert!(!shutdown.is_requested());
    }
}

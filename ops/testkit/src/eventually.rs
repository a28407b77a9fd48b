//! Waiting for a condition instead of sleeping and hoping.

use std::fmt::Display;
use std::panic::Location;
use std::time::{Duration, Instant};

use service_kit::clock::{Clock, SystemClock};

/// The pause between two looks: short first, so that quick things stay quick.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// What `look` finds, as soon as it finds something.
///
/// Looks at once and then again and again. `within` is only how long to wait before giving up, so
/// make it generous: a passing test never waits for it.
///
/// # Panics
/// `look` has found nothing for `within`; the message names the caller's line.
#[track_caller]
pub fn eventually<T, F, Fut>(within: Duration, look: F) -> impl Future<Output = T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let caller = Location::caller();
    async move {
        match found_within(within, look).await {
            Some(found) => found,
            None => gave_up(caller, within),
        }
    }
}

/// Like [`eventually`], but `None` when the time is over.
pub(crate) async fn found_within<T, F, Fut>(within: Duration, mut look: F) -> Option<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let started = Instant::now();
    let mut pause = PAUSE_MIN;
    loop {
        if let Some(found) = look().await {
            return Some(found);
        }
        if within <= started.elapsed() {
            return None;
        }
        SystemClock.sleep(pause).await;
        pause = PAUSE_MAX.min(pause.saturating_mul(2));
    }
}

fn gave_up(caller: impl Display, within: Duration) -> ! {
    panic!("{caller}: the awaited condition did not come true within {within:?}")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn looks_until_there_is_something() {
        let looks = AtomicU32::new(0);
        let found = eventually(Duration::from_secs(30), || async {
            let count = looks.fetch_add(1, Ordering::Relaxed);
            (count == 3).then_some("there")
        })
        .await;
        assert_eq!((found, looks.into_inner()), ("there", 4));
    }

    #[tokio::test]
    async fn what_is_there_already_is_found_even_without_time() {
        assert_eq!(eventually(Duration::ZERO, || async { Some(1) }).await, 1);
    }

    #[tokio::test]
    #[should_panic(expected = "eventually.rs")]
    async fn giving_up_names_the_line_that_waited() {
        eventually(Duration::ZERO, || async { None::<()> }).await;
    }
}

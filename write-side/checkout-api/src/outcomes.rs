//! Waiting for what the relay makes of a payment: woken by the log, not by asking again and again.
//!
//! One task reads the settled payment events while somebody waits, and wakes whoever waits for that
//! order; the waiter then loads the order's own history. However many wait, the log is read once,
//! and nobody holds a connection while waiting. A wake-up that goes missing (this process started
//! in between) costs [`LOOK_AGAIN`] and nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contracts::{OrderId, Position};
use event_feed::{FeedError, FeedReader, Filter, SafePosition};
use service_kit::clock::SharedClock;
use service_kit::shutdown::Shutdown;
use tokio::sync::Notify;
use tokio::time::timeout;
use uuid::Uuid;

use crate::metrics;

/// Longest time until a waiter looks without having been woken.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Pause after the log could not be read.
const READ_FAILURE_PAUSE: Duration = Duration::from_millis(500);
/// Events read at once.
const BATCH_EVENTS_MAX: u32 = 500;
/// Most who wait at once; whoever comes after them is told to look later.
const WAITERS_MAX: usize = 10_000;
/// The events that end the wait for a payment page.
const EVENTS: [&str; 6] = [
    "PaymentReady",
    "PaymentDeclined",
    "PaymentAbandoned",
    "PaymentUnresolved",
    "OrderCancelled",
    "OrderExpired",
];

/// Who waits for which order. Clones share the list.
#[derive(Clone)]
pub(crate) struct Outcomes {
    safe: SafePosition,
    clock: SharedClock,
    waiting: Arc<Mutex<HashMap<Uuid, Waiters>>>,
}

struct Waiters {
    count: usize,
    woken: Arc<Notify>,
}

impl Outcomes {
    /// A list that nobody wakes yet; [`Outcomes::follow`] does.
    pub(crate) fn new(safe: SafePosition, clock: SharedClock) -> Self {
        Self { safe, clock, waiting: Arc::default() }
    }

    /// What `look` finds about `order`: it looks at once, and again each time something happened to
    /// the order's payment, for at most `wait_max`, and a last time when that is over.
    pub(crate) async fn until<T, E, Looked>(
        &self,
        order: OrderId,
        wait_max: Duration,
        look: impl Fn() -> Looked + Send,
    ) -> Result<Option<T>, E>
    where
        Looked: Future<Output = Result<Option<T>, E>> + Send,
    {
        let Some(place) = self.enlist(order) else {
            return look().await;
        };
        self.safe.nudge();
        let looking = async {
            loop {
                // Registered before looking, so that what happens in between wakes us.
                let woken = place.woken.notified();
                if let Some(found) = look().await? {
                    return Ok(Some(found));
                }
                tokio::select! {
                    () = woken => {}
                    () = self.clock.sleep(LOOK_AGAIN) => {}
                }
            }
        };
        match timeout(wait_max, looking).await {
            Ok(found) => found,
            // The time may have run out on a look that would have found it.
            Err(_) => look().await,
        }
    }

    /// Says that something was recorded which others wait for; a hint, never needed.
    pub(crate) fn hint(&self) {
        self.safe.nudge();
    }

    /// Wakes waiters until `shutdown`.
    pub(crate) async fn follow(self, reader: FeedReader, shutdown: Shutdown) {
        let filter = Filter::events(&EVENTS);
        let mut moves = self.safe.subscribe();
        let mut after = *moves.borrow_and_update();
        while !shutdown.is_requested() {
            tokio::select! {
                () = shutdown.requested() => return,
                moved = moves.changed() => if moved.is_err() { return },
            }
            // Read before asking whether anybody waits: whoever enlists later than that loads a
            // history in which everything up to here is visible.
            let safe = *moves.borrow_and_update();
            if self.list().is_empty() || after == Position::START {
                after = safe;
                continue;
            }
            match self.wake_after(after, &reader, &filter).await {
                Ok(through) => after = through,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "payment events cannot be read"
                    );
                    self.clock.sleep(READ_FAILURE_PAUSE).await;
                }
            }
        }
    }

    async fn wake_after(
        &self,
        mut after: Position,
        reader: &FeedReader,
        filter: &Filter,
    ) -> Result<Position, FeedError> {
        loop {
            let batch = reader.read(after, filter, BATCH_EVENTS_MAX).await?;
            let list = self.list();
            for waiters in batch.events.iter().filter_map(|event| list.get(&event.aggregate_id)) {
                waiters.woken.notify_waiters();
            }
            drop(list);
            after = batch.through;
            if batch.is_caught_up() {
                return Ok(after);
            }
        }
    }

    /// A place among the waiters, given up when it is dropped; `None` when there are too many.
    fn enlist(&self, order: OrderId) -> Option<Place> {
        let mut list = self.list();
        if WAITERS_MAX <= list.len() {
            return None;
        }
        let waiters =
            list.entry(order.uuid()).or_insert_with(|| Waiters { count: 0, woken: Arc::default() });
        waiters.count += 1;
        let woken = Arc::clone(&waiters.woken);
        metrics::payment_waiters(list.len());
        drop(list);
        Some(Place { order: order.uuid(), woken, outcomes: self.clone() })
    }

    fn list(&self) -> MutexGuard<'_, HashMap<Uuid, Waiters>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Place {
    order: Uuid,
    woken: Arc<Notify>,
    outcomes: Outcomes,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut list = self.outcomes.list();
        if let Some(waiters) = list.get_mut(&self.order) {
            waiters.count = waiters.count.saturating_sub(1);
            if waiters.count == 0 {
                list.remove(&self.order);
            }
        }
        metrics::payment_waiters(list.len());
    }
}

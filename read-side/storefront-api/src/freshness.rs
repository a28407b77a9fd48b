//! Read-your-writes: waiting until a projection has reached what the client wrote before.
//!
//! A client hands back the `Event-Position` of its command as `Min-Event-Position`. However many
//! requests wait, one task reads the checkpoints, and only while somebody waits; each waiter is
//! woken through a watch. After [`WAIT_MAX`] the request is answered anyway and says so.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use contracts::Position;
use deadpool_postgres::Pool;
use service_kit::clock::SharedClock;
use service_kit::fault::Fault;
use service_kit::problem::Problem;
use service_kit::shutdown::Shutdown;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::metrics;
use crate::read_error::{ReadError, bounded};

/// Longest wait for a projection (design: at most two seconds).
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(2);
/// Pause between two looks at the checkpoints while somebody waits. A projection is usually within
/// 100 ms, and one look is one row per projection.
const LOOK_PAUSE: Duration = Duration::from_millis(10);
/// Most requests that wait at once; further ones are answered as lagging. Far above what a healthy
/// projector lets pile up, and a bound on what a stopped one can.
const WAITERS_MAX: usize = 2_000;

/// Whether an answer is as new as the client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// At least as new; also when nothing was asked for.
    Fresh,
    /// Older.
    Lagging,
}

/// What a client asks for in `Min-Event-Position`.
///
/// # Errors
/// 400 when it is no token of ours.
pub(crate) fn asked_for(token: Option<&str>) -> Result<Option<Position>, Problem> {
    let Some(token) = token else {
        return Ok(None);
    };
    match Position::from_token(token.trim()) {
        Some(position) => Ok(Some(position)),
        None => Err(Problem::bad_request(
            "position.malformed",
            "`Min-Event-Position` is not a token that an answer of ours carried",
        )
        .with_field("Min-Event-Position", "position.malformed", "not a token of ours")),
    }
}

type Checkpoints = HashMap<String, Position>;

/// Waits for projections. Clones share the one look-out.
#[derive(Debug, Clone)]
pub(crate) struct LookOut(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    checkpoints: watch::Sender<Checkpoints>,
    waiters: AtomicUsize,
    arrived: Notify,
}

impl LookOut {
    /// A look-out that nobody feeds yet; [`LookOut::run`] does.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            checkpoints: watch::Sender::new(Checkpoints::new()),
            waiters: AtomicUsize::new(0),
            arrived: Notify::new(),
        }))
    }

    /// Waits until each of `projections` has reached `position`, at most [`WAIT_MAX`].
    pub(crate) async fn wait_for(
        &self,
        position: Option<Position>,
        projections: &[&str],
    ) -> Freshness {
        let Some(position) = position else {
            return Freshness::Fresh;
        };
        let has_reached = |checkpoints: &Checkpoints| {
            projections.iter().all(|name| {
                checkpoints.get(*name).is_some_and(|checkpoint| position <= *checkpoint)
            })
        };
        // Checkpoints only grow, so an old reading that is far enough is as good as a new one.
        let mut checkpoints = self.0.checkpoints.subscribe();
        if has_reached(&checkpoints.borrow()) {
            return Freshness::Fresh;
        }
        let Some(_place) = self.queue() else {
            metrics::lagging();
            return Freshness::Lagging;
        };
        let reached = checkpoints.wait_for(has_reached);
        if let Ok(Ok(_)) = timeout(WAIT_MAX, reached).await {
            return Freshness::Fresh;
        }
        metrics::lagging();
        Freshness::Lagging
    }

    /// Reads the checkpoints while somebody waits, until `shutdown`.
    pub(crate) async fn run(self, pool: Pool, clock: SharedClock, shutdown: Shutdown) {
        let fault = Fault::new();
        while !shutdown.is_requested() {
            // Asked for before the count is read, so that whoever arrives in between wakes us.
            let arrived = self.0.arrived.notified();
            if self.0.waiters.load(Ordering::Acquire) == 0 {
                tokio::select! {
                    () = shutdown.requested() => return,
                    () = arrived => (),
                }
            }
            match bounded(read_checkpoints(&pool)).await {
                Ok(checkpoints) => {
                    self.0.checkpoints.send_replace(checkpoints);
                    if let Some(failures) = fault.ended() {
                        tracing::info!(failures, "the checkpoints can be read again");
                    }
                }
                Err(error) => {
                    if let Some(failures) = fault.occurred() {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, failures, "the checkpoints cannot be read");
                    }
                }
            }
            tokio::select! {
                () = shutdown.requested() => return,
                () = clock.sleep(LOOK_PAUSE) => (),
            }
        }
    }

    /// A place among the waiters, given back when it is dropped; `None` when all are taken.
    fn queue(&self) -> Option<Place> {
        let waiting = self.0.waiters.fetch_add(1, Ordering::AcqRel);
        let place = Place(Arc::clone(&self.0));
        if WAITERS_MAX <= waiting {
            return None;
        }
        self.0.arrived.notify_one();
        Some(place)
    }
}

struct Place(Arc<Inner>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn read_checkpoints(pool: &Pool) -> Result<Checkpoints, ReadError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(include_str!("freshness/checkpoints.sql")).await?;
    let rows = client.query(&statement, &[]).await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, Position::new(row.try_get(1)?))))
        .collect::<Result<Checkpoints, tokio_postgres::Error>>()
        .map_err(ReadError::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: i64) -> Checkpoints {
        HashMap::from([("cart_view".to_owned(), Position::new(number))])
    }

    #[tokio::test]
    async fn a_waiter_goes_on_once_its_projection_is_far_enough() {
        let look_out = LookOut::new();
        look_out.0.checkpoints.send_replace(at(6));
        let waiting = tokio::spawn({
            let look_out = look_out.clone();
            async move { look_out.wait_for(Some(Position::new(7)), &["cart_view"]).await }
        });
        look_out.0.arrived.notified().await;
        look_out.0.checkpoints.send_replace(at(7));
        assert_eq!(waiting.await.unwrap(), Freshness::Fresh);
        assert_eq!(look_out.0.waiters.load(Ordering::Acquire), 0);
    }

    #[test]
    fn only_our_own_tokens_are_positions() {
        assert_eq!(asked_for(None).unwrap(), None);
        let position = Position::new(4711);
        assert_eq!(asked_for(Some(&position.token())).unwrap(), Some(position));
        for token in ["", "4711", "p1-", "p1--1", "p1-zz", "p2-1", "p1-ffffffffffffffff"] {
            assert!(asked_for(Some(token)).is_err(), "{token}");
        }
    }
}

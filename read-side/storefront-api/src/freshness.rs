//! Read-your-writes: waiting until a projection has reached what the client wrote before.
//!
//! A client hands back the `Event-Position` of its command as `Min-Event-Position`. However many
//! requests wait, one task reads the checkpoints, and only while somebody waits; each waiter is
//! woken through a watch. After [`WAIT_MAX`] the request is answered anyway and says so; at once when
//! the log has not even given out the position yet.

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
use tokio::time::{Instant, timeout};

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

/// What one look at the database found.
#[derive(Debug, Clone, Default)]
struct Look {
    /// How far the served version of each projection has come.
    checkpoints: HashMap<String, Position>,
    /// The last position that the log has given out.
    newest: Position,
    /// When the look began; none before the first.
    begun_at: Option<Instant>,
}

impl Look {
    /// Checkpoints only grow, so an old look that is far enough is as good as a new one.
    fn shows(&self, position: Position, projections: &[&str]) -> bool {
        projections.iter().all(|name| {
            self.checkpoints.get(*name).is_some_and(|checkpoint| position <= *checkpoint)
        })
    }

    /// Whether no event had this position when the look was taken, after `asked_at`.
    fn rules_out(&self, position: Position, asked_at: Instant) -> bool {
        self.newest < position && self.begun_at.is_some_and(|begun_at| asked_at <= begun_at)
    }
}

/// Waits for projections. Clones share the one look-out.
#[derive(Debug, Clone)]
pub(crate) struct LookOut(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    looks: watch::Sender<Look>,
    waiters: AtomicUsize,
    arrived: Notify,
}

impl LookOut {
    /// A look-out that nobody feeds yet; [`LookOut::run`] does.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            looks: watch::Sender::new(Look::default()),
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
        let mut looks = self.0.looks.subscribe();
        if looks.borrow().shows(position, projections) {
            return Freshness::Fresh;
        }
        let asked_at = Instant::now();
        let Some(_place) = self.queue() else {
            metrics::lagging();
            return Freshness::Lagging;
        };
        let decided = looks.wait_for(|look| {
            look.shows(position, projections) || look.rules_out(position, asked_at)
        });
        if let Ok(Ok(look)) = timeout(WAIT_MAX, decided).await
            && look.shows(position, projections)
        {
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
            match bounded(look(&pool)).await {
                Ok(look) => {
                    self.0.looks.send_replace(look);
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

async fn look(pool: &Pool) -> Result<Look, ReadError> {
    let begun_at = Some(Instant::now());
    let client = pool.get().await?;
    let statement = client.prepare_cached(include_str!("freshness/checkpoints.sql")).await?;
    let rows = client.query(&statement, &[]).await?;
    let mut look = Look { begun_at, ..Look::default() };
    for row in rows {
        look.checkpoints.insert(row.try_get(0)?, Position::new(row.try_get(1)?));
        look.newest = Position::new(row.try_get(2)?);
    }
    Ok(look)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(checkpoint: i64, newest: i64) -> Look {
        Look {
            checkpoints: HashMap::from([("cart_view".to_owned(), Position::new(checkpoint))]),
            newest: Position::new(newest),
            begun_at: Some(Instant::now()),
        }
    }

    #[tokio::test]
    async fn a_waiter_goes_on_once_its_projection_is_far_enough() {
        let look_out = LookOut::new();
        look_out.0.looks.send_replace(at(6, 7));
        let waiting = tokio::spawn({
            let look_out = look_out.clone();
            async move { look_out.wait_for(Some(Position::new(7)), &["cart_view"]).await }
        });
        look_out.0.arrived.notified().await;
        look_out.0.looks.send_replace(at(7, 7));
        assert_eq!(waiting.await.unwrap(), Freshness::Fresh);
        assert_eq!(look_out.0.waiters.load(Ordering::Acquire), 0);
    }

    /// A look from before the request proves nothing: the event may have been recorded since.
    #[tokio::test(start_paused = true)]
    async fn only_a_later_look_rules_a_position_out() {
        let look_out = LookOut::new();
        look_out.0.looks.send_replace(at(6, 6));
        tokio::time::advance(Duration::from_millis(1)).await;
        let started = Instant::now();
        let wait = || look_out.wait_for(Some(Position::new(7)), &["cart_view"]);
        assert_eq!(wait().await, Freshness::Lagging);
        assert!(WAIT_MAX <= started.elapsed());

        let looks = async {
            look_out.0.arrived.notified().await;
            look_out.0.looks.send_replace(at(6, 6));
        };
        let started = Instant::now();
        let (freshness, ()) = tokio::join!(wait(), looks);
        assert_eq!((freshness, started.elapsed()), (Freshness::Lagging, Duration::ZERO));
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

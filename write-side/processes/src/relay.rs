//! The outbox relay: carries out what events ask of the gateway, and tells the aggregates.
//!
//! A row is leased under a fence, its request stored, the gateway called without holding a database
//! connection, the settlement stored, the aggregate told by an idempotent command, and only then
//! the row taken out. A crash between any two of these leads to the same end: what may have been
//! sent is looked up before anything else, and what was stored is told again.
//!
//! At most one row of a stream is under way, in order. The relay alone retries; nobody above or
//! below it does. Rows that nobody can settle die and wait for an operator, visibly.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use service_kit::clock::SharedClock;
use service_kit::shutdown::Shutdown;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::metrics;

pub mod carry;
pub mod decide;
pub mod deliver;
pub mod rows;

pub use carry::Carrier;
pub use decide::RetryPolicy;
pub use rows::Rows;

/// How the relay works through the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayPolicy {
    /// Rows under way at once. Each waits for the gateway and holds no connection meanwhile.
    pub rows_max: usize,
    /// Rows claimed by one statement.
    pub claim_max: usize,
    /// Longest time that a new row goes unnoticed when its hint is lost.
    pub poll: Duration,
    /// Shortest time between two claims: hints come by the thousand in a burst, and every claim
    /// costs a statement.
    pub gather: Duration,
    /// How long rows under way may take to end after a shutdown was requested.
    pub drain: Duration,
}

impl Default for RelayPolicy {
    fn default() -> Self {
        Self {
            rows_max: 3_000,
            claim_max: 128,
            poll: Duration::from_millis(250),
            gather: Duration::from_millis(3),
            drain: Duration::from_secs(30),
        }
    }
}

/// Says that there may be something to do. Clones wake the same relay; a hint, never needed.
#[derive(Debug, Clone, Default)]
pub struct WakeUp(Arc<Notify>);

impl WakeUp {
    /// Wakes the relay.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// Works through the outbox until told to stop.
pub struct Relay {
    carrier: Arc<Carrier>,
    rows: Rows,
    policy: RelayPolicy,
    clock: SharedClock,
    wake_up: WakeUp,
}

/// Why the relay went quiet: the only reason there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Rows that were still under way when the time to drain ended; their leases run out.
    pub abandoned: usize,
}

impl Relay {
    /// A relay that has not begun.
    pub fn new(
        carrier: Carrier,
        rows: Rows,
        policy: RelayPolicy,
        clock: SharedClock,
        wake_up: WakeUp,
    ) -> Self {
        Self { carrier: Arc::new(carrier), rows, policy, clock, wake_up }
    }

    /// Carries out rows until `shutdown`, then lets those under way end.
    pub async fn run(self, shutdown: Shutdown) -> Drained {
        let mut under_way = JoinSet::new();
        // Its task ends with this value, so nobody renews the leases of a relay that is gone.
        let mut heart = JoinSet::new();
        heart.spawn(beat(self.rows.clone(), Arc::clone(&self.clock)));
        let mut leases_looked_at = None;
        while !shutdown.is_requested() {
            // Registered before looking, so that a row recorded in between wakes us.
            let woken = self.wake_up.0.notified();
            let claimed = Instant::now();
            // Hints are about new rows. Leases that ran out are looked for as often as we poll.
            let is_poll = leases_looked_at
                .is_none_or(|before: Instant| self.policy.poll <= claimed.duration_since(before));
            if is_poll {
                leases_looked_at = Some(claimed);
            }
            if self.claim_into(&mut under_way, is_poll).await {
                continue;
            }
            tokio::select! {
                () = shutdown.requested() => (),
                () = woken => (),
                // A stream whose row ended may have another one due.
                Some(ended) = under_way.join_next() => log_panic(ended),
                // A lost hint costs at most this long.
                () = self.clock.sleep(self.policy.poll) => (),
            }
            let rest = self.policy.gather.saturating_sub(claimed.elapsed());
            // A pause of milliseconds is no matter of the clock, which may be a test's.
            drop(timeout(rest, shutdown.requested()).await);
        }
        self.drain(under_way).await
    }

    /// Starts what is due; whether there may be more at once.
    async fn claim_into(&self, under_way: &mut JoinSet<()>, with_expired: bool) -> bool {
        while let Some(ended) = under_way.try_join_next() {
            log_panic(ended);
        }
        let free = self.policy.rows_max.saturating_sub(under_way.len());
        let limit = free.min(self.policy.claim_max);
        if limit == 0 {
            return false;
        }
        let claimed = if with_expired {
            self.rows.claim(limit).await
        } else {
            self.rows.claim_due(limit).await
        };
        let claimed = match claimed {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::warn!(error = %with_causes(&error), "failed to claim outbox rows");
                return false;
            }
        };
        let count = claimed.len();
        for row in claimed {
            let carrier = Arc::clone(&self.carrier);
            under_way.spawn(async move { carrier.carry(row).await });
        }
        count == limit
    }

    async fn drain(&self, mut under_way: JoinSet<()>) -> Drained {
        let ending = async {
            while let Some(ended) = under_way.join_next().await {
                log_panic(ended);
            }
        };
        // The process must end although the clock may be a test's.
        let is_late = timeout(self.policy.drain, ending).await.is_err();
        let abandoned = if is_late { under_way.len() } else { 0 };
        tracing::info!(abandoned, "relay stopped");
        Drained { abandoned }
    }

    /// Shows how many rows stand where, until `shutdown`.
    pub(crate) async fn watch(rows: Rows, clock: SharedClock, shutdown: Shutdown) {
        while !shutdown.is_requested() {
            match rows.count().await {
                Ok(counts) => show(&counts),
                Err(error) => tracing::warn!(error = %with_causes(&error), "failed to count rows"),
            }
            tokio::select! {
                () = shutdown.requested() => (),
                () = clock.sleep(COUNT_PAUSE) => (),
            }
        }
    }
}

/// Pause between two counts: half of the usual scrape interval.
const COUNT_PAUSE: Duration = Duration::from_secs(7);

/// Every state in which a row can stand; absent ones are shown as zero.
const STATES: [&str; 6] = ["ready", "in_flight", "waiting", "unknown", "dead", "held"];

/// Keeps the leases alive, for as long as it is polled.
async fn beat(rows: Rows, clock: SharedClock) {
    loop {
        clock.sleep(rows.renewal_pause()).await;
        if let Err(error) = rows.renew().await {
            tracing::warn!(error = %with_causes(&error), "failed to renew leases");
        }
    }
}

fn show(counts: &[(String, u32, Duration)]) {
    for state in STATES {
        let count = counts.iter().find(|(name, ..)| name == state);
        let (rows, oldest) =
            count.map_or((0, Duration::ZERO), |(_, rows, oldest)| (*rows, *oldest));
        metrics::relay_rows(state, rows, oldest);
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "carrying an outbox row ended early; its lease will run out");
    }
}

/// An error and its causes in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("policy", &self.policy).finish_non_exhaustive()
    }
}

//! The outbox relay: executes what events ask of the gateway, and reports the outcomes.
//!
//! A row is leased under a claim, the gateway's limits admit the call, its request is stored, the
//! gateway called without holding a database connection, the settlement stored, the aggregate's
//! command dispatched (it is idempotent), and only then the row taken out. A crash between any two of
//! these leads to the same end: what may have been sent is looked up before anything else, and what
//! was stored is reported again.
//!
//! At most one row of a stream is under way, in order. Each class of rows has a loop and a budget of
//! its own, so that a backlog of refunds never delays a shopper's payment. The relay alone retries;
//! nothing above or below it does. Rows that can't be settled are dead-lettered and wait for an
//! operator, visibly.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use service_kit::causes::with_causes;
use service_kit::clock::SharedClock;
use service_kit::fault::Fault;
use service_kit::shutdown::Shutdown;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::metrics;

pub mod carry;
pub mod decide;
pub mod deliver;
pub mod rows;

pub use carry::{Carrier, Keys, Unavailable};
pub use decide::RetryPolicy;
pub use rows::{RowClass, Rows};

/// How the relay works through the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayPolicy {
    /// Shoppers' rows under way at once. Each waits for the gateway and holds no connection meanwhile.
    pub rows_max: usize,
    /// Rows of the background under way at once: enough for some hundred refunds a second, and too few
    /// to take the database away from shoppers.
    pub background_rows_max: usize,
    /// Rows claimed by one statement.
    pub claim_max: usize,
    /// Longest time that a new row goes unnoticed when its hint is lost.
    pub poll: Duration,
    /// Shortest time between two claims: hints come by the thousand in a burst, and every claim
    /// costs a statement.
    pub gather: Duration,
    /// The same for rows of the background, for which no shopper waits.
    pub background_gather: Duration,
    /// How long rows under way may take to end after a shutdown was requested.
    pub drain: Duration,
    /// How much longer a row may take whose answer held a recurring key that is not stored yet: a
    /// failover of the database, and time for an operator.
    pub drain_for_keys: Duration,
}

impl Default for RelayPolicy {
    fn default() -> Self {
        Self {
            rows_max: 3_000,
            background_rows_max: 64,
            claim_max: 128,
            poll: Duration::from_millis(250),
            gather: Duration::from_millis(3),
            background_gather: Duration::from_millis(25),
            drain: Duration::from_secs(30),
            drain_for_keys: Duration::from_mins(10),
        }
    }
}

/// Says that there may be something to do. Clones wake the same relay; a hint, never needed.
#[derive(Debug, Clone, Default)]
pub struct WakeUp(Arc<Bells>);

/// One for each loop: a notification wakes one waiter.
#[derive(Debug, Default)]
struct Bells {
    shopper: Notify,
    background: Notify,
}

impl WakeUp {
    /// Wakes the relay.
    pub fn wake(&self) {
        self.0.shopper.notify_one();
        self.0.background.notify_one();
    }

    fn of(&self, class: RowClass) -> &Notify {
        match class {
            RowClass::Shopper => &self.0.shopper,
            RowClass::Background => &self.0.background,
        }
    }
}

/// Works through the outbox until told to stop.
pub struct Relay {
    carrier: Arc<Carrier>,
    rows: Rows,
    policy: RelayPolicy,
    clock: SharedClock,
    wake_up: WakeUp,
    claims: Fault,
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
        let claims = Fault::new();
        Self { carrier: Arc::new(carrier), rows, policy, clock, wake_up, claims }
    }

    /// Executes rows until `shutdown`, then lets those under way end.
    pub async fn run(self, shutdown: Shutdown) -> Drained {
        // Its task ends with this value, so the leases of a relay that has ended are not renewed.
        let mut renewing = JoinSet::new();
        renewing.spawn(renew_leases(self.rows.clone(), Arc::clone(&self.clock)));
        let (shoppers, background) = tokio::join!(
            self.work_off(RowClass::Shopper, &shutdown),
            self.work_off(RowClass::Background, &shutdown),
        );
        let abandoned = shoppers.abandoned + background.abandoned;
        tracing::info!(abandoned, "relay stopped");
        Drained { abandoned }
    }

    /// The loop of one class.
    async fn work_off(&self, class: RowClass, shutdown: &Shutdown) -> Drained {
        let (rows_max, gather) = match class {
            RowClass::Shopper => (self.policy.rows_max, self.policy.gather),
            RowClass::Background => {
                (self.policy.background_rows_max, self.policy.background_gather)
            }
        };
        let mut under_way = JoinSet::new();
        let mut expired_claimed_at = None;
        while !shutdown.is_requested() {
            // Registered before claiming, so that a row recorded in between wakes us.
            let woken = self.wake_up.of(class).notified();
            let claimed_at = Instant::now();
            // Hints are about new rows. Leases that ran out are claimed as often as we poll.
            let is_poll = expired_claimed_at.is_none_or(|before: Instant| {
                self.policy.poll <= claimed_at.duration_since(before)
            });
            if is_poll {
                expired_claimed_at = Some(claimed_at);
            }
            if self.claim_into(class, &mut under_way, rows_max, is_poll).await {
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
            let rest = gather.saturating_sub(claimed_at.elapsed());
            // A pause of milliseconds is no matter of the clock, which may be a test's.
            drop(timeout(rest, shutdown.requested()).await);
        }
        self.drain(under_way).await
    }

    /// Starts what is due within the class's budget; whether there may be more at once.
    async fn claim_into(
        &self,
        class: RowClass,
        under_way: &mut JoinSet<()>,
        rows_max: usize,
        with_expired: bool,
    ) -> bool {
        while let Some(ended) = under_way.try_join_next() {
            log_panic(ended);
        }
        let free = rows_max.saturating_sub(under_way.len());
        let limit = free.min(self.policy.claim_max);
        if limit == 0 {
            return false;
        }
        let claimed = if with_expired {
            self.rows.claim(class, limit).await
        } else {
            self.rows.claim_due(class, limit).await
        };
        let claimed = match claimed {
            Ok(claimed) => claimed,
            Err(error) => {
                if let Some(failures) = self.claims.occurred() {
                    let error = with_causes(&error);
                    tracing::warn!(error, failures, "failed to claim outbox rows");
                }
                return false;
            }
        };
        if let Some(failures) = self.claims.ended() {
            tracing::info!(failures, "outbox rows can be claimed again");
        }
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
        let keys = &self.carrier.keys;
        if is_late && 0 < keys.held() {
            tracing::error!(
                keys = keys.held(),
                "recurring keys are not stored yet: waiting for them"
            );
            drop(timeout(self.policy.drain_for_keys, keys.all_stored()).await);
        }
        Drained { abandoned: if is_late { under_way.len() } else { 0 } }
    }

    /// Shows how many rows stand where, until `shutdown`.
    pub(crate) async fn watch(rows: Rows, clock: SharedClock, shutdown: Shutdown) {
        let fault = Fault::new();
        while !shutdown.is_requested() {
            match rows.count().await {
                Ok(counts) => {
                    show(&counts);
                    if let Some(failures) = fault.ended() {
                        tracing::info!(failures, "rows can be counted again");
                    }
                }
                Err(error) => {
                    if let Some(failures) = fault.occurred() {
                        let error = with_causes(&error);
                        tracing::warn!(error, failures, "failed to count rows");
                    }
                }
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
async fn renew_leases(rows: Rows, clock: SharedClock) {
    let fault = Fault::new();
    loop {
        clock.sleep(rows.renewal_pause()).await;
        match rows.renew().await {
            Ok(_renewed) => {
                if let Some(failures) = fault.ended() {
                    tracing::info!(failures, "leases can be renewed again");
                }
            }
            Err(error) => {
                if let Some(failures) = fault.occurred() {
                    let error = with_causes(&error);
                    tracing::warn!(error, failures, "failed to renew leases");
                }
            }
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

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("policy", &self.policy).finish_non_exhaustive()
    }
}

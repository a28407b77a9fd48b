//! Notes when events become visible in the log, as one more reader of the feed, and counts the
//! connections and the memory that the shop uses meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use contracts::Position;
use deadpool_postgres::Pool;
use event_feed::{FeedReader, Filter, FollowOptions, SafePosition};
use service_kit::clock::{Clock as _, SystemClock};
use service_kit::shutdown::{self, Shutdown};
use tokio::time::timeout;
use uuid::Uuid;

use crate::world::BoxError;

/// Events read at once: all that may come together.
const BATCH_EVENTS_MAX: u32 = 2_000;
/// Pause between two looks at the log's edge while it moves.
const LOOK_PAUSE: Duration = Duration::from_millis(2);
/// Pause between two looks at the connections.
const SAMPLE_PAUSE: Duration = Duration::from_millis(25);
/// Connections by name, of everybody but the measurement.
const CONNECTIONS: &str = "select application_name, count(*) from pg_stat_activity \
     where datname = current_database() and application_name <> $1 group by 1";

/// When an event was seen, and when PostgreSQL recorded it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// The instant at which this reader had it.
    pub(crate) visible: Instant,
    /// The clock of the database as the event was written.
    pub(crate) recorded: DateTime<Utc>,
}

/// Where the log ends now; events after it are the measurement's.
///
/// # Errors
/// The database is away.
pub(crate) async fn end_of_log(pool: &Pool) -> Result<Position, BoxError> {
    let client = pool.get().await?;
    let row = client.query_one("select coalesce(max(position), 0) from events", &[]).await?;
    Ok(Position::new(row.try_get(0)?))
}

/// Waits for events called `name` of `count` streams after `after`, at most for `wait_max`.
///
/// # Errors
/// The log cannot be read.
pub(crate) async fn events(
    pool: Pool,
    name: &'static str,
    mut after: Position,
    count: usize,
    wait_max: Duration,
) -> Result<HashMap<Uuid, Seen>, BoxError> {
    let (trigger, shutdown) = shutdown::pair();
    let options = FollowOptions {
        poll_min: LOOK_PAUSE,
        poll_max: LOOK_PAUSE,
        // The command API watches; this reader must not do its work.
        takeover_after: Duration::from_mins(10),
    };
    let follower = SafePosition::follow(pool.clone(), SystemClock::shared(), options, shutdown);
    let reader = FeedReader::new(pool);
    let filter = Filter::events(&[name]);
    let mut moves = follower.safe().subscribe();
    let mut seen = HashMap::with_capacity(count);
    let reading = async {
        while seen.len() < count {
            let batch = reader.read(after, &filter, BATCH_EVENTS_MAX).await?;
            let visible = Instant::now();
            for event in &batch.events {
                seen.insert(event.aggregate_id, Seen { visible, recorded: event.recorded_at });
            }
            after = batch.through;
            if batch.is_caught_up() && seen.len() < count {
                moves.changed().await?;
            }
        }
        Ok::<_, BoxError>(())
    };
    match timeout(wait_max, reading).await {
        Ok(read) => read?,
        Err(_elapsed) => tracing::warn!(seen = seen.len(), count, "not all were seen in time"),
    }
    trigger.trigger();
    follower.stopped().await;
    Ok(seen)
}

/// Most connections that were open at once, in all and by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections {
    /// Of all names together, at one instant.
    pub(crate) total: i64,
    /// Of each name by itself.
    pub(crate) by_name: BTreeMap<String, i64>,
}

/// Looks at the connections until `shutdown`.
///
/// # Errors
/// The database is away.
pub(crate) async fn connections(pool: Pool, shutdown: Shutdown) -> Result<Connections, BoxError> {
    let mut most = Connections::default();
    let client = pool.get().await?;
    let statement = client.prepare(CONNECTIONS).await?;
    while !shutdown.is_requested() {
        let mut total = 0;
        for row in client.query(&statement, &[&super::stage::OWN_NAME]).await? {
            let (name, count): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
            total += count;
            let before = most.by_name.entry(name).or_default();
            *before = count.max(*before);
        }
        most.total = total.max(most.total);
        tokio::select! {
            () = shutdown.requested() => {}
            () = SystemClock.sleep(SAMPLE_PAUSE) => {}
        }
    }
    Ok(most)
}

/// Lets the kernel forget the highest memory use so far.
pub(crate) fn forget_memory_peak() {
    // Without it the figure is the highest since the start: larger, never smaller.
    drop(std::fs::write("/proc/self/clear_refs", "5"));
}

/// Memory of this process now and at its highest, in MiB; 0 where the kernel doesn't say.
pub(crate) fn memory_mib() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.split_whitespace().next());
        number.and_then(|number| number.parse::<u64>().ok()).unwrap_or_default()
    };
    (kib("VmRSS:") / 1024, kib("VmHWM:") / 1024)
}

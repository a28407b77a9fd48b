//! How far the read models are behind the log, computed from the database.
//!
//! A projector that is dead, stopped or stuck reports nothing about itself. So every process that
//! polls the log publishes these gauges, the worker as well as the projector, and one that is alive
//! reports the other. The lag ends at the safe position; that this one stands still is measured against
//! the log itself.

use std::time::Duration;

use deadpool_postgres::Pool;
use metrics::gauge;
use service_kit::clock::SharedClock;
use service_kit::shutdown::Shutdown;

use crate::error::FeedError;
use crate::metrics::{
    READ_MODEL_LAG_EVENTS, READ_MODEL_LAG_SECONDS, READ_MODEL_PARKED_EVENTS,
    READ_MODEL_STUCK_SHARDS, UNSETTLED_SECONDS,
};

/// A shard that has not moved for this long, although an event that old is missing from its rows, is
/// stuck. A batch takes at most half a second, and a lease that its holder stopped renewing ends
/// after three.
pub const STUCK_AFTER: Duration = Duration::from_secs(5);
/// An event that is recorded and not settled for this long means that the feed is frozen: no process
/// watches, or an append hangs in its transaction. The pools end an idle transaction and a statement
/// sooner than that.
pub const FROZEN_AFTER: Duration = Duration::from_secs(30);
/// Pause between two measurements: with [`STUCK_AFTER`], a stuck shard is reported within 7 s.
const MEASURE_PAUSE: Duration = Duration::from_secs(2);

/// Where one served read model stands.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadModelLag {
    /// The read model.
    pub name: String,
    /// Settled positions that are not in its rows.
    pub events: i64,
    /// Seconds since the oldest of them was recorded; 0 when there is none.
    pub seconds: f64,
    /// Its shards that are stuck, see [`STUCK_AFTER`], or stand beyond the log.
    pub stuck_shards: i64,
    /// Its events that are parked and not given up.
    pub parked_events: i64,
}

/// Where every served read model stands, by name.
///
/// # Errors
/// [`FeedError::Unavailable`] or [`FeedError::Lag`].
pub async fn read_model_lags(pool: &Pool) -> Result<Vec<ReadModelLag>, FeedError> {
    let client = pool.get().await?;
    let statement = include_str!("sql/read_model_lag.sql");
    let statement = client.prepare_cached(statement).await.map_err(FeedError::Lag)?;
    let stuck_after = STUCK_AFTER.as_secs_f64();
    let rows = client.query(&statement, &[&stuck_after]).await.map_err(FeedError::Lag)?;
    let lag = |row: &tokio_postgres::Row| {
        Ok(ReadModelLag {
            name: row.try_get(0)?,
            events: row.try_get(1)?,
            seconds: row.try_get(2)?,
            stuck_shards: row.try_get(3)?,
            parked_events: row.try_get(4)?,
        })
    };
    rows.iter().map(lag).collect::<Result<_, _>>().map_err(FeedError::Lag)
}

/// Since when the oldest event that is recorded and not settled has been recorded; zero when every event
/// is settled.
///
/// # Errors
/// [`FeedError::Unavailable`] or [`FeedError::Lag`].
pub async fn unsettled_age(pool: &Pool) -> Result<Duration, FeedError> {
    let client = pool.get().await?;
    let statement = include_str!("sql/unsettled_age.sql");
    let statement = client.prepare_cached(statement).await.map_err(FeedError::Lag)?;
    let row = client.query_opt(&statement, &[]).await.map_err(FeedError::Lag)?;
    let seconds = row.ok_or(FeedError::NoSafeRow)?.try_get(0).map_err(FeedError::Lag)?;
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// Whether no event waits to be settled for as long as [`FROZEN_AFTER`]. It stays so while the database is
/// unavailable, which is another dependency's to report.
pub async fn is_feed_moving(pool: &Pool) -> bool {
    unsettled_age(pool).await.map_or(true, |age| age < FROZEN_AFTER)
}

/// Publishes the gauges of the feed and of every served read model until `shutdown`.
pub async fn report_read_model_lags(pool: Pool, clock: SharedClock, shutdown: Shutdown) {
    while !shutdown.is_requested() {
        let measured = async {
            gauge!(UNSETTLED_SECONDS).set(unsettled_age(&pool).await?.as_secs_f64());
            read_model_lags(&pool).await
        };
        match measured.await {
            Ok(lags) => lags.iter().for_each(publish),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the lag of the read models can't be measured"
            ),
        }
        tokio::select! {
            () = shutdown.requested() => {}
            () = clock.sleep(MEASURE_PAUSE) => {}
        }
    }
}

fn publish(lag: &ReadModelLag) {
    let count = |number: i64| f64::from(i32::try_from(number).unwrap_or(i32::MAX));
    let name = || lag.name.clone();
    gauge!(READ_MODEL_LAG_EVENTS, "projection" => name()).set(count(lag.events));
    gauge!(READ_MODEL_LAG_SECONDS, "projection" => name()).set(lag.seconds);
    gauge!(READ_MODEL_STUCK_SHARDS, "projection" => name()).set(count(lag.stuck_shards));
    gauge!(READ_MODEL_PARKED_EVENTS, "projection" => name()).set(count(lag.parked_events));
}

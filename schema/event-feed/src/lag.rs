//! How far the read models are behind the log, computed from the database.
//!
//! A projector that is dead, stopped or stuck reports nothing about itself. So every process that
//! polls the log publishes these gauges, the worker as well as the projector, and one that is alive
//! reports the other.

use std::time::Duration;

use deadpool_postgres::Pool;
use metrics::gauge;
use service_kit::clock::SharedClock;
use service_kit::shutdown::Shutdown;

use crate::error::FeedError;
use crate::metrics::{
    READ_MODEL_LAG_EVENTS, READ_MODEL_LAG_SECONDS, READ_MODEL_PARKED_EVENTS,
    READ_MODEL_STUCK_SHARDS,
};

/// A shard that has not moved for this long, although an event that old is missing from its rows, is
/// stuck. A batch takes at most half a second, and a lease that its holder stopped renewing ends
/// after three.
pub const STUCK_AFTER: Duration = Duration::from_secs(5);
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

/// Publishes the gauges of every served read model until `shutdown`.
pub async fn report_read_model_lags(pool: Pool, clock: SharedClock, shutdown: Shutdown) {
    while !shutdown.is_requested() {
        match read_model_lags(&pool).await {
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

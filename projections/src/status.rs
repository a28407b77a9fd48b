//! Where every version of every projection stands.

use chrono::{DateTime, Utc};
use contracts::Position;
use event_feed::STUCK_AFTER;
use serde::Serialize;

use crate::config::ProjectorConfig;
use crate::error::ProjectionError;

/// One version of one projection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VersionStatus {
    /// The projection.
    pub name: String,
    /// Its version.
    pub version: i32,
    /// `building`, `checking`, `refused`, `ready` or `live`.
    pub state: String,
    /// Up to where the log is in its rows.
    pub position: Position,
    /// Up to where the log is settled.
    pub head: Position,
    /// Positions in between.
    pub lag_events: i64,
    /// Whole seconds since the oldest event in between was recorded; 0 when there is none.
    pub lag_seconds: i64,
    /// Events set aside and waiting for an operator.
    pub parked: i64,
    /// Events that an operator gave up.
    pub given_up: i64,
    /// Who holds the lease now.
    pub lease_owner: Option<String>,
    /// What stopped it last, or that it stands beyond the log; none once a batch went through.
    pub last_error: Option<String>,
    /// Since when it stands still although there are events to fold, or beyond the log; none while it
    /// moves. See [`STUCK_AFTER`].
    pub stuck_since: Option<DateTime<Utc>>,
}

/// Every version that has tables, by name and number.
///
/// # Errors
/// [`ProjectionError`].
pub async fn status(config: &ProjectorConfig) -> Result<Vec<VersionStatus>, ProjectionError> {
    let client = config.pool()?.get().await?;
    let stuck_after = STUCK_AFTER.as_secs_f64();
    let rows = client.query(include_str!("sql/status.sql"), &[&stuck_after]).await?;
    rows.iter()
        .map(|row| {
            let (position, head): (i64, i64) = (row.try_get(3)?, row.try_get(4)?);
            Ok(VersionStatus {
                name: row.try_get(0)?,
                version: row.try_get(1)?,
                state: row.try_get(2)?,
                position: Position::new(position),
                head: Position::new(head),
                lag_events: (head - position).max(0),
                lag_seconds: row.try_get(5)?,
                parked: row.try_get(6)?,
                given_up: row.try_get(7)?,
                lease_owner: row.try_get(8)?,
                last_error: row.try_get(9)?,
                stuck_since: row.try_get(10)?,
            })
        })
        .collect()
}

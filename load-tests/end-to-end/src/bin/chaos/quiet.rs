//! Waiting until nothing moves any more: no row of the outbox on its way, every reaction and every
//! read model at the head of the log, and nothing new between two looks.

use std::time::{Duration, Instant};

use service_kit::clock::{Clock as _, SystemClock};

use crate::Failure;
use crate::world::World;

/// Pause between two looks; longer than the relay's own.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// How things stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Rows of the outbox that will be carried out or looked up by themselves.
    pub(crate) moving: i64,
    /// The newest event.
    pub(crate) head: i64,
    /// How far the slowest reaction has come.
    pub(crate) reacted: i64,
    /// How far the slowest read model has come.
    pub(crate) shown: i64,
}

impl Standing {
    const fn is_quiet(&self) -> bool {
        self.moving == 0 && self.head <= self.reacted && self.head <= self.shown
    }
}

/// Waits for quiet, at most `wait_max`; answers whether it came, and the last look.
pub(crate) async fn wait(world: &World, wait_max: Duration) -> Result<(bool, Standing), Failure> {
    let begun = Instant::now();
    let mut before = None;
    loop {
        let standing = look(world).await?;
        if standing.is_quiet() && before == Some(standing) {
            return Ok((true, standing));
        }
        if wait_max < begun.elapsed() {
            return Ok((false, standing));
        }
        before = Some(standing);
        SystemClock.sleep(LOOK_PAUSE).await;
    }
}

/// Whether nothing moves at this moment.
pub(crate) async fn is_quiet(world: &World) -> Result<bool, Failure> {
    Ok(look(world).await?.is_quiet())
}

async fn look(world: &World) -> Result<Standing, Failure> {
    let row = world.connect().await?.query_one(include_str!("sql/standing.sql"), &[]).await?;
    Ok(Standing {
        moving: row.try_get("moving")?,
        head: row.try_get("head")?,
        reacted: row.try_get("reacted")?,
        shown: row.try_get("shown")?,
    })
}

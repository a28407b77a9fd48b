//! The clock of everything in a run: the processes', the simulator's, and what stands in for the
//! database's.
//!
//! Processes read the file that `CLOCK_FILE` names. PostgreSQL's clock cannot be moved, so the times
//! that rows hold by it are moved the other way: a row that is due in ten minutes is due now.

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use kakaopay_sim::ClockChange;
use service_kit::clock::{Clock as _, SystemClock};
use tokio::sync::Mutex;

use crate::Failure;
use crate::world::World;

/// How often the ageing of rows is tried: a relay may hold one of them at the same moment.
const TRIES_MAX: u32 = 5;

/// How far the clock is ahead of the machine's.
pub(crate) struct RunClock {
    file: PathBuf,
    ahead: Mutex<i64>,
}

impl RunClock {
    /// A clock that processes read from a file in `folder`.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self { file: folder.join("clock-offset"), ahead: Mutex::new(0) }
    }

    /// The variables by which a process takes this clock.
    pub(crate) fn settings(&self) -> [(String, String); 2] {
        let file = self.file.to_string_lossy().into_owned();
        [("CLOCK_FILE".to_owned(), file), ("CLOCK_SETTABLE".to_owned(), "1".to_owned())]
    }

    /// What the processes' clocks show.
    pub(crate) async fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + TimeDelta::seconds(*self.ahead.lock().await)
    }
}

impl World {
    /// Moves every clock ahead.
    pub(crate) async fn advance(&self, seconds: i64) -> Result<(), Failure> {
        // Held, so that the database is not restarted in between.
        let _postgres = self.postgres.lock().await;
        let mut ahead = self.clock.ahead.lock().await;
        *ahead += seconds;
        // Written beside and renamed: a process never reads half a number.
        let aside = self.clock.file.with_extension("new");
        std::fs::write(&aside, ahead.to_string())?;
        std::fs::rename(&aside, &self.clock.file)?;
        self.kakaopay.clock().change(ClockChange::AdvanceSeconds(seconds));
        let mut tries = 1;
        while let Err(error) = self.age_rows(seconds).await {
            if tries == TRIES_MAX {
                return Err(error);
            }
            tries += 1;
        }
        Ok(())
    }

    async fn age_rows(&self, seconds: i64) -> Result<(), Failure> {
        let mut client = self.connect().await?;
        let tx = client.transaction().await?;
        tx.execute(include_str!("sql/age_outbox.sql"), &[&seconds]).await?;
        tx.execute(include_str!("sql/age_receipts.sql"), &[&seconds]).await?;
        tx.commit().await?;
        Ok(())
    }
}

//! The processes: started, killed with signal 9, started again at once.
//!
//! What each writes, in all its lives, goes into one file, so that the leak check reads everything.
//! A process that ends without having been killed is started again and counted: that is a finding.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use service_kit::clock::{SharedClock, SystemClock};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::role::Role;
use crate::{Failure, ROLE};

/// How often it is looked whether a process ended by itself.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// Variables of one process that win over those that all of them are given.
pub(crate) type Own = (Role, &'static str, String);

/// Pause before a process that ended by itself is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(300);

/// The processes.
pub(crate) struct Fleet {
    program: PathBuf,
    settings: Vec<(String, String)>,
    own: Vec<Own>,
    logs: PathBuf,
    members: HashMap<Role, Mutex<Child>>,
    deaths: AtomicU64,
    clock: SharedClock,
}

impl Fleet {
    /// Starts all with the same settings but for `own`; their output goes to files in `logs`.
    pub(crate) fn start(
        settings: Vec<(String, String)>,
        own: Vec<Own>,
        logs: &Path,
    ) -> Result<Self, Failure> {
        let mut fleet = Self {
            program: std::env::current_exe()?,
            settings,
            own,
            logs: logs.to_owned(),
            members: HashMap::new(),
            deaths: AtomicU64::new(0),
            clock: SystemClock::shared(),
        };
        for role in Role::ALL {
            let child = fleet.spawn(role)?;
            fleet.members.insert(role, Mutex::new(child));
        }
        Ok(fleet)
    }

    /// Kills a process and starts it again.
    pub(crate) async fn kill(&self, role: Role) -> Result<(), Failure> {
        let Some(member) = self.members.get(&role) else {
            return Ok(());
        };
        let mut child = member.lock().await;
        // One that is dead already is as good as killed.
        drop(child.kill().await);
        *child = self.spawn(role)?;
        Ok(())
    }

    /// Lets a process stand still, with all it holds, and go on after `pause`; from when to when.
    pub(crate) async fn freeze(
        &self,
        role: Role,
        pause: Duration,
    ) -> Result<(Instant, Instant), Failure> {
        let begun = Instant::now();
        let Some(member) = self.members.get(&role) else {
            return Ok((begun, begun));
        };
        // Locked meanwhile, so that no signal meets another process under the same number.
        let child = member.lock().await;
        let begun = Instant::now();
        signal(&child, "STOP").await?;
        self.clock.sleep(pause).await;
        signal(&child, "CONT").await?;
        Ok((begun, Instant::now()))
    }

    /// Starts again whatever ends by itself, for as long as it is polled.
    pub(crate) async fn watch(self: Arc<Self>) {
        loop {
            for (role, member) in &self.members {
                let mut child = member.lock().await;
                if !matches!(child.try_wait(), Ok(Some(_))) {
                    continue;
                }
                self.deaths.fetch_add(1, Ordering::Relaxed);
                self.clock.sleep(RESTART_PAUSE).await;
                if let Ok(again) = self.spawn(*role) {
                    *child = again;
                }
            }
            self.clock.sleep(LOOK_PAUSE).await;
        }
    }

    /// How often a process ended that nobody had killed.
    pub(crate) fn deaths(&self) -> u64 {
        self.deaths.load(Ordering::Relaxed)
    }

    /// Kills all of them for good.
    pub(crate) async fn end(&self) {
        for member in self.members.values() {
            drop(member.lock().await.kill().await);
        }
    }

    fn spawn(&self, role: Role) -> Result<Child, Failure> {
        let path = self.logs.join(format!("{}.log", role.name()));
        let log = OpenOptions::new().create(true).append(true).open(path)?;
        let child = Command::new(&self.program)
            .args([ROLE, role.name()])
            .env_clear()
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .envs(self.own.iter().filter(|own| own.0 == role).map(|own| (own.1, &own.2)))
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        Ok(child)
    }
}

/// Sent by the shell, since doing it ourselves needs unsafe code.
async fn signal(child: &Child, name: &str) -> Result<(), Failure> {
    let Some(pid) = child.id() else {
        return Ok(());
    };
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"kill -s "$1" "$2""#, "sh", name, &pid.to_string()]);
    shell.stderr(Stdio::null()).status().await?;
    Ok(())
}

//! A shop in a process of its own, to be killed at the worst moment and started again.
//!
//! PostgreSQL, Redis and the simulated KakaoPay live outside that process, so a kill takes away
//! the shop and nothing else: what the simulator then believes was charged is the truth that the
//! restarted shop is held against.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kakaopay_sim::{SimConfig, SimHandle, Simulator};
use serde_json::Value;
use shop::ready::Addresses;
use tempfile::TempDir;
use testkit::{TestDatabase, TestRedis, eventually};
use tokio::process::{Child, Command};

/// Longest a shop may take until it answers; a start runs migrations and imports a small catalogue.
const START_WAIT_MAX: Duration = Duration::from_secs(90);
/// Longest a process may take to stand still after it was told to.
const FREEZE_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest a shop may take to end after it was asked to: it lets rows under way end for 30 s.
const END_WAIT_MAX: Duration = Duration::from_secs(45);
/// The key both the shop and the simulator are given.
const KAKAOPAY_KEY: &str = "end-to-end-kakaopay-key";

/// Limits that the shoppers of a test would meet, because they are quicker than people and come from one
/// address.
const RAISED: [(&str, &str); 4] = [
    ("EDITS_PER_SECOND", "1000"),
    ("ORDERS_PER_MINUTE", "1000"),
    ("PAYMENTS_PER_HOUR", "1000"),
    ("SIGN_UPS_PER_MINUTE", "1000"),
];

/// Everything around the shop, which survives its death.
pub struct World {
    database: TestDatabase,
    redis: TestRedis,
    /// The simulated KakaoPay, in the test's own process.
    pub kakaopay: SimHandle,
    state: TempDir,
    program: PathBuf,
    settings: Vec<(&'static str, String)>,
    starts: AtomicU32,
}

/// One life of the shop's process.
pub struct ShopProcess {
    child: Child,
    /// Where it answers.
    pub at: Addresses,
}

impl World {
    /// A world without a shop yet; `program` is the path of `shop-under-test`.
    ///
    /// # Panics
    /// When a service does not start; this is test code.
    pub async fn new(program: &str) -> Self {
        let config = SimConfig { secret_key: Some(KAKAOPAY_KEY.into()), ..SimConfig::default() };
        Self {
            database: TestDatabase::fresh().await,
            redis: TestRedis::fresh().await,
            kakaopay: started(Simulator::start(config).await),
            state: started(tempfile::tempdir()),
            program: program.into(),
            settings: Vec::new(),
            starts: AtomicU32::new(0),
        }
    }

    /// The same world, whose shops are told this as well. Wins over what the world says itself, so
    /// that a proxy or a server of the test's own can take the place of the usual one.
    #[must_use]
    pub fn with(mut self, variable: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((variable, value.into()));
        self
    }

    /// Starts a shop and waits until it answers. Several may run on this world at once.
    ///
    /// # Panics
    /// When it does not within 90 s; its output is on the test's standard error.
    pub async fn start_shop(&self) -> ShopProcess {
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        let ready = self.state.path().join(format!("ready-{number}.json"));
        let child = Command::new(&self.program)
            .arg("--simulate")
            .arg("--state-dir")
            .arg(self.state.path())
            .arg("--ready-file")
            .arg(&ready)
            .env("DATABASE_URL", &self.database.url)
            .env("REDIS_URL", &self.redis.url)
            .env("KAKAOPAY_BASE_URL", self.kakaopay.base_url())
            .env("KAKAOPAY_SECRET_KEY", KAKAOPAY_KEY)
            .envs(RAISED)
            .envs(self.settings.iter().map(|(variable, value)| (variable, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let child = started(child);
        let at = eventually(START_WAIT_MAX, || read_ready(&ready)).await;
        ShopProcess { child, at }
    }

    /// Charges that the simulator believes it made for an order: (charged, cancelled) in won.
    pub fn charges_of(&self, order_id: &str) -> Vec<(i64, i64)> {
        let ledger = self.kakaopay.ledger();
        ledger
            .charges
            .iter()
            .filter(|charge| charge.partner_order_id.starts_with(order_id))
            .map(|charge| (charge.amount, charge.cancelled))
            .collect()
    }

    /// The database, for looking at the log.
    pub fn database(&self) -> &TestDatabase {
        &self.database
    }
}

impl ShopProcess {
    /// Ends the process without a warning, as the kernel or a power cut would.
    ///
    /// # Panics
    /// When it can't be killed.
    pub async fn kill(mut self) {
        started(self.child.kill().await);
    }

    /// Stops the process in its tracks, as a paused machine would; it holds on to all it has.
    ///
    /// # Panics
    /// When it does not stand still within 10 s.
    pub async fn freeze(&self) {
        self.signal("STOP").await;
        let pid = self.pid();
        eventually(FREEZE_WAIT_MAX, || async move { stands_still(pid?).then_some(()) }).await;
    }

    /// Lets a frozen process go on.
    ///
    /// # Panics
    /// When it can't be told.
    pub async fn thaw(&self) {
        self.signal("CONT").await;
    }

    /// Asks the process to end, as an operator would.
    ///
    /// # Panics
    /// When it can't be told.
    pub async fn ask_to_end(&self) {
        self.signal("TERM").await;
    }

    /// Waits until the process has ended; what it says with its exit code.
    ///
    /// # Panics
    /// When it has not ended within 45 s.
    pub async fn ended(mut self) -> ExitStatus {
        started(started(tokio::time::timeout(END_WAIT_MAX, self.child.wait()).await))
    }

    /// Sent by the shell, since doing it ourselves needs unsafe code.
    async fn signal(&self, name: &str) {
        let pid = self.pid().map(|pid| pid.to_string()).unwrap_or_default();
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"kill -s "$1" "$2""#, "sh", name, &pid]);
        assert!(started(shell.status().await).success(), "no {name} for process {pid}");
    }

    /// The process's number, for signals.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }
}

/// Whether every thread of a process is stopped, as the kernel tells it behind the name in brackets.
fn stands_still(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut states = threads.map(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next())
    });
    states.all(|state| state == Some('T'))
}

async fn read_ready(path: &Path) -> Option<Addresses> {
    let bytes = tokio::fs::read(path).await.ok()?;
    serde_json::from_slice::<Value>(&bytes).ok().and_then(|json| serde_json::from_value(json).ok())
}

#[expect(clippy::panic, reason = "test code: a world that does not start ends the test")]
fn started<T, E: std::fmt::Debug>(outcome: Result<T, E>) -> T {
    match outcome {
        Ok(value) => value,
        Err(error) => panic!("the test's world did not start: {error:?}"),
    }
}

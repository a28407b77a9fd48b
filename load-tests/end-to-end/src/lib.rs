//! A shop in a process of its own, to be killed at the worst moment and started again.
//!
//! PostgreSQL, Redis and the simulated KakaoPay live outside that process, so a kill takes away
//! the shop and nothing else: what the simulator then believes was charged is the truth that the
//! restarted shop is held against.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use kakaopay_sim::{SimConfig, SimHandle, Simulator};
use serde_json::Value;
use shop::ready::Addresses;
use tempfile::TempDir;
use testkit::{TestDatabase, TestRedis, eventually};
use tokio::process::{Child, Command};

/// Longest a shop may take until it answers; a start runs migrations and imports a small catalogue.
const START_WAIT_MAX: Duration = Duration::from_secs(90);
/// The key both the shop and the simulator are given.
const KAKAOPAY_KEY: &str = "end-to-end-kakaopay-key";

/// Everything around the shop, which survives its death.
pub struct World {
    database: TestDatabase,
    redis: TestRedis,
    /// The simulated KakaoPay, in the test's own process.
    pub kakaopay: SimHandle,
    state: TempDir,
    program: PathBuf,
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
        }
    }

    /// Starts the shop and waits until it answers.
    ///
    /// # Panics
    /// When it does not within 90 s; its output is on the test's standard error.
    pub async fn start_shop(&self) -> ShopProcess {
        let ready = self.state.path().join("ready.json");
        drop(std::fs::remove_file(&ready));
        let child = Command::new(&self.program)
            .arg("--state-dir")
            .arg(self.state.path())
            .arg("--ready-file")
            .arg(&ready)
            .env("DATABASE_URL", &self.database.url)
            .env("REDIS_URL", &self.redis.url)
            .env("KAKAOPAY_BASE_URL", self.kakaopay.base_url())
            .env("KAKAOPAY_SECRET_KEY", KAKAOPAY_KEY)
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

    /// The process's number, for signals.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }
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

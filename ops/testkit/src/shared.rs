//! The servers that all tests of this account share: handed to us by `ops/test`, else started by
//! the first test that needs them and reused by the next.
//!
//! Servers started here outlive the test process, so that the next one need not wait; a watcher
//! stops them once no test has used them for a few minutes. Every process that uses them holds the
//! `in-use` lock; that is how the watcher knows.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use service_kit::causes::with_causes;
use service_kit::config::{Settings, environment};
use tokio::sync::OnceCell;

use crate::account::{make_passable, own_uid};
use crate::error::ServiceError;
use crate::postgres::{Durability, Life, PrivatePostgres, connect};
use crate::redis::{PrivateRedis, answering_pid};

/// A URL of a PostgreSQL for tests, with the right to make databases. Set by `ops/test`.
pub const POSTGRES_VARIABLE: &str = "PILLIVERY_TEST_POSTGRES";
/// A URL of a Redis for tests, without a database number. Set by `ops/test`.
pub const REDIS_VARIABLE: &str = "PILLIVERY_TEST_REDIS";

/// Where the servers are.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    pub(crate) postgres: String,
    pub(crate) redis: String,
}

/// The shared servers, started if need be.
///
/// # Panics
/// They cannot be had; the message says what to install.
pub(crate) async fn servers() -> &'static Servers {
    static SERVERS: OnceCell<Servers> = OnceCell::const_new();
    let found = SERVERS.get_or_try_init(|| async {
        match given() {
            Some(servers) => Ok(servers),
            None => shared().await,
        }
    });
    found.await.unwrap_or_else(|error| panic!("servers for tests: {}", with_causes(&error)))
}

fn given() -> Option<Servers> {
    let settings = Settings::new(environment());
    let postgres = settings.optional(POSTGRES_VARIABLE)?;
    let redis = settings.optional(REDIS_VARIABLE)?;
    Some(Servers { postgres, redis })
}

async fn shared() -> Result<Servers, ServiceError> {
    let dir = home()?;
    hold(&dir).await?;
    // One process starts the servers while the others wait here.
    let turn = locked(dir.join("turn.lock")).await?;
    let servers = match running(&dir).await {
        Some(servers) => servers,
        None => start(&dir).await?,
    };
    drop(turn);
    Ok(servers)
}

/// A directory per account, closed to others: what others could write there we would run.
fn home() -> Result<PathBuf, ServiceError> {
    let uid = own_uid()?;
    let dir = make_passable(&std::env::temp_dir().join(format!("pillivery-tests-{uid}")))?;
    let owner = fs::metadata(&dir).map_err(ServiceError::io("look at the directory"))?.uid();
    if owner == uid { Ok(dir) } else { Err(ServiceError::InUse(dir)) }
}

/// Keeps the watcher away for as long as this process lives.
async fn hold(dir: &Path) -> Result<(), ServiceError> {
    static HELD: OnceLock<File> = OnceLock::new();
    let path = dir.join("in-use");
    let file = blocking(move || {
        let file = File::create(path)?;
        file.lock_shared()?;
        Ok(file)
    });
    let file = file.await.map_err(ServiceError::io("hold the shared servers"))?;
    drop(HELD.set(file));
    Ok(())
}

async fn locked(path: PathBuf) -> Result<File, ServiceError> {
    let file = blocking(move || {
        let file = File::create(path)?;
        file.lock()?;
        Ok(file)
    });
    file.await.map_err(ServiceError::io("wait for our turn"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

/// The servers noted in `dir`, if both still answer.
async fn running(dir: &Path) -> Option<Servers> {
    let noted = fs::read_to_string(dir.join("urls")).ok()?;
    let (postgres, redis) = noted.trim().split_once('\n')?;
    connect(postgres).await.ok()?.batch_execute("select 1").await.ok()?;
    answering_pid(redis).await?;
    Some(Servers { postgres: postgres.to_owned(), redis: redis.to_owned() })
}

async fn start(dir: &Path) -> Result<Servers, ServiceError> {
    let postgres = PrivatePostgres::start_with(dir, 0, Durability::Fast, Life::Shared).await?;
    let redis = PrivateRedis::start_with(dir, 0, Life::Shared).await?;
    let servers = Servers { postgres: postgres.url(), redis: redis.url() };
    let noted = format!("{}\n{}\n", servers.postgres, servers.redis);
    fs::write(dir.join("urls"), noted).map_err(ServiceError::io("note where the servers are"))?;
    if let (Some(postgres), Some(redis)) = (postgres.pid(), redis.pid()) {
        watch(dir, postgres, redis)?;
    }
    postgres.leave_behind();
    redis.detach();
    Ok(servers)
}

/// Starts the watcher, which outlives us.
fn watch(dir: &Path, postgres: u32, redis: u32) -> Result<(), ServiceError> {
    let watcher = Command::new("sh")
        .arg("-c")
        .arg(include_str!("shared/watch.sh"))
        .arg("pillivery-test-watch")
        .args([postgres.to_string(), redis.to_string()])
        .arg(dir.join("in-use"))
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    watcher.map(drop).map_err(ServiceError::io("start the watcher"))
}

//! The projector as a process: follows every version that is filled, until told to end.
//!
//! Which versions those are is looked up every second, so that a version that was just rebuilt is
//! followed and one that was retired is left, without a restart.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use event_feed::{
    Watcher, WatcherOptions, is_feed_moving, read_model_lags, report_read_model_lags,
};
use service_kit::clock::{SharedClock, SystemClock};
use service_kit::database_role::{RoleError, refuse_owner};
use service_kit::fault::Fault;
use service_kit::http::{Health, ops_routes, serve};
use service_kit::shutdown::{self, Shutdown, ShutdownTrigger};
use service_kit::{pools, telemetry};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::config::ProjectorConfig;
use crate::error::ProjectionError;
use crate::hints::{Hints, Positions};
use crate::metrics;
use crate::models::MODELS;
use crate::versions::{self, State};
use crate::worker::{Shared, Worker};

/// How often the versions are looked up.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Why the process ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not begin.
    #[error(transparent)]
    Start(#[from] ProjectionError),
    /// The address for operators cannot be listened on.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The login could change the log.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// The server for operators ended.
    #[error("answer operators")]
    Serve(#[from] service_kit::http::ServeError),
}

/// Follows the log until `shutdown`. A database that is away is waited for.
///
/// # Errors
/// [`RunError`]: settings that cannot be used, or an address that is taken.
pub async fn run(config: ProjectorConfig, shutdown: Shutdown) -> Result<(), RunError> {
    let login =
        refuse_owner(config.may_own_database, config.database_url.clone(), shutdown.clone());
    let work = Box::pin(run_with(config, SystemClock::shared(), Positions::new(), shutdown));
    tokio::try_join!(work, async { login.await.map_err(RunError::from) })?;
    Ok(())
}

/// As [`run`], with a clock and the positions to keep current for others in this process.
///
/// # Errors
/// As [`run`].
pub async fn run_with(
    config: ProjectorConfig,
    clock: SharedClock,
    positions: Positions,
    shutdown: Shutdown,
) -> Result<(), RunError> {
    tracing::info!(?config, "projector starts");
    let recorded = telemetry::metrics();
    metrics::describe();
    event_feed::metrics::describe();
    // Before anything is followed: without its address for operators the process does not run.
    let ops = match config.ops_listen {
        None => None,
        Some(address) => {
            let bound = TcpListener::bind(address).await;
            Some(bound.map_err(|source| RunError::Listen { address, source })?)
        }
    };
    let pool = config.pool().map_err(ProjectionError::from)?;
    let redis = config.redis_url.as_ref().map(pools::redis).transpose();
    let redis = redis.map_err(ProjectionError::from)?;
    let watcher = Watcher::start(
        pool.clone(),
        Arc::clone(&clock),
        WatcherOptions::default(),
        shutdown.clone(),
    );
    let shared = Shared {
        pool: pool.clone(),
        safe: watcher.safe(),
        clock: Arc::clone(&clock),
        hints: Hints::start(positions, redis.clone(), shutdown.clone()),
        batch_events_max: config.batch_events_max,
        owner: owner("run"),
    };
    let following = Following { shared, workers: HashMap::new() }.keep_up(shutdown.clone());
    let lags = report_read_model_lags(pool.clone(), clock, shutdown.clone());
    // The operators' listener ends last.
    let (followed, ops_end) = shutdown::pair();
    let answering = async {
        let Some(listener) = ops else {
            return Ok(());
        };
        let feed = pool.clone();
        let mut health = Health::new()
            .requires_postgres(pool.clone())
            .requires("event_feed", move || {
                let pool = feed.clone();
                async move { is_feed_moving(&pool).await }
            })
            .requires("read_models", move || are_moving(pool.clone()))
            .until(shutdown.clone());
        if let Some(redis) = redis {
            health = health.uses_redis(redis);
        }
        let app = ops_routes(health, recorded, env!("CARGO_PKG_VERSION"));
        Ok(serve("projector-ops", listener, app, ops_end).await?)
    };
    let working = async { tokio::join!(following, lags) };
    let (((), ()), answered) = tokio::join!(followed.after(working), answering);
    watcher.stopped().await;
    answered
}

/// Whether no served shard is stuck. It stays so while the database is unavailable, which is another
/// dependency's to report.
async fn are_moving(pool: Pool) -> bool {
    let Ok(lags) = read_model_lags(&pool).await else { return true };
    lags.iter().all(|lag| lag.stuck_shards == 0)
}

/// Who holds a lease, for people: the process and what it does.
pub(crate) fn owner(what: &str) -> String {
    format!("{what}/{}", std::process::id())
}

/// The workers of this process, by name and version.
struct Following {
    shared: Shared,
    workers: HashMap<(&'static str, i32), Followed>,
}

struct Followed {
    is_served: bool,
    end: ShutdownTrigger,
    task: JoinHandle<()>,
}

impl Followed {
    /// Waits for the worker's end, which somebody asked for.
    async fn ended(mut self) {
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "a worker broke off");
        }
    }
}

impl Drop for Followed {
    /// A process that is given up half-way leaves no worker behind.
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Following {
    async fn keep_up(mut self, shutdown: Shutdown) {
        let fault = Fault::new();
        while !shutdown.is_requested() {
            match wanted(&self.shared.pool).await {
                Ok(wanted) => {
                    if let Some(failures) = fault.ended() {
                        tracing::info!(failures, "the versions can be looked up again");
                    }
                    self.adjust(wanted, &shutdown).await;
                }
                Err(error) => {
                    if let Some(failures) = fault.occurred() {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, failures, "the versions can't be looked up");
                    }
                }
            }
            tokio::select! {
                () = shutdown.requested() => {}
                () = self.shared.clock.sleep(LOOK_PAUSE) => {}
            }
        }
        for followed in std::mem::take(&mut self.workers).into_values() {
            followed.ended().await;
        }
    }

    /// Ends the workers that are no longer wanted, or wanted in another role, and starts the others.
    async fn adjust(&mut self, wanted: HashMap<(&'static str, i32), bool>, shutdown: &Shutdown) {
        let leave: Vec<_> = self
            .workers
            .iter()
            .filter(|(key, followed)| {
                wanted.get(*key) != Some(&followed.is_served) || followed.task.is_finished()
            })
            .map(|(key, _)| *key)
            .collect();
        for key in leave {
            if let Some(followed) = self.workers.remove(&key) {
                followed.end.trigger();
                followed.ended().await;
            }
        }
        for ((name, version), is_served) in wanted {
            if self.workers.contains_key(&(name, version)) {
                continue;
            }
            let Some(model) = crate::models::model(name) else {
                continue;
            };
            tracing::info!(projection = name, version, is_served, "following");
            let (end, until) = shutdown.child();
            let worker = Worker::new(self.shared.clone(), model, version, is_served);
            let task = tokio::spawn(worker.follow(until));
            self.workers.insert((name, version), Followed { is_served, end, task });
        }
    }
}

/// The versions to follow, and whether each is served: filled, and of the shape of this build.
async fn wanted(pool: &Pool) -> Result<HashMap<(&'static str, i32), bool>, ProjectionError> {
    let versions = versions::all(&pool.get().await?).await?;
    let mut wanted = HashMap::new();
    for version in versions {
        let Some(model) = MODELS.into_iter().find(|model| model.name() == version.name) else {
            continue;
        };
        let is_followed = version.state.is_followed();
        if is_followed && version.shape == model.shape() {
            wanted.insert((model.name(), version.version), version.state == State::Live);
        } else if is_followed {
            tracing::debug!(
                projection = model.name(),
                version = version.version,
                "left alone: made by another build"
            );
        }
    }
    Ok(wanted)
}

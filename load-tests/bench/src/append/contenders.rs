//! Who is measured, and how.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::{Actor, Metadata};
use cqrs_es::CqrsFramework;
use cqrs_es::persist::PersistedEventStore;
use event_store::{CommandContext, Executor, ExecutorOptions, PgEventStore, StoreSizes};
use postgres_es::PostgresEventRepository;
use service_kit::config::Secret;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::world::{BoxError, program};

use super::TASKS;
use super::meter::{Add, Meter};

/// Streams of each task. Enough that none grows long in a round, few enough to be remembered.
const STREAMS_A_TASK: usize = 200;

/// Who is measured.
#[derive(Debug, Clone, Copy)]
pub(super) enum Contender {
    PostgresEs,
    Cold,
    Warm,
    Pgbench,
}

/// Commands per second over `time`.
pub(super) async fn measure(
    contender: Contender,
    url: &str,
    time: Duration,
    sizes: StoreSizes,
) -> Result<f64, BoxError> {
    match contender {
        Contender::PostgresEs => {
            let framework = postgres_es(url).await?;
            drive(time, move |id| {
                let framework = Arc::clone(&framework);
                async move { Ok(framework.execute(&id.to_string(), Add(1)).await?) }
            })
            .await
        }
        Contender::Cold => ours(url, time, sizes, 0).await,
        Contender::Warm => ours(url, time, sizes, 2 * (TASKS * STREAMS_A_TASK) as u64).await,
        Contender::Pgbench => pgbench(url, time).await,
    }
}

type Theirs = CqrsFramework<Meter, PersistedEventStore<PostgresEventRepository, Meter>>;

async fn postgres_es(url: &str) -> Result<Arc<Theirs>, BoxError> {
    let connections = u32::try_from(TASKS)?;
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .min_connections(connections)
        .test_before_acquire(false)
        .connect(url)
        .await?;
    let store = PersistedEventStore::new_event_store(PostgresEventRepository::new(pool));
    Ok(Arc::new(CqrsFramework::new(store, vec![], ())))
}

fn context() -> CommandContext<Meter> {
    CommandContext::new(Metadata {
        actor: Actor::System("bench".to_owned()),
        correlation_id: "01939f5e-0000-7000-8000-000000000000".to_owned(),
        causation_id: None,
        idempotency_key: None,
    })
}

fn executor(url: &str, sizes: StoreSizes, cache_entries: u64) -> Result<Executor<Meter>, BoxError> {
    let store = PgEventStore::open(&Secret::from(url), sizes)?;
    Ok(Executor::new(store, ExecutorOptions { conflict_retries: 5, cache_entries }))
}

async fn ours(
    url: &str,
    time: Duration,
    sizes: StoreSizes,
    cache_entries: u64,
) -> Result<f64, BoxError> {
    let executor = executor(url, sizes, cache_entries)?;
    drive(time, move |id| {
        let executor = executor.clone();
        async move {
            executor.dispatch(id, Add(1), context()).await?;
            Ok(())
        }
    })
    .await
}

/// Gives every stream its first command, then counts commands until the time is over.
async fn drive<F, R>(time: Duration, command: F) -> Result<f64, BoxError>
where
    F: Fn(Uuid) -> R + Clone + Send + 'static,
    R: Future<Output = Result<(), BoxError>> + Send,
{
    let streams: Vec<Vec<Uuid>> =
        (0..TASKS).map(|_| (0..STREAMS_A_TASK).map(|_| Uuid::now_v7()).collect()).collect();
    each_task(&streams, |streams| {
        let command = command.clone();
        async move {
            for id in streams {
                command(id).await?;
            }
            Ok(0)
        }
    })
    .await?;
    let started = Instant::now();
    let carried = each_task(&streams, |streams| {
        let command = command.clone();
        async move {
            let mut carried = 0_u32;
            for id in streams.iter().copied().cycle() {
                if time <= started.elapsed() {
                    break;
                }
                command(id).await?;
                carried += 1;
            }
            Ok(carried)
        }
    })
    .await?;
    Ok(f64::from(carried) / started.elapsed().as_secs_f64())
}

async fn each_task<F, R>(streams: &[Vec<Uuid>], work: F) -> Result<u32, BoxError>
where
    F: Fn(Vec<Uuid>) -> R,
    R: Future<Output = Result<u32, BoxError>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for streams in streams {
        tasks.spawn(work(streams.clone()));
    }
    tasks.join_all().await.into_iter().sum()
}

async fn pgbench(url: &str, time: Duration) -> Result<f64, BoxError> {
    let mut script = tempfile::NamedTempFile::new()?;
    script.write_all(include_bytes!("pgbench.sql"))?;
    let output = tokio::process::Command::new(program("pgbench")?)
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
        .arg(format!("--client={TASKS}"))
        .arg(format!("--time={}", time.as_secs()))
        .arg("--file")
        .arg(script.path())
        .arg(url)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let rate = said
        .lines()
        .find_map(|line| line.strip_prefix("tps = "))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok());
    rate.ok_or_else(|| {
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        format!("run pgbench: {said}{complaint}").into()
    })
}

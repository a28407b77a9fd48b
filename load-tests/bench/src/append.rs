//! Commands per second through the executor, against postgres-es and against pgbench.
//!
//! All write to the same tables of the same durable server, two events a command, from 32 tasks (or
//! clients). Those with streams start each round on streams of their own with one command in them.
//! - cold: the executor without a cache; each command loads its stream first.
//! - warm: the executor with every stream in its cache.
//! - postgres-es: the same aggregate through `CqrsFramework` and its own event store.
//! - pgbench: calls `append_events_after` directly with prepared statements, a new stream each time.

mod contenders;
mod meter;

use std::time::Duration;

use event_store::StoreSizes;
use serde_json::json;

use crate::report::{line, median, rounded};
use crate::world::{BoxError, World};

use contenders::{Contender, measure};

/// Commands under way at once, everywhere.
const TASKS: usize = 32;

/// How long and how often to measure.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Arguments {
    /// Rounds; each measures every contender once.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds a contender is measured for in a round.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Packs under way at once, of the executor's store; its default when absent.
    #[arg(long)]
    lanes: Option<usize>,
    /// Commands in a pack at most, of the executor's store; its default when absent.
    #[arg(long)]
    pack: Option<usize>,
    /// Connections that load, of the executor's store; its default when absent.
    #[arg(long)]
    loads: Option<u32>,
}

impl Arguments {
    fn sizes(&self) -> StoreSizes {
        let usual = StoreSizes::default();
        StoreSizes {
            lanes: self.lanes.unwrap_or(usual.lanes),
            pack_commands_max: self.pack.unwrap_or(usual.pack_commands_max),
            load_connections: self.loads.unwrap_or(usual.load_connections),
            ..usual
        }
    }
}

/// Measures, prints the table and the JSON line.
///
/// # Errors
/// PostgreSQL or pgbench is not there, or a command fails.
pub async fn run(arguments: Arguments) -> Result<(), BoxError> {
    let world = World::start().await?;
    let time = Duration::from_secs(arguments.seconds);
    let sizes = arguments.sizes();
    let all = [Contender::PostgresEs, Contender::Cold, Contender::Warm, Contender::Pgbench];
    let mut rates = [const { Vec::<f64>::new() }; 4];
    line("round   postgres-es       cold       warm    pgbench   (commands/s, 2 events each)");
    for round in 1..=arguments.rounds {
        // A database a round, so that no contender pays for the rows of the rounds before.
        let url = world.database(&format!("append_{round}")).await?;
        for (contender, rates) in all.iter().zip(&mut rates) {
            World::ask(&url, "checkpoint").await?;
            rates.push(measure(*contender, &url, time, sizes).await?);
        }
        line(&row(&round.to_string(), &rates.each_ref().map(|r| r.last().copied().unwrap_or(0.0))));
    }
    let version = World::ask(&world.postgres.url(), "show server_version").await?;
    let medians = rates.each_ref().map(|rates| median(rates));
    line(&row("median", &medians));
    let [postgres_es, cold, warm, pgbench] = medians;
    let ratio = |ours: f64, theirs: f64| rounded(ours / theirs);
    line(
        &json!({
            "bench": "append",
            "cold_vs_postgres_es": ratio(cold, postgres_es),
            "warm_vs_postgres_es": ratio(warm, postgres_es),
            "warm_vs_pgbench": ratio(warm, pgbench),
            "commands_per_s": {
                "postgres_es": postgres_es.round(),
                "cold": cold.round(),
                "warm": warm.round(),
                "pgbench": pgbench.round(),
            },
            "rounds": arguments.rounds,
            "seconds": arguments.seconds,
            "tasks": TASKS,
            "events_per_command": 2,
            "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            "versions": { "postgresql": version, "postgres-es": "0.5", "cqrs-es": "0.5" },
        })
        .to_string(),
    );
    world.postgres.stop().await;
    Ok(())
}

fn row(name: &str, rates: &[f64; 4]) -> String {
    let [a, b, c, d] = rates;
    format!("{name:<6} {a:>12.0} {b:>10.0} {c:>10.0} {d:>10.0}")
}

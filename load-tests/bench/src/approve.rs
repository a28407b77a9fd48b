//! What a checkout's approval costs beyond the gateway's own time.
//!
//! The whole path: the shopper's browser comes back from the payment page to the command API over
//! HTTP, the return is recorded, the relay claims the effect, asks the gateway (which takes its
//! time), records the approval, and a reader of the log sees it. Measured from the moment the
//! request is sent until such a reader has `PaymentApproved`; the gateway's nominal time is taken
//! off, and everything else is ours.
//!
//! Shoppers are prepared beforehand. They come back evenly spread over a ramp shorter than the
//! gateway's time, so that all of them wait on the gateway at once, and none waits for another one
//! before coming (an open model). Shoppers and reader run on a thread of their own. The simulator,
//! the shoppers, both services and PostgreSQL share this machine's cores.

pub(crate) mod observer;
pub(crate) mod shopper;
pub(crate) mod stage;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use kakaopay_sim::{Fault, FaultScript, Operation, When};
use reqwest::StatusCode;
use serde_json::{Value, json};
use service_kit::clock::{Clock as _, SystemClock};
use service_kit::shutdown;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::report::{line, median, rounded};
use crate::world::{BoxError, World};

use observer::{Connections, Seen};
use shopper::Waiting;
use stage::Stage;

/// How long after the gateway's time an approval counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// Settings of the services on top of their defaults: few connections, which is what this measures.
/// The command API opens three times its number, the worker its own and those of its event store.
const LEAN: [(&str, &str); 2] =
    [("CHECKOUT_DATABASE_CONNECTIONS", "3"), ("WORKER_DATABASE_CONNECTIONS", "6")];

/// How many shoppers, how slow a gateway.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Shoppers who wait at once; each number is measured by itself.
    #[arg(long, value_delimiter = ',', default_value = "100,2000")]
    shoppers: Vec<usize>,
    /// The gateway's own time, in milliseconds.
    #[arg(long, default_value_t = 2_000)]
    latency_ms: u64,
    /// Milliseconds over which the shoppers come back.
    #[arg(long, default_value_t = 1_900)]
    ramp_ms: u64,
    /// Rounds of each number of shoppers.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// A setting of the services, as NAME=VALUE; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// One shopper: when the request was sent, and whether it was answered with 200.
struct Returned {
    order: Uuid,
    sent: Instant,
    sent_at: DateTime<Utc>,
    is_answered: bool,
}

/// What one round found; times in milliseconds beyond the gateway's.
struct Round {
    visible: Vec<f64>,
    recorded: Vec<f64>,
    failed: usize,
    connections: Connections,
    waiting_max: u64,
    memory_mib: (u64, u64),
}

/// Measures, prints the table and the JSON line.
///
/// # Errors
/// A service does not start, or a shopper cannot be prepared.
pub async fn run(arguments: Arguments) -> Result<(), BoxError> {
    let mut settings: Vec<(String, String)> =
        LEAN.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    settings.extend(arguments.settings.iter().cloned());
    let stage = Arc::new(Stage::open(&settings).await?);
    line(
        "shoppers  round  p50 ms  p99 ms  max ms  recorded p99  failed  at gateway  connections  MiB",
    );
    // The first orders pay for connections, caches and statements.
    round(&stage, &arguments, 20).await?;
    let mut sizes = Vec::new();
    for &shoppers in &arguments.shoppers {
        let mut rounds = Vec::new();
        for number in 1..=arguments.rounds {
            let found = round(&stage, &arguments, shoppers).await?;
            line(&row(shoppers, number, &found));
            rounds.push(found);
        }
        sizes.push(summary(shoppers, &rounds));
    }
    let version = World::ask(&stage.database_url, "show server_version").await?;
    let most =
        |field: &str| sizes.iter().filter_map(|size| size[field].as_f64()).fold(0.0, f64::max);
    let failed: u64 = sizes.iter().filter_map(|size| size["failed"].as_u64()).sum();
    line(
        &json!({
            "bench": "approve",
            "p99_overhead_ms": rounded(most("p99_overhead_ms")),
            "failed": failed,
            "db_connections_max": most("db_connections_max").round(),
            "peak_rss_mib": most("peak_rss_mib").round(),
            "sizes": sizes,
            "latency_ms": arguments.latency_ms,
            "ramp_ms": arguments.ramp_ms,
            "rounds": arguments.rounds,
            "settings": settings.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>(),
            "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            "versions": { "postgresql": version },
        })
        .to_string(),
    );
    let stage = Arc::into_inner(stage).ok_or("end every round before the end")?;
    stage.close().await
}

async fn round(
    stage: &Arc<Stage>,
    arguments: &Arguments,
    shoppers: usize,
) -> Result<Round, BoxError> {
    stage.kakaopay.clear_faults();
    let waiting = shopper::prepare(stage, shoppers).await?;
    let slow = Fault::Latency { ms: arguments.latency_ms };
    stage.kakaopay.set_faults(FaultScript::of(Operation::Approve, When::Always, slow));
    let after = observer::end_of_log(&stage.pool).await?;
    observer::forget_memory_peak();
    let before = stage.kakaopay.calls(Operation::Approve);

    let (trigger, until) = shutdown::pair();
    let counting = tokio::spawn(observer::connections(stage.pool.clone(), until.clone()));
    let gauge = tokio::spawn(waiting_most(Arc::clone(stage), until));
    let latency = Duration::from_millis(arguments.latency_ms);
    let ramp = Duration::from_millis(arguments.ramp_ms);
    let url = stage.database_url.clone();
    let street = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(shop(url, waiting, after, ramp, latency))
    });
    let (returned, seen) = street.await??;
    let memory_mib = observer::memory_mib();
    trigger.trigger();
    let committed = stage.kakaopay.calls(Operation::Approve).committed - before.committed;
    let mut found = compared(&returned, &seen, latency);
    found.connections = counting.await??;
    found.waiting_max = gauge.await?;
    found.memory_mib = memory_mib;
    // An order paid without an approval, or more approvals than orders, is no figure but a fault.
    let (all, paid) = (u64::try_from(shoppers)?, u64::try_from(shoppers - found.failed)?);
    if !(paid..=all).contains(&committed) {
        return Err(format!("{committed} approvals at the gateway for {paid} paid orders").into());
    }
    Ok(found)
}

/// Sends everybody back, and watches the log until all are approved.
async fn shop(
    database_url: String,
    waiting: Vec<Waiting>,
    after: contracts::Position,
    ramp: Duration,
    latency: Duration,
) -> Result<(Vec<Returned>, HashMap<Uuid, Seen>), BoxError> {
    let own = service_kit::pools::PoolSettings {
        size_max: 2,
        ..service_kit::pools::PoolSettings::named(stage::OWN_NAME)
    };
    let pool =
        service_kit::pools::postgres(&service_kit::config::Secret::new(&database_url), &own)?;
    let wait_max = ramp + latency + PATIENCE;
    let (name, count) = ("PaymentApproved", waiting.len());
    let watching = tokio::spawn(observer::events(pool, name, after, count, wait_max));
    let browser = shopper::browser()?;
    let count = u32::try_from(waiting.len())?.max(1);
    let mut coming = JoinSet::new();
    for (number, shopper) in (0..).zip(waiting) {
        let (browser, pause) = (browser.clone(), ramp * number / count);
        coming.spawn(async move {
            SystemClock.sleep(pause).await;
            let (sent, sent_at) = (Instant::now(), SystemClock.now());
            let answer = browser.get(&shopper.way_back).send().await;
            let is_answered = answer.is_ok_and(|answer| answer.status() == StatusCode::OK);
            Returned { order: shopper.order, sent, sent_at, is_answered }
        });
    }
    let returned = coming.join_all().await;
    let seen = watching.await??;
    Ok((returned, seen))
}

/// Most calls that were under way at the gateway at once.
async fn waiting_most(stage: Arc<Stage>, until: shutdown::Shutdown) -> u64 {
    let mut most = 0;
    while !until.is_requested() {
        let calls = stage.kakaopay.calls(Operation::Approve);
        most = most.max(calls.arrived.saturating_sub(calls.committed + calls.refused));
        tokio::select! {
            () = until.requested() => {}
            () = SystemClock.sleep(Duration::from_millis(20)) => {}
        }
    }
    most
}

fn compared(returned: &[Returned], seen: &HashMap<Uuid, Seen>, latency: Duration) -> Round {
    let mut round = Round {
        visible: Vec::new(),
        recorded: Vec::new(),
        failed: 0,
        connections: Connections::default(),
        waiting_max: 0,
        memory_mib: (0, 0),
    };
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1_000.0;
    let nominal = milliseconds(latency);
    for shopper in returned {
        let Some(seen) = seen.get(&shopper.order).filter(|_| shopper.is_answered) else {
            round.failed += 1;
            continue;
        };
        round.visible.push(milliseconds(seen.visible.duration_since(shopper.sent)) - nominal);
        let recorded = seen.recorded.signed_duration_since(shopper.sent_at);
        round.recorded.push(milliseconds(recorded.to_std().unwrap_or_default()) - nominal);
    }
    round.visible.sort_by(f64::total_cmp);
    round.recorded.sort_by(f64::total_cmp);
    round
}

/// The value below which `share` percent of the sorted values lie (nearest rank).
pub(crate) fn percentile(sorted: &[f64], share: usize) -> f64 {
    let rank = (sorted.len() * share).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

fn row(shoppers: usize, number: u32, round: &Round) -> String {
    let [p50, p99, max] = [50, 99, 100].map(|share| percentile(&round.visible, share));
    format!(
        "{shoppers:>8} {number:>6} {p50:>7.1} {p99:>7.1} {max:>7.1} {:>13.1} {:>7} {:>11} {:>12} {:>4}",
        percentile(&round.recorded, 99),
        round.failed,
        round.waiting_max,
        round.connections.total,
        round.memory_mib.1,
    )
}

fn summary(shoppers: usize, rounds: &[Round]) -> Value {
    let middle =
        |of: &dyn Fn(&Round) -> f64| rounded(median(&rounds.iter().map(of).collect::<Vec<_>>()));
    let by_name = rounds.iter().flat_map(|round| &round.connections.by_name).fold(
        std::collections::BTreeMap::<&str, i64>::new(),
        |mut most, (name, count)| {
            let before = most.entry(name).or_default();
            *before = (*before).max(*count);
            most
        },
    );
    json!({
        "shoppers": shoppers,
        "p50_overhead_ms": middle(&|round| percentile(&round.visible, 50)),
        "p99_overhead_ms": middle(&|round| percentile(&round.visible, 99)),
        "max_overhead_ms": middle(&|round| percentile(&round.visible, 100)),
        "p99_until_recorded_ms": middle(&|round| percentile(&round.recorded, 99)),
        "failed": rounds.iter().map(|round| round.failed).sum::<usize>(),
        "at_gateway_max": rounds.iter().map(|round| round.waiting_max).max(),
        "db_connections_max": rounds.iter().map(|round| round.connections.total).max(),
        "db_connections_by_name": by_name,
        "peak_rss_mib": rounds.iter().map(|round| round.memory_mib.1).max(),
        "rss_after_mib": rounds.iter().map(|round| round.memory_mib.0).max(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        let of = |share| format!("{:.0}", percentile(&values, share));
        assert_eq!([of(50), of(99), of(100)], ["100", "198", "200"]);
        assert_eq!(format!("{:.0}", percentile(&[], 99)), "0");
    }
}

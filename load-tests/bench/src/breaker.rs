//! What shoppers notice when the gateway fails now and then, and when it fails for good.
//!
//! Over HTTP, with the real command API and worker in front of a simulated gateway:
//! - flaky: a fifth of all calls answers 500 before anything was committed. A hundred shoppers
//!   check out again and again; whoever is told 503 with `Retry-After` sends the same request once
//!   more after that time, as every client is asked to. A failure is final when the order was not
//!   paid after that; how many were told 503 at first is told as well.
//! - declining: every approval is declined. The breaker must stay closed.
//! - outage: most calls fail. The breaker must open, and then nobody may be called for a while;
//!   probes follow, and after the recovery it closes.
//!
//! How fast an open breaker answers is measured at the gateway port, where the relay meets it, on a
//! second gateway with the same settings; the whole way to the shopper's 503, which records the
//! attempt and its end in the log, is told beside it.

mod port;
mod scenes;

use std::sync::Arc;

use serde_json::json;

use crate::approve::stage::Stage;
use crate::report::{line, rounded};
use crate::world::{BoxError, World};

/// How many shoppers, and how bad a gateway.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Arguments {
    /// Shoppers at the same time.
    #[arg(long, default_value_t = 100)]
    shoppers: usize,
    /// Checkouts of each shopper while the gateway is flaky.
    #[arg(long, default_value_t = 10)]
    checkouts: usize,
    /// Share of failing calls while it is flaky, in percent.
    #[arg(long, default_value_t = 20)]
    flaky_percent: u8,
    /// Share of failing calls during the outage, in percent.
    #[arg(long, default_value_t = 85)]
    outage_percent: u8,
    /// Where the draws of the faults come from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Measures, prints what it found and the JSON line.
///
/// # Errors
/// A service does not start, or answers in a way that it must not.
pub async fn run(arguments: Arguments) -> Result<(), BoxError> {
    // The recorder has to stand before the first breaker registers its gauge.
    drop(service_kit::telemetry::metrics());
    let stage = Arc::new(Stage::open(&[]).await?);
    let flaky = scenes::flaky(&stage, arguments).await?;
    line(&format!(
        "flaky: {} checkouts, {} told 503 at first, {} not paid in the end, breaker opened {} times",
        flaky.checkouts, flaky.told_unavailable, flaky.unpaid, flaky.opened
    ));
    let declines_opened = scenes::declining(&stage, arguments.shoppers).await?;
    line(&format!("declining: breaker opened {declines_opened} times"));
    let outage = scenes::outage(&stage, arguments).await?;
    line(&format!(
        "outage: opened after {} calls; {} answers 503 within p50 {:.1} ms, p99 {:.1} ms and {} \
         calls meanwhile; probed after {:.2} s, closed after {:.2} s",
        outage.calls_until_open,
        outage.answers.len(),
        crate::approve::percentile(&outage.answers, 50),
        crate::approve::percentile(&outage.answers, 99),
        outage.calls_while_open,
        outage.probed_after_s,
        outage.closed_after_s,
    ));
    let port = port::measure(&stage).await?;
    line(&format!(
        "port: {} answers within p50 {:.4} ms, p99 {:.4} ms; probed after {:.2} s",
        port.answers.len(),
        crate::approve::percentile(&port.answers, 50),
        crate::approve::percentile(&port.answers, 99),
        port.probed_after_s,
    ));
    let version = World::ask(&stage.database_url, "show server_version").await?;
    let precise = |value: f64| (value * 10_000.0).round() / 10_000.0;
    line(
        &json!({
            "bench": "breaker",
            "final_failure_rate": precise(scenes::share(flaky.unpaid, flaky.checkouts)),
            "first_answer_failure_rate":
                precise(scenes::share(flaky.told_unavailable, flaky.checkouts)),
            "open_p99_ms": precise(crate::approve::percentile(&port.answers, 99)),
            "open_p99_measured_at": "gateway port of the relay",
            "open_http_p50_ms": rounded(crate::approve::percentile(&outage.answers, 50)),
            "open_http_p99_ms": rounded(crate::approve::percentile(&outage.answers, 99)),
            "opened": outage.is_opened,
            "calls_while_open": outage.calls_while_open,
            "probed_after_s": rounded(outage.probed_after_s),
            "closed": outage.is_closed,
            "closed_after_s": rounded(outage.closed_after_s),
            "declines_opened": 0 < declines_opened,
            "flaky_opened": 0 < flaky.opened,
            "checkouts": flaky.checkouts,
            "shoppers": arguments.shoppers,
            "flaky_percent": arguments.flaky_percent,
            "outage_percent": arguments.outage_percent,
            "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            "versions": { "postgresql": version },
        })
        .to_string(),
    );
    let stage = Arc::into_inner(stage).ok_or("end every scene before the end")?;
    stage.close().await
}

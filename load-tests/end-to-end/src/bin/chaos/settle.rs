//! What happens after the last order, until nothing moves any more: time passes, quickly.
//!
//! First the faults go on, while the clock runs fast. Then the gateway is well again and the clock
//! goes past every payment page, the night with its comparison, an hour of look-ups and another
//! day. What is dead by then and should not be is counted; then an operator takes the dead rows up
//! again, as the runbook says, and the rest is for the audit.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use contracts::Actor;
use operator::{By, Intervention, Operator};
use service_kit::clock::{Clock as _, SystemClock};
use uuid::Uuid;

use crate::books::Books;
use crate::quiet;
use crate::schedule::PAGE_LIFE_SECONDS;
use crate::verdict::Verdict;
use crate::world::World;
use crate::{Failure, audit};

/// How far the clock runs ahead at a time while the faults go on, and how long that lasts.
const STEP_SECONDS: i64 = 60;
const STEP_PAUSE: Duration = Duration::from_secs(1);
const STEPS_MAX: u32 = 90;
/// Real time in which jobs notice that the clock was moved.
const NOTICED_WITHIN: Duration = Duration::from_secs(3);
/// Longest wait for the comparison of the night.
const NIGHT_WAIT_MAX: Duration = Duration::from_secs(90);
const LOOK_PAUSE: Duration = Duration::from_millis(300);
/// When the comparison of the night has begun, as an hour and minute in UTC: 03:41 in Korea.
const NIGHT: (u32, u32) = (18, 41);
const HOUR_SECONDS: i64 = 70 * 60;
const DAY_SECONDS: i64 = 25 * 60 * 60;

/// Lets everything come to rest.
pub(crate) async fn settle(
    world: &World,
    wait_max: Duration,
    verdict: &mut Verdict,
) -> Result<(), Failure> {
    let begun = Instant::now();
    for _ in 0..STEPS_MAX {
        if quiet::is_quiet(world).await? {
            break;
        }
        world.advance(STEP_SECONDS).await?;
        SystemClock.sleep(STEP_PAUSE).await;
    }
    world.kakaopay.clear_faults();
    let to_night =
        seconds_until_night(world.clock.now().await + TimeDelta::seconds(PAGE_LIFE_SECONDS));
    for (ahead, is_night) in
        [(PAGE_LIFE_SECONDS, false), (to_night, true), (HOUR_SECONDS, false), (DAY_SECONDS, true)]
    {
        let nights = nights(world).await;
        world.advance(ahead).await?;
        SystemClock.sleep(NOTICED_WITHIN).await;
        if is_night {
            verdict.passed_a_night(compared_after(world, nights).await);
        }
        come_to_rest(world, wait_max, verdict).await?;
    }
    dead_and_wrong(world, verdict).await?;
    if retry_dead(world, verdict).await? {
        come_to_rest(world, wait_max, verdict).await?;
    }
    verdict.quiet_seconds = begun.elapsed().as_secs();
    Ok(())
}

async fn come_to_rest(
    world: &World,
    wait_max: Duration,
    verdict: &mut Verdict,
) -> Result<(), Failure> {
    let (is_quiet, standing) = quiet::wait(world, wait_max).await?;
    verdict.rested(is_quiet);
    if !is_quiet {
        verdict.tell(format!("never quiet: {standing:?}"));
    }
    Ok(())
}

fn seconds_until_night(now: DateTime<Utc>) -> i64 {
    let tonight = now.date_naive().and_hms_opt(NIGHT.0, NIGHT.1, 0).map(|night| night.and_utc());
    let until = tonight.map_or(0, |night| (night - now).num_seconds());
    // The night of today is over: the next one.
    if 0 < until { until } else { until + TimeDelta::days(1).num_seconds() }
}

/// How often the workers of now have compared a night's sample.
async fn nights(world: &World) -> u64 {
    let mut nights = 0;
    for address in &world.workers {
        let Ok(answer) = reqwest::get(format!("http://{address}/metrics")).await else {
            continue;
        };
        let text = answer.text().await.unwrap_or_default();
        nights += text
            .lines()
            .filter(|line| line.contains("schedule_runs_total") && line.contains("compare_sample"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum::<u64>();
    }
    nights
}

async fn compared_after(world: &World, before: u64) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < NIGHT_WAIT_MAX {
        if before < nights(world).await {
            return true;
        }
        SystemClock.sleep(LOOK_PAUSE).await;
    }
    false
}

/// A dead row is an honest end only where no money moved without us: a day has passed in which the
/// gateway answered every look-up.
async fn dead_and_wrong(world: &World, verdict: &mut Verdict) -> Result<(), Failure> {
    let client = world.connect().await?;
    let books = Books::read(&client).await?;
    let ledger = world.kakaopay.ledger();
    let charges = audit::charges(&ledger);
    for (_, order, kind) in dead_rows(world).await? {
        let theirs: (i64, i64) = charges
            .get(&order)
            .into_iter()
            .flatten()
            .fold((0, 0), |(charged, refunded), charge| {
                (charged + charge.amount, refunded + charge.cancelled)
            });
        let ours = books.orders.get(&order);
        let ours = ours.map_or((0, 0), |book| (book.approved_sum(), book.refunded_sum()));
        if ours != theirs {
            verdict.unresolved += 1;
            verdict.tell(format!(
                "unresolved: {kind} of {order} is dead and never looked up again: \
                 charged and refunded are {theirs:?}, we have {ours:?}"
            ));
        }
    }
    Ok(())
}

/// Takes every dead row up again; whether there was one.
async fn retry_dead(world: &World, verdict: &mut Verdict) -> Result<bool, Failure> {
    let operator = Operator::new(world.pool()?);
    let by = By { actor: Actor::System("chaos".to_owned()), request_id: "chaos".to_owned() };
    for (row, ..) in dead_rows(world).await? {
        operator.intervene(row, Intervention::Retry, &by).await?;
        verdict.retried_by_operator += 1;
    }
    Ok(0 < verdict.retried_by_operator)
}

async fn dead_rows(world: &World) -> Result<Vec<(Uuid, Uuid, String)>, Failure> {
    let rows = world.connect().await?.query(include_str!("sql/dead.sql"), &[]).await?;
    rows.iter()
        .map(|row| {
            let order: &str = row.try_get("aggregate_id")?;
            Ok((row.try_get("id")?, order.parse()?, row.try_get("kind")?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_night_is_always_ahead() {
        let at = |text: &str| seconds_until_night(text.parse().unwrap());
        assert_eq!(at("2026-11-23T18:40:00Z"), 60);
        assert_eq!(at("2026-11-23T18:41:00Z"), 86_400);
        assert_eq!(at("2026-11-23T19:41:00Z"), 23 * 3_600);
    }
}

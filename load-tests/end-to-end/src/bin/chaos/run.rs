//! One run from an empty database to the verdict.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use kakaopay_sim::FaultScript;
use service_kit::causes::with_causes;
use service_kit::clock::{Clock as _, SystemClock};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::Browser;
use crate::demolition::Demolition;
use crate::leaks::Planted;
use crate::schedule::{Draw, PlannedOrder, Schedule};
use crate::shopper::Street;
use crate::verdict::Verdict;
use crate::world::World;
use crate::{Arguments, Failure, audit, settle};

/// How often progress is told.
const PROGRESS_PAUSE: Duration = Duration::from_secs(5);

/// Runs; whether all is well.
pub(crate) async fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let script = arguments.faults.as_deref().map(read_faults).transpose()?;
    let schedule = Schedule::draw(&Draw {
        seed: arguments.seed,
        orders: arguments.orders,
        kills: arguments.kills,
        outages: arguments.outages(),
        script: script.as_ref(),
    });
    if arguments.plan {
        say(&serde_json::to_string_pretty(&schedule)?);
        return Ok(true);
    }
    let begun = Instant::now();
    let world = Arc::new(World::start(arguments).await?);
    world.kakaopay.set_faults(schedule.faults.clone());
    let street = Arc::new(street(&world, arguments.seed)?);
    let mut verdict =
        Verdict { seed: arguments.seed, schedule: schedule.fingerprint(), ..Verdict::default() };

    let watching = tokio::spawn(Arc::clone(&world.fleet).watch());
    let demolition = Demolition::begin(&world, &schedule.blows, &street.steps);
    let telling =
        tokio::spawn(tell_progress(Arc::clone(&street), schedule.clone(), arguments.json));
    let shopping = Instant::now();
    shop(&street, &schedule, arguments.shoppers).await?;
    verdict.shopping_seconds = shopping.elapsed().as_secs();
    verdict.killed = demolition.finish().await?;
    verdict.kills = schedule.blows.iter().filter(|blow| blow.what.is_kill()).count() as u64;
    telling.abort();

    let wait_max = Duration::from_secs(arguments.quiet_seconds);
    settle::settle(&world, wait_max, &mut verdict).await?;
    {
        let told = std::mem::take(&mut *street.told.lock().unwrap_or_else(PoisonError::into_inner));
        audit::audit(&world, &told, &schedule.orders, &mut verdict).await?;
    }
    watching.abort();
    verdict.deaths = world.fleet.deaths();
    verdict.repeated = street.browser.repeated();
    for sid in &world.kakaopay.ledger().sids {
        street.planted.plant(&sid.sid);
    }
    world.fleet.end().await;
    let leaks = street.planted.search(&world.logs)?;
    verdict.leaks = leaks.count;
    verdict.log_bytes = leaks.bytes;
    verdict.planted = leaks.values as u64;
    for leak in leaks.first {
        verdict.tell(format!("leak: {leak}"));
    }
    verdict.seconds = begun.elapsed().as_secs();
    drop(street);
    drop(watching.await);
    drop(telling.await);
    if let Some(world) = Arc::into_inner(world) {
        world.stop().await;
    }
    say(&serde_json::to_string(&verdict)?);
    Ok(verdict.is_well())
}

fn read_faults(path: &Path) -> Result<FaultScript, Failure> {
    let json = serde_json::from_slice(&std::fs::read(path)?)?;
    Ok(FaultScript::from_json(&json)?)
}

fn street(world: &Arc<World>, seed: u64) -> Result<Street, Failure> {
    let planted = Planted::default();
    for secret in world.secrets() {
        planted.plant(&secret);
    }
    Ok(Street {
        world: Arc::clone(world),
        browser: Browser::new()?,
        steps: watch::Sender::new(0),
        planted,
        told: std::sync::Mutex::default(),
        seed,
    })
}

/// All orders, by so many shoppers at once; each takes the next order as soon as its last is done.
async fn shop(street: &Arc<Street>, schedule: &Schedule, shoppers: u32) -> Result<(), Failure> {
    let orders: Arc<[PlannedOrder]> = schedule.orders.clone().into();
    let next = Arc::new(AtomicUsize::new(0));
    let mut shopping = JoinSet::new();
    for number in 0..shoppers {
        let (street, orders, next) = (Arc::clone(street), Arc::clone(&orders), Arc::clone(&next));
        shopping.spawn(async move {
            let mut account = match street.join(&format!("u{number}")).await {
                Ok(account) => account,
                Err(error) => return street.trouble(with_causes(&*error)),
            };
            while let Some(order) = orders.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = street.shop(&mut account, order).await {
                    let (course, why) = (order.course, with_causes(&*error));
                    street.trouble(format!("order {} ({course:?}): {why}", order.number));
                }
            }
        });
    }
    while let Some(ended) = shopping.join_next().await {
        ended?;
    }
    Ok(())
}

async fn tell_progress(street: Arc<Street>, schedule: Schedule, is_silent: bool) {
    let steps: u64 = schedule.orders.iter().map(PlannedOrder::steps).sum();
    if is_silent {
        return;
    }
    loop {
        SystemClock.sleep(PROGRESS_PAUSE).await;
        let told = street.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (placed, troubles) = (told.placed.len(), told.troubles.len());
        drop(told);
        let done = *street.steps.borrow();
        whisper(&format!("{placed} orders, {done} of about {steps} steps, {troubles} troubles"));
    }
}

#[expect(clippy::print_stdout, reason = "the verdict is what this program is for")]
fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "progress, beside the verdict on standard output")]
fn whisper(line: &str) {
    eprintln!("chaos: {line}");
}

//! Carries out what was drawn: each blow waits for its own trigger, then hits, however busy its
//! victim.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use service_kit::clock::{Clock as _, SystemClock};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::Failure;
use crate::role::Role;
use crate::schedule::{Blow, Dependency, Trigger, Victim, What};
use crate::world::{Interruption, World};

/// Blows on their way.
pub(crate) struct Demolition {
    under_way: JoinSet<(What, Result<(), Failure>)>,
    over: watch::Sender<bool>,
}

impl Demolition {
    /// Arms every blow.
    pub(crate) fn begin(world: &Arc<World>, blows: &[Blow], steps: &watch::Sender<u64>) -> Self {
        let (over, is_over) = watch::channel(false);
        let mut under_way = JoinSet::new();
        for blow in blows {
            let (blow, world) = (*blow, Arc::clone(world));
            let (mut steps, mut is_over) = (steps.subscribe(), is_over.clone());
            under_way.spawn(async move {
                let triggered = async {
                    match blow.trigger {
                        // The senders outlive every blow, so the waits end by being met.
                        Trigger::Step(at) => drop(steps.wait_for(|steps| at <= *steps).await),
                        Trigger::Call(operation, at) => {
                            world.kakaopay.calls_reach(operation, at).await;
                        }
                    }
                    SystemClock.sleep(Duration::from_millis(blow.delay_ms)).await;
                };
                tokio::select! {
                    () = triggered => {}
                    // Fewer calls than drawn: the blow comes when shopping is over, but it comes.
                    _ = is_over.wait_for(|over| *over) => {}
                }
                (blow.what, hit(&world, blow.what).await)
            });
        }
        Self { under_way, over }
    }

    /// Lets every blow that is still armed go off; answers what happened how often.
    pub(crate) async fn finish(mut self) -> Result<BTreeMap<&'static str, u64>, Failure> {
        self.over.send_replace(true);
        let mut happened = BTreeMap::new();
        while let Some(ended) = self.under_way.join_next().await {
            let (what, outcome) = ended?;
            outcome?;
            *happened.entry(what.name()).or_default() += 1;
        }
        Ok(happened)
    }
}

async fn hit(world: &World, what: What) -> Result<(), Failure> {
    match what {
        What::Kill(victim) => kill(world, victim).await,
        What::Freeze(role, ms) => {
            let (from, to) = world.fleet.freeze(role, Duration::from_millis(ms)).await?;
            if matches!(role, Role::Worker | Role::SecondWorker) {
                note(world, Interruption::WorkerFrozen(from, to));
            }
            Ok(())
        }
        What::Outage(dependency, seconds) => {
            let begun = Instant::now();
            world.reach(dependency, false).await;
            SystemClock.sleep(Duration::from_secs(seconds)).await;
            world.reach(dependency, true).await;
            if dependency == Dependency::Postgres {
                note(world, Interruption::DatabaseAway(begun, Instant::now()));
            }
            Ok(())
        }
        What::Jump(seconds) => world.advance(seconds).await,
    }
}

async fn kill(world: &World, victim: Victim) -> Result<(), Failure> {
    if victim == Victim::Postgres {
        let begun = Instant::now();
        world.postgres.lock().await.crash_and_restart().await?;
        note(world, Interruption::DatabaseAway(begun, Instant::now()));
        return Ok(());
    }
    for role in victim.roles() {
        world.fleet.kill(*role).await?;
        if matches!(role, Role::Worker | Role::SecondWorker) {
            note(world, Interruption::WorkerKilled(Instant::now()));
        }
    }
    Ok(())
}

fn note(world: &World, interruption: Interruption) {
    world.interruptions.lock().unwrap_or_else(PoisonError::into_inner).push(interruption);
}

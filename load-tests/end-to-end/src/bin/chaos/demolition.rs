//! Carries the drawn kills out: each waits for its own trigger, then hits, however busy its victim.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::Failure;
use crate::schedule::{Kill, Trigger, Victim};
use crate::world::World;

/// Kills on their way.
pub(crate) struct Demolition {
    under_way: JoinSet<(Victim, Result<(), Failure>)>,
    over: watch::Sender<bool>,
}

impl Demolition {
    /// Arms every kill.
    pub(crate) fn begin(world: &Arc<World>, kills: &[Kill], steps: &watch::Sender<u64>) -> Self {
        let (over, is_over) = watch::channel(false);
        let mut under_way = JoinSet::new();
        for kill in kills {
            let (kill, world) = (*kill, Arc::clone(world));
            let (mut steps, mut is_over) = (steps.subscribe(), is_over.clone());
            under_way.spawn(async move {
                let triggered = async {
                    match kill.trigger {
                        // The senders outlive every kill, so the waits end by being met.
                        Trigger::Step(at) => drop(steps.wait_for(|steps| at <= *steps).await),
                        Trigger::Call(operation, at) => {
                            world.kakaopay.calls_reach(operation, at).await;
                        }
                    }
                };
                tokio::select! {
                    () = triggered => {}
                    // Fewer calls than drawn: the kill comes when shopping is over, but it comes.
                    _ = is_over.wait_for(|over| *over) => {}
                }
                (kill.victim, hit(&world, kill.victim).await)
            });
        }
        Self { under_way, over }
    }

    /// Lets every kill that is still armed go off; answers how often whom.
    pub(crate) async fn finish(mut self) -> Result<BTreeMap<&'static str, u64>, Failure> {
        self.over.send_replace(true);
        let mut killed = BTreeMap::new();
        while let Some(ended) = self.under_way.join_next().await {
            let (victim, outcome) = ended?;
            outcome?;
            *killed.entry(victim.name()).or_default() += 1;
        }
        Ok(killed)
    }
}

async fn hit(world: &World, victim: Victim) -> Result<(), Failure> {
    match victim.role() {
        Some(role) => world.fleet.kill(role).await,
        None => Ok(world.postgres.lock().await.crash_and_restart().await?),
    }
}

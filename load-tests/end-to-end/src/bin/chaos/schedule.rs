//! What one seed draws: who orders what, what happens after which step, which call goes wrong.
//!
//! Nothing here depends on time. Blows are tied to progress (the n-th step of all shoppers, the n-th
//! call of an operation), and a probability in a fault script is drawn out beforehand into the
//! numbers of the calls it hits: the 17th approval of seed 7 always goes the same way, in whatever
//! company it arrives.

mod blows;
mod faults;
mod orders;

use kakaopay_sim::FaultScript;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Serialize;
use uuid::Uuid;

pub(crate) use self::blows::{Blow, Dependency, Outages, PAGE_LIFE_SECONDS, Trigger, Victim, What};
use self::faults::{default_mix, drawn_bursts, drawn_out};
pub(crate) use self::orders::{Aftermath, Course, ITEMS, PlannedOrder};

/// Streams of random numbers that a seed has: one for each kind of draw, so that another number of
/// kills leaves orders and faults as they are.
const STREAMS: u64 = 8;

/// Everything drawn.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Schedule {
    /// The orders, in the order in which shoppers take them up.
    pub(crate) orders: Vec<PlannedOrder>,
    /// What happens to processes, dependencies and the clock.
    pub(crate) blows: Vec<Blow>,
    /// The faults, without probabilities.
    pub(crate) faults: FaultScript,
}

/// What a schedule is drawn from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw<'a> {
    /// Draws everything.
    pub(crate) seed: u64,
    /// Orders to place.
    pub(crate) orders: u32,
    /// Processes to kill.
    pub(crate) kills: u32,
    /// Outages of dependencies.
    pub(crate) outages: Outages,
    /// A script instead of the built-in faults.
    pub(crate) script: Option<&'a FaultScript>,
}

impl Schedule {
    /// Draws a schedule.
    pub(crate) fn draw(draw: &Draw<'_>) -> Self {
        let seed = draw.seed.wrapping_mul(STREAMS);
        let stream = |number: u64| StdRng::seed_from_u64(seed.wrapping_add(number));
        let orders: Vec<PlannedOrder> = {
            let mut random = stream(0);
            (0..draw.orders).map(|number| orders::planned(number, &mut random)).collect()
        };
        let count = orders.len() as u64;
        let (mut blows, held) = blows::kills_of(&orders, draw.kills, &mut stream(1));
        // Of several faults of one call the first counts.
        let mut rules = held;
        let (others, needed) = blows::others_of(&orders, draw.outages, &mut stream(3));
        if let Some(script) = draw.script {
            // A script is run as it is: no storm, no burst, nothing held but for kills.
            blows.extend(others.into_iter().filter(|it| !matches!(it.what, What::Jump(_))));
            rules.extend(drawn_out(script, count, &mut stream(2)));
        } else {
            blows.extend(others);
            rules.extend(needed);
            rules.extend(drawn_bursts(count, &mut stream(4)));
            rules.extend(drawn_out(&default_mix(), count, &mut stream(2)));
        }
        let seed = draw.script.map_or(0, |script| script.seed);
        Self { orders, blows, faults: FaultScript { seed, rules } }
    }

    /// The same for the same schedule, another for another.
    pub(crate) fn fingerprint(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).simple().to_string()
    }
}

#[cfg(test)]
mod tests {
    use kakaopay_sim::{Fault, When};

    use super::*;

    fn draw(seed: u64, orders: u32, kills: u32) -> Schedule {
        let outages = Outages::Short;
        Schedule::draw(&Draw { seed, orders, kills, outages, script: None })
    }

    #[test]
    fn the_same_seed_draws_the_same_schedule_and_another_seed_another() {
        let drawn = |seed| draw(seed, 50, 10).fingerprint();
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }

    #[test]
    fn more_kills_leave_orders_and_other_blows_as_they_are() {
        let (few, many) = (draw(3, 300, 1), draw(3, 300, 30));
        assert_eq!(format!("{:?}", few.orders), format!("{:?}", many.orders));
        let kills = |it: &Schedule| it.blows.iter().filter(|blow| blow.what.is_kill()).count();
        assert_eq!((kills(&few), kills(&many)), (1, 30));
        assert_eq!(few.blows.len() - 1, many.blows.len() - 30);
    }

    #[test]
    fn no_probability_is_left_to_the_run() {
        let drawn = draw(1, 20, 0).faults;
        assert!(drawn.rules.iter().all(|rule| matches!(rule.when, When::Call(_))));
        assert!(drawn.rules.iter().any(|rule| rule.fault == Fault::CommitThenDrop));
    }

    #[test]
    fn orders_are_as_large_as_a_shop_s() {
        let orders = draw(1, 5_000, 0).orders;
        let sizes: Vec<usize> = orders.iter().map(|order| order.lines.len()).collect();
        let small = sizes.iter().filter(|size| **size <= 3).count();
        assert!(sizes.len() / 2 < small, "most have one to three lines: {small}");
        assert!(sizes.contains(&100) && sizes.contains(&50) && sizes.contains(&12));
    }

    #[test]
    fn a_run_of_500_orders_has_storms_freezes_and_one_outage_of_each_dependency() {
        let drawn = draw(2, 500, 0);
        let count = |name: &str| drawn.blows.iter().filter(|it| it.what.name() == name).count();
        assert_eq!((count("clock-jump"), count("freeze")), (2, 5));
        assert_eq!(count("outage-postgres") + count("outage-redis") + count("outage-gateway"), 3);
    }
}

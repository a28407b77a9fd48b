//! What one seed draws: who orders what, which kill follows which step, which call goes wrong.
//!
//! Nothing here depends on time. Kills are tied to progress (the n-th step of all shoppers, the n-th
//! call of an operation), and a probability in a fault script is drawn out beforehand into the
//! numbers of the calls it hits: the 17th approval of seed 7 always goes the same way, in whatever
//! company it arrives.

use kakaopay_sim::{Fault, FaultRule, FaultScript, Operation, When};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use uuid::Uuid;

use crate::role::Role;

/// Items on sale.
pub(crate) const ITEMS: usize = 12;
/// Calls of one operation for which faults are drawn, per order and to begin with. Later calls go
/// well, so that every run comes to an end.
const FAULTY_CALLS_PER_ORDER: u64 = 6;
const FAULTY_CALLS_LEAST: u64 = 100;
/// Steps of the shoppers' own after which nothing is killed any more, in hundredths of all.
const KILLS_UNTIL_PERCENT: u64 = 92;

/// Everything drawn.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Schedule {
    /// The orders, in the order in which shoppers take them up.
    pub(crate) orders: Vec<PlannedOrder>,
    /// The kills, earliest first.
    pub(crate) kills: Vec<Kill>,
    /// The faults, without probabilities.
    pub(crate) faults: FaultScript,
}

/// One order.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PlannedOrder {
    /// Place in the schedule, from 0.
    pub(crate) number: u32,
    /// Where its lines come from.
    pub(crate) source: Source,
    /// Items by number, and how many pieces of each.
    pub(crate) lines: Vec<(usize, u32)>,
    /// How far the shopper goes.
    pub(crate) course: Course,
    /// Whether the browser loads the return address twice.
    pub(crate) returns_twice: bool,
    /// What happens once it is paid.
    pub(crate) aftermath: Aftermath,
}

/// Where an order's lines come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Source {
    /// Lines of its own, bought once.
    Direct,
    /// The one-off cart.
    Cart,
    /// Lines of its own that become subscriptions.
    Subscription,
    /// The subscription cart.
    SubscriptionCart,
}

/// How far a shopper goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Course {
    /// Pays; after a decline once more.
    Pays,
    /// Leaves the pay page, then pays in a second attempt.
    LeavesAndPays,
    /// Opens the pay page and is never seen again.
    WalksAway,
    /// Calls the order off before asking for a pay page.
    CallsOffUnpaid,
    /// Approves on the pay page, but calls the order off before the browser is back at the shop.
    CallsOffBeforeReturning,
    /// Calls the order off while the money is being moved.
    CallsOffWhilePaying,
}

/// What happens to a paid order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Aftermath {
    /// Nothing.
    Keeps,
    /// This many hundredths of the money go back.
    GivesBackPart(u32),
    /// The money goes back in two parts, asked for one right after the other.
    GivesBackInTwo(u32),
    /// The money goes back in two parts, the second asked for when the first arrived.
    GivesBackSlowly(u32),
    /// The whole order is called off.
    CallsOff,
}

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Victim {
    /// Outbox relay, reactions, schedule.
    Worker,
    /// The command API.
    Checkout,
    /// The query API.
    Storefront,
    /// The read models.
    Projector,
    /// The database, without a checkpoint.
    Postgres,
}

/// When a kill happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Trigger {
    /// After so many steps of all shoppers together.
    Step(u64),
    /// When so many calls of the operation have arrived, in the middle of the last of them.
    Call(Operation, u64),
}

/// One kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Kill {
    /// When.
    pub(crate) trigger: Trigger,
    /// Who.
    pub(crate) victim: Victim,
}

impl Victim {
    /// The process, unless it is the database.
    pub(crate) const fn role(self) -> Option<Role> {
        match self {
            Self::Worker => Some(Role::Worker),
            Self::Checkout => Some(Role::Checkout),
            Self::Storefront => Some(Role::Storefront),
            Self::Projector => Some(Role::Projector),
            Self::Postgres => None,
        }
    }

    /// Its name in the verdict.
    pub(crate) const fn name(self) -> &'static str {
        match self.role() {
            Some(role) => role.name(),
            None => "postgres",
        }
    }
}

impl PlannedOrder {
    /// Requests this order takes if nothing goes wrong.
    pub(crate) fn steps(&self) -> u64 {
        let filling = if self.is_from_cart() { self.lines.len() as u64 } else { 0 };
        let course = match self.course {
            Course::Pays => 4,
            Course::LeavesAndPays => 7,
            Course::WalksAway | Course::CallsOffUnpaid => 2,
            Course::CallsOffBeforeReturning | Course::CallsOffWhilePaying => 5,
        };
        let after = match self.aftermath {
            Aftermath::GivesBackPart(_) | Aftermath::CallsOff => 1,
            Aftermath::GivesBackInTwo(_) | Aftermath::GivesBackSlowly(_) => 2,
            Aftermath::Keeps => 0,
        };
        filling + course + after
    }

    /// Whether the lines are put into a cart first.
    pub(crate) const fn is_from_cart(&self) -> bool {
        matches!(self.source, Source::Cart | Source::SubscriptionCart)
    }

    /// Whether the lines become subscriptions.
    pub(crate) const fn is_subscription(&self) -> bool {
        matches!(self.source, Source::Subscription | Source::SubscriptionCart)
    }
}

impl Schedule {
    /// Draws a schedule.
    pub(crate) fn draw(seed: u64, orders: u32, kills: u32, mix: &FaultScript) -> Self {
        // Streams of their own, so that another number of kills leaves orders and faults as they are.
        let stream = |number: u64| StdRng::seed_from_u64(seed.wrapping_mul(4) + number);
        let orders: Vec<PlannedOrder> = {
            let mut random = stream(0);
            (0..orders).map(|number| planned(number, &mut random)).collect()
        };
        let kills = kills_of(&orders, kills, &mut stream(1));
        let faults = drawn_out(mix, orders.len() as u64, &mut stream(2));
        Self { orders, kills, faults }
    }

    /// The same for the same schedule, another for another.
    pub(crate) fn fingerprint(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).simple().to_string()
    }
}

fn planned(number: u32, random: &mut StdRng) -> PlannedOrder {
    let source = match random.random_range(0..100) {
        0..60 => Source::Direct,
        60..78 => Source::Cart,
        78..92 => Source::Subscription,
        _ => Source::SubscriptionCart,
    };
    let mut items: Vec<usize> = Vec::new();
    for _ in 0..random.random_range(1..=3) {
        let item = random.random_range(0..ITEMS);
        if !items.contains(&item) {
            items.push(item);
        }
    }
    let lines = items.into_iter().map(|item| (item, random.random_range(1..=3))).collect();
    let course = match random.random_range(0..100) {
        0..78 => Course::Pays,
        78..84 => Course::LeavesAndPays,
        84..88 => Course::WalksAway,
        88..91 => Course::CallsOffUnpaid,
        91..95 => Course::CallsOffBeforeReturning,
        _ => Course::CallsOffWhilePaying,
    };
    let percent = random.random_range(1..=99);
    let aftermath = match random.random_range(0..100) {
        0..70 => Aftermath::Keeps,
        70..78 => Aftermath::GivesBackPart(percent),
        78..86 => Aftermath::GivesBackInTwo(percent),
        86..93 => Aftermath::GivesBackSlowly(percent),
        _ => Aftermath::CallsOff,
    };
    let returns_twice = random.random_range(0..100) < 25;
    PlannedOrder { number, source, lines, course, returns_twice, aftermath }
}

fn kills_of(orders: &[PlannedOrder], kills: u32, random: &mut StdRng) -> Vec<Kill> {
    let steps: u64 = orders.iter().map(PlannedOrder::steps).sum();
    let last = (steps * KILLS_UNTIL_PERCENT / 100).max(1);
    let calls = (orders.len() as u64 * 3 / 4).max(1);
    let refunds = (orders.len() as u64 / 5).max(1);
    let mut kills: Vec<Kill> = (0..kills)
        .map(|_| {
            let victim = match random.random_range(0..100) {
                0..46 => Victim::Worker,
                46..72 => Victim::Checkout,
                72..90 => Victim::Projector,
                90..94 => Victim::Storefront,
                _ => Victim::Postgres,
            };
            // A call in flight is where a kill hurts most, and only the worker makes calls.
            let trigger = match (victim, random.random_range(0..100)) {
                (Victim::Worker | Victim::Postgres, 0..35) => {
                    Trigger::Call(Operation::Approve, random.random_range(1..=calls))
                }
                (Victim::Worker | Victim::Postgres, 35..50) => {
                    Trigger::Call(Operation::Cancel, random.random_range(1..=refunds))
                }
                (Victim::Worker, 50..60) => {
                    Trigger::Call(Operation::Ready, random.random_range(1..=calls))
                }
                _ => Trigger::Step(random.random_range(1..=last)),
            };
            Kill { trigger, victim }
        })
        .collect();
    kills.sort();
    kills
}

/// The same script with every probability drawn out into the calls it hits.
fn drawn_out(mix: &FaultScript, orders: u64, random: &mut StdRng) -> FaultScript {
    let last = FAULTY_CALLS_LEAST + orders * FAULTY_CALLS_PER_ORDER;
    let mut rules = Vec::new();
    for rule in &mix.rules {
        let When::Probability(probability) = rule.when else {
            rules.push(rule.clone());
            continue;
        };
        for call in 1..=last {
            if random.random_bool(probability.clamp(0.0, 1.0)) {
                rules.push(FaultRule { when: When::Call(call), ..rule.clone() });
            }
        }
    }
    FaultScript { seed: mix.seed, rules }
}

/// What goes wrong when no script is given: a tenth of the answers are lost after the money moved,
/// a twentieth of the calls fail before, and so on, for every call a shopper's payment takes.
pub(crate) fn default_mix() -> FaultScript {
    let operations = [Operation::Ready, Operation::Approve, Operation::Cancel, Operation::Order];
    let mut rules = Vec::new();
    for operation in operations {
        let mut add = |probability: f64, fault: Fault| {
            rules.push(FaultRule::new(operation, When::Probability(probability), fault));
        };
        add(0.10, Fault::CommitThenDrop);
        add(0.05, Fault::Fail { status: 500 });
        add(0.05, Fault::LatencyUniform { min_ms: 50, max_ms: 400 });
        add(0.02, Fault::TruncatedJson);
        // Definite refusals, so that orders and refunds fail too. A look-up cannot be refused.
        let (code, reason) = match operation {
            Operation::Approve => (-780, Some("LACK_BALANCE".to_owned())),
            Operation::Cancel => (-781, Some("BANK_ACCOUNT_BLOCKED".to_owned())),
            Operation::Ready => (-798, None),
            Operation::Order
            | Operation::Subscription
            | Operation::Inactive
            | Operation::Status
            | Operation::PayPage => continue,
        };
        add(
            0.03,
            Fault::Decline {
                code,
                message: None,
                method_result_code: reason,
                method_result_message: None,
                status: 400,
            },
        );
    }
    FaultScript { seed: 0, rules }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_schedule_and_another_seed_another() {
        let draw = |seed| Schedule::draw(seed, 50, 10, &default_mix()).fingerprint();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn more_kills_leave_orders_and_faults_as_they_are() {
        let few = Schedule::draw(3, 40, 1, &default_mix());
        let many = Schedule::draw(3, 40, 30, &default_mix());
        let shown = |schedule: &Schedule| format!("{:?} {:?}", schedule.orders, schedule.faults);
        assert_eq!(shown(&few), shown(&many));
        assert_eq!((few.kills.len(), many.kills.len()), (1, 30));
    }

    #[test]
    fn no_probability_is_left_to_the_run() {
        let drawn = Schedule::draw(1, 20, 0, &default_mix()).faults;
        assert!(drawn.rules.iter().all(|rule| matches!(rule.when, When::Call(_))));
        assert!(drawn.rules.iter().any(|rule| rule.fault == Fault::CommitThenDrop));
    }
}

//! What happens to the processes, to what they depend on, and to the clock.

use kakaopay_sim::{Fault, FaultRule, Operation, When};
use rand::RngExt;
use rand::rngs::StdRng;
use serde::Serialize;

use super::faults::{calls_expected, slow_approvals, storm};
use super::orders::PlannedOrder;
use crate::role::Role;

/// Steps of the shoppers' own after which nothing is killed any more, in hundredths of all.
const KILLS_UNTIL_PERCENT: u64 = 92;
/// How long a call hangs while its caller is killed: longer than a kill takes on a busy machine.
const HELD_MS: u64 = 900;
/// A frozen worker sleeps past its lease, which is 3 s in a run.
const FROZEN_MS: u64 = 5_000;
/// Longer than the life of a payment page and of an unpaid order.
pub(crate) const PAGE_LIFE_SECONDS: i64 = 16 * 60;
/// When the clock is moved after a storm began: late commits are done, refused calls are retried.
const JUMP_AFTER_MS: u64 = 8_000;
/// Orders per storm and per freeze.
const ORDERS_PER_STORM: u64 = 250;
const ORDERS_PER_FREEZE: u64 = 100;
/// Approvals that are slow around an outage of the database, and how slow.
const SLOW_CALLS: u64 = 24;
const SLOW_MS: u64 = 1_500;

/// Which of the dependencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Dependency {
    /// Everything stands still without it.
    Postgres,
    /// Sessions and wake-ups.
    Redis,
    /// KakaoPay.
    Gateway,
}

/// How many outages a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Outages {
    /// None.
    None,
    /// Each dependency once for 30 s.
    Short,
    /// Each dependency once for 30 s and once for 3 min.
    Full,
}

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Victim {
    /// One process.
    Process(Role),
    /// Both workers: the one that made a call is among them.
    Workers,
    /// The database, without a checkpoint.
    Postgres,
}

/// When something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Trigger {
    /// After so many steps of all shoppers together.
    Step(u64),
    /// When so many calls of the operation have arrived; the last of them is not answered yet.
    Call(Operation, u64),
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum What {
    /// Signal 9, and a new start.
    Kill(Victim),
    /// A worker stands still for so many milliseconds, then goes on.
    Freeze(Role, u64),
    /// A dependency is unavailable for so many seconds.
    Outage(Dependency, u64),
    /// The clock of everything is moved ahead by so many seconds.
    Jump(i64),
}

/// One blow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Blow {
    pub(crate) trigger: Trigger,
    /// So many milliseconds after the trigger.
    pub(crate) delay_ms: u64,
    pub(crate) what: What,
}

impl Victim {
    /// The processes, none for the database.
    pub(crate) const fn roles(self) -> &'static [Role] {
        match self {
            Self::Process(Role::Worker) => &[Role::Worker],
            Self::Process(Role::SecondWorker) => &[Role::SecondWorker],
            Self::Process(Role::Checkout) => &[Role::Checkout],
            Self::Process(Role::Storefront) => &[Role::Storefront],
            Self::Process(Role::Projector) => &[Role::Projector],
            Self::Workers => &[Role::Worker, Role::SecondWorker],
            Self::Postgres => &[],
        }
    }
}

impl What {
    /// Its name in the verdict.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Kill(Victim::Process(role)) => role.name(),
            Self::Kill(Victim::Workers) => "both-workers",
            Self::Kill(Victim::Postgres) => "postgres",
            Self::Freeze(..) => "freeze",
            Self::Outage(Dependency::Postgres, _) => "outage-postgres",
            Self::Outage(Dependency::Redis, _) => "outage-redis",
            Self::Outage(Dependency::Gateway, _) => "outage-gateway",
            Self::Jump(_) => "clock-jump",
        }
    }

    /// Whether it is one of the kills that were asked for.
    pub(crate) const fn is_kill(self) -> bool {
        matches!(self, Self::Kill(_))
    }
}

/// The kills, and the faults that hold a call while its caller is killed.
pub(super) fn kills_of(
    orders: &[PlannedOrder],
    kills: u32,
    random: &mut StdRng,
) -> (Vec<Blow>, Vec<FaultRule>) {
    let last = last_step(orders);
    let count = orders.len() as u64;
    let (mut blows, mut held) = (Vec::new(), Vec::new());
    for _ in 0..kills {
        let victim = match random.random_range(0..100) {
            0..23 => Victim::Process(Role::Worker),
            23..46 => Victim::Process(Role::SecondWorker),
            46..72 => Victim::Process(Role::Checkout),
            72..90 => Victim::Process(Role::Projector),
            90..94 => Victim::Process(Role::Storefront),
            _ => Victim::Postgres,
        };
        let makes_calls =
            matches!(victim, Victim::Process(Role::Worker | Role::SecondWorker) | Victim::Postgres);
        // A call that hangs is where a kill hurts most.
        let operation = match random.random_range(0..100) {
            0..35 => Some(Operation::Approve),
            35..52 => Some(Operation::Cancel),
            52..60 => Some(Operation::Ready),
            _ => None,
        };
        let (step, is_before) = (random.random_range(1..=last), random.random_bool(0.5));
        let call = operation.map(|it| (it, random.random_range(1..=calls_expected(it, count))));
        let (trigger, victim) = match call {
            Some((operation, call)) if makes_calls => {
                held.push(FaultRule::new(operation, When::Call(call), hold(is_before)));
                let is_database = victim == Victim::Postgres;
                let victim = if is_database { victim } else { Victim::Workers };
                (Trigger::Call(operation, call), victim)
            }
            Some(_) | None => (Trigger::Step(step), victim),
        };
        blows.push(Blow { trigger, delay_ms: 0, what: What::Kill(victim) });
    }
    blows.sort();
    (blows, held)
}

/// Hangs before or after the commit, while the caller is killed.
const fn hold(is_before: bool) -> Fault {
    if is_before {
        Fault::DelayThenCommit { ms: HELD_MS }
    } else {
        Fault::CommitThenDelay { ms: HELD_MS }
    }
}

/// Everything but kills, and the faults that go with it.
pub(super) fn others_of(
    orders: &[PlannedOrder],
    outages: Outages,
    random: &mut StdRng,
) -> (Vec<Blow>, Vec<FaultRule>) {
    let (last, count) = (last_step(orders), orders.len() as u64);
    let approvals = calls_expected(Operation::Approve, count);
    let (mut blows, mut rules) = (Vec::new(), Vec::new());
    for number in 0..count / ORDERS_PER_FREEZE {
        let role = if number % 2 == 0 { Role::Worker } else { Role::SecondWorker };
        let trigger = Trigger::Step(random.random_range(1..=last));
        blows.push(Blow { trigger, delay_ms: 0, what: What::Freeze(role, FROZEN_MS) });
    }
    for _ in 0..count / ORDERS_PER_STORM {
        let call = random.random_range(approvals / 10..=approvals * 8 / 10);
        rules.extend(storm(call));
        let trigger = Trigger::Call(Operation::Approve, call);
        blows.push(Blow { trigger, delay_ms: JUMP_AFTER_MS, what: What::Jump(PAGE_LIFE_SECONDS) });
    }
    let lengths: &[u64] = match outages {
        Outages::None => &[],
        Outages::Short => &[30],
        Outages::Full => &[30, 180],
    };
    let places = lengths.len() as u64 * 3;
    for (number, (dependency, seconds)) in (1..).zip(lengths.iter().flat_map(|seconds| {
        [Dependency::Postgres, Dependency::Redis, Dependency::Gateway]
            .map(|dependency| (dependency, *seconds))
    })) {
        // One after the other over the run, the first two thirds of it.
        let trigger = if dependency == Dependency::Postgres {
            let call = (approvals * 2 * number / (places * 3)).max(1);
            rules.extend(slow_approvals(call, SLOW_CALLS, SLOW_MS));
            Trigger::Call(Operation::Approve, call + SLOW_CALLS / 2)
        } else {
            Trigger::Step((last * 2 * number / (places * 3)).max(1))
        };
        blows.push(Blow { trigger, delay_ms: 0, what: What::Outage(dependency, seconds) });
    }
    (blows, rules)
}

fn last_step(orders: &[PlannedOrder]) -> u64 {
    let steps: u64 = orders.iter().map(PlannedOrder::steps).sum();
    (steps * KILLS_UNTIL_PERCENT / 100).max(1)
}

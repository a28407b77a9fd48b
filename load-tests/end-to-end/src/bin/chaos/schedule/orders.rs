//! Who orders what, and how far the shopper goes.

use rand::RngExt;
use rand::rngs::StdRng;
use serde::Serialize;

/// Items on sale: more than the largest order has lines.
pub(crate) const ITEMS: usize = 140;

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
    /// This many hundredths of the money are refunded.
    GivesBackPart(u32),
    /// The money is refunded in two parts, asked for one right after the other.
    GivesBackInTwo(u32),
    /// The money is refunded in two parts, the second asked for when the first arrived.
    GivesBackSlowly(u32),
    /// The whole order is called off.
    CallsOff,
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

    /// Whether the shopper means to pay and keep at it.
    pub(crate) const fn is_to_be_paid(&self) -> bool {
        matches!(self.course, Course::Pays | Course::LeavesAndPays)
    }
}

pub(super) fn planned(number: u32, random: &mut StdRng) -> PlannedOrder {
    let source = match random.random_range(0..100) {
        0..60 => Source::Direct,
        60..78 => Source::Cart,
        78..92 => Source::Subscription,
        _ => Source::SubscriptionCart,
    };
    let lines = lines(random);
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
        0..66 => Aftermath::Keeps,
        66..74 => Aftermath::GivesBackPart(percent),
        74..83 => Aftermath::GivesBackInTwo(percent),
        83..91 => Aftermath::GivesBackSlowly(percent),
        _ => Aftermath::CallsOff,
    };
    let returns_twice = random.random_range(0..100) < 25;
    PlannedOrder { number, source, lines, course, returns_twice, aftermath }
}

/// Most shoppers buy one to three things; a few fill an order to the limit of 100 lines.
fn lines(random: &mut StdRng) -> Vec<(usize, u32)> {
    let size = match random.random_range(0..1_000) {
        0..740 => random.random_range(1..=3),
        740..880 => random.random_range(4..=7),
        880..950 => random.random_range(8..=12),
        950..980 => random.random_range(13..=49),
        980..992 => 50,
        _ => 100,
    };
    let mut items: Vec<usize> = Vec::new();
    while items.len() < size {
        let item = random.random_range(0..ITEMS);
        if !items.contains(&item) {
            items.push(item);
        }
    }
    items.into_iter().map(|item| (item, random.random_range(1..=3))).collect()
}

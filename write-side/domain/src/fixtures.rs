//! What the tests of all aggregates share: people, prices, texts and a given-when-then.

use std::fmt::Debug;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::{ItemId, Period, Quantity, Sealed, Text, UserId, Won};
use uuid::Uuid;

use crate::kernel::{EventSourced, Principal};

pub(crate) const KIM: Principal = Principal::User(kim());
pub(crate) const LEE: Principal = Principal::User(UserId::new(Uuid::from_u128(2)));
pub(crate) const ADMIN: Principal = Principal::Admin(UserId::new(Uuid::from_u128(9)));

pub(crate) const fn kim() -> UserId {
    UserId::new(Uuid::from_u128(1))
}

pub(crate) fn won(amount: i64) -> Won {
    Won::try_from(amount).unwrap()
}

pub(crate) fn pieces(count: i64) -> Quantity {
    Quantity::try_from(count).unwrap()
}

pub(crate) fn days(days: i64) -> Period {
    Period::try_from(days).unwrap()
}

pub(crate) fn text<const MAX: usize>(raw: &str) -> Text<MAX> {
    Text::parse(raw).unwrap()
}

pub(crate) fn item(number: u128) -> ItemId {
    ItemId::new(Uuid::from_u128(0x1000 + number))
}

pub(crate) fn sealed<T>(content: &str) -> Sealed<T> {
    Sealed::from_parts(1, "bm9uY2U".to_owned(), content.to_owned())
}

/// Noon in Korea on 2026-11-23, and some minutes.
pub(crate) fn minute(minutes: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_402_800, 0).unwrap() + TimeDelta::minutes(minutes)
}

/// The state after these events.
pub(crate) fn given<A: EventSourced>(events: &[A::Body]) -> A {
    A::replay(events)
}

/// Carries the command out, when it is not refused.
pub(crate) fn when<A: EventSourced>(state: &mut A, command: A::Order) -> Vec<A::Body>
where
    A::Refused: Debug,
{
    let events = state.decide(command).unwrap();
    for event in &events {
        state.evolve(event);
    }
    events
}

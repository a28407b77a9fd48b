//! Counted values of the shop: how many of a line, and how often it comes.

use serde::{Deserialize, Serialize};

/// How many pieces of one line: 1 to 99.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Quantity(u32);

/// A quantity was outside 1 to 99.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a quantity is between 1 and 99")]
pub struct QuantityOutOfRange;

impl Quantity {
    /// The most pieces one line may have.
    pub const MAX: u32 = 99;
    /// One piece.
    pub const ONE: Self = Self(1);

    /// The number of pieces.
    pub const fn count(self) -> u32 {
        self.0
    }

    /// The sum of two quantities, cut at [`Quantity::MAX`]. Compare with the plain sum to learn
    /// whether it was cut.
    #[must_use]
    pub fn capped_add(self, other: Self) -> Self {
        Self((self.0 + other.0).min(Self::MAX))
    }
}

impl TryFrom<i64> for Quantity {
    type Error = QuantityOutOfRange;

    fn try_from(raw: i64) -> Result<Self, Self::Error> {
        match u32::try_from(raw) {
            Ok(count) if (1..=Self::MAX).contains(&count) => Ok(Self(count)),
            _ => Err(QuantityOutOfRange),
        }
    }
}

impl From<Quantity> for i64 {
    fn from(quantity: Quantity) -> Self {
        i64::from(quantity.0)
    }
}

/// How many days lie between two deliveries of a subscription: 30, 60, 90 or 120.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Period(u16);

/// A period was none of 30, 60, 90 and 120 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a period is 30, 60, 90 or 120 days")]
pub struct PeriodNotOffered;

impl Period {
    /// Every period on offer, in days.
    pub const OFFERED: [u16; 4] = [30, 60, 90, 120];

    /// The length in days.
    pub const fn days(self) -> u16 {
        self.0
    }
}

impl TryFrom<i64> for Period {
    type Error = PeriodNotOffered;

    fn try_from(days: i64) -> Result<Self, Self::Error> {
        match u16::try_from(days) {
            Ok(days) if Self::OFFERED.contains(&days) => Ok(Self(days)),
            _ => Err(PeriodNotOffered),
        }
    }
}

impl From<Period> for i64 {
    fn from(period: Period) -> Self {
        i64::from(period.0)
    }
}

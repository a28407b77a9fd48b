//! Money: whole won, discount rates in tenths of a percent, and the two roundings the shop uses.
//!
//! All arithmetic is on integers and checked; an overflow is `None`, never a wrapped amount.

use serde::{Deserialize, Serialize};

/// Whole Korean won, never negative. The won has no minor unit, so neither does this type.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(try_from = "i64", into = "i64")]
pub struct Won(i64);

/// An amount of money was negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an amount of won is never negative")]
pub struct NegativeAmount;

impl Won {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The amount as a number of won.
    pub const fn amount(self) -> i64 {
        self.0
    }

    /// Whether this is no money at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or `None` past `i64::MAX` won.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or `None` when it would be negative.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).filter(|rest| 0 <= *rest).map(Self)
    }

    /// `count` times this amount, or `None` past `i64::MAX` won.
    pub fn checked_mul(self, count: u32) -> Option<Self> {
        self.0.checked_mul(i64::from(count)).map(Self)
    }

    /// The sum of many amounts, or `None` past `i64::MAX` won.
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }

    /// The value-added tax contained in this total: `round_half_up((total - tax_free) / 11)`.
    ///
    /// A tax-free part larger than the total counts as the total (the tax is then zero). The
    /// formula is KakaoPay's default for an absent `vat_amount`.
    #[must_use]
    pub fn vat_included(self, tax_free: Self) -> Self {
        let taxed = self.checked_sub(tax_free).unwrap_or(Self::ZERO);
        Self(divide_half_up(i128::from(taxed.0), 11))
    }
}

impl TryFrom<i64> for Won {
    type Error = NegativeAmount;

    fn try_from(amount: i64) -> Result<Self, Self::Error> {
        if amount < 0 {
            return Err(NegativeAmount);
        }
        Ok(Self(amount))
    }
}

impl From<Won> for i64 {
    fn from(won: Won) -> Self {
        won.0
    }
}

/// A discount from 0.0 % to 100.0 %, kept as tenths of a percent (0 to 1000).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(try_from = "u16", into = "u16")]
pub struct DiscountRate(u16);

/// A discount rate was above 100.0 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a discount rate is between 0.0 and 100.0 percent")]
pub struct DiscountOutOfRange;

impl DiscountRate {
    /// No discount.
    pub const NONE: Self = Self(0);
    /// 100.0 %, in tenths of a percent.
    pub const TENTHS_MAX: u16 = 1000;

    /// The rate in tenths of a percent: 125 is 12.5 %.
    pub const fn tenths(self) -> u16 {
        self.0
    }

    /// What is taken off `origin`: `round_half_up(origin x rate)`, never more than `origin`.
    pub fn discount_on(self, origin: Won) -> Won {
        let product = i128::from(origin.0) * i128::from(self.0);
        Won(divide_half_up(product, i128::from(Self::TENTHS_MAX)))
    }

    /// What is paid: `origin - discount`. The discount is subtracted once.
    pub fn price_of(self, origin: Won) -> Won {
        origin.checked_sub(self.discount_on(origin)).unwrap_or(Won::ZERO)
    }
}

impl TryFrom<u16> for DiscountRate {
    type Error = DiscountOutOfRange;

    fn try_from(tenths: u16) -> Result<Self, Self::Error> {
        if Self::TENTHS_MAX < tenths {
            return Err(DiscountOutOfRange);
        }
        Ok(Self(tenths))
    }
}

impl From<DiscountRate> for u16 {
    fn from(rate: DiscountRate) -> Self {
        rate.0
    }
}

/// `dividend / divisor` for `0 <= dividend`, halves rounded up.
///
/// Callers divide by at least as much as they multiplied by, so the quotient fits an `i64`; should
/// it not, the largest amount is returned, which every price rule refuses.
fn divide_half_up(dividend: i128, divisor: i128) -> i64 {
    i64::try_from((2 * dividend + divisor) / (2 * divisor)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn won(amount: i64) -> Won {
        Won::try_from(amount).unwrap()
    }

    #[test]
    fn vat_matches_the_gateways_published_examples() {
        for (total, vat) in [(2200, 200), (9900, 900), (19900, 1809), (32900, 2991)] {
            assert_eq!(won(total).vat_included(Won::ZERO), won(vat), "of {total}");
        }
        assert_eq!(won(1000).vat_included(won(100)), won(82));
    }

    #[test]
    fn a_discount_is_rounded_half_up_and_subtracted_once() {
        let half = DiscountRate::try_from(500).unwrap();
        assert_eq!(half.discount_on(won(3)), won(2));
        assert_eq!(half.price_of(won(3)), won(1));
        assert_eq!(DiscountRate::try_from(1000).unwrap().price_of(won(99)), Won::ZERO);
    }

    #[test]
    fn a_rate_above_one_hundred_percent_cannot_be_written_down() {
        assert!(DiscountRate::try_from(1001).is_err());
        assert!(serde_json::from_str::<DiscountRate>("1001").is_err());
        assert!(serde_json::from_str::<Won>("-1").is_err());
    }
}

//! A price for products that come without one: the open data has none.
//!
//! Derived from the report number alone, so that every import of every installation agrees. Cheap
//! products are commoner than dear ones, as in a shop.

use contracts::{DiscountRate, ReportNo, Won};
use sha2::{Digest as _, Sha256};

/// Prices are multiples of this many won.
const STEP: u32 = 100;
/// The lowest and the highest price, in steps: 1,000 and 500,000 won.
const STEPS_MIN: u32 = 10;
const STEPS_MAX: u32 = 5_000;
/// The lowest and the highest discount, in percent, where there is one.
const PERCENT_MIN: u16 = 10;
const PERCENT_MAX: u16 = 80;

/// What a product costs in a demonstration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemoPrice {
    /// 1,000 to 500,000 won, a multiple of 100.
    pub origin_price: Won,
    /// None for a third of all products, otherwise 10 to 80 percent.
    pub discount_rate: DiscountRate,
}

/// The demonstration price of the product with this report number; always the same one.
pub fn demo_price(report_no: &ReportNo) -> DemoPrice {
    let digest = Sha256::digest(report_no.as_str().as_bytes());
    let mut shares = digest
        .chunks_exact(4)
        .map(|chunk| chunk.iter().fold(0_u32, |number, byte| (number << 8) | u32::from(*byte)));
    let mut below = |limit: u32| shares.next().unwrap_or(0) % limit;

    // The product of two evenly spread numbers leans towards the small ones.
    let range = STEPS_MAX - STEPS_MIN + 1;
    let steps = STEPS_MIN + (below(range) + 1) * (below(range) + 1) / range - 1;
    let steps = steps.clamp(STEPS_MIN, STEPS_MAX);
    let has_discount = below(3) != 0;
    let spread = u32::from(PERCENT_MAX - PERCENT_MIN + 1);
    let percent = PERCENT_MIN + u16::try_from(below(spread)).unwrap_or(0);
    let tenths = if has_discount { percent * 10 } else { 0 };
    DemoPrice {
        origin_price: Won::try_from(i64::from(steps * STEP)).unwrap_or(Won::ZERO),
        discount_rate: DiscountRate::try_from(tenths).unwrap_or(DiscountRate::NONE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: u64) -> DemoPrice {
        demo_price(&ReportNo::try_from(format!("{number:015}")).unwrap())
    }

    #[test]
    fn a_price_never_changes() {
        let known = demo_price(&ReportNo::try_from("200400150391".to_owned()).unwrap());
        assert_eq!((known.origin_price.amount(), known.discount_rate.tenths()), (69_600, 0));
    }

    #[test]
    fn prices_and_discounts_keep_their_bounds_and_a_third_has_none() {
        let mut without = 0;
        let mut cheap = 0;
        for number in 0..6_000 {
            let price = of(number);
            let won = price.origin_price.amount();
            assert!((1_000..=500_000).contains(&won) && won % 100 == 0, "{won}");
            let tenths = price.discount_rate.tenths();
            assert!(tenths == 0 || (100..=800).contains(&tenths), "{tenths}");
            without += u32::from(tenths == 0);
            cheap += u32::from(won < 100_000);
        }
        assert!((1_800..2_200).contains(&without), "{without}");
        assert!((2_500..4_000).contains(&cheap), "{cheap}");
    }
}

//! What things cost: one definition of line, total and tax for carts, orders and offers.
//!
//! `price = origin - round_half_up(origin x rate)`; line = price x quantity; total = sum of lines.
//! The discount is subtracted once, by [`contracts::DiscountRate::price_of`]. All arithmetic is
//! checked: what doesn't fit is `None`, never a wrong amount.

use contracts::{Quantity, Won};

/// The most one order may cost. Far above any basket of supplements, and far below 2,147,483,647,
/// the largest amount that is safe wherever a gateway reads its integers as 32 bits.
pub const ORDER_TOTAL_MAX: i64 = 100_000_000;
/// The most one item may cost before discount, so that 99 pieces of it still fit an order.
pub const ITEM_PRICE_MAX: i64 = 1_000_000;

const _: () = assert!(ITEM_PRICE_MAX * (Quantity::MAX as i64) <= ORDER_TOTAL_MAX);

/// The amounts of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Sum of all lines.
    pub total: Won,
    /// The tax-free part of it; 0 for everything the shop sells today.
    pub tax_free: Won,
    /// The value-added tax in it.
    pub vat: Won,
}

/// What one line costs: price times quantity, or `None` when it doesn't fit.
pub fn line_total(unit_price: Won, quantity: Quantity) -> Option<Won> {
    unit_price.checked_mul(quantity.count())
}

/// What several lines cost together, or `None` when it doesn't fit.
pub fn sum_of_lines(lines: impl IntoIterator<Item = (Won, Quantity)>) -> Option<Won> {
    lines.into_iter().try_fold(Won::ZERO, |sum, (unit_price, quantity)| {
        sum.checked_add(line_total(unit_price, quantity)?)
    })
}

/// The totals of an order of these lines, or `None` when they don't fit.
pub fn totals(lines: impl IntoIterator<Item = (Won, Quantity)>) -> Option<Totals> {
    let total = sum_of_lines(lines)?;
    let tax_free = Won::ZERO;
    Some(Totals { total, tax_free, vat: total.vat_included(tax_free) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn won(amount: i64) -> Won {
        Won::try_from(amount).unwrap()
    }

    fn pieces(count: i64) -> Quantity {
        Quantity::try_from(count).unwrap()
    }

    #[test]
    fn a_total_is_the_sum_of_price_times_quantity() {
        let totals = totals([(won(19_900), pieces(2)), (won(100), pieces(99))]).unwrap();
        assert_eq!(totals.total, won(49_700));
        assert_eq!(totals.tax_free, Won::ZERO);
        assert_eq!(totals.vat, won(4_518));
    }

    #[test]
    fn what_does_not_fit_is_no_amount() {
        assert_eq!(line_total(won(i64::MAX), pieces(2)), None);
        assert_eq!(sum_of_lines([(won(i64::MAX), pieces(1)), (won(1), pieces(1))]), None);
    }
}

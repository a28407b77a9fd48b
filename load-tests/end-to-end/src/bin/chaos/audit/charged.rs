//! What a charge must be: exactly what its order costs, with the tax that the law puts into it.

use kakaopay_sim::Charge;
use uuid::Uuid;

use crate::books::OrderBook;
use crate::verdict::Verdict;

/// Value-added tax is a tenth of the net price, hence an eleventh of what is paid.
const TAX_DIVISOR: i64 = 11;

/// Counts a charge of another sum as lost, and one with another tax as different.
pub(super) fn is_what_it_costs(id: Uuid, book: &OrderBook, charge: &Charge, verdict: &mut Verdict) {
    if charge.amount != book.total {
        verdict.lost += 1;
        verdict.tell(format!("lost: {id} costs {} and was charged {}", book.total, charge.amount));
    }
    if let Some(what) = wrong_tax(charge) {
        verdict.differences += 1;
        verdict.tell(format!("different: a charge of {id} has {what}"));
    }
}

/// The part of a charge's tax that is not what its sum makes it. Everything on sale is taxed.
fn wrong_tax(charge: &Charge) -> Option<String> {
    let vat = tax_in(charge.amount);
    if charge.tax_free != 0 || charge.vat != vat {
        return Some(format!(
            "{} tax-free and {} of tax, not 0 and {vat}",
            charge.tax_free, charge.vat
        ));
    }
    let is_refunded_whole = charge.cancelled == charge.amount;
    let is_tax_right =
        if is_refunded_whole { charge.cancelled_vat == vat } else { charge.cancelled_vat <= vat };
    if charge.cancelled_tax_free != 0 || !is_tax_right {
        return Some(format!(
            "{} tax-free and {} of tax in {} refunded of {}",
            charge.cancelled_tax_free, charge.cancelled_vat, charge.cancelled, charge.amount
        ));
    }
    None
}

/// The tax in a taxed sum, rounded half up.
const fn tax_in(sum: i64) -> i64 {
    (2 * sum + TAX_DIVISOR) / (2 * TAX_DIVISOR)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::charge;
    use super::*;

    fn judged(total: i64, charge: &Charge) -> (u64, u64) {
        let (book, mut verdict) = (OrderBook { total, ..OrderBook::default() }, Verdict::default());
        is_what_it_costs(Uuid::nil(), &book, charge, &mut verdict);
        (verdict.lost, verdict.differences)
    }

    #[test]
    fn a_charge_of_less_than_the_order_costs_is_lost_money() {
        assert_eq!(judged(11_000, &charge("T", 11_000, 0)), (0, 0));
        // Passed before: both ledgers have the same sum, and more than the total is not kept.
        assert_eq!(judged(11_000, &charge("T", 1_100, 0)), (1, 0));
        assert_eq!(judged(11_000, &charge("T", 11_001, 0)), (1, 0));
    }

    #[test]
    fn a_tax_that_the_sum_does_not_make_is_different() {
        assert_eq!(judged(11_000, &Charge { vat: 999, ..charge("T", 11_000, 0) }), (0, 1));
        assert_eq!(judged(11_000, &Charge { tax_free: 1, ..charge("T", 11_000, 0) }), (0, 1));
        let refunded = charge("T", 11_000, 11_000);
        assert_eq!(judged(11_000, &refunded), (0, 0));
        assert_eq!(judged(11_000, &Charge { cancelled_vat: 0, ..refunded }), (0, 1));
    }

    #[test]
    fn tax_is_rounded_half_up() {
        assert_eq!(
            [tax_in(5), tax_in(6), tax_in(16), tax_in(17), tax_in(49_698)],
            [0, 1, 1, 2, 4_518]
        );
    }
}

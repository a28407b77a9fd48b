//! Sums of won that go into a request, checked against one another before they leave.

use serde::Serialize;

use crate::values::InvalidRequest;

/// The value-added tax KakaoPay assumes when none is given: an eleventh of the taxed part,
/// rounded. Eleven is odd, so there is no half to round.
pub const fn default_vat(total: i64, tax_free: i64) -> i64 {
    total.saturating_sub(tax_free).saturating_add(5).div_euclid(11)
}

/// What a payment costs, in won.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Amounts {
    #[serde(rename = "total_amount")]
    total: i64,
    #[serde(rename = "tax_free_amount")]
    tax_free: i64,
    #[serde(rename = "vat_amount")]
    vat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    green_deposit: Option<i64>,
}

impl Amounts {
    /// `total` of which `tax_free` bears no tax; the tax is KakaoPay's default and is sent, so
    /// that both sides compute the same. A total of 0 only issues a recurring key.
    pub fn new(total: i64, tax_free: i64) -> Result<Self, InvalidRequest> {
        if total < 0 {
            return Err(InvalidRequest::new("total_amount", "is negative"));
        }
        if tax_free < 0 || total < tax_free {
            return Err(InvalidRequest::new("tax_free_amount", "is not within the total"));
        }
        Ok(Self { total, tax_free, vat: default_vat(total, tax_free), green_deposit: None })
    }

    /// Replaces the default tax.
    pub fn with_vat(mut self, vat: i64) -> Result<Self, InvalidRequest> {
        if vat < 0 || self.total - self.tax_free < vat {
            return Err(InvalidRequest::new("vat_amount", "is not within the taxed part"));
        }
        self.vat = vat;
        Ok(self)
    }

    /// Adds a cup deposit. Such a payment can only be cancelled whole.
    pub fn with_green_deposit(mut self, deposit: i64) -> Result<Self, InvalidRequest> {
        if deposit < 0 || self.total < deposit {
            return Err(InvalidRequest::new("green_deposit", "is not within the total"));
        }
        self.green_deposit = Some(deposit);
        Ok(self)
    }

    /// The whole sum.
    pub const fn total(&self) -> i64 {
        self.total
    }

    /// The part that bears no tax.
    pub const fn tax_free(&self) -> i64 {
        self.tax_free
    }

    /// The tax within the rest.
    pub const fn vat(&self) -> i64 {
        self.vat
    }

    /// The tax within the first `taxed` won of the taxed part: the default, bent to end at exactly
    /// this payment's tax. Never falls, and rises by at most a won for a won.
    fn vat_within(&self, taxed: i64) -> i64 {
        let whole = self.total - self.tax_free;
        let taxed = taxed.clamp(0, whole);
        let least = (self.vat - (whole - taxed)).max(0);
        default_vat(taxed, 0).clamp(least, self.vat.min(taxed))
    }
}

/// What was cancelled of a payment before a cancellation, in won.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CancelledBefore {
    /// The sum.
    pub total: i64,
    /// The part of it that bore no tax.
    pub tax_free: i64,
}

/// What a cancellation refunds, in won.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CancelAmounts {
    #[serde(rename = "cancel_amount")]
    total: i64,
    #[serde(rename = "cancel_tax_free_amount")]
    tax_free: i64,
    #[serde(rename = "cancel_vat_amount")]
    vat: i64,
}

impl CancelAmounts {
    /// A positive `total` of which `tax_free` bore no tax; the tax is KakaoPay's default.
    pub fn new(total: i64, tax_free: i64) -> Result<Self, InvalidRequest> {
        if total < 1 {
            return Err(InvalidRequest::new("cancel_amount", "is less than one won"));
        }
        if tax_free < 0 || total < tax_free {
            return Err(InvalidRequest::new("cancel_tax_free_amount", "is not within the sum"));
        }
        Ok(Self { total, tax_free, vat: default_vat(total, tax_free) })
    }

    /// The part of `paid` that follows `before`: its tax is the growth of the tax of everything
    /// cancelled, so that the parts together carry the tax of the whole, and the last one what is
    /// left. The defaults of the parts may exceed it: 100 won bear 9 won of tax, two halves 5 each.
    pub fn part_of(
        paid: &Amounts,
        before: CancelledBefore,
        total: i64,
        tax_free: i64,
    ) -> Result<Self, InvalidRequest> {
        let part = Self::new(total, tax_free)?;
        let taxed_before = before.total - before.tax_free;
        let taxed_after = taxed_before + (total - tax_free);
        let vat = paid.vat_within(taxed_after) - paid.vat_within(taxed_before);
        part.with_vat(vat)
    }

    /// Replaces the default tax.
    pub fn with_vat(mut self, vat: i64) -> Result<Self, InvalidRequest> {
        if vat < 0 || self.total - self.tax_free < vat {
            return Err(InvalidRequest::new("cancel_vat_amount", "is not within the taxed part"));
        }
        self.vat = vat;
        Ok(self)
    }

    /// The sum refunded.
    pub const fn total(&self) -> i64 {
        self.total
    }

    /// The part of it that bore no tax.
    pub const fn tax_free(&self) -> i64 {
        self.tax_free
    }

    /// The tax in the rest.
    pub const fn vat(&self) -> i64 {
        self.vat
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_tax_is_the_documented_one() {
        let documented = [(2_200, 0, 200), (9_900, 0, 900), (19_900, 0, 1_809), (32_900, 0, 2_991)];
        for (total, tax_free, vat) in documented.into_iter().chain([(1_000, 100, 82), (0, 0, 0)]) {
            assert_eq!(default_vat(total, tax_free), vat, "{total} of which {tax_free} tax free");
        }
    }

    /// Cancels `paid` in these parts, the taxed won first, and checks what each part sends.
    fn cancel_in(paid: &Amounts, parts: &[i64]) {
        let taxed = paid.total() - paid.tax_free();
        let mut before = CancelledBefore { total: 0, tax_free: 0 };
        let mut vat_left = paid.vat();
        for part in parts {
            let tax_free = (before.total + part - taxed).clamp(0, *part);
            let sent = CancelAmounts::part_of(paid, before, *part, tax_free).expect("a part");
            assert!(sent.vat() <= vat_left, "{paid:?} in {parts:?}: {sent:?}, {vat_left} left");
            assert!(
                sent.vat() <= sent.total() - sent.tax_free(),
                "{paid:?} in {parts:?}: {sent:?}"
            );
            vat_left -= sent.vat();
            before.total += sent.total();
            before.tax_free += sent.tax_free();
        }
        assert_eq!(before.total, paid.total());
        assert_eq!((before.tax_free, vat_left), (paid.tax_free(), 0), "{paid:?} in {parts:?}");
    }

    /// A repeatable stream of numbers below a bound.
    fn numbers(mut seed: u64) -> impl FnMut(i64) -> i64 {
        move |bound| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            i64::try_from(seed >> 33).expect("31 bits") % bound
        }
    }

    #[test]
    fn two_halves_of_a_hundred_won_send_the_tax_of_a_hundred_won() {
        let paid = Amounts::new(100, 0).expect("amounts");
        let first = CancelledBefore { total: 0, tax_free: 0 };
        let last = CancelledBefore { total: 50, tax_free: 0 };
        let vats = [first, last]
            .map(|before| CancelAmounts::part_of(&paid, before, 50, 0).expect("a half").vat());
        assert_eq!(vats, [5, 4]);
    }

    #[test]
    fn however_a_payment_is_cancelled_its_parts_send_its_tax_and_no_more() {
        let mut below = numbers(7);
        for _ in 0..3_000 {
            let most = [200, 50_000, 100_000_000][usize::try_from(below(3)).expect("an index")];
            let total = 1 + below(most);
            let tax_free = if below(2) == 0 { 0 } else { below(total + 1) };
            let mut paid = Amounts::new(total, tax_free).expect("amounts");
            if below(4) == 0 {
                paid = paid.with_vat(below(total - tax_free + 1)).expect("a tax");
            }
            let count = (1 + below(100)).min(total);
            let mut cuts: Vec<i64> = (1..count).map(|_| 1 + below(total)).collect();
            cuts.push(total);
            cuts.sort_unstable();
            cuts.dedup();
            let parts: Vec<i64> = cuts
                .iter()
                .scan(0, |last, cut| Some(cut - std::mem::replace(last, *cut)))
                .collect();
            cancel_in(&paid, &parts);
        }
        for total in 1..300 {
            let paid = Amounts::new(total, 0).expect("amounts");
            cancel_in(&paid, &vec![1; usize::try_from(total).expect("a count")]);
        }
    }

    #[test]
    fn parts_whose_tax_free_share_was_fixed_before_another_was_refused_still_add_up() {
        let paid = Amounts::new(100, 50).expect("amounts");
        let first =
            CancelAmounts::part_of(&paid, CancelledBefore { total: 0, tax_free: 0 }, 40, 40);
        let before = CancelledBefore { total: 40, tax_free: 40 };
        let last = CancelAmounts::part_of(&paid, before, 60, 10);
        let vats = [first, last].map(|part| part.expect("a part").vat());
        assert_eq!(vats, [0, paid.vat()]);
    }

    #[test]
    fn sums_that_do_not_fit_one_another_are_refused() {
        assert!(Amounts::new(-1, 0).is_err());
        assert!(Amounts::new(100, 101).is_err());
        assert!(Amounts::new(100, -1).is_err());
        assert!(Amounts::new(100, 50).is_ok_and(|amounts| amounts.with_vat(51).is_err()));
        assert!(Amounts::new(0, 0).is_ok());
        assert!(CancelAmounts::new(0, 0).is_err());
        assert!(CancelAmounts::new(10, 11).is_err());
        assert!(CancelAmounts::new(10, 0).is_ok_and(|amounts| amounts.with_vat(11).is_err()));
    }
}

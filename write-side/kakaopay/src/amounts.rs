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
}

/// What a cancellation gives back, in won.
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

    /// Replaces the default tax. The rounded taxes of several partial cancellations can exceed
    /// the tax of the whole by a won, so whoever cancels the rest gives the tax that is left.
    pub fn with_vat(mut self, vat: i64) -> Result<Self, InvalidRequest> {
        if vat < 0 || self.total - self.tax_free < vat {
            return Err(InvalidRequest::new("cancel_vat_amount", "is not within the taxed part"));
        }
        self.vat = vat;
        Ok(self)
    }

    /// The sum given back.
    pub const fn total(&self) -> i64 {
        self.total
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

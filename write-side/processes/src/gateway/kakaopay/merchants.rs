//! The merchant codes. A payment and a recurring key keep the code they were made with: KakaoPay knows
//! neither under another one, and the shop's contract may change.

use std::fmt;

use contracts::Text;
use domain::effects::PaymentTerms;
use kakaopay::{Cid, Merchant};

use super::super::BillingSecret;
use super::Built;

/// The codes of today's contract, with their secrets.
pub struct Merchants {
    /// The merchant code of payments made once.
    pub one_time: Merchant,
    /// The merchant code of payments that yield a recurring key, and of its charges.
    pub recurring: Merchant,
}

impl Merchants {
    /// The code that calls about this payment go through.
    pub(super) fn of_payment(&self, terms: &PaymentTerms) -> Built<Merchant> {
        let configured = match terms.billing_key {
            Some(_) => &self.recurring,
            None => &self.one_time,
        };
        self.recorded_or(terms.merchant.as_ref(), configured)
    }

    /// The code that calls about this recurring key go through.
    pub(super) fn of_key(&self, key: &BillingSecret) -> Built<Merchant> {
        self.recorded_or(key.merchant.as_ref(), &self.recurring)
    }

    /// A recorded code is used with the secret that is configured for it, and without one where it
    /// is configured no more.
    fn recorded_or(&self, code: Option<&Text<64>>, configured: &Merchant) -> Built<Merchant> {
        let Some(code) = code else { return Ok(configured.clone()) };
        let mut known = [&self.one_time, &self.recurring].into_iter();
        match known.find(|merchant| merchant.cid().as_str() == code.as_str()) {
            Some(merchant) => Ok(merchant.clone()),
            None => Ok(Merchant::new(Cid::new(code.as_str())?)),
        }
    }
}

impl fmt::Debug for Merchants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes = [self.one_time.cid().as_str(), self.recurring.cid().as_str()];
        f.debug_tuple("Merchants").field(&codes).finish()
    }
}

/// The code of `merchant`, to be recorded.
pub(super) fn code_of(merchant: &Merchant) -> Option<Text<64>> {
    Text::parse(merchant.cid().as_str()).ok()
}

#[cfg(test)]
mod tests {
    use kakaopay::CidSecret;

    use super::*;

    #[test]
    fn a_recorded_code_brings_its_own_secret_or_none() {
        let merchant = |cid: &str| Merchant::new(Cid::new(cid).unwrap());
        let one_time = merchant("CT00000001").with_secret(CidSecret::new("a").unwrap());
        let recurring = merchant("CT00000002").with_secret(CidSecret::new("b").unwrap());
        let merchants = Merchants { one_time: one_time.clone(), recurring: recurring.clone() };
        let code = |text: &str| Text::parse(text).unwrap();
        let used =
            |recorded: Option<&Text<64>>| merchants.recorded_or(recorded, &one_time).unwrap();
        assert_eq!(used(None), one_time);
        assert_eq!(used(Some(&code("CT00000001"))), one_time);
        assert_eq!(used(Some(&code("CT00000002"))), recurring);
        assert_eq!(used(Some(&code("TC0ONETIME"))), merchant("TC0ONETIME"));
        assert!(merchants.recorded_or(Some(&code("longer than a code")), &one_time).is_err());
    }
}

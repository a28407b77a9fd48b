//! Compares an answer with what we know, before it is believed.

use crate::answers::Amount;
use crate::values::{PartnerIds, Tid};

/// What we know of a payment, to hold an answer against before believing it.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Our merchant code.
    pub cid: &'a str,
    /// The payment's name, where we knew it beforehand.
    pub tid: Option<&'a Tid>,
    /// Our names of order and payer.
    pub partner: &'a PartnerIds,
    /// The whole sum in won.
    pub total: i64,
    /// The tax-free part in won.
    pub tax_free: i64,
    /// The tax in won.
    pub vat: i64,
}

/// A field in which an answer is not the one to our request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Difference {
    /// Another merchant code.
    Cid,
    /// Another payment.
    Tid,
    /// Another order of ours.
    PartnerOrder,
    /// Another payer.
    PartnerUser,
    /// Another recurring key.
    Sid,
    /// Another sum.
    Total,
    /// Another tax-free part.
    TaxFree,
    /// Another tax.
    Vat,
}

impl Difference {
    /// KakaoPay's name of the field.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Cid => "cid",
            Self::Tid => "tid",
            Self::PartnerOrder => "partner_order_id",
            Self::PartnerUser => "partner_user_id",
            Self::Sid => "sid",
            Self::Total => "amount.total",
            Self::TaxFree => "amount.tax_free",
            Self::Vat => "amount.vat",
        }
    }
}

impl Expected<'_> {
    pub(crate) fn differences(
        &self,
        cid: &str,
        tid: &Tid,
        (order, user): (&str, &str),
        amount: Amount,
    ) -> Vec<Difference> {
        let checks = [
            (Difference::Cid, self.cid == cid),
            (Difference::Tid, self.tid.is_none_or(|expected| expected == tid)),
            (Difference::PartnerOrder, self.partner.order() == order),
            (Difference::PartnerUser, self.partner.user() == user),
            (Difference::Total, self.total == amount.total),
            // Sent by us when the payment was opened, and nothing later can change it: an answer
            // that leaves it out is still the one about this money.
            (Difference::TaxFree, amount.tax_free.is_none_or(|it| it == self.tax_free)),
            (Difference::Vat, amount.vat.is_none_or(|it| it == self.vat)),
        ];
        checks.into_iter().filter(|(_, same)| !same).map(|(difference, _)| difference).collect()
    }
}

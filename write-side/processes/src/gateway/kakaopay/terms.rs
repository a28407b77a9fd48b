//! A payment's terms as KakaoPay's requests state them, and in what an answer departs from them.

use contracts::Won;
use contracts::events::{ApprovedAmount, PaymentMethod};
use domain::effects::PaymentTerms;
use kakaopay::{
    Amount, Amounts, CancelAmounts, CancelledBefore, Difference, Expected, Merchant, OrderStatus,
};
use kakaopay::{PartnerIds, Tid};

use super::super::CancelRequest;
use super::Built;

pub(super) fn expected<'a>(
    merchant: &'a Merchant,
    tid: Option<&'a Tid>,
    partner: &'a PartnerIds,
    terms: &PaymentTerms,
) -> Expected<'a> {
    Expected {
        cid: merchant.cid().as_str(),
        tid,
        partner,
        total: terms.amount.amount(),
        tax_free: terms.tax_free.amount(),
        vat: terms.vat.amount(),
    }
}

/// In what a cancellation's answer is not the one to our request. Fields that old answers lack are
/// compared when they are there.
pub(super) fn cancel_differences(
    answer: &kakaopay::Cancellation,
    merchant: &Merchant,
    request: &CancelRequest,
) -> Vec<Difference> {
    let terms = &request.payment.terms;
    let (total, asked) = (terms.amount.amount(), request.amount.amount());
    let given_back = total - request.refundable_before.amount() + asked;
    let is = |part: Option<Amount>, sum: i64| part.is_none_or(|amount| amount.total == sum);
    let is_all = given_back == total;
    let status_fits = matches!(
        (&answer.status, is_all),
        (OrderStatus::PartCancelPayment, false)
            | (OrderStatus::CancelPayment, true)
            | (OrderStatus::Other(_), _)
    );
    let partner = terms.partner_order_id.as_str();
    let checks = [
        (Difference::Cid, answer.cid == merchant.cid().as_str()),
        (Difference::Tid, answer.tid.as_str() == request.payment.payment_ref.as_str()),
        (
            Difference::PartnerOrder,
            answer.partner_order_id.as_deref().is_none_or(|it| it == partner),
        ),
        (Difference::Total, answer.amount.total == total),
        (Difference::Total, is(answer.approved_cancel_amount, asked)),
        (Difference::Total, is(answer.canceled_amount, given_back)),
        (Difference::Total, is(answer.cancel_available_amount, total - given_back)),
        (Difference::Total, status_fits),
    ];
    checks.into_iter().filter(|(_, same)| !same).map(|(difference, _)| difference).collect()
}

pub(super) fn amounts(terms: &PaymentTerms) -> Built<Amounts> {
    Amounts::new(terms.amount.amount(), terms.tax_free.amount())?.with_vat(terms.vat.amount())
}

/// The tax of a part follows from what has really been refunded: refunds that the gateway refused
/// in between count for nothing.
pub(super) fn cancel_amounts(request: &CancelRequest) -> Built<CancelAmounts> {
    let terms = &request.payment.terms;
    let before = CancelledBefore {
        total: terms.amount.amount() - request.refundable_before.amount(),
        tax_free: request.tax_free_before.amount(),
    };
    let (total, tax_free) = (request.amount.amount(), request.tax_free.amount());
    CancelAmounts::part_of(&amounts(terms)?, before, total, tax_free)
}

/// What an answer that was compared with `terms` booked. A tax that it leaves out is the one that
/// the payment was opened with.
pub(super) fn approved_amount(amount: Amount, terms: &PaymentTerms) -> Option<ApprovedAmount> {
    let stated = |part: Option<i64>, asked: Won| match part {
        Some(part) => Won::try_from(part).ok(),
        None => Some(asked),
    };
    Some(ApprovedAmount {
        total: Won::try_from(amount.total).ok()?,
        tax_free: stated(amount.tax_free, terms.tax_free)?,
        vat: stated(amount.vat, terms.vat)?,
        point: Won::try_from(amount.point).ok()?,
        discount: Won::try_from(amount.discount).ok()?,
    })
}

pub(super) fn method(method: Option<&kakaopay::PaymentMethod>) -> PaymentMethod {
    match method {
        Some(kakaopay::PaymentMethod::Card) => PaymentMethod::Card,
        Some(kakaopay::PaymentMethod::Money) => PaymentMethod::Money,
        Some(kakaopay::PaymentMethod::Other(_)) | None => PaymentMethod::Other,
    }
}

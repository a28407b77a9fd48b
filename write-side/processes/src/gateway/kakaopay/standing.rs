//! How a payment stands, read from the answer to a look-up that was compared with its terms.

use contracts::{Text, Won};
use domain::effects::PaymentTerms;
use kakaopay::{ActionType, Difference, OrderStatus};
use service_kit::config::Secret;

use super::super::{BillingSecret, GivenBack, Paid, PaymentState, Standing};
use super::KakaoPayGateway;
use super::terms::{approved_amount, method};

impl KakaoPayGateway {
    /// `None` when the answer does not state how it stands: then nothing follows from it.
    pub(super) fn standing(
        &self,
        answer: &kakaopay::Order,
        terms: &PaymentTerms,
        payment_ref: &Text<64>,
    ) -> Option<Standing> {
        let state = if answer.status.was_paid() {
            PaymentState::Paid(self.paid_from(answer, terms, payment_ref)?)
        } else if answer.status.is_failed() {
            PaymentState::Failed { code: Text::parse(answer.status.as_str()).ok()? }
        } else if answer.status.is_pending() {
            let opened_at = answer.created_at.map(kakaopay::KstTime::to_utc);
            PaymentState::Pending { opened_at }
        } else if answer.status == OrderStatus::IssuedSid {
            // With a sum to pay, a key alone contradicts it.
            terms.amount.is_zero().then_some(PaymentState::KeyIssued)?
        } else {
            PaymentState::Other(answer.status.as_str().to_owned())
        };
        let actions = &answer.payment_action_details.readable;
        let last = actions.iter().rfind(|it| it.payment_action_type == ActionType::Cancel);
        let last_given_back = last.and_then(|action| {
            let at = action.approved_at.or(answer.canceled_at).map(kakaopay::KstTime::to_utc);
            Some(GivenBack {
                action_ref: Some(Text::parse(action.aid.as_str()).ok()?),
                amount: Won::try_from(action.amount?).ok()?,
                at: at.unwrap_or_else(|| self.now()),
            })
        });
        let given_back = Won::try_from(answer.canceled_total()?).ok()?;
        Some(Standing { state, given_back, last_given_back })
    }

    /// The approval as a look-up tells it. The name of the action is the one thing that KakaoPay
    /// may leave out there; money that moved is not called unknown for want of a name.
    fn paid_from(
        &self,
        answer: &kakaopay::Order,
        terms: &PaymentTerms,
        payment_ref: &Text<64>,
    ) -> Option<Paid> {
        let action = answer
            .payment_action_details
            .readable
            .iter()
            .rfind(|it| it.payment_action_type == ActionType::Payment);
        let aid = match answer.approval_aid() {
            Some(aid) => aid.as_str().to_owned(),
            None => format!("looked-up-{payment_ref}"),
        };
        let told = answer.approved_at.or_else(|| action.and_then(|it| it.approved_at));
        let approved_at = told.or(answer.created_at).map(kakaopay::KstTime::to_utc);
        Some(Paid {
            payment_ref: payment_ref.clone(),
            action_ref: Text::parse(&aid).ok()?,
            amount: approved_amount(answer.amount, terms)?,
            method: method(answer.payment_method_type.as_ref()),
            approved_at: approved_at.unwrap_or_else(|| self.now()),
            key: answer.sid.as_ref().map(|sid| BillingSecret {
                secret: Secret::new(sid.as_str()),
                partner_user_id: answer.partner_user_id.clone(),
                merchant: Text::parse(&answer.cid).ok(),
            }),
        })
    }
}

/// Our payment with other sums than ours, once it was cancelled in full: what an operator does about a
/// mismatch. `None` for every other mismatch.
pub(super) fn undone(answer: &kakaopay::Order, differences: &[Difference]) -> Option<Standing> {
    let is_ours = differences.iter().all(|difference| {
        matches!(difference, Difference::Total | Difference::TaxFree | Difference::Vat)
    });
    let is_undone = answer.status == OrderStatus::CancelPayment
        && answer.canceled_total() == Some(answer.amount.total);
    if !is_ours || !is_undone {
        return None;
    }
    let given_back = Won::try_from(answer.amount.total).ok()?;
    Some(Standing { state: PaymentState::Undone, given_back, last_given_back: None })
}

//! KakaoPay behind the port: builds its requests, holds its answers against them, and says in the
//! port's words what they mean.
//!
//! The merchant code follows the effect: an attempt that is to yield a recurring key is opened with
//! the recurring code, every other one with the one-time code, and keeps it ([`Merchants`]). The payer is named by a keyed
//! digest of the user's id, never by personal data.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::Text;
use contracts::events::RedirectUrls;
use domain::effects::PaymentTerms;
use kakaopay::{
    ApproveRequest, Client, Difference, InvalidRequest, Item, Merchant, Operation, OrderRequest,
    PartnerIds, PgToken, ReadyRequest, Sid, SidRequest, SidState, SubscriptionRequest, Tid,
};
use service_kit::clock::{BoxFuture, SharedClock};
use service_kit::config::Secret;
use service_kit::digest::Pepper;
use service_kit::return_url::ReturnUrls;
use url::Url;

use super::lane::Lane;
use super::{
    Admission, BillingSecret, BillingStanding, CallClass, CancelRequest, Capabilities,
    ChargeRequest, Checkout, CheckoutRequest, CompletionRequest, GivenBack, NotSent, Outcome, Paid,
    PaymentGateway, PaymentQuestion, Standing,
};

mod access;
mod meaning;
mod merchants;
mod opening;
mod standing;
mod terms;

use access::Access;
use meaning::{lost, mismatch, unbuildable};
pub use merchants::Merchants;
use merchants::code_of;
use opening::{CallTime, Openings};
use standing::undone;
use terms::{amounts, approved_amount, cancel_amounts, cancel_differences, expected, method};

/// How long a payment page lives; the tid dies with it.
pub const PAGE_LIFETIME: TimeDelta = TimeDelta::minutes(15);
/// What the payer's pseudonym is derived under; part of every recurring key's identity.
const PARTNER_USER_DIGEST: &str = "kakaopay.partner_user";

/// What a call needs that cannot be put together.
type Built<T> = Result<T, InvalidRequest>;

/// The one implementation of [`PaymentGateway`].
pub struct KakaoPayGateway {
    parts: KakaoPayParts,
    access: Access,
    openings: Openings,
}

/// What [`KakaoPayGateway`] is put together from.
pub struct KakaoPayParts {
    /// Calls of shoppers at the checkout: ready, approve, cancel.
    pub checkout: Lane,
    /// Charges of recurring keys.
    pub charge: Lane,
    /// Questions.
    pub look_up: Lane,
    /// Keeps no connection: the answer to a recurring approval holds the key and nothing else does, so
    /// it never goes over a kept-alive connection that the other side may just have closed.
    pub fresh: Client,
    /// The merchant codes.
    pub merchants: Merchants,
    /// Where browsers come back to.
    pub return_urls: ReturnUrls,
    /// Derives the payers' pseudonyms.
    pub pepper: Pepper,
    /// Tells the time where an answer does not.
    pub clock: SharedClock,
}

impl KakaoPayGateway {
    /// Opens no connection yet.
    pub fn new(parts: KakaoPayParts) -> Self {
        Self { parts, access: Access::default(), openings: Openings::default() }
    }

    fn merchant(&self, terms: &PaymentTerms) -> Built<Merchant> {
        self.parts.merchants.of_payment(terms)
    }

    fn partner_user(&self, terms: &PaymentTerms) -> String {
        self.parts.pepper.digest(PARTNER_USER_DIGEST, &terms.user_id.to_string())
    }

    fn partner(&self, terms: &PaymentTerms) -> Built<PartnerIds> {
        PartnerIds::new(terms.partner_order_id.as_str(), self.partner_user(terms))
    }

    async fn ready(&self, request: &CheckoutRequest, admission: Admission) -> Outcome<Checkout> {
        let built = self.merchant(&request.terms).and_then(|merchant| {
            let body = self.ready_body(request, merchant.clone())?;
            Ok((body, merchant))
        });
        let (body, merchant) = match built {
            Ok(built) => built,
            Err(invalid) => return unbuildable(&invalid),
        };
        let id = Some(request.correlation_id.as_str());
        let lane = &self.parts.checkout;
        let asked_at = self.now();
        let call =
            lane.call_admitted(admission, Operation::Ready, |client| client.ready(&body, id));
        let answer = match self.access.answer(Operation::Ready, call.await) {
            Ok(answer) => answer,
            Err(outcome) => return outcome.into(),
        };
        let took = CallTime { asked_at, answered_at: self.now() };
        let stated = answer.created_at.map(kakaopay::KstTime::to_utc);
        let opened_at = self.openings.opened_at(stated, took);
        let redirect = (|| {
            Some(RedirectUrls {
                pc: Text::parse(answer.next_redirect_pc_url.as_str()).ok()?,
                mobile: Text::parse(answer.next_redirect_mobile_url.as_str()).ok()?,
                app: Text::parse(answer.next_redirect_app_url.as_str()).ok()?,
            })
        })();
        let (Some(redirect), Ok(payment_ref)) = (redirect, Text::parse(answer.tid.as_str())) else {
            return lost("unknown.unreadable");
        };
        let expires_at = opened_at + PAGE_LIFETIME;
        let merchant = code_of(&merchant);
        Outcome::Done(Checkout { payment_ref, redirect, opened_at, expires_at, merchant })
    }

    fn ready_body(&self, request: &CheckoutRequest, merchant: Merchant) -> Built<ReadyRequest> {
        let terms = &request.terms;
        let urls = &self.parts.return_urls;
        let (order, attempt) = (request.order_id, terms.attempt);
        let url = |text: String| {
            Url::parse(&text)
                .map_err(|_malformed| InvalidRequest { field: "approval_url", rule: "is no url" })
        };
        Ok(ReadyRequest::new(
            merchant,
            self.partner(terms)?,
            Item::new(request.item_name.as_str(), i64::from(request.quantity))?,
            amounts(terms)?,
            kakaopay::ReturnUrls::new(
                url(urls.approval(order, attempt))?,
                url(urls.cancel(order, attempt))?,
                url(urls.fail(order, attempt))?,
            )?,
        ))
    }

    async fn approve(&self, request: &CompletionRequest, admission: Admission) -> Outcome<Paid> {
        let question = &request.payment;
        let terms = &question.terms;
        let built = (|| {
            let (partner, tid) = (self.partner(terms)?, Tid::new(question.payment_ref.as_str())?);
            let (merchant, token) = (self.merchant(terms)?, PgToken::new(request.token.expose())?);
            let body = ApproveRequest::new(merchant.clone(), tid.clone(), partner.clone(), token);
            Ok((body.expecting_total(terms.amount.amount()), merchant, partner, tid))
        })();
        let (body, merchant, partner, tid) = match built {
            Ok(built) => built,
            Err(invalid) => return unbuildable(&invalid),
        };
        let id = Some(question.correlation_id.as_str());
        let call = self.parts.checkout.call_admitted(admission, Operation::Approve, |pooled| {
            let client = if terms.billing_key.is_some() { &self.parts.fresh } else { pooled };
            client.approve(&body, id)
        });
        match self.access.answer(Operation::Approve, call.await) {
            Ok(answer) => {
                let expected = expected(&merchant, Some(&tid), &partner, terms);
                let differences = answer.differences(&expected);
                believed(Operation::Approve, &differences, terms, answer)
            }
            Err(outcome) => outcome.into(),
        }
    }

    async fn subscription(&self, request: &ChargeRequest, admission: Admission) -> Outcome<Paid> {
        let (terms, key) = (&request.terms, &request.key);
        let built = (|| {
            let (merchant, sid) =
                (self.parts.merchants.of_key(key)?, Sid::new(key.secret.expose())?);
            // The payer as the key was issued to; today's pepper may derive another name.
            let partner = PartnerIds::new(terms.partner_order_id.as_str(), &key.partner_user_id)?;
            let item = Item::new(request.item_name.as_str(), i64::from(request.quantity))?;
            let body = SubscriptionRequest::new(
                merchant.clone(),
                sid.clone(),
                partner.clone(),
                item,
                amounts(terms)?,
            )?;
            Ok((body, merchant, partner, sid))
        })();
        let (body, merchant, partner, sid) = match built {
            Ok(built) => built,
            Err(invalid) => return unbuildable(&invalid),
        };
        let id = Some(request.correlation_id.as_str());
        let lane = &self.parts.charge;
        let call = lane.call_admitted(admission, Operation::Subscription, |client| {
            client.subscription(&body, id)
        });
        match self.access.answer(Operation::Subscription, call.await) {
            Ok(answer) => {
                let mut differences =
                    answer.differences(&expected(&merchant, None, &partner, terms));
                if answer.sid.as_ref().is_some_and(|stated| *stated != sid) {
                    differences.push(Difference::Sid);
                }
                believed(Operation::Subscription, &differences, terms, answer)
            }
            Err(outcome) => outcome.into(),
        }
    }

    async fn order(&self, question: &PaymentQuestion) -> Outcome<Standing> {
        let terms = &question.terms;
        let built = (|| {
            let tid = Tid::new(question.payment_ref.as_str())?;
            Ok((self.merchant(terms)?, self.partner(terms)?, tid))
        })();
        let (merchant, partner, tid) = match built {
            Ok(built) => built,
            Err(invalid) => return unbuildable(&invalid),
        };
        let body = OrderRequest::new(merchant.clone(), tid.clone());
        let id = Some(question.correlation_id.as_str());
        let call = self.parts.look_up.call(Operation::Order, |client| client.order(&body, id));
        let answer = match self.access.answer(Operation::Order, call.await) {
            Ok(answer) => answer,
            Err(outcome) => return outcome.into(),
        };
        let differences = answer.differences(&expected(&merchant, Some(&tid), &partner, terms));
        if !differences.is_empty() {
            let undone = undone(&answer, &differences);
            return undone.map_or_else(|| mismatch(Operation::Order, &differences), Outcome::Done);
        }
        match self.standing(&answer, terms, &question.payment_ref) {
            Some(standing) => Outcome::Done(standing),
            None => lost("unknown.unreadable"),
        }
    }

    async fn give_back(&self, request: &CancelRequest, admission: Admission) -> Outcome<GivenBack> {
        let question = &request.payment;
        let terms = &question.terms;
        let built = (|| {
            let (merchant, tid) = (self.merchant(terms)?, Tid::new(question.payment_ref.as_str())?);
            let available = request.refundable_before.amount();
            let amounts = cancel_amounts(request)?;
            let body = kakaopay::CancelRequest::new(merchant.clone(), tid, amounts, available)?;
            Ok((body, merchant))
        })();
        let (body, merchant) = match built {
            Ok(built) => built,
            Err(invalid) => return unbuildable(&invalid),
        };
        let id = Some(question.correlation_id.as_str());
        let lane = &self.parts.checkout;
        let call =
            lane.call_admitted(admission, Operation::Cancel, |client| client.cancel(&body, id));
        let answer = match self.access.answer(Operation::Cancel, call.await) {
            Ok(answer) => answer,
            Err(outcome) => return outcome.into(),
        };
        let differences = cancel_differences(&answer, &merchant, request);
        if !differences.is_empty() {
            return mismatch(Operation::Cancel, &differences);
        }
        let at = answer.canceled_at.map_or_else(|| self.now(), kakaopay::KstTime::to_utc);
        let action_ref = Text::parse(answer.aid.as_str()).ok();
        Outcome::Done(GivenBack { action_ref, amount: request.amount, at })
    }

    async fn inactive(&self, key: &BillingSecret) -> Outcome<()> {
        let (body, merchant, sid) = match self.about_key(key) {
            Ok(built) => built,
            Err(invalid) => return unbuildable(&invalid),
        };
        let lane = &self.parts.charge;
        let call = lane.call(Operation::Inactive, |client| client.inactive(&body, None));
        let answer = match self.access.answer(Operation::Inactive, call.await) {
            Ok(answer) => answer,
            Err(outcome) => return outcome.into(),
        };
        let differences = answer.differences(merchant.cid().as_str(), &sid);
        if !differences.is_empty() {
            return mismatch(Operation::Inactive, &differences);
        }
        match answer.status {
            SidState::Inactive => Outcome::Done(()),
            SidState::Active | SidState::Other(_) => lost("unknown.still_active"),
        }
    }

    async fn status(&self, key: &BillingSecret) -> Outcome<BillingStanding> {
        let (body, merchant, sid) = match self.about_key(key) {
            Ok(built) => built,
            Err(invalid) => return unbuildable(&invalid),
        };
        let lane = &self.parts.look_up;
        let call = lane.call(Operation::Status, |client| client.status(&body, None));
        let answer = match self.access.answer(Operation::Status, call.await) {
            Ok(answer) => answer,
            Err(outcome) => return outcome.into(),
        };
        let differences = answer.differences(merchant.cid().as_str(), &sid);
        if !differences.is_empty() {
            return mismatch(Operation::Status, &differences);
        }
        Outcome::Done(BillingStanding {
            is_active: answer.status == SidState::Active,
            last_approved_at: answer.last_approved_at.map(kakaopay::KstTime::to_utc),
        })
    }

    fn about_key(&self, key: &BillingSecret) -> Built<(SidRequest, Merchant, Sid)> {
        let (merchant, sid) = (self.parts.merchants.of_key(key)?, Sid::new(key.secret.expose())?);
        Ok((SidRequest::new(merchant.clone(), sid.clone()), merchant, sid))
    }

    fn now(&self) -> DateTime<Utc> {
        self.parts.clock.now()
    }
}

/// An approval, once it is certain that it is the answer to our request.
fn believed(
    operation: Operation,
    differences: &[Difference],
    terms: &PaymentTerms,
    answer: kakaopay::Approval,
) -> Outcome<Paid> {
    if !differences.is_empty() {
        return mismatch(operation, differences);
    }
    let key = answer.sid.map(|sid| BillingSecret {
        secret: Secret::new(sid.as_str()),
        partner_user_id: answer.partner_user_id,
        merchant: Text::parse(&answer.cid).ok(),
    });
    let parts = (
        Text::parse(answer.tid.as_str()),
        Text::parse(answer.aid.as_str()),
        approved_amount(answer.amount, terms),
    );
    let (Ok(payment_ref), Ok(action_ref), Some(amount)) = parts else {
        return mismatch(operation, &[Difference::Tid]);
    };
    Outcome::Done(Paid {
        payment_ref,
        action_ref,
        amount,
        method: method(answer.payment_method_type.as_ref()),
        approved_at: answer.approved_at.to_utc(),
        key,
    })
}

impl PaymentGateway for KakaoPayGateway {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            looks_up_by_attempt: false,
            has_idempotency_keys: false,
            tells_billing_status: true,
            looks_up_billing_key: false,
            sends_webhooks: false,
        }
    }

    fn checkout_pause(&self) -> Option<Duration> {
        self.parts.checkout.open_for()
    }

    fn admit(&self, class: CallClass) -> BoxFuture<'_, Result<Admission, NotSent>> {
        let lane = match class {
            CallClass::Checkout => &self.parts.checkout,
            CallClass::Charge => &self.parts.charge,
        };
        Box::pin(async { Ok(Admission { pass: Some(lane.admit().await?) }) })
    }

    fn begin_checkout<'a>(
        &'a self,
        request: &'a CheckoutRequest,
        admission: Admission,
    ) -> BoxFuture<'a, Outcome<Checkout>> {
        Box::pin(self.ready(request, admission))
    }

    fn complete_checkout<'a>(
        &'a self,
        request: &'a CompletionRequest,
        admission: Admission,
    ) -> BoxFuture<'a, Outcome<Paid>> {
        Box::pin(self.approve(request, admission))
    }

    fn charge<'a>(
        &'a self,
        request: &'a ChargeRequest,
        admission: Admission,
    ) -> BoxFuture<'a, Outcome<Paid>> {
        Box::pin(self.subscription(request, admission))
    }

    fn look_up<'a>(&'a self, question: &'a PaymentQuestion) -> BoxFuture<'a, Outcome<Standing>> {
        Box::pin(self.order(question))
    }

    fn cancel<'a>(
        &'a self,
        request: &'a CancelRequest,
        admission: Admission,
    ) -> BoxFuture<'a, Outcome<GivenBack>> {
        Box::pin(self.give_back(request, admission))
    }

    fn deactivate<'a>(&'a self, key: &'a BillingSecret) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(self.inactive(key))
    }

    fn billing_status<'a>(
        &'a self,
        key: &'a BillingSecret,
    ) -> BoxFuture<'a, Outcome<BillingStanding>> {
        Box::pin(self.status(key))
    }
}

impl fmt::Debug for KakaoPayGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lanes = [&self.parts.checkout, &self.parts.charge, &self.parts.look_up];
        f.debug_tuple("KakaoPayGateway").field(&lanes).finish()
    }
}

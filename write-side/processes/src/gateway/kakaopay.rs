//! KakaoPay behind the port: builds its requests, holds its answers against them, and says in the
//! port's words what they mean.
//!
//! The merchant code follows the effect: an attempt that is to yield a recurring key goes through
//! the recurring code, every other one through the one-time code. The payer is named by a keyed
//! digest of the user's id, never by personal data.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::events::RedirectUrls;
use contracts::{Text, Won};
use domain::effects::PaymentTerms;
use kakaopay::{
    ActionType, ApproveRequest, Difference, InvalidRequest, Item, Merchant, Operation,
    OrderRequest, PartnerIds, PgToken, ReadyRequest, Sid, SidRequest, SidState,
    SubscriptionRequest, Tid,
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
    PaymentGateway, PaymentQuestion, PaymentState, Standing,
};

mod access;
mod meaning;
mod terms;

use access::Access;
use meaning::{lost, mismatch, unbuildable};
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
}

/// What [`KakaoPayGateway`] is put together from.
pub struct KakaoPayParts {
    /// Calls of shoppers at the checkout: ready, approve, cancel.
    pub checkout: Lane,
    /// Charges of recurring keys.
    pub charge: Lane,
    /// Questions.
    pub look_up: Lane,
    /// The merchant code of payments made once.
    pub one_time: Merchant,
    /// The merchant code of payments that yield a recurring key, and of its charges.
    pub recurring: Merchant,
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
        Self { parts, access: Access::default() }
    }

    fn merchant(&self, terms: &PaymentTerms) -> Merchant {
        match terms.billing_key {
            Some(_) => self.parts.recurring.clone(),
            None => self.parts.one_time.clone(),
        }
    }

    fn partner_user(&self, terms: &PaymentTerms) -> String {
        self.parts.pepper.digest(PARTNER_USER_DIGEST, &terms.user_id.to_string())
    }

    fn partner(&self, terms: &PaymentTerms) -> Built<PartnerIds> {
        PartnerIds::new(terms.partner_order_id.as_str(), self.partner_user(terms))
    }

    async fn ready(&self, request: &CheckoutRequest, admission: Admission) -> Outcome<Checkout> {
        let body = match self.ready_body(request) {
            Ok(body) => body,
            Err(invalid) => return unbuildable(&invalid),
        };
        let id = Some(request.correlation_id.as_str());
        let lane = &self.parts.checkout;
        let call =
            lane.call_admitted(admission, Operation::Ready, |client| client.ready(&body, id));
        let answer = match self.access.answer(Operation::Ready, call.await) {
            Ok(answer) => answer,
            Err(outcome) => return outcome.into(),
        };
        let opened_at = answer.created_at.map_or_else(|| self.now(), kakaopay::KstTime::to_utc);
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
        Outcome::Done(Checkout { payment_ref, redirect, opened_at, expires_at })
    }

    fn ready_body(&self, request: &CheckoutRequest) -> Built<ReadyRequest> {
        let terms = &request.terms;
        let urls = &self.parts.return_urls;
        let (order, attempt) = (request.order_id, terms.attempt);
        let url = |text: String| {
            Url::parse(&text)
                .map_err(|_malformed| InvalidRequest { field: "approval_url", rule: "is no url" })
        };
        Ok(ReadyRequest::new(
            self.merchant(terms),
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
            let token = PgToken::new(request.token.expose())?;
            let body = ApproveRequest::new(self.merchant(terms), tid.clone(), partner, token);
            Ok((body.expecting_total(terms.amount.amount()), tid))
        })();
        let (body, tid) = match built {
            Ok(built) => built,
            Err(invalid) => return unbuildable(&invalid),
        };
        let id = Some(question.correlation_id.as_str());
        let lane = &self.parts.checkout;
        let call =
            lane.call_admitted(admission, Operation::Approve, |client| client.approve(&body, id));
        match self.access.answer(Operation::Approve, call.await) {
            Ok(answer) => {
                let merchant = self.merchant(terms);
                self.believed(Operation::Approve, &merchant, terms, Some(&tid), answer)
            }
            Err(outcome) => outcome.into(),
        }
    }

    async fn subscription(&self, request: &ChargeRequest, admission: Admission) -> Outcome<Paid> {
        let terms = &request.terms;
        let built = (|| {
            SubscriptionRequest::new(
                self.parts.recurring.clone(),
                Sid::new(request.key.secret.expose())?,
                PartnerIds::new(terms.partner_order_id.as_str(), &request.key.partner_user_id)?,
                Item::new(request.item_name.as_str(), i64::from(request.quantity))?,
                amounts(terms)?,
            )
        })();
        let body = match built {
            Ok(body) => body,
            Err(invalid) => return unbuildable(&invalid),
        };
        let id = Some(request.correlation_id.as_str());
        let lane = &self.parts.charge;
        let call = lane.call_admitted(admission, Operation::Subscription, |client| {
            client.subscription(&body, id)
        });
        match self.access.answer(Operation::Subscription, call.await) {
            Ok(answer) => {
                let merchant = &self.parts.recurring;
                self.believed(Operation::Subscription, merchant, terms, None, answer)
            }
            Err(outcome) => outcome.into(),
        }
    }

    /// An approval, once it is certain that it is the answer to our request.
    fn believed(
        &self,
        operation: Operation,
        merchant: &Merchant,
        terms: &PaymentTerms,
        tid: Option<&Tid>,
        answer: kakaopay::Approval,
    ) -> Outcome<Paid> {
        let partner = match self.partner(terms) {
            Ok(partner) => partner,
            Err(invalid) => return unbuildable(&invalid),
        };
        let expected = expected(merchant, tid, &partner, terms);
        let differences = answer.differences(&expected);
        if !differences.is_empty() {
            return mismatch(operation, &differences);
        }
        let key = answer.sid.map(|sid| BillingSecret {
            secret: Secret::new(sid.as_str()),
            partner_user_id: answer.partner_user_id,
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

    async fn order(&self, question: &PaymentQuestion) -> Outcome<Standing> {
        let terms = &question.terms;
        let merchant = self.merchant(terms);
        let built = (|| Ok((self.partner(terms)?, Tid::new(question.payment_ref.as_str())?)))();
        let (partner, tid) = match built {
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
            return mismatch(Operation::Order, &differences);
        }
        match self.standing(&answer, terms, &question.payment_ref) {
            Some(standing) => Outcome::Done(standing),
            None => lost("unknown.unreadable"),
        }
    }

    fn standing(
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
            key: None,
        })
    }

    async fn give_back(&self, request: &CancelRequest, admission: Admission) -> Outcome<GivenBack> {
        let question = &request.payment;
        let terms = &question.terms;
        let merchant = self.merchant(terms);
        let built = (|| {
            let tid = Tid::new(question.payment_ref.as_str())?;
            let available = request.refundable_before.amount();
            let amounts = cancel_amounts(request)?;
            let body = kakaopay::CancelRequest::new(merchant.clone(), tid, amounts, available)?;
            Ok(body)
        })();
        let body = match built {
            Ok(body) => body,
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
        let body = match Sid::new(key.secret.expose()) {
            Ok(sid) => SidRequest::new(self.parts.recurring.clone(), sid),
            Err(invalid) => return unbuildable(&invalid),
        };
        let lane = &self.parts.charge;
        let call = lane.call(Operation::Inactive, |client| client.inactive(&body, None));
        match self.access.answer(Operation::Inactive, call.await) {
            Ok(answer) if answer.status == SidState::Inactive => Outcome::Done(()),
            Ok(_still_active) => lost("unknown.still_active"),
            Err(outcome) => outcome.into(),
        }
    }

    async fn status(&self, key: &BillingSecret) -> Outcome<BillingStanding> {
        let body = match Sid::new(key.secret.expose()) {
            Ok(sid) => SidRequest::new(self.parts.recurring.clone(), sid),
            Err(invalid) => return unbuildable(&invalid),
        };
        let lane = &self.parts.look_up;
        let call = lane.call(Operation::Status, |client| client.status(&body, None));
        match self.access.answer(Operation::Status, call.await) {
            Ok(answer) => Outcome::Done(BillingStanding {
                is_active: answer.status == SidState::Active,
                last_approved_at: answer.last_approved_at.map(kakaopay::KstTime::to_utc),
            }),
            Err(outcome) => outcome.into(),
        }
    }

    fn now(&self) -> DateTime<Utc> {
        self.parts.clock.now()
    }
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

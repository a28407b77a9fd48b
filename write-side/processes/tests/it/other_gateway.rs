//! The port fits more than KakaoPay: a gateway in the manner of Toss Payments, which finds payments
//! by our own name of the attempt, recognises repeated calls by a key, and calls nobody back here.
//! Neither the domain nor the relay knows the difference.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::TimeDelta;
use contracts::events::{ApprovedAmount, OrderKind, PaymentMethod, RedirectUrls};
use contracts::{Text, Won};
use domain::order::OrderStatus;
use processes::gateway::{
    Admission, BillingSecret, BillingStanding, CancelRequest, Capabilities, ChargeRequest,
    Checkout, CheckoutRequest, CompletionRequest, Decline, Doubt, GivenBack, NotSent, Outcome,
    Paid, PaymentGateway, PaymentQuestion, PaymentState, Standing,
};
use service_kit::clock::BoxFuture;

use crate::world::{World, clock};

/// What the gateway remembers of a payment.
#[derive(Debug, Clone)]
struct Payment {
    amount: ApprovedAmount,
    paid: Option<Paid>,
    given_back: Vec<GivenBack>,
}

/// What it has seen.
#[derive(Debug, Default)]
struct Ledger {
    /// By our name of the attempt; nothing here is found by the gateway's own id.
    payments: HashMap<String, Payment>,
    /// Keys of cancellations that were carried out.
    idempotency_keys: HashMap<String, GivenBack>,
    look_ups: usize,
    completions: usize,
}

/// Carries out the first money call of each sort and loses the answer.
#[derive(Debug, Default)]
struct TossLike {
    ledger: Mutex<Ledger>,
    loses_answers: bool,
}

fn text<const MAX: usize>(raw: &str) -> Text<MAX> {
    Text::parse(raw).unwrap()
}

fn lost<T>() -> Outcome<T> {
    Outcome::Unknown(Doubt::Lost("unknown.timeout".to_owned()))
}

impl TossLike {
    fn with<T>(&self, work: impl FnOnce(&mut Ledger) -> T) -> T {
        work(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn open(&self, request: &CheckoutRequest) -> Outcome<Checkout> {
        let name = request.terms.partner_order_id.as_str().to_owned();
        let amount = ApprovedAmount {
            total: request.terms.amount,
            tax_free: request.terms.tax_free,
            vat: request.terms.vat,
            point: Won::ZERO,
            discount: Won::ZERO,
        };
        let payment = Payment { amount, paid: None, given_back: Vec::new() };
        self.with(|ledger| ledger.payments.insert(name, payment));
        let page = || text("https://toss.example/pay");
        let opened_at = clock().now();
        Outcome::Done(Checkout {
            // Worth nothing in a look-up.
            payment_ref: text("toss-payment-key"),
            redirect: RedirectUrls { pc: page(), mobile: page(), app: page() },
            opened_at,
            expires_at: opened_at + TimeDelta::minutes(15),
            merchant: None,
        })
    }

    fn confirm(&self, request: &CompletionRequest) -> Outcome<Paid> {
        let name = request.payment.terms.partner_order_id.as_str();
        self.with(|ledger| {
            ledger.completions += 1;
            let Some(payment) = ledger.payments.get_mut(name) else {
                return unknown_payment();
            };
            let paid = Paid {
                payment_ref: request.payment.payment_ref.clone(),
                action_ref: text("toss-transaction"),
                amount: payment.amount,
                method: PaymentMethod::Card,
                approved_at: clock().now(),
                key: None,
            };
            payment.paid = Some(paid.clone());
            if self.loses_answers { lost() } else { Outcome::Done(paid) }
        })
    }

    fn standing(&self, question: &PaymentQuestion) -> Outcome<Standing> {
        self.with(|ledger| {
            ledger.look_ups += 1;
            let Some(payment) = ledger.payments.get(question.terms.partner_order_id.as_str())
            else {
                return unknown_payment();
            };
            let state = match &payment.paid {
                Some(paid) => PaymentState::Paid(paid.clone()),
                None => PaymentState::Pending { opened_at: None },
            };
            Outcome::Done(Standing {
                state,
                given_back: Won::sum(payment.given_back.iter().map(|it| it.amount)).unwrap(),
                last_given_back: payment.given_back.last().cloned(),
            })
        })
    }

    fn give_back(&self, request: &CancelRequest) -> Outcome<GivenBack> {
        let name = request.payment.terms.partner_order_id.as_str();
        let before = request.refundable_before.amount();
        let key = format!("{name}/{before}/{}", request.amount.amount());
        self.with(|ledger| {
            if let Some(done) = ledger.idempotency_keys.get(&key) {
                return Outcome::Done(done.clone());
            }
            let Some(payment) = ledger.payments.get_mut(name) else {
                return unknown_payment();
            };
            let given_back = GivenBack {
                action_ref: Some(text("toss-cancel")),
                amount: request.amount,
                at: clock().now(),
            };
            payment.given_back.push(given_back.clone());
            ledger.idempotency_keys.insert(key, given_back.clone());
            if self.loses_answers { lost() } else { Outcome::Done(given_back) }
        })
    }
}

fn unknown_payment<T>() -> Outcome<T> {
    Outcome::Declined(Decline {
        class: contracts::events::DeclineClass::Merchant,
        code: text("NOT_FOUND_PAYMENT"),
        text: String::new(),
        is_of_token: false,
    })
}

fn without_keys<T>() -> Outcome<T> {
    Outcome::NotSent(NotSent::Unbuildable("no recurring keys here".to_owned()))
}

impl PaymentGateway for TossLike {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            looks_up_by_attempt: true,
            has_idempotency_keys: true,
            tells_billing_status: false,
            looks_up_billing_key: false,
            sends_webhooks: true,
        }
    }

    fn begin_checkout<'a>(
        &'a self,
        request: &'a CheckoutRequest,
        _admission: Admission,
    ) -> BoxFuture<'a, Outcome<Checkout>> {
        Box::pin(async { self.open(request) })
    }

    fn complete_checkout<'a>(
        &'a self,
        request: &'a CompletionRequest,
        _admission: Admission,
    ) -> BoxFuture<'a, Outcome<Paid>> {
        Box::pin(async { self.confirm(request) })
    }

    fn charge<'a>(
        &'a self,
        _request: &'a ChargeRequest,
        _admission: Admission,
    ) -> BoxFuture<'a, Outcome<Paid>> {
        Box::pin(async { without_keys() })
    }

    fn look_up<'a>(&'a self, question: &'a PaymentQuestion) -> BoxFuture<'a, Outcome<Standing>> {
        Box::pin(async { self.standing(question) })
    }

    fn cancel<'a>(
        &'a self,
        request: &'a CancelRequest,
        _admission: Admission,
    ) -> BoxFuture<'a, Outcome<GivenBack>> {
        Box::pin(async { self.give_back(request) })
    }

    fn deactivate<'a>(&'a self, _key: &'a BillingSecret) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(async { without_keys() })
    }

    fn billing_status<'a>(
        &'a self,
        _key: &'a BillingSecret,
    ) -> BoxFuture<'a, Outcome<BillingStanding>> {
        Box::pin(async { without_keys() })
    }
}

async fn paid_and_partly_refunded(gateway: &Arc<TossLike>) {
    let world = World::new().await;
    let relay = world.relay(Arc::clone(gateway) as Arc<dyn PaymentGateway>);
    let order = world.place(OrderKind::OneOff, false).await;
    assert_eq!(world.page_of(order).await, "toss-payment-key");
    world.come_back(order, "toss-auth".to_owned()).await;
    world.becomes(order, OrderStatus::Paid).await;
    world.refund(order, 3_000).await;
    world.becomes(order, OrderStatus::PartlyRefunded).await;
    world.is_idle().await;
    relay.stop().await;
    assert!(world.charges(order).is_empty(), "KakaoPay was never asked");
    gateway.with(|ledger| {
        assert_eq!((ledger.payments.len(), ledger.completions), (1, 1));
        for payment in ledger.payments.values() {
            let back: Vec<_> = payment.given_back.iter().map(|it| it.amount.amount()).collect();
            assert_eq!(back, [3_000]);
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn another_gateway_needs_no_other_relay() {
    let gateway = Arc::new(TossLike::default());
    paid_and_partly_refunded(&gateway).await;
    gateway.with(|ledger| assert_eq!(ledger.look_ups, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_are_looked_up_by_our_name_of_the_attempt() {
    let gateway = Arc::new(TossLike { loses_answers: true, ..TossLike::default() });
    paid_and_partly_refunded(&gateway).await;
    gateway
        .with(|ledger| assert_eq!(ledger.look_ups, 2, "one for the payment, one for the refund"));
}

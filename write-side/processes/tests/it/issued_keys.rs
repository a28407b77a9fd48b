//! Recurring keys at the gateway: how an answer yields one, and whose answer it must be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use contracts::events::OrderKind;
use contracts::{BillingKeyId, OrderId, Text};
use domain::effects::PaymentTerms;
use kakaopay_sim::{Fault, FaultRule, FaultScript, Operation, PayAction, When};
use processes::gateway::{
    Admission, BillingSecret, ChargeRequest, Checkout, CheckoutRequest, CompletionRequest, Doubt,
    Outcome, PaymentGateway, PaymentQuestion,
};
use serde_json::{Value, json};
use service_kit::config::Secret;
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use crate::world::{World, won};

const ANOTHER_SID: &str = "S9999999999999999999";

fn terms(world: &World, order: OrderId, amount: i64) -> PaymentTerms {
    let terms = json!({
        "user_id": world.user,
        "attempt": 1,
        "partner_order_id": format!("{order}-1"),
        "amount": amount,
        "tax_free": 0,
        "vat": (amount + 5) / 11,
        "billing_key": BillingKeyId::of(order),
    });
    serde_json::from_value(terms).unwrap()
}

fn question(terms: &PaymentTerms, page: &Checkout) -> PaymentQuestion {
    PaymentQuestion {
        terms: terms.clone(),
        payment_ref: page.payment_ref.clone(),
        correlation_id: "test".to_owned(),
    }
}

/// Opens a page, pays on it and approves.
async fn approved(
    world: &World,
    gateway: &dyn PaymentGateway,
    terms: &PaymentTerms,
    order_id: OrderId,
) -> (Checkout, BillingSecret) {
    let request = CheckoutRequest {
        terms: terms.clone(),
        order_id,
        item_name: Text::parse("홍삼정").unwrap(),
        quantity: 1,
        correlation_id: "test".to_owned(),
    };
    let Outcome::Done(page) = gateway.begin_checkout(&request, Admission::pending()).await else {
        panic!("no page")
    };
    let back = world.sim.press(page.payment_ref.as_str(), PayAction::Approve).unwrap();
    let token = back.query_pairs().find(|(name, _)| name == "pg_token").unwrap().1.into_owned();
    let request = CompletionRequest { payment: question(terms, &page), token: Secret::new(token) };
    let outcome = gateway.complete_checkout(&request, Admission::pending()).await;
    let Outcome::Done(paid) = outcome else { panic!("{outcome:?}") };
    (page, paid.key.expect("a recurring key"))
}

fn charge(terms: &PaymentTerms, key: BillingSecret) -> ChargeRequest {
    ChargeRequest {
        terms: terms.clone(),
        key,
        item_name: Text::parse("홍삼정").unwrap(),
        quantity: 1,
        correlation_id: "test".to_owned(),
    }
}

fn alter(world: &World, operation: Operation, patch: Value) {
    let altered = Fault::AlterAnswer { patch };
    world.sim.set_faults(FaultScript::of(operation, When::Always, altered));
}

fn mismatch<T>(outcome: Outcome<T>) -> Vec<&'static str> {
    let name = outcome.name();
    let Outcome::Unknown(Doubt::Mismatch(fields)) = outcome else { panic!("believed: {name}") };
    fields
}

fn order_id() -> OrderId {
    OrderId::new(Uuid::now_v7())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_named_by_a_look_up_is_kept() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::Subscription, false).await;
    world.page_of(order).await;
    world.sim.set_faults(FaultScript {
        seed: 0,
        rules: vec![
            FaultRule::new(Operation::Approve, When::Call(1), Fault::CommitThenDrop),
            FaultRule::new(
                Operation::Order,
                When::Always,
                Fault::AlterAnswer { patch: json!({ "sid": ANOTHER_SID }) },
            ),
        ],
    });
    world.pay(order).await;
    world.is_paid_once(order).await;
    let kept = "select count(*) from billing_keys where state = 'active'";
    assert_eq!(world.number(kept).await, 1);
    let placed = world.order(order).await;
    assert!(placed.attempts[0].stage.approval().unwrap().billing_key.is_some());
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_issued_for_nothing_is_a_state_of_its_own() {
    let world = World::new().await;
    let gateway = world.gateway();
    let order = order_id();
    let terms = terms(&world, order, 0);
    let (page, _key) = approved(&world, &*gateway, &terms, order).await;
    let outcome = gateway.look_up(&question(&terms, &page)).await;
    let Outcome::Done(standing) = outcome else { panic!("{outcome:?}") };
    assert!(format!("{:?}", standing.state).starts_with("KeyIssued"), "{:?}", standing.state);
    assert_eq!(standing.given_back, won(0));
}

/// The pseudonym kept beside the key counts, not the one of today's pepper.
#[tokio::test(flavor = "multi_thread")]
async fn a_charge_is_believed_by_the_payer_of_its_key() {
    let mut world = World::new().await;
    let order = order_id();
    let terms = terms(&world, order, 11_000);
    let (_, key) = approved(&world, &*world.gateway(), &terms, order).await;
    world.config.digest_pepper = Secret::new("another pepper of at least 32 bytes");
    let outcome = world.gateway().charge(&charge(&terms, key), Admission::pending()).await;
    assert_eq!(outcome.name(), "done", "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_about_another_key_is_not_believed() {
    let world = World::new().await;
    let gateway = world.gateway();
    let order = order_id();
    let terms = terms(&world, order, 11_000);
    let (_, key) = approved(&world, &*gateway, &terms, order).await;
    let wrong = [(json!({ "sid": ANOTHER_SID }), "sid"), (json!({ "cid": "CT9" }), "cid")];
    for (patch, field) in &wrong {
        alter(&world, Operation::Subscription, patch.clone());
        assert_eq!(
            mismatch(gateway.charge(&charge(&terms, key.clone()), Admission::pending()).await),
            [*field]
        );
        alter(&world, Operation::Status, patch.clone());
        assert_eq!(mismatch(gateway.billing_status(&key).await), [*field]);
    }
    // Last, because the key is really ended.
    for (patch, field) in &wrong {
        alter(&world, Operation::Inactive, patch.clone());
        assert_eq!(mismatch(gateway.deactivate(&key).await), [*field]);
    }
}

/// Passes everything on to `target` and counts the connections.
async fn counting_proxy(target: String) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut inbound, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let target = target.clone();
            tokio::spawn(async move {
                let mut outbound = TcpStream::connect(target).await.unwrap();
                drop(tokio::io::copy_bidirectional(&mut inbound, &mut outbound).await);
            });
        }
    });
    (address, count)
}

/// A kept-alive connection that KakaoPay has just closed would lose the key with the answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_recurring_approval_takes_a_connection_of_its_own() {
    let mut world = World::new().await;
    let target = world.sim.base_url().trim_start_matches("http://").to_owned();
    let (address, connections) = counting_proxy(target).await;
    world.config.kakaopay_base_url = address.parse().unwrap();
    let gateway = world.gateway();
    for paid in 1..=3 {
        let order = order_id();
        let terms = terms(&world, order, 11_000);
        approved(&world, &*gateway, &terms, order).await;
        // One for all the pages, one for each approval.
        assert_eq!(connections.load(Ordering::SeqCst), 1 + paid);
    }
}

//! Whatever the network between the shop and PostgreSQL or KakaoPay does, nobody waits for ever, nobody
//! is told 500, and once it works again so does the shop, without a restart and with one charge.
//!
//! The scenario: a proxy in between cuts connections, refuses them, or carries not one byte, before
//! and in the middle of a payment. What saves us is a bound on every wait (`service_kit::pools`,
//! `ANSWER_WAIT_MAX` of the event store, the gateway's call time-out), errors that are told apart
//! (`StoreError::is_transient`), and the look-up of every call whose answer was lost.
//!
//! Seen to fail before a load and the questions about a lost append had their bounds: a change of
//! the cart got no answer within 20 s.

use std::time::Duration;

use end_to_end::World;
use kakaopay_sim::{Fault, FaultScript, Operation, When};
use shop::demo::shopper::{Ask, Reply};
use testkit::ChaosProxy;

use crate::support::{
    about_to_pay, history, is_charged, is_paid_once, order, patiently, pay_patiently, shopper,
    times, world,
};

/// Longest that anything may take to answer, the payment handler's own ten seconds included.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(18);
/// What a network can do to those who rely on it.
const TROUBLES: [Trouble; 3] = [Trouble::Cut, Trouble::Refuse, Trouble::Hang];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Cut,
    Refuse,
    Hang,
}

impl Trouble {
    async fn befall(self, proxy: &mut ChaosProxy) {
        match self {
            Self::Cut => proxy.cut().await,
            Self::Refuse => proxy.refuse().await,
            Self::Hang => proxy.hang().await,
        }
    }
}

/// A world whose shops give a call to the gateway up after a second and a half.
fn impatient(world: World) -> World {
    world.with("KAKAOPAY_CONNECT_TIMEOUT_MS", "500").with("KAKAOPAY_CALL_TIMEOUT_MS", "1500")
}

fn is_polite_no(reply: &Reply) -> bool {
    reply.status == 503 && reply.code.is_some() && reply.took < ANSWER_WAIT_MAX
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgres_every_answer_is_503_with_a_code_and_it_heals_by_itself() {
    let world = world().await;
    let (mut proxy, through) = ChaosProxy::before(&world.database().url).await;
    let world = world.with("DATABASE_URL", through);
    let shop = world.start_shop().await;
    let shopper = shopper(&shop.at).await.unwrap();
    for trouble in TROUBLES {
        let order = patiently(|| order(&shopper, "one-off")).await;

        trouble.befall(&mut proxy).await;
        let ask = |ask| shopper.reply_to(ask);
        let (cart, history, more, placed, page) = tokio::join!(
            ask(Ask::Cart),
            ask(Ask::History),
            ask(Ask::OneMore),
            ask(Ask::PlaceOrder),
            ask(Ask::PayPage(&order)),
        );
        for reply in [cart, history, more, placed, page] {
            let reply = reply.unwrap();
            assert!(is_polite_no(&reply), "{trouble:?}: {reply:?}");
        }

        proxy.pass().await;
        pay_patiently(&shopper, &order).await;
        assert_eq!(world.charges_of(&order.id), [(order.total, 0)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_that_comes_while_postgres_is_away_is_one_charge_and_a_paid_order() {
    let world = world().await;
    let (mut proxy, through) = ChaosProxy::before(&world.database().url).await;
    let world = world.with("DATABASE_URL", through);
    let shop = world.start_shop().await;
    for trouble in TROUBLES {
        // Right after the last trouble a broken connection or two is still met.
        let shopper = patiently(|| shopper(&shop.at)).await;
        let order = patiently(|| order(&shopper, "one-off")).await;
        let page = patiently(|| shopper.open_pay_page(&order)).await;
        let held = FaultScript::of(Operation::Approve, When::Always, Fault::CommitThenHold);
        world.kakaopay.set_faults(held);
        shopper.approve_on(&page).await.unwrap();
        is_charged(&world, &order).await;

        trouble.befall(&mut proxy).await;
        world.kakaopay.clear_faults();
        assert!(is_polite_no(&shopper.reply_to(Ask::PayPage(&order)).await.unwrap()));
        proxy.pass().await;

        patiently(|| shopper.wait_for_status(&order, "PAID")).await;
        is_paid_once(&world, &shopper, &order).await;
        let history = history(&world.database().url, &order).await;
        assert_eq!(times(&history, "PaymentApproved"), 1, "{trouble:?}: {history:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_gateway_a_shopper_is_told_503_and_pays_once_it_is_back() {
    let world = impatient(world().await);
    let (mut proxy, through) = ChaosProxy::before(world.kakaopay.base_url()).await;
    let world = world.with("KAKAOPAY_BASE_URL", through);
    let shop = world.start_shop().await;
    for trouble in TROUBLES {
        let shopper = shopper(&shop.at).await.unwrap();
        let order = order(&shopper, "one-off").await.unwrap();

        trouble.befall(&mut proxy).await;
        let reply = shopper.reply_to(Ask::PayPage(&order)).await.unwrap();
        assert!(is_polite_no(&reply), "{trouble:?}: {reply:?}");
        assert_eq!(reply.code.as_deref(), Some("payment.gateway_unreachable"));

        proxy.pass().await;
        pay_patiently(&shopper, &order).await;
        is_paid_once(&world, &shopper, &order).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_whose_answer_the_network_swallows_is_one_charge_and_a_paid_order() {
    let world = impatient(world().await);
    let (mut proxy, through) = ChaosProxy::before(world.kakaopay.base_url()).await;
    let world = world.with("KAKAOPAY_BASE_URL", through);
    let shop = world.start_shop().await;
    for trouble in TROUBLES {
        let (shopper, order, page) = about_to_pay(&shop.at).await;
        let held = FaultScript::of(Operation::Approve, When::Always, Fault::CommitThenHold);
        world.kakaopay.set_faults(held);
        shopper.approve_on(&page).await.unwrap();
        is_charged(&world, &order).await;

        trouble.befall(&mut proxy).await;
        world.kakaopay.clear_faults();
        in_doubt(&world, &order.id).await;
        proxy.pass().await;

        is_paid_once(&world, &shopper, &order).await;
        let history = history(&world.database().url, &order).await;
        assert_eq!(times(&history, "PaymentApproved"), 1, "{trouble:?}: {history:?}");
    }
}

/// Waits until the relay has noticed that it does not know what became of its call.
async fn in_doubt(world: &World, order_id: &str) {
    let client = world.database().client().await;
    let statement = "select 1 from outbox o where o.aggregate_id = $1 and o.state = 'unknown'";
    testkit::eventually(ANSWER_WAIT_MAX, || async {
        client.query_opt(statement, &[&order_id]).await.unwrap().map(drop)
    })
    .await;
}

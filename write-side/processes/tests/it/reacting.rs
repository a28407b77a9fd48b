//! What a payment sets off happens once, however often it is heard of.

use contracts::events::{DeclineClass, OrderKind, SubscriptionCancelledBy};
use contracts::{
    BillingKeyId, CartKind, OrderId, RefundId, Sealed, SubscriptionId, Text, calendar, seals,
};
use domain::Principal;
use domain::order::{OrderCommand, OrderStatus, RefundStage};
use domain::subscription::{ActiveSubscription, SubscriptionStatus};
use kakaopay_sim::{Fault, FaultScript, Operation, When};
use processes::operator::Operator;
use testkit::eventually;
use uuid::Uuid;

use crate::world::{PATIENCE, World, clock, lines, receiver};

async fn subscription(world: &World, id: SubscriptionId) -> ActiveSubscription {
    eventually(PATIENCE, || async {
        let loaded = world.subscriptions.load(id.uuid()).await.unwrap();
        loaded.state.active().cloned()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_bought_leaves_the_cart_and_the_rest_stays() {
    let world = World::new().await;
    for line in lines(OrderKind::OneOff) {
        world.put_into_cart(CartKind::OneOff, line).await;
    }
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, true).await;
    // Added after the order was placed: not bought by it.
    world.put_into_cart(CartKind::OneOff, lines(OrderKind::OneOff).remove(1)).await;
    world.pay(order).await;
    let left = eventually(PATIENCE, || async {
        let cart = world.cart(CartKind::OneOff).await;
        (cart.lines().len() == 1).then_some(cart)
    })
    .await;
    let line = left.lines().iter().next().unwrap();
    assert_eq!(line.item_id, lines(OrderKind::OneOff)[1].item_id);
    assert_eq!(line.quantity.count(), 1);

    // Heard of again, and again after a restart.
    let before = world.number("select count(*) from events").await;
    world.execute("update reaction_checkpoint set position = 0").await;
    worker.stop().await.unwrap();
    let worker = world.worker();
    world.reactions_catch_up().await;
    assert_eq!(world.number("select count(*) from events").await, before);
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_approval_pays_a_subscription_order_and_opens_its_subscriptions() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::Subscription, false).await;
    world.pay(order).await;
    world.is_paid_once(order).await;
    let paid = world.order(order).await;
    let approval = paid.payment().unwrap().stage.approval().unwrap().clone();
    let key = BillingKeyId::of(order);
    assert_eq!(approval.billing_key, Some(key));

    for line in &paid.lines {
        let id = SubscriptionId::of(order, line.line_no);
        let opened = subscription(&world, id).await;
        assert_eq!(opened.billing_key, key);
        assert_eq!(opened.unit_price, line.unit_price);
        assert_eq!(opened.paid_on, calendar::business_date(approval.approved_at));
        let stream = seals::subscription_stream(id);
        let sealed = &opened.receiver;
        let clear = world.vault.open(world.user, &stream, seals::RECEIVER, sealed).await.unwrap();
        assert_eq!(clear, Some(receiver()));
    }

    // The key is the one KakaoPay issued, sealed, and bound to the payer's pseudonym.
    let row = world.db.client().await;
    let row = row.query_one("select sealed_sid, partner_user_id, state from billing_keys", &[]);
    let row = row.await.unwrap();
    let sealed: Sealed<String> = serde_json::from_value(row.get(0)).unwrap();
    let stream = seals::billing_key_stream(key);
    let sid = world.vault.open(world.user, &stream, seals::SID, &sealed).await.unwrap().unwrap();
    let issued = &world.sim.ledger().sids[0];
    assert_eq!((issued.sid.as_str(), issued.is_active), (sid.as_str(), true));
    assert_eq!(row.get::<_, String>(1), issued.partner_user_id);
    assert_eq!(row.get::<_, String>(2), "active");
    assert!(!issued.partner_user_id.contains(&world.user.to_string()), "a pseudonym");

    let clear = world
        .number(&format!(
            "select count(*) from outbox_done
             where strpos(payload::text || coalesce(request::text, '') || outcome::text, '{sid}') <> 0"
        ))
        .await;
    assert_eq!(clear, 0, "the key lies nowhere in clear");

    let before = world.number("select count(*) from events").await;
    world.execute("update reaction_checkpoint set position = 0").await;
    worker.stop().await.unwrap();
    let worker = world.worker();
    world.reactions_catch_up().await;
    assert_eq!(world.number("select count(*) from events").await, before);
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recurring_approval_whose_answer_is_lost_is_paid_without_a_key() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::Subscription, false).await;
    world.page_of(order).await;
    let lost = FaultScript::of(Operation::Approve, When::First(1), Fault::CommitThenDrop);
    world.sim.set_faults(lost);
    world.pay(order).await;
    world.is_paid_once(order).await;
    let opened = subscription(&world, SubscriptionId::of(order, 1)).await;
    assert_eq!(opened.billing_key, BillingKeyId::of(order));
    let missing = world.number("select count(*) from billing_keys where state = 'missing'").await;
    assert_eq!(missing, 1, "the user has to register again");
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_came_too_late_is_given_back_and_sets_nothing_off() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::Subscription, false).await;
    let token = world.press_approve(order).await;
    worker.stop().await.unwrap();
    world.come_back(order, token).await;
    // The order is decided to be over while its approval is still to be carried out, as an operator
    // who resolves a row as not done does.
    let at = clock().now();
    let step = contracts::events::GatewayStep::Approve;
    world.send(order, OrderCommand::RecordNotSent { attempt: 1, step, at }).await;

    let worker = world.worker();
    eventually(PATIENCE, || async {
        let refunds = world.order(order).await.refunds;
        refunds.iter().any(|refund| refund.stage == RefundStage::Succeeded).then_some(())
    })
    .await;
    world.is_idle().await;
    world.reactions_catch_up().await;
    assert_eq!(world.order(order).await.status(), OrderStatus::Placed, "nothing was bought");
    let charge = &world.charges(order)[0];
    assert_eq!((charge.amount, charge.cancelled), (27_000, 27_000));
    let opened = world.subscriptions.load(SubscriptionId::of(order, 1).uuid()).await.unwrap();
    assert!(opened.state.active().is_none());
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_set_aside_is_handled_when_asked_again() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::Subscription, false).await;
    let token = world.press_approve(order).await;
    world.come_back(order, token).await;
    world.is_paid_once(order).await;
    subscription(&world, SubscriptionId::of(order, 1)).await;
    world.reactions_catch_up().await;
    let position =
        world.number("select position from events where event_type = 'PaymentApproved'").await;
    world
        .execute(&format!(
            "insert into parked_reaction
               (name, position, aggregate_type, aggregate_id, event_type, error)
             values ('paid_orders', {position}, 'order', '{order}', 'PaymentApproved', 'test')"
        ))
        .await;
    let before = world.number("select count(*) from events").await;
    let operator = Operator::new(world.db.pool.clone());
    operator.retry_parked("paid_orders", position).await.unwrap();
    eventually(PATIENCE, || async { operator.parked(10).await.unwrap().is_empty().then_some(()) })
        .await;
    assert_eq!(world.number("select count(*) from events").await, before, "handled, harmlessly");
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_handled_is_set_aside_and_others_go_on() {
    let world = World::new().await;
    let worker = world.worker();
    let poisoned = world.place(OrderKind::Subscription, false).await;
    world.page_of(poisoned).await;
    world.page_of(world.place(OrderKind::OneOff, false).await).await;
    worker.stop().await.unwrap();
    // A payment of an order that was never placed, and one that cannot be read.
    world
        .execute(
            "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version,
                                 payload, metadata)
             values ('order', gen_random_uuid()::text, 1, 'PaymentApproved', '1', '{}', '{}')",
        )
        .await;
    let worker = world.worker();
    world.pay(poisoned).await;
    subscription(&world, SubscriptionId::of(poisoned, 1)).await;
    world.reactions_catch_up().await;
    let parked = world.db.client().await;
    let parked = parked.query("select name, event_type from parked_reaction order by name", &[]);
    let names: Vec<String> = parked.await.unwrap().iter().map(|row| row.get(0)).collect();
    let reactions = ["expiry_index", "paid_orders", "payment_index"];
    assert_eq!(names, reactions, "each sets it aside for itself");

    // An operator asks again: it fails again and is counted, and nothing else happens.
    let operator = Operator::new(world.db.pool.clone());
    let set_aside = operator.parked(10).await.unwrap().remove(0);
    operator.retry_parked(&set_aside.name, set_aside.position).await.unwrap();
    eventually(PATIENCE, || async {
        let parked = operator.parked(10).await.unwrap();
        let again = parked.iter().find(|it| it.name == set_aside.name).unwrap();
        (again.attempts == 2 && !again.retry_asked).then_some(())
    })
    .await;
    assert!(operator.retry_parked("paid_orders", 0).await.is_err());
    worker.stop().await.unwrap();
}

fn cancel(by: Principal, world: &World) -> OrderCommand {
    let (refund_id, at) = (RefundId::new(Uuid::now_v7()), clock().now());
    assert_eq!(by, Principal::User(world.user));
    OrderCommand::CancelOrder { by, refund_id, reason: None, at }
}

async fn status(world: &World, order: OrderId, line: u16) -> Option<SubscriptionStatus> {
    let id = SubscriptionId::of(order, line).uuid();
    world.subscriptions.load(id).await.unwrap().state.status()
}

async fn has_ended(world: &World, order: OrderId) {
    for line in [1, 2] {
        eventually(PATIENCE, || async {
            (status(world, order, line).await == Some(SubscriptionStatus::Cancelled)).then_some(())
        })
        .await;
    }
}

/// F5: the shopper has called the order off and got the money back, and is never charged again.
#[tokio::test(flavor = "multi_thread")]
async fn calling_an_order_off_ends_its_subscriptions_and_marks_their_key() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::Subscription, false).await;
    world.pay(order).await;
    world.is_paid_once(order).await;
    subscription(&world, SubscriptionId::of(order, 2)).await;
    world.send(order, cancel(Principal::User(world.user), &world)).await;
    has_ended(&world, order).await;
    let ended = world.subscriptions.load(SubscriptionId::of(order, 1).uuid()).await.unwrap();
    let by = ended.state.cancelled().unwrap().by;
    assert_eq!(by, SubscriptionCancelledBy::OrderCalledOff);
    world.becomes(order, OrderStatus::Refunded).await;
    world.reactions_catch_up().await;
    assert_eq!(world.number("select count(*) from billing_keys where state = 'ending'").await, 1);

    // Read again from the beginning, as after a crash.
    let before = world.number("select count(*) from events").await;
    world.execute("update reaction_checkpoint set position = 0").await;
    worker.stop().await.unwrap();
    let worker = world.worker();
    world.reactions_catch_up().await;
    assert_eq!(world.number("select count(*) from events").await, before);
    worker.stop().await.unwrap();
}

/// F5 and F12 with reactions that lag: payment, calling off and the refund are all there when they
/// begin.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_called_off_before_its_payment_was_reacted_to_leaves_no_subscription() {
    let world = World::new().await;
    let relay = world.relay(world.gateway());
    let order = world.place(OrderKind::Subscription, false).await;
    world.pay(order).await;
    world.becomes(order, OrderStatus::Paid).await;
    world.send(order, cancel(Principal::User(world.user), &world)).await;
    world.becomes(order, OrderStatus::Refunded).await;
    relay.stop().await;
    assert_eq!(status(&world, order, 1).await, None);

    let worker = world.worker();
    has_ended(&world, order).await;
    world.reactions_catch_up().await;
    assert_eq!(world.number("select count(*) from billing_keys where state = 'ending'").await, 1);
    worker.stop().await.unwrap();
}

/// F12: the reaction comes while a refund is pending that KakaoPay refuses afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_refund_is_refused_later_is_delivered() {
    let world = World::new().await;
    for line in lines(OrderKind::Subscription) {
        world.put_into_cart(CartKind::Subscription, line).await;
    }
    let relay = world.relay(world.gateway());
    let order = world.place(OrderKind::Subscription, true).await;
    world.pay(order).await;
    world.becomes(order, OrderStatus::Paid).await;
    world.is_idle().await;
    relay.stop().await;
    let refund = world.refund(order, 27_000).await;
    world.execute("update outbox set not_before = clock_timestamp() + interval '1 hour'").await;

    let worker = world.worker();
    world.reactions_catch_up().await;
    let (class, at) = (DeclineClass::Soft, clock().now());
    let code = Text::parse("-781").unwrap();
    world
        .send(order, OrderCommand::RecordRefundFailure { refund_id: refund, class, code, at })
        .await;
    world.reactions_catch_up().await;
    for line in [1, 2] {
        assert_eq!(status(&world, order, line).await, Some(SubscriptionStatus::Active));
    }
    assert!(world.cart(CartKind::Subscription).await.lines().is_empty());
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_refund_lets_subscriptions_go_on_and_a_full_one_ends_them() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::Subscription, false).await;
    world.pay(order).await;
    world.is_paid_once(order).await;
    subscription(&world, SubscriptionId::of(order, 2)).await;
    world.refund(order, 9_000).await;
    world.becomes(order, OrderStatus::PartlyRefunded).await;
    world.reactions_catch_up().await;
    assert_eq!(status(&world, order, 1).await, Some(SubscriptionStatus::Active));
    world.refund(order, 18_000).await;
    has_ended(&world, order).await;
    let ended = world.subscriptions.load(SubscriptionId::of(order, 1).uuid()).await.unwrap();
    let by = ended.state.cancelled().unwrap().by;
    assert_eq!(by, SubscriptionCancelledBy::OrderRefunded);
    worker.stop().await.unwrap();
}

/// F11: visible from the first day; and a key that arrives after the end does not look as if it were
/// in use, whichever release keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_key_shows_and_one_that_arrives_after_the_end_is_marked() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::Subscription, false).await;
    world.page_of(order).await;
    let lost = FaultScript::of(Operation::Approve, When::First(1), Fault::CommitThenDrop);
    world.sim.set_faults(lost);
    world.pay(order).await;
    world.is_paid_once(order).await;
    subscription(&world, SubscriptionId::of(order, 2)).await;
    assert_eq!(status(&world, order, 1).await, Some(SubscriptionStatus::KeyMissing));
    world.sim.clear_faults();
    world.send(order, cancel(Principal::User(world.user), &world)).await;
    has_ended(&world, order).await;
    world.reactions_catch_up().await;
    let state = |state| format!("select count(*) from billing_keys where state = '{state}'");
    assert_eq!(world.number(&state("missing")).await, 1);
    world
        .execute(
            "update billing_keys set sealed_sid = '{}', partner_user_id = 'p', state = 'active'
             where state = 'missing'",
        )
        .await;
    assert_eq!(world.number(&state("ending")).await, 1);
    worker.stop().await.unwrap();
}

/// F18: an event that was parked and is handled later must not put a row back that a later event of
/// its stream has moved on.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_a_parked_event_of_its_stream_waits_and_is_folded_in_order() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    let token = world.press_approve(order).await;
    world.reactions_catch_up().await;
    worker.stop().await.unwrap();
    world.come_back(order, token).await;
    let asked = "select position from events where event_type = 'PaymentApprovalRequested'";
    let position = world.number(asked).await;
    world
        .execute(&format!(
            "insert into parked_reaction
               (name, position, aggregate_type, aggregate_id, event_type, error)
             values ('payment_index', {position}, 'order', '{order}',
                     'PaymentApprovalRequested', 'test');
             insert into reaction_checkpoint (name, position) values ('payment_index', {position})
             on conflict (name) do update set position = excluded.position"
        ))
        .await;

    let worker = world.worker();
    world.becomes(order, OrderStatus::Paid).await;
    world.reactions_catch_up().await;
    let parked = "select count(*) from parked_reaction where name = 'payment_index'";
    assert_eq!(world.number(parked).await, 2, "the approval waits behind it");
    let operator = Operator::new(world.db.pool.clone());
    operator.retry_parked("payment_index", position).await.unwrap();
    eventually(PATIENCE, || async { (world.number(parked).await == 0).then_some(()) }).await;
    let approved = "select count(*) from payment_index where state = 'approved'";
    assert_eq!(world.number(approved).await, 1);
    worker.stop().await.unwrap();
}

//! The net under every "no": what ended without money is looked up again, and what is found is
//! recorded, refunded and alarmed.

use chrono::TimeDelta;
use contracts::events::{DeclineClass, GatewayStep, OrderKind};
use contracts::{OrderId, Text};
use domain::order::{OrderCommand, OrderStatus, RefundStage};
use kakaopay_sim::{Fault, FaultScript, Operation, When};
use processes::operator::{Intervention, Operator};
use processes::reactions::{PaymentIndex, Reaction};
use testkit::eventually;

use crate::reconciling::{charged_and_buried, compared, indexed, paid, reconciler};
use crate::world::{PATIENCE, World, clock, somebody};

/// The order gets a "no" that the gateway never gave.
pub(crate) async fn wrongly_declined(world: &World, order: OrderId) {
    world.execute("delete from outbox").await;
    let declined = OrderCommand::RecordDecline {
        attempt: 1,
        step: GatewayStep::Approve,
        class: DeclineClass::Soft,
        code: Text::parse("-781/6666").unwrap(),
        at: clock().now(),
    };
    world.send(order, declined).await;
}

/// A worker folds what is in the log, and stops.
pub(crate) async fn catch_up(world: &World) {
    let worker = world.worker();
    world.reactions_catch_up().await;
    worker.stop().await.unwrap();
}

/// F2.
#[tokio::test(flavor = "multi_thread")]
async fn an_ended_attempt_that_was_charged_is_found_recorded_and_refunded() {
    let world = World::new().await;
    let order = charged_and_buried(&world, OrderKind::OneOff).await;
    wrongly_declined(&world, order).await;
    let late = reconciler(&world, TimeDelta::minutes(17));
    catch_up(&world).await;
    assert_eq!(late.look_up_ended().await.unwrap(), 1);

    let worker = world.worker();
    eventually(PATIENCE, || async { (world.charges(order)[0].cancelled == 27_000).then_some(()) })
        .await;
    world.is_idle().await;
    assert!(world.order(order).await.payment().is_some(), "what was charged is on record");
    worker.stop().await.unwrap();
}

/// F10.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_refund_that_went_through_is_given_back_to_the_relay() {
    let world = World::new().await;
    let order = refunded_and_buried(&world).await;
    world.execute("update outbox set state = 'dead', lease_owner = null, lease_until = null").await;
    let late = reconciler(&world, TimeDelta::minutes(62));
    assert_eq!(late.look_up_refunds().await.unwrap(), 1);
    let worker = world.worker();
    world.becomes(order, OrderStatus::PartlyRefunded).await;
    world.is_idle().await;
    assert_eq!(world.charges(order)[0].cancelled, 2_000);
    worker.stop().await.unwrap();
}

/// A refund went through, and the worker died before it had the answer.
pub(crate) async fn refunded_and_buried(world: &World) -> OrderId {
    let worker = world.worker();
    let order = paid(world).await;
    indexed(world, "approved", 1).await;
    let held = FaultScript::of(Operation::Cancel, When::Always, Fault::CommitThenHold);
    world.sim.set_faults(held);
    world.refund(order, 2_000).await;
    eventually(PATIENCE, || async { (world.charges(order)[0].cancelled == 2_000).then_some(()) })
        .await;
    world.reactions_catch_up().await;
    worker.kill().await;
    world.sim.clear_faults();
    order
}

/// F10: a refund on its way explains a difference for an hour and not for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_is_pending_for_hours_is_a_difference() {
    let world = World::new().await;
    let order = refunded_and_buried(&world).await;
    let (young, _) = compared(&world).await;
    assert_eq!((young.under_way, young.differing), (1, 0));
    let old = crate::reconciling::compared_at(&world, TimeDelta::minutes(61)).await;
    assert_eq!((old.0.under_way, old.0.differing), (0, 1), "{:?}", old.1);
    assert_eq!(old.1[0].order_id, order);
}

/// F18: what an operator holds between the look-up and the write stays held.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_held_while_it_is_looked_up_stays_held() {
    let world = World::new().await;
    charged_and_buried(&world, OrderKind::OneOff).await;
    world.execute("update outbox set state = 'dead', lease_owner = null, lease_until = null").await;
    let before = world.sim.calls(Operation::Order).arrived;
    let held = FaultScript::of(Operation::Order, When::Always, Fault::CommitThenHold);
    world.sim.set_faults(held);
    let late = reconciler(&world, TimeDelta::minutes(2));
    let looking = tokio::spawn(async move { late.look_up_pending().await });
    world.sim.calls_reach(Operation::Order, before + 1).await;
    let operator = Operator::new(world.db.pool.clone());
    let row = operator.list(None, 1).await.unwrap().remove(0).id;
    operator.intervene(row, Intervention::Hold, &somebody()).await.unwrap();
    world.sim.clear_faults();
    assert_eq!(looking.await.unwrap().unwrap(), 0);
    assert_eq!(operator.show(row).await.unwrap().unwrap().state, "held");
}

/// F18: an approval that is recorded without its row leaves the key missing, not absent.
#[tokio::test(flavor = "multi_thread")]
async fn a_recurring_approval_that_is_recorded_without_its_row_leaves_a_missing_key() {
    let world = World::new().await;
    let order = charged_and_buried(&world, OrderKind::Subscription).await;
    world.execute("delete from outbox").await;
    let late = reconciler(&world, TimeDelta::minutes(2));
    assert_eq!(late.look_up_pending().await.unwrap(), 1);
    world.is_paid_once(order).await;
    let missing = "select count(*) from billing_keys where state = 'missing'";
    assert_eq!(world.number(missing).await, 1);
}

/// F13: a refused refund that went through after all.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_refund_whose_money_went_back_is_recorded_in_the_following_night() {
    let world = World::new().await;
    let order = refunded_and_buried(&world).await;
    world.execute("delete from outbox").await;
    let refund_id = world.order(order).await.refunds[0].id;
    let refused = OrderCommand::RecordRefundFailure {
        refund_id,
        class: DeclineClass::Merchant,
        code: Text::parse("-401").unwrap(),
        at: clock().now(),
    };
    world.send(order, refused).await;
    catch_up(&world).await;
    let night = reconciler(&world, TimeDelta::hours(26));
    assert_eq!(night.look_up_refunds().await.unwrap(), 1);
    assert!(matches!(world.order(order).await.refunds[0].stage, RefundStage::Succeeded));
}

pub(crate) const ANSWERED: &str =
    "select coalesce(sum(answers), -1)::bigint from payment_index where state = 'ended'";

/// F2: the gateway refused, and its word is confirmed twice: after the page's end and in a night.
#[tokio::test(flavor = "multi_thread")]
async fn an_ended_attempt_is_looked_up_until_the_gateway_confirmed_it_twice() {
    let world = World::new().await;
    declined(&world).await;
    let asked = || world.sim.calls(Operation::Order).arrived;
    let at = |ahead| {
        let reconciler = reconciler(&world, ahead);
        async move { reconciler.look_up_ended().await.unwrap() }
    };
    assert_eq!((at(TimeDelta::minutes(14)).await, asked()), (0, 0), "its page is still open");
    at(TimeDelta::minutes(17)).await;
    assert_eq!((asked(), world.number(ANSWERED).await), (1, 1));
    at(TimeDelta::minutes(70)).await;
    assert_eq!(asked(), 1, "not before the following night");
    // The answer was given 17 minutes from now, so its night is at most 26 hours from now.
    at(TimeDelta::hours(26)).await;
    assert_eq!((asked(), world.number(ANSWERED).await), (2, -1), "confirmed twice, and removed");
}

/// F2: silence confirms nothing, and a week of it is a difference.
#[tokio::test(flavor = "multi_thread")]
async fn an_ended_attempt_that_gets_no_answer_is_asked_by_the_hour_and_a_difference_after_a_week() {
    let world = World::new().await;
    let order = declined(&world).await;
    let asked = || world.sim.calls(Operation::Order).arrived;
    let away = FaultScript::of(Operation::Order, When::Always, Fault::Fail { status: 500 });
    world.sim.set_faults(away);
    let at = |ahead| {
        let reconciler = reconciler(&world, ahead);
        async move { reconciler.look_up_ended().await.unwrap() }
    };
    at(TimeDelta::minutes(17)).await;
    at(TimeDelta::minutes(70)).await;
    assert_eq!((asked(), world.number(ANSWERED).await), (1, 0), "by the hour");
    at(TimeDelta::minutes(80)).await;
    assert_eq!((asked(), world.number(ANSWERED).await), (2, 0));
    assert!(world.order(order).await.attempts[0].differences.is_empty());
    at(TimeDelta::days(8)).await;
    at(TimeDelta::days(9)).await;
    assert_eq!(crate::reconciling::recorded(&world).await, (1, 0), "a difference, once");

    world.sim.clear_faults();
    at(TimeDelta::days(10)).await;
    at(TimeDelta::days(12)).await;
    assert_eq!(crate::reconciling::recorded(&world).await, (1, 1), "settled by the second answer");
    assert_eq!(world.number(ANSWERED).await, -1);
}

/// Two workers count one answer once.
#[tokio::test(flavor = "multi_thread")]
async fn two_workers_do_not_count_one_answer_each() {
    let world = World::new().await;
    declined(&world).await;
    let (one, other) = (reconciler(&world, TimeDelta::minutes(17)), TimeDelta::minutes(17));
    let other = reconciler(&world, other);
    let (one, other) = tokio::join!(one.look_up_ended(), other.look_up_ended());
    assert_eq!((one.unwrap(), other.unwrap()), (0, 0));
    assert_eq!(world.sim.calls(Operation::Order).arrived, 1);
    assert_eq!(world.number(ANSWERED).await, 1);
}

/// An attempt whose approval was never asked for moved no money, whatever became of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_was_never_to_be_approved_is_not_kept() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.page_of(order).await;
    let left = OrderCommand::RecordReturn {
        attempt: 1,
        returned_as: contracts::events::ReturnedAs::Cancelled,
        at: clock().now(),
    };
    world.send(order, left).await;
    world.reactions_catch_up().await;
    assert_eq!(world.number("select count(*) from payment_index").await, 0);
    worker.stop().await.unwrap();
}

/// F18: an event that is handled after a later one does not bring a payment back to `approving`.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_handled_late_brings_no_ended_payment_back() {
    let world = World::new().await;
    let order = declined(&world).await;
    let feed = event_feed::FeedReader::new(world.db.pool.clone());
    let filter = event_feed::Filter::events(&["PaymentApprovalRequested"]);
    let read = feed.read(contracts::Position::START, &filter, 10).await.unwrap();
    let requested = &read.events[0];
    PaymentIndex.handle(&world.db.pool, requested).await.unwrap();
    indexed(&world, "ended", 1).await;

    // The net is done, and only then the event is handled: the order knows better.
    world.execute("delete from payment_index").await;
    PaymentIndex.handle(&world.db.pool, requested).await.unwrap();
    let late = reconciler(&world, TimeDelta::minutes(17));
    assert_eq!(late.look_up_pending().await.unwrap(), 0);
    indexed(&world, "ended", 1).await;
    assert_eq!(world.order(order).await.status(), OrderStatus::Declined);
}

/// F10: a refund whose row is gone is recorded from here.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_without_a_row_that_went_through_is_recorded() {
    let world = World::new().await;
    let order = refunded_and_buried(&world).await;
    world.execute("delete from outbox").await;
    let late = reconciler(&world, TimeDelta::minutes(62));
    assert_eq!(late.look_up_refunds().await.unwrap(), 1);
    world.becomes(order, OrderStatus::PartlyRefunded).await;
    assert_eq!(late.look_up_refunds().await.unwrap(), 0);
}

/// F10: one that did not go through is looked up by the hour, is listed and a difference, and ends as
/// one by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_refund_that_did_not_go_through_is_listed_and_a_difference_until_it_ends() {
    let world = World::new().await;
    let worker = world.worker();
    let order = paid(&world).await;
    indexed(&world, "approved", 1).await;
    worker.stop().await.unwrap();
    world.refund(order, 2_000).await;
    world.execute("update outbox set state = 'dead', request = '{}'").await;
    catch_up(&world).await;
    let operator = Operator::new(world.db.pool.clone());
    let listed = operator.open_refunds(clock().now(), true, 10).await.unwrap();
    assert_eq!((listed.len(), listed[0].amount, listed[0].is_automatic), (1, 2_000, false));
    assert_eq!(listed[0].row_state.as_deref(), Some("dead"));

    let late = reconciler(&world, TimeDelta::minutes(62));
    assert_eq!(late.look_up_refunds().await.unwrap(), 0);
    assert_eq!(late.look_up_refunds().await.unwrap(), 0);
    assert_eq!(world.sim.calls(Operation::Order).arrived, 1, "by the hour");
    assert_eq!(crate::reconciling::recorded(&world).await, (1, 0));
    assert_eq!(operator.show(listed[0].row_id.unwrap()).await.unwrap().unwrap().state, "dead");
    let counts = operator.refund_counts(late.clock.now()).await.unwrap();
    assert_eq!((counts.overdue, counts.refused), (1, 0));

    // An operator has it carried out; the difference goes with it.
    let row = listed[0].row_id.unwrap();
    operator.intervene(row, Intervention::Retry, &somebody()).await.unwrap();
    let worker = world.worker();
    world.becomes(order, OrderStatus::PartlyRefunded).await;
    world.reactions_catch_up().await;
    assert_eq!(late.look_up_refunds().await.unwrap(), 0);
    assert_eq!(crate::reconciling::recorded(&world).await, (1, 1));
    assert_eq!(world.number("select count(*) from refund_index").await, 0);
    worker.stop().await.unwrap();
}

/// F13: what the gateway refused is listed until the money went back some other way.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_refund_is_asked_about_once_and_listed_until_another_takes_its_place() {
    let world = World::new().await;
    let worker = world.worker();
    let order = paid(&world).await;
    world.is_idle().await;
    worker.stop().await.unwrap();
    let refund_id = world.refund(order, 2_000).await;
    world.execute("delete from outbox").await;
    let worker = world.worker();
    let refused = OrderCommand::RecordRefundFailure {
        refund_id,
        class: DeclineClass::Merchant,
        code: Text::parse("-401").unwrap(),
        at: clock().now(),
    };
    world.send(order, refused).await;
    world.reactions_catch_up().await;
    let operator = Operator::new(world.db.pool.clone());
    let listed = operator.open_refunds(clock().now(), false, 10).await.unwrap();
    assert_eq!((listed.len(), listed[0].code.as_deref()), (1, Some("-401")));
    assert!(operator.open_refunds(clock().now(), true, 10).await.unwrap().is_empty());
    let night = reconciler(&world, TimeDelta::hours(26));
    for _again in 0..2 {
        assert_eq!(night.look_up_refunds().await.unwrap(), 0);
        assert_eq!(world.sim.calls(Operation::Order).arrived, 1, "answered, so asked once");
    }
    let listed = operator.open_refunds(clock().now(), false, 10).await.unwrap();
    assert_eq!((listed.len(), listed[0].next_look_up_at), (1, None), "still owed");

    world.refund(order, 2_000).await;
    world.becomes(order, OrderStatus::PartlyRefunded).await;
    world.reactions_catch_up().await;
    assert!(operator.open_refunds(clock().now(), false, 10).await.unwrap().is_empty());
    worker.stop().await.unwrap();
}

/// F13: the shop keeps money for an order that it does not deliver, and no shopper asks again.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_automatic_refund_is_alarmed_and_listed_as_one() {
    let world = World::new().await;
    let order = charged_and_buried(&world, OrderKind::OneOff).await;
    wrongly_declined(&world, order).await;
    catch_up(&world).await;
    let late = reconciler(&world, TimeDelta::minutes(17));
    assert_eq!(late.look_up_ended().await.unwrap(), 1);
    world.execute("delete from outbox").await;
    let refund_id = world.order(order).await.refunds[0].id;
    let refused = OrderCommand::RecordRefundFailure {
        refund_id,
        class: DeclineClass::Merchant,
        code: Text::parse("-721").unwrap(),
        at: clock().now(),
    };
    world.send(order, refused).await;
    catch_up(&world).await;
    let operator = Operator::new(world.db.pool.clone());
    let listed = operator.open_refunds(clock().now(), false, 10).await.unwrap();
    assert_eq!((listed[0].state.as_str(), listed[0].is_automatic), ("refused", true));
    let shown = service_kit::telemetry::metrics().render();
    assert!(shown.contains(r#"refunds_refused_total{kind="automatic"}"#), "{shown}");
    assert!(shown.contains(r#"reconcile_net_found_total{kind="payment"}"#), "{shown}");

    // A day before it is due, and from then on, it is counted as due.
    let before = |days| clock().now() + TimeDelta::days(days);
    let soon = async |days| operator.refund_counts(before(days)).await.unwrap().due_soon;
    assert_eq!((soon(0).await, soon(7).await), (0, 1));
}

/// KakaoPay refuses the approval: nothing moved, and nothing says so yet but that answer.
pub(crate) async fn declined(world: &World) -> OrderId {
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.page_of(order).await;
    let lack = Fault::Decline {
        code: -780,
        message: None,
        method_result_code: Some("LACK_BALANCE".to_owned()),
        method_result_message: None,
        status: 400,
    };
    world.sim.set_faults(FaultScript::of(Operation::Approve, When::First(1), lack));
    world.pay(order).await;
    world.becomes(order, OrderStatus::Declined).await;
    world.is_idle().await;
    world.reactions_catch_up().await;
    worker.stop().await.unwrap();
    world.sim.clear_faults();
    order
}

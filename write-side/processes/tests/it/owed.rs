//! Which refused refunds the shop still owes after another refund of the payment succeeded.

use contracts::events::DeclineClass;
use contracts::{OrderId, RefundId, Text};
use domain::order::{OrderCommand, RefundStage};
use processes::operator::Operator;
use testkit::eventually;

use crate::nets::catch_up;
use crate::reconciling::paid;
use crate::world::{PATIENCE, World, clock};

/// Requested, and refused by the gateway.
async fn refused(world: &World, order: OrderId, amount: i64) -> RefundId {
    let refund_id = world.refund(order, amount).await;
    world.execute("delete from outbox").await;
    let refused = OrderCommand::RecordRefundFailure {
        refund_id,
        class: DeclineClass::Merchant,
        code: Text::parse("-722").unwrap(),
        at: clock().now(),
    };
    world.send(order, refused).await;
    refund_id
}

/// Requested, carried out, and folded into the list.
async fn succeeded(world: &World, order: OrderId, amount: i64) {
    let refund_id = world.refund(order, amount).await;
    let worker = world.worker();
    eventually(PATIENCE, || async {
        let order = world.order(order).await;
        (order.refund(refund_id)?.stage == RefundStage::Succeeded).then_some(())
    })
    .await;
    world.is_idle().await;
    world.reactions_catch_up().await;
    worker.stop().await.unwrap();
}

/// What operators see as refused, each with whether the night's look-up is still to come.
async fn listed(world: &World) -> Vec<(RefundId, bool)> {
    let operator = Operator::new(world.db.pool.clone());
    let open = operator.open_refunds(clock().now(), false, 10).await.unwrap();
    open.iter().map(|it| (it.refund_id, it.next_look_up_at.is_some())).collect()
}

/// With every refused refund removed that is no larger (seen so) the list is empty although the shop
/// owes two of three.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_succeeds_takes_the_place_of_one_refused_refund() {
    let world = World::new().await;
    let worker = world.worker();
    let order = paid(&world).await;
    world.is_idle().await;
    worker.stop().await.unwrap();
    let small = refused(&world, order, 1_000).await;
    let first = refused(&world, order, 3_000).await;
    let second = refused(&world, order, 3_000).await;
    catch_up(&world).await;
    assert_eq!(listed(&world).await, [(small, true), (first, true), (second, true)]);

    succeeded(&world, order, 3_000).await;
    assert_eq!(listed(&world).await, [(small, true), (second, true)], "the oldest of its amount");
    succeeded(&world, order, 2_000).await;
    assert_eq!(listed(&world).await, [(second, true)], "the oldest that is not larger");
    succeeded(&world, order, 2_999).await;
    assert_eq!(listed(&world).await, [(second, true)], "it is larger");
    succeeded(&world, order, 3_000).await;
    assert_eq!(listed(&world).await, []);
}

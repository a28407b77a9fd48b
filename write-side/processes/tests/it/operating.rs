//! What an operator can do about a row.

use contracts::events::OrderKind;
use domain::order::OrderStatus;
use processes::operator::{Intervention, Operator, OperatorError};
use uuid::Uuid;

use crate::world::{World, clock};

async fn only_row(operator: &Operator) -> (Uuid, String) {
    let mut rows = operator.list(None, 10).await.unwrap();
    assert_eq!(rows.len(), 1);
    let row = rows.remove(0);
    (row.id, row.state)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_row_waits_until_it_is_released() {
    let world = World::new().await;
    let order = world.place(OrderKind::OneOff, false).await;
    let operator = Operator::new(world.db.pool.clone());
    let (id, _) = only_row(&operator).await;
    operator.intervene(id, Intervention::Hold).await.unwrap();
    assert!(world.rows("worker").claim(10).await.unwrap().is_empty());
    assert_eq!(only_row(&operator).await.1, "held");

    operator.intervene(id, Intervention::Release).await.unwrap();
    let again = operator.intervene(id, Intervention::Release).await;
    assert!(matches!(again, Err(OperatorError::NotApplicable(_))), "{again:?}");
    let worker = world.worker();
    world.pay(order).await;
    world.is_paid_once(order).await;
    world.is_idle().await;
    let shown = operator.show(id).await.unwrap().unwrap();
    assert_eq!(shown.state, "done");
    assert_eq!(shown.request.unwrap()["call"], "begin_checkout");
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_row_resolved_as_not_done_frees_the_order() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    let token = world.press_approve(order).await;
    world.is_idle().await;
    worker.stop().await.unwrap();
    world.come_back(order, token).await;
    world.execute("update outbox set state = 'dead'").await;
    let operator = Operator::new(world.db.pool.clone());
    let (id, _) = only_row(&operator).await;
    let resolve = Intervention::ResolveAsNotDone { at: clock().now() };
    operator.intervene(id, resolve).await.unwrap();

    let worker = world.worker();
    world.becomes(order, OrderStatus::Declined).await;
    world.is_idle().await;
    assert!(world.charges(order).is_empty());
    worker.stop().await.unwrap();
}

//! What an operator can do about a row.

use contracts::events::OrderKind;
use domain::order::OrderStatus;
use processes::operator::{Intervention, Operator, OperatorError};
use processes::relay::rows::RowClass;
use uuid::Uuid;

use crate::world::{World, clock, somebody};

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
    operator.intervene(id, Intervention::Hold, &somebody()).await.unwrap();
    assert!(world.rows("worker").claim(RowClass::Shopper, 10).await.unwrap().is_empty());
    assert_eq!(only_row(&operator).await.1, "held");

    operator.intervene(id, Intervention::Release, &somebody()).await.unwrap();
    let again = operator.intervene(id, Intervention::Release, &somebody()).await;
    assert!(matches!(again, Err(OperatorError::WrongState { .. })), "{again:?}");
    let nothing = operator.intervene(Uuid::now_v7(), Intervention::Retry, &somebody()).await;
    assert!(matches!(nothing, Err(OperatorError::NoSuchRow(_))), "{nothing:?}");
    let worker = world.worker();
    world.pay(order).await;
    world.is_paid_once(order).await;
    world.is_idle().await;
    let shown = operator.show(id).await.unwrap().unwrap();
    assert_eq!(shown.state, "done");
    assert_eq!(shown.request.unwrap()["call"], "begin_checkout");
    // Who did what is kept beside the row, and outlives it; what was refused is not there.
    let did: Vec<_> = shown.interventions.iter().map(|it| it.action.as_str()).collect();
    assert_eq!(did, ["hold", "release"]);
    assert_eq!(shown.interventions[1].state_before, "held");
    assert_eq!(shown.interventions[1].actor, somebody().actor);
    assert_eq!(shown.interventions[1].request_id, "at-the-terminal");
    let over = operator.intervene(id, Intervention::Retry, &somebody()).await;
    let Err(OperatorError::WrongState { state, .. }) = over else { panic!("{over:?}") };
    assert_eq!(state, "done");
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
    operator.intervene(id, resolve, &somebody()).await.unwrap();

    let worker = world.worker();
    world.becomes(order, OrderStatus::Declined).await;
    world.is_idle().await;
    assert!(world.charges(order).is_empty());
    worker.stop().await.unwrap();
}

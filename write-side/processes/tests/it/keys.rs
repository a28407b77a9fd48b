//! A recurring key stands in one answer and nowhere else: it is held until it is stored.

use contracts::events::OrderKind;
use domain::order::OrderStatus;
use testkit::eventually;

use crate::world::{PATIENCE, World};

/// F11: with five tries (seen so) the key of an outage of more than some seconds is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_held_until_the_database_takes_it() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::Subscription, false).await;
    world.page_of(order).await;
    // A sequence counts although the transaction that drew from it is rolled back.
    world
        .execute(
            "create sequence refused_keys;
             create function refuse_key() returns trigger language plpgsql as $$
             begin
               perform nextval('refused_keys');
               raise exception 'unavailable' using errcode = '57P03';
             end $$;
             create trigger refuse before insert on billing_keys
               for each row execute function refuse_key()",
        )
        .await;
    world.pay(order).await;
    eventually(PATIENCE, || async {
        let refused = world.number("select last_value from refused_keys").await;
        (12 <= refused).then_some(())
    })
    .await;
    world.execute("drop trigger refuse on billing_keys").await;
    let paid = world.becomes(order, OrderStatus::Paid).await;
    let approval = paid.payment().and_then(|attempt| attempt.stage.approval()).unwrap();
    assert!(approval.billing_key.is_some(), "the key is on record");
    let kept = "select count(*) from billing_keys where state = 'active'";
    assert_eq!(world.number(kept).await, 1);
    worker.stop().await.unwrap();
}

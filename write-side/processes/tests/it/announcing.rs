//! While a worker's breaker is open the command APIs are told so, and no longer when it ends.

use contracts::events::OrderKind;
use kakaopay_sim::{Fault, FaultScript, Operation, When};
use testkit::eventually;

use crate::world::{PATIENCE, World};

/// How many workers say that their breaker is open, and how many that it is not.
async fn told(world: &World) -> (i64, i64) {
    let count = |sql: &'static str| world.number(sql);
    (
        count("select count(*) from gateway_breaker where now() < open_until").await,
        count("select count(*) from gateway_breaker where open_until is null").await,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_breaker_is_announced_and_a_worker_that_ends_takes_its_word_back() {
    let world = World::new().await;
    let worker = world.worker();
    eventually(PATIENCE, || async { (told(&world).await == (0, 1)).then_some(()) }).await;
    // The codes of these tests move no money, and that is announced as well.
    let test = "select count(*) from gateway_breaker where class = 'checkout_test'";
    assert_eq!(world.number(test).await, 1);

    let broken = Fault::Fail { status: 500 };
    world.sim.set_faults(FaultScript::of(Operation::Ready, When::Always, broken));
    // Three tries each: more than the twenty calls that a breaker wants to see.
    for _ in 0..8 {
        world.place(OrderKind::OneOff, false).await;
    }
    eventually(PATIENCE, || async { (told(&world).await == (1, 0)).then_some(()) }).await;

    worker.stop().await.unwrap();
    assert_eq!(told(&world).await, (0, 0));
}

//! Only the holder of the current epoch moves a shard, and only from its own checkpoint.
//!
//! What prevents every failure here is one line of `sql/fence.sql`,
//! `where … epoch = $4 and position = $5`, with the check for exactly one row in `fence_in_tx`.

use std::time::Duration;

use contracts::events::CartEvent;
use contracts::{CartKey, CartKind, EventBody, ItemId, Quantity, Text, UserId, Won};
use testkit::TestDatabase;
use uuid::Uuid;

use super::*;
use crate::projection::{Body, Event};

const CART: CartKey = CartKey { user_id: UserId::new(Uuid::from_u128(7)), kind: CartKind::OneOff };

/// The n-th event of one cart: one more item in it.
fn added(number: i64) -> Incoming {
    let item_id = ItemId::new(Uuid::from_u128(u128::try_from(number).unwrap()));
    let body = CartEvent::ItemAdded {
        cart: CART,
        item_id,
        item_name: Text::parse("루테인").unwrap(),
        requested: Quantity::ONE,
        quantity: Quantity::ONE,
        period: None,
        unit_price: Won::ZERO,
    };
    let aggregate_id = CART.id().uuid();
    Incoming {
        position: number,
        stream: (CartEvent::AGGREGATE_TYPE.to_owned(), aggregate_id),
        sequence: number,
        event_type: body.event_type().to_owned(),
        event: Ok(Event {
            position: number,
            aggregate_id,
            sequence: number,
            body: Body::Cart(body),
        }),
    }
}

fn carts() -> Target {
    Target::new(crate::models::model("cart_view").unwrap(), 1)
}

async fn leased(db: &TestDatabase, owner: &str) -> Option<Lease> {
    Lease::take(&db.pool, "cart_view", 1, owner).await.unwrap()
}

async fn lines_in_cart(db: &TestDatabase) -> i32 {
    let client = db.client().await;
    client.query_one("select line_count from cart_view", &[]).await.unwrap().get(0)
}

async fn lease_runs_out(db: &TestDatabase) {
    let past = "update projection_shard set lease_until = clock_timestamp() - interval '1 s'";
    db.client().await.batch_execute(past).await.unwrap();
}

fn at(number: i64) -> Position {
    Position::new(number)
}

/// A worker whose commit was not answered applies its batch again. Seen to fail: without `and
/// position = $5` the second time is `Ok` and moves nothing, and without the fence at all the cart's
/// row is written twice.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_batch_twice_changes_nothing() {
    let db = TestDatabase::fresh().await;
    let lease = leased(&db, "first").await.unwrap();
    apply(&db.pool, &carts(), &lease, &[added(1)], at(1)).await.unwrap();
    let again = apply(&db.pool, &carts(), &lease, &[added(1), added(2)], at(2)).await;
    assert!(matches!(again, Err(ProjectionError::LeaseLost { .. })), "{again:?}");
    assert_eq!(lines_in_cart(&db).await, 1);
}

/// A worker is paused past its lease, another takes over, and the first wakes up in the middle of its
/// batch. Seen to fail: without `epoch = $4` in the fence the zombie's batch is taken, since the
/// successor has not moved the checkpoint yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_with_an_old_epoch_is_refused() {
    let db = TestDatabase::fresh().await;
    let zombie = leased(&db, "zombie").await.unwrap();
    assert!(leased(&db, "successor").await.is_none(), "the lease still runs");
    lease_runs_out(&db).await;
    let mut successor = leased(&db, "successor").await.unwrap();

    let late = apply(&db.pool, &carts(), &zombie, &[added(1)], at(1)).await;
    assert!(matches!(late, Err(ProjectionError::LeaseLost { .. })), "{late:?}");
    assert!(matches!(zombie.renew(&db.pool).await, Err(ProjectionError::LeaseLost { .. })));
    // Nor does it give away what is no longer its own.
    zombie.release(&db.pool).await.unwrap();
    assert!(leased(&db, "third").await.is_none());

    apply(&db.pool, &carts(), &successor, &[added(1)], at(1)).await.unwrap();
    successor.position = at(1);
    apply(&db.pool, &carts(), &successor, &[added(2)], at(2)).await.unwrap();
    assert_eq!(lines_in_cart(&db).await, 2);
}

/// Two batches of the same checkpoint at once: the second waits for the first's row lock and is then
/// refused, rather than folding rows that it read before.
#[tokio::test(flavor = "multi_thread")]
async fn two_batches_at_once_are_one() {
    let db = TestDatabase::fresh().await;
    let lease = leased(&db, "both").await.unwrap();
    let (target, first, second) = (carts(), [added(1)], [added(1)]);
    let (one, other) = tokio::join!(
        apply(&db.pool, &target, &lease, &first, at(1)),
        apply(&db.pool, &target, &lease, &second, at(1)),
    );
    assert_ne!(one.is_ok(), other.is_ok(), "{one:?} {other:?}");
    assert_eq!(lines_in_cart(&db).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_given_back_is_taken_at_once() {
    let db = TestDatabase::fresh().await;
    let lease = leased(&db, "first").await.unwrap();
    lease.release(&db.pool).await.unwrap();
    assert!(leased(&db, "second").await.is_some());
    assert!(Duration::from_secs(1) < crate::lease::LEASE_FOR);
}

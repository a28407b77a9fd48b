//! A comparison takes as long as it takes: its snapshot may lie idle for longer than a pool allows.
//!
//! Seen to fail: without the `set` in `session` the server ends the snapshot's transaction while the
//! rows of the replay are made, and the verification with it.

use contracts::events::CartEvent;
use contracts::{CartKey, CartKind, EventBody, ItemId, Quantity, Text, UserId, Won};
use service_kit::config::Secret;
use service_kit::pools::{PoolSettings, postgres_tuned};
use testkit::TestDatabase;
use uuid::Uuid;

use super::*;

/// Enough for their rows to take longer to make than the pool below lets a transaction idle.
const CARTS: u128 = 1_000;

/// One cart with one item.
fn cart(number: u128) -> (String, serde_json::Value) {
    let user_id = UserId::new(Uuid::from_u128(number));
    let cart = CartKey { user_id, kind: CartKind::OneOff };
    let event = CartEvent::ItemAdded {
        cart,
        item_id: ItemId::new(Uuid::from_u128(7)),
        item_name: Text::parse("루테인").unwrap(),
        requested: Quantity::ONE,
        quantity: Quantity::ONE,
        period: None,
        unit_price: Won::ZERO,
    };
    (cart.id().uuid().to_string(), event.encode().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_may_pause_for_longer_than_other_transactions() {
    let db = TestDatabase::fresh().await;
    let (ids, bodies): (Vec<_>, Vec<_>) = (1..=CARTS).map(cart).unzip();
    let append = "select append_events(gen_random_uuid(), $1, given.id, 0, array['CartItemAdded'], \
                  array['1'], array[given.body], '{}') \
                  from unnest($2::text[], $3::jsonb[]) as given (id, body)";
    db.client().await.execute(append, &[&CartEvent::AGGREGATE_TYPE, &ids, &bodies]).await.unwrap();
    let url = db.url.clone();
    let config = ProjectorConfig::load(|name| (name == "DATABASE_URL").then(|| url.clone()));
    let rebuilt = crate::rebuild(&config.unwrap(), "cart_view").await.unwrap();

    let hasty = [("idle_in_transaction_session_timeout", "1")];
    let settings = PoolSettings::named("hasty");
    let pool = postgres_tuned(&Secret::new(db.url.clone()), &settings, &hasty).unwrap();
    let model = crate::find("cart_view").unwrap();
    let version = rebuilt.version.unwrap();
    let report = Verification { model, pool: &pool, version }.attempt().await.unwrap().unwrap();

    assert!(report.is_equal(), "{report}");
    assert_eq!(u128::from(report.rows), CARTS);
}

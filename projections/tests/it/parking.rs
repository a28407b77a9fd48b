//! An event that cannot be folded is set aside with the later ones of its aggregate; all else goes on.

use contracts::Category;
use contracts::events::ItemEvent;
use serde_json::json;

use crate::history::{item_id, registered, won};
use crate::support::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_event_parks_its_aggregate_and_no_other() {
    let mut shop = Shop::open().await;
    let (bad, good) = (item_id(1).uuid(), item_id(2).uuid());
    shop.record(bad, &registered(1, 1_000, 0, &[Category::Eye])).await;
    shop.record(good, &registered(2, 1_000, 0, &[Category::Eye])).await;
    let poison = shop.record_raw("item", bad, "ItemRepriced", json!({ "origin_price": -5 })).await;
    shop.record(bad, &ItemEvent::Withdrawn { reason: None }).await;
    shop.record(good, &ItemEvent::Repriced { origin_price: won(2_000) }).await;
    let projector = shop.project();
    shop.caught_up().await;
    // Also what is recorded later, in another batch, waits behind it.
    shop.record(bad, &ItemEvent::Relisted {}).await;
    shop.caught_up().await;

    let prices = "select price from item_detail where item_id = ";
    assert_eq!(shop.number(&format!("{prices}'{bad}'")).await, 1_000);
    assert_eq!(shop.number(&format!("{prices}'{good}'")).await, 2_000);
    let parked = projections::parked(&shop.config, Some("item_detail")).await.unwrap();
    assert_eq!(parked.len(), 3);
    assert_eq!(parked[0].position, poison);
    let error = parked[0].error.as_deref().unwrap();
    assert!(error.contains("decode the body of ItemRepriced"), "{error}");
    assert!(parked[1].error.is_none() && parked[2].error.is_none());
    // Rows and replay agree on what is set aside.
    let report = projections::verify(&shop.config, "item_detail").await.unwrap();
    assert!(report.is_equal() && report.parked == 3, "{report}");

    assert_eq!(projections::retry(&shop.config, "item_detail").await.unwrap(), (0, 3));
    assert_eq!(projections::give_up(&shop.config, "item_detail", poison).await.unwrap(), 1);
    assert_eq!(projections::retry(&shop.config, "item_detail").await.unwrap(), (2, 0));
    assert_eq!(shop.number("select count(*) from item_detail where on_sale").await, 2);
    let version = format!("select version from item_detail where item_id = '{bad}'");
    assert_eq!(shop.number(&version).await, 4);
    projector.stop().await;
}

/// What the fold takes and the database does not is found by cutting the batch down. Here a
/// constraint stands for whatever the database may refuse.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_rows_the_database_refuses_is_found_and_parked() {
    let mut shop = Shop::open().await;
    shop.execute("alter table item_detail_v1 add constraint no_gold check (price < 1000000)").await;
    for number in 1..=9 {
        let price = if number == 5 { 2_000_000 } else { 1_000 };
        let event = registered(number, price, 0, &[Category::Eye]);
        shop.record(item_id(number).uuid(), &event).await;
    }
    let projector = shop.project();
    shop.caught_up().await;
    assert_eq!(shop.number("select count(*) from item_detail").await, 8);
    let parked = projections::parked(&shop.config, Some("item_detail")).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert!(parked[0].error.as_deref().unwrap().contains("no_gold"), "{parked:?}");
    projector.stop().await;
}

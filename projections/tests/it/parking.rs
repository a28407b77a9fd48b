//! An event that cannot be folded is set aside with the later ones of its aggregate; all else goes on.

use std::process::ExitCode;

use contracts::Category;
use contracts::events::ItemEvent;
use projections::{PARKED_STREAMS_MAX, ProjectionError, Retried, Switched};
use serde_json::json;
use testkit::eventually;

use crate::history::{item_id, registered, won};
use crate::support::{SOON, Shop};

/// What a retry of `item_detail` came to: (folded, still parked).
async fn retried(shop: &Shop) -> (u64, u64) {
    let Retried { folded, left, refused } =
        projections::retry(&shop.config, "item_detail").await.unwrap();
    assert_eq!(refused, 0);
    (folded, left)
}

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

    assert_eq!(retried(&shop).await, (0, 3));
    assert_eq!(projections::give_up(&shop.config, "item_detail", poison).await.unwrap(), 1);
    assert_eq!(retried(&shop).await, (2, 0));
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

/// Seen to fail when the first aggregate whose rows the database refuses ended the retry: the one behind
/// it stayed parked, and the reason was that of the first attempt.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_goes_on_behind_what_the_database_refuses() {
    let mut shop = Shop::open().await;
    let constrained = |limit: i64| {
        format!(
            "alter table item_detail_v1 drop constraint if exists too_dear; \
             alter table item_detail_v1 add constraint too_dear check (price < {limit}) not valid"
        )
    };
    shop.execute(&constrained(1_000)).await;
    for (number, price) in [(1, 3_000), (2, 2_000)] {
        let event = registered(number, price, 0, &[Category::Eye]);
        shop.record(item_id(number).uuid(), &event).await;
    }
    let projector = shop.project();
    shop.caught_up().await;
    shop.execute(&constrained(2_500)).await;
    shop.execute("update parked_event set error = 'the first attempt'").await;

    let (code, said) = shop.says(&["parked", "retry", "item_detail"]).await;
    assert_eq!(code, ExitCode::FAILURE, "{said}");
    assert!(said.contains("1 folded, 1 still parked"), "{said}");
    assert!(said.contains("refuses the rows of 1 aggregates"), "{said}");
    let parked = projections::parked(&shop.config, Some("item_detail")).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert!(parked[0].error.as_deref().unwrap().contains("too_dear"), "{parked:?}");
    projector.stop().await;
}

/// What an operator gave up stays given up: in a replay, in the next version, and after the version in
/// which it was parked is gone. Seen to fail when giving up removed the row: `verify` ended with events
/// that can't be folded, and the rebuild parked the event and all later ones of its aggregate again.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_given_up_is_left_out_by_verify_and_rebuild() {
    let mut shop = Shop::open().await;
    let bad = item_id(1).uuid();
    shop.record(bad, &registered(1, 1_000, 0, &[Category::Eye])).await;
    let poison = shop.record_raw("item", bad, "ItemRepriced", json!({ "origin_price": -5 })).await;
    shop.record(bad, &ItemEvent::Repriced { origin_price: won(3_000) }).await;
    let projector = shop.project();
    shop.caught_up().await;
    let (code, said) = shop.says(&["verify", "item_detail"]).await;
    assert!(code == ExitCode::SUCCESS && said.contains("2 events parked"), "{said}");
    let (code, said) = shop.says(&["verify", "item_detail", "--strict"]).await;
    assert_eq!(code, ExitCode::FAILURE, "{said}");

    assert_eq!(projections::give_up(&shop.config, "item_detail", poison).await.unwrap(), 1);
    assert_eq!(retried(&shop).await, (1, 0));
    let left = projections::parked(&shop.config, Some("item_detail")).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    let (code, said) = shop.says(&["verify", "item_detail", "--strict"]).await;
    assert!(code == ExitCode::SUCCESS && said.contains("1 given up and left out"), "{said}");

    for _ in 0..2 {
        let report = projections::rebuild(&shop.config, "item_detail").await.unwrap();
        assert!(report.parked == 0 && report.given_up == 1 && report.is_served, "{report}");
        projections::retire(&shop.config, "item_detail", false).await.unwrap();
    }
    let (code, said) = shop.says(&["verify", "item_detail", "--strict"]).await;
    assert!(code == ExitCode::SUCCESS && said.contains("1 given up and left out"), "{said}");
    assert_eq!(shop.number("select price from item_detail").await, 3_000);
    let given_up = projections::given_up(&shop.config, None).await.unwrap();
    let of_this = given_up.iter().filter(|it| it.name == "item_detail");
    assert_eq!(of_this.map(|it| it.position).collect::<Vec<_>>(), [poison]);
    projector.stop().await;
}

/// Seen to fail when a retry only removed rows: the second event kept "behind another" as its reason.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_keeps_the_reason_of_the_first_event_that_is_left() {
    let mut shop = Shop::open().await;
    let bad = item_id(1).uuid();
    shop.record(bad, &registered(1, 1_000, 0, &[Category::Eye])).await;
    let first = shop.record_raw("item", bad, "ItemRepriced", json!({ "origin_price": -5 })).await;
    let second = shop.record_raw("item", bad, "ItemRepriced", json!({ "origin_price": -6 })).await;
    let projector = shop.project();
    shop.caught_up().await;
    projections::give_up(&shop.config, "item_detail", first).await.unwrap();
    assert_eq!(retried(&shop).await, (0, 1));
    let parked = projections::parked(&shop.config, Some("item_detail")).await.unwrap();
    assert_eq!(parked[0].position, second);
    let error = parked[0].error.as_deref();
    assert!(error.is_some_and(|error| error.contains("ItemRepriced")), "{error:?}");
    projector.stop().await;
}

/// A build that refuses what it should take would otherwise park the whole log, and read all of it
/// again with every batch. Seen to fail when the batch with one aggregate too many was rolled back as a
/// whole: nothing was listed, so that an operator had nothing to retry or drop.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_stops_rather_than_park_the_events_of_too_many_aggregates() {
    let mut shop = Shop::open().await;
    let aggregates = u64::try_from(PARKED_STREAMS_MAX).unwrap() + 1;
    for number in 1..=aggregates {
        let broken = json!({ "origin_price": -5 });
        shop.record_raw("item", item_id(number).uuid(), "ItemRepriced", broken).await;
    }
    let projector = shop.project();
    let error = eventually(SOON, || async { shop.status("item_detail", 1).await.last_error }).await;
    assert!(error.contains("parked events of more than 200 aggregates"), "{error}");
    projector.stop().await;
    let parked = projections::parked(&shop.config, Some("item_detail")).await.unwrap();
    assert_eq!(parked.len(), PARKED_STREAMS_MAX);
    let stopped = shop.status("item_detail", 1).await;
    assert_eq!(stopped.position.number(), parked.last().unwrap().position);
    // With one less to park, the next try goes on.
    let first = parked[0].position;
    assert_eq!(projections::give_up(&shop.config, "item_detail", first).await.unwrap(), 1);
    let projector = shop.project();
    shop.has_reached("item_detail", first + i64::try_from(PARKED_STREAMS_MAX).unwrap()).await;
    projector.stop().await;
    // What was given up is left out by a rebuild, which stops at one too many as well.
    let broken = json!({ "origin_price": -5 });
    shop.record_raw("item", item_id(aggregates + 1).uuid(), "ItemRepriced", broken).await;
    let rebuilt = projections::rebuild(&shop.config, "item_detail").await;
    assert!(matches!(rebuilt, Err(ProjectionError::TooManyParked { .. })), "{rebuilt:?}");
}

/// Seen to fail when the command reported "given up in 0 versions" and exited with 0.
#[tokio::test(flavor = "multi_thread")]
async fn giving_up_an_event_that_is_not_parked_is_an_error() {
    let shop = Shop::open().await;
    let dropped = projections::give_up(&shop.config, "item_detail", 7).await;
    assert!(matches!(dropped, Err(ProjectionError::NotParked { position: 7, .. })), "{dropped:?}");
    let text = dropped.unwrap_err().to_string();
    assert!(text.contains("item_detail has no parked event at position 7"), "{text}");
}

/// An event that a newer build wrote is no bad data. Seen to fail when it was parked: the later events of
/// its aggregate were not shown after the deploy until an operator retried.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_version_that_this_build_does_not_know_stops_the_model() {
    let mut shop = Shop::open().await;
    let item = item_id(1).uuid();
    let body = json!({ "origin_price": 2_000 });
    shop.record(item, &registered(1, 1_000, 0, &[Category::Eye])).await;
    let newer = shop.record_as("item", item, ("ItemRepriced", "2"), body).await;
    let last = shop.record(item, &ItemEvent::Withdrawn { reason: None }).await;
    let projector = shop.project();
    // Models that don't want it go on.
    shop.has_reached("cart_view", last).await;
    let stopped = eventually(SOON, || async {
        let status = shop.status("item_detail", 1).await;
        status.last_error.is_some().then_some(status)
    })
    .await;
    let error = stopped.last_error.unwrap();
    assert!(error.contains(&format!("position {newer}")), "{error}");
    assert!(error.contains("unknown version 2 of ItemRepriced"), "{error}");
    assert_eq!(stopped.position.number(), newer - 1, "what comes before is shown");
    assert_eq!(shop.number("select count(*) from parked_event").await, 0);
    let rebuilt = projections::rebuild(&shop.config, "item_detail").await;
    assert!(matches!(rebuilt, Err(ProjectionError::UnknownEvent { .. })), "{rebuilt:?}");
    projector.stop().await;
}

/// Projectors of two releases run side by side for a while, and the newer writes events that the older
/// doesn't know. A model that wants them has another shape (`models::tests::shapes`): its rows are made
/// by a rebuild, from the beginning, so that what the older one passed over here is in them.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_type_that_a_model_does_not_want_is_passed_over() {
    let mut shop = Shop::open().await;
    let item = item_id(1).uuid();
    shop.record(item, &registered(1, 1_000, 0, &[Category::Eye])).await;
    shop.record_raw("item", item, "ItemGiftWrapped", json!({ "paper": "red" })).await;
    shop.record(item, &ItemEvent::Repriced { origin_price: won(2_000) }).await;
    let projector = shop.project();
    shop.caught_up().await;
    let (code, said) = shop.says(&["verify", "item_detail", "--strict"]).await;
    assert_eq!(code, ExitCode::SUCCESS, "{said}");
    let rebuilt = projections::rebuild(&shop.config, "item_detail").await.unwrap();
    assert!(rebuilt.events == 2 && rebuilt.is_served, "{rebuilt}");
    assert_eq!(shop.number("select price from item_detail").await, 2_000);
    projector.stop().await;
}

/// A fold that refuses what an earlier one took would take rows from readers. Seen to fail when a rebuild
/// switched whatever it had parked: version 2 was served.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_parks_what_the_served_version_shows_is_refused() {
    let mut shop = Shop::open().await;
    let broken = json!({ "origin_price": -5 });
    shop.record(item_id(1).uuid(), &registered(1, 1_000, 0, &[Category::Eye])).await;
    shop.record_raw("item", item_id(1).uuid(), "ItemRepriced", broken).await;
    shop.record(item_id(2).uuid(), &registered(2, 1_000, 0, &[Category::Eye])).await;
    let price = ItemEvent::Repriced { origin_price: won(2_000) };
    let repriced = shop.record(item_id(2).uuid(), &price).await;
    shop.record(item_id(2).uuid(), &ItemEvent::Withdrawn { reason: None }).await;
    let projector = shop.project();
    shop.caught_up().await;
    // What is parked already keeps nothing from being served.
    let rebuilt = projections::rebuild(&shop.config, "item_detail").await.unwrap();
    assert!(rebuilt.parked == 1 && rebuilt.is_served, "{rebuilt}");

    // The event stays as it is and the fold changes; here it is the other way round.
    shop.execute(&format!(
        "set session_replication_role = replica; \
         update events set payload = '{{\"origin_price\": -5}}' where position = {repriced}; \
         set session_replication_role = origin"
    ))
    .await;
    let (code, said) = shop.says(&["rebuild", "item_detail"]).await;
    assert_eq!(code, ExitCode::FAILURE, "{said}");
    assert!(said.contains("parks 3 events and the served one 1"), "{said}");
    assert!(said.contains(&format!("2 of those 3, the first at position {repriced}")), "{said}");
    assert_eq!(shop.status("item_detail", 3).await.state, "refused");
    let switched = projections::switch(&shop.config, "item_detail", None).await.unwrap();
    assert_eq!(switched, Switched::Already(2));
    let (code, said) = shop.says(&["rebuild", "item_detail", "--no-switch"]).await;
    assert_eq!(code, ExitCode::FAILURE, "{said}");

    let (code, said) = shop.says(&["rebuild", "item_detail", "--allow-parked"]).await;
    assert!(code == ExitCode::SUCCESS && said.contains("3 events parked"), "{said}");
    assert_eq!(shop.status("item_detail", 5).await.state, "live");
    projector.stop().await;
}

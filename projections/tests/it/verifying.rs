//! `verify` finds every kind of difference, and says so by its exit code.

use std::process::ExitCode;

use clap::CommandFactory;
use projections::cli::Cli;

use crate::history::History;
use crate::support::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn a_tampered_a_missing_and_an_invented_row_are_found() {
    let mut shop = Shop::open().await;
    let projector = shop.project();
    History::seeded(11).go_on(&mut shop, 80).await;
    shop.caught_up().await;
    projector.stop().await;
    let (code, said) = shop.says(&["verify", "order_history"]).await;
    assert_eq!(code, ExitCode::SUCCESS, "{said}");
    assert!(said.contains("equals a replay"), "{said}");

    let one = "(select order_id from order_history_v1 order by order_id limit 1)";
    shop.execute(&format!("update order_history_v1 set paid = paid + 1 where order_id = {one}"))
        .await;
    let (code, said) = shop.says(&["verify", "order_history"]).await;
    assert_eq!(code, ExitCode::FAILURE, "{said}");
    assert!(said.contains("differs from a replay") && said.contains("paid is"), "{said}");

    shop.execute(&format!("delete from order_history_v1 where order_id = {one}")).await;
    shop.execute(
        "insert into category_totals_v1 (category, item_count, discounted_count) \
         values ('GOLD', 1, 1)",
    )
    .await;
    let (code, said) = shop.says(&["verify", "order_history"]).await;
    assert_eq!(code, ExitCode::FAILURE, "{said}");
    assert!(said.contains("missing, a replay makes it"), "{said}");
    let (code, said) = shop.says(&["verify", "category_totals"]).await;
    assert_eq!(code, ExitCode::FAILURE, "{said}");
    assert!(said.contains("[GOLD]: stored, but a replay makes no such row"), "{said}");

    // A rebuild is the cure.
    let (code, said) = shop.says(&["rebuild", "order_history", "--verify"]).await;
    assert_eq!(code, ExitCode::SUCCESS, "{said}");
    let (code, said) = shop.says(&["verify", "order_history"]).await;
    assert_eq!(code, ExitCode::SUCCESS, "{said}");
}

/// Seen to fail when a rebuild did not say what it had compared.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_says_what_was_compared() {
    let mut shop = Shop::open().await;
    History::seeded(11).go_on(&mut shop, 80).await;
    let (_, said) = shop.says(&["rebuild", "order_history", "--dry-run"]).await;
    assert!(said.contains("nothing compared"), "{said}");
    let (_, said) = shop.says(&["rebuild", "order_history"]).await;
    let orders = shop.number("select count(*) from order_history").await;
    assert!(0 < orders && orders < 200, "{orders}");
    assert!(said.contains(&format!("rows counted and {orders} of them read back")), "{said}");
    let (_, said) = shop.says(&["rebuild", "order_history", "--verify"]).await;
    assert!(said.contains(&format!("all {orders} rows compared with a second replay")), "{said}");
    let help = Cli::command().find_subcommand_mut("rebuild").unwrap().render_long_help();
    let help: Vec<String> = help.to_string().split_whitespace().map(str::to_owned).collect();
    assert!(help.join(" ").contains("only --verify compares every row"), "{help:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_every_version_for_people_and_machines() {
    let shop = Shop::open().await;
    let (_, said) = shop.says(&["status"]).await;
    assert!(said.contains("order_history") && said.contains("live"), "{said}");
    let (_, said) = shop.says(&["status", "--json"]).await;
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let versions = &said["rows"];
    assert_eq!(versions.as_array().unwrap().len(), 6);
    assert_eq!(versions[0]["lag_events"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_projection_is_answered_with_those_there_are() {
    let shop = Shop::open().await;
    let error = projections::rebuild(&shop.config, "orders").await.unwrap_err();
    assert!(error.to_string().contains("order_history"), "{error}");
}

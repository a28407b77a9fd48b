//! `ops/run` serves both APIs under one address, as production does behind its proxy.

use crate::support::world;

#[tokio::test(flavor = "multi_thread")]
async fn both_apis_answer_under_one_address_and_every_process_has_a_page_for_operators() {
    let world = world().await;
    let shop = world.start_shop().await;
    let at = &shop.at;

    let items = reqwest::get(format!("{}/api/items?size=1", at.shop)).await.unwrap();
    assert_eq!(items.status(), 200, "a query");
    let client = reqwest::Client::new();
    for _ in 0..2 {
        let sign_up = client.post(format!("{}/api/users", at.shop)).body("{}");
        let refused = sign_up.header("content-type", "application/json").send().await.unwrap();
        assert_eq!(refused.status(), 400, "a command, refused by its own API");
        let items = client.get(format!("{}/api/items?size=1", at.shop)).send().await.unwrap();
        assert_eq!(items.status(), 200, "a query over the same client");
    }
    for process in ["checkout-api", "storefront-api", "worker", "projector"] {
        let ready = reqwest::get(format!("{}/health/ready", at.ops[process])).await.unwrap();
        assert_eq!(ready.status(), 200, "{process}");
    }
}

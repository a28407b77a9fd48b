//! A user's orders come off one index, in their order, however many orders there are in all.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::plan::Plan;

const ORDERS: &str = include_str!("orders.sql");
const ORDERS_BY_STATUS: &str = include_str!("orders_by_status.sql");
const ORDERS_EXPIRED: &str = include_str!("orders_expired.sql");
const COUNT: &str = include_str!("order_count.sql");
const ORDER: &str = include_str!("order.sql");

#[tokio::test]
async fn order_lists_walk_their_index_and_sort_nothing() {
    let db = testkit::TestDatabase::fresh().await;
    let client = db.client().await;
    client.batch_execute(include_str!("orders_for_plans.sql")).await.unwrap();
    let row = client.query_one("select md5('7')::uuid", &[]).await.unwrap();
    let user: Uuid = row.get(0);
    let (limit, skipped, status) = (20_i64, 20_i64, "PAID");
    let now: DateTime<Utc> = "2026-11-23T03:00:00Z".parse().unwrap();

    for plan in [
        Plan::custom(&client, ORDERS, &[&user, &limit, &skipped, &now]).await,
        Plan::generic(&client, ORDERS, 4).await,
        Plan::custom(&client, ORDERS_EXPIRED, &[&user, &limit, &skipped, &now]).await,
        Plan::generic(&client, ORDERS_EXPIRED, 4).await,
    ] {
        assert!(plan.walks("order_history_by_user_v1") && !plan.sorts(), "{plan:?}");
    }
    for plan in [
        Plan::custom(&client, ORDERS_BY_STATUS, &[&user, &limit, &skipped, &status, &now]).await,
        Plan::generic(&client, ORDERS_BY_STATUS, 5).await,
    ] {
        assert!(plan.walks("order_history_by_status_v1") && !plan.sorts(), "{plan:?}");
    }
    for (text, parameters) in [(COUNT, 3), (ORDER, 3)] {
        let plan = Plan::generic(&client, text, parameters).await;
        assert!(!plan.scans_a_table(), "{plan:?}");
    }
}

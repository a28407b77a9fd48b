//! The templates of this crate make the tables that the migration made for version 1.

use projections::ensure_tables;
use testkit::TestDatabase;

use crate::support::{Shop, TABLES};

const COLUMNS: &str = "select table_name, column_name, ordinal_position::int, data_type, \
     is_nullable, coalesce(column_default, '') from information_schema.columns \
     where table_name = any ($1) order by 1, 3";
const INDEXES: &str =
    "select tablename, indexname, indexdef from pg_indexes where tablename = any ($1) order by 2";

async fn described(shop: &Shop, version: i32) -> Vec<String> {
    let names: Vec<String> = TABLES
        .iter()
        .flat_map(|(_, tables)| tables.iter().map(|table| format!("{table}_v{version}")))
        .collect();
    let client = shop.db.client().await;
    let mut lines = Vec::new();
    for row in client.query(COLUMNS, &[&names]).await.unwrap() {
        let texts: Vec<String> = [0, 1, 3, 4, 5].into_iter().map(|index| row.get(index)).collect();
        lines.push(texts.join(" "));
    }
    for row in client.query(INDEXES, &[&names]).await.unwrap() {
        lines.push(row.get(2));
    }
    lines.iter().map(|line| line.replace(&format!("_v{version}"), "_v")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_and_migration_make_the_same_tables() {
    let shop = Shop::open().await;
    for (name, _) in TABLES {
        projections::rebuild(&shop.config, name).await.unwrap();
    }
    assert_eq!(described(&shop, 1).await, described(&shop, 2).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn ensuring_tables_restores_what_is_lacking_and_repeats_harmlessly() {
    let shop = Shop::open().await;
    let before = described(&shop, 1).await;
    ensure_tables(&shop.db.pool).await.unwrap();
    assert_eq!(described(&shop, 1).await, before);
    shop.execute(
        "drop view cart_view; drop table cart_view_v1; \
         delete from projection_shard where name = 'cart_view'; \
         delete from projection where name = 'cart_view'",
    )
    .await;
    let both = tokio::join!(ensure_tables(&shop.db.pool), ensure_tables(&shop.db.pool));
    both.0.unwrap();
    both.1.unwrap();
    assert_eq!(described(&shop, 1).await, before);
    assert_eq!(shop.number("select count(*) from cart_view").await, 0);
}

/// Without `set local role` in `versions.rs` the tables belong to the login: the views, which belong to
/// the group, can't read them, and neither can readers.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_version_belongs_to_the_projectors_role_and_is_readable() {
    let shop = Shop::open().await;
    let foreign = "select count(*) from pg_class where relnamespace = 'read_model'::regnamespace \
                   and relowner <> 'pillivery_projector'::regrole";
    for (name, _) in TABLES {
        projections::rebuild(&shop.config, name).await.unwrap();
    }
    assert_eq!(shop.number(foreign).await, 0);
    let client = shop.db.client().await;
    client.batch_execute("set role pillivery_reader").await.unwrap();
    for table in TABLES.iter().flat_map(|(_, tables)| tables.iter()) {
        client.batch_execute(&format!("select * from {table}_v2")).await.unwrap();
    }
    client.batch_execute("select * from order_history").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_may_follow_but_not_change_the_schema() {
    let db = TestDatabase::fresh().await;
    let client = db.client().await;
    client.batch_execute("set role pillivery_service").await.unwrap();
    client
        .batch_execute(
            "update projection_shard set position = 0; \
             select * from projection_position; select * from order_history; \
             update item_by_category set views = 1; \
             insert into category_totals_v1 values ('EYE', 1, 1); \
             delete from parked_event",
        )
        .await
        .unwrap();
    assert!(client.batch_execute("drop table order_history_v1").await.is_err());
    assert!(client.batch_execute("update projection set state = 'retired'").await.is_err());
}

//! Every list is a walk along one index: nothing is sorted and no table is read whole.
//!
//! At 40,000 items, for the plan of given parameters and for the one PostgreSQL settles on. That the
//! test bites is part of it: without its index, the same list sorts.

use contracts::Category;
use tokio_postgres::Client;
use uuid::Uuid;

use super::Cursor;
use super::query::{Filters, ListQuery, Place, Sort, Term};
use super::statements::{self, Statement};
use crate::plan::Plan;

const ITEMS: &str = include_str!("../../tests/it/items.sql");
const SEARCH: &str = include_str!("../../tests/it/search.sql");

async fn shop(client: &Client) {
    client.batch_execute(&ITEMS.replace("{count}", "40000")).await.unwrap();
}

const fn index_of(sort: Sort) -> &'static str {
    match sort {
        Sort::Sales => "item_by_category_sales_v1",
        Sort::PriceHigh | Sort::PriceLow => "item_by_category_price_v1",
        Sort::DiscountHigh | Sort::DiscountLow => "item_by_category_discount_v1",
        Sort::Reviews => "item_by_category_reviews_v1",
        Sort::Rating => "item_by_category_rating_v1",
        Sort::Newest => "item_by_category_newest_v1",
        Sort::Views => "item_by_category_views_v1",
    }
}

async fn plans(client: &Client, statement: &Statement) -> [Plan; 2] {
    let parameters = statement.parameters();
    [
        Plan::custom(client, &statement.text, &parameters).await,
        Plan::generic(client, &statement.text, parameters.len()).await,
    ]
}

#[tokio::test]
async fn every_list_walks_the_index_of_its_sort() {
    let db = testkit::TestDatabase::fresh().await;
    let client = db.client().await;
    shop(&client).await;
    let cursor = Cursor { key: 3, item_id: Uuid::from_u128(1 << 127) };
    let won = |amount: i64| amount.try_into().ok();
    let filters = [
        Filters::default(),
        Filters { on_sale: Some(true), ..Filters::default() },
        Filters { on_sale: Some(false), ..Filters::default() },
        Filters { price_min: won(20_000), price_max: won(60_000), ..Filters::default() },
    ];
    for category in [None, Some(Category::Eye)] {
        for sort in Sort::ALL {
            for filters in &filters {
                let filters = Filters { category, ..filters.clone() };
                for place in [Place::Page(1), Place::Page(60), Place::After(cursor)] {
                    let query = ListQuery { filters: filters.clone(), sort, place, size: 20 };
                    for plan in plans(&client, &statements::list(&query)).await {
                        assert!(plan.walks(index_of(sort)), "{query:?}: {plan:?}");
                        assert!(!plan.sorts() && !plan.scans_a_table(), "{query:?}: {plan:?}");
                    }
                }
            }
        }
    }

    client.batch_execute("drop index item_by_category_sales_v1").await.unwrap();
    let query = ListQuery {
        filters: Filters::default(),
        sort: Sort::Sales,
        place: Place::Page(1),
        size: 20,
    };
    let [custom, generic] = plans(&client, &statements::list(&query)).await;
    assert!(custom.sorts() && generic.sorts(), "this test does not bite: {custom:?} {generic:?}");
}

/// A search finds its matches by the index of what was searched for, and sorts those alone.
#[tokio::test]
async fn a_search_goes_by_the_index_of_what_is_searched_for() {
    let db = testkit::TestDatabase::fresh().await;
    let client = db.client().await;
    shop(&client).await;
    client.batch_execute(SEARCH).await.unwrap();
    let term = |text| Some(Term::parse("keyword", text).unwrap());
    let category = Some(Category::Eye);
    for (filters, index) in [
        (
            Filters { brand: term("enterprise 7"), ..Filters::default() },
            "item_by_category_brand_v1",
        ),
        (Filters { keyword: term("39995"), ..Filters::default() }, "item_search_grams_v1"),
        (
            Filters { keyword: term("39995"), category, ..Filters::default() },
            "item_search_grams_v1",
        ),
    ] {
        for sort in Sort::ALL {
            let query =
                ListQuery { filters: filters.clone(), sort, place: Place::Page(1), size: 20 };
            for plan in plans(&client, &statements::list(&query)).await {
                assert!(plan.uses(index) && !plan.scans_a_table(), "{query:?}: {plan:?}");
            }
            let [custom, _] = plans(&client, &statements::count(&filters)).await;
            assert!(custom.uses(index) && !custom.scans_a_table(), "{filters:?}: {custom:?}");
        }
    }
}

/// A word that every item has: without the setting, counting it takes a second process.
#[tokio::test]
async fn a_search_takes_one_process_of_the_database() {
    let db = testkit::TestDatabase::fresh().await;
    let client = db.client().await;
    shop(&client).await;
    client.batch_execute(SEARCH).await.unwrap();
    client.batch_execute("set parallel_setup_cost = 0; set parallel_tuple_cost = 0").await.unwrap();
    let keyword = Some(Term::parse("keyword", "상").unwrap());
    let count = statements::count(&Filters { keyword, ..Filters::default() });
    for plan in plans(&client, &count).await {
        assert!(!plan.is_parallel(), "{plan:?}");
    }
    client.batch_execute("reset max_parallel_workers_per_gather").await.unwrap();
    let text = format!("explain (format text) {}", count.text);
    let rows = client.query(&text, &count.parameters()).await.unwrap();
    let bites = rows.iter().any(|row| row.get::<_, &str>(0).contains("Gather"));
    assert!(bites, "this test does not bite");
}

//! Asking the database for what the shop window shows.

use std::collections::HashMap;

use contracts::{Category, Position};
use deadpool_postgres::{Client, Pool};
use tokio_postgres::Row;
use uuid::Uuid;

use super::Cursor;
use super::bodies::{self, Card, PageInfo};
use super::query::{Filters, ListQuery, Place, Sort, offset};
use super::shelf::Built;
use super::statements::{self, Statement};
use super::window::Question;
use crate::prepared;
use crate::read_error::ReadError;

/// Cards in each part of the main page.
const MAIN_PAGE_CARDS: u16 = 9;

/// The read models of the shop window.
#[derive(Clone)]
pub(crate) struct Store {
    pages: Pool,
    searches: Pool,
}

/// Items of one category.
#[derive(Debug, Clone, Copy, Default)]
struct Total {
    all: i64,
    discounted: i64,
}

impl Store {
    /// The read models behind two pools: one for what walks an index, and one for whatever counts
    /// its matches, which is so much dearer that it must not take the connections of the others.
    pub(crate) fn new(pages: Pool, searches: Pool) -> Self {
        Self { pages, searches }
    }

    /// The answer to `question`, and how much of the log it shows at least.
    pub(crate) async fn build(&self, question: Question) -> Result<Built, ReadError> {
        let pool = match &question {
            Question::List(query) if query.filters.are_free() => &self.searches,
            Question::List(_) | Question::Main | Question::Detail(_) | Question::Categories => {
                &self.pages
            }
        };
        let client = pool.get().await?;
        let position = position(&client, question.projections()).await?;
        let json = match question {
            Question::List(query) => Some(list(&client, &query).await?),
            Question::Main => Some(main_page(&client).await?),
            Question::Categories => Some(categories(&client).await?),
            Question::Detail(item_id) => detail(&client, item_id).await?,
        };
        Ok(Built { json, position })
    }
}

/// How much of the log these projections show at least in what is read next.
async fn position(client: &Client, projections: &[&str]) -> Result<Position, ReadError> {
    let statement = client.prepare_cached(include_str!("position.sql")).await?;
    let row = client.query_one(&statement, &[&projections]).await?;
    Ok(Position::new(row.try_get(0)?))
}

/// The body of one list page.
async fn list(client: &Client, query: &ListQuery) -> Result<String, ReadError> {
    let total_elements = total(client, &query.filters).await?;
    let page = match query.place {
        Place::Page(page) => Some(page),
        Place::After(_) => None,
    };
    let info = PageInfo { page, size: query.size, total_elements };
    // Past the end there is nothing to find, and an offset costs what it skips.
    if page.is_some_and(|page| total_elements <= offset(page, query.size)) {
        return Ok(bodies::list_page(&[], info, None));
    }
    let mut cards = cards(client, &statements::list(query)).await?;
    let has_more = usize::from(query.size) < cards.len();
    cards.truncate(usize::from(query.size));
    let last = cards.last().filter(|_| has_more);
    let next = last.map(|card| {
        Cursor { key: card.key, item_id: card.item_id }.token(&query.filters, query.sort)
    });
    Ok(bodies::list_page(&cards, info, next.as_deref()))
}

/// The body of the main page.
async fn main_page(client: &Client) -> Result<String, ReadError> {
    let top = |sort| {
        let query = ListQuery {
            filters: Filters::default(),
            sort,
            place: Place::Page(1),
            size: MAIN_PAGE_CARDS,
        };
        Box::pin(async move {
            let mut cards = cards(client, &statements::list(&query)).await?;
            cards.truncate(usize::from(MAIN_PAGE_CARDS));
            Ok::<Vec<Card>, ReadError>(cards)
        })
    };
    // One connection takes all three at once: the driver pipelines them.
    let (by_discount, by_sales, newest) =
        tokio::try_join!(top(Sort::DiscountHigh), top(Sort::Sales), top(Sort::Newest))?;
    Ok(bodies::main_page(&by_discount, &by_sales, &newest))
}

/// The body of the categories, with a total of zero for those that hold nothing.
async fn categories(client: &Client) -> Result<String, ReadError> {
    let totals = totals(client).await?;
    let entry = |name: &str, label: &str| {
        let total = totals.get(name).copied().unwrap_or_default();
        serde_json::json!({
            "name": name,
            "label": label,
            "itemCount": total.all,
            "onSaleCount": total.discounted,
        })
    };
    let categories: Vec<_> =
        Category::ALL.iter().map(|it| entry(it.as_str(), it.label())).collect();
    let all = totals.get(statements::ALL).copied().unwrap_or_default();
    let body = serde_json::json!({
        "categories": categories,
        "itemCount": all.all,
        "onSaleCount": all.discounted,
    });
    Ok(body.to_string())
}

/// The body of a product page, or `None` when there is no such item.
async fn detail(client: &Client, item_id: Uuid) -> Result<Option<String>, ReadError> {
    let row = prepared::query_opt(client, include_str!("detail.sql"), &[&item_id]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

async fn cards(client: &Client, statement: &Statement) -> Result<Vec<Card>, ReadError> {
    let rows = prepared::query(client, &statement.text, &statement.parameters()).await?;
    rows.iter().map(card).collect()
}

fn card(row: &Row) -> Result<Card, ReadError> {
    Ok(Card { json: row.try_get(0)?, key: row.try_get(1)?, item_id: row.try_get(2)? })
}

/// Items a list has in all: kept by the projector, or counted when it is freely filtered.
async fn total(client: &Client, filters: &Filters) -> Result<i64, ReadError> {
    if filters.are_free() {
        let count = statements::count(filters);
        let rows = prepared::query(client, &count.text, &count.parameters()).await?;
        return Ok(rows.first().map_or(Ok(0), |row| row.try_get(0))?);
    }
    let totals = totals(client).await?;
    let name = statements::category_name(filters.category);
    let total = totals.get(name).copied().unwrap_or_default();
    Ok(match filters.on_sale {
        None => total.all,
        Some(true) => total.discounted,
        Some(false) => total.all - total.discounted,
    })
}

async fn totals(client: &Client) -> Result<HashMap<String, Total>, ReadError> {
    let rows = prepared::query(client, include_str!("totals.sql"), &[]).await?;
    rows.iter()
        .map(|row| {
            Ok((row.try_get(0)?, Total { all: row.try_get(1)?, discounted: row.try_get(2)? }))
        })
        .collect()
}

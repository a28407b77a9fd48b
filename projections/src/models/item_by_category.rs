//! The shop window: one row per (category, item), with every sort key and a card ready to send.
//!
//! Reads the items, and of orders only what moves sales: pieces count when a payment is approved,
//! and no longer when all of its money went back. A withdrawn item has no row.

mod sales;
mod search;

use contracts::events::{ItemDetails, OrderEvent};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use self::sales::OrderSales;
use super::ALL_CATEGORIES;
use super::listing::{Excerpt, Listing};
use super::written::{decimal, json};
use crate::cell::{Cell, CellType, Row};
use crate::documents::Documents;
use crate::projection::{
    Body, DocumentKey, Event, Projection, Refusal, Stop, Table, facts_in, facts_of,
};

const WINDOW: usize = 0;
const SEARCH: usize = 1;
const ITEMS: usize = 2;
const ORDERS: usize = 3;

/// The projection `item_by_category`.
#[derive(Debug)]
pub struct ItemByCategory;

/// What the fold remembers.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// Of an item.
    Item(Item),
    /// Of an order.
    Order(OrderSales),
}

/// An item: how it is shown, and how often it was sold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Item {
    /// Absent while only orders have named it, because its own events are parked.
    listing: Option<Listing<CardText>>,
    sales: i64,
}

/// What a card and the search need of an item's details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CardText {
    name: String,
    enterprise: Option<String>,
    thumbnail_url: Option<String>,
    registered_on: Option<chrono::NaiveDate>,
    main_function: Option<String>,
}

impl Excerpt for CardText {
    fn of(details: &ItemDetails) -> Self {
        Self {
            name: details.product_name.as_str().to_owned(),
            enterprise: details.enterprise.as_ref().map(|text| text.as_str().to_owned()),
            thumbnail_url: details.thumbnail_url.as_ref().map(|text| text.as_str().to_owned()),
            registered_on: details.registered_on,
            main_function: details.main_function.as_ref().map(|text| text.as_str().to_owned()),
        }
    }
}

/// The card as lists send it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Card<'item> {
    item_id: Uuid,
    name: &'item str,
    #[serde(skip_serializing_if = "Option::is_none")]
    enterprise: Option<&'item str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbnail_url: Option<&'item str>,
    origin_price: i64,
    discount_rate: Box<RawValue>,
    price: i64,
    categories: Vec<&'static str>,
    sales: i64,
    review_count: i64,
    rating: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registered_on: Option<chrono::NaiveDate>,
}

impl Projection for ItemByCategory {
    type Document = Document;

    const NAME: &'static str = "item_by_category";
    const SHAPE: i32 = 1;
    const TABLES: &'static [Table] = &[
        Table {
            name: "item_by_category",
            columns: &[
                ("category", CellType::Text),
                ("item_id", CellType::Uuid),
                ("enterprise", CellType::Text),
                ("price", CellType::BigInt),
                ("discount_rate", CellType::BigInt),
                ("sales", CellType::BigInt),
                ("review_count", CellType::BigInt),
                ("rating", CellType::BigInt),
                ("listed_position", CellType::BigInt),
                ("card", CellType::Text),
            ],
            key_columns: 2,
            is_served: true,
        },
        Table {
            name: "item_search",
            columns: &[
                ("item_id", CellType::Uuid),
                ("search_text", CellType::Text),
                ("grams", CellType::Texts),
            ],
            key_columns: 1,
            is_served: true,
        },
        Table {
            name: "item_by_category_item",
            columns: &[("item_id", CellType::Uuid), ("facts", CellType::Text)],
            key_columns: 1,
            is_served: false,
        },
        Table {
            name: "item_by_category_order",
            columns: &[("order_id", CellType::Uuid), ("facts", CellType::Text)],
            key_columns: 1,
            is_served: false,
        },
    ];
    const EVENT_TYPES: &'static [&'static str] = &[
        "ItemRegistered",
        "ItemDetailsChanged",
        "ItemRepriced",
        "ItemDiscountChanged",
        "ItemRecategorised",
        "ItemWithdrawn",
        "ItemRelisted",
        "OrderPlaced",
        "PaymentApproved",
        "RefundRequested",
        "RefundSucceeded",
    ];
    const TABLES_SQL: &'static str = include_str!("item_by_category/tables.sql");
    const INDEXES_SQL: &'static str = include_str!("item_by_category/indexes.sql");
    const CARRY_OVER_SQL: &'static str = include_str!("item_by_category/carry_over.sql");

    fn apply(event: &Event, documents: &mut Documents<Document>) -> Result<(), Stop> {
        match &event.body {
            Body::Item(body) => {
                let key = DocumentKey::of(ITEMS, event.aggregate_id);
                let item = item(documents, &key)?;
                let listing = Listing::after(item.listing, body, event.position)?;
                documents.put(key, Document::Item(Item { listing: Some(listing), ..item }));
                Ok(())
            }
            Body::Order(body) => apply_order(event.aggregate_id, body, documents),
            Body::Cart(_) => Ok(()),
        }
    }

    fn rows(key: &DocumentKey, document: &Document) -> Result<Vec<(usize, Row)>, Refusal> {
        let facts = match document {
            Document::Item(item) => facts_of(item)?,
            Document::Order(order) => facts_of(order)?,
        };
        let mut rows = vec![(key.table, vec![key.id.clone(), Cell::Text(facts)])];
        if let (Document::Item(item), Cell::Uuid(id)) = (document, &key.id) {
            item.push_rows(*id, &mut rows)?;
        }
        Ok(rows)
    }

    fn document(table: usize, row: &Row) -> Result<Document, Refusal> {
        if table == ORDERS {
            return facts_in(row.get(1)).map(Document::Order);
        }
        facts_in(row.get(1)).map(Document::Item)
    }
}

fn item(documents: &mut Documents<Document>, key: &DocumentKey) -> Result<Item, Stop> {
    match documents.get(key)? {
        Some(Document::Item(item)) => Ok(item.clone()),
        Some(Document::Order(_)) | None => Ok(Item::default()),
    }
}

fn apply_order(
    order_id: Uuid,
    event: &OrderEvent,
    documents: &mut Documents<Document>,
) -> Result<(), Stop> {
    let key = DocumentKey::of(ORDERS, order_id);
    let mut order = match documents.get(&key)? {
        Some(Document::Order(order)) => order.clone(),
        Some(Document::Item(_)) | None => OrderSales::default(),
    };
    let mut missing = None;
    for (item_id, pieces) in order.fold(event)? {
        let key = DocumentKey::of(ITEMS, item_id);
        match item(documents, &key) {
            Ok(mut item) => {
                item.sales += pieces;
                documents.put(key, Document::Item(item));
            }
            // All items are asked for before the event is left, so that one load brings them all.
            Err(stop) => missing = Some(stop),
        }
    }
    documents.put(key, Document::Order(order));
    missing.map_or(Ok(()), Err)
}

impl Item {
    /// The rows of an item in the shop window; none when it isn't there.
    fn push_rows(&self, item_id: Uuid, rows: &mut Vec<(usize, Row)>) -> Result<(), Refusal> {
        let Some(listing) = self.listing.as_ref().filter(|listing| listing.on_sale) else {
            return Ok(());
        };
        let card = self.card(item_id, listing)?;
        for category in listing.category_names().into_iter().chain([ALL_CATEGORIES]) {
            rows.push((WINDOW, self.window_row(category, item_id, listing, &card)));
        }
        let text = &listing.details;
        let (search_text, grams) =
            search::terms(&text.name, text.enterprise.as_deref(), text.main_function.as_deref());
        rows.push((SEARCH, vec![Cell::Uuid(item_id), Cell::Text(search_text), Cell::Texts(grams)]));
        Ok(())
    }

    fn window_row(
        &self,
        category: &str,
        item_id: Uuid,
        listing: &Listing<CardText>,
        card: &str,
    ) -> Row {
        vec![
            Cell::text(category),
            Cell::Uuid(item_id),
            Cell::maybe_text(listing.details.enterprise.as_deref()),
            Cell::BigInt(listing.price().amount()),
            Cell::BigInt(listing.discount_tenths()),
            Cell::BigInt(self.sales),
            // Reviews have no events yet.
            Cell::BigInt(0),
            Cell::BigInt(0),
            Cell::BigInt(listing.listed_position),
            Cell::text(card),
        ]
    }

    fn card(&self, item_id: Uuid, listing: &Listing<CardText>) -> Result<String, Refusal> {
        let text = &listing.details;
        json(&Card {
            item_id,
            name: &text.name,
            enterprise: text.enterprise.as_deref(),
            thumbnail_url: text.thumbnail_url.as_deref(),
            origin_price: listing.origin_price.amount(),
            discount_rate: decimal(listing.discount_tenths(), 1)?,
            price: listing.price().amount(),
            categories: listing.category_names(),
            sales: self.sales,
            review_count: 0,
            rating: decimal(0, 2)?,
            registered_on: text.registered_on,
        })
    }
}

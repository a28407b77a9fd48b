//! How many items the shop window has, per category and in all: page counts without counting.

use contracts::Category;
use serde::{Deserialize, Serialize};

use super::ALL_CATEGORIES;
use super::listing::{Listing, Nothing};
use crate::cell::{Cell, CellType, Row};
use crate::documents::Documents;
use crate::projection::{
    Body, DocumentKey, Event, Projection, Refusal, Stop, Table, facts_in, facts_of,
};

const TOTALS: usize = 0;
const ITEMS: usize = 1;

/// The projection `category_totals`.
#[derive(Debug)]
pub struct CategoryTotals;

/// What the fold remembers.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// Of a category.
    Total(Total),
    /// Of an item.
    Item(Item),
}

/// How many items a category has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Total {
    items: i64,
    discounted: i64,
}

/// Where an item counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Item(Listing<Nothing>);

impl Projection for CategoryTotals {
    type Document = Document;

    const NAME: &'static str = "category_totals";
    const SHAPE: i32 = 1;
    const TABLES: &'static [Table] = &[
        Table {
            name: "category_totals",
            columns: &[
                ("category", CellType::Text),
                ("item_count", CellType::BigInt),
                ("discounted_count", CellType::BigInt),
            ],
            key_columns: 1,
            is_served: true,
        },
        Table {
            name: "category_totals_item",
            columns: &[("item_id", CellType::Uuid), ("facts", CellType::Text)],
            key_columns: 1,
            is_served: false,
        },
    ];
    const EVENT_TYPES: &'static [&'static str] = &[
        "ItemRegistered",
        "ItemDiscountChanged",
        "ItemRecategorised",
        "ItemWithdrawn",
        "ItemRelisted",
    ];
    const TABLES_SQL: &'static str = include_str!("category_totals/tables.sql");
    const INDEXES_SQL: &'static str = include_str!("category_totals/indexes.sql");

    fn apply(event: &Event, documents: &mut Documents<Document>) -> Result<(), Stop> {
        let Body::Item(body) = &event.body else {
            return Ok(());
        };
        let key = DocumentKey::of(ITEMS, event.aggregate_id);
        let before = match documents.get(&key)? {
            Some(Document::Item(Item(listing))) => Some(listing.clone()),
            Some(Document::Total(_)) | None => None,
        };
        let after = Listing::after(before.clone(), body, event.position)?;
        if let Some(before) = &before {
            count(documents, before, -1)?;
        }
        count(documents, &after, 1)?;
        documents.put(key, Document::Item(Item(after)));
        Ok(())
    }

    fn rows(key: &DocumentKey, document: &Document) -> Result<Vec<(usize, Row)>, Refusal> {
        let row = match document {
            Document::Total(Total { items, discounted }) => {
                vec![key.id.clone(), Cell::BigInt(*items), Cell::BigInt(*discounted)]
            }
            Document::Item(item) => vec![key.id.clone(), Cell::Text(facts_of(item)?)],
        };
        Ok(vec![(key.table, row)])
    }

    fn document(table: usize, row: &Row) -> Result<Document, Refusal> {
        if table == ITEMS {
            return facts_in(row.get(1)).map(Document::Item);
        }
        match row.as_slice() {
            [_, Cell::BigInt(items), Cell::BigInt(discounted)] => {
                Ok(Document::Total(Total { items: *items, discounted: *discounted }))
            }
            _ => Err(Refusal::new("a total has two counts")),
        }
    }
}

/// Adds `listing` to its categories, or takes it out with `step` -1.
fn count(
    documents: &mut Documents<Document>,
    listing: &Listing<Nothing>,
    step: i64,
) -> Result<(), Stop> {
    if !listing.on_sale {
        return Ok(());
    }
    let discounted = if listing.discount_rate.tenths() == 0 { 0 } else { step };
    let names = listing.categories.iter().map(|category: &Category| category.as_str());
    let mut missing = None;
    for name in names.chain([ALL_CATEGORIES]) {
        let key = DocumentKey { table: TOTALS, id: Cell::text(name) };
        let total = match documents.get(&key) {
            Ok(Some(Document::Total(total))) => *total,
            Ok(Some(Document::Item(_)) | None) => Total::default(),
            // All are asked for before it is left, so that one load brings them all.
            Err(stop) => {
                missing = Some(stop);
                continue;
            }
        };
        let total = Total { items: total.items + step, discounted: total.discounted + discounted };
        documents.put(key, Document::Total(total));
    }
    missing.map_or(Ok(()), Err)
}

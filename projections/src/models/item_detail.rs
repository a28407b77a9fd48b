//! The product page: one row per item ever registered, with its document ready to send.
//!
//! Withdrawn items stay, because carts and old orders still point at them. The price here is today's:
//! what a cart compares its snapshots with.

use contracts::ReportNo;
use contracts::events::{ItemDetails, ItemEvent};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::listing::Listing;
use super::written::{decimal, json};
use crate::cell::{Cell, CellType, Row};
use crate::documents::Documents;
use crate::projection::{
    Body, DocumentKey, Event, Projection, Refusal, Stop, Table, facts_in, facts_of,
};

const ITEMS: usize = 0;
/// Where the table keeps `facts`.
const FACTS: usize = 11;

/// The projection `item_detail`.
#[derive(Debug)]
pub struct ItemDetail;

/// An item with everything that is known about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    report_no: ReportNo,
    listing: Listing<ItemDetails>,
    version: i64,
    position: i64,
}

/// The document as the product page sends it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Page<'item> {
    item_id: Uuid,
    report_no: &'item str,
    name: &'item str,
    #[serde(skip_serializing_if = "Option::is_none")]
    enterprise: Option<&'item str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registered_on: Option<chrono::NaiveDate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<&'item str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    appearance: Option<&'item str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serving_use: Option<&'item str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage: Option<&'item str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    intake_hint: Option<&'item str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    main_function: Option<&'item str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_standard: Option<&'item str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbnail_url: Option<&'item str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description_image_url: Option<&'item str>,
    origin_price: i64,
    discount_rate: Box<RawValue>,
    price: i64,
    on_sale: bool,
    categories: Vec<&'static str>,
}

impl Projection for ItemDetail {
    type Document = Document;

    const NAME: &'static str = "item_detail";
    const SHAPE: i32 = 1;
    const TABLES: &'static [Table] = &[Table {
        name: "item_detail",
        columns: &[
            ("item_id", CellType::Uuid),
            ("report_no", CellType::Text),
            ("name", CellType::Text),
            ("enterprise", CellType::Text),
            ("thumbnail_url", CellType::Text),
            ("origin_price", CellType::BigInt),
            ("discount_rate", CellType::BigInt),
            ("price", CellType::BigInt),
            ("on_sale", CellType::Bool),
            ("categories", CellType::Texts),
            ("listed_position", CellType::BigInt),
            ("facts", CellType::Text),
            ("document", CellType::Text),
            ("version", CellType::BigInt),
            ("position", CellType::BigInt),
        ],
        key_columns: 1,
        is_served: true,
    }];
    const EVENT_TYPES: &'static [&'static str] = &[
        "ItemRegistered",
        "ItemDetailsChanged",
        "ItemRepriced",
        "ItemDiscountChanged",
        "ItemRecategorised",
        "ItemWithdrawn",
        "ItemRelisted",
    ];
    const TABLES_SQL: &'static str = include_str!("item_detail/tables.sql");
    const INDEXES_SQL: &'static str = include_str!("item_detail/indexes.sql");

    fn apply(event: &Event, documents: &mut Documents<Document>) -> Result<(), Stop> {
        let Body::Item(body) = &event.body else {
            return Ok(());
        };
        let key = DocumentKey::of(ITEMS, event.aggregate_id);
        let before = documents.get(&key)?.cloned();
        let report_no = match (&before, body) {
            (Some(document), _) => document.report_no.clone(),
            (None, ItemEvent::Registered { report_no, .. }) => report_no.clone(),
            (None, _) => return Err(Refusal::new("the item was never registered").into()),
        };
        let listing = Listing::after(before.map(|it| it.listing), body, event.position)?;
        let (version, position) = (event.sequence, event.position);
        documents.put(key, Document { report_no, listing, version, position });
        Ok(())
    }

    fn rows(key: &DocumentKey, document: &Document) -> Result<Vec<(usize, Row)>, Refusal> {
        let Cell::Uuid(item_id) = key.id else {
            return Err(Refusal::new("an item's id is a UUID"));
        };
        let Document { report_no, listing, version, position } = document;
        let details = &listing.details;
        let categories = listing.category_names().into_iter().map(str::to_owned).collect();
        let row = vec![
            Cell::Uuid(item_id),
            Cell::text(report_no.as_str()),
            Cell::text(details.product_name.as_str()),
            Cell::maybe_text(details.enterprise.as_ref().map(contracts::Text::as_str)),
            Cell::maybe_text(details.thumbnail_url.as_ref().map(contracts::Text::as_str)),
            Cell::BigInt(listing.origin_price.amount()),
            Cell::BigInt(listing.discount_tenths()),
            Cell::BigInt(listing.price().amount()),
            Cell::Bool(listing.on_sale),
            Cell::Texts(categories),
            Cell::BigInt(listing.listed_position),
            Cell::Text(facts_of(document)?),
            Cell::Text(page(item_id, document)?),
            Cell::BigInt(*version),
            Cell::BigInt(*position),
        ];
        Ok(vec![(ITEMS, row)])
    }

    fn document(_table: usize, row: &Row) -> Result<Document, Refusal> {
        facts_in(row.get(FACTS))
    }
}

fn page(item_id: Uuid, document: &Document) -> Result<String, Refusal> {
    let listing = &document.listing;
    let details = &listing.details;
    json(&Page {
        item_id,
        report_no: document.report_no.as_str(),
        name: details.product_name.as_str(),
        enterprise: details.enterprise.as_ref().map(contracts::Text::as_str),
        registered_on: details.registered_on,
        expiration: details.expiration.as_ref().map(contracts::Text::as_str),
        appearance: details.appearance.as_ref().map(contracts::Text::as_str),
        serving_use: details.serving_use.as_ref().map(contracts::Text::as_str),
        storage: details.storage.as_ref().map(contracts::Text::as_str),
        intake_hint: details.intake_hint.as_ref().map(contracts::Text::as_str),
        main_function: details.main_function.as_ref().map(contracts::Text::as_str),
        base_standard: details.base_standard.as_ref().map(contracts::Text::as_str),
        thumbnail_url: details.thumbnail_url.as_ref().map(contracts::Text::as_str),
        description_image_url: details.description_image_url.as_ref().map(contracts::Text::as_str),
        origin_price: listing.origin_price.amount(),
        discount_rate: decimal(listing.discount_tenths(), 1)?,
        price: listing.price().amount(),
        on_sale: listing.on_sale,
        categories: listing.category_names(),
    })
}

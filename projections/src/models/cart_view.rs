//! Carts as their owners see them: the lines in the order of adding, each with its price snapshot.
//!
//! Today's price is not in here: a new price would touch every cart that holds the item. A query
//! joins `item_detail` by key, at most a hundred rows.

use contracts::events::CartEvent;
use contracts::{CartKey, ItemId, Period};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::written::json;
use crate::cell::{Cell, CellType, Row};
use crate::documents::Documents;
use crate::projection::{Body, DocumentKey, Event, Projection, Refusal, Stop, Table};

const CARTS: usize = 0;

/// The projection `cart_view`.
#[derive(Debug)]
pub struct CartView;

/// A cart.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    user_id: Uuid,
    kind: String,
    lines: Vec<Line>,
    version: i64,
    position: i64,
}

/// A line as answers show it, and as the fold remembers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    item_id: ItemId,
    item_name: String,
    quantity: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    period_days: Option<u16>,
    unit_price: i64,
}

impl Projection for CartView {
    type Document = Document;

    const NAME: &'static str = "cart_view";
    const SHAPE: i32 = 1;
    const TABLES: &'static [Table] = &[Table {
        name: "cart_view",
        columns: &[
            ("cart_id", CellType::Uuid),
            ("user_id", CellType::Uuid),
            ("kind", CellType::Text),
            ("line_count", CellType::Int),
            ("lines", CellType::Text),
            ("version", CellType::BigInt),
            ("position", CellType::BigInt),
        ],
        key_columns: 1,
        is_served: true,
    }];
    const EVENT_TYPES: &'static [&'static str] = &[
        "CartItemAdded",
        "CartQuantityChanged",
        "CartPeriodChanged",
        "CartItemRemoved",
        // Nothing of it is shown, but it moves the cart's version, which `If-Match` names.
        "CartOrderBought",
        "CartCleared",
    ];
    const TABLES_SQL: &'static str = include_str!("cart_view/tables.sql");
    const INDEXES_SQL: &'static str = include_str!("cart_view/indexes.sql");

    fn apply(event: &Event, documents: &mut Documents<Document>) -> Result<(), Stop> {
        let Body::Cart(body) = &event.body else {
            return Ok(());
        };
        let key = DocumentKey::of(CARTS, event.aggregate_id);
        let owner = owner(body);
        let mut cart = documents.get(&key)?.cloned().unwrap_or_else(|| Document {
            user_id: owner.user_id.uuid(),
            kind: owner.kind.as_str().to_owned(),
            lines: Vec::new(),
            version: 0,
            position: 0,
        });
        cart.fold(body)?;
        cart.version = event.sequence;
        cart.position = event.position;
        documents.put(key, cart);
        Ok(())
    }

    fn rows(key: &DocumentKey, document: &Document) -> Result<Vec<(usize, Row)>, Refusal> {
        let line_count = i32::try_from(document.lines.len()).unwrap_or(i32::MAX);
        let row = vec![
            key.id.clone(),
            Cell::Uuid(document.user_id),
            Cell::text(&document.kind),
            Cell::Int(line_count),
            Cell::Text(json(&document.lines)?),
            Cell::BigInt(document.version),
            Cell::BigInt(document.position),
        ];
        Ok(vec![(CARTS, row)])
    }

    fn document(_table: usize, row: &Row) -> Result<Document, Refusal> {
        let [_, Cell::Uuid(user_id), Cell::Text(kind), _, Cell::Text(lines), version, position] =
            row.as_slice()
        else {
            return Err(Refusal::new("a cart's row has seven columns"));
        };
        let (Cell::BigInt(version), Cell::BigInt(position)) = (version, position) else {
            return Err(Refusal::new("a cart has a version and a position"));
        };
        let lines = serde_json::from_str(lines)
            .map_err(|error| Refusal::new(format!("read the lines: {error}")))?;
        let (version, position) = (*version, *position);
        Ok(Document { user_id: *user_id, kind: kind.clone(), lines, version, position })
    }
}

const fn owner(event: &CartEvent) -> CartKey {
    match event {
        CartEvent::ItemAdded { cart, .. }
        | CartEvent::QuantityChanged { cart, .. }
        | CartEvent::PeriodChanged { cart, .. }
        | CartEvent::ItemRemoved { cart, .. }
        | CartEvent::OrderBought { cart, .. }
        | CartEvent::Cleared { cart } => *cart,
    }
}

impl Document {
    fn fold(&mut self, event: &CartEvent) -> Result<(), Refusal> {
        match event {
            CartEvent::ItemAdded { item_id, item_name, quantity, period, unit_price, .. } => {
                self.add(Line {
                    item_id: *item_id,
                    item_name: item_name.as_str().to_owned(),
                    quantity: quantity.count(),
                    period_days: period.map(Period::days),
                    unit_price: unit_price.amount(),
                });
            }
            CartEvent::QuantityChanged { item_id, quantity, .. } => {
                self.line(*item_id)?.quantity = quantity.count();
            }
            CartEvent::PeriodChanged { item_id, period, .. } => {
                self.line(*item_id)?.period_days = Some(period.days());
            }
            CartEvent::ItemRemoved { item_id, .. } => {
                self.line(*item_id)?;
                self.lines.retain(|line| line.item_id != *item_id);
            }
            CartEvent::OrderBought { .. } => {}
            CartEvent::Cleared { .. } => self.lines.clear(),
        }
        Ok(())
    }

    /// An item that is in already keeps its place; the event carries the line's new quantity.
    fn add(&mut self, added: Line) {
        match self.lines.iter_mut().find(|line| line.item_id == added.item_id) {
            Some(line) => *line = added,
            None => self.lines.push(added),
        }
    }

    fn line(&mut self, item_id: ItemId) -> Result<&mut Line, Refusal> {
        self.lines
            .iter_mut()
            .find(|line| line.item_id == item_id)
            .ok_or_else(|| Refusal::new(format!("the cart has no line for item {item_id}")))
    }
}

//! Orders as their owners see them: one row per order, with its lines, payments and refunds.
//!
//! The status follows the rules that the order itself follows. Amounts are snapshots of the day it
//! was placed. The receiver stays sealed: whoever shows it opens it with the owner's key.

mod course;
mod shown;

use chrono::{DateTime, SubsecRound, Utc};
use contracts::events::{OrderEvent, OrderKind, OrderLine};
use contracts::{OrderId, OrderNumber, UserId, Won};

use self::course::Course;
use super::written::json;
use crate::cell::{Cell, CellType, Row};
use crate::documents::Documents;
use crate::projection::{
    Body, DocumentKey, Event, Projection, Refusal, Stop, Table, facts_in, facts_of,
};

const ORDERS: usize = 0;

/// The projection `order_history`.
#[derive(Debug)]
pub struct OrderHistory;

/// An order: what was placed, as it is shown, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    placed: Snapshot,
    receiver: String,
    course: Course,
    version: i64,
    position: i64,
}

/// What hardly changes after the order was placed.
#[derive(Debug, Clone, PartialEq)]
struct Snapshot {
    number: String,
    user_id: UserId,
    kind: String,
    title: String,
    line_count: i32,
    placed_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    total: Won,
    tax_free: Won,
    vat: Won,
    /// The lines as answers show them.
    lines: String,
}

impl Projection for OrderHistory {
    type Document = Document;

    const NAME: &'static str = "order_history";
    const SHAPE: i32 = 2;
    const TABLES: &'static [Table] = &[Table {
        name: "order_history",
        columns: &[
            ("order_id", CellType::Uuid),
            ("number", CellType::Text),
            ("user_id", CellType::Uuid),
            ("kind", CellType::Text),
            ("status", CellType::Text),
            ("title", CellType::Text),
            ("line_count", CellType::Int),
            ("placed_at", CellType::Instant),
            ("expires_at", CellType::Instant),
            ("total", CellType::BigInt),
            ("tax_free", CellType::BigInt),
            ("vat", CellType::BigInt),
            ("paid", CellType::BigInt),
            ("refunded", CellType::BigInt),
            ("lines", CellType::Text),
            ("payments", CellType::Text),
            ("refunds", CellType::Text),
            ("receiver", CellType::Text),
            ("facts", CellType::Text),
            ("version", CellType::BigInt),
            ("position", CellType::BigInt),
        ],
        key_columns: 1,
        is_served: true,
    }];
    const EVENT_TYPES: &'static [&'static str] = &[
        "OrderPlaced",
        "PaymentRequested",
        "PaymentReady",
        "PaymentReturned",
        "PaymentApprovalRequested",
        "PaymentApproved",
        "PaymentDeclined",
        "PaymentUnresolved",
        "PaymentTokenRefused",
        "PaymentAbandoned",
        "OrderExpired",
        "OrderCancelled",
        "RefundRequested",
        "RefundSucceeded",
        "RefundFailed",
        // Nothing of them is shown, but they move the order's version, which `If-Match` names.
        "PaymentDifferenceFound",
        "PaymentDifferenceSettled",
        "ReceiverChanged",
    ];
    const TABLES_SQL: &'static str = include_str!("order_history/tables.sql");
    const INDEXES_SQL: &'static str = include_str!("order_history/indexes.sql");

    fn apply(event: &Event, documents: &mut Documents<Document>) -> Result<(), Stop> {
        let Body::Order(body) = &event.body else {
            return Ok(());
        };
        let key = DocumentKey::of(ORDERS, event.aggregate_id);
        let mut order = match documents.get(&key)? {
            Some(order) => order.clone(),
            None => place(body)?,
        };
        if let OrderEvent::ReceiverChanged { receiver } = body {
            order.receiver = json(receiver)?;
        }
        // An open page keeps the order open, as the order itself decides.
        if let OrderEvent::PaymentReady { expires_at, .. } = body {
            order.placed.expires_at = order.placed.expires_at.max(expires_at.trunc_subsecs(6));
        }
        order.course.fold(OrderId::new(event.aggregate_id), body);
        order.version = event.sequence;
        order.position = event.position;
        documents.put(key, order);
        Ok(())
    }

    fn rows(key: &DocumentKey, document: &Document) -> Result<Vec<(usize, Row)>, Refusal> {
        let Document { placed, receiver, course, version, position } = document;
        let (paid, refunded) = course.money();
        let row = vec![
            key.id.clone(),
            Cell::text(&placed.number),
            Cell::Uuid(placed.user_id.uuid()),
            Cell::text(&placed.kind),
            Cell::text(course.status()),
            Cell::text(&placed.title),
            Cell::Int(placed.line_count),
            Cell::instant(placed.placed_at),
            Cell::instant(placed.expires_at),
            Cell::BigInt(placed.total.amount()),
            Cell::BigInt(placed.tax_free.amount()),
            Cell::BigInt(placed.vat.amount()),
            Cell::BigInt(paid.amount()),
            Cell::BigInt(refunded.amount()),
            Cell::text(&placed.lines),
            Cell::Text(shown::payments(course)?),
            Cell::Text(shown::refunds(course)?),
            Cell::text(receiver),
            Cell::Text(facts_of(course)?),
            Cell::BigInt(*version),
            Cell::BigInt(*position),
        ];
        Ok(vec![(ORDERS, row)])
    }

    fn document(_table: usize, row: &Row) -> Result<Document, Refusal> {
        let read = ReadRow(row);
        Ok(Document {
            placed: Snapshot {
                number: read.text(1)?,
                user_id: UserId::new(read.uuid(2)?),
                kind: read.text(3)?,
                title: read.text(5)?,
                line_count: read.int(6)?,
                placed_at: read.instant(7)?,
                expires_at: read.instant(8)?,
                total: read.won(9)?,
                tax_free: read.won(10)?,
                vat: read.won(11)?,
                lines: read.text(14)?,
            },
            receiver: read.text(17)?,
            course: facts_in(row.get(18))?,
            version: read.number(19)?,
            position: read.number(20)?,
        })
    }
}

/// The order that `event` places.
fn place(event: &OrderEvent) -> Result<Document, Refusal> {
    let OrderEvent::Placed {
        number,
        user_id,
        kind,
        lines,
        total,
        tax_free,
        vat,
        receiver,
        placed_at,
        expires_at,
        ..
    } = event
    else {
        return Err(Refusal::new("the order was never placed"));
    };
    let placed = Snapshot {
        number: number_text(number),
        user_id: *user_id,
        kind: kind_name(*kind).to_owned(),
        title: title(lines),
        line_count: i32::try_from(lines.len()).unwrap_or(i32::MAX),
        placed_at: placed_at.trunc_subsecs(6),
        expires_at: expires_at.trunc_subsecs(6),
        total: *total,
        tax_free: *tax_free,
        vat: *vat,
        lines: shown::lines(lines)?,
    };
    let receiver = json(receiver)?;
    Ok(Document { placed, receiver, course: Course::default(), version: 0, position: 0 })
}

fn number_text(number: &OrderNumber) -> String {
    number.as_str().to_owned()
}

const fn kind_name(kind: OrderKind) -> &'static str {
    match kind {
        OrderKind::OneOff => "one_off",
        OrderKind::Subscription => "subscription",
    }
}

/// The first line's name, and how many more there are.
fn title(lines: &[OrderLine]) -> String {
    let Some((first, others)) = lines.split_first() else {
        return String::new();
    };
    let name = first.item_name.as_str();
    if others.is_empty() { name.to_owned() } else { format!("{name} 외 {}건", others.len()) }
}

/// A stored row, read by the index of the column.
struct ReadRow<'row>(&'row Row);

impl ReadRow<'_> {
    fn text(&self, index: usize) -> Result<String, Refusal> {
        match self.0.get(index) {
            Some(Cell::Text(text)) => Ok(text.clone()),
            _ => Err(Refusal::new(format!("column {index} of an order holds a text"))),
        }
    }

    fn number(&self, index: usize) -> Result<i64, Refusal> {
        match self.0.get(index) {
            Some(Cell::BigInt(number)) => Ok(*number),
            _ => Err(Refusal::new(format!("column {index} of an order holds a number"))),
        }
    }

    fn won(&self, index: usize) -> Result<Won, Refusal> {
        Won::try_from(self.number(index)?).map_err(|error| Refusal::new(error.to_string()))
    }

    fn int(&self, index: usize) -> Result<i32, Refusal> {
        match self.0.get(index) {
            Some(Cell::Int(number)) => Ok(*number),
            _ => Err(Refusal::new(format!("column {index} of an order holds a small number"))),
        }
    }

    fn uuid(&self, index: usize) -> Result<uuid::Uuid, Refusal> {
        match self.0.get(index) {
            Some(Cell::Uuid(id)) => Ok(*id),
            _ => Err(Refusal::new(format!("column {index} of an order holds an id"))),
        }
    }

    fn instant(&self, index: usize) -> Result<DateTime<Utc>, Refusal> {
        match self.0.get(index) {
            Some(Cell::Instant(at)) => Ok(*at),
            _ => Err(Refusal::new(format!("column {index} of an order holds an instant"))),
        }
    }
}

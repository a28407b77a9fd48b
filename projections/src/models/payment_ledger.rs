//! The books: every approval and every refund as a double entry, so that each booking sums to zero.
//!
//! An approval debits `gateway_receivable` and credits `sales`; a refund debits `refunds` and
//! credits `gateway_receivable`. What the gateway owes us is therefore one sum, and so is what we
//! sold. Only money that moved is booked: refunds that are asked for or failed are not.

use chrono::{DateTime, Utc};
use contracts::events::OrderEvent;
use contracts::{RefundId, Won};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cell::{Cell, CellType, Row};
use crate::documents::Documents;
use crate::projection::{
    Body, DocumentKey, Event, Projection, Refusal, Stop, Table, facts_in, facts_of,
};

const LEDGER: usize = 0;
const ORDERS: usize = 1;

/// What the gateway owes us.
const RECEIVABLE: &str = "gateway_receivable";
/// What shoppers paid for.
const SALES: &str = "sales";
/// What they got back.
const REFUNDS: &str = "refunds";

/// The projection `payment_ledger`.
#[derive(Debug)]
pub struct PaymentLedger;

/// What the fold remembers of an order.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Document {
    approvals: Vec<Approval>,
    refunds: Vec<Refund>,
}

/// A payment that was approved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Approval {
    attempt: u32,
    booked: Booked,
}

/// A refund that was asked for, and booked once it succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Refund {
    id: RefundId,
    attempt: u32,
    booked: Option<Booked>,
}

/// Money that moved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Booked {
    amount: Won,
    at: DateTime<Utc>,
    position: i64,
}

impl Projection for PaymentLedger {
    type Document = Document;

    const NAME: &'static str = "payment_ledger";
    const SHAPE: i32 = 1;
    const TABLES: &'static [Table] = &[
        Table {
            name: "payment_ledger",
            columns: &[
                ("booking", CellType::Text),
                ("account", CellType::Text),
                ("order_id", CellType::Uuid),
                ("attempt", CellType::Int),
                ("amount", CellType::BigInt),
                ("booked_at", CellType::Instant),
                ("position", CellType::BigInt),
            ],
            key_columns: 2,
            is_served: true,
        },
        Table {
            name: "payment_ledger_order",
            columns: &[("order_id", CellType::Uuid), ("facts", CellType::Text)],
            key_columns: 1,
            is_served: false,
        },
    ];
    const EVENT_TYPES: &'static [&'static str] =
        &["PaymentApproved", "RefundRequested", "RefundSucceeded"];
    const TABLES_SQL: &'static str = include_str!("payment_ledger/tables.sql");
    const INDEXES_SQL: &'static str = include_str!("payment_ledger/indexes.sql");

    fn apply(event: &Event, documents: &mut Documents<Document>) -> Result<(), Stop> {
        let Body::Order(body) = &event.body else {
            return Ok(());
        };
        let key = DocumentKey::of(ORDERS, event.aggregate_id);
        let mut books = documents.get(&key)?.cloned().unwrap_or_default();
        books.fold(body, event.position)?;
        documents.put(key, books);
        Ok(())
    }

    fn rows(key: &DocumentKey, document: &Document) -> Result<Vec<(usize, Row)>, Refusal> {
        let Cell::Uuid(order) = key.id else {
            return Err(Refusal::new("books are kept by order"));
        };
        let mut rows = vec![(ORDERS, vec![key.id.clone(), Cell::Text(facts_of(document)?)])];
        for Approval { attempt, booked } in &document.approvals {
            let booking = format!("approval/{order}/{attempt}");
            rows.extend(entries(order, *attempt, &booking, *booked, (RECEIVABLE, SALES)));
        }
        for Refund { id, attempt, booked } in &document.refunds {
            let Some(booked) = booked else {
                continue;
            };
            let booking = format!("refund/{id}");
            rows.extend(entries(order, *attempt, &booking, *booked, (REFUNDS, RECEIVABLE)));
        }
        Ok(rows)
    }

    fn document(_table: usize, row: &Row) -> Result<Document, Refusal> {
        facts_in(row.get(1))
    }
}

/// The two sides of a booking: debit above zero, credit below.
fn entries(
    order: Uuid,
    attempt: u32,
    booking: &str,
    booked: Booked,
    (debit, credit): (&'static str, &'static str),
) -> [(usize, Row); 2] {
    let amount = booked.amount.amount();
    [(debit, amount), (credit, -amount)].map(|(account, amount)| {
        let row = vec![
            Cell::text(booking),
            Cell::text(account),
            Cell::Uuid(order),
            Cell::Int(i32::try_from(attempt).unwrap_or(i32::MAX)),
            Cell::BigInt(amount),
            Cell::instant(booked.at),
            Cell::BigInt(booked.position),
        ];
        (LEDGER, row)
    })
}

impl Document {
    fn fold(&mut self, event: &OrderEvent, position: i64) -> Result<(), Refusal> {
        match event {
            OrderEvent::PaymentApproved { attempt, amount, approved_at, .. } => {
                if self.approvals.iter().any(|it| it.attempt == *attempt) {
                    return Err(Refusal::new(format!("attempt {attempt} was approved before")));
                }
                let booked = Booked { amount: amount.total, at: *approved_at, position };
                self.approvals.push(Approval { attempt: *attempt, booked });
            }
            OrderEvent::RefundRequested { refund_id, attempt, .. } => {
                self.refunds.push(Refund { id: *refund_id, attempt: *attempt, booked: None });
            }
            OrderEvent::RefundSucceeded { refund_id, amount, refunded_at, .. } => {
                let refund = self.refunds.iter_mut().find(|it| it.id == *refund_id);
                let refund = refund.ok_or_else(|| {
                    Refusal::new(format!("refund {refund_id} was never asked for"))
                })?;
                if refund.booked.is_some() {
                    return Err(Refusal::new(format!("refund {refund_id} was made before")));
                }
                refund.booked = Some(Booked { amount: *amount, at: *refunded_at, position });
            }
            OrderEvent::Placed { .. }
            | OrderEvent::PaymentRequested { .. }
            | OrderEvent::PaymentReady { .. }
            | OrderEvent::PaymentReturned { .. }
            | OrderEvent::PaymentApprovalRequested { .. }
            | OrderEvent::PaymentDeclined { .. }
            | OrderEvent::PaymentUnresolved { .. }
            | OrderEvent::PaymentTokenRefused { .. }
            | OrderEvent::PaymentAbandoned { .. }
            | OrderEvent::Expired { .. }
            | OrderEvent::Cancelled { .. }
            | OrderEvent::RefundFailed { .. }
            // Found, not booked: our books stay as they are until somebody corrects them.
            | OrderEvent::PaymentDifferenceFound { .. }
            | OrderEvent::PaymentDifferenceSettled { .. }
            | OrderEvent::ReceiverChanged { .. } => {}
        }
        Ok(())
    }
}

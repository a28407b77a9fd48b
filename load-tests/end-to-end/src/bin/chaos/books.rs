//! Our own books, read from the log alone: what each order says was charged and given back.
//!
//! Folded here from the bare events and not by the domain's own state, so that a mistake in the one
//! is not repeated by the other.

use std::collections::{BTreeMap, BTreeSet};

use contracts::events::{CartEvent, OrderEvent, OrderKind, SubscriptionEvent};
use contracts::{ItemId, Position, RecordedEvent, RefundId};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::Failure;

/// What the log says.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Every order.
    pub(crate) orders: BTreeMap<Uuid, OrderBook>,
    /// How often a line of a cart left it because of an order, by order and item.
    pub(crate) bought: BTreeMap<(Uuid, ItemId), u32>,
    /// How often a line of an order opened a subscription, by order and line.
    pub(crate) opened: BTreeMap<(Uuid, u16), u32>,
    /// How many events there are of these three kinds.
    pub(crate) events: u64,
}

/// How an order ended that was not paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was called off.
    CalledOff,
    /// Nobody paid in time.
    Expired,
}

/// What one order says.
#[derive(Debug, Default)]
pub(crate) struct OrderBook {
    /// How often it was placed.
    pub(crate) placed: u32,
    /// What it costs, in won.
    pub(crate) total: i64,
    /// Whether its lines came from a cart.
    pub(crate) from_cart: bool,
    /// Whether its lines become subscriptions.
    pub(crate) is_subscription: bool,
    /// Its lines, by number.
    pub(crate) lines: Vec<(u16, ItemId)>,
    /// What was charged, by the gateway's id of the payment, each time it was recorded.
    pub(crate) approved: Vec<(String, i64)>,
    /// What was given back, by the gateway's id of the payment, each time it was recorded.
    pub(crate) refunded: Vec<(String, i64)>,
    /// Approvals asked for whose end is not recorded, by attempt.
    pub(crate) approving: BTreeSet<u32>,
    /// Attempts of which nobody knows whether money moved.
    pub(crate) unresolved: BTreeSet<u32>,
    /// Refunds asked for whose end is not recorded.
    pub(crate) refunding: BTreeMap<RefundId, String>,
    /// Refunds that the gateway refused.
    pub(crate) refused_refunds: u64,
    /// Refusals of the gateway to a payment.
    pub(crate) declined: u64,
    /// How it ended, if it was called off or expired before it was paid.
    pub(crate) ended_unpaid: Option<Ending>,
}

impl OrderBook {
    /// Everything that was charged, in won.
    pub(crate) fn approved_sum(&self) -> i64 {
        self.approved.iter().map(|(_, amount)| amount).sum()
    }

    /// Everything that was given back, in won.
    pub(crate) fn refunded_sum(&self) -> i64 {
        self.refunded.iter().map(|(_, amount)| amount).sum()
    }

    /// What was given back of one payment, in won.
    pub(crate) fn refunded_of(&self, tid: &str) -> i64 {
        let of_it = self.refunded.iter().filter(|(refunded, _)| refunded == tid);
        of_it.map(|(_, amount)| amount).sum()
    }

    fn fold(&mut self, event: OrderEvent) {
        match event {
            OrderEvent::Placed { total, from_cart, kind, lines, .. } => {
                self.placed += 1;
                self.total = total.amount();
                self.from_cart = from_cart;
                self.is_subscription = kind == OrderKind::Subscription;
                self.lines = lines.iter().map(|line| (line.line_no, line.item_id)).collect();
            }
            OrderEvent::PaymentApprovalRequested { attempt, .. } => {
                self.approving.insert(attempt);
            }
            OrderEvent::PaymentApproved { attempt, tid, amount, .. } => {
                self.settle(attempt);
                self.approved.push((tid.to_string(), amount.total.amount()));
            }
            OrderEvent::PaymentDeclined { attempt, .. } => {
                self.settle(attempt);
                self.declined += 1;
            }
            OrderEvent::PaymentAbandoned { attempt, .. }
            | OrderEvent::PaymentTokenRefused { attempt, .. } => self.settle(attempt),
            OrderEvent::PaymentUnresolved { attempt, .. } => {
                self.unresolved.insert(attempt);
            }
            // Of a paid order it is the owner's word, and the money tells the rest.
            OrderEvent::Cancelled { .. } if !self.approved.is_empty() => {}
            OrderEvent::Cancelled { .. } => self.ended_unpaid = Some(Ending::CalledOff),
            OrderEvent::Expired { .. } => self.ended_unpaid = Some(Ending::Expired),
            OrderEvent::RefundRequested { refund_id, tid, .. } => {
                self.refunding.insert(refund_id, tid.to_string());
            }
            OrderEvent::RefundSucceeded { refund_id, amount, .. } => {
                let tid = self.refunding.remove(&refund_id).unwrap_or_default();
                self.refunded.push((tid, amount.amount()));
            }
            OrderEvent::RefundFailed { refund_id, .. } => {
                self.refunding.remove(&refund_id);
                self.refused_refunds += 1;
            }
            OrderEvent::PaymentRequested { .. }
            | OrderEvent::PaymentReady { .. }
            | OrderEvent::PaymentReturned { .. }
            | OrderEvent::PaymentDifferenceFound { .. }
            | OrderEvent::PaymentDifferenceSettled { .. }
            | OrderEvent::ReceiverChanged { .. } => {}
        }
    }

    fn settle(&mut self, attempt: u32) {
        self.approving.remove(&attempt);
        self.unresolved.remove(&attempt);
    }
}

impl Books {
    /// Reads the whole log.
    pub(crate) async fn read(client: &Client) -> Result<Self, Failure> {
        let mut books = Self::default();
        for event in events_of(client, "order").await? {
            let book = books.orders.entry(event.aggregate_id).or_default();
            book.fold(event.decode::<OrderEvent>()?);
            books.events += 1;
        }
        for event in events_of(client, "cart").await? {
            books.fold_cart(&event.decode::<CartEvent>()?);
            books.events += 1;
        }
        for event in events_of(client, "subscription").await? {
            if let SubscriptionEvent::Opened { order_id, line_no, .. } = event.decode()? {
                *books.opened.entry((order_id.uuid(), line_no)).or_default() += 1;
            }
            books.events += 1;
        }
        Ok(books)
    }

    fn fold_cart(&mut self, event: &CartEvent) {
        match event {
            CartEvent::ItemRemoved { item_id, bought_in: Some(order), .. }
            | CartEvent::QuantityChanged { item_id, bought_in: Some(order), .. } => {
                *self.bought.entry((order.uuid(), *item_id)).or_default() += 1;
            }
            CartEvent::ItemAdded { .. }
            | CartEvent::QuantityChanged { bought_in: None, .. }
            | CartEvent::PeriodChanged { .. }
            | CartEvent::ItemRemoved { bought_in: None, .. }
            | CartEvent::OrderBought { .. }
            | CartEvent::Cleared { .. } => {}
        }
    }
}

async fn events_of(client: &Client, aggregate: &str) -> Result<Vec<RecordedEvent>, Failure> {
    let rows = client.query(include_str!("sql/log.sql"), &[&aggregate]).await?;
    rows.iter()
        .map(|row| {
            let id: &str = row.try_get("aggregate_id")?;
            Ok(RecordedEvent {
                position: Position::new(row.try_get("position")?),
                aggregate_type: row.try_get("aggregate_type")?,
                aggregate_id: id.parse()?,
                sequence: row.try_get("sequence")?,
                event_type: row.try_get("event_type")?,
                event_version: row.try_get("event_version")?,
                payload: row.try_get("payload")?,
                metadata: row.try_get("metadata")?,
                recorded_at: row.try_get("recorded_at")?,
            })
        })
        .collect()
}

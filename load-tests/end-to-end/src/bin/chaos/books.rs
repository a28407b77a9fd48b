//! Our own ledger, read from the log alone: what each order says was charged and refunded.
//!
//! Folded here from the bare JSON of the events, by their names, and not by the domain's types or
//! state: a mistake in the one is not repeated by the other, and an event that this fold doesn't
//! know changes nothing in it.

mod order;

use std::collections::BTreeMap;

use serde_json::Value;
use tokio_postgres::Client;
use uuid::Uuid;

pub(crate) use self::order::{Ending, LineBook, OrderBook, RefundBook};
use crate::Failure;

/// What the log says.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Every order.
    pub(crate) orders: BTreeMap<Uuid, OrderBook>,
    /// How often a line of a cart left it because of an order, by order and item.
    pub(crate) bought: BTreeMap<(Uuid, Uuid), u32>,
    /// Every subscription.
    pub(crate) subscriptions: BTreeMap<Uuid, SubscriptionBook>,
    /// How many events there are of these three kinds.
    pub(crate) events: u64,
}

/// What one subscription says.
#[derive(Debug, Default)]
pub(crate) struct SubscriptionBook {
    /// How often it was opened.
    pub(crate) opened: u32,
    pub(crate) order: Uuid,
    pub(crate) line_no: i64,
    pub(crate) quantity: i64,
    pub(crate) unit_price: i64,
    pub(crate) period: i64,
    pub(crate) paid_on: String,
    pub(crate) next_due_on: String,
    /// How often it was recorded as ended.
    pub(crate) ended: u32,
}

impl SubscriptionBook {
    fn fold(&mut self, event: &Event) {
        match event.name.as_str() {
            "SubscriptionOpened" => {
                self.opened += 1;
                self.order = event.id("/order_id").unwrap_or_default();
                self.line_no = event.number("/line_no");
                self.quantity = event.number("/quantity");
                self.unit_price = event.number("/unit_price");
                self.period = event.number("/period");
                self.paid_on = event.text("/paid_on");
                self.next_due_on = event.text("/next_due_on");
            }
            "SubscriptionCancelled" | "SubscriptionEnded" => self.ended += 1,
            _ => {}
        }
    }
}

impl Books {
    /// Reads the whole log.
    pub(crate) async fn read(client: &Client) -> Result<Self, Failure> {
        let mut books = Self::default();
        for event in events_of(client, "order").await? {
            books.orders.entry(event.stream).or_default().fold(&event);
            books.events += 1;
        }
        for event in events_of(client, "cart").await? {
            if let (Some(order), Some(item)) = (event.id("/bought_in"), event.id("/item_id")) {
                *books.bought.entry((order, item)).or_default() += 1;
            }
            books.events += 1;
        }
        for event in events_of(client, "subscription").await? {
            books.subscriptions.entry(event.stream).or_default().fold(&event);
            books.events += 1;
        }
        Ok(books)
    }

    /// The subscriptions of one line of an order.
    pub(crate) fn of_line(&self, order: Uuid, line_no: i64) -> Vec<&SubscriptionBook> {
        let opened = self.subscriptions.values().filter(|it| 0 < it.opened);
        opened.filter(|it| it.order == order && it.line_no == line_no).collect()
    }
}

/// An event as the log has it.
struct Event {
    stream: Uuid,
    name: String,
    sequence: i64,
    position: i64,
    payload: Value,
}

impl Event {
    fn at(&self, pointer: &str) -> &Value {
        self.payload.pointer(pointer).unwrap_or(&Value::Null)
    }

    fn number(&self, pointer: &str) -> i64 {
        self.at(pointer).as_i64().unwrap_or_default()
    }

    fn text(&self, pointer: &str) -> String {
        self.at(pointer).as_str().unwrap_or_default().to_owned()
    }

    fn id(&self, pointer: &str) -> Option<Uuid> {
        id(self.at(pointer))
    }
}

fn id(value: &Value) -> Option<Uuid> {
    value.as_str().and_then(|text| text.parse().ok())
}

/// The date of an instant in Korea, which is nine hours ahead of UTC all year.
fn korean_date(instant: &str) -> String {
    let instant: Option<chrono::DateTime<chrono::Utc>> = instant.parse().ok();
    let korean = instant.map(|it| it + chrono::TimeDelta::hours(9));
    korean.map(|it| it.date_naive().to_string()).unwrap_or_default()
}

async fn events_of(client: &Client, aggregate: &str) -> Result<Vec<Event>, Failure> {
    let rows = client.query(include_str!("sql/log.sql"), &[&aggregate]).await?;
    rows.iter()
        .map(|row| {
            let id: &str = row.try_get("aggregate_id")?;
            Ok(Event {
                stream: id.parse()?,
                name: row.try_get("event_type")?,
                sequence: row.try_get("sequence")?,
                position: row.try_get("position")?,
                payload: row.try_get("payload")?,
            })
        })
        .collect()
}

/// An order of these events, for tests of what is read from it.
#[cfg(test)]
pub(crate) fn folded(events: &[(&str, Value)]) -> OrderBook {
    let mut book = OrderBook::default();
    for (sequence, (name, payload)) in (1..).zip(events) {
        let (name, payload) = ((*name).to_owned(), payload.clone());
        book.fold(&Event { stream: Uuid::nil(), name, sequence, position: sequence, payload });
    }
    book
}

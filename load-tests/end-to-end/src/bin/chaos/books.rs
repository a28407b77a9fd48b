//! Our own ledger, read from the log alone: what each order says was charged and refunded.
//!
//! Folded here from the bare JSON of the events, by their names, and not by the domain's types or
//! state: a mistake in the one is not repeated by the other, and an event that this fold doesn't
//! know changes nothing in it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tokio_postgres::Client;
use uuid::Uuid;

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

/// How an order ended that was not paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was called off.
    CalledOff,
    /// It was not paid in time.
    Expired,
}

/// A line of an order.
#[derive(Debug, Clone)]
pub(crate) struct LineBook {
    pub(crate) line_no: i64,
    pub(crate) item: Uuid,
    pub(crate) quantity: i64,
    pub(crate) unit_price: i64,
    pub(crate) period: Option<i64>,
}

/// A payment that was approved.
#[derive(Debug, Clone)]
pub(crate) struct Approval {
    pub(crate) attempt: i64,
    /// The gateway's id of the payment.
    pub(crate) tid: String,
    pub(crate) amount: i64,
    pub(crate) position: i64,
    pub(crate) billing_key: Option<Uuid>,
    /// The Korean date of the approval.
    pub(crate) paid_on: String,
}

/// A refund, from its request to its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct RefundBook {
    /// How often it was requested.
    pub(crate) requested: u32,
    pub(crate) attempt: i64,
    pub(crate) tid: String,
    pub(crate) amount: i64,
    /// Who asked: `user`, `admin` or `system`.
    pub(crate) by: String,
    /// Whether it left nothing of the payment.
    pub(crate) is_of_the_rest: bool,
    /// The sums and positions at which it was recorded as made.
    pub(crate) succeeded: Vec<(i64, i64)>,
    /// How often it was refused.
    pub(crate) failed: u64,
}

/// What one order says.
#[derive(Debug, Default)]
pub(crate) struct OrderBook {
    /// How often it was placed.
    pub(crate) placed: u32,
    pub(crate) user: Uuid,
    pub(crate) number: String,
    /// What it costs, in won.
    pub(crate) total: i64,
    /// Whether its lines came from a cart.
    pub(crate) from_cart: bool,
    /// Whether its lines become subscriptions.
    pub(crate) is_subscription: bool,
    pub(crate) lines: Vec<LineBook>,
    /// Attempts for which a page was asked, each time it was recorded.
    pub(crate) requested: Vec<i64>,
    /// Attempts whose page the browser came back from, or that were abandoned.
    pub(crate) returned: BTreeSet<i64>,
    /// What was charged, each time it was recorded.
    pub(crate) approved: Vec<Approval>,
    /// What was refunded or is to be.
    pub(crate) refunds: BTreeMap<Uuid, RefundBook>,
    /// Approvals asked for whose end is not recorded, by attempt.
    pub(crate) approving: BTreeSet<i64>,
    /// Attempts of which it is not known whether money moved.
    pub(crate) unresolved: BTreeSet<i64>,
    /// Refusals of the gateway to a payment.
    pub(crate) declined: u64,
    /// How it ended, if it was called off or expired before it was paid.
    pub(crate) ended_unpaid: Option<Ending>,
    /// The sequence of its last event.
    pub(crate) version: i64,
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

impl OrderBook {
    /// Everything that was charged, in won.
    pub(crate) fn approved_sum(&self) -> i64 {
        self.approved.iter().map(|approval| approval.amount).sum()
    }

    /// The payment that came while the order waited for it: every other one is refunded by the
    /// system itself.
    pub(crate) fn paid_in_time(&self) -> Option<&Approval> {
        let is_late = |attempt: i64| {
            self.refunds.values().any(|refund| refund.by == "system" && refund.attempt == attempt)
        };
        self.approved.iter().find(|approval| !is_late(approval.attempt))
    }

    /// Everything that was refunded, in won.
    pub(crate) fn refunded_sum(&self) -> i64 {
        self.refunds.values().map(RefundBook::succeeded_sum).sum()
    }

    /// What was refunded of one payment, in won.
    pub(crate) fn refunded_of(&self, tid: &str) -> i64 {
        let of_it = self.refunds.values().filter(|refund| refund.tid == tid);
        of_it.map(RefundBook::succeeded_sum).sum()
    }

    /// Refunds asked for whose end is not recorded.
    pub(crate) fn refunding(&self) -> usize {
        self.refunds.values().filter(|refund| refund.is_pending()).count()
    }

    /// Whether it was paid and called off: its owner asked for everything that was left.
    pub(crate) fn is_called_off(&self) -> bool {
        self.refunds.values().any(|refund| refund.by == "user" && refund.is_of_the_rest)
    }

    fn fold(&mut self, event: &Event) {
        self.version = event.sequence;
        let attempt = event.number("/attempt");
        match event.name.as_str() {
            "OrderPlaced" => self.place(event),
            "PaymentRequested" => self.requested.push(attempt),
            "PaymentReturned" => {
                self.returned.insert(attempt);
            }
            "PaymentApprovalRequested" => {
                self.approving.insert(attempt);
            }
            "PaymentApproved" => {
                self.settle(attempt);
                self.approved.push(Approval {
                    attempt,
                    tid: event.text("/tid"),
                    amount: event.number("/amount/total"),
                    position: event.position,
                    billing_key: event.id("/billing_key"),
                    paid_on: korean_date(&event.text("/approved_at")),
                });
            }
            "PaymentDeclined" => {
                self.settle(attempt);
                self.declined += 1;
            }
            "PaymentAbandoned" | "PaymentTokenRefused" => {
                self.settle(attempt);
                self.returned.insert(attempt);
            }
            // A refund without an outcome is pending, and counted as such.
            "PaymentUnresolved" if event.text("/step") != "cancel" => {
                self.unresolved.insert(attempt);
            }
            // Of a paid order it is the owner's word, and the money shows the rest.
            "OrderCancelled" if self.paid_in_time().is_some() => {}
            "OrderCancelled" => self.ended_unpaid = Some(Ending::CalledOff),
            "OrderExpired" => self.ended_unpaid = Some(Ending::Expired),
            "RefundRequested" | "RefundSucceeded" | "RefundFailed" => self.fold_refund(event),
            _ => {}
        }
    }

    fn place(&mut self, event: &Event) {
        self.placed += 1;
        self.user = event.id("/user_id").unwrap_or_default();
        self.number = event.text("/number");
        self.total = event.number("/total");
        self.from_cart = event.at("/from_cart").as_bool().unwrap_or_default();
        self.is_subscription = event.text("/kind") == "subscription";
        let lines = event.at("/lines").as_array().cloned().unwrap_or_default();
        self.lines = lines.iter().map(line).collect();
    }

    fn fold_refund(&mut self, event: &Event) {
        let refund = self.refunds.entry(event.id("/refund_id").unwrap_or_default()).or_default();
        let amount = event.number("/amount");
        match event.name.as_str() {
            "RefundRequested" => {
                refund.requested += 1;
                refund.attempt = event.number("/attempt");
                refund.tid = event.text("/tid");
                refund.amount = amount;
                refund.by = event.text("/by");
                refund.is_of_the_rest = amount == event.number("/refundable_before");
            }
            "RefundSucceeded" => refund.succeeded.push((amount, event.position)),
            _ => refund.failed += 1,
        }
    }

    fn settle(&mut self, attempt: i64) {
        self.approving.remove(&attempt);
        self.unresolved.remove(&attempt);
    }
}

impl RefundBook {
    fn succeeded_sum(&self) -> i64 {
        self.succeeded.iter().map(|(amount, _)| amount).sum()
    }

    /// Whether its end is not recorded.
    pub(crate) fn is_pending(&self) -> bool {
        self.succeeded.is_empty() && self.failed == 0
    }
}

fn line(line: &Value) -> LineBook {
    LineBook {
        line_no: line["line_no"].as_i64().unwrap_or_default(),
        item: id(&line["item_id"]).unwrap_or_default(),
        quantity: line["quantity"].as_i64().unwrap_or_default(),
        unit_price: line["unit_price"].as_i64().unwrap_or_default(),
        period: line["period"].as_i64(),
    }
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

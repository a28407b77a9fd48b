//! A subscription: one line of a paid subscription order that keeps coming.
//!
//! Only its opening is here yet. Its id derives from (order, line), so a repeated reaction opens it
//! once. The first delivery is paid by the order: cycle 1 falls due one period after that day.

#[cfg(test)]
mod tests;

use chrono::{DateTime, NaiveDate, Utc};
use contracts::events::SubscriptionEvent;
use contracts::{
    BillingKeyId, ItemId, OrderId, Period, Quantity, Receiver, Sealed, Text, UserId, Won, calendar,
};
use serde::{Deserialize, Serialize};

use crate::kernel::{EventSourced, Refusal, RefusalKind};

/// One subscription, or the absence of one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Subscription {
    /// Nothing was opened under this id.
    #[default]
    Unopened,
    /// It is charged when it falls due.
    Active(Box<ActiveSubscription>),
}

/// What an open subscription is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveSubscription {
    /// Whose.
    pub user_id: UserId,
    /// The order whose payment opened it.
    pub order_id: OrderId,
    /// Which line of that order, from 1.
    pub line_no: u16,
    /// What is delivered.
    pub item_id: ItemId,
    /// Its name on the day of the order.
    pub item_name: Text<300>,
    /// How many each time.
    pub quantity: Quantity,
    /// The price of one piece.
    pub unit_price: Won,
    /// Days between deliveries.
    pub period: Period,
    /// To whom.
    pub receiver: Sealed<Receiver>,
    /// The recurring key that charges it.
    pub billing_key: BillingKeyId,
    /// The Korean date of the payment.
    pub paid_on: NaiveDate,
    /// When the next cycle falls due.
    pub next_due_on: NaiveDate,
}

/// Opens the subscription that one line of a paid order asks for.
#[derive(Debug, Clone)]
pub struct OpenSubscription {
    /// Whose.
    pub user_id: UserId,
    /// The order that was paid.
    pub order_id: OrderId,
    /// Which line of it, from 1.
    pub line_no: u16,
    /// What is delivered.
    pub item_id: ItemId,
    /// Its name on the day of the order.
    pub item_name: Text<300>,
    /// How many each time.
    pub quantity: Quantity,
    /// The price of one piece.
    pub unit_price: Won,
    /// Days between deliveries.
    pub period: Period,
    /// To whom, sealed for the subscription's own stream.
    pub receiver: Sealed<Receiver>,
    /// The recurring key that the payment yielded.
    pub billing_key: BillingKeyId,
    /// The Korean date of the payment.
    pub paid_on: NaiveDate,
    /// Now.
    pub at: DateTime<Utc>,
}

/// A command to one subscription; its stream is `SubscriptionId::of(order, line)`.
#[derive(Debug, Clone)]
pub enum SubscriptionCommand {
    /// Opens it; no event when the same line opened it before.
    OpenSubscription(Box<OpenSubscription>),
}

/// Why a command to a subscription was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionRefusal {
    /// The stream belongs to another order line.
    #[error("the subscription was opened by another order line")]
    OtherOrderLine,
}

impl Refusal for SubscriptionRefusal {
    fn code(&self) -> &'static str {
        match self {
            Self::OtherOrderLine => "subscription.other_order_line",
        }
    }

    fn kind(&self) -> RefusalKind {
        match self {
            Self::OtherOrderLine => RefusalKind::Conflict,
        }
    }
}

impl Subscription {
    /// What it is about, when it is open.
    pub fn active(&self) -> Option<&ActiveSubscription> {
        match self {
            Self::Unopened => None,
            Self::Active(subscription) => Some(subscription),
        }
    }
}

fn opened(command: OpenSubscription) -> SubscriptionEvent {
    let next_due_on = calendar::add_days(command.paid_on, command.period.days());
    SubscriptionEvent::Opened {
        user_id: command.user_id,
        order_id: command.order_id,
        line_no: command.line_no,
        item_id: command.item_id,
        item_name: command.item_name,
        quantity: command.quantity,
        unit_price: command.unit_price,
        period: command.period,
        receiver: command.receiver,
        billing_key: command.billing_key,
        paid_on: command.paid_on,
        next_due_on,
        opened_at: command.at,
    }
}

impl EventSourced for Subscription {
    type Body = SubscriptionEvent;
    type Order = SubscriptionCommand;
    type Refused = SubscriptionRefusal;

    fn decide(
        &self,
        command: SubscriptionCommand,
    ) -> Result<Vec<SubscriptionEvent>, SubscriptionRefusal> {
        let SubscriptionCommand::OpenSubscription(command) = command;
        match self {
            Self::Unopened => Ok(vec![opened(*command)]),
            // The reaction may come again after a crash; a line opens one subscription.
            Self::Active(known)
                if (known.order_id, known.line_no) == (command.order_id, command.line_no) =>
            {
                Ok(Vec::new())
            }
            Self::Active(_) => Err(SubscriptionRefusal::OtherOrderLine),
        }
    }

    fn evolve(&mut self, event: &SubscriptionEvent) {
        let SubscriptionEvent::Opened {
            user_id,
            order_id,
            line_no,
            item_id,
            item_name,
            quantity,
            unit_price,
            period,
            receiver,
            billing_key,
            paid_on,
            next_due_on,
            opened_at: _,
        } = event;
        *self = Self::Active(Box::new(ActiveSubscription {
            user_id: *user_id,
            order_id: *order_id,
            line_no: *line_no,
            item_id: *item_id,
            item_name: item_name.clone(),
            quantity: *quantity,
            unit_price: *unit_price,
            period: *period,
            receiver: receiver.clone(),
            billing_key: *billing_key,
            paid_on: *paid_on,
            next_due_on: *next_due_on,
        }));
    }
}

crate::aggregate!(Subscription, SubscriptionEvent, SubscriptionCommand, SubscriptionRefusal);

//! A subscription: one line of a paid subscription order that keeps coming.
//!
//! Opening and ending are here; charging comes with billing. Its id derives from (order, line), so a repeated reaction opens it
//! once. It ends once and for good: opening it again, however late, brings nothing back.
//! The first delivery is paid by the order: cycle 1 falls due one period after that day.

#[cfg(test)]
mod tests;

use chrono::{DateTime, NaiveDate, Utc};
use contracts::events::{SubscriptionCancelledBy, SubscriptionEvent};
use contracts::{
    BillingKeyId, ItemId, OrderId, Period, Quantity, Receiver, Sealed, Text, UserId, Won, calendar,
};
use serde::{Deserialize, Serialize};

use crate::kernel::{EventSourced, Principal, Refusal, RefusalKind};

/// One subscription, or the absence of one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Subscription {
    /// Nothing was opened under this id.
    #[default]
    Unopened,
    /// It is charged when it falls due.
    Active(Box<ActiveSubscription>),
    /// It ended; nothing is charged any more.
    Cancelled(Box<CancelledSubscription>),
}

/// A subscription that ended, as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelledSubscription {
    /// What it was about.
    pub subscription: ActiveSubscription,
    /// Who or what ended it.
    pub by: SubscriptionCancelledBy,
    /// When.
    pub cancelled_at: DateTime<Utc>,
}

/// Where a subscription stands, in the words of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SubscriptionStatus {
    /// It is charged when it falls due.
    Active,
    /// It was paid for and its recurring key was lost: the user has to register again.
    KeyMissing,
    /// It ended.
    Cancelled,
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
    /// Whether the payment came without the recurring key.
    pub key_missing: bool,
}

/// On whose word a subscription ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ender {
    /// Its owner, an administrator or a process of ours.
    Principal(Principal),
    /// The owner called its opening order off; sent by our own processes alone.
    OrderCalledOff,
    /// All money of its opening order was refunded; sent by our own processes alone.
    OrderRefunded,
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
    /// Whether the payment came without that key.
    pub key_missing: bool,
    /// The Korean date of the payment.
    pub paid_on: NaiveDate,
    /// Now.
    pub at: DateTime<Utc>,
}

/// A command to one subscription; its stream is `SubscriptionId::of(order, line)`.
#[derive(Debug, Clone)]
pub enum SubscriptionCommand {
    /// Opens it; no event when the same line opened it before, also when it has ended since.
    OpenSubscription(Box<OpenSubscription>),
    /// Ends it at once; no event when it has ended before.
    CancelSubscription {
        /// On whose word.
        by: Ender,
        /// Why, from a closed set of codes.
        reason: Option<Text<100>>,
        /// Now.
        at: DateTime<Utc>,
    },
}

/// Why a command to a subscription was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionRefusal {
    /// There is no such subscription, or it isn't the caller's.
    #[error("there is no such subscription")]
    NotFound,
    /// The stream belongs to another order line.
    #[error("the subscription was opened by another order line")]
    OtherOrderLine,
}

impl Refusal for SubscriptionRefusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "subscription.not_found",
            Self::OtherOrderLine => "subscription.other_order_line",
        }
    }

    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotFound => RefusalKind::NotFound,
            Self::OtherOrderLine => RefusalKind::Conflict,
        }
    }
}

impl Subscription {
    /// What it is about, when it is open.
    pub fn active(&self) -> Option<&ActiveSubscription> {
        match self {
            Self::Unopened | Self::Cancelled(_) => None,
            Self::Active(subscription) => Some(subscription),
        }
    }

    /// How it ended, when it did.
    pub fn cancelled(&self) -> Option<&CancelledSubscription> {
        match self {
            Self::Unopened | Self::Active(_) => None,
            Self::Cancelled(ended) => Some(ended),
        }
    }

    /// What it is or was about, when it was ever opened.
    pub fn opened(&self) -> Option<&ActiveSubscription> {
        self.active().or_else(|| self.cancelled().map(|ended| &ended.subscription))
    }

    /// Where it stands; `None` when it was never opened.
    pub fn status(&self) -> Option<SubscriptionStatus> {
        match self {
            Self::Unopened => None,
            Self::Active(it) if it.key_missing => Some(SubscriptionStatus::KeyMissing),
            Self::Active(_) => Some(SubscriptionStatus::Active),
            Self::Cancelled(_) => Some(SubscriptionStatus::Cancelled),
        }
    }

    fn open(
        &self,
        command: OpenSubscription,
    ) -> Result<Vec<SubscriptionEvent>, SubscriptionRefusal> {
        let Some(known) = self.opened() else {
            return Ok(vec![opened(command)]);
        };
        // The reaction may come again after a crash; a line opens one subscription.
        if (known.order_id, known.line_no) == (command.order_id, command.line_no) {
            return Ok(Vec::new());
        }
        Err(SubscriptionRefusal::OtherOrderLine)
    }

    fn cancel(
        &self,
        by: Ender,
        reason: Option<Text<100>>,
        at: DateTime<Utc>,
    ) -> Result<Vec<SubscriptionEvent>, SubscriptionRefusal> {
        let owner = self.opened().ok_or(SubscriptionRefusal::NotFound)?.user_id;
        let by = by.recorded(owner)?;
        if self.cancelled().is_some() {
            return Ok(Vec::new());
        }
        Ok(vec![SubscriptionEvent::Cancelled { by, reason, cancelled_at: at }])
    }
}

impl Ender {
    /// What goes on record, when this one may end a subscription of `owner`.
    fn recorded(self, owner: UserId) -> Result<SubscriptionCancelledBy, SubscriptionRefusal> {
        match self {
            Self::Principal(Principal::User(user) | Principal::Admin(user)) if user == owner => {
                Ok(SubscriptionCancelledBy::User)
            }
            Self::Principal(Principal::User(_)) => Err(SubscriptionRefusal::NotFound),
            Self::Principal(Principal::Admin(_)) => Ok(SubscriptionCancelledBy::Admin),
            Self::Principal(Principal::System) => Ok(SubscriptionCancelledBy::System),
            Self::OrderCalledOff => Ok(SubscriptionCancelledBy::OrderCalledOff),
            Self::OrderRefunded => Ok(SubscriptionCancelledBy::OrderRefunded),
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
        key_missing: command.key_missing,
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
        match command {
            SubscriptionCommand::OpenSubscription(command) => self.open(*command),
            SubscriptionCommand::CancelSubscription { by, reason, at } => {
                self.cancel(by, reason, at)
            }
        }
    }

    fn evolve(&mut self, event: &SubscriptionEvent) {
        match event {
            SubscriptionEvent::Opened {
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
                key_missing,
            } => {
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
                    key_missing: *key_missing,
                }));
            }
            SubscriptionEvent::Cancelled { by, reason: _, cancelled_at } => {
                // The end of what was never opened is history that `decide` never writes.
                let Some(subscription) = self.active().cloned() else { return };
                let (by, cancelled_at) = (*by, *cancelled_at);
                let ended = CancelledSubscription { subscription, by, cancelled_at };
                *self = Self::Cancelled(Box::new(ended));
            }
        }
    }
}

crate::aggregate!(Subscription, SubscriptionEvent, SubscriptionCommand, SubscriptionRefusal);

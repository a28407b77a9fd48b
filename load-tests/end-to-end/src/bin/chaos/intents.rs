//! What shoppers asked for and what they were answered, request by request.
//!
//! Written down before a request is sent and completed when it is answered. The audit folds it
//! against the log and the gateway's ledger: what was acknowledged must have left an event, and what
//! was asked for once must not have happened twice.

use std::collections::BTreeMap;

use contracts::Receiver;
use uuid::Uuid;

use crate::client::Answer;

/// All intents, by the idempotency key of their request.
#[derive(Debug, Default)]
pub(crate) struct Intents(BTreeMap<String, Intent>);

/// One request, however often it was sent.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    /// The order it is about; absent before it was placed.
    pub(crate) order: Option<Uuid>,
    /// What was asked for.
    pub(crate) wish: Wish,
    /// The last answer; the first that acknowledged it is kept.
    pub(crate) answer: Option<Acknowledged>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// An order.
    Place(Box<Wanted>),
    /// A page to pay on.
    Pay,
    /// The browser came back from the page of an attempt.
    Return {
        /// Which attempt.
        attempt: u32,
    },
    /// The order is to be called off.
    CallOff,
    /// So much money is to be refunded.
    Refund {
        /// In won.
        amount: i64,
    },
}

/// What is to be delivered to whom, and what it costs by the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The account that orders.
    pub(crate) user: Uuid,
    /// In won.
    pub(crate) total: i64,
    /// The lines, in any order.
    pub(crate) lines: Vec<WantedLine>,
    /// To whom.
    pub(crate) receiver: Receiver,
}

/// A line that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WantedLine {
    pub(crate) item: Uuid,
    pub(crate) quantity: i64,
    /// The days after which it comes again, in subscriptions.
    pub(crate) period: Option<i64>,
}

/// An answer, as far as the audit needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    status: u16,
    /// The refund that the answer named.
    pub(crate) refund: Option<Uuid>,
}

impl Intents {
    /// Notes that something is about to be asked for.
    pub(crate) fn ask(&mut self, key: &str, order: Option<Uuid>, wish: Wish) {
        self.0.entry(key.to_owned()).or_insert(Intent { order, wish, answer: None });
    }

    /// Notes an answer. One that acknowledged the request is never forgotten.
    pub(crate) fn note(&mut self, key: &str, order: Option<Uuid>, answer: &Answer) {
        let Some(intent) = self.0.get_mut(key) else {
            return;
        };
        intent.order = intent.order.or(order);
        if !intent.is_acknowledged() {
            let refund = answer.text("/refundId").and_then(|id| id.parse().ok());
            intent.answer = Some(Acknowledged { status: answer.status.as_u16(), refund });
        }
    }

    /// Every intent with its key.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &Intent)> {
        self.0.iter().map(|(key, intent)| (key.as_str(), intent))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

impl Intent {
    /// Whether the shop promised to do it.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.answer.as_ref().is_some_and(|it| matches!(it.status, 200..=299 | 303))
    }

    /// Whether it may have happened: it was promised, or never answered.
    pub(crate) fn may_have_happened(&self) -> bool {
        self.answer.is_none() || self.is_acknowledged()
    }
}

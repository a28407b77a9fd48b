//! A small aggregate for tests of stores: a tally that can be raised, closed, named and made to ask
//! for a call. Small enough that a test's expectation can be read off its commands.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::sync::Arc;
use std::time::Duration;

use contracts::{Actor, Claim, EventBody, Metadata};
use domain::{Effect, EventSourced, Refusal, RefusalKind};
use event_store::{CommandContext, Executor, ExecutorOptions, ReceiptKey, Store};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Retries enough for every crowd of these tests.
pub(crate) const PATIENT: ExecutorOptions =
    ExecutorOptions { conflict_retries: 200, cache_entries: 100 };
/// Loads for every command.
pub(crate) const FORGETFUL: ExecutorOptions =
    ExecutorOptions { conflict_retries: 0, cache_entries: 0 };

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TallyEvent {
    #[serde(rename = "TallyRaised")]
    Raised { by: i64 },
    #[serde(rename = "TallyClosed")]
    Closed,
    #[serde(rename = "TallyReopened")]
    Reopened,
    #[serde(rename = "TallyNamed")]
    Named { name: String },
    #[serde(rename = "TallyUnnamed")]
    Unnamed { name: String },
    #[serde(rename = "TallyCallAsked")]
    CallAsked { quantity: u32 },
}

impl EventBody for TallyEvent {
    const AGGREGATE_TYPE: &'static str = "tally";
    const TYPES: &'static [(&'static str, u16)] = &[
        ("TallyRaised", 1),
        ("TallyClosed", 1),
        ("TallyReopened", 1),
        ("TallyNamed", 1),
        ("TallyUnnamed", 1),
        ("TallyCallAsked", 1),
    ];

    fn event_type(&self) -> &'static str {
        match self {
            Self::Raised { .. } => "TallyRaised",
            Self::Closed => "TallyClosed",
            Self::Reopened => "TallyReopened",
            Self::Named { .. } => "TallyNamed",
            Self::Unnamed { .. } => "TallyUnnamed",
            Self::CallAsked { .. } => "TallyCallAsked",
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum TallyCommand {
    /// One event for each amount.
    Raise(Vec<i64>),
    /// Refused when closed.
    Close,
    Reopen,
    Name(String),
    Unname(String),
    /// Two effects.
    AskForCalls,
    /// No event when the sum is there already.
    RaiseTo(i64),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the tally is closed")]
pub(crate) struct TallyClosed;

impl Refusal for TallyClosed {
    fn code(&self) -> &'static str {
        "tally.closed"
    }

    fn kind(&self) -> RefusalKind {
        RefusalKind::Conflict
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub sum: i64,
    pub closed: bool,
}

impl EventSourced for Tally {
    type Body = TallyEvent;
    type Order = TallyCommand;
    type Refused = TallyClosed;

    fn decide(&self, command: TallyCommand) -> Result<Vec<TallyEvent>, TallyClosed> {
        match command {
            TallyCommand::Reopen if self.closed => Ok(vec![TallyEvent::Reopened]),
            TallyCommand::Reopen => Ok(vec![]),
            _ if self.closed => Err(TallyClosed),
            TallyCommand::Raise(amounts) => {
                Ok(amounts.into_iter().map(|by| TallyEvent::Raised { by }).collect())
            }
            TallyCommand::Close => Ok(vec![TallyEvent::Closed]),
            TallyCommand::Name(name) => Ok(vec![TallyEvent::Named { name }]),
            TallyCommand::Unname(name) => Ok(vec![TallyEvent::Unnamed { name }]),
            TallyCommand::AskForCalls => Ok(vec![TallyEvent::CallAsked { quantity: 2 }]),
            TallyCommand::RaiseTo(sum) if self.sum == sum => Ok(vec![]),
            TallyCommand::RaiseTo(sum) => Ok(vec![TallyEvent::Raised { by: sum - self.sum }]),
        }
    }

    fn evolve(&mut self, event: &TallyEvent) {
        match event {
            TallyEvent::Raised { by } => self.sum += by,
            TallyEvent::Closed => self.closed = true,
            TallyEvent::Reopened => self.closed = false,
            TallyEvent::Named { .. }
            | TallyEvent::Unnamed { .. }
            | TallyEvent::CallAsked { .. } => {}
        }
    }

    fn effects(&self, event: &TallyEvent) -> Vec<Effect> {
        match event {
            TallyEvent::CallAsked { quantity } => (1..=*quantity).map(effect).collect(),
            TallyEvent::Raised { .. }
            | TallyEvent::Closed
            | TallyEvent::Reopened
            | TallyEvent::Named { .. }
            | TallyEvent::Unnamed { .. } => vec![],
        }
    }

    fn claims(event: &TallyEvent) -> Vec<Claim> {
        match event {
            TallyEvent::Named { name } => {
                vec![Claim::Take { kind: "tally.name", name: name.clone() }]
            }
            TallyEvent::Unnamed { name } => {
                vec![Claim::Release { kind: "tally.name", name: name.clone() }]
            }
            TallyEvent::Raised { .. }
            | TallyEvent::Closed
            | TallyEvent::Reopened
            | TallyEvent::CallAsked { .. } => vec![],
        }
    }
}

domain::aggregate!(Tally, TallyEvent, TallyCommand, TallyClosed);

fn effect(quantity: u32) -> Effect {
    serde_json::from_value(json!({ "payment_ready": {
        "terms": {
            "user_id": uuid::Uuid::nil(), "attempt": 1, "partner_order_id": "order-1",
            "amount": 1000, "tax_free": 0, "vat": 91, "billing_key": null,
        },
        "item_name": "vitamins",
        "quantity": quantity,
    }}))
    .unwrap()
}

pub(crate) fn metadata() -> Metadata {
    Metadata {
        actor: Actor::System("test".to_owned()),
        correlation_id: "request-1".to_owned(),
        causation_id: None,
        idempotency_key: None,
    }
}

pub(crate) fn plain() -> CommandContext<Tally> {
    CommandContext::new(metadata())
}

/// A command under the key `key` of the request `digest`, answered with the sum.
pub(crate) fn keyed(key: &str, digest: &str) -> CommandContext<Tally> {
    plain()
        .with_receipt(ReceiptKey {
            scope: "raise/kim".to_owned(),
            key: key.to_owned(),
            request_digest: digest.to_owned(),
            keep_for: Duration::from_hours(1),
        })
        .answering(|tally: &Tally, events: &[TallyEvent]| {
            json!({ "sum": tally.sum, "events": events.len() })
        })
}

pub(crate) fn executor(
    store: &Arc<impl Store<Tally>>,
    options: ExecutorOptions,
) -> Executor<Tally> {
    Executor::new(Arc::clone(store), options)
}

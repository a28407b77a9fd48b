//! What every aggregate is made of, and the bridge to cqrs-es.
//!
//! An aggregate implements [`EventSourced`]: `decide` turns state and command into events or a
//! refusal, `evolve` folds an event into the state, `effects` and `claims` say what the outbox and
//! the unique names owe to an event. The [`aggregate!`](crate::aggregate) macro then carries it
//! into `cqrs_es::Aggregate`, so that the framework and its test harness stay usable.

use std::fmt::Debug;

use contracts::{Claim, EventBody, UserId};
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};

use crate::effects::Effect;

/// A contract event as cqrs-es wants to see it. Transparent: it stores and reads as the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fact<E>(pub E);

impl<E: EventBody> DomainEvent for Fact<E>
where
    Self: Serialize + for<'de> Deserialize<'de>,
{
    fn event_type(&self) -> String {
        self.0.event_type().to_owned()
    }

    fn event_version(&self) -> String {
        self.0.event_version().to_string()
    }
}

/// On whose authority a command acts. The edge takes it from the verified token, never from input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal {
    /// A signed-in shopper: may touch what is theirs.
    User(UserId),
    /// An administrator: may touch what the shop allows administrators.
    Admin(UserId),
    /// One of our own processes.
    System,
}

/// How a refusal is answered; the HTTP status follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// There is no such thing, or it isn't the caller's: the two are not told apart.
    NotFound,
    /// The thing is in a state that doesn't allow it.
    Conflict,
    /// The request breaks a rule of the shop.
    Rule,
}

/// Why a command was refused: a sentence (`Display`), a stable code and a kind.
pub trait Refusal: std::error::Error + Clone + PartialEq + Send + Sync + 'static {
    /// Stable name for clients and dashboards; the sentence may be reworded freely.
    fn code(&self) -> &'static str;

    /// How it is answered.
    fn kind(&self) -> RefusalKind;
}

/// An aggregate of this shop. See the module's header.
pub trait EventSourced:
    Aggregate<
        Event = Fact<<Self as EventSourced>::Body>,
        Command = <Self as EventSourced>::Order,
        Error = <Self as EventSourced>::Refused,
        Services = (),
    > + Clone
    + Debug
    + 'static
{
    /// Its events.
    type Body: EventBody;
    /// Its commands.
    type Order: Clone + Debug + Send + Sync + 'static;
    /// Its refusals.
    type Refused: Refusal;

    /// What `command` does to this state: events in order, none when it changes nothing.
    ///
    /// # Errors
    /// The refusal; then nothing happened.
    fn decide(&self, command: Self::Order) -> Result<Vec<Self::Body>, Self::Refused>;

    /// Folds one event into the state. Total: history is never refused.
    fn evolve(&mut self, event: &Self::Body);

    /// What `event` asks of the outside; `self` is the state after it.
    fn effects(&self, event: &Self::Body) -> Vec<Effect> {
        let _ = event;
        Vec::new()
    }

    /// Which unique names `event` takes or gives back.
    fn claims(event: &Self::Body) -> Vec<Claim> {
        let _ = event;
        Vec::new()
    }

    /// The state after a whole history.
    fn replay<'e>(events: impl IntoIterator<Item = &'e Self::Body>) -> Self {
        let mut state = Self::default();
        for event in events {
            state.evolve(event);
        }
        state
    }
}

/// Carries an [`EventSourced`] type into `cqrs_es::Aggregate`: three lines a method, no decision.
#[macro_export]
macro_rules! aggregate {
    ($state:ty, $body:ty, $command:ty, $refusal:ty) => {
        impl cqrs_es::Aggregate for $state {
            const TYPE: &'static str = <$body as contracts::EventBody>::AGGREGATE_TYPE;
            type Command = $command;
            type Event = $crate::Fact<$body>;
            type Error = $refusal;
            type Services = ();

            async fn handle(
                &mut self,
                command: Self::Command,
                _services: &Self::Services,
                sink: &cqrs_es::event_sink::EventSink<Self>,
            ) -> Result<(), Self::Error> {
                for event in $crate::EventSourced::decide(self, command)? {
                    sink.write($crate::Fact(event), self).await;
                }
                Ok(())
            }

            fn apply(&mut self, event: Self::Event) {
                $crate::EventSourced::evolve(self, &event.0);
            }
        }
    };
}

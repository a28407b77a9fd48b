//! The events: facts that happened, one enum per aggregate, in the words of the shop.
//!
//! Stored names are whole (`OrderPlaced`); variants leave the aggregate's name out. Every
//! (type, version) has a golden file in `schema/events/`. The past is never edited: a change is an
//! optional field, or a new version with a one-step upcaster, or a new event.

pub mod cart;
pub mod item;
pub mod order;
pub mod subscription;
pub mod user;

pub use cart::CartEvent;
pub use item::{ItemDetails, ItemEvent};
pub use order::{
    AbandonReason, ApprovedAmount, CancelledBy, DeclineClass, DifferenceKind, GatewayStep,
    OrderEvent, OrderKind, OrderLine, PaymentMethod, RedirectUrls, ReturnedAs,
};
pub use subscription::{SubscriptionCancelledBy, SubscriptionEvent};
pub use user::{Role, UserEvent};

/// Implements [`EventBody`](crate::EventBody) for an enum whose variants are all at version 1 or
/// as given, and whose serde tags are the stored names.
macro_rules! event_body {
    ($events:ident, $aggregate:literal, { $($variant:ident => $name:literal v $version:literal),+ $(,)? }) => {
        impl $crate::EventBody for $events {
            const AGGREGATE_TYPE: &'static str = $aggregate;
            const TYPES: &'static [(&'static str, u16)] = &[$(($name, $version)),+];

            fn event_type(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name),+
                }
            }
        }
    };
}
pub(crate) use event_body;

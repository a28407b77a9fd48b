//! The published language: what every side agrees on about stored data.
//!
//! Ids, values with a rule, the events of every aggregate and the envelope they travel in. A value
//! that exists here has passed its rule, whether it came from a request or out of the log: decoding
//! goes through the same door. Nothing here performs IO, reads a clock or draws a random number.

pub mod calendar;
pub mod category;
pub mod claims;
pub mod envelope;
pub mod events;
pub mod ids;
pub mod money;
pub mod order_number;
pub mod personal;
pub mod quantity;
pub mod seals;
pub mod text;

pub use category::Category;
pub use claims::Claim;
pub use envelope::{Actor, DecodeError, EventBody, Metadata, Position, RecordedEvent, decode};
pub use ids::{
    BillingKeyId, CartId, CartKey, CartKind, ItemId, OrderId, RefundId, SubscriptionId, UserId,
};
pub use money::{DiscountRate, Won};
pub use order_number::OrderNumber;
pub use personal::{Address, DisplayName, Email, Phone, Receiver, ReceiverName, Sealed};
pub use quantity::{Period, Quantity};
pub use text::{ReportNo, Text};

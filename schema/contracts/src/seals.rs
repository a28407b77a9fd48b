//! Where sealed values live: the stream and the field each is bound to when it is sealed.
//!
//! A sealed value opens only under the names it was sealed with, so whoever seals and whoever opens
//! must agree on them. Never changes for stored values: ciphertexts in the log depend on it.

use crate::ids::{BillingKeyId, OrderId, SubscriptionId, UserId};

/// Field of the receiver in orders and subscriptions.
pub const RECEIVER: &str = "receiver";
/// Field of the gateway's one-time token in orders.
pub const PG_TOKEN: &str = "pg_token";
/// Field of the gateway's recurring key beside the log.
pub const SID: &str = "sid";
/// Field of the address a user logs in with.
pub const EMAIL: &str = "email";
/// Field of the name other shoppers see.
pub const DISPLAY_NAME: &str = "display_name";
/// Field of a user's mobile number.
pub const PHONE: &str = "phone";

/// The stream name that an order's sealed values are bound to.
pub fn order_stream(id: OrderId) -> String {
    format!("order/{id}")
}

/// The stream name that a subscription's sealed values are bound to.
pub fn subscription_stream(id: SubscriptionId) -> String {
    format!("subscription/{id}")
}

/// The name that a recurring key's sealed value is bound to; it has no stream.
pub fn billing_key_stream(id: BillingKeyId) -> String {
    format!("billing-key/{id}")
}

/// The stream name that a user's own sealed values are bound to.
pub fn user_stream(id: UserId) -> String {
    format!("user/{id}")
}

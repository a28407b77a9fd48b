//! What happens to a user. Credentials, sessions and keys are tables, not events.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::event_body;
use crate::{DisplayName, Email, Phone, UserId};

use crate::personal::Sealed;

/// What a user may do; an admin may do everything a user may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Role {
    /// Shops.
    User,
    /// Shops and runs the shop.
    Admin,
}

/// Facts about one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserEvent {
    /// Somebody signed up.
    #[serde(rename = "UserRegistered")]
    Registered {
        /// Who, for all time.
        user_id: UserId,
        /// The address they log in with.
        email: Sealed<Email>,
        /// Its keyed digest; claimed, so that it is unique.
        email_digest: String,
        /// The name other shoppers see.
        display_name: Sealed<DisplayName>,
        /// Its keyed digest; claimed, so that it is unique.
        display_name_digest: String,
        /// Their mobile number, if given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phone: Option<Sealed<Phone>>,
        /// Its keyed digest, present when the number is; claimed, so that it is unique.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phone_digest: Option<String>,
        /// What they may do.
        role: Role,
        /// When, by the process's clock.
        registered_at: DateTime<Utc>,
    },
}

event_body!(UserEvent, "user", {
    Registered => "UserRegistered" v 1,
});

//! A user: a person who signed up, and the names that are theirs alone.
//!
//! E-mail, display name and phone are unique among all users: the event of signing up claims their
//! keyed digests in its own transaction. Credentials and sessions are tables beside the log.

#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use contracts::events::{Role, UserEvent};
use contracts::{Claim, DisplayName, Email, Phone, Sealed, UserId};
use serde::{Deserialize, Serialize};

use crate::kernel::{EventSourced, Refusal, RefusalKind};

/// Kind of the claim on an e-mail address.
pub const CLAIM_EMAIL: &str = "user.email";
/// Kind of the claim on a display name.
pub const CLAIM_DISPLAY_NAME: &str = "user.display_name";
/// Kind of the claim on a mobile number.
pub const CLAIM_PHONE: &str = "user.phone";

/// One user, or the absence of one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum User {
    /// Nobody signed up under this id.
    #[default]
    Unregistered,
    /// May log in and shop.
    Registered(Box<RegisteredUser>),
}

/// A user who signed up. Personal data only sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredUser {
    /// Who.
    pub user_id: UserId,
    /// The address they log in with.
    pub email: Sealed<Email>,
    /// Its keyed digest.
    pub email_digest: String,
    /// The name other shoppers see.
    pub display_name: Sealed<DisplayName>,
    /// Their mobile number, if given.
    pub phone: Option<Sealed<Phone>>,
    /// What they may do.
    pub role: Role,
    /// When they signed up.
    pub registered_at: DateTime<Utc>,
}

/// Somebody's mobile number, sealed, and the digest that makes it unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniquePhone {
    /// The number.
    pub sealed: Sealed<Phone>,
    /// Its keyed digest.
    pub digest: String,
}

/// Signs somebody up.
#[derive(Debug, Clone)]
pub struct RegisterUser {
    /// Who; a fresh id from the edge.
    pub user_id: UserId,
    /// The address they log in with.
    pub email: Sealed<Email>,
    /// Its keyed digest.
    pub email_digest: String,
    /// The name other shoppers see.
    pub display_name: Sealed<DisplayName>,
    /// Its keyed digest.
    pub display_name_digest: String,
    /// Their mobile number, if given.
    pub phone: Option<UniquePhone>,
    /// What they may do.
    pub role: Role,
    /// Now.
    pub at: DateTime<Utc>,
}

/// A command to one user; the stream is the user's id.
#[derive(Debug, Clone)]
pub enum UserCommand {
    /// Signs somebody up; no event when the same address did so under this id before.
    RegisterUser(Box<RegisterUser>),
}

/// Why a command to a user was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserRefusal {
    /// Somebody else signed up under this id.
    #[error("the user is registered already")]
    AlreadyRegistered,
}

impl Refusal for UserRefusal {
    fn code(&self) -> &'static str {
        match self {
            Self::AlreadyRegistered => "user.already_registered",
        }
    }

    fn kind(&self) -> RefusalKind {
        match self {
            Self::AlreadyRegistered => RefusalKind::Conflict,
        }
    }
}

impl User {
    /// Who signed up, when somebody did.
    pub fn registered(&self) -> Option<&RegisteredUser> {
        match self {
            Self::Unregistered => None,
            Self::Registered(user) => Some(user),
        }
    }
}

fn registered(command: RegisterUser) -> UserEvent {
    let (phone, phone_digest) = command.phone.map(|phone| (phone.sealed, phone.digest)).unzip();
    UserEvent::Registered {
        user_id: command.user_id,
        email: command.email,
        email_digest: command.email_digest,
        display_name: command.display_name,
        display_name_digest: command.display_name_digest,
        phone,
        phone_digest,
        role: command.role,
        registered_at: command.at,
    }
}

impl EventSourced for User {
    type Body = UserEvent;
    type Order = UserCommand;
    type Refused = UserRefusal;

    fn decide(&self, command: UserCommand) -> Result<Vec<UserEvent>, UserRefusal> {
        let UserCommand::RegisterUser(command) = command;
        match self {
            Self::Unregistered => Ok(vec![registered(*command)]),
            // The same sign-up again, for example after a lost answer.
            Self::Registered(known)
                if known.user_id == command.user_id
                    && known.email_digest == command.email_digest =>
            {
                Ok(Vec::new())
            }
            Self::Registered(_) => Err(UserRefusal::AlreadyRegistered),
        }
    }

    fn evolve(&mut self, event: &UserEvent) {
        let UserEvent::Registered {
            user_id,
            email,
            email_digest,
            display_name,
            display_name_digest: _,
            phone,
            phone_digest: _,
            role,
            registered_at,
        } = event;
        *self = Self::Registered(Box::new(RegisteredUser {
            user_id: *user_id,
            email: email.clone(),
            email_digest: email_digest.clone(),
            display_name: display_name.clone(),
            phone: phone.clone(),
            role: *role,
            registered_at: *registered_at,
        }));
    }

    fn claims(event: &UserEvent) -> Vec<Claim> {
        let UserEvent::Registered { email_digest, display_name_digest, phone_digest, .. } = event;
        let take = |kind, name: &String| Claim::Take { kind, name: name.clone() };
        let mut claims =
            vec![take(CLAIM_EMAIL, email_digest), take(CLAIM_DISPLAY_NAME, display_name_digest)];
        claims.extend(phone_digest.iter().map(|digest| take(CLAIM_PHONE, digest)));
        claims
    }
}

crate::aggregate!(User, UserEvent, UserCommand, UserRefusal);

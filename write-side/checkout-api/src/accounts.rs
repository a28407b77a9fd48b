//! Signing up and logging in.
//!
//! Whose an e-mail address is stands in the unique claims of the log, taken in the transaction of
//! `UserRegistered`; the password hash stands beside the log under the user's id and is written
//! first. So a sign-up is whole or it is nothing: a process that dies in between leaves a row that
//! no address leads to.
//!
//! A login costs the same for an address without an account as for a wrong password.

mod credentials;
mod password;

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use contracts::{Actor, DisplayName, Email, Phone, Position, UserId, events, seals};
use domain::user::{CLAIM_EMAIL, RegisterUser, UniquePhone, User, UserCommand};
use event_store::{CommandContext, DispatchError, Executor, PgEventStore, StoreError};
use service_kit::clock::SharedClock;
use service_kit::config::Secret;
use service_kit::digest::Pepper;
use service_kit::http::{AddressLimit, Limit};
use service_kit::problem::Problem;
use service_kit::security::{self, Who};
use service_kit::tokens::{Role, TokenSigner};
use service_kit::vault::{Vault, VaultError};
use uuid::Uuid;

pub(crate) use self::credentials::{Credentials, CredentialsError};
pub(crate) use self::password::{HashError, Password, PasswordHashes};
use crate::metrics;
use crate::problems;
use crate::shop::metadata_of;

/// Somebody who wants an account.
#[derive(Debug)]
pub(crate) struct NewUser {
    pub(crate) email: Email,
    pub(crate) password: Password,
    pub(crate) display_name: DisplayName,
    pub(crate) phone: Option<Phone>,
    pub(crate) role: Role,
}

/// Somebody has an account.
#[derive(Debug)]
pub(crate) struct SignedUp {
    pub(crate) user_id: UserId,
    pub(crate) position: Option<Position>,
}

/// Somebody proved who they are.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    pub(crate) user_id: UserId,
    pub(crate) access_token: Secret,
    pub(crate) expires_at: DateTime<Utc>,
}

/// The limits of those who have not proved yet who they are.
#[derive(Debug)]
pub(crate) struct AccountLimits {
    /// Sign-ups from an address.
    pub(crate) sign_ups: AddressLimit,
    /// Logins from an address.
    pub(crate) logins: AddressLimit,
    /// Logins to an account, by the digest of its address. The count that outlives the process stands
    /// beside the password hash; unknown accounts are counted like known ones.
    pub(crate) account_logins: Limit<String>,
}

/// Makes accounts and lets people in.
pub(crate) struct Accounts {
    pub(crate) users: Executor<User>,
    pub(crate) store: Arc<PgEventStore>,
    pub(crate) credentials: Credentials,
    pub(crate) hashes: PasswordHashes,
    pub(crate) limits: AccountLimits,
    pub(crate) vault: Vault,
    pub(crate) pepper: Pepper,
    pub(crate) tokens: TokenSigner,
    pub(crate) clock: SharedClock,
}

impl Accounts {
    /// Makes an account. E-mail, display name and phone are each somebody's alone.
    pub(crate) async fn sign_up(
        &self,
        person: NewUser,
        address: Option<IpAddr>,
    ) -> Result<SignedUp, Problem> {
        let place = self.limits.sign_ups.check(address).and_then(|()| {
            self.hashes.enter(address).map_err(|error| problems::of_hash(&error, "user.throttled"))
        });
        let place =
            place.inspect_err(|_refused| security::log("sign_up", "throttled", Who::Unknown))?;
        let digest = self.email_digest(&person.email);
        // Asked before the costly part; the claim at the append is what decides.
        if self.holder_of(&digest).await.map_err(|error| problems::of_store(&error))?.is_some() {
            return Err(problems::of_claim(CLAIM_EMAIL));
        }
        let user_id = UserId::new(Uuid::now_v7());
        let role = person.role;
        let hash = self.hashes.hash(place, person.password.clone()).await;
        let hash = hash.map_err(|error| problems::of_hash(&error, "user.throttled"))?;
        let command = self.registration(user_id, person).await;
        let command = command.map_err(|error| problems::of_vault(&error))?;
        self.credentials
            .prepare(user_id, &hash, role, command.at)
            .await
            .map_err(|error| problems::of_credentials(&error))?;
        let context = CommandContext::new(metadata_of(Actor::User(user_id), None));
        let command = UserCommand::RegisterUser(Box::new(command));
        match self.users.dispatch(user_id.uuid(), command, context).await {
            Ok(recorded) => {
                metrics::sign_up();
                security::log("sign_up", "done", Who::User(user_id));
                Ok(SignedUp { user_id, position: recorded.position })
            }
            Err(error) => {
                // While the outcome is unknown the row stays: it may have an owner.
                if !matches!(error, DispatchError::Store(StoreError::OutcomeUnknown)) {
                    self.take_back(user_id).await;
                }
                Err(problems::of_dispatch(error))
            }
        }
    }

    /// Lets somebody in who knows an account's password.
    pub(crate) async fn log_in(
        &self,
        email: &str,
        password: Secret,
        address: Option<IpAddr>,
    ) -> Result<LoggedIn, Problem> {
        throttled(self.limits.logins.check(address), Who::Unknown)?;
        // What is no address has no account; it goes the same way all the same.
        let digest = match Email::parse(email) {
            Ok(email) => self.email_digest(&email),
            Err(_) => self.pepper.digest("no-email", email),
        };
        throttled(self.limits.account_logins.check(&digest), Who::Digest(&digest))?;
        // Before the database is asked: what finds no place costs nothing.
        let place = self.hashes.enter(address);
        let place = place.map_err(|error| problems::of_hash(&error, "auth.throttled"));
        let place = throttled(place, Who::Digest(&digest))?;
        let holder = self.holder_of(&digest).await.map_err(|error| problems::of_store(&error))?;
        let who = holder.map_or(Who::Digest(&digest), Who::User);
        let user_id = holder.unwrap_or(UserId::new(Uuid::nil()));
        let failed = |error| problems::of_credentials(&error);
        let credential = self.credentials.of(user_id).await.map_err(failed)?;
        let now = self.clock.now();
        if let Some(pause) = credential.as_ref().and_then(|it| it.pause_at(now)) {
            metrics::login("throttled");
            security::log("login", "locked", who);
            return Err(Problem::too_many("auth.locked", "too many wrong passwords", pause));
        }
        let stored = credential.as_ref().and_then(|it| it.password_hash.clone());
        let is_right = self.hashes.is_right(place, password, stored).await;
        let is_right = is_right.map_err(|error| problems::of_hash(&error, "auth.throttled"))?;
        let Some(credential) = credential.filter(|_| is_right) else {
            // For an account that isn't there the same statement changes no row.
            self.credentials.record_failure(user_id, now).await.map_err(failed)?;
            metrics::login("wrong");
            security::log("login", "wrong", who);
            return Err(wrong_credentials());
        };
        if credential.has_failures {
            self.credentials.record_success(user_id).await.map_err(failed)?;
        }
        let token = self
            .tokens
            .issue(user_id, credential.role, now)
            .map_err(|error| Problem::internal(&error))?;
        metrics::login("right");
        if credential.role == Role::Admin {
            security::log("administrator_login", "done", who);
        }
        Ok(LoggedIn { user_id, access_token: token.token, expires_at: token.expires_at })
    }

    /// The role of whoever has this address, if somebody has.
    pub(crate) async fn role_of(&self, email: &Email) -> Result<Option<Role>, Problem> {
        let holder = self.holder_of(&self.email_digest(email)).await;
        let Some(user_id) = holder.map_err(|error| problems::of_store(&error))? else {
            return Ok(None);
        };
        let credential = self.credentials.of(user_id).await;
        Ok(credential.map_err(|error| problems::of_credentials(&error))?.map(|it| it.role))
    }

    fn email_digest(&self, email: &Email) -> String {
        self.pepper.digest("email", email.expose())
    }

    async fn holder_of(&self, email_digest: &str) -> Result<Option<UserId>, StoreError> {
        Ok(self.store.lookup_claim(CLAIM_EMAIL, email_digest).await?.map(UserId::new))
    }

    /// The command that signs `person` up, with everything personal sealed under a fresh key.
    async fn registration(
        &self,
        user_id: UserId,
        person: NewUser,
    ) -> Result<RegisterUser, VaultError> {
        self.vault.create_user_key(user_id).await?;
        let stream = seals::user_stream(user_id);
        let NewUser { email, password: _, display_name, phone, role } = person;
        let phone = match phone {
            None => None,
            Some(phone) => Some(UniquePhone {
                sealed: self.vault.seal(user_id, &stream, seals::PHONE, &phone).await?,
                digest: self.pepper.digest("phone", phone.expose()),
            }),
        };
        // Names that differ in case alone would be mistaken for each other.
        let spoken = display_name.expose().to_lowercase();
        Ok(RegisterUser {
            user_id,
            email_digest: self.email_digest(&email),
            email: self.vault.seal(user_id, &stream, seals::EMAIL, &email).await?,
            display_name_digest: self.pepper.digest("display_name", &spoken),
            display_name: self
                .vault
                .seal(user_id, &stream, seals::DISPLAY_NAME, &display_name)
                .await?,
            phone,
            role: match role {
                Role::User => events::Role::User,
                Role::Admin => events::Role::Admin,
            },
            at: self.clock.now(),
        })
    }

    /// Removes what a refused sign-up had prepared. What stays behind is harmless, so a failure is
    /// only told.
    async fn take_back(&self, user_id: UserId) {
        if let Err(error) = self.credentials.remove(user_id).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a refused sign-up leaves its credentials behind"
            );
        }
        if let Err(error) = self.vault.destroy_user_key(user_id).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a refused sign-up leaves its key behind"
            );
        }
    }
}

fn wrong_credentials() -> Problem {
    Problem::unauthenticated("auth.wrong_credentials", "e-mail address or password is wrong")
}

/// Counts a refused login among the others.
fn throttled<T>(checked: Result<T, Problem>, who: Who<'_>) -> Result<T, Problem> {
    checked.inspect_err(|_refused| {
        metrics::login("throttled");
        security::log("login", "throttled", who);
    })
}

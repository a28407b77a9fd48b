//! Making the first administrator, from the command line: no HTTP request makes one.

use contracts::{DisplayName, Email, UserId};
use service_kit::clock::SystemClock;
use service_kit::config::Secret;
use service_kit::problem::Problem;
use service_kit::tokens::Role;

use crate::accounts::{NewUser, Password};
use crate::config::CheckoutConfig;
use crate::run::{RunError, open_accounts, open_pool};

/// An administrator to be made.
#[derive(Debug, Clone)]
pub struct NewAdmin {
    /// To log in with.
    pub email: String,
    /// To log in with; 8 to 64 characters with a letter, a digit and one of `!@#$%^+=-`.
    pub password: Secret,
    /// The name other people see, 2 to 20 characters.
    pub display_name: String,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminCreated {
    /// The administrator was made.
    Now(UserId),
    /// An administrator with this address was there; the password was left as it is.
    Before,
}

/// Why no administrator was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateAdminError {
    /// The parts could not be put together.
    #[error("prepare to make an administrator")]
    Prepare(#[from] RunError),
    /// Address, password or name break their rule.
    #[error("{0}")]
    Invalid(&'static str),
    /// The address belongs to a shopper.
    #[error("the e-mail address belongs to somebody who is no administrator")]
    TakenByShopper,
    /// The account was refused, or the database gave no answer.
    #[error("make the account")]
    Refused(#[source] Problem),
}

/// Makes an administrator, unless there is one with this address.
///
/// # Errors
/// [`CreateAdminError`].
pub async fn create_admin(
    config: &CheckoutConfig,
    admin: NewAdmin,
) -> Result<AdminCreated, CreateAdminError> {
    let invalid = CreateAdminError::Invalid;
    let email = Email::parse(&admin.email).map_err(|_rule| invalid("not an e-mail address"))?;
    let password = Password::parse(admin.password.expose()).map_err(|_rule| {
        invalid("a password has 8 to 64 characters, with a letter, a digit and one of !@#$%^+=-")
    })?;
    let display_name = DisplayName::parse(&admin.display_name)
        .map_err(|_rule| invalid("a display name has 2 to 20 characters"))?;
    let pool = open_pool(config).map_err(RunError::from)?;
    let clock = SystemClock::shared();
    let accounts = open_accounts(config, &pool, &clock).await?;
    match accounts.role_of(&email).await.map_err(CreateAdminError::Refused)? {
        Some(Role::Admin) => return Ok(AdminCreated::Before),
        Some(Role::User) => return Err(CreateAdminError::TakenByShopper),
        None => {}
    }
    let person = NewUser { email, password, display_name, phone: None, role: Role::Admin };
    let made = accounts.sign_up(person, None).await.map_err(CreateAdminError::Refused)?;
    Ok(AdminCreated::Now(made.user_id))
}

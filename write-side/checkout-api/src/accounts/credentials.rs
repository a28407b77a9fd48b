//! The table of credentials: password hashes, roles, and how often somebody guessed wrong.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::UserId;
use deadpool_postgres::Pool;
use service_kit::tokens::Role;

/// Wrong passwords in a row that cost nothing; people mistype.
const FREE_FAILURES: i32 = 10;
/// The longest pause is 2 to the power of this, in seconds: about a quarter of an hour.
const PAUSE_EXPONENT_MAX: i32 = 10;

/// What is known about how a user logs in.
#[derive(Debug, Clone)]
pub(crate) struct Credential {
    /// The PHC string; none for an account without a password.
    pub(crate) password_hash: Option<String>,
    /// What the user may do.
    pub(crate) role: Role,
    /// Whether the last password was wrong.
    pub(crate) has_failures: bool,
    locked_until: Option<DateTime<Utc>>,
}

impl Credential {
    /// How long no password is looked at yet.
    pub(crate) fn pause_at(&self, now: DateTime<Utc>) -> Option<Duration> {
        let until = self.locked_until?;
        until
            .signed_duration_since(now)
            .max(TimeDelta::zero())
            .to_std()
            .ok()
            .filter(|p| !p.is_zero())
    }
}

/// Why the table could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialsError {
    /// No connection within its time.
    #[error("reach the credentials")]
    Away(#[from] deadpool_postgres::PoolError),
    /// The statement failed.
    #[error("read or write the credentials")]
    Statement(#[from] tokio_postgres::Error),
    /// A role that this build doesn't know.
    #[error("the role {0:?} is not known")]
    Role(String),
}

/// The table of credentials. Clones share the pool.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pool: Pool,
}

impl Credentials {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// Prepares a sign-up: the row opens nothing until the user's e-mail is claimed for them.
    pub(crate) async fn prepare(
        &self,
        user: UserId,
        password_hash: &str,
        role: Role,
        at: DateTime<Utc>,
    ) -> Result<(), CredentialsError> {
        let role = match role {
            Role::User => "USER",
            Role::Admin => "ADMIN",
        };
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(include_str!("sql/insert.sql")).await?;
        client.execute(&statement, &[&user.uuid(), &password_hash, &role, &at]).await?;
        Ok(())
    }

    /// Takes back what [`Self::prepare`] wrote, after the sign-up was refused.
    pub(crate) async fn remove(&self, user: UserId) -> Result<(), CredentialsError> {
        let client = self.pool.get().await?;
        client.execute(include_str!("sql/remove.sql"), &[&user.uuid()]).await?;
        Ok(())
    }

    /// How `user` logs in; `None` for nobody. Asks the database for a nobody as well.
    pub(crate) async fn of(&self, user: UserId) -> Result<Option<Credential>, CredentialsError> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(include_str!("sql/read.sql")).await?;
        let Some(row) = client.query_opt(&statement, &[&user.uuid()]).await? else {
            return Ok(None);
        };
        let role: String = row.try_get("role")?;
        Ok(Some(Credential {
            password_hash: row.try_get("password_hash")?,
            role: match role.as_str() {
                "USER" => Role::User,
                "ADMIN" => Role::Admin,
                _ => return Err(CredentialsError::Role(role)),
            },
            has_failures: 0 < row.try_get::<_, i32>("failed_logins")?,
            locked_until: row.try_get("locked_until")?,
        }))
    }

    /// Counts a wrong password; past the free ones each is followed by a longer pause.
    pub(crate) async fn record_failure(
        &self,
        user: UserId,
        at: DateTime<Utc>,
    ) -> Result<(), CredentialsError> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(include_str!("sql/record_failure.sql")).await?;
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&user.uuid(), &at, &FREE_FAILURES, &PAUSE_EXPONENT_MAX];
        client.execute(&statement, &params).await?;
        Ok(())
    }

    /// Forgets wrong passwords after a right one.
    pub(crate) async fn record_success(&self, user: UserId) -> Result<(), CredentialsError> {
        let client = self.pool.get().await?;
        client.execute(include_str!("sql/record_success.sql"), &[&user.uuid()]).await?;
        Ok(())
    }
}

//! The database's roles, and a login for each process, as `ops/runbooks/database-roles.md` tells
//! operators to make them.

use tokio_postgres::Client;

use crate::error::BoxError;

/// The group roles, made before the first migration.
const GROUPS: &str = include_str!("../../../schema/roles.sql");
/// The password of every login on a server for tests.
const TEST_PASSWORD: &str = "pillivery-tests";

/// Who logs in. Each is a member of the group role of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Login {
    /// `migrator`.
    Migrator,
    /// `checkout-api`.
    Writer,
    /// `worker`.
    Worker,
    /// `projector`.
    Projector,
    /// `storefront-api`.
    Reader,
}

impl Login {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Migrator, Self::Writer, Self::Worker, Self::Projector, Self::Reader];

    /// The group role that has the rights.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Migrator => "pillivery_migrator",
            Self::Writer => "pillivery_writer",
            Self::Worker => "pillivery_worker",
            Self::Projector => "pillivery_projector",
            Self::Reader => "pillivery_reader",
        }
    }

    fn name(self) -> String {
        format!("{}_login", self.group())
    }

    fn url(self, url: &str, password: &str) -> String {
        let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
        let address = rest.rsplit_once('@').map_or(rest, |(_login, address)| address);
        format!("{scheme}://{}:{password}@{address}", self.name())
    }
}

/// The logins of a private server, each with a password of its own.
#[derive(Clone)]
pub struct Logins([String; Login::ALL.len()]);

impl Logins {
    /// Makes the roles, and gives each login a new password.
    pub(crate) async fn make(
        client: &Client,
        password: impl Fn() -> String,
    ) -> Result<Self, BoxError> {
        client.batch_execute(GROUPS).await?;
        let passwords = Login::ALL.map(|_| password());
        for (login, password) in Login::ALL.into_iter().zip(&passwords) {
            make_login(client, login, password).await?;
        }
        Ok(Self(passwords))
    }

    /// `url` with this login instead of the one it has.
    pub fn url(&self, login: Login, url: &str) -> String {
        let known = Login::ALL.into_iter().zip(&self.0).find(|(known, _)| *known == login);
        login.url(url, known.map_or("", |(_, password)| password))
    }

    /// The passwords, which no log may hold.
    pub fn passwords(&self) -> &[String] {
        &self.0
    }
}

impl std::fmt::Debug for Logins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Logins(***)")
    }
}

/// Makes the roles and logins of a server for tests.
pub(crate) async fn make_for_tests(client: &Client) -> Result<(), BoxError> {
    client.batch_execute(GROUPS).await?;
    for login in Login::ALL {
        make_login(client, login, TEST_PASSWORD).await?;
    }
    Ok(())
}

/// The URL of a test's database, or of a proxy before it, with this login.
pub fn url_as(login: Login, url: &str) -> String {
    login.url(url, TEST_PASSWORD)
}

async fn make_login(client: &Client, login: Login, password: &str) -> Result<(), BoxError> {
    let (name, group) = (login.name(), login.group());
    let known = client.query_opt("select 1 from pg_roles where rolname = $1", &[&name]).await?;
    if known.is_none() {
        client.batch_execute(&format!("create role {name} login in role {group}")).await?;
    }
    client.batch_execute(&format!("alter role {name} password '{password}'")).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_takes_the_place_of_the_one_in_the_url() {
        for url in ["postgres://boss@127.0.0.1:5/t", "postgres://boss:p@127.0.0.1:5/t"] {
            let expected = "postgres://pillivery_reader_login:pillivery-tests@127.0.0.1:5/t";
            assert_eq!(url_as(Login::Reader, url), expected);
        }
    }
}

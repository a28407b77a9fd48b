//! A private, durable PostgreSQL for one measurement, and the programs that come with it.

use std::path::PathBuf;

use tempfile::TempDir;
use testkit::{Durability, PrivatePostgres};

/// Any reason why a measurement could not be made.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// PostgreSQL with its own defaults about durability, on a directory that goes with it.
#[derive(Debug)]
pub struct World {
    /// The server.
    pub postgres: PrivatePostgres,
    _dir: TempDir,
}

impl World {
    /// Starts one.
    ///
    /// # Errors
    /// PostgreSQL is not installed or does not start.
    pub async fn start() -> Result<Self, BoxError> {
        let dir = tempfile::Builder::new().prefix("pillivery-bench-").tempdir()?;
        let postgres = PrivatePostgres::start(dir.path(), 0, Durability::Durable).await?;
        Ok(Self { postgres, _dir: dir })
    }

    /// A fresh, migrated database; its URL.
    ///
    /// # Errors
    /// The server refuses, or a migration fails.
    pub async fn database(&self, name: &str) -> Result<String, BoxError> {
        let url = self.postgres.database(name).await?;
        migrator::up(&url).await?;
        Ok(url)
    }

    /// Runs SQL on `url`, and returns the first column of the first row, if there is one.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn ask(url: &str, sql: &str) -> Result<Option<String>, BoxError> {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
        let driver = tokio::spawn(connection);
        let messages = client.simple_query(sql).await?;
        drop(client);
        driver.await??;
        Ok(messages.into_iter().find_map(|message| {
            let tokio_postgres::SimpleQueryMessage::Row(row) = message else { return None };
            row.get(0).map(str::to_owned)
        }))
    }
}

/// The path of a program that comes with PostgreSQL, such as `pgbench`.
///
/// # Errors
/// It is neither on the path nor where Debian puts it.
pub fn program(name: &str) -> Result<PathBuf, BoxError> {
    let on_path = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let mut debian: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    debian.sort();
    debian
        .into_iter()
        .rev()
        .chain(on_path)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| format!("find the program {name}").into())
}

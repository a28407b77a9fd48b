//! Statements that are prepared once per connection, and again when the read models changed under them.
//!
//! `projector switch` may serve a version whose columns have other types. A statement that was prepared
//! before then fails with `0A000` (cached plan must not change result type) for as long as its
//! connection lives. So it is forgotten and prepared once more.

use deadpool_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

/// The rows that `text` finds with `parameters`.
///
/// # Errors
/// The database is unavailable or refuses the statement.
pub(crate) async fn query(
    client: &Client,
    text: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Error> {
    let statement = client.prepare_cached(text).await?;
    match client.query(&statement, parameters).await {
        Err(error) if error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED) => {
            client.statement_cache.remove(text, &[]);
            let statement = client.prepare_cached(text).await?;
            client.query(&statement, parameters).await
        }
        answered => answered,
    }
}

/// As [`query`], of a statement that finds one row at most.
///
/// # Errors
/// As [`query`].
pub(crate) async fn query_opt(
    client: &Client,
    text: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Option<Row>, Error> {
    Ok(query(client, text, parameters).await?.into_iter().next())
}

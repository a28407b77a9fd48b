//! Why a question could not be answered, how long one may take, and what the client is told.

use std::error::Error;
use std::io;
use std::time::Duration;

use contracts::money::NegativeAmount;
use deadpool_postgres::{PoolError, TimeoutType};
use service_kit::fault::Fault;
use service_kit::problem::Problem;
use service_kit::vault::VaultError;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;

/// Longest wait for an answer of the database: for a connection and for its statements. A network
/// that carries nothing any more is noticed here and not by the server's own limit.
pub(crate) const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

/// What `read` finds, or [`ReadError::Silence`] after [`ANSWER_WAIT_MAX`].
pub(crate) async fn bounded<T>(
    read: impl Future<Output = Result<T, ReadError>>,
) -> Result<T, ReadError> {
    timeout(ANSWER_WAIT_MAX, read).await.unwrap_or(Err(ReadError::Silence))
}

/// A read that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// No connection within the pool's bounds.
    #[error("get a database connection")]
    Connection(#[from] PoolError),
    /// So many builds are under way that one more would only wait.
    #[error("begin another build")]
    Crowded,
    /// The database did not answer within [`ANSWER_WAIT_MAX`].
    #[error("hear from the database in time")]
    Silence,
    /// The database refused or lost the statement.
    #[error("query the read models")]
    Query(#[from] tokio_postgres::Error),
    /// A row holds a document of another shape than its projection writes.
    #[error("read a document of the read models")]
    Document(#[from] serde_json::Error),
    /// A row holds an amount that is no amount.
    #[error("read an amount of the read models")]
    Amount(#[from] NegativeAmount),
    /// Personal data could not be opened, for another reason than that its key was destroyed.
    #[error("open personal data")]
    Vault(#[from] VaultError),
}

impl ReadError {
    /// Whether the database is away, rather than this question too dear or the pool too small.
    pub(crate) fn is_outage(&self) -> bool {
        let is_load = match self {
            Self::Connection(error) => matches!(error, PoolError::Timeout(TimeoutType::Wait)),
            Self::Query(error) => error.code() == Some(&SqlState::QUERY_CANCELED),
            Self::Crowded => true,
            Self::Silence | Self::Document(_) | Self::Amount(_) | Self::Vault(_) => false,
        };
        !is_load && self.is_passing()
    }

    /// Whether the database is away or overloaded, so that the same question may be answered later.
    fn is_passing(&self) -> bool {
        match self {
            Self::Connection(_)
            | Self::Crowded
            | Self::Silence
            | Self::Vault(VaultError::Keys(_)) => true,
            Self::Query(error) => match error.code() {
                Some(state) => is_passing_state(state),
                None => {
                    error.is_closed() || error.source().is_some_and(<dyn Error>::is::<io::Error>)
                }
            },
            Self::Document(_) | Self::Amount(_) | Self::Vault(_) => false,
        }
    }
}

/// Statement timeout, shutdown, too many connections, serialization: not the question's fault.
fn is_passing_state(state: &SqlState) -> bool {
    let class = state.code().get(..2);
    matches!(class, Some("08" | "40" | "53" | "57" | "58"))
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        if error.is_passing() {
            static FAULT: Fault = Fault::new();
            if let Some(failures) = FAULT.occurred() {
                tracing::warn!(error = &error as &dyn Error, failures, "read models out of reach");
            }
            return Problem::unavailable(
                "storefront.unavailable",
                "the shop window is out of reach; try again in a moment",
            );
        }
        Problem::internal(&error)
    }
}

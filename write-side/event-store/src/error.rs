//! Why something was not recorded. A refusal is the business speaking; the rest is told apart by
//! what the caller should do: ask again, read again, or give up.

use contracts::DecodeError;

/// Why the store gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, busy or slow. Nothing was written.
    #[error("reach the event store")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The connection broke during the commit and could not be replaced in time: the events may or
    /// may not be there. Asking again under the same idempotency key tells.
    #[error("learn whether the events were recorded")]
    OutcomeUnknown,
    /// A stored event cannot be read by this build.
    #[error("read a stored event")]
    Decode(#[from] DecodeError),
    /// The log holds what nothing of ours writes.
    #[error("trust the stream {stream}: {what}")]
    Corrupt {
        /// The stream, as `type/id`.
        stream: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The database refused a statement.
    #[error("run a statement of the event store")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store's settings cannot be used.
    #[error("open the event store")]
    Settings,
}

impl StoreError {
    /// Whether a stored event is the reason: this build cannot read it, or the log holds what nothing
    /// of ours writes. Trying again ends in the same way.
    ///
    /// False for everything the database refuses (a full disk, a server that became read-only, a
    /// missing right or function during a deployment): that passes, so the work is to be done later.
    pub const fn is_undecodable(&self) -> bool {
        matches!(self, Self::Decode(_) | Self::Corrupt { .. })
    }

    /// Whether trying again later may help without anybody changing anything.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::OutcomeUnknown)
    }
}

/// Why an append wrote nothing.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The stream is not at the expected version.
    #[error("the stream is at another version")]
    Conflict,
    /// Another stream holds a name that this one asks for.
    #[error("the name is taken")]
    ClaimTaken {
        /// What sort of name.
        kind: String,
        /// The name, or its keyed digest.
        name: String,
    },
    /// The idempotency key was used for another request.
    #[error("the idempotency key belongs to another request")]
    KeyReused,
    /// The store gave no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError<R: std::error::Error + 'static> {
    /// The aggregate refused it.
    #[error(transparent)]
    Refused(R),
    /// The aggregate is not at the version the caller expects.
    #[error("the aggregate is at version {current}")]
    Stale {
        /// The version it is at.
        current: u64,
    },
    /// Others kept changing the aggregate until the retries were used up.
    #[error("others keep changing the aggregate")]
    Conflict,
    /// Another stream holds a name that the command asks for.
    #[error("the name is taken")]
    ClaimTaken {
        /// What sort of name, for example `user.email`.
        kind: String,
        /// The name, or its keyed digest.
        name: String,
    },
    /// The idempotency key was used for another request.
    #[error("the idempotency key belongs to another request")]
    KeyReused,
    /// The store gave no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<R: std::error::Error + 'static> From<AppendError> for DispatchError<R> {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict => Self::Conflict,
            AppendError::ClaimTaken { kind, name } => Self::ClaimTaken { kind, name },
            AppendError::KeyReused => Self::KeyReused,
            AppendError::Store(error) => Self::Store(error),
        }
    }
}

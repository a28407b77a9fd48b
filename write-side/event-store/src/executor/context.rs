//! What surrounds a command on its way through the executor.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use contracts::Metadata;
use domain::EventSourced;
use serde_json::Value;

/// Turns what a command did into the answer that its repetition will get.
pub type Respond<A> = Arc<dyn Fn(&A, &[<A as EventSourced>::Body]) -> Value + Send + Sync>;

/// What surrounds a command.
pub struct CommandContext<A: EventSourced> {
    /// Who and why; stored with every event.
    pub metadata: Metadata,
    /// Makes the command idempotent under a key.
    pub receipt: Option<ReceiptKey>,
    /// The answer to store in the receipt; JSON null without one.
    pub respond: Option<Respond<A>>,
    /// The version the caller has seen (If-Match): at any other the command is not carried out.
    pub expected_version: Option<u64>,
    /// The aggregate has come at least this far: nothing is decided on an older memory.
    pub known_version: u64,
}

impl<A: EventSourced> CommandContext<A> {
    /// Without a key and without an expected version.
    pub fn new(metadata: Metadata) -> Self {
        Self { metadata, receipt: None, respond: None, expected_version: None, known_version: 0 }
    }

    /// Under an idempotency key.
    #[must_use]
    pub fn with_receipt(mut self, receipt: ReceiptKey) -> Self {
        self.receipt = Some(receipt);
        self
    }

    /// With an answer to keep: `respond` sees the state after the events, and the events.
    #[must_use]
    pub fn answering(
        mut self,
        respond: impl Fn(&A, &[A::Body]) -> Value + Send + Sync + 'static,
    ) -> Self {
        self.respond = Some(Arc::new(respond));
        self
    }

    /// Only at this version.
    #[must_use]
    pub fn at_version(mut self, version: u64) -> Self {
        self.expected_version = Some(version);
        self
    }

    /// For a command that follows from the event with which the aggregate came to `version`.
    #[must_use]
    pub fn knowing(mut self, version: u64) -> Self {
        self.known_version = version;
        self
    }
}

impl<A: EventSourced> Clone for CommandContext<A> {
    fn clone(&self) -> Self {
        Self {
            metadata: self.metadata.clone(),
            receipt: self.receipt.clone(),
            respond: self.respond.clone(),
            expected_version: self.expected_version,
            known_version: self.known_version,
        }
    }
}

impl<A: EventSourced> fmt::Debug for CommandContext<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandContext")
            .field("metadata", &self.metadata)
            .field("receipt", &self.receipt)
            .field("expected_version", &self.expected_version)
            .finish_non_exhaustive()
    }
}

/// The key under which a command is carried out once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptKey {
    /// Whose keys: usually the operation and the user.
    pub scope: String,
    /// The client's key.
    pub key: String,
    /// Hex digest of the request.
    pub request_digest: String,
    /// How long the answer is kept at least.
    pub keep_for: Duration,
}

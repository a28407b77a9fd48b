//! Names that only one stream may hold, taken and given back in the transaction of the event.

/// A unique name that an event takes for its stream, or gives back.
///
/// Personal names (e-mail, phone, display name) are claimed by their keyed digest, never in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Fails the whole append when another stream holds (`kind`, `name`).
    Take {
        /// What sort of name, for example `user.email`.
        kind: &'static str,
        /// The name, or its keyed digest.
        name: String,
    },
    /// Gives (`kind`, `name`) back if this stream holds it.
    Release {
        /// What sort of name.
        kind: &'static str,
        /// The name, or its keyed digest.
        name: String,
    },
}

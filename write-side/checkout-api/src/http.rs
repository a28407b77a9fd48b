//! What handlers take from a request besides its body, and what they give back besides theirs.

mod fields;
mod idempotency;
mod precondition;

pub(crate) use fields::Fields;
pub(crate) use idempotency::{IdempotencyKey, OptionalKey, REPLAYED, RequiredKey};
pub(crate) use precondition::{IfMatch, etag};

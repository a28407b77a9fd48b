//! The projector against a real PostgreSQL: following, rebuilding, verifying, switching.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod following;
mod history;
mod lagging;
mod ledger;
mod parking;
mod rebuild_equals_live;
mod schema;
mod signals;
mod support;
mod switching;
mod verifying;

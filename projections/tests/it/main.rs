//! The projector against a real PostgreSQL: following, rebuilding, verifying, switching.

mod following;
mod history;
mod parking;
mod rebuild_equals_live;
mod schema;
mod support;
mod switching;
mod verifying;

//! Read models: what the shop shows, folded from the log and rebuilt from it at will.
//!
//! A [`Projection`] is a name, its tables, the events it reads and a pure fold. Around the folds this
//! crate has one engine: [`run`] follows the log batch by batch, checkpoint and rows in one
//! transaction; [`rebuild`] makes a new version beside the served one and switches in one short
//! transaction; [`verify`] compares a version with a replay, row by row. All three fold with the same
//! code, so a model rebuilt from nothing equals the one that was followed.
//!
//! It reads no clock for what it stores, draws no random number and calls nobody: the same log gives
//! the same rows. Bookkeeping and the tables of version 1 stand in the migration
//! `V003__read_models.sql`; queries go through views and know no version.

mod batch;
pub mod cell;
pub mod cli;
mod config;
pub mod documents;
mod error;
mod hints;
mod lease;
pub mod metrics;
pub mod models;
mod parked;
pub mod projection;
mod rebuild;
mod replay;
mod run;
mod status;
mod switching;
mod tables;
mod verify;
mod versions;
mod worker;
mod working;

pub use batch::PARKED_STREAMS_MAX;
pub use config::{ProjectorConfig, VARIABLES};
pub use error::ProjectionError;
pub use hints::Positions;
pub use parked::{
    LISTED_MAX, NewlyParkedEvents, ParkedEvent, Retried, give_up, given_up, parked, retry,
};
pub use projection::Projection;
pub use rebuild::{
    Checked, DOCUMENTS_MAX, NewlyParked, Progress, RebuildOptions, RebuildReport, rebuild,
    rebuild_with,
};
pub use run::{RunError, run, run_with};
pub use status::{VersionStatus, status};
pub use switching::{Switched, retire, rollback, switch};
pub use verify::{DIFFERENCES_SHOWN_MAX, Difference, VerifyReport, verify, verify_version};
pub use versions::{State, Version, ensure_tables};

/// The names of all read models.
pub fn names() -> Vec<&'static str> {
    models::MODELS.into_iter().map(working::Model::name).collect()
}

/// The read model with this name, or an error that names those there are.
fn find(name: &str) -> Result<&'static dyn working::Model, ProjectionError> {
    models::model(name).ok_or_else(|| ProjectionError::UnknownProjection {
        name: name.to_owned(),
        known: names().join(", "),
    })
}

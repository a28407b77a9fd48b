//! How answers travel: finished bodies with their tags, and what a request says it has already.

mod answer;
mod client_address;
mod conditions;
mod finished;

pub(crate) use answer::{Catalogue, Own};
pub(crate) use client_address::client_address;
pub(crate) use conditions::Conditions;
pub(crate) use finished::Finished;

//! The house rules, as functions from what is there to what is wrong with it.
//!
//! [`dependencies`] holds the rule of who may use whom, over a plain list of edges; [`texts`] holds
//! what no file may say and how long a document may be. The tests of this crate run both over the
//! workspace, and over made-up violations to show that they would be seen.

pub mod dependencies;
pub mod texts;

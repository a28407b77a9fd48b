//! KakaoPay with a memory, a pay page and a fault script.
//!
//! Answers the seven calls of the online payment API as far as it is documented, lets a shopper
//! (or a test) press the buttons of a pay page, and goes wrong on demand: after committing,
//! before committing, slowly, or with half an answer. `GET /__sim/ledger` tells what it believes
//! was charged, and that is what a shop's books must agree with.
//!
//! Where KakaoPay's behaviour is unknown it is a setting of [`SimConfig`] or [`SimSettings`].

mod answers;
mod calls;
mod clock;
mod config;
mod disturbance;
mod faults;
mod fields;
mod hold;
mod issuer;
mod journal;
mod ledger;
mod model;
mod past;
mod pay_page;
mod plan;
mod refusal;
mod routes;
mod server;
mod settings;
mod sim;
mod wire;
mod world;

pub use crate::clock::{ClockChange, SimClock};
pub use crate::config::{CidConfig, CidKind, SimConfig, SimError};
pub use crate::faults::{Fault, FaultRule, FaultScript, Latency, Operation, When};
pub use crate::hold::{Hold, HoldPoint};
pub use crate::ledger::{CallCounts, Cancel, Charge, Ledger, LedgerSid, RefusedCancel, Totals};
pub use crate::model::{Method, Status};
pub use crate::pay_page::{NotAPayAction, PayAction};
pub use crate::server::{SimHandle, Simulator, run};
pub use crate::settings::{PendingWord, SimSettings, UnknownStatus};

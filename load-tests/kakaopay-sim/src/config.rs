//! How a simulator is set up. Everything undocumented about KakaoPay is a setting here; what can be
//! changed while it runs is in [`SimSettings`].

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use service_kit::clock::{SharedClock, SystemClock};
use service_kit::config::Secret;
use url::Url;

use crate::faults::Latency;
use crate::pay_page::PayAction;
use crate::settings::SimSettings;

/// What a merchant code may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CidKind {
    /// Single payments.
    OneTime,
    /// Payments that also yield a recurring key, and charges of it.
    Recurring,
}

/// A merchant code the simulator knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CidConfig {
    /// The code, at most 10 characters.
    pub cid: String,
    /// What it may do.
    pub kind: CidKind,
    /// The `cid_secret` it demands, if any.
    pub secret: Option<String>,
}

/// Settings of one simulator. The defaults are KakaoPay's sandbox: its two test codes, any key.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The address shoppers reach it under, when that is another than `listen`.
    pub public_url: Option<Url>,
    /// The key that callers must send; any when unset.
    pub secret_key: Option<Secret>,
    /// The merchant codes it knows.
    pub cids: Vec<CidConfig>,
    /// How long every call takes, besides what the fault script adds.
    pub latency: Latency,
    /// Makes ids repeatable; drawn from the system when unset. Leave it unset where another
    /// store outlives the simulator's, or the ids will meet their namesakes there.
    pub seed: Option<u64>,
    /// The clock that runs until somebody sets the simulator's own.
    pub clock: SharedClock,
    /// Where payments and keys are kept over a restart; in memory only when unset.
    pub state_file: Option<PathBuf>,
    /// The code of a refused parameter: the old API's -2 or the current one's -400.
    pub parameter_code: i64,
    /// Refuses item names beyond ASCII sent without a character set, as one merchant reported.
    pub demand_charset: bool,
    /// Scheme, host and port that return URLs may have (-799); any when unset.
    pub registered_origins: Option<Vec<String>>,
    /// Charges of one key in a Korean month (-752); any number when unset.
    pub sid_uses_per_month_max: Option<u32>,
    /// Days of disuse after which a key dies; never when unset, for nobody knows the number.
    pub sid_dormant_after_days: Option<u32>,
    /// Refuses a recurring charge whose `partner_order_id` was charged before (-726). KakaoPay is
    /// not known to, so this is off.
    pub refuse_repeated_orders: bool,
    /// The largest single payment in won (-797); any when unset.
    pub one_payment_max: Option<i64>,
    /// Presses a button of the pay page as soon as it is opened.
    pub auto_pay: Option<PayAction>,
    /// What is assumed at the start where KakaoPay is not documented; it can be changed at run time.
    pub settings: SimSettings,
    /// Calls in progress beyond which more are refused (-10).
    pub calls_in_flight_max: usize,
    /// Payments remembered, beyond which more are refused (-10). About 1 KiB each.
    pub payments_max: usize,
}

impl Default for SimConfig {
    fn default() -> Self {
        let cid = |cid: &str, kind| CidConfig { cid: cid.to_owned(), kind, secret: None };
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            public_url: None,
            secret_key: None,
            cids: vec![cid("TC0ONETIME", CidKind::OneTime), cid("TCSUBSCRIP", CidKind::Recurring)],
            latency: Latency::NONE,
            seed: None,
            clock: SystemClock::shared(),
            state_file: None,
            parameter_code: -2,
            demand_charset: false,
            registered_origins: None,
            sid_uses_per_month_max: None,
            sid_dormant_after_days: None,
            refuse_repeated_orders: false,
            one_payment_max: None,
            auto_pay: None,
            settings: SimSettings::default(),
            calls_in_flight_max: 4_096,
            payments_max: 1_000_000,
        }
    }
}

/// Why a simulator does not run.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The address is taken or not ours.
    #[error("listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The server ended by itself.
    #[error("serve")]
    Serve(#[source] std::io::Error),
    /// The state file cannot be used.
    #[error("use the state file {path}")]
    StateFile {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The server task died.
    #[error("the server task died")]
    Died(#[source] tokio::task::JoinError),
}

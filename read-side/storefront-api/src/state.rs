//! What every handler works with.

use std::net::IpAddr;
use std::sync::Arc;

use deadpool_postgres::Pool;
use service_kit::clock::SharedClock;
use service_kit::http::Limit;
use service_kit::vault::Vault;

use crate::catalogue::Window;
use crate::freshness::LookOut;

/// The parts that handlers share. Clones share everything.
#[derive(Clone)]
pub(crate) struct State {
    /// Connections to the read models.
    pub(crate) pool: Pool,
    /// Opens the caller's own personal data.
    pub(crate) vault: Vault,
    /// By which orders expire.
    pub(crate) clock: SharedClock,
    /// Waits for projections.
    pub(crate) look_out: LookOut,
    /// The shop window with its cache.
    pub(crate) window: Window,
    /// How often one address may search.
    pub(crate) searches: Arc<Limit<IpAddr>>,
}

//! What becomes known about a request while it is answered, for its access line and the security log.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use contracts::ids::UserId;
use tokio::task::futures::TaskLocalFuture;

use crate::tokens::{Caller, Role};

/// What is known about the request under way.
#[derive(Debug, Default)]
pub(super) struct Known {
    client: Option<IpAddr>,
    caller: OnceLock<(UserId, Role)>,
}

tokio::task_local! {
    static KNOWN: Arc<Known>;
}

impl Known {
    pub(super) fn of_client(client: Option<IpAddr>) -> Arc<Self> {
        Arc::new(Self { client, ..Self::default() })
    }

    pub(super) fn caller(&self) -> Option<(UserId, Role)> {
        self.caller.get().copied()
    }
}

/// Runs `work` for the request that `known` is about.
pub(super) fn scope<F: Future>(known: Arc<Known>, work: F) -> TaskLocalFuture<Arc<Known>, F> {
    // No `async`, which would hold `work` twice: every request passes here.
    KNOWN.scope(known, work)
}

/// Notes whose token the request carried.
pub(crate) fn note_caller(caller: &Caller) {
    // Outside of a request there is nothing to note it for; a second caller changes nothing.
    KNOWN.try_with(|known| known.caller.set((caller.user_id, caller.role)).ok()).ok();
}

/// The client of the request under way.
pub(crate) fn address() -> Option<IpAddr> {
    KNOWN.try_with(|known| known.client).ok().flatten()
}

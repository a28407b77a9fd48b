//! Calls that a test holds at a point of its choice, so that a process can be ended exactly there.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::faults::Operation;

/// Where a call is held. A call that is refused before the commit, by the fault script too, is held
/// before its answer instead, so that waiting for the hold always comes to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldPoint {
    /// On the wire: it is not counted as arrived and keeps no other call off its payment.
    Arrival,
    /// Before it is carried out, while it keeps other calls off its payment.
    Commit,
    /// After it was carried out or refused, before the first byte of its answer.
    Answer,
}

/// One call on hold, or to be held. Dropping it releases the call; so does a minute on hold.
#[derive(Debug)]
pub struct Hold(pub(crate) Arc<HeldCall>);

impl Hold {
    pub(crate) fn new(operation: Operation, at: HoldPoint) -> Self {
        let (reached, released) = (CancellationToken::new(), CancellationToken::new());
        Self(Arc::new(HeldCall { operation, at, reached, released }))
    }

    /// Waits until the call has come to the point at which it is held.
    pub async fn reached(&self) {
        self.0.reached.cancelled().await;
    }

    /// Whether the call has come to that point.
    pub fn is_reached(&self) -> bool {
        self.0.reached.is_cancelled()
    }

    /// Lets the call go on.
    pub fn release(&self) {
        self.0.released.cancel();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}

/// What the simulator and the holder share.
#[derive(Debug)]
pub(crate) struct HeldCall {
    pub(crate) operation: Operation,
    pub(crate) at: HoldPoint,
    pub(crate) reached: CancellationToken,
    pub(crate) released: CancellationToken,
}

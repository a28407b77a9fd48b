//! The safe position as readers in this process see it.

use std::sync::Arc;
use std::time::Duration;

use contracts::Position;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// Up to where the log is settled, kept current by a watcher or a follower. Clones see the same.
#[derive(Debug, Clone)]
pub struct SafePosition {
    current: watch::Receiver<Position>,
    newest: watch::Receiver<Position>,
    nudge: Arc<Notify>,
}

impl SafePosition {
    pub(crate) fn new(
        current: watch::Receiver<Position>,
        newest: watch::Receiver<Position>,
        nudge: Arc<Notify>,
    ) -> Self {
        Self { current, newest, nudge }
    }

    /// What is known now. [`Position::START`] until the first look succeeded.
    pub fn current(&self) -> Position {
        *self.current.borrow()
    }

    /// A receiver that changes when the position moves. Subscribe before you read: what moves in
    /// between then wakes you.
    pub fn subscribe(&self) -> watch::Receiver<Position> {
        self.current.clone()
    }

    /// A receiver that changes when a position is handed out, a little before the event that stands
    /// there can be seen. A hint for those who read something else than the log.
    pub fn subscribe_newest(&self) -> watch::Receiver<Position> {
        self.newest.clone()
    }

    /// Waits until everything up to `position` is settled, at most `wait_max`; whether it is.
    pub async fn wait_for(&self, position: Position, wait_max: Duration) -> bool {
        let mut current = self.current.clone();
        let reached = current.wait_for(|safe| position <= *safe);
        matches!(timeout(wait_max, reached).await, Ok(Ok(_)))
    }

    /// Hints that something was appended: the next look happens at once. Losing a hint costs one
    /// polling pause.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }
}

//! Tells caches which rows changed, after the commit. Hints only: whoever misses one finds out by the
//! projection's position.
//!
//! In process through a watch per projection, to other processes over the Redis channel
//! `projection:{name}`: `{"position": …, "keys": ["…", …]}`. Publishing never delays a batch: hints
//! that Redis is too slow for are dropped.

use std::collections::HashMap;
use std::sync::Arc;

use contracts::Position;
use serde_json::json;
use service_kit::pools::RedisHandle;
use service_kit::shutdown::Shutdown;
use tokio::sync::{mpsc, watch};

use crate::cell::Cell;
use crate::models::MODELS;

/// Hints that may wait for Redis; more are dropped.
const WAITING_MAX: usize = 256;
/// Keys named in one hint. A batch that changed more says so by naming none: drop everything.
const KEYS_MAX: usize = 500;

/// The positions of the served versions followed in this process. Clones see the same.
#[derive(Debug, Clone)]
pub struct Positions(Arc<HashMap<&'static str, watch::Sender<Position>>>);

impl Default for Positions {
    fn default() -> Self {
        Self::new()
    }
}

impl Positions {
    /// Nothing is followed yet.
    pub fn new() -> Self {
        let start = |name| (name, watch::Sender::new(Position::START));
        Self(Arc::new(MODELS.into_iter().map(|model| start(model.name())).collect()))
    }

    /// Changes whenever the projection `name` has moved on; `None` when there is none of this name.
    pub fn subscribe(&self, name: &str) -> Option<watch::Receiver<Position>> {
        self.0.get(name).map(watch::Sender::subscribe)
    }

    fn advance(&self, name: &str, to: Position) {
        if let Some(sender) = self.0.get(name) {
            sender.send_if_modified(|at| {
                let moves = *at < to;
                *at = to.max(*at);
                moves
            });
        }
    }
}

/// Where workers leave their hints.
#[derive(Debug, Clone)]
pub(crate) struct Hints {
    positions: Positions,
    waiting: Option<mpsc::Sender<(String, String)>>,
}

impl Hints {
    /// Hints into `positions`, and over `redis` if there is one, until `shutdown`.
    pub(crate) fn start(
        positions: Positions,
        redis: Option<RedisHandle>,
        shutdown: Shutdown,
    ) -> Self {
        let waiting = redis.map(|redis| {
            let (sender, receiver) = mpsc::channel(WAITING_MAX);
            tokio::spawn(publish(redis, receiver, shutdown));
            sender
        });
        Self { positions, waiting }
    }

    /// The served rows of `name` now show the log up to `position`; those of `keys` changed.
    pub(crate) fn moved(&self, name: &'static str, position: Position, keys: &[Cell]) {
        self.positions.advance(name, position);
        let Some(waiting) = &self.waiting else {
            return;
        };
        let named: Vec<String> = if keys.len() <= KEYS_MAX {
            keys.iter().map(Cell::shown).collect()
        } else {
            Vec::new()
        };
        let hint = json!({ "position": position.number(), "keys": named }).to_string();
        // A full queue means that Redis is slow; losing a hint costs a moment, waiting would cost lag.
        drop(waiting.try_send((format!("projection:{name}"), hint)));
    }
}

async fn publish(
    redis: RedisHandle,
    mut waiting: mpsc::Receiver<(String, String)>,
    shutdown: Shutdown,
) {
    let mut is_away = false;
    loop {
        let next = tokio::select! {
            () = shutdown.requested() => return,
            next = waiting.recv() => next,
        };
        let Some((channel, hint)) = next else {
            return;
        };
        let told = redis.query::<i64>(redis::cmd("PUBLISH").arg(channel).arg(hint)).await;
        match told {
            Ok(_listeners) => is_away = false,
            // Said once an absence, not once a hint.
            Err(error) if !is_away => {
                is_away = true;
                tracing::warn!(%error, "caches can't be told of changes");
            }
            Err(_still_away) => {}
        }
    }
}

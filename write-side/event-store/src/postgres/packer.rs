//! Commands that arrive together travel together: one call, one commit, each with its own outcome.
//!
//! A few lanes take whatever waits in the queue, so that a pack is as large as the load is high: a
//! lone command goes alone and at once. Where commands keep coming together, packs leave at a steady
//! pace instead of as fast as the disk takes them. Whatever goes wrong with a
//! pack, each of its commands is then sent by itself, so that company never decides an outcome. So is
//! a command whose key is taken: what it was answered at first is told by `append_events`.
//! Commands that may wait for others (unique names) don't come here.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use contracts::Position;
use service_kit::batch::gather;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

use crate::append::{Append, Outcome};
use crate::error::{AppendError, StoreError};
use crate::metrics::{PACKED_COMMANDS, PACKS_FAILED};

use super::call::Failure;
use super::pack_call;
use super::single::Single;

/// Shortest time between the beginnings of two packs of which the first had company. A pack costs
/// half a millisecond of the machine whatever is in it, and an approval of a payment takes three.
const PACE: Duration = Duration::from_millis(2);
/// Commands that are company enough to leave at once.
const COMPANY: usize = 8;
/// Commands that may wait for a lane: about a second's worth on a small machine.
const QUEUE_COMMANDS_MAX: usize = 4_096;
/// Longest wait for a place in the queue.
const QUEUE_WAIT_MAX: Duration = Duration::from_secs(2);

type Answer = Result<Outcome, AppendError>;

struct Ticket {
    append: Append,
    answer: oneshot::Sender<Answer>,
}

impl Ticket {
    fn answer(self, answer: Answer) {
        // Nobody listens when the runtime goes down; the log has the outcome all the same.
        drop(self.answer.send(answer));
    }
}

/// The queue and its lanes. The lanes start with the first command and end with the last clone.
pub(super) struct Packer {
    single: Single,
    lanes: usize,
    pack_commands_max: usize,
    queue: OnceLock<mpsc::Sender<Ticket>>,
}

impl Packer {
    pub(super) fn new(single: Single, lanes: usize, pack_commands_max: usize) -> Self {
        Self { single, lanes, pack_commands_max, queue: OnceLock::new() }
    }

    /// Queues `append` and waits for its own outcome.
    pub(super) async fn append(&self, append: Append) -> Answer {
        let queue = self.queue.get_or_init(|| self.start());
        let (sender, receiver) = oneshot::channel();
        let ticket = Ticket { append, answer: sender };
        if queue.send_timeout(ticket, QUEUE_WAIT_MAX).await.is_err() {
            return Err(StoreError::Unavailable(Box::new(QueueFull)).into());
        }
        receiver.await.unwrap_or(Err(AppendError::Store(StoreError::OutcomeUnknown)))
    }

    fn start(&self) -> mpsc::Sender<Ticket> {
        let (sender, receiver) = mpsc::channel(QUEUE_COMMANDS_MAX);
        let queue = Queue { receiver, last_left: Instant::now(), had_company: false };
        let receiver = Arc::new(Mutex::new(queue));
        for _ in 0..self.lanes {
            tokio::spawn(run_lane(
                self.single.clone(),
                Arc::clone(&receiver),
                self.pack_commands_max,
            ));
        }
        sender
    }
}

/// The queue has no place left.
#[derive(Debug, thiserror::Error)]
#[error("too many commands wait to be recorded")]
struct QueueFull;

/// What waits, and what left last.
struct Queue {
    receiver: mpsc::Receiver<Ticket>,
    last_left: Instant,
    had_company: bool,
}

impl Queue {
    /// The next pack, `max` commands at most; `false` when none will come any more.
    async fn take(&mut self, tickets: &mut Vec<Ticket>, max: usize) -> bool {
        if !gather(&mut self.receiver, tickets, max).await {
            return false;
        }
        let enough = COMPANY.min(max);
        if self.had_company && tickets.len() < enough {
            let company = async {
                while let wanted @ 1.. = enough.saturating_sub(tickets.len())
                    && self.receiver.recv_many(tickets, wanted).await != 0
                {}
            };
            // The clock of the machine: a pause of milliseconds is no matter of a test's.
            drop(timeout(PACE.saturating_sub(self.last_left.elapsed()), company).await);
        }
        self.last_left = Instant::now();
        self.had_company = 1 < tickets.len();
        true
    }
}

async fn run_lane(single: Single, queue: Arc<Mutex<Queue>>, pack_max: usize) {
    let mut tickets = Vec::with_capacity(pack_max);
    // One lane waits at the queue, the others at this lock.
    while queue.lock().await.take(&mut tickets, pack_max).await {
        carry(&single, one_per_stream(tickets.drain(..))).await;
    }
}

/// Keeps the first command of each stream. A second one was decided at the same version or at an
/// older one, so the first one's success is its conflict: it is told so at once and decided again.
fn one_per_stream(tickets: impl Iterator<Item = Ticket>) -> Vec<Ticket> {
    let mut streams = HashSet::new();
    let mut kept = Vec::new();
    for ticket in tickets {
        if streams.insert((ticket.append.aggregate_type, ticket.append.aggregate_id)) {
            kept.push(ticket);
        } else {
            ticket.answer(Err(AppendError::Conflict));
        }
    }
    kept
}

async fn carry(single: &Single, mut tickets: Vec<Ticket>) {
    #[expect(clippy::cast_precision_loss, reason = "a pack is small")]
    metrics::histogram!(PACKED_COMMANDS).record(tickets.len() as f64);
    if tickets.len() == 1
        && let Some(ticket) = tickets.pop()
    {
        let answer = single.append(&ticket.append).await;
        ticket.answer(answer);
        return;
    }
    let appends: Vec<&Append> = tickets.iter().map(|ticket| &ticket.append).collect();
    match pack_call::append(single.pool(), &appends).await {
        Ok(written) => settle(single, tickets, written),
        Err(failure) => {
            metrics::counter!(PACKS_FAILED).increment(1);
            tracing::debug!(failure = ?failure, "a pack failed; each command goes by itself");
            let was_sent = matches!(failure, Failure::Lost(_));
            for ticket in tickets {
                alone(single.clone(), ticket, was_sent);
            }
        }
    }
}

/// Sends a command by itself; one that may have been written already is asked for instead.
fn alone(single: Single, ticket: Ticket, was_sent: bool) {
    tokio::spawn(async move {
        let answer = if was_sent {
            single.resolve(&ticket.append).await
        } else {
            single.append(&ticket.append).await
        };
        ticket.answer(answer);
    });
}

/// Tells each command what became of it. One that is missing from `written` met a newer version or,
/// if it came with a key, perhaps its own repetition.
fn settle(single: &Single, tickets: Vec<Ticket>, mut written: HashMap<Uuid, Vec<Position>>) {
    for ticket in tickets {
        let answer = match written.remove(&ticket.append.command_id) {
            None if ticket.append.receipt.is_some() => {
                alone(single.clone(), ticket, false);
                continue;
            }
            None => Err(AppendError::Conflict),
            Some(positions) if positions.len() == ticket.append.events.len() => {
                Ok(Outcome::Written(positions))
            }
            Some(_) => Err(AppendError::Store(StoreError::Corrupt {
                stream: format!("{}/{}", ticket.append.aggregate_type, ticket.append.aggregate_id),
                what: "another number of positions came back than events went in",
            })),
        };
        ticket.answer(answer);
    }
}

//! Writes that arrive together travel together: one statement, one commit, each row its own answer.
//!
//! While one pack is on its way to the disk, the next one gathers: a lone write goes at once and
//! alone, and a burst of thousands costs as many commits as the disk can take. The claim is checked
//! for each row by itself. Whatever goes wrong with a pack, each of its writes is then sent by
//! itself; all of them may be repeated under the same claim.

use std::collections::HashSet;
use std::sync::OnceLock;
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use serde_json::Value;
use service_kit::batch::gather;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{RowError, millis};

/// Writes in one pack at most: a statement of a few milliseconds.
const PACK_MAX: usize = 128;
/// Writes that may wait; more than rows can be under way, so nobody ever waits for a place.
const QUEUE_MAX: usize = 16_384;
/// Longest wait for a pack; the server gives up before, unless it is gone.
const PACK_WAIT_MAX: Duration = Duration::from_secs(10);

/// Which write.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// What is about to be sent.
    Request,
    /// What came of it.
    Outcome,
    /// The row leaves the outbox.
    Finish,
}

impl Kind {
    /// The statement: ids, owner, claims, and what else is written; returns the rows it met.
    const fn statement(self) -> &'static str {
        match self {
            Self::Request => include_str!("../sql/store_requests.sql"),
            Self::Outcome => include_str!("../sql/store_outcomes.sql"),
            Self::Finish => include_str!("../sql/finish_many.sql"),
        }
    }
}

/// One write and who waits for it.
struct Ticket {
    id: Uuid,
    claim: Uuid,
    value: Value,
    answer: oneshot::Sender<Result<(), RowError>>,
}

/// What a pack is written with.
#[derive(Clone)]
struct Writer {
    kind: Kind,
    pool: Pool,
    owner: String,
    lease: Duration,
}

/// Writes of one kind. Its task starts with the first write and ends with this value.
pub(super) struct Combiner {
    writer: Writer,
    queue: OnceLock<mpsc::Sender<Ticket>>,
}

impl Combiner {
    pub(super) fn new(kind: Kind, pool: Pool, owner: String, lease: Duration) -> Self {
        Self { writer: Writer { kind, pool, owner, lease }, queue: OnceLock::new() }
    }

    /// Writes `value` into the row under its claim.
    pub(super) async fn write(&self, id: Uuid, claim: Uuid, value: Value) -> Result<(), RowError> {
        let queue = self.queue.get_or_init(|| {
            let (sender, receiver) = mpsc::channel(QUEUE_MAX);
            tokio::spawn(self.writer.clone().run(receiver));
            sender
        });
        let (answer, answered) = oneshot::channel();
        queue.send(Ticket { id, claim, value, answer }).await.map_err(RowError::other)?;
        answered.await.unwrap_or_else(|gone| Err(RowError::other(gone)))
    }
}

impl Writer {
    async fn run(self, mut queue: mpsc::Receiver<Ticket>) {
        let mut tickets = Vec::new();
        while gather(&mut queue, &mut tickets, PACK_MAX).await {
            let pack = std::mem::take(&mut tickets);
            if pack.len() == 1 {
                self.each_alone(pack);
                continue;
            }
            match self.write_many(&pack).await {
                Ok(written) => settle(pack, &written),
                Err(error) => {
                    tracing::debug!(%error, "a pack failed; each write goes by itself");
                    self.each_alone(pack);
                }
            }
        }
    }

    /// Sends each write by itself, without keeping the next pack waiting.
    fn each_alone(&self, pack: Vec<Ticket>) {
        for ticket in pack {
            let writer = self.clone();
            tokio::spawn(async move {
                match writer.write_many(std::slice::from_ref(&ticket)).await {
                    Ok(written) => settle(vec![ticket], &written),
                    // As in `settle`: nobody may be listening.
                    Err(error) => drop(ticket.answer.send(Err(error))),
                }
            });
        }
    }

    /// The claims that stood. By claim and not by row: an older task of this worker may write under a
    /// claim that it lost, in the same pack as the newer one.
    async fn write_many(&self, pack: &[Ticket]) -> Result<HashSet<Uuid>, RowError> {
        let ids: Vec<Uuid> = pack.iter().map(|ticket| ticket.id).collect();
        let claims: Vec<Uuid> = pack.iter().map(|ticket| ticket.claim).collect();
        let json: Vec<&Value> = pack.iter().map(|ticket| &ticket.value).collect();
        let lease = millis(self.lease);
        let values: &[&(dyn ToSql + Sync)] = match self.kind {
            Kind::Request => &[&ids, &self.owner, &claims, &json, &lease],
            Kind::Outcome => &[&ids, &self.owner, &claims, &json],
            Kind::Finish => &[&ids, &self.owner, &claims],
        };
        let client = self.pool.get().await?;
        let sent = async {
            let statement = client.prepare_cached(self.kind.statement()).await?;
            client.query(&statement, values).await
        };
        let rows = match timeout(PACK_WAIT_MAX, sent).await {
            Ok(rows) => rows?,
            Err(elapsed) => {
                // Nobody may be handed a connection on which an old answer can still arrive.
                drop(Object::take(client));
                return Err(RowError::other(elapsed));
            }
        };
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

fn settle(pack: Vec<Ticket>, written: &HashSet<Uuid>) {
    for ticket in pack {
        let is_written = written.contains(&ticket.claim);
        let answer = if is_written { Ok(()) } else { Err(RowError::LeaseLost) };
        // Nobody listens when the relay was stopped; the row has it all the same.
        drop(ticket.answer.send(answer));
    }
}

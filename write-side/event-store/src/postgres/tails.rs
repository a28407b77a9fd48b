//! What streams have beyond a remembered version, and the event at that version, by which the memory
//! is proven: a few events of many streams in one call, where whole histories are read one by one.

use contracts::Position;
use deadpool_postgres::Pool;
use serde_json::Value;
use service_kit::batch::{BatchError, BatchSizes, Batcher};
use uuid::Uuid;

use crate::append::EventIdentity;
use crate::error::StoreError;

use super::{call, database};

/// Calls under way at once, and streams in one call at most.
const SIZES: BatchSizes = BatchSizes { lanes: 2, batch_max: 64 };

/// Which stream, and beyond which version.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail {
    pub(super) aggregate_type: &'static str,
    pub(super) aggregate_id: Uuid,
    pub(super) version: u64,
}

/// An event as it is stored; the one at the remembered version comes without its body.
#[derive(Debug)]
pub(super) struct StoredEvent {
    pub(super) sequence: i64,
    pub(super) identity: EventIdentity,
    pub(super) event_type: String,
    pub(super) event_version: String,
    pub(super) payload: Option<Value>,
}

/// Reads tails. Clones share their batches.
#[derive(Debug, Clone)]
pub(super) struct Tails(Batcher<Tail, Vec<StoredEvent>, StoreError>);

impl Tails {
    /// Reads on connections of `pool`.
    pub(super) fn new(pool: Pool) -> Self {
        Self(Batcher::new(SIZES, move |tails| read(pool.clone(), tails)))
    }

    /// The event at the version of `tail`, if the log has it, and those beyond, oldest first.
    pub(super) async fn read(&self, tail: Tail) -> Result<Vec<StoredEvent>, StoreError> {
        self.0.ask(tail).await.map_err(|error| match error {
            BatchError::Asked(error) => error,
            BatchError::Unanswered => StoreError::Unavailable(Box::new(error)),
        })
    }
}

async fn read(pool: Pool, tails: Vec<Tail>) -> Result<Vec<Vec<StoredEvent>>, StoreError> {
    let types: Vec<&str> = tails.iter().map(|tail| tail.aggregate_type).collect();
    let streams: Vec<String> = tails.iter().map(|tail| tail.aggregate_id.to_string()).collect();
    let versions: Vec<i64> = tails.iter().map(|tail| call::signed(tail.version)).collect();
    let questions: Vec<i32> = (0..).take(tails.len()).collect();
    let rows =
        call::query(&pool, include_str!("tails.sql"), &[&types, &streams, &versions, &questions])
            .await?;
    let mut answers: Vec<Vec<StoredEvent>> = tails.iter().map(|_| Vec::new()).collect();
    for row in &rows {
        let question: i32 = row.try_get(0).map_err(database)?;
        let answer = usize::try_from(question).ok().and_then(|number| answers.get_mut(number));
        // Only numbers that were asked come back.
        let Some(answer) = answer else { continue };
        answer.push(StoredEvent {
            sequence: row.try_get(1).map_err(database)?,
            identity: EventIdentity {
                position: Position::new(row.try_get(2).map_err(database)?),
                command_id: row.try_get(3).map_err(database)?,
            },
            event_type: row.try_get(4).map_err(database)?,
            event_version: row.try_get(5).map_err(database)?,
            payload: row.try_get(6).map_err(database)?,
        });
    }
    Ok(answers)
}

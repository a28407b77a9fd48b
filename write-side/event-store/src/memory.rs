//! The log in memory, for tests: the same promises as PostgreSQL, and gone with the process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use contracts::{Claim, Position, decode};
use domain::EventSourced;
use serde_json::Value;
use uuid::Uuid;

use crate::append::{Append, EventIdentity, NewEvent, OutboxRow, Outcome, StoredReceipt};
use crate::error::{AppendError, StoreError};
use crate::store::{BoxFuture, History, Store};

type StreamKey = (&'static str, Uuid);

/// A log that lives as long as the value.
#[derive(Debug, Default)]
pub struct MemoryStore {
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    streams: HashMap<StreamKey, Vec<(EventIdentity, NewEvent)>>,
    claims: HashMap<(String, String), StreamKey>,
    receipts: HashMap<(String, String), StoredReceipt>,
    outbox: Vec<OutboxRow>,
    last_position: i64,
}

impl MemoryStore {
    /// Every outbox row written so far, oldest first.
    pub fn outbox(&self) -> Vec<OutboxRow> {
        self.log().outbox.clone()
    }

    /// The stream that holds the name, if one does.
    ///
    /// # Errors
    /// None; the signature is that of the PostgreSQL store.
    #[expect(clippy::unused_async, reason = "the twin of a call that goes to the database")]
    pub async fn lookup_claim(&self, kind: &str, name: &str) -> Result<Option<Uuid>, StoreError> {
        let holder = self.log().claims.get(&(kind.to_owned(), name.to_owned())).map(|key| key.1);
        Ok(holder)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // Every change is made of steps that cannot panic half-way.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn append(&mut self, append: Append) -> Result<Outcome, AppendError> {
        let stream = (append.aggregate_type, append.aggregate_id);
        let receipt_key = append.receipt.as_ref().map(|r| (r.scope.clone(), r.key.clone()));
        if let (Some(key), Some(receipt)) = (&receipt_key, &append.receipt)
            && let Some(stored) = self.receipts.get(key)
        {
            if stored.request_digest != receipt.request_digest {
                return Err(AppendError::KeyReused);
            }
            return Ok(Outcome::Replayed(stored.clone()));
        }
        let claims = self.claims_after(stream, &append.claims)?;
        let history = self.streams.get(&stream).map(Vec::as_slice).unwrap_or_default();
        let is_other =
            |known: Uuid| history.last().is_none_or(|(identity, _)| identity.command_id != known);
        if !append.events.is_empty()
            && (history.len() as u64 != append.expected_version
                || append.predecessor.is_some_and(is_other))
        {
            return Err(AppendError::Conflict);
        }
        let version_after = append.version_after();
        let mut positions = Vec::with_capacity(append.events.len());
        for event in append.events {
            self.last_position += 1;
            let position = Position::new(self.last_position);
            positions.push(position);
            let identity = EventIdentity { position, command_id: append.command_id };
            self.streams.entry(stream).or_default().push((identity, event));
        }
        self.claims = claims;
        self.outbox.extend(append.outbox);
        if let (Some(key), Some(receipt)) = (receipt_key, append.receipt) {
            let stored = StoredReceipt {
                request_digest: receipt.request_digest,
                command_id: append.command_id,
                first_version: append.expected_version,
                last_version: version_after,
                positions: positions.clone(),
                result: receipt.result,
            };
            self.receipts.insert(key, stored);
        }
        Ok(Outcome::Written(positions))
    }

    fn claims_after(
        &self,
        stream: StreamKey,
        wanted: &[Claim],
    ) -> Result<HashMap<(String, String), StreamKey>, AppendError> {
        let mut claims = self.claims.clone();
        for claim in wanted {
            match claim {
                Claim::Take { kind, name } => {
                    let holder = claims.entry(((*kind).to_owned(), name.clone())).or_insert(stream);
                    if *holder != stream {
                        return Err(AppendError::ClaimTaken {
                            kind: (*kind).to_owned(),
                            name: name.clone(),
                        });
                    }
                }
                Claim::Release { kind, name } => {
                    let key = ((*kind).to_owned(), name.clone());
                    if claims.get(&key) == Some(&stream) {
                        claims.remove(&key);
                    }
                }
            }
        }
        Ok(claims)
    }
}

impl<A: EventSourced> Store<A> for MemoryStore {
    fn history(&self, id: Uuid) -> BoxFuture<'_, Result<History<A::Body>, StoreError>> {
        let after = Store::<A>::history_after(self, id, 0, None);
        Box::pin(async move { Ok(after.await?.unwrap_or(History { events: vec![], last: None })) })
    }

    fn history_after(
        &self,
        id: Uuid,
        version: u64,
        last: Option<EventIdentity>,
    ) -> BoxFuture<'_, Result<Option<History<A::Body>>, StoreError>> {
        let known = usize::try_from(version).unwrap_or(usize::MAX);
        let log = self.log();
        let stream = log.streams.get(&(A::TYPE, id)).map(Vec::as_slice).unwrap_or_default();
        let known_last = known.checked_sub(1).and_then(|index| stream.get(index));
        if known_last.map(|(identity, _)| *identity) != last || stream.len() < known {
            return Box::pin(async { Ok(None) });
        }
        let last = stream.last().map(|(identity, _)| *identity);
        let events: Vec<NewEvent> =
            stream.iter().skip(known).map(|(_, event)| event.clone()).collect();
        Box::pin(async move {
            let decoded = events.into_iter().map(|event| {
                let body: Value = serde_json::from_str(&event.payload).map_err(|source| {
                    contracts::DecodeError::Body { event_type: event.event_type.to_owned(), source }
                })?;
                Ok(decode(event.event_type, &event.event_version.to_string(), body)?)
            });
            let events = decoded.collect::<Result<_, StoreError>>()?;
            Ok(Some(History { events, last }))
        })
    }

    fn append(&self, append: Append) -> BoxFuture<'_, Result<Outcome, AppendError>> {
        Box::pin(async move { self.log().append(append) })
    }

    fn receipt<'s>(
        &'s self,
        scope: &'s str,
        key: &'s str,
    ) -> BoxFuture<'s, Result<Option<StoredReceipt>, StoreError>> {
        let stored = self.log().receipts.get(&(scope.to_owned(), key.to_owned())).cloned();
        Box::pin(async move { Ok(stored) })
    }
}

//! One call of `append_pack_after`.

use std::collections::HashMap;

use contracts::Position;
use deadpool_postgres::{Client, Object, Pool};
use postgres_types::ToSql;
use serde_json::Value;
use tokio::time::timeout;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::append::Append;

use super::call::{ANSWER_WAIT_MAX, Failure, client, failure, signed};
use super::json_text::JsonText;

/// Sends all of `appends` once. Returns the positions of those that were written.
pub(super) async fn append(
    pool: &Pool,
    appends: &[&Append],
) -> Result<HashMap<Uuid, Vec<Position>>, Failure> {
    let client = client(pool).await.map_err(Failure::NotSent)?;
    match timeout(ANSWER_WAIT_MAX, send(&client, appends)).await {
        Ok(Ok(row)) => written(&row).map_err(|error| Failure::Lost(Box::new(error))),
        Ok(Err(error)) => Err(failure(client, error)),
        Err(elapsed) => {
            // Nobody may be handed a connection on which an old answer can still arrive.
            drop(Object::take(client));
            Err(Failure::Lost(Box::new(elapsed)))
        }
    }
}

fn written(row: &Row) -> Result<HashMap<Uuid, Vec<Position>>, tokio_postgres::Error> {
    // Both are null when every command was left out.
    let command_ids: Option<Vec<Uuid>> = row.try_get(0)?;
    let positions: Option<Vec<i64>> = row.try_get(1)?;
    let mut written: HashMap<Uuid, Vec<Position>> = HashMap::new();
    for (id, position) in command_ids.into_iter().flatten().zip(positions.into_iter().flatten()) {
        written.entry(id).or_default().push(Position::new(position));
    }
    Ok(written)
}

async fn send(client: &Client, appends: &[&Append]) -> Result<Row, tokio_postgres::Error> {
    let statement = client.prepare_cached(include_str!("append_pack.sql")).await?;
    let commands = Commands::of(appends);
    let events = Events::of(appends);
    let effects = Effects::of(appends);
    let receipts = Receipts::of(appends);
    let parameters: [&(dyn ToSql + Sync); 24] = [
        &commands.ids,
        &commands.aggregate_types,
        &commands.aggregate_ids,
        &commands.expected_versions,
        &commands.predecessors,
        &commands.metadata,
        &events.commands,
        &events.offsets,
        &events.types,
        &events.versions,
        &events.payloads,
        &effects.as_ref().map(|e| &e.commands),
        &effects.as_ref().map(|e| &e.ids),
        &effects.as_ref().map(|e| &e.sequences),
        &effects.as_ref().map(|e| &e.indexes),
        &effects.as_ref().map(|e| &e.kinds),
        &effects.as_ref().map(|e| &e.payloads),
        &effects.as_ref().map(|e| &e.correlations),
        &receipts.as_ref().map(|r| &r.commands),
        &receipts.as_ref().map(|r| &r.scopes),
        &receipts.as_ref().map(|r| &r.keys),
        &receipts.as_ref().map(|r| &r.digests),
        &receipts.as_ref().map(|r| &r.keep_s),
        &receipts.as_ref().map(|r| &r.results),
    ];
    client.query_one(&statement, &parameters).await
}

#[derive(Default)]
struct Commands<'a> {
    ids: Vec<Uuid>,
    aggregate_types: Vec<&'a str>,
    aggregate_ids: Vec<String>,
    expected_versions: Vec<i64>,
    predecessors: Vec<Option<Uuid>>,
    metadata: Vec<JsonText<'a>>,
}

impl<'a> Commands<'a> {
    fn of(appends: &[&'a Append]) -> Self {
        let mut columns = Self::default();
        for append in appends {
            columns.ids.push(append.command_id);
            columns.aggregate_types.push(append.aggregate_type);
            columns.aggregate_ids.push(append.aggregate_id.to_string());
            columns.expected_versions.push(signed(append.expected_version));
            columns.predecessors.push(append.predecessor);
            columns.metadata.push(JsonText(&append.metadata));
        }
        columns
    }
}

#[derive(Default)]
struct Events<'a> {
    commands: Vec<i32>,
    offsets: Vec<i32>,
    types: Vec<&'a str>,
    versions: Vec<String>,
    payloads: Vec<JsonText<'a>>,
}

impl<'a> Events<'a> {
    fn of(appends: &[&'a Append]) -> Self {
        let mut columns = Self::default();
        for (command, append) in (1..).zip(appends) {
            for (offset, event) in (1..).zip(&append.events) {
                columns.commands.push(command);
                columns.offsets.push(offset);
                columns.types.push(event.event_type);
                columns.versions.push(event.event_version.to_string());
                columns.payloads.push(JsonText(&event.payload));
            }
        }
        columns
    }
}

#[derive(Default)]
struct Effects<'a> {
    commands: Vec<i32>,
    ids: Vec<Uuid>,
    sequences: Vec<i64>,
    indexes: Vec<i32>,
    kinds: Vec<&'a str>,
    payloads: Vec<JsonText<'a>>,
    correlations: Vec<&'a str>,
}

impl<'a> Effects<'a> {
    fn of(appends: &[&'a Append]) -> Option<Self> {
        let mut columns = Self::default();
        for (command, append) in (1..).zip(appends) {
            for row in &append.outbox {
                columns.commands.push(command);
                columns.ids.push(row.id);
                columns.sequences.push(signed(row.sequence));
                columns.indexes.push(i32::try_from(row.effect_index).unwrap_or(i32::MAX));
                columns.kinds.push(row.kind);
                columns.payloads.push(JsonText(&row.payload));
                columns.correlations.push(&append.correlation_id);
            }
        }
        (!columns.ids.is_empty()).then_some(columns)
    }
}

#[derive(Default)]
struct Receipts<'a> {
    commands: Vec<i32>,
    scopes: Vec<&'a str>,
    keys: Vec<&'a str>,
    digests: Vec<&'a str>,
    keep_s: Vec<i64>,
    results: Vec<&'a Value>,
}

impl<'a> Receipts<'a> {
    fn of(appends: &[&'a Append]) -> Option<Self> {
        let mut columns = Self::default();
        for (command, append) in (1..).zip(appends) {
            if let Some(receipt) = &append.receipt {
                columns.commands.push(command);
                columns.scopes.push(&receipt.scope);
                columns.keys.push(&receipt.key);
                columns.digests.push(&receipt.request_digest);
                columns.keep_s.push(signed(receipt.keep_for.as_secs()));
                columns.results.push(&receipt.result);
            }
        }
        (!columns.commands.is_empty()).then_some(columns)
    }
}

//! One batch, one transaction: fence, load, fold, write, commit.
//!
//! The fence comes first, so that rows are read under the lock that keeps everybody else from
//! writing them. Checkpoint and rows are committed together: a crash at any point leaves either the
//! state before the batch or after it.

use std::collections::HashSet;

use contracts::Position;
use deadpool_postgres::{Pool, Transaction};

use crate::cell::{Cell, Row};
use crate::error::ProjectionError;
use crate::lease::Lease;
use crate::projection::Refusal;
use crate::tables::TableSql;
use crate::working::{Aside, Changes, Incoming, Model, Pass, Stream, Working};

/// Aggregates of one version that may have parked events. A fault of the data concerns a few; one of
/// the build concerns all, and parking them one by one would only hide it. Each batch reads them all.
pub const PARKED_STREAMS_MAX: usize = 200;

/// What a batch did.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// Events set aside.
    pub(crate) parked: usize,
    /// Primary keys of served rows that changed, first column only: what caches drop.
    pub(crate) touched: Vec<Cell>,
}

/// A version of a projection, ready to be written.
pub(crate) struct Target {
    pub(crate) model: &'static dyn Model,
    pub(crate) tables: Vec<TableSql>,
}

impl Target {
    /// Version `version` of `model`.
    pub(crate) fn new(model: &'static dyn Model, version: i32) -> Self {
        Self { model, tables: crate::tables::tables_of(model, version) }
    }
}

/// Folds `events` and moves the checkpoint of `lease` to `through`. Events that can't be folded,
/// and the later ones of their aggregates, are parked.
///
/// # Errors
/// Nothing is changed then.
pub(crate) async fn apply(
    pool: &Pool,
    target: &Target,
    lease: &Lease,
    events: &[Incoming],
    through: Position,
) -> Result<Applied, ProjectionError> {
    let mut client = pool.get().await?;
    let tx = client.transaction().await?;
    lease.fence_in_tx(&tx, through).await?;
    let applied = if events.is_empty() {
        Applied::default()
    } else {
        let mut blocked = blocked_in_tx(&tx, lease.name, lease.version).await?;
        fold_in_tx(&tx, target, lease, events, &mut blocked).await?
    };
    tx.commit().await?;
    Ok(applied)
}

/// Parks a single event that the database refuses, and moves the checkpoint past it.
pub(crate) async fn park_alone(
    pool: &Pool,
    lease: &Lease,
    event: &Incoming,
    through: Position,
    error: &str,
) -> Result<(), ProjectionError> {
    let mut client = pool.get().await?;
    let tx = client.transaction().await?;
    lease.fence_in_tx(&tx, through).await?;
    let mut blocked = blocked_in_tx(&tx, lease.name, lease.version).await?;
    blocked.insert(event.stream.clone());
    check_parked(lease.name, &blocked, Some(event.position))?;
    let aside = [Aside { index: 0, error: Some(error.to_owned()) }];
    park_in_tx(&tx, lease.name, lease.version, std::slice::from_ref(event), &aside).await?;
    tx.commit().await?;
    Ok(())
}

async fn fold_in_tx(
    tx: &Transaction<'_>,
    target: &Target,
    lease: &Lease,
    events: &[Incoming],
    blocked: &mut HashSet<Stream>,
) -> Result<Applied, ProjectionError> {
    let mut working = target.model.working(false);
    let aside = fold_loaded_in_tx(tx, target, working.as_mut(), events, blocked).await?;
    block(target.model.name(), blocked, events, &aside)?;
    let stored = |source| ProjectionError::Stored { name: target.model.name(), source };
    let changes = working.changes().map_err(stored)?;
    for (table, changes) in target.tables.iter().zip(&changes) {
        table.write_in_tx(tx, changes).await?;
    }
    park_in_tx(tx, lease.name, lease.version, events, &aside).await?;
    Ok(Applied { parked: aside.len(), touched: touched(target.model, &changes) })
}

/// Folds `events`, loading what they need, and returns those that can't be folded. Each pass brings in
/// documents that the one before lacked; one that brings in none ends the batch.
pub(crate) async fn fold_loaded_in_tx(
    tx: &Transaction<'_>,
    target: &Target,
    working: &mut dyn Working,
    events: &[Incoming],
    blocked: &HashSet<Stream>,
) -> Result<Vec<Aside>, ProjectionError> {
    let name = target.model.name();
    let mut loaded = working.document_count();
    loop {
        let missing = match working.fold(events, blocked) {
            Pass::Folded(aside) => return Ok(aside),
            Pass::Missing(missing) => missing,
        };
        for (index, keys) in missing {
            let rows = match target.tables.get(index) {
                Some(table) => table.load_in_tx(tx, &keys).await?,
                None => Vec::new(),
            };
            working
                .supply(index, keys, rows)
                .map_err(|source| ProjectionError::Stored { name, source })?;
        }
        if working.document_count() <= loaded {
            let source = Refusal::new("the fold asks again for documents that were loaded");
            return Err(ProjectionError::Stored { name, source });
        }
        loaded = working.document_count();
    }
}

/// Adds the aggregates of the events that were set aside to those that are `blocked`.
///
/// # Errors
/// [`ProjectionError::TooManyParked`] when there are too many of them, with the first event that is one
/// too many.
pub(crate) fn block(
    name: &str,
    blocked: &mut HashSet<Stream>,
    events: &[Incoming],
    aside: &[Aside],
) -> Result<(), ProjectionError> {
    for event in aside.iter().filter_map(|it| events.get(it.index)) {
        blocked.insert(event.stream.clone());
        check_parked(name, blocked, Some(event.position))?;
    }
    Ok(())
}

fn check_parked(
    name: &str,
    blocked: &HashSet<Stream>,
    first: Option<i64>,
) -> Result<(), ProjectionError> {
    let streams_max = PARKED_STREAMS_MAX;
    if blocked.len() <= streams_max {
        return Ok(());
    }
    Err(ProjectionError::TooManyParked { name: name.to_owned(), streams_max, first })
}

/// The aggregates whose events are set aside in this version. Reads one more than there may be.
pub(crate) async fn blocked_in_tx(
    tx: &Transaction<'_>,
    name: &str,
    version: i32,
) -> Result<HashSet<Stream>, ProjectionError> {
    let statement = tx.prepare_cached(include_str!("sql/blocked.sql")).await?;
    let limit = i64::try_from(PARKED_STREAMS_MAX + 1).unwrap_or(i64::MAX);
    let rows = tx.query(&statement, &[&name, &version, &limit]).await?;
    let mut blocked = HashSet::with_capacity(rows.len());
    for row in rows {
        let id: String = row.try_get(1)?;
        if let Ok(id) = id.parse() {
            blocked.insert((row.try_get(0)?, id));
        }
    }
    check_parked(name, &blocked, None)?;
    Ok(blocked)
}

pub(crate) async fn park_in_tx(
    tx: &Transaction<'_>,
    name: &str,
    version: i32,
    events: &[Incoming],
    aside: &[Aside],
) -> Result<(), ProjectionError> {
    if aside.is_empty() {
        return Ok(());
    }
    let parked = || aside.iter().filter_map(|it| events.get(it.index));
    let positions: Vec<i64> = parked().map(|event| event.position).collect();
    let kinds: Vec<&str> = parked().map(|event| event.stream.0.as_str()).collect();
    let ids: Vec<String> = parked().map(|event| event.stream.1.to_string()).collect();
    let sequences: Vec<i64> = parked().map(|event| event.sequence).collect();
    let types: Vec<&str> = parked().map(|event| event.event_type.as_str()).collect();
    let errors: Vec<Option<&str>> = aside.iter().map(|it| it.error.as_deref()).collect();
    let statement = tx.prepare_cached(include_str!("sql/park.sql")).await?;
    tx.execute(
        &statement,
        &[&name, &version, &positions, &kinds, &ids, &sequences, &types, &errors],
    )
    .await?;
    Ok(())
}

/// Replaces the reasons of parked events by those of `aside`.
pub(crate) async fn explain_in_tx(
    tx: &Transaction<'_>,
    name: &str,
    version: i32,
    events: &[Incoming],
    aside: &[Aside],
) -> Result<(), ProjectionError> {
    let found = || aside.iter().filter_map(|it| Some((events.get(it.index)?, it)));
    let positions: Vec<i64> = found().map(|(event, _)| event.position).collect();
    let errors: Vec<Option<&str>> = found().map(|(_, it)| it.error.as_deref()).collect();
    tx.execute(include_str!("sql/explain.sql"), &[&name, &version, &positions, &errors]).await?;
    Ok(())
}

fn touched(model: &dyn Model, changes: &[Changes]) -> Vec<Cell> {
    let mut keys: Vec<Cell> = Vec::new();
    for (table, changes) in model.tables().iter().zip(changes).filter(|(it, _)| it.is_served) {
        let rows = changes.upserts.iter().chain(&changes.deletes);
        // The last key column names the thing: the item rather than its category.
        keys.extend(rows.filter_map(|row: &Row| row.get(table.key_columns - 1).cloned()));
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests;

//! Fills the tables of a new version: the log in, folded in memory as far as that goes, rows out by
//! COPY, and a look at whether they arrived.

use std::collections::HashSet;

use contracts::Position;

use super::Build;
use crate::batch::{self, Target};
use crate::cell::Row;
use crate::error::ProjectionError;
use crate::parked;
use crate::replay::{Chunk, Replay};
use crate::tables::TableSql;
use crate::working::{Changes, Pass, Stream, Working};

/// Rows of each table that are read back and compared after they were copied in.
const SAMPLE_ROWS: usize = 200;

/// What filling the tables came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filled {
    pub(super) events: u64,
    pub(super) rows: u64,
    pub(super) parked: u64,
    pub(super) given_up: u64,
    /// Rows that were read back after they were copied in.
    pub(super) sample: u64,
}

impl Build {
    /// Folds the log up to `to` into the tables of `target`, or into nothing.
    pub(super) async fn fill(
        &self,
        target: Option<(&Target, i32)>,
        to: Position,
    ) -> Result<Filled, ProjectionError> {
        let range = (Position::START, to);
        let without = parked::given_up_positions(&self.pool, self.model.name()).await?;
        let mut filled = Filled { given_up: without.len() as u64, ..Filled::default() };
        let (pool, jobs) = (self.pool.clone(), self.options.jobs);
        let mut replay = Replay::start(pool, self.model, range, jobs, without);
        let mut blocked = HashSet::new();
        let mut memory = Some(self.model.working(true));
        while let Some(chunk) = replay.next().await? {
            filled.events += chunk.events.len() as u64;
            match &mut memory {
                Some(working) => {
                    let pass = working.fold(&chunk.events, &blocked);
                    filled.parked += self.set_aside(target, &chunk, pass, &mut blocked).await?;
                }
                None => filled.parked += self.fold_in_tables(target, &chunk, &mut blocked).await?,
            }
            self.tell("folding", chunk.through.number(), to.number());
            let is_too_large = |count: usize| self.options.documents_max < count;
            // A dry run has no tables to go on in, so it keeps everything in memory.
            if let Some((target, _)) = target
                && memory.as_ref().is_some_and(|working| is_too_large(working.document_count()))
                && let Some(working) = memory.take()
            {
                self.write(target, &self.changes(working.as_ref())?, &mut filled).await?;
            }
        }
        if let Some(working) = memory {
            let changes = self.changes(working.as_ref())?;
            match target {
                Some((target, _)) => self.write(target, &changes, &mut filled).await?,
                None => filled.rows += rows_in(&changes),
            }
        }
        Ok(filled)
    }

    fn changes(&self, working: &dyn Working) -> Result<Vec<Changes>, ProjectionError> {
        let name = self.model.name();
        working.changes().map_err(|source| ProjectionError::Stored { name, source })
    }

    /// Parks what a pass in memory could not fold.
    async fn set_aside(
        &self,
        target: Option<(&Target, i32)>,
        chunk: &Chunk,
        pass: Pass,
        blocked: &mut HashSet<Stream>,
    ) -> Result<u64, ProjectionError> {
        let Pass::Folded(aside) = pass else {
            // A complete working set lacks nothing.
            return Err(ProjectionError::Stopped);
        };
        if aside.is_empty() {
            return Ok(0);
        }
        batch::block(self.model.name(), blocked, &chunk.events, &aside)?;
        if let Some((target, version)) = target {
            let mut client = self.pool.get().await?;
            let tx = client.transaction().await?;
            let name = target.model.name();
            batch::park_in_tx(&tx, name, version, &chunk.events, &aside).await?;
            tx.commit().await?;
        }
        Ok(aside.len() as u64)
    }

    /// Folds a chunk through the tables, when the documents are too many for the memory.
    async fn fold_in_tables(
        &self,
        target: Option<(&Target, i32)>,
        chunk: &Chunk,
        blocked: &mut HashSet<Stream>,
    ) -> Result<u64, ProjectionError> {
        let Some((target, version)) = target else {
            return Ok(0);
        };
        let mut client = self.pool.get().await?;
        let tx = client.transaction().await?;
        let mut working = self.model.working(false);
        let aside =
            batch::fold_loaded_in_tx(&tx, target, working.as_mut(), &chunk.events, blocked).await?;
        for (table, changes) in target.tables.iter().zip(self.changes(working.as_ref())?) {
            table.write_in_tx(&tx, &changes).await?;
        }
        batch::block(self.model.name(), blocked, &chunk.events, &aside)?;
        batch::park_in_tx(&tx, self.model.name(), version, &chunk.events, &aside).await?;
        tx.commit().await?;
        Ok(aside.len() as u64)
    }

    /// Copies rows into empty tables and reads some of them back.
    async fn write(
        &self,
        target: &Target,
        changes: &[Changes],
        filled: &mut Filled,
    ) -> Result<(), ProjectionError> {
        let client = self.pool.get().await?;
        let total: usize = changes.iter().map(|table| table.upserts.len()).sum();
        let mut done = 0;
        for (table, changes) in target.tables.iter().zip(changes) {
            let tell = |rows: usize| {
                done += rows;
                self.tell_count("copying", done, total);
            };
            table.copy_in(&client, &changes.upserts, tell).await?;
        }
        drop(client);
        for (table, changes) in target.tables.iter().zip(changes) {
            filled.sample += self.check(table, &changes.upserts).await?;
        }
        filled.rows += rows_in(changes);
        Ok(())
    }

    /// Checks that a table holds as many rows as were put in, and a sample of them as they were; how many
    /// rows the sample has.
    async fn check(&self, table: &TableSql, put: &[Row]) -> Result<u64, ProjectionError> {
        let unfaithful =
            |found: String| ProjectionError::Unfaithful { table: table.name.clone(), found };
        let mut client = self.pool.get().await?;
        let tx = client.transaction().await?;
        let count = tx.query_one(&format!("select count(*) from {}", table.name), &[]).await?;
        let count: i64 = count.try_get(0)?;
        if usize::try_from(count) != Ok(put.len()) {
            return Err(unfaithful(format!("{count} rows instead of {}", put.len())));
        }
        if !table.has_single_key() {
            return Ok(0);
        }
        let step = put.len().div_ceil(SAMPLE_ROWS).max(1);
        let mut sample: Vec<Row> = put.iter().step_by(step).cloned().collect();
        let keys: Vec<_> = sample.iter().filter_map(|row| row.first().cloned()).collect();
        let mut found = table.load_in_tx(&tx, &keys).await?;
        sample.sort_unstable();
        found.sort_unstable();
        if found == sample {
            return Ok(sample.len() as u64);
        }
        Err(unfaithful("rows that differ from those put in".to_owned()))
    }
}

fn rows_in(changes: &[Changes]) -> u64 {
    changes.iter().map(|table| table.upserts.len() as u64).sum()
}

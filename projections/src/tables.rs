//! Reading and writing the tables of one version, many rows at a time.
//!
//! The statements are put together from the names of the projection's own tables and columns;
//! whatever comes from events travels as a parameter. One statement loads, one writes, one removes,
//! however many rows.

use deadpool_postgres::Transaction;
use futures_util::{TryStreamExt, pin_mut};
use postgres_types::ToSql;
use tokio_postgres::Client;
use tokio_postgres::binary_copy::BinaryCopyInWriter;

use crate::cell::{Cell, CellType, Column, Row};
use crate::error::ProjectionError;
use crate::projection::Table;
use crate::working::{Changes, Model};

/// Rows that one COPY brings in before it is committed: bounds what a kill loses and how long one
/// transaction lives.
pub(crate) const COPY_ROWS_MAX: usize = 20_000;

/// The statements for one table of one version.
#[derive(Debug)]
pub(crate) struct TableSql {
    table: &'static Table,
    /// The versioned name.
    pub(crate) name: String,
    load: String,
    upsert: String,
    delete: String,
    copy: String,
    scan: String,
}

impl TableSql {
    /// The statements for `table` in `version`.
    pub(crate) fn of(table: &'static Table, version: i32) -> Self {
        let name = table.versioned(version);
        let columns = join(table.columns, ", ", |_, (column, _)| (*column).to_owned());
        let (keys, values) = table.columns.split_at(table.key_columns);
        let arrays = join(table.columns, ", ", |index, (_, kind)| unnested(index, *kind));
        let given = join(table.columns, ", ", |_, (column, kind)| match kind {
            // Travelled as text, see `Column::of`.
            CellType::Texts => format!("given.{column}::text[]"),
            CellType::Bool
            | CellType::Int
            | CellType::BigInt
            | CellType::Text
            | CellType::Uuid
            | CellType::Instant => format!("given.{column}"),
        });
        let updates = join(values, ", ", |_, (column, _)| format!("{column} = excluded.{column}"));
        let key_names = join(keys, ", ", |_, (column, _)| (*column).to_owned());
        let key_arrays = join(keys, ", ", |index, (_, kind)| unnested(index, *kind));
        let matches =
            join(keys, " and ", |_, (column, _)| format!("kept.{column} = gone.{column}"));
        let (first, kind) = table.columns.first().map_or(("", "text"), |(c, k)| (*c, k.sql()));
        Self {
            table,
            load: format!("select {columns} from {name} where {first} = any ($1::{kind}[])"),
            upsert: format!(
                "insert into {name} ({columns}) select {given} from unnest({arrays}) as given \
                 ({columns}) on conflict ({key_names}) do update set {updates}"
            ),
            delete: format!(
                "delete from {name} as kept using unnest({key_arrays}) as gone ({key_names}) \
                 where {matches}"
            ),
            copy: format!("copy {name} ({columns}) from stdin (format binary)"),
            scan: format!("select {columns} from {name}"),
            name,
        }
    }

    /// Whether the first column alone is the primary key.
    pub(crate) const fn has_single_key(&self) -> bool {
        self.table.key_columns == 1
    }

    /// The rows whose first column is one of `keys`.
    pub(crate) async fn load_in_tx(
        &self,
        tx: &Transaction<'_>,
        keys: &[Cell],
    ) -> Result<Vec<Row>, ProjectionError> {
        let statement = tx.prepare_cached(&self.load).await?;
        let kind = self.table.columns.first().map_or(CellType::Text, |(_, kind)| *kind);
        let keys = Column::of(kind, keys.iter().cloned());
        let rows = tx.query(&statement, &[&keys]).await?;
        rows.iter().map(|row| self.read(row)).collect()
    }

    /// Writes and removes rows.
    pub(crate) async fn write_in_tx(
        &self,
        tx: &Transaction<'_>,
        changes: &Changes,
    ) -> Result<(), ProjectionError> {
        let keys = self.table.columns.split_at(self.table.key_columns).0;
        for (text, rows, columns) in [
            (&self.delete, &changes.deletes, keys),
            (&self.upsert, &changes.upserts, self.table.columns),
        ] {
            if rows.is_empty() {
                continue;
            }
            let arrays = columns_of(rows, columns);
            let parameters: Vec<&(dyn ToSql + Sync)> =
                arrays.iter().map(|array| array as &(dyn ToSql + Sync)).collect();
            let statement = tx.prepare_cached(text).await?;
            tx.execute(&statement, &parameters).await?;
        }
        Ok(())
    }

    /// Brings rows into the table, which holds none of their keys, in chunks of [`COPY_ROWS_MAX`].
    pub(crate) async fn copy_in(
        &self,
        client: &Client,
        rows: &[Row],
        mut on_rows: impl FnMut(usize),
    ) -> Result<(), ProjectionError> {
        let types: Vec<_> = self.table.columns.iter().map(|(_, kind)| kind.driver()).collect();
        for chunk in rows.chunks(COPY_ROWS_MAX) {
            let sink = client.copy_in(&self.copy).await?;
            let writer = BinaryCopyInWriter::new(sink, &types);
            pin_mut!(writer);
            for row in chunk {
                writer
                    .as_mut()
                    .write_raw(row.iter().map(|cell| cell as &(dyn ToSql + Sync)))
                    .await?;
            }
            writer.finish().await?;
            on_rows(chunk.len());
        }
        Ok(())
    }

    /// Calls `on_row` with every row of the table, in no order.
    pub(crate) async fn scan_in_tx(
        &self,
        tx: &Transaction<'_>,
        mut on_row: impl FnMut(Row),
    ) -> Result<(), ProjectionError> {
        let none: [&(dyn ToSql + Sync); 0] = [];
        let rows = tx.query_raw(&self.scan, none).await?;
        pin_mut!(rows);
        while let Some(row) = rows.try_next().await? {
            on_row(self.read(&row)?);
        }
        Ok(())
    }

    fn read(&self, row: &tokio_postgres::Row) -> Result<Row, ProjectionError> {
        let cells = self.table.columns.iter().enumerate();
        Ok(cells
            .map(|(index, (_, kind))| Cell::read(row, index, *kind))
            .collect::<Result<_, _>>()?)
    }
}

/// The statements for every table of one version of `model`.
pub(crate) fn tables_of(model: &dyn Model, version: i32) -> Vec<TableSql> {
    model.tables().iter().map(|table| TableSql::of(table, version)).collect()
}

fn columns_of(rows: &[Row], columns: &[(&str, CellType)]) -> Vec<Column> {
    columns
        .iter()
        .enumerate()
        .map(|(index, (_, kind))| {
            Column::of(*kind, rows.iter().map(|row| row.get(index).cloned().unwrap_or(Cell::Null)))
        })
        .collect()
}

/// The parameter of column `index` as an array to unnest.
fn unnested(index: usize, kind: CellType) -> String {
    let kind = if kind == CellType::Texts { CellType::Text } else { kind };
    format!("${}::{}[]", index + 1, kind.sql())
}

fn join<T>(items: &[T], between: &str, text: impl Fn(usize, &T) -> String) -> String {
    let texts: Vec<String> =
        items.iter().enumerate().map(|(index, item)| text(index, item)).collect();
    texts.join(between)
}

//! Cells and rows: a table's content as values that compare, so that two builds can be told apart.
//!
//! Every projection writes through these few types; whatever reads or writes tables (live batches,
//! COPY, verification) therefore knows nothing of any projection.

use chrono::{DateTime, SubsecRound, Utc};
use postgres_types::private::BytesMut;
use postgres_types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::Row as SqlRow;
use uuid::Uuid;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellType {
    /// `boolean`
    Bool,
    /// `integer`
    Int,
    /// `bigint`
    BigInt,
    /// `text`
    Text,
    /// `text[]` without nulls
    Texts,
    /// `uuid`
    Uuid,
    /// `timestamptz`
    Instant,
}

impl CellType {
    /// The type as PostgreSQL writes it.
    pub const fn sql(self) -> &'static str {
        match self {
            Self::Bool => "boolean",
            Self::Int => "integer",
            Self::BigInt => "bigint",
            Self::Text => "text",
            Self::Texts => "text[]",
            Self::Uuid => "uuid",
            Self::Instant => "timestamptz",
        }
    }

    /// The driver's name of the type.
    pub const fn driver(self) -> Type {
        match self {
            Self::Bool => Type::BOOL,
            Self::Int => Type::INT4,
            Self::BigInt => Type::INT8,
            Self::Text => Type::TEXT,
            Self::Texts => Type::TEXT_ARRAY,
            Self::Uuid => Type::UUID,
            Self::Instant => Type::TIMESTAMPTZ,
        }
    }
}

/// One value of one column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cell {
    /// No value.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A small number.
    Int(i32),
    /// A number.
    BigInt(i64),
    /// A text.
    Text(String),
    /// Texts.
    Texts(Vec<String>),
    /// An id.
    Uuid(Uuid),
    /// An instant, as exact as the database keeps it.
    Instant(DateTime<Utc>),
}

/// One row of a table, in the order of its columns.
pub type Row = Vec<Cell>;

impl Cell {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A text, or no value.
    pub fn maybe_text(text: Option<impl Into<String>>) -> Self {
        text.map_or(Self::Null, Self::text)
    }

    /// An instant, cut to the microseconds that the database keeps: the same value whether it was
    /// just folded or read back.
    pub fn instant(at: DateTime<Utc>) -> Self {
        Self::Instant(at.trunc_subsecs(6))
    }

    /// The value of column `index` of `row`.
    ///
    /// # Errors
    /// The column is of another type.
    pub fn read(row: &SqlRow, index: usize, kind: CellType) -> Result<Self, tokio_postgres::Error> {
        Ok(match kind {
            CellType::Bool => row.try_get::<_, Option<_>>(index)?.map_or(Self::Null, Self::Bool),
            CellType::Int => row.try_get::<_, Option<_>>(index)?.map_or(Self::Null, Self::Int),
            CellType::BigInt => {
                row.try_get::<_, Option<_>>(index)?.map_or(Self::Null, Self::BigInt)
            }
            CellType::Text => row.try_get::<_, Option<_>>(index)?.map_or(Self::Null, Self::Text),
            CellType::Texts => row.try_get::<_, Option<_>>(index)?.map_or(Self::Null, Self::Texts),
            CellType::Uuid => row.try_get::<_, Option<_>>(index)?.map_or(Self::Null, Self::Uuid),
            CellType::Instant => {
                row.try_get::<_, Option<_>>(index)?.map_or(Self::Null, Self::Instant)
            }
        })
    }

    /// The value for people: what `verify` prints.
    pub fn shown(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::BigInt(value) => value.to_string(),
            Self::Text(value) => value.clone(),
            Self::Texts(value) => value.join(","),
            Self::Uuid(value) => value.to_string(),
            Self::Instant(value) => value.to_rfc3339(),
        }
    }
}

impl ToSql for Cell {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Bool(value) => value.to_sql_checked(ty, out),
            Self::Int(value) => value.to_sql_checked(ty, out),
            Self::BigInt(value) => value.to_sql_checked(ty, out),
            Self::Text(value) => value.to_sql_checked(ty, out),
            Self::Texts(value) => value.to_sql_checked(ty, out),
            Self::Uuid(value) => value.to_sql_checked(ty, out),
            Self::Instant(value) => value.to_sql_checked(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        // Each value checks for itself, see `to_sql`.
        true
    }

    to_sql_checked!();
}

/// One column of many rows, as a parameter for `unnest`.
#[derive(Debug)]
pub(crate) struct Column(Vec<Cell>);

impl Column {
    /// A column of `kind`. `unnest` would flatten arrays of arrays, so those travel as text.
    pub(crate) fn of(kind: CellType, cells: impl Iterator<Item = Cell>) -> Self {
        let cells = match kind {
            CellType::Texts => cells.map(as_literal).collect(),
            CellType::Bool
            | CellType::Int
            | CellType::BigInt
            | CellType::Text
            | CellType::Uuid
            | CellType::Instant => cells.collect(),
        };
        Self(cells)
    }
}

impl ToSql for Column {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.0.to_sql_checked(ty, out)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// `{"a","b"}`: an array as PostgreSQL reads it from text.
fn as_literal(cell: Cell) -> Cell {
    let Cell::Texts(texts) = cell else {
        return cell;
    };
    let mut literal = String::with_capacity(texts.iter().map(|text| text.len() + 3).sum());
    literal.push('{');
    for (index, text) in texts.iter().enumerate() {
        if 0 < index {
            literal.push(',');
        }
        literal.push('"');
        for sign in text.chars() {
            if matches!(sign, '"' | '\\') {
                literal.push('\\');
            }
            literal.push(sign);
        }
        literal.push('"');
    }
    literal.push('}');
    Cell::Text(literal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_travels_as_text_with_its_quotes_escaped() {
        let texts = vec!["a".to_owned(), "\"b\\".to_owned(), "{,}".to_owned()];
        assert_eq!(as_literal(Cell::Texts(texts)), Cell::text(r#"{"a","\"b\\","{,}"}"#));
        assert_eq!(as_literal(Cell::Null), Cell::Null);
    }

    #[test]
    fn an_instant_is_as_exact_as_the_database() {
        let fine: DateTime<Utc> = "2026-11-23T12:00:00.123456789Z".parse().unwrap();
        let cut: DateTime<Utc> = "2026-11-23T12:00:00.123456Z".parse().unwrap();
        assert_eq!(Cell::instant(fine), Cell::Instant(cut));
    }
}

//! Up to where the log is settled.
//!
//! Take a position p at or below the result, handed out by transaction T. p is at most M, so it was
//! handed out before M was read; T took its lock, whose bound lies below p, before that. When the
//! locks are scanned afterwards, either T's is among them, and the result would lie below p; or it is
//! gone, and T has committed or rolled back, which every snapshot taken from then on knows.
//! Numbers that were rolled back need no treatment: nothing will ever stand there.

use contracts::Position;
use tokio_postgres::{Client, ToStatement};

/// The statement that scans the locks.
pub(crate) const OLDEST_BOUND: &str = include_str!("sql/oldest_bound.sql");

/// Everything at or below the returned position is settled for every statement that starts later.
///
/// Two statements, on purpose: in one, the snapshot would be older than the lock scan.
/// May be lower than what an earlier call returned, when a slow append published an old bound late;
/// the caller keeps the larger one.
///
/// # Errors
/// What the database said.
pub async fn settled(client: &Client) -> Result<Settled, tokio_postgres::Error> {
    let newest: i64 =
        client.query_one(include_str!("sql/last_position.sql"), &[]).await?.try_get(0)?;
    settled_below(client, OLDEST_BOUND, Position::new(newest)).await
}

/// As [`settled`], for whoever has just read the newest position in a statement that has ended;
/// `oldest_bound` is [`OLDEST_BOUND`], prepared or not.
pub(crate) async fn settled_below<T: ToStatement + ?Sized>(
    client: &Client,
    oldest_bound: &T,
    newest: Position,
) -> Result<Settled, tokio_postgres::Error> {
    let oldest: Option<i64> =
        client.query_one(oldest_bound, &[&newest.number()]).await?.try_get(0)?;
    let safe = oldest.map_or(newest, |bound| newest.min(Position::new(bound)));
    Ok(Settled { safe, newest })
}

/// What one look at the log's edge found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Everything up to here is settled.
    pub safe: Position,
    /// The newest position handed out.
    pub newest: Position,
}

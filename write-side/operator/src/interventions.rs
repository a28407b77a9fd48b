//! Doing something about a row of the outbox: the row and the record of who did what change in one
//! transaction, so that nothing is done unseen.

use chrono::{DateTime, Utc};
use contracts::events::DeclineClass;
use contracts::{Actor, Text};
use deadpool_postgres::Transaction;
use domain::Settlement;
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Operator, OperatorError};

/// The code that an operator's decision carries.
const RESOLVED_CODE: &str = "resolved_by_operator";

/// What can be done about a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intervention {
    /// Take it up again; look it up first if anything was ever sent.
    Retry,
    /// It is certain that no money moved: tell the order so.
    ResolveAsNotDone {
        /// When the operator decided.
        at: DateTime<Utc>,
    },
    /// Do nothing about it until it is released.
    Hold,
    /// Go on with it.
    Release,
}

impl Intervention {
    /// Its name, as it is kept.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::ResolveAsNotDone { .. } => "resolve",
            Self::Hold => "hold",
            Self::Release => "release",
        }
    }

    /// Whether the row's stored outcome, by its name, reports what this denies.
    fn contradicts(self, settled: &str) -> bool {
        matches!(self, Self::ResolveAsNotDone { .. })
            && matches!(settled, "approved" | "given_back")
    }

    /// Changes the row; returns how many rows were in a state that allows it.
    async fn carry_out_in_tx(self, tx: &Transaction<'_>, id: Uuid) -> Result<u64, OperatorError> {
        let statement = match self {
            Self::ResolveAsNotDone { at } => {
                let code = Text::parse(RESOLVED_CODE).map_err(unwritable)?;
                let class = DeclineClass::Merchant;
                let outcome = serde_json::to_value(Settlement::Declined { class, code, at });
                let outcome = outcome.map_err(unwritable)?;
                let statement = include_str!("sql/resolve.sql");
                return Ok(tx.execute(statement, &[&id, &outcome, &RESOLVED_CODE]).await?);
            }
            Self::Retry => include_str!("sql/retry.sql"),
            Self::Hold => include_str!("sql/hold.sql"),
            Self::Release => include_str!("sql/release.sql"),
        };
        Ok(tx.execute(statement, &[&id]).await?)
    }
}

/// Who does it, and within which request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// On whose behalf.
    pub actor: Actor,
    /// The request id of the chain.
    pub request_id: String,
}

/// What somebody did about a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Intervened {
    /// `retry`, `resolve`, `hold` or `release`.
    pub action: String,
    /// The state that the row was in.
    pub state_before: String,
    /// On whose behalf.
    pub actor: Actor,
    /// The request id of the chain.
    pub request_id: String,
    /// When.
    pub at: DateTime<Utc>,
}

impl Intervened {
    pub(crate) fn read(row: &Row) -> Result<Self, OperatorError> {
        let actor = serde_json::from_value(row.try_get("actor")?);
        Ok(Self {
            action: row.try_get("action")?,
            state_before: row.try_get("state_before")?,
            actor: actor.map_err(unwritable)?,
            request_id: row.try_get("request_id")?,
            at: row.try_get("intervened_at")?,
        })
    }
}

impl Operator {
    /// Does something about a row, and keeps who did.
    ///
    /// # Errors
    /// The row is not there or in a state that does not allow it, or the database is away.
    pub async fn intervene(
        &self,
        id: Uuid,
        what: Intervention,
        by: &By,
    ) -> Result<(), OperatorError> {
        self.carry_out(None, id, what, by).await
    }

    /// As [`intervene`](Self::intervene), but only for a row that is still in the state `from`: what
    /// was decided by a look at the row is not done to one that an operator has held since.
    ///
    /// # Errors
    /// As [`intervene`](Self::intervene).
    pub async fn intervene_from(
        &self,
        from: &str,
        id: Uuid,
        what: Intervention,
        by: &By,
    ) -> Result<(), OperatorError> {
        self.carry_out(Some(from), id, what, by).await
    }

    async fn carry_out(
        &self,
        from: Option<&str>,
        id: Uuid,
        what: Intervention,
        by: &By,
    ) -> Result<(), OperatorError> {
        let mut client = self.pool.get().await?;
        let tx = client.transaction().await?;
        // Locked, so that the relay cannot take the row between the look and the change.
        let Some(found) = tx.query_opt(include_str!("sql/lock_row.sql"), &[&id]).await? else {
            return Err(absent_in_tx(&tx, id).await?);
        };
        let state: String = found.try_get("state")?;
        let settled: Option<String> = found.try_get("settled")?;
        if let Some(settled) = settled.filter(|settled| what.contradicts(settled)) {
            return Err(OperatorError::Contradicted { id, settled });
        }
        let is_expected = from.is_none_or(|from| from == state);
        if !is_expected || what.carry_out_in_tx(&tx, id).await? == 0 {
            return Err(OperatorError::WrongState { id, state });
        }
        let actor = serde_json::to_value(&by.actor).map_err(unwritable)?;
        let statement = include_str!("sql/keep_intervention.sql");
        tx.execute(statement, &[&id, &what.name(), &state, &actor, &by.request_id]).await?;
        tx.commit().await?;
        let (actor, action, request) = (&by.actor, what.name(), by.request_id.as_str());
        tracing::warn!(
            outbox.id = %id, ?actor, action, outbox.state_before = state, request.id = request,
            "an operator intervened"
        );
        Ok(())
    }
}

/// Why a row is not in the outbox: it was carried out, or never was.
async fn absent_in_tx(tx: &Transaction<'_>, id: Uuid) -> Result<OperatorError, OperatorError> {
    let done = tx.query_opt(include_str!("sql/state_of_done.sql"), &[&id]).await?;
    Ok(match done {
        Some(row) => OperatorError::WrongState { id, state: row.try_get("state")? },
        None => OperatorError::NoSuchRow(id),
    })
}

fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> OperatorError {
    OperatorError::Unwritable(Box::new(error))
}

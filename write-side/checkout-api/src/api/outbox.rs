//! The outbox, for administrators: look, and say what is to be done about what gave up. On a listener
//! of its own.
//!
//! Nothing here calls the payment gateway: the worker's relay does, once the row says so. Every
//! intervention is kept with the administrator and the request.

use std::sync::Arc;

use chrono::{DateTime, FixedOffset, Utc};
use contracts::Actor;
use contracts::calendar::kst;
use operator::{By, Intervened, Intervention, RowView};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::{Any, Example};
use poem_openapi::{Enum, Object, OpenApi};
use serde_json::Value;
use service_kit::problem::Problem;
use service_kit::tokens::{AuthenticatedCaller, Caller};
use uuid::Uuid;

use super::Tag;
use crate::http::Fields;
use crate::problems;
use crate::shop::{Shop, metadata};

/// The outbox.
pub(crate) struct OutboxApi(pub(crate) Arc<Shop>);

/// Rows that are told when nothing else is asked for.
const LIMIT_DEFAULT: u32 = 50;

/// How a row that was not carried out yet stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum RowState {
    /// To be sent for the first time.
    Ready,
    /// A worker has it.
    InFlight,
    /// Certainly nothing happened, or only the telling is left.
    Waiting,
    /// Nobody knows what happened: it is looked up first.
    Unknown,
    /// Given up: somebody has to find out.
    Dead,
    /// Left alone because somebody said so.
    Held,
}

impl RowState {
    const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::InFlight => "in_flight",
            Self::Waiting => "waiting",
            Self::Unknown => "unknown",
            Self::Dead => "dead",
            Self::Held => "held",
        }
    }
}

/// One call that an event asked for.
#[derive(Debug, Clone, Object)]
#[oai(rename_all = "camelCase")]
struct RowBody {
    /// The row.
    id: Uuid,
    /// The stream that asked for it, as `type/id`.
    stream: String,
    /// The event of the stream that asked for it.
    sequence: i64,
    /// The sort of call, for example `payment_approve`.
    kind: String,
    /// `ready`, `in_flight`, `waiting`, `unknown`, `dead` or `held`; `done` when it was carried out.
    state: String,
    /// Tries so far.
    attempt: i32,
    /// When it is tried next.
    not_before: DateTime<FixedOffset>,
    /// Which worker has it.
    #[oai(skip_serializing_if_is_none)]
    lease_owner: Option<String>,
    /// Until when.
    #[oai(skip_serializing_if_is_none)]
    lease_until: Option<DateTime<FixedOffset>>,
    /// What went wrong last.
    #[oai(skip_serializing_if_is_none)]
    last_error: Option<String>,
    /// When it was asked for.
    created_at: DateTime<FixedOffset>,
    /// When it last changed.
    updated_at: DateTime<FixedOffset>,
}

/// Rows of the outbox, those that need somebody first.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
struct RowsBody {
    /// At most as many as were asked for.
    rows: Vec<RowBody>,
}

/// What somebody did about a row.
#[derive(Debug, Clone, Object)]
#[oai(rename_all = "camelCase")]
struct IntervenedBody {
    /// `retry`, `resolve`, `hold` or `release`.
    action: String,
    /// The state that the row was in.
    state_before: String,
    /// The administrator's id, or the name of a process of ours.
    actor: String,
    /// The request in which it was done.
    request_id: String,
    /// When.
    at: DateTime<FixedOffset>,
}

/// One row with everything that is known about it and no secret.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
struct RowDetailBody {
    /// The row.
    row: RowBody,
    /// The request that started the chain.
    #[oai(skip_serializing_if_is_none)]
    request_id: Option<String>,
    /// What was sent, without secrets; absent when nothing was.
    #[oai(skip_serializing_if_is_none)]
    request: Option<Any<Value>>,
    /// What came of it; absent as long as nothing did.
    #[oai(skip_serializing_if_is_none)]
    outcome: Option<Any<Value>>,
    /// What people did about it, oldest first.
    interventions: Vec<IntervenedBody>,
}

/// Says that no money moved.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", deny_unknown_fields, example)]
struct ResolveRequest {
    /// `true`: the gateway's own books were looked at, and it is certain that nothing was done.
    not_done: bool,
}

impl Example for ResolveRequest {
    fn example() -> Self {
        Self { not_done: true }
    }
}

#[OpenApi(tag = "Tag::Operating")]
impl OutboxApi {
    /// Rows of the outbox, those that need somebody first.
    ///
    /// A row that was carried out is no longer among them; it is found by its id for 30 days.
    #[oai(path = "/admin/outbox", method = "get", operation_id = "listOutbox")]
    async fn list(
        &self,
        caller: AuthenticatedCaller,
        /// Only rows in this state.
        state: Query<Option<RowState>>,
        /// How many rows, 1 to 100; 50 when absent.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<u32>>,
    ) -> Result<Json<RowsBody>, Problem> {
        caller.0.require_admin()?;
        let state = state.0.map(RowState::name);
        let rows = self.0.operator.list(state, limit.0.unwrap_or(LIMIT_DEFAULT)).await;
        let rows = rows.map_err(problems::of_operator)?;
        Ok(Json(RowsBody { rows: rows.iter().map(row_body).collect() }))
    }

    /// One row with what was sent, what came of it and what people did about it.
    #[oai(path = "/admin/outbox/:id", method = "get", operation_id = "showOutboxRow")]
    async fn show(
        &self,
        caller: AuthenticatedCaller,
        /// Which row.
        id: Path<Uuid>,
    ) -> Result<Json<RowDetailBody>, Problem> {
        caller.0.require_admin()?;
        self.shown(id.0).await
    }

    /// Have a row taken up again; what may have been sent is looked up first.
    ///
    /// Allowed for `dead`, `held`, `waiting` and `unknown` rows, else 409 with the code
    /// `outbox.wrong_state`.
    #[oai(path = "/admin/outbox/:id/retry", method = "post", operation_id = "retryOutboxRow")]
    async fn retry(
        &self,
        caller: AuthenticatedCaller,
        /// Which row.
        id: Path<Uuid>,
    ) -> Result<Json<RowDetailBody>, Problem> {
        self.intervene(&caller.0, id.0, Intervention::Retry).await
    }

    /// Tell the order that no money moved. Only when the gateway's own books say so.
    ///
    /// Allowed for `dead` and `held` rows, else 409 with the code `outbox.wrong_state`; 409 with the
    /// code `outbox.contradicted` when the row holds the gateway's answer that money moved, which
    /// `retry` reports. The shopper may then pay again; a refund counts as refused. The gateway is not
    /// asked: `worker outbox resolve` asks it first.
    #[oai(path = "/admin/outbox/:id/resolve", method = "post", operation_id = "resolveOutboxRow")]
    async fn resolve(
        &self,
        caller: AuthenticatedCaller,
        /// Which row.
        id: Path<Uuid>,
        body: Json<ResolveRequest>,
    ) -> Result<Json<RowDetailBody>, Problem> {
        caller.0.require_admin()?;
        if !body.0.not_done {
            let mut fields = Fields::default();
            fields.refuse("/notDone", "outbox.unconfirmed", "only `true` resolves a row");
            return Err(fields.problem());
        }
        let at = self.0.clock.now();
        self.intervene(&caller.0, id.0, Intervention::ResolveAsNotDone { at }).await
    }

    /// Have nothing done about a row until it is released.
    ///
    /// Allowed for `ready`, `waiting`, `unknown` and `dead` rows, else 409 with the code
    /// `outbox.wrong_state`. Later rows of the same order wait behind it.
    #[oai(path = "/admin/outbox/:id/hold", method = "post", operation_id = "holdOutboxRow")]
    async fn hold(
        &self,
        caller: AuthenticatedCaller,
        /// Which row.
        id: Path<Uuid>,
    ) -> Result<Json<RowDetailBody>, Problem> {
        self.intervene(&caller.0, id.0, Intervention::Hold).await
    }

    /// Go on with a held row; what may have been sent is looked up first.
    ///
    /// Any other row is 409 with the code `outbox.wrong_state`.
    #[oai(path = "/admin/outbox/:id/release", method = "post", operation_id = "releaseOutboxRow")]
    async fn release(
        &self,
        caller: AuthenticatedCaller,
        /// Which row.
        id: Path<Uuid>,
    ) -> Result<Json<RowDetailBody>, Problem> {
        self.intervene(&caller.0, id.0, Intervention::Release).await
    }
}

impl OutboxApi {
    /// Does it and shows the row as it is then.
    async fn intervene(
        &self,
        caller: &Caller,
        id: Uuid,
        what: Intervention,
    ) -> Result<Json<RowDetailBody>, Problem> {
        caller.require_admin()?;
        let metadata = metadata(caller, None);
        let by = By { actor: metadata.actor, request_id: metadata.correlation_id };
        self.0.operator.intervene(id, what, &by).await.map_err(problems::of_operator)?;
        self.shown(id).await
    }

    async fn shown(&self, id: Uuid) -> Result<Json<RowDetailBody>, Problem> {
        let shown = self.0.operator.show(id).await.map_err(problems::of_operator)?;
        let shown = shown.ok_or_else(problems::no_such_row)?;
        Ok(Json(RowDetailBody {
            row: row_body(&shown),
            request_id: shown.correlation_id,
            request: shown.request.map(Any),
            outcome: shown.outcome.map(Any),
            interventions: shown.interventions.into_iter().map(intervened).collect(),
        }))
    }
}

fn row_body(row: &RowView) -> RowBody {
    let local = |at: DateTime<Utc>| at.with_timezone(&kst());
    RowBody {
        id: row.id,
        stream: row.stream.clone(),
        sequence: row.sequence,
        kind: row.kind.clone(),
        state: row.state.clone(),
        attempt: row.attempt,
        not_before: local(row.not_before),
        lease_owner: row.lease_owner.clone(),
        lease_until: row.lease_until.map(local),
        last_error: row.last_error.clone(),
        created_at: local(row.created_at),
        updated_at: local(row.updated_at),
    }
}

fn intervened(done: Intervened) -> IntervenedBody {
    IntervenedBody {
        action: done.action,
        state_before: done.state_before,
        actor: match done.actor {
            Actor::User(user_id) | Actor::Admin(user_id) => user_id.to_string(),
            Actor::System(name) => name,
        },
        request_id: done.request_id,
        at: done.at.with_timezone(&kst()),
    }
}

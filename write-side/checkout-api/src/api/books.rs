//! Payments that need somebody, for administrators: without an outcome, or with books that differ.
//! On a listener of its own.

use std::sync::Arc;

use chrono::{DateTime, FixedOffset};
use contracts::calendar::kst;
use operator::{OpenDifference, OpenPayment};
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use service_kit::problem::Problem;
use service_kit::tokens::AuthenticatedCaller;
use uuid::Uuid;

use super::Tag;
use crate::problems;
use crate::shop::Shop;

/// Payments that need somebody.
pub(crate) struct BooksApi(pub(crate) Arc<Shop>);

/// Payments that are told when nothing else is asked for.
const LIMIT_DEFAULT: u32 = 50;

/// In what the gateway's books differ from ours about a payment.
#[derive(Debug, Clone, Object)]
#[oai(rename_all = "camelCase")]
struct DifferenceBody {
    /// Which order.
    order_id: Uuid,
    /// Which attempt to pay it, from 1.
    attempt: i32,
    /// `amount`, `cancelled`, `status`, `mismatch`, `refused` or `unresolved`.
    kind: String,
    /// What we have.
    ours: String,
    /// What they say.
    theirs: String,
    /// Since when it is open.
    found_at: DateTime<FixedOffset>,
    /// When a side last said something else.
    changed_at: DateTime<FixedOffset>,
}

/// Differences that are open, oldest first.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
struct DifferencesBody {
    /// At most as many as were asked for.
    differences: Vec<DifferenceBody>,
}

/// A payment whose outcome is overdue.
#[derive(Debug, Clone, Object)]
#[oai(rename_all = "camelCase")]
struct UnresolvedBody {
    /// Which order.
    order_id: Uuid,
    /// Which attempt to pay it, from 1.
    attempt: i32,
    /// `approving`: the gateway was asked to move the money; `unresolved`: nobody could find out.
    state: String,
    /// Since when.
    since: DateTime<FixedOffset>,
    /// When the gateway is asked about it next, unless the row below is on its way.
    next_look_up_at: DateTime<FixedOffset>,
    /// The row of the outbox that is to bring the outcome, when there is one.
    #[oai(skip_serializing_if_is_none)]
    row_id: Option<Uuid>,
    /// How that row stands.
    #[oai(skip_serializing_if_is_none)]
    row_state: Option<String>,
    /// What went wrong with it last.
    #[oai(skip_serializing_if_is_none)]
    last_error: Option<String>,
}

/// Payments whose outcome is overdue, oldest first.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
struct UnresolvedPaymentsBody {
    /// At most as many as were asked for.
    payments: Vec<UnresolvedBody>,
}

#[OpenApi(tag = "Tag::Operating")]
impl BooksApi {
    /// Differences from the gateway's books that are open, oldest first.
    #[oai(path = "/admin/payments/differences", method = "get", operation_id = "listDifferences")]
    async fn differences(
        &self,
        caller: AuthenticatedCaller,
        /// How many, 1 to 100; 50 when absent.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<u32>>,
    ) -> Result<Json<DifferencesBody>, Problem> {
        caller.0.require_admin()?;
        let open = self.0.operator.differences(limit.0.unwrap_or(LIMIT_DEFAULT)).await;
        let open = open.map_err(problems::of_operator)?;
        Ok(Json(DifferencesBody { differences: open.into_iter().map(difference).collect() }))
    }

    /// Payments whose outcome is overdue, oldest first.
    ///
    /// The worker looks them up by itself, at least once an hour. A refund without an outcome is a
    /// row of the outbox of the kind `payment_cancel`.
    #[oai(
        path = "/admin/payments/unresolved",
        method = "get",
        operation_id = "listUnresolvedPayments"
    )]
    async fn unresolved(
        &self,
        caller: AuthenticatedCaller,
        /// How many, 1 to 100; 50 when absent.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<u32>>,
    ) -> Result<Json<UnresolvedPaymentsBody>, Problem> {
        caller.0.require_admin()?;
        let (now, limit) = (self.0.clock.now(), limit.0.unwrap_or(LIMIT_DEFAULT));
        let open = self.0.operator.unresolved(now, limit).await;
        let open = open.map_err(problems::of_operator)?;
        Ok(Json(UnresolvedPaymentsBody { payments: open.into_iter().map(payment).collect() }))
    }
}

fn difference(open: OpenDifference) -> DifferenceBody {
    DifferenceBody {
        order_id: open.order_id.uuid(),
        attempt: open.attempt,
        kind: open.kind,
        ours: open.ours,
        theirs: open.theirs,
        found_at: open.found_at.with_timezone(&kst()),
        changed_at: open.changed_at.with_timezone(&kst()),
    }
}

fn payment(open: OpenPayment) -> UnresolvedBody {
    UnresolvedBody {
        order_id: open.order_id.uuid(),
        attempt: open.attempt,
        state: open.state,
        since: open.since.with_timezone(&kst()),
        next_look_up_at: open.next_look_up_at.with_timezone(&kst()),
        row_id: open.row_id,
        row_state: open.row_state,
        last_error: open.last_error,
    }
}

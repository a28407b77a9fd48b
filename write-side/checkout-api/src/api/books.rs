//! Payments, refunds and recurring keys that need an operator, for administrators: without an outcome,
//! owed, missing, or with ledgers that differ. On a listener of its own.

use std::sync::Arc;

use chrono::{DateTime, FixedOffset, NaiveDate};
use contracts::calendar::kst;
use operator::{MissingKey, OpenDifference, OpenPayment, OpenRefund};
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

/// A refund that the shop owes.
#[derive(Debug, Clone, Object)]
#[oai(rename_all = "camelCase")]
struct OpenRefundBody {
    /// The refund.
    refund_id: Uuid,
    /// The order whose payment it refunds.
    order_id: Uuid,
    /// The attempt that was paid, from 1.
    attempt: i32,
    /// How much, in won.
    amount: i64,
    /// `pending`: there is no outcome; `refused`: the gateway refused it.
    state: String,
    /// Whether it refunds a payment that came too late: no shopper asks for it again.
    is_automatic: bool,
    /// The gateway's code, of a refused one.
    #[oai(skip_serializing_if_is_none)]
    code: Option<String>,
    /// When it was requested.
    requested_at: DateTime<FixedOffset>,
    /// Since when it stands so.
    since: DateTime<FixedOffset>,
    /// The Korean day on which the shopper has to have the money.
    due_on: NaiveDate,
    /// When the gateway is asked about it next, unless the row below is on its way; absent when it is
    /// not asked any more.
    #[oai(skip_serializing_if_is_none)]
    next_look_up_at: Option<DateTime<FixedOffset>>,
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

/// Payments and refunds whose outcome is overdue.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
struct UnresolvedPaymentsBody {
    /// Payments, oldest first; at most as many as were asked for.
    payments: Vec<UnresolvedBody>,
    /// Refunds, those that are due first; at most as many as were asked for.
    refunds: Vec<OpenRefundBody>,
}

/// Refunds that the shop owes, those that are due first.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
struct OpenRefundsBody {
    /// At most as many as were asked for.
    refunds: Vec<OpenRefundBody>,
}

/// A recurring key that was lost with the answer that held it.
#[derive(Debug, Clone, Object)]
#[oai(rename_all = "camelCase")]
struct MissingKeyBody {
    /// What the log refers to the key by.
    billing_key_id: Uuid,
    /// The user whose subscriptions it was to pay.
    user_id: Uuid,
    /// Since when it is missing.
    since: DateTime<FixedOffset>,
}

/// Recurring keys that are missing, oldest first.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
struct MissingKeysBody {
    /// At most as many as were asked for.
    keys: Vec<MissingKeyBody>,
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

    /// Payments and refunds whose outcome is overdue.
    ///
    /// The worker looks them up by itself, at least once an hour.
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
        let refunds = self.0.operator.open_refunds(now, true, limit).await;
        let refunds = refunds.map_err(problems::of_operator)?;
        Ok(Json(UnresolvedPaymentsBody {
            payments: open.into_iter().map(payment).collect(),
            refunds: refunds.into_iter().map(refund).collect(),
        }))
    }

    /// Refunds that the shop owes, those that are due first.
    ///
    /// Pending for more than an hour, given up by the relay, or refused by the gateway. A refused one
    /// leaves the list when a later refund of the same payment returned at least as much.
    #[oai(path = "/admin/refunds/open", method = "get", operation_id = "listOpenRefunds")]
    async fn open_refunds(
        &self,
        caller: AuthenticatedCaller,
        /// How many, 1 to 100; 50 when absent.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<u32>>,
    ) -> Result<Json<OpenRefundsBody>, Problem> {
        caller.0.require_admin()?;
        let (now, limit) = (self.0.clock.now(), limit.0.unwrap_or(LIMIT_DEFAULT));
        let open = self.0.operator.open_refunds(now, false, limit).await;
        let open = open.map_err(problems::of_operator)?;
        Ok(Json(OpenRefundsBody { refunds: open.into_iter().map(refund).collect() }))
    }

    /// Recurring keys that were lost with their answer, oldest first.
    ///
    /// What they were to pay is paid for its first cycle; the shopper has to register again before
    /// the next.
    #[oai(
        path = "/admin/billing-keys/missing",
        method = "get",
        operation_id = "listMissingBillingKeys"
    )]
    async fn missing_keys(
        &self,
        caller: AuthenticatedCaller,
        /// How many, 1 to 100; 50 when absent.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<u32>>,
    ) -> Result<Json<MissingKeysBody>, Problem> {
        caller.0.require_admin()?;
        let missing = self.0.operator.missing_keys(limit.0.unwrap_or(LIMIT_DEFAULT)).await;
        let missing = missing.map_err(problems::of_operator)?;
        Ok(Json(MissingKeysBody { keys: missing.iter().map(missing_key).collect() }))
    }
}

fn refund(open: OpenRefund) -> OpenRefundBody {
    OpenRefundBody {
        refund_id: open.refund_id.uuid(),
        order_id: open.order_id.uuid(),
        attempt: open.attempt,
        amount: open.amount,
        state: open.state,
        is_automatic: open.is_automatic,
        code: open.code,
        requested_at: open.requested_at.with_timezone(&kst()),
        since: open.since.with_timezone(&kst()),
        due_on: open.due_on,
        next_look_up_at: open.next_look_up_at.map(|at| at.with_timezone(&kst())),
        row_id: open.row_id,
        row_state: open.row_state,
        last_error: open.last_error,
    }
}

fn missing_key(missing: &MissingKey) -> MissingKeyBody {
    MissingKeyBody {
        billing_key_id: missing.billing_key_id.uuid(),
        user_id: missing.user_id.uuid(),
        since: missing.since.with_timezone(&kst()),
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

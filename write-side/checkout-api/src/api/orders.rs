//! Placing, cancelling and refunding orders. Prices come from the items' own histories, at the
//! moment of placing; whose order it is decides the aggregate.

use std::sync::Arc;

use chrono::{DateTime, FixedOffset, Utc};
use contracts::calendar::kst;
use contracts::events::OrderKind;
use contracts::ids::NAMESPACE;
use contracts::{OrderId, Position, RefundId, Text, Won, seals};
use domain::order::{Order, OrderCommand, PlaceOrder, PlacedOrder};
use event_store::{CommandContext, ReceiptKey, Recorded, Store};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::types::{ParseFromJSON, ToJSON};
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use service_kit::problem::Problem;
use service_kit::tokens::{AuthenticatedCaller, Caller};
use uuid::Uuid;

use super::Tag;
use crate::http::{Fields, IdempotencyKey, OptionalKey, REPLAYED, RequiredKey};
use crate::ordering::{PlaceOrderRequest, Wanted};
use crate::shop::{KEEP_ANSWER, KEEP_MONEY_ANSWER, Shop, metadata, principal};
use crate::{metrics, problems};

/// The caller's orders.
pub(crate) struct OrdersApi(pub(crate) Arc<Shop>);

/// What an order is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "kebab-case")]
enum OrderKindName {
    /// Bought once.
    OneOff,
    /// Each line opens a subscription when paid.
    Subscription,
}

/// One line of an order: a snapshot of the moment it was placed.
#[derive(Debug, Clone, Object)]
#[oai(rename_all = "camelCase")]
struct OrderLineBody {
    /// Place in the order, from 1.
    line_no: u16,
    /// What.
    item_id: Uuid,
    /// Its name.
    item_name: String,
    /// Price of one piece before discount, in won.
    origin_price: i64,
    /// Price of one piece after discount, in won.
    unit_price: i64,
    /// How many.
    quantity: i64,
    /// Days between deliveries.
    #[oai(skip_serializing_if_is_none)]
    period_days: Option<i64>,
}

/// An order that was placed.
#[derive(Debug, Clone, Object)]
#[oai(rename_all = "camelCase")]
struct OrderPlacedBody {
    /// Which.
    order_id: Uuid,
    /// The number for people.
    number: String,
    /// Bought once, or opening subscriptions.
    kind: OrderKindName,
    /// Where it stands; `PLACED` when it is new.
    status: String,
    /// To be paid, in won.
    total: i64,
    /// The value-added tax in it, in won.
    vat: i64,
    /// What was ordered.
    lines: Vec<OrderLineBody>,
    /// When it was placed.
    placed_at: DateTime<FixedOffset>,
    /// When it expires unless it is paid; later, once a payment page that ends later is open.
    expires_at: DateTime<FixedOffset>,
}

#[derive(ApiResponse)]
enum PlaceAnswer {
    /// The order is recorded; pay it next.
    #[oai(status = 201)]
    Placed(
        Json<OrderPlacedBody>,
        /// Where the order is read.
        #[oai(header = "Location")]
        String,
        /// The position of this write in the log.
        #[oai(header = "Event-Position")]
        Option<String>,
        /// `true` when this very request was carried out before.
        #[oai(header = "Idempotent-Replayed")]
        Option<String>,
    ),
}

/// Why an order is called off.
#[derive(Object)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
struct CancelRequest {
    /// 1 to 200 characters.
    reason: Option<String>,
}

/// Where an order stands after it was called off.
#[derive(Debug, Clone, Object)]
#[oai(rename_all = "camelCase")]
struct OrderStatusBody {
    /// Which.
    order_id: Uuid,
    /// `CANCELLED`, or `PAID` while the money is being given back.
    status: String,
}

#[derive(ApiResponse)]
enum CancelAnswer {
    /// The order is called off; money that was paid is being given back.
    #[oai(status = 200)]
    Cancelled(
        Json<OrderStatusBody>,
        /// The position of this write in the log; absent when nothing changed.
        #[oai(header = "Event-Position")]
        Option<String>,
        /// `true` when this very request was carried out before.
        #[oai(header = "Idempotent-Replayed")]
        Option<String>,
    ),
}

/// Money to be given back.
#[derive(Object)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
struct RefundRequest {
    /// How much, in won; at most what was paid and not yet given back.
    amount: i64,
    /// The attempt whose payment is refunded, from 1. When absent, the payment that paid the order in
    /// time; an administrator has to name it while more than one payment has money left.
    // Left out of the digest of a request without it, so that one from before the field is the same.
    #[oai(skip_serializing_if_is_none)]
    attempt: Option<u32>,
    /// 1 to 200 characters.
    reason: Option<String>,
}

/// A refund that is under way.
#[derive(Debug, Clone, Object)]
#[oai(rename_all = "camelCase")]
struct RefundBody {
    /// Which.
    refund_id: Uuid,
    /// How much, in won.
    amount: i64,
    /// `PENDING`: the gateway is being asked.
    status: String,
}

#[derive(ApiResponse)]
enum RefundAnswer {
    /// The refund is recorded and the gateway is being asked; the order shows what became of it.
    #[oai(status = 202)]
    Requested(
        Json<RefundBody>,
        /// Where the order is read.
        #[oai(header = "Location")]
        String,
        /// The position of this write in the log; absent when nothing changed.
        #[oai(header = "Event-Position")]
        Option<String>,
        /// `true` when this very request was carried out before.
        #[oai(header = "Idempotent-Replayed")]
        Option<String>,
    ),
}

#[OpenApi(tag = "Tag::Orders")]
impl OrdersApi {
    /// Place an order.
    ///
    /// From one of the caller's carts (`fromCart`) or of some lines directly (`lines`), never both.
    /// Prices are today's. Whatever is not on sale is refused.
    #[oai(path = "/api/orders", method = "post", operation_id = "placeOrder")]
    async fn place(
        &self,
        caller: AuthenticatedCaller,
        /// Makes the request happen once.
        #[oai(name = "Idempotency-Key")]
        key: RequiredKey,
        body: Json<PlaceOrderRequest>,
    ) -> Result<PlaceAnswer, Problem> {
        let caller = &caller.0;
        self.0.limits.edits.check(&caller.user_id)?;
        let request = ("", &body.0);
        let receipt =
            self.0.receipt(caller, "POST /api/orders", &key.0, request, KEEP_MONEY_ANSWER);
        // Before anything is looked up: the cart may be empty by now because of that very order.
        if let Some(answer) = self.placed_before(&receipt).await? {
            return Ok(answer);
        }
        self.0.limits.orders.check(&caller.user_id)?;
        let wanted = self.0.wanted(caller, &body.0).await?;
        let command = self.command(caller, wanted).await?;
        let (id, kind) = (command.order_id, command.kind);
        let context = CommandContext::new(metadata(caller, Some(&key.0)))
            .with_receipt(receipt)
            .answering(|state: &Order, _events| {
                state.placed().and_then(|order| placed_body(order).to_json()).unwrap_or_default()
            });
        let command = OrderCommand::PlaceOrder(Box::new(command));
        let recorded = self.0.orders.dispatch(id.uuid(), command, context).await;
        let recorded = recorded.map_err(problems::of_dispatch)?;
        if recorded.replayed.is_none() {
            metrics::order_placed(match kind {
                OrderKind::OneOff => "one_off",
                OrderKind::Subscription => "subscription",
            });
        }
        place_answer(&recorded)
    }

    /// Call an order off.
    ///
    /// An unpaid order is cancelled; of a paid one all money is given back, and the subscriptions it
    /// opened end at once. While a payment is being
    /// approved or looked up this is 409.
    #[oai(path = "/api/orders/:id/cancel", method = "post", operation_id = "cancelOrder")]
    async fn cancel(
        &self,
        caller: AuthenticatedCaller,
        /// Which order.
        id: Path<Uuid>,
        /// Makes the request happen once.
        #[oai(name = "Idempotency-Key")]
        key: OptionalKey,
        body: Json<CancelRequest>,
    ) -> Result<CancelAnswer, Problem> {
        let (caller, key, id) = (&caller.0, key.0.as_ref(), OrderId::new(id.0));
        self.0.limits.edits.check(&caller.user_id)?;
        let at = self.0.clock.now();
        let command = OrderCommand::CancelOrder {
            by: principal(caller),
            refund_id: refund_id(id, caller, "cancel", key),
            reason: reason(body.0.reason.as_deref())?,
            at,
        };
        let mut context =
            CommandContext::new(metadata(caller, key)).answering(move |state: &Order, _events| {
                status_body(state, at).and_then(|it| it.to_json()).unwrap_or_default()
            });
        context.receipt = key.map(|key| {
            let (operation, addressed) = ("POST /api/orders/{id}/cancel", id.to_string());
            self.0.receipt(caller, operation, key, (&addressed, &body.0), KEEP_ANSWER)
        });
        let recorded = self.0.orders.dispatch(id.uuid(), command, context).await;
        let recorded = recorded.map_err(problems::of_dispatch)?;
        let replayed = recorded.replayed.is_some().then(|| REPLAYED.to_owned());
        let body = match recorded.replayed {
            Some(stored) => Some(of_stored(stored)?),
            None => status_body(&recorded.state, at),
        };
        let body = body.ok_or_else(no_such_order)?;
        Ok(CancelAnswer::Cancelled(Json(body), recorded.position.map(Position::token), replayed))
    }

    /// Give money back.
    ///
    /// By the owner or an administrator, part or all of what was paid. Two equal refunds are two
    /// refunds; the same request under the same key is one. An order may have a second payment that
    /// came too late and that KakaoPay refused to refund: while more than one has money left, an
    /// administrator's request without `attempt` is 409 `order.refund_attempt_ambiguous`.
    #[oai(path = "/api/orders/:id/refunds", method = "post", operation_id = "refundOrder")]
    async fn refund(
        &self,
        caller: AuthenticatedCaller,
        /// Which order.
        id: Path<Uuid>,
        /// Makes the request happen once.
        #[oai(name = "Idempotency-Key")]
        key: RequiredKey,
        body: Json<RefundRequest>,
    ) -> Result<RefundAnswer, Problem> {
        let (caller, id) = (&caller.0, OrderId::new(id.0));
        self.0.limits.edits.check(&caller.user_id)?;
        let mut fields = Fields::default();
        let amount = fields.take("/amount", "amount.malformed", Won::try_from(body.0.amount));
        let Some(amount) = amount else {
            return Err(fields.problem());
        };
        let refund_id = refund_id(id, caller, "refund", Some(&key.0));
        let command = OrderCommand::RequestRefund {
            by: principal(caller),
            refund_id,
            amount,
            attempt: body.0.attempt,
            reason: reason(body.0.reason.as_deref())?,
            at: self.0.clock.now(),
        };
        let answered = RefundBody {
            refund_id: refund_id.uuid(),
            amount: amount.amount(),
            status: "PENDING".to_owned(),
        };
        let stored = answered.to_json().unwrap_or_default();
        let (operation, addressed) = ("POST /api/orders/{id}/refunds", id.to_string());
        let request = (addressed.as_str(), &body.0);
        let context = CommandContext::new(metadata(caller, Some(&key.0)))
            .with_receipt(self.0.receipt(caller, operation, &key.0, request, KEEP_MONEY_ANSWER))
            .answering(move |_state: &Order, _events| stored.clone());
        let recorded = self.0.orders.dispatch(id.uuid(), command, context).await;
        let recorded = recorded.map_err(problems::of_dispatch)?;
        let replayed = recorded.replayed.is_some().then(|| REPLAYED.to_owned());
        let body = match recorded.replayed {
            Some(stored) => of_stored(stored)?,
            None => answered,
        };
        let position = recorded.position.map(Position::token);
        Ok(RefundAnswer::Requested(Json(body), location(id), position, replayed))
    }
}

impl OrdersApi {
    /// The answer of an earlier, identical request.
    async fn placed_before(&self, receipt: &ReceiptKey) -> Result<Option<PlaceAnswer>, Problem> {
        let stored = Store::<Order>::receipt(&*self.0.store, &receipt.scope, &receipt.key).await;
        let Some(stored) = stored.map_err(|error| problems::of_store(&error))? else {
            return Ok(None);
        };
        if stored.request_digest != receipt.request_digest {
            return Err(problems::key_reused());
        }
        let position = stored.positions.last().copied();
        Ok(Some(replayed_answer(of_stored(stored.result)?, position)))
    }

    /// The command that places `wanted`, with the receiver sealed for the order's own stream.
    async fn command(&self, caller: &Caller, wanted: Wanted) -> Result<PlaceOrder, Problem> {
        let order_id = OrderId::new(Uuid::now_v7());
        let stream = seals::order_stream(order_id);
        let owner = caller.user_id;
        let sealed = self.0.vault.seal(owner, &stream, seals::RECEIVER, &wanted.receiver).await;
        Ok(PlaceOrder {
            by: principal(caller),
            order_id,
            kind: wanted.kind,
            from_cart: wanted.from_cart,
            lines: wanted.lines,
            receiver: sealed.map_err(|error| problems::of_vault(&error))?,
            at: self.0.clock.now(),
        })
    }
}

/// Where an order is read, on the storefront's side of the same origin.
pub(super) fn location(id: OrderId) -> String {
    format!("/api/orders/{id}")
}

pub(super) fn no_such_order() -> Problem {
    Problem::not_found("order.not_found", "there is no such order")
}

/// A stored answer, read back. Written by this very API, so it is readable or a fault of ours.
fn of_stored<T: ParseFromJSON>(stored: serde_json::Value) -> Result<T, Problem> {
    T::parse_from_json(Some(stored)).map_err(|_not_ours| {
        tracing::error!("a stored answer cannot be read");
        Problem::internal_unexplained()
    })
}

/// The same request under the same key is the same refund, even after its receipt was forgotten.
fn refund_id(
    order: OrderId,
    caller: &Caller,
    operation: &str,
    key: Option<&IdempotencyKey>,
) -> RefundId {
    RefundId::new(key.map_or_else(Uuid::now_v7, |key| {
        let name = format!("{operation}/{order}/{}/{}", caller.user_id, key.as_str());
        Uuid::new_v5(&NAMESPACE, name.as_bytes())
    }))
}

fn reason(raw: Option<&str>) -> Result<Option<Text<200>>, Problem> {
    let Some(raw) = raw else {
        return Ok(None);
    };
    let mut fields = Fields::default();
    match fields.take("/reason", "reason.malformed", Text::parse(raw)) {
        Some(reason) => Ok(Some(reason)),
        None => Err(fields.problem()),
    }
}

fn place_answer(recorded: &Recorded<Order>) -> Result<PlaceAnswer, Problem> {
    if let Some(stored) = &recorded.replayed {
        return Ok(replayed_answer(of_stored(stored.clone())?, recorded.position));
    }
    let Some(order) = recorded.state.placed() else {
        return Err(no_such_order());
    };
    let position = recorded.position.map(Position::token);
    Ok(PlaceAnswer::Placed(Json(placed_body(order)), location(order.order_id), position, None))
}

fn replayed_answer(body: OrderPlacedBody, position: Option<Position>) -> PlaceAnswer {
    let location = location(OrderId::new(body.order_id));
    let replayed = Some(REPLAYED.to_owned());
    PlaceAnswer::Placed(Json(body), location, position.map(Position::token), replayed)
}

fn status_body(state: &Order, at: DateTime<Utc>) -> Option<OrderStatusBody> {
    let order = state.placed()?;
    Some(OrderStatusBody {
        order_id: order.order_id.uuid(),
        status: order.status_at(at).as_str().to_owned(),
    })
}

fn placed_body(order: &PlacedOrder) -> OrderPlacedBody {
    let lines = order.lines.iter().map(|line| OrderLineBody {
        line_no: line.line_no,
        item_id: line.item_id.uuid(),
        item_name: line.item_name.to_string(),
        origin_price: line.origin_price.amount(),
        unit_price: line.unit_price.amount(),
        quantity: line.quantity.into(),
        period_days: line.period.map(i64::from),
    });
    OrderPlacedBody {
        order_id: order.order_id.uuid(),
        number: order.number.to_string(),
        kind: match order.kind {
            OrderKind::OneOff => OrderKindName::OneOff,
            OrderKind::Subscription => OrderKindName::Subscription,
        },
        status: order.status().as_str().to_owned(),
        total: order.total.amount(),
        vat: order.vat.amount(),
        lines: lines.collect(),
        placed_at: order.placed_at.with_timezone(&kst()),
        expires_at: order.expires_at.with_timezone(&kst()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A request is known again by the digest of its JSON: with the attempt written as `null` a
    /// repetition of one from before the field would be a reused key.
    #[test]
    fn a_refund_without_an_attempt_is_the_same_request_as_before_there_were_any() {
        let request = |attempt| RefundRequest { amount: 1, attempt, reason: None };
        assert_eq!(request(None).to_json(), Some(json!({ "amount": 1, "reason": null })));
        let named = json!({ "amount": 1, "attempt": 2, "reason": null });
        assert_eq!(request(Some(2)).to_json(), Some(named));
    }
}

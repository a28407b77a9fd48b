//! Asking to pay: the intent is recorded, the relay asks the gateway for a page, and the handler
//! waits for it. What was not heard in time is not an answer: the client is told where to look.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, FixedOffset};
use contracts::calendar::kst;
use contracts::events::{AbandonReason, DeclineClass};
use contracts::{ItemId, OrderId, Position};
use domain::item::ItemOffer;
use domain::order::{
    Attempt, Order, OrderCommand, OrderRefusal, OrderStatus, PaymentPage, PlacedOrder, Stage,
};
use event_store::{CommandContext, DispatchError, Recorded};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde_json::json;
use service_kit::problem::Problem;
use service_kit::tokens::{AuthenticatedCaller, Caller};
use uuid::Uuid;

use super::Tag;
use super::orders::{location, no_such_order};
use crate::http::{IdempotencyKey, REPLAYED, RequiredKey};
use crate::shop::{KEEP_MONEY_ANSWER, Shop, metadata, principal};
use crate::{metrics, problems};

/// When the gateway could not be reached: its breaker stays open for about as long.
const GATEWAY_PAUSE: Duration = Duration::from_secs(10);
/// When the gateway refuses us, somebody has to look at our contract or configuration first.
const MERCHANT_PAUSE: Duration = Duration::from_mins(1);
/// The field of a stored answer: which attempt the request opened. What became of the attempt is
/// read from the order each time, so an outcome that nobody knew is never an answer.
const ATTEMPT: &str = "attempt";

/// Paying.
pub(crate) struct PaymentsApi(pub(crate) Arc<Shop>);

/// Nothing to say; for the digest of a request without a body.
#[derive(Object)]
struct NoBody {}

/// Where to pay.
#[derive(Debug, Clone, Object)]
#[oai(rename_all = "camelCase")]
struct PaymentPageBody {
    /// Which order.
    order_id: Uuid,
    /// Number of the payment attempt within the order, from 1.
    attempt: u32,
    /// Where a desktop browser goes.
    next_redirect_pc_url: String,
    /// Where a mobile browser goes.
    next_redirect_mobile_url: String,
    /// Where a web view in an app goes.
    next_redirect_app_url: String,
    /// When the page stops working.
    expires_at: DateTime<FixedOffset>,
}

/// The payment page is still being asked for.
#[derive(Debug, Clone, Object)]
#[oai(rename_all = "camelCase")]
struct PaymentPendingBody {
    /// Which order.
    order_id: Uuid,
    /// Number of the payment attempt within the order, from 1.
    attempt: u32,
    /// Where the order stands.
    status: String,
}

#[derive(ApiResponse)]
enum PaymentAnswer {
    /// The payment page is open.
    #[oai(status = 200)]
    Page(
        Json<PaymentPageBody>,
        /// The position of this write in the log; absent when an open attempt goes on.
        #[oai(header = "Event-Position")]
        Option<String>,
        /// `true` when this very request was carried out before.
        #[oai(header = "Idempotent-Replayed")]
        Option<String>,
    ),
    /// The gateway has not answered yet; look there, or repeat the request under the same key.
    #[oai(status = 202)]
    Pending(
        Json<PaymentPendingBody>,
        /// Where the payment is read.
        #[oai(header = "Location")]
        String,
        /// The position of this write in the log; absent when an open attempt goes on.
        #[oai(header = "Event-Position")]
        Option<String>,
        /// `true` when this very request was carried out before.
        #[oai(header = "Idempotent-Replayed")]
        Option<String>,
    ),
}

/// An attempt that this request opened or found open.
struct Opened {
    number: u32,
    position: Option<Position>,
    replayed: Option<String>,
}

/// What became of asking for a page.
enum Settled {
    Page(PaymentPage),
    Refused(Problem),
    Unknown,
}

#[OpenApi(tag = "Tag::Payments")]
impl PaymentsApi {
    /// Pay an order.
    ///
    /// Answers with the payment page's addresses as soon as the gateway opened it. Prices that
    /// changed since the order was placed are 409 with the code `order.price_changed` and the new
    /// amounts; placing the order again confirms them. A gateway that cannot be reached is 503: the
    /// same request under the same key tries again.
    #[oai(path = "/api/orders/:id/payment", method = "post", operation_id = "payOrder")]
    async fn pay(
        &self,
        caller: AuthenticatedCaller,
        /// Which order.
        id: Path<Uuid>,
        /// Makes the request happen once.
        #[oai(name = "Idempotency-Key")]
        key: RequiredKey,
    ) -> Result<PaymentAnswer, Problem> {
        let started = Instant::now();
        self.0.limits.edits.check(&caller.0.user_id)?;
        let id = OrderId::new(id.0);
        let Opened { number, position, replayed } = self.open(&caller.0, id, &key.0).await?;
        let wait_max = self.0.payment_wait_max;
        let settled = self.0.outcomes.until(id, wait_max, || self.settled(id, number));
        let settled = settled.await?;
        let position = position.map(Position::token);
        metrics::payment_page(outcome_of(settled.as_ref()), started.elapsed());
        match settled {
            Some(Settled::Page(page)) => {
                Ok(PaymentAnswer::Page(Json(page_body(id, number, page)), position, replayed))
            }
            Some(Settled::Refused(problem)) => Err(problem),
            Some(Settled::Unknown) | None => {
                let body = PaymentPendingBody {
                    order_id: id.uuid(),
                    attempt: number,
                    status: "AWAITING_PAYMENT".to_owned(),
                };
                let location = format!("{}/payment", location(id));
                Ok(PaymentAnswer::Pending(Json(body), location, position, replayed))
            }
        }
    }
}

impl PaymentsApi {
    /// Opens an attempt, or finds the one that this key or another request opened. After the
    /// gateway was not reached the same key opens the next one: nothing was sent, nothing is paid
    /// twice, and a client that repeats its request gets a real try each time.
    async fn open(
        &self,
        caller: &Caller,
        id: OrderId,
        key: &IdempotencyKey,
    ) -> Result<Opened, Problem> {
        let loaded = self.0.orders.load(id.uuid()).await;
        let state = loaded.map_err(|error| problems::of_store(&error))?.state;
        // The aggregate decides whose order it is; this only keeps a stranger from costing us work.
        let Some(order) = state.placed().filter(|order| order.user_id == caller.user_id) else {
            return Err(no_such_order());
        };
        if may_open(order) {
            if let Some(pause) = self.0.breaker.open_for().await {
                metrics::payment_page("breaker", Duration::ZERO);
                return Err(unreachable_gateway(pause));
            }
            self.0.limits.payments.check(&caller.user_id)?;
        }
        let offers = self.0.offers(order.lines.iter().map(|line| line.item_id).collect()).await?;
        let offers: Vec<_> =
            offers.into_iter().filter_map(|(id, offer)| Some((id, offer?))).collect();
        // Each earlier round of this key opened an attempt of this order.
        for round in 0..=order.latest_attempt().map_or(0, |attempt| attempt.number) {
            let recorded = self.request(caller, id, (key, round), offers.clone()).await?;
            let (number, is_replay) = opened_by(&recorded)?;
            let attempt = recorded.state.placed().and_then(|order| order.attempt(number));
            let was_not_sent = attempt.is_some_and(|it| matches!(it.stage, NOT_SENT));
            if is_replay && was_not_sent {
                continue;
            }
            let replayed = is_replay.then(|| REPLAYED.to_owned());
            return Ok(Opened { number, position: recorded.position, replayed });
        }
        Err(unreachable_gateway(GATEWAY_PAUSE))
    }

    async fn request(
        &self,
        caller: &Caller,
        id: OrderId,
        (key, round): (&IdempotencyKey, u32),
        current_offers: Vec<(ItemId, ItemOffer)>,
    ) -> Result<Recorded<Order>, Problem> {
        let (operation, addressed) = ("POST /api/orders/{id}/payment", id.to_string());
        let request = (addressed.as_str(), &NoBody {});
        let mut receipt = self.0.receipt(caller, operation, key, request, KEEP_MONEY_ANSWER);
        if 0 < round {
            // A blank is no part of any client's key, so no other key is ever met.
            receipt.key = format!("{} {round}", receipt.key);
        }
        let context = CommandContext::new(metadata(caller, Some(key)))
            .with_receipt(receipt)
            .answering(|state: &Order, _events| {
                json!({ ATTEMPT: state.latest_attempt().map(|attempt| attempt.number) })
            });
        let (by, at) = (principal(caller), self.0.clock.now());
        let command = OrderCommand::RequestPayment { by, current_offers, at };
        self.0.orders.dispatch(id.uuid(), command, context).await.map_err(refused)
    }

    /// What became of attempt `number`; `None` while the gateway is being asked.
    async fn settled(&self, id: OrderId, number: u32) -> Result<Option<Settled>, Problem> {
        let loaded = self.0.orders.load(id.uuid()).await;
        let state = loaded.map_err(|error| problems::of_store(&error))?.state;
        let attempt = state.placed().and_then(|order| order.attempt(number));
        Ok(attempt.map_or_else(|| Some(Settled::Refused(no_such_order())), settled_as))
    }
}

const NOT_SENT: Stage = Stage::Abandoned { reason: AbandonReason::NotSent };

/// A page that was opened stays the answer, whatever came after it.
fn settled_as(attempt: &Attempt) -> Option<Settled> {
    if let Some(page) = &attempt.page {
        return Some(Settled::Page(page.clone()));
    }
    match &attempt.stage {
        Stage::Requested | Stage::Ready => None,
        Stage::Abandoned { reason: AbandonReason::NotSent } => {
            Some(Settled::Refused(unreachable_gateway(GATEWAY_PAUSE)))
        }
        Stage::Declined { class: DeclineClass::Merchant, .. } => Some(Settled::Refused(
            Problem::unavailable("payment.unavailable", "paying is not possible at the moment")
                .retry_after(MERCHANT_PAUSE),
        )),
        Stage::Declined { .. } => Some(Settled::Refused(Problem::unprocessable(
            "payment.declined",
            "the payment was declined; another one may be tried",
        ))),
        Stage::Abandoned { .. } => Some(Settled::Refused(Problem::conflict(
            "payment.abandoned",
            "the payment attempt has ended",
        ))),
        Stage::ApprovalRequested { .. } | Stage::Unresolved { .. } | Stage::Approved(_) => {
            Some(Settled::Unknown)
        }
    }
}

/// The attempt that a request opened, and whether an earlier, identical one did.
fn opened_by(recorded: &Recorded<Order>) -> Result<(u32, bool), Problem> {
    let (number, is_replay) = match &recorded.replayed {
        Some(stored) => {
            let number = stored.get(ATTEMPT).and_then(serde_json::Value::as_u64);
            (number.and_then(|number| u32::try_from(number).ok()), true)
        }
        None => (recorded.state.latest_attempt().map(|attempt| attempt.number), false),
    };
    let number = number.ok_or_else(|| {
        tracing::error!("a payment was requested and has no attempt");
        Problem::internal_unexplained()
    })?;
    Ok((number, is_replay))
}

/// Changed prices are told line by line; everything else as the refusal says it.
fn refused(error: DispatchError<OrderRefusal>) -> Problem {
    let DispatchError::Refused(OrderRefusal::PriceChanged { changes, new_total }) = &error else {
        return problems::of_dispatch(error);
    };
    let total = new_total.amount();
    let problem = Problem::conflict(
        "order.price_changed",
        format!("prices have changed; the order would cost {total} won now"),
    )
    .with_field("/total", "order.price_changed", total.to_string());
    changes.iter().fold(problem, |problem, change| {
        let pointer = format!("/items/{}/unitPrice", change.item_id);
        problem.with_field(pointer, "order.price_changed", change.now.amount().to_string())
    })
}

/// Whether paying would open another attempt: an open one goes on whatever the gateway does.
fn may_open(order: &PlacedOrder) -> bool {
    matches!(order.status(), OrderStatus::Placed | OrderStatus::Declined)
}

fn unreachable_gateway(pause: Duration) -> Problem {
    Problem::unavailable("payment.gateway_unreachable", "the payment service cannot be reached")
        .retry_after(pause)
}

fn outcome_of(settled: Option<&Settled>) -> &'static str {
    match settled {
        Some(Settled::Page(_)) => "page",
        Some(Settled::Refused(_)) => "refused",
        Some(Settled::Unknown) => "unknown",
        None => "late",
    }
}

fn page_body(id: OrderId, attempt: u32, page: PaymentPage) -> PaymentPageBody {
    PaymentPageBody {
        order_id: id.uuid(),
        attempt,
        next_redirect_pc_url: page.redirect.pc.into(),
        next_redirect_mobile_url: page.redirect.mobile.into(),
        next_redirect_app_url: page.redirect.app.into(),
        expires_at: page.expires_at.with_timezone(&kst()),
    }
}

//! Where the shopper's browser comes back to from the payment page.
//!
//! A GET that only records what the browser brought: reloading it, prefetching it or having a proxy
//! repeat it changes nothing more. Of an order that is over nothing is recorded, and its page says so. Whoever has not been sent there does not know its nonce and gets
//! 404, as for an order that doesn't exist. The page names neither order nor shopper nor token.

use std::sync::Arc;

use contracts::events::ReturnedAs;
use contracts::{Actor, OrderId, Text, seals};
use domain::order::{OrderCommand, OrderRefusal, OrderStatus};
use event_store::{CommandContext, DispatchError};
use poem::http::{Method, StatusCode};
use poem::{Endpoint, IntoResponse, Request, Response};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Html;
use poem_openapi::{ApiResponse, OpenApi};
use service_kit::problem::Problem;
use service_kit::security::{self, Who};
use uuid::Uuid;

use super::Tag;
use super::orders::no_such_order;
use crate::shop::{Shop, metadata_of};
use crate::{metrics, problems};
use service_kit::http::ClientAddress;

/// The path below which browsers come back.
const PREFIX: &str = "/payments/return/";
/// Longest token taken from the gateway, in characters; its own have 20.
const PG_TOKEN_LENGTH_MAX: usize = 128;
/// Who records a return: the browser proved nothing but the nonce.
const ACTOR: &str = "payment_return";

/// Coming back from the payment page.
pub(crate) struct ReturnsApi(pub(crate) Arc<Shop>);

/// How the browser came back, or that the order is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Processing,
    Cancelled,
    Failed,
    /// The order is paid: the browser came again after the outcome was recorded.
    Paid,
    /// The payment was declined.
    Declined,
    /// The order was called off.
    CalledOff,
    /// The order was not paid in time.
    Expired,
}

#[derive(ApiResponse)]
enum ReturnAnswer {
    /// A page that says how it goes on.
    #[oai(status = 200)]
    Page(Html<&'static str>),
    /// The configured result page, which shows how it goes on.
    #[oai(status = 303)]
    Elsewhere(
        /// The result page, with `order` and `outcome` in its query.
        #[oai(header = "Location")]
        String,
    ),
}

#[OpenApi(tag = "Tag::Payments")]
impl ReturnsApi {
    /// Come back after paying.
    ///
    /// Called by the shopper's browser, sent by the gateway. Records the token; the money is moved
    /// by the worker afterwards.
    #[oai(
        path = "/payments/return/:order/:attempt",
        method = "get",
        operation_id = "returnApproved"
    )]
    async fn approved(
        &self,
        // Noted for the security log by being extracted.
        _address: ClientAddress,
        /// Which order.
        order: Path<Uuid>,
        /// Number of the attempt, a hyphen, and the nonce of the address.
        attempt: Path<String>,
        /// The gateway's one-time token.
        pg_token: Query<Option<String>>,
    ) -> Result<ReturnAnswer, Problem> {
        let is_token = |token: &String| {
            (1..=PG_TOKEN_LENGTH_MAX).contains(&token.len())
                && token.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let Some(token) = pg_token.0.filter(is_token) else {
            return Err(malformed("pg_token"));
        };
        self.came_back(order.0, &attempt.0, Outcome::Processing, Some(token)).await
    }

    /// Come back after leaving the payment page.
    ///
    /// Called by the shopper's browser. The attempt ends; the order may be paid again.
    #[oai(
        path = "/payments/return/:order/:attempt/cancel",
        method = "get",
        operation_id = "returnCancelled"
    )]
    async fn cancelled(
        &self,
        // Noted for the security log by being extracted.
        _address: ClientAddress,
        /// Which order.
        order: Path<Uuid>,
        /// Number of the attempt, a hyphen, and the nonce of the address.
        attempt: Path<String>,
    ) -> Result<ReturnAnswer, Problem> {
        self.came_back(order.0, &attempt.0, Outcome::Cancelled, None).await
    }

    /// Come back after the payment page failed.
    ///
    /// Called by the shopper's browser. The attempt ends; the order may be paid again.
    #[oai(
        path = "/payments/return/:order/:attempt/fail",
        method = "get",
        operation_id = "returnFailed"
    )]
    async fn failed(
        &self,
        // Noted for the security log by being extracted.
        _address: ClientAddress,
        /// Which order.
        order: Path<Uuid>,
        /// Number of the attempt, a hyphen, and the nonce of the address.
        attempt: Path<String>,
    ) -> Result<ReturnAnswer, Problem> {
        self.came_back(order.0, &attempt.0, Outcome::Failed, None).await
    }
}

impl ReturnsApi {
    async fn came_back(
        &self,
        order: Uuid,
        address: &str,
        outcome: Outcome,
        token: Option<String>,
    ) -> Result<ReturnAnswer, Problem> {
        let (attempt, nonce) = parts_of(address).ok_or_else(|| malformed("attempt"))?;
        let id = OrderId::new(order);
        if !self.0.return_urls.is_nonce_of(id, attempt, nonce) {
            metrics::payment_return("tampered");
            security::log("payment_return", "forged", Who::Unknown);
            return Err(no_such_order());
        }
        // Whose it is was said with its first event and never changes.
        let loaded = self.0.orders.load_at_least(order, 1).await;
        let loaded = loaded.map_err(|error| problems::of_store(&error))?;
        let Some(owner) = loaded.state.owner() else {
            return Err(no_such_order());
        };
        let returned_as = match (outcome, token) {
            (Outcome::Processing, Some(token)) => {
                let stream = seals::order_stream(id);
                let sealed = self.0.vault.seal(owner, &stream, seals::PG_TOKEN, &token).await;
                let pg_token = sealed.map_err(|error| problems::of_vault(&error))?;
                let mark = self.0.return_urls.token_mark(id, attempt, &token);
                ReturnedAs::Authenticated { pg_token, token_mark: Text::parse(&mark).ok() }
            }
            (Outcome::Cancelled, _) => ReturnedAs::Cancelled,
            (
                Outcome::Processing
                | Outcome::Failed
                | Outcome::Paid
                | Outcome::Declined
                | Outcome::CalledOff
                | Outcome::Expired,
                _,
            ) => ReturnedAs::Failed,
        };
        let at = self.0.clock.now();
        let context = CommandContext::new(metadata_of(Actor::System(ACTOR.to_owned()), None));
        let command = OrderCommand::RecordReturn { attempt, returned_as, at };
        let recorded = match self.0.orders.dispatch(order, command, context).await {
            Ok(recorded) => recorded,
            Err(error) => {
                metrics::payment_return("refused");
                return Err(refused(error));
            }
        };
        if recorded.events.is_empty() {
            metrics::payment_return("repeated");
        } else {
            // The shopper watches the result page before the relay has read of it.
            self.0.outcomes.hint();
            metrics::payment_return("recorded");
        }
        let status = recorded.state.placed().map(|order| order.status_at(at));
        Ok(self.answer(id, outcome.of_order(status)))
    }

    fn answer(&self, id: OrderId, outcome: Outcome) -> ReturnAnswer {
        let Some(mut url) = self.0.result_url.clone() else {
            return ReturnAnswer::Page(Html(page_of(outcome)));
        };
        url.query_pairs_mut()
            .append_pair("order", &id.to_string())
            .append_pair("outcome", outcome.name());
        ReturnAnswer::Elsewhere(url.into())
    }
}

impl Outcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Paid => "paid",
            Self::Declined => "declined",
            Self::CalledOff => "called_off",
            Self::Expired => "expired",
        }
    }

    /// What is shown: that the order is over, or how the payment ended, counts more than how the
    /// browser came back.
    fn of_order(self, status: Option<OrderStatus>) -> Self {
        let is_waiting = self == Self::Processing;
        match status {
            Some(OrderStatus::Cancelled) => Self::CalledOff,
            Some(OrderStatus::Expired) => Self::Expired,
            Some(OrderStatus::Paid | OrderStatus::PartlyRefunded | OrderStatus::Refunded)
                if is_waiting =>
            {
                Self::Paid
            }
            Some(OrderStatus::Declined) if is_waiting => Self::Declined,
            Some(
                OrderStatus::Placed
                | OrderStatus::AwaitingPayment
                | OrderStatus::Paid
                | OrderStatus::Declined
                | OrderStatus::PartlyRefunded
                | OrderStatus::Refunded
                | OrderStatus::Unresolved,
            )
            | None => self,
        }
    }
}

/// Answers HEAD without carrying anything out: link checkers and previews ask with it.
pub(crate) async fn ignore_head<E: Endpoint>(
    app: Arc<E>,
    request: Request,
) -> poem::Result<Response> {
    if request.method() == Method::HEAD && request.uri().path().starts_with(PREFIX) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    app.call(request).await.map(IntoResponse::into_response)
}

/// The number of the attempt and the nonce.
fn parts_of(address: &str) -> Option<(u32, &str)> {
    let (number, nonce) = address.split_once('-')?;
    let is_number = (1..=9).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    let is_nonce = (1..=64).contains(&nonce.len()) && nonce.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_number || !is_nonce {
        return None;
    }
    Some((number.parse().ok()?, nonce))
}

fn malformed(name: &'static str) -> Problem {
    Problem::bad_request("payment.return_malformed", "this is no address of a payment").with_field(
        name,
        "parameter.malformed",
        "missing or not readable",
    )
}

/// What the aggregate has no such attempt of is as unknown as the order itself.
fn refused(error: DispatchError<OrderRefusal>) -> Problem {
    let is_unknown = matches!(
        error,
        DispatchError::Refused(OrderRefusal::NotFound | OrderRefusal::NoSuchAttempt)
    );
    if is_unknown { no_such_order() } else { problems::of_dispatch(error) }
}

const fn page_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Processing => include_str!("returns/processing.html"),
        Outcome::Cancelled => include_str!("returns/cancelled.html"),
        Outcome::Failed => include_str!("returns/failed.html"),
        Outcome::Paid => include_str!("returns/paid.html"),
        Outcome::Declined => include_str!("returns/declined.html"),
        Outcome::CalledOff => include_str!("returns/called_off.html"),
        Outcome::Expired => include_str!("returns/expired.html"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_number_and_a_nonce() {
        assert_eq!(parts_of("1-0af3"), Some((1, "0af3")));
        for wrong in
            ["", "1", "-0af3", "1-", "x-0af3", "1-zz", "1-0af3-1", "+1-0a", "9999999999-0a"]
        {
            assert_eq!(parts_of(wrong), None, "{wrong}");
        }
    }
}

//! The caller's orders.

use poem::Request;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use service_kit::problem::Problem;
use service_kit::tokens::AuthenticatedCaller;
use uuid::Uuid;

use super::Tag;
use super::models::{OrderDetail, OrderPage, OrderStatus, PaymentView};
use crate::catalogue::{page_number, page_size};
use crate::http::{self, Conditions};
use crate::own::Own;
use crate::read_error::bounded;

/// The caller's orders.
pub(crate) struct OrderApi {
    own: Own,
}

impl OrderApi {
    /// The operations over the caller's own data.
    pub(crate) fn new(own: Own) -> Self {
        Self { own }
    }
}

#[OpenApi(tag = "Tag::Orders")]
impl OrderApi {
    /// The caller's orders, newest first.
    #[oai(path = "/api/orders", method = "get", operation_id = "listOrders")]
    #[expect(clippy::too_many_arguments, reason = "each is one documented parameter")]
    async fn list(
        &self,
        request: &Request,
        caller: AuthenticatedCaller,
        /// Only orders of this status.
        status: Query<Option<OrderStatus>>,
        /// Which page, from 1.
        page: Query<Option<u32>>,
        /// How many orders a page, 1 to 100; 20 when absent.
        size: Query<Option<u16>>,
        /// Wait until this event is visible.
        #[oai(name = "Min-Event-Position")]
        min_event_position: Header<Option<String>>,
    ) -> Result<http::Own<OrderPage>, Problem> {
        let (page, size) = (page_number(page.0)?, page_size(size.0)?);
        let freshness = self.own.wait_for_orders(min_event_position.0.as_deref()).await?;
        let orders = bounded(self.own.orders(caller.0.user_id, status.0, page, size)).await?;
        Ok(http::Own::new(&orders, &Conditions::of(request), freshness))
    }

    /// One of the caller's orders, with its payments, its refunds and its receiver.
    ///
    /// The receiver is absent once the personal data it was sealed with has been erased.
    #[oai(path = "/api/orders/:order_id", method = "get", operation_id = "getOrder")]
    async fn order(
        &self,
        caller: AuthenticatedCaller,
        /// The order's id.
        order_id: Path<Uuid>,
        /// Wait until this event is visible.
        #[oai(name = "Min-Event-Position")]
        min_event_position: Header<Option<String>>,
    ) -> Result<http::Own<OrderDetail>, Problem> {
        let freshness = self.own.wait_for_orders(min_event_position.0.as_deref()).await?;
        let found = bounded(self.own.order(caller.0.user_id, order_id.0)).await?;
        let (order, version) = found.ok_or_else(not_found)?;
        Ok(http::Own::versioned(&order, version, freshness))
    }

    /// The latest payment attempt of one of the caller's orders: where to pay, or how it went.
    ///
    /// Ask again while the status is `REQUESTED`, `APPROVING` or `UNRESOLVED`.
    #[oai(path = "/api/orders/:order_id/payment", method = "get", operation_id = "getPayment")]
    async fn payment(
        &self,
        caller: AuthenticatedCaller,
        /// The order's id.
        order_id: Path<Uuid>,
        /// Wait until this event is visible.
        #[oai(name = "Min-Event-Position")]
        min_event_position: Header<Option<String>>,
    ) -> Result<http::Own<PaymentView>, Problem> {
        let freshness = self.own.wait_for_orders(min_event_position.0.as_deref()).await?;
        let found = bounded(self.own.payment(caller.0.user_id, order_id.0)).await?;
        let (payment, version) = found.ok_or_else(not_found)?;
        let Some(payment) = payment else {
            let detail = "no payment was requested for this order";
            return Err(Problem::not_found("payment.not_found", detail));
        };
        Ok(http::Own::versioned(&payment, version, freshness))
    }
}

/// The same whether there is no such order or it is somebody else's.
fn not_found() -> Problem {
    Problem::not_found("order.not_found", "no such order")
}

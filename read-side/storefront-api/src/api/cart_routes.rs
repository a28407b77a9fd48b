//! The caller's two carts.

use poem_openapi::param::{Header, Path};
use poem_openapi::{Enum, OpenApi};
use service_kit::problem::Problem;
use service_kit::tokens::AuthenticatedCaller;

use super::Tag;
use super::models::CartView;
use crate::http;
use crate::own::Own;
use crate::read_error::bounded;

/// The caller's carts.
pub(crate) struct CartApi {
    own: Own,
}

impl CartApi {
    /// The operations over the caller's own data.
    pub(crate) fn new(own: Own) -> Self {
        Self { own }
    }
}

/// Which of the two carts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "kebab-case")]
pub(crate) enum CartKind {
    /// Lines that are bought once.
    OneOff,
    /// Lines that come again every period.
    Subscription,
}

impl From<CartKind> for contracts::CartKind {
    fn from(kind: CartKind) -> Self {
        match kind {
            CartKind::OneOff => Self::OneOff,
            CartKind::Subscription => Self::Subscription,
        }
    }
}

impl From<contracts::CartKind> for CartKind {
    fn from(kind: contracts::CartKind) -> Self {
        match kind {
            contracts::CartKind::OneOff => Self::OneOff,
            contracts::CartKind::Subscription => Self::Subscription,
        }
    }
}

#[OpenApi(tag = "Tag::Carts")]
impl CartApi {
    /// One of the caller's carts, with the price of each line as it was and as it is.
    ///
    /// A cart needs no creation: one that was never touched is empty. Totals count what can be
    /// ordered, at current prices; lines of withdrawn items are shown and not counted.
    #[oai(path = "/api/carts/:kind", method = "get", operation_id = "getCart")]
    async fn cart(
        &self,
        caller: AuthenticatedCaller,
        /// Which cart.
        kind: Path<CartKind>,
        /// Wait until this event is visible.
        #[oai(name = "Min-Event-Position")]
        min_event_position: Header<Option<String>>,
    ) -> Result<http::Own<CartView>, Problem> {
        let freshness = self.own.wait_for_cart(min_event_position.0.as_deref()).await?;
        let (cart, version) = bounded(self.own.cart(caller.0.user_id, kind.0.into())).await?;
        Ok(http::Own::versioned(&cart, version, freshness))
    }
}

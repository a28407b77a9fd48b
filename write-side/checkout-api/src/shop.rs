//! The parts that handlers work with, put together once.

use std::sync::Arc;
use std::time::Duration;

use contracts::{Actor, ItemId, Metadata};
use domain::Principal;
use domain::cart::Cart;
use domain::item::{Item, ItemOffer};
use domain::order::Order;
use event_store::{Executor, PgEventStore, ReceiptKey, StoreError};
use operator::Operator;
use poem_openapi::types::ToJSON;
use service_kit::clock::SharedClock;
use service_kit::digest::Pepper;
use service_kit::request_id;
use service_kit::return_url::ReturnUrls;
use service_kit::tokens::{Caller, Role};
use service_kit::vault::Vault;
use url::Url;

use crate::accounts::Accounts;
use crate::breaker::GatewayBreaker;
use crate::http::IdempotencyKey;
use crate::limits::UserLimits;
use crate::outcomes::Outcomes;

/// How long the answer to a keyed request is kept.
pub(crate) const KEEP_ANSWER: Duration = Duration::from_hours(24);
/// The same where money is concerned: a shopper may come back after a weekend.
pub(crate) const KEEP_MONEY_ANSWER: Duration = Duration::from_hours(7 * 24);

/// Everything that handlers share.
pub(crate) struct Shop {
    pub(crate) accounts: Accounts,
    pub(crate) carts: Executor<Cart>,
    pub(crate) items: Executor<Item>,
    pub(crate) orders: Executor<Order>,
    pub(crate) store: Arc<PgEventStore>,
    pub(crate) operator: Operator,
    pub(crate) vault: Vault,
    pub(crate) pepper: Pepper,
    pub(crate) clock: SharedClock,
    pub(crate) return_urls: ReturnUrls,
    pub(crate) result_url: Option<Url>,
    pub(crate) outcomes: Outcomes,
    pub(crate) breaker: GatewayBreaker,
    pub(crate) payment_wait_max: Duration,
    pub(crate) limits: UserLimits,
}

impl Shop {
    /// What an item costs today, from its own history.
    pub(crate) async fn offer(&self, item_id: ItemId) -> Result<Option<ItemOffer>, StoreError> {
        Ok(self.items.load(item_id.uuid()).await?.state.offer())
    }

    /// The receipt that makes `request` of `caller` happen once. `operation` is the method and the
    /// route's template; `addressed` is what stands in its place in this request.
    pub(crate) fn receipt(
        &self,
        caller: &Caller,
        operation: &str,
        key: &IdempotencyKey,
        (addressed, request): (&str, &impl ToJSON),
        keep_for: Duration,
    ) -> ReceiptKey {
        let canonical = format!("{addressed}\n{}", request.to_json_string());
        ReceiptKey {
            scope: format!("{}/{operation}", caller.user_id),
            key: key.as_str().to_owned(),
            // Keyed, because the request may hold a receiver.
            request_digest: self.pepper.digest("request", &canonical),
            keep_for,
        }
    }
}

/// On whose authority the caller's commands act.
pub(crate) fn principal(caller: &Caller) -> Principal {
    match caller.role {
        Role::User => Principal::User(caller.user_id),
        Role::Admin => Principal::Admin(caller.user_id),
    }
}

/// Who and why, as it is stored with the events of the caller's command.
pub(crate) fn metadata(caller: &Caller, key: Option<&IdempotencyKey>) -> Metadata {
    let actor = match caller.role {
        Role::User => Actor::User(caller.user_id),
        Role::Admin => Actor::Admin(caller.user_id),
    };
    metadata_of(actor, key)
}

/// Who and why, where nobody is logged in.
pub(crate) fn metadata_of(actor: Actor, key: Option<&IdempotencyKey>) -> Metadata {
    let correlation_id = request_id::current().unwrap_or_else(request_id::RequestId::generate);
    Metadata {
        actor,
        correlation_id: correlation_id.to_string(),
        causation_id: None,
        idempotency_key: key.map(|key| key.as_str().to_owned()),
    }
}

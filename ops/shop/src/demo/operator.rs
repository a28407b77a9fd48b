//! The demo's operator and auditor: the log itself, the gateway's books, and the rebuild commands.

use contracts::{OrderId, SubscriptionId};
use domain::subscription::Subscription;
use event_store::{Executor, ExecutorOptions, PgEventStore, StoreSizes};
use projections::ProjectorConfig;
use service_kit::config::Secret;

use super::client::{Client, list, number, text};
use super::shopper::Order;
use super::{Failure, settled};
use crate::ready::Addresses;

/// The subscriptions of `order` stand open in the log, one a line, by one approval at the gateway.
pub(super) async fn subscriptions_are_open(
    at: &Addresses,
    database_url: &Secret,
    order: &Order,
) -> Result<(String, ()), Failure> {
    let store = PgEventStore::open(database_url, StoreSizes::default())
        .map_err(|error| Failure::of(&error))?;
    let executor = Executor::<Subscription>::new(store, ExecutorOptions::default());
    let id: OrderId = order.id.parse().map_err(|error| Failure::of(&error))?;
    let lines = u16::try_from(order.lines).map_err(|error| Failure::of(&error))?;
    for line_no in 1..=lines {
        let subscription = SubscriptionId::of(id, line_no);
        settled(&format!("subscription {line_no} being opened"), || async {
            let loaded =
                executor.load(subscription.uuid()).await.map_err(|error| Failure::of(&error))?;
            Ok((0 < loaded.version).then_some(()))
        })
        .await?;
    }
    let approvals = charges_of(at, order).await?.len();
    if approvals != 1 {
        return Err(Failure::new(format!("{approvals} approvals instead of one")));
    }
    Ok((format!("{lines} opened, one approval for all"), ()))
}

/// What the gateway believes it charged for `order`: (charged, cancelled, with a recurring key).
async fn charges_of(at: &Addresses, order: &Order) -> Result<Vec<(i64, i64, bool)>, Failure> {
    let Some(simulator) = &at.kakaopay_sim else {
        return Err(Failure::new("the demo needs the simulated KakaoPay"));
    };
    let ledger = Client::new()?.get(&format!("{simulator}/__sim/ledger")).await?;
    let mut found = Vec::new();
    for charge in list(&ledger, "/charges")? {
        if text(charge, "/partner_order_id")?.starts_with(&order.id) {
            let has_key = charge.pointer("/sid").is_some_and(serde_json::Value::is_string);
            found.push((number(charge, "/amount")?, number(charge, "/cancelled")?, has_key));
        }
    }
    Ok(found)
}

/// The gateway's books say what ours say: one charge an order, of exactly its total, and what was
/// given back.
pub(super) async fn books_agree(
    at: &Addresses,
    refunded: &Order,
    subscribed: &Order,
) -> Result<(String, ()), Failure> {
    let expected = [
        (refunded, (refunded.total, refunded.total, false)),
        (subscribed, (subscribed.total, 0, true)),
    ];
    for (order, expected) in expected {
        let found = charges_of(at, order).await?;
        if found != [expected] {
            return Err(Failure::new(format!("{}: {found:?}, not {expected:?}", order.number)));
        }
    }
    Ok(("one charge an order, every won accounted for".to_owned(), ()))
}

/// Rebuilds a read model beside the live one and switches to it.
pub(super) async fn rebuild(
    config: &ProjectorConfig,
    read_model: &str,
) -> Result<(String, ()), Failure> {
    let report = projections::rebuild(config, read_model).await.map_err(|e| Failure::of(&e))?;
    Ok((format!("{read_model}: {report}"), ()))
}

/// Compares a read model with a replay of the log.
pub(super) async fn verify(
    config: &ProjectorConfig,
    read_model: &str,
) -> Result<(String, ()), Failure> {
    let report = projections::verify(config, read_model).await.map_err(|e| Failure::of(&e))?;
    if !report.is_equal() {
        return Err(Failure::new(format!("{read_model} differs from a replay: {report}")));
    }
    Ok((format!("{read_model}: {report}"), ()))
}

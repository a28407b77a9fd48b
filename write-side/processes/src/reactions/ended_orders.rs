//! What calling an order off and refunding it ends: its subscriptions, and with the last of those
//! that share a recurring key, the key.
//!
//! A subscription is opened before it is ended, also when `paid_orders` has not come to its payment
//! yet or never opens it: a subscription that has ended cannot be opened any more, so that the two
//! reactions may run in any order, twice, or in two workers at once. It has a checkpoint of its own
//! and began at the beginning of the log: a worker of an older release, which shares the checkpoint
//! of `paid_orders`, passes over no ending.

use contracts::events::{OrderEvent, SubscriptionCancelledBy, SubscriptionEvent};
use contracts::{EventBody, OrderId, RecordedEvent, SubscriptionId};
use deadpool_postgres::Pool;
use domain::order::Order;
use domain::subscription::{Ender, Subscription};
use event_feed::{FeedReader, Filter};
use event_store::Executor;
use service_kit::clock::SharedClock;
use service_kit::vault::Vault;

use super::commanding::{self, Commanding, store_failure};
use super::subscribing::Subscribing;
use super::{Applied, Failure, Reaction, ReactionError};
use crate::relay::with_causes;

/// Reacts to orders that were called off or refunded, and to subscriptions that ended.
#[derive(Debug, Clone)]
pub struct EndedOrders {
    /// Reads orders.
    pub orders: Executor<Order>,
    /// Opens and ends subscriptions.
    pub subscriptions: Executor<Subscription>,
    /// Seals a receiver for its subscription.
    pub vault: Vault,
    /// The time of our own records.
    pub clock: SharedClock,
}

impl Reaction for EndedOrders {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn filter(&self) -> Filter {
        Filter::events(Self::EVENT_TYPES)
    }

    async fn apply_batch(
        &self,
        feed: &FeedReader,
        pool: &Pool,
        limit: u32,
    ) -> Result<Applied, ReactionError> {
        commanding::apply_batch(self, feed, pool, limit).await
    }

    async fn handle(&self, pool: &Pool, event: &RecordedEvent) -> Result<(), Failure> {
        self.react(pool, event).await
    }
}

impl Commanding for EndedOrders {
    const NAME: &'static str = "ended_orders";
    const EVENT_TYPES: &'static [&'static str] =
        &["OrderCancelled", "RefundRequested", "RefundSucceeded", "SubscriptionCancelled"];

    async fn react(&self, pool: &Pool, event: &RecordedEvent) -> Result<(), Failure> {
        if event.aggregate_type == SubscriptionEvent::AGGREGATE_TYPE {
            return self.mark_key(pool, event).await;
        }
        self.end_subscriptions(event).await
    }
}

impl EndedOrders {
    async fn end_subscriptions(&self, event: &RecordedEvent) -> Result<(), Failure> {
        event.decode::<OrderEvent>().map_err(|error| Failure::Hopeless(with_causes(&error)))?;
        let version = u64::try_from(event.sequence).unwrap_or_default();
        let loaded = self.orders.load_at_least(event.aggregate_id, version).await;
        let loaded = loaded.map_err(store_failure)?;
        let Some(order) = loaded.state.placed() else {
            return Err(Failure::Hopeless("ended, but never placed".to_owned()));
        };
        let Some(by) = order.subscriptions_end().map(ender) else {
            return Ok(());
        };
        let Some(approval) = order.paid_in_time().and_then(|paid| paid.stage.approval()) else {
            return Ok(());
        };
        let subscribing = Subscribing {
            subscriptions: &self.subscriptions,
            vault: &self.vault,
            event,
            now: self.clock.now(),
        };
        subscribing.end_all(order, approval, by).await
    }

    /// Marks the recurring key when the subscription at hand was the last that it served.
    async fn mark_key(&self, pool: &Pool, event: &RecordedEvent) -> Result<(), Failure> {
        event
            .decode::<SubscriptionEvent>()
            .map_err(|error| Failure::Hopeless(with_causes(&error)))?;
        let loaded = self.subscriptions.load(event.aggregate_id).await.map_err(store_failure)?;
        let Some(ended) = loaded.state.cancelled() else {
            return Err(Failure::Hopeless("ended, but never opened".to_owned()));
        };
        let key = ended.subscription.billing_key.uuid();
        if key_has_ended(pool, key).await.map_err(away)?
            || !self.have_all_ended(ended.subscription.order_id).await?
        {
            return Ok(());
        }
        let mark = include_str!("sql/end_billing_key.sql");
        let (user, now) = (ended.subscription.user_id.uuid(), self.clock.now());
        let client = pool.get().await.map_err(away)?;
        client.execute(mark, &[&key, &user, &now]).await.map_err(away)?;
        tracing::info!(billing_key.id = %key, "the last subscription of a recurring key has ended");
        Ok(())
    }

    /// Whether every subscription of the order has ended; its lines share one recurring key.
    async fn have_all_ended(&self, order_id: OrderId) -> Result<bool, Failure> {
        let order = self.orders.load(order_id.uuid()).await.map_err(store_failure)?;
        let Some(order) = order.state.placed() else {
            return Err(Failure::Hopeless("opened by an order that was never placed".to_owned()));
        };
        for line in &order.lines {
            let id = SubscriptionId::of(order_id, line.line_no);
            let line = self.subscriptions.load(id.uuid()).await.map_err(store_failure)?;
            if line.state.cancelled().is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Asked first: the lines of an order end together, and each would look at all others.
async fn key_has_ended(pool: &Pool, key: uuid::Uuid) -> Result<bool, ReactionError> {
    let client = pool.get().await?;
    let statement = include_str!("sql/billing_key_has_ended.sql");
    Ok(client.query_one(statement, &[&key]).await?.try_get(0)?)
}

fn ender(by: SubscriptionCancelledBy) -> Ender {
    match by {
        SubscriptionCancelledBy::OrderCalledOff => Ender::OrderCalledOff,
        SubscriptionCancelledBy::OrderRefunded
        | SubscriptionCancelledBy::User
        | SubscriptionCancelledBy::Admin
        | SubscriptionCancelledBy::System => Ender::OrderRefunded,
    }
}

fn away(error: impl Into<ReactionError>) -> Failure {
    Failure::Away(with_causes(&error.into()))
}

//! What a payment sets off: the bought lines leave the cart, and each line of a subscription order
//! opens a subscription. Both are commands with derived ids, so reading a payment twice changes
//! nothing. An order that is not to be delivered (its payment came too late, or all of it went back)
//! sets nothing off. A refund that is only pending keeps nothing back: it may be refused, and no
//! event would bring the delivery then. What ends with a refund is `ended_orders`' to do.

use contracts::events::{OrderEvent, OrderKind};
use contracts::{CartKey, CartKind, OrderId, RecordedEvent};
use deadpool_postgres::Pool;
use domain::cart::{Cart, CartCommand};
use domain::order::{Order, PlacedOrder};
use domain::subscription::Subscription;
use event_feed::{FeedReader, Filter};
use event_store::Executor;
use service_kit::clock::SharedClock;
use service_kit::vault::Vault;

use super::commanding::{self, Commanding, context, dispatch_failure, store_failure};
use super::subscribing::Subscribing;
use super::{Applied, Failure, Reaction, ReactionError};
use crate::failpoints::{Point, reach};
use crate::relay::with_causes;

/// Reacts to approved payments.
#[derive(Debug, Clone)]
pub struct PaidOrders {
    /// Reads orders.
    pub orders: Executor<Order>,
    /// Takes bought lines out of carts.
    pub carts: Executor<Cart>,
    /// Opens subscriptions.
    pub subscriptions: Executor<Subscription>,
    /// Seals a receiver for its subscription.
    pub vault: Vault,
    /// The time of our own records.
    pub clock: SharedClock,
}

impl Reaction for PaidOrders {
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

impl Commanding for PaidOrders {
    const NAME: &'static str = "paid_orders";
    const EVENT_TYPES: &'static [&'static str] = &["PaymentApproved"];

    async fn react(&self, _pool: &Pool, event: &RecordedEvent) -> Result<(), Failure> {
        event.decode::<OrderEvent>().map_err(|error| Failure::Hopeless(with_causes(&error)))?;
        let order_id = OrderId::new(event.aggregate_id);
        // The relay of this process has just recorded it, as a rule, and remembers it.
        let version = u64::try_from(event.sequence).unwrap_or_default();
        let loaded = self.orders.load_at_least(event.aggregate_id, version).await;
        let loaded = loaded.map_err(store_failure)?;
        let Some(order) = loaded.state.placed() else {
            return Err(Failure::Hopeless("paid, but never placed".to_owned()));
        };
        if !order.is_to_be_delivered() {
            tracing::info!(order.id = %order_id, "paid, but not to be delivered: nothing follows");
            return Ok(());
        }
        if order.kind == OrderKind::Subscription
            && let Some(approval) = order.paid_in_time().and_then(|paid| paid.stage.approval())
        {
            let subscribing = Subscribing {
                subscriptions: &self.subscriptions,
                vault: &self.vault,
                event,
                now: self.clock.now(),
            };
            subscribing.open_all(order, approval).await?;
        }
        if order.from_cart {
            self.remove_bought(event, order).await?;
        }
        Ok(())
    }
}

impl PaidOrders {
    async fn remove_bought(
        &self,
        event: &RecordedEvent,
        order: &PlacedOrder,
    ) -> Result<(), Failure> {
        let kind = match order.kind {
            OrderKind::OneOff => CartKind::OneOff,
            OrderKind::Subscription => CartKind::Subscription,
        };
        let cart = CartKey { user_id: order.user_id, kind };
        let lines = order.lines.iter().map(|line| (line.item_id, line.quantity)).collect();
        let command = CartCommand::RemoveBought { cart, order_id: order.order_id, lines };
        let sent = self.carts.dispatch(cart.id().uuid(), command, context(event)).await;
        sent.map_err(dispatch_failure)?;
        reach(Point::AfterCommand).await;
        Ok(())
    }
}

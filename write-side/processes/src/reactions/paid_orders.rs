//! What a payment sets off: the bought lines leave the cart, and each line of a subscription order
//! opens a subscription. Both are commands with derived ids, so hearing of a payment twice changes
//! nothing. An order that is not to be delivered (its payment came too late, or all of it went
//! back) sets nothing off.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use contracts::events::{OrderEvent, OrderKind};
use contracts::{
    Actor, BillingKeyId, CartKey, CartKind, Metadata, OrderId, Receiver, RecordedEvent, Sealed,
    SubscriptionId, calendar, seals,
};
use deadpool_postgres::Pool;
use domain::EventSourced;
use domain::cart::{Cart, CartCommand};
use domain::order::{Order, PlacedOrder};
use domain::subscription::{OpenSubscription, Subscription, SubscriptionCommand};
use event_feed::{FeedReader, Filter};
use event_store::{CommandContext, DispatchError, Executor, StoreError};
use service_kit::clock::SharedClock;
use service_kit::vault::{Vault, VaultError};

use super::{Applied, Failure, Reaction, ReactionError, checkpoint};
use crate::failpoints::{Point, reach};
use crate::metrics;
use crate::relay::with_causes;

/// The stored name of this reaction.
const NAME: &str = "paid_orders";

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
        NAME
    }

    fn filter(&self) -> Filter {
        Filter::events(&["PaymentApproved"])
    }

    async fn apply_batch(
        &self,
        feed: &FeedReader,
        pool: &Pool,
        limit: u32,
    ) -> Result<Applied, ReactionError> {
        let from = checkpoint::read(pool, NAME).await?;
        let batch = feed.read(from, &self.filter(), limit).await?;
        // Whatever a batch sets aside is noted here as well, for the streams that come again in it.
        let mut parked = checkpoint::parked_among(pool, NAME, &batch.events).await?;
        let mut handled = from;
        for event in &batch.events {
            if let Err(error) = self.handle_or_park(pool, event, &mut parked).await {
                // What is done need not be sent again, while what failed is tried again.
                checkpoint::move_to(&pool.get().await?, NAME, handled).await?;
                return Err(error);
            }
            reach(Point::BeforeCheckpoint).await;
            metrics::reaction_handled(NAME, 1);
            handled = event.position;
        }
        if from < batch.through {
            checkpoint::move_to(&pool.get().await?, NAME, batch.through).await?;
            if from < handled {
                reach(Point::AfterCheckpoint).await;
            }
        }
        Ok(Applied { through: batch.through, is_caught_up: batch.is_caught_up() })
    }

    async fn handle(&self, _pool: &Pool, event: &RecordedEvent) -> Result<(), Failure> {
        self.react(event).await
    }
}

impl PaidOrders {
    async fn handle_or_park(
        &self,
        pool: &Pool,
        event: &RecordedEvent,
        parked: &mut HashSet<String>,
    ) -> Result<(), ReactionError> {
        // An event that was set aside itself is handled again and set aside again, if it must be.
        let is_parked = parked.contains(&event.aggregate_id.to_string())
            && checkpoint::is_stream_parked(&pool.get().await?, NAME, event).await?;
        let outcome = if is_parked {
            Err(Failure::Hopeless("an earlier event of this stream is set aside".to_owned()))
        } else {
            self.react(event).await
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(Failure::Away(why)) => Err(ReactionError::Away(why)),
            Err(Failure::Hopeless(why)) => {
                parked.insert(event.aggregate_id.to_string());
                checkpoint::park(&pool.get().await?, NAME, event, &why).await
            }
        }
    }

    async fn react(&self, event: &RecordedEvent) -> Result<(), Failure> {
        let decoded =
            event.decode::<OrderEvent>().map_err(|error| Failure::Hopeless(with_causes(&error)))?;
        let OrderEvent::PaymentApproved { approved_at, billing_key, .. } = decoded else {
            return Ok(());
        };
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
        if order.kind == OrderKind::Subscription {
            // A key that was lost with its answer is missing under the same id.
            let key = billing_key.unwrap_or_else(|| BillingKeyId::of(order_id));
            self.open_subscriptions(event, order, key, approved_at).await?;
        }
        if order.from_cart {
            self.remove_bought(event, order).await?;
        }
        Ok(())
    }

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

    async fn open_subscriptions(
        &self,
        event: &RecordedEvent,
        order: &PlacedOrder,
        billing_key: BillingKeyId,
        approved_at: DateTime<Utc>,
    ) -> Result<(), Failure> {
        let stream = seals::order_stream(order.order_id);
        let receiver: Receiver = self
            .vault
            .open(order.user_id, &stream, seals::RECEIVER, &order.receiver)
            .await
            .map_err(|error| vault_failure(&error))?
            .ok_or_else(|| Failure::Hopeless("the user's key was destroyed".to_owned()))?;
        for line in &order.lines {
            let Some(period) = line.period else {
                return Err(Failure::Hopeless(format!("line {} has no period", line.line_no)));
            };
            let id = SubscriptionId::of(order.order_id, line.line_no);
            let receiver = self.sealed_for(id, order, &receiver).await?;
            let open = OpenSubscription {
                user_id: order.user_id,
                order_id: order.order_id,
                line_no: line.line_no,
                item_id: line.item_id,
                item_name: line.item_name.clone(),
                quantity: line.quantity,
                unit_price: line.unit_price,
                period,
                receiver,
                billing_key,
                paid_on: calendar::business_date(approved_at),
                at: self.clock.now(),
            };
            let command = SubscriptionCommand::OpenSubscription(Box::new(open));
            let sent = self.subscriptions.dispatch(id.uuid(), command, context(event)).await;
            sent.map_err(dispatch_failure)?;
            reach(Point::AfterCommand).await;
        }
        Ok(())
    }

    async fn sealed_for(
        &self,
        id: SubscriptionId,
        order: &PlacedOrder,
        receiver: &Receiver,
    ) -> Result<Sealed<Receiver>, Failure> {
        let stream = seals::subscription_stream(id);
        let sealed = self.vault.seal(order.user_id, &stream, seals::RECEIVER, receiver).await;
        sealed.map_err(|error| vault_failure(&error))
    }
}

/// Commands of a reaction carry on the chain of what they react to.
fn context<A: EventSourced>(event: &RecordedEvent) -> CommandContext<A> {
    let chain = serde_json::from_value::<Metadata>(event.metadata.clone());
    let correlation_id = chain.map_or_else(|_| event.position.to_string(), |it| it.correlation_id);
    CommandContext::new(Metadata {
        actor: Actor::System("reactions".to_owned()),
        correlation_id,
        causation_id: Some(format!("{}/{}", event.aggregate_id, event.sequence)),
        idempotency_key: None,
    })
}

fn dispatch_failure<R: domain::Refusal>(error: DispatchError<R>) -> Failure {
    match error {
        DispatchError::Refused(refusal) => Failure::Hopeless(refusal.to_string()),
        DispatchError::Store(error) => store_failure(error),
        error @ (DispatchError::Stale { .. }
        | DispatchError::Conflict
        | DispatchError::ClaimTaken { .. }
        | DispatchError::KeyReused) => Failure::Away(error.to_string()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn store_failure(error: StoreError) -> Failure {
    if error.is_transient() {
        return Failure::Away(with_causes(&error));
    }
    match error {
        StoreError::Decode(_) | StoreError::Corrupt { .. } => {
            Failure::Hopeless(with_causes(&error))
        }
        // A statement that the database refuses today may be mended without touching the event.
        StoreError::Database(_)
        | StoreError::Settings
        | StoreError::Unavailable(_)
        | StoreError::OutcomeUnknown => Failure::Away(with_causes(&error)),
    }
}

fn vault_failure(error: &VaultError) -> Failure {
    match error {
        VaultError::Keys(_) => Failure::Away(with_causes(error)),
        VaultError::NoKey(_)
        | VaultError::NotAuthentic
        | VaultError::WrongMasterKey(_)
        | VaultError::Shape => Failure::Hopeless(with_causes(error)),
    }
}

//! Opening and ending the subscriptions of an order: one command a line, with an id derived from
//! order and line, so that sending them again changes nothing.

use chrono::{DateTime, Utc};
use contracts::{BillingKeyId, Receiver, RecordedEvent, Sealed, SubscriptionId, calendar, seals};
use domain::order::{Approval, PlacedOrder};
use domain::subscription::{
    Ender, OpenSubscription, Subscription, SubscriptionCommand, SubscriptionRefusal,
};
use event_store::{DispatchError, Executor};
use service_kit::vault::Vault;

use super::Failure;
use super::commanding::{context, dispatch_failure, vault_failure};
use crate::failpoints::{Point, reach};

/// What sending the commands of one event needs.
#[derive(Debug)]
pub(super) struct Subscribing<'a> {
    pub(super) subscriptions: &'a Executor<Subscription>,
    pub(super) vault: &'a Vault,
    pub(super) event: &'a RecordedEvent,
    pub(super) now: DateTime<Utc>,
}

impl Subscribing<'_> {
    /// Opens the subscription of each line of an order that `approval` paid.
    pub(super) async fn open_all(
        &self,
        order: &PlacedOrder,
        approval: &Approval,
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
            let open = OpenSubscription {
                user_id: order.user_id,
                order_id: order.order_id,
                line_no: line.line_no,
                item_id: line.item_id,
                item_name: line.item_name.clone(),
                quantity: line.quantity,
                unit_price: line.unit_price,
                period,
                receiver: self.sealed_for(id, order, &receiver).await?,
                // A key that was lost with its answer is missing under the same id.
                billing_key: BillingKeyId::of(order.order_id),
                key_missing: approval.billing_key.is_none(),
                paid_on: calendar::business_date(approval.approved_at),
                at: self.now,
            };
            self.send(id, SubscriptionCommand::OpenSubscription(Box::new(open))).await?;
        }
        Ok(())
    }

    /// Ends the subscription of each line of an order that `approval` paid. Those that were not
    /// opened yet are opened first, so that whatever comes late opens them no more.
    pub(super) async fn end_all(
        &self,
        order: &PlacedOrder,
        approval: &Approval,
        by: Ender,
    ) -> Result<(), Failure> {
        for line in &order.lines {
            let id = SubscriptionId::of(order.order_id, line.line_no);
            let end = SubscriptionCommand::CancelSubscription { by, reason: None, at: self.now };
            match self.dispatch(id, end.clone()).await {
                Err(DispatchError::Refused(SubscriptionRefusal::NotFound)) => {
                    self.open_all(order, approval).await?;
                    self.send(id, end).await?;
                }
                sent => sent.map_err(dispatch_failure)?,
            }
        }
        Ok(())
    }

    async fn send(&self, id: SubscriptionId, command: SubscriptionCommand) -> Result<(), Failure> {
        self.dispatch(id, command).await.map_err(dispatch_failure)
    }

    async fn dispatch(
        &self,
        id: SubscriptionId,
        command: SubscriptionCommand,
    ) -> Result<(), DispatchError<SubscriptionRefusal>> {
        self.subscriptions.dispatch(id.uuid(), command, context(self.event)).await?;
        reach(Point::AfterCommand).await;
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

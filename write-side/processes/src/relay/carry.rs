//! Carries one claimed row from where it stands to the next resting place.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use contracts::{OrderId, seals};
use domain::Effect;
use domain::effects::{ApproveEffect, CancelEffect, PaymentTerms, ReadyEffect};
use event_store::StoreError;
use serde_json::{Value, json};
use service_kit::clock::SharedClock;
use service_kit::config::Secret;
use service_kit::vault::{Vault, VaultError};

use super::decide::{Next, RetryPolicy, Try};
use super::deliver::{Delivery, Task};
use super::rows::{ClaimedRow, KeptKey, PutOff, RowError, Rows};
use super::with_causes;
use crate::failpoints::{Point, reach};
use crate::gateway::{
    BillingSecret, CancelRequest, CheckoutRequest, CompletionRequest, Outcome, Paid,
    PaymentGateway, PaymentQuestion,
};
use crate::metrics;

mod settling;

/// Longest text kept as a row's last error.
const ERROR_LENGTH_MAX: usize = 500;

/// Tries to write down what became of a row while the database is away: about ten seconds with the
/// default pauses. A settlement is then left to a look-up, a row to the end of its lease.
const STORE_TRIES_MAX: u32 = 5;

/// Carries rows; shared by all tasks of a relay.
pub struct Carrier {
    /// The outbox.
    pub rows: Rows,
    /// Whoever moves the money.
    pub gateway: Arc<dyn PaymentGateway>,
    /// Tells the aggregates.
    pub delivery: Delivery,
    /// Opens tokens and seals recurring keys.
    pub vault: Vault,
    /// When to try again.
    pub retries: RetryPolicy,
    /// The time of our own records.
    pub clock: SharedClock,
}

/// Why a row cannot go on now.
enum Stop {
    /// Another worker has it.
    LeaseLost,
    /// Something of ours is away for the moment.
    Away {
        /// What.
        why: String,
        /// Whether a call may be out that nobody knows the end of.
        in_doubt: bool,
    },
    /// Trying again would end the same way.
    Hopeless(String),
}

impl Stop {
    fn away(error: &dyn std::error::Error) -> Self {
        Self::Away { why: with_causes(error), in_doubt: false }
    }

    /// The same after a call that may have moved money: it must be looked up, not repeated.
    fn after_call(self) -> Self {
        match self {
            Self::Away { why, .. } => Self::Away { why, in_doubt: true },
            other @ (Self::LeaseLost | Self::Hopeless(_)) => other,
        }
    }
}

impl From<RowError> for Stop {
    fn from(error: RowError) -> Self {
        match error {
            RowError::LeaseLost => Self::LeaseLost,
            RowError::Database(_) => Self::away(&error),
        }
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        if error.is_transient() { Self::away(&error) } else { Self::Hopeless(with_causes(&error)) }
    }
}

impl From<VaultError> for Stop {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Keys(_) => Self::away(&error),
            VaultError::NoKey(_)
            | VaultError::NotAuthentic
            | VaultError::WrongMasterKey(_)
            | VaultError::Shape => Self::Hopeless(with_causes(&error)),
        }
    }
}

impl Carrier {
    /// Carries `row`; whatever happens is in the row afterwards.
    pub async fn carry(&self, row: ClaimedRow) {
        reach(Point::AfterClaim).await;
        let stopped = match self.advance(&row).await {
            Ok(()) => return,
            Err(stopped) => stopped,
        };
        let kept = match stopped {
            Stop::LeaseLost => Err(RowError::LeaseLost),
            Stop::Away { why, in_doubt } => {
                tracing::warn!(outbox.id = %row.id, kind = row.kind, why, "outbox row put off");
                let is_in_doubt = in_doubt || row.is_in_doubt;
                let state = if is_in_doubt { PutOff::Unknown } else { PutOff::Waiting };
                let (pause, why) = (self.retries.pause(row.attempt), clipped(&why));
                reach(Point::BeforePutOff).await;
                self.patiently(&row, || self.rows.put_off(&row, state, pause, false, &why)).await
            }
            Stop::Hopeless(why) => self.bury(&row, &why).await,
        };
        log_lost(&row, kept);
    }

    async fn advance(&self, row: &ClaimedRow) -> Result<(), Stop> {
        let effect: Effect = serde_json::from_value(row.payload.clone())
            .map_err(|error| Stop::Hopeless(format!("an effect that cannot be read: {error}")))?;
        let order: OrderId = row
            .aggregate_id
            .parse()
            .map_err(|error| Stop::Hopeless(format!("not an order's stream: {error}")))?;
        let task = Task { row, order, effect: &effect };
        if let Some(outcome) = &row.outcome {
            let settlement = serde_json::from_value(outcome.clone()).map_err(|error| {
                Stop::Hopeless(format!("an outcome that cannot be read: {error}"))
            })?;
            return self.tell(task, settlement, None).await;
        }
        match &effect {
            Effect::PaymentReady(ready) => self.ready(task, ready).await,
            Effect::PaymentApprove(approve) => self.approve(task, approve).await,
            Effect::PaymentCancel(cancel) => self.cancel(task, cancel).await,
        }
    }

    async fn ready(&self, task: Task<'_>, ready: &ReadyEffect) -> Result<(), Stop> {
        let Task { row, order, .. } = task;
        let request = CheckoutRequest {
            terms: ready.terms.clone(),
            order_id: order,
            item_name: ready.item_name.clone(),
            quantity: ready.quantity,
            correlation_id: row.correlation_id.clone(),
        };
        self.rows.store_request(row, &described("begin_checkout", &ready.terms, None)).await?;
        reach(Point::AfterRequest).await;
        let outcome = self.gateway.begin_checkout(&request).await;
        reach(Point::AfterAnswer).await;
        let next = self.retries.after_ready(outcome, self.this_try(row));
        self.proceed(task, next, None).await.map(drop)
    }

    async fn approve(&self, task: Task<'_>, approve: &ApproveEffect) -> Result<(), Stop> {
        let Task { row, order, .. } = task;
        let terms = &approve.terms;
        let payment = question(row, terms, &approve.tid);
        if row.is_in_doubt {
            let outcome = self.gateway.look_up(&payment).await;
            reach(Point::AfterLookUp).await;
            let at = self.this_try(row);
            let mut next = self.retries.after_approve_look_up(outcome, at);
            let key = self.key_of(order, terms, None, &mut next).await;
            if self.proceed(task, next, key).await? == Proceed::Done {
                return Ok(());
            }
        }
        let stream = seals::order_stream(order);
        let opened = self.vault.open(terms.user_id, &stream, seals::PG_TOKEN, &approve.pg_token);
        let tid = Some(approve.tid.as_str());
        let request = described("complete_checkout", terms, tid);
        // Neither needs the other, and nobody is called before both are there.
        let (opened, stored) = tokio::join!(opened, self.rows.store_request(row, &request));
        stored?;
        let token: String =
            opened?.ok_or_else(|| Stop::Hopeless("the user's key was destroyed".to_owned()))?;
        reach(Point::AfterRequest).await;
        let request = CompletionRequest { payment, token: Secret::new(token) };
        // The order is fetched while the gateway takes its time; telling it then waits for nothing.
        let calling = self.gateway.complete_checkout(&request);
        let outcome = accompanied(calling, self.delivery.prepare(row, order)).await;
        reach(Point::AfterAnswer).await;
        let (outcome, secret) = with_key_apart(outcome);
        let mut next = self.retries.after_approve(outcome, self.this_try(row));
        let key = self.key_of(order, terms, secret, &mut next).await;
        self.proceed(task, next, key).await.map(drop).map_err(Stop::after_call)
    }

    async fn cancel(&self, task: Task<'_>, cancel: &CancelEffect) -> Result<(), Stop> {
        let Task { row, .. } = task;
        let payment = question(row, &cancel.terms, &cancel.tid);
        let before = self.delivery.given_back_before(task.order, cancel).await?;
        let refundable_before = cancel
            .terms
            .amount
            .checked_sub(before)
            .ok_or_else(|| Stop::Hopeless("more given back than was ever paid".to_owned()))?;
        if row.is_in_doubt {
            let outcome = self.gateway.look_up(&payment).await;
            reach(Point::AfterLookUp).await;
            let at = self.this_try(row);
            let next = self.retries.after_cancel_look_up(outcome, before, cancel.amount, at);
            if self.proceed(task, next, None).await? == Proceed::Done {
                return Ok(());
            }
        }
        let tid = Some(cancel.tid.as_str());
        let mut description = described("cancel", &cancel.terms, tid);
        description["cancel_amount"] = json!(cancel.amount);
        description["cancel_available_amount"] = json!(refundable_before);
        self.rows.store_request(row, &description).await?;
        reach(Point::AfterRequest).await;
        let request = CancelRequest {
            payment,
            amount: cancel.amount,
            tax_free: cancel.tax_free,
            refundable_before,
        };
        let outcome = self.gateway.cancel(&request).await;
        reach(Point::AfterAnswer).await;
        let next = self.retries.after_cancel(outcome, self.this_try(row));
        self.proceed(task, next, None).await.map(drop).map_err(Stop::after_call)
    }

    /// Does what was decided. [`Proceed::Call`] means: call now, under the same lease.
    async fn proceed(
        &self,
        task: Task<'_>,
        next: Next,
        key: Option<KeptKey>,
    ) -> Result<Proceed, Stop> {
        let (state, reason, pause, is_counted, why) = match next {
            Next::CallNow => return Ok(Proceed::Call),
            Next::Settle(settlement, note) => {
                self.settle(task, settlement, note, key).await?;
                return Ok(Proceed::Done);
            }
            Next::Again { pause, is_counted, why } => {
                (PutOff::Waiting, "again", pause, is_counted, why)
            }
            Next::LookUp { pause, is_counted, why } => {
                (PutOff::Unknown, "look_up", pause, is_counted, why)
            }
        };
        let Task { row, order, effect } = task;
        let kind = effect.kind();
        tracing::info!(outbox.id = %row.id, order.id = %order, kind, reason, why, "row put off");
        metrics::relay_put_off(kind, reason);
        reach(Point::BeforePutOff).await;
        self.rows.put_off(row, state, pause, is_counted, &clipped(&why)).await?;
        reach(Point::AfterPutOff).await;
        Ok(Proceed::Done)
    }

    fn this_try(&self, row: &ClaimedRow) -> Try {
        let was_unknown = row.is_in_doubt;
        Try { number: row.attempt, age: row.age, now: self.clock.now(), was_unknown }
    }
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carrier").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

/// The outcome of `call`, which is not kept waiting: `errand` is given up when the call ends first.
async fn accompanied<T>(call: impl Future<Output = T>, errand: impl Future<Output = ()>) -> T {
    let mut call = pin!(call);
    tokio::select! {
        biased;
        outcome = &mut call => outcome,
        () = errand => call.await,
    }
}

/// What could not be written down is found out by whoever has the row next.
fn log_lost(row: &ClaimedRow, kept: Result<(), RowError>) {
    match kept {
        Ok(()) => (),
        Err(RowError::LeaseLost) => {
            metrics::relay_lease_lost();
            tracing::warn!(outbox.id = %row.id, kind = row.kind, "lease lost; nothing recorded");
        }
        Err(error) => {
            let error = with_causes(&error);
            tracing::error!(outbox.id = %row.id, error, "row not put back; its lease will run out");
        }
    }
}

/// Whether a row has come to rest, or a call is to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proceed {
    Done,
    Call,
}

/// The outcome without the recurring key, and the key: it takes another way than the rest.
fn with_key_apart(outcome: Outcome<Paid>) -> (Outcome<Paid>, Option<BillingSecret>) {
    match outcome {
        Outcome::Done(mut paid) => {
            let key = paid.key.take();
            (Outcome::Done(paid), key)
        }
        other @ (Outcome::Declined(_) | Outcome::NotSent(_) | Outcome::Unknown(_)) => (other, None),
    }
}

fn question(row: &ClaimedRow, terms: &PaymentTerms, tid: &contracts::Text<64>) -> PaymentQuestion {
    PaymentQuestion {
        terms: terms.clone(),
        payment_ref: tid.clone(),
        correlation_id: row.correlation_id.clone(),
    }
}

/// What is stored of a request: everything but secrets.
fn described(call: &str, terms: &PaymentTerms, tid: Option<&str>) -> Value {
    json!({
        "call": call,
        "partner_order_id": terms.partner_order_id,
        "attempt": terms.attempt,
        "total_amount": terms.amount,
        "tax_free_amount": terms.tax_free,
        "vat_amount": terms.vat,
        "is_recurring": terms.billing_key.is_some(),
        "tid": tid,
    })
}

fn clipped(text: &str) -> String {
    text.chars().take(ERROR_LENGTH_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::accompanied;

    #[tokio::test]
    async fn an_errand_keeps_no_call_waiting() {
        assert_eq!(accompanied(ready(1), pending()).await, 1);
        let later = async {
            tokio::task::yield_now().await;
            2
        };
        assert_eq!(accompanied(later, ready(())).await, 2);
    }
}

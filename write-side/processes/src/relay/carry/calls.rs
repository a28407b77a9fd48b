//! The three calls: looked up first when an earlier one is unknown, then admitted, stored, sent, and
//! decided upon.

use std::pin::pin;

use contracts::{Text, seals};
use domain::effects::{ApproveEffect, CancelEffect, PaymentTerms, ReadyEffect};
use serde_json::{Value, json};
use service_kit::config::Secret;

use super::super::deliver::Task;
use super::super::rows::ClaimedRow;
use super::keys::KeyHold;
use super::{CallState, Carrier, Proceed, Stop};
use crate::failpoints::{Point, reach};
use crate::gateway::{
    BillingSecret, CallClass, CancelRequest, CheckoutRequest, CompletionRequest, Outcome, Paid,
    PaymentQuestion, PaymentState, Standing,
};

impl Carrier {
    pub(super) async fn ready(&self, task: Task<'_>, ready: &ReadyEffect) -> Result<(), Stop> {
        let Task { row, order, .. } = task;
        let admission = match self.gateway.admit(CallClass::Checkout).await {
            Ok(admission) => admission,
            Err(refused) => {
                let next = self.retries.after_ready(Outcome::NotSent(refused), self.this_try(row));
                return self.proceed(task, next, None, CallState::NotStored).await.map(drop);
            }
        };
        let request = CheckoutRequest {
            terms: ready.terms.clone(),
            order_id: order,
            item_name: ready.item_name.clone(),
            quantity: ready.quantity,
            correlation_id: row.correlation_id.clone(),
        };
        let stored = self.store(row, &described("begin_checkout", &ready.terms, None)).await?;
        reach(Point::AfterRequest).await;
        let outcome = match self.check_age(stored) {
            Ok(()) => self.gateway.begin_checkout(&request, admission).await,
            Err(stale) => Outcome::NotSent(stale),
        };
        reach(Point::AfterAnswer).await;
        let next = self.retries.after_ready(outcome, self.this_try(row));
        self.proceed(task, next, None, CallState::Unsent).await.map(drop)
    }

    pub(super) async fn approve(
        &self,
        task: Task<'_>,
        approve: &ApproveEffect,
    ) -> Result<(), Stop> {
        let Task { row, order, .. } = task;
        let terms = &approve.terms;
        let payment = question(row, terms, &approve.tid);
        if terms.billing_key.is_some_and(|id| self.keys.is_held(id)) {
            let why = "the recurring key of an earlier claim is not stored yet".to_owned();
            return Err(Stop::Away { why, call: CallState::NotStored });
        }
        if row.unknown_for.is_some() {
            let outcome = self.gateway.look_up(&payment).await;
            reach(Point::AfterLookUp).await;
            let at = self.this_try(row);
            let (outcome, secret) = with_found_key_apart(outcome);
            let _held = self.hold_key(terms, secret.as_ref());
            let mut next = self.retries.after_approve_look_up(outcome, at);
            let key = self.key_of(order, terms, secret, &mut next).await?;
            if self.proceed(task, next, key, CallState::NotStored).await? == Proceed::Done {
                return Ok(());
            }
        }
        let admission = match self.gateway.admit(CallClass::Checkout).await {
            Ok(admission) => admission,
            Err(refused) => {
                let next =
                    self.retries.after_approve(Outcome::NotSent(refused), self.this_try(row));
                return self.proceed(task, next, None, CallState::NotStored).await.map(drop);
            }
        };
        let stream = seals::order_stream(order);
        let opened = self.vault.open(terms.user_id, &stream, seals::PG_TOKEN, &approve.pg_token);
        let tid = Some(approve.tid.as_str());
        let request = described("complete_checkout", terms, tid);
        // Neither needs the other, and both are there before the call.
        let (opened, stored) = tokio::join!(opened, self.store(row, &request));
        let stored = stored?;
        let token: String = opened
            .map_err(|error| Stop::from(error).unsent())?
            .ok_or_else(|| Stop::Hopeless("the user's key was destroyed".to_owned()))?;
        reach(Point::AfterRequest).await;
        let request = CompletionRequest { payment, token: Secret::new(token) };
        let outcome = if let Err(stale) = self.check_age(stored) {
            Outcome::NotSent(stale)
        } else {
            // The order is fetched while the gateway works; the report then waits for nothing.
            let calling = self.gateway.complete_checkout(&request, admission);
            accompanied(calling, self.delivery.prepare(row, order)).await
        };
        reach(Point::AfterAnswer).await;
        let (outcome, secret) = with_key_apart(outcome);
        // A worker that drains waits for this until the key is stored.
        let _held = self.hold_key(terms, secret.as_ref());
        let mut next = self.retries.after_approve(outcome, self.this_try(row));
        let key = self.key_of(order, terms, secret, &mut next).await.map_err(Stop::after_call)?;
        let proceeded = self.proceed(task, next, key, CallState::Unsent).await;
        proceeded.map(drop).map_err(Stop::after_call)
    }

    /// Counts the key of an answer as held, so that a draining worker waits for it.
    fn hold_key(&self, terms: &PaymentTerms, key: Option<&BillingSecret>) -> Option<KeyHold> {
        key.and(terms.billing_key).map(|id| self.keys.hold(id))
    }

    pub(super) async fn cancel(&self, task: Task<'_>, cancel: &CancelEffect) -> Result<(), Stop> {
        let Task { row, .. } = task;
        let payment = question(row, &cancel.terms, &cancel.tid);
        let before = self.delivery.given_back_before(task.order, cancel).await?;
        let refundable_before = cancel
            .terms
            .amount
            .checked_sub(before.amount)
            .ok_or_else(|| Stop::Hopeless("more given back than was ever paid".to_owned()))?;
        if row.unknown_for.is_some() {
            let outcome = self.gateway.look_up(&payment).await;
            reach(Point::AfterLookUp).await;
            let at = self.this_try(row);
            let next = self.retries.after_cancel_look_up(outcome, before.amount, cancel.amount, at);
            if self.proceed(task, next, None, CallState::NotStored).await? == Proceed::Done {
                return Ok(());
            }
        }
        let admission = match self.gateway.admit(CallClass::Checkout).await {
            Ok(admission) => admission,
            Err(refused) => {
                let next = self.retries.after_cancel(Outcome::NotSent(refused), self.this_try(row));
                return self.proceed(task, next, None, CallState::NotStored).await.map(drop);
            }
        };
        let tid = Some(cancel.tid.as_str());
        let mut description = described("cancel", &cancel.terms, tid);
        description["cancel_amount"] = json!(cancel.amount);
        description["cancel_available_amount"] = json!(refundable_before);
        let stored = self.store(row, &description).await?;
        reach(Point::AfterRequest).await;
        let request = CancelRequest {
            payment,
            amount: cancel.amount,
            tax_free: cancel.tax_free,
            refundable_before,
            tax_free_before: before.tax_free,
        };
        let outcome = match self.check_age(stored) {
            Ok(()) => self.gateway.cancel(&request, admission).await,
            Err(stale) => Outcome::NotSent(stale),
        };
        reach(Point::AfterAnswer).await;
        let next = self.retries.after_cancel(outcome, self.this_try(row));
        let proceeded = self.proceed(task, next, None, CallState::Unsent).await;
        proceeded.map(drop).map_err(Stop::after_call)
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

/// The same for a look-up, should it ever state the key.
fn with_found_key_apart(
    mut outcome: Outcome<Standing>,
) -> (Outcome<Standing>, Option<BillingSecret>) {
    let key = match &mut outcome {
        Outcome::Done(Standing { state: PaymentState::Paid(paid), .. }) => paid.key.take(),
        Outcome::Done(_) | Outcome::Declined(_) | Outcome::NotSent(_) | Outcome::Unknown(_) => None,
    };
    (outcome, key)
}

fn question(row: &ClaimedRow, terms: &PaymentTerms, tid: &Text<64>) -> PaymentQuestion {
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

//! What happens to a row once its outcome is known: stored, reported to the aggregate, and taken out.

use std::time::Duration;

use contracts::{BillingKeyId, OrderId, Sealed, UserId, seals};
use domain::Settlement;
use domain::effects::PaymentTerms;
use service_kit::vault::VaultError;

use super::super::deliver::{Task, Told};
use super::super::rows::{ClaimedRow, KeptKey, PutOff, RowError, SealedKey, WaitingState};
use super::super::with_causes;
use super::{Carrier, Next, STORE_TRIES_MAX, Stop, clipped};
use crate::failpoints::{Point, reach};
use crate::gateway::BillingSecret;
use crate::metrics;

/// Longest pause before a recurring key is stored again: far below the time for which another worker
/// waits for it, so that the two don't disagree about it once the database is back.
const KEY_STORE_PAUSE_MAX: Duration = Duration::from_secs(2);
/// Pause before a recurring key that another worker may hold is looked for again.
const KEY_LOOK_PAUSE: Duration = Duration::from_secs(3);

/// How long a write is repeated while the database is unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// [`STORE_TRIES_MAX`] times: what is lost is found out again.
    Bounded,
    /// For as long as the process lives: what is lost is lost for good.
    UntilStored,
}

impl Carrier {
    pub(super) async fn settle(
        &self,
        task: Task<'_>,
        settlement: Settlement,
        note: Option<String>,
        key: Option<KeptKey>,
    ) -> Result<(), Stop> {
        // The gateway's answer stands in this task's memory alone, and a look-up holds no key.
        let patience = match key.as_ref().and_then(|key| key.sealed.as_ref()) {
            Some(_) => Patience::UntilStored,
            None => Patience::Bounded,
        };
        let store = || self.rows.store_outcome(task.row, &settlement, key.as_ref());
        self.patiently(patience, store).await?;
        reach(Point::AfterOutcome).await;
        self.tell(task, settlement, note).await
    }

    /// Writes into the row, and repeats the write while the database is unavailable.
    pub(super) async fn patiently<F, W>(&self, patience: Patience, write: F) -> Result<(), RowError>
    where
        F: Fn() -> W,
        W: Future<Output = Result<(), RowError>>,
    {
        let mut tries = 1;
        loop {
            match write().await {
                Err(error @ RowError::Database(_))
                    if tries < STORE_TRIES_MAX || patience == Patience::UntilStored =>
                {
                    tracing::warn!(error = with_causes(&error), "not stored yet");
                    let pause = self.retries.pause(tries);
                    self.clock
                        .sleep(match patience {
                            Patience::Bounded => pause,
                            Patience::UntilStored => pause.min(KEY_STORE_PAUSE_MAX),
                        })
                        .await;
                    tries += 1;
                }
                written => return written,
            }
        }
    }

    /// Tells the aggregate and takes the row out, or leaves it to an operator when nobody knows.
    pub(super) async fn tell(
        &self,
        task: Task<'_>,
        settlement: Settlement,
        note: Option<String>,
    ) -> Result<(), Stop> {
        let Task { row, effect, order: _ } = task;
        let kind = effect.kind();
        match self.delivery.tell(task, &settlement, self.clock.now()).await {
            Told::Recorded => (),
            Told::Later(why) => {
                tracing::warn!(why, "not told yet");
                metrics::relay_put_off(kind, "deliver");
                let put_off = PutOff {
                    state: WaitingState::Waiting,
                    pause: self.retries.pause(row.attempt),
                    is_counted: true,
                    is_unsent: false,
                    why: clipped(&why),
                };
                reach(Point::BeforePutOff).await;
                self.rows.put_off(row, &put_off).await?;
                return Ok(());
            }
            Told::Refused(why) => return Err(Stop::Hopeless(why)),
        }
        reach(Point::AfterTelling).await;
        metrics::relay_settled(kind, settlement.name());
        if let Settlement::Unresolved { reason, .. } = &settlement {
            let note = note.as_deref().unwrap_or_default();
            self.bury(row, &format!("{reason}: {note}")).await?;
            return Ok(());
        }
        let settled = settlement.name();
        let note = note.as_deref().unwrap_or_default();
        tracing::info!(settled, note, "row settled");
        self.rows.finish(row).await?;
        reach(Point::AfterFinish).await;
        Ok(())
    }

    /// The recurring key that goes with an approval: sealed, or known to be missing. KakaoPay returns
    /// the key in the approval's answer alone (ops/decisions/0008-a-lost-approval-loses-the-key.md).
    /// That money moved is recorded whatever becomes of the key.
    ///
    /// # Errors
    /// Whether another task stored the key cannot be read now: the row is requeued.
    pub(super) async fn key_of(
        &self,
        order: OrderId,
        terms: &PaymentTerms,
        secret: Option<BillingSecret>,
        next: &mut Next,
    ) -> Result<Option<KeptKey>, Stop> {
        let Some(id) = terms.billing_key else { return Ok(None) };
        let Next::Settle(Settlement::Approved { billing_key, tid, .. }, _) = next else {
            return Ok(None);
        };
        let user = terms.user_id;
        let Some(key) = secret else {
            // A worker that lost its lease stores its key, though not its outcome.
            if self.rows.has_key(id).await? {
                *billing_key = Some(id);
                return Ok(None);
            }
            let absent_for = self.keys.absent_for(id, self.clock.monotonic());
            if absent_for < self.retries.key_absent_for {
                *next = Next::LookUp {
                    pause: KEY_LOOK_PAUSE,
                    is_counted: false,
                    is_unsent: false,
                    why: "another worker may still store the recurring key".to_owned(),
                };
                return Ok(None);
            }
            let why = "the answer that held it was lost";
            return Ok(Some(missing(KeptKey { id, user, sealed: None }, order, why)));
        };
        match self.sealed((id, user), &key).await {
            Ok(sid) => {
                *billing_key = Some(id);
                let sealed = SealedKey {
                    sid,
                    partner_user_id: key.partner_user_id,
                    cid: key.merchant,
                    tid: tid.clone(),
                };
                Ok(Some(KeptKey { id, user, sealed: Some(sealed) }))
            }
            Err(error) => {
                let why = with_causes(&error);
                Ok(Some(missing(KeptKey { id, user, sealed: None }, order, &why)))
            }
        }
    }

    /// The key under its user's key, which is waited for while the database is unavailable.
    async fn sealed(
        &self,
        (id, user): (BillingKeyId, UserId),
        key: &BillingSecret,
    ) -> Result<Sealed<String>, VaultError> {
        let (stream, sid) = (seals::billing_key_stream(id), key.secret.expose().to_owned());
        let mut tries = 1;
        loop {
            match self.vault.seal(user, &stream, seals::SID, &sid).await {
                Err(error @ VaultError::Keys(_)) => {
                    let error = with_causes(&error);
                    tracing::warn!(error, "recurring key not sealed yet");
                    self.clock.sleep(self.retries.pause(tries).min(KEY_STORE_PAUSE_MAX)).await;
                    tries += 1;
                }
                sealed => return sealed,
            }
        }
    }

    pub(super) async fn bury(&self, row: &ClaimedRow, why: &str) -> Result<(), RowError> {
        tracing::error!(why, "row died");
        self.rows.bury(row, &clipped(why)).await?;
        metrics::relay_died(kind_label(&row.kind));
        Ok(())
    }
}

/// Counts and logs that KakaoPay issued a key that this shop doesn't have.
fn missing(key: KeptKey, order: OrderId, why: &str) -> KeptKey {
    metrics::billing_key_missing();
    tracing::error!(order.id = %order, billing_key.id = %key.id, why, "paid, but without key");
    key
}

/// Closed set of labels, whatever a row may say.
fn kind_label(kind: &str) -> &'static str {
    match kind {
        "payment_ready" => "payment_ready",
        "payment_approve" => "payment_approve",
        "payment_cancel" => "payment_cancel",
        _ => "other",
    }
}

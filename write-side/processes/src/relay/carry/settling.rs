//! What happens to a row once it is known what came of it: written down, told, and taken out.

use contracts::{OrderId, seals};
use domain::Settlement;
use domain::effects::PaymentTerms;

use super::super::deliver::{Task, Told};
use super::super::rows::{ClaimedRow, KeptKey, PutOff, RowError, SealedKey};
use super::super::with_causes;
use super::{Carrier, Next, STORE_TRIES_MAX, Stop, clipped};
use crate::failpoints::{Point, reach};
use crate::gateway::BillingSecret;
use crate::metrics;

impl Carrier {
    pub(super) async fn settle(
        &self,
        task: Task<'_>,
        settlement: Settlement,
        note: Option<String>,
        key: Option<KeptKey>,
    ) -> Result<(), Stop> {
        // What the gateway answered is only in our hands here, and a recurring key would be lost
        // with it.
        let store = || self.rows.store_outcome(task.row, &settlement, key.as_ref());
        self.patiently(task.row, store).await?;
        reach(Point::AfterOutcome).await;
        self.tell(task, settlement, note).await
    }

    /// Writes into the row, again and again while the database is away for a moment.
    pub(super) async fn patiently<F, W>(&self, row: &ClaimedRow, write: F) -> Result<(), RowError>
    where
        F: Fn() -> W,
        W: Future<Output = Result<(), RowError>>,
    {
        let mut tries = 1;
        loop {
            match write().await {
                Err(error @ RowError::Database(_)) if tries < STORE_TRIES_MAX => {
                    tracing::warn!(outbox.id = %row.id, error = %with_causes(&error), "not stored yet");
                    self.clock.sleep(self.retries.pause(tries)).await;
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
        let Task { row, order, effect } = task;
        let kind = effect.kind();
        match self.delivery.tell(task, &settlement, self.clock.now()).await {
            Told::Recorded => (),
            Told::Later(why) => {
                tracing::warn!(outbox.id = %row.id, order.id = %order, kind, why, "not told yet");
                metrics::relay_put_off(kind, "deliver");
                let pause = self.retries.pause(row.attempt);
                reach(Point::BeforePutOff).await;
                self.rows.put_off(row, PutOff::Waiting, pause, true, &clipped(&why)).await?;
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
        tracing::info!(outbox.id = %row.id, order.id = %order, kind, settled, note, "row settled");
        self.rows.finish(row).await?;
        reach(Point::AfterFinish).await;
        Ok(())
    }

    /// The recurring key that goes with an approval: sealed, or known to be missing. KakaoPay tells
    /// the key in the approval's answer alone (ops/decisions/0008-a-lost-approval-loses-the-key.md).
    /// Never fails: that money moved is recorded whatever becomes of the key.
    pub(super) async fn key_of(
        &self,
        order: OrderId,
        terms: &PaymentTerms,
        secret: Option<BillingSecret>,
        next: &mut Next,
    ) -> Option<KeptKey> {
        let id = terms.billing_key?;
        let Next::Settle(Settlement::Approved { billing_key, tid, .. }, _) = next else {
            return None;
        };
        let user = terms.user_id;
        let sealed = match secret {
            None => Err("the answer that held it was lost".to_owned()),
            Some(key) => {
                let (stream, sid) = (seals::billing_key_stream(id), key.secret.expose().to_owned());
                let sealed = self.vault.seal(user, &stream, seals::SID, &sid).await;
                let sealed = sealed.map(|sid| SealedKey {
                    sid,
                    partner_user_id: key.partner_user_id,
                    cid: key.merchant,
                    tid: tid.clone(),
                });
                sealed.map_err(|error| with_causes(&error))
            }
        };
        match sealed {
            Ok(sealed) => {
                *billing_key = Some(id);
                Some(KeptKey { id, user, sealed: Some(sealed) })
            }
            Err(why) => {
                metrics::billing_key_missing();
                tracing::error!(order.id = %order, billing_key.id = %id, why, "paid, but without key");
                Some(KeptKey { id, user, sealed: None })
            }
        }
    }

    pub(super) async fn bury(&self, row: &ClaimedRow, why: &str) -> Result<(), RowError> {
        tracing::error!(outbox.id = %row.id, stream = row.aggregate_id, kind = row.kind, why, "row died");
        self.rows.bury(row, &clipped(why)).await?;
        metrics::relay_died(kind_label(&row.kind));
        Ok(())
    }
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

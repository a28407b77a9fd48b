//! What is open, as metrics: an alarm compares each with zero.

use super::{ReconcileError, Reconciler};
use crate::metrics;
use crate::operator::Operator;

impl Reconciler {
    /// Counts what waits for an operator.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn show_open(&self) -> Result<(), ReconcileError> {
        let unavailable = |error| ReconcileError::Database(Box::new(error));
        let (operator, now) = (Operator::new(self.pool.clone()), self.clock.now());
        let open = operator.differences_open().await.map_err(unavailable)?;
        metrics::reconcile_differences_open(open);
        metrics::refunds_open(operator.refund_counts(now).await.map_err(unavailable)?);
        metrics::billing_keys_missing_now(
            operator.missing_key_counts().await.map_err(unavailable)?,
        );
        Ok(())
    }
}

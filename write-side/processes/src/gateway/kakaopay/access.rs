//! Alarms when KakaoPay refuses our access: counts every such refusal, and logs the first of an
//! operation and the answer that ends them, because a wrong key refuses thousands of calls.

use std::sync::atomic::{AtomicU8, Ordering};

use kakaopay::{CallError, Operation};

use super::super::NotSent;
use super::meaning::{NoAnswer, meaning_of};
use crate::metrics;

/// Which operations are refused at present, one bit each.
#[derive(Debug, Default)]
pub(super) struct Access {
    refused: AtomicU8,
}

const _: () = assert!(Operation::ALL.len() <= 8, "one bit an operation");

impl Access {
    /// The answer, or what its absence means.
    pub(super) fn answer<T>(
        &self,
        operation: Operation,
        called: Result<Result<T, CallError>, NotSent>,
    ) -> Result<T, NoAnswer> {
        let answer = called.map_err(NoAnswer::NotSent)?.map_err(meaning_of);
        match &answer {
            Err(NoAnswer::NotSent(NotSent::Access(code))) => self.refused(operation, code),
            Ok(_)
            | Err(NoAnswer::Declined(_) | NoAnswer::Unknown(super::super::Doubt::Refused(_))) => {
                self.granted(operation);
            }
            // Says nothing about our access.
            Err(NoAnswer::NotSent(_) | NoAnswer::Unknown(_)) => (),
        }
        answer
    }

    fn refused(&self, operation: Operation, code: &str) {
        metrics::gateway_access_refused(operation.name());
        let before = self.refused.fetch_or(bit(operation), Ordering::Relaxed);
        if before & bit(operation) == 0 {
            let operation = operation.name();
            tracing::error!(
                operation,
                code,
                "the gateway refuses our access; not sent until mended"
            );
        }
    }

    fn granted(&self, operation: Operation) {
        // Read first: a write at every answer would bounce the cache line between the cores.
        if self.refused.load(Ordering::Relaxed) & bit(operation) == 0 {
            return;
        }
        let before = self.refused.fetch_and(!bit(operation), Ordering::Relaxed);
        if before & bit(operation) != 0 {
            tracing::warn!(operation = operation.name(), "the gateway grants our access again");
        }
    }
}

const fn bit(operation: Operation) -> u8 {
    1 << operation as u8
}

#[cfg(test)]
mod tests {
    use kakaopay::{ApiError, ErrorCode};

    use super::*;

    fn refused(code: i64) -> CallError {
        let (code, message) = (ErrorCode(code), String::new());
        CallError::Declined(ApiError { http_status: 401, code, message, extras: None })
    }

    #[test]
    fn a_refused_operation_is_refused_until_it_is_answered() {
        let access = Access::default();
        let is_refused = |operation| access.refused.load(Ordering::Relaxed) & bit(operation) != 0;
        drop(access.answer(Operation::Cancel, Ok(Err::<(), _>(refused(-401)))));
        assert!(is_refused(Operation::Cancel) && !is_refused(Operation::Order));
        drop(access.answer(Operation::Order, Ok(Ok(()))));
        drop(access.answer(Operation::Cancel, Ok(Err::<(), _>(refused(-10)))));
        assert!(is_refused(Operation::Cancel), "being turned away proves no access");
        drop(access.answer(Operation::Cancel, Ok(Err::<(), _>(refused(-784)))));
        assert!(!is_refused(Operation::Cancel), "KakaoPay judged the request itself");
    }
}

//! What a command's failure is answered with. A refusal's kind decides the status, its code goes out
//! as it is; what is wrong on our side is logged here once and not told.

use std::time::Duration;

use domain::user::{CLAIM_DISPLAY_NAME, CLAIM_EMAIL, CLAIM_PHONE};
use domain::{Refusal, RefusalKind};
use event_store::{DispatchError, StoreError};
use operator::OperatorError;
use poem::http::HeaderValue;
use poem::http::header::ETAG;
use service_kit::fault::Fault;
use service_kit::problem::Problem;
use service_kit::vault::VaultError;

use crate::accounts::{CredentialsError, HashError};
use crate::http::etag;

/// When somebody else kept changing the same thing: a moment later it is calm.
const CONTENDED_PAUSE: Duration = Duration::from_secs(1);
/// Until the passwords of an address that were being hashed are done.
const HASH_PAUSE: Duration = Duration::from_secs(1);

/// The answer to a command that was not carried out.
pub(crate) fn of_dispatch<R: Refusal>(error: DispatchError<R>) -> Problem {
    match error {
        DispatchError::Refused(refusal) => of_refusal(&refusal),
        DispatchError::Stale { current } => stale(current),
        DispatchError::Conflict => {
            Problem::conflict("request.contended", "others keep changing this; try again")
                .retry_after(CONTENDED_PAUSE)
        }
        DispatchError::ClaimTaken { kind, .. } => of_claim(&kind),
        DispatchError::KeyReused => key_reused(),
        DispatchError::Store(error) => of_store(&error),
    }
}

/// The answer to a refusal of an aggregate.
pub(crate) fn of_refusal(refusal: &impl Refusal) -> Problem {
    let (code, sentence) = (refusal.code(), refusal.to_string());
    match refusal.kind() {
        RefusalKind::NotFound => Problem::not_found(code, sentence),
        RefusalKind::Conflict => Problem::conflict(code, sentence),
        RefusalKind::Rule => Problem::unprocessable(code, sentence),
    }
}

/// The same idempotency key came with another request.
pub(crate) fn key_reused() -> Problem {
    Problem::unprocessable(
        "idempotency.key_reused",
        "this Idempotency-Key was used for another request",
    )
}

/// The answer when the log gave none.
pub(crate) fn of_store(error: &StoreError) -> Problem {
    if error.is_transient() {
        static FAULT: Fault = Fault::new();
        if let Some(failures) = FAULT.occurred() {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, failures, "the event store gave no answer");
        }
        return Problem::unavailable("store.unavailable", "try again in a moment");
    }
    Problem::internal(error)
}

/// The answer when personal data could not be sealed or opened.
pub(crate) fn of_vault(error: &VaultError) -> Problem {
    match error {
        VaultError::Keys(_) => {
            static FAULT: Fault = Fault::new();
            if let Some(failures) = FAULT.occurred() {
                tracing::warn!(
                    error = error as &dyn std::error::Error,
                    failures,
                    "the user keys are away"
                );
            }
            Problem::unavailable("store.unavailable", "try again in a moment")
        }
        VaultError::NoKey(_)
        | VaultError::NotAuthentic
        | VaultError::WrongMasterKey(_)
        | VaultError::Shape => Problem::internal(error),
    }
}

/// The answer when the credentials could not be read or written.
pub(crate) fn of_credentials(error: &CredentialsError) -> Problem {
    match error {
        CredentialsError::Away(_) => credentials_away(error),
        CredentialsError::Statement(cause) if cause.as_db_error().is_none() => {
            credentials_away(error)
        }
        CredentialsError::Statement(_) | CredentialsError::Role(_) => Problem::internal(error),
    }
}

fn credentials_away(error: &CredentialsError) -> Problem {
    static FAULT: Fault = Fault::new();
    if let Some(failures) = FAULT.occurred() {
        let error = error as &dyn std::error::Error;
        tracing::warn!(error, failures, "the credentials are away");
    }
    Problem::unavailable("store.unavailable", "try again in a moment")
}

/// The answer when what waits for a person could not be shown or changed.
pub(crate) fn of_operator(error: OperatorError) -> Problem {
    match error {
        OperatorError::NoSuchRow(_) => no_such_row(),
        OperatorError::WrongState { state, .. } => Problem::conflict(
            "outbox.wrong_state",
            format!("the row is {state}, which does not allow this"),
        ),
        OperatorError::Contradicted { settled, .. } => Problem::conflict(
            "outbox.contradicted",
            format!(
                "the row holds the outcome {settled}; retry it, so that the outcome is reported"
            ),
        ),
        OperatorError::NotParked { .. } => {
            Problem::not_found("parked.not_found", "no such event was set aside")
        }
        OperatorError::Away(_) => operators_away(&error),
        OperatorError::Statement(ref cause) if cause.as_db_error().is_none() => {
            operators_away(&error)
        }
        OperatorError::Statement(_) | OperatorError::Unwritable(_) => Problem::internal(&error),
    }
}

fn operators_away(error: &OperatorError) -> Problem {
    tracing::warn!(error = error as &dyn std::error::Error, "the operators' tables are away");
    Problem::unavailable("store.unavailable", "try again in a moment")
}

/// The answer when the outbox never had such a row, or has long forgotten it.
pub(crate) fn no_such_row() -> Problem {
    Problem::not_found("outbox.not_found", "there is no such row")
}

/// The answer when a password could not be hashed; `throttled` is the code of a limit of an address.
pub(crate) fn of_hash(error: &HashError, throttled: &'static str) -> Problem {
    match error {
        HashError::Busy => Problem::unavailable("auth.busy", "too many are logging in; try again"),
        HashError::AddressBusy => {
            Problem::too_many(throttled, "too many requests; wait a moment", HASH_PAUSE)
        }
        HashError::Hash(_) | HashError::Thread(_) | HashError::Ended => Problem::internal(error),
    }
}

fn stale(current: u64) -> Problem {
    let problem = Problem::precondition_failed(
        "precondition.stale",
        "it has changed since the version in If-Match",
    );
    match HeaderValue::from_str(&etag(current)) {
        Ok(tag) => problem.with_header(ETAG, tag),
        Err(_) => problem,
    }
}

/// The answer when a unique name belongs to somebody else.
pub(crate) fn of_claim(kind: &str) -> Problem {
    match kind {
        CLAIM_EMAIL => Problem::conflict("user.email_taken", "this e-mail address has an account")
            .with_field("/email", "user.email_taken", "this e-mail address has an account"),
        CLAIM_DISPLAY_NAME => {
            Problem::conflict("user.display_name_taken", "this display name is taken").with_field(
                "/displayName",
                "user.display_name_taken",
                "this display name is taken",
            )
        }
        CLAIM_PHONE => Problem::conflict("user.phone_taken", "this phone number has an account")
            .with_field("/phone", "user.phone_taken", "this phone number has an account"),
        _ => Problem::conflict("request.contended", "a number is taken; try again")
            .retry_after(CONTENDED_PAUSE),
    }
}

//! What KakaoPay's refusals and silences mean in the port's words.

use contracts::Text;
use contracts::events::DeclineClass;
use kakaopay::{ApiError, CallError, Difference, ErrorClass, ErrorCode, InvalidRequest, Operation};

use super::super::{Decline, Doubt, NotSent, Outcome};
use crate::metrics;

/// Everything but an answer.
pub(super) enum NoAnswer {
    Declined(Decline),
    NotSent(NotSent),
    Unknown(Doubt),
}

impl<T> From<NoAnswer> for Outcome<T> {
    fn from(no_answer: NoAnswer) -> Self {
        match no_answer {
            NoAnswer::Declined(decline) => Self::Declined(decline),
            NoAnswer::NotSent(reason) => Self::NotSent(reason),
            NoAnswer::Unknown(doubt) => Self::Unknown(doubt),
        }
    }
}

pub(super) fn flat<T>(called: Result<Result<T, CallError>, NotSent>) -> Result<T, NoAnswer> {
    called.map_err(NoAnswer::NotSent)?.map_err(|error| match error {
        CallError::NotSent(kakaopay::NotSent::Request(rule)) => {
            NoAnswer::NotSent(NotSent::Unbuildable(rule))
        }
        CallError::NotSent(kakaopay::NotSent::Maintenance(refusal)) => {
            NoAnswer::NotSent(NotSent::NotNow(code_of(&refusal)))
        }
        CallError::NotSent(reason) => NoAnswer::NotSent(NotSent::Connect(reason.to_string())),
        CallError::Unknown(_) => NoAnswer::Unknown(Doubt::Lost(error.code().to_owned())),
        CallError::Declined(refusal) => meaning(&refusal),
    })
}

/// What a refusal means for the relay.
fn meaning(refusal: &ApiError) -> NoAnswer {
    let code = code_of(refusal);
    let is_by_method = refusal.extras.is_some();
    let class = match refusal.class() {
        ErrorClass::AlreadyPaid | ErrorClass::LookUp => {
            return NoAnswer::Unknown(Doubt::Refused(code));
        }
        // The door was closed: nothing was tried. An approval that the method of payment refused
        // for the moment is over for its tid, though; a cancellation is not.
        ErrorClass::Transient | ErrorClass::TransientLong
            if !is_by_method || refusal.code == ErrorCode::CANCEL_FAILED =>
        {
            return NoAnswer::NotSent(NotSent::NotNow(code));
        }
        ErrorClass::Transient | ErrorClass::TransientLong | ErrorClass::SoftDecline => {
            DeclineClass::Soft
        }
        ErrorClass::UserAction | ErrorClass::RegisterAgain | ErrorClass::NotAuthenticated => {
            DeclineClass::Hard
        }
        // A wrong token comes from a way back that was cut or tampered with.
        ErrorClass::Bug if refusal.code == ErrorCode::PG_TOKEN => DeclineClass::Hard,
        ErrorClass::Expired => DeclineClass::Expired,
        ErrorClass::ContractLimit | ErrorClass::Merchant | ErrorClass::Bug => {
            DeclineClass::Merchant
        }
    };
    let Ok(code) = Text::parse(&code) else {
        return NoAnswer::Unknown(Doubt::Lost("unknown.unreadable".to_owned()));
    };
    let is_of_token = refusal.code == ErrorCode::PG_TOKEN;
    NoAnswer::Declined(Decline { class, code, text: refusal.message.clone(), is_of_token })
}

/// `-780/LACK_BALANCE`, or `-701` alone; cut to what an event takes.
fn code_of(refusal: &ApiError) -> String {
    let number = refusal.code.0;
    let code = match &refusal.extras {
        Some(extras) => format!("{number}/{}", extras.method_result_code),
        None => number.to_string(),
    };
    code.chars().filter(|c| !c.is_control()).take(100).collect()
}

pub(super) fn unbuildable<T>(invalid: &InvalidRequest) -> Outcome<T> {
    Outcome::NotSent(NotSent::Unbuildable(invalid.to_string()))
}

pub(super) fn lost<T>(code: &'static str) -> Outcome<T> {
    Outcome::Unknown(Doubt::Lost(code.to_owned()))
}

pub(super) fn mismatch<T>(operation: Operation, differences: &[Difference]) -> Outcome<T> {
    metrics::gateway_mismatch(operation.name());
    let fields = differences.iter().map(|difference| difference.field()).collect();
    Outcome::Unknown(Doubt::Mismatch(fields))
}

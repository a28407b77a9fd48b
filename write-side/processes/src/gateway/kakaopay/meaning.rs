//! What KakaoPay's refusals and silences mean in the port's words.

use contracts::Text;
use contracts::events::DeclineClass;
use kakaopay::{ApiError, CallError, Difference, ErrorClass, ErrorCode, InvalidRequest, Operation};

use super::super::{Decline, Doubt, NotSent, Outcome};
use crate::metrics;

/// Everything but an answer.
#[derive(Debug)]
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

/// What the absence of an answer means.
pub(super) fn meaning_of(error: CallError) -> NoAnswer {
    match error {
        CallError::NotSent(kakaopay::NotSent::Request(rule)) => {
            NoAnswer::NotSent(NotSent::Unbuildable(rule))
        }
        CallError::NotSent(kakaopay::NotSent::Maintenance(refusal)) => {
            NoAnswer::NotSent(NotSent::NotNow(code_of(&refusal)))
        }
        CallError::NotSent(reason) => NoAnswer::NotSent(NotSent::Connect(reason.to_string())),
        CallError::Unknown(_) => NoAnswer::Unknown(Doubt::Lost(error.code().to_owned())),
        CallError::Declined(refusal) => meaning(&refusal),
    }
}

/// What a refusal means for the relay.
fn meaning(refusal: &ApiError) -> NoAnswer {
    let code = code_of(refusal);
    let class = match refusal.class() {
        ErrorClass::AlreadyPaid | ErrorClass::LookUp => {
            return NoAnswer::Unknown(Doubt::Refused(code));
        }
        ErrorClass::Access => return NoAnswer::NotSent(NotSent::Access(code)),
        // Nothing was tried. An approval that the method of payment refused for the moment is over
        // for its tid, though; a cancellation and a recurring charge are not.
        ErrorClass::Transient | ErrorClass::TransientLong
            if refusal.extras.is_none() || refusal.code != ErrorCode::APPROVE_FAILED =>
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

#[cfg(test)]
mod tests;

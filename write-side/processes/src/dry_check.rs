//! Whether the settings would work at KakaoPay, found out without opening or moving anything.
//!
//! For each merchant code a payment that cannot exist is looked up. "No such payment" (-721) proves
//! the connection, its certificate, the key, the code and the code's own key at once; another refusal
//! names which of them is wrong. An outage, maintenance or an answer that cannot be read says nothing
//! about the settings.

use kakaopay::{
    ApiError, CallError, Client, ErrorClass, ErrorCode, Merchant, NotSent, OrderRequest, Tid,
};

use crate::WorkerConfig;
use crate::run::{WorkerError, client_config, merchants};

/// A tid of the right shape that KakaoPay never issues.
const UNKNOWN_TID: &str = "T0000000000000000000";

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedStep {
    /// What was checked.
    pub name: &'static str,
    /// What came of it.
    pub verdict: CheckVerdict,
    /// What was found, for operators; no secret in it.
    pub found: String,
}

/// What came of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckVerdict {
    /// It is as it should be.
    Fine,
    /// KakaoPay refuses it, or answers what it must not.
    Refused,
    /// KakaoPay did not answer the question, so nothing follows.
    Unanswered,
}

/// Checks what `config` says of KakaoPay; two questions in all.
///
/// # Errors
/// A setting cannot be used at all.
pub async fn check_kakaopay(config: &WorkerConfig) -> Result<Vec<CheckedStep>, WorkerError> {
    config.check()?;
    let client = Client::new(&client_config(config))?;
    let (one_time, recurring) = merchants(config)?;
    // Also refuses what only the relay would come across later.
    drop(crate::gateway(config, &service_kit::clock::SystemClock::shared())?);
    let mode = if config.is_test_mode { ", in test mode: no money moves" } else { "" };
    let mut steps = vec![CheckedStep {
        name: "settings",
        verdict: CheckVerdict::Fine,
        found: format!("fit each other; calls go to {}{mode}", config.kakaopay_base_url),
    }];
    steps.push(ask(&client, "one-time code", one_time).await);
    steps.push(ask(&client, "recurring code", recurring).await);
    Ok(steps)
}

async fn ask(client: &Client, name: &'static str, merchant: Merchant) -> CheckedStep {
    let said = |verdict, found: String| CheckedStep { name, verdict, found };
    let tid = match Tid::new(UNKNOWN_TID) {
        Ok(tid) => tid,
        Err(invalid) => return said(CheckVerdict::Refused, invalid.to_string()),
    };
    match client.order(&OrderRequest::new(merchant, tid), None).await {
        Ok(_order) => {
            said(CheckVerdict::Refused, "a payment that cannot exist was found".to_owned())
        }
        Err(CallError::Declined(refusal)) if refusal.code == ErrorCode::TID_UNKNOWN => {
            said(CheckVerdict::Fine, format!("accepted ({refusal})"))
        }
        Err(CallError::Declined(refusal)) if is_outage(&refusal) => {
            said(CheckVerdict::Unanswered, format!("no answer for now: {refusal}"))
        }
        Err(CallError::Declined(refusal)) => {
            let found = format!("{}: {refusal}", culprit(refusal.code, refusal.http_status));
            said(CheckVerdict::Refused, found)
        }
        // The client built a request that cannot be sent.
        Err(CallError::NotSent(NotSent::Request(rule))) => said(CheckVerdict::Refused, rule),
        Err(error @ (CallError::NotSent(_) | CallError::Unknown(_))) => {
            said(CheckVerdict::Unanswered, error.to_string())
        }
    }
}

/// Whether KakaoPay refuses every request of the moment, and not a setting.
fn is_outage(refusal: &ApiError) -> bool {
    matches!(refusal.class(), ErrorClass::Transient | ErrorClass::TransientLong)
        || refusal.code == ErrorCode::INTERNAL
}

/// The setting that a refusal blames.
fn culprit(code: ErrorCode, http_status: u16) -> &'static str {
    match code {
        ErrorCode::CID => "the merchant code is wrong",
        ErrorCode::CID_SECRET => "the merchant code's own key is wrong",
        ErrorCode::CALLER_ADDRESS => "our address is not registered",
        ErrorCode::KEY => "KAKAOPAY_SECRET_KEY is refused",
        _ if http_status == 401 => "KAKAOPAY_SECRET_KEY is refused",
        _ => "refused",
    }
}

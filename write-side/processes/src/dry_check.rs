//! Whether the settings would work at KakaoPay, found out without opening or moving anything.
//!
//! For each merchant code a payment that cannot exist is looked up. "No such payment" (-721) proves
//! the connection, its certificate, the key, the code and the code's own key at once; anything else
//! says which of them is wrong.

use kakaopay::{
    CallError, Client, ClientConfig, ErrorCode, Merchant, OrderRequest, SecretKey, Tid,
};

use crate::WorkerConfig;
use crate::run::{WorkerError, merchants};

/// A tid of the right shape that KakaoPay never issues.
const UNKNOWN_TID: &str = "T0000000000000000000";

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedStep {
    /// What was checked.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub is_ok: bool,
    /// What was found, for operators; no secret in it.
    pub found: String,
}

/// Checks what `config` says of KakaoPay; two questions in all.
///
/// # Errors
/// A setting cannot be used at all.
pub async fn check_kakaopay(config: &WorkerConfig) -> Result<Vec<CheckedStep>, WorkerError> {
    config.check()?;
    let client = Client::new(&ClientConfig {
        connect_timeout: config.gateway.connect_timeout,
        call_timeout: config.gateway.call_timeout,
        ..ClientConfig::new(
            config.kakaopay_base_url.clone(),
            SecretKey::new(config.kakaopay_secret_key.expose()),
        )
    })?;
    let (one_time, recurring) = merchants(config)?;
    // Also refuses what only the relay would come across later.
    drop(crate::gateway(config, &service_kit::clock::SystemClock::shared())?);
    let mode = if config.is_test_mode { ", in test mode: no money moves" } else { "" };
    let mut steps = vec![CheckedStep {
        name: "settings",
        is_ok: true,
        found: format!("fit each other; calls go to {}{mode}", config.kakaopay_base_url),
    }];
    steps.push(ask(&client, "one-time code", one_time).await);
    steps.push(ask(&client, "recurring code", recurring).await);
    Ok(steps)
}

async fn ask(client: &Client, name: &'static str, merchant: Merchant) -> CheckedStep {
    let said = |is_ok, found: String| CheckedStep { name, is_ok, found };
    let tid = match Tid::new(UNKNOWN_TID) {
        Ok(tid) => tid,
        Err(invalid) => return said(false, invalid.to_string()),
    };
    match client.order(&OrderRequest::new(merchant, tid), None).await {
        Ok(_order) => said(false, "a payment that cannot exist was found".to_owned()),
        Err(CallError::Declined(refusal)) if refusal.code == ErrorCode::TID_UNKNOWN => {
            said(true, format!("accepted ({refusal})"))
        }
        Err(CallError::Declined(refusal)) => {
            said(false, format!("{}: {refusal}", culprit(refusal.code, refusal.http_status)))
        }
        Err(error @ (CallError::NotSent(_) | CallError::Unknown(_))) => {
            said(false, error.to_string())
        }
    }
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

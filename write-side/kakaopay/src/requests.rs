//! The bodies of the seven calls. Whatever exists can be sent: the checks stand in `values` and
//! `amounts`, and nothing here can be built around them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::amounts::{Amounts, CancelAmounts};
use crate::values::{
    InvalidRequest, Item, Merchant, PartnerIds, PgToken, ReturnUrls, Sid, Tid, payload,
};
use crate::words::PaymentMethod;

/// Longest instalment plan KakaoPay takes, in months.
const INSTALL_MONTHS_MAX: u8 = 12;

/// Opens a payment; no money moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadyRequest {
    #[serde(flatten)]
    merchant: Merchant,
    #[serde(flatten)]
    partner: PartnerIds,
    #[serde(flatten)]
    item: Item,
    #[serde(flatten)]
    amounts: Amounts,
    #[serde(flatten)]
    urls: ReturnUrls,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_method_type: Option<PaymentMethod>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    available_cards: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    install_month: Option<u8>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    custom_json: BTreeMap<String, String>,
}

impl ReadyRequest {
    /// With a one-time merchant code a single payment, with a recurring one a payment that also
    /// yields a SID.
    pub fn new(
        merchant: Merchant,
        partner: PartnerIds,
        item: Item,
        amounts: Amounts,
        urls: ReturnUrls,
    ) -> Self {
        Self {
            merchant,
            partner,
            item,
            amounts,
            urls,
            payment_method_type: None,
            available_cards: Vec::new(),
            install_month: None,
            custom_json: BTreeMap::new(),
        }
    }

    /// Lets the shopper pay in one way only.
    #[must_use]
    pub fn only(mut self, method: PaymentMethod) -> Self {
        self.payment_method_type = Some(method);
        self
    }

    /// Restricts the card companies; needs an agreement with KakaoPay.
    #[must_use]
    pub fn cards(mut self, codes: Vec<String>) -> Self {
        self.available_cards = codes;
        self
    }

    /// Fixes the instalment plan, 0 to 12 months.
    pub fn install_month(mut self, months: u8) -> Result<Self, InvalidRequest> {
        if INSTALL_MONTHS_MAX < months {
            return Err(InvalidRequest::new("install_month", "is more than twelve"));
        }
        self.install_month = Some(months);
        Ok(self)
    }

    /// Adds one entry of `custom_json`, for example `return_custom_url`.
    #[must_use]
    pub fn custom(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.custom_json.insert(key.into(), value.into());
        self
    }
}

/// Approves a payment the shopper has authenticated. Money moves here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApproveRequest {
    #[serde(flatten)]
    merchant: Merchant,
    tid: Tid,
    #[serde(flatten)]
    partner: PartnerIds,
    pg_token: PgToken,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_amount: Option<i64>,
}

impl ApproveRequest {
    /// The partner ids must be the ones of the ready call.
    pub fn new(merchant: Merchant, tid: Tid, partner: PartnerIds, pg_token: PgToken) -> Self {
        Self { merchant, tid, partner, pg_token, payload: None, total_amount: None }
    }

    /// Has KakaoPay refuse unless the payment was opened for exactly this sum.
    #[must_use]
    pub fn expecting_total(mut self, total: i64) -> Self {
        self.total_amount = Some(total);
        self
    }

    /// Adds a note of at most 200 characters that KakaoPay stores and echoes.
    pub fn with_payload(mut self, text: impl Into<String>) -> Result<Self, InvalidRequest> {
        self.payload = Some(payload(text)?);
        Ok(self)
    }
}

/// Asks how a payment stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderRequest {
    #[serde(flatten)]
    merchant: Merchant,
    tid: Tid,
}

impl OrderRequest {
    /// There is no look-up by our own order id: without the tid a payment cannot be found.
    pub fn new(merchant: Merchant, tid: Tid) -> Self {
        Self { merchant, tid }
    }
}

/// Gives part or all of a payment back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CancelRequest {
    #[serde(flatten)]
    merchant: Merchant,
    tid: Tid,
    #[serde(flatten)]
    amounts: CancelAmounts,
    cancel_available_amount: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
}

impl CancelRequest {
    /// `available` is what we believe can still be cancelled, this request included. KakaoPay
    /// has no idempotency key; this figure is the only thing that tells a repetition from a
    /// second refund of the same sum, so it is not optional here.
    pub fn new(
        merchant: Merchant,
        tid: Tid,
        amounts: CancelAmounts,
        available: i64,
    ) -> Result<Self, InvalidRequest> {
        if available < amounts.total() {
            return Err(InvalidRequest::new("cancel_available_amount", "is less than the sum"));
        }
        Ok(Self { merchant, tid, amounts, cancel_available_amount: available, payload: None })
    }

    /// Adds a note of at most 200 characters that KakaoPay stores and echoes.
    pub fn with_payload(mut self, text: impl Into<String>) -> Result<Self, InvalidRequest> {
        self.payload = Some(payload(text)?);
        Ok(self)
    }
}

/// Charges a recurring key. Nothing on KakaoPay's side stops this from charging twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SubscriptionRequest {
    #[serde(flatten)]
    merchant: Merchant,
    sid: Sid,
    #[serde(flatten)]
    partner: PartnerIds,
    #[serde(flatten)]
    item: Item,
    #[serde(flatten)]
    amounts: Amounts,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
}

impl SubscriptionRequest {
    /// The partner user must be the one the SID was issued to; the order id is new every time.
    pub fn new(
        merchant: Merchant,
        sid: Sid,
        partner: PartnerIds,
        item: Item,
        amounts: Amounts,
    ) -> Result<Self, InvalidRequest> {
        if amounts.total() < 1 {
            return Err(InvalidRequest::new("total_amount", "is less than one won"));
        }
        Ok(Self { merchant, sid, partner, item, amounts, payload: None })
    }

    /// Adds a note of at most 200 characters that KakaoPay stores and echoes.
    pub fn with_payload(mut self, text: impl Into<String>) -> Result<Self, InvalidRequest> {
        self.payload = Some(payload(text)?);
        Ok(self)
    }
}

/// Names a recurring key, to end it or to ask about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SidRequest {
    #[serde(flatten)]
    merchant: Merchant,
    sid: Sid,
}

impl SidRequest {
    /// The key and the merchant code it was issued to.
    pub fn new(merchant: Merchant, sid: Sid) -> Self {
        Self { merchant, sid }
    }
}

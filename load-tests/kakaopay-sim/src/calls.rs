//! The bodies of the seven calls, read and typed.

use serde_json::{Map, Value};

use crate::faults::Operation;
use crate::fields::Fields;
use crate::model::{Method, Purchase, Sums};
use crate::refusal::Refusal;

const CID_LENGTH_MAX: usize = 10;
const CID_SECRET_LENGTH_MAX: usize = 24;
const ISSUED_ID_LENGTH_MAX: usize = 20;
const TEXT_LENGTH_MAX: usize = 100;
const URL_LENGTH_MAX: usize = 255;
const PAYLOAD_LENGTH_MAX: usize = 200;
const INSTALL_MONTHS_MAX: i64 = 12;

/// One call, whatever it asks for.
pub(crate) struct Call {
    pub(crate) cid: String,
    pub(crate) cid_secret: Option<String>,
    pub(crate) request: Request,
}

pub(crate) enum Request {
    Ready(ReadyCall),
    Approve(ApproveCall),
    Order { tid: String },
    Cancel(CancelCall),
    Subscription(SubscriptionCall),
    Inactive { sid: String },
    Status { sid: String },
}

pub(crate) struct ReadyCall {
    pub(crate) purchase: Purchase,
    pub(crate) amount: Sums,
    pub(crate) approval_url: String,
    pub(crate) cancel_url: String,
    pub(crate) fail_url: String,
    pub(crate) only_method: Option<Method>,
}

pub(crate) struct ApproveCall {
    pub(crate) tid: String,
    pub(crate) partner_order_id: String,
    pub(crate) partner_user_id: String,
    pub(crate) pg_token: String,
    pub(crate) payload: Option<String>,
    pub(crate) total_amount: Option<i64>,
}

pub(crate) struct CancelCall {
    pub(crate) tid: String,
    pub(crate) amount: i64,
    pub(crate) tax_free: i64,
    pub(crate) vat: Option<i64>,
    pub(crate) available: Option<i64>,
    pub(crate) payload: Option<String>,
}

pub(crate) struct SubscriptionCall {
    pub(crate) sid: String,
    pub(crate) purchase: Purchase,
    pub(crate) amount: Sums,
    pub(crate) payload: Option<String>,
}

impl Call {
    /// Refuses missing, overlong and wrongly typed fields.
    pub(crate) fn read(
        operation: Operation,
        body: &Map<String, Value>,
        parameter_code: i64,
    ) -> Result<Self, Refusal> {
        let fields = Fields::new(body, parameter_code);
        let cid = fields.text("cid", CID_LENGTH_MAX)?;
        let cid_secret = fields.optional_text("cid_secret", CID_SECRET_LENGTH_MAX)?;
        let sid = || fields.text("sid", ISSUED_ID_LENGTH_MAX);
        let request = match operation {
            Operation::Ready => Request::Ready(ready(&fields, body)?),
            Operation::Approve => Request::Approve(approve(&fields)?),
            Operation::Order => Request::Order { tid: tid(&fields)? },
            Operation::Cancel => Request::Cancel(cancel(&fields)?),
            Operation::Subscription => Request::Subscription(subscription(&fields)?),
            Operation::Inactive => Request::Inactive { sid: sid()? },
            Operation::Status => Request::Status { sid: sid()? },
            Operation::PayPage => return Err(Refusal::new(-2, "no such call").status(404)),
        };
        Ok(Self { cid, cid_secret, request })
    }

    /// What no second call may touch while this one runs.
    pub(crate) fn exclusive_key(&self) -> Option<&str> {
        match &self.request {
            Request::Approve(approve) => Some(&approve.tid),
            Request::Cancel(cancel) => Some(&cancel.tid),
            Request::Subscription(subscription) => Some(&subscription.sid),
            Request::Ready(_)
            | Request::Order { .. }
            | Request::Inactive { .. }
            | Request::Status { .. } => None,
        }
    }
}

fn tid(fields: &Fields<'_>) -> Result<String, Refusal> {
    fields.text("tid", ISSUED_ID_LENGTH_MAX)
}

fn payload(fields: &Fields<'_>) -> Result<Option<String>, Refusal> {
    fields.optional_text("payload", PAYLOAD_LENGTH_MAX)
}

fn ready(fields: &Fields<'_>, body: &Map<String, Value>) -> Result<ReadyCall, Refusal> {
    let only_method = match fields.optional_text("payment_method_type", TEXT_LENGTH_MAX)? {
        None => None,
        Some(text) => {
            Some(Method::parse(&text).ok_or_else(|| fields.refuse("payment_method_type"))?)
        }
    };
    if fields.optional_integer("install_month", 0)?.is_some_and(|m| INSTALL_MONTHS_MAX < m) {
        return Err(fields.refuse("install_month"));
    }
    if body.get("available_cards").is_some_and(|cards| !cards.is_array() && !cards.is_null()) {
        return Err(fields.refuse("available_cards"));
    }
    let purchase = purchase(fields)?;
    if purchase.item_name.is_none() {
        return Err(fields.refuse("item_name"));
    }
    Ok(ReadyCall {
        purchase,
        amount: amount(fields)?,
        approval_url: fields.text("approval_url", URL_LENGTH_MAX)?,
        cancel_url: fields.text("cancel_url", URL_LENGTH_MAX)?,
        fail_url: fields.text("fail_url", URL_LENGTH_MAX)?,
        only_method,
    })
}

fn approve(fields: &Fields<'_>) -> Result<ApproveCall, Refusal> {
    Ok(ApproveCall {
        tid: tid(fields)?,
        partner_order_id: fields.text("partner_order_id", TEXT_LENGTH_MAX)?,
        partner_user_id: fields.text("partner_user_id", TEXT_LENGTH_MAX)?,
        // Overlong tokens are wrong tokens, not wrong parameters.
        pg_token: fields.text("pg_token", usize::MAX)?,
        payload: payload(fields)?,
        total_amount: fields.optional_integer("total_amount", 0)?,
    })
}

fn cancel(fields: &Fields<'_>) -> Result<CancelCall, Refusal> {
    Ok(CancelCall {
        tid: tid(fields)?,
        amount: fields.integer("cancel_amount", 1)?,
        tax_free: fields.integer("cancel_tax_free_amount", 0)?,
        vat: fields.optional_integer("cancel_vat_amount", 0)?,
        available: fields.optional_integer("cancel_available_amount", 0)?,
        payload: payload(fields)?,
    })
}

fn subscription(fields: &Fields<'_>) -> Result<SubscriptionCall, Refusal> {
    let amount = amount(fields)?;
    if amount.total < 1 {
        return Err(fields.refuse("total_amount"));
    }
    Ok(SubscriptionCall {
        sid: fields.text("sid", ISSUED_ID_LENGTH_MAX)?,
        purchase: purchase(fields)?,
        amount,
        payload: payload(fields)?,
    })
}

/// `item_name` is left to the caller: an older client omits it from recurring charges.
fn purchase(fields: &Fields<'_>) -> Result<Purchase, Refusal> {
    Ok(Purchase {
        partner_order_id: fields.text("partner_order_id", TEXT_LENGTH_MAX)?,
        partner_user_id: fields.text("partner_user_id", TEXT_LENGTH_MAX)?,
        item_name: fields.optional_text("item_name", TEXT_LENGTH_MAX)?,
        item_code: fields.optional_text("item_code", TEXT_LENGTH_MAX)?,
        quantity: fields.integer("quantity", 1)?,
    })
}

fn amount(fields: &Fields<'_>) -> Result<Sums, Refusal> {
    let total = fields.integer("total_amount", 0)?;
    let tax_free = fields.integer("tax_free_amount", 0)?;
    let vat = fields.optional_integer("vat_amount", 0)?;
    Ok(Sums {
        total,
        tax_free,
        vat: vat.unwrap_or_else(|| default_vat(total, tax_free)),
        green_deposit: fields.optional_integer("green_deposit", 0)?.unwrap_or(0),
    })
}

/// An eleventh of the taxed part, rounded.
pub(crate) fn default_vat(total: i64, tax_free: i64) -> i64 {
    total.saturating_sub(tax_free).saturating_add(5).div_euclid(11).max(0)
}

//! The bodies of the seven answers, with a field or two that no documentation mentions, because
//! the real ones have such too.

use serde_json::{Value, json};

use crate::clock::kst;
use crate::model::{ActionKind, Method, Payment, SidRecord, Sums};

pub(crate) fn ready(payment: &Payment, base_url: &str, is_recurring: bool) -> Value {
    let hash = payment.checkout.as_ref().map_or("", |checkout| checkout.hash.as_str());
    let page = if is_recurring { "subscription/payment-issue" } else { "one-time/payment" };
    let url = |device: &str| format!("{base_url}/mockup/bridge/{device}/pg/{page}/{hash}");
    let scheme = format!("kakaotalk://kakaopay/pg?url={}", url("mobile-app"));
    json!({
        "tid": payment.tid,
        "tms_result": false,
        "next_redirect_app_url": url("mobile-app"),
        "next_redirect_mobile_url": url("mobile-web"),
        "next_redirect_pc_url": url("pc"),
        "android_app_scheme": scheme,
        "ios_app_scheme": scheme,
        "created_at": kst(payment.created_at),
    })
}

/// An approval, or the charge of a recurring key.
pub(crate) fn approval(payment: &Payment) -> Value {
    let mut answer = json!({
        "aid": payment.actions.last().map(|action| &action.aid),
        "tid": payment.tid,
        "cid": payment.cid,
        "partner_order_id": payment.purchase.partner_order_id,
        "partner_user_id": payment.purchase.partner_user_id,
        "payment_method_type": payment.method,
        "amount": amount(payment.amount),
        "item_name": payment.purchase.item_name,
        "item_code": payment.purchase.item_code,
        "quantity": payment.purchase.quantity,
        "created_at": kst(payment.created_at),
        "approved_at": payment.approved_at.map(kst),
        "payload": payment.payload,
        "undocumented": { "anything": [1, "two"] },
    });
    if let Some(sid) = &payment.sid {
        answer["sid"] = json!(sid);
    }
    if payment.method == Some(Method::Card) {
        answer["card_info"] = card();
    }
    without_nulls(answer)
}

pub(crate) fn order(payment: &Payment) -> Value {
    let mut answer = json!({
        "tid": payment.tid,
        "cid": payment.cid,
        "status": payment.status,
        "partner_order_id": payment.purchase.partner_order_id,
        "partner_user_id": payment.purchase.partner_user_id,
        "payment_method_type": payment.method,
        "amount": amount(payment.amount),
        "canceled_amount": amount(payment.canceled),
        "cancel_available_amount": amount(payment.left()),
        "item_name": payment.purchase.item_name,
        "item_code": payment.purchase.item_code,
        "quantity": payment.purchase.quantity,
        "created_at": kst(payment.created_at),
        "approved_at": payment.approved_at.map(kst),
        "canceled_at": payment.canceled_at.map(kst),
        "payment_action_details": payment.actions.iter().map(|action| json!({
            "aid": action.aid,
            "payment_action_type": action.kind,
            "payment_method_type": payment.method,
            "amount": action.amount,
            "point_amount": 0,
            "discount_amount": 0,
            "green_deposit": match action.kind {
                ActionKind::Payment => payment.amount.green_deposit,
                ActionKind::Cancel | ActionKind::IssuedSid => 0,
            },
            "approved_at": kst(action.at),
            "payload": action.payload,
        })).collect::<Vec<_>>(),
    });
    if payment.method == Some(Method::Card) {
        answer["selected_card_info"] = json!({
            "card_bin": "621640", "install_month": 0, "installment_type": "",
            "card_corp_name": "KAKAOBANK", "interest_free_install": "N",
        });
    }
    answer
}

pub(crate) fn cancellation(payment: &Payment, given_back: Sums) -> Value {
    without_nulls(json!({
        "aid": payment.actions.last().map(|action| &action.aid),
        "tid": payment.tid,
        "cid": payment.cid,
        "status": payment.status,
        "partner_order_id": payment.purchase.partner_order_id,
        "partner_user_id": payment.purchase.partner_user_id,
        "payment_method_type": payment.method,
        "amount": amount(payment.amount),
        "approved_cancel_amount": amount(given_back),
        "canceled_amount": amount(payment.canceled),
        "cancel_available_amount": amount(payment.left()),
        "item_name": payment.purchase.item_name,
        "item_code": payment.purchase.item_code,
        "quantity": payment.purchase.quantity,
        "created_at": kst(payment.created_at),
        "approved_at": payment.approved_at.map(kst),
        "canceled_at": payment.canceled_at.map(kst),
        "payload": payment.actions.last().and_then(|action| action.payload.as_ref()),
    }))
}

pub(crate) fn inactivated(sid: &SidRecord) -> Value {
    without_nulls(json!({
        "cid": sid.cid,
        "sid": sid.sid,
        "status": status(sid),
        "created_at": kst(sid.created_at),
        "last_approved_at": sid.last_approved_at.map(kst),
        "inactivated_at": sid.inactivated_at.map(kst),
    }))
}

pub(crate) fn sid_status(sid: &SidRecord) -> Value {
    without_nulls(json!({
        "available": sid.is_active(),
        "cid": sid.cid,
        "sid": sid.sid,
        "status": status(sid),
        "payment_method_type": sid.method,
        "item_name": sid.item_name,
        "created_at": kst(sid.created_at),
        "last_approved_at": sid.last_approved_at.map(kst),
        "inactivated_at": sid.inactivated_at.map(kst),
        "use_point_status": "NOT_USED",
    }))
}

fn status(sid: &SidRecord) -> &'static str {
    if sid.is_active() { "ACTIVE" } else { "INACTIVE" }
}

fn amount(sums: Sums) -> Value {
    json!({
        "total": sums.total, "tax_free": sums.tax_free, "vat": sums.vat,
        "point": 0, "discount": 0, "green_deposit": sums.green_deposit,
    })
}

fn card() -> Value {
    json!({
        "kakaopay_purchase_corp": "카카오뱅크", "kakaopay_purchase_corp_code": "90",
        "kakaopay_issuer_corp": "카카오뱅크", "kakaopay_issuer_corp_code": "90",
        "bin": "621640", "card_type": "체크", "install_month": "00", "approved_id": "12345678",
        "card_mid": "123456789", "interest_free_install": "N",
        "installment_type": "CARD_INSTALLMENT", "card_item_code": "0",
    })
}

/// KakaoPay leaves out what is not set, save in look-ups.
fn without_nulls(mut answer: Value) -> Value {
    if let Some(fields) = answer.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    answer
}

/// The same answer with every number as text.
pub(crate) fn with_string_numbers(answer: Value) -> Value {
    match answer {
        Value::Number(number) => Value::String(number.to_string()),
        Value::Array(items) => items.into_iter().map(with_string_numbers).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(field, value)| (field, with_string_numbers(value))).collect()
        }
        other @ (Value::Null | Value::Bool(_) | Value::String(_)) => other,
    }
}

/// The same answer with the patch's fields in place of its own.
pub(crate) fn altered(answer: &mut Value, patch: &Value) {
    match (answer.as_object_mut(), patch.as_object()) {
        (Some(fields), Some(patch)) => {
            for (field, value) in patch {
                altered(fields.entry(field.clone()).or_insert(Value::Null), value);
            }
        }
        (Some(_) | None, _) => *answer = patch.clone(),
    }
}

/// Removes the field at a dotted path, of every entry where the path leads through a list.
pub(crate) fn omit(answer: &mut Value, path: &str) {
    if let Some(entries) = answer.as_array_mut() {
        for entry in entries {
            omit(entry, path);
        }
        return;
    }
    let Some(fields) = answer.as_object_mut() else {
        return;
    };
    match path.split_once('.') {
        None => {
            fields.remove(path);
        }
        Some((field, rest)) => {
            if let Some(value) = fields.get_mut(field) {
                omit(value, rest);
            }
        }
    }
}

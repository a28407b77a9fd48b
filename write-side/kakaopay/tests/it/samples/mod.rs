//! The vendor's sample bodies, as far as they are published: whatever else changes, these decode.

use kakaopay::{
    Approval, Cancellation, ErrorClass, ErrorCode, Order, OrderStatus, PaymentMethod, Ready,
    SidInactivated, SidState, SidStatus,
};
use serde::de::DeserializeOwned;

fn sample<T: DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).expect("a published sample")
}

#[test]
fn ready() {
    let ready: Ready = sample(include_str!("ready.json"));
    assert_eq!(ready.tid.as_str(), "T1234567890123456789");
    assert_eq!(ready.next_redirect_pc_url.path(), "/v1/0123456789/info");
    let created = ready.created_at.expect("a time").to_utc();
    assert_eq!(created.to_rfc3339(), "2023-07-15T12:18:22+00:00");
}

#[test]
fn approval_with_money() {
    let approval: Approval = sample(include_str!("approve_money.json"));
    assert_eq!(approval.payment_method_type, Some(PaymentMethod::Money));
    assert_eq!((approval.amount.total, approval.amount.green_deposit), (2_200, 0));
    assert_eq!((approval.card_info, approval.sid), (None, None));
}

#[test]
fn approval_with_a_card() {
    let approval: Approval = sample(include_str!("approve_card.json"));
    let card = approval.card_info.expect("a card");
    assert_eq!(card.install_month.as_deref(), Some("00"));
    assert_eq!(card.kakaopay_issuer_corp_code.as_deref(), Some("90"));
    assert_eq!(card.issuer_corp.as_deref(), Some("카카오뱅크"));
}

#[test]
fn approval_that_yields_a_recurring_key() {
    let approval: Approval = sample(include_str!("approve_recurring.json"));
    assert_eq!(approval.sid.expect("a key").as_str(), "S1234567890987654321");
}

#[test]
fn order() {
    let order: Order = sample(include_str!("order.json"));
    assert_eq!(order.status, OrderStatus::SuccessPayment);
    assert_eq!(order.approval_aid().expect("an aid").as_str(), "A5678901234567890123");
    assert_eq!((order.canceled_total(), order.canceled_at), (Some(0), None));
}

#[test]
fn cancellation() {
    let cancellation: Cancellation = sample(include_str!("cancel.json"));
    assert_eq!(cancellation.status, OrderStatus::CancelPayment);
    assert_eq!(cancellation.approved_cancel_amount, None);
    assert_eq!(cancellation.cancel_available_amount.expect("a sum").total, 0);
}

#[test]
fn end_and_status_of_a_recurring_key() {
    let ended: SidInactivated = sample(include_str!("inactive.json"));
    assert_eq!(ended.status, SidState::Inactive);
    let status: SidStatus = sample(include_str!("status.json"));
    assert_eq!((status.available, status.status), (Some(true), SidState::Active));
    assert_eq!(status.inactivated_at, None);
}

#[test]
fn a_refused_approval_is_classed_by_its_extras() {
    let body: serde_json::Value = sample(include_str!("approve_refused.json"));
    let code = ErrorCode(body["error_code"].as_i64().expect("a code"));
    let method = body["extras"]["method_result_code"].as_str();
    assert_eq!(ErrorClass::of(code, method), ErrorClass::Transient);
}

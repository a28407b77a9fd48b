//! Lines, payments and refunds as answers show them.

use contracts::events::{AbandonReason, DeclineClass, OrderLine, PaymentMethod, RedirectUrls};
use contracts::{ItemId, Period, RefundId, Won};
use serde::Serialize;
use serde_json::value::RawValue;

use super::course::{Attempt, Course, Refund, RefundStage, Stage};
use crate::models::written::{decimal, in_korea, json};
use crate::projection::Refusal;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownLine<'order> {
    line_no: u16,
    item_id: ItemId,
    item_name: &'order str,
    origin_price: Won,
    discount_rate: Box<RawValue>,
    unit_price: Won,
    quantity: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    period_days: Option<u16>,
    line_total: Won,
}

/// The lines of an order as a JSON array.
pub(super) fn lines(lines: &[OrderLine]) -> Result<String, Refusal> {
    let shown = lines.iter().map(|line| {
        let quantity = line.quantity.count();
        Ok(ShownLine {
            line_no: line.line_no,
            item_id: line.item_id,
            item_name: line.item_name.as_str(),
            origin_price: line.origin_price,
            discount_rate: decimal(i64::from(line.discount_rate.tenths()), 1)?,
            unit_price: line.unit_price,
            quantity,
            period_days: line.period.map(Period::days),
            line_total: line
                .unit_price
                .checked_mul(quantity)
                .ok_or_else(|| Refusal::new("a line costs more than can be counted"))?,
        })
    });
    json(&shown.collect::<Result<Vec<_>, Refusal>>()?)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownPayment<'order> {
    attempt: u32,
    status: &'static str,
    amount: Won,
    requested_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect: Option<&'order RedirectUrls>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approved_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// The attempts to pay as a JSON array, oldest first.
pub(super) fn payments(course: &Course) -> Result<String, Refusal> {
    json(&course.attempts.iter().map(payment).collect::<Vec<_>>())
}

fn payment(attempt: &Attempt) -> ShownPayment<'_> {
    let mut shown = ShownPayment {
        attempt: attempt.number,
        status: "REQUESTED",
        amount: attempt.amount,
        requested_at: in_korea(attempt.requested_at),
        redirect: None,
        expires_at: None,
        method: None,
        approved_at: None,
        reason: None,
    };
    match &attempt.stage {
        Stage::Requested => {}
        Stage::Ready { redirect, expires_at } => {
            shown.status = "READY";
            shown.redirect = Some(redirect);
            shown.expires_at = Some(in_korea(*expires_at));
        }
        Stage::Approving => shown.status = "APPROVING",
        Stage::Unresolved => shown.status = "UNRESOLVED",
        Stage::Approved { method, approved_at, .. } => {
            shown.status = "APPROVED";
            shown.method = Some(method_name(*method));
            shown.approved_at = Some(in_korea(*approved_at));
        }
        Stage::Declined { class } => {
            shown.status = "DECLINED";
            shown.reason = Some(class_name(*class));
        }
        Stage::Abandoned { reason } => {
            shown.status = "ABANDONED";
            shown.reason = Some(reason_name(*reason));
        }
    }
    shown
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownRefund {
    id: RefundId,
    status: &'static str,
    amount: Won,
    requested_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded_at: Option<String>,
}

/// The refunds as a JSON array, oldest first.
pub(super) fn refunds(course: &Course) -> Result<String, Refusal> {
    json(&course.refunds.iter().map(refund).collect::<Vec<_>>())
}

fn refund(refund: &Refund) -> ShownRefund {
    let (status, refunded_at) = match &refund.stage {
        RefundStage::Requested => ("REQUESTED", None),
        RefundStage::Succeeded { refunded_at } => ("SUCCEEDED", Some(in_korea(*refunded_at))),
        RefundStage::Failed => ("FAILED", None),
    };
    ShownRefund {
        id: refund.id,
        status,
        amount: refund.amount,
        requested_at: in_korea(refund.requested_at),
        refunded_at,
    }
}

const fn method_name(method: PaymentMethod) -> &'static str {
    match method {
        PaymentMethod::Card => "CARD",
        PaymentMethod::Money => "MONEY",
        PaymentMethod::Other => "OTHER",
    }
}

const fn class_name(class: DeclineClass) -> &'static str {
    match class {
        DeclineClass::Soft => "soft",
        DeclineClass::Hard => "hard",
        DeclineClass::Expired => "expired",
        DeclineClass::Merchant => "merchant",
        DeclineClass::Mismatch => "mismatch",
    }
}

const fn reason_name(reason: AbandonReason) -> &'static str {
    match reason {
        AbandonReason::CancelledByShopper => "cancelled_by_shopper",
        AbandonReason::FailedOnPage => "failed_on_page",
        AbandonReason::NotSent => "not_sent",
        AbandonReason::Expired => "expired",
        AbandonReason::OrderCancelled => "order_cancelled",
    }
}

//! From the opened payment over the pay page to the approval.

use chrono::{DateTime, Utc};
use serde_json::Value;
use url::Url;

use super::{MethodRefusal, PAYMENT_LIFE, World, is_recurring};
use crate::answers;
use crate::calls::{ApproveCall, ReadyCall};
use crate::clock::kst_month;
use crate::config::CidKind;
use crate::journal::Record;
use crate::model::{Action, ActionKind, Checkout, Method, Payment, SidRecord, Status, Sums};
use crate::pay_page::{PageView, PayAction};
use crate::refusal::Refusal;

impl World {
    pub(super) fn ready(
        &mut self,
        now: DateTime<Utc>,
        cid: &str,
        kind: CidKind,
        call: &ReadyCall,
    ) -> Result<Value, Refusal> {
        for (field, url) in [
            ("approval_url", &call.approval_url),
            ("cancel_url", &call.cancel_url),
            ("fail_url", &call.fail_url),
        ] {
            self.check_url(field, url)?;
        }
        check_amount(call.amount)?;
        if call.amount.total == 0 && !is_recurring(kind) {
            return Err(Refusal::new(-722, "invalid amount"));
        }
        self.check_limit(call.amount.total)?;
        self.make_room(now)?;

        let payment = Payment {
            number: self.next_number(),
            tid: self.issuer.tid(),
            cid: cid.to_owned(),
            sid: None,
            purchase: call.purchase.clone(),
            checkout: Some(Checkout {
                hash: self.issuer.hash(),
                pg_token: self.issuer.pg_token(),
                approval_url: call.approval_url.clone(),
                cancel_url: call.cancel_url.clone(),
                fail_url: call.fail_url.clone(),
                only_method: call.only_method,
            }),
            amount: call.amount,
            canceled: Sums::default(),
            method: None,
            status: Status::Ready,
            created_at: now,
            approved_at: None,
            canceled_at: None,
            payload: None,
            actions: Vec::new(),
        };
        let answer = answers::ready(&payment, &self.base_url, is_recurring(kind));
        self.put_payment(payment);
        Ok(answer)
    }

    fn check_url(&self, field: &str, text: &str) -> Result<(), Refusal> {
        let parsed = Url::parse(text).ok().filter(Url::has_host);
        let Some(url) = parsed else {
            return Err(Refusal::new(
                self.config.parameter_code,
                format!("{field} has invalid value"),
            ));
        };
        let Some(origins) = &self.config.registered_origins else {
            return Ok(());
        };
        let origin = url.origin().ascii_serialization();
        if origins.iter().any(|registered| registered.trim_end_matches('/') == origin) {
            return Ok(());
        }
        // KakaoPay's text says approve_url, whatever the field's name.
        let field = if field == "approval_url" { "approve_url" } else { field };
        Err(Refusal::new(
            -799,
            format!("{field}({text}) does not match registered website domain."),
        ))
    }

    pub(super) fn approve(
        &mut self,
        now: DateTime<Utc>,
        cid: &str,
        kind: CidKind,
        call: &ApproveCall,
        method: Option<&MethodRefusal>,
    ) -> Result<Value, Refusal> {
        let mut payment = self.payment(cid, &call.tid)?.clone();
        check_approvable(now, &payment, call)?;
        if let Some(method) = method {
            if !method.leaves_open {
                payment.status = Status::FailPayment;
                self.put_payment(payment);
            }
            return Err(method.refusal.clone());
        }

        let paid_with = payment.method.unwrap_or(Method::Money);
        let only_key = payment.amount.total == 0;
        payment.status = if only_key { Status::IssuedSid } else { Status::SuccessPayment };
        payment.approved_at = Some(now);
        payment.payload.clone_from(&call.payload);
        payment.actions.push(Action {
            aid: self.issuer.aid(),
            kind: if only_key { ActionKind::IssuedSid } else { ActionKind::Payment },
            amount: payment.amount.total,
            tax_free: payment.amount.tax_free,
            vat: payment.amount.vat,
            at: now,
            payload: call.payload.clone(),
        });
        let mut changes = Vec::new();
        if is_recurring(kind) {
            let sid = SidRecord {
                sid: self.issuer.sid(),
                cid: cid.to_owned(),
                partner_user_id: payment.purchase.partner_user_id.clone(),
                item_name: payment.purchase.item_name.clone(),
                method: paid_with,
                created_at: now,
                last_approved_at: Some(now).filter(|_| !only_key),
                inactivated_at: None,
                uses_month: kst_month(now),
                uses: 0,
            };
            payment.sid = Some(sid.sid.clone());
            changes.push(Record::Sid(sid));
        }
        let answer = answers::approval(&payment);
        changes.push(Record::Payment(Box::new(payment)));
        self.put(changes);
        Ok(answer)
    }

    /// Shows the pay page; looking at it is remembered.
    pub(crate) fn open_page(&mut self, hash: &str) -> Option<PageView> {
        let mut payment = self.payments.get(self.pages.get(hash)?)?.clone();
        if payment.status == Status::Ready {
            payment.status = Status::OpenPayment;
            self.put_payment(payment.clone());
        }
        Some(PageView {
            item_name: payment.purchase.item_name.clone().unwrap_or_default(),
            total: payment.amount.total,
            is_open: payment.is_open(),
            only_method: payment.checkout.as_ref()?.only_method,
        })
    }

    /// Presses a button of the pay page and returns where the browser goes; `None` when there is
    /// no such page or nothing left to press.
    ///
    /// Nothing stops a shopper from authenticating late: it is the approval that expires. And
    /// pressing again after paying (the back button) brings the same token once more.
    pub(crate) fn press(
        &mut self,
        hash: &str,
        action: PayAction,
        method: Option<Method>,
    ) -> Option<Url> {
        let mut payment = self.payments.get(self.pages.get(hash)?)?.clone();
        let checkout = payment.checkout.clone()?;
        let was_paid = payment.was_charged() || payment.status == Status::IssuedSid;
        let presses_again = was_paid && action == PayAction::Approve;
        if !payment.is_open() && !presses_again {
            return None;
        }
        let (status, url) = match action {
            PayAction::Approve => (Status::AuthPassword, &checkout.approval_url),
            PayAction::Cancel => (Status::QuitPayment, &checkout.cancel_url),
            PayAction::Fail => (Status::FailAuthPassword, &checkout.fail_url),
        };
        let mut url = Url::parse(url).ok()?;
        if action == PayAction::Approve {
            url.query_pairs_mut().append_pair("pg_token", &checkout.pg_token);
        }
        if payment.is_open() {
            payment.status = status;
            payment.method = checkout.only_method.or(method).or(Some(Method::Money));
            self.put_payment(payment);
        }
        Some(url)
    }

    /// The pay page of a payment.
    pub(crate) fn page_of(&self, tid: &str) -> Option<String> {
        Some(self.payments.get(tid)?.checkout.as_ref()?.hash.clone())
    }
}

pub(super) fn check_amount(amount: Sums) -> Result<(), Refusal> {
    let taxed = amount.total.saturating_sub(amount.tax_free);
    if taxed < 0 || taxed < amount.vat || amount.total < amount.green_deposit {
        return Err(Refusal::new(-722, "invalid amount"));
    }
    Ok(())
}

/// The checks of an approval, in KakaoPay's assumed order.
fn check_approvable(
    now: DateTime<Utc>,
    payment: &Payment,
    call: &ApproveCall,
) -> Result<(), Refusal> {
    let refuse = |code, message: &str| Err(Refusal::new(code, message));
    match payment.status {
        Status::SuccessPayment
        | Status::IssuedSid
        | Status::PartCancelPayment
        | Status::CancelPayment => return refuse(-702, "payment is already done!"),
        Status::QuitPayment | Status::FailAuthPassword | Status::FailPayment => {
            return refuse(-783, "payment cannot be approved in this state");
        }
        Status::Ready | Status::OpenPayment | Status::AuthPassword => {}
    }
    if PAYMENT_LIFE < now.signed_duration_since(payment.created_at) {
        return refuse(-723, "payment time expired");
    }
    if payment.status != Status::AuthPassword {
        return refuse(-701, "payment is not authenticated");
    }
    if payment.purchase.partner_order_id != call.partner_order_id {
        return refuse(-706, "partner_order_id differs");
    }
    if payment.purchase.partner_user_id != call.partner_user_id {
        return refuse(-707, "partner_user_id differs");
    }
    if payment.checkout.as_ref().is_none_or(|checkout| checkout.pg_token != call.pg_token) {
        return refuse(-708, "invalid pg_token");
    }
    if call.total_amount.is_some_and(|total| total != payment.amount.total) {
        return refuse(-725, "invalid total_amount");
    }
    Ok(())
}

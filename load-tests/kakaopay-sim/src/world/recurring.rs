//! The life of a recurring key: charged, looked at, ended by us or by the shopper.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::checkout::check_amount;
use super::{MethodRefusal, World};
use crate::answers;
use crate::calls::SubscriptionCall;
use crate::clock::kst_month;
use crate::journal::Record;
use crate::model::{Action, ActionKind, Payment, SidRecord, Status, Sums};
use crate::refusal::Refusal;

impl World {
    pub(super) fn charge(
        &mut self,
        now: DateTime<Utc>,
        cid: &str,
        call: &SubscriptionCall,
        method: Option<&MethodRefusal>,
    ) -> Result<Value, Refusal> {
        check_amount(call.amount)?;
        self.check_limit(call.amount.total)?;
        let mut sid = self.living_sid(now, cid, &call.sid)?;
        self.check_chargeable(now, &sid, call)?;
        if let Some(method) = method {
            return Err(method.refusal.clone());
        }
        self.make_room(now)?;

        let month = kst_month(now);
        if sid.uses_month != month {
            sid.uses_month = month;
            sid.uses = 0;
        }
        sid.uses += 1;
        sid.last_approved_at = Some(now);
        let payment = Payment {
            number: self.next_number(),
            tid: self.issuer.tid(),
            cid: cid.to_owned(),
            sid: Some(sid.sid.clone()),
            purchase: call.purchase.clone(),
            checkout: None,
            amount: call.amount,
            canceled: Sums::default(),
            method: Some(sid.method),
            status: Status::SuccessPayment,
            created_at: now,
            approved_at: Some(now),
            canceled_at: None,
            payload: call.payload.clone(),
            actions: vec![Action {
                aid: self.issuer.aid(),
                kind: ActionKind::Payment,
                amount: call.amount.total,
                tax_free: call.amount.tax_free,
                vat: call.amount.vat,
                at: now,
                payload: call.payload.clone(),
            }],
        };
        let answer = answers::approval(&payment);
        self.put(vec![Record::Payment(Box::new(payment)), Record::Sid(sid)]);
        Ok(answer)
    }

    fn check_chargeable(
        &self,
        now: DateTime<Utc>,
        sid: &SidRecord,
        call: &SubscriptionCall,
    ) -> Result<(), Refusal> {
        if !sid.is_active() {
            return Err(Refusal::new(-751, "sid is inactive"));
        }
        if sid.partner_user_id != call.purchase.partner_user_id {
            return Err(Refusal::new(-753, "partner_user_id differs"));
        }
        let uses = if sid.uses_month == kst_month(now) { sid.uses } else { 0 };
        if self.config.sid_uses_per_month_max.is_some_and(|most| most <= uses) {
            return Err(Refusal::new(-752, "sid is over its monthly use"));
        }
        let order = (sid.cid.clone(), call.purchase.partner_order_id.clone());
        if self.config.refuse_repeated_orders && self.charged_orders.contains(&order) {
            return Err(Refusal::new(-726, "partner_order_id was charged before"));
        }
        Ok(())
    }

    pub(super) fn inactivate(
        &mut self,
        now: DateTime<Utc>,
        cid: &str,
        sid: &str,
    ) -> Result<Value, Refusal> {
        let mut sid = self.living_sid(now, cid, sid)?;
        if sid.is_active() {
            sid.inactivated_at = Some(now);
            self.put_sid(sid.clone());
        }
        Ok(answers::inactivated(&sid))
    }

    pub(super) fn sid_status(
        &mut self,
        now: DateTime<Utc>,
        cid: &str,
        sid: &str,
    ) -> Result<Value, Refusal> {
        let sid = self.living_sid(now, cid, sid)?;
        let mut shown = self.sid_seen(&sid, self.settings.stale_look_up()).clone();
        let lag = self.settings.last_approved_at_lag().max(self.settings.stale_look_up());
        shown.last_approved_at = self.sid_seen(&sid, lag).last_approved_at;
        Ok(answers::sid_status(&shown))
    }

    /// The shopper ends a key in KakaoTalk; nobody tells the merchant. False for an unknown one.
    pub(crate) fn cut_sid(&mut self, now: DateTime<Utc>, sid: &str) -> bool {
        let Some(mut sid) = self.sids.get(sid).cloned() else {
            return false;
        };
        if sid.is_active() {
            sid.inactivated_at = Some(now);
            self.put_sid(sid);
        }
        true
    }

    /// A key of this merchant code, ended first if it was not used for too long.
    fn living_sid(
        &mut self,
        now: DateTime<Utc>,
        cid: &str,
        sid: &str,
    ) -> Result<SidRecord, Refusal> {
        let mut sid = self
            .sids
            .get(sid)
            .filter(|known| known.cid == cid)
            .cloned()
            .ok_or_else(|| Refusal::new(-750, "no such sid"))?;
        let Some(days) = self.config.sid_dormant_after_days else {
            return Ok(sid);
        };
        let dies_at = sid
            .last_approved_at
            .unwrap_or(sid.created_at)
            .checked_add_signed(TimeDelta::days(i64::from(days)));
        if sid.is_active() && dies_at.is_some_and(|dies_at| dies_at < now) {
            sid.inactivated_at = dies_at;
            self.put_sid(sid.clone());
        }
        Ok(sid)
    }
}

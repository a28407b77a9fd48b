//! Any sequence of calls keeps the books straight: what was answered is what the ledger says.
//!
//! Two hundred seeded runs of two hundred calls each, most of them legal, many of them stale or
//! doubled. A failure names its seed.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::*;
use crate::faults::Operation;
use crate::ledger::Charge;
use crate::model::Status;
use crate::pay_page::PayAction;

const RUNS: u64 = 200;
const CALLS: usize = 200;

struct Run {
    world: World,
    random: StdRng,
    now: DateTime<Utc>,
    /// Opened payments: name and merchant code.
    tids: Vec<(String, &'static str)>,
    sids: Vec<String>,
    charged: i64,
    cancelled: i64,
}

impl Run {
    fn new(seed: u64) -> Self {
        Self {
            world: World::new(Arc::default(), "http://sim".to_owned(), seed, None),
            random: StdRng::seed_from_u64(seed),
            now: "2026-11-23T00:00:00Z".parse().expect("an instant"),
            tids: Vec::new(),
            sids: Vec::new(),
            charged: 0,
            cancelled: 0,
        }
    }

    fn below(&mut self, most: usize) -> usize {
        self.random.random_range(0..most.max(1))
    }

    fn call(&mut self, operation: Operation, body: &Value) -> Result<Value, Refusal> {
        let fields = body.as_object().expect("an object");
        let call = Call::read(operation, fields, -2)?;
        self.world.call(self.now, &call, None)
    }

    /// One of the latest payments; older ones would mostly have expired.
    fn any_tid(&mut self) -> Option<(String, &'static str)> {
        let back = self.below(self.tids.len().min(4));
        self.tids.iter().rev().nth(back).cloned()
    }

    fn step(&mut self) {
        let pause = i64::try_from(self.below(60)).expect("few");
        self.now += TimeDelta::seconds(pause);
        match self.below(6) {
            0 => self.ready(),
            1 => self.press(),
            2 => self.approve(),
            3 => self.cancel(),
            4 => self.charge(),
            _ => self.end_a_key(),
        }
    }

    fn ready(&mut self) {
        let cid = if self.below(2) == 0 { "TC0ONETIME" } else { "TCSUBSCRIP" };
        let total = self.below(20_000);
        let body = json!({
            "cid": cid, "partner_order_id": "o", "partner_user_id": "u", "item_name": "i",
            "quantity": 1, "total_amount": total, "tax_free_amount": self.below(total + 2),
            "approval_url": "http://shop/a", "cancel_url": "http://shop/c",
            "fail_url": "http://shop/f",
        });
        if let Ok(answer) = self.call(Operation::Ready, &body) {
            self.tids.push((answer["tid"].as_str().expect("a tid").to_owned(), cid));
        }
    }

    fn press(&mut self) {
        let action = match self.below(8) {
            0 => PayAction::Cancel,
            1 => PayAction::Fail,
            _ => PayAction::Approve,
        };
        let Some(hash) = self.any_tid().and_then(|(tid, _)| self.world.page_of(&tid)) else {
            return;
        };
        self.world.press(&hash, action, None);
    }

    fn approve(&mut self) {
        let Some((tid, cid)) = self.any_tid() else {
            return;
        };
        let Some(token) = self.world.payments.get(&tid).and_then(|p| p.checkout.as_ref()) else {
            return;
        };
        let body = json!({
            "cid": cid, "tid": tid, "partner_order_id": "o", "partner_user_id": "u",
            "pg_token": token.pg_token,
        });
        if let Ok(answer) = self.call(Operation::Approve, &body) {
            self.charged += answer["amount"]["total"].as_i64().expect("a sum");
            self.sids.extend(answer["sid"].as_str().map(str::to_owned));
        }
    }

    fn cancel(&mut self) {
        let Some((tid, cid)) = self.any_tid() else {
            return;
        };
        let amount = self.below(12_000);
        let mut body = json!({
            "cid": cid, "tid": tid, "cancel_amount": amount,
            "cancel_tax_free_amount": self.below(amount / 2 + 1),
        });
        // A guard drawn at random is a stale one.
        if self.below(8) == 0 {
            body["cancel_available_amount"] = json!(self.below(20_000));
        }
        if let Ok(answer) = self.call(Operation::Cancel, &body) {
            let sum = |field: &str| answer[field]["total"].as_i64().expect("a sum");
            self.cancelled += sum("approved_cancel_amount");
            assert_eq!(sum("canceled_amount") + sum("cancel_available_amount"), sum("amount"));
        }
    }

    fn charge(&mut self) {
        let place = self.below(self.sids.len());
        let Some(sid) = self.sids.get(place).cloned() else {
            return;
        };
        let body = json!({
            "cid": "TCSUBSCRIP", "sid": sid, "partner_order_id": "o", "partner_user_id": "u",
            "quantity": 1, "total_amount": self.below(20_000), "tax_free_amount": 0,
        });
        if let Ok(answer) = self.call(Operation::Subscription, &body) {
            self.charged += answer["amount"]["total"].as_i64().expect("a sum");
            let tid = answer["tid"].as_str().expect("a tid").to_owned();
            self.tids.push((tid, "TCSUBSCRIP"));
        }
    }

    fn end_a_key(&mut self) {
        let place = self.below(self.sids.len() * 4);
        let Some(sid) = self.sids.get(place).cloned() else {
            return;
        };
        let body = json!({ "cid": "TCSUBSCRIP", "sid": sid });
        self.call(Operation::Inactive, &body).expect("a key of ours");
    }
}

fn is_straight(charge: &Charge) -> bool {
    let parts: i64 = charge.cancels.iter().map(|cancel| cancel.amount).sum();
    let status = match charge.cancelled {
        0 => Status::SuccessPayment,
        all if all == charge.amount => Status::CancelPayment,
        _ => Status::PartCancelPayment,
    };
    parts == charge.cancelled && charge.cancelled <= charge.amount && charge.status == status
}

#[test]
fn what_was_answered_is_what_the_ledger_says() {
    let (mut charges, mut cancels) = (0, 0);
    for seed in 0..RUNS {
        let mut run = Run::new(seed);
        for _ in 0..CALLS {
            run.step();
        }
        let ledger = run.world.ledger();
        assert_eq!(ledger.totals.charged, run.charged, "seed {seed}");
        assert_eq!(ledger.totals.cancelled, run.cancelled, "seed {seed}");
        for charge in &ledger.charges {
            assert!(is_straight(charge), "seed {seed}: {charge:?}");
        }
        charges += ledger.totals.charges;
        cancels += ledger.totals.cancels;
    }
    assert!(RUNS < charges && RUNS < cancels, "{charges} charges and {cancels} cancellations");
}

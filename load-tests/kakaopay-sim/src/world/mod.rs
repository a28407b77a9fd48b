//! Everything the simulator believes, and the rules of the seven calls over it.
//!
//! Synchronous and free of the network: time comes in as an argument, a fault of the method of
//! payment as a refusal to give where KakaoPay would ask the method. Memory is bounded by
//! `payments_max`; payments nobody paid are forgotten after [`ORPHAN_LIFE`].

mod checkout;
mod looking;
mod recurring;
mod refund;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::answers;
use crate::calls::{Call, Request};
use crate::config::{CidConfig, CidKind, SimConfig};
use crate::issuer::Issuer;
use crate::journal::{Journal, Record};
use crate::ledger::Ledger;
use crate::model::{Payment, SidRecord};
use crate::past::Past;
use crate::refusal::Refusal;
use crate::settings::SimSettings;

/// How long a payment can be approved, from the moment it was opened.
pub(crate) const PAYMENT_LIFE: TimeDelta = TimeDelta::minutes(15);
/// How long a payment nobody paid can still be looked up.
const ORPHAN_LIFE: TimeDelta = TimeDelta::days(1);

/// What the method of payment will say, as the fault script has it.
#[derive(Debug, Clone)]
pub(crate) struct MethodRefusal {
    pub(crate) refusal: Refusal,
    /// Whether the payment can still be approved afterwards.
    pub(crate) leaves_open: bool,
}

#[derive(Debug)]
pub(crate) struct World {
    config: Arc<SimConfig>,
    settings: SimSettings,
    /// What look-ups that lag behind still see.
    past: Past,
    /// Without a slash at its end.
    base_url: String,
    issuer: Issuer,
    journal: Option<Journal>,
    payments: HashMap<String, Payment>,
    /// From the hash in a pay page's address to the tid.
    pages: HashMap<String, String>,
    sids: HashMap<String, SidRecord>,
    /// Payments that may become orphans, oldest first.
    unpaid: VecDeque<String>,
    /// Order ids charged before; filled only where repeated ones are refused.
    charged_orders: HashSet<(String, String)>,
    opened: u64,
}

impl World {
    pub(crate) fn new(
        config: Arc<SimConfig>,
        base_url: String,
        seed: u64,
        journal: Option<(Journal, Vec<Record>)>,
    ) -> Self {
        let mut world = Self {
            settings: config.settings.clone(),
            past: Past::default(),
            config,
            base_url,
            issuer: Issuer::new(seed, 0),
            journal: None,
            payments: HashMap::new(),
            pages: HashMap::new(),
            sids: HashMap::new(),
            unpaid: VecDeque::new(),
            charged_orders: HashSet::new(),
            opened: 0,
        };
        if let Some((journal, records)) = journal {
            let names: usize = records.iter().map(Record::names).sum();
            let drawn = u64::try_from(names).unwrap_or(u64::MAX);
            for record in records {
                world.remember(record);
            }
            world.issuer = Issuer::new(seed, drawn);
            world.journal = Some(journal);
        }
        world
    }

    /// Carries one call out, or refuses it.
    pub(crate) fn call(
        &mut self,
        now: DateTime<Utc>,
        call: &Call,
        method: Option<&MethodRefusal>,
    ) -> Result<Value, Refusal> {
        let kind = self.known_cid(call)?.kind;
        let answer = match &call.request {
            Request::Ready(ready) => self.ready(now, &call.cid, kind, ready),
            Request::Approve(approve) => self.approve(now, &call.cid, kind, approve, method),
            Request::Order { tid } => self.look_up(&call.cid, tid),
            Request::Cancel(cancel) => self.cancel(now, &call.cid, cancel, method),
            Request::Subscription(charge) => self.charge(now, &call.cid, charge, method),
            Request::Inactive { sid } => self.inactivate(now, &call.cid, sid),
            Request::Status { sid } => self.sid_status(now, &call.cid, sid),
        };
        answer.map(|answer| self.with_omissions(answer))
    }

    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::of(self.payments.values(), self.sids.values())
    }

    /// A payment as it is, in the shape of a look-up, whatever merchant code and settings.
    pub(crate) fn order(&self, tid: &str) -> Option<Value> {
        self.payments.get(tid).map(answers::order)
    }

    fn known_cid(&self, call: &Call) -> Result<&CidConfig, Refusal> {
        let known = self
            .config
            .cids
            .iter()
            .find(|known| known.cid == call.cid)
            .ok_or_else(|| Refusal::new(-731, "invalid cid"))?;
        if known.secret.is_some() && known.secret != call.cid_secret {
            return Err(Refusal::new(-733, "invalid cid_secret"));
        }
        Ok(known)
    }

    fn payment(&self, cid: &str, tid: &str) -> Result<&Payment, Refusal> {
        self.payments
            .get(tid)
            .filter(|payment| payment.cid == cid)
            .ok_or_else(|| Refusal::new(-721, "no such tid"))
    }

    fn check_limit(&self, total: i64) -> Result<(), Refusal> {
        if self.config.one_payment_max.is_some_and(|most| most < total) {
            return Err(Refusal::new(-797, "over the limit of one payment"));
        }
        Ok(())
    }

    /// Makes room for one more payment: orphans go first, then newcomers are refused.
    fn make_room(&mut self, now: DateTime<Utc>) -> Result<(), Refusal> {
        while let Some(tid) = self.unpaid.front() {
            match self.payments.get(tid) {
                Some(payment) if payment.actions.is_empty() => {
                    if now.signed_duration_since(payment.created_at) < ORPHAN_LIFE {
                        break;
                    }
                    if let Some(checkout) = &payment.checkout {
                        self.pages.remove(&checkout.hash);
                    }
                    let tid = tid.clone();
                    self.payments.remove(&tid);
                }
                Some(_) | None => {}
            }
            self.unpaid.pop_front();
        }
        if self.config.payments_max <= self.payments.len() {
            return Err(Refusal::new(-10, "the simulator remembers no more payments"));
        }
        Ok(())
    }

    fn next_number(&mut self) -> u64 {
        self.opened += 1;
        self.opened
    }

    /// Writes a payment down and keeps it.
    fn put_payment(&mut self, payment: Payment) {
        self.put(vec![Record::Payment(Box::new(payment))]);
    }

    /// Writes a recurring key down and keeps it.
    fn put_sid(&mut self, sid: SidRecord) {
        self.put(vec![Record::Sid(sid)]);
    }

    /// Writes down what changed together, and keeps it.
    fn put(&mut self, records: Vec<Record>) {
        if let Some(journal) = &mut self.journal {
            journal.append(&records);
        }
        for record in records {
            self.keep_replaced(record.key());
            self.remember(record);
        }
    }

    fn remember(&mut self, record: Record) {
        match record {
            Record::Payment(payment) => {
                self.opened = self.opened.max(payment.number);
                if let Some(checkout) = &payment.checkout {
                    if !self.payments.contains_key(&payment.tid) {
                        self.unpaid.push_back(payment.tid.clone());
                    }
                    self.pages.insert(checkout.hash.clone(), payment.tid.clone());
                } else if self.config.refuse_repeated_orders {
                    let order = payment.purchase.partner_order_id.clone();
                    self.charged_orders.insert((payment.cid.clone(), order));
                }
                self.payments.insert(payment.tid.clone(), *payment);
            }
            Record::Sid(sid) => {
                self.sids.insert(sid.sid.clone(), sid);
            }
        }
    }
}

/// Whether a merchant code issues recurring keys.
fn is_recurring(kind: CidKind) -> bool {
    kind == CidKind::Recurring
}

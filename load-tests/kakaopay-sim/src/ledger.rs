//! Everything the simulator believes was charged and given back: what our books are held against.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::faults::Operation;
use crate::model::{ActionKind, Payment, SidRecord, Status};

/// `GET /__sim/ledger`. Sums in won, instants in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// Every payment for which money moved, in the order in which they were opened.
    pub charges: Vec<Charge>,
    /// Every recurring key, by its issue.
    pub sids: Vec<LedgerSid>,
    /// Sums over the charges.
    pub totals: Totals,
    /// What was called since the start.
    pub calls: BTreeMap<Operation, CallCounts>,
    /// The cancellations refused since the start, oldest first; of very many the latest.
    #[serde(default)]
    pub refused_cancels: Vec<RefusedCancel>,
}

/// A cancellation that was refused: nothing was given back by this call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedCancel {
    /// The payment it concerned.
    pub tid: String,
    /// How much was to be given back.
    pub amount: i64,
    /// `error_code`.
    pub code: i64,
    /// `extras.method_result_code`, where the method of payment refused.
    pub method_result_code: Option<String>,
}

/// One payment for which money moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The payment's name.
    pub tid: String,
    /// The merchant code.
    pub cid: String,
    /// The recurring key it yielded or was charged by.
    pub sid: Option<String>,
    /// Whether it was a charge of a recurring key, without a shopper present.
    pub is_recurring: bool,
    /// The merchant's name of the order.
    pub partner_order_id: String,
    /// The merchant's name of the payer.
    pub partner_user_id: String,
    /// What was charged.
    pub amount: i64,
    /// The part of it without tax.
    pub tax_free: i64,
    /// The tax in it.
    pub vat: i64,
    /// When.
    pub approved_at: DateTime<Utc>,
    /// Where it stands.
    pub status: Status,
    /// What was given back of it.
    pub cancelled: i64,
    /// The part of that without tax.
    pub cancelled_tax_free: i64,
    /// The tax in it.
    pub cancelled_vat: i64,
    /// In which parts.
    pub cancels: Vec<Cancel>,
}

/// One part given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The action's name.
    pub aid: String,
    /// How much.
    pub amount: i64,
    /// The part of it without tax.
    pub tax_free: i64,
    /// The tax in it.
    pub vat: i64,
    /// When.
    pub cancelled_at: DateTime<Utc>,
}

/// One recurring key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerSid {
    /// The key.
    pub sid: String,
    /// The merchant code.
    pub cid: String,
    /// Whose it is.
    pub partner_user_id: String,
    /// Whether it can be charged.
    pub is_active: bool,
    /// When it was issued.
    pub created_at: DateTime<Utc>,
    /// When it was last charged.
    pub last_approved_at: Option<DateTime<Utc>>,
    /// When it was ended.
    pub inactivated_at: Option<DateTime<Utc>>,
}

/// Sums over all charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// How many charges.
    pub charges: u64,
    /// How much was charged.
    pub charged: i64,
    /// How many parts were given back.
    pub cancels: u64,
    /// How much was given back.
    pub cancelled: i64,
}

/// What became of the calls of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CallCounts {
    /// Arrived with a valid key.
    pub arrived: u64,
    /// Carried out, whatever the caller got to see.
    pub committed: u64,
    /// Refused.
    pub refused: u64,
    /// Disturbed by the fault script, latency aside. A planned fault that did not take effect, such
    /// as a decline of a payment that was paid already, is not counted.
    pub faulted: u64,
}

impl Ledger {
    pub(crate) fn of<'a>(
        payments: impl Iterator<Item = &'a Payment>,
        sids: impl Iterator<Item = &'a SidRecord>,
    ) -> Self {
        let mut charged: Vec<&Payment> = payments.filter(|payment| payment.was_charged()).collect();
        charged.sort_by_key(|payment| payment.number);
        let charges: Vec<Charge> = charged.into_iter().filter_map(charge).collect();
        let mut sids: Vec<LedgerSid> = sids.map(ledger_sid).collect();
        sids.sort_by(|a, b| (a.created_at, &a.sid).cmp(&(b.created_at, &b.sid)));
        let totals = charges.iter().fold(Totals::default(), |totals, charge| Totals {
            charges: totals.charges + 1,
            charged: totals.charged.saturating_add(charge.amount),
            cancels: totals
                .cancels
                .saturating_add(u64::try_from(charge.cancels.len()).unwrap_or(u64::MAX)),
            cancelled: totals.cancelled.saturating_add(charge.cancelled),
        });
        Self { charges, sids, totals, ..Self::default() }
    }

    /// The charges for one order of the merchant's.
    pub fn of_order<'a>(&'a self, partner_order_id: &'a str) -> impl Iterator<Item = &'a Charge> {
        self.charges.iter().filter(move |charge| charge.partner_order_id == partner_order_id)
    }

    /// How often an operation was called.
    pub fn calls(&self, operation: Operation) -> CallCounts {
        self.calls.get(&operation).copied().unwrap_or_default()
    }
}

fn charge(payment: &Payment) -> Option<Charge> {
    Some(Charge {
        tid: payment.tid.clone(),
        cid: payment.cid.clone(),
        sid: payment.sid.clone(),
        is_recurring: payment.checkout.is_none(),
        partner_order_id: payment.purchase.partner_order_id.clone(),
        partner_user_id: payment.purchase.partner_user_id.clone(),
        amount: payment.amount.total,
        tax_free: payment.amount.tax_free,
        vat: payment.amount.vat,
        approved_at: payment.approved_at?,
        status: payment.status,
        cancelled: payment.canceled.total,
        cancelled_tax_free: payment.canceled.tax_free,
        cancelled_vat: payment.canceled.vat,
        cancels: payment
            .actions
            .iter()
            .filter(|action| action.kind == ActionKind::Cancel)
            .map(|action| Cancel {
                aid: action.aid.clone(),
                amount: action.amount,
                tax_free: action.tax_free,
                vat: action.vat,
                cancelled_at: action.at,
            })
            .collect(),
    })
}

fn ledger_sid(sid: &SidRecord) -> LedgerSid {
    LedgerSid {
        sid: sid.sid.clone(),
        cid: sid.cid.clone(),
        partner_user_id: sid.partner_user_id.clone(),
        is_active: sid.is_active(),
        created_at: sid.created_at,
        last_approved_at: sid.last_approved_at,
        inactivated_at: sid.inactivated_at,
    }
}

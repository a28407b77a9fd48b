//! What the simulator remembers: payments and recurring keys, in the shape of the state file.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Where a payment stands, in KakaoPay's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Opened.
    Ready,
    /// The shopper looked at the pay page.
    OpenPayment,
    /// The shopper authenticated: an approval is possible.
    AuthPassword,
    /// A recurring key was issued without a payment.
    IssuedSid,
    /// Paid.
    SuccessPayment,
    /// Part of it was given back.
    PartCancelPayment,
    /// All of it was given back.
    CancelPayment,
    /// The shopper failed to authenticate.
    FailAuthPassword,
    /// The shopper gave up.
    QuitPayment,
    /// The approval was refused.
    FailPayment,
}

/// How a shopper pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Method {
    /// A card.
    Card,
    /// KakaoPay money.
    Money,
}

impl Method {
    /// Reads KakaoPay's word.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "CARD" => Some(Self::Card),
            "MONEY" => Some(Self::Money),
            _ => None,
        }
    }
}

/// A sum and its parts, in won.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Sums {
    pub(crate) total: i64,
    pub(crate) tax_free: i64,
    pub(crate) vat: i64,
    pub(crate) green_deposit: i64,
}

impl Sums {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            total: self.total.saturating_add(other.total),
            tax_free: self.tax_free.saturating_add(other.tax_free),
            vat: self.vat.saturating_add(other.vat),
            green_deposit: self.green_deposit.saturating_add(other.green_deposit),
        }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            total: self.total.saturating_sub(other.total),
            tax_free: self.tax_free.saturating_sub(other.tax_free),
            vat: self.vat.saturating_sub(other.vat),
            green_deposit: self.green_deposit.saturating_sub(other.green_deposit),
        }
    }
}

/// What an entry of a payment's history did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum ActionKind {
    Payment,
    Cancel,
    IssuedSid,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Action {
    pub(crate) aid: String,
    pub(crate) kind: ActionKind,
    pub(crate) amount: i64,
    /// Absent in state files of older versions, as is the tax.
    #[serde(default)]
    pub(crate) tax_free: i64,
    #[serde(default)]
    pub(crate) vat: i64,
    pub(crate) at: DateTime<Utc>,
    pub(crate) payload: Option<String>,
}

/// The order as the merchant described it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Purchase {
    pub(crate) partner_order_id: String,
    pub(crate) partner_user_id: String,
    pub(crate) item_name: Option<String>,
    pub(crate) item_code: Option<String>,
    pub(crate) quantity: i64,
}

/// The way through the pay page; a recurring charge has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkout {
    pub(crate) hash: String,
    pub(crate) pg_token: String,
    pub(crate) approval_url: String,
    pub(crate) cancel_url: String,
    pub(crate) fail_url: String,
    pub(crate) only_method: Option<Method>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Payment {
    /// Counts payments in the order in which they were opened.
    pub(crate) number: u64,
    pub(crate) tid: String,
    pub(crate) cid: String,
    pub(crate) sid: Option<String>,
    pub(crate) purchase: Purchase,
    pub(crate) checkout: Option<Checkout>,
    pub(crate) amount: Sums,
    pub(crate) canceled: Sums,
    pub(crate) method: Option<Method>,
    pub(crate) status: Status,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) approved_at: Option<DateTime<Utc>>,
    pub(crate) canceled_at: Option<DateTime<Utc>>,
    pub(crate) payload: Option<String>,
    pub(crate) actions: Vec<Action>,
}

impl Payment {
    /// What can still be given back.
    pub(crate) fn left(&self) -> Sums {
        match self.status {
            Status::SuccessPayment | Status::PartCancelPayment => self.amount.minus(self.canceled),
            Status::Ready
            | Status::OpenPayment
            | Status::AuthPassword
            | Status::IssuedSid
            | Status::CancelPayment
            | Status::FailAuthPassword
            | Status::QuitPayment
            | Status::FailPayment => Sums::default(),
        }
    }

    /// Whether it is neither paid nor failed.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.status, Status::Ready | Status::OpenPayment | Status::AuthPassword)
    }

    /// Whether money ever moved.
    pub(crate) fn was_charged(&self) -> bool {
        matches!(
            self.status,
            Status::SuccessPayment | Status::PartCancelPayment | Status::CancelPayment
        )
    }
}

/// A recurring key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SidRecord {
    pub(crate) sid: String,
    pub(crate) cid: String,
    pub(crate) partner_user_id: String,
    pub(crate) item_name: Option<String>,
    pub(crate) method: Method,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) last_approved_at: Option<DateTime<Utc>>,
    pub(crate) inactivated_at: Option<DateTime<Utc>>,
    /// The Korean month of `uses`, as `2026-11`.
    pub(crate) uses_month: String,
    /// Charges by this key in that month.
    pub(crate) uses: u32,
}

impl SidRecord {
    pub(crate) fn is_active(&self) -> bool {
        self.inactivated_at.is_none()
    }
}

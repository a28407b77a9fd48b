//! The port to whoever moves the money: what the relay asks of a gateway, and nothing of KakaoPay.
//!
//! Shaped so that KakaoPay, Toss Payments and `PortOne` fit. Every call answers one of four things,
//! and the difference between the last two is what this shop lives on: [`Outcome::NotSent`] may be
//! repeated, [`Outcome::Unknown`] must be looked up first. An implementation compares every answer
//! with the request before it says [`Outcome::Done`]; what does not match is [`Doubt::Mismatch`].
//! Implementations never repeat a call: the relay is the only owner of retries.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::events::{ApprovedAmount, DeclineClass, PaymentMethod, RedirectUrls};
use contracts::{OrderId, Text, Won};
use domain::effects::PaymentTerms;
use service_kit::clock::BoxFuture;
use service_kit::config::Secret;

pub mod kakaopay;
pub mod lane;
pub mod throttle;

/// The classes of calls. Each has limits of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallClass {
    /// Pages, approvals and refunds.
    Checkout,
    /// Charges of recurring keys.
    Charge,
}

/// Leave to make one call of a class, taken before its request is stored as sent. Dropped without a
/// call, it takes nothing from the limits.
#[derive(Debug)]
pub struct Admission {
    pass: Option<lane::Pass>,
}

impl Admission {
    /// The call is admitted when it is made, for callers that store no request.
    pub const fn pending() -> Self {
        Self { pass: None }
    }
}

/// What became of a call.
#[derive(Debug)]
pub enum Outcome<T> {
    /// Carried out, and the answer is the one to our request.
    Done(T),
    /// A definite no; no money moved.
    Declined(Decline),
    /// Certainly nothing happened. May be repeated.
    NotSent(NotSent),
    /// It may have been carried out. To be looked up before anything else.
    Unknown(Doubt),
}

/// A definite no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decline {
    /// What sort of no.
    pub class: DeclineClass,
    /// The gateway's code, for example `-780/LACK_BALANCE`.
    pub code: Text<100>,
    /// The gateway's sentence, for operators.
    pub text: String,
    /// Whether it was the token of the return that was refused: another one may be right.
    pub is_of_token: bool,
}

/// Why certainly nothing happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// The breaker is open.
    #[error("the breaker is open")]
    BreakerOpen {
        /// How long at least.
        retry_after: Duration,
    },
    /// All places of this class of calls are taken.
    #[error("too many calls under way")]
    Busy,
    /// Calls of this class have been made too often of late.
    #[error("too many calls of late")]
    Throttled {
        /// Until the next one may be made, if nobody else makes it.
        retry_after: Duration,
    },
    /// So much time has passed since its request was stored that another worker may have the row.
    #[error("the stored request is {} s old", .age.as_secs())]
    Stale {
        /// The time since then.
        age: Duration,
    },
    /// No connection.
    #[error("no connection: {0}")]
    Connect(String),
    /// The gateway is closed, or asks us to come back later.
    #[error("not now: {0}")]
    NotNow(String),
    /// The gateway refuses our access: a wrong key, a blocked address, a contract. Says nothing
    /// about the payment, and ends nothing for good: an operator mends it, and the call works.
    #[error("access refused with {0}")]
    Access(String),
    /// The request breaks a rule of the gateway; repeating it is pointless.
    #[error("the request cannot be built: {0}")]
    Unbuildable(String),
}

impl NotSent {
    /// Whether it was our own restraint, so that it uses up none of the tries.
    pub const fn is_free(&self) -> bool {
        matches!(
            self,
            Self::BreakerOpen { .. } | Self::Busy | Self::Throttled { .. } | Self::Stale { .. }
        )
    }

    /// How long another try is certainly in vain.
    pub const fn retry_after(&self) -> Duration {
        match self {
            Self::BreakerOpen { retry_after } | Self::Throttled { retry_after } => *retry_after,
            Self::Busy
            | Self::Stale { .. }
            | Self::Connect(_)
            | Self::NotNow(_)
            | Self::Access(_)
            | Self::Unbuildable(_) => Duration::ZERO,
        }
    }

    /// Whether another try would end the same way.
    pub const fn is_permanent(&self) -> bool {
        matches!(self, Self::Unbuildable(_))
    }
}

/// Why nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// The answer was lost or could not be read; a stable code of how.
    #[error("{0}")]
    Lost(String),
    /// The gateway refused in a way that does not say whether money moved, now or before.
    #[error("refused with {0}")]
    Refused(String),
    /// The answer is not the one to our request, in these fields. Never believed, always alarmed.
    #[error("mismatch in {}", .0.join(", "))]
    Mismatch(Vec<&'static str>),
}

/// What a gateway can do beyond the common part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent flags, each asked by itself")]
pub struct Capabilities {
    /// Finds a payment by our own name of the attempt, when its id never arrived.
    pub looks_up_by_attempt: bool,
    /// Recognises a repeated call by a key of ours.
    pub has_idempotency_keys: bool,
    /// Tells how a recurring key stands.
    pub tells_billing_status: bool,
    /// Repeats the recurring key in a look-up, so that a lost approval does not lose the key.
    pub looks_up_billing_key: bool,
    /// Tells us by itself when a payment changes. A hint at most: what it says is looked up.
    pub sends_webhooks: bool,
}

/// Asks for a payment page.
#[derive(Debug, Clone)]
pub struct CheckoutRequest {
    /// The attempt.
    pub terms: PaymentTerms,
    /// The order it pays; the way back leads to it.
    pub order_id: OrderId,
    /// What the page shows as bought.
    pub item_name: Text<100>,
    /// Pieces in all.
    pub quantity: u32,
    /// The request id of the chain, for the gateway's log.
    pub correlation_id: String,
}

/// A payment page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The gateway's id of the payment.
    pub payment_ref: Text<64>,
    /// Where the browser goes.
    pub redirect: RedirectUrls,
    /// When it was opened, by our clock: an order expires by it.
    pub opened_at: DateTime<Utc>,
    /// When it stops working.
    pub expires_at: DateTime<Utc>,
    /// The merchant code it was opened with: later calls about the payment use the same.
    pub merchant: Option<Text<64>>,
}

/// Names a payment that exists at the gateway.
#[derive(Debug, Clone)]
pub struct PaymentQuestion {
    /// The attempt.
    pub terms: PaymentTerms,
    /// The gateway's id of the payment.
    pub payment_ref: Text<64>,
    /// The request id of the chain.
    pub correlation_id: String,
}

/// Moves the money of a payment that the shopper has agreed to.
#[derive(Debug, Clone)]
pub struct CompletionRequest {
    /// The payment.
    pub payment: PaymentQuestion,
    /// What the shopper's browser brought back.
    pub token: Secret,
}

/// Charges a recurring key.
#[derive(Debug, Clone)]
pub struct ChargeRequest {
    /// The attempt; its name is new for every attempt.
    pub terms: PaymentTerms,
    /// The key.
    pub key: BillingSecret,
    /// What the shopper sees as bought.
    pub item_name: Text<100>,
    /// Pieces in all.
    pub quantity: u32,
    /// The request id of the chain.
    pub correlation_id: String,
}

/// Gives money back.
#[derive(Debug, Clone)]
pub struct CancelRequest {
    /// The payment.
    pub payment: PaymentQuestion,
    /// How much.
    pub amount: Won,
    /// The tax-free part of it.
    pub tax_free: Won,
    /// What can still be given back, this request included: the guard against doubling it.
    pub refundable_before: Won,
    /// The tax-free part of what was refunded before: with it, the tax that is left is known.
    pub tax_free_before: Won,
}

/// A recurring key in clear, with the payer's name at the gateway that it belongs to.
#[derive(Clone)]
pub struct BillingSecret {
    /// The key. Whoever has it and our credentials can charge.
    pub secret: Secret,
    /// Our pseudonym of the payer; every charge must repeat it.
    pub partner_user_id: String,
    /// The merchant code it was issued to; the configured one where none was recorded.
    pub merchant: Option<Text<64>>,
}

/// Money that moved, exactly as asked.
#[derive(Debug, Clone)]
pub struct Paid {
    /// The gateway's id of the payment.
    pub payment_ref: Text<64>,
    /// The gateway's id of the action.
    pub action_ref: Text<64>,
    /// What was booked.
    pub amount: ApprovedAmount,
    /// What it was paid with.
    pub method: PaymentMethod,
    /// When the gateway booked it.
    pub approved_at: DateTime<Utc>,
    /// The recurring key, when the answer held one.
    pub key: Option<BillingSecret>,
}

/// Money that went back, exactly as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenBack {
    /// The gateway's id of the action, when it told it.
    pub action_ref: Option<Text<64>>,
    /// How much.
    pub amount: Won,
    /// When the gateway booked it.
    pub at: DateTime<Utc>,
}

/// How a payment stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Its state.
    pub state: PaymentState,
    /// What has been given back so far.
    pub given_back: Won,
    /// The latest time money was given back, if it was.
    pub last_given_back: Option<GivenBack>,
}

/// The state of a payment at the gateway.
#[derive(Debug, Clone)]
pub enum PaymentState {
    /// No money has moved and some still may.
    Pending {
        /// When the page was opened.
        opened_at: Option<DateTime<Utc>>,
    },
    /// Money moved; `given_back` says how much of it went back since.
    Paid(Paid),
    /// A recurring key was issued and nothing was paid, as agreed for an amount of 0.
    KeyIssued,
    /// No money has moved and none will.
    Failed {
        /// The gateway's word for it.
        code: Text<100>,
    },
    /// Another sum than ours was paid, and all of it went back: no money is left and none can move.
    Undone,
    /// Something else; the gateway's word for it.
    Other(String),
}

/// How a recurring key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillingStanding {
    /// Whether it can be charged.
    pub is_active: bool,
    /// When it was last charged: the only trace of a charge whose answer was lost.
    pub last_approved_at: Option<DateTime<Utc>>,
}

/// Whoever moves the money. See the module's header.
pub trait PaymentGateway: fmt::Debug + Send + Sync {
    /// What it can do beyond the common part.
    fn capabilities(&self) -> Capabilities;

    /// How long it is certain that no payment page can be opened; `None` when it may be tried.
    fn checkout_pause(&self) -> Option<Duration> {
        None
    }

    /// Waits for leave to make a call, and no longer than a caller's deadline allows.
    ///
    /// # Errors
    /// Our own limits refuse the call for now; nothing was sent.
    fn admit(&self, _class: CallClass) -> BoxFuture<'_, Result<Admission, NotSent>> {
        Box::pin(async { Ok(Admission::pending()) })
    }

    /// Opens a payment page. No money moves.
    fn begin_checkout<'a>(
        &'a self,
        request: &'a CheckoutRequest,
        admission: Admission,
    ) -> BoxFuture<'a, Outcome<Checkout>>;

    /// Moves the money of a payment that the shopper has agreed to.
    fn complete_checkout<'a>(
        &'a self,
        request: &'a CompletionRequest,
        admission: Admission,
    ) -> BoxFuture<'a, Outcome<Paid>>;

    /// Charges a recurring key. Money moves.
    fn charge<'a>(
        &'a self,
        request: &'a ChargeRequest,
        admission: Admission,
    ) -> BoxFuture<'a, Outcome<Paid>>;

    /// Asks how a payment stands.
    fn look_up<'a>(&'a self, question: &'a PaymentQuestion) -> BoxFuture<'a, Outcome<Standing>>;

    /// Gives money back.
    fn cancel<'a>(
        &'a self,
        request: &'a CancelRequest,
        admission: Admission,
    ) -> BoxFuture<'a, Outcome<GivenBack>>;

    /// Ends a recurring key. Ending it twice is harmless.
    fn deactivate<'a>(&'a self, key: &'a BillingSecret) -> BoxFuture<'a, Outcome<()>>;

    /// Asks how a recurring key stands.
    fn billing_status<'a>(
        &'a self,
        key: &'a BillingSecret,
    ) -> BoxFuture<'a, Outcome<BillingStanding>>;
}

impl<T> Outcome<T> {
    /// The name of the answer, for metrics and logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::Declined(_) => "declined",
            Self::NotSent(_) => "not_sent",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl fmt::Debug for BillingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BillingSecret(***)")
    }
}

//! Client of the KakaoPay online payment API; knows nothing of the shop.
//!
//! Seven calls, one method each, on [`Client`]. Every call answers `Result<_, CallError>`, and
//! [`CallError`] keeps three things apart that must never be mixed up where money moves:
//! nothing was sent, KakaoPay said no, and nobody knows. The client never repeats a call:
//! whether an unknown charge may be repeated is not something a connection can decide.
//!
//! Requests are built from values that were checked on the way in (lengths, signs, sums);
//! answers tolerate what a foreign service may change: unknown fields, unknown enum values,
//! numbers sent as text. Keys, tokens and SIDs are blotted out of every `Debug`.

mod amounts;
mod answers;
mod client;
mod config;
mod error;
mod error_codes;
mod expected;
mod kst;
mod lenient;
mod method_result;
mod outcome;
mod refunded;
mod requests;
mod values;
mod words;

pub use crate::amounts::{Amounts, CancelAmounts, CancelledBefore, default_vat};
pub use crate::answers::{
    Amount, Approval, Cancellation, CardInfo, Entries, Order, PaymentAction, Ready, SelectedCard,
    SidInactivated, SidStatus,
};
pub use crate::client::{Client, Operation};
pub use crate::config::{ClientConfig, ConfigError, SecretKey};
pub use crate::error::{ApiError, CallError, Extras, NotSent, Unknown};
pub use crate::error_codes::{ErrorClass, ErrorCode};
pub use crate::expected::{Difference, Expected};
pub use crate::kst::KstTime;
pub use crate::requests::{
    ApproveRequest, CancelRequest, OrderRequest, ReadyRequest, SidRequest, SubscriptionRequest,
};
pub use crate::values::{
    Aid, Cid, CidSecret, InvalidRequest, Item, Merchant, PartnerIds, PgToken, ReturnUrls, Sid, Tid,
};
pub use crate::words::{ActionType, OrderStatus, PaymentMethod, SidState};

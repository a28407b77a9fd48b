//! The points in which KakaoPay's behaviour is not known, and in which the simulator can be set to
//! either side.
//!
//! The defaults are the friendly side: guards are enforced, look-ups are up to date, no optional
//! field is missing. A shop must keep its promises on the other side too. Lags and whiles pass in
//! real time, like latencies, because they belong to KakaoPay's machines and not to its calendar.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What is assumed of KakaoPay. `PUT /__sim/settings` replaces all of it at once; a field that is
/// left out takes its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimSettings {
    /// Refuses a cancellation whose `cancel_available_amount` differs from what is left (-710).
    /// When off, the field is ignored, and only more than what is left is refused.
    pub guard_enforced: bool,
    /// Refuses a cancellation whose tax exceeds the tax that is left (-722), that of the last part
    /// too; a part without `cancel_vat_amount` is taxed by the default formula. When off, such a
    /// tax is cut to what is left, and the last part takes all of it.
    pub remaining_vat_enforced: bool,
    /// Look-ups of payments and keys show the state of so many milliseconds ago. The opening of a
    /// payment and the issue of a key are visible at once.
    pub stale_look_up_ms: u64,
    /// A key's status shows the `last_approved_at` of so many milliseconds ago, even where the rest
    /// of the answer is up to date. To withhold the field altogether, omit it.
    pub last_approved_at_lag_ms: u64,
    /// Fields that answers lack, as dotted paths such as `amount.vat`. A path that leads through a
    /// list concerns every entry of it: `payment_action_details.approved_at`.
    pub omit: Vec<String>,
    /// The word that look-ups show for every pending payment; the page's own when unset.
    pub pending_word: Option<PendingWord>,
    /// A word that look-ups show in place of a payment's status for a while after each change.
    pub unknown_status: Option<UnknownStatus>,
}

impl Default for SimSettings {
    fn default() -> Self {
        Self {
            guard_enforced: true,
            remaining_vat_enforced: false,
            stale_look_up_ms: 0,
            last_approved_at_lag_ms: 0,
            omit: Vec::new(),
            pending_word: None,
            unknown_status: None,
        }
    }
}

impl SimSettings {
    pub(crate) const fn stale_look_up(&self) -> Duration {
        Duration::from_millis(self.stale_look_up_ms)
    }

    pub(crate) const fn last_approved_at_lag(&self) -> Duration {
        Duration::from_millis(self.last_approved_at_lag_ms)
    }

    /// How long a replaced state is still of use.
    pub(crate) fn memory(&self) -> Duration {
        let unknown = self.unknown_status.as_ref().map_or(0, |unknown| unknown.for_ms);
        self.stale_look_up().max(self.last_approved_at_lag()).max(Duration::from_millis(unknown))
    }
}

/// KakaoPay's words for a payment that is neither paid nor failed, in the order of the shopper's
/// way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PendingWord {
    /// The payment was opened.
    Ready,
    /// A message was sent to the shopper's KakaoTalk.
    SendTms,
    /// The shopper opened the pay page.
    OpenPayment,
    /// The shopper chose a method of payment.
    SelectMethod,
    /// The shopper is authenticated by telephone.
    ArsWaiting,
    /// The shopper is authenticated; an approval is possible.
    AuthPassword,
}

/// A status that the documentation does not list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnknownStatus {
    /// Any word, for example `WAITING_FOR_REVIEW`.
    pub word: String,
    /// Milliseconds after each change of a payment during which it is shown.
    pub for_ms: u64,
}

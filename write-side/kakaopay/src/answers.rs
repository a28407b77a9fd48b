//! What KakaoPay answers. Only what a decision needs is required; everything else may be absent.
//!
//! Each required field is one more way for a payment that went through to look unknown, so the
//! list of them is short: the names, the sums, and when it was approved.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::expected::{Difference, Expected};
use crate::kst::KstTime;
use crate::lenient;
use crate::refunded;
use crate::values::{Aid, Sid, Tid};
use crate::words::{ActionType, OrderStatus, PaymentMethod, SidState};

/// A sum and what it is made of, in won.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Amount {
    /// The whole sum.
    #[serde(deserialize_with = "lenient::integer")]
    pub total: i64,
    /// The part that bears no tax. Absent is not zero: it is compared only where it is there.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub tax_free: Option<i64>,
    /// The value-added tax within the rest; absent is not zero here either.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub vat: Option<i64>,
    /// The part paid with points; decoration, on which nothing is decided.
    #[serde(default, deserialize_with = "lenient::integer_or_zero")]
    pub point: i64,
    /// The part borne by a discount of KakaoPay's; decoration.
    #[serde(default, deserialize_with = "lenient::integer_or_zero")]
    pub discount: i64,
    /// The cup deposit; decoration, as this shop sends none.
    #[serde(default, deserialize_with = "lenient::integer_or_zero")]
    pub green_deposit: i64,
}

/// The answer to a ready call. The tid cannot be fetched again: store it before redirecting.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Ready {
    /// The payment's name.
    pub tid: Tid,
    /// Where to send a browser inside an app.
    pub next_redirect_app_url: Url,
    /// Where to send a mobile browser.
    pub next_redirect_mobile_url: Url,
    /// Where to send a desktop browser.
    pub next_redirect_pc_url: Url,
    /// Opens KakaoTalk on Android; KakaoPay calls it internal.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub android_app_scheme: Option<String>,
    /// Opens KakaoTalk on iOS; KakaoPay calls it internal.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub ios_app_scheme: Option<String>,
    /// When the payment was opened; it lives for fifteen minutes from here.
    #[serde(default, deserialize_with = "lenient::decoration")]
    pub created_at: Option<KstTime>,
}

/// The answer to an approval and to a charge of a recurring key: money has moved.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Approval {
    /// The action's name.
    pub aid: Aid,
    /// The payment's name; new for every recurring charge.
    pub tid: Tid,
    /// The merchant code.
    pub cid: String,
    /// The recurring key, when the merchant code is a recurring one.
    #[serde(default, deserialize_with = "lenient::decoration")]
    pub sid: Option<Sid>,
    /// Our name of the order.
    pub partner_order_id: String,
    /// Our name of the payer.
    pub partner_user_id: String,
    /// How it was paid.
    #[serde(default, deserialize_with = "lenient::decoration")]
    pub payment_method_type: Option<PaymentMethod>,
    /// What was paid.
    pub amount: Amount,
    /// The card, when one was used.
    #[serde(default, deserialize_with = "lenient::decoration")]
    pub card_info: Option<CardInfo>,
    /// What was sold, as sent.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub item_name: Option<String>,
    /// Its code, as sent.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub item_code: Option<String>,
    /// How many, as sent.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub quantity: Option<i64>,
    /// When the payment was opened.
    #[serde(default, deserialize_with = "lenient::decoration")]
    pub created_at: Option<KstTime>,
    /// When the money moved.
    pub approved_at: KstTime,
    /// Our note, as sent.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub payload: Option<String>,
}

impl Approval {
    /// Everything in which this answer is not the one to our request.
    pub fn differences(&self, expected: &Expected<'_>) -> Vec<Difference> {
        expected.differences(
            &self.cid,
            &self.tid,
            (&self.partner_order_id, &self.partner_user_id),
            self.amount,
        )
    }
}

/// The card that paid. For display and support only: nothing is decided on it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct CardInfo {
    /// The first digits of the card's number.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub bin: Option<String>,
    /// Credit, check and so on, in KakaoPay's words.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub card_type: Option<String>,
    /// Months of the instalment plan; `00` is none.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub install_month: Option<String>,
    /// The card company's number of the approval.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub approved_id: Option<String>,
    /// The merchant's number at the card company.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub card_mid: Option<String>,
    /// `Y` or `N`.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub interest_free_install: Option<String>,
    /// Kind of the instalment plan.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub installment_type: Option<String>,
    /// KakaoPay's code of the card product.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub card_item_code: Option<String>,
    /// The acquirer's name.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub kakaopay_purchase_corp: Option<String>,
    /// The acquirer's code.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub kakaopay_purchase_corp_code: Option<String>,
    /// The issuer's name.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub kakaopay_issuer_corp: Option<String>,
    /// The issuer's code.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub kakaopay_issuer_corp_code: Option<String>,
    /// The acquirer's name, in older answers.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub purchase_corp: Option<String>,
    /// The issuer's name, in older answers.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub issuer_corp: Option<String>,
}

/// The answer to a look-up: how a payment stands.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Order {
    /// The payment's name.
    pub tid: Tid,
    /// The merchant code.
    pub cid: String,
    /// The recurring key. No known answer of this call has it; should one ever, a lost approval no
    /// longer loses its key.
    #[serde(default, deserialize_with = "lenient::decoration")]
    pub sid: Option<Sid>,
    /// Where it stands.
    pub status: OrderStatus,
    /// Our name of the order.
    pub partner_order_id: String,
    /// Our name of the payer.
    pub partner_user_id: String,
    /// How it was or will be paid; unset until the shopper has chosen.
    #[serde(default, deserialize_with = "lenient::decoration")]
    pub payment_method_type: Option<PaymentMethod>,
    /// What it was opened for.
    pub amount: Amount,
    /// What has been given back.
    #[serde(default, deserialize_with = "lenient::absent_or")]
    pub canceled_amount: Option<Amount>,
    /// What can still be given back.
    #[serde(default, deserialize_with = "lenient::absent_or")]
    pub cancel_available_amount: Option<Amount>,
    /// What was sold, as sent.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub item_name: Option<String>,
    /// Its code, as sent.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub item_code: Option<String>,
    /// How many, as sent.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub quantity: Option<i64>,
    /// When the payment was opened.
    #[serde(default, deserialize_with = "lenient::decoration")]
    pub created_at: Option<KstTime>,
    /// When the money moved.
    #[serde(default, deserialize_with = "lenient::decoration")]
    pub approved_at: Option<KstTime>,
    /// When the latest part was given back.
    #[serde(default, deserialize_with = "lenient::decoration")]
    pub canceled_at: Option<KstTime>,
    /// The card, when one was chosen.
    #[serde(default, deserialize_with = "lenient::decoration")]
    pub selected_card_info: Option<SelectedCard>,
    /// What happened to it, oldest first.
    #[serde(default, deserialize_with = "lenient::entries")]
    pub payment_action_details: Entries<PaymentAction>,
}

impl Order {
    /// The approval's name, which a lost answer to an approval would have told.
    pub fn approval_aid(&self) -> Option<&Aid> {
        self.payment_action_details
            .readable
            .iter()
            .rfind(|action| action.payment_action_type == ActionType::Payment)
            .map(|action| &action.aid)
    }

    /// What has been refunded so far, in won. `None` when the answer does not state it, or states
    /// it in ways that contradict one another or the status: then nothing follows from it.
    pub fn canceled_total(&self) -> Option<i64> {
        refunded::of(self)
    }

    /// Everything in which this is not the payment we asked for.
    pub fn differences(&self, expected: &Expected<'_>) -> Vec<Difference> {
        expected.differences(
            &self.cid,
            &self.tid,
            (&self.partner_order_id, &self.partner_user_id),
            self.amount,
        )
    }
}

/// A list of an answer, without the entries that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries<T> {
    /// The entries that could be read, in their order.
    pub readable: Vec<T>,
    /// Whether the list was there and every entry of it could be read.
    pub is_whole: bool,
}

impl<T> Default for Entries<T> {
    /// The absent list.
    fn default() -> Self {
        Self { readable: Vec::new(), is_whole: false }
    }
}

/// The card a shopper chose, as a look-up shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct SelectedCard {
    /// The first digits of the card's number.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub card_bin: Option<String>,
    /// Months of the instalment plan.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub install_month: Option<String>,
    /// Kind of the instalment plan.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub installment_type: Option<String>,
    /// The card company's name.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub card_corp_name: Option<String>,
    /// `Y` or `N`.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub interest_free_install: Option<String>,
}

/// One entry of a payment's history. Sums in won.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[expect(clippy::struct_field_names, reason = "KakaoPay's own names")]
pub struct PaymentAction {
    /// The action's name.
    pub aid: Aid,
    /// What it did.
    pub payment_action_type: ActionType,
    /// The sum it moved, where it is stated.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub amount: Option<i64>,
    /// The part of it paid with points.
    #[serde(default, deserialize_with = "lenient::integer_or_zero")]
    pub point_amount: i64,
    /// The part of it borne by a discount.
    #[serde(default, deserialize_with = "lenient::integer_or_zero")]
    pub discount_amount: i64,
    /// When.
    #[serde(default, deserialize_with = "lenient::decoration")]
    pub approved_at: Option<KstTime>,
    /// Our note, as sent.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub payload: Option<String>,
}

/// The answer to a cancellation: money has gone back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Cancellation {
    /// The action's name; new for every cancellation.
    pub aid: Aid,
    /// The payment's name.
    pub tid: Tid,
    /// The merchant code.
    pub cid: String,
    /// Where the payment stands afterwards.
    pub status: OrderStatus,
    /// Our name of the order.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub partner_order_id: Option<String>,
    /// Our name of the payer.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub partner_user_id: Option<String>,
    /// What the payment was for.
    pub amount: Amount,
    /// What this request gave back; old answers lack it.
    #[serde(default, deserialize_with = "lenient::absent_or")]
    pub approved_cancel_amount: Option<Amount>,
    /// What has been given back in all.
    #[serde(default, deserialize_with = "lenient::absent_or")]
    pub canceled_amount: Option<Amount>,
    /// What can still be given back.
    #[serde(default, deserialize_with = "lenient::absent_or")]
    pub cancel_available_amount: Option<Amount>,
    /// When the money moved.
    #[serde(default, deserialize_with = "lenient::decoration")]
    pub approved_at: Option<KstTime>,
    /// When this part was given back.
    #[serde(default, deserialize_with = "lenient::decoration")]
    pub canceled_at: Option<KstTime>,
    /// Our note, as sent.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub payload: Option<String>,
}

/// The answer to the end of a recurring key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SidInactivated {
    /// The merchant code.
    pub cid: String,
    /// The key.
    pub sid: Sid,
    /// Whether it still works.
    pub status: SidState,
    /// When it was issued.
    #[serde(default, deserialize_with = "lenient::decoration")]
    pub created_at: Option<KstTime>,
    /// When it was last charged.
    #[serde(default, deserialize_with = "lenient::decoration")]
    pub last_approved_at: Option<KstTime>,
    /// When it was ended.
    #[serde(default, deserialize_with = "lenient::decoration")]
    pub inactivated_at: Option<KstTime>,
}

impl SidInactivated {
    /// Everything in which this is not the key that was to be ended.
    pub fn differences(&self, cid: &str, sid: &Sid) -> Vec<Difference> {
        key_differences((&self.cid, &self.sid), (cid, sid))
    }
}

fn key_differences(answer: (&str, &Sid), asked: (&str, &Sid)) -> Vec<Difference> {
    let checks = [(Difference::Cid, answer.0 == asked.0), (Difference::Sid, answer.1 == asked.1)];
    checks.into_iter().filter(|(_, same)| !same).map(|(difference, _)| difference).collect()
}

/// How a recurring key stands. `last_approved_at` is the only trace of a charge whose answer was
/// lost: a charge cannot be looked up without its tid.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SidStatus {
    /// Whether it can be charged.
    #[serde(default, deserialize_with = "lenient::optional_bool")]
    pub available: Option<bool>,
    /// The merchant code.
    pub cid: String,
    /// The key.
    pub sid: Sid,
    /// Whether it still works.
    pub status: SidState,
    /// How it pays.
    #[serde(default, deserialize_with = "lenient::decoration")]
    pub payment_method_type: Option<PaymentMethod>,
    /// What was sold when it was issued.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub item_name: Option<String>,
    /// When it was issued.
    #[serde(default, deserialize_with = "lenient::decoration")]
    pub created_at: Option<KstTime>,
    /// When it was last charged. An unreadable time is an unreadable answer, because taking it
    /// for "never" would let a charge be repeated.
    #[serde(default, deserialize_with = "lenient::absent_or")]
    pub last_approved_at: Option<KstTime>,
    /// When it was ended.
    #[serde(default, deserialize_with = "lenient::decoration")]
    pub inactivated_at: Option<KstTime>,
}

impl SidStatus {
    /// Everything in which this is not the key that was asked about.
    pub fn differences(&self, cid: &str, sid: &Sid) -> Vec<Difference> {
        key_differences((&self.cid, &self.sid), (cid, sid))
    }
}

//! The texts KakaoPay gives and takes, each with the length it documents, each with one door.
//!
//! Lengths count characters: the documentation says "max 100" without a unit, and its own
//! Korean samples only fit if characters are meant.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

/// Longest `partner_order_id`, `partner_user_id`, `item_name` and `item_code`, in characters.
const PARTNER_TEXT_LENGTH_MAX: usize = 100;
/// Longest return URL, in characters.
const URL_LENGTH_MAX: usize = 255;
/// Longest `payload`, in characters.
const PAYLOAD_LENGTH_MAX: usize = 200;
/// Longest name KakaoPay may give. It documents 20; refusing a longer one in an answer would make
/// an unknown outcome of a payment that went through.
const ISSUED_ID_LENGTH_MAX: usize = 64;
/// Longest opaque token (`pg_token`) worth sending; the documented sample has 20 characters.
const TOKEN_LENGTH_MAX: usize = 200;

/// Why a value cannot be put into a request: the field and the rule it breaks, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {rule}")]
pub struct InvalidRequest {
    /// KakaoPay's name of the field.
    pub field: &'static str,
    /// The rule it breaks, as the rest of a sentence.
    pub rule: &'static str,
}

impl InvalidRequest {
    pub(crate) const fn new(field: &'static str, rule: &'static str) -> Self {
        Self { field, rule }
    }
}

/// Refuses the empty, the overlong, and control characters (they have no business in an id).
fn checked(
    field: &'static str,
    value: impl Into<String>,
    length_max: usize,
) -> Result<String, InvalidRequest> {
    let value = value.into();
    if value.is_empty() {
        return Err(InvalidRequest::new(field, "is empty"));
    }
    if length_max < value.chars().count() {
        return Err(InvalidRequest::new(field, "is longer than KakaoPay takes"));
    }
    if value.chars().any(char::is_control) {
        return Err(InvalidRequest::new(field, "holds a control character"));
    }
    Ok(value)
}

pub(crate) fn payload(value: impl Into<String>) -> Result<String, InvalidRequest> {
    checked("payload", value, PAYLOAD_LENGTH_MAX)
}

macro_rules! text_value {
    ($(#[$doc:meta])* $name:ident, $field:literal, $length_max:expr, shown) => {
        text_value!($(#[$doc])* $name, $field, $length_max);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
    ($(#[$doc:meta])* $name:ident, $field:literal, $length_max:expr, secret) => {
        text_value!($(#[$doc])* $name, $field, $length_max);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}(***)", stringify!($name))
            }
        }
    };
    ($(#[$doc:meta])* $name:ident, $field:literal, $length_max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Takes the text as it stands; refuses the empty and the overlong.
            pub fn new(value: impl Into<String>) -> Result<Self, InvalidRequest> {
                checked($field, value, $length_max).map(Self)
            }

            /// The text as KakaoPay wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidRequest;

            fn try_from(value: String) -> Result<Self, Self::Error> {
                Self::new(value)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}

text_value!(
    /// A merchant code: one contract and one kind of payment.
    Cid, "cid", 10, shown
);
text_value!(
    /// The optional key of one merchant code, sent in the body.
    CidSecret, "cid_secret", 24, secret
);
text_value!(
    /// One payment, named by KakaoPay.
    Tid, "tid", ISSUED_ID_LENGTH_MAX, shown
);
text_value!(
    /// One action on a payment (approval, cancellation), named by KakaoPay.
    Aid, "aid", ISSUED_ID_LENGTH_MAX, shown
);
text_value!(
    /// The key of a recurring payment. Whoever holds it and the secret key can charge.
    Sid, "sid", ISSUED_ID_LENGTH_MAX, secret
);
text_value!(
    /// The one-off token the shopper's browser brings back; approves one payment.
    PgToken, "pg_token", TOKEN_LENGTH_MAX, secret
);

/// Who sells: the merchant code and, where one was issued, its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Merchant {
    cid: Cid,
    #[serde(skip_serializing_if = "Option::is_none")]
    cid_secret: Option<CidSecret>,
}

impl Merchant {
    /// A merchant code without a key of its own.
    pub fn new(cid: Cid) -> Self {
        Self { cid, cid_secret: None }
    }

    /// Adds the key issued for this code.
    #[must_use]
    pub fn with_secret(mut self, secret: CidSecret) -> Self {
        self.cid_secret = Some(secret);
        self
    }

    /// The merchant code.
    pub fn cid(&self) -> &Cid {
        &self.cid
    }
}

/// Our names of the order and of the payer. KakaoPay compares them between calls, and forbids
/// personal data in the payer's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartnerIds {
    #[serde(rename = "partner_order_id")]
    order: String,
    #[serde(rename = "partner_user_id")]
    user: String,
}

impl PartnerIds {
    /// Both at most 100 characters.
    pub fn new(order: impl Into<String>, user: impl Into<String>) -> Result<Self, InvalidRequest> {
        Ok(Self {
            order: checked("partner_order_id", order, PARTNER_TEXT_LENGTH_MAX)?,
            user: checked("partner_user_id", user, PARTNER_TEXT_LENGTH_MAX)?,
        })
    }

    /// `partner_order_id`.
    pub fn order(&self) -> &str {
        &self.order
    }

    /// `partner_user_id`.
    pub fn user(&self) -> &str {
        &self.user
    }
}

/// What is sold, as the pay page shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_field_names, reason = "KakaoPay's own names")]
pub struct Item {
    item_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_code: Option<String>,
    quantity: i64,
}

impl Item {
    /// The name is only shown, so an overlong one is cut at 100 characters and loses control
    /// characters rather than costing a sale; the quantity must be positive.
    pub fn new(name: &str, quantity: i64) -> Result<Self, InvalidRequest> {
        let item_name: String =
            name.trim().chars().filter(|c| !c.is_control()).take(PARTNER_TEXT_LENGTH_MAX).collect();
        if item_name.is_empty() {
            return Err(InvalidRequest::new("item_name", "is empty"));
        }
        if quantity < 1 {
            return Err(InvalidRequest::new("quantity", "is less than one"));
        }
        Ok(Self { item_name, item_code: None, quantity })
    }

    /// Adds `item_code`, at most 100 characters.
    pub fn with_code(mut self, code: impl Into<String>) -> Result<Self, InvalidRequest> {
        self.item_code = Some(checked("item_code", code, PARTNER_TEXT_LENGTH_MAX)?);
        Ok(self)
    }

    /// The name as it will be sent.
    pub fn name(&self) -> &str {
        &self.item_name
    }
}

/// Where KakaoPay sends the shopper's browser afterwards. `pg_token` is appended to the first.
/// What makes such an address unguessable stands in its path, so `Debug` shows the host only.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_field_names, reason = "KakaoPay's own names")]
pub struct ReturnUrls {
    approval_url: Url,
    cancel_url: Url,
    fail_url: Url,
}

impl ReturnUrls {
    /// Absolute `http` or `https` URLs of at most 255 characters each.
    pub fn new(approval: Url, cancel: Url, fail: Url) -> Result<Self, InvalidRequest> {
        Ok(Self {
            approval_url: return_url("approval_url", approval)?,
            cancel_url: return_url("cancel_url", cancel)?,
            fail_url: return_url("fail_url", fail)?,
        })
    }
}

impl fmt::Debug for ReturnUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReturnUrls({}/***)", self.approval_url.origin().ascii_serialization())
    }
}

fn return_url(field: &'static str, url: Url) -> Result<Url, InvalidRequest> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(InvalidRequest::new(field, "is not a web address"));
    }
    if URL_LENGTH_MAX < url.as_str().chars().count() {
        return Err(InvalidRequest::new(field, "is longer than KakaoPay takes"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_longer_than_documented_is_refused_rather_than_cut() {
        assert!(Cid::new("TC0ONETIME").is_ok());
        let refusal = Cid::new("TC0ONETIME1").expect_err("eleven characters");
        assert_eq!(refusal.to_string(), "cid is longer than KakaoPay takes");
        assert!(Tid::new("").is_err());
        assert!(Tid::new("T1\n").is_err());
    }

    #[test]
    fn a_long_korean_item_name_is_cut_by_characters() {
        let item = Item::new(&"홍삼".repeat(80), 1).expect("a name");
        assert_eq!(item.name().chars().count(), 100);
    }

    #[test]
    fn debug_shows_no_key() {
        let merchant = Merchant::new(Cid::new("TC0ONETIME").expect("cid"))
            .with_secret(CidSecret::new("abcdef").expect("secret"));
        assert_eq!(
            format!("{merchant:?} {:?} {:?}", Sid::new("S12").expect("sid"), token()),
            "Merchant { cid: Cid(TC0ONETIME), cid_secret: Some(CidSecret(***)) } Sid(***) PgToken(***)"
        );
    }

    fn token() -> PgToken {
        PgToken::new("xyz").expect("token")
    }

    #[test]
    fn return_urls_are_web_addresses_of_bounded_length() {
        let fine = Url::parse("https://shop.example/return").expect("url");
        let long = Url::parse(&format!("https://shop.example/{}", "a".repeat(255))).expect("url");
        let scheme = Url::parse("ftp://shop.example/").expect("url");
        let urls = ReturnUrls::new(fine.clone(), fine.clone(), fine.clone()).expect("urls");
        assert_eq!(format!("{urls:?}"), "ReturnUrls(https://shop.example/***)");
        assert!(ReturnUrls::new(fine.clone(), long, fine.clone()).is_err());
        assert!(ReturnUrls::new(fine.clone(), fine, scheme).is_err());
    }
}

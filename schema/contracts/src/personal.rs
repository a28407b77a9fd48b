//! Personal data: parsed once at the edge into a canonical form, and sealed before it is stored.
//!
//! No type here shows its content through `Debug`. What goes into an event is [`Sealed`]: the
//! ciphertext under the user's own key, which dies with that key. Sealing and opening are done by
//! `service-kit`'s vault; this crate only knows the stored shape.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

/// Why a piece of personal data was refused. Never repeats the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PersonalRefusal {
    /// Not of the form `local@domain.tld`, or longer than 254 characters.
    #[error("not an e-mail address")]
    Email,
    /// Not a Korean mobile number.
    #[error("not a mobile number of the form 01X followed by 7 or 8 digits")]
    Phone,
    /// Not 2 to 20 characters, or with a control character.
    #[error("a display name has 2 to 20 characters")]
    DisplayName,
    /// Not 1 to 50 characters, or with a control character.
    #[error("a receiver's name has 1 to 50 characters")]
    ReceiverName,
    /// A part of an address that is not 1 to 200 characters, or with a control character.
    #[error("each part of an address has 1 to 200 characters")]
    Address,
}

macro_rules! personal_text {
    ($(#[$doc:meta])* $name:ident, $parse:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The canonical form, in clear. Not for logs, URLs, metrics or error texts.
            pub fn expose(&self) -> &str {
                &self.0
            }

            /// Checks `raw` and brings it into canonical form.
            ///
            /// # Errors
            /// [`PersonalRefusal`] when the rule of this type is not met.
            pub fn parse(raw: &str) -> Result<Self, PersonalRefusal> {
                $parse(raw).map(Self)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(***)"))
            }
        }

        impl TryFrom<String> for $name {
            type Error = PersonalRefusal;

            fn try_from(raw: String) -> Result<Self, Self::Error> {
                Self::parse(&raw)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}

personal_text!(
    /// An e-mail address, trimmed, with its domain in lower case.
    Email,
    canonical_email
);
personal_text!(
    /// A Korean mobile number as digits only: `01[016789]` and 7 or 8 more.
    Phone,
    canonical_phone
);
personal_text!(
    /// The name other shoppers see: 2 to 20 characters.
    DisplayName,
    canonical_display_name
);
personal_text!(
    /// Who receives the parcel: 1 to 50 characters.
    ReceiverName,
    canonical_receiver_name
);
personal_text!(
    /// One part of an address: 1 to 200 characters.
    AddressPart,
    canonical_address_part
);

/// A postal address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Postal code.
    pub zip: AddressPart,
    /// Province, city and street.
    pub city: AddressPart,
    /// Building, floor and door.
    pub detail: AddressPart,
}

/// Where and to whom an order or a subscription is delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    /// The name on the parcel.
    pub name: ReceiverName,
    /// The number the courier calls.
    pub phone: Phone,
    /// The place.
    pub address: Address,
}

fn canonical_email(raw: &str) -> Result<String, PersonalRefusal> {
    let trimmed = raw.trim();
    let (local, domain) = trimmed.rsplit_once('@').ok_or(PersonalRefusal::Email)?;
    let domain = domain.to_ascii_lowercase();
    let local_is_fine = (1..=64).contains(&local.len())
        && local.bytes().all(|b| b.is_ascii_graphic() && !b"\"(),:;<>@[\\]".contains(&b))
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..");
    let labels: Vec<&str> = domain.split('.').collect();
    let domain_is_fine = 2 <= labels.len()
        && labels.iter().all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        });
    if 254 < trimmed.len() || !local_is_fine || !domain_is_fine {
        return Err(PersonalRefusal::Email);
    }
    Ok(format!("{local}@{domain}"))
}

fn canonical_phone(raw: &str) -> Result<String, PersonalRefusal> {
    let digits: String = raw.trim().chars().filter(|c| *c != '-').collect();
    let known_prefix =
        ["010", "011", "016", "017", "018", "019"].iter().any(|prefix| digits.starts_with(prefix));
    let well_formed =
        digits.bytes().all(|b| b.is_ascii_digit()) && (10..=11).contains(&digits.len());
    if !known_prefix || !well_formed {
        return Err(PersonalRefusal::Phone);
    }
    Ok(digits)
}

fn canonical_display_name(raw: &str) -> Result<String, PersonalRefusal> {
    bounded(raw, 2, 20).ok_or(PersonalRefusal::DisplayName)
}

fn canonical_receiver_name(raw: &str) -> Result<String, PersonalRefusal> {
    bounded(raw, 1, 50).ok_or(PersonalRefusal::ReceiverName)
}

fn canonical_address_part(raw: &str) -> Result<String, PersonalRefusal> {
    bounded(raw, 1, 200).ok_or(PersonalRefusal::Address)
}

/// `raw` trimmed, when it has `min` to `max` characters and no control character.
fn bounded(raw: &str, min: usize, max: usize) -> Option<String> {
    let trimmed = raw.trim();
    let fits = (min..=max).contains(&trimmed.chars().count());
    (fits && !trimmed.chars().any(char::is_control)).then(|| trimmed.to_owned())
}

/// A `T` encrypted under its user's key: what the log stores in place of personal data.
///
/// XChaCha20-Poly1305; user, stream and field are bound as associated data, so a sealed value
/// moved elsewhere does not open. `Debug` shows no byte of it.
#[derive(Serialize, Deserialize)]
pub struct Sealed<T> {
    /// Which key of the user sealed it; 1 is the first.
    pub key_version: u16,
    /// Base64 of the 24-byte nonce.
    pub nonce: String,
    /// Base64 of ciphertext and tag.
    pub ciphertext: String,
    #[serde(skip)]
    content: PhantomData<fn() -> T>,
}

impl<T> Sealed<T> {
    /// Puts the parts of a sealed value together; `nonce` and `ciphertext` are base64.
    pub fn from_parts(key_version: u16, nonce: String, ciphertext: String) -> Self {
        Self { key_version, nonce, ciphertext, content: PhantomData }
    }
}

impl<T> Clone for Sealed<T> {
    fn clone(&self) -> Self {
        Self::from_parts(self.key_version, self.nonce.clone(), self.ciphertext.clone())
    }
}

impl<T> PartialEq for Sealed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key_version == other.key_version
            && self.nonce == other.nonce
            && self.ciphertext == other.ciphertext
    }
}

impl<T> Eq for Sealed<T> {}

impl<T> fmt::Debug for Sealed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_number_has_one_canonical_form() {
        assert_eq!(Phone::parse(" 010-1234-5678 ").unwrap().expose(), "01012345678");
        for wrong in ["", "02-123-4567", "010|1234|5678", "0101234567890", "015-1234-5678"] {
            assert!(Phone::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_email_keeps_its_local_part_and_lowers_its_domain() {
        assert_eq!(Email::parse(" Kim.A@Example.COM ").unwrap().expose(), "Kim.A@example.com");
        for wrong in ["", "kim", "kim@", "@example.com", "a@b", "a b@example.com", "a@b..com"] {
            assert!(Email::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nothing_personal_shows_in_debug() {
        let receiver = Receiver {
            name: ReceiverName::parse("홍길동").unwrap(),
            phone: Phone::parse("01012345678").unwrap(),
            address: Address {
                zip: AddressPart::parse("04524").unwrap(),
                city: AddressPart::parse("서울 중구 세종대로 110").unwrap(),
                detail: AddressPart::parse("3층").unwrap(),
            },
        };
        let shown = format!("{receiver:?}");
        for clear in ["홍길동", "0101234", "세종대로", "04524"] {
            assert!(!shown.contains(clear), "{clear} in {shown}");
        }
    }
}

//! The order number that people read to each other on the phone.

use std::fmt;

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Thirty-two signs without look-alikes: no I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Signs after the date; forty random bits.
const SIGNS: usize = 8;

/// `YYMMDD-XXXXXXXX`: the Korean date of placing and eight base-32 signs without look-alikes.
///
/// Unique, because placing an order claims its number in the same transaction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrderNumber(String);

/// A text is not an order number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an order number looks like 261123-7K2M9QXA")]
pub struct MalformedOrderNumber;

impl OrderNumber {
    /// The number for an order placed on `date` whose (random) id is `id`: the low forty bits.
    pub fn derive(date: NaiveDate, id: Uuid) -> Self {
        let mut bits = id.as_u128();
        let mut signs = [0_u8; SIGNS];
        for sign in &mut signs {
            let index = usize::try_from(bits & 31).unwrap_or(0);
            *sign = ALPHABET.get(index).copied().unwrap_or(b'0');
            bits >>= 5;
        }
        let signs: String = signs.iter().map(|sign| char::from(*sign)).collect();
        let year = date.year().rem_euclid(100);
        Self(format!("{year:02}{:02}{:02}-{signs}", date.month(), date.day()))
    }

    /// The number as people write it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrderNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for OrderNumber {
    type Error = MalformedOrderNumber;

    fn try_from(raw: String) -> Result<Self, Self::Error> {
        let Some((date, signs)) = raw.split_once('-') else {
            return Err(MalformedOrderNumber);
        };
        let date_is_digits = date.len() == 6 && date.bytes().all(|b| b.is_ascii_digit());
        let signs_are_known =
            signs.len() == SIGNS && signs.bytes().all(|sign| ALPHABET.contains(&sign));
        if !date_is_digits || !signs_are_known {
            return Err(MalformedOrderNumber);
        }
        Ok(Self(raw))
    }
}

impl From<OrderNumber> for String {
    fn from(number: OrderNumber) -> Self {
        number.0
    }
}

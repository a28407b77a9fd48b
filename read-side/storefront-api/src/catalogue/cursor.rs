//! An opaque place in a list: behind which item the next answer begins.
//!
//! It holds the sort key and the id of the last item shown, so a page far down costs the same as
//! the first one, and an item that is added meanwhile neither shifts nor repeats another. A digest
//! ties it to its list: a cursor of one list is refused by every other.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::{Category, Won};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::query::{Filters, Sort, Term};

/// The first byte of every cursor; another layout gets another number.
const VERSION: u8 = 1;
/// Bytes of the digest that ties a cursor to its list.
const DIGEST_BYTES: usize = 8;
/// Version, digest, key, id.
const BYTES: usize = 1 + DIGEST_BYTES + 8 + 16;

/// Behind which item a list goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Cursor {
    /// The sort key of the last item shown.
    pub(crate) key: i64,
    /// The id of the last item shown.
    pub(crate) item_id: Uuid,
}

impl Cursor {
    /// The token that clients hand back.
    pub(crate) fn token(self, filters: &Filters, sort: Sort) -> String {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&digest(filters, sort));
        bytes.extend_from_slice(&self.key.to_be_bytes());
        bytes.extend_from_slice(self.item_id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token of the same list back; `None` for anything else.
    pub(crate) fn read(token: &str, filters: &Filters, sort: Sort) -> Option<Self> {
        // Anything longer isn't ours and isn't worth decoding.
        if 2 * BYTES < token.len() {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (version, rest) = bytes.split_first()?;
        let (tie, rest) = rest.split_first_chunk::<DIGEST_BYTES>()?;
        let (key, rest) = rest.split_first_chunk::<8>()?;
        let item_id = Uuid::from_slice(rest).ok()?;
        let is_ours = *version == VERSION && *tie == digest(filters, sort);
        is_ours.then_some(Self { key: i64::from_be_bytes(*key), item_id })
    }
}

/// What a cursor belongs to. Parts are separated by a byte that no term contains.
fn digest(filters: &Filters, sort: Sort) -> [u8; DIGEST_BYTES] {
    let Filters { category, on_sale, keyword, brand, price_min, price_max } = filters;
    let amount = |bound: &Option<Won>| bound.map(|won| won.amount().to_string());
    let term = |term: &Option<Term>| term.as_ref().map(|it| it.as_str().to_owned());
    let parts = [
        Some(format!("{sort:?}")),
        category.map(|it: Category| it.as_str().to_owned()),
        on_sale.map(|it| it.to_string()),
        term(keyword),
        term(brand),
        amount(price_min),
        amount(price_max),
    ];
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update([0]);
        if let Some(part) = part {
            hasher.update([1]);
            hasher.update(part.as_bytes());
        }
    }
    hasher.finalize().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn somewhere() -> Cursor {
        Cursor { key: -42, item_id: Uuid::from_u128(7) }
    }

    #[test]
    fn a_cursor_leads_back_to_its_place() {
        let filters = Filters { category: Some(Category::Eye), ..Filters::default() };
        let token = somewhere().token(&filters, Sort::Sales);
        assert_eq!(Cursor::read(&token, &filters, Sort::Sales), Some(somewhere()));
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        let of = |category| Filters { category, ..Filters::default() };
        let token = somewhere().token(&of(Some(Category::Eye)), Sort::Sales);
        assert_eq!(Cursor::read(&token, &of(None), Sort::Sales), None);
        assert_eq!(Cursor::read(&token, &of(Some(Category::Eye)), Sort::Views), None);
        let brand = |name: &str| Filters {
            brand: Some(Term::parse("brand", name).unwrap()),
            ..Filters::default()
        };
        let token = somewhere().token(&brand("a"), Sort::Sales);
        assert_eq!(Cursor::read(&token, &brand("b"), Sort::Sales), None);
    }

    #[test]
    fn nonsense_is_no_cursor() {
        let whole = somewhere().token(&Filters::default(), Sort::Sales);
        for token in ["", "x", "!!!", &whole[1..], &format!("{whole}AAAA"), &"A".repeat(10_000)] {
            assert_eq!(Cursor::read(token, &Filters::default(), Sort::Sales), None, "{token}");
        }
    }
}

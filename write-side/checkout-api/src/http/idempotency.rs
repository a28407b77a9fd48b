//! `Idempotency-Key`: the client's name for one request, by which a repetition is recognised.
//!
//! Accepted bare or in quotes (the IETF draft's form); both mean the same key. A key that cannot be
//! read is refused and never ignored: the client would believe itself protected.

use std::fmt;

use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaParamIn, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use service_kit::problem::Problem;

/// The header's name.
const HEADER: &str = "idempotency-key";
/// Longest key, in characters.
const LENGTH_MAX: usize = 255;
/// What `Idempotent-Replayed` says when it is there.
pub(crate) const REPLAYED: &str = "true";

/// 1 to 255 visible ASCII characters without quotes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct IdempotencyKey(String);

impl IdempotencyKey {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn parse(raw: &[u8]) -> Option<Self> {
        let bare = match raw {
            [b'"', inner @ .., b'"'] => inner,
            _ => raw,
        };
        let is_plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\".contains(byte);
        if !(1..=LENGTH_MAX).contains(&bare.len()) || !bare.iter().all(is_plain) {
            return None;
        }
        String::from_utf8(bare.to_vec()).ok().map(Self)
    }

    fn of(request: &Request) -> Result<Option<Self>, Problem> {
        let mut values = request.headers().get_all(HEADER).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(malformed());
        }
        Self::parse(value.as_bytes()).map(Some).ok_or_else(malformed)
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn malformed() -> Problem {
    Problem::bad_request(
        "idempotency.key_malformed",
        "Idempotency-Key has 1 to 255 visible ASCII characters, bare or in quotes",
    )
}

fn missing() -> Problem {
    Problem::bad_request("idempotency.key_missing", "this request needs an Idempotency-Key")
}

/// The key of an operation that is not carried out without one.
#[derive(Debug)]
pub(crate) struct RequiredKey(pub(crate) IdempotencyKey);

/// The key of an operation that may go without.
#[derive(Debug)]
pub(crate) struct OptionalKey(pub(crate) Option<IdempotencyKey>);

macro_rules! header_extractor {
    ($name:ident, $required:literal, $request:ident => $extract:expr) => {
        impl<'a> ApiExtractor<'a> for $name {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
            const PARAM_IS_REQUIRED: bool = $required;

            type ParamType = String;
            type ParamRawType = String;

            fn register(registry: &mut Registry) {
                <String as Type>::register(registry);
            }

            fn param_in() -> Option<MetaParamIn> {
                Some(MetaParamIn::Header)
            }

            fn param_schema_ref() -> Option<MetaSchemaRef> {
                Some(<String as Type>::schema_ref())
            }

            async fn from_request(
                $request: &'a Request,
                _body: &mut RequestBody,
                _options: ExtractParamOptions<Self::ParamType>,
            ) -> poem::Result<Self> {
                Ok(Self($extract))
            }
        }
    };
}
pub(super) use header_extractor;

header_extractor!(RequiredKey, true, request => {
    IdempotencyKey::of(request)?.ok_or_else(missing)?
});
header_extractor!(OptionalKey, false, request => IdempotencyKey::of(request)?);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_make_no_difference() {
        let bare = IdempotencyKey::parse(b"order-7").unwrap();
        assert_eq!(IdempotencyKey::parse(b"\"order-7\""), Some(bare));
    }

    #[test]
    fn what_cannot_be_read_is_no_key() {
        let long = "k".repeat(256);
        for raw in ["", "\"\"", "a b", "a\"b", "\"a", "a\\b", "주문", "a\u{7f}", &long] {
            assert_eq!(IdempotencyKey::parse(raw.as_bytes()), None, "{raw:?}");
        }
    }
}

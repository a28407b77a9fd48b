//! `ETag` and `If-Match`: the version of a stream, as a client carries it.

use poem::http::header::IF_MATCH;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaParamIn, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use service_kit::problem::Problem;

use super::idempotency::header_extractor;

/// A version that no stream reaches: what a tag that is not one of ours stands for.
const VERSION_NEVER: u64 = i64::MAX as u64;

/// The entity tag of a stream at `version`.
pub(crate) fn etag(version: u64) -> String {
    format!("\"{version}\"")
}

/// The version that the client believes current; `None` when it doesn't say, or says `*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IfMatch(pub(crate) Option<u64>);

header_extractor!(IfMatch, false, request => expected(request)?);

fn expected(request: &Request) -> Result<Option<u64>, Problem> {
    let mut values = request.headers().get_all(IF_MATCH).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_not_text| malformed())?;
    if values.next().is_some() {
        return Err(malformed());
    }
    parse(text.trim()).ok_or_else(malformed)
}

fn malformed() -> Problem {
    Problem::bad_request("precondition.malformed", "If-Match has one entity tag or *")
}

/// `Some(None)` for `*`; `None` for what is no single tag. A weak tag never matches (RFC 9110).
#[expect(clippy::option_option, reason = "no tag at all and any version are told apart")]
fn parse(text: &str) -> Option<Option<u64>> {
    if text == "*" {
        return Some(None);
    }
    let (is_weak, tag) = text.strip_prefix("W/").map_or((false, text), |tag| (true, tag));
    let inner = tag.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('"') {
        return None;
    }
    let version = inner.parse().ok().filter(|_| !is_weak).unwrap_or(VERSION_NEVER);
    Some(Some(version.min(VERSION_NEVER)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_tag_comes_back_as_its_version() {
        assert_eq!(parse(&etag(12)), Some(Some(12)));
        assert_eq!(parse("*"), Some(None));
    }

    #[test]
    fn a_foreign_or_weak_tag_never_matches() {
        for tag in ["W/\"12\"", "\"abc\"", "\"\"", "\"99999999999999999999\""] {
            assert_eq!(parse(tag), Some(Some(VERSION_NEVER)), "{tag}");
        }
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        for text in ["", "12", "\"1\", \"2\"", "\"1", "W/12"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

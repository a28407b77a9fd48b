//! What a request says about the answer it would like: `If-None-Match` and `Accept-Encoding`.

use poem::Request;
use poem::http::HeaderName;
use poem::http::header::{ACCEPT_ENCODING, IF_NONE_MATCH};

/// The conditions of one request. A header that cannot be read counts as absent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conditions {
    known_tags: Vec<String>,
    takes_gzip: bool,
}

impl Conditions {
    /// The conditions of `request`.
    pub(crate) fn of(request: &Request) -> Self {
        Self {
            known_tags: listed(request, &IF_NONE_MATCH),
            takes_gzip: takes_gzip(&listed(request, &ACCEPT_ENCODING)),
        }
    }

    /// Whether the client has what `etag` names; compared weakly (RFC 9110, 13.1.2).
    pub(crate) fn knows(&self, etag: &str) -> bool {
        let opaque = |tag: &str| tag.trim_start_matches("W/").to_owned();
        let tag = opaque(etag);
        self.known_tags.iter().any(|known| known == "*" || opaque(known) == tag)
    }

    /// Whether the client can read gzip.
    pub(crate) fn takes_gzip(&self) -> bool {
        self.takes_gzip
    }
}

/// The comma-separated members of all headers of this name.
fn listed(request: &Request, name: &HeaderName) -> Vec<String> {
    let values = request.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|member| member.trim().to_owned()).collect()
}

/// RFC 9110, 12.5.3: named or by `*`, and not with a weight of zero. What is named counts more.
fn takes_gzip(members: &[String]) -> bool {
    let weight_of = |coding: &str| {
        members.iter().find_map(|member| {
            let (name, parameters) = member.split_once(';').unwrap_or((member, ""));
            name.trim().eq_ignore_ascii_case(coding).then(|| is_positive(parameters))
        })
    };
    weight_of("gzip").or_else(|| weight_of("*")).unwrap_or(false)
}

/// Whether `q` is absent or above zero; a weight nobody can read counts as zero.
fn is_positive(parameters: &str) -> bool {
    let trimmed = parameters.trim();
    if trimmed.is_empty() {
        return true;
    }
    let Some(weight) = trimmed.strip_prefix("q=").or_else(|| trimmed.strip_prefix("Q=")) else {
        return false;
    };
    let is_number = weight.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_number && weight.bytes().any(|byte| (b'1'..=b'9').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(name: &'static str, value: &str) -> Conditions {
        Conditions::of(&Request::builder().header(name, value).finish())
    }

    #[test]
    fn gzip_is_taken_when_it_is_named_or_anything_goes() {
        for (value, taken) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("*", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000, *", false),
            ("*;q=0", false),
            ("br", false),
            ("", false),
            ("gzip;q=nonsense", false),
        ] {
            assert_eq!(conditions("accept-encoding", value).takes_gzip(), taken, "{value}");
        }
    }

    #[test]
    fn tags_are_compared_weakly() {
        for (value, known) in [
            (r#"W/"ab12""#, true),
            (r#""ab12""#, true),
            (r#""other", W/"ab12""#, true),
            ("*", true),
            (r#"W/"other""#, false),
            ("", false),
        ] {
            assert_eq!(conditions("if-none-match", value).knows(r#"W/"ab12""#), known, "{value}");
        }
    }
}

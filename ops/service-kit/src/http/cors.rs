//! Which pages may call us: those of the origins that are listed.
//!
//! A request from any other page is carried out like one from no page at all and answered without
//! leave to read it, which is for the browser to enforce; without leave no preflight succeeds, so
//! nothing that needs a token or JSON is ever sent. The library's middleware stands in the middle:
//! it would refuse such requests in its own words, and turn our problems into plain text.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use poem::http::header::{ORIGIN, VARY};
use poem::http::uri::Authority;
use poem::http::{HeaderValue, Method};
use poem::middleware::Cors;
use poem::{Endpoint, EndpointExt, IntoResponse, Request, Response};
use poem_openapi::OperationId;

use super::problem_from;

/// How long a browser may remember what we allow its pages, in seconds.
const REMEMBERED_SECONDS: i32 = 600;
/// What a page may send besides what it always may.
const REQUEST_HEADERS: [&str; 7] = [
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "min-event-position",
    "x-request-id",
];
/// What a page may read besides what it always may.
const ANSWER_HEADERS: [&str; 10] = [
    "age",
    "etag",
    "event-position",
    "idempotent-replayed",
    "location",
    "projection-lagging",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "x-request-id",
];

/// Origins whose pages may call: scheme, host and port as a browser sends them. Read from a list with
/// commas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(BTreeSet<HeaderValue>);

impl Origins {
    /// These and `origin`.
    #[must_use]
    pub fn and(mut self, origin: HeaderValue) -> Self {
        self.0.insert(origin);
        self
    }
}

impl FromStr for Origins {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let listed = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
        let values = listed.map(|origin| {
            let value = HeaderValue::from_str(origin).ok().filter(|_| is_origin(origin));
            value.ok_or("expected origins such as https://shop.example")
        });
        values.collect::<Result<_, _>>().map(Self)
    }
}

/// Browsers send host names in lower case and leave out the port of the scheme.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else {
        return false;
    };
    let default_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return false,
    };
    let is_host = host.parse::<Authority>().is_ok_and(|authority| authority == host);
    is_host
        && !host.contains('@')
        && !host.ends_with(default_port)
        && !host.contains(|letter: char| letter.is_ascii_uppercase())
}

/// `app`, open to pages of these origins; to no page when there are none.
pub fn open_to<E: Endpoint + 'static>(
    app: E,
    origins: &Origins,
) -> impl Endpoint<Output = Response> + use<E> {
    let origins = origins.0.clone();
    // The library takes an empty list for all origins; it never sees one that isn't listed.
    let cors = Cors::new()
        .allow_origins(origins.iter().cloned())
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::PUT, Method::DELETE])
        .allow_headers(REQUEST_HEADERS)
        .expose_headers(ANSWER_HEADERS)
        .max_age(REMEMBERED_SECONDS);
    let origins = Arc::new(origins);
    app.around(answered).with(cors).around(move |app, mut request: Request| {
        let origins = Arc::clone(&origins);
        async move {
            if request.headers().get(ORIGIN).is_some_and(|origin| !origins.contains(origin)) {
                request.headers_mut().remove(ORIGIN);
            }
            let mut response = app.call(request).await?;
            if !origins.is_empty() {
                // A shared cache must not show one origin's leave to another, nor its absence.
                response.headers_mut().append(VARY, HeaderValue::from_static("Origin"));
            }
            Ok(response)
        }
    })
}

/// The answer of `app`, its refusals included, with the operation it belongs to.
async fn answered<E: Endpoint>(app: Arc<E>, request: Request) -> poem::Result<Response> {
    match app.call(request).await {
        Ok(output) => Ok(output.into_response()),
        Err(error) => {
            let operation = error.data::<OperationId>().map(|id| OperationId(id.0));
            let mut response = if error.is_from_response() {
                error.into_response()
            } else {
                problem_from(&error).into_response()
            };
            if let Some(operation) = operation {
                response.set_data(operation);
            }
            Ok(response)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_taken_as_a_browser_sends_them() {
        let origins: Origins = "https://shop.example, http://localhost:3000,".parse().unwrap();
        let listed: Vec<_> = origins.0.iter().map(|origin| origin.to_str().unwrap()).collect();
        assert_eq!(listed, ["http://localhost:3000", "https://shop.example"]);
        assert_eq!("".parse(), Ok(Origins::default()));
        for list in [
            "*",
            "null",
            "shop.example",
            "https://shop.example/",
            "https://shop.example:443",
            "https://Shop.example",
            "https://a@shop.example",
            "javascript://x",
            "https://",
        ] {
            assert!(list.parse::<Origins>().is_err(), "{list}");
        }
    }
}

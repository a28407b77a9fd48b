//! The two kinds of answers: catalogue data, which anybody may keep for a moment, and one's own.
//!
//! Both carry a tag and answer 304 to a client that has the body already. Both say in
//! `Projection-Lagging` when they are older than the position the client asked for.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use poem::http::header::{
    AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, VARY,
};
use poem::http::{HeaderValue, StatusCode};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::payload::{Json, Payload};
use poem_openapi::registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::{ToJSON, Type};

use super::{Conditions, Finished};
use crate::catalogue::Page;
use crate::freshness::Freshness;

/// A shared cache may show a price for a second, and never while it fetches the next one; longer
/// only through an outage of ours. A browser asks every time, mostly to hear that nothing changed.
const CATALOGUE_CACHE_CONTROL: &str = "public, max-age=0, s-maxage=1, stale-if-error=60";
/// What is one's own stays with its owner, who asks every time whether it changed.
const OWN_CACHE_CONTROL: &str = "private, no-cache";
/// Set when the read model has not reached the position the client asked for.
const LAGGING: HeaderName = HeaderName::from_static("projection-lagging");

/// An answer out of the catalogue: the body of a `T`, or 304.
#[derive(Debug)]
pub(crate) struct Catalogue<T> {
    answer: Answer,
    body: PhantomData<fn() -> T>,
}

impl<T> Catalogue<T> {
    /// The answer to a request with these conditions.
    pub(crate) fn new(page: Page, conditions: &Conditions) -> Self {
        let etag = page.body.etag().to_owned();
        let answer = Answer {
            cache_control: CATALOGUE_CACHE_CONTROL,
            vary: "Accept-Encoding",
            age: page.age,
            ..Answer::new(page.body, etag, conditions, page.freshness)
        };
        Self { answer, body: PhantomData }
    }
}

/// An answer that is the caller's own: the body of a `T`, or 304.
#[derive(Debug)]
pub(crate) struct Own<T> {
    answer: Answer,
    body: PhantomData<fn() -> T>,
}

impl<T: ToJSON> Own<T> {
    /// The answer with a `body` that has a tag of its own content.
    pub(crate) fn new(body: &T, conditions: &Conditions, freshness: Freshness) -> Self {
        let body = Arc::new(Finished::new(body.to_json_string()));
        let etag = body.etag().to_owned();
        Self::tagged(body, etag, conditions, freshness)
    }

    /// The answer with a `body` that is at `version` of its stream: the tag that a later change
    /// sends as `If-Match`. Never answers 304, since the body also shows what isn't in the stream
    /// (current prices, for one).
    pub(crate) fn versioned(body: &T, version: i64, freshness: Freshness) -> Self {
        let body = Arc::new(Finished::new(body.to_json_string()));
        Self::tagged(body, format!("\"{version}\""), &Conditions::default(), freshness)
    }

    fn tagged(
        body: Arc<Finished>,
        etag: String,
        conditions: &Conditions,
        freshness: Freshness,
    ) -> Self {
        let answer = Answer::new(body, etag, conditions, freshness);
        Self { answer, body: PhantomData }
    }
}

#[derive(Debug)]
struct Answer {
    body: Arc<Finished>,
    etag: String,
    is_known: bool,
    takes_gzip: bool,
    freshness: Freshness,
    cache_control: &'static str,
    vary: &'static str,
    age: Option<Duration>,
}

impl Answer {
    fn new(
        body: Arc<Finished>,
        etag: String,
        conditions: &Conditions,
        freshness: Freshness,
    ) -> Self {
        Self {
            is_known: conditions.knows(&etag),
            takes_gzip: conditions.takes_gzip(),
            body,
            etag,
            freshness,
            cache_control: OWN_CACHE_CONTROL,
            vary: "Authorization, Accept-Encoding",
            age: None,
        }
    }

    fn into_response(self) -> Response {
        let mut response =
            if self.is_known { StatusCode::NOT_MODIFIED.into_response() } else { self.whole() };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(self.cache_control));
        headers.insert(VARY, HeaderValue::from_static(self.vary));
        if let Ok(etag) = HeaderValue::from_str(&self.etag) {
            headers.insert(ETAG, etag);
        }
        if let Some(age) = self.age {
            headers.insert(AGE, HeaderValue::from(age.as_secs().max(1)));
        }
        if self.freshness == Freshness::Lagging {
            headers.insert(LAGGING, HeaderValue::from_static("true"));
            // Whoever waits for a change must not find this answer in a cache.
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        response
    }

    fn whole(&self) -> Response {
        let gzip = if self.takes_gzip { self.body.gzip() } else { None };
        let is_gzip = gzip.is_some();
        let mut response = gzip.unwrap_or_else(|| self.body.plain()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(Json::<String>::CONTENT_TYPE));
        if is_gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

impl<T: Type> IntoResponse for Catalogue<T> {
    fn into_response(self) -> Response {
        self.answer.into_response()
    }
}

impl<T: Type> IntoResponse for Own<T> {
    fn into_response(self) -> Response {
        self.answer.into_response()
    }
}

impl<T: Type> ApiResponse for Catalogue<T> {
    fn meta() -> MetaResponses {
        let mut responses =
            documented::<T>("The data", "Weak tag of the body, for `If-None-Match`");
        for response in &mut responses.responses {
            let description = "Seconds since the data was read, while our database is out of reach";
            response.headers.push(header("Age", description, false));
        }
        responses
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type> ApiResponse for Own<T> {
    fn meta() -> MetaResponses {
        documented::<T>(
            "The caller's own data",
            "Version of the cart, order or subscription, for `If-Match`; of a list, a weak tag",
        )
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

fn documented<T: Type>(description: &'static str, etag: &str) -> MetaResponses {
    let content =
        vec![MetaMediaType { content_type: Json::<T>::CONTENT_TYPE, schema: T::schema_ref() }];
    let whole = response(200, description, content, etag);
    let known = response(304, "The client has the body already", Vec::new(), etag);
    MetaResponses { responses: vec![whole, known] }
}

fn response(
    status: u16,
    description: &'static str,
    content: Vec<MetaMediaType>,
    etag: &str,
) -> MetaResponse {
    let headers = vec![
        header("ETag", etag, true),
        header("Cache-Control", "What a cache may keep", true),
        header(
            "Projection-Lagging",
            "`true` when `Min-Event-Position` is not shown: it was not reached within two seconds, or \
             no event has it",
            false,
        ),
    ];
    MetaResponse { description, status: Some(status), status_range: None, content, headers }
}

fn header(name: &str, description: &str, required: bool) -> MetaHeader {
    MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required,
        deprecated: false,
        schema: String::schema_ref(),
    }
}

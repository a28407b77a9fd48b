//! What an API's own OpenAPI document says about a request, enforced where poem-openapi is lenient.
//!
//! A query parameter that the operation does not know is refused: a misspelt filter would otherwise
//! select everything. A required field that is missing from a JSON body is named by its pointer, where
//! the parser says only which type expected a value. A request that is right costs a comparison of its
//! path with the templates, and only if it has a query.

use std::collections::BTreeSet;
use std::sync::Arc;

use poem::http::Method;
use poem::{Body, Endpoint, Error, IntoEndpoint, Request, Result};
use poem_openapi::OperationId;
use poem_openapi::error::ParseRequestPayloadError;
use serde_json::Value;

use crate::problem::Problem;
use crate::tokens::AuthenticatedCaller;

/// Most faults that one refusal names.
const NAMED_MAX: usize = 20;
/// Longest name that is repeated from a request, in characters; the longest of ours has 10.
const NAME_CHARS_MAX: usize = 64;

/// The operations of a document, with what each takes.
#[derive(Debug, Clone)]
pub struct Contract(Arc<Terms>);

#[derive(Debug)]
struct Terms {
    operations: Vec<Operation>,
    /// `components.schemas` of the document.
    schemas: Value,
}

#[derive(Debug)]
struct Operation {
    /// The label of access lines and metrics. Kept for the life of the process, like the contract.
    id: &'static str,
    method: Method,
    /// The path, cut at its slashes; none for a parameter.
    segments: Vec<Option<String>>,
    parameters: Vec<String>,
    /// Whether foreign query parameters are let through.
    is_open: bool,
    is_secured: bool,
    /// The schema of the JSON body, when it has one.
    body: Option<Value>,
}

impl Contract {
    /// The contract of `document`. Operations whose id is among `open` take query parameters that they
    /// do not know: their callers are not ours.
    pub fn of(document: &Value, open: &[&str]) -> Self {
        let paths = document.get("paths").and_then(Value::as_object);
        let operations = paths.into_iter().flatten().flat_map(|(path, methods)| {
            let methods = methods.as_object().into_iter().flatten();
            methods.filter_map(move |(method, about)| Operation::of(path, method, about, open))
        });
        let schemas = document.pointer("/components/schemas").cloned().unwrap_or_default();
        Self(Arc::new(Terms { operations: operations.collect(), schemas }))
    }

    /// `app`, which serves the operations of the document, held to it.
    ///
    /// An unknown parameter is 400 `request.unknown_parameter`, which names it and the known ones; to a
    /// caller without a good token of an operation that asks for one, 401 as ever.
    pub fn around<A: IntoEndpoint>(self, app: A) -> ContractEndpoint<A::Endpoint> {
        ContractEndpoint { contract: self, app: app.into_endpoint() }
    }
}

/// An app that is held to its document; made by [`Contract::around`].
#[derive(Debug)]
pub struct ContractEndpoint<E> {
    contract: Contract,
    app: E,
}

impl<E: Endpoint> Endpoint for ContractEndpoint<E> {
    type Output = E::Output;

    async fn call(&self, mut request: Request) -> Result<E::Output> {
        let terms = &*self.contract.0;
        let Some(operation) = terms.operation_of(&request) else {
            return self.app.call(request).await;
        };
        operation.check_query(&request).map_err(|refused| operation.refuse(refused))?;
        let Some(schema) = &operation.body else {
            return self.app.call(request).await;
        };
        // `standard` has the body in memory already, so that this copies nothing.
        let bytes = request.take_body().into_bytes().await?;
        request.set_body(Body::from_bytes(bytes.clone()));
        self.app.call(request).await.map_err(|error| {
            let is_unreadable = error.is::<ParseRequestPayloadError>();
            let missing = is_unreadable.then(|| terms.missing(schema, &bytes)).flatten();
            missing.map_or(error, |missing| operation.refuse(missing))
        })
    }
}

impl Operation {
    fn of(path: &str, method: &str, about: &Value, open: &[&str]) -> Option<Self> {
        let id = about.get("operationId").and_then(Value::as_str).unwrap_or_default();
        let parameters = about.get("parameters").and_then(Value::as_array);
        let content = about.pointer("/requestBody/content").and_then(Value::as_object);
        let json = content.into_iter().flatten().find(|(kind, _)| kind.contains("json"));
        Some(Self {
            id: id.to_owned().leak(),
            method: method.to_uppercase().parse().ok()?,
            segments: path
                .split('/')
                .map(|segment| (!segment.starts_with('{')).then(|| segment.to_owned()))
                .collect(),
            parameters: parameters
                .into_iter()
                .flatten()
                .filter(|parameter| parameter.get("in").is_some_and(|place| place == "query"))
                .filter_map(|parameter| parameter.get("name")?.as_str().map(str::to_owned))
                .collect(),
            is_open: open.contains(&id),
            is_secured: about
                .get("security")
                .and_then(Value::as_array)
                .is_some_and(|it| !it.is_empty()),
            body: json.and_then(|(_, body)| body.get("schema").cloned()),
        })
    }

    fn refuse(&self, problem: Problem) -> Error {
        let mut error = Error::from(problem);
        error.set_data(OperationId(self.id));
        error
    }

    fn takes(&self, method: &Method, path: &str) -> bool {
        // HEAD is answered by what answers GET.
        let is_method =
            *method == self.method || (*method == Method::HEAD && self.method == Method::GET);
        let mut segments = path.split('/');
        let is_path = self.segments.iter().all(|expected| {
            let found = segments.next();
            found.is_some_and(|found| expected.as_ref().is_none_or(|expected| expected == found))
        });
        is_method && is_path && segments.next().is_none()
    }

    /// How much of the path is literal: `/items/main` is no `/items/{id}`.
    fn literals(&self) -> usize {
        self.segments.iter().flatten().count()
    }

    fn check_query(&self, request: &Request) -> Result<(), Problem> {
        if self.is_open || request.uri().query().is_none() {
            return Ok(());
        }
        let sent: Vec<(String, String)> = request.params().unwrap_or_default();
        let known = |name: &String| self.parameters.contains(name);
        let unknown: BTreeSet<String> =
            sent.into_iter().map(|(name, _)| name).filter(|name| !known(name)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        if self.is_secured {
            AuthenticatedCaller::of(request)?;
        }
        Err(self.unknown(&unknown))
    }

    fn unknown(&self, unknown: &BTreeSet<String>) -> Problem {
        let expected = if self.parameters.is_empty() {
            "this operation has no parameters".to_owned()
        } else {
            format!("expected one of {}", self.parameters.join(", "))
        };
        let problem = Problem::bad_request(
            "request.unknown_parameter",
            "the operation does not know a parameter",
        );
        unknown.iter().take(NAMED_MAX).fold(problem, |problem, name| {
            let name: String = name.chars().take(NAME_CHARS_MAX).collect();
            problem.with_field(name, "parameter.unknown", expected.as_str())
        })
    }
}

impl Terms {
    fn operation_of(&self, request: &Request) -> Option<&Operation> {
        let (method, path) = (request.method(), request.uri().path());
        let taking = self.operations.iter().filter(|operation| operation.takes(method, path));
        taking.max_by_key(|operation| operation.literals())
    }

    /// The refusal of a body in which required fields are missing; `None` when it is unreadable for
    /// another reason.
    fn missing(&self, schema: &Value, body: &[u8]) -> Option<Problem> {
        let mut body =
            if body.is_empty() { Value::Null } else { serde_json::from_slice(body).ok()? };
        // No body at all lacks every field.
        if body.is_null() {
            body = Value::Object(serde_json::Map::default());
        }
        let mut pointers = Vec::new();
        self.find_missing(schema, &body, "", &mut pointers);
        let problem = Problem::bad_request("request.malformed_body", "required fields are missing");
        (!pointers.is_empty()).then(|| {
            pointers.into_iter().take(NAMED_MAX).fold(problem, |problem, pointer| {
                problem.with_field(pointer, "field.missing", "this field is required")
            })
        })
    }

    /// Adds the pointers of required fields that `value` lacks. Goes as deep as `value`, whose depth
    /// the parser bounds.
    fn find_missing(&self, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
        for schema in self.parts_of(schema) {
            match value {
                Value::Object(fields) => {
                    let required = schema.get("required").and_then(Value::as_array);
                    let required = required.into_iter().flatten().filter_map(Value::as_str);
                    let is_absent = |name: &&str| fields.get(*name).is_none_or(Value::is_null);
                    found.extend(required.filter(is_absent).map(|name| format!("{at}/{name}")));
                    let properties = schema.get("properties").and_then(Value::as_object);
                    for (name, property) in properties.into_iter().flatten() {
                        if let Some(value) = fields.get(name).filter(|value| !value.is_null()) {
                            self.find_missing(property, value, &format!("{at}/{name}"), found);
                        }
                    }
                }
                Value::Array(items) => {
                    if let Some(schema) = schema.get("items") {
                        for (index, item) in items.iter().enumerate() {
                            self.find_missing(schema, item, &format!("{at}/{index}"), found);
                        }
                    }
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
    }

    /// The schemas that a value has to meet: this one, those of `allOf`, what a reference names.
    fn parts_of<'a>(&'a self, schema: &'a Value) -> Vec<&'a Value> {
        let named = schema.get("$ref").and_then(Value::as_str);
        let named = named.and_then(|name| self.schemas.get(name.rsplit('/').next()?));
        let all = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
        let named = named.into_iter().flat_map(|schema| self.parts_of(schema));
        std::iter::once(schema)
            .chain(named)
            .chain(all.flat_map(|part| self.parts_of(part)))
            .collect()
    }
}

//! What an API built on the kit documents, and what it answers to input that cannot be read.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use contracts::ids::UserId;
use poem::http::StatusCode;
use poem::test::{TestClient, TestResponse};
use poem::{Endpoint, EndpointExt};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi, OpenApiService};
use serde_json::{Value, json};
use service_kit::clock::ManualClock;
use service_kit::config::Secret;
use service_kit::http::{Contract, standard};
use service_kit::problem::Problem;
use service_kit::tokens::{
    Audience, AuthenticatedCaller, Role, TokenSigner, TokenVerifier, public_key_of,
};
use uuid::Uuid;

struct Api;

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct Line {
    quantity: u32,
}

#[expect(clippy::unused_async, reason = "poem-openapi wants operations async")]
#[OpenApi]
impl Api {
    /// Adds a line.
    #[oai(path = "/lines", method = "post", operation_id = "addLine")]
    async fn add(
        &self,
        caller: AuthenticatedCaller,
        size: Query<Option<u32>>,
        line: Json<Line>,
    ) -> Result<Json<u32>, Problem> {
        if line.quantity == 0 {
            return Err(Problem::unprocessable("quantity.zero", "at least one"));
        }
        let _ = (caller.0.user_id, size.0);
        Ok(Json(line.0.quantity))
    }

    /// One line, whatever is asked besides.
    #[oai(path = "/lines/:id", method = "get", operation_id = "open")]
    async fn open(&self, id: Path<String>) -> Json<String> {
        Json(id.0)
    }

    /// The first line.
    #[oai(path = "/lines/first", method = "get", operation_id = "first")]
    async fn first(&self) -> Json<String> {
        Json("first".to_owned())
    }
}

fn noon() -> DateTime<Utc> {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

/// 32 bytes in base64.
const SIGNING_KEY: &str = "a2l0LWtpdC1raXQta2l0LWtpdC1raXQta2l0LWtpdCE=";

fn verifying_key() -> String {
    public_key_of(&Secret::from(SIGNING_KEY)).unwrap()
}

fn client() -> TestClient<impl Endpoint> {
    let api = OpenApiService::new(Api, "Test", "1");
    let verifier = TokenVerifier::new(&verifying_key(), Audience::Shop).unwrap();
    let document = serde_json::from_str(&api.spec()).unwrap();
    let app = Contract::of(&document, &["open"])
        .around(api)
        .data(Arc::new(verifier))
        .data(ManualClock::at(noon()).shared());
    TestClient::new(standard("kit-test", app))
}

fn bearer() -> String {
    let user = UserId::new(Uuid::from_u128(1));
    let signer = TokenSigner::new(&Secret::from(SIGNING_KEY), &verifying_key()).unwrap();
    format!("Bearer {}", signer.issue(user, Role::User, noon()).unwrap().token.expose())
}

async fn posted(path: &str, body: &str) -> TestResponse {
    let client = client();
    let request = client.post(path).header("authorization", bearer());
    request.content_type("application/json").body(body.to_owned()).send().await
}

async fn problem(response: TestResponse) -> (u16, String) {
    let status = response.0.status().as_u16();
    let body = response.0.into_body().into_string().await.unwrap();
    let body: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("no JSON: {body}"));
    (status, body["code"].as_str().unwrap().to_owned())
}

#[test]
fn every_refusal_and_the_scheme_are_documented() {
    let document: Value =
        serde_json::from_str(&OpenApiService::new(Api, "Test", "1").spec()).unwrap();
    let operation = &document["paths"]["/lines"]["post"];
    for status in ["400", "401", "404", "409", "412", "422", "429", "500", "503"] {
        let content = &operation["responses"][status]["content"]["application/problem+json"];
        assert_eq!(content["schema"]["$ref"], "#/components/schemas/Problem", "{status}");
    }
    let retry = &operation["responses"]["503"]["headers"]["Retry-After"];
    assert_eq!(retry["required"], true, "{retry}");
    assert_eq!(operation["security"], json!([{ "AccessToken": [] }]));
    assert_eq!(document["components"]["securitySchemes"]["AccessToken"]["scheme"], "bearer");
    let fields = &document["components"]["schemas"]["Problem"]["properties"];
    for field in ["type", "title", "status", "detail", "instance", "code", "request_id", "errors"] {
        assert!(fields[field].is_object(), "{field} in {fields}");
    }
}

#[tokio::test]
async fn a_good_request_passes() {
    let response = posted("/lines?size=3", r#"{"quantity": 2}"#).await;
    response.assert_status(StatusCode::OK);
    response.assert_json(2).await;
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_400_and_a_broken_rule_422() {
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [
        "",
        "{",
        "null",
        "[]",
        r#"{"quantity": -1}"#,
        r#"{"quantity": "2"}"#,
        r#"{"quantity": 1, "x": 1}"#,
        "\u{0}",
        &nested,
    ] {
        let refused = problem(posted("/lines", body).await).await;
        assert_eq!(refused, (400, "request.malformed_body".to_owned()), "{body:.20}");
    }
    let refused = problem(posted("/lines", r#"{"quantity": 0}"#).await).await;
    assert_eq!(refused, (422, "quantity.zero".to_owned()));
}

#[tokio::test]
async fn a_parameter_that_cannot_be_read_is_named() {
    let refused = posted("/lines?size=many", r#"{"quantity": 1}"#).await;
    let body = refused.0.into_body().into_string().await.unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["code"], "request.malformed_parameter");
    assert_eq!(body["errors"][0]["pointer"], "size");
}

async fn errors(refused: TestResponse) -> (u16, Value) {
    let status = refused.0.status().as_u16();
    let body = refused.0.into_body().into_string().await.unwrap();
    (status, serde_json::from_str::<Value>(&body).unwrap()["errors"].clone())
}

#[tokio::test]
async fn a_parameter_that_is_not_known_is_named_beside_the_known_ones() {
    let (long, many) = ("x".repeat(1_000), (0..100).map(|it| format!("x{it}=1&")));
    let refused = posted("/lines?size=1&Size=2&sise", r#"{"quantity": 1}"#).await;
    let unknown = |name: &str, detail: &str| json!({ "pointer": name, "code": "parameter.unknown", "detail": detail });
    let size = "expected one of size";
    assert_eq!(errors(refused).await, (400, json!([unknown("Size", size), unknown("sise", size)])));
    // What a client makes up is repeated within bounds.
    let (_, of_long) = errors(posted(&format!("/lines?{long}"), "{}").await).await;
    assert_eq!(of_long, json!([unknown(&long[..64], size)]));
    let (_, of_many) =
        errors(posted(&format!("/lines?{}", many.collect::<String>()), "{}").await).await;
    assert_eq!(of_many.as_array().unwrap().len(), 20);

    // The operation is found as the router finds it; one that is open takes anything.
    let (status, of_first) = errors(client().get("/lines/first?x=1").send().await).await;
    assert_eq!(
        (status, of_first),
        (400, json!([unknown("x", "this operation has no parameters")]))
    );
    client().get("/lines/second?x=1").send().await.assert_status_is_ok();
    client().get("/lines/first").send().await.assert_status_is_ok();
}

#[tokio::test]
async fn a_field_that_is_missing_is_named() {
    for body in ["", "{}", "null", r#"{"quantity": null}"#] {
        let field = json!({ "pointer": "/quantity", "code": "field.missing",
            "detail": "this field is required" });
        assert_eq!(errors(posted("/lines", body).await).await, (400, json!([field])), "{body}");
    }
    for body in ["{", "[]", r#"{"quantity": "2"}"#, r#"{"quantity": 1, "x": 1}"#] {
        assert_eq!(errors(posted("/lines", body).await).await, (400, json!([])), "{body}");
    }
}

#[tokio::test]
async fn a_body_of_another_media_type_is_415() {
    let client = client();
    let request = client.post("/lines").header("authorization", bearer());
    let refused = request.content_type("text/plain").body("quantity=1").send().await;
    assert_eq!(problem(refused).await, (415, "request.media_type".to_owned()));
}

#[tokio::test]
async fn without_a_token_nothing_else_is_looked_at() {
    let refused = client().post("/lines").body("{").send().await;
    refused.assert_header("www-authenticate", r#"Bearer realm="pillivery""#);
    assert_eq!(problem(refused).await, (401, "auth.token_missing".to_owned()));

    let refused = client().post("/lines?nonsense=1").body("{").send().await;
    assert_eq!(problem(refused).await, (401, "auth.token_missing".to_owned()));

    let client = client();
    let request = client.post("/lines").header("authorization", "Bearer x");
    let refused = request.body("{").send().await;
    assert_eq!(problem(refused).await, (401, "auth.token_invalid".to_owned()));
}

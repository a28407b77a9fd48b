//! How the API behaves towards whoever sends nonsense, and towards operators.

use poem::Body;
use poem::endpoint::BoxEndpoint;
use poem::test::TestClient;
use serde_json::{Value, json};

use crate::policy::operations;
use crate::support::{Answer, PASSWORD, Person, TestApp, receiver};

/// Bodies that somebody may send, well-formed and not.
fn nasty_bodies() -> Vec<Vec<u8>> {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let id = "0198c7a1-5b7e-7c3e-9d55-9f0c6d1b2a3c";
    let strings = ["", " ", "\u{0}", "\u{202e}x", "💥", "'; drop table events; --", "../../etc"];
    let numbers = ["0", "-1", "100", "1e400", "1.5", "9223372036854775808", "-9223372036854775808"];
    let mut bodies: Vec<Vec<u8>> = [
        "",
        "null",
        "[]",
        "{}",
        "1",
        "\"text\"",
        "{",
        "{]",
        "\u{feff}{}",
        "nan",
        "{\"a\":1,}",
        &deep,
        "{\"receiver\":{}}",
        "{\"lines\":[null]}",
        "{\"lines\":{}}",
        "{\"fromCart\":\"__proto__\"}",
        "{\"quantity\":true}",
        "{\"password\":\"\\ud800\"}",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    bodies.push(vec![0xff, 0xfe, 0x00]);
    bodies.push(vec![b'x'; 200_000]);
    for number in numbers {
        for body in [
            format!("{{\"itemId\":\"{id}\",\"quantity\":{number},\"periodDays\":{number}}}"),
            format!("{{\"quantity\":{number}}}"),
            format!("{{\"periodDays\":{number}}}"),
            format!("{{\"amount\":{number}}}"),
            format!("{{\"originPrice\":{number},\"discountRate\":{number}}}"),
            format!(
                "{{\"lines\":[{{\"itemId\":\"{id}\",\"quantity\":{number}}}],\"receiver\":{}}}",
                receiver()
            ),
        ] {
            bodies.push(body.into_bytes());
        }
    }
    for text in strings {
        for body in [
            json!({ "email": text, "password": text, "displayName": text, "phone": text }),
            json!({ "email": text, "password": text }),
            json!({ "email": "a@example.com", "password": PASSWORD, "displayName": text }),
            json!({ "reason": text }),
            json!({ "amount": 1, "reason": text }),
            json!({ "itemId": text, "quantity": 1 }),
            json!({ "fromCart": "one-off", "receiver": { "name": text, "phone": text,
                "address": { "zip": text, "city": text, "detail": text } } }),
        ] {
            bodies.push(body.to_string().into_bytes());
        }
    }
    bodies
}

/// A path, a body, and a header that is not as it should be.
type Try<'a> = (&'a str, Vec<u8>, Option<(&'static str, &'static [u8])>);

/// Headers that somebody may send.
const NASTY_HEADERS: [(&str, &[u8]); 10] = [
    ("idempotency-key", b""),
    ("idempotency-key", b"\"\""),
    ("idempotency-key", b"\xff\xfe"),
    ("if-match", b"\"99999999999999999999999\""),
    ("if-match", b"\xff"),
    ("if-match", b"nonsense"),
    ("x-request-id", b"a b\tc"),
    ("x-forwarded-for", b"\xff, nonsense"),
    ("content-type", b"text/plain"),
    ("authorization", b"Bearer \xff"),
];

async fn send(
    client: &TestClient<BoxEndpoint<'static>>,
    method: &str,
    path: &str,
    person: &Person,
    body: &[u8],
    headers: &[(&str, &[u8])],
) -> Answer {
    let mut request = client
        .request(method.to_uppercase().parse().unwrap(), path)
        .header("authorization", format!("Bearer {}", person.token))
        .header("content-type", "application/json")
        .body(Body::from_vec(body.to_vec()));
    if !headers.iter().any(|(name, _)| *name == "idempotency-key") {
        request = request.header("idempotency-key", uuid::Uuid::now_v7().to_string());
    }
    for (name, value) in headers {
        request = request.header(*name, poem::http::HeaderValue::from_bytes(value).unwrap());
    }
    Answer::of(request.send().await.0).await
}

/// The paths of an operation, with real and unreal things in its places.
fn paths(template: &str, real: &str) -> Vec<String> {
    let ids = [real, "0198c7a1-5b7e-7c3e-9d55-9f0c6d1b2a3c", "nonsense", "%00", "%FF%FE", "1-00"];
    if !template.contains('{') {
        return vec![template.to_owned()];
    }
    let fill = |value: &str| {
        let mut path = template.replace("{kind}", "one-off");
        for name in ["{id}", "{item_id}", "{order}", "{attempt}"] {
            path = path.replace(name, value);
        }
        path
    };
    ids.iter().map(|value| fill(value)).chain([template.replace("{kind}", "%2e%2e")]).collect()
}

/// Everything that can be sent is sent to every operation: never a 500, always a problem.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_of_any_kind_is_the_senders_fault() {
    let app = TestApp::start().await;
    let admin = app.administrator().await;
    let order = app.placed(&admin, 1_000).await.to_string();
    let item = app.item(1_000).await.to_string();
    let mut sent = 0_u32;
    for (client, real) in [(&app.api, &order), (&app.admin, &item)] {
        let document = crate::support::call(client, "GET", "/openapi.json").send().await.body;
        for (template, method, operation) in operations(&document) {
            // Waiting for a page that nobody opens is no nonsense.
            let real = if operation["operationId"] == "payOrder" { &item } else { real };
            let paths = paths(template, real);
            let mut tries: Vec<Try<'_>> = Vec::new();
            for body in nasty_bodies() {
                tries.push((paths[0].as_str(), body, None));
            }
            for path in &paths {
                tries.push((path.as_str(), b"{}".to_vec(), None));
            }
            for header in NASTY_HEADERS {
                tries.push((paths[0].as_str(), b"{}".to_vec(), Some(header)));
            }
            for (path, body, header) in tries {
                let headers = header.as_slice();
                let answer = send(client, method, path, &admin, &body, headers).await;
                sent += 1;
                let status = answer.status.as_u16();
                let what = || format!("{method} {path} {:?}", String::from_utf8_lossy(&body));
                assert!(status < 500, "{status} for {}", what());
                if 400 <= status {
                    let kind = answer.header("content-type");
                    assert_eq!(kind, Some("application/problem+json"), "{}", what());
                    assert!(answer.body["code"].is_string(), "{}", what());
                }
            }
        }
    }
    assert!(500 < sent, "only {sent} requests");
}

#[tokio::test]
async fn what_the_document_does_not_know_is_refused() {
    let app = TestApp::start().await;
    let kim = app.person("kim").await;
    let body = json!({
        "email": "lee@example.com", "password": PASSWORD, "displayName": "lee", "role": "ADMIN",
    });
    let refused = app.call("POST", "/api/users").json(body).send().await;
    refused.refused(400, "request.malformed_body");
    let mut strange = receiver();
    strange["address"]["country"] = json!("KR");
    let body = json!({ "fromCart": "one-off", "receiver": strange });
    let refused = app.call("POST", "/api/orders").by(&kim).key("key").json(body).send().await;
    refused.refused(400, "request.malformed_body");
    app.call("GET", "/api/nothing").send().await.refused(404, "route.not_found");
    let refused = app.call("PUT", "/api/users").send().await;
    refused.refused(405, "route.method_not_allowed");
}

#[tokio::test]
async fn large_and_foreign_bodies_are_not_read() {
    let app = TestApp::start().await;
    let kim = app.person("kim").await;
    let large = vec![b' '; 256 * 1024 + 1];
    let answer = send(&app.api, "POST", "/api/users", &kim, &large, &[]).await;
    answer.refused(413, "request.too_large");
    let foreign: &[(&str, &[u8])] = &[("content-type", b"text/plain")];
    let answer = send(&app.api, "POST", "/api/users", &kim, b"{}", foreign).await;
    assert!([400, 415].contains(&answer.status.as_u16()), "{}", answer.status);
}

#[tokio::test]
async fn pages_of_listed_origins_alone_may_call() {
    let app = TestApp::start().await;
    let preflight = |origin: &'static str| {
        let call = app.call("OPTIONS", "/api/orders").header("origin", origin);
        call.header("access-control-request-method", "POST")
            .header("access-control-request-headers", "idempotency-key")
            .send()
    };
    let allowed = preflight("https://partner.example").await.with(200);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://partner.example"));
    assert_eq!(allowed.header("access-control-allow-credentials"), None);
    for origin in ["https://evil.example", "null", "https://shop.example.evil.example"] {
        let refused = preflight(origin).await;
        assert_eq!(refused.header("access-control-allow-origin"), None, "{origin}");
    }
    // A refusal is a problem for listed pages too, and for the shop's own.
    let log_in = |origin: &'static str| {
        app.call("POST", "/api/auth/login").header("origin", origin).json(json!({})).send()
    };
    for origin in ["https://shop.example", "https://partner.example"] {
        let refused = log_in(origin).await.refused(400, "request.malformed_body");
        assert_eq!(refused.header("access-control-allow-origin"), Some(origin));
    }
    // Whoever is not listed is answered, and may not read it.
    let refused = log_in("https://evil.example").await.refused(400, "request.malformed_body");
    assert_eq!(refused.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn every_answer_is_dressed_and_tells_its_request() {
    let app = TestApp::start().await;
    let call = app.call("GET", "/openapi.json").header("x-request-id", "from-the-proxy");
    let answer = call.send().await.with(200);
    assert_eq!(answer.header("x-request-id"), Some("from-the-proxy"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));

    let kim = app.person("kim").await;
    let item = app.item(1_000).await;
    let body = json!({ "itemId": item.to_string(), "quantity": 1 });
    let call = app.call("POST", "/api/carts/one-off/items").by(&kim).json(body);
    call.header("x-request-id", "req-4711").key("key-4711").send().await.with(200);
    let metadata: Value = app
        .database
        .client()
        .await
        .query_one("select metadata from events where event_type = 'CartItemAdded'", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(metadata["correlation_id"], "req-4711");
    assert_eq!(metadata["idempotency_key"], "key-4711");
    assert_eq!(metadata["actor"], json!({ "user": kim.user_id.to_string() }));
}

#[tokio::test]
async fn operators_see_health_numbers_and_version_on_their_own_port() {
    let app = TestApp::start().await;
    let ops = |path: &'static str| crate::support::call(&app.ops, "GET", path).send();
    ops("/health/live").await.with(200);
    // Redis is away, as in all these tests; that is told and changes nothing.
    let ready = ops("/health/ready").await.with(200);
    assert_eq!(ready.body["dependencies"]["postgres"]["status"], "up");
    assert_eq!(ready.body["dependencies"]["redis"], json!({ "status": "down", "required": false }));
    assert!(ops("/version").await.with(200).body["version"].is_string());
    assert_eq!(ops("/version").await.body["commit"], service_kit::build::COMMIT);
    app.person("kim").await;
    let numbers = ops("/metrics").await.with(200).body.to_string();
    assert!(numbers.contains("checkout_api_sign_ups_total"), "{numbers}");
    for path in ["/metrics", "/health/ready", "/version"] {
        app.call("GET", path).send().await.refused(404, "route.not_found");
    }
}

/// An order that is paid with a test code is paid with nothing.
#[tokio::test]
async fn the_version_shows_whether_a_worker_moves_money() {
    let app = TestApp::start().await;
    let client = app.database.client().await;
    for (mode, told) in [
        // No worker has said anything yet.
        ("unknown", "select 1"),
        ("live", "insert into gateway_breaker values ('first', 'checkout', null, now())"),
        ("test", "insert into gateway_breaker values ('second', 'checkout_test', null, now())"),
        // The worker in test mode has ended without a word.
        (
            "live",
            "update gateway_breaker set told_at = now() - interval '1 minute' where worker = 'second'",
        ),
    ] {
        client.batch_execute(told).await.unwrap();
        let version = crate::support::call(&app.ops, "GET", "/version").send().await.with(200);
        assert_eq!(version.body["payment_mode"], mode, "{told}");
    }
}

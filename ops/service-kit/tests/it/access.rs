//! The access line and the security log, as they are written for a request.

use std::sync::Arc;

use contracts::UserId;
use poem::http::StatusCode;
use poem::test::TestClient;
use poem::{EndpointExt, IntoResponse, Request, Response, Route, get, handler};
use poem_openapi::OperationId;
use service_kit::clock::{Clock, SystemClock};
use service_kit::config::Secret;
use service_kit::http::{serve, standard};
use service_kit::problem::Problem;
use service_kit::security::{self, Who};
use service_kit::shutdown;
use service_kit::telemetry;
use service_kit::tokens::{
    Audience, AuthenticatedCaller, Role, TokenSigner, TokenVerifier, public_key_of,
};
use testkit::LogLines;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

fn answered_as(operation: &'static str) -> Response {
    let mut response = "answer".into_response();
    response.set_data(OperationId(operation));
    response
}

#[handler]
fn list() -> Response {
    answered_as("listItems")
}

#[handler]
fn own(request: &Request) -> Result<Response, Problem> {
    AuthenticatedCaller::of(request)?;
    Ok(answered_as("listOrders"))
}

#[handler]
fn administer(request: &Request) -> Result<Response, Problem> {
    AuthenticatedCaller::of(request)?.0.require_admin()?;
    Ok(answered_as("listOutbox"))
}

#[handler]
fn forged() -> Result<Response, Problem> {
    security::log("payment_return", "forged", Who::Unknown);
    Err(Problem::not_found("order.not_found", "no such order"))
}

/// 32 bytes in base64.
const SIGNING_KEY: &str = "a2l0LWtpdC1raXQta2l0LWtpdC1raXQta2l0LWtpdCE=";

fn verifying_key() -> String {
    public_key_of(&Secret::from(SIGNING_KEY)).unwrap()
}

async fn call(path: &str, token: Option<&Secret>) -> (StatusCode, String) {
    let app = Route::new()
        .at("/items", get(list))
        .at("/own", get(own))
        .at("/admin", get(administer))
        .at("/forged", get(forged))
        .data(Arc::new(TokenVerifier::new(&verifying_key(), Audience::Shop).unwrap()));
    call_of(&TestClient::new(standard("kit-test", app)), path, token).await
}

async fn call_of<E: poem::Endpoint>(
    app: &TestClient<E>,
    path: &str,
    token: Option<&Secret>,
) -> (StatusCode, String) {
    let mut request = app.get(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {}", token.expose()));
    }
    let response = request.send().await.0;
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    (response.status(), id)
}

fn token_of(user: UserId, role: Role) -> Secret {
    let signer = TokenSigner::new(&Secret::from(SIGNING_KEY), &verifying_key()).unwrap();
    signer.issue(user, role, SystemClock.now()).unwrap().token
}

#[tokio::test]
async fn every_request_leaves_a_line_with_the_id_that_the_user_was_given() {
    let (lines, _guard) = LogLines::capture();
    let kim = UserId::new(Uuid::now_v7());
    let token = token_of(kim, Role::User);

    let (_, own_id) = call("/own", Some(&token)).await;
    let (_, nowhere_id) = call("/nowhere", None).await;

    let found = lines.of("answered");
    let [own_line, nowhere_line] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(own_line["level"], "INFO");
    assert_eq!(own_line["http.operation"], "listOrders");
    assert_eq!(own_line["http.status"], 200);
    assert!(own_line["http.ms"].is_number(), "{own_line}");
    assert_eq!(own_line["user.id"], kim.to_string());
    assert_eq!(own_line["spans"][0]["request_id"], own_id);
    assert_eq!(own_line["spans"][0]["http.method"], "GET");
    assert_eq!(nowhere_line["http.status"], 404);
    assert!(nowhere_line["user.id"].is_null(), "{nowhere_line}");
    assert_eq!(nowhere_line["spans"][0]["request_id"], nowhere_id);
}

#[tokio::test]
async fn of_the_successes_of_the_catalogue_one_in_a_hundred_is_logged() {
    let (lines, _guard) = LogLines::capture();
    let app = Route::new().at("/items", get(list)).at("/forged", get(forged));
    let app = TestClient::new(standard("kit-test", app).sampling(&["listItems"]));
    for _ in 0..150 {
        call_of(&app, "/items", None).await;
    }
    call_of(&app, "/forged", None).await;
    let statuses: Vec<_> =
        lines.of("answered").iter().map(|line| line["http.status"].clone()).collect();
    assert_eq!(statuses, [200, 200, 404]);
    assert_eq!(lines.of("answered")[0]["http.sampled"], 100);
}

#[tokio::test]
async fn what_an_administrator_calls_and_what_a_role_forbids_is_in_the_security_log() {
    let (lines, _guard) = LogLines::capture();
    let (kim, admin) = (UserId::new(Uuid::now_v7()), UserId::new(Uuid::now_v7()));

    let (forbidden, _) = call("/admin", Some(&token_of(kim, Role::User))).await;
    let (allowed, id) = call("/admin", Some(&token_of(admin, Role::Admin))).await;
    assert_eq!((forbidden, allowed), (StatusCode::FORBIDDEN, StatusCode::OK));

    let refused = &lines.of("request: forbidden")[0];
    assert_eq!(
        (&refused["target"], &refused["user.id"]),
        (&"security".into(), &kim.to_string().into())
    );
    let read = &lines.of("administrator: done")[0];
    assert_eq!(read["user.id"], admin.to_string());
    assert_eq!(read["http.operation"], "listOutbox");
    assert_eq!(read["spans"][0]["request_id"], id);
    // A shopper's own requests are no matter of security.
    call("/own", Some(&token_of(kim, Role::User))).await;
    assert_eq!(lines.of("administrator: done").len(), 1);
}

/// The answers to so many requests with `X-Forwarded-For`, from this machine to an app that trusts
/// `proxies`.
async fn forwarded(proxies: &str, requests: usize) -> Vec<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = standard("kit-test", Route::new().at("/forged", get(forged)))
        .trusting(proxies.parse().unwrap());
    let (end, shutdown) = shutdown::pair();
    let serving = tokio::spawn(serve("kit-test", listener, app, shutdown));
    let mut answers = Vec::new();
    for _ in 0..requests {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = "GET /forged HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                       x-forwarded-for: 2001:db8::7\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answers.push(answer);
    }
    end.trigger();
    serving.await.unwrap().unwrap();
    answers
}

/// Behind a proxy as well, and although no handler asks for the client's address.
#[tokio::test]
async fn the_security_log_has_the_block_of_the_clients_address() {
    let (lines, _guard) = LogLines::capture();
    let answers = forwarded("127.0.0.1", 1).await;
    let answer = &answers[0];
    let line = &lines.of("payment_return: forged")[0];
    assert_eq!(line["client.block"], "2001:db8::/64");
    assert!(answer.contains(line["spans"][0]["request_id"].as_str().unwrap()), "{answer}");
}

/// A proxy that is missing from `TRUSTED_PROXIES` shows itself in the log once and in the metrics at
/// each request: behind it all shoppers are one address.
#[tokio::test]
async fn an_address_from_an_untrusted_peer_is_counted_and_not_believed() {
    let (lines, _guard) = LogLines::capture();
    let recorded = telemetry::metrics();
    // No other test of this process sends the header from an untrusted peer.
    let counted = || {
        let text = recorded.render();
        let line = text.lines().find_map(|it| it.strip_prefix("http_untrusted_forwards_total "));
        line.map_or(0, |number| number.parse::<u64>().unwrap())
    };
    forwarded("127.0.0.1", 2).await;
    assert_eq!(counted(), 0);
    forwarded("10.0.0.0/8", 3).await;
    assert_eq!(counted(), 3);
    let blocks: Vec<_> =
        lines.of("payment_return: forged").iter().map(|it| it["client.block"].clone()).collect();
    assert_eq!(blocks, ["2001:db8::/64", "2001:db8::/64", "127.0.0.1", "127.0.0.1", "127.0.0.1"]);
    let warned =
        "X-Forwarded-For arrives from a peer that is not in TRUSTED_PROXIES and is not believed";
    assert_eq!(lines.of(warned).len(), 1);
    assert_eq!(lines.of(warned)[0]["peer"], "127.0.0.1");
}

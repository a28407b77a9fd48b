//! Who tried what: the lines that an attack leaves.

use serde_json::{Value, json};
use testkit::LogLines;

use crate::support::{ADMIN_EMAIL, PASSWORD, TestApp};

async fn log_in(app: &TestApp, email: &str, password: &str) {
    let body = json!({ "email": email, "password": password });
    app.call("POST", "/api/auth/login").json(body).send().await;
}

fn only(lines: &LogLines, message: &str) -> Value {
    let found = lines.of(message);
    assert_eq!(found.len(), 1, "{message}: {}", lines.text());
    assert_eq!(found[0]["target"], "security");
    assert!(found[0]["spans"][0]["request_id"].is_string(), "{}", found[0]);
    found[0].clone()
}

#[tokio::test]
async fn logins_and_sign_ups_are_logged_without_an_e_mail_address() {
    let (lines, _guard) = LogLines::capture();
    let app = TestApp::start().await;
    let kim = app.person("kim").await;
    assert_eq!(only(&lines, "sign_up: done")["user.id"], kim.user_id.to_string());
    // A shopper who logs in is nothing to be logged.
    assert!(lines.of("administrator_login: done").is_empty());

    log_in(&app, "nobody@example.com", "wrong-password-1!").await;
    let unknown = only(&lines, "login: wrong");
    assert_eq!(unknown["account.digest"].as_str().unwrap().len(), 16);
    assert!(unknown["user.id"].is_null(), "{unknown}");

    let admin = app.administrator().await;
    log_in(&app, ADMIN_EMAIL, PASSWORD).await;
    let logins = lines.of("administrator_login: done");
    assert!(logins.iter().all(|line| line["user.id"] == admin.user_id.to_string()), "{logins:?}");
    assert!(!logins.is_empty());
    app.admin_call("GET", "/admin/outbox").by(&admin).send().await.with(200);
    let read = only(&lines, "administrator: done");
    assert_eq!(read["http.operation"], "listOutbox");

    app.admin_call("GET", "/admin/outbox").by(&kim).send().await.with(401);
    assert_eq!(only(&lines, "token: wrong_audience")["user.id"], kim.user_id.to_string());
    assert!(!lines.text().contains("@example.com"), "{}", lines.text());
}

#[tokio::test]
async fn a_forged_return_is_logged() {
    let app = TestApp::start().await;
    let kim = app.person("kim").await;
    let id = app.placed(&kim, 1_000).await;
    let (lines, _guard) = LogLines::capture();
    let forged = format!("/payments/return/{id}/1-{}?pg_token=x", "0".repeat(64));
    app.call("GET", forged).send().await.with(404);
    only(&lines, "payment_return: forged");
}

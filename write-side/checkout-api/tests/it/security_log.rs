//! Who tried what: the lines that an attack leaves.

use std::time::Duration;

use serde_json::{Value, json};
use service_kit::http::Allowance;
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

/// The digest is that of the address, whether it has an account or not.
#[tokio::test]
async fn a_throttled_login_is_logged() {
    let (lines, _guard) = LogLines::capture();
    let app = TestApp::configured(|config| {
        config.limits.login_per_account = Allowance::per(Duration::from_hours(2), 1);
    })
    .await;
    for email in ["nobody@example.com", "nobody@example.com", "somebody@example.com"] {
        log_in(&app, email, "wrong-password-1!").await;
    }
    let throttled = only(&lines, "login: throttled");
    let wrong = lines.of("login: wrong");
    assert_eq!(throttled["account.digest"], wrong[0]["account.digest"]);
    assert_ne!(throttled["account.digest"], wrong[1]["account.digest"]);
    assert!(throttled["user.id"].is_null(), "{throttled}");
}

#[tokio::test]
async fn a_login_to_a_locked_account_is_logged() {
    let (lines, _guard) = LogLines::capture();
    let app = TestApp::start().await;
    let kim = app.person("kim").await;
    let lock = "update credentials set locked_until = now() + interval '1 hour'";
    app.database.client().await.batch_execute(lock).await.unwrap();
    log_in(&app, "kim@example.com", PASSWORD).await;
    assert_eq!(only(&lines, "login: locked")["user.id"], kim.user_id.to_string());
    assert!(lines.of("login: wrong").is_empty(), "{}", lines.text());
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

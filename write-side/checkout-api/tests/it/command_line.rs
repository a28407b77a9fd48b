//! The command line of `checkout-api`: what its settings must be, and what its commands answer.

use testkit::{Binary, Login, TestDatabase, keys, refuses_alike};

const PROCESS: &str = env!("CARGO_BIN_EXE_checkout-api");
/// A public key, and not that of the tests' signing key.
const OTHER_KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

/// `check-config` accepted keys that are no keys, and listeners that meet on one address.
#[tokio::test]
async fn check_config_and_the_start_refuse_alike() {
    let verifying_keys = keys::access_token_verifying_keys();
    let usable = [
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing"),
        ("MASTER_KEY", keys::MASTER_KEY),
        ("DIGEST_PEPPER", keys::DIGEST_PEPPER),
        ("RETURN_URL_KEY", keys::RETURN_URL_KEY),
        ("PUBLIC_BASE_URL", "https://shop.example"),
        ("ACCESS_TOKEN_SIGNING_KEY", keys::ACCESS_TOKEN_SIGNING_KEY),
        ("ACCESS_TOKEN_VERIFYING_KEYS", verifying_keys.as_str()),
    ];
    let faulty = [
        ("ACCESS_TOKEN_SIGNING_KEY", "32 bytes or more, and no Ed25519 key in base64"),
        ("ACCESS_TOKEN_VERIFYING_KEYS", "no key at all"),
        ("ACCESS_TOKEN_VERIFYING_KEYS", OTHER_KEY),
        ("CHECKOUT_ADMIN_LISTEN", "127.0.0.1:8080"),
        ("CHECKOUT_OPS_LISTEN", "0.0.0.0:8082"),
        ("PUBLIC_BASE_URL", "https://shop.example/?page=1"),
        ("RETURN_URL_KEY", keys::DIGEST_PEPPER),
        ("MASTER_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("DATABASE_URL", "postgres://shop@db.example/shop?sslmode=disable"),
        ("REDIS_URL", "redis://cache.example"),
        ("TRUSTED_PROXIES", "everybody"),
        ("CLOCK_FILE", "/nowhere/offset"),
    ];
    refuses_alike(PROCESS, &["serve"], &usable, &faulty).await;
    refuses_alike(PROCESS, &[], &usable, &faulty[..1]).await;
}

/// Exited with 0 when every row was refused, so that a script went on with an empty catalogue.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_refuses_a_row_exits_with_1() {
    let database = TestDatabase::fresh().await;
    let url = database.url_as(Login::Writer);
    let folder = tempfile::tempdir().unwrap();
    let good = r#"{"report_no":"2099001000001","product_name":"홍삼정"}"#;
    let import = async |name: &str, lines: &[&str]| {
        let file = folder.path().join(name);
        std::fs::write(&file, lines.join("\n")).unwrap();
        let arguments = ["import-catalogue", file.to_str().unwrap(), "--demo-prices"];
        let output = Binary::output(PROCESS, &arguments, &[("DATABASE_URL", &url)]).await;
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, report) = import("all.jsonl", &["{}", "no JSON"]).await;
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("refused   2"), "{report}");
    let (code, report) = import("some.jsonl", &[good, "{}"]).await;
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("accepted  1") && report.contains("refused   1"), "{report}");
    let (code, report) = import("none.jsonl", &[good]).await;
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains("unchanged 1"), "{report}");
}

/// Who made an administrator stood nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn who_makes_an_administrator_is_on_record() {
    let database = TestDatabase::fresh().await;
    let (url, verifying_keys) =
        (database.url_as(Login::Writer), keys::access_token_verifying_keys());
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("MASTER_KEY", keys::MASTER_KEY),
        ("DIGEST_PEPPER", keys::DIGEST_PEPPER),
        ("RETURN_URL_KEY", keys::RETURN_URL_KEY),
        ("PUBLIC_BASE_URL", "https://shop.example"),
        ("ACCESS_TOKEN_SIGNING_KEY", keys::ACCESS_TOKEN_SIGNING_KEY),
        ("ACCESS_TOKEN_VERIFYING_KEYS", verifying_keys.as_str()),
        ("ADMIN_EMAIL", "admin@example.com"),
        ("ADMIN_PASSWORD", "secret-1!"),
    ];
    let output = Binary::output(PROCESS, &["create-admin", "--as", "kim"], &settings).await;
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(log.contains("an operator intervened") && log.contains("kim"), "{log}");
    assert!(!log.contains("admin@example.com"), "{log}");
}

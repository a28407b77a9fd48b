//! The command line of `storefront-api`, which once started the server whatever it was asked.

use std::process::Command;

use testkit::{keys, refuses_alike};

fn storefront(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_storefront-api"));
    let output = command.args(arguments).env_clear().output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn help_lists_the_variables_and_starts_nothing() {
    let (code, help, error) = storefront(&["--help"]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    for variable in storefront_api::VARIABLES {
        assert!(help.contains(variable.name), "{} in {help}", variable.name);
    }
    assert!(storefront(&["--version"]).1.starts_with("storefront-api "));
}

#[test]
fn an_unknown_option_is_refused() {
    let (code, out, error) = storefront(&["--nonsense"]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{error}");
}

/// `check-config` accepted keys that are no keys, and listeners that meet on one address.
#[tokio::test]
async fn check_config_and_the_start_refuse_alike() {
    let verifying_keys = keys::access_token_verifying_keys();
    let usable = [
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing"),
        ("MASTER_KEY", keys::MASTER_KEY),
        ("ACCESS_TOKEN_VERIFYING_KEYS", verifying_keys.as_str()),
    ];
    let three = [verifying_keys.as_str(); 3].join(",");
    let faulty = [
        ("ACCESS_TOKEN_VERIFYING_KEYS", "no key at all"),
        ("ACCESS_TOKEN_VERIFYING_KEYS", three.as_str()),
        ("STOREFRONT_OPS_LISTEN", "127.0.0.1:8081"),
        ("MASTER_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("DATABASE_URL", "postgres://shop@db.example/shop?sslmode=disable"),
        ("STOREFRONT_CACHE", "perhaps"),
    ];
    refuses_alike(env!("CARGO_BIN_EXE_storefront-api"), &[], &usable, &faulty).await;
}

//! What the query API shows of itself as a process.

use std::sync::OnceLock;

use testkit::{Login, ServiceBinary, keys};

fn verifying_keys() -> &'static str {
    static KEYS: OnceLock<String> = OnceLock::new();
    KEYS.get_or_init(keys::access_token_verifying_keys)
}

fn service() -> ServiceBinary {
    ServiceBinary {
        path: env!("CARGO_BIN_EXE_storefront-api"),
        arguments: &[],
        ops: "storefront-ops",
        ops_variable: "STOREFRONT_OPS_LISTEN",
        login: Login::Reader,
        settings: vec![
            ("MASTER_KEY", keys::MASTER_KEY),
            ("ACCESS_TOKEN_VERIFYING_KEYS", verifying_keys()),
            ("STOREFRONT_LISTEN", "127.0.0.1:0"),
            ("STOREFRONT_OPS_LISTEN", "127.0.0.1:0"),
        ],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_has_a_help_and_a_good_name() {
    service().describes_its_metrics().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_stop_leaves_no_warning() {
    service().stops_without_a_warning().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_ops_port_is_taken_does_not_run_and_says_why() {
    service().names_a_taken_ops_address().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_filter_is_named() {
    service().names_a_mistyped_filter().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_owns_the_log_is_refused() {
    service().refuses_a_login_that_owns_the_log().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_migrations_makes_it_unready_and_is_named() {
    service().names_a_missing_schema().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_while_it_waits_for_a_database() {
    service().stops_while_it_waits_for_a_database().await;
}

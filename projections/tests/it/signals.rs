//! What the projector shows of itself as a process.

use testkit::{Binary, Login, ServiceBinary};

fn service() -> ServiceBinary {
    ServiceBinary {
        path: env!("CARGO_BIN_EXE_projector"),
        arguments: &["run"],
        ops: "projector-ops",
        ops_variable: "PROJECTOR_OPS_LISTEN",
        login: Login::Projector,
        settings: vec![("PROJECTOR_OPS_LISTEN", "127.0.0.1:0")],
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

/// Seen to fail without `refuse_owner` in `run`: the process went on.
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

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_database_url_is_named_and_standard_output_is_kept_for_the_answer() {
    let projector = service();
    let wrong = projector.settings_with("foo", &[]);
    let output = Binary::output(projector.path, &["status"], &wrong).await;
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && log.contains("DATABASE_URL: expected"), "{log}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

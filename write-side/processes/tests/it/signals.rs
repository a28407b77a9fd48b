//! What the worker shows of itself as a process.

use serde_json::Value;
use testkit::{Binary, Login, ServiceBinary, TestDatabase, body_at, keys};

fn service() -> ServiceBinary {
    ServiceBinary {
        path: env!("CARGO_BIN_EXE_worker"),
        arguments: &["run"],
        ops: "worker",
        ops_variable: "WORKER_OPS_LISTEN",
        login: Login::Worker,
        settings: vec![
            ("MASTER_KEY", keys::MASTER_KEY),
            ("DIGEST_PEPPER", keys::DIGEST_PEPPER),
            ("RETURN_URL_KEY", keys::RETURN_URL_KEY),
            ("PUBLIC_BASE_URL", "http://127.0.0.1:1"),
            ("KAKAOPAY_BASE_URL", "http://127.0.0.1:1"),
            ("KAKAOPAY_SECRET_KEY", "test"),
            ("WORKER_OPS_LISTEN", "127.0.0.1:0"),
        ],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_has_a_help_and_a_good_name() {
    service().describes_its_metrics().await;
}

/// Whether orders are paid with money is what an operator has to see at a glance.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_shows_whether_payments_move_money() {
    const CODES: [(&str, &str); 2] =
        [("KAKAOPAY_CID_ONE_TIME", "CA00000001"), ("KAKAOPAY_CID_RECURRING", "CA00000002")];
    let database = TestDatabase::fresh().await;
    let url = database.url_as(Login::Worker);
    let test_mode: &[_] = &[("KAKAOPAY_TEST_MODE", "1")];
    // Without codes a gateway on this machine is asked with the test codes.
    for (set, gauge, mode) in [(test_mode, 1, "test"), (&[], 0, "test"), (&CODES, 0, "live")] {
        let service = service();
        let settings = service.settings_with(&url, set);
        let process = Binary::start(service.path, service.arguments, &settings);
        let ops = process.address_of(service.ops).await;
        let metrics = body_at(ops, "/metrics").await;
        assert!(metrics.contains(&format!("\ngateway_test_mode {gauge}\n")), "{set:?}: {metrics}");
        let version: Value = serde_json::from_str(&body_at(ops, "/version").await).unwrap();
        assert_eq!(version["payment_mode"], mode, "{set:?}");
        assert_eq!(version["commit"], service_kit::build::COMMIT);
        let has_warned = process.lines().iter().any(|line| line.contains("KAKAOPAY_TEST_MODE:"));
        assert_eq!(has_warned, gauge == 1, "{set:?}");
    }
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
async fn a_tool_keeps_its_standard_output_for_its_answer() {
    let worker = service();
    let unreachable = worker.settings_with("postgres://nobody@127.0.0.1:1/nothing", &[]);
    let output = Binary::output(worker.path, &["outbox", "list", "--json"], &unreachable).await;
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && log.contains("reach the database"), "{log}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

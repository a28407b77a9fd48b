//! What the worker shows of itself: metrics, log lines, exit codes.

use serde_json::Value;
use testkit::{Binary, Login, TestDatabase, body_at, keys, promtool};

const PROCESS: &str = env!("CARGO_BIN_EXE_worker");
const OPS: &str = "worker";
const ARGUMENTS: &[&str] = &["run"];

fn settings(database: &str) -> Vec<(&str, &str)> {
    vec![
        ("DATABASE_URL", database),
        ("MASTER_KEY", keys::MASTER_KEY),
        ("DIGEST_PEPPER", keys::DIGEST_PEPPER),
        ("RETURN_URL_KEY", keys::RETURN_URL_KEY),
        ("PUBLIC_BASE_URL", "http://127.0.0.1:1"),
        ("KAKAOPAY_BASE_URL", "http://127.0.0.1:1"),
        ("KAKAOPAY_SECRET_KEY", "test"),
        ("WORKER_OPS_LISTEN", "127.0.0.1:0"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_has_a_help_and_a_good_name() {
    let database = TestDatabase::fresh().await;
    let process = Binary::start(PROCESS, ARGUMENTS, &settings(&database.url_as(Login::Worker)));
    let ops = process.address_of(OPS).await;
    body_at(ops, "/health/ready").await;
    let metrics = body_at(ops, "/metrics").await;
    assert!(metrics.contains("pillivery_build_info{"), "{metrics}");
    assert!(metrics.contains("postgres_pool_waiting{"), "{metrics}");
    assert_eq!(promtool(&metrics).await, "", "{metrics}");
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
        let process = Binary::start(PROCESS, ARGUMENTS, &[&settings(&url), set].concat());
        let ops = process.address_of(OPS).await;
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
    let database = TestDatabase::fresh().await;
    let process = Binary::start(PROCESS, ARGUMENTS, &settings(&database.url_as(Login::Worker)));
    process.address_of(OPS).await;
    let (code, lines) = process.stop().await;
    assert_eq!(code, Some(0), "{lines:?}");
    let is_fault = |line: &String| line.contains(r#""WARN""#) || line.contains(r#""ERROR""#);
    assert!(!lines.iter().any(is_fault), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_ops_port_is_taken_does_not_run_and_says_why() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut settings = settings("postgres://nobody@127.0.0.1:1/nothing");
    settings.push(("WORKER_OPS_LISTEN", &address));
    let output = Binary::output(PROCESS, ARGUMENTS, &settings).await;
    let log = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{log}");
    assert!(log.contains(&address) && log.contains("Address already in use"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_filter_is_named() {
    let mut settings = settings("postgres://nobody@127.0.0.1:1/nothing");
    settings.push(("LOG_FILTER", "infos"));
    let output = Binary::output(PROCESS, ARGUMENTS, &settings).await;
    let log = [&output.stdout[..], &output.stderr[..]].concat();
    let log = String::from_utf8_lossy(&log);
    assert!(!output.status.success() && log.contains("LOG_FILTER: expected"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_keeps_its_standard_output_for_its_answer() {
    let unreachable = settings("postgres://nobody@127.0.0.1:1/nothing");
    let output = Binary::output(PROCESS, &["outbox", "list", "--json"], &unreachable).await;
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && log.contains("reach the database"), "{log}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

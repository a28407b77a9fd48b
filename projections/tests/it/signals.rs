//! What the projector shows of itself: metrics, log lines, exit codes.

use testkit::{Binary, Login, TestDatabase, body_at, promtool, refuses_alike};

const PROCESS: &str = env!("CARGO_BIN_EXE_projector");
const OPS: &str = "projector-ops";
const ARGUMENTS: &[&str] = &["run"];

fn settings(database: &str) -> Vec<(&str, &str)> {
    vec![("DATABASE_URL", database), ("PROJECTOR_OPS_LISTEN", "127.0.0.1:0")]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_has_a_help_and_a_good_name() {
    let database = TestDatabase::fresh().await;
    let process = Binary::start(PROCESS, ARGUMENTS, &settings(&database.url_as(Login::Projector)));
    let ops = process.address_of(OPS).await;
    body_at(ops, "/health/ready").await;
    let metrics = body_at(ops, "/metrics").await;
    assert!(metrics.contains("pillivery_build_info{"), "{metrics}");
    assert!(metrics.contains("postgres_pool_waiting{"), "{metrics}");
    assert_eq!(promtool(&metrics).await, "", "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_stop_leaves_no_warning() {
    let database = TestDatabase::fresh().await;
    let process = Binary::start(PROCESS, ARGUMENTS, &settings(&database.url_as(Login::Projector)));
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
    settings.push(("PROJECTOR_OPS_LISTEN", &address));
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
async fn a_wrong_database_url_is_named_and_standard_output_is_kept_for_the_answer() {
    let output = Binary::output(PROCESS, &["status"], &settings("foo")).await;
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && log.contains("DATABASE_URL: expected"), "{log}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

#[tokio::test]
async fn check_config_and_the_start_refuse_alike() {
    let usable = settings("postgres://nobody@127.0.0.1:1/nothing");
    let faulty = [
        ("DATABASE_URL", "postgres://shop@db.example/shop?sslmode=disable"),
        ("REDIS_URL", "redis://cache.example"),
        ("PROJECTOR_OPS_LISTEN", "nowhere"),
        ("PROJECTOR_BATCH_EVENTS_MAX", "20001"),
        ("LOG_FILTER", "infos"),
    ];
    refuses_alike(PROCESS, ARGUMENTS, &usable, &faulty).await;
}

/// What destroys a version or changes what shoppers see asks for a confirmation, and without a terminal
/// for `--yes`. It was carried out unasked.
#[tokio::test(flavor = "multi_thread")]
async fn what_destroys_asks_for_a_confirmation() {
    let database = TestDatabase::fresh().await;
    let url = database.url_as(Login::Projector);
    let run = async |arguments: &[&str]| {
        let output = Binary::output(PROCESS, arguments, &settings(&url)).await;
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for command in [
        &["retire", "cart_view"][..],
        &["retire", "cart_view", "--force", "--as", "kim"],
        &["rollback", "cart_view"],
        &["parked", "drop", "cart_view", "1"],
    ] {
        let (code, error) = run(command).await;
        assert_eq!(code, Some(2), "{command:?}: {error}");
        assert!(error.contains("--yes"), "{command:?}: {error}");
        let (code, error) = run(&[command, &["--yes"]].concat()).await;
        assert_ne!(code, Some(2), "{command:?}: {error}");
    }
}

/// Who intervened stood nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn who_intervenes_is_on_record() {
    let database = TestDatabase::fresh().await;
    let url = database.url_as(Login::Projector);
    for command in [
        &["rebuild", "cart_view"][..],
        &["rebuild", "cart_view", "--no-switch"],
        &["switch", "cart_view"],
        &["rollback", "cart_view", "--yes"],
        &["retire", "cart_view", "--force", "--yes"],
        &["parked", "retry", "cart_view"],
    ] {
        let arguments = [command, &["--as", "kim"]].concat();
        let output = Binary::output(PROCESS, &arguments, &settings(&url)).await;
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{command:?}: {log}");
        assert!(log.contains("an operator intervened") && log.contains("kim"), "{log}");
    }
}

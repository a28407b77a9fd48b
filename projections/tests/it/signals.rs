//! What the projector shows of itself as a process.

use testkit::{Binary, Login, ServiceBinary, TestDatabase, refuses_alike};

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

#[tokio::test]
async fn check_config_and_the_start_refuse_alike() {
    let projector = service();
    let usable = projector.settings_with("postgres://nobody@127.0.0.1:1/nothing", &[]);
    let faulty = [
        ("DATABASE_URL", "postgres://shop@db.example/shop?sslmode=disable"),
        ("REDIS_URL", "redis://cache.example"),
        ("PROJECTOR_OPS_LISTEN", "nowhere"),
        ("PROJECTOR_BATCH_EVENTS_MAX", "20001"),
        ("LOG_FILTER", "infos"),
    ];
    refuses_alike(projector.path, projector.arguments, &usable, &faulty).await;
}

/// What destroys a version or changes what shoppers see asks for a confirmation, and without a terminal
/// for `--yes`. It was carried out unasked.
#[tokio::test(flavor = "multi_thread")]
async fn what_destroys_asks_for_a_confirmation() {
    let database = TestDatabase::fresh().await;
    let url = database.url_as(Login::Projector);
    let run = async |arguments: &[&str]| {
        let projector = service();
        let settings = projector.settings_with(&url, &[]);
        let output = Binary::output(projector.path, arguments, &settings).await;
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
        let projector = service();
        let settings = projector.settings_with(&url, &[]);
        let output = Binary::output(projector.path, &arguments, &settings).await;
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{command:?}: {log}");
        assert!(log.contains("an operator intervened") && log.contains("kim"), "{log}");
    }
}

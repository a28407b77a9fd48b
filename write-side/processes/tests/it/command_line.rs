//! The command line of `worker`: what is wrong is refused with a code of its own and named.

use std::process::Command;

use testkit::{Binary, Login, TestDatabase};

const USABLE: [(&str, &str); 7] = [
    ("DATABASE_URL", "postgres://shop:hunter2@127.0.0.1:1/shop"),
    ("KAKAOPAY_BASE_URL", "http://127.0.0.1:1"),
    ("KAKAOPAY_SECRET_KEY", "DEV-hunter2"),
    ("PUBLIC_BASE_URL", "https://shop.example"),
    ("RETURN_URL_KEY", "return key of the tests, 32 bytes or more"),
    ("DIGEST_PEPPER", "pepper of the tests, 32 bytes or more"),
    ("MASTER_KEY", "Q0hBT1MtbWFzdGVyLWtleS0zMi1ieXRlcy1sb25nISE="),
];

/// The exit code, standard output and standard error.
fn worker(arguments: &[&str], set: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.args(arguments).env_clear().envs(set.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Swapped days compared nothing and said with exit code 0 that all agrees.
#[test]
fn swapped_days_are_refused() {
    let arguments = ["reconcile", "--from", "2026-11-27", "--to", "2026-11-25"];
    let (code, out, error) = worker(&arguments, &USABLE);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{error}");
    assert!(error.contains("--to is before --from"), "{error}");
}

/// A mistyped state listed nothing and exited with 0.
#[test]
fn an_unknown_state_is_refused_with_those_there_are() {
    let (code, _, error) = worker(&["outbox", "list", "--state", "daed"], &USABLE);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("in_flight") && error.contains("dead"), "{error}");
}

#[test]
fn every_fault_of_the_configuration_is_named_and_no_value() {
    let wrong = [
        ("DATABASE_URL", "hunter2"),
        ("KAKAOPAY_BASE_URL", "http://open-api.kakaopay.com"),
        ("RELAY_POL_MS", "100"),
    ];
    let (code, out, error) = worker(&["run"], &wrong);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{error}");
    for part in [
        "worker: RELAY_POL_MS is unknown; RELAY_POLL_MS was probably meant\n",
        "worker: DATABASE_URL: expected postgres://",
        "worker: KAKAOPAY_BASE_URL: expected an https address",
        "worker: MASTER_KEY is not set\n",
        "worker: RETURN_URL_KEY is not set\n",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn the_configuration_is_shown_without_its_secrets() {
    let (code, shown, _) = worker(&["--print-config"], &USABLE);
    assert_eq!(code, Some(0));
    assert!(shown.contains("KAKAOPAY_BASE_URL=http://127.0.0.1:1\n"), "{shown}");
    assert!(shown.contains("RELAY_POLL_MS=250 (default)\n"), "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains("32 bytes"), "{shown}");
    assert_eq!(worker(&["check-config"], &USABLE).0, Some(0));
}

/// `check-config` accepted what the gateway's parts refused at the start.
#[tokio::test]
async fn check_config_and_the_start_refuse_alike() {
    let faulty = [
        ("DATABASE_URL", "postgres://shop@db.example/shop?sslmode=disable"),
        ("WORKER_OPS_LISTEN", "nowhere"),
        ("KAKAOPAY_BASE_URL", "http://open-api.kakaopay.com"),
        ("KAKAOPAY_SECRET_KEY", "DEV-\u{1}-0000"),
        ("KAKAOPAY_CID_ONE_TIME", "much-too-long"),
        ("KAKAOPAY_CID_RECURRING_SECRET", "a key of more than 24 characters"),
        ("KAKAOPAY_CALL_TIMEOUT_MS", "20000"),
        ("PUBLIC_BASE_URL", "https://shop.example/?page=1"),
        ("MASTER_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("DIGEST_PEPPER", "return key of the tests, 32 bytes or more"),
        ("RELAY_LEASE_MS", "500"),
        ("CLOCK_FILE", "/nowhere/offset"),
    ];
    testkit::refuses_alike(env!("CARGO_BIN_EXE_worker"), &["run"], &USABLE, &faulty).await;
}

#[test]
fn what_could_not_be_done_is_one_line_on_standard_error() {
    let (code, out, error) = worker(&["outbox", "list", "--json"], &USABLE);
    assert_eq!((code, out.as_str()), (Some(3), ""), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

/// `differences` and `parked list` refused `--json`, and printed JSON to people.
#[tokio::test(flavor = "multi_thread")]
async fn every_list_is_text_for_people_and_rows_for_programs() {
    let database = TestDatabase::fresh().await;
    park(&database).await;
    let url = database.url_as(Login::Worker);
    let run = async |arguments: &[&str]| {
        let path = env!("CARGO_BIN_EXE_worker");
        let output = Binary::output(path, arguments, &[("DATABASE_URL", &url)]).await;
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for list in [
        &["outbox", "list"][..],
        &["parked", "list"],
        &["differences"],
        &["unresolved"],
        &["refunds"],
        &["missing-keys"],
    ] {
        let shown = run(&[list, &["--json", "--limit", "5"]].concat()).await;
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert!(shown["rows"].is_array(), "{list:?}: {shown}");
        assert!(!run(list).await.starts_with('{'), "{list:?}");
    }
    assert!(run(&["parked", "list"]).await.starts_with("paid_orders  7  order/"));
}

/// Who had an event handled once more stood nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn who_retries_a_parked_event_is_on_record() {
    let database = TestDatabase::fresh().await;
    park(&database).await;
    let url = database.url_as(Login::Worker);
    let arguments = ["parked", "retry", "paid_orders", "7", "--as", "kim"];
    let path = env!("CARGO_BIN_EXE_worker");
    let output = Binary::output(path, &arguments, &[("DATABASE_URL", &url)]).await;
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(log.contains("an operator intervened") && log.contains("kim"), "{log}");
}

async fn park(database: &TestDatabase) {
    let sql = "insert into parked_reaction
                 (name, position, aggregate_type, aggregate_id, event_type, error)
               values ('paid_orders', 7, 'order', 'x', 'PaymentApproved', 'no')";
    database.client().await.batch_execute(sql).await.unwrap();
}

/// While KakaoPay is down, the check named a setting as wrong.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_kakaopay_is_no_answer() {
    let path = env!("CARGO_BIN_EXE_worker");
    let output = Binary::output(path, &["kakaopay", "check"], &USABLE).await;
    let (out, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(3), "{out}{error}");
    assert!(!out.contains("WRONG") && error.contains("did not answer"), "{out}{error}");
}

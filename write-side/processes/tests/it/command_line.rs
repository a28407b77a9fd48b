//! The command line of `worker`: what is wrong is refused with a code of its own and named.

use std::process::Command;

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

#[test]
fn what_could_not_be_done_is_one_line_on_standard_error() {
    let (code, out, error) = worker(&["outbox", "list", "--json"], &USABLE);
    assert_eq!((code, out.as_str()), (Some(3), ""), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

//! A short run of `chaos`: faults and kills, then no won is missing, none is taken twice, every read
//! model equals a replay, and no log of any process holds what must not be written down.
//!
//! The run plants passwords, tokens, receivers, telephone numbers and keys, and searches everything
//! the processes put out for them; `leaks` in its verdict counts what it found.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn after_faults_and_kills_the_books_agree_and_no_log_tells_a_secret() {
    let output = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["--orders", "16", "--kills", "4", "--seed", "1", "--json"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let verdict: Value = serde_json::from_str(said.lines().last().unwrap_or_default()).unwrap();

    for nothing in
        ["lost", "doubled", "broken_promises", "unresolved", "differences", "leaks", "deaths"]
    {
        assert_eq!(verdict[nothing], 0, "{nothing}: {said}");
    }
    assert_eq!(verdict["kills"], 4, "{said}");
    assert_eq!(verdict["paid"], verdict["charged_by_sim"], "{said}");
    let figure = |name: &str| verdict[name].as_u64().unwrap();
    assert!(0 < figure("planned_to_pay"), "{said}");
    assert!(figure("planned_to_pay") * 80 <= figure("planned_paid") * 100, "{said}");
    assert!(figure("orders") < figure("acknowledged"), "{said}");
    assert_eq!(figure("nights"), 2, "{said}");
    assert!(output.status.success(), "{said}");
}

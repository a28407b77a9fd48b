//! The demo is the newcomer's proof that everything works, so it has to work, and to fail loudly.

use std::process::Output;
use std::time::Duration;

use testkit::{TestDatabase, TestRedis};
use tokio::process::Command;
use tokio::time::timeout;

/// Longest a demo on the small catalogue may take; a bound for a hang, not a measure of speed.
const DEMO_WAIT_MAX: Duration = Duration::from_mins(5);

async fn demo(settings: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop-under-test"));
    command.args(["--demo", "--simulate"]).envs(settings.iter().copied()).kill_on_drop(true);
    timeout(DEMO_WAIT_MAX, command.output()).await.expect("the demo ends").expect("the demo runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_drives_the_main_job_on_services_of_its_own_and_ends_well() {
    let output = demo(&[]).await;

    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    for step in ["is PAID", "one approval for all", "one charge an order", "equals a replay"] {
        assert!(told.contains(step), "{step:?} is missing from:\n{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_is_named_and_ends_the_demo_with_a_failure() {
    let (database, redis) = (TestDatabase::fresh().await, TestRedis::fresh().await);
    // Nobody listens at the discard port: the pay page can't be opened.
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("REDIS_URL", redis.url.as_str()),
        ("KAKAOPAY_BASE_URL", "http://127.0.0.1:9"),
    ];

    let output = demo(&settings).await;

    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("step 6 (pay) failed"), "{told}");
}

//! `with-services`: the command finds its servers, its exit status is ours, nothing stays behind.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use testkit::{POSTGRES_VARIABLE, REDIS_VARIABLE, eventually};

const WITHIN: Duration = Duration::from_mins(1);

fn with_services(home: &TempDir, script: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_with-services"));
    command.args(["sh", "-c", script]).env("TMPDIR", home.path()).stdout(Stdio::piped());
    command
}

fn home() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::Builder::new().prefix("with-").tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    home
}

/// The two URLs that the command printed.
fn urls(child: &mut Child) -> (String, String) {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (lines.next().unwrap().unwrap(), lines.next().unwrap().unwrap())
}

fn print_urls() -> String {
    format!("echo ${POSTGRES_VARIABLE}; echo ${REDIS_VARIABLE}")
}

async fn are_gone(postgres: &str, redis: &str) {
    eventually(WITHIN, || async {
        let postgres = tokio_postgres::connect(postgres, tokio_postgres::NoTls).await.is_err();
        let redis = redis::Client::open(redis).unwrap().get_multiplexed_async_connection().await;
        (postgres && redis.is_err()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_status_is_that_of_the_command_and_nothing_stays_behind() {
    let home = home();
    let script = format!("{}; exit 7", print_urls());
    let mut child = with_services(&home, &script).spawn().unwrap();
    let (postgres, redis) = urls(&mut child);
    assert_eq!(child.wait().unwrap().code(), Some(7));
    are_gone(&postgres, &redis).await;
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

/// Whoever starts servers may be killed with -9, which no code of ours survives. Without
/// `--pdeathsig` in `account.rs` both servers go on for ever (seen by clearing it).
#[tokio::test]
async fn servers_end_when_their_owner_is_killed() {
    let home = home();
    let script = format!("{}; echo $$; exec tail -f /dev/null", print_urls());
    let mut child = with_services(&home, &script).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    let (postgres, redis, command) = (line(), line(), line());
    child.kill().unwrap();
    child.wait().unwrap();
    are_gone(&postgres, &redis).await;
    // The command itself is nobody's child now; end it by its own number.
    assert!(Path::new("/proc").join(&command).exists());
    let killed = Command::new("sh").args(["-c", &format!("kill -9 {command}")]).status();
    assert!(killed.unwrap().success());
}

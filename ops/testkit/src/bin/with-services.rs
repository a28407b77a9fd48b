//! `with-services COMMAND …`: runs a command with a PostgreSQL and a Redis for tests, and ends them.
//!
//! The servers are new, quick and forgetful, and lie in a temporary directory. The command finds
//! them through its environment. Its exit status is ours.

use std::process::{ExitCode, Stdio};

use testkit::{Durability, POSTGRES_VARIABLE, PrivatePostgres, PrivateRedis, REDIS_VARIABLE};

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
#[expect(clippy::print_stderr, reason = "a command-line tool says what went wrong")]
async fn main() -> ExitCode {
    match run().await {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            eprintln!("with-services: {error}{cause}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<u8, Failure> {
    let mut words = std::env::args_os().skip(1);
    let program = words.next().ok_or("usage: with-services COMMAND [ARGUMENT …]")?;
    let shutdown = service_kit::shutdown::on_signals()?;
    let dir = tempfile::Builder::new().prefix("pillivery-services-").tempdir()?;
    let postgres = PrivatePostgres::start(dir.path(), 0, Durability::Fast).await?;
    let redis = PrivateRedis::start(dir.path(), 0).await?;

    let mut command = tokio::process::Command::new(program)
        .args(words)
        .env(POSTGRES_VARIABLE, postgres.url())
        .env(REDIS_VARIABLE, redis.url())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let status = tokio::select! {
        status = command.wait() => status?.code(),
        // Ctrl-C reached the command too; a plain SIGTERM did not, so it is ended here.
        () = shutdown.requested() => {
            command.kill().await?;
            None
        }
    };
    redis.stop().await;
    postgres.stop().await;
    dir.close()?;
    Ok(status.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

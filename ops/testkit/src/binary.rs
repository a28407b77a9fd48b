//! A binary of ours under test: started with a table of settings, its log read, its operators'
//! address called.

use std::net::SocketAddr;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_util::task::AbortOnDropHandle;

use crate::eventually;
use crate::process::signal;

/// Longest until a binary has started or ended.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// A running binary. Killed when dropped.
#[derive(Debug)]
pub struct Binary {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    _reading: AbortOnDropHandle<()>,
}

impl Binary {
    /// Starts the binary at `path` with these arguments, these settings and nothing else in its environment.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start(path: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let mut child = command(path, arguments, settings)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("start {path}: {error}"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (output, written) = (child.stdout.take(), Arc::clone(&lines));
        let reading = tokio::spawn(async move {
            let Some(output) = output else { return };
            let mut output = BufReader::new(output).lines();
            while let Ok(Some(line)) = output.next_line().await {
                written.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { child, lines, _reading: AbortOnDropHandle::new(reading) }
    }

    /// Runs the binary to its end.
    ///
    /// # Panics
    /// It cannot be started, or does not end in time.
    pub async fn output(path: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
        let running = command(path, arguments, settings).kill_on_drop(true).output();
        let Ok(ended) = tokio::time::timeout(WAIT_MAX, running).await else {
            panic!("{path} does not end");
        };
        ended.unwrap_or_else(|error| panic!("run {path}: {error}"))
    }

    /// The lines of its standard output so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where its listener of this name listens, as its log says.
    pub async fn address_of(&self, listener: &str) -> SocketAddr {
        let name = format!(r#""listener":"{listener}""#);
        eventually(WAIT_MAX, || async {
            let lines = self.lines();
            let line = lines.iter().find(|line| line.contains(&name))?;
            let (_, rest) = line.split_once(r#""address":""#)?;
            rest.split_once('"')?.0.parse().ok()
        })
        .await
    }

    /// Asks it to end, and returns its exit code and all lines.
    ///
    /// # Panics
    /// It does not end in time.
    pub async fn stop(self) -> (Option<i32>, Vec<String>) {
        self.stop_with("TERM").await
    }

    /// As [`Binary::stop`], with this signal.
    ///
    /// # Panics
    /// It does not end in time.
    pub async fn stop_with(mut self, name: &str) -> (Option<i32>, Vec<String>) {
        if let Some(pid) = self.child.id() {
            signal(pid, name);
        }
        let Ok(ended) = tokio::time::timeout(WAIT_MAX, self.child.wait()).await else {
            panic!("the binary does not end: {:?}", self.lines());
        };
        let status = ended.unwrap_or_else(|error| panic!("wait for the binary: {error}"));
        (status.code(), self.lines())
    }
}

fn command(path: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(path);
    command.args(arguments).env_clear().envs(settings.iter().copied()).stdin(Stdio::null());
    command
}

/// Checks that `check-config` and the start of the binary at `path` refuse each of `faulty`, a variable
/// and its value, with the same words about the same variable, and that `check-config` accepts `usable`.
///
/// # Panics
/// They don't.
pub async fn refuses_alike(
    path: &str,
    start: &[&str],
    usable: &[(&str, &str)],
    faulty: &[(&str, &str)],
) {
    let accepted = Binary::output(path, &["check-config"], usable).await;
    assert_eq!(accepted.status.code(), Some(0), "{accepted:?}");
    let refusal = async |arguments: &[&str], set: &[(&str, &str)]| {
        let output = Binary::output(path, arguments, set).await;
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (name, value) in faulty {
        let set = [usable, &[(*name, *value)]].concat();
        let checked = refusal(&["check-config"], &set).await;
        assert_eq!(checked.0, Some(2), "{name}: {checked:?}");
        assert!(checked.1.contains(&format!(": {name}")), "{name}: {checked:?}");
        assert!(
            !checked.1.contains(*value) || value.len() < 4,
            "{name} shows its value: {checked:?}"
        );
        let started = refusal(start, &set).await;
        assert_eq!(checked, started, "{name}: check-config on the left, the start on the right");
    }
}

/// The body that `GET path` is answered with at `address`.
///
/// # Panics
/// There is no answer.
pub async fn body_at(address: SocketAddr, path: &str) -> String {
    let answer = async {
        let mut stream = TcpStream::connect(address).await?;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    match answer.await {
        Ok(answer) => {
            answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
        }
        Err(error) => panic!("GET {path} at {address}: {error}"),
    }
}

/// What `promtool check metrics` objects to in a text of metrics; empty when it is well.
///
/// # Panics
/// There is no `promtool`: `ops/test` installs it.
pub async fn promtool(metrics: &str) -> String {
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child =
        started.unwrap_or_else(|error| panic!("promtool, which ops/test installs: {error}"));
    if let Some(mut input) = child.stdin.take() {
        drop(input.write_all(metrics.as_bytes()).await);
    }
    match child.wait_with_output().await {
        Ok(output) if output.status.success() => String::new(),
        Ok(output) => {
            let (out, err) = (&output.stdout, &output.stderr);
            format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
        }
        Err(error) => panic!("promtool: {error}"),
    }
}

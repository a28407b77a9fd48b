//! Child processes that end with us: when dropped, when we exit, and when we are killed.
//!
//! The kernel tells a child of its parent's death only through the thread that started it, and test
//! threads come and go. So one thread that lives as long as the process starts all children.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use crate::error::ServiceError;

/// A port of the loopback interface that was free a moment ago.
///
/// # Panics
/// The machine has no free port left.
pub fn free_port() -> u16 {
    match TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()) {
        Ok(address) => address.port(),
        Err(error) => panic!("no free port: {error}"),
    }
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Service {
    child: Option<Child>,
    /// What asks this server to stop cleanly.
    stop_signal: &'static str,
}

/// How long a server may take to stop cleanly before it is killed.
const STOP_WAIT_MAX: Duration = Duration::from_secs(30);

impl Service {
    /// Starts `command` in a process group of its own, so that Ctrl-C reaches us and not the server
    /// we still need; what it writes goes to `log`.
    pub(crate) fn start(
        mut command: Command,
        stop_signal: &'static str,
        log: &File,
    ) -> io::Result<Self> {
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?);
        Ok(Self { child: Some(spawn(command)?), stop_signal })
    }

    /// The process id, while there is a process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        match &mut self.child {
            None => true,
            Some(child) => !matches!(child.try_wait(), Ok(None)),
        }
    }

    /// Stops it and waits until it is gone; kills it if it takes longer than [`STOP_WAIT_MAX`].
    pub(crate) async fn stop(&mut self) {
        self.stop_with(self.stop_signal).await;
    }

    /// The same with another signal.
    pub(crate) async fn stop_with(&mut self, name: &'static str) {
        if let Some(child) = self.child.take() {
            drop(tokio::task::spawn_blocking(move || end(child, name)).await);
        }
    }

    /// Lets it live on without us.
    pub(crate) fn detach(mut self) {
        drop(self.child.take());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            end(child, self.stop_signal);
        }
    }
}

fn end(mut child: Child, name: &str) {
    let pid = child.id();
    signal(pid, name);
    let (gone, is_gone) = mpsc::channel();
    thread::spawn(move || {
        drop(child.wait());
        gone.send(()).ok();
    });
    if is_gone.recv_timeout(STOP_WAIT_MAX).is_err() {
        signal(pid, "KILL");
        is_gone.recv_timeout(STOP_WAIT_MAX).ok();
    }
}

/// Sends a signal by name. The shell does it for us, since doing it ourselves needs unsafe code.
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("sh")
        .args(["-c", r#"kill -s "$1" "$2""#, "sh", name, &pid.to_string()])
        .stderr(Stdio::null())
        .status();
    if let Err(error) = sent {
        tracing::warn!(%error, "cannot send a signal");
    }
}

/// Runs a short command to its end; its output is shown only if it fails.
pub(crate) async fn run(mut command: Command, what: &str) -> Result<(), ServiceError> {
    let output = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output())
        .await
        .map_err(io::Error::other)
        .and_then(|output| output)
        .map_err(ServiceError::io(what))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(ServiceError::Io { what: what.to_owned(), source: io::Error::other(said) })
}

type Order = (Command, Sender<io::Result<Child>>);

/// The thread that starts children, for as long as this process lives.
static SPAWNER: LazyLock<Mutex<Sender<Order>>> = LazyLock::new(|| {
    let (orders, inbox) = mpsc::channel::<Order>();
    thread::spawn(move || {
        for (mut command, answer) in inbox {
            drop(answer.send(command.spawn()));
        }
    });
    Mutex::new(orders)
});

fn spawn(command: Command) -> io::Result<Child> {
    let (answer, outcome) = mpsc::channel();
    let orders = SPAWNER.lock().map_err(|_poisoned| io::Error::other("spawner is gone"))?;
    orders.send((command, answer)).map_err(io::Error::other)?;
    drop(orders);
    outcome.recv().map_err(io::Error::other)?
}

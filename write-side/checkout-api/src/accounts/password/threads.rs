//! Threads of the lowest priority, for work that takes a core for tens of milliseconds.
//!
//! Linux schedules threads, each with a nice value of its own. A thread of nice 19 runs when no thread
//! that answers shoppers wants the core, and is preempted as soon as one does, so that hashing delays
//! neither this process nor another one. The blocking threads of the runtime have the priority of
//! all others.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

/// The lowest priority that there is.
const NICE: i32 = 19;
/// What the threads are called, so that an operator finds them in `top -H`.
pub(super) const THREAD_NAME: &str = "password-hash";

type Work = Box<dyn FnOnce() + Send>;

/// A fixed number of threads. Each ends when this is dropped and its work is done.
#[derive(Debug)]
pub(super) struct IdleThreads {
    work: SyncSender<Work>,
}

impl IdleThreads {
    /// Starts so many threads; as much work as there are threads may be queued.
    pub(super) fn start(number: usize) -> io::Result<Self> {
        let (work, queue) = sync_channel(number);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..number {
            let queue = Arc::clone(&queue);
            let thread = thread::Builder::new().name(THREAD_NAME.to_owned());
            thread.spawn(move || {
                lower_priority();
                while let Some(work) = next(&queue) {
                    // The caller learns of a panic because its answer is dropped; the thread goes on.
                    drop(catch_unwind(AssertUnwindSafe(work)));
                }
            })?;
        }
        Ok(Self { work })
    }

    /// Runs `work` on one of the threads; `None` when it panicked or the queue is full, which a caller
    /// that bounds its work by the number of threads never sees.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, answer) = oneshot::channel();
        let work = Box::new(move || drop(sender.send(work())));
        self.work.try_send(work).ok()?;
        answer.await.ok()
    }
}

/// The next work; none once nothing can come any more.
fn next(queue: &Mutex<Receiver<Work>>) -> Option<Work> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Lowers the priority of the calling thread, which every process may do.
#[cfg(target_os = "linux")]
fn lower_priority() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(%error, "passwords are hashed with the priority of everything else");
    }
}

/// Elsewhere the priority is that of the whole process.
#[cfg(not(target_os = "linux"))]
fn lower_priority() {
    tracing::debug!(NICE, "this system has no priority of a thread");
}

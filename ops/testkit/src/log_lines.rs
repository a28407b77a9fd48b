//! The log lines of a test, as JSON.
//!
//! One subscriber serves the whole process and sorts lines by thread. A subscriber per thread would
//! miss lines while other tests run: which lines anyone wants is remembered for the process.

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Mutex, Once, PoisonError};

use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

thread_local! {
    static CAPTURING: RefCell<Option<LogLines>> = const { RefCell::new(None) };
}

/// Lines that the thread of a test writes, and with it the tasks of its runtime if that has no other
/// thread.
#[derive(Clone, Default, Debug)]
pub struct LogLines(Arc<Mutex<Vec<u8>>>);

/// Ends the capture when it is dropped.
#[derive(Debug)]
pub struct Capturing(());

impl Drop for Capturing {
    fn drop(&mut self) {
        CAPTURING.with_borrow_mut(|capturing| *capturing = None);
    }
}

impl LogLines {
    /// Captures lines until the guard is dropped.
    pub fn capture() -> (Self, Capturing) {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            let subscriber = tracing_subscriber::fmt()
                .json()
                .flatten_event(true)
                .with_span_list(true)
                .with_writer(ToCapturing)
                .finish();
            tracing::subscriber::set_global_default(subscriber)
                .unwrap_or_else(|error| panic!("capture log lines: {error}"));
        });
        let lines = Self::default();
        CAPTURING.with_borrow_mut(|capturing| *capturing = Some(lines.clone()));
        (lines, Capturing(()))
    }

    /// All lines as they were written.
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The lines with this message.
    pub fn of(&self, message: &str) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line.get("message").is_some_and(|it| it == message)).collect()
    }
}

impl io::Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to what the thread captures; elsewhere into nothing.
struct ToCapturing;

impl MakeWriter<'_> for ToCapturing {
    type Writer = LogLines;

    fn make_writer(&self) -> LogLines {
        CAPTURING.with_borrow(Clone::clone).unwrap_or_default()
    }
}

//! Logs and metrics, set up once per process.
//!
//! A service logs to standard output, a line per event, as JSON in production and as text for people;
//! a tool logs to standard error, because its standard output is its answer. Each JSON line carries
//! the service, the causes of its error and the fields of its spans, so a request's id is on all its
//! lines. Redaction is by type: a field that must not be seen is a [`Secret`](crate::config::Secret)
//! or sealed, whose `Debug` shows nothing.

mod filter;
mod lines;
mod numbers;

use std::fs::File;
use std::io;
use std::str::FromStr;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use self::filter::{InvalidLogFilter, LogFilter};
pub use self::lines::LOG_LINES;
use self::lines::{CountLines, ServiceJson};
pub(crate) use self::numbers::sample;

/// Upper bounds in seconds for every histogram whose name ends in `_seconds`: from a cache hit to a
/// gateway that gave up.
const SECONDS_BUCKETS: [f64; 14] =
    [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Pause between two tidyings of the metrics: every sample of a histogram is kept until then.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// The name of the thread that does it.
const UPKEEP_THREAD: &str = "metrics-upkeep";

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    #[default]
    Json,
    /// Text, for people.
    Text,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err("expected json or text"),
        }
    }
}

/// Starts logging with the default filter. A second call in the same process changes nothing.
pub fn init(service: &'static str, format: LogFormat) {
    init_filtered(service, format, &LogFilter::default());
}

/// Starts logging what `filter` lets through. A second call in the same process changes nothing.
pub fn init_filtered(service: &'static str, format: LogFormat, filter: &LogFilter) {
    start(service, format, filter, io::stdout);
}

/// Starts logging for a tool: warnings, as text, to standard error.
pub fn init_tool(service: &'static str) {
    start(service, LogFormat::Text, &LogFilter::warnings(), io::stderr);
}

/// Starts logging into `file` what `filter` lets through.
pub fn init_file(service: &'static str, format: LogFormat, filter: &LogFilter, file: File) {
    start(service, format, filter, Mutex::new(file));
}

fn start<W>(service: &'static str, format: LogFormat, filter: &LogFilter, out: W)
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    // Lines are counted from the first one on.
    drop(metrics());
    let lines = tracing_subscriber::registry().with(filter.targets()).with(CountLines);
    let layer = fmt::layer().with_writer(out);
    // Somebody else's subscriber (another service in this process, a test) is as good as ours.
    drop(match format {
        LogFormat::Json => {
            let layer = layer.fmt_fields(JsonFields::new());
            lines.with(layer.event_format(ServiceJson::new(service))).try_init()
        }
        LogFormat::Text => lines.with(layer.with_ansi(false)).try_init(),
    });
}

/// The recorder behind all `metrics` macros, installed at the first call; render it with
/// [`PrometheusHandle::render`].
pub fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let builder = PrometheusBuilder::new();
            let recorder = builder
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)
                .unwrap_or_else(|_| PrometheusBuilder::new())
                .build_recorder();
            let handle = recorder.handle();
            // A recorder that stands already (a test's) stays; ours then renders nothing.
            drop(metrics::set_global_recorder(recorder));
            lines::describe();
            numbers::describe();
            keep_small(handle.clone());
            handle
        })
        .clone()
}

/// Without it a process that is not scraped, or has no address to be scraped at, would keep every
/// sample it ever took. A thread, because a recorder needs no async runtime. Where none can be
/// started, a scrape does the same.
fn keep_small(handle: PrometheusHandle) {
    let upkeep = move || {
        loop {
            std::thread::park_timeout(UPKEEP_INTERVAL);
            handle.run_upkeep();
        }
    };
    drop(std::thread::Builder::new().name(UPKEEP_THREAD.to_owned()).spawn(upkeep));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::config::Secret;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn logged(work: impl FnOnce()) -> (String, Value) {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(lines.clone())
            .fmt_fields(JsonFields::new())
            .event_format(ServiceJson::new("checkout-api"))
            .finish();
        tracing::subscriber::with_default(subscriber, work);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let value = serde_json::from_str(&text).unwrap();
        (text, value)
    }

    #[test]
    fn a_line_carries_service_target_and_span_fields() {
        let (_, line) = logged(|| {
            let span = tracing::info_span!("request", request_id = "req-7");
            span.in_scope(|| tracing::info!(order.id = "o-1", "order placed"));
        });
        assert_eq!(line["service"], "checkout-api");
        assert_eq!(line["message"], "order placed");
        assert_eq!(line["order.id"], "o-1");
        assert_eq!(line["spans"][0]["request_id"], "req-7");
        assert!(line["target"].as_str().unwrap().starts_with("service_kit"));
    }

    #[test]
    fn a_secret_in_a_field_is_not_written() {
        let secret = Secret::from("hunter2");
        let (text, _) = logged(|| tracing::info!(?secret, "connecting"));
        assert!(!text.contains("hunter2") && text.contains("***"), "{text}");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("listen on 127.0.0.1:80")]
    struct Listen(#[source] io::Error);

    #[test]
    fn a_line_carries_the_causes_of_its_error() {
        let error = Listen(io::Error::from(io::ErrorKind::AddrInUse));
        let error: &(dyn std::error::Error + 'static) = &error;
        let (_, line) = logged(|| tracing::error!(error, "checkout-api ended"));
        assert_eq!(line["error"], "listen on 127.0.0.1:80");
        assert_eq!(line["error.sources"], json!(["address in use"]));
        let (text, _) = logged(|| tracing::info!("no error"));
        assert!(!text.contains("sources"), "{text}");
    }

    #[test]
    fn lines_are_counted_by_level_as_the_filter_lets_them_through() {
        drop(metrics());
        let filter: LogFilter = "warn".parse().unwrap();
        let subscriber = tracing_subscriber::registry().with(filter.targets()).with(CountLines);
        let counted = |level| {
            let name = format!("{LOG_LINES}{{level=\"{level}\"}} ");
            let shown = metrics().render();
            shown.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok())
        };
        let before = counted("warn").unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!("counted");
            tracing::trace!("filtered out");
        });
        assert!(before < counted("warn").unwrap());
        assert_eq!(counted("trace"), None);
    }

    #[test]
    fn the_numbers_of_the_process_are_there_and_samples_are_tidied_up() {
        drop(metrics());
        sample();
        let shown = metrics().render();
        for name in [numbers::BUILD_INFO, numbers::MEMORY_BYTES, numbers::FDS_OPEN] {
            assert!(shown.contains(&format!("# HELP {name} ")), "{name} in {shown}");
            assert!(shown.lines().any(|line| line.starts_with(name)), "{name} in {shown}");
        }
        let is_there = || {
            let threads = std::fs::read_dir("/proc/self/task").unwrap();
            let name_of =
                |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
            let mut names = threads.filter_map(|task| name_of(task.ok()?).ok());
            names.any(|name| name.trim() == UPKEEP_THREAD)
        };
        // A thread names itself once it runs.
        let begun = std::time::Instant::now();
        while !is_there() {
            assert!(begun.elapsed() < Duration::from_secs(30), "no thread tidies up");
            std::thread::yield_now();
        }
    }

    #[test]
    fn starting_twice_is_starting_once() {
        init("checkout-api", LogFormat::Text);
        init("storefront-api", LogFormat::Json);
        metrics();
        metrics::counter!("service_kit_test_total").increment(2);
        assert!(metrics().render().contains("service_kit_test_total 2"));
    }

    #[test]
    fn formats_are_read_by_name() {
        assert_eq!("text".parse(), Ok(LogFormat::Text));
        assert_eq!("yaml".parse::<LogFormat>(), Err("expected json or text"));
    }
}

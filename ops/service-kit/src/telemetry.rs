//! Logs and metrics, set up once per process.
//!
//! Logs go to standard output, a line per event, as JSON in production and as text for people. Each
//! JSON line carries the service and the fields of its spans, so a request's id is on all its lines.
//! Redaction is by type: a field that must not be seen is a [`Secret`](crate::config::Secret) or
//! sealed, whose `Debug` shows nothing.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What is logged when nothing else is asked for: our own words and others' warnings.
pub const FILTER_DEFAULT: &str = "info,hyper=warn,tokio_postgres=warn,poem=warn,refinery_core=warn";

/// Upper bounds in seconds for every histogram whose name ends in `_seconds`: from a cache hit to a
/// gateway that gave up.
const SECONDS_BUCKETS: [f64; 14] =
    [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

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

/// Starts logging with [`FILTER_DEFAULT`]. A second call in the same process changes nothing.
pub fn init(service: &'static str, format: LogFormat) {
    init_filtered(service, format, FILTER_DEFAULT);
}

/// Starts logging what `filter` lets through (`info,projections=debug`); a filter that cannot be
/// read falls back to [`FILTER_DEFAULT`]. A second call in the same process changes nothing.
pub fn init_filtered(service: &'static str, format: LogFormat, filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new(FILTER_DEFAULT));
    let lines = tracing_subscriber::fmt().with_env_filter(filter);
    // Somebody else's subscriber (another service in this process, a test) is as good as ours.
    drop(match format {
        LogFormat::Json => {
            lines.fmt_fields(JsonFields::new()).event_format(ServiceJson::new(service)).try_init()
        }
        LogFormat::Text => lines.with_ansi(false).try_init(),
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
            handle
        })
        .clone()
}

/// JSON lines that begin with the service's name.
struct ServiceJson {
    service: &'static str,
    json: Format<Json, SystemTime>,
}

impl ServiceJson {
    fn new(service: &'static str) -> Self {
        let json = Format::default().json().flatten_event(true).with_span_list(true);
        Self { service, json: json.with_current_span(false) }
    }
}

impl<S, N> FormatEvent<S, N> for ServiceJson
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.json.format_event(ctx, Writer::new(&mut line), event)?;
        // The service is a constant of ours, so it needs no escaping.
        match line.strip_prefix('{') {
            Some(rest) => write!(writer, r#"{{"service":"{}",{rest}"#, self.service),
            None => writer.write_str(&line),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing_subscriber::fmt::MakeWriter;

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

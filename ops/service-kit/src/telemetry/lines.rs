//! How a JSON log line looks, and how lines are counted.

use std::error::Error;
use std::fmt;

use metrics::{Unit, counter, describe_counter};
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::{Format, Json, Writer};
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::causes::sources;

/// Log lines written, by level. Alerts: more than ten errors in a minute, twenty warnings in five.
pub const LOG_LINES: &str = "log_lines_total";

pub(super) fn describe() {
    describe_counter!(LOG_LINES, Unit::Count, "log lines written, by level");
    // An alert on an increase needs the zero before it.
    for level in ["error", "warn"] {
        counter!(LOG_LINES, "level" => level).increment(0);
    }
}

/// Counts the lines that the filter before it lets through.
pub(super) struct CountLines;

impl<S: Subscriber> Layer<S> for CountLines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        counter!(LOG_LINES, "level" => level).increment(1);
    }
}

/// JSON lines that begin with the service's name. An error's causes stand in a list beside it, as
/// `error.sources`, where the text format has them too.
pub(super) struct ServiceJson {
    service: &'static str,
    json: Format<Json, SystemTime>,
}

impl ServiceJson {
    pub(super) fn new(service: &'static str) -> Self {
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
        let Some(rest) = line.strip_prefix('{') else {
            return writer.write_str(&line);
        };
        // The service is a constant of ours, so it needs no escaping.
        write!(writer, r#"{{"service":"{}","#, self.service)?;
        let mut sources = Sources::default();
        event.record(&mut sources);
        for (name, list) in sources.0 {
            write!(writer, "{}:{list},", json!(format!("{name}.sources")))?;
        }
        writer.write_str(rest)
    }
}

/// The causes of the errors among an event's fields, by field.
#[derive(Default)]
struct Sources(Vec<(&'static str, Value)>);

impl Visit for Sources {
    fn record_debug(&mut self, _field: &Field, _value: &dyn fmt::Debug) {}

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let list: Vec<String> = sources(value).map(ToString::to_string).collect();
        if !list.is_empty() {
            self.0.push((field.name(), json!(list)));
        }
    }
}

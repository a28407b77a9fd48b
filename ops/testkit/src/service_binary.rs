//! What every service of the shop shows of itself as a process: metrics, log lines, readiness, exit codes.

use std::net::TcpListener;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::binary::{Binary, body_at, promtool};
use crate::database::TestDatabase;
use crate::roles::Login;

/// Refuses every connection.
const NO_DATABASE: &str = "postgres://nobody@127.0.0.1:1/nothing";
/// Longest until a service has ended that has nothing to finish. It may be in the second of two attempts to
/// connect, of two seconds each, on a busy machine.
const STOP_WAIT_MAX: Duration = Duration::from_secs(10);

/// A service as its tests start it.
#[derive(Debug, Clone)]
pub struct ServiceBinary {
    /// Where the binary lies.
    pub path: &'static str,
    /// What makes it work rather than answer a question.
    pub arguments: &'static [&'static str],
    /// The name of its operators' listener.
    pub ops: &'static str,
    /// The variable with the address of that listener.
    pub ops_variable: &'static str,
    /// Who it logs in as.
    pub login: Login,
    /// All it needs, save `DATABASE_URL`; its listeners on free ports.
    pub settings: Vec<(&'static str, &'static str)>,
}

/// Each method panics when the service does otherwise than its name says.
impl ServiceBinary {
    /// Starts it on the database at `url`.
    pub fn start(&self, url: &str) -> Binary {
        Binary::start(self.path, self.arguments, &self.settings_with(url, &[]))
    }

    /// The settings on the database at `url`, with others instead of or beside its own.
    pub fn settings_with<'a>(
        &self,
        url: &'a str,
        others: &[(&'a str, &'a str)],
    ) -> Vec<(&'a str, &'a str)> {
        let mut settings = vec![("DATABASE_URL", url)];
        settings.extend_from_slice(&self.settings);
        settings.extend_from_slice(others);
        settings
    }

    /// Every metric has a help text and a name that Prometheus likes.
    pub async fn describes_its_metrics(&self) {
        let database = TestDatabase::fresh().await;
        let process = self.start(&database.url_as(self.login));
        let ops = process.address_of(self.ops).await;
        body_at(ops, "/health/ready").await;
        let metrics = body_at(ops, "/metrics").await;
        assert!(metrics.contains("pillivery_build_info{"), "{metrics}");
        assert!(metrics.contains("postgres_pool_waiting{"), "{metrics}");
        assert_eq!(promtool(&metrics).await, "", "{metrics}");
    }

    /// SIGTERM ends it with 0 and without a warning.
    pub async fn stops_without_a_warning(&self) {
        let database = TestDatabase::fresh().await;
        let process = self.start(&database.url_as(self.login));
        process.address_of(self.ops).await;
        let (code, lines) = process.stop().await;
        assert_eq!(code, Some(0), "{lines:?}");
        let is_fault = |line: &String| line.contains(r#""WARN""#) || line.contains(r#""ERROR""#);
        assert!(!lines.iter().any(is_fault), "{lines:?}");
    }

    /// It does not run without its operators' listener, and names the address that is taken.
    pub async fn names_a_taken_ops_address(&self) {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("{error}"));
        let address = taken.local_addr().unwrap_or_else(|error| panic!("{error}")).to_string();
        let output = self.output(NO_DATABASE, &[(self.ops_variable, address.as_str())]).await;
        let log = all(&output);
        assert!(!output.status.success(), "{log}");
        assert!(log.contains(&address) && log.contains("Address already in use"), "{log}");
    }

    /// It does not run with a filter of log lines that cannot be read.
    pub async fn names_a_mistyped_filter(&self) {
        let output = self.output(NO_DATABASE, &[("LOG_FILTER", "infos")]).await;
        let log = all(&output);
        assert!(!output.status.success() && log.contains("LOG_FILTER: expected"), "{log}");
    }

    /// It ends with 3 when its login could change the log.
    pub async fn refuses_a_login_that_owns_the_log(&self) {
        let database = TestDatabase::fresh().await;
        let output = self.output(&database.url_as(Login::Migrator), &[]).await;
        let log = all(&output);
        assert_eq!(output.status.code(), Some(3), "{log}");
        assert!(log.contains("a superuser or an owner of the log"), "{log}");
    }

    /// It is not ready on a database without migrations, and says that the schema is what it lacks.
    pub async fn names_a_missing_schema(&self) {
        let database = TestDatabase::empty().await;
        let process = self.start(&database.url_as(self.login));
        let ops = process.address_of(self.ops).await;
        let body = body_at(ops, "/health/ready").await;
        let ready: Value = serde_json::from_str(&body).unwrap_or_default();
        assert_eq!(ready["status"], "unready", "{body}");
        assert_eq!(ready["dependencies"]["postgres"]["status"], "up", "{body}");
        assert_eq!(ready["dependencies"]["schema"]["status"], "down", "{body}");
    }

    /// SIGINT and SIGTERM end it with 0 while it waits for a database that takes connections and never
    /// answers.
    pub async fn stops_while_it_waits_for_a_database(&self) {
        // Connections wait in the backlog.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("{error}"));
        let address = silent.local_addr().unwrap_or_else(|error| panic!("{error}"));
        for signal in ["INT", "TERM"] {
            let process = self.start(&format!("postgres://nobody@{address}/nothing"));
            process.address_of(self.ops).await;
            let begun = Instant::now();
            let (code, lines) = process.stop_with(signal).await;
            assert_eq!(code, Some(0), "{signal}: {lines:?}");
            let took = begun.elapsed();
            assert!(took < STOP_WAIT_MAX, "{signal}: {took:?}: {lines:?}");
        }
    }

    async fn output(&self, url: &str, others: &[(&str, &str)]) -> Output {
        Binary::output(self.path, self.arguments, &self.settings_with(url, others)).await
    }
}

fn all(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

//! A Redis of one's own, on a port of its own, with its data in a directory of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use crate::account::{Account, make_passable, program_in};
use crate::error::{BoxError, ServiceError};
use crate::eventually::found_within;
use crate::postgres::Life;
use crate::process::{Service, free_port};

/// How long a server may take to answer after its start.
const READY_WAIT_MAX: Duration = Duration::from_secs(30);
/// How often another port is tried when the one found was taken in between.
const PORT_ATTEMPTS_MAX: usize = 5;
/// How many numbered databases it has; each test takes one.
pub(crate) const DATABASES: u32 = 1024;

/// A running Redis of our own. Stopped when dropped, and when this process dies.
#[derive(Debug)]
pub struct PrivateRedis {
    service: Service,
    layout: Layout,
    port: u16,
    tls_port: OnceLock<u16>,
}

#[derive(Debug, Clone)]
struct Layout {
    program: PathBuf,
    dir: PathBuf,
    life: Life,
}

impl PrivateRedis {
    /// Starts a server with its data under `dir`, on `port` of the loopback interface (0 for any
    /// free one). Data that is there already is used.
    ///
    /// # Errors
    /// Redis is not installed or does not start; the error holds the end of its log.
    pub async fn start(dir: impl AsRef<Path>, port: u16) -> Result<Self, ServiceError> {
        Self::start_with(dir.as_ref(), port, Life::Ours).await
    }

    pub(crate) async fn start_with(
        dir: &Path,
        port: u16,
        life: Life,
    ) -> Result<Self, ServiceError> {
        let dir = make_passable(dir)?;
        let program = program_in(&["/usr/bin".into(), "/usr/local/bin".into()], "redis-server")
            .ok_or(ServiceError::NotInstalled { program: "Redis", package: "redis-server" })?;
        let layout = Layout { program, dir, life };
        let (service, port) = layout.start_on(port).await?;
        Ok(Self { service, layout, port, tls_port: OnceLock::new() })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of its first database.
    pub fn url(&self) -> String {
        url(self.port)
    }

    /// Serves TLS with this certificate and key, both as PEM, on a port of its own as well, which is
    /// returned. Called again, it serves new connections with another certificate.
    ///
    /// # Errors
    /// Redis refuses them, for example because it was built without TLS.
    pub async fn encrypt(&self, certificate: &str, key: &str) -> Result<u16, ServiceError> {
        self.serve_certificate(certificate, key)
            .await
            .map_err(|source| ServiceError::Refused { what: "serve over TLS", source })
    }

    async fn serve_certificate(&self, certificate: &str, key: &str) -> Result<u16, BoxError> {
        let files = [("tls.crt", certificate), ("tls.key", key)].map(|(file, text)| {
            let path = self.layout.dir.join(file);
            std::fs::write(&path, text).map(|()| path)
        });
        let [certificate, key] = files;
        let port = self.tls_port.get_or_init(free_port);
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("CONFIG")
            .arg("SET")
            .arg("tls-auth-clients")
            .arg("no")
            .arg("tls-cert-file")
            .arg(certificate?.as_os_str().as_encoded_bytes())
            .arg("tls-key-file")
            .arg(key?.as_os_str().as_encoded_bytes())
            .arg("tls-port")
            .arg(*port)
            .exec_async(&mut connection)
            .await?;
        Ok(*port)
    }

    /// Stops it cleanly and starts it again on the same port; the data is still there.
    ///
    /// # Errors
    /// It does not start again.
    pub async fn restart(&mut self) -> Result<(), ServiceError> {
        self.service.stop().await;
        self.service = self.layout.start_on(self.port).await?.0;
        Ok(())
    }

    /// Stops it cleanly. The data stays.
    pub async fn stop(mut self) {
        self.service.stop().await;
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.service.pid()
    }

    /// Lets a shared server live on without us.
    pub(crate) fn detach(self) {
        self.service.detach();
    }
}

impl Layout {
    fn log(&self) -> PathBuf {
        self.dir.join("redis.log")
    }

    async fn start_on(&self, port: u16) -> Result<(Service, u16), ServiceError> {
        let attempts = if port == 0 { PORT_ATTEMPTS_MAX } else { 1 };
        let mut outcome = Err(ServiceError::not_ready("redis-server", &self.log()));
        for _ in 0..attempts {
            let candidate = if port == 0 { free_port() } else { port };
            outcome = self.start_once(candidate).await.map(|service| (service, candidate));
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    async fn start_once(&self, port: u16) -> Result<Service, ServiceError> {
        let log = File::create(self.log()).map_err(ServiceError::io("open the server's log"))?;
        let data = self.dir.join("redis");
        std::fs::create_dir_all(&data).map_err(ServiceError::io("make the redis directory"))?;
        let death_signal = (self.life == Life::Ours).then_some("TERM");
        let mut command = Account::Own.command(&self.program, death_signal);
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "yes", "--databases", &DATABASES.to_string()]);
        command.arg("--dir").arg(&data);
        let mut service = Service::start(command, "TERM", &log)
            .map_err(ServiceError::io("start redis-server"))?;
        let pid = service.pid();
        let answered = found_within(READY_WAIT_MAX, || {
            let has_ended = service.has_ended();
            async move {
                let is_ready = !has_ended && answering_pid(&url(port)).await == pid;
                (has_ended || is_ready).then_some(is_ready)
            }
        });
        if answered.await == Some(true) {
            return Ok(service);
        }
        Err(ServiceError::not_ready("redis-server", &self.log()))
    }
}

fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}

/// The process that answers at `url`, so that another server on the same port is not taken for ours.
pub(crate) async fn answering_pid(url: &str) -> Option<u32> {
    let client = redis::Client::open(url).ok()?;
    let mut connection = client.get_multiplexed_async_connection().await.ok()?;
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await.ok()?;
    info.lines().find_map(|line| line.strip_prefix("process_id:")?.trim().parse().ok())
}

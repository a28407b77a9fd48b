//! A PostgreSQL of one's own, on a port of its own, with its data in a directory of its own.
//!
//! Uses the server programs the machine has, never a server it runs. Works as root (under another
//! account) and as a normal user. A directory belongs to one live process; a server left there by a
//! process that was killed is stopped first and its data is kept.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::RngExt;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

use crate::account::{Account, make_passable, program_in};
use crate::error::{BoxError, ServiceError};
use crate::eventually::found_within;
use crate::process::{self, Service, free_port, signal};
use crate::roles::{Login, Logins};

/// How long a server may take to answer after its start; recovery after a crash is part of it.
const READY_WAIT_MAX: Duration = Duration::from_mins(1);
/// How long a server left behind may take to end.
const ORPHAN_WAIT_MAX: Duration = Duration::from_secs(30);
/// How often another port is tried when the one found was taken in between.
const PORT_ATTEMPTS_MAX: usize = 5;
/// How long a server may take to greet us.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);
/// The superuser of a private server.
const SUPERUSER: &str = "pillivery";
/// A path to a socket may have 107 bytes, and the server adds a name of up to 17.
const SOCKET_DIR_BYTES_MAX: usize = 88;

/// What is promised about data after a crash of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// PostgreSQL's own defaults: what was committed stays.
    Durable,
    /// Nothing, in exchange for speed; for tests. A crash of a process alone loses nothing.
    Fast,
}

/// A running PostgreSQL of our own. Stopped when dropped, and when this process dies.
#[derive(Debug)]
pub struct PrivatePostgres {
    service: Service,
    layout: Layout,
    port: u16,
    /// Held for as long as the directory is ours.
    _lock: File,
}

/// Everything that stays the same over restarts.
#[derive(Debug, Clone)]
struct Layout {
    programs: PathBuf,
    account: Account,
    dir: PathBuf,
    durability: Durability,
    life: Life,
}

/// Whether a server ends with the process that started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It ends with us.
    Ours,
    /// It may outlive us; somebody else sees to its end.
    Shared,
}

impl PrivatePostgres {
    /// Starts a server with its data under `dir`, on `port` of the loopback interface (0 for any
    /// free one). Data that is there already is used.
    ///
    /// # Errors
    /// PostgreSQL is not installed, the directory is in use or out of its account's reach, or the
    /// server does not start; the error holds the end of its log.
    pub async fn start(
        dir: impl AsRef<Path>,
        port: u16,
        durability: Durability,
    ) -> Result<Self, ServiceError> {
        Self::start_with(dir.as_ref(), port, durability, Life::Ours).await
    }

    pub(crate) async fn start_with(
        dir: &Path,
        port: u16,
        durability: Durability,
        life: Life,
    ) -> Result<Self, ServiceError> {
        let dir = make_passable(dir)?;
        let lock = lock(&dir)?;
        let programs = programs()?;
        let layout = Layout { programs, account: Account::for_postgres()?, dir, durability, life };
        layout.account.reaches(&layout.dir).await?;
        layout.initialise().await?;
        layout.end_orphan().await;
        let (service, port) = layout.start_on(port).await?;
        Ok(Self { service, layout, port, _lock: lock })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of its maintenance database, as its superuser.
    pub fn url(&self) -> String {
        self.layout.url(self.port, "postgres")
    }

    /// Makes the database's roles and a login for each process, with passwords that hold until the
    /// next call.
    ///
    /// # Errors
    /// The server is unavailable or refuses a statement.
    pub async fn logins(&self) -> Result<Logins, ServiceError> {
        let made = async { Logins::make(&connect(&self.url()).await?, new_password).await };
        made.await.map_err(|source| ServiceError::Refused { what: "make the roles", source })
    }

    /// The URL of the database `name` (a plain identifier), as superuser. A database that is not
    /// there is made, and belongs to the migrator's role when there is one.
    ///
    /// # Errors
    /// The server is away or refuses the name.
    pub async fn database(&self, name: &str) -> Result<String, ServiceError> {
        self.make_database(name)
            .await
            .map_err(|source| ServiceError::Refused { what: "make a database", source })?;
        Ok(self.layout.url(self.port, name))
    }

    /// Serves new connections over TLS with this certificate and key, both as PEM.
    ///
    /// # Errors
    /// The server is away or cannot use them.
    pub async fn encrypt(&self, certificate: &str, key: &str) -> Result<(), ServiceError> {
        self.store_certificate(certificate, key)
            .await
            .map_err(|source| ServiceError::Refused { what: "serve over TLS", source })
    }

    async fn store_certificate(&self, certificate: &str, key: &str) -> Result<(), BoxError> {
        let client = connect(&self.url()).await?;
        for (file, text) in [("server.crt", certificate), ("server.key", key)] {
            // The server writes them itself, so that they belong to its account. It refuses a key
            // that others may read.
            let lines = text.trim().replace('\'', "").replace('\n', "'), ('");
            let write = format!("umask 077; cat > {file}");
            client
                .batch_execute(&format!("copy (values ('{lines}')) to program '{write}'"))
                .await?;
        }
        client.batch_execute("alter system set ssl = on").await?;
        client.batch_execute("select pg_reload_conf()").await?;
        Ok(())
    }

    async fn make_database(&self, name: &str) -> Result<(), BoxError> {
        let client = connect(&self.url()).await?;
        let look = "select 1 from pg_database where datname = $1";
        if client.query_opt(look, &[&name]).await?.is_none() {
            let name = name.replace('"', "\"\"");
            client.batch_execute(&format!("create database \"{name}\"")).await?;
            let owner = Login::Migrator.group();
            let has_roles = "select 1 from pg_roles where rolname = $1";
            if client.query_opt(has_roles, &[&owner]).await?.is_some() {
                let give = format!("alter database \"{name}\" owner to {owner}");
                client.batch_execute(&give).await?;
            }
        }
        Ok(())
    }

    /// Stops it cleanly (open sessions are ended) and starts it again on the same port.
    ///
    /// # Errors
    /// It does not start again.
    pub async fn restart(&mut self) -> Result<(), ServiceError> {
        self.service.stop().await;
        self.service = self.layout.start_on(self.port).await?.0;
        Ok(())
    }

    /// Ends it without a checkpoint, as a crash would, and starts it again on the same port.
    ///
    /// # Errors
    /// It does not start again.
    pub async fn crash_and_restart(&mut self) -> Result<(), ServiceError> {
        self.service.stop_with("QUIT").await;
        self.service = self.layout.start_on(self.port).await?.0;
        Ok(())
    }

    /// Stops it cleanly; open sessions are ended. The data stays.
    pub async fn stop(mut self) {
        self.service.stop().await;
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.service.pid()
    }

    /// Lets the server live on without us: what a shared one is meant for, and for a private one
    /// what the death of its owner looks like to the next [`start`](Self::start).
    pub fn leave_behind(self) {
        self.service.detach();
    }
}

impl Layout {
    fn data(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("postgres.log")
    }

    fn password_file(&self) -> PathBuf {
        self.dir.join("postgres.password")
    }

    /// Letters and digits, or empty where none is asked for.
    fn password(&self) -> String {
        fs::read_to_string(self.password_file()).unwrap_or_default().trim().to_owned()
    }

    fn url(&self, port: u16, database: &str) -> String {
        let password = self.password();
        let separator = if password.is_empty() { "" } else { ":" };
        format!("postgres://{SUPERUSER}{separator}{password}@127.0.0.1:{port}/{database}")
    }

    /// Makes the data directory, once. Made aside and then renamed, so that a start that was cut
    /// off leaves nothing that looks like data.
    async fn initialise(&self) -> Result<(), ServiceError> {
        let data = self.data();
        if data.exists() {
            return self.check_version();
        }
        let aside = self.dir.join("postgres.new");
        if aside.exists() {
            fs::remove_dir_all(&aside).map_err(ServiceError::io("remove a half-made cluster"))?;
        }
        self.account.make_dir(&aside)?;
        let mut initdb = self.account.command(&self.programs.join("initdb"), Some("TERM"));
        initdb.args(["--username", SUPERUSER, "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
        initdb.arg("--pgdata").arg(&aside);
        match self.durability {
            Durability::Fast => {
                initdb.arg("--auth=trust");
            }
            Durability::Durable => {
                initdb.arg("--auth=scram-sha-256");
                // `initdb` reads it under the other account, which our directory is closed to.
                let handed = self.dir.join("postgres.new").join("password");
                write_private(&self.password_file(), &new_password())?;
                write_readable(&handed, &self.password(), &self.account)?;
                let moved = self.dir.join("postgres.handed");
                fs::rename(&handed, &moved).map_err(ServiceError::io("hand a password over"))?;
                initdb.arg("--pwfile").arg(&moved);
            }
        }
        let made = process::run(initdb, "initdb").await;
        drop(fs::remove_file(self.dir.join("postgres.handed")));
        made?;
        fs::rename(&aside, &data).map_err(ServiceError::io("put the new cluster in place"))
    }

    fn check_version(&self) -> Result<(), ServiceError> {
        let data = self.data();
        let made_by = fs::read_to_string(data.join("PG_VERSION")).unwrap_or_default();
        let shown = Command::new(self.programs.join("postgres"))
            .arg("--version")
            .output()
            .map_err(ServiceError::io("postgres --version"))?;
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let ours = shown.split_whitespace().nth(2).and_then(|version| version.split('.').next());
        if ours.is_some_and(|ours| ours == made_by.trim()) {
            return Ok(());
        }
        Err(ServiceError::OtherVersion(data))
    }

    /// Ends a server that a killed process left in this directory. Only called with the lock held,
    /// so its owner is gone.
    async fn end_orphan(&self) {
        let Some(pid) = self.running_pid() else {
            return;
        };
        tracing::info!(pid, "stopping a PostgreSQL that was left behind");
        signal(pid, "INT");
        let gone = || async { self.running_pid().is_none().then_some(()) };
        if found_within(ORPHAN_WAIT_MAX, gone).await.is_none() {
            signal(pid, "QUIT");
            found_within(ORPHAN_WAIT_MAX, gone).await;
        }
    }

    /// The server that runs on our data, if one does.
    fn running_pid(&self) -> Option<u32> {
        let data = self.data();
        let file = fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let pid: u32 = file.lines().next()?.trim().parse().ok()?;
        // A pid may have been given to somebody else since; the command line tells.
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let ours = data.to_string_lossy().into_owned();
        String::from_utf8_lossy(&command).contains(&ours).then_some(pid)
    }

    /// Starts the server and waits until it answers. Port 0 means any free one, and a port that was
    /// taken in between is replaced by another.
    async fn start_on(&self, port: u16) -> Result<(Service, u16), ServiceError> {
        let attempts = if port == 0 { PORT_ATTEMPTS_MAX } else { 1 };
        let mut outcome = Err(ServiceError::not_ready("postgres", &self.log()));
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
        let death_signal = (self.life == Life::Ours).then_some("INT");
        let mut command = self.account.command(&self.programs.join("postgres"), death_signal);
        command.arg("-D").arg(self.data());
        for setting in self.settings(port)? {
            command.args(["-c", &setting]);
        }
        let mut service =
            Service::start(command, "INT", &log).map_err(ServiceError::io("start postgres"))?;
        let url = self.url(port, "postgres");
        let answered = found_within(READY_WAIT_MAX, || {
            let has_ended = service.has_ended();
            let url = url.clone();
            async move {
                let is_ready = !has_ended && self.answers(&url).await;
                (has_ended || is_ready).then_some(is_ready)
            }
        });
        if answered.await == Some(true) {
            return Ok(service);
        }
        Err(ServiceError::not_ready("postgres", &self.log()))
    }

    /// Whether our server, and not another on the same port, takes statements there.
    async fn answers(&self, url: &str) -> bool {
        let Ok(client) = connect(url).await else {
            return false;
        };
        let Ok(row) = client.query_one("show data_directory", &[]).await else {
            return false;
        };
        let shown: &str = row.get(0);
        Path::new(shown) == self.data()
    }

    fn settings(&self, port: u16) -> Result<Vec<String>, ServiceError> {
        let sockets = self.dir.join("sockets");
        let sockets = if sockets.as_os_str().len() <= SOCKET_DIR_BYTES_MAX {
            self.account.make_dir(&sockets)?;
            sockets.display().to_string()
        } else {
            String::new()
        };
        let mut settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            format!("unix_socket_directories={sockets}"),
            // Many test processes, or all processes of the shop and their pools, at once.
            "max_connections=400".to_owned(),
            "log_min_messages=warning".to_owned(),
            "timezone=UTC".to_owned(),
            "log_timezone=UTC".to_owned(),
        ];
        if self.durability == Durability::Fast {
            for setting in ["fsync=off", "synchronous_commit=off", "full_page_writes=off"] {
                settings.push(setting.to_owned());
            }
        }
        Ok(settings)
    }
}

fn lock(dir: &Path) -> Result<File, ServiceError> {
    let path = dir.join("postgres.lock");
    let file = File::create(&path).map_err(ServiceError::io("open the lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ServiceError::InUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => {
            Err(ServiceError::Io { what: "take the lock".to_owned(), source })
        }
    }
}

/// The folder of the newest server programs the machine has.
fn programs() -> Result<PathBuf, ServiceError> {
    let mut folders = Vec::new();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        folders.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    folders.extend(versions.into_iter().rev().map(|(_, folder)| folder));
    program_in(&folders, "initdb")
        .and_then(|program| program.canonicalize().ok())
        .and_then(|program| program.parent().map(Path::to_owned))
        .filter(|folder| folder.join("postgres").is_file())
        .ok_or(ServiceError::NotInstalled { program: "PostgreSQL", package: "postgresql" })
}

fn new_password() -> String {
    let random: u128 = rand::rng().random();
    format!("{random:032x}")
}

fn write_private(path: &Path, text: &str) -> Result<(), ServiceError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(ServiceError::io("write a password"))
}

fn write_readable(path: &Path, text: &str, account: &Account) -> Result<(), ServiceError> {
    write_private(path, text)?;
    match account {
        Account::Own => Ok(()),
        Account::Lent { uid, gid, .. } => std::os::unix::fs::chown(path, Some(*uid), Some(*gid))
            .map_err(ServiceError::io("hand a password over")),
    }
}

/// A connection whose task ends with the client.
pub(crate) async fn connect(url: &str) -> Result<Client, BoxError> {
    let mut config: tokio_postgres::Config = url.parse()?;
    config.application_name("testkit");
    // Whoever took our port may accept and then say nothing, so the whole greeting is bounded.
    let (client, connection) = timeout(CONNECT_WAIT_MAX, config.connect(NoTls)).await??;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection of the testkit ended");
        }
    });
    Ok(client)
}

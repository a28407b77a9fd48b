//! A database per test: migrated, its own, gone afterwards.
//!
//! The migrations run once per cluster and set of migrations, into a template; each test gets a
//! copy, which takes tens of milliseconds. No two tests share a row, so they run at the same time
//! and in any order.

use std::path::Path;
use std::thread;
use std::time::Duration;

use deadpool_postgres::Pool;
use service_kit::config::Secret;
use service_kit::pools::{self, PoolSettings};
use tokio::sync::OnceCell;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::postgres::connect;
use crate::redis::DATABASES;
use crate::roles::{self, Login};
use crate::shared::servers;

/// The set of migrations this build was made with.
const DIGEST: &str = env!("MIGRATIONS_DIGEST");
/// How many migrations that set has.
const MIGRATIONS: &str = env!("MIGRATIONS_COUNT");
/// Key of the advisory lock under which the template is made; ours alone on a cluster for tests.
const TEMPLATE_LOCK: i64 = 0x7069_6c6c_6976;
/// Connections a test may hold at once through [`TestDatabase::pool`].
const POOL_SIZE: usize = 16;
/// Longer than any honest statement of a test, short enough to end a deadlocked one.
const STATEMENT_WAIT_MAX: Duration = Duration::from_mins(1);

/// A database of one test. Dropped at its end, with every session that is still in it.
#[derive(Debug)]
pub struct TestDatabase {
    /// Its URL, as superuser.
    pub url: String,
    /// A pool into it.
    pub pool: Pool,
    name: String,
    server: String,
}

impl TestDatabase {
    /// A migrated database that nobody else uses.
    ///
    /// # Panics
    /// There is no PostgreSQL for tests, or the migrations fail.
    pub async fn fresh() -> Self {
        let server = &servers().await.postgres;
        let template = template(server).await;
        Self::create(server, &format!(r#"template "{template}""#)).await
    }

    /// A database without any migration, for tests of the migrations themselves.
    ///
    /// # Panics
    /// There is no PostgreSQL for tests.
    pub async fn empty() -> Self {
        Self::create(&servers().await.postgres, "template template0").await
    }

    async fn create(server: &str, source: &str) -> Self {
        // The process is part of the name, so that what a killed test leaves can be told from ours.
        let name = format!("t_{}_{}", std::process::id(), Uuid::now_v7().simple());
        let client = connect(server).await.unwrap_or_else(|error| panic!("connect: {error}"));
        execute(&client, &format!(r#"create database "{name}" {source}"#)).await;
        // What V017 set for the template is not copied.
        let path = format!(r#"alter database "{name}" set search_path = public, read_model"#);
        execute(&client, &path).await;
        let url = url_of(server, &name);
        let settings = PoolSettings {
            size_max: POOL_SIZE,
            wait_max: Duration::from_secs(30),
            statement_timeout: STATEMENT_WAIT_MAX,
            ..PoolSettings::named("test")
        };
        let pool = pools::postgres(&Secret::new(url.clone()), &settings)
            .unwrap_or_else(|error| panic!("pool: {error}"));
        Self { url, pool, name, server: server.to_owned() }
    }

    /// Its URL, as a process logs in. The role of [`Login::Migrator`] owns what lies in it.
    pub fn url_as(&self, login: Login) -> String {
        roles::url_as(login, &self.url)
    }

    /// A connection from the pool.
    ///
    /// # Panics
    /// None can be had.
    pub async fn client(&self) -> deadpool_postgres::Client {
        self.pool.get().await.unwrap_or_else(|error| panic!("connect: {error}"))
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        self.pool.close();
        let (server, name) = (self.server.clone(), self.name.clone());
        // Dropping cannot wait for a future, and the test's runtime may be ending.
        let done = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(async {
                    if let Ok(client) = connect(&server).await {
                        drop(client.batch_execute(&drop_statement(&name)).await);
                    }
                });
            }
        });
        drop(done.join());
    }
}

/// A numbered Redis database of one test, empty at its start. Channels are shared by all numbers.
#[derive(Debug, Clone)]
pub struct TestRedis {
    /// Its URL.
    pub url: String,
}

impl TestRedis {
    /// An empty database that no other test uses now: there are more numbers than tests at once.
    ///
    /// # Panics
    /// There is no Redis for tests.
    pub async fn fresh() -> Self {
        let server = &servers().await.redis;
        let taken: redis::RedisResult<String> = async {
            let mut connection =
                redis::Client::open(server.as_str())?.get_multiplexed_async_connection().await?;
            let count: u32 =
                redis::cmd("INCR").arg("testkit:taken").query_async(&mut connection).await?;
            // Number 0 holds the counter.
            let number = 1 + count % (DATABASES - 1);
            let url = format!("{server}/{number}");
            let mut own =
                redis::Client::open(url.as_str())?.get_multiplexed_async_connection().await?;
            redis::cmd("FLUSHDB").query_async::<()>(&mut own).await?;
            Ok(url)
        }
        .await;
        Self { url: taken.unwrap_or_else(|error| panic!("redis for a test: {error}")) }
    }
}

/// The template's name, with the template made if need be; once per process.
async fn template(server: &str) -> &'static str {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    TEMPLATE.get_or_init(|| make_template(server)).await
}

async fn make_template(server: &str) -> String {
    let name = format!("template_{DIGEST}");
    let client = connect(server).await.unwrap_or_else(|error| panic!("connect: {error}"));
    // Held until `client` goes: one process migrates, the others find it done.
    execute(&client, &format!("select pg_advisory_lock({TEMPLATE_LOCK})")).await;
    sweep(&client).await;
    roles::make_for_tests(&client).await.unwrap_or_else(|error| panic!("make roles: {error}"));
    let found = client.query_opt("select 1 from pg_database where datname = $1", &[&name]).await;
    if found.unwrap_or_else(|error| panic!("look for the template: {error}")).is_some() {
        return name;
    }
    let aside = format!("{name}_unfinished");
    execute(&client, &drop_statement(&aside)).await;
    execute(
        &client,
        &format!(r#"create database "{aside}" owner pillivery_migrator template template0"#),
    )
    .await;
    migrate(&url_of(server, &aside)).await;
    execute(&client, &format!(r#"alter database "{aside}" rename to "{name}""#)).await;
    name
}

async fn migrate(url: &str) {
    migrator::up(url).await.unwrap_or_else(|error| panic!("migrate the template: {error:?}"));
    let client = connect(url).await.unwrap_or_else(|error| panic!("connect: {error}"));
    let row = client.query_one("select count(*)::text from refinery_schema_history", &[]).await;
    let ran: String = row.unwrap_or_else(|error| panic!("count migrations: {error}")).get(0);
    assert_eq!(
        ran, MIGRATIONS,
        "migrator was built from another set of migrations than lies in schema/migrations"
    );
}

/// Drops what killed test processes left behind.
async fn sweep(client: &Client) {
    let rows =
        client.query("select datname from pg_database where datname like 't\\_%'", &[]).await;
    for row in rows.unwrap_or_default() {
        let name: String = row.get(0);
        let owner = name.split('_').nth(1).unwrap_or_default();
        if !Path::new("/proc").join(owner).exists() {
            drop(client.batch_execute(&drop_statement(&name)).await);
        }
    }
}

fn drop_statement(name: &str) -> String {
    format!(r#"drop database if exists "{name}" with (force)"#)
}

/// `server` with another database's name.
fn url_of(server: &str, database: &str) -> String {
    let (address, _maintenance) = server.rsplit_once('/').unwrap_or((server, ""));
    format!("{address}/{database}")
}

async fn execute(client: &Client, statement: &str) {
    if let Err(error) = client.batch_execute(statement).await {
        panic!("{statement}: {error:?}");
    }
}

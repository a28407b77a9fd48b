//! A database on another machine is reached over TLS, and only when its certificate is right.
//!
//! All three ways to it are tried against a PostgreSQL that serves TLS: the migrations, the pools
//! (appends) and sqlx (loads). Before they could encrypt, `sslmode=verify-full` was refused as an
//! unknown word and the migrations connected in plain text.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use event_store::{PgEventStore, StoreSizes};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use service_kit::config::Secret;
use service_kit::pools::{self, PoolSettings};
use support::{PATIENT, TallyCommand, executor, plain};
use testkit::{Durability, PrivatePostgres, eventually};
use uuid::Uuid;

/// Longest a server takes to read its settings again.
const RELOAD_WAIT_MAX: Duration = Duration::from_secs(10);

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Lets the server prove that it is `name`.
async fn serve_as(server: &PrivatePostgres, name: &str, authority: &Authority) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    server.encrypt(&certificate.pem(), &key.serialize_pem()).await.unwrap();
}

/// Whether the session is encrypted, or what went wrong.
async fn is_encrypted(url: &str) -> Result<bool, String> {
    let settings = PoolSettings { size_max: 1, ..PoolSettings::named("tls-test") };
    let pool = pools::postgres(&Secret::from(url), &settings).map_err(|error| error.to_string())?;
    let client = pool.get().await.map_err(|error| format!("{error:?}"))?;
    let question = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    Ok(client.query_one(question, &[]).await.unwrap().get(0))
}

fn verified(server: &PrivatePostgres, authority: &Path) -> String {
    let url = server.url().replace("127.0.0.1", "localhost");
    format!("{url}?sslmode=verify-full&sslrootcert={}", authority.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_to_the_database_is_encrypted_and_its_name_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    let server =
        PrivatePostgres::start(folder.path().join("server"), 0, Durability::Fast).await.unwrap();
    let (ours, theirs) = (authority(), authority());
    let ours_file = folder.path().join("ours.pem");
    let theirs_file = folder.path().join("theirs.pem");
    fs::write(&ours_file, ours.pem()).unwrap();
    fs::write(&theirs_file, theirs.pem()).unwrap();
    let url = verified(&server, &ours_file);

    assert!(is_encrypted(&url).await.is_err(), "a server that serves no TLS");

    serve_as(&server, "localhost", &ours).await;
    eventually(RELOAD_WAIT_MAX, || async { is_encrypted(&url).await.ok() }).await;
    assert_eq!(is_encrypted(&url).await, Ok(true));
    migrator::up(&url).await.unwrap();
    let store = PgEventStore::open(&Secret::from(url.as_str()), StoreSizes::default()).unwrap();
    let id = Uuid::now_v7();
    executor(&store, PATIENT).dispatch(id, TallyCommand::Raise(vec![1]), plain()).await.unwrap();
    executor(&store, PATIENT).load(id).await.unwrap();

    let unknown_authority = verified(&server, &theirs_file);
    assert!(is_encrypted(&unknown_authority).await.is_err(), "another authority");
    assert!(is_encrypted(&url.replace("sslrootcert", "application_name")).await.is_err());

    serve_as(&server, "db.example", &ours).await;
    eventually(RELOAD_WAIT_MAX, || async { is_encrypted(&url).await.err() }).await;
    let error = is_encrypted(&url).await.unwrap_err();
    assert!(error.contains("NotValidForName"), "{error}");
    assert!(migrator::up(&url).await.is_err());
    let store = PgEventStore::open(&Secret::from(url.as_str()), StoreSizes::default()).unwrap();
    assert!(executor(&store, PATIENT).load(id).await.is_err());
    server.stop().await;
}

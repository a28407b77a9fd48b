//! A Redis is reached over TLS, and only when an authority that this machine trusts signed its
//! certificate for its name.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use testkit::{Binary, Login, PrivateRedis, TestDatabase, body_at, keys};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Whether a process whose machine trusts `authority` reaches the Redis at `url`.
async fn is_reached(database: &TestDatabase, url: &str, authority: &Path) -> bool {
    let database = database.url_as(Login::Writer);
    let verifying_keys = keys::access_token_verifying_keys();
    let settings = [
        ("DATABASE_URL", database.as_str()),
        ("REDIS_URL", url),
        ("SSL_CERT_FILE", authority.to_str().unwrap()),
        ("MASTER_KEY", keys::MASTER_KEY),
        ("DIGEST_PEPPER", keys::DIGEST_PEPPER),
        ("RETURN_URL_KEY", keys::RETURN_URL_KEY),
        ("PUBLIC_BASE_URL", "http://127.0.0.1:1"),
        ("ACCESS_TOKEN_SIGNING_KEY", keys::ACCESS_TOKEN_SIGNING_KEY),
        ("ACCESS_TOKEN_VERIFYING_KEYS", verifying_keys.as_str()),
        ("CHECKOUT_LISTEN", "127.0.0.1:0"),
        ("CHECKOUT_ADMIN_LISTEN", "127.0.0.1:0"),
        ("CHECKOUT_OPS_LISTEN", "127.0.0.1:0"),
    ];
    let process = Binary::start(env!("CARGO_BIN_EXE_checkout-api"), &[], &settings);
    let ops = process.address_of("checkout-ops").await;
    let health = body_at(ops, "/health/ready").await;
    let health: serde_json::Value = serde_json::from_str(&health).unwrap();
    match health["dependencies"]["redis"]["status"].as_str() {
        Some("up") => true,
        Some("down") => false,
        _ => panic!("{health}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_over_tls_is_reached_only_with_a_certificate_of_a_trusted_authority() {
    let (folder, database) = (tempfile::tempdir().unwrap(), TestDatabase::fresh().await);
    let redis = PrivateRedis::start(folder.path().join("redis"), 0).await.unwrap();
    let (ours, theirs) = (authority(), authority());
    let [ours_file, theirs_file] = [("ours.pem", &ours), ("theirs.pem", &theirs)].map(|it| {
        let path = folder.path().join(it.0);
        std::fs::write(&path, it.1.pem()).unwrap();
        path
    });
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &ours).unwrap();
    let port = redis.encrypt(&certificate.pem(), &key.serialize_pem()).await.unwrap();

    let url = format!("rediss://localhost:{port}");
    assert!(is_reached(&database, &url, &ours_file).await);
    assert!(!is_reached(&database, &url, &theirs_file).await, "another authority");
    let by_address = format!("rediss://127.0.0.1:{port}");
    assert!(!is_reached(&database, &by_address, &ours_file).await, "another name");
    let insecure = format!("{url}/#insecure");
    assert!(!is_reached(&database, &insecure, &theirs_file).await, "the name is always verified");
    let plain = format!("redis://localhost:{port}");
    assert!(!is_reached(&database, &plain, &ours_file).await, "no TLS on this side");
    redis.stop().await;
}

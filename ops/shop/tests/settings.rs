//! What the shop refuses before it starts anything.
use testkit::refuses_alike;

/// The settings of a part were looked at only once the private servers ran, a part at a time, and by
/// `check-config` never.
#[tokio::test]
async fn check_config_and_the_start_refuse_alike() {
    let state = tempfile::tempdir().unwrap();
    let start = ["--state-dir", state.path().to_str().unwrap()];
    let faulty = [
        ("DATABASE_URL", "postgres://shop@db.example/shop?sslmode=disable"),
        ("ACCESS_TOKEN_VERIFYING_KEYS", "no key at all"),
        ("ACCESS_TOKEN_SIGNING_KEY", "32 bytes or more, and no Ed25519 key in base64"),
        ("PUBLIC_BASE_URL", "https://shop.example/?page=1"),
        ("CHECKOUT_ADMIN_LISTEN", "nowhere"),
        ("STOREFRONT_CACHE", "perhaps"),
        ("RELAY_LEASE_MS", "500"),
        ("PROJECTOR_BATCH_EVENTS_MAX", "20001"),
        ("LOG_FILTER", "infos"),
    ];
    refuses_alike(env!("CARGO_BIN_EXE_shop"), &start, &[], &faulty).await;
}

/// The help promises the public key of the signing key where none is set; it was that of the generated one.
#[tokio::test]
async fn a_signing_key_of_ones_own_needs_no_verifying_key() {
    let set = [("ACCESS_TOKEN_SIGNING_KEY", testkit::keys::ACCESS_TOKEN_SIGNING_KEY)];
    refuses_alike(env!("CARGO_BIN_EXE_shop"), &[], &set, &[]).await;
}

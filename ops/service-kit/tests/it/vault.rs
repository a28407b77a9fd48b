//! Sealed data opens for its own user, stream and field, and for nobody once the key is gone.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use contracts::ids::UserId;
use contracts::personal::{Phone, Sealed};
use service_kit::config::Secret;
use service_kit::vault::{MasterKey, Vault, VaultError};
use testkit::TestDatabase;
use uuid::Uuid;

const STREAM: &str = "order/1";
const FIELD: &str = "receiver";

fn master(fill: u8) -> MasterKey {
    MasterKey::from_base64(&Secret::new(STANDARD.encode([fill; 32]))).unwrap()
}

struct World {
    database: TestDatabase,
    vault: Vault,
    user: UserId,
    phone: Phone,
}

impl World {
    async fn new() -> Self {
        let database = TestDatabase::fresh().await;
        let vault = Vault::new(database.pool.clone(), master(1));
        let user = UserId::new(Uuid::now_v7());
        vault.create_user_key(user).await.unwrap();
        Self { database, vault, user, phone: Phone::parse("010-1234-5678").unwrap() }
    }

    /// Another process: the same database and master key, nothing cached.
    fn elsewhere(&self) -> Vault {
        Vault::new(self.database.pool.clone(), master(1))
    }

    async fn sealed(&self) -> Sealed<Phone> {
        self.vault.seal(self.user, STREAM, FIELD, &self.phone).await.unwrap()
    }

    async fn open(&self, sealed: &Sealed<Phone>) -> Result<Option<Phone>, VaultError> {
        self.elsewhere().open(self.user, STREAM, FIELD, sealed).await
    }
}

#[tokio::test]
async fn what_was_sealed_opens_in_another_process() {
    let world = World::new().await;
    let sealed = world.sealed().await;
    assert_eq!(world.open(&sealed).await.unwrap(), Some(world.phone.clone()));

    let stored = serde_json::to_string(&sealed).unwrap();
    assert!(!stored.contains("12345678"), "{stored}");
    let loaded: Sealed<Phone> = serde_json::from_str(&stored).unwrap();
    assert_eq!(world.open(&loaded).await.unwrap(), Some(world.phone.clone()));
}

#[tokio::test]
async fn sealing_the_same_twice_shows_no_likeness() {
    let world = World::new().await;
    let (first, second) = (world.sealed().await, world.sealed().await);
    assert_ne!(first.nonce, second.nonce);
    assert_ne!(first.ciphertext, second.ciphertext);
}

/// A ciphertext copied to another user, stream or field must not open there. Without the associated
/// data in `context` the same user's do (seen by leaving it out).
#[tokio::test]
async fn a_value_moved_elsewhere_does_not_open() {
    let world = World::new().await;
    let sealed = world.sealed().await;
    let stranger = UserId::new(Uuid::now_v7());
    world.vault.create_user_key(stranger).await.unwrap();
    for (user, stream, field) in [
        (stranger, STREAM, FIELD),
        (world.user, "order/2", FIELD),
        (world.user, STREAM, "sender"),
        (world.user, "order/1r", "eceiver"),
    ] {
        let opened = world.vault.open(user, stream, field, &sealed).await;
        assert!(matches!(opened, Err(VaultError::NotAuthentic)), "{user} {stream} {field}");
    }
}

#[tokio::test]
async fn a_changed_value_does_not_open() {
    let world = World::new().await;
    let sealed = world.sealed().await;
    let mut bytes = STANDARD.decode(&sealed.ciphertext).unwrap();
    bytes[0] ^= 1;
    let changed = [
        Sealed::from_parts(1, sealed.nonce.clone(), STANDARD.encode(bytes)),
        Sealed::from_parts(1, STANDARD.encode([0; 24]), sealed.ciphertext.clone()),
        Sealed::from_parts(1, STANDARD.encode([0; 3]), sealed.ciphertext.clone()),
        Sealed::from_parts(1, "not base64!".to_owned(), sealed.ciphertext.clone()),
        Sealed::from_parts(1, sealed.nonce.clone(), String::new()),
        Sealed::from_parts(2, sealed.nonce.clone(), sealed.ciphertext.clone()),
    ];
    for sealed in changed {
        let opened = world.open(&sealed).await;
        assert!(matches!(opened, Err(VaultError::NotAuthentic)), "{opened:?}");
    }
}

#[tokio::test]
async fn a_destroyed_key_makes_blank_what_it_sealed() {
    let world = World::new().await;
    let sealed = world.sealed().await;
    world.vault.destroy_user_key(world.user).await.unwrap();

    let here = world.vault.open(world.user, STREAM, FIELD, &sealed).await.unwrap();
    assert_eq!((here, world.open(&sealed).await.unwrap()), (None, None));
    let refused = world.vault.seal(world.user, STREAM, FIELD, &world.phone).await;
    assert!(matches!(refused, Err(VaultError::NoKey(_))), "{refused:?}");

    // A key made anew is another key.
    world.vault.create_user_key(world.user).await.unwrap();
    assert!(matches!(world.open(&sealed).await, Err(VaultError::NotAuthentic)));
}

/// Two sign-ups of one user at once agree on one key. Without `on conflict do nothing` one of them
/// fails; with an update instead, what the first sealed is lost.
#[tokio::test]
async fn keys_made_at_the_same_time_are_one_key() {
    let world = World::new().await;
    let user = UserId::new(Uuid::now_v7());
    let vaults: Vec<_> = (0..8).map(|_| Arc::new(world.elsewhere())).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for vault in &vaults {
        let (vault, phone) = (Arc::clone(vault), world.phone.clone());
        tasks.spawn(async move {
            vault.create_user_key(user).await.unwrap();
            vault.seal(user, STREAM, FIELD, &phone).await.unwrap()
        });
    }
    for sealed in tasks.join_all().await {
        let opened = world.vault.open(user, STREAM, FIELD, &sealed).await.unwrap();
        assert_eq!(opened, Some(world.phone.clone()));
    }
}

#[tokio::test]
async fn another_master_key_is_an_error_and_not_a_blank() {
    let world = World::new().await;
    let sealed = world.sealed().await;
    let wrong = Vault::new(world.database.pool.clone(), master(2));
    let opened = wrong.open(world.user, STREAM, FIELD, &sealed).await;
    assert!(matches!(opened, Err(VaultError::WrongMasterKey(_))), "{opened:?}");
}

#[tokio::test]
async fn a_wrapped_key_moved_to_another_user_does_not_unwrap() {
    let world = World::new().await;
    let stranger = UserId::new(Uuid::now_v7());
    let copy = "insert into user_keys (user_id, wrapped_key, created_at) \
                select $1, wrapped_key, created_at from user_keys where user_id = $2";
    let client = world.database.client().await;
    client.execute(copy, &[&stranger.uuid(), &world.user.uuid()]).await.unwrap();
    let refused = world.vault.seal(stranger, STREAM, FIELD, &world.phone).await;
    assert!(matches!(refused, Err(VaultError::WrongMasterKey(_))), "{refused:?}");
}

#[test]
fn a_master_key_that_is_none_is_refused_without_repeating_it() {
    let short = STANDARD.encode([1; 31]);
    for wrong in ["", "hunter2hunter2", &short] {
        let error = MasterKey::from_base64(&Secret::new(wrong)).unwrap_err();
        assert_eq!(error.to_string(), "MASTER_KEY: expected 32 bytes in base64");
    }
    assert_eq!(format!("{:?}", master(1)), "MasterKey(***)");
}

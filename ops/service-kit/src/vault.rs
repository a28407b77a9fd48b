//! Personal data at rest: sealed under a key per user, unreadable for ever once that key is gone.
//!
//! The log keeps what it is given, so it is given ciphertext. Each user has a key in `user_keys`,
//! wrapped by a master key that lies outside the database; deleting the row makes every copy of
//! that user's data unreadable, except with a backup of the database that still holds the row. User,
//! stream and field are bound to the ciphertext, so a value copied to another place does not open
//! there.
//!
//! Keys are cached for [`KEY_CACHE_TTL`]: another process may open data for that long after a key
//! was destroyed, never longer.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use contracts::ids::UserId;
use contracts::personal::Sealed;
use deadpool_postgres::{Object, Pool};
use moka::future::Cache;
use rand::RngExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::batch::{BatchError, BatchSizes, Batcher};
use crate::config::{ConfigError, Secret};
use crate::security::{self, Who};

/// How long a process may go on using a key after it was destroyed elsewhere.
pub const KEY_CACHE_TTL: Duration = Duration::from_secs(30);
/// Most keys kept in memory; 32 bytes each and some overhead, well under 2 MiB.
pub const KEY_CACHE_MAX: u64 = 10_000;
/// How keys are read: those who came together ask together.
const KEY_BATCHES: BatchSizes = BatchSizes { lanes: 2, batch_max: 128 };
/// Longest wait for keys; the server gives up before, unless it is gone.
const KEY_WAIT_MAX: Duration = Duration::from_secs(10);
/// The version of every key until rotation is built.
const KEY_VERSION: u16 = 1;
/// Length of master and user keys.
const KEY_BYTES: usize = 32;
/// Length of an XChaCha20 nonce: long enough to be drawn at random without ever meeting itself.
const NONCE_BYTES: usize = 24;

type Key = Zeroizing<[u8; KEY_BYTES]>;

/// The key that wraps all user keys; from the environment, never in the database.
#[derive(Clone)]
pub struct MasterKey(Arc<Key>);

impl MasterKey {
    /// The key from 32 bytes of base64.
    ///
    /// # Errors
    /// Not base64, or not 32 bytes.
    pub fn from_base64(secret: &Secret) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::invalid("MASTER_KEY", "expected 32 bytes in base64");
        let bytes = STANDARD.decode(secret.expose().trim()).map_err(|_may_repeat_it| wrong())?;
        Ok(Self(Arc::new(key_from(&Zeroizing::new(bytes)).ok_or_else(wrong)?)))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

/// Why something could not be sealed or opened. Says nothing of the content.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VaultError {
    /// Nothing can be sealed for this user: there is no key, or it was destroyed.
    #[error("user {0} has no key")]
    NoKey(UserId),
    /// The ciphertext was changed, or belongs to another user, stream or field.
    #[error("a sealed value does not open here")]
    NotAuthentic,
    /// The user's key does not unwrap: another master key, or a damaged row.
    #[error("the key of user {0} does not unwrap")]
    WrongMasterKey(UserId),
    /// The content is not what it should be, before sealing or after opening.
    #[error("a sealed value has the wrong shape")]
    Shape,
    /// The keys cannot be read or written.
    #[error("reach the user keys")]
    Keys(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

impl VaultError {
    fn keys(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Keys(Arc::new(cause))
    }
}

/// Seals and opens personal data. Clones share the cache.
#[derive(Clone)]
pub struct Vault {
    pool: Pool,
    master: MasterKey,
    keys: Cache<UserId, Arc<Key>>,
    wrapped: Batcher<UserId, Option<Vec<u8>>, VaultError>,
}

impl Vault {
    /// A vault over the `user_keys` of the database behind `pool`.
    pub fn new(pool: Pool, master: MasterKey) -> Self {
        let keys = Cache::builder().max_capacity(KEY_CACHE_MAX).time_to_live(KEY_CACHE_TTL).build();
        let asked = pool.clone();
        let wrapped = Batcher::new(KEY_BATCHES, move |users| read_keys(asked.clone(), users));
        Self { pool, master, keys, wrapped }
    }

    /// Makes the user's key if there is none; a second call changes nothing.
    ///
    /// # Errors
    /// The database is away.
    pub async fn create_user_key(&self, user: UserId) -> Result<(), VaultError> {
        let key: Key = Zeroizing::new(rand::rng().random());
        let wrapped = encrypt(&self.master.0, key.as_slice(), &wrapping_context(user))?.joined();
        let client = self.pool.get().await.map_err(VaultError::keys)?;
        let made = client
            .execute(include_str!("vault/create_key.sql"), &[&user.uuid(), &wrapped])
            .await
            .map_err(VaultError::keys)?;
        if 0 < made {
            security::log("user_key", "created", Who::User(user));
        }
        Ok(())
    }

    /// Destroys the user's key: nothing sealed for this user opens ever again.
    ///
    /// # Errors
    /// The database is away; then nothing was destroyed.
    pub async fn destroy_user_key(&self, user: UserId) -> Result<(), VaultError> {
        let client = self.pool.get().await.map_err(VaultError::keys)?;
        client
            .execute(include_str!("vault/destroy_key.sql"), &[&user.uuid()])
            .await
            .map_err(VaultError::keys)?;
        self.keys.invalidate(&user).await;
        security::log("user_key", "destroyed", Who::User(user));
        Ok(())
    }

    /// Seals `value` for one field of one stream of one user.
    ///
    /// # Errors
    /// The user has no key, or the keys cannot be reached.
    pub async fn seal<T: Serialize + Sync>(
        &self,
        user: UserId,
        stream: &str,
        field: &str,
        value: &T,
    ) -> Result<Sealed<T>, VaultError> {
        let key = self.key(user).await?.ok_or(VaultError::NoKey(user))?;
        let clear = serde_json::to_vec(value).map_err(|_may_repeat_it| VaultError::Shape)?;
        let clear = Zeroizing::new(clear);
        let Encrypted { nonce, ciphertext } = encrypt(&key, &clear, &context(user, stream, field))?;
        let (nonce, ciphertext) = (STANDARD.encode(nonce), STANDARD.encode(ciphertext));
        Ok(Sealed::from_parts(KEY_VERSION, nonce, ciphertext))
    }

    /// Opens what [`Vault::seal`] sealed under the same user, stream and field; `None` when the
    /// user's key was destroyed.
    ///
    /// # Errors
    /// The value was changed or belongs elsewhere, is no `T`, or the keys cannot be reached.
    pub async fn open<T: DeserializeOwned>(
        &self,
        user: UserId,
        stream: &str,
        field: &str,
        sealed: &Sealed<T>,
    ) -> Result<Option<T>, VaultError> {
        let Some(key) = self.key(user).await? else {
            return Ok(None);
        };
        if sealed.key_version != KEY_VERSION {
            return Err(VaultError::NotAuthentic);
        }
        let part = |text: &str| STANDARD.decode(text).map_err(|_not_ours| VaultError::NotAuthentic);
        let (nonce, ciphertext) = (part(&sealed.nonce)?, part(&sealed.ciphertext)?);
        let clear = decrypt(&key, &nonce, &ciphertext, &context(user, stream, field))
            .ok_or(VaultError::NotAuthentic)?;
        serde_json::from_slice(&clear).map(Some).map_err(|_may_repeat_it| VaultError::Shape)
    }

    /// The user's key, from the cache or the database; an absent key is not cached, so that a user
    /// signed up elsewhere is seen at once.
    async fn key(&self, user: UserId) -> Result<Option<Arc<Key>>, VaultError> {
        if let Some(key) = self.keys.get(&user).await {
            return Ok(Some(key));
        }
        let wrapped = self.wrapped.ask(user).await.map_err(|error| match error {
            BatchError::Asked(error) => error,
            BatchError::Unanswered => VaultError::keys(error),
        })?;
        let Some(wrapped) = wrapped else {
            return Ok(None);
        };
        let key = self.unwrap(user, &wrapped).ok_or(VaultError::WrongMasterKey(user))?;
        let key = Arc::new(key);
        self.keys.insert(user, Arc::clone(&key)).await;
        Ok(Some(key))
    }

    fn unwrap(&self, user: UserId, wrapped: &[u8]) -> Option<Key> {
        let (nonce, ciphertext) = wrapped.split_at_checked(NONCE_BYTES)?;
        let clear = decrypt(&self.master.0, nonce, ciphertext, &wrapping_context(user))?;
        key_from(&clear)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(***)")
    }
}

/// The wrapped keys of `users`, in their order; `None` for whoever never signed up, or was erased.
async fn read_keys(pool: Pool, users: Vec<UserId>) -> Result<Vec<Option<Vec<u8>>>, VaultError> {
    let client = pool.get().await.map_err(VaultError::keys)?;
    let ids: Vec<Uuid> = users.into_iter().map(UserId::uuid).collect();
    let read = async {
        let statement = client.prepare_cached(include_str!("vault/read_keys.sql")).await?;
        client.query(&statement, &[&ids]).await
    };
    let rows = match timeout(KEY_WAIT_MAX, read).await {
        Ok(rows) => rows.map_err(VaultError::keys)?,
        Err(elapsed) => {
            // Nobody may be handed a connection on which an old answer can still arrive.
            drop(Object::take(client));
            return Err(VaultError::keys(elapsed));
        }
    };
    let mut found = HashMap::with_capacity(rows.len());
    for row in &rows {
        let (user, wrapped): (Uuid, Vec<u8>) =
            (row.try_get(0).map_err(VaultError::keys)?, row.try_get(1).map_err(VaultError::keys)?);
        found.insert(user, wrapped);
    }
    Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
}

struct Encrypted {
    nonce: [u8; NONCE_BYTES],
    ciphertext: Vec<u8>,
}

impl Encrypted {
    fn joined(self) -> Vec<u8> {
        [self.nonce.as_slice(), &self.ciphertext].concat()
    }
}

fn key_from(bytes: &[u8]) -> Option<Key> {
    bytes.try_into().ok().map(Zeroizing::new)
}

fn encrypt(key: &Key, clear: &[u8], context: &[u8]) -> Result<Encrypted, VaultError> {
    let nonce: [u8; NONCE_BYTES] = rand::rng().random();
    let ciphertext = XChaCha20Poly1305::new(&(**key).into())
        .encrypt(&XNonce::from(nonce), Payload { msg: clear, aad: context })
        .map_err(|_too_long| VaultError::Shape)?;
    Ok(Encrypted { nonce, ciphertext })
}

fn decrypt(
    key: &Key,
    nonce: &[u8],
    ciphertext: &[u8],
    context: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
    XChaCha20Poly1305::new(&(**key).into())
        .decrypt(&XNonce::from(nonce), Payload { msg: ciphertext, aad: context })
        .ok()
        .map(Zeroizing::new)
}

/// What a sealed value is bound to. Lengths keep (`ab`, `c`) and (`a`, `bc`) apart.
fn context(user: UserId, stream: &str, field: &str) -> Vec<u8> {
    let mut bytes = b"sealed".to_vec();
    bytes.extend_from_slice(user.uuid().as_bytes());
    for part in [stream, field] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

fn wrapping_context(user: UserId) -> Vec<u8> {
    [b"user-key".as_slice(), user.uuid().as_bytes()].concat()
}

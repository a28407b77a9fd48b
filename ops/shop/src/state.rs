//! The state directory: data of the private services, and the secrets generated at first start.
//!
//! Secrets are made once and kept in a file only its owner may read; losing the file makes sealed
//! personal data in that state directory unreadable, which is what it is for.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// Bytes of every generated secret.
const SECRET_BYTES: usize = 32;
/// The file of the generated secrets, inside the state directory.
pub(crate) const SECRETS_FILE: &str = "secrets.json";

/// Where the embedded shop keeps its data.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    removed_at_end: bool,
}

/// What the embedded shop signs, seals and logs in with. Base64 of 32 random bytes each.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Secrets {
    /// Wraps the users' keys.
    pub(crate) master_key: String,
    /// Keys the digests that uniqueness is checked on.
    pub(crate) pepper: String,
    /// Signs access tokens: the seed of an Ed25519 key.
    pub(crate) access_token_key: String,
    /// Makes return URLs unguessable.
    pub(crate) return_url_key: String,
    /// What the simulated KakaoPay expects.
    pub(crate) kakaopay_secret_key: String,
    /// Password of the administrator that the first start creates.
    pub(crate) admin_password: String,
}

/// The state directory could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Neither `--state-dir` nor `HOME` says where.
    #[error("no state directory: give --state-dir or set HOME")]
    Nowhere,
    /// A file or folder could not be made, read or written.
    #[error("use {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Data and secrets would lie among the sources, where they are committed or cleaned away.
    #[error("{path} lies inside a checkout; give --state-dir a folder outside of it")]
    InCheckout {
        /// Which.
        path: PathBuf,
    },
    /// The secrets file is not one of ours.
    #[error("read the secrets in {path}")]
    Secrets {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl StateDir {
    /// Opens `path`, making it if need be.
    ///
    /// # Errors
    /// [`StateError::Io`], or [`StateError::InCheckout`].
    pub(crate) fn open(path: PathBuf) -> Result<Self, StateError> {
        let absolute = std::path::absolute(&path)
            .map_err(|source| StateError::Io { path: path.clone(), source })?;
        if absolute.ancestors().any(is_checkout) {
            return Err(StateError::InCheckout { path });
        }
        make_dir(&path)?;
        Ok(Self { path, removed_at_end: false })
    }

    /// Makes a folder of its own below the system's temporary one; it goes when this is dropped.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub(crate) fn temporary() -> Result<Self, StateError> {
        let name = format!("pillivery-{:016x}", rand::random::<u64>());
        let path = std::env::temp_dir().join(name);
        make_dir(&path)?;
        Ok(Self { path, removed_at_end: true })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The secrets of this state directory, generated now if there are none yet.
    ///
    /// # Errors
    /// [`StateError`] when the file can't be read, written or understood.
    pub(crate) fn secrets(&self) -> Result<Secrets, StateError> {
        let path = self.path.join(SECRETS_FILE);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| StateError::Secrets { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secrets = Secrets::generate();
                write_private(&path, &secrets)?;
                Ok(secrets)
            }
            Err(source) => Err(StateError::Io { path, source }),
        }
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        if self.removed_at_end
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a temporary folder stays behind");
        }
    }
}

impl Secrets {
    pub(crate) fn generate() -> Self {
        Self {
            master_key: random_secret(),
            pepper: random_secret(),
            access_token_key: random_secret(),
            return_url_key: random_secret(),
            kakaopay_secret_key: random_secret(),
            // The password rule wants a letter, a digit and a sign; the random part is the secret.
            admin_password: format!(
                "a1!{}",
                random_secret().replace(['/', '='], "").split_at(24).0
            ),
        }
    }
}

/// Whether this project's sources lie there.
fn is_checkout(folder: &Path) -> bool {
    folder.join(".git").exists() && folder.join("ops/run").exists()
}

fn random_secret() -> String {
    STANDARD.encode(rand::random::<[u8; SECRET_BYTES]>())
}

fn make_dir(path: &Path) -> Result<(), StateError> {
    fs::create_dir_all(path).map_err(|source| StateError::Io { path: path.to_owned(), source })
}

/// Writes `value` as JSON into a new file that only its owner may read.
pub(crate) fn write_private(path: &Path, value: &impl Serialize) -> Result<(), StateError> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let failed = |source| StateError::Io { path: path.to_owned(), source };
    let bytes = serde_json::to_vec_pretty(value)
        .map_err(|source| StateError::Secrets { path: path.to_owned(), source })?;
    let temporary = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(failed)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    // A reader sees the whole file or none: the rename is atomic.
    fs::rename(&temporary, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_and_secrets_stay_out_of_a_checkout() {
        let folder = StateDir::temporary().unwrap();
        let inside = folder.path().join("deep/state");
        assert!(StateDir::open(inside.clone()).is_ok(), "any other folder will do");
        fs::create_dir(folder.path().join(".git")).unwrap();
        fs::create_dir(folder.path().join("ops")).unwrap();
        fs::write(folder.path().join("ops/run"), "").unwrap();
        assert!(matches!(StateDir::open(inside), Err(StateError::InCheckout { .. })));
    }
}

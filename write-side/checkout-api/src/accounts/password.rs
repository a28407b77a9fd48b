//! Passwords: the rule, the hash, and how many may be worked on at once.
//!
//! A hash costs about 40 ms of a core and 19 MiB, on purpose. So hashing happens on the blocking
//! threads, on at most a quarter of the cores at a time, and a request that would wait longer than a
//! second for its turn is refused: a flood of logins slows logins down and leaves the cores to the
//! others.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use service_kit::config::Secret;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Longest wait for a turn to hash: work that waits longer is work for a client that has left.
const TURN_WAIT_MAX: Duration = Duration::from_secs(1);
/// Most that wait for a turn, per turn there is: about a second's work, so that those behind would
/// wait in vain.
const QUEUE_PER_TURN: usize = 25;
/// Random bytes in a salt; the recommendation of the PHC string format.
const SALT_BYTES: usize = 16;
/// Longest candidate that is looked at, in bytes: 64 characters of four bytes each.
const CANDIDATE_BYTES_MAX: usize = 256;
/// Characters of which a password has at least one, besides a letter and a digit.
const SIGNS: &str = "!@#$%^+=-";

/// A password that meets the rule. Shows nothing of itself.
#[derive(Debug, Clone)]
pub(crate) struct Password(Secret);

/// A password does not meet the rule; which part of it is not told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a password has 8 to 64 characters, with a letter, a digit and one of !@#$%^+=-")]
pub(crate) struct WeakPassword;

impl Password {
    /// Checks `raw` against the rule. Nothing is trimmed: blanks are as good as other characters.
    pub(crate) fn parse(raw: &str) -> Result<Self, WeakPassword> {
        let is_long_enough = (8..=64).contains(&raw.chars().count());
        let has_letter = raw.chars().any(char::is_alphabetic);
        let has_digit = raw.chars().any(|c| c.is_ascii_digit());
        let has_sign = raw.chars().any(|c| SIGNS.contains(c));
        let is_typable = !raw.chars().any(char::is_control);
        if is_long_enough && has_letter && has_digit && has_sign && is_typable {
            Ok(Self(Secret::from(raw)))
        } else {
            Err(WeakPassword)
        }
    }
}

/// Why a password could not be hashed or compared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HashError {
    /// Too many are being hashed.
    #[error("too many passwords are being hashed")]
    Busy,
    /// The library refuses, which no password brings about.
    #[error("hash a password")]
    Hash(#[from] argon2::password_hash::Error),
    /// The runtime is ending.
    #[error("hash a password before the process ends")]
    Ended(#[from] tokio::task::JoinError),
}

/// Hashes and compares passwords, a bounded number at a time. Clones share the bound.
#[derive(Debug, Clone)]
pub(crate) struct PasswordHashes {
    turns: Arc<Semaphore>,
    /// Those hashing and those waiting, together.
    places: Arc<Semaphore>,
    /// Compared against when there is no account, so that the answer takes as long.
    decoy: Arc<str>,
}

impl PasswordHashes {
    /// At most `at_once` at a time.
    pub(crate) async fn new(at_once: usize) -> Result<Self, HashError> {
        let decoy = tokio::task::spawn_blocking(|| {
            hash(hex::encode(rand::random::<[u8; SALT_BYTES]>()).as_bytes())
        });
        Ok(Self {
            turns: Arc::new(Semaphore::new(at_once)),
            places: Arc::new(Semaphore::new(at_once.saturating_mul(QUEUE_PER_TURN))),
            decoy: decoy.await??.into(),
        })
    }

    /// The hash of `password` with a fresh salt, as a PHC string.
    pub(crate) async fn hash(&self, password: Password) -> Result<String, HashError> {
        let turn = self.turn().await?;
        tokio::task::spawn_blocking(move || {
            let _held_until_done = turn;
            hash(password.0.expose().as_bytes())
        })
        .await?
    }

    /// Whether `candidate` is the password behind `stored`. Takes as long when nothing is stored.
    pub(crate) async fn is_right(
        &self,
        candidate: Secret,
        stored: Option<String>,
    ) -> Result<bool, HashError> {
        let turn = self.turn().await?;
        let decoy = Arc::clone(&self.decoy);
        tokio::task::spawn_blocking(move || {
            let _held_until_done = turn;
            let fits = candidate.expose().len() <= CANDIDATE_BYTES_MAX;
            let bytes = if fits { candidate.expose().as_bytes() } else { b"" };
            let parsed = PasswordHash::new(stored.as_deref().unwrap_or(&decoy))
                .map_err(|_malformed| argon2::password_hash::Error::Crypto)?;
            let is_match = match Argon2::default().verify_password(bytes, &parsed) {
                Ok(()) => true,
                Err(argon2::password_hash::Error::PasswordInvalid) => false,
                Err(error) => return Err(HashError::Hash(error)),
            };
            Ok(is_match && fits && stored.is_some())
        })
        .await?
    }

    /// Waits for a turn. The permit goes into the work, so that a client that went away does not
    /// free a turn whose thread is still busy.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, HashError> {
        let _place = self.places.try_acquire().map_err(|_full| HashError::Busy)?;
        match timeout(TURN_WAIT_MAX, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(HashError::Busy),
        }
    }
}

fn hash(password: &[u8]) -> Result<String, HashError> {
    let salt = rand::random::<[u8; SALT_BYTES]>();
    Ok(Argon2::default().hash_password_with_salt(password, &salt)?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_asks_for_length_a_letter_a_digit_and_a_sign() {
        for good in
            ["correct-horse-1!", "비밀번호입니다-1", "a1!aaaaa", &format!("a1!{}", "x".repeat(61))]
        {
            assert!(Password::parse(good).is_ok(), "{good}");
        }
        let long = format!("a1!{}", "x".repeat(62));
        for weak in ["", "a1!", "aaaaaaa!", "1111111!", "aaaaaaa1", "a1!aaaa\0", "a1!aaaa\n", &long]
        {
            assert_eq!(Password::parse(weak).unwrap_err(), WeakPassword, "{weak:?}");
        }
    }

    #[tokio::test]
    async fn a_hash_knows_its_password_and_no_other() {
        let hashes = PasswordHashes::new(2).await.unwrap();
        let stored = hashes.hash(Password::parse("correct-horse-1!").unwrap()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        let is_right = async |raw: &str, stored: Option<&str>| {
            hashes.is_right(Secret::from(raw), stored.map(str::to_owned)).await.unwrap()
        };
        assert!(is_right("correct-horse-1!", Some(&stored)).await);
        assert!(!is_right("correct-horse-2!", Some(&stored)).await);
        assert!(!is_right(&"x".repeat(100_000), Some(&stored)).await);
        assert!(!is_right("", Some(&stored)).await);
        assert!(!is_right("correct-horse-1!", None).await);
    }

    #[tokio::test]
    async fn whoever_finds_no_place_is_told_so() {
        let hashes = PasswordHashes::new(1).await.unwrap();
        let _all = hashes.places.try_acquire_many(u32::try_from(QUEUE_PER_TURN).unwrap()).unwrap();
        let refused = hashes.hash(Password::parse("correct-horse-1!").unwrap()).await;
        assert!(matches!(refused, Err(HashError::Busy)));
    }

    /// With the three seconds of before, clients were hashed for that had left.
    #[tokio::test]
    async fn a_turn_is_waited_for_a_second_at_most() {
        let hashes = PasswordHashes::new(1).await.unwrap();
        let _busy = hashes.turns.try_acquire().unwrap();
        let begun = std::time::Instant::now();
        let refused = hashes.hash(Password::parse("correct-horse-1!").unwrap()).await;
        assert!(matches!(refused, Err(HashError::Busy)));
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
}

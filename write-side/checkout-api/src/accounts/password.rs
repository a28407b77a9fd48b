//! Passwords: the rule, the hash, and how many may be worked on at once.
//!
//! A hash costs about 40 ms of a core and 19 MiB, on purpose. So hashing happens on threads of the
//! lowest priority, on at most a quarter of the cores at a time, and a request that would wait longer
//! than a second for its turn is refused: a flood of logins slows logins down and leaves the cores to
//! the others. One address holds at most [`PLACES_PER_ADDRESS`] of the places, so that it fills the
//! queue of no other.

mod threads;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use service_kit::config::Secret;
use service_kit::http::{AddressPlace, Addresses};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use self::threads::IdleThreads;

/// Longest wait for a turn to hash: work that waits longer is work for a client that has left.
const TURN_WAIT_MAX: Duration = Duration::from_secs(1);
/// Places per turn, for those that hash and those that wait: about a second's work, so that those
/// behind would wait in vain.
const PLACES_PER_TURN: usize = 25;
/// Places of one address: a person logs in once at a time, and an office seldom twice within the
/// 40 ms of a hash.
const PLACES_PER_ADDRESS: usize = 2;
/// Places of one IPv6 /48, which has 65,536 such addresses.
const PLACES_PER_NETWORK: usize = 8;
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
    /// Every place is taken, or no turn came within [`TURN_WAIT_MAX`].
    #[error("too many passwords are being hashed")]
    Busy,
    /// The places of this address are taken.
    #[error("too many passwords of one address are being hashed")]
    AddressBusy,
    /// The library refuses, which no password brings about.
    #[error("hash a password")]
    Hash(#[from] argon2::password_hash::Error),
    /// No thread can be started.
    #[error("start a thread that hashes passwords")]
    Thread(#[source] io::Error),
    /// The work panicked, or the process is ending.
    #[error("hash a password to its end")]
    Ended,
}

/// Hashes and compares passwords, a bounded number at a time. Clones share the bound.
#[derive(Debug, Clone)]
pub(crate) struct PasswordHashes {
    threads: Arc<IdleThreads>,
    /// One for each thread.
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
    addresses: Addresses,
    networks: Addresses,
    /// Compared against when there is no account, so that the answer takes as long.
    decoy: Arc<str>,
}

/// The place of a request among those that hash or wait for their turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct HashPlace {
    _place: OwnedSemaphorePermit,
    _of_address: Option<(AddressPlace, AddressPlace)>,
}

/// A place with the turn that it waited for.
struct Turn {
    _turn: OwnedSemaphorePermit,
    _place: HashPlace,
}

impl PasswordHashes {
    /// At most `at_once` at a time.
    pub(crate) async fn new(at_once: usize) -> Result<Self, HashError> {
        // Not on the threads: the process is starting and serves no shopper yet.
        let decoy = tokio::task::spawn_blocking(|| {
            hash(hex::encode(rand::random::<[u8; SALT_BYTES]>()).as_bytes())
        });
        let decoy = decoy.await.map_err(|_panic| HashError::Ended)??;
        Ok(Self {
            threads: Arc::new(IdleThreads::start(at_once).map_err(HashError::Thread)?),
            turns: Arc::new(Semaphore::new(at_once)),
            places: Arc::new(Semaphore::new(at_once.saturating_mul(PLACES_PER_TURN))),
            addresses: Addresses::default(),
            networks: Addresses::default(),
            decoy: decoy.into(),
        })
    }

    /// Takes a place for a request from `address`; without one (an operator's tool, a test without a
    /// socket) only the places of all are counted. Costs nothing, so it comes before what asks the
    /// database.
    ///
    /// # Errors
    /// [`HashError::AddressBusy`] and [`HashError::Busy`].
    pub(crate) fn enter(&self, address: Option<IpAddr>) -> Result<HashPlace, HashError> {
        let of_address = match address {
            None => None,
            Some(address) => {
                let own = self.addresses.enter(address, PLACES_PER_ADDRESS);
                let own = own.ok_or(HashError::AddressBusy)?;
                let site = self.networks.enter_network(address, PLACES_PER_NETWORK);
                Some((own, site.ok_or(HashError::AddressBusy)?))
            }
        };
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_full| HashError::Busy)?;
        Ok(HashPlace { _place: place, _of_address: of_address })
    }

    /// The hash of `password` with a fresh salt, as a PHC string.
    pub(crate) async fn hash(
        &self,
        place: HashPlace,
        password: Password,
    ) -> Result<String, HashError> {
        let turn = self.turn(place).await?;
        let hashed = self.threads.run(move || {
            let _held_until_done = turn;
            hash(password.0.expose().as_bytes())
        });
        hashed.await.ok_or(HashError::Ended)?
    }

    /// Whether `candidate` is the password behind `stored`. Takes as long when nothing is stored.
    pub(crate) async fn is_right(
        &self,
        place: HashPlace,
        candidate: Secret,
        stored: Option<String>,
    ) -> Result<bool, HashError> {
        let turn = self.turn(place).await?;
        let decoy = Arc::clone(&self.decoy);
        let compared = self.threads.run(move || {
            let _held_until_done = turn;
            matches(&candidate, stored.as_deref(), &decoy)
        });
        compared.await.ok_or(HashError::Ended)?
    }

    /// Waits for a turn. It goes into the work, so that a client that went away frees neither a turn
    /// whose thread is still busy nor a place.
    async fn turn(&self, place: HashPlace) -> Result<Turn, HashError> {
        match timeout(TURN_WAIT_MAX, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(Turn { _turn: turn, _place: place }),
            Ok(Err(_)) | Err(_) => Err(HashError::Busy),
        }
    }
}

fn matches(candidate: &Secret, stored: Option<&str>, decoy: &str) -> Result<bool, HashError> {
    let fits = candidate.expose().len() <= CANDIDATE_BYTES_MAX;
    let bytes = if fits { candidate.expose().as_bytes() } else { b"" };
    let parsed = PasswordHash::new(stored.unwrap_or(decoy))
        .map_err(|_malformed| argon2::password_hash::Error::Crypto)?;
    let is_match = match Argon2::default().verify_password(bytes, &parsed) {
        Ok(()) => true,
        Err(argon2::password_hash::Error::PasswordInvalid) => false,
        Err(error) => return Err(HashError::Hash(error)),
    };
    Ok(is_match && fits && stored.is_some())
}

fn hash(password: &[u8]) -> Result<String, HashError> {
    let salt = rand::random::<[u8; SALT_BYTES]>();
    Ok(Argon2::default().hash_password_with_salt(password, &salt)?.to_string())
}

#[cfg(test)]
mod tests;

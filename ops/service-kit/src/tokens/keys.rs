//! The Ed25519 keys of access tokens, each named by its thumbprint.
//!
//! A process that verifies holds public keys alone: no signature can be made from them. Two are
//! accepted at a time, so that a key is replaced without ending the tokens of the one before.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, EncodingKey};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::config::{ConfigError, Secret};

/// Most verifying keys at a time: the one that signs and the one before or after it.
pub const VERIFYING_KEYS_MAX: usize = 2;
/// The variable of the signing key.
const SIGNING_KEY: &str = "ACCESS_TOKEN_SIGNING_KEY";
/// The variable of the verifying keys.
const VERIFYING_KEYS: &str = "ACCESS_TOKEN_VERIFYING_KEYS";
/// Length of a private key (seed) and of a public one.
const KEY_BYTES: usize = 32;
/// What stands before the seed in PKCS#8, as `openssl genpkey -algorithm ed25519` writes it.
const PKCS8_PREFIX: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
/// What stands before the public key, as `openssl pkey -pubout` writes it.
const SPKI_PREFIX: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// What tokens are signed with. Held by `checkout-api` alone.
pub(super) struct SigningKey {
    /// The `kid` of its tokens.
    pub(super) id: String,
    pub(super) encoding: EncodingKey,
}

impl SigningKey {
    /// The key from base64 of its 32 bytes, bare or in PKCS#8.
    pub(super) fn from_base64(secret: &Secret) -> Result<Self, ConfigError> {
        let seed = seed_of(secret)?;
        let pkcs8 = Zeroizing::new([PKCS8_PREFIX, &seed].concat());
        let encoding = EncodingKey::from_ed_der(&pkcs8);
        Ok(Self { id: thumbprint(&public_of(&seed)?), encoding })
    }
}

/// One of the keys that tokens are verified with.
#[derive(Clone)]
pub(super) struct VerifyingKey {
    /// The `kid` of the tokens it verifies.
    pub(super) id: String,
    pub(super) decoding: DecodingKey,
}

/// The keys from `ACCESS_TOKEN_VERIFYING_KEYS`: one or two, in base64, separated by a comma.
pub(super) fn verifying_keys(text: &str) -> Result<Vec<VerifyingKey>, ConfigError> {
    let wrong = || {
        let expected = "expected one or two Ed25519 public keys in base64, separated by a comma";
        ConfigError::invalid(VERIFYING_KEYS, expected)
    };
    let keys: Vec<VerifyingKey> = text
        .split(',')
        .map(|key| {
            let bytes = STANDARD.decode(key.trim()).map_err(|_may_repeat_it| wrong())?;
            let public = bytes.strip_prefix(SPKI_PREFIX).unwrap_or(&bytes);
            let is_key =
                public.len() == KEY_BYTES && ParsedPublicKey::new(&ED25519, public).is_ok();
            let key =
                VerifyingKey { id: thumbprint(public), decoding: DecodingKey::from_ed_der(public) };
            is_key.then_some(key).ok_or_else(wrong)
        })
        .collect::<Result<_, _>>()?;
    if VERIFYING_KEYS_MAX < keys.len() {
        return Err(wrong());
    }
    Ok(keys)
}

/// Refuses a signing key whose tokens no process would accept.
pub(super) fn check_pair(signing: &SigningKey, verifying: &str) -> Result<(), ConfigError> {
    if verifying_keys(verifying)?.iter().any(|key| key.id == signing.id) {
        return Ok(());
    }
    let expected = format!("expected the public key of {SIGNING_KEY} among the keys");
    Err(ConfigError::invalid(VERIFYING_KEYS, expected))
}

/// The public key of a signing key, in base64: what the processes that verify are given.
///
/// # Errors
/// The signing key is no Ed25519 key in base64.
pub fn public_key_of(signing_key: &Secret) -> Result<String, ConfigError> {
    Ok(STANDARD.encode(public_of(&seed_of(signing_key)?)?))
}

fn wrong_signing_key() -> ConfigError {
    let expected = "expected an Ed25519 private key in base64: its 32 bytes, or PKCS#8";
    ConfigError::invalid(SIGNING_KEY, expected)
}

fn seed_of(secret: &Secret) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    let bytes =
        STANDARD.decode(secret.expose().trim()).map_err(|_may_repeat_it| wrong_signing_key())?;
    let bytes = Zeroizing::new(bytes);
    let seed = bytes.strip_prefix(PKCS8_PREFIX).unwrap_or(&bytes);
    if seed.len() != KEY_BYTES {
        return Err(wrong_signing_key());
    }
    Ok(Zeroizing::new(seed.to_vec()))
}

fn public_of(seed: &[u8]) -> Result<Vec<u8>, ConfigError> {
    let pair =
        Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_may_repeat_it| wrong_signing_key())?;
    Ok(pair.public_key().as_ref().to_vec())
}

/// The key's name by RFC 7638: a digest of what makes it up, so that it needs no setting of its own.
fn thumbprint(public: &[u8]) -> String {
    let x = URL_SAFE_NO_PAD.encode(public);
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(members.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037, appendix A: the key pair of A.1 and A.2, and its thumbprint of A.3.
    const SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
    const PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    const THUMBPRINT: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

    fn with_prefix(prefix: &[u8], key: &str) -> String {
        STANDARD.encode([prefix, &STANDARD.decode(key).unwrap()].concat())
    }

    #[test]
    fn a_key_is_named_by_its_thumbprint() {
        assert_eq!(public_key_of(&Secret::from(SEED)).unwrap(), PUBLIC);
        assert_eq!(SigningKey::from_base64(&Secret::from(SEED)).unwrap().id, THUMBPRINT);
        assert_eq!(verifying_keys(PUBLIC).unwrap()[0].id, THUMBPRINT);
    }

    #[test]
    fn keys_are_taken_as_openssl_writes_them() {
        let pkcs8 = Secret::new(with_prefix(PKCS8_PREFIX, SEED));
        assert_eq!(SigningKey::from_base64(&pkcs8).unwrap().id, THUMBPRINT);
        let spki = with_prefix(SPKI_PREFIX, PUBLIC);
        assert_eq!(verifying_keys(&spki).unwrap()[0].id, THUMBPRINT);
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_repeated() {
        for wrong in ["", "hunter2", "aHVudGVyMg==", &with_prefix(SPKI_PREFIX, PUBLIC)] {
            let error = SigningKey::from_base64(&Secret::from(wrong)).err().unwrap().to_string();
            assert!(error.starts_with("ACCESS_TOKEN_SIGNING_KEY: expected"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let three = [PUBLIC; 3].join(",");
        let private = with_prefix(PKCS8_PREFIX, SEED);
        for wrong in ["", "hunter2", "aHVudGVyMg==", &three, &private, &format!("{PUBLIC},")] {
            let error = verifying_keys(wrong).err().unwrap().to_string();
            assert!(error.starts_with("ACCESS_TOKEN_VERIFYING_KEYS: expected"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_signing_key_that_no_process_would_verify_is_refused() {
        let key = SigningKey::from_base64(&Secret::from(SEED)).unwrap();
        let other = public_key_of(&Secret::new(STANDARD.encode([7; 32]))).unwrap();
        assert!(check_pair(&key, &format!("{other}, {PUBLIC}")).is_ok());
        let error = check_pair(&key, &other).unwrap_err().to_string();
        assert_eq!(
            error,
            "ACCESS_TOKEN_VERIFYING_KEYS: expected the public key of ACCESS_TOKEN_SIGNING_KEY \
             among the keys"
        );
    }
}

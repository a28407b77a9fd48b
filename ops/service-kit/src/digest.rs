//! Keyed digests: what uniqueness of personal data is checked on, without storing the data.
//!
//! The digest of an e-mail address lets a unique index refuse a second account while the table
//! holds no address. The key (the pepper) lies outside the database, so that a stolen table cannot
//! be searched by trying addresses. Also makes pseudonymous ids for outside parties.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::{ConfigError, Secret};

/// Shortest pepper accepted, in bytes: less than the digest's own strength would be its weak spot.
pub const PEPPER_BYTES_MIN: usize = 32;

/// The key of all digests of one installation. Changing it makes every stored digest useless.
#[derive(Clone)]
pub struct Pepper(Hmac<Sha256>);

impl Pepper {
    /// The pepper from its secret, at least [`PEPPER_BYTES_MIN`] bytes of text.
    ///
    /// # Errors
    /// The secret is too short.
    pub fn new(secret: &Secret) -> Result<Self, ConfigError> {
        let key = secret.expose().as_bytes();
        let too_short = || {
            ConfigError::invalid(
                "DIGEST_PEPPER",
                format!("expected at least {PEPPER_BYTES_MIN} bytes"),
            )
        };
        if key.len() < PEPPER_BYTES_MIN {
            return Err(too_short());
        }
        Hmac::new_from_slice(key).map(Self).map_err(|_invalid_length| too_short())
    }

    /// 64 hexadecimal digits for one canonical text of one kind (`email`, `phone`, …).
    ///
    /// The same text under two kinds has two digests, so that they cannot be matched up.
    pub fn digest(&self, kind: &str, canonical: &str) -> String {
        let mut mac = self.0.clone();
        // The length keeps (`ab`, `c`) and (`a`, `bc`) apart.
        mac.update(&(kind.len() as u64).to_be_bytes());
        mac.update(kind.as_bytes());
        mac.update(canonical.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pepper(fill: char) -> Pepper {
        Pepper::new(&Secret::new(fill.to_string().repeat(32))).unwrap()
    }

    #[test]
    fn a_digest_depends_on_pepper_kind_and_text() {
        let digest = pepper('a').digest("email", "kim@example.com");
        assert_eq!(digest, pepper('a').digest("email", "kim@example.com"));
        assert_eq!(digest.len(), 64);
        for other in [
            pepper('b').digest("email", "kim@example.com"),
            pepper('a').digest("phone", "kim@example.com"),
            pepper('a').digest("email", "lee@example.com"),
            pepper('a').digest("emailk", "im@example.com"),
        ] {
            assert_ne!(digest, other);
        }
    }

    #[test]
    fn a_short_pepper_is_refused() {
        let error = Pepper::new(&Secret::from("short")).unwrap_err();
        assert_eq!(error.to_string(), "DIGEST_PEPPER: expected at least 32 bytes");
    }

    #[test]
    fn a_pepper_is_never_shown() {
        assert_eq!(format!("{:?}", pepper('a')), "Pepper(***)");
    }
}

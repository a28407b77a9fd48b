//! Where a shopper's browser comes back to from the payment page, and whether a return is ours.
//!
//! The URL names order and attempt and carries a nonce derived from both under a key, so nothing
//! has to be stored and nobody who was not sent there can guess it. The process that sends the
//! browser away and the one that receives it derive the same nonce.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::{ConfigError, Secret};

/// Hexadecimal digits of the nonce: 128 bits, far beyond guessing within the page's 15 minutes.
const NONCE_DIGITS: usize = 32;
/// Shortest key accepted, in bytes.
const KEY_BYTES_MIN: usize = 32;
/// Longest base URL, so that the whole stays within the 255 characters the gateway takes.
const BASE_LENGTH_MAX: usize = 128;

/// Makes and recognises return URLs. Clones are cheap.
#[derive(Clone)]
pub struct ReturnUrls {
    mac: Hmac<Sha256>,
    base: String,
}

impl ReturnUrls {
    /// Return URLs below `base` (`PUBLIC_BASE_URL`), with nonces under `key` (`RETURN_URL_KEY`).
    ///
    /// # Errors
    /// The key is shorter than 32 bytes, or the base is no web address of at most 128 characters.
    pub fn new(key: &Secret, base: &str) -> Result<Self, ConfigError> {
        let wrong_key =
            || ConfigError::invalid("RETURN_URL_KEY", format!("expected {KEY_BYTES_MIN} bytes"));
        let bytes = key.expose().as_bytes();
        if bytes.len() < KEY_BYTES_MIN {
            return Err(wrong_key());
        }
        let mac = Hmac::new_from_slice(bytes).map_err(|_invalid_length| wrong_key())?;
        let base = base.trim().trim_end_matches('/');
        let is_web = base.starts_with("https://") || base.starts_with("http://");
        if !is_web || BASE_LENGTH_MAX < base.len() || base.contains(['?', '#']) {
            return Err(ConfigError::invalid("PUBLIC_BASE_URL", "expected a short web address"));
        }
        Ok(Self { mac, base: base.to_owned() })
    }

    /// What only a browser that was sent to this attempt's payment page knows.
    pub fn nonce(&self, order: impl fmt::Display, attempt: u32) -> String {
        let mut digits = hex::encode(self.keyed(order, attempt).finalize().into_bytes());
        digits.truncate(NONCE_DIGITS);
        digits
    }

    /// Whether `nonce` is the one of this attempt. Takes as long whatever is wrong with it.
    pub fn is_nonce_of(&self, order: impl fmt::Display, attempt: u32, nonce: &str) -> bool {
        let Ok(bytes) = hex::decode(nonce) else {
            return false;
        };
        nonce.len() == NONCE_DIGITS
            && self.keyed(order, attempt).verify_truncated_left(&bytes).is_ok()
    }

    /// A digest under the key by which a token of this attempt is known again. It cannot be turned
    /// back into the token.
    pub fn token_mark(&self, order: impl fmt::Display, attempt: u32, token: &str) -> String {
        let mut mac = self.mac.clone();
        mac.update(format!("token/{order}/{attempt}/{token}").as_bytes());
        let mut digits = hex::encode(mac.finalize().into_bytes());
        digits.truncate(NONCE_DIGITS);
        digits
    }

    /// Where the browser comes back to with the gateway's token.
    pub fn approval(&self, order: impl fmt::Display + Copy, attempt: u32) -> String {
        let nonce = self.nonce(order, attempt);
        format!("{}/payments/return/{order}/{attempt}-{nonce}", self.base)
    }

    /// Where it comes back to when the shopper left the page.
    pub fn cancel(&self, order: impl fmt::Display + Copy, attempt: u32) -> String {
        format!("{}/cancel", self.approval(order, attempt))
    }

    /// Where it comes back to when the page failed.
    pub fn fail(&self, order: impl fmt::Display + Copy, attempt: u32) -> String {
        format!("{}/fail", self.approval(order, attempt))
    }

    fn keyed(&self, order: impl fmt::Display, attempt: u32) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(format!("return/{order}/{attempt}").as_bytes());
        mac
    }
}

impl fmt::Debug for ReturnUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReturnUrls").field("base", &self.base).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls() -> ReturnUrls {
        ReturnUrls::new(&Secret::new("k".repeat(32)), "https://shop.example/").unwrap()
    }

    #[test]
    fn a_nonce_belongs_to_one_attempt_of_one_order() {
        let nonce = urls().nonce("order-1", 1);
        assert!(urls().is_nonce_of("order-1", 1, &nonce));
        assert!(!urls().is_nonce_of("order-1", 2, &nonce));
        assert!(!urls().is_nonce_of("order-2", 1, &nonce));
        for wrong in ["", "00", "zz", &nonce[..30], &format!("{nonce}00")] {
            assert!(!urls().is_nonce_of("order-1", 1, wrong), "{wrong}");
        }
    }

    #[test]
    fn a_token_is_known_again_by_its_mark_and_is_no_nonce() {
        let mark = urls().token_mark("order-1", 1, "token");
        assert_eq!(mark, urls().token_mark("order-1", 1, "token"));
        assert!(!urls().is_nonce_of("order-1", 1, &mark));
        assert_ne!(mark, urls().token_mark("order-1", 1, "other"));
        assert_ne!(mark, urls().token_mark("order-1", 2, "token"));
    }

    #[test]
    fn the_three_urls_share_their_beginning() {
        let approval = urls().approval("order-1", 2);
        assert!(approval.starts_with("https://shop.example/payments/return/order-1/2-"));
        assert_eq!(urls().cancel("order-1", 2), format!("{approval}/cancel"));
        assert_eq!(urls().fail("order-1", 2), format!("{approval}/fail"));
    }

    #[test]
    fn a_short_key_or_a_strange_base_is_refused() {
        let key = Secret::new("k".repeat(32));
        assert!(ReturnUrls::new(&Secret::new("short"), "https://shop.example").is_err());
        assert!(ReturnUrls::new(&key, "shop.example").is_err());
        assert!(ReturnUrls::new(&key, &format!("https://{}", "a".repeat(128))).is_err());
    }
}

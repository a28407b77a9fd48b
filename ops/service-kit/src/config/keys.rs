//! What a key must be: long enough, not from a document, and used for one purpose.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{ConfigError, Secret, Table};

/// Bytes of a key.
const BYTES_MIN: usize = 32;
/// 32 random bytes have some 30 distinct ones, as 64 hexadecimal digits they have some 16; text that a
/// person typed by repetition has fewer.
const DISTINCT_MIN: usize = 8;
/// Keys that stand in documents and examples, and with them in the hands of everyone.
const SAMPLES: [&[u8]; 4] = [
    b"0123456789abcdef0123456789abcdef",
    b"00112233445566778899aabbccddeeff",
    b"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    // The same as bytes: `AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=`.
    b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\
      \x18\x19\x1a\x1b\x1c\x1d\x1e\x1f",
];

/// Whether `key` is long enough and looks random.
pub(super) fn check(key: &[u8]) -> Result<(), String> {
    if key.len() < BYTES_MIN {
        return Err(format!("expected at least {BYTES_MIN} bytes"));
    }
    let distinct: HashSet<u8> = key.iter().copied().collect();
    if distinct.len() < DISTINCT_MIN || SAMPLES.contains(&key) {
        let hint = "expected random bytes, for example from `openssl rand -base64 32`";
        return Err(hint.to_owned());
    }
    Ok(())
}

/// Whether `text` is a key of exactly 32 bytes in base64.
pub(super) fn check_base64(text: &str) -> Result<(), String> {
    match STANDARD.decode(text) {
        Ok(key) if key.len() == BYTES_MIN => check(&key),
        _ => Err(format!("expected {BYTES_MIN} bytes in base64")),
    }
}

/// Keys of `table` with the same value: who learns one of them has the other.
pub(super) fn equal(table: Table, values: &HashMap<&'static str, Secret>) -> Vec<ConfigError> {
    let mut seen: HashMap<&str, &str> = HashMap::new();
    let mut faults = Vec::new();
    for variable in table.iter().filter(|variable| variable.shape.is_key()) {
        let Some(value) = values.get(variable.name) else { continue };
        if let Some(first) = seen.insert(value.expose().trim(), variable.name) {
            let expected = format!("expected another value than {first}'s");
            faults.push(ConfigError::invalid(variable.name, expected));
        }
    }
    faults
}

//! A finished JSON body: its bytes, its tag, and its compressed form once somebody asked for it.

use std::io::Write;
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// Bodies shorter than this are sent as they are: they fit one packet either way.
const COMPRESS_BYTES_MIN: usize = 1024;
/// Bytes of the digest that make a tag: 64 bits tell the versions of one address apart.
const TAG_BYTES: usize = 8;
/// What an entry costs in the cache beside its bodies, in bytes.
const OVERHEAD_BYTES: usize = 256;

/// A JSON body that is sent as often as it is asked for and built once.
#[derive(Debug)]
pub(crate) struct Finished {
    plain: Bytes,
    etag: String,
    gzip: OnceLock<Option<Bytes>>,
}

impl Finished {
    /// A body from its JSON text.
    pub(crate) fn new(json: String) -> Self {
        let plain = Bytes::from(json);
        let digest = Sha256::digest(&plain);
        let tag = digest.get(..TAG_BYTES).map(hex::encode).unwrap_or_default();
        Self { plain, etag: format!("W/\"{tag}\""), gzip: OnceLock::new() }
    }

    /// The weak tag of this body: the same bytes have the same tag on every node.
    pub(crate) fn etag(&self) -> &str {
        &self.etag
    }

    /// The body as it is.
    pub(crate) fn plain(&self) -> Bytes {
        self.plain.clone()
    }

    /// The body for a client that takes gzip; `None` when compressing it gains nothing.
    pub(crate) fn gzip(&self) -> Option<Bytes> {
        self.gzip.get_or_init(|| compressed(&self.plain)).clone()
    }

    /// What this costs to keep, in bytes; counts a compressed form that may not be there yet.
    pub(crate) fn weight(&self) -> u32 {
        let bytes = self.plain.len().saturating_add(self.plain.len() / 4) + OVERHEAD_BYTES;
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

fn compressed(plain: &Bytes) -> Option<Bytes> {
    if plain.len() < COMPRESS_BYTES_MIN {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    encoder.write_all(plain).ok()?;
    let gzip = encoder.finish().ok()?;
    (gzip.len() < plain.len()).then(|| Bytes::from(gzip))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_same_bytes_have_the_same_tag() {
        let tag = |json: &str| Finished::new(json.to_owned()).etag().to_owned();
        assert_eq!(tag("{}"), tag("{}"));
        assert_ne!(tag("{}"), tag("[]"));
        assert!(tag("{}").starts_with("W/\""));
    }

    #[test]
    fn a_long_body_opens_to_itself_and_a_short_one_stays_plain() {
        let long = "[1,2,3]".repeat(1000);
        let gzip = Finished::new(long.clone()).gzip().unwrap();
        let mut opened = String::new();
        flate2::read::GzDecoder::new(&gzip[..]).read_to_string(&mut opened).unwrap();
        assert_eq!(opened, long);
        assert!(Finished::new("{}".to_owned()).gzip().is_none());
    }
}

//! `job.json`: what a job follows from.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Fingerprint;
use mquant_model::bundle::hex;

/// What `schema` says.
const SCHEMA: &str = "mquant.job/1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    schema: String,
    /// Of the fingerprint as compact JSON.
    sha256: String,
    fingerprint: Fingerprint,
}

/// The hash of a fingerprint.
pub(super) fn key(fingerprint: &Fingerprint) -> [u8; 32] {
    Sha256::digest(serde_json::to_vec(fingerprint).expect("texts are JSON")).into()
}

/// The content of the file.
pub(super) fn to_bytes(fingerprint: &Fingerprint) -> Vec<u8> {
    let (schema, sha256) = (SCHEMA.to_owned(), hex(&key(fingerprint)));
    let stored = Stored { schema, sha256, fingerprint: fingerprint.clone() };
    let mut text = serde_json::to_vec_pretty(&stored).expect("texts are JSON");
    text.push(b'\n');
    text
}

/// The fingerprint in a file; `None` if it is not as it was written.
pub(super) fn parse(bytes: &[u8]) -> Option<Fingerprint> {
    let stored: Stored = serde_json::from_slice(bytes).ok()?;
    (to_bytes(&stored.fingerprint) == bytes).then_some(stored.fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed() {
        let fingerprint: Fingerprint =
            [("model", "sha256:\u{e4}"), ("recipe", "r")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let bytes = to_bytes(&fingerprint);
        assert_eq!(parse(&bytes), Some(fingerprint));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&flipped), None, "bit {bit}");
        }
    }
}

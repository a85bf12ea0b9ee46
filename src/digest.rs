//! Content digests: `sha256:` and 64 lower-case hexadecimal digits, as in the OCI image
//! specification (descriptor.md, "Digests"). An image's id is the digest of its config, and a
//! layer's diff_id is the digest of its uncompressed tar.
//!
//! The specification also registers other algorithms, such as sha512. mydocker refuses their
//! digests.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result, fail};
use crate::hex;
use crate::store::stored_as_text;

/// The expected value in an error about a wrong digest in a document.
pub const A_DIGEST: &str =
    "a sha256 digest, the only kind known here; make the image again with sha256 digests";

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

stored_as_text!(Digest);

/// The digest of an image's config.
pub type ImageId = Digest;

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest::finish(Sha256::new_with_prefix(bytes))
    }

    /// The digest of all bytes that `hasher` has received.
    pub fn finish(hasher: Sha256) -> Digest {
        Digest(hasher.finalize().into())
    }

    /// Parses `sha256:HEX`. Fails on any other text, also on a digest of another algorithm.
    pub fn parse(text: &str) -> Result<Digest> {
        let Some(hex) = text.strip_prefix("sha256:") else {
            if let Some(("sha384" | "sha512", _)) = text.split_once(':') {
                fail!(
                    "unsupported digest '{text}': only sha256 is supported; name the image by its \
                     tag or its sha256 digest"
                );
            }
            fail!("bad digest '{text}': it should be sha256: and 64 hexadecimal digits")
        };
        match Digest::parse_hex(hex) {
            Some(digest) => Ok(digest),
            None => fail!("bad digest '{text}': 64 lower-case hexadecimal digits should follow"),
        }
    }

    /// Parses 64 lower-case hexadecimal digits; `None` for any other text.
    pub fn parse_hex(hex: &str) -> Option<Digest> {
        let digits = hex.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = hex_value(pair[0])? << 4 | hex_value(pair[1])?;
        }
        Some(Digest(bytes))
    }

    /// The 64 digits without `sha256:`. Files and directories have them as names.
    pub fn hex(&self) -> String {
        hex::digits(&self.0)
    }

    /// The first 12 digits, as tables print an id.
    pub fn short(&self) -> String {
        hex::short(&self.hex()).to_owned()
    }
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Digest> {
        Digest::parse(text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_digest_parses_to_the_same_digest() {
        let digest = Digest::of(b"abc");
        assert_eq!(
            digest.to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(Digest::parse(&digest.to_string()).unwrap(), digest);
        assert_eq!(digest.short(), "ba7816bf8f01");
    }

    #[test]
    fn texts_that_are_not_digests_are_refused() {
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for bad in ["", "sha256:", "sha256:../../x", hex, &format!("sha256:{}", &hex[1..])] {
            assert!(Digest::parse(bad).is_err(), "{bad}");
        }
        assert!(Digest::parse(&format!("sha256:{}", hex.to_uppercase())).is_err());
        let error = Digest::parse(&format!("sha512:{hex}{hex}")).unwrap_err().to_string();
        assert!(error.contains("only sha256 is supported"), "{error}");
    }
}

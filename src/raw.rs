//! Keeps arguments, variables and paths as `String`s. On Linux they need not be UTF-8.
//!
//! `encode` replaces each byte B that is not part of valid UTF-8 by the character U+10FF00 + B, one
//! of the last 128 characters of Unicode's last private plane. If the input contains such a
//! character itself, `encode` replaces each of its four bytes in the same way. So `decode` returns
//! the exact input of `encode`. State files hold the encoded text, and the kernel gets the decoded
//! bytes.
//!
//! `cli::escape` prints the byte ff as `\udcff`, as Python's surrogateescape does in JSON. Text for
//! other programs (labels, an image's config) must be UTF-8: `utf8` refuses other bytes.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::error::{Result, fail};

const BASE: u32 = 0x10_ff00;
/// The character for byte 0x80; lower bytes are ASCII and always UTF-8.
const FIRST: char = '\u{10ff80}';

/// The byte that `encode` replaced by `c`, or `None` for an ordinary character.
pub fn byte(c: char) -> Option<u8> {
    if c < FIRST { None } else { u8::try_from(u32::from(c) - BASE).ok() }
}

fn push(text: &mut String, bytes: &[u8]) {
    text.extend(bytes.iter().filter_map(|byte| char::from_u32(BASE + u32::from(*byte))));
}

/// Returns `bytes` as text. `decode` converts the text back to the same bytes.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        match chunk.valid() {
            valid if is_plain(valid) => text.push_str(valid),
            valid => {
                for c in valid.chars() {
                    match byte(c) {
                        Some(_) => push(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes()),
                        None => text.push(c),
                    }
                }
            }
        }
        push(&mut text, chunk.invalid());
    }
    text
}

/// Returns the bytes from which `encode` made `text`.
pub fn decode(text: &str) -> Cow<'_, [u8]> {
    if is_plain(text) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match byte(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(bytes)
}

/// Whether `text` has only ordinary characters, so `decode` does not change it.
pub fn is_plain(text: &str) -> bool {
    // Fast path: in UTF-8, only the rare characters from U+100000 on start with the byte f4.
    !text.as_bytes().contains(&0xf4) || text.chars().all(|c| byte(c).is_none())
}

/// Decodes `text` for a document that can only hold UTF-8. Fails if the bytes are not UTF-8. The
/// error names `what`.
pub fn utf8(what: &str, text: &str) -> Result<String> {
    match String::from_utf8(decode(text).into_owned()) {
        Ok(text) => Ok(text),
        Err(_) => fail!("the {what} '{text}' is not UTF-8"),
    }
}

/// Decodes a path from the command line or a state file.
pub fn path(text: &str) -> Cow<'_, Path> {
    match decode(text) {
        Cow::Borrowed(bytes) => Cow::Borrowed(Path::new(OsStr::from_bytes(bytes))),
        Cow::Owned(bytes) => Cow::Owned(PathBuf::from(OsString::from_vec(bytes))),
    }
}

/// Encodes a path.
pub fn encode_path(path: &Path) -> String {
    encode(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_survive_encode_and_decode() {
        let mut all: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        all.push((0..=255).collect());
        all.push(b"caf\xe9 caf\xc3\xa9 \xf0\x9f\x90\xb3 \xed\xb3\xbf \xc0\xaf".to_vec());
        // Characters that `encode` uses itself, the character before them, and invalid UTF-8 that
        // starts like them.
        all.push("\u{10ff7f}\u{10ff80}\u{10ffff}".as_bytes().to_vec());
        all.push(b"\xf4\x8f\xbe \xf4\x90\x80\x80 \xf4".to_vec());
        for bytes in all {
            let text = encode(&bytes);
            assert_eq!(*decode(&text), *bytes, "{text:?}");
            assert_eq!(is_plain(&text), std::str::from_utf8(&bytes) == Ok(&text), "{text:?}");
        }
    }

    #[test]
    fn plain_text_stays_as_it_is() {
        assert_eq!(encode("café 🐳 \u{100000}".as_bytes()), "café 🐳 \u{100000}");
        assert_eq!(encode(b"\xff"), "\u{10ffff}");
        assert!(utf8("label", "a=\u{10ffff}").is_err());
        let real = "a=é \u{10ffff}";
        assert_eq!(utf8("label", &encode(real.as_bytes())).unwrap(), real);
    }
}

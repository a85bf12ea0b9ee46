//! Bytes of the command line as text: arguments, variables and paths on Linux are bytes, and most of
//! them, not all, are UTF-8.
//!
//! Inside, and in the JSON of state files, all of them are `String`s. A byte B that is not UTF-8 is
//! kept as the character U+10FF00 + B, one of the last 128 characters of Unicode's last private plane. If
//! the input contains such a character itself, each of its four bytes is kept in that
//! way. So `decode` returns exactly what `encode` took. The kernel gets the result of `decode`;
//! people see what `cli::escape` prints: `\udcff` for the byte ff, as Python's surrogateescape spells it
//! in JSON. Text for other programs (labels, an image's config) can't hold such bytes: `utf8` refuses it.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::error::{Result, fail};

const BASE: u32 = 0x10_ff00;
/// The character for byte 0x80; lower bytes are ASCII and always UTF-8.
const FIRST: char = '\u{10ff80}';

/// The byte that `c` stands for, if it stands for one.
pub fn byte(c: char) -> Option<u8> {
    if c < FIRST { None } else { u8::try_from(u32::from(c) - BASE).ok() }
}

fn push(text: &mut String, bytes: &[u8]) {
    text.extend(bytes.iter().filter_map(|byte| char::from_u32(BASE + u32::from(*byte))));
}

/// `bytes` as text.
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

/// The bytes of `text`, as before `encode`.
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

/// Whether `text` has no character that stands for a byte.
pub fn is_plain(text: &str) -> bool {
    // The first byte of all characters beyond U+FFFFF, which are rare.
    !text.as_bytes().contains(&0xf4) || text.chars().all(|c| byte(c).is_none())
}

/// Returns `text`, the value of `what`, for a document that only holds UTF-8. Refuses other bytes.
pub fn utf8(what: &str, text: &str) -> Result<String> {
    match String::from_utf8(decode(text).into_owned()) {
        Ok(text) => Ok(text),
        Err(_) => fail!("the {what} '{text}' is not UTF-8"),
    }
}

/// The path that a typed or stored `text` means.
pub fn path(text: &str) -> Cow<'_, Path> {
    match decode(text) {
        Cow::Borrowed(bytes) => Cow::Borrowed(Path::new(OsStr::from_bytes(bytes))),
        Cow::Owned(bytes) => Cow::Owned(PathBuf::from(OsString::from_vec(bytes))),
    }
}

/// A path as text.
pub fn encode_path(path: &Path) -> String {
    encode(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_come_back() {
        let mut all: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        all.push((0..=255).collect());
        all.push(b"caf\xe9 caf\xc3\xa9 \xf0\x9f\x90\xb3 \xed\xb3\xbf \xc0\xaf".to_vec());
        // The characters that stand for bytes, their neighbours, and halves of them.
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

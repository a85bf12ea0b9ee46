//! Escapes control characters before text from images, containers and registries reaches a
//! terminal. A control character, a control of the text's direction (U+202A to U+202E, U+2066 to
//! U+2069), or a byte that is not UTF-8 is printed as its code, such as `\u001b`. Only `text` keeps
//! newlines and tabs. The escapes have JSON's syntax, so a control character in a JSON string keeps
//! its value.

use std::borrow::Cow;
use std::fmt::Write;

use crate::raw;

fn is_control(c: char) -> bool {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || raw::byte(c).is_some()
}

/// Escapes a text of several lines. Newlines and tabs stay.
pub fn text(text: &str) -> Cow<'_, str> {
    escape(text, |c| is_control(c) && !matches!(c, '\n' | '\t'))
}

/// Escapes a text for a single line: newlines and tabs are escaped too.
pub fn line(text: &str) -> Cow<'_, str> {
    escape(text, is_control)
}

fn escape(text: &str, must_escape: impl Fn(char) -> bool) -> Cow<'_, str> {
    // Nearly all text is printable ASCII, and testing bytes is faster than testing characters.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || !text.contains(&must_escape) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if must_escape(c) {
            // Writing to a String can't fail. A byte that is not UTF-8 becomes a lone surrogate, as
            // in Python.
            let code = raw::byte(c).map_or(u32::from(c), |byte| 0xdc00 + u32::from(byte));
            let _ = write!(escaped, "\\u{code:04x}");
        } else {
            escaped.push(c)
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    #[test]
    fn escape_sequences_are_shown_as_text() {
        let wild = "a\u{1b}[2J\r\u{9b}1m\u{202e}é\tb\nc\u{7f}";
        assert_eq!(super::text(wild), "a\\u001b[2J\\u000d\\u009b1m\\u202eé\tb\nc\\u007f");
        assert_eq!(super::text("a\u{10ffe9}"), "a\\udce9");
        assert!(super::line(wild).ends_with("é\\u0009b\\u000ac\\u007f"));
    }
}

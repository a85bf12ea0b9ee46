//! Text from images, containers and registries on its way to a terminal: what would command it, as
//! escape sequences do, or turn the line around, is shown instead of sent. It is shown as JSON
//! writes it, so that a JSON text that has it inside a string still says the same.

use std::borrow::Cow;
use std::fmt::Write;

use crate::raw;

fn commands(c: char) -> bool {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || raw::byte(c).is_some()
}

/// A whole text: its lines and tabs are kept.
pub fn text(text: &str) -> Cow<'_, str> {
    tame(text, |c| commands(c) && !matches!(c, '\n' | '\t'))
}

/// What must stay on one line.
pub fn line(text: &str) -> Cow<'_, str> {
    tame(text, commands)
}

fn tame(text: &str, is_wild: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_wild) {
        return Cow::Borrowed(text);
    }
    let mut tamed = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_wild(c) {
            // Writing to a String can't fail. A byte that is no UTF-8 is Python's lone surrogate.
            true => {
                let code = raw::byte(c).map_or(u32::from(c), |byte| 0xdc00 + u32::from(byte));
                let _ = write!(tamed, "\\u{code:04x}");
            }
            false => tamed.push(c),
        }
    }
    Cow::Owned(tamed)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_commands_a_terminal_is_shown() {
        let wild = "a\u{1b}[2J\r\u{9b}1m\u{202e}é\tb\nc\u{7f}";
        assert_eq!(super::text(wild), "a\\u001b[2J\\u000d\\u009b1m\\u202eé\tb\nc\\u007f");
        assert_eq!(super::text("a\u{10ffe9}"), "a\\udce9");
        assert!(super::line(wild).ends_with("é\\u0009b\\u000ac\\u007f"));
    }
}

//! Colours on a terminal, by ECMA-48's SGR sequences. There are none if the output is no terminal, if
//! NO_COLOR is set (no-color.org), or if the terminal has no such codes (TERM=dumb). The caller must
//! escape untrusted text before it is painted.

use std::io::{self, IsTerminal};

/// A colour or weight, by the numbers of ECMA-48's SGR.
#[derive(Clone, Copy)]
pub enum Style {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Red => "31",
            Style::Green => "32",
            Style::Yellow => "33",
            Style::Cyan => "36",
        }
    }

    /// Returns `text` in this style. The text must not contain control characters.
    pub fn paint(self, text: &str, on: bool) -> String {
        if on { format!("\x1b[{}m{text}\x1b[0m", self.code()) } else { text.to_owned() }
    }
}

/// Whether a terminal gets escape sequences: colours, cursor movement, erasing lines.
pub fn has_cursor_codes() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
        && std::env::var_os("TERM").is_none_or(|name| name != "dumb")
}

/// Whether stdout takes colours.
pub fn on_stdout() -> bool {
    io::stdout().is_terminal() && has_cursor_codes()
}

/// Whether stderr takes colours.
pub fn on_stderr() -> bool {
    io::stderr().is_terminal() && has_cursor_codes()
}

//! Colours on a terminal, by ECMA-48's SGR sequences. There are no colours if the output is not a
//! terminal, if NO_COLOR is set and not empty (no-color.org), or if TERM is `dumb`. The caller must
//! escape untrusted text before it adds colours. `compose::follow` has its own colours.

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

    /// Returns `text` in this style, or unchanged if `on` is false. The text must not contain
    /// control characters.
    pub fn paint(self, text: &str, on: bool) -> String {
        if on && !text.is_empty() {
            format!("\x1b[{}m{text}\x1b[0m", self.code())
        } else {
            text.to_owned()
        }
    }
}

/// Whether NO_COLOR and TERM allow escape sequences: colours, cursor movement, erasing lines.
pub fn has_cursor_codes() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
        && std::env::var_os("TERM").is_none_or(|name| name != "dumb")
}

/// Whether stdout is a terminal that takes colours.
pub fn on_stdout() -> bool {
    io::stdout().is_terminal() && has_cursor_codes()
}

/// Whether stderr is a terminal that takes colours.
pub fn on_stderr() -> bool {
    io::stderr().is_terminal() && has_cursor_codes()
}

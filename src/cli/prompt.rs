//! Questions to the user: the name and the password of `login`, on the terminal or from stdin.
//!
//! A prompt goes to stderr, so that it is seen when stdout is a file. A secret is typed without echo;
//! `tty::NoEcho` restores the terminal on every return path. What is read is bounded.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};

use crate::error::{Context, Result, fail};
use crate::sys::stdio::{stderr, stdin};
use crate::tty::NoEcho;

/// The longest password or token that is read.
const MAX_SECRET: u64 = 64 << 10;

/// Whether the typed line is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    On,
    Off,
}

/// Asks for a line on the terminal.
pub fn ask(prompt: &str, echo: Echo) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        fail!("{prompt}: stdin is not a terminal; use -u and --password-stdin");
    }
    let _unseen = (echo == Echo::Off).then(NoEcho::enter).transpose()?;
    // Without a prompt the answer can still be typed.
    let _ = write!(stderr(), "{prompt}: ");
    let mut line = String::new();
    let read = BufReader::new(stdin().take(MAX_SECRET)).read_line(&mut line);
    read.context(|| "read the terminal")?;
    if echo == Echo::Off {
        let _ = writeln!(stderr());
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Reads the secret from stdin, without its last newline.
pub fn read_secret() -> Result<String> {
    let mut text = String::new();
    let read = stdin().take(MAX_SECRET).read_to_string(&mut text);
    read.context(|| "read the password from the standard input")?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

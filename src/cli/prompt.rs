//! Asks the user for the name and the password of `login`, on the terminal or from stdin.
//!
//! A prompt goes to stderr, so that the user sees it when stdout is a file. A secret is typed
//! without echo; `tty::NoEcho` restores the terminal on every return path, and before Ctrl-C ends
//! the command. `MAX_SECRET` limits each read.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};

use crate::error::{Context, Result, fail};
use crate::sys::stdio::{stderr, stdin};
use crate::tty::NoEcho;

/// The longest line, password or token that is read, in bytes.
const MAX_SECRET: u64 = 64 << 10;

/// Whether the terminal shows the typed line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    On,
    Off,
}

/// Asks for a line on the terminal. Fails if stdin is not a terminal or cannot be read, if the echo
/// cannot be turned off, or if the line is not UTF-8 or too long.
pub fn ask(prompt: &str, echo: Echo) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        fail!("{prompt}: stdin is not a terminal; use -u and --password-stdin");
    }
    let unseen = (echo == Echo::Off).then(NoEcho::enter).transpose()?;
    // Ignore the error: the user can type the answer without a prompt.
    let _ = write!(stderr(), "{prompt}: ");
    let mut line = String::new();
    let read = match &unseen {
        Some(unseen) => BufReader::new(unseen.take(MAX_SECRET + 1)).read_line(&mut line),
        None => BufReader::new(stdin().take(MAX_SECRET + 1)).read_line(&mut line),
    };
    read.context(|| "read the terminal")?;
    if echo == Echo::Off {
        let _ = writeln!(stderr());
    }
    complete(&line)
}

/// Reads the secret from stdin, without the newlines at its end. Fails if stdin cannot be read or
/// the secret is not UTF-8 or too long.
pub fn read_secret() -> Result<String> {
    let mut text = String::new();
    let read = stdin().take(MAX_SECRET + 1).read_to_string(&mut text);
    read.context(|| "read the password from the standard input")?;
    complete(&text)
}

/// Returns the answer without the newlines at its end. Fails if the answer is longer than
/// `MAX_SECRET`: the rest was not read, and a password that is cut is a wrong password.
fn complete(text: &str) -> Result<String> {
    if text.len() as u64 > MAX_SECRET {
        fail!("the answer is longer than {MAX_SECRET} bytes");
    }
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

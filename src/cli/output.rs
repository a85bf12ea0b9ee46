//! The standard streams: whole texts, one write each; a reader that went away ends us quietly.

use std::io::{self, BufRead, BufReader, ErrorKind, IsTerminal, Write};

use super::tame;
use crate::error::{Context, Result, fail};
use crate::sys::stdio::{stderr, stdin, stdout};

/// Prints `text`, in which nothing commands the terminal.
pub fn print(text: &str) -> Result<()> {
    let text = tame::text(text);
    match stdout().write_all(text.as_bytes()) {
        // `mydocker ps | head -1`: nobody wants the rest.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context(|| "write to the standard output"),
    }
}

/// Prints `text` and a newline.
pub fn print_line(text: &str) -> Result<()> {
    print(&format!("{text}\n"))
}

/// Prints `text` on the standard error. If that fails, there is no other place to report it.
pub fn print_error(text: &str) {
    let _ = stderr().write_all(tame::text(text).as_bytes());
}

/// Refuses to read an archive from a terminal, where nobody could type one.
pub fn refuse_terminal(hint: &str) -> Result<()> {
    if io::stdin().is_terminal() {
        fail!("the standard input is a terminal: {hint}");
    }
    Ok(())
}

/// Asks whether to go on with what `warning` says; anything but a yes is a no.
pub fn confirmed(warning: &str) -> Result<bool> {
    print(&format!("{warning} Go on? [y/N] "))?;
    let mut answer = String::new();
    BufReader::new(stdin()).read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Refuses to write an archive to a terminal, where nobody could read it.
pub fn refuse_terminal_output() -> Result<()> {
    if io::stdout().is_terminal() {
        fail!("the standard output is a terminal: name a file with -o, or pipe the archive on");
    }
    Ok(())
}

/// A stream that remembers that its reader went away, so that the failure it then gives to the
/// engine can be told from a real one.
pub struct Watched<W> {
    inner: W,
    /// Whether a write failed because nobody reads any more.
    pub closed: bool,
}

impl<W: Write> Watched<W> {
    /// Watches `inner`.
    pub fn new(inner: W) -> Self {
        Watched { inner, closed: false }
    }

    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.closed |= error.kind() == ErrorKind::BrokenPipe;
        }
        result
    }
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.inner.write(bytes);
        self.note(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.inner.flush();
        self.note(result)
    }
}

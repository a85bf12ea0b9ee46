//! Writes to stdout and stderr, and questions to the user. Text is printed in one write, after
//! every control character in it was escaped (`escape`), because names, labels and messages can come
//! from images and registries. A reader that closed the pipe ends a command without an error.

use std::io::{self, BufRead, BufReader, ErrorKind, IsTerminal, Write};

use super::escape;
use super::style::{self, Style};
use crate::error::{Context, Result, fail};
use crate::sys::stdio::{stderr, stdin, stdout};

/// Prints `text`, with control characters escaped except newlines and tabs.
pub fn print(text: &str) -> Result<()> {
    let text = escape::text(text);
    match stdout().write_all(text.as_bytes()) {
        // `mydocker ps | head -1`: the reader does not want the rest.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context(|| "write to the standard output"),
    }
}

/// Prints a text with colours, whose words were escaped before they were painted.
pub fn print_painted(text: &str) -> Result<()> {
    match stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context(|| "write to the standard output"),
    }
}

/// Prints `text` and a newline.
pub fn print_line(text: &str) -> Result<()> {
    print(&format!("{text}\n"))
}

/// Prints `text` on stderr. If that fails, there is no other place to report it.
pub fn print_error(text: &str) {
    let _ = stderr().write_all(escape::text(text).as_bytes());
}

/// Prints an error on stderr: on a terminal the name before its first colon is red.
pub fn print_complaint(text: &str) {
    let text = escape::text(text);
    let (name, rest) = text.split_at(text.find(':').unwrap_or(0));
    let name = Style::Red.paint(name, style::on_stderr());
    // If that fails, there is no other place to report it.
    let _ = stderr().write_all(format!("{name}{rest}").as_bytes());
}

/// Fails if an archive is to be read from a terminal.
pub fn refuse_terminal(hint: &str) -> Result<()> {
    if io::stdin().is_terminal() {
        fail!("the standard input is a terminal: {hint}");
    }
    Ok(())
}

/// Prints `warning` and asks for confirmation; every answer except `y` and `yes` is a no.
pub fn confirmed(warning: &str) -> Result<bool> {
    print(&format!("{warning} Go on? [y/N] "))?;
    let mut answer = String::new();
    BufReader::new(stdin()).read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Fails if an archive is to be written to a terminal.
pub fn refuse_terminal_output() -> Result<()> {
    if io::stdout().is_terminal() {
        fail!("the standard output is a terminal: name a file with -o, or pipe the archive on");
    }
    Ok(())
}

/// A stream that remembers that its reader closed it, so that this failure can be distinguished
/// from others.
pub struct Watched<W> {
    inner: W,
    /// Whether a write failed because the reader closed the pipe.
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

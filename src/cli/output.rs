//! Writes text to stdout and stderr, and asks the user for confirmation. All functions that print,
//! except `print_painted`, escape control characters first (`escape`), because names, labels and
//! messages can come from images and registries. If the reader closes the pipe, the functions that
//! print to stdout report no error.

use std::io::{self, BufRead, BufReader, ErrorKind, IsTerminal, Write};

use rustix::io::Errno;
use rustix::process::Signal;

use super::escape;
use super::style::{self, Style};
use crate::error::{Context, Result, fail};
use crate::sys::stdio::{stderr, stdin, stdout};

/// Prints `text`, with control characters escaped except newlines and tabs. Fails if stdout cannot
/// be written, unless the reader closed the pipe.
pub fn print(text: &str) -> Result<()> {
    let text = escape::text(text);
    match stdout().write_all(text.as_bytes()) {
        // The reader closed the pipe, as in `mydocker ps | head -1`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context(|| "write to the standard output"),
    }
}

/// Prints a text with colour codes. The caller has escaped the words before it added the colours.
/// Fails like `print`.
pub fn print_painted(text: &str) -> Result<()> {
    match stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context(|| "write to the standard output"),
    }
}

/// Prints `text` and a newline. Fails like `print`.
pub fn print_line(text: &str) -> Result<()> {
    print(&format!("{text}\n"))
}

/// Prints `text` on stderr. A failed write is ignored, because there is no other place to report
/// it.
pub fn print_error(text: &str) {
    let _ = stderr().write_all(escape::text(text).as_bytes());
}

/// Prints an error on stderr. On a terminal with colours, the text before the first colon is red.
pub fn print_complaint(text: &str) {
    let text = escape::text(text);
    let (name, rest) = text.split_at(text.find(':').unwrap_or(0));
    let name = Style::Red.paint(name, style::on_stderr());
    // Ignore the error, because there is no other place to report it.
    let _ = stderr().write_all(format!("{name}{rest}").as_bytes());
}

/// Fails if stdin is a terminal, for commands that read an archive. `hint` ends the message.
pub fn refuse_terminal(hint: &str) -> Result<()> {
    if io::stdin().is_terminal() {
        fail!("the standard input is a terminal: {hint}");
    }
    Ok(())
}

/// Prints Docker's warning that `what` will be removed, and asks for confirmation.
pub fn removal_confirmed(what: &[&str]) -> Result<bool> {
    let warning = match what {
        [one] => format!("WARNING! This will remove {one}.\n"),
        several => {
            let lines: String = several.iter().map(|one| format!("  - {one}\n")).collect();
            format!("WARNING! This will remove:\n{lines}\n")
        }
    };
    confirmed(&format!("{warning}Are you sure you want to continue?"))
}

/// Prints `question` and reads the answer from stdin. Every answer except `y`, `Y` and `yes` means
/// no. Fails if stdout cannot be written, or if stdin cannot be read or is not UTF-8.
pub fn confirmed(question: &str) -> Result<bool> {
    print(&format!("{question} [y/N] "))?;
    let mut answer = String::new();
    BufReader::new(stdin()).read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Fails if stdout is a terminal, for commands that write an archive. `advice` says how the command
/// takes another destination.
pub fn refuse_terminal_output(advice: &str) -> Result<()> {
    if io::stdout().is_terminal() {
        fail!("the standard output is a terminal: {advice}, or pipe the archive on");
    }
    Ok(())
}

/// Returns the exit status of a command that writes an archive. If the archive goes to stdout and
/// the reader closed the pipe, as in `mydocker export web | head`, there is no message, and the
/// status is that of a program that SIGPIPE ended, as with Docker's client.
pub fn status_of_archive(written: Result<()>, to_stdout: bool) -> Result<u8> {
    const ENDED_BY_SIGPIPE: u8 = 128 + Signal::PIPE.as_raw() as u8;
    match written {
        Err(error) if to_stdout && error.errno() == Some(Errno::PIPE) => Ok(ENDED_BY_SIGPIPE),
        written => written.map(|()| 0),
    }
}

/// A writer that records whether its reader closed the pipe, so that the caller can ignore this
/// failure.
pub struct Watched<W> {
    inner: W,
    /// Whether a write failed because the reader closed the pipe.
    pub closed: bool,
}

impl<W: Write> Watched<W> {
    /// Wraps `inner`.
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

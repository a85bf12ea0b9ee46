//! The terminal of the user while a command is attached to a process: raw, so that every key
//! reaches the program, or without echo, for a password. The settings are restored when the guard
//! is dropped, on every return path; a client killed by SIGKILL leaves the terminal raw
//! (termios(3), tty_ioctl(4)). The container's own terminal is `runtime::terminal`'s.

use std::os::fd::BorrowedFd;

use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{
    LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr,
};

use crate::error::{Context, Result};

/// The terminal is raw until this is dropped.
pub struct Raw {
    before: Termios,
}

impl Raw {
    /// Makes the terminal on stdin raw; `None` if stdin is not a terminal.
    pub fn enter() -> Result<Option<Raw>> {
        if !isatty(stdin()) {
            return Ok(None);
        }
        let before = tcgetattr(stdin()).context(|| "read the terminal's settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).context(|| "make the terminal raw")?;
        Ok(Some(Raw { before }))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that was closed can't be restored.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

/// The terminal shows no typed characters until this is dropped.
pub struct NoEcho {
    before: Termios,
}

impl NoEcho {
    /// Turns the echo of the terminal on stdin off.
    pub fn enter() -> Result<NoEcho> {
        let before = tcgetattr(stdin()).context(|| "read the terminal's settings")?;
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHO);
        let set = tcsetattr(stdin(), OptionalActions::Now, &unseen);
        set.context(|| "turn the terminal's echo off")?;
        Ok(NoEcho { before })
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        // A terminal that was closed can't be restored.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

/// Rows and columns of the user's terminal, if there is one.
pub fn size() -> Option<(u16, u16)> {
    window().filter(|(rows, _)| *rows != 0)
}

/// Columns of the user's terminal, which may report them without rows.
pub fn columns() -> Option<u16> {
    let (_, columns) = window()?;
    (columns != 0).then_some(columns)
}

fn window() -> Option<(u16, u16)> {
    let streams: [BorrowedFd<'_>; 3] = [stdout(), stdin(), stderr()];
    let terminal = streams.into_iter().find(|stream| isatty(stream))?;
    let size = tcgetwinsize(terminal).ok()?;
    Some((size.ws_row, size.ws_col))
}

//! The user's terminal (termios(3), ioctl_tty(2)). While a command's stdin is attached to a
//! container's terminal, the user's terminal is in raw mode, so that keys such as Ctrl-C reach the
//! program. While a command reads a password, the echo is off. A guard restores the settings when
//! the guard is dropped. The guard of the password also restores them before Ctrl-C ends the
//! command. If SIGKILL ends the command, the settings stay changed. The container's own terminal is
//! in `runtime::terminal`.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{
    LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr,
};

use crate::error::{Context, Result};
use crate::sys::signal::{self, Signal};

/// Keeps the terminal in raw mode until this is dropped.
pub struct Raw {
    before: Termios,
}

impl Raw {
    /// Sets the terminal on stdin to raw mode; `None` if stdin is not a terminal.
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
        restore(&self.before);
    }
}

fn restore(before: &Termios) {
    // Ignore an error: a closed terminal can't be restored.
    let _ = tcsetattr(stdin(), OptionalActions::Now, before);
}

/// The signals that end a command which waits for a password.
const ENDING: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// Keeps the terminal's echo off, and the signals `ENDING` blocked, until this is dropped.
pub struct NoEcho {
    before: Termios,
    /// A signalfd, readable if one of `ENDING` is pending.
    signals: OwnedFd,
}

impl NoEcho {
    /// Turns off the echo of the terminal on stdin. Fails if stdin is not a terminal.
    pub fn enter() -> Result<NoEcho> {
        let before = tcgetattr(stdin()).context(|| "read the terminal's settings")?;
        let signals = signal::receive(ENDING).context(|| "block signals")?;
        let unseen = NoEcho { before, signals };
        unseen.hide().context(|| "turn the terminal's echo off")?;
        Ok(unseen)
    }

    /// Waits until the terminal has input or is closed. If one of `ENDING` arrives, restores the
    /// terminal first and then lets the signal end this process.
    fn wait(&self) -> Result<(), Errno> {
        loop {
            let stdin = stdin();
            let mut ready = [
                PollFd::new(&stdin, PollFlags::IN),
                PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            ];
            poll(&mut ready, None)?;
            if ready[1].revents().is_empty() {
                return Ok(());
            }
            restore(&self.before);
            // A pending signal ends the process here, unless nohup(1) made the process ignore it.
            signal::unblock(ENDING);
            signal::block(ENDING)?;
            self.hide()?;
        }
    }

    fn hide(&self) -> Result<(), Errno> {
        let mut unseen = self.before.clone();
        unseen.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin(), OptionalActions::Now, &unseen)
    }
}

/// Reads what the user types.
impl Read for &NoEcho {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait()?;
        Ok(rustix::io::read(stdin(), buffer)?)
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        restore(&self.before);
        signal::unblock(ENDING);
    }
}

/// Rows and columns of the user's terminal; `None` without a terminal, or if the terminal reports
/// no rows.
pub fn size() -> Option<(u16, u16)> {
    window().filter(|(rows, _)| *rows != 0)
}

/// Columns of the user's terminal; `None` without a terminal, or if the terminal reports no
/// columns.
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

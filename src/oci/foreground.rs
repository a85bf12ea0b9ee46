//! A `run` or `exec` in the foreground: forwards signals to the process, relays its terminal if it
//! has one, and ends with its exit status. Detached calls do not use this file. Then the nearest
//! ancestor that is a subreaper, or the host's init, reaps the process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::termios::{tcgetwinsize, tcsetwinsize};

use crate::error::{Context, Result};
use crate::runtime::exit_code;
use crate::sys::signal::{self, Signal};
use crate::sys::stdio::write_all;
use crate::tty::Raw;

/// Follows the child `pid` until it ends, and returns its exit status.
pub fn follow(pid: Pid, pidfd: BorrowedFd<'_>, console: Option<OwnedFd>) -> Result<u8> {
    let all = (1..=64).filter_map(Signal::from_number);
    let signals = signal::receive(all).context(|| "receive signals")?;
    let _raw = console.as_ref().and_then(|console| {
        resize(console.as_fd());
        // If this fails, continue without raw mode: the process still needs a parent that waits for
        // it.
        Raw::enter().ok().flatten()
    });
    let mut console = console;
    let mut reads_stdin = console.is_some();
    loop {
        let stdin = rustix::stdio::stdin();
        let mut fds =
            vec![PollFd::new(&signals, PollFlags::IN), PollFd::new(&pidfd, PollFlags::IN)];
        if let Some(console) = &console {
            fds.push(PollFd::new(console, PollFlags::IN));
            if reads_stdin {
                fds.push(PollFd::new(&stdin, PollFlags::IN));
            }
        }
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            polled => drop(polled.context(|| "wait for the process")?),
        }
        let is_ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        let (ended, output, input) = (is_ready(1), is_ready(2), is_ready(3));
        drop(fds);
        while let Some(signal) = signal::next(signals.as_fd()) {
            match (signal, &console) {
                (Signal::CHLD, _) => {}
                (Signal::WINCH, Some(console)) => resize(console.as_fd()),
                (signal, _) => drop(crate::sys::process::send_signal(pidfd, signal)),
            }
        }
        if let Some(terminal) = &console {
            if output && !pass(terminal.as_fd(), rustix::stdio::stdout()) {
                console = None;
                continue;
            }
            if input && !pass(rustix::stdio::stdin(), terminal.as_fd()) {
                reads_stdin = false;
            }
            if output {
                continue;
            }
        }
        if ended {
            let status =
                waitpid(Some(pid), WaitOptions::empty()).context(|| "wait for the process")?;
            return Ok(status.map_or(crate::error::EXIT_ENGINE, |(_, status)| exit_code(status)));
        }
    }
}

/// Copies the bytes of one read(2). Returns false if `from` is at its end, or if either side fails.
fn pass(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut buffer = [0; 4096];
    match rustix::io::read(from, &mut buffer) {
        Err(Errno::INTR | Errno::AGAIN) => true,
        Ok(length @ 1..) => write_all(to, &buffer[..length]).is_ok(),
        Ok(0) | Err(_) => false,
    }
}

fn resize(console: BorrowedFd<'_>) {
    if let Ok(size) = tcgetwinsize(rustix::stdio::stdin()) {
        let _ = tcsetwinsize(console, size);
    }
}

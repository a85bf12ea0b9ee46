//! `--init`: a PID 1 of ours that starts the command. It does two things that most programs don't:
//! it reaps orphans, and it passes signals on. (PID 1 has no default actions for signals, so many a
//! program can't be stopped by SIGTERM as PID 1; pid_namespaces(7).)
//!
//! It runs after all privileges are dropped, holds no descriptor but 0 to 2, allocates nothing in
//! its loop, and ends with the command's status.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, WaitOptions, getpid, setpgid, wait};

use crate::error::{Context, Result};
use crate::sys;
use crate::sys::signal::Signal;

/// Forks. The child returns to become the command; this process stays as PID 1.
pub fn become_init() -> Result<()> {
    match sys::clone::fork().context(|| "fork below init")? {
        sys::clone::Fork::Child => {
            // The command gets a process group of its own in the terminal's foreground. Otherwise ctrl-C
            // would reach it twice: from the terminal, and from this process.
            setpgid(None, None).context(|| "start a new process group")?;
            if rustix::termios::isatty(rustix::stdio::stdin()) {
                // A background process that does this is stopped by SIGTTOU unless the signal is blocked.
                let _held = sys::signal::receive(all_signals()).context(|| "block signals")?;
                rustix::termios::tcsetpgrp(rustix::stdio::stdin(), getpid())
                    .context(|| "take the terminal's foreground")?;
                sys::signal::reset_all();
            }
            Ok(())
        }
        sys::clone::Fork::Parent(child) => {
            // Blocked before any signal can arrive; the descriptor is made after the others are closed.
            let signals =
                sys::fds::close_all_but(&[]).and_then(|()| sys::signal::receive(all_signals()));
            match signals {
                Ok(signals) => supervise(child, signals),
                Err(_) => sys::exec::exit_now(crate::error::EXIT_ENGINE),
            }
        }
    }
}

fn all_signals() -> impl Iterator<Item = Signal> {
    (1..=64).filter_map(Signal::from_number)
}

fn supervise(child: Pid, signals: OwnedFd) -> ! {
    loop {
        let mut fds = [PollFd::new(&signals, PollFlags::IN)];
        // If the wait is interrupted, the loop waits again.
        let _ = poll(&mut fds, None);
        while let Some(signal) = sys::signal::next(signals.as_fd()) {
            if signal != Signal::CHLD {
                sys::process::kill_group(child, signal);
            }
        }
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == child {
                sys::exec::exit_now(super::exit_code(status));
            }
        }
    }
}

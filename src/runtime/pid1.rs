//! `--init`: a PID 1 of ours between the kernel and the command. It does the two things that most
//! programs don't: it reaps orphans, and it passes signals on (PID 1 has no default actions, so
//! that many a program as PID 1 can't be stopped by SIGTERM; pid_namespaces(7)).
//!
//! It runs after all privileges are dropped, holds no descriptor but 0 to 2, allocates nothing in
//! its loop, and ends with the command's status.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, WaitOptions, getpid, setpgid, wait};

use crate::error::{Context, Result};
use crate::sys;
use crate::sys::signal::Signal;

/// Forks: the child comes back to become the command, this process stays as PID 1.
pub fn become_init() -> Result<()> {
    match sys::clone::fork().context(|| "fork below init")? {
        sys::clone::Fork::Child => {
            // A group of its own, in the terminal's foreground, so that ctrl-C reaches it once:
            // from the terminal, and not from us as well.
            setpgid(None, None).context(|| "start a new process group")?;
            if rustix::termios::isatty(rustix::stdio::stdin()) {
                // Done by a background process: SIGTTOU would stop us.
                let _held = sys::signal::receive(all_signals()).context(|| "block signals")?;
                rustix::termios::tcsetpgrp(rustix::stdio::stdin(), getpid())
                    .context(|| "take the terminal's foreground")?;
                sys::signal::reset_all();
            }
            Ok(())
        }
        sys::clone::Fork::Parent(child) => {
            // Blocked before anything can come in; the descriptor is made after the others close.
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
        // An interrupted wait is a wait that looks again.
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

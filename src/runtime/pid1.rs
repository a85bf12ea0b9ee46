//! The PID 1 of `--init`: starts the command, reaps orphans and forwards signals. Many programs do
//! not reap orphans. SIGTERM has no default action in PID 1, so SIGTERM does not end a program that
//! runs as PID 1 and has no handler for it (pid_namespaces(7)).
//!
//! This PID 1 starts after the process has become the program's user and has installed the filter.
//! It keeps only the descriptors 0 to 2 and a signalfd, allocates nothing in its loop, and exits
//! with the command's status.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, WaitOptions, getpid, setpgid, wait};

use crate::error::{Context, Result};
use crate::sys;
use crate::sys::signal::Signal;

/// Forks. In the child this function returns, and its caller then executes the command. The parent
/// stays as PID 1, and does not return after the fork.
pub fn become_init() -> Result<()> {
    // Block the signals before the fork. Otherwise the SIGCHLD of a short command, or a SIGTERM,
    // could arrive before PID 1 has its signalfd, and the kernel would drop the signal. Without the
    // SIGCHLD, PID 1 would wait forever.
    sys::signal::block(all_signals()).context(|| "block signals")?;
    match sys::clone::fork().context(|| "fork below init")? {
        sys::clone::Fork::Child => {
            // Give the command its own process group in the terminal's foreground. Otherwise Ctrl-C
            // would send two signals: one from the terminal, and one that PID 1 forwards.
            setpgid(None, None).context(|| "start a new process group")?;
            if rustix::termios::isatty(rustix::stdio::stdin()) {
                // If a background process calls tcsetpgrp(3), the kernel stops it by SIGTTOU. The
                // signal is blocked here, so the call succeeds.
                rustix::termios::tcsetpgrp(rustix::stdio::stdin(), getpid())
                    .context(|| "take the terminal's foreground")?;
            }
            sys::signal::unblock(all_signals());
            Ok(())
        }
        sys::clone::Fork::Parent(child) => {
            // `ps` and `top` show this name. A failure changes nothing else.
            let _ = rustix::thread::set_name(c"mydocker-init");
            // Open the signalfd after `close_all_but`, which would close the signalfd too.
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
        // An error means that the wait was interrupted, and the loop waits again.
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

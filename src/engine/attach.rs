//! `attach`: connects this terminal to a running container.
//!
//! This file also has the exit statuses of `run`, `start -a` and `exec`, which follow from the
//! reason why the streams ended (`client::End`). `container::client` relays data between the
//! terminal and the monitor. Exit statuses are Docker's: 128 + n for signal n.

use super::Engine;
use super::options::AttachOptions;
use crate::container::client::End;
use crate::container::files::Files;
use crate::container::record::Record;
use crate::container::state::Condition;
use crate::container::{events, protocol};
use crate::error::{Error, Result, fail};
use crate::sys::process::Found;

impl Engine {
    /// If `wanted`, fails unless stdin is a terminal. The exit status and the start of the message
    /// are Docker's. Without a terminal, the program would wait for an end of input that its
    /// pseudo-terminal never reports.
    pub fn need_terminal(wanted: bool) -> Result<()> {
        if wanted && !rustix::termios::isatty(rustix::stdio::stdin()) {
            let words = "the input device is not a TTY; leave out -t, or run this on a terminal";
            return Err(Error::new(words).exit_with(1));
        }
        Ok(())
    }

    /// Attaches this terminal to a running container. Returns the container's exit status, 0 after
    /// a detach, or 128 + n if signal n has ended this client. Fails for example if the container
    /// does not run or is paused.
    pub fn attach(&self, name: &str, attach: &AttachOptions) -> Result<u8> {
        let (record, state) = self.running(name)?;
        self.refuse_paused(&record, &state)?;
        Engine::need_terminal(attach.stdin && record.streams.tty)?;
        let Some(socket) = protocol::dial(&Files::new(&self.roots, &record.id).run, true)? else {
            if state.frozen.is_some() {
                fail!(
                    "the files of container {name} in the run directory were removed, so no client \
                     can attach to it; see its output with `logs`, or `restart` it"
                );
            }
            fail!("container {name} is not running")
        };
        self.note(&[events::of(&record, "attach", &[])]);
        self.stay(&socket, Some((state.pid, state.start_time)), &record, attach)
    }

    /// Returns the exit status of a container after [`End::Lost`]. For example, the monitor had
    /// sent its last messages before this client connected. Fails if the program still runs, or if
    /// the monitor was killed.
    pub(super) fn status_of_lost(&self, record: &Record) -> Result<u8> {
        if let Condition::Running(state) = self.present_condition(record)?
            && let Found::Living(_) = state.find()?
        {
            return exit_status(End::Lost, &record.name);
        }
        self.await_cleanup(record)?;
        match self.condition(record)? {
            Condition::Exited(outcome) if outcome.error.is_empty() => Ok(outcome.exit_code),
            _ => exit_status(End::Lost, &record.name),
        }
    }
}

/// Returns the exit status of a client whose connection to the container has ended so. Fails if the
/// connection was lost.
pub(super) fn exit_status(end: End, name: &str) -> Result<u8> {
    match end {
        End::Exited(code) => Ok(code),
        End::Detached => Ok(0),
        // The sender of the signal wanted to end this process, so report that end.
        End::Signalled(signal) => Ok(128 + signal.number() as u8),
        End::Unread => Ok(128 + libc::SIGPIPE as u8),
        End::Lost => fail!(
            "lost the connection to container {name}: it wrote faster than this client read, or \
             its monitor was killed; see `mydocker logs` and `mydocker ps`"
        ),
    }
}

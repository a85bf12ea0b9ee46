//! Connects this process's standard streams with a process of `exec`, through pipes or a terminal
//! and without a monitor. This process never passes its own streams to the container: a process
//! there could open the host's files behind these streams again, also for writing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{Winsize, tcsetwinsize};

use super::client::{End, signals_of_terminal};
use super::detach::Detector;
use super::protocol::MAX_DATA;
use crate::error::{Context, Result};
use crate::runtime::exit_code;
use crate::sys;
use crate::sys::clone::{Child, Fork};
use crate::sys::signal::Signal;
use crate::sys::stdio::write_all;
use crate::tty;

/// This process's ends of the streams of a process of `exec`.
pub struct Streams {
    pub stdin: Option<OwnedFd>,
    /// The process's stdout, or the master of its terminal. With a terminal `stderr` is `None`.
    pub stdout: OwnedFd,
    pub stderr: Option<OwnedFd>,
}

/// Relays until the process has ended, until the user detaches, or for another reason in [`End`].
/// Fails for example if the user's terminal cannot be made raw, or if this process's stdin cannot
/// be read.
pub fn run(child: &Child, streams: Streams, terminal: bool, detach_keys: &[u8]) -> Result<End> {
    let taken = if terminal { signals_of_terminal() } else { Vec::new() };
    let signals = sys::signal::receive(taken).context(|| "receive signals")?;
    let raw = if terminal && streams.stdin.is_some() { tty::Raw::enter()? } else { None };
    let all = [Some(&streams.stdout), streams.stderr.as_ref(), streams.stdin.as_ref()];
    for fd in all.into_iter().flatten() {
        rustix::io::ioctl_fionbio(fd, true).context(|| "make a stream non-blocking")?;
    }
    let mut relay = Relay {
        child,
        reading: streams.stdin.is_some(),
        stdin: streams.stdin,
        outputs: Vec::new(),
        detector: Detector::new(if terminal { detach_keys } else { &[] }),
        typed: Vec::new(),
        signals,
        terminal,
    };
    relay.outputs.push((stdout(), streams.stdout));
    relay.outputs.extend(streams.stderr.map(|fd| (stderr(), fd)));
    relay.resize();
    let end = relay.run();
    drop(raw);
    if matches!(end, Ok(End::Detached)) {
        relay.leave_drained()?;
    }
    end
}

struct Relay<'a> {
    child: &'a Child,
    stdin: Option<OwnedFd>,
    /// Whether this process's standard input is still read.
    reading: bool,
    /// Pairs of descriptors: output is read from the second and written to the first.
    outputs: Vec<(BorrowedFd<'static>, OwnedFd)>,
    detector: Detector,
    typed: Vec<u8>,
    signals: OwnedFd,
    terminal: bool,
}

impl Relay<'_> {
    fn run(&mut self) -> Result<End> {
        let mut buffer = vec![0; MAX_DATA];
        loop {
            let input = stdin();
            let mut fds = vec![
                PollFd::new(&self.child.pidfd, PollFlags::IN),
                PollFd::new(&self.signals, PollFlags::IN),
            ];
            let outputs_at = fds.len();
            fds.extend(self.outputs.iter().map(|(_, from)| PollFd::new(from, PollFlags::IN)));
            let inputs_at = fds.len();
            match &self.stdin {
                Some(stdin) if !self.typed.is_empty() => {
                    fds.push(PollFd::new(stdin, PollFlags::OUT));
                }
                Some(_) if self.reading => fds.push(PollFd::new(&input, PollFlags::IN)),
                _ => {}
            }
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).context(|| "wait for the process"),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            if ready[1] {
                while let Some(signal) = sys::signal::next(self.signals.as_fd()) {
                    if signal != Signal::WINCH {
                        return Ok(End::Signalled(signal));
                    }
                    self.resize();
                }
            }
            for at in (outputs_at..inputs_at).rev().filter(|&at| ready[at]) {
                if !self.read_output(at - outputs_at, &mut buffer)? {
                    return Ok(End::Unread);
                }
            }
            if ready.get(inputs_at).is_some_and(|ready| *ready) && self.take_input(&mut buffer)? {
                return Ok(End::Detached);
            }
            if ready[0] {
                return self.finish(&mut buffer);
            }
        }
    }

    /// Writes the last output of the ended process, then returns its status. Does not wait for the
    /// output of children that still run.
    fn finish(&mut self, buffer: &mut [u8]) -> Result<End> {
        for (to, from) in &self.outputs {
            while let Ok(length @ 1..) = rustix::io::read(from, &mut *buffer) {
                if write_all(*to, &buffer[..length]).is_err() {
                    break;
                }
            }
        }
        let pid: Pid = self.child.pid;
        let waited = waitpid(Some(pid), WaitOptions::empty()).context(|| "wait for the process")?;
        Ok(End::Exited(waited.map_or(crate::error::EXIT_ENGINE, |(_, status)| exit_code(status))))
    }

    /// Reads and writes output once. Returns false if the reader of this process's own output has
    /// closed its end.
    fn read_output(&mut self, at: usize, buffer: &mut [u8]) -> Result<bool> {
        let (to, from) = &self.outputs[at];
        match rustix::io::read(from, &mut *buffer) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(0) | Err(_) => drop(self.outputs.remove(at)),
            Ok(length) => match write_all(*to, &buffer[..length]) {
                Err(Errno::PIPE) => return Ok(false),
                result => result.context(|| "write the process's output")?,
            },
        }
        Ok(true)
    }

    /// Reads input and sends it to the process. Returns true if the user typed the detach keys.
    fn take_input(&mut self, buffer: &mut [u8]) -> Result<bool> {
        if self.typed.is_empty() {
            match rustix::io::read(stdin(), &mut *buffer) {
                Err(Errno::INTR | Errno::AGAIN) => return Ok(false),
                Ok(0) | Err(Errno::IO) => {
                    self.reading = false;
                    // On a terminal the user ends the input with a key such as Ctrl-D, so keep the
                    // process's stdin.
                    if !self.terminal {
                        self.stdin = None;
                    }
                    return Ok(false);
                }
                Err(error) => return Err(error).context(|| "read the standard input"),
                Ok(length) => {
                    if self.detector.pass(&buffer[..length], &mut self.typed) {
                        return Ok(true);
                    }
                }
            }
        }
        let Some(to) = &self.stdin else { return Ok(false) };
        match rustix::io::write(to, &self.typed) {
            Ok(length) => drop(self.typed.drain(..length)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // The process has closed its input.
            Err(_) => {
                self.typed.clear();
                self.stdin = None;
            }
        }
        Ok(false)
    }

    fn resize(&self) {
        if let Some((_, console)) = self.outputs.first().filter(|_| self.terminal)
            && let Some((rows, columns)) = tty::size()
        {
            let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            // An error means that the terminal is being closed.
            let _ = tcsetwinsize(console, size);
        }
    }

    /// Detaches the user while the process in the container goes on. A fork of this process stays
    /// and reads the output, because closing the terminal's master would hang up the process in the
    /// container.
    fn leave_drained(&self) -> Result<()> {
        if let Fork::Child = sys::clone::fork().context(|| "leave the process running")? {
            let mut keep: Vec<BorrowedFd<'_>> =
                self.outputs.iter().map(|(_, from)| from.as_fd()).collect();
            keep.extend(self.stdin.as_ref().map(AsFd::as_fd));
            // setsid(2) fails only for the leader of a process group, and a fork is no leader.
            let _ = rustix::process::setsid();
            let _ = sys::fds::close_all_but(&keep);
            let mut buffer = vec![0; MAX_DATA];
            for (_, from) in &self.outputs {
                let _ = rustix::io::ioctl_fionbio(from, false);
                while let Ok(1..) = rustix::io::read(from, &mut *buffer) {}
            }
            sys::exec::exit_now(0);
        }
        Ok(())
    }
}

//! Runs work in a child process, which dies with this process (PR_SET_PDEATHSIG of prctl(2)).
//!
//! A pull needs threads and much memory, and a step of a build needs its own mount namespace. This
//! process forks monitors, so it must stay small, single-threaded and in the host's namespaces. A
//! child returns one text through a pipe, or a stream of bytes (`fork_with`).

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
#[cfg(feature = "build")]
use std::os::fd::{AsFd, BorrowedFd};

use rustix::pipe::{PipeFlags, pipe_with};
#[cfg(feature = "build")]
use rustix::process::kill_process;
use rustix::process::{Pid, WaitOptions, set_parent_process_death_signal, waitpid};

use crate::error::{Context, Result, fail};
use crate::sys;
use crate::sys::clone::Fork;

/// Work that runs in a child process.
pub struct Background {
    name: &'static str,
    child: Pid,
    /// The read end of the pipe. The end of file comes when the work ends.
    reader: File,
}

/// Starts `work` in a child process. Errors name the process as `name`. Fails if pipe(2) or fork(2)
/// fails.
pub fn begin(name: &'static str, work: &dyn Fn() -> Result<String>) -> Result<Background> {
    fork(name, &|mut writer| {
        let done = work();
        let text = done.as_ref().map_or_else(ToString::to_string, Clone::clone);
        // A failed write leaves the text incomplete, so report a failure.
        let written = writer.write_all(text.as_bytes());
        u8::from(done.is_err() || written.is_err())
    })
}

/// Starts `work` in a child process. The parent reads the bytes that `work` writes.
#[cfg(feature = "build")]
pub fn fork_with(name: &'static str, work: &dyn Fn(&mut dyn Write)) -> Result<Background> {
    fork(name, &|mut writer| {
        work(&mut writer);
        0
    })
}

fn fork(name: &'static str, work: &dyn Fn(File) -> u8) -> Result<Background> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).context(|| "make a pipe")?;
    let child = match sys::clone::fork().context(|| format!("fork for {name}"))? {
        Fork::Parent(child) => child,
        Fork::Child => {
            // If this call fails, or the parent is already dead, the work runs to its end.
            let _ = set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
            sys::exec::exit_now(work(writer.into()));
        }
    };
    Ok(Background { name, child, reader: reader.into() })
}

#[cfg(feature = "build")]
impl Background {
    /// The read end of the pipe with the child's output, for poll(2).
    pub fn reader(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    /// Reads some of the child's output, as read(2) does. Returns 0 at the end of the output.
    pub fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.reader.read(buffer)
    }

    /// Sends SIGKILL to the child.
    pub fn kill(&self) {
        // This process has not waited for the child, so the PID still belongs to the child.
        let _ = kill_process(self.child, rustix::process::Signal::KILL);
    }

    /// Waits until the child has ended. The child's exit status is ignored.
    pub fn wait(self) -> Result<()> {
        let waited = waitpid(Some(self.child), WaitOptions::empty());
        waited.map(drop).context(|| format!("wait for {}", self.name))
    }
}

impl Background {
    /// Waits for the end of the work. Returns its text or its error. Fails if the child was killed.
    pub fn finish(mut self) -> Result<String> {
        let name = self.name;
        let mut text = String::new();
        let read = self.reader.read_to_string(&mut text);
        let status = waitpid(Some(self.child), WaitOptions::empty());
        let status = status.context(|| format!("wait for {name}"))?;
        read.context(|| format!("read the result of {name}"))?;
        match status.and_then(|(_, status)| status.exit_status()) {
            Some(0) => Ok(text),
            _ if text.is_empty() => fail!("{name} was killed"),
            _ => fail!("{text}"),
        }
    }
}

/// Runs `work` for each of `items` in its own child process, at most `most` at the same time. Calls
/// `done` with each result in the order of `items`. A single item runs in this process. If some
/// work fails, the rest still runs.
pub fn each<T>(
    name: &'static str,
    items: &[T],
    most: usize,
    work: &dyn Fn(&T) -> Result<String>,
    done: &mut dyn FnMut(&T, Result<String>),
) {
    if let [item] = items {
        return done(item, work(item));
    }
    let mut working = VecDeque::with_capacity(items.len().min(most));
    for item in items {
        if working.len() == most {
            finish_first(&mut working, done);
        }
        working.push_back((item, begin(name, &|| work(item))));
    }
    while !working.is_empty() {
        finish_first(&mut working, done);
    }
}

fn finish_first<T>(
    working: &mut VecDeque<(&T, Result<Background>)>,
    done: &mut dyn FnMut(&T, Result<String>),
) {
    if let Some((item, started)) = working.pop_front() {
        done(item, started.and_then(Background::finish));
    }
}

/// Runs `work` in a child process and waits for it. Returns its text or its error.
pub fn in_child(name: &'static str, work: &dyn Fn() -> Result<String>) -> Result<String> {
    begin(name, work)?.finish()
}

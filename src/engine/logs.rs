//! `logs`: what a container wrote, and with `--follow` what it writes from now on.
//!
//! A follower sleeps until the log grew or was rotated (`watch`).

use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Engine;
use super::options::LogsOptions;
use super::watch::Watcher;
use crate::container::files::Files;
use crate::container::logs::{Printer, Reader, Selection};
use crate::container::protocol;
use crate::container::record::Record;
use crate::error::{Context, Result};
use crate::time::Instant;

/// Without inotify: how long a new line waits at most.
const PAUSE: Duration = Duration::from_millis(200);

impl Engine {
    /// Standard output and standard error each to its own.
    pub fn logs(
        &self,
        name: &str,
        options: &LogsOptions,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> Result<()> {
        let record = self.record(name)?;
        let printed = self.print_logs(&record, options, out, err);
        self.unless_gone(&record.id, name, printed)
    }

    fn print_logs(
        &self,
        record: &Record,
        options: &LogsOptions,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> Result<()> {
        let files = Files::new(&self.roots, &record.id);
        let selection = selection(options);
        if !options.follow {
            let mut reader = Reader::open(&files.log(), false)?;
            let mut printer = Printer::new(&mut reader, selection)?;
            reader.print(&mut printer, out, err)?;
            return reader.check();
        }
        let mut follower = self.follow_log(record, selection)?;
        loop {
            let is_over = follower.print(out, err)?;
            let left = options.until.map(|until| until.0.saturating_sub(Instant::now().0));
            if is_over || left.is_some_and(|ns| ns < 0) {
                return follower.reader.check();
            }
            follower.growth.wait(follower.monitor.as_ref(), left)?;
        }
    }

    fn follow_log(&self, record: &Record, selection: Selection) -> Result<Follower> {
        let files = Files::new(&self.roots, &record.id);
        // One that starts has no socket yet, and would be taken for one that has ended.
        self.condition(record)?;
        // Watched before the first reading: nothing written in between is missed.
        let growth = Watcher::new(&files.dir, PAUSE)?;
        // The monitor's socket hangs up however it ends, after it has logged the last.
        let monitor = protocol::dial(&files.run, false)?;
        let mut reader = Reader::open(&files.log(), true)?;
        let printer = Printer::new(&mut reader, selection)?;
        Ok(Follower { reader, printer, growth, monitor })
    }

    /// Begins to follow the log of a container, for a caller that follows several.
    #[cfg(feature = "compose")]
    pub fn begin_follow(&self, name: &str, options: &LogsOptions) -> Result<Follower> {
        self.follow_log(&self.record(name)?, selection(options))
    }
}

/// A log that is followed.
pub struct Follower {
    reader: Reader,
    printer: Printer,
    growth: Watcher,
    /// `None` if the container does not run.
    monitor: Option<OwnedFd>,
}

impl Follower {
    /// Prints what is new. True if the container has ended and nothing more will come.
    pub fn print(&mut self, out: &mut dyn Write, err: &mut dyn Write) -> Result<bool> {
        // Asked before reading: what it wrote until it ended is read below.
        let is_over = match &self.monitor {
            Some(monitor) => is_ready(monitor)?,
            None => true,
        };
        self.reader.print(&mut self.printer, out, err)?;
        Ok(is_over)
    }

    /// What to wait for: readable when there may be something new.
    #[cfg(feature = "compose")]
    pub fn descriptors(&self) -> impl Iterator<Item = &OwnedFd> {
        self.monitor.iter().chain(self.growth.descriptor())
    }

    /// Whether its caller must look again after a while, because the kernel reports no change.
    #[cfg(feature = "compose")]
    pub fn is_blind(&self) -> bool {
        self.growth.descriptor().is_none()
    }

    /// Empties the queue of changes, so that it wakes the follower no more.
    #[cfg(feature = "compose")]
    pub fn drain(&self) -> Result<()> {
        self.growth.drain().map(drop)
    }
}

fn selection(options: &LogsOptions) -> Selection {
    Selection {
        timestamps: options.timestamps,
        tail: options.tail,
        since: options.since,
        until: options.until,
    }
}

fn is_ready(socket: &OwnedFd) -> Result<bool> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&now));
    Ok(ready.context(|| "look for the monitor")? > 0)
}

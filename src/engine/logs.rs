//! `logs`: prints a container's output, and with `--follow` also its new output.
//!
//! A follower wakes when the log grows or is rotated (`watch`), and when the monitor ends.
//! `container::logs` has the format of the log.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::options::LogsOptions;
use super::watch::{Watcher, Woken};
use super::{Engine, log_driver};
use crate::container::files::Files;
use crate::container::logs::{Printer, Reader, Selection};
use crate::container::protocol;
use crate::container::record::Record;
use crate::error::{Context, Result, fail};
use crate::time::Instant;

/// The interval at which the log is read if there is no inotify.
const PAUSE: Duration = Duration::from_millis(200);

impl Engine {
    /// Prints the container's stdout to `out` and its stderr to `err`. Fails if the container has
    /// no log.
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
        let selection = selection(record, options)?;
        if record.log.disabled {
            fail!("container {} has no log: it was made with --log-driver none", record.name);
        }
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
            if let Woken::Unread = follower.growth.wait(follower.monitor.as_ref(), left)? {
                return Ok(());
            }
        }
    }

    fn follow_log(&self, record: &Record, selection: Selection) -> Result<Follower> {
        let files = Files::new(&self.roots, &record.id);
        // Start the watch before the first read, so that no line in between is missed.
        let growth = Watcher::new(&files.dir, PAUSE)?;
        let monitor = self.monitor_of(record)?;
        let mut reader = Reader::open(&files.log(), true)?;
        let printer = Printer::new(&mut reader, selection)?;
        Ok(Follower { reader, printer, growth, monitor })
    }

    /// Returns a connection to the monitor. The connection closes when the monitor ends for any
    /// reason. After that the log does not grow until the container starts again. Returns `None` if
    /// the container has no monitor.
    fn monitor_of(&self, record: &Record) -> Result<Option<OwnedFd>> {
        // Wait for a container that is starting: its monitor has no socket yet, so the container
        // would count as ended.
        self.condition(record)?;
        protocol::dial(&Files::new(&self.roots, &record.id).run, false)
    }

    /// If the container of an ended log runs again, continues to follow the log. Reports whether
    /// the container runs.
    #[cfg(feature = "compose")]
    pub fn follow_again(&self, name: &str, follower: &mut Follower) -> Result<bool> {
        follower.monitor = self.monitor_of(&self.record(name)?)?;
        Ok(follower.monitor.is_some())
    }

    /// Starts to follow the log of a container, for a caller that follows several.
    #[cfg(feature = "compose")]
    pub fn begin_follow(&self, name: &str, options: &LogsOptions) -> Result<Follower> {
        let record = self.record(name)?;
        self.follow_log(&record, selection(&record, options)?)
    }
}

/// A log that the caller follows.
pub struct Follower {
    reader: Reader,
    printer: Printer,
    growth: Watcher,
    /// `None` if the container has no monitor.
    monitor: Option<OwnedFd>,
}

impl Follower {
    /// Prints the new lines. Returns true if the container has ended, so that no more lines come.
    pub fn print(&mut self, out: &mut dyn Write, err: &mut dyn Write) -> Result<bool> {
        // Check the monitor before the read, so that the read gets all output up to the end.
        let is_over = match &self.monitor {
            Some(monitor) => is_ready(monitor)?,
            None => true,
        };
        self.reader.print(&mut self.printer, out, err)?;
        Ok(is_over)
    }

    /// The descriptors for poll(2). One of them is readable when the container has ended and,
    /// unless `is_blind` returns true, when there may be new lines.
    #[cfg(feature = "compose")]
    pub fn descriptors(&self) -> impl Iterator<Item = &OwnedFd> {
        self.monitor.iter().chain(self.growth.descriptor())
    }

    /// Returns true if the kernel reports no changes, so that the caller must call `print`
    /// regularly.
    #[cfg(feature = "compose")]
    pub fn is_blind(&self) -> bool {
        self.growth.descriptor().is_none()
    }

    /// Reads all pending change notifications, so that they no longer wake the follower.
    #[cfg(feature = "compose")]
    pub fn drain(&self) -> Result<()> {
        self.growth.drain().map(drop)
    }
}

fn selection(record: &Record, options: &LogsOptions) -> Result<Selection> {
    Ok(Selection {
        timestamps: options.timestamps,
        details: if options.details { Some(log_driver::details(record)?) } else { None },
        tail: options.tail,
        since: options.since,
        until: options.until,
    })
}

fn is_ready(socket: &OwnedFd) -> Result<bool> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&now));
    Ok(ready.context(|| "look for the monitor")? > 0)
}

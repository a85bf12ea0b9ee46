//! `logs`: what a container wrote, and with `--follow` what it writes from now on.
//!
//! A follower sleeps until inotify(7) reports that the log grew or was rotated. The kernel gives each
//! user a small number of inotify instances, and a container's root may hold them all: a follower
//! that gets none looks at the log several times a second instead.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::io::Errno;

use super::Engine;
use super::options::LogsOptions;
use crate::container::logs::{Printer, Reader, Selection};
use crate::container::protocol;
use crate::container::record::{Files, Record};
use crate::error::{Context, Result};
use crate::time::Instant;

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
        let selection = Selection {
            timestamps: options.timestamps,
            tail: options.tail,
            since: options.since,
            until: options.until,
        };
        if !options.follow {
            let mut reader = Reader::open(&files.log(), false)?;
            let mut printer = Printer::new(&mut reader, selection)?;
            reader.print(&mut printer, out, err)?;
            return reader.check();
        }
        // One that starts has no socket yet, and would be taken for one that has ended.
        self.condition(record)?;
        // Watched before the first reading: nothing written in between is missed.
        let growth = watch(&files.dir).context(|| format!("watch {}", files.dir.display()))?;
        // The monitor's socket hangs up however it ends, after it has logged the last.
        let monitor = protocol::dial(&files.run, false)?;
        let mut reader = Reader::open(&files.log(), true)?;
        let mut printer = Printer::new(&mut reader, selection)?;
        loop {
            // Asked before reading: what it wrote until it ended is read below.
            let over = match &monitor {
                Some(monitor) => is_ready(monitor)?,
                None => true,
            };
            reader.print(&mut printer, out, err)?;
            let left = options.until.map(|until| until.0.saturating_sub(Instant::now().0));
            let Some(monitor) = monitor.as_ref().filter(|_| !over && left.is_none_or(|ns| ns >= 0))
            else {
                return reader.check();
            };
            await_change(growth.as_ref(), monitor, left)?;
        }
    }
}

fn is_ready(socket: &OwnedFd) -> Result<bool> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&now));
    Ok(ready.context(|| "look for the monitor")? > 0)
}

/// Appending and rotating wake it. `None` if the kernel has no instance or watch left for this user.
fn watch(directory: &Path) -> Result<Option<OwnedFd>, Errno> {
    use inotify::{CreateFlags, WatchFlags};
    let events = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
    let watch = || -> Result<OwnedFd, Errno> {
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        inotify::add_watch(&watch, directory, events)?;
        Ok(watch)
    };
    match watch() {
        // NOSYS: a kernel without inotify.
        Err(Errno::MFILE | Errno::NOSPC | Errno::NOSYS) => Ok(None),
        result => result.map(Some),
    }
}

/// Waits for the log to grow, the container to end, or so many nanoseconds.
fn await_change(growth: Option<&OwnedFd>, monitor: &OwnedFd, left_ns: Option<i64>) -> Result<()> {
    const SECOND: i64 = 1_000_000_000;
    /// Without inotify: how long a new line waits at most.
    const LOOK_AGAIN: i64 = SECOND / 5;
    let wait_ns = match growth {
        Some(_) => left_ns,
        None => Some(left_ns.map_or(LOOK_AGAIN, |left| left.min(LOOK_AGAIN))),
    };
    let timeout = wait_ns.map(|ns| Timespec { tv_sec: ns / SECOND, tv_nsec: ns % SECOND });
    let mut fds = vec![PollFd::new(monitor, PollFlags::IN)];
    fds.extend(growth.map(|growth| PollFd::new(growth, PollFlags::IN)));
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error).context(|| "wait for the log to grow"),
    }
    // What the events say is of no interest; read, they wake the follower no more.
    let mut events = [0; 4096];
    while let Some(growth) = growth {
        match rustix::io::read(growth, &mut events) {
            Err(Errno::INTR) | Ok(1..) => {}
            Err(Errno::AGAIN) | Ok(0) => break,
            Err(error) => return Err(error).context(|| "wait for the log to grow"),
        }
    }
    Ok(())
}

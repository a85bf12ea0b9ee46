//! `logs`: what a container wrote, and with `--follow` what it goes on writing (inotify(7)).

use std::io::Write;
use std::mem::MaybeUninit;
use std::path::Path;

use rustix::fs::inotify;
use rustix::io::Errno;

use super::Engine;
use super::options::LogsOptions;
use crate::container::logs::{Printer, Reader, Selection};
use crate::container::record::Files;
use crate::container::state::is_watched;
use crate::error::{Context, Result};

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
        let files = Files::new(&self.roots, &record.id);
        let selection = Selection {
            timestamps: options.timestamps,
            tail: options.tail,
            since: options.since,
            until: options.until,
        };
        // Watched before the first reading: nothing written in between is missed.
        let watch = match options.follow {
            true => Some(watch(&files.dir).context(|| format!("watch {}", files.dir.display()))?),
            false => None,
        };
        let mut printer = Printer::new(&files.log(), selection)?;
        let mut reader = Reader::open(&files.log())?;
        let Some(watch) = watch else { return reader.print(&mut printer, out, err) };
        let past_until = || options.until.is_some_and(|until| crate::time::Instant::now() > until);
        loop {
            // Asked before reading: what it wrote until it ended is read below.
            let running = is_watched(&files)?;
            reader.print(&mut printer, out, err)?;
            if !running || past_until() {
                return Ok(());
            }
            await_change(&watch)?;
        }
    }
}

/// Appending, rotating, the outcome's appearance and the directory's end all wake it.
fn watch(directory: &Path) -> Result<rustix::fd::OwnedFd, Errno> {
    use inotify::{CreateFlags, WatchFlags};
    let watch = inotify::init(CreateFlags::CLOEXEC)?;
    let events = WatchFlags::MODIFY
        | WatchFlags::CREATE
        | WatchFlags::MOVED_TO
        | WatchFlags::DELETE
        | WatchFlags::MOVE_SELF
        | WatchFlags::DELETE_SELF;
    inotify::add_watch(&watch, directory, events)?;
    Ok(watch)
}

fn await_change(watch: &rustix::fd::OwnedFd) -> Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(watch, &mut buffer);
    loop {
        match reader.next().map(drop) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).context(|| "wait for the log to grow"),
            Ok(()) if reader.is_buffer_empty() => return Ok(()),
            Ok(()) => {}
        }
    }
}

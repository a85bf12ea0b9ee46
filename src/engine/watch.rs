//! Waits until files in a directory change, for commands that follow a log or the events.
//!
//! inotify(7) reports the changes. The kernel limits the number of inotify instances for each user,
//! and the root user of a container may use all of them. A watcher without an instance wakes its
//! caller after a short pause instead.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use crate::error::{Context, Result};
use crate::sys::stdio::is_unread;

/// The reason why a wait ended.
pub(super) enum Woken {
    /// Something may have changed.
    Changed,
    /// The directory was removed, so the watcher reports no more changes.
    Removed,
    /// The reader of the standard output closed its end, as in `mydocker events | head -1`.
    Unread,
}

/// A watched directory.
pub(super) struct Watcher {
    /// The inotify instance. `None` if the kernel has no inotify, or if a limit on instances,
    /// watches or descriptors is reached.
    instance: Option<OwnedFd>,
    /// The pause between two checks without inotify.
    pause: Duration,
}

impl Watcher {
    /// Watches `directory`. `wait` returns when a file in the directory is changed, made, moved in
    /// or removed. `pause` is the pause between two checks without inotify.
    pub fn new(directory: &Path, pause: Duration) -> Result<Watcher> {
        let events =
            WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE;
        let watch = || -> Result<OwnedFd, Errno> {
            let instance = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            inotify::add_watch(&instance, directory, events)?;
            Ok(instance)
        };
        let instance = match watch() {
            // A kernel without inotify returns ENOSYS.
            Err(Errno::MFILE | Errno::NOSPC | Errno::NOSYS) => None,
            watched => Some(watched.context(|| format!("watch {}", directory.display()))?),
        };
        Ok(Watcher { instance, pause })
    }

    /// Waits for a change, at most `left_ns` nanoseconds. Also returns when `other` is readable, a
    /// signal arrives, or the reader of the standard output closes its end. Without inotify,
    /// returns after the pause at the latest.
    pub fn wait(&self, other: Option<&OwnedFd>, left_ns: Option<i64>) -> Result<Woken> {
        const SECOND: i64 = 1_000_000_000;
        let pause_ns = self.pause.as_nanos() as i64;
        let wait_ns = match self.instance {
            Some(_) => left_ns,
            None => Some(left_ns.map_or(pause_ns, |left| left.min(pause_ns))),
        };
        let timeout = wait_ns.map(|ns| Timespec { tv_sec: ns / SECOND, tv_nsec: ns % SECOND });
        let fds = other.into_iter().chain(&self.instance);
        let stdout = rustix::stdio::stdout();
        let mut all = vec![PollFd::new(&stdout, PollFlags::empty())];
        all.extend(fds.map(|fd| PollFd::new(fd, PollFlags::IN)));
        match poll(&mut all, timeout.as_ref()) {
            Ok(_) if is_unread(&all[0]) => return Ok(Woken::Unread),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context(|| "wait for files to change"),
        }
        Ok(if self.drain()? { Woken::Changed } else { Woken::Removed })
    }

    /// A descriptor that is readable after a change. Returns `None` without inotify. The caller
    /// must then check regularly.
    #[cfg(feature = "compose")]
    pub fn descriptor(&self) -> Option<&OwnedFd> {
        self.instance.as_ref()
    }

    /// Reads all pending messages, so that they no longer wake `wait`. Returns false if the
    /// directory was removed.
    pub fn drain(&self) -> Result<bool> {
        let mut messages = [0; 4096];
        let mut is_there = true;
        while let Some(instance) = &self.instance {
            match rustix::io::read(instance, &mut messages) {
                Err(Errno::INTR) => {}
                Ok(length @ 1..) => is_there &= !is_last(&messages[..length]),
                Err(Errno::AGAIN) | Ok(0) => break,
                Err(error) => return Err(error).context(|| "wait for files to change"),
            }
        }
        Ok(is_there)
    }
}

/// Reports whether the messages end the watch (IN_IGNORED). Each message has four words (watch,
/// mask, cookie, length of the name) and a name.
fn is_last(mut messages: &[u8]) -> bool {
    while let Some(([_, kind, _, length], rest)) = messages.split_first_chunk::<16>().map(|found| {
        let word = |at: usize| found.0[at..at + 4].try_into().map_or(0, u32::from_ne_bytes);
        ([word(0), word(4), word(8), word(12)], found.1)
    }) {
        if kind & linux_raw_sys::general::IN_IGNORED != 0 {
            return true;
        }
        messages = rest.get(length as usize..).unwrap_or_default();
    }
    false
}

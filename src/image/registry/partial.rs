//! The file for the received part of a blob: `images/partial/<hex>`.
//!
//! A flock(2) on the file makes sure that one pull at a time writes to it. So two pulls of one blob
//! normally download the blob once. A pull that waits for the lock watches the file grow. If the
//! holder's registry is slow or silent, the pull takes the next file, `<hex>-2` and so on, and uses
//! its own registry: one bad registry must not block the pulls from all others. No byte in these
//! files is trusted: the reader computes the digest over all bytes. `check` finds files that no
//! process holds.

use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{Context, Result, fail};
use crate::store::{make_dir, remove_file};

/// The bytes per second by which a holder's file must grow, so that another pull waits for it.
const SHARED_RATE: u64 = 32 << 10;
/// The longest time over which the growth of a holder's file is measured.
const MAX_WINDOW: Duration = Duration::from_secs(10);
/// The most files of one blob. A pull waits for the last one, however slow its holder is.
const MAX_FILES: u32 = 4;
const POLL: Duration = Duration::from_millis(20);
/// The file's mode while its holder reads an earlier pull's bytes, so that the file doesn't grow.
const READING: u32 = 0o400;
const DOWNLOADING: u32 = 0o600;

/// A file for a blob, locked by this process.
pub struct Partial {
    path: PathBuf,
    file: File,
}

impl Partial {
    /// Locks the first file of the blob that is free or becomes free. Skips a file whose holder is
    /// slow, but not the last file. `stall` is how long a registry may be silent. Fails if `stop`
    /// is set, or if a file can't be opened or locked.
    pub fn hold(
        dir: &Path,
        hex: &str,
        size: u64,
        stall: Duration,
        stop: &AtomicBool,
    ) -> Result<Partial> {
        make_dir(dir)?;
        for number in 1..MAX_FILES {
            let path = dir.join(file_name(hex, number));
            if let Some(partial) = take(path, Some((size, stall.min(MAX_WINDOW))), stop)? {
                return Ok(partial);
            }
        }
        match take(dir.join(file_name(hex, MAX_FILES)), None, stop)? {
            Some(partial) => Ok(partial),
            None => fail!("{MAX_FILES} other pulls download the blob; try again later"),
        }
    }

    /// Returns the file with the bytes that were downloaded.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Sets the file's mode. The mode shows waiting pulls whether this process reads old bytes or
    /// downloads new ones.
    pub fn set_downloading(&self, downloading: bool) -> Result<()> {
        let mode = if downloading { DOWNLOADING } else { READING };
        let set = self.file.set_permissions(Permissions::from_mode(mode));
        set.context(|| format!("change the mode of {}", self.path.display()))
    }

    /// Removes the file, because it is no longer needed or its bytes are wrong.
    pub fn discard(self) -> Result<()> {
        remove_file(&self.path)
    }
}

fn file_name(hex: &str, number: u32) -> String {
    match number {
        1 => hex.to_owned(),
        _ => format!("{hex}-{number}"),
    }
}

/// Creates the file if it is missing, and waits for its lock. If `judge` gives the blob's size and
/// a window of time, returns `None` as soon as the file grows too slowly in such a window.
fn take(
    path: PathBuf,
    judge: Option<(u64, Duration)>,
    stop: &AtomicBool,
) -> Result<Option<Partial>> {
    let mut growth = Growth::new();
    loop {
        if stop.load(Ordering::Relaxed) {
            fail!("stopped");
        }
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.mode(DOWNLOADING).open(&path);
        let file = file.context(|| format!("open {}", path.display()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // The former holder may have removed the file.
            Ok(()) if file.metadata()?.nlink() > 0 => return Ok(Some(Partial { path, file })),
            Ok(()) | Err(Errno::INTR) => continue,
            Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error).context(|| format!("lock {}", path.display())),
        }
        let metadata = file.metadata()?;
        if let Some((size, window)) = judge {
            // If the holder has all bytes or reads old ones, this machine limits its speed, not a
            // registry.
            let is_local = metadata.len() >= size || metadata.mode() & 0o777 == READING;
            if is_local {
                growth = Growth::new();
            } else if growth.is_slow(metadata.len(), window, Instant::now()) {
                return Ok(None);
            }
        }
        std::thread::sleep(POLL);
    }
}

/// How fast a file grows.
struct Growth {
    /// The time when the window started, and the file's length then.
    since: Option<(Instant, u64)>,
}

impl Growth {
    fn new() -> Growth {
        Growth { since: None }
    }

    /// Whether the file grew more slowly than `SHARED_RATE` in a whole window.
    fn is_slow(&mut self, length: u64, window: Duration, now: Instant) -> bool {
        // The file is shorter if another holder has made it again.
        let (started, before) = match self.since {
            Some((started, before)) if before <= length => (started, before),
            _ => *self.since.insert((now, length)),
        };
        if now.duration_since(started) < window {
            return false;
        }
        self.since = Some((now, length));
        length - before < SHARED_RATE * window.as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_grows_too_little_in_a_window_is_slow() {
        let (start, window) = (Instant::now(), Duration::from_secs(10));
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut growth = Growth::new();
        assert!(!growth.is_slow(0, window, start));
        assert!(!growth.is_slow(0, window, after(9)));
        assert!(!growth.is_slow(SHARED_RATE * 10, window, after(10)));
        // The next window starts at the end of the last one.
        assert!(!growth.is_slow(SHARED_RATE * 10, window, after(19)));
        assert!(growth.is_slow(SHARED_RATE * 20 - 1, window, after(20)));
        // Another holder made the file again.
        assert!(!growth.is_slow(1, window, after(40)));
    }

    #[test]
    fn a_pull_waits_for_a_holder_that_reads_old_bytes() {
        let dir = std::env::temp_dir().join(format!("mydocker-partial-{}", std::process::id()));
        let (window, stop) = (Duration::from_secs(1), AtomicBool::new(false));
        let hold = || Partial::hold(&dir, "ab", 100, window, &stop).unwrap();
        let first = hold();
        first.set_downloading(false).unwrap();
        let second = std::thread::scope(|scope| {
            let second = scope.spawn(hold);
            std::thread::sleep(window * 2);
            first.discard().unwrap();
            second.join().unwrap()
        });
        assert_eq!(second.path, dir.join("ab"));
        // The holder downloads, and gets nothing.
        second.set_downloading(true).unwrap();
        let third = hold();
        assert_eq!(third.path, dir.join("ab-2"));
        second.discard().unwrap();
        third.discard().unwrap();
        std::fs::remove_dir(&dir).unwrap();
    }
}

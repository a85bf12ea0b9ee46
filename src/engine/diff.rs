//! `diff`: the changes of a container to its root, read from the overlay's upper directory.
//!
//! A whiteout is a deletion. Any other file is a change if the image has a file of that name, and
//! an addition otherwise. An opaque directory also deletes the image's files of that directory
//! which the container has not replaced (overlayfs.rst of the kernel). Mount points that the
//! runtime made are left out. The changes are not collected, because their number has no limit.

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, CWD, FileType, Mode, Stat, fgetxattr, fstat, openat, statat};
use rustix::io::Errno;

use super::Engine;
use super::root::mount_points;
use super::view::{Change, ChangeKind};
use crate::container::files::Files;
use crate::container::record::Record;
use crate::error::{Context, Result, fail, shortened};
use crate::image::MAX_PATH;
use crate::store::walk::{DIRECTORY, Descent, Names};

impl Engine {
    /// Calls `report` for each change, a directory before its content, in byte order of the names.
    /// Fails for a container with `--rootfs`, whose changes are unknown.
    pub fn diff(&self, name: &str, report: &mut dyn FnMut(Change) -> Result<()>) -> Result<()> {
        let record = self.record(name)?;
        if record.rootfs.is_some() {
            fail!(
                "container {name} runs on a plain directory (--rootfs), so its changes are unknown"
            );
        }
        let compared = self.compare(&record, report).map(drop);
        self.unless_gone(&record.id, name, compared)
    }

    /// Calls `report` for each change of the container. Returns what `commit` must know besides the
    /// upper directory itself.
    pub(super) fn compare(
        &self,
        record: &Record,
        report: &mut dyn FnMut(Change) -> Result<()>,
    ) -> Result<Diff> {
        let upper = Files::new(&self.roots, &record.id).upper();
        let upper = openat(CWD, &upper, DIRECTORY, Mode::empty())
            .context(|| format!("open {}", upper.display()))?;
        let lower = self.open_layers(record)?;
        let lower = openat(&lower, ".", DIRECTORY, Mode::empty()).context(|| "open the image")?;
        let top_changed = !look_alike(&fstat(&upper)?, &fstat(&lower)?);
        let mut comparison = Comparison {
            upper: Descent::new(upper),
            lower: Descent::new(lower),
            levels: vec![Level { has_lower: true, ..Level::default() }],
            path: Vec::new(),
            mounted: mount_points(record),
            left_out: Vec::new(),
            report,
        };
        comparison.walk()?;
        Ok(Diff { top_changed, left_out: comparison.left_out })
    }
}

/// What a comparison of a container's root with its image found, apart from the changed paths.
pub(super) struct Diff {
    /// True if owner or mode of the root changed.
    pub top_changed: bool,
    /// The paths of mount points, and of directories in which only mount points were made. The
    /// paths have no first slash.
    pub left_out: Vec<Vec<u8>>,
}

struct Comparison<'a> {
    upper: Descent,
    /// The image's directories on the same path. The image may have only the first part of the
    /// path.
    lower: Descent,
    levels: Vec<Level>,
    /// The path of the current directory or entry, without the first slash.
    path: Vec<u8>,
    mounted: Vec<Vec<u8>>,
    left_out: Vec<Vec<u8>>,
    report: &'a mut dyn FnMut(Change) -> Result<()>,
}

/// A directory on the current path.
#[derive(Default)]
struct Level {
    /// The length of its path.
    length: usize,
    has_lower: bool,
    opaque: bool,
    /// The change of the directory itself, until this change is reported: before the first change
    /// below the directory, or when the walk leaves the directory.
    pending: Option<ChangeKind>,
    /// True if owner and mode are the image's, or if the image lacks the directory.
    is_same: bool,
    made_for_mount: bool,
}

impl Comparison<'_> {
    fn walk(&mut self) -> Result<()> {
        let mut names = Names::default();
        names.enter();
        while let Some(level) = self.levels.last() {
            self.path.truncate(level.length);
            let both = [self.upper.current(), self.lower.current()];
            let directories = if level.opaque && level.has_lower { &both[..] } else { &both[..1] };
            let next = names.next(directories);
            let Some(name) = next.context(|| format!("read '{}'", shortened(&self.path)))? else {
                self.leave()?;
                if names.leave() {
                    self.upper.up()?;
                }
                continue;
            };
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name.to_bytes());
            if self.path.len() > MAX_PATH {
                fail!("'{}' is longer than {MAX_PATH} bytes", shortened(&self.path));
            }
            if self.mounted.contains(&self.path) {
                self.left_out.push(self.path.clone());
                if let Some(level) = self.levels.last_mut() {
                    level.made_for_mount = true;
                }
                continue;
            }
            let entered = self.entry(OsStr::from_bytes(name.to_bytes()));
            if entered.context(|| format!("compare '{}'", shortened(&self.path)))? {
                names.enter();
            }
        }
        Ok(())
    }

    /// Compares one entry. Returns true if the entry is a directory, which becomes the current one.
    fn entry(&mut self, name: &OsStr) -> Result<bool> {
        let there = stat(self.upper.current(), name)?;
        let has_lower = self.levels.last().is_some_and(|level| level.has_lower);
        let before = if has_lower { stat(self.lower.current(), name)? } else { None };
        let whiteout = |stat: &Stat| kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0;
        let Some(there) = there.filter(|there| !whiteout(there)) else {
            // The entry is a whiteout, or only the image has the entry and the directory is opaque.
            // The entry may also have been removed during the read.
            if before.is_some() {
                self.report(ChangeKind::Deleted)?;
            }
            return Ok(false);
        };
        let change = if before.is_some() { ChangeKind::Changed } else { ChangeKind::Added };
        if kind(&there) != FileType::Directory {
            self.report(change)?;
            return Ok(false);
        }
        let below = |parent: BorrowedFd<'_>| openat(parent, name, DIRECTORY, Mode::empty());
        let has_lower = before.as_ref().is_some_and(|before| kind(before) == FileType::Directory);
        if has_lower {
            self.lower.down(below(self.lower.current())?)?;
        }
        self.upper.down(below(self.upper.current())?)?;
        self.levels.push(Level {
            length: self.path.len(),
            has_lower,
            opaque: is_opaque(self.upper.current()),
            pending: Some(change),
            is_same: before.is_none_or(|before| look_alike(&before, &there)),
            made_for_mount: false,
        });
        Ok(true)
    }

    /// Leaves the current directory.
    fn leave(&mut self) -> Result<()> {
        let untouched = self
            .levels
            .last()
            .is_some_and(|level| level.pending.is_some() && level.made_for_mount && level.is_same);
        if !untouched {
            self.report_pending()?;
        }
        let Some(level) = self.levels.pop() else { return Ok(()) };
        if level.has_lower {
            self.lower.up()?;
        }
        if untouched {
            // Only mount points were made in this directory, so the runtime made the change and not
            // the container.
            self.left_out.push(self.path.clone());
            if let Some(above) = self.levels.last_mut() {
                above.made_for_mount = true;
            }
        }
        Ok(())
    }

    fn report(&mut self, kind: ChangeKind) -> Result<()> {
        self.report_pending()?;
        (self.report)(Change { kind, path: [b"/", self.path.as_slice()].concat() })
    }

    /// Reports the directories on the current path that are not reported yet, the outermost first.
    fn report_pending(&mut self) -> Result<()> {
        // The parents of a reported directory are reported already.
        let first = self.levels.iter().rposition(|level| level.pending.is_none());
        for level in &mut self.levels[first.map_or(0, |last| last + 1)..] {
            if let Some(kind) = level.pending.take() {
                let path = [b"/", &self.path[..level.length]].concat();
                (self.report)(Change { kind, path })?;
            }
        }
        Ok(())
    }
}

fn look_alike(one: &Stat, other: &Stat) -> bool {
    (one.st_mode, one.st_uid, one.st_gid) == (other.st_mode, other.st_uid, other.st_gid)
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn stat(parent: BorrowedFd<'_>, name: &OsStr) -> Result<Option<Stat>> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    let mut value = [0; 8];
    fgetxattr(directory, "trusted.overlay.opaque", &mut value)
        .is_ok_and(|length| &value[..length] == b"y")
}

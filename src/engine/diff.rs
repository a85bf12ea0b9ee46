//! `diff`: what a container changed in its root, read off the overlay's upper directory.
//!
//! A whiteout there is a deletion; everything else is an addition or, where the image has something
//! of that name, a change. What an opaque directory hides and doesn't replace is deleted too.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fgetxattr, fstat, openat, statat,
};
use rustix::io::Errno;

use super::Engine;
use super::root::mount_points;
use super::view::{Change, ChangeKind};
use crate::container::record::{Files, Record};
use crate::error::{Context, Result, fail};

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Deepest directory; each level holds two descriptors.
const MAX_DEPTH: usize = 450;

impl Engine {
    /// In the order of the paths.
    pub fn diff(&self, name: &str) -> Result<Vec<Change>> {
        let record = self.record(name)?;
        if record.rootfs.is_some() {
            fail!("container {name} runs on a plain directory: what was in it before is unknown");
        }
        self.compare(&record).map(|diff| diff.changes)
    }

    /// What the container did, and what was done for it, in its upper directory.
    pub(super) fn compare(&self, record: &Record) -> Result<Diff> {
        let upper = Files::new(&self.roots, &record.id).upper();
        let upper = openat(CWD, &upper, DIRECTORY, Mode::empty())
            .context(|| format!("open {}", upper.display()))?;
        let lower = self.open_layers(record)?;
        let lower = openat(&lower, ".", DIRECTORY, Mode::empty()).context(|| "open the image")?;
        let top_changed = !look_alike(&fstat(&upper)?, &fstat(&lower)?);
        let (changes, left_out) = (Vec::new(), Vec::new());
        let mut diff = Diff { changes, top_changed, left_out, mounted: mount_points(record) };
        diff.directory(upper.as_fd(), Some(lower.as_fd()), b"", 0)?;
        Ok(diff)
    }
}

pub(super) struct Diff {
    changes: Vec<Change>,
    /// Owner or mode of the root itself.
    pub top_changed: bool,
    /// What only came to be for something to be mounted on. Paths without the first slash.
    pub left_out: Vec<Vec<u8>>,
    mounted: Vec<Vec<u8>>,
}

impl Diff {
    /// Compares two directories of one path; true if a mount point was made in it.
    fn directory(
        &mut self,
        upper: BorrowedFd<'_>,
        lower: Option<BorrowedFd<'_>>,
        path: &[u8],
        depth: usize,
    ) -> Result<bool> {
        if depth == MAX_DEPTH {
            fail!("'{}' is deeper than {MAX_DEPTH} directories", path.escape_ascii());
        }
        let mut names = names(upper)?;
        let mut made_for_mount = false;
        if let Some(lower) = lower
            && is_opaque(upper)
        {
            names.extend(self::names(lower)?);
        }
        names.sort_unstable();
        names.dedup();
        for name in names {
            let name = OsStr::from_bytes(name.to_bytes());
            let path = match path {
                b"" => name.as_bytes().to_vec(),
                path => [path, b"/", name.as_bytes()].concat(),
            };
            if self.mounted.contains(&path) {
                made_for_mount = true;
                self.left_out.push(path);
                continue;
            }
            made_for_mount |= self.entry(upper, lower, name, &path, depth)?;
        }
        Ok(made_for_mount)
    }

    fn entry(
        &mut self,
        upper: BorrowedFd<'_>,
        lower: Option<BorrowedFd<'_>>,
        name: &OsStr,
        path: &[u8],
        depth: usize,
    ) -> Result<bool> {
        let there = stat(upper, name)?;
        let before = lower.map(|lower| stat(lower, name)).transpose()?.flatten();
        let whiteout = |stat: &Stat| kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0;
        let Some(there) = there.filter(|there| !whiteout(there)) else {
            // Without the lower one it was removed as the directory was read.
            if before.is_some() {
                self.push(ChangeKind::Deleted, path);
            }
            return Ok(false);
        };
        let at = self.changes.len();
        self.push(if before.is_some() { ChangeKind::Changed } else { ChangeKind::Added }, path);
        if kind(&there) != FileType::Directory {
            return Ok(false);
        }
        let open = |parent: BorrowedFd<'_>| -> Result<OwnedFd> {
            openat(parent, name, DIRECTORY, Mode::empty())
                .context(|| format!("open '{}'", path.escape_ascii()))
        };
        let below = match (lower, &before) {
            (Some(lower), Some(before)) if kind(before) == FileType::Directory => {
                Some(open(lower)?)
            }
            _ => None,
        };
        let lower = below.as_ref().map(AsFd::as_fd);
        let made_for_mount = self.directory(open(upper)?.as_fd(), lower, path, depth + 1)?;
        // Only mount points were made in it: what the runtime did isn't the container's change.
        let same = before.is_none_or(|before| look_alike(&before, &there));
        let untouched = made_for_mount && same && self.changes.len() == at + 1;
        if untouched {
            self.changes.pop();
            self.left_out.push(path.to_vec());
        }
        Ok(untouched)
    }

    fn push(&mut self, kind: ChangeKind, path: &[u8]) {
        self.changes.push(Change { kind, path: [b"/", path].concat() });
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
        Err(error) => Err(error).context(|| format!("stat '{}'", name.display())),
    }
}

fn names(directory: BorrowedFd<'_>) -> Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    let mut value = [0; 8];
    fgetxattr(directory, "trusted.overlay.opaque", &mut value)
        .is_ok_and(|length| &value[..length] == b"y")
}

//! Unpacks a layer's tar into a future overlayfs lowerdir, or the tar of a copy into a tree.
//!
//! Nothing is written outside the lowerdir or tree, whatever the archive says. First, names are
//! reduced to plain components (`..` above the top is refused). Then the kernel resolves the parent
//! with openat2(RESOLVE_IN_ROOT), so that links lead nowhere but inside. The last component is used
//! only in *at calls that don't follow links. As in tar, a later entry replaces an earlier entry
//! with the same name, but two directories are merged. In a layer, whiteouts (OCI image spec,
//! layer.md) become overlayfs's own (kernel, filesystems/overlayfs.rst): `.wh.NAME` becomes a
//! device 0:0, and `.wh..wh..opq` becomes the xattr trusted.overlay.opaque=y. `Rules` describes
//! whiteouts in other archives.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps, XattrFlags, fchmod, fchown,
    fsetxattr, fstat, ftruncate, futimens, linkat, makedev, mkdirat, mknodat, openat, statat,
    symlinkat, unlinkat,
};
use rustix::io::{Errno, pwrite, write};
use rustix::process::{Gid, Uid};

use super::attributes::{set_attributes, set_attributes_by_name, times};
use super::directories::{DIRECTORY, Directories};
use super::mounted::open_mounted;
use super::recipe::Recorder;
use super::tar::{Entry, Kind, MAX_PATH, Reader};
use crate::error::{Context, Error, Result, fail, shortened};
use crate::runtime::ids::IdMap;
use crate::store::remove_at;
use crate::sys::beneath;

/// The limits of one archive.
struct Limits {
    entries: u64,
    /// The size of all unpacked files in bytes, including their holes.
    bytes: u64,
    /// The most bytes of memory for the paths and times of directories. If they need more memory,
    /// the times are set early.
    kept: usize,
}

const LIMITS: Limits = Limits { entries: 20_000_000, bytes: 4 << 40, kept: 2 << 20 };

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// The prefix of files that old storage drivers kept at the top of a layer for themselves.
const WHITEOUT_META: &[u8] = b".wh..wh.";

/// The result of unpacking.
#[derive(Debug)]
pub struct Unpacked {
    /// The size of all files that were created, in bytes, including their holes.
    pub size: u64,
    /// Whether the archive had its end mark. Without an end mark, a cut between two entries is not
    /// noticed.
    pub ended: bool,
    /// Whether the archive has entries that some other readers refuse.
    pub gnu_only: bool,
}

/// A reader of the archive, which also records the layer's recipe.
type Input<'a, 'b> = Reader<&'a mut Recorder<'b>>;

/// How an archive is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rules {
    /// A layer: whiteouts hide files of the layers below. A later entry replaces an earlier entry
    /// of any kind, but two directories are merged.
    Layer,
    /// A layer on top of existing files: a whiteout removes the files that it hides.
    #[cfg(feature = "build")]
    Apply,
    /// Files for a tree that a container may be using. A name such as `.wh.NAME` has no special
    /// meaning.
    Copy(CopyRules),
}

/// How files are copied into a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyRules {
    /// The directory to unpack into, relative to the root.
    pub into: Vec<u8>,
    /// The owner of everything. If this is set, setuid, setgid and file capabilities are left out,
    /// and a device is an error.
    pub owner: Option<(u32, u32)>,
    /// The ID mapping of the tree's user namespace, if the tree is seen from outside that
    /// namespace.
    pub ids: Option<IdMap>,
}

/// Unpacks the tar `input` into the directory `root`, which must be empty for [`Rules::Layer`].
/// Fails for example on a damaged archive, on a name outside of `root`, and if the archive exceeds
/// the limits.
pub fn unpack(input: &mut Recorder<'_>, root: BorrowedFd<'_>, rules: &Rules) -> Result<Unpacked> {
    unpack_within(input, root, rules, &LIMITS)
}

fn unpack_within(
    input: &mut Recorder<'_>,
    root: BorrowedFd<'_>,
    rules: &Rules,
    limits: &Limits,
) -> Result<Unpacked> {
    let mut reader = Reader::new(input);
    let mut layer = Layer {
        root,
        rules,
        limits,
        directories: Directories::new(root),
        directory_times: DirectoryTimes::default(),
        size: 0,
        entries: 0,
    };
    while let Some(mut entry) = reader.next()? {
        if let Rules::Copy(rules) = rules {
            rules.alter(&mut entry)?;
        }
        layer.count()?;
        let applied = layer.apply(&entry, &mut reader);
        applied.context(|| format!("unpack '{}'", shortened(&entry.path)))?;
    }
    layer.set_directory_times()?;
    Ok(Unpacked { size: layer.size, ended: reader.ended(), gnu_only: reader.gnu_only() })
}

impl CopyRules {
    fn alter(&self, entry: &mut Entry) -> Result<()> {
        self.set_owner(entry)?;
        let Some(ids) = &self.ids else { return Ok(()) };
        match (ids.host_uid(entry.uid), ids.host_gid(entry.gid)) {
            (Some(uid), Some(gid)) => (entry.uid, entry.gid) = (uid, gid),
            _ => fail!(
                "'{}' belongs to {}:{}, which the container's user namespace of {} IDs lacks",
                shortened(&entry.path),
                entry.uid,
                entry.gid,
                ids.size
            ),
        }
        Ok(())
    }

    /// If the rules set an owner, sets this owner and removes the set-ID bits and the file
    /// capabilities. A device is then an error.
    fn set_owner(&self, entry: &mut Entry) -> Result<()> {
        let Some((uid, gid)) = self.owner else { return Ok(()) };
        if matches!(entry.kind, Kind::Character | Kind::Block) {
            let path = shortened(&entry.path);
            fail!("'{path}' is a device, which is copied only with its owner (--archive)");
        }
        (entry.uid, entry.gid) = (uid, gid);
        entry.mode &= 0o1777;
        entry.xattrs.retain(|(name, _)| name != b"security.capability");
        Ok(())
    }
}

struct Layer<'a> {
    root: BorrowedFd<'a>,
    rules: &'a Rules,
    limits: &'a Limits,
    /// The open directories. If an entry replaces or removes a file, all are closed, because paths
    /// may lead elsewhere from then on.
    directories: Directories<'a>,
    directory_times: DirectoryTimes,
    size: u64,
    /// The number of entries, plus the number of missing parents that were created.
    entries: u64,
}

/// The times of directories. A new file in a directory changes the directory's time, so the times
/// are set at the end. If these times take too much memory, the times known so far are set earlier,
/// and from then on each directory gets its time back after each new file.
#[derive(Default)]
struct DirectoryTimes {
    wanted: Vec<(Vec<u8>, Timestamps)>,
    bytes: usize,
    some_are_set: bool,
}

impl Layer<'_> {
    /// Counts one entry or one missing parent. Fails if the count exceeds the limit.
    fn count(&mut self) -> Result<()> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            fail!("the archive has more than {} entries", self.limits.entries);
        }
        Ok(())
    }

    fn apply(&mut self, entry: &Entry, reader: &mut Input<'_, '_>) -> Result<()> {
        let mut path = normalize(&entry.path)?;
        if let Rules::Copy(CopyRules { into, .. }) = self.rules {
            // Skip the archive's top, so that the directory `into` keeps its attributes.
            if path.is_empty() { return Ok(()) } else { path = join(into, &path) }
        }
        let Some(name) = path.rsplit(|&byte| byte == b'/').next().filter(|name| !name.is_empty())
        else {
            return self.top(entry);
        };
        let is_layer = !matches!(self.rules, Rules::Copy(_));
        if is_layer && path.starts_with(WHITEOUT_META) && path != OPAQUE {
            return Ok(());
        }
        let parent_path = &path[..path.len().saturating_sub(name.len() + 1)];
        let parent = self.parent(parent_path)?;
        let before = self.times_to_keep(parent.as_fd())?;
        let result = match name.strip_prefix(WHITEOUT).filter(|_| is_layer) {
            #[cfg(feature = "build")]
            Some(hidden) if *self.rules == Rules::Apply => remove_hidden(parent.as_fd(), hidden),
            Some(_) if name == OPAQUE => set_opaque(parent.as_fd()),
            Some(hidden) => self.whiteout(parent.as_fd(), hidden),
            None => {
                if is_layer {
                    self.entry(parent.as_fd(), &path, name, entry, reader)
                } else {
                    self.copied_entry(parent.as_fd(), &path, name, entry, reader)
                }
            }
        };
        let change = result?;
        if let Some(before) = before {
            futimens(&parent, &before)?;
        }
        // Do this after the parent got its old time back: `want_times` may set the times of all
        // known directories, including the parent's.
        if entry.kind == Kind::Directory && !(is_layer && name.starts_with(WHITEOUT)) {
            self.want_times(&path, entry)?;
        }
        match change {
            Change::Added => {}
            Change::Uncovered => self.directories.forget(),
            Change::Replaced => {
                self.directories.forget();
                reader.input().give_up();
            }
        }
        Ok(())
    }

    /// Applies the entry `./`, the layer's own directory.
    fn top(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != Kind::Directory {
            fail!("the archive's top is not a directory");
        }
        let top = beneath::open(self.root, Path::new("."), DIRECTORY, Mode::empty())?;
        set_attributes(top.as_fd(), entry)?;
        self.want_times(&[], entry)
    }

    /// Applies an entry to a tree in use.
    fn copied_entry(
        &mut self,
        parent: BorrowedFd<'_>,
        path: &[u8],
        name: &[u8],
        entry: &Entry,
        reader: &mut Input<'_, '_>,
    ) -> Result<Change> {
        let is_there = check_kinds(parent, name, entry)?;
        if entry.kind == Kind::Directory || !is_there {
            return self.entry(parent, path, name, entry, reader);
        }
        match (open_mounted(parent, OsStr::from_bytes(name))?, entry.kind) {
            (None, _) => self.entry(parent, path, name, entry, reader),
            (Some(file), Kind::File) => {
                write_data(file.as_fd(), path, entry, reader)?;
                Ok(Change::Added)
            }
            (Some(_), _) => fail!("a file is mounted there: only a file can be copied to it"),
        }
    }

    fn entry(
        &mut self,
        parent: BorrowedFd<'_>,
        path: &[u8],
        name: &[u8],
        entry: &Entry,
        reader: &mut Input<'_, '_>,
    ) -> Result<Change> {
        let name = OsStr::from_bytes(name);
        let change = match entry.kind {
            Kind::Directory => self.directory(parent, path, name, entry)?,
            Kind::File => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                let (file, change) = replacing(parent, name, || {
                    openat(parent, name, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o600))
                })?;
                self.size = self.size.saturating_add(entry.size);
                if self.size > self.limits.bytes {
                    fail!("the archive is larger than {} bytes", self.limits.bytes);
                }
                write_data(file.as_fd(), path, entry, reader)?;
                set_attributes(file.as_fd(), entry)?;
                futimens(&file, &times(entry))?;
                change
            }
            Kind::Hardlink => return self.hardlink(parent, name, entry),
            Kind::Symlink => {
                if entry.link.contains(&0) || entry.link.is_empty() {
                    fail!("a symbolic link to '{}'", shortened(&entry.link));
                }
                let target = OsStr::from_bytes(&entry.link);
                let ((), change) = replacing(parent, name, || symlinkat(target, parent, name))?;
                set_attributes_by_name(parent, name, entry)?;
                change
            }
            Kind::Character | Kind::Block | Kind::Fifo => {
                let (file_type, device) = match (entry.kind, entry.device) {
                    (Kind::Character, (major, minor)) => {
                        (FileType::CharacterDevice, makedev(major, minor))
                    }
                    (Kind::Block, (major, minor)) => (FileType::BlockDevice, makedev(major, minor)),
                    _ => (FileType::Fifo, 0),
                };
                let mode = Mode::from_raw_mode(0o600);
                let ((), change) =
                    replacing(parent, name, || mknodat(parent, name, file_type, mode, device))?;
                set_attributes_by_name(parent, name, entry)?;
                change
            }
        };
        Ok(change)
    }

    fn directory(
        &mut self,
        parent: BorrowedFd<'_>,
        path: &[u8],
        name: &OsStr,
        entry: &Entry,
    ) -> Result<Change> {
        let make = || mkdirat(parent, name, Mode::from_raw_mode(0o700));
        let mut hides_lower = false;
        let change = match make() {
            Err(Errno::EXIST) => {
                let old = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
                if FileType::from_raw_mode(old.st_mode) == FileType::Directory {
                    Change::Added
                } else {
                    hides_lower = is_whiteout(&old);
                    replacing(parent, name, make)?.1
                }
            }
            result => result.map(|()| Change::Added)?,
        };
        let directory = openat(parent, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
        if hides_lower {
            set_opaque(directory.as_fd())?;
        }
        set_attributes(directory.as_fd(), entry)?;
        self.directories.hold(path, Rc::new(directory));
        Ok(change)
    }

    fn hardlink(&mut self, parent: BorrowedFd<'_>, name: &OsStr, entry: &Entry) -> Result<Change> {
        let mut target = normalize(&entry.link)?;
        if let Rules::Copy(CopyRules { into, .. }) = self.rules {
            target = join(into, &target);
        }
        let missing = || {
            let target = shortened(&target);
            Error::new(format!("a hard link to '{target}', which this layer doesn't hold"))
        };
        let target_name = target.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let above = &target[..target.len().saturating_sub(target_name.len() + 1)];
        let above = Path::new(OsStr::from_bytes(above));
        let target_name = OsStr::from_bytes(target_name);
        // Only the parent is resolved, because linkat doesn't follow the name itself.
        let above = match beneath::open_long(self.root, above, DIRECTORY) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(missing()),
            result => result?,
        };
        let there = match statat(&above, target_name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Err(missing()),
            result => result?,
        };
        if FileType::from_raw_mode(there.st_mode) == FileType::Directory {
            fail!("a hard link to the directory '{}'", shortened(&target));
        }
        if let Ok(old) = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
            && (old.st_dev, old.st_ino) == (there.st_dev, there.st_ino)
        {
            // The name already is a link to this file. Replacing the link could lose the file.
            return Ok(Change::Added);
        }
        let link = || linkat(&above, target_name, parent, name, AtFlags::empty());
        match replacing(parent, name, link) {
            Ok(((), change)) => Ok(change),
            // The entry that was removed contained the target.
            Err(error) if error.errno() == Some(Errno::NOENT) => Err(missing()),
            Err(error) => Err(error),
        }
    }

    /// Hides the file `hidden` of the layers below.
    fn whiteout(&mut self, parent: BorrowedFd<'_>, hidden: &[u8]) -> Result<Change> {
        if matches!(hidden, b"" | b"." | b"..") || hidden.starts_with(WHITEOUT) {
            fail!("a whiteout of '{}'", shortened(hidden));
        }
        let name = OsStr::from_bytes(hidden);
        let mode = Mode::from_raw_mode(0);
        match mknodat(parent, name, FileType::CharacterDevice, mode, makedev(0, 0)) {
            Ok(()) => Ok(Change::Added),
            // The layer's own entry with that name stays. Such an entry hides the files of the
            // layers below; a directory hides them only if it is opaque.
            Err(Errno::EXIST) => {
                match openat(parent, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()) {
                    Ok(directory) => set_opaque(directory.as_fd()),
                    Err(Errno::NOTDIR | Errno::LOOP) => Ok(Change::Added),
                    Err(error) => Err(error.into()),
                }
            }
            Err(error) => Err(error).context(|| "make a whiteout"),
        }
    }

    /// Opens the directory `path`. Creates that directory and those above it if they are missing.
    fn parent(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>> {
        match self.directories.open(path) {
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            result => return result.context(|| "open its directory"),
        }
        let ends: Vec<usize> =
            (0..=path.len()).filter(|&at| at == path.len() || path[at] == b'/').collect();
        // If a directory is missing, all directories below it are missing too. So a binary search
        // finds the first missing directory in a few steps.
        let (mut found, mut missing) = (0, ends.len());
        while missing - found > 1 {
            let middle = found + (missing - found) / 2;
            match self.directories.open(&path[..ends[middle - 1]]) {
                Ok(_) => found = middle,
                Err(Errno::NOENT | Errno::NOTDIR) => missing = middle,
                Err(error) => return Err(error).context(|| "open its directory"),
            }
        }
        let mut start = if found == 0 { 0 } else { ends[found - 1] + 1 };
        let mut current = self.directories.open(&path[..start.saturating_sub(1)])?;
        for &end in &ends[found..] {
            self.count()?;
            let before = self.times_to_keep(current.as_fd())?;
            let name = OsStr::from_bytes(&path[start..end]);
            let made = make_parent(current.as_fd(), name, self.root_user())?;
            if let Some(before) = before {
                futimens(&current, &before)?;
            }
            (current, start) = (Rc::new(made), end + 1);
        }
        // This function replaces only whiteouts, and no path leads through a whiteout. So the paths
        // of all open directories are still right.
        self.directories.hold(path, current.clone());
        Ok(current)
    }

    /// Returns the host's IDs for the root user of the tree.
    fn root_user(&self) -> (Uid, Gid) {
        match self.rules {
            Rules::Copy(CopyRules { ids: Some(ids), .. }) => {
                (Uid::from_raw(ids.uid), Gid::from_raw(ids.gid))
            }
            _ => (Uid::ROOT, Gid::ROOT),
        }
    }

    /// Records that the directory `path` gets the entry's times. If the recorded times take too
    /// much memory, sets them now.
    fn want_times(&mut self, path: &[u8], entry: &Entry) -> Result<()> {
        let kept = &mut self.directory_times;
        kept.wanted.push((path.to_vec(), times(entry)));
        kept.bytes += path.len() + size_of::<(Vec<u8>, Timestamps)>();
        if kept.bytes > self.limits.kept {
            kept.some_are_set = true;
            self.set_directory_times()?;
        }
        Ok(())
    }

    /// Returns the times that a directory must get back after a new file was put into it. Returns
    /// `None` if no directory's times are set yet.
    fn times_to_keep(&self, directory: BorrowedFd<'_>) -> Result<Option<Timestamps>> {
        if !self.directory_times.some_are_set {
            return Ok(None);
        }
        let stat = fstat(directory)?;
        let time = |seconds, ns| Timespec { tv_sec: seconds, tv_nsec: ns as _ };
        Ok(Some(Timestamps {
            last_access: time(stat.st_atime, stat.st_atime_nsec),
            last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
        }))
    }

    fn set_directory_times(&mut self) -> Result<()> {
        self.directory_times.bytes = 0;
        let mut directories = Directories::new(self.root);
        for (path, times) in std::mem::take(&mut self.directory_times.wanted) {
            match directories.open(&path) {
                Ok(directory) => futimens(&directory, &times)?,
                // A later entry replaced the directory.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(error).context(|| format!("open '{}'", shortened(&path))),
            }
        }
        Ok(())
    }
}

/// What happened to an earlier file with the same name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Added,
    /// A whiteout was removed.
    Uncovered,
    /// Another file was removed. Without its bytes the archive can have no recipe.
    Replaced,
}

/// Fails if the entry would replace a file by a directory, or a directory by a file. Returns
/// whether the name exists.
fn check_kinds(parent: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> Result<bool> {
    let old = match statat(parent, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(false),
        result => result?,
    };
    let is_directory = FileType::from_raw_mode(old.st_mode) == FileType::Directory;
    match (is_directory, entry.kind == Kind::Directory) {
        (true, false) => fail!("a directory of that name is there"),
        (false, true) => fail!("a directory can't replace what is there"),
        _ => Ok(true),
    }
}

fn join(above: &[u8], path: &[u8]) -> Vec<u8> {
    match above {
        b"" => path.to_vec(),
        above => [above, b"/", path].concat(),
    }
}

/// Returns the path's plain components joined by `/`: without a leading `/`, `.` and `..`, and
/// empty for the top. Fails if the path leads above the top, contains a NUL or is too long.
fn normalize(path: &[u8]) -> Result<Vec<u8>> {
    if path.contains(&0) {
        fail!("a name with a NUL in it");
    }
    let mut components: Vec<&[u8]> = Vec::new();
    for component in path.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                if components.pop().is_none() {
                    fail!("'{}' leads outside of the archive", shortened(path));
                }
            }
            name => components.push(name),
        }
    }
    let path = components.join(&b'/');
    if path.len() > MAX_PATH {
        fail!("a name of {} bytes: at most {MAX_PATH}", path.len());
    }
    Ok(path)
}

/// Creates the missing parent `name`, owned by `owner` with mode 0755. If a whiteout has that name,
/// the directory replaces the whiteout and is opaque, so that it hides the same files.
fn make_parent(above: BorrowedFd<'_>, name: &OsStr, owner: (Uid, Gid)) -> Result<OwnedFd> {
    let make = || mkdirat(above, name, Mode::from_raw_mode(0o755));
    let mut hides_lower = false;
    match make() {
        Err(Errno::EXIST) => {
            let old = statat(above, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if !is_whiteout(&old) {
                fail!("'{}' above it is not a directory", name.display());
            }
            hides_lower = true;
            unlinkat(above, name, AtFlags::empty())?;
            make()?;
        }
        result => result?,
    }
    let directory = openat(above, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
    fchown(&directory, Some(owner.0), Some(owner.1))?;
    fchmod(&directory, Mode::from_raw_mode(0o755))?;
    if hides_lower {
        set_opaque(directory.as_fd())?;
    }
    Ok(directory)
}

/// Calls `make`. If the name exists, removes the file or tree with that name and calls `make`
/// again.
fn replacing<T>(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    make: impl Fn() -> Result<T, Errno>,
) -> Result<(T, Change)> {
    match make() {
        Err(Errno::EXIST) => {
            let covered = is_whiteout(&statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?);
            remove_at(parent, name)?;
            Ok((make()?, if covered { Change::Uncovered } else { Change::Replaced }))
        }
        result => Ok((result?, Change::Added)),
    }
}

fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn set_opaque(directory: BorrowedFd<'_>) -> Result<Change> {
    let set = fsetxattr(directory, "trusted.overlay.opaque", b"y", XattrFlags::empty());
    set.context(|| "set trusted.overlay.opaque")?;
    Ok(Change::Added)
}

/// Removes the file or tree `hidden`, if it exists. `TreeWriter` writes the mark of an opaque
/// directory before the directory's own files, so the mark removes everything in the directory.
#[cfg(feature = "build")]
fn remove_hidden(parent: BorrowedFd<'_>, hidden: &[u8]) -> Result<Change> {
    let mut names = vec![hidden.to_vec()];
    if hidden == &OPAQUE[WHITEOUT.len()..] {
        let entries = rustix::fs::Dir::read_from(parent)?;
        let name = |entry: rustix::fs::DirEntry| entry.file_name().to_bytes().to_vec();
        names = entries.map(|entry| entry.map(name)).collect::<Result<_, _>>()?;
        names.retain(|name| !matches!(&**name, b"." | b".."));
    }
    for name in &names {
        match remove_at(parent, OsStr::from_bytes(name)) {
            Err(Errno::NOENT) => {}
            removed => removed.context(|| format!("remove '{}'", shortened(name)))?,
        }
    }
    Ok(Change::Replaced)
}

/// Writes the entry's data and leaves out its holes.
fn write_data(
    file: BorrowedFd<'_>,
    path: &[u8],
    entry: &Entry,
    reader: &mut Input<'_, '_>,
) -> Result<()> {
    let Some(map) = &entry.sparse else {
        reader.input().copied(path, 0, entry.size);
        loop {
            let piece = reader.data()?;
            if piece.is_empty() {
                return Ok(());
            }
            let count = write(file, piece)?;
            reader.consume(count);
        }
    };
    ftruncate(file, entry.size)?;
    for extent in map {
        let (mut offset, mut left) = (extent.offset, extent.length);
        reader.input().copied(path, offset, left);
        while left > 0 {
            let piece = reader.data()?;
            let piece = &piece[..piece.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
            let count = pwrite(file, piece, offset)?;
            reader.consume(count);
            offset += count as u64;
            left -= count as u64;
        }
    }
    Ok(())
}

#[cfg(test)]
mod hostile;

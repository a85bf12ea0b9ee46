//! Writes a tree of files as a tar, such as a container's changes for `commit`, a whole root for
//! `export`, or the files of `cp`.
//!
//! The names in a directory are in byte order, so that the same tree gives the same archive.
//! Directories are opened relative to open directories, and no link is followed: a container that
//! renames and links during the walk can spoil its own archive, but can't lead the walk outside. If
//! a file has several names, the first name gets the data, and the others become hard links to it.
//! A tree's sockets are left out, because a tar can't hold them. A directory can have any size. A
//! tree can have any depth, as long as its paths have at most `tar::MAX_PATH` bytes.

use std::ffi::OsStr;
use std::fs::File;
#[cfg(feature = "build")]
use std::io::Sink;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, SeekFrom, Stat, fgetxattr, flistxattr, fstat, getxattr,
    listxattr, major, minor, openat, readlinkat, seek, statat,
};
use rustix::io::Errno;

#[cfg(feature = "build")]
use super::Hashing;
use super::attributes::is_overlays;
use super::kernel_files::{is_kernel_file, unsized_contents};
use super::tar::{Entry, Extent, Kind, Writer, check_name};
use crate::chmod::ModeChange;
use crate::error::{Context, Result, fail, shortened};
use crate::order;
use crate::runtime::ids::IdMap;
use crate::store::walk::{DIRECTORY, Descent, Links, Names};
use crate::sys::beneath;

/// The kernel's default overflow ID (proc_sys_kernel(5)).
const NOBODY: u32 = 65534;
const BUFFER: usize = 256 << 10;
/// Shorter holes between data are written as zeroes, because a map of holes takes a kilobyte.
const MIN_HOLE: u64 = 64 << 10;
/// The longest value of an attribute, and the longest list of attribute names, in bytes (xattr(7)).
const MAX_XATTR: usize = 64 << 10;

/// How overlayfs's marks in the tree appear in the archive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A tree without marks: a device 0:0 stays a device.
    Plain,
    /// An overlay's upper or lower directory: whiteouts become the layer format's `.wh.NAME`, and
    /// opaque directories get its `.wh..wh..opq`.
    Layer,
}

/// When the archive has an entry `./` for the tree's own directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Top {
    /// Always, because the directory's mode, owner and time are part of the tree.
    Always,
    /// Only if the directory does not belong to root, or if its mode is not 0755. A directory
    /// without an entry is unpacked with owner root and mode 0755.
    Unusual,
}

/// The attributes that entries get in place of their files' own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    pub owner: Option<(u32, u32)>,
    /// A change of the permission bits of everything but symbolic links.
    pub mode: Option<ModeChange>,
    /// Times after this time become this time, in seconds since 1970.
    pub latest: Option<i64>,
    /// All times become this time, in seconds since 1970.
    pub time: Option<i64>,
}

/// Returns whether the archive leaves out the file or tree with the given path.
pub type Skip<'a> = &'a (dyn Fn(&[u8]) -> bool + Sync);

/// An observer of the files that are written to an archive. Whiteouts, opaque marks and the entry
/// of the tree's own directory are not reported.
pub trait Watch {
    /// An entry for `name` in `parent` comes next. The file has the attributes `stat`.
    fn entry(&self, parent: BorrowedFd<'_>, name: &OsStr, stat: &Stat, entry: &Entry)
    -> Result<()>;
    /// The archive gets no entry for `name` in `parent`.
    fn skipped(&self, parent: BorrowedFd<'_>, name: &OsStr) -> Result<()>;
    /// The data of a file of `size` bytes, including its holes, come next. Not called for the files
    /// of `unsized_contents`, such as empty files.
    fn file(&self, size: u64);
    /// The next `length` bytes of the archive are those of the file `path` from `offset` on.
    fn contents(&self, path: &[u8], offset: u64, length: u64);
}

/// A second archive of a tree, of which only the digest is computed. Times do not change the
/// digest. Owners change the digest only if `owner` is `None`.
#[cfg(feature = "build")]
pub struct ContentArchive<'a> {
    writer: Writer<&'a mut dyn Write>,
    owner: Option<(u32, u32)>,
    /// The name that every entry gets, if the tree is a single file.
    name: Option<&'a [u8]>,
}

#[cfg(feature = "build")]
impl<'a> ContentArchive<'a> {
    /// Returns an archive that writes its bytes to `hashing`.
    pub fn new(
        hashing: &'a mut Hashing<Sink>,
        owner: Option<(u32, u32)>,
        name: Option<&'a [u8]>,
    ) -> ContentArchive<'a> {
        ContentArchive { writer: Writer::new(hashing), owner, name }
    }

    fn begin(&mut self, entry: &Entry) -> Result<()> {
        let mut entry = Entry { mtime: (0, 0), ..entry.clone() };
        (entry.uid, entry.gid) = self.owner.unwrap_or((entry.uid, entry.gid));
        if let Some(name) = self.name {
            entry.path = name.to_vec();
        }
        self.writer.begin(&entry)
    }
}

/// Writes the contents of `root` as one archive. `ids` is the mapping of the user namespace that
/// owns the tree.
pub fn archive_tree(
    root: BorrowedFd<'_>,
    ids: Option<IdMap>,
    output: &mut dyn Write,
) -> Result<()> {
    // `root` may be an O_PATH descriptor, which can't be read.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(root, ".", flags, Mode::empty())?;
    let mut writer = Writer::new(output);
    TreeWriter::new(&mut writer, Form::Plain).mapped(ids).contents(root.as_fd())?;
    writer.finish().map(drop)
}

/// Writes trees to one archive.
pub struct TreeWriter<'a, W> {
    writer: &'a mut Writer<W>,
    form: Form,
    skip: Skip<'a>,
    /// The ID mapping of the user namespace that the tree belongs to.
    ids: Option<IdMap>,
    overrides: Overrides,
    watch: Option<&'a dyn Watch>,
    #[cfg(feature = "build")]
    content: Option<ContentArchive<'a>>,
    links: Links,
    buffer: Vec<u8>,
    /// The device number of the directory that was entered last. The walk never enters a directory
    /// of the kernel's own file systems.
    device: Option<u64>,
}

impl<'a, W: Write> TreeWriter<'a, W> {
    /// Returns a writer of trees into the archive of `writer`.
    pub fn new(writer: &'a mut Writer<W>, form: Form) -> TreeWriter<'a, W> {
        TreeWriter {
            writer,
            form,
            skip: &|_| false,
            ids: None,
            overrides: Overrides::default(),
            watch: None,
            #[cfg(feature = "build")]
            content: None,
            links: Links::default(),
            buffer: vec![0; BUFFER],
            device: None,
        }
    }

    /// Writes the second archive `content` too.
    #[cfg(feature = "build")]
    pub fn hashing_content(mut self, content: Option<ContentArchive<'a>>) -> TreeWriter<'a, W> {
        self.content = content;
        self
    }

    /// Ends the second archive. The caller ends the first archive by `Writer::finish`.
    #[cfg(feature = "build")]
    pub fn finish_content(self) -> Result<()> {
        self.content.map_or(Ok(()), |content| content.writer.finish().map(drop))
    }

    fn begin(&mut self, entry: &Entry) -> Result<()> {
        #[cfg(feature = "build")]
        if let Some(content) = &mut self.content {
            content.begin(entry)?;
        }
        self.writer.begin(entry)
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        #[cfg(feature = "build")]
        if let Some(content) = &mut self.content {
            content.writer.data(bytes)?;
        }
        self.writer.data(bytes)
    }

    /// Reports the files that go into the archive to `watch`.
    #[cfg(feature = "build")]
    pub fn watched(mut self, watch: &'a dyn Watch) -> TreeWriter<'a, W> {
        self.watch = Some(watch);
        self
    }

    /// Leaves out the files and trees for which `skip` returns true.
    pub fn skipping(mut self, skip: Skip<'a>) -> TreeWriter<'a, W> {
        self.skip = skip;
        self
    }

    /// Replaces the owners' host IDs by their IDs inside the tree's user namespace.
    pub fn mapped(mut self, ids: Option<IdMap>) -> TreeWriter<'a, W> {
        self.ids = ids;
        self
    }

    /// Applies `overrides` to all entries except whiteouts and opaque marks.
    pub fn overriding(mut self, overrides: Overrides) -> TreeWriter<'a, W> {
        self.overrides = overrides;
        self
    }

    /// Writes the entry of the directory `top` itself, if `wanted` requires it.
    pub fn top(&mut self, top: BorrowedFd<'_>, wanted: Top) -> Result<()> {
        let stat = fstat(top)?;
        let is_usual = (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid) == (0o755, 0, 0);
        if is_usual && wanted == Top::Unusual {
            return Ok(());
        }
        self.begin(&self.described(&stat, Kind::Directory, b"./"))
    }

    /// Writes the contents of the directory `top`, without its own entry. Fails if the kernel
    /// generates the directory.
    pub fn contents(&mut self, top: BorrowedFd<'_>) -> Result<()> {
        refuse_kernels(top)?;
        self.device = Some(fstat(top)?.st_dev);
        self.below(openat(top, ".", DIRECTORY, Mode::empty())?, &mut Vec::new())
    }

    /// Writes the file behind `handle` as `path` in the archive. A directory is written with its
    /// contents. Fails for a socket, and for a directory that the kernel generates.
    pub fn object(&mut self, handle: BorrowedFd<'_>, path: &[u8]) -> Result<()> {
        let stat = fstat(handle)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let directory = openat(handle, ".", flags, Mode::empty())?;
                refuse_kernels(directory.as_fd())?;
                self.device = Some(stat.st_dev);
                let mut path = path.to_vec();
                self.directory(directory.as_fd(), &stat, &mut path)?;
                self.below(directory, &mut path)
            }
            FileType::RegularFile => {
                // A handle's magic link in /proc/self/fd leads to exactly the handle's inode. Open
                // without blocking, because a file of /proc may wait for an event.
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let own = format!("/proc/self/fd/{}", handle.as_raw_fd());
                let file = openat(CWD, own, flags, Mode::empty()).map_err(beneath::open_error)?;
                self.file(file, path)
            }
            file_type => match special(file_type) {
                Some(kind) => self.special(handle, self.described(&stat, kind, path)),
                None => fail!("a socket can't be copied"),
            },
        }
    }

    /// Writes the contents of the directory `top`, whose path is `path`.
    fn below(&mut self, top: OwnedFd, path: &mut Vec<u8>) -> Result<()> {
        let (mut descent, mut names) = (Descent::new(top), Names::default());
        // The lengths of the paths of the current directory and of its parents.
        let mut lengths = vec![path.len()];
        names.enter();
        while let Some(&length) = lengths.last() {
            path.truncate(length);
            let next = names.next(&[descent.current()]);
            let Some(name) = next.context(|| format!("read directory '{}'", shortened(path)))?
            else {
                lengths.pop();
                if names.leave() {
                    descent.up().context(|| format!("archive '{}'", shortened(path)))?;
                }
                continue;
            };
            path.extend_from_slice(name.to_bytes());
            let name = OsStr::from_bytes(name.to_bytes());
            match self.entry(descent.current(), name, path) {
                Ok(None) => {}
                Ok(Some(directory)) => {
                    descent.down(directory)?;
                    lengths.push(path.len());
                    names.enter();
                }
                // The file was removed after the directory was read.
                Err(error) if error.errno() == Some(Errno::NOENT) => {}
                Err(error) => {
                    return Err(error).context(|| format!("archive '{}'", shortened(path)));
                }
            }
        }
        Ok(())
    }

    /// Whether the directory's contents belong to the archive. The contents of the kernel's own
    /// file systems do not.
    fn goes_into(&mut self, directory: BorrowedFd<'_>) -> Result<bool> {
        let device = fstat(directory)?.st_dev;
        if self.device != Some(device) {
            if is_kernel_file(directory)? {
                return Ok(false);
            }
            self.device = Some(device);
        }
        Ok(true)
    }

    /// Writes one entry, or nothing for a socket or a file that `skip` leaves out. If the entry is
    /// a directory, returns this directory, whose contents come next. For a directory that the
    /// kernel generates, returns `None`: the directory is empty in the archive.
    fn entry(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &mut Vec<u8>,
    ) -> Result<Option<OwnedFd>> {
        check_name(path)?;
        if (self.skip)(path) {
            return self.skipped(parent, name);
        }
        let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            file_type => match special(file_type) {
                Some(kind) => kind,
                None => return self.skipped(parent, name),
            },
        };
        if self.form == Form::Layer {
            if name.as_bytes().starts_with(b".wh.") {
                fail!("a name that starts with .wh. means a deletion in a layer");
            }
            if kind == Kind::Character && stat.st_rdev == 0 {
                let at = path.len() - name.len();
                let whiteout = [&path[..at], b".wh.", name.as_bytes()].concat();
                return self.begin(&Entry::empty(&whiteout, Kind::File)).map(|()| None);
            }
        }
        let entry = self.described(&stat, kind, path);
        if let Some(watch) = self.watch {
            watch.entry(parent, name, &stat, &entry)?;
        }
        if kind != Kind::Directory
            && stat.st_nlink > 1
            && let Some(link) = self.links.first_path(&stat, path)?
        {
            let link = Entry { kind: Kind::Hardlink, link, size: 0, ..entry };
            return self.begin(&link).map(|()| None);
        }
        match kind {
            Kind::Directory => {
                let directory = openat(parent, name, DIRECTORY, Mode::empty())?;
                self.directory(directory.as_fd(), &stat, path)?;
                return self.goes_into(directory.as_fd()).map(|goes| goes.then_some(directory));
            }
            Kind::File => {
                // Open without blocking, because the file may have become a fifo.
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file =
                    openat(parent, name, flags, Mode::empty()).map_err(beneath::open_error)?;
                self.file(file, path)?;
            }
            _ => {
                let handle = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let handle = openat(parent, name, handle, Mode::empty())?;
                self.special(handle.as_fd(), entry)?;
            }
        }
        Ok(None)
    }

    fn skipped(&self, parent: BorrowedFd<'_>, name: &OsStr) -> Result<Option<OwnedFd>> {
        self.watch.map_or(Ok(()), |watch| watch.skipped(parent, name)).map(|()| None)
    }

    fn described(&self, stat: &Stat, kind: Kind, path: &[u8]) -> Entry {
        let mut entry = entry(stat, kind, path);
        if let Some(ids) = &self.ids {
            // An owner without an ID in the container is `nobody` there.
            entry.uid = ids.container_uid(entry.uid).unwrap_or(NOBODY);
            entry.gid = ids.container_gid(entry.gid).unwrap_or(NOBODY);
        }
        let Overrides { owner, mode, latest, time } = self.overrides;
        (entry.uid, entry.gid) = owner.unwrap_or((entry.uid, entry.gid));
        if let Some(mode) = mode
            && kind != Kind::Symlink
        {
            entry.mode = mode.apply(entry.mode, kind == Kind::Directory);
        }
        entry.mtime.0 = entry.mtime.0.min(latest.unwrap_or(i64::MAX));
        if let Some(time) = time {
            entry.mtime = (time, 0);
        }
        entry
    }

    /// Writes a symbolic link, a device or a fifo.
    fn special(&mut self, handle: BorrowedFd<'_>, mut entry: Entry) -> Result<()> {
        if entry.kind == Kind::Symlink {
            entry.link = readlinkat(handle, "", Vec::new())?.into_bytes();
        }
        entry.xattrs = xattrs_of_handle(handle)?;
        self.begin(&entry)
    }

    /// Writes the entry of a directory. In a layer, also writes the mark of an opaque directory.
    fn directory(
        &mut self,
        directory: BorrowedFd<'_>,
        stat: &Stat,
        path: &mut Vec<u8>,
    ) -> Result<()> {
        if !path.ends_with(b"/") {
            path.push(b'/');
        }
        let mut entry = self.described(stat, Kind::Directory, path);
        let xattrs = all_xattrs(directory)?;
        let opaque = xattrs.iter().any(|(name, value)| {
            name == b"trusted.overlay.opaque" && value == b"y" && self.form == Form::Layer
        });
        entry.xattrs = without_overlays(xattrs);
        self.begin(&entry)?;
        if opaque {
            let path = [path.as_slice(), b".wh..wh..opq"].concat();
            self.begin(&Entry::empty(&path, Kind::File))?;
        }
        Ok(())
    }

    fn file(&mut self, file: OwnedFd, path: &[u8]) -> Result<()> {
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            fail!("its type changed while it was read");
        }
        let mut entry = self.described(&stat, Kind::File, path);
        entry.xattrs = without_overlays(all_xattrs(file.as_fd())?);
        let file = File::from(file);
        if let Some(contents) = unsized_contents(&file, &stat)? {
            entry.size = contents.len() as u64;
            self.begin(&entry)?;
            return self.data(&contents);
        }
        // Look for holes only if the file's blocks hold fewer bytes than its size.
        if (stat.st_blocks as u64) * 512 < entry.size {
            entry.sparse = extents(file.as_fd(), entry.size)?;
        }
        self.begin(&entry)?;
        if let Some(watch) = self.watch {
            watch.file(entry.size);
        }
        match &entry.sparse {
            None => self.copy(&file, path, 0, entry.size),
            Some(extents) => {
                extents.iter().try_for_each(|at| self.copy(&file, path, at.offset, at.length))
            }
        }
    }

    fn copy(&mut self, file: &File, path: &[u8], offset: u64, length: u64) -> Result<()> {
        if let Some(watch) = self.watch {
            watch.contents(path, offset, length);
        }
        // Take the buffer out, because `data` borrows all of `self`.
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut done = 0;
        while done < length {
            let wanted = BUFFER.min(usize::try_from(length - done).unwrap_or(usize::MAX));
            let mut count = file.read_at(&mut buffer[..wanted], offset + done)?;
            if count == 0 {
                // The file became shorter: the archive gets zeroes for the rest of this piece.
                buffer[..wanted].fill(0);
                count = wanted;
            }
            self.data(&buffer[..count])?;
            done += count as u64;
        }
        self.buffer = buffer;
        Ok(())
    }
}

/// Fails for a directory that the kernel generates. `kernel_files` explains why.
fn refuse_kernels(directory: BorrowedFd<'_>) -> Result<()> {
    if is_kernel_file(directory)? {
        fail!("the kernel generates this directory; copy single files from it");
    }
    Ok(())
}

fn special(file_type: FileType) -> Option<Kind> {
    match file_type {
        FileType::Symlink => Some(Kind::Symlink),
        FileType::CharacterDevice => Some(Kind::Character),
        FileType::BlockDevice => Some(Kind::Block),
        FileType::Fifo => Some(Kind::Fifo),
        _ => None,
    }
}

fn entry(stat: &Stat, kind: Kind, path: &[u8]) -> Entry {
    Entry {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: (stat.st_mtime, 0),
        size: if kind == Kind::File { stat.st_size as u64 } else { 0 },
        device: match kind {
            Kind::Character | Kind::Block => (major(stat.st_rdev), minor(stat.st_rdev)),
            _ => (0, 0),
        },
        ..Entry::empty(path, kind)
    }
}

fn xattrs_of_handle(handle: BorrowedFd<'_>) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let list = |buffer: &mut [u8]| listxattr(&path, buffer);
    let get = |name: &OsStr, buffer: &mut [u8]| getxattr(&path, name, buffer);
    xattrs(list, get).map(without_overlays)
}

fn all_xattrs(file: BorrowedFd<'_>) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    xattrs(|buffer| flistxattr(file, buffer), |name, buffer| fgetxattr(file, name, buffer))
}

/// Returns all extended attributes, sorted by name. SELinux's labels are left out, because they
/// belong to the host.
fn xattrs(
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    get: impl Fn(&OsStr, &mut [u8]) -> Result<usize, Errno>,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut names = [0; 1024];
    let (mut large, names) = match list(&mut names) {
        // Most files have no attributes, and some file systems don't support them.
        Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Ok(length) => (Vec::new(), names[..length].to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; MAX_XATTR];
            let length = list(&mut large)?;
            let names = large[..length].to_vec();
            (large, names)
        }
        Err(error) => return Err(error).context(|| "list the attributes"),
    };
    large.resize(MAX_XATTR, 0);
    let mut xattrs = Vec::new();
    for name in names.split(|&byte| byte == 0) {
        if name.is_empty() || name == b"security.selinux" {
            continue;
        }
        match get(OsStr::from_bytes(name), &mut large) {
            Ok(length) => xattrs.push((name.to_vec(), large[..length].to_vec())),
            // The attribute was removed after it was listed.
            Err(Errno::NODATA) => {}
            Err(error) => {
                return Err(error).context(|| format!("attribute {}", name.escape_ascii()));
            }
        }
    }
    order::sort(&mut xattrs);
    Ok(xattrs)
}

fn without_overlays(mut xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<(Vec<u8>, Vec<u8>)> {
    xattrs.retain(|(name, _)| !is_overlays(name));
    xattrs
}

/// Returns the positions of the file's data (lseek(2), SEEK_DATA). Returns `None` if the holes
/// together have fewer than `MIN_HOLE` bytes, or if the file system can't report holes.
fn extents(file: BorrowedFd<'_>, size: u64) -> Result<Option<Vec<Extent>>> {
    let mut extents: Vec<Extent> = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match seek(file, SeekFrom::Data(at)) {
            // The rest of the file is a hole.
            Err(Errno::NXIO) => break,
            // The file system can't report holes.
            Err(Errno::INVAL | Errno::NOTSUP) => return rewound(file, None),
            result => result?,
        };
        let end = seek(file, SeekFrom::Hole(start))?.min(size);
        match extents.last_mut() {
            Some(last) if start < last.offset + last.length + MIN_HOLE => {
                last.length = end - last.offset;
            }
            _ if end > start => extents.push(Extent { offset: start, length: end - start }),
            _ => {}
        }
        at = end.max(at + 1);
    }
    // If a file ends with a hole, GNU tar ends the map with an empty extent at the file's end.
    if extents.last().is_none_or(|last| last.offset + last.length < size) {
        extents.push(Extent { offset: size, length: 0 });
    }
    let data: u64 = extents.iter().map(|extent| extent.length).sum();
    rewound(file, (size - data >= MIN_HOLE).then_some(extents))
}

fn rewound<T>(file: BorrowedFd<'_>, value: T) -> Result<T> {
    seek(file, SeekFrom::Start(0))?;
    Ok(value)
}

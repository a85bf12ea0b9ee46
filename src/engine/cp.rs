//! `cp`: copies files between the host and a container, by Docker's rules.
//!
//! The roots of the host and of the container are open descriptors, and each path is resolved below
//! one of the two (`sys::beneath`). So a container that changes its links during the copy cannot
//! redirect a path to the host's files (CVE-2018-15664). No program or library of the container is
//! executed or loaded (CVE-2019-14271). If the container's whole root is copied, /dev, /proc and
//! /sys become empty directories, as in Docker, because the kernel's files are mounted there.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use super::Engine;
use super::options::{CopyOptions, Place};
use super::output::Output;
use super::root::OpenRoot;
use crate::container::events;
use crate::error::{Context, Result, fail};
use crate::image::CopyRules;
use crate::image::copy::{Original, Skip, copy, pack, unpack_stream};
use crate::raw;
use crate::runtime::user_namespace;
use crate::sys::beneath;
use crate::sys::stdio::stdin;

/// Directories of a container's root that are copied without their contents.
const KERNEL_DIRECTORIES: [&[u8]; 3] = [b"dev", b"proc", b"sys"];

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Engine {
    /// Copies between a container and the host or a stream:
    ///
    /// ```text
    ///                      DEST is missing    is a file   is a directory
    /// SRC is a file        DEST is the copy   replaced    the copy goes into it
    /// SRC is a directory   DEST is the copy   refused     the copy goes into it
    /// SRC/.                DEST is the copy   refused     the contents of SRC go into it
    /// ```
    /// A path that ends with a slash or `/.` must be a directory; DEST may also be missing if SRC
    /// is a directory. The parent of DEST must exist. If SRC is a stream, DEST must be a directory.
    /// If SRC is a link, the link itself is copied, unless `-L` is given or SRC ends with a slash
    /// or `/.`. If DEST is a link, `cp` follows the link.
    pub fn cp(&self, options: &CopyOptions) -> Result<()> {
        let container = match (&options.from, &options.to) {
            (Place::Container { .. }, Place::Container { .. }) => {
                fail!("copying between containers is not supported; copy to the host first")
            }
            (Place::Container { name, .. }, _) | (_, Place::Container { name, .. }) => name,
            _ => fail!("one side must be CONTAINER:PATH"),
        };
        let record = self.record(container)?;
        // Open the host's root now, before anything changes this process's root.
        let host = openat(CWD, "/", DIRECTORY, Mode::empty()).context(|| "open /")?;
        let open = self.open_root(&record);
        let open: OpenRoot = self.unless_gone(&record.id, container, open)?;
        let (root, ids) = (open.root.as_fd(), open.ids);
        let action = match &options.to {
            Place::Container { .. } => "extract-to-dir",
            _ => "archive-path",
        };
        // As in Docker, the events include the mounts of the volumes, which the copy needs.
        let note = || {
            let mut noted = events::of_mounts(&record);
            noted.push(events::of(&record, action, &[]));
            noted.extend(events::of_unmounts(&record));
            self.note(&noted);
        };
        let mut is_noted = false;
        if let (Some(ids), Place::Container { .. }) = (&ids, &options.to) {
            // Write the events while this process still has the host's root user, because the write
            // may make the journal's file.
            note();
            is_noted = true;
            // The copies must belong to users of the container, so create them as the container's
            // root user.
            user_namespace::become_builder(&(*ids).into())?;
        }
        let owner = (!options.archive).then_some((0, 0));
        let copied = match (&options.from, &options.to) {
            (Place::Stream, Place::Container { path, .. }) => {
                let Some(into) = existing_directory(root, path)? else {
                    fail!("{path} does not exist in the container, or is not a directory")
                };
                let mut stdin = stdin();
                // The archive in the stream names the owners of its files.
                unpack_stream(&mut stdin, root, CopyRules { into, owner: None, ids })
            }
            (Place::Container { path, .. }, Place::Stream) => {
                let source = Source::find(root, path, options.follow)?;
                let mut output = Output::open(None)?;
                let name = Some(source.name.as_slice()).filter(|_| !source.contents);
                let skip = source.skip_kernel_files(root, name)?;
                let skip: Skip<'_> = &|path| skip(path);
                let handle = source.handle.as_fd();
                pack(&Original { ids, skip, ..Original::new(handle, name) }, &mut output)
                    .context(|| format!("copy {path}"))?;
                output.finish()
            }
            (Place::Container { path, .. }, Place::Host(target)) => {
                let source = Source::find(root, path, options.follow)?;
                let target = absolute(target)?;
                let (into, name) = source.goes_to(host.as_fd(), &target)?;
                // Resolve the paths of the copies below `into`, so that no copied link can lead out
                // of this directory.
                let into = into.as_slice();
                let into = beneath::open(host.as_fd(), os_path(into), DIRECTORY, Mode::empty())?;
                let name = name.as_deref();
                let skip = source.skip_kernel_files(root, name)?;
                let skip: Skip<'_> = &|path| skip(path);
                let handle = source.handle.as_fd();
                let original = Original { ids, skip, ..Original::new(handle, name) };
                copy(&original, into.as_fd(), CopyRules { into: Vec::new(), owner, ids: None })
                    .context(|| format!("copy {path}"))
            }
            (Place::Host(path), Place::Container { path: target, .. }) => {
                let source = Source::find(host.as_fd(), &absolute(path)?, options.follow)?;
                let (into, name) = source.goes_to(root, target)?;
                let (name, skip) = (name.as_deref(), &|_: &[u8]| false);
                let handle = source.handle.as_fd();
                let original = Original { skip, ..Original::new(handle, name) };
                copy(&original, root, CopyRules { into, owner, ids })
                    .context(|| format!("copy {path}"))
            }
            _ => fail!("one side must be CONTAINER:PATH"),
        };
        if copied.is_ok() && !is_noted {
            note();
        }
        copied
    }
}

/// The source of a copy.
struct Source {
    handle: OwnedFd,
    name: Vec<u8>,
    is_directory: bool,
    /// True if the source is a directory of which only the contents are copied.
    contents: bool,
}

impl Source {
    fn find(root: BorrowedFd<'_>, path: &str, follow: bool) -> Result<Source> {
        let typed = Typed::new(path);
        let mut flags = OFlags::PATH;
        if !follow && !typed.directory {
            flags |= OFlags::NOFOLLOW;
        }
        let handle = match beneath::open(root, &typed.path(), flags, Mode::empty()) {
            Err(Errno::NOENT) => fail!("no such file or directory: {path}"),
            result => result.context(|| format!("open {path}"))?,
        };
        let is_directory = is_directory(&handle)?;
        if typed.directory && !is_directory {
            fail!("not a directory: {path}");
        }
        let name = typed.path.rsplit('/').next().unwrap_or_default().to_owned();
        // The paths `/` and `.`, and paths that end in `..`, have no name for the copy.
        let nameless = matches!(name.as_str(), "" | "." | "..");
        let name = raw::decode(&name).into_owned();
        Ok(Source { handle, is_directory, contents: typed.contents || nameless, name })
    }

    /// Returns a function that reports whether a path in the archive is below one of
    /// `KERNEL_DIRECTORIES`, so that the copy skips it. This applies only if the source is the
    /// container's root. `name` is the source's name in the archive.
    fn skip_kernel_files(
        &self,
        root: BorrowedFd<'_>,
        name: Option<&[u8]>,
    ) -> Result<impl Fn(&[u8]) -> bool + Sync> {
        let (source, root) = (fstat(&self.handle)?, fstat(root)?);
        let is_root = (source.st_dev, source.st_ino) == (root.st_dev, root.st_ino);
        let top = name.map_or(Vec::new(), |name| [name, b"/"].concat());
        Ok(move |path: &[u8]| {
            let Some(path) = path.strip_prefix(top.as_slice()).filter(|_| is_root) else {
                return false;
            };
            KERNEL_DIRECTORIES.iter().any(|directory| {
                path.strip_prefix(*directory).is_some_and(|below| below.starts_with(b"/"))
            })
        })
    }

    /// Returns the directory below `root` into which the copy goes, and the copy's name there.
    /// Without a name, the source's contents are copied.
    fn goes_to(&self, root: BorrowedFd<'_>, target: &str) -> Result<(Vec<u8>, Option<Vec<u8>>)> {
        if let Some(directory) = existing_directory(root, target)? {
            let name = Some(self.name.clone()).filter(|_| !self.contents);
            return Ok((directory, name));
        }
        let typed = Typed::new(target);
        let place = beneath::resolve_last(root, &typed.path());
        let place = match place {
            Err(Errno::NOENT | Errno::NOTDIR) => {
                fail!("no such directory: the parent of {target}")
            }
            place => place.context(|| format!("resolve {target}"))?,
        };
        let exists = match beneath::open(root, &place, OFlags::PATH, Mode::empty()) {
            Ok(_) => true,
            Err(Errno::NOENT) => false,
            Err(error) => return Err(error).context(|| format!("open {target}")),
        };
        if self.is_directory && exists {
            fail!("a directory can't be copied to a file: {target}");
        }
        if typed.directory && (exists || !self.is_directory) {
            fail!("no such directory: {target}");
        }
        let (above, name) = (place.parent(), place.file_name());
        let (Some(above), Some(name)) = (above, name) else { fail!("no such directory: {target}") };
        match beneath::open(root, above, DIRECTORY, Mode::empty()) {
            Ok(_) => Ok((plain(above), Some(name.as_bytes().to_vec()))),
            Err(_) => fail!("no such directory: {}", above.display()),
        }
    }
}

/// A path as the user typed it.
struct Typed {
    /// The path without slashes or `/.` at its end; empty for `/` and `.`.
    path: String,
    /// True if the path must be a directory.
    directory: bool,
    /// True if the path ends in `/.` or is `.`: only the contents are meant.
    contents: bool,
}

impl Typed {
    fn new(path: &str) -> Typed {
        let bare = path.strip_suffix("/.").or((path == ".").then_some(""));
        let contents = bare.is_some();
        let bare = bare.unwrap_or(path);
        let trimmed = bare.trim_end_matches('/');
        let directory = contents || trimmed.len() < bare.len();
        Typed { path: trimmed.to_owned(), directory, contents }
    }

    fn path(&self) -> Cow<'_, Path> {
        raw::path(&self.path)
    }
}

/// Returns the path of an existing directory without a slash at its start, or `None` if the path is
/// no directory.
fn existing_directory(root: BorrowedFd<'_>, path: &str) -> Result<Option<Vec<u8>>> {
    let typed = Typed::new(path);
    match beneath::open(root, &typed.path(), DIRECTORY, Mode::empty()) {
        Ok(_) => Ok(Some(plain(&typed.path()))),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error).context(|| format!("open {path}")),
    }
}

fn plain(path: &Path) -> Vec<u8> {
    let bytes = path.as_os_str().as_bytes();
    let start = bytes.iter().position(|&byte| byte != b'/').unwrap_or(bytes.len());
    bytes[start..].to_vec()
}

fn os_path(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}

fn is_directory(handle: &OwnedFd) -> Result<bool> {
    Ok(FileType::from_raw_mode(fstat(handle)?.st_mode) == FileType::Directory)
}

/// Returns the absolute path. A slash or `/.` at its end stays.
fn absolute(path: &str) -> Result<String> {
    if path.starts_with('/') {
        return Ok(path.to_owned());
    }
    let here = std::env::current_dir().context(|| "find the working directory")?;
    // `join` keeps `x/.` and `x/`. A path `.` means the contents of the working directory.
    Ok(raw::encode_path(&here.join(raw::path(path))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_or_dot_at_the_end_of_a_path_has_a_meaning() {
        for (path, bare, directory, contents) in [
            ("a/b", "a/b", false, false),
            ("a/b/", "a/b", true, false),
            ("a/b/.", "a/b", true, true),
            ("/", "", true, false),
            ("/.", "", true, true),
            (".", "", true, true),
            ("a/..", "a/..", false, false),
        ] {
            let typed = Typed::new(path);
            let got = (typed.path.as_str(), typed.directory, typed.contents);
            assert_eq!(got, (bare, directory, contents), "{path}");
        }
    }
}

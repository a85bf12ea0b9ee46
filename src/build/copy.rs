//! COPY and ADD: writes files into the root of the image that is being built.
//!
//! The root is an overlay of the image's layers with an empty upper directory, which becomes the
//! new layer. Destinations are resolved below the root's descriptor, so that a link in the image
//! cannot lead out of the image. The packer and unpacker of `cp` write the files. This file finds
//! no sources: `context` does.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, fchmod, fchown, fstat};
use rustix::process::{Gid, Uid};

use super::context::{Source, Tree};
use super::ignore::Ignore;
use crate::chmod::ModeChange;
use crate::error::{Context, Result};
use crate::image::CopyRules;
use crate::image::copy::{Content, Original, Overrides, copy, copy_unpacked, is_archive};
use crate::raw;
use crate::runtime::user;
use crate::sys::beneath;

/// A copy from one tree, for a COPY or ADD. Files from an unpacked archive keep their owners, modes
/// and times, whatever the fields say.
#[derive(Clone, Copy)]
pub struct Copying<'a> {
    /// The tree that has the sources.
    pub tree: Tree<'a>,
    pub sources: &'a [Source],
    /// The patterns of `--exclude`.
    pub excludes: &'a Ignore,
    /// An absolute path in the image. With a slash at its end it is a directory.
    pub destination: &'a str,
    /// `--chown`: `user[:group]`.
    pub chown: Option<&'a str>,
    /// True if files without `chown` keep their owners, as files of a stage or an image do.
    /// Otherwise root owns them.
    pub keeps_owners: bool,
    /// `--chmod`; without it, files keep their modes.
    pub mode: Option<ModeChange>,
    /// The modification time of the files, in seconds since 1970. With `None`, files keep their
    /// times.
    pub time: Option<i64>,
    /// True if a source that is an archive is unpacked.
    pub unpacks: bool,
    /// Computes the digest of the copied files during the copy.
    pub content: Option<&'a Content>,
}

impl Copying<'_> {
    /// Copies all sources to the destination below `root`.
    pub fn run(&self, root: BorrowedFd<'_>) -> Result<()> {
        let owner = self.chown.map(|text| owner(root, text)).transpose()?;
        let owner = owner.unwrap_or((0, 0));
        let is_slashed = self.destination.ends_with('/');
        let destination = raw::path(self.destination).into_owned();
        let destination = beneath::resolve_last(root, &destination).unwrap_or(destination);
        for source in self.sources {
            self.one(root, source, &destination, is_slashed, owner)
                .context(|| format!("copy '{}'", raw::encode(&source.path)))?;
        }
        Ok(())
    }

    fn one(
        &self,
        root: BorrowedFd<'_>,
        source: &Source,
        destination: &Path,
        is_slashed: bool,
        owner: (u32, u32),
    ) -> Result<()> {
        let unpacks = self.unpacks && !source.is_directory && self.is_archive(source)?;
        let is_directory = is_slashed
            || source.is_directory
            || unpacks
            || beneath::open(root, destination, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
                .is_ok();
        let parents;
        let (into, name) = if self.tree.parents {
            parents = self.parents(root, source, destination, owner)?;
            (parents.as_path(), Some(source.name().to_vec()))
        } else if is_directory {
            (destination, Some(source.name().to_vec()))
        } else {
            let name = destination.file_name().unwrap_or_default().as_bytes().to_vec();
            (destination.parent().unwrap_or(Path::new("/")), Some(name))
        };
        let name = name.filter(|_| !source.is_directory);
        make_directories(root, into, owner)?;
        let into = into.strip_prefix("/").unwrap_or(into).as_os_str().as_bytes().to_vec();
        let rules = CopyRules { into, owner: None, ids: None };
        let handle = source.handle.as_fd();
        let content = self.content.map(|content| (content, source.name()));
        if unpacks {
            // Read the file in the same way as `Tree::digest`, so that the digest is the same.
            let overrides = Overrides { mode: self.mode, ..Overrides::default() };
            let name = Some(source.name());
            let original = Original { overrides, content, ..Original::new(handle, name) };
            return copy_unpacked(&original, root, rules);
        }
        let skip =
            |entry: &[u8]| source.is_directory && self.tree.skips(source, entry, self.excludes);
        let overridden = Some(owner).filter(|_| !self.keeps_owners || self.chown.is_some());
        let overrides =
            Overrides { owner: overridden, mode: self.mode, time: self.time, latest: None };
        let name = name.as_deref();
        let original = Original { skip: &skip, overrides, content, ..Original::new(handle, name) };
        copy(&original, root, rules)
    }

    /// Makes the directories of `--parents` above a source, and the source itself if it is a
    /// directory. If such a directory is new, it gets the mode of the original, changed by
    /// `--chmod`. Returns the directory into which the source is copied.
    fn parents(
        &self,
        root: BorrowedFd<'_>,
        source: &Source,
        destination: &Path,
        owner: (u32, u32),
    ) -> Result<PathBuf> {
        make_directories(root, destination, owner)?;
        let (mut into, mut from) = (destination.to_owned(), PathBuf::new());
        from.push(OsStr::from_bytes(&source.path[..source.base]));
        let kept = Path::new(OsStr::from_bytes(&source.path[source.base..]));
        let kept = kept.strip_prefix("/").unwrap_or(kept);
        let directories = if source.is_directory { Some(kept) } else { kept.parent() };
        for component in directories.unwrap_or(Path::new("")) {
            into.push(component);
            from.push(component);
            let is_new = beneath::handle(root, &into).is_err();
            make_directories(root, &into, owner)?;
            if is_new {
                let stat = fstat(beneath::handle(self.tree.root, &from)?)?;
                let bits = stat.st_mode & 0o7777;
                let bits = self.mode.map_or(bits, |change| change.apply(bits, true));
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                let made = beneath::open(root, &into, flags, Mode::empty())?;
                if self.keeps_owners && self.chown.is_none() {
                    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
                    fchown(&made, Some(uid), Some(gid))?;
                }
                fchmod(&made, Mode::from_raw_mode(bits))?;
            }
        }
        Ok(into)
    }

    fn open(&self, source: &Source) -> Result<File> {
        let path = Path::new(OsStr::from_bytes(&source.path));
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        Ok(beneath::open(self.tree.root, path, flags, Mode::empty())?.into())
    }

    fn is_archive(&self, source: &Source) -> Result<bool> {
        let kind = FileType::from_raw_mode(fstat(&source.handle)?.st_mode);
        Ok(kind == FileType::RegularFile && is_archive(&mut self.open(source)?)?)
    }
}

/// Looks up `user[:group]` in the image's passwd(5) and group(5). A number without a group is both
/// the user ID and the group ID.
fn owner(root: BorrowedFd<'_>, text: &str) -> Result<(u32, u32)> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = if is_number { format!("{text}:{text}") } else { text.to_owned() };
    let user = user::look_up(root, &text, &[]).context(|| format!("--chown={text}"))?;
    Ok((user.uid, user.gid))
}

/// Makes a directory and its missing parents below `root`, with mode 0755. New directories belong
/// to `owner`, a user ID and a group ID.
pub fn make_directories(root: BorrowedFd<'_>, path: &Path, owner: (u32, u32)) -> Result<()> {
    let mut so_far = PathBuf::from("/");
    for component in path.components() {
        let Component::Normal(name) = component else { continue };
        so_far.push(name);
        let is_new = beneath::handle(root, &so_far).is_err();
        let made = beneath::make_dirs(root, &so_far, Mode::from_raw_mode(0o755))
            .context(|| format!("make the directory {}", so_far.display()))?;
        if is_new && owner != (0, 0) {
            let made =
                beneath::open(root, &so_far, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
            fchown(&made, Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)))?;
        }
        drop(made);
    }
    Ok(())
}

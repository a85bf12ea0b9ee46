//! The files that COPY, ADD and RUN --mount read: from a build context, from the root of a stage or
//! image, or from the directory of a heredoc or a download.
//!
//! The kernel resolves each source below the descriptor of the tree's root (openat2(2),
//! RESOLVE_IN_ROOT), so that a link in the context never leads out of the context. A pattern is
//! matched one directory level after the other. Files that `.dockerignore` excludes are not found.
//! This file copies nothing: `copy` and `mounts` do.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags, fstat};
use rustix::io::Errno;

use super::ignore::Ignore;
use crate::digest::Digest;
use crate::error::{Context, Result, fail};
use crate::glob::Glob;
use crate::image::Hashing;
use crate::image::copy::{Original, Overrides, pack};
use crate::order;
use crate::raw;
use crate::store;
use crate::suggest::nearest;
use crate::sys::beneath;

/// The most sources that one pattern may find.
const MAX_FOUND: usize = 100_000;

/// A tree of files that COPY, ADD or a mount reads from.
#[derive(Clone, Copy)]
pub struct Tree<'a> {
    /// The tree's top directory. Sources are resolved below it.
    pub root: BorrowedFd<'a>,
    /// The rules of `.dockerignore`; empty for a stage or an image.
    pub ignore: &'a Ignore,
    /// `--parents`: keep the directories above each source, and let `**` match any number of
    /// directories.
    pub parents: bool,
    /// The tree's name in errors, such as `build context`.
    pub from: &'a str,
}

/// One file or directory that a pattern found.
pub struct Source {
    /// The source, opened with `O_PATH`.
    pub handle: OwnedFd,
    /// The path relative to the tree's root, without a slash at its start.
    pub path: Vec<u8>,
    /// With `--parents`, the length of the part of `path` that the copy does not keep, in bytes.
    pub base: usize,
    pub is_directory: bool,
}

impl Source {
    /// The last component of the path.
    pub fn name(&self) -> &[u8] {
        self.path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
    }
}

impl Tree<'_> {
    /// Finds the sources of all patterns, except those that `excludes` names. Fails as `find` does,
    /// and if none of the patterns finds a source.
    pub fn find_all(&self, patterns: &[String], excludes: &Ignore) -> Result<Vec<Source>> {
        let mut sources = Vec::new();
        for pattern in patterns {
            sources.extend(self.find(pattern)?);
        }
        if sources.is_empty() && !patterns.is_empty() {
            fail!("'{}' matches no file of the {}", patterns.join(" "), self.from);
        }
        // The copy itself applies `excludes` to the contents of directories.
        sources.retain(|source| {
            let is_whole = !source.is_directory || self.parents;
            !is_whole || !excludes.excludes(self.kept(source))
        });
        Ok(sources)
    }

    /// Finds the sources of one pattern. A pattern with wildcards may find none. A path without
    /// wildcards that does not exist or is excluded is an error.
    pub fn find(&self, pattern: &str) -> Result<Vec<Source>> {
        // Each path, and the length of its part that `--parents` does not keep.
        let mut paths: Vec<(Vec<u8>, usize)> = vec![(Vec::new(), 0)];
        let (mut has_pattern, mut has_base) = (false, !self.parents);
        for (at, component) in pattern.split('/').enumerate() {
            match component {
                "." if !has_base && at > 0 => {
                    has_base = true;
                    paths.iter_mut().for_each(|(path, base)| *base = path.len());
                    continue;
                }
                "" | "." => continue,
                ".." => {
                    for (path, base) in &mut paths {
                        let cut = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                        path.truncate(cut);
                        *base = cut.min(*base);
                    }
                    continue;
                }
                _ => {}
            }
            let glob = Glob::of_path(component, false)?;
            if glob.is_literal() {
                let name = raw::decode(&component.replace('\\', "")).into_owned();
                paths.iter_mut().for_each(|(path, _)| push(path, &name));
                continue;
            }
            has_pattern = true;
            let mut found = Vec::new();
            for (path, base) in paths {
                if self.parents && component == "**" {
                    self.directories(path, base, &mut found)?;
                    continue;
                }
                for name in self.names(&path)? {
                    if glob.matches(&raw::encode(&name)) {
                        let mut path = path.clone();
                        push(&mut path, &name);
                        found.push((path, base));
                    }
                }
                check_count(&found, pattern)?;
            }
            paths = found;
        }
        let mut sources = Vec::new();
        for (path, base) in paths {
            match self.open(&path, base) {
                Ok(source) if !path.is_empty() && self.is_left_out(&source) => {}
                Ok(source) => sources.push(source),
                // A directory that a wildcard matched may lack the rest of the path. `missing`
                // reports a path without wildcards.
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => {
                    return Err(error).context(|| format!("open '{}'", raw::encode(&path)));
                }
            }
        }
        match (sources.is_empty(), has_pattern) {
            (false, _) => Ok(sources),
            // A user writes `package-lock.json*` for an optional file.
            (true, true) => Ok(sources),
            (true, false) => self.missing(pattern),
        }
    }

    /// Returns the file or directory at `path`, in which no character is a wildcard. Fails if it
    /// does not exist or is excluded.
    pub fn one(&self, path: &str) -> Result<Source> {
        let clean = crate::path::clean(&format!("/{path}"));
        let clean = raw::decode(clean.trim_start_matches('/')).into_owned();
        match self.open(&clean, 0) {
            Ok(source) if clean.is_empty() || !self.is_left_out(&source) => Ok(source),
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => {
                fail!("'{path}' is not in the {}", self.from)
            }
            Err(error) => Err(error).context(|| format!("open '{path}'")),
        }
    }

    /// Returns the error for a source that does not exist or is excluded.
    fn missing(&self, pattern: &str) -> Result<Vec<Source>> {
        if self.ignore.excludes(pattern.trim_start_matches(['.', '/']).as_bytes()) {
            fail!("'{pattern}' is not in the {}: .dockerignore excludes it", self.from);
        }
        let (parent, name) =
            pattern.trim_end_matches('/').rsplit_once('/').unwrap_or(("", pattern));
        let names = self.names(&raw::decode(parent))?;
        let names: Vec<String> = names.iter().map(|name| raw::encode(name)).collect();
        match nearest(name, names.iter().map(String::as_str)) {
            Some(near) if near == name => {
                fail!(
                    "'{pattern}' is not in the {}: it is a link that leads to nothing there",
                    self.from
                )
            }
            Some(near) => {
                fail!("'{pattern}' is not in the {}; did you mean '{near}'?", self.from)
            }
            None => fail!("'{pattern}' is not in the {}", self.from),
        }
    }

    /// Adds a directory and all directories below it to `found`. Links are not followed.
    fn directories(
        &self,
        path: Vec<u8>,
        base: usize,
        found: &mut Vec<(Vec<u8>, usize)>,
    ) -> Result<()> {
        let mut next = vec![path];
        while let Some(path) = next.pop() {
            for name in self.names(&path)? {
                let mut below = path.clone();
                push(&mut below, &name);
                if self.is_directory(&below) {
                    next.push(below);
                }
            }
            found.push((path, base));
            check_count(found, "**")?;
            if next.len() > MAX_FOUND {
                fail!("'**' finds more than {MAX_FOUND} files");
            }
        }
        Ok(())
    }

    fn open(&self, path: &[u8], base: usize) -> Result<Source, Errno> {
        let handle = beneath::handle(self.root, Path::new(OsStr::from_bytes(path)))?;
        let kind = FileType::from_raw_mode(fstat(&handle)?.st_mode);
        let is_directory = kind == FileType::Directory;
        Ok(Source { handle, path: path.to_vec(), base, is_directory })
    }

    fn is_left_out(&self, source: &Source) -> bool {
        if !self.ignore.excludes(&source.path) {
            return false;
        }
        !(source.is_directory && self.ignore.takes_back() && self.has_more(&source.path))
    }

    fn names(&self, path: &[u8]) -> Result<Vec<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let opened =
            beneath::open(self.root, Path::new(OsStr::from_bytes(path)), flags, Mode::empty());
        let directory = match opened {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
            result => result.context(|| format!("open '{}'", raw::encode(path)))?,
        };
        let mut names = Vec::new();
        for entry in Dir::read_from(directory)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        order::sort(&mut names);
        Ok(names)
    }

    /// Reports whether the path is a directory. A link to a directory does not count: a walk that
    /// follows links could meet the same files without end.
    fn is_directory(&self, path: &[u8]) -> bool {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let path = Path::new(OsStr::from_bytes(path));
        beneath::open(self.root, path, flags, Mode::empty()).is_ok()
    }

    /// Reports whether a `!` rule includes a file in the excluded directory `path` again.
    fn has_more(&self, path: &[u8]) -> bool {
        let mut names = self.names(path).unwrap_or_default().into_iter();
        names.any(|name| {
            let mut below = path.to_vec();
            push(&mut below, &name);
            !self.ignore.excludes(&below) || self.is_directory(&below) && self.has_more(&below)
        })
    }

    /// Returns the path with which the patterns of `--exclude` are compared: with `--parents` the
    /// kept part of the source's path, otherwise the last component.
    fn kept<'s>(&self, source: &'s Source) -> &'s [u8] {
        if !self.parents {
            return source.name();
        }
        let kept = source.path.get(source.base..).unwrap_or_default();
        kept.strip_prefix(b"/").unwrap_or(kept)
    }

    /// Reports whether a copy of the directory `source` leaves out an entry. `entry` is the entry's
    /// path relative to `source`. The patterns of `--exclude` are compared with this path; with
    /// `--parents`, the kept part of the source's path precedes it.
    pub fn skips(&self, source: &Source, entry: &[u8], excludes: &Ignore) -> bool {
        let entry = entry.strip_suffix(b"/").unwrap_or(entry);
        let mut known = if self.parents { self.kept(source).to_vec() } else { Vec::new() };
        push(&mut known, entry);
        if excludes.excludes(&known) {
            return true;
        }
        let mut path = source.path.clone();
        push(&mut path, entry);
        self.ignore.excludes(&path) && !(self.ignore.takes_back() && self.has_more(&path))
    }

    /// Returns a text for the cache key: whether each source is a directory and, with `--parents`,
    /// the modes and paths of the source and of the directories that are kept above it.
    pub fn shapes(&self, sources: &[Source]) -> Result<String> {
        let mut shapes = String::new();
        for source in sources {
            shapes.push(if source.is_directory { 'd' } else { 'f' });
            let kept = source.path.get(source.base..).filter(|_| self.parents).unwrap_or_default();
            let ends = kept.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            for end in ends.map(|(at, _)| at).chain([kept.len()]).filter(|end| *end > 0) {
                let path = OsStr::from_bytes(&source.path[..source.base + end]);
                let mode = fstat(beneath::handle(self.root, Path::new(path))?)?.st_mode;
                shapes.push_str(&format!(" {mode:o} {}", raw::encode(path.as_bytes())));
            }
        }
        Ok(shapes)
    }

    /// Returns the digest of what a copy would write: names, kinds, modes, owners and bytes, but no
    /// times.
    pub fn digest(
        &self,
        sources: &[Source],
        excludes: &Ignore,
        overrides: Overrides,
    ) -> Result<Digest> {
        let mut hasher = Hashing::new(std::io::sink());
        for source in sources {
            let name = if source.is_directory { None } else { Some(source.name()) };
            let skip = |entry: &[u8]| source.is_directory && self.skips(source, entry, excludes);
            let overrides = Overrides { time: Some(0), ..overrides };
            let handle = source.handle.as_fd();
            pack(&Original { skip: &skip, overrides, ..Original::new(handle, name) }, &mut hasher)
                .context(|| format!("read '{}'", raw::encode(&source.path)))?;
        }
        Ok(Digest::finish(hasher.hasher))
    }
}

fn check_count(found: &[(Vec<u8>, usize)], pattern: &str) -> Result<()> {
    if found.len() > MAX_FOUND {
        fail!("'{pattern}' finds more than {MAX_FOUND} files");
    }
    Ok(())
}

fn push(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

/// Reads a text file of the context. Returns `None` if the file does not exist. Fails if the file
/// has more than `limit` bytes or is no UTF-8.
pub fn read_text(root: BorrowedFd<'_>, path: &str, limit: u64) -> Result<Option<String>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let file = match beneath::open(root, &raw::path(path), flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        result => result.context(|| format!("open {path}"))?,
    };
    read_bounded(&mut std::fs::File::from(file), path, limit).map(Some)
}

/// Reads a text to its end. Fails if the text has more than `limit` bytes or is no UTF-8. `name` is
/// for errors.
pub fn read_bounded(input: &mut dyn Read, name: &str, limit: u64) -> Result<String> {
    let mut bytes = Vec::new();
    input.take(limit + 1).read_to_end(&mut bytes).context(|| format!("read {name}"))?;
    if bytes.len() as u64 > limit {
        fail!("{name} is larger than {limit} bytes");
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(_) => fail!("{name} is no UTF-8 text"),
    }
}

/// Opens a directory of the host that the user named as a build context.
pub fn open_context(path: &Path) -> Result<OwnedFd> {
    store::open_dir(path).context(|| "the build context")
}

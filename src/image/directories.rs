//! Finds the directories of a tree in the order in which an archive or a recipe names them.
//!
//! Most names share their directory, or the directories above it, with the previous name. The last
//! directories found stay open (at most `HELD`), and a search starts at the nearest open directory.
//! A path may be longer than the kernel resolves at once. `sys::beneath` says where a path may
//! lead. If a directory or a symbolic link is replaced, the caller must call
//! [`Directories::forget`].

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::sys::beneath;

/// The most directories that stay open.
const HELD: usize = 32;

/// The flags that open a directory.
pub const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The open directories on the way to the last path that was found.
pub struct Directories<'a> {
    root: BorrowedFd<'a>,
    /// The path of the directory that was opened last: plain components, without a slash at either
    /// end. A later search can have found a directory above it.
    path: Vec<u8>,
    /// The open directories, each with the length of its path. Each path is a start of `path`. The
    /// deepest directory is the last.
    held: VecDeque<(usize, Rc<OwnedFd>)>,
}

impl<'a> Directories<'a> {
    /// Starts at `root`, with no directory open below it.
    pub fn new(root: BorrowedFd<'a>) -> Directories<'a> {
        Directories { root, path: Vec::new(), held: VecDeque::new() }
    }

    /// Opens the directory `path`: plain components, without a slash at either end. Fails as
    /// openat2(2) does.
    pub fn open(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>, Errno> {
        self.go_up(path);
        let found = match self.held.back() {
            Some((length, directory)) if *length == path.len() => return Ok(directory.clone()),
            // The root's own path is empty and has no slash after it.
            Some((length, directory)) if *length > 0 => {
                let below = Path::new(OsStr::from_bytes(&path[length + 1..]));
                beneath::open_long_without_links(directory, below, DIRECTORY)
            }
            _ => Err(Errno::LOOP),
        };
        let found = match found {
            // There is a link on the way, or no directory below the root is open. A link may lead
            // anywhere in the tree, so resolve the whole path from the root.
            Err(Errno::LOOP) => {
                beneath::open_long(self.root, Path::new(OsStr::from_bytes(path)), DIRECTORY)?
            }
            result => result?,
        };
        let found = Rc::new(found);
        self.hold(path, found.clone());
        Ok(found)
    }

    /// Records the directory `path`, which the caller has just opened.
    pub fn hold(&mut self, path: &[u8], directory: Rc<OwnedFd>) {
        self.go_up(path);
        // Only `path` and directories above it are open now; the last of them is the deepest.
        let same = self.held.back().map_or(0, |(length, _)| *length);
        if same == path.len() {
            self.held.pop_back();
        }
        self.path.truncate(same);
        self.path.extend_from_slice(&path[same..]);
        self.held.push_back((path.len(), directory));
        if self.held.len() > HELD {
            self.held.pop_front();
        }
    }

    /// Closes all directories, because their paths may lead elsewhere from now on.
    pub fn forget(&mut self) {
        self.held.clear();
    }

    /// Closes the directories that are neither `path` nor above it.
    fn go_up(&mut self, path: &[u8]) {
        let common = self.path.iter().zip(path).take_while(|(one, other)| one == other).count();
        let is_above = |length: usize| {
            length == 0 || length <= common && path.get(length).is_none_or(|&byte| byte == b'/')
        };
        while self.held.pop_back_if(|(length, _)| !is_above(*length)).is_some() {}
    }
}

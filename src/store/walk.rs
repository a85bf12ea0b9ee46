//! Walks over a tree that a container or an image made. The tree may have any depth and directories
//! of any size. A walk takes few descriptors and does not recurse. The memory for names is bounded;
//! each level of depth adds at most a few hundred bytes.
//!
//! [`Descent`] is the path from the top of the tree to the current directory. A descent keeps only
//! the nearest parents open, opens the others again by `..`, and checks their device and inode.
//! [`Names`] returns the names in each directory on that path in byte order. A batch of each
//! directory's names is in memory. If a directory has more names than a batch, or the batches take
//! too much memory, the directory is read again for the names that follow. [`Links`] remembers the
//! first path of each file with several hard links.

use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Dir, Mode, OFlags, Stat, fstat, openat};

use crate::error::{Result, fail};

/// The most parents of the current directory that stay open.
const HELD: usize = 32;
/// The most bytes of names that [`Names`] keeps between two calls.
const NAMES: usize = 16 << 20;
/// The most bytes that [`Links`] may take, by its own estimate.
const LINKS: usize = 32 << 20;
/// The approximate bytes that the allocator and the list take for each name.
const OVERHEAD: usize = 32;

/// The flags for openat(2) of a directory of the tree.
pub const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The path from the top of a tree down to the current directory.
pub struct Descent {
    current: OwnedFd,
    /// The open parents of the current directory. The direct parent is last.
    held: VecDeque<OwnedFd>,
    /// Device and inode of each parent that is no longer open. The top is first.
    closed: Vec<(u64, u64)>,
}

impl Descent {
    /// Starts with `top` as the current directory.
    pub fn new(top: OwnedFd) -> Descent {
        Descent { current: top, held: VecDeque::new(), closed: Vec::new() }
    }

    /// The current directory.
    pub fn current(&self) -> BorrowedFd<'_> {
        self.current.as_fd()
    }

    /// Makes `below` the current directory. The caller has opened `below` in the directory that was
    /// current before. Fails if fstat(2) fails.
    pub fn down(&mut self, below: OwnedFd) -> Result<()> {
        self.held.push_back(std::mem::replace(&mut self.current, below));
        if self.held.len() > HELD
            && let Some(farthest) = self.held.pop_front()
        {
            self.closed.push(identity(&fstat(&farthest)?));
        }
        Ok(())
    }

    /// Makes the parent the current directory; at the top, does nothing. A parent that is no longer
    /// open is opened again by `..`. Fails if the open fails, or if `..` is another directory now.
    pub fn up(&mut self) -> Result<()> {
        if let Some(above) = self.held.pop_back() {
            self.current = above;
        } else if let Some(expected) = self.closed.pop() {
            let above = openat(&self.current, "..", DIRECTORY, Mode::empty())?;
            // A running container can move the directory during the walk.
            if identity(&fstat(&above)?) != expected {
                fail!("a directory was moved while it was read");
            }
            self.current = above;
        }
        Ok(())
    }
}

/// The device and inode of a file, which no other file has at the same time.
pub fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// The names in the current directory and in its parents, in byte order for each directory.
#[derive(Default)]
pub struct Names {
    levels: Vec<Level>,
    /// The bytes of all names in memory, `OVERHEAD` included.
    kept: usize,
}

#[derive(Default)]
struct Level {
    /// The next names, in reverse order.
    names: Vec<Box<[u8]>>,
    /// The last name that [`Names::next`] returned.
    last: Vec<u8>,
    /// True if the directory has no more names after `names`.
    complete: bool,
}

impl Names {
    /// Enters a directory. The directory that was entered before is its parent.
    pub fn enter(&mut self) {
        self.levels.push(Level::default());
    }

    /// Leaves the directory that was entered last. Returns false if that was the outermost one.
    pub fn leave(&mut self) -> bool {
        if let Some(level) = self.levels.pop() {
            self.kept -= cost(&level.names);
        }
        !self.levels.is_empty()
    }

    /// Returns the next name in the directory that was entered last, or `None` after the last name.
    /// `directories` are one or more open directories whose names are merged. All calls for one
    /// entered directory must pass the same `directories`.
    pub fn next(&mut self, directories: &[BorrowedFd<'_>]) -> Result<Option<CString>> {
        let Some(level) = self.levels.last_mut() else { return Ok(None) };
        if level.names.is_empty() && !level.complete {
            (level.names, level.complete) = batch(directories, &level.last)?;
            self.kept += cost(&level.names);
            self.make_room();
        }
        let Some(level) = self.levels.last_mut() else { return Ok(None) };
        let Some(name) = level.names.pop() else { return Ok(None) };
        self.kept -= name.len() + OVERHEAD;
        level.last.clear();
        level.last.extend_from_slice(&name);
        // A name in a directory has no zero byte.
        Ok(CString::new(name.into_vec()).ok())
    }

    /// Drops the batches of parents until at most `NAMES` bytes remain. The parents' names are read
    /// again when the walk returns to them.
    fn make_room(&mut self) {
        let Some((_, above)) = self.levels.split_last_mut() else { return };
        for level in above.iter_mut().filter(|level| !level.names.is_empty()) {
            if self.kept <= NAMES {
                return;
            }
            self.kept -= cost(&level.names);
            (level.names, level.complete) = (Vec::new(), false);
        }
    }
}

fn cost(names: &[Box<[u8]>]) -> usize {
    names.iter().map(|name| name.len() + OVERHEAD).sum()
}

/// Returns the first names after `last` in reverse order, and true if no more names follow them.
fn batch(directories: &[BorrowedFd<'_>], last: &[u8]) -> Result<(Vec<Box<[u8]>>, bool)> {
    let (mut first, mut bytes, mut complete) = (BinaryHeap::<Box<[u8]>>::new(), 0, true);
    for directory in directories {
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name <= last || matches!(name, b"." | b"..") {
                continue;
            }
            if !complete && first.peek().is_some_and(|greatest| *name >= **greatest) {
                continue;
            }
            bytes += name.len() + OVERHEAD;
            first.push(name.into());
            while bytes > NAMES / 2 && first.len() > 1 {
                bytes -= first.pop().map_or(0, |greatest| greatest.len() + OVERHEAD);
                complete = false;
            }
        }
    }
    let mut names = first.into_sorted_vec();
    // A name can occur twice if two directories have the name, or if a file was removed and another
    // file got the name during the read.
    names.dedup();
    names.reverse();
    Ok((names, complete))
}

/// The index of a directory in `Links::directories`, and a name in that directory.
type Place = (u32, Box<[u8]>);

/// The first path of each file that has several hard links.
#[derive(Default)]
pub struct Links {
    /// The key is the file's device and inode.
    first: HashMap<(u64, u64), Place>,
    directories: Vec<Box<[u8]>>,
    bytes: usize,
}

impl Links {
    /// Returns the path under which the file was seen before. If the file is new, remembers `path`
    /// for the file and returns `None`. Fails if the paths take more than `LINKS` bytes.
    pub fn first_path(&mut self, stat: &Stat, path: &[u8]) -> Result<Option<Vec<u8>>> {
        if let Some((directory, name)) = self.first.get(&identity(stat)) {
            let directory = self.directories.get(*directory as usize);
            return Ok(Some([directory.map_or(&b""[..], |path| path), name].concat()));
        }
        let at = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        let (directory, name) = path.split_at(at);
        // Files of a directory often follow each other, so compare with the last directory only.
        // After a subdirectory the same directory is stored again, which is harmless.
        if self.directories.last().is_none_or(|known| **known != *directory) {
            self.bytes += directory.len() + OVERHEAD;
            self.directories.push(directory.into());
        }
        self.bytes += name.len() + 2 * OVERHEAD;
        if self.bytes > LINKS {
            fail!("the tree has more than {} files with several names", self.first.len());
        }
        let number = self.directories.len() as u32 - 1;
        self.first.insert(identity(stat), (number, name.into()));
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use rustix::fs::{CWD, mkdirat};

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("walk-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn open(path: &std::path::Path) -> OwnedFd {
        openat(CWD, path, DIRECTORY, Mode::empty()).unwrap()
    }

    #[test]
    fn a_walk_up_from_any_depth_needs_few_descriptors_and_detects_moves() {
        let dir = scratch("descent");
        let mut descent = Descent::new(open(&dir));
        let mut way = Vec::new();
        for _ in 0..HELD * 20 {
            way.push(identity(&fstat(descent.current()).unwrap()));
            mkdirat(descent.current(), "d", Mode::RWXU).unwrap();
            let below = openat(descent.current(), "d", DIRECTORY, Mode::empty()).unwrap();
            descent.down(below).unwrap();
            assert!(descent.held.len() <= HELD);
        }
        while way.len() > HELD * 5 {
            descent.up().unwrap();
            assert_eq!(way.pop(), Some(identity(&fstat(descent.current()).unwrap())));
        }
        fs::rename(dir.join("d/d/d"), dir.join("d/moved")).unwrap();
        fs::rename(dir.join("d/moved"), dir.join("elsewhere")).unwrap();
        let error = (0..HELD * 5).find_map(|_| descent.up().err()).unwrap();
        assert!(error.to_string().contains("was moved"), "{error}");
        crate::store::remove_tree(&dir).unwrap();
    }

    #[test]
    fn names_are_sorted_even_if_batches_are_dropped() {
        let dir = scratch("names");
        // More names than one batch, in an order that is not sorted.
        let long = "x".repeat(200);
        let count = 3 * NAMES / 4 / (long.len() + 6 + OVERHEAD);
        let name = |at: usize| format!("{:06}{long}", at * 7919 % count);
        for at in 0..count {
            fs::write(dir.join(name(at)), "").unwrap();
        }
        let top = open(&dir);
        let mut names = Names::default();
        names.enter();
        let mut seen = Vec::new();
        while let Some(name) = names.next(&[top.as_fd(), top.as_fd()]).unwrap() {
            assert!(names.kept <= NAMES);
            seen.push(name);
            if seen.len() == 10 {
                // Act as if a subdirectory's names took all the memory.
                names.enter();
                (names.kept, names.levels[1].names) = (2 * NAMES, vec![vec![0; NAMES].into()]);
                names.kept = cost(&names.levels[0].names) + cost(&names.levels[1].names);
                names.make_room();
                assert!(names.levels[0].names.is_empty());
                assert!(names.leave());
            }
        }
        assert_eq!(seen.len(), count);
        assert!(seen.is_sorted());
        assert!(!names.leave() && names.kept == 0);
        crate::store::remove_tree(&dir).unwrap();
    }
}

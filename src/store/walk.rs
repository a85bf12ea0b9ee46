//! Walks over a tree that a container or an image has made: trees of any depth and
//! directories of any size, with few descriptors, no recursion and bounded memory.
//!
//! [`Descent`] is the way from a tree's top to the directory that is walked now. It keeps only the
//! nearest directories open and gets the others back by `..`, which it checks by device and inode.
//! [`Names`] gives the names of each directory on that way in the order of their bytes. It keeps a
//! batch of them; if a directory has more, or other directories need the room, the directory is read
//! again for the names that follow.
//! [`Links`] knows the first name of each file that has several.

use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Dir, Mode, OFlags, Stat, fstat, openat};

use crate::error::{Result, fail};

/// Directories that are kept open above the current one.
const HELD: usize = 32;
/// Bytes of names that are kept at one time.
const NAMES: usize = 16 << 20;
/// Bytes that [`Links`] may take.
const LINKS: usize = 32 << 20;
/// The approximate cost of the allocator and the list for each name.
const OVERHEAD: usize = 32;

/// The flags that open a directory on the way.
pub const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The way from a tree's top down to the current directory.
pub struct Descent {
    current: OwnedFd,
    /// The nearest directories above, the nearest last.
    held: VecDeque<OwnedFd>,
    /// Device and inode of each directory above those, the top's first.
    closed: Vec<(u64, u64)>,
}

impl Descent {
    /// Starts at `top`.
    pub fn new(top: OwnedFd) -> Descent {
        Descent { current: top, held: VecDeque::new(), closed: Vec::new() }
    }

    /// The directory reached so far.
    pub fn current(&self) -> BorrowedFd<'_> {
        self.current.as_fd()
    }

    /// Goes down to a directory that was opened in the current one.
    pub fn down(&mut self, below: OwnedFd) -> Result<()> {
        self.held.push_back(std::mem::replace(&mut self.current, below));
        if self.held.len() > HELD
            && let Some(farthest) = self.held.pop_front()
        {
            self.closed.push(identity(&fstat(&farthest)?));
        }
        Ok(())
    }

    /// Goes back up by one directory. At the top, stays there.
    pub fn up(&mut self) -> Result<()> {
        if let Some(above) = self.held.pop_back() {
            self.current = above;
        } else if let Some(expected) = self.closed.pop() {
            let above = openat(&self.current, "..", DIRECTORY, Mode::empty())?;
            // A container that still runs may have moved the directory elsewhere.
            if identity(&fstat(&above)?) != expected {
                fail!("a directory was moved while it was read");
            }
            self.current = above;
        }
        Ok(())
    }
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// The names of the directories on the way down, each directory's in the order of their bytes.
#[derive(Default)]
pub struct Names {
    levels: Vec<Level>,
    /// Bytes of all names that are kept.
    kept: usize,
}

#[derive(Default)]
struct Level {
    /// The next names, the first one last.
    names: Vec<Box<[u8]>>,
    /// The name that was returned last.
    last: Vec<u8>,
    /// Whether no name follows those in `names`.
    complete: bool,
}

impl Names {
    /// Enters a directory, below the one that was entered before.
    pub fn enter(&mut self) {
        self.levels.push(Level::default());
    }

    /// Leaves the directory that was entered last. Returns false if it was the first one.
    pub fn leave(&mut self) -> bool {
        if let Some(level) = self.levels.pop() {
            self.kept -= cost(&level.names);
        }
        !self.levels.is_empty()
    }

    /// The next name of the directory that was entered last. It is in at least one of
    /// `directories`, the same ones in each call.
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

    /// Drops names of directories farther up, which are read again when their turn comes.
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

/// The first names after `last`, in falling order, and whether others follow them.
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
    // The same name in two directories, or renamed while the directory was read.
    names.dedup();
    names.reverse();
    Ok((names, complete))
}

/// The number of a directory and a name in it.
type Place = (u32, Box<[u8]>);

/// The first name of each file that has several.
#[derive(Default)]
pub struct Links {
    /// By device and inode.
    first: HashMap<(u64, u64), Place>,
    directories: Vec<Box<[u8]>>,
    bytes: usize,
}

impl Links {
    /// The path under which the file was seen before. Otherwise it is remembered under `path`.
    pub fn first_path(&mut self, stat: &Stat, path: &[u8]) -> Result<Option<Vec<u8>>> {
        if let Some((directory, name)) = self.first.get(&identity(stat)) {
            let directory = self.directories.get(*directory as usize);
            return Ok(Some([directory.map_or(&b""[..], |path| path), name].concat()));
        }
        let at = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        let (directory, name) = path.split_at(at);
        // The files of a directory follow each other.
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
    fn the_way_up_from_any_depth_needs_few_descriptors_and_finds_moves() {
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
    fn names_come_in_order_whatever_is_kept() {
        let dir = scratch("names");
        // More than one batch, in an order that isn't theirs.
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
                // As if what lies below had taken all the room.
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

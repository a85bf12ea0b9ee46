//! Removes a tree that a hostile program may have made: by descriptor, without following a link, and
//! at any depth with a few descriptors and a bounded recursion. A container can nest directories
//! far deeper than a process may hold descriptors; such a tree must be removable too.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;

/// Levels that are held open at the same time, by two descriptors each. Deeper directories are moved up
/// to the top and removed there.
const MAX_DEPTH: u32 = 32;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes the file, the link or the whole tree `path`.
pub fn remove(path: &Path) -> Result<(), Errno> {
    remove_at(CWD, path.as_os_str())
}

/// As [`remove`], of a name in the directory `parent`.
pub fn remove_at(parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        result => return result,
    }
    let top = openat(parent, name, DIRECTORY, Mode::empty())?;
    let mut removal = Removal { top: top.as_fd(), brought_up: 0 };
    loop {
        let before = removal.brought_up;
        removal.empty(top.as_fd(), 0)?;
        if removal.brought_up == before {
            break;
        }
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

struct Removal<'a> {
    top: BorrowedFd<'a>,
    /// How many directories were moved to the top; the next one's name is made of it.
    brought_up: u64,
}

impl Removal<'_> {
    fn empty(&mut self, directory: BorrowedFd<'_>, depth: u32) -> Result<(), Errno> {
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                self.entry(directory, name, depth)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, parent: BorrowedFd<'_>, name: &OsStr, depth: u32) -> Result<(), Errno> {
        match unlinkat(parent, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {}
            result => return gone(result),
        }
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            result => return gone(result),
        }
        if depth == MAX_DEPTH {
            return self.bring_up(parent, name);
        }
        let directory = match openat(parent, name, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            result => result?,
        };
        let before = self.brought_up;
        self.empty(directory.as_fd(), depth + 1)?;
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            // A file system may leave out entries while others are removed: another turn finds them.
            Err(Errno::NOTEMPTY | Errno::EXIST) if self.brought_up > before => Ok(()),
            result => gone(result),
        }
    }

    /// Moves a directory to the top, where the next turn finds it.
    fn bring_up(&mut self, parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
        loop {
            let up = format!(".{}", self.brought_up);
            self.brought_up += 1;
            match renameat(parent, name, self.top, &up) {
                // The tree has an entry of this name itself.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                result => return gone(result),
            }
        }
    }
}

/// Succeeds if another process has removed it first.
fn gone(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::mkdirat;

    #[test]
    fn a_deep_tree_goes_and_what_links_lead_to_stays() {
        let dir = std::env::temp_dir().join(format!("removal-{}", std::process::id()));
        let tree = dir.join("tree");
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::write(dir.join("kept"), "x").unwrap();
        std::os::unix::fs::symlink(&dir, tree.join("up")).unwrap();
        // A name that would collide.
        std::fs::create_dir_all(tree.join(".0/full")).unwrap();
        let mut current = openat(CWD, &tree, DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..MAX_DEPTH * 5 {
            mkdirat(&current, "d", Mode::RWXU).unwrap();
            mkdirat(&current, "e", Mode::RWXU).unwrap();
            current = openat(&current, "d", DIRECTORY, Mode::empty()).unwrap();
        }
        remove(&tree).unwrap();
        assert!(!tree.exists() && dir.join("kept").exists());
        assert_eq!(remove(&tree), Err(Errno::NOENT));
        remove(&dir).unwrap();
    }
}

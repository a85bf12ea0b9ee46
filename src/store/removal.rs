//! Removes a tree that a hostile program may have made.
//!
//! A container can nest far more directories than a process may have open, and can replace a
//! directory by a link while the tree is removed. So the removal works relative to descriptors,
//! follows no link and recurses at most `MAX_DEPTH` levels. A deeper directory that is not empty is
//! renamed into the top directory, and the next pass over the top directory removes the renamed
//! directory (unlinkat(2), renameat(2)).

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;

/// The maximum number of levels below the top that are open at the same time. Each level takes two
/// descriptors.
const MAX_DEPTH: u32 = 32;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes the file, the symbolic link or the whole tree `path`. Fails with `ENOENT` if `path` does
/// not exist.
pub fn remove(path: &Path) -> Result<(), Errno> {
    remove_at(CWD, path.as_os_str())
}

/// Like [`remove`], for the entry `name` of the directory `parent`.
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
    /// The number of names that `bring_up` has tried. The next name is a dot and this number.
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
            // A directory was renamed out of this tree. After such a rename readdir(3) may skip an
            // entry. The next pass removes the rest.
            Err(Errno::NOTEMPTY | Errno::EXIST) if self.brought_up > before => Ok(()),
            result => gone(result),
        }
    }

    /// Renames a directory into the top directory, where the next pass finds it.
    fn bring_up(&mut self, parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
        loop {
            let up = format!(".{}", self.brought_up);
            self.brought_up += 1;
            match renameat(parent, name, self.top, &up) {
                // The top directory already has an entry with this name.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                result => return gone(result),
            }
        }
    }
}

/// Turns `ENOENT` into success: another process has removed the entry.
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
    fn a_deep_tree_is_removed_and_the_targets_of_its_links_stay() {
        let dir = std::env::temp_dir().join(format!("removal-{}", std::process::id()));
        let tree = dir.join("tree");
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::write(dir.join("kept"), "x").unwrap();
        std::os::unix::fs::symlink(&dir, tree.join("up")).unwrap();
        // This directory has the first name that `bring_up` tries.
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

//! The size of a tree on disk (`st_blocks` of stat(2)).
//!
//! A container may have made the tree, and may change the tree during the walk. So the walk works
//! relative to descriptors, follows no symbolic link and does not recurse (`walk`). Directories
//! count as 0, as in Docker: a container that wrote nothing has 0 bytes. The result is an estimate
//! for the user: a file counts as 0 if fstatat(2) fails, or if its directory cannot be read.

use std::collections::HashSet;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, Stat, lstat, openat, statat};

use super::walk::{DIRECTORY, Descent, Names, identity};

/// Returns the bytes that the files of a tree take on disk. A file with several hard links counts
/// once. If a directory is moved during the walk, the walk may end early.
pub fn tree_size(path: &Path) -> u64 {
    let Ok(top) = lstat(path) else { return 0 };
    if !is_directory(&top) {
        return allocated(&top);
    }
    let Ok(top) = openat(CWD, path, DIRECTORY, Mode::empty()) else { return 0 };
    let (mut descent, mut names) = (Descent::new(top), Names::default());
    let (mut size, mut seen) = (0, HashSet::new());
    names.enter();
    loop {
        let Some(name) = names.next(&[descent.current()]).unwrap_or_default() else {
            if !names.leave() || descent.up().is_err() {
                return size;
            }
            continue;
        };
        let Ok(stat) = statat(descent.current(), &name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        if is_directory(&stat) {
            let below = openat(descent.current(), &name, DIRECTORY, Mode::empty());
            let Ok(below) = below else { continue };
            if descent.down(below).is_err() {
                return size;
            }
            names.enter();
        } else if stat.st_nlink == 1 || seen.insert(identity(&stat)) {
            size += allocated(&stat);
        }
    }
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

fn allocated(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or_default() * 512
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::mkdirat;

    use super::*;

    #[test]
    fn each_file_counts_once_at_any_depth() {
        let dir = std::env::temp_dir().join(format!("size-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        assert_eq!((tree_size(&dir), tree_size(&dir.join("none"))), (0, 0));
        fs::write(dir.join("a"), [1; 20_000]).unwrap();
        let one = tree_size(&dir.join("a"));
        assert!(one >= 20_000);
        // The path is longer than PATH_MAX, and has more levels than the default limit on open
        // descriptors (1024).
        let mut current = openat(CWD, &dir, DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..1100 {
            mkdirat(&current, "level", Mode::RWXU).unwrap();
            current = openat(&current, "level", DIRECTORY, Mode::empty()).unwrap();
        }
        let link = |name| {
            rustix::fs::linkat(CWD, dir.join("a"), &current, name, AtFlags::empty()).unwrap();
        };
        link("b");
        link("c");
        rustix::fs::symlinkat("..", &current, "up").unwrap();
        assert_eq!(tree_size(&dir), one);
        fs::remove_file(dir.join("a")).unwrap();
        assert_eq!(tree_size(&dir), one);
        crate::store::remove_tree(&dir).unwrap();
    }
}

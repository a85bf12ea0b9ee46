//! A file tree for a guest, written as an initramfs (a cpio archive of the format "newc",
//! Documentation/driver-api/early-userspace/buffer-format.rst of the kernel), as an ext4, as a
//! squashfs or as a tar. Only the initramfs has the tree's devices.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::run;

#[derive(Default)]
pub struct Tree {
    entries: Vec<(String, Node)>,
}

enum Node {
    Directory,
    File { bytes: Vec<u8>, mode: u32 },
    Link(String),
    CharacterDevice { major: u32, minor: u32 },
}

impl Tree {
    pub fn directory(&mut self, path: &str) {
        self.entries.push((path.to_owned(), Node::Directory));
    }

    pub fn file(&mut self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.entries.push((path.to_owned(), Node::File { bytes: bytes.into(), mode: 0o644 }));
    }

    pub fn program(&mut self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.entries.push((path.to_owned(), Node::File { bytes: bytes.into(), mode: 0o755 }));
    }

    pub fn link(&mut self, path: &str, target: &str) {
        self.entries.push((path.to_owned(), Node::Link(target.to_owned())));
    }

    pub fn character_device(&mut self, path: &str, major: u32, minor: u32) {
        self.entries.push((path.to_owned(), Node::CharacterDevice { major, minor }));
    }

    pub fn cpio(&self) -> Vec<u8> {
        let mut archive = Vec::new();
        for (inode, (path, node)) in self.entries.iter().enumerate() {
            let (mode, bytes, device): (u32, &[u8], _) = match node {
                Node::Directory => (0o040755, &[], (0, 0)),
                Node::File { bytes, mode } => (0o100000 | mode, bytes, (0, 0)),
                Node::Link(target) => (0o120777, target.as_bytes(), (0, 0)),
                Node::CharacterDevice { major, minor } => (0o020600, &[], (*major, *minor)),
            };
            append(&mut archive, path, inode as u32 + 1, mode, bytes, device);
        }
        append(&mut archive, "TRAILER!!!", 0, 0, &[], (0, 0));
        archive
    }

    /// Writes the files below `directory`, after removing its former content.
    pub fn write(&self, directory: &Path) {
        let _ = fs::remove_dir_all(directory);
        fs::create_dir_all(directory).unwrap();
        self.write_over(directory);
    }

    /// Writes the files below `directory`. A file that exists there already stays as it is.
    fn write_over(&self, directory: &Path) {
        for (path, node) in &self.entries {
            let path = directory.join(path);
            if path.symlink_metadata().is_ok() && !matches!(node, Node::Directory) {
                continue;
            }
            match node {
                Node::Directory => fs::create_dir_all(path).unwrap(),
                Node::File { bytes, mode } => {
                    fs::write(&path, bytes).unwrap();
                    fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
                }
                Node::Link(target) => symlink(target, path).unwrap(),
                Node::CharacterDevice { .. } => {}
            }
        }
    }

    pub fn tar(&self, archive: &Path) {
        let directory = archive.with_extension("tree");
        self.write(&directory);
        let owner = ["--owner=0", "--group=0"];
        run(Command::new("tar")
            .args(owner)
            .arg("-C")
            .arg(&directory)
            .arg("-cf")
            .args([archive, Path::new(".")]));
        fs::remove_dir_all(directory).unwrap();
    }

    /// Makes an ext4 file system of `megabytes` with the files of the directory `base`, if given,
    /// and the tree. If both have a file, the one of `base` stays.
    pub fn ext4(&self, image: &Path, megabytes: u64, base: Option<&Path>) {
        let directory = image.with_extension("tree");
        match base {
            Some(base) => {
                let _ = fs::remove_dir_all(&directory);
                run(Command::new("cp").arg("-a").args([base, &directory]));
                self.write_over(&directory);
            }
            None => self.write(&directory),
        }
        blank(image, megabytes);
        run(Command::new("mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-d"])
            .args([&directory, image]));
    }

    pub fn squashfs(&self, image: &Path) {
        let directory = image.with_extension("tree");
        self.write(&directory);
        let _ = fs::remove_file(image);
        let options = ["-quiet", "-no-progress", "-comp", "gzip", "-all-root"];
        run(Command::new("mksquashfs").args([&directory, image]).args(options));
    }
}

/// Makes an image file of zeros.
pub fn blank(image: &Path, megabytes: u64) {
    let _ = fs::remove_file(image);
    fs::File::create(image).unwrap().set_len(megabytes << 20).unwrap();
}

fn append(
    archive: &mut Vec<u8>,
    path: &str,
    inode: u32,
    mode: u32,
    bytes: &[u8],
    (major, minor): (u32, u32),
) {
    let align = |archive: &mut Vec<u8>| archive.resize(archive.len().next_multiple_of(4), 0);
    let fields =
        [inode, mode, 0, 0, 1, 0, bytes.len() as u32, 0, 0, major, minor, path.len() as u32 + 1, 0];
    archive.extend_from_slice(b"070701");
    for field in fields {
        archive.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    archive.extend_from_slice(path.as_bytes());
    archive.push(0);
    align(archive);
    archive.extend_from_slice(bytes);
    align(archive);
}

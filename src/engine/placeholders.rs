//! A layer with empty files: /etc/hosts, /etc/resolv.conf and /etc/hostname, which are mount
//! points, and /.dockerenv, by which scripts recognise a container. As in Docker, /etc/mtab is a
//! link to /proc/mounts.
//!
//! Containers share this layer, which is on top of their images' layers. Many images lack these
//! files. If the files were made in each container, /etc would be copied to the container's upper
//! directory, and three files would be made and removed there. These operations took a fifth of the
//! time of a short `run` on ext4. A commit does not contain the files, because they are in a layer.
//! The layer's /etc belongs to root and has mode 0755. If the image has no such /etc, its
//! containers share a layer with /.dockerenv alone, and the mount points are made like any missing
//! mount point.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use super::Engine;
use crate::error::{Context, Result};
use crate::raw;
use crate::store;

const DIRECTORY: &str = "etc";
const MOUNT_POINTS: [&str; 3] = ["etc/hosts", "etc/hostname", "etc/resolv.conf"];
const MOUNT_TABLE: (&str, &str) = ("etc/mtab", "/proc/mounts");
/// The file by which scripts recognise a container of Docker. It is made after the mount points.
const MARK: &str = ".dockerenv";

impl Engine {
    /// Returns the directory of the layer that fits an image with `layers`, base first. Makes the
    /// layer if it is missing or incomplete.
    pub(super) fn placeholders(&self, layers: &[String]) -> Result<PathBuf> {
        let has_plain_etc =
            layers.iter().rev().find_map(|layer| is_plain(&raw::path(layer).join(DIRECTORY)));
        let (layer, mount_points) = if has_plain_etc.unwrap_or(false) {
            (self.roots.placeholders(), &MOUNT_POINTS[..])
        } else {
            (self.roots.mark(), &[][..])
        };
        let last = if mount_points.is_empty() { MARK } else { MOUNT_TABLE.0 };
        if layer.join(last).symlink_metadata().is_err() {
            make(&layer, mount_points).context(|| format!("make {}", layer.display()))?;
        }
        Ok(layer)
    }
}

/// Reports whether `path` is a directory of root with mode 0755, as /etc is in this layer. Returns
/// `None` if lstat(2) fails, for example because `path` does not exist.
fn is_plain(path: &Path) -> Option<bool> {
    let found = fs::symlink_metadata(path).ok()?;
    Some(found.is_dir() && (found.uid(), found.gid(), found.mode() & 0o7777) == (0, 0, 0o755))
}

/// Makes the layer. Another command may do the same at this moment, so each step accepts an
/// existing file.
fn make(layer: &Path, mount_points: &[&str]) -> Result<()> {
    store::make_dir(layer)?;
    if !mount_points.is_empty() {
        DirBuilder::new().recursive(true).mode(0o755).create(layer.join(DIRECTORY))?;
    }
    let files = mount_points.iter().map(|file| (*file, 0o644)).chain([(MARK, 0o755)]);
    for (file, mode) in files {
        OpenOptions::new().append(true).create(true).mode(mode).open(layer.join(file))?;
    }
    if !mount_points.is_empty() {
        let (link, target) = MOUNT_TABLE;
        // The link is made last, so if it exists, the layer is complete.
        match symlink(target, layer.join(link)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => made?,
        }
    }
    Ok(())
}

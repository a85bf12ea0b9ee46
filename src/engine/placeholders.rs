//! A layer with empty files on which /etc/hosts, /etc/resolv.conf and /etc/hostname are mounted.
//!
//! All containers share the layer on top of their images' layers, because most images lack these
//! files. If they were made in each container, /etc would be copied to its upper directory, and
//! three files would be made and removed there. These operations took a fifth of the time of a
//! short `run` on ext4. The layer also keeps the files out of a commit's changes. If the image's
//! /etc is not a plain directory of root, the layer cannot replace it, and the files are made like
//! any missing mount point.

use std::fs::{self, DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Engine;
use crate::error::{Context, Result};
use crate::raw;
use crate::store;

const DIRECTORY: &str = "etc";
/// The files. The last one is made last, so if it exists, all of them exist.
const FILES: [&str; 3] = ["hosts", "hostname", "resolv.conf"];

impl Engine {
    /// Returns the layer's directory, and makes it if it is missing. Returns `None` if the layer
    /// does not fit an image with these layers, whose base is first.
    pub(super) fn placeholders(&self, layers: &[String]) -> Result<Option<PathBuf>> {
        if !layers
            .iter()
            .rev()
            .find_map(|layer| is_plain(&raw::path(layer).join(DIRECTORY)))
            .unwrap_or(false)
        {
            return Ok(None);
        }
        let layer = self.roots.placeholders();
        let etc = layer.join(DIRECTORY);
        if !FILES.last().is_some_and(|last| etc.join(last).exists()) {
            make(&layer, &etc).context(|| format!("make {}", layer.display()))?;
        }
        Ok(Some(layer))
    }
}

/// Reports whether `path` is a directory of root with mode 0755, as /etc is in this layer. Returns
/// `None` if `path` does not exist.
fn is_plain(path: &Path) -> Option<bool> {
    let found = fs::symlink_metadata(path).ok()?;
    Some(found.is_dir() && (found.uid(), found.gid(), found.mode() & 0o7777) == (0, 0, 0o755))
}

/// Makes the layer. Another command may do the same at this moment, so each step accepts an
/// existing file.
fn make(layer: &Path, etc: &Path) -> Result<()> {
    store::make_dir(layer)?;
    DirBuilder::new().recursive(true).mode(0o755).create(etc)?;
    for file in FILES {
        OpenOptions::new().append(true).create(true).mode(0o644).open(etc.join(file))?;
    }
    Ok(())
}

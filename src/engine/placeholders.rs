//! A layer that all containers share, on top of their images' layers: empty files on which
//! /etc/hosts, /etc/resolv.conf and /etc/hostname are mounted.
//!
//! Most images lack them. Made in each container, they would cost a copy of /etc and three
//! files in its upper directory, made and removed: a fifth of a short run on ext4. The layer also keeps
//! them out of the changes that a commit finds. If the image's /etc isn't a plain
//! directory of root, which this layer's could replace, the files are made as any missing target.

use std::fs::{self, DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Engine;
use crate::error::{Context, Result};
use crate::raw;
use crate::store;

const DIRECTORY: &str = "etc";
/// The files. The last one is made last, so if it exists all do.
const FILES: [&str; 3] = ["hosts", "hostname", "resolv.conf"];

impl Engine {
    /// The layer's directory, made if it is missing; `None` if it doesn't suit an image with these
    /// layers (base first).
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

/// Whether a directory like this layer's can stand for the one at `path`; `None` if nothing
/// is there.
fn is_plain(path: &Path) -> Option<bool> {
    let found = fs::symlink_metadata(path).ok()?;
    Some(found.is_dir() && (found.uid(), found.gid(), found.mode() & 0o7777) == (0, 0, 0o755))
}

/// Another command may do the same at this moment, so each step accepts what exists.
fn make(layer: &Path, etc: &Path) -> Result<()> {
    store::make_dir(layer)?;
    DirBuilder::new().recursive(true).mode(0o755).create(etc)?;
    for file in FILES {
        OpenOptions::new().append(true).create(true).mode(0o644).open(etc.join(file))?;
    }
    Ok(())
}

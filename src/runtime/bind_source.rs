//! Opens the source of a bind mount.
//!
//! The user chose the path of the source, so symbolic links in this path are followed. A
//! `volume-subpath` is a path in a volume, where a container can create symbolic links. So
//! openat2(2) resolves the `volume-subpath` and does not leave the volume. The caller mounts the
//! descriptor, not the path.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::error::{Context, Result};
use crate::sys::beneath;

/// Opens a handle (O_PATH) to `source`, or to `subpath` in `source`. The result is never outside of
/// `source`. Fails with the errors of openat(2) and openat2(2), for example with ENOENT if one of
/// the paths does not exist.
pub fn open(source: &Path, subpath: Option<&Path>) -> Result<OwnedFd> {
    let handle = openat(CWD, source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .context(|| format!("open {}", source.display()))?;
    match subpath {
        None => Ok(handle),
        Some(subpath) => beneath::handle(handle.as_fd(), subpath)
            .context(|| format!("open {} in {}", subpath.display(), source.display())),
    }
}

//! The source of a bind mount, opened.
//!
//! The user chose the path, so links of the host on it are followed. Below it, where a volume's own
//! files start, openat2(2) resolves a part (`volume-subpath`) so that no link leads out. The descriptor
//! is mounted, never the path again.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::error::{Context, Result};
use crate::sys::beneath;

/// A handle to a bind's source, or to a part of it. No link in a volume leads out of the volume.
pub fn open(source: &Path, subpath: Option<&Path>) -> Result<OwnedFd> {
    let handle = openat(CWD, source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .context(|| format!("open {}", source.display()))?;
    match subpath {
        None => Ok(handle),
        Some(subpath) => beneath::handle(handle.as_fd(), subpath)
            .context(|| format!("open {} in {}", subpath.display(), source.display())),
    }
}

//! The source of a bind mount, opened.
//!
//! The path itself is the user's, and the host's links on it count. Below it, where a volume's own
//! files begin, a part (`volume-subpath`) is resolved by openat2(2) so that no link leads out. What is
//! mounted then is the descriptor, never the path again.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::error::{Context, Result};
use crate::sys::beneath;

/// A handle to a bind's source, or to a part of it: no link in a volume leads out of that.
pub fn open(source: &Path, subpath: Option<&Path>) -> Result<OwnedFd> {
    let handle = openat(CWD, source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .context(|| format!("open {}", source.display()))?;
    match subpath {
        None => Ok(handle),
        Some(subpath) => beneath::handle(handle.as_fd(), subpath)
            .context(|| format!("open {} in {}", subpath.display(), source.display())),
    }
}

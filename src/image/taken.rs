//! Turns an overlay's upper directory into a layer without copying the files.
//!
//! `Layers::take` renames the directory to the layer's directory; no file is written again. Then
//! one pass over the directory produces the layer's tar, without storing the tar. The pass hashes
//! the tar, records its recipe, and makes the directory equal to the tar: it removes files that the
//! tar leaves out, and if a file's time differs in seconds, sets the time that the tar has. Marks
//! that overlayfs makes for itself (`trusted.overlay.origin`, `impure`) stay: overlayfs does not
//! read them in a lower directory, and no program of a build step may set one.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::sync::Mutex;

use rustix::fs::{AtFlags, Stat, Timespec, Timestamps, UTIME_OMIT, fstat, futimens, utimensat};
use sha2::{Digest as _, Sha256};

use super::attributes::times;
use super::recipe::Recipe;
use super::tar::{Entry, Writer};
use super::tree::{Form, Overrides, Skip, Top, TreeWriter, Watch};
use crate::digest::Digest;
use crate::error::{Context, Error, Result};
use crate::store::remove_at;

/// The digest and the sizes of a layer that was made of a directory.
pub struct Taken {
    pub diff_id: Digest,
    /// The size of all files, in bytes.
    pub size: u64,
    /// The size of the tar in bytes, if there is a recipe for it.
    pub tar_size: Option<u64>,
}

struct Recorder(Mutex<Recorded>);

struct Recorded {
    hasher: Sha256,
    recipe: Recipe,
    size: u64,
}

/// Makes the files of the upper directory `root` equal to the layer's tar, and writes the tar's
/// recipe to the file `recipe`. Leaves out and removes the paths that `skip` names.
pub fn take(
    root: BorrowedFd<'_>,
    recipe: File,
    skip: Skip<'_>,
    overrides: Overrides,
) -> Result<Taken> {
    let recipe = Recipe::new(Some(recipe));
    let recorder = Recorder(Mutex::new(Recorded { hasher: Sha256::new(), recipe, size: 0 }));
    // Use the same types as the other users of `TreeWriter`, so that the binary contains the
    // generic code only once.
    let mut output = &recorder;
    let mut writer = Writer::new(&mut output as &mut dyn Write);
    let mut tree = TreeWriter::new(&mut writer, Form::Layer).skipping(skip).overriding(overrides);
    tree = tree.watched(&recorder);
    tree.top(root, Top::Unusual)?;
    tree.contents(root)?;
    writer.finish()?;
    let recorded =
        recorder.0.into_inner().map_err(|_| Error::new("the pass over the layer failed"))?;
    let tar_size = recorded.recipe.finish()?;
    Ok(Taken { diff_id: Digest::finish(recorded.hasher), size: recorded.size, tar_size })
}

impl Recorder {
    fn record(&self, record: impl FnOnce(&mut Recorded)) {
        // Only this thread uses the mutex, so locking it does not wait.
        if let Ok(mut recorded) = self.0.lock() {
            record(&mut recorded);
        }
    }
}

impl Write for &Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.record(|recorded| {
            recorded.hasher.update(bytes);
            recorded.recipe.pass(bytes);
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Watch for Recorder {
    fn entry(
        &self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        stat: &Stat,
        entry: &Entry,
    ) -> Result<()> {
        if entry.mtime.0 == stat.st_mtime {
            return Ok(());
        }
        let set = utimensat(parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW);
        set.context(|| "set the time")
    }

    fn skipped(&self, parent: BorrowedFd<'_>, name: &OsStr) -> Result<()> {
        // Keep the directory's time, which the tar may already contain.
        let stat = fstat(parent)?;
        remove_at(parent, name)?;
        let last_modification =
            Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
        let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        futimens(parent, &Timestamps { last_access, last_modification })?;
        Ok(())
    }

    fn file(&self, size: u64) {
        self.record(|recorded| recorded.size += size);
    }

    fn contents(&self, path: &[u8], offset: u64, length: u64) {
        self.record(|recorded| recorded.recipe.copied(path, offset, length));
    }
}

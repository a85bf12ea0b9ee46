//! The layer store: `layers/<hex diff_id>/fs` has the files of a layer. Images and containers share
//! layers.
//!
//! A layer is unpacked in a directory `.unpack-…`. The unpacking process locks this directory by
//! flock(2). One syncfs(2) syncs all layers of an image. A layer is renamed into place under the
//! lock of the images, when its image is committed or its build ends. So a layer in place is
//! complete. If two processes unpack the same layer, the second copy is dropped. A killed process
//! can leave a directory `.unpack-…`, `.ready-…` or `.trash-…`, or a layer that nothing needs;
//! `system check` finds them.
//!
//! A pulled layer waits for its image as `.ready-<boot>-<diff_id>`. A pull at the same time, or the
//! next pull after a kill, uses the layer. After a reboot no pull uses the layer, because a part of
//! it may be missing.

use std::fs::{self, File};
#[cfg(feature = "build")]
use std::io::ErrorKind;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use miniserde::{Deserialize, Serialize};
use rustix::fs::{
    AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags, flock, open, renameat_with, statat,
};
use rustix::io::Errno;

use super::recipe::Recorder;
use super::stream::with_plain;
#[cfg(feature = "build")]
use super::taken::take;
#[cfg(feature = "build")]
use super::tree::{Overrides, Skip};
use super::unpack::{Rules, unpack};
use crate::digest::Digest;
use crate::error::{Context, Result};
use crate::hex::random_name;
use crate::store::{self, Durability, make_dir, remove_tree};
use crate::sys;

/// The name of the recipe's file in a layer's directory.
pub const RECIPE: &str = "recipe";
const UNPACKING: &str = ".unpack-";
const READY: &str = ".ready-";
const TRASH: &str = ".trash-";

/// The directory of all layers.
pub struct Layers {
    dir: PathBuf,
}

/// A layer that is unpacked but not in place yet. Dropping this removes the directory, unless other
/// processes may use it.
pub struct Staged {
    pub diff_id: Digest,
    /// Whether the archive had its end mark. Only [`Layers::stage`] sets this field and `is_plain`
    /// from the archive. Other functions set both to `true`.
    pub ended: bool,
    /// Whether the layer's tar can be passed on unchanged: other readers accept the tar, and there
    /// is a recipe for it.
    pub is_plain: bool,
    dir: PathBuf,
    /// The lock of this process on the directory. The sweep leaves a locked directory alone.
    lock: OwnedFd,
    /// Whether this process must not remove the directory: the layer is in place, in the directory
    /// of a build, or ready for other processes.
    kept: bool,
}

/// The content of `layer.json`.
#[derive(Serialize, Deserialize)]
struct LayerRecord {
    /// The size of all files of the layer, in bytes.
    size: u64,
    /// The size of the layer's tar in bytes, if there is a recipe for it.
    tar_size: Option<u64>,
}

impl Layers {
    /// Returns the store in the directory `dir`.
    pub fn new(dir: PathBuf) -> Layers {
        Layers { dir }
    }

    /// Returns the layer's root directory, an overlayfs lowerdir.
    pub fn fs(&self, diff_id: &Digest) -> PathBuf {
        self.home(diff_id).join("fs")
    }

    /// Returns the directory of a layer.
    pub fn home(&self, diff_id: &Digest) -> PathBuf {
        self.dir.join(diff_id.hex())
    }

    /// Whether the layer is in place.
    pub fn exists(&self, diff_id: &Digest) -> bool {
        self.home(diff_id).is_dir()
    }

    /// Returns the size of the layer's files in bytes, or 0 if the layer is gone.
    pub fn size(&self, diff_id: &Digest) -> Result<u64> {
        Ok(self.record(diff_id)?.map_or(0, |record| record.size))
    }

    /// Returns the size of the layer's tar in bytes, if there is a recipe for it.
    pub fn tar_size(&self, diff_id: &Digest) -> Result<Option<u64>> {
        Ok(self.record(diff_id)?.and_then(|record| record.tar_size))
    }

    fn record(&self, diff_id: &Digest) -> Result<Option<LayerRecord>> {
        store::read_json(&self.home(diff_id).join("layer.json"))
    }

    /// Unpacks a layer from its tar, compressed or not, and computes its diff_id. The layer is not
    /// synced yet.
    pub fn stage(&self, input: &mut (dyn Read + Send)) -> Result<Staged> {
        make_dir(&self.dir)?;
        self.sweep();
        let (dir, lock) = self.locked_dir()?;
        let diff_id = Digest::of(b"");
        let mut staged = Staged { diff_id, ended: false, is_plain: false, dir, lock, kept: false };
        let fs = staged.dir.join("fs");
        make_dir(&fs)?;
        let root = store::open_dir(&fs)?;
        rustix::fs::fchmod(&root, Mode::from_raw_mode(0o755))?;
        let recipe = staged.dir.join(RECIPE);
        let (unpacked, tar_size) = with_plain(input, |plain| {
            let mut recorder = Recorder::new(plain, Some(File::create(&recipe)?));
            let unpacked = unpack(&mut recorder, root.as_fd(), &Rules::Layer)?;
            let tar_size = recorder.finish()?;
            staged.diff_id = plain.finish()?;
            Ok((unpacked, tar_size))
        })?;
        if tar_size.is_none() {
            store::remove_file(&recipe)?;
        }
        staged.ended = unpacked.ended;
        staged.is_plain = tar_size.is_some() && !unpacked.gnu_only;
        let record = LayerRecord { size: unpacked.size, tar_size };
        store::replace_json(&staged.dir.join("layer.json"), &record, Durability::Lazy)?;
        Ok(staged)
    }

    /// Turns the overlay's upper directory `upper` into a layer by moving it. Returns `None` if
    /// `upper` is on another file system. The layer is not synced yet.
    #[cfg(feature = "build")]
    pub fn take(
        &self,
        upper: &Path,
        skip: Skip<'_>,
        overrides: Overrides,
    ) -> Result<Option<Staged>> {
        make_dir(&self.dir)?;
        self.sweep();
        let (dir, lock) = self.locked_dir()?;
        let diff_id = Digest::of(b"");
        let mut staged = Staged { diff_id, ended: true, is_plain: true, dir, lock, kept: false };
        match fs::rename(upper, staged.dir.join("fs")) {
            Err(error) if error.kind() == ErrorKind::CrossesDevices => return Ok(None),
            moved => moved.context(|| format!("take {}", upper.display()))?,
        }
        let recipe = staged.dir.join(RECIPE);
        let taken = take(staged.root()?.as_fd(), File::create(&recipe)?, skip, overrides)?;
        if taken.tar_size.is_none() {
            store::remove_file(&recipe)?;
        }
        staged.diff_id = taken.diff_id;
        let record = LayerRecord { size: taken.size, tar_size: taken.tar_size };
        store::replace_json(&staged.dir.join("layer.json"), &record, Durability::Lazy)?;
        Ok(Some(staged))
    }

    /// Makes a staged, verified layer ready for other processes, which find it by
    /// [`Layers::ready`].
    pub fn make_ready(&self, staged: &mut Staged) -> Result<()> {
        let ready = self.ready_dir(&staged.diff_id);
        match renameat_with(CWD, &staged.dir, CWD, &ready, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            // Another process has made the layer ready, or the file system lacks the flag. Then
            // this process keeps its directory to itself.
            Err(Errno::EXIST | Errno::INVAL) => return Ok(()),
            Err(error) => return Err(error).context(|| format!("make {}", ready.display())),
        }
        (staged.dir, staged.kept) = (ready, true);
        // From now on other processes may hold a shared lock too. flock(2) changes a lock by
        // releasing it first. A sweep that opened the directory by its old name may then take the
        // lock, but releases it at once, because that name is gone.
        flock(&staged.lock, FlockOperation::LockShared).context(|| "lock a layer")
    }

    /// Returns the layer, if a pull has made it ready.
    pub fn ready(&self, diff_id: &Digest) -> Result<Option<Staged>> {
        let dir = self.ready_dir(diff_id);
        let lock = lock_dir(&dir, FlockOperation::NonBlockingLockShared)?;
        let diff_id = *diff_id;
        Ok(lock.map(|lock| Staged { diff_id, ended: true, is_plain: true, dir, lock, kept: true }))
    }

    fn ready_dir(&self, diff_id: &Digest) -> PathBuf {
        self.dir.join(format!("{READY}{}-{}", sys::process::boot_id(), diff_id.hex()))
    }

    /// Syncs the file system of the layers, and so everything that was staged (syncfs(2)).
    pub fn sync(&self) -> Result<()> {
        let dir = File::open(&self.dir)?;
        rustix::fs::syncfs(&dir).context(|| format!("sync {}", self.dir.display()))
    }

    /// Moves a staged layer into place, or drops it if the layer exists already. The caller holds
    /// the lock of the images, and calls `sync_dir` after it has placed all layers.
    pub fn place(&self, mut staged: Staged) -> Result<()> {
        let home = self.home(&staged.diff_id);
        match renameat_with(CWD, &staged.dir, CWD, &home, RenameFlags::NOREPLACE) {
            Ok(()) => staged.kept = true,
            Err(Errno::EXIST) => staged.kept = false,
            // Not every file system has the flag. The lock of the images is held, so it is enough
            // to check first whether the layer exists.
            Err(Errno::INVAL) if !self.exists(&staged.diff_id) => {
                fs::rename(&staged.dir, &home).context(|| format!("make {}", home.display()))?;
                staged.kept = true;
            }
            Err(Errno::INVAL) => staged.kept = false,
            Err(error) => return Err(error).context(|| format!("make {}", home.display())),
        }
        Ok(())
    }

    /// Moves into place a layer that a build made. If the layer exists already, both directories
    /// stay as they are. The caller holds the lock of the images, and calls `sync_dir` after it has
    /// moved all layers.
    #[cfg(feature = "build")]
    pub fn adopt(&self, dir: &Path, diff_id: &Digest) -> Result<()> {
        let home = self.home(diff_id);
        if home.is_dir() {
            return Ok(());
        }
        fs::rename(dir, &home).context(|| format!("make {}", home.display()))
    }

    /// Returns the directory of all layers.
    #[cfg(feature = "build")]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Syncs the renames that moved layers into place.
    pub fn sync_dir(&self) -> Result<()> {
        store::sync_parent(&self.dir.join("x"))
    }

    /// Renames a layer out of its place, and returns the new path, or `None` if the layer is not in
    /// place. The caller holds the lock of the images, and passes the path to [`remove_tree`] after
    /// it has released the lock. If the process dies before that, `system check` finds the rest.
    pub fn take_out(&self, diff_id: &Digest) -> Result<Option<PathBuf>> {
        let trash = self.dir.join(format!("{TRASH}{}", random_name()?));
        match fs::rename(self.home(diff_id), &trash) {
            Ok(()) => Ok(Some(trash)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context(|| format!("remove layer {diff_id}")),
        }
    }

    /// Returns all layers in place. Other names in the directory are ignored.
    pub fn list(&self) -> Result<Vec<Digest>> {
        Ok(store::list(&self.dir)?.iter().filter_map(|name| Digest::parse_hex(name)).collect())
    }

    /// Returns the leftovers of dead processes: half-unpacked layers, layers of unfinished pulls,
    /// and layers whose removal was interrupted. A layer that another process is just removing is
    /// returned too.
    pub fn leftovers(&self) -> Result<Vec<(PathBuf, Leftover)>> {
        let mut leftovers = Vec::new();
        for path in store::hidden(&self.dir, |name| Leftover::of(name).is_some())? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let Some(kind) = Leftover::of(&name) else { continue };
            let is_left = kind == Leftover::Removed
                || lock_dir(&path, FlockOperation::NonBlockingLockExclusive)?.is_some();
            if is_left {
                leftovers.push((path, kind));
            }
        }
        Ok(leftovers)
    }

    /// Removes the layers that dead processes unpacked only in part. These processes may have died
    /// because the disk was full, and the user's next attempt needs the space. `system check`
    /// reports the directories that can't be removed.
    fn sweep(&self) {
        let leftovers = self.leftovers().unwrap_or_default();
        for (path, _) in leftovers.iter().filter(|(_, kind)| *kind == Leftover::Unpacking) {
            let _ = self.remove_leftover(path, Leftover::Unpacking);
        }
    }

    /// Removes one leftover, unless another process holds its lock. A layer whose removal was
    /// interrupted has no lock.
    pub fn remove_leftover(&self, path: &Path, kind: Leftover) -> Result<()> {
        // Hold the lock until the directory is removed, so that no process starts to use it.
        let _held = match kind {
            Leftover::Removed => None,
            _ => match lock_dir(path, FlockOperation::NonBlockingLockExclusive)? {
                Some(lock) => Some(lock),
                None => return Ok(()),
            },
        };
        remove_tree(path)
    }

    /// Makes a new, locked directory to unpack into.
    fn locked_dir(&self) -> Result<(PathBuf, OwnedFd)> {
        loop {
            let dir = self.dir.join(format!("{UNPACKING}{}", random_name()?));
            make_dir(&dir)?;
            // `None` means that a sweep took the new directory for a leftover.
            if let Some(lock) = lock_dir(&dir, FlockOperation::NonBlockingLockExclusive)? {
                return Ok((dir, lock));
            }
        }
    }
}

/// The reason why a directory among the layers belongs to no image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leftover {
    Unpacking,
    Ready,
    Removed,
}

impl Leftover {
    fn of(name: &str) -> Option<Leftover> {
        let kinds = [
            (UNPACKING, Leftover::Unpacking),
            (READY, Leftover::Ready),
            (TRASH, Leftover::Removed),
        ];
        kinds.into_iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, kind)| kind)
    }
}

impl Staged {
    /// Opens the layer's root directory.
    pub fn root(&self) -> Result<OwnedFd> {
        store::open_dir(&self.dir.join("fs"))
    }

    /// Whether the layer has no files.
    pub fn is_empty(&self) -> Result<bool> {
        let fs = self.dir.join("fs");
        let entries = fs::read_dir(&fs).context(|| format!("read {}", fs.display()))?;
        Ok(entries.count() == 0)
    }

    /// Moves the directory to `path`. Dropping this no longer removes the directory.
    #[cfg(feature = "build")]
    pub fn move_to(&mut self, path: PathBuf) -> Result<()> {
        fs::rename(&self.dir, &path).context(|| format!("make {}", path.display()))?;
        (self.dir, self.kept) = (path, true);
        Ok(())
    }

    /// Whether the directory still exists: another pull may have moved the layer into place.
    pub fn is_there(&self) -> bool {
        self.dir.is_dir()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.kept {
            // If this fails, a sweep or `system check` removes the directory later.
            let _ = remove_tree(&self.dir);
        }
    }
}

/// Locks a directory without waiting. Returns `None` if the directory is gone, or if another
/// process holds a conflicting lock.
fn lock_dir(dir: &Path, operation: FlockOperation) -> Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let context = || format!("lock {}", dir.display());
    let held = match open(dir, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        result => result.context(context)?,
    };
    match flock(&held, operation) {
        Err(Errno::WOULDBLOCK) => return Ok(None),
        result => result.context(context)?,
    }
    let there = statat(CWD, dir, AtFlags::SYMLINK_NOFOLLOW);
    let same = there
        .is_ok_and(|there| rustix::fs::fstat(&held).is_ok_and(|held| held.st_ino == there.st_ino));
    Ok(same.then_some(held))
}

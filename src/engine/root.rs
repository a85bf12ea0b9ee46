//! Access to a container's files from the host.
//!
//! The root of a running container is opened through its first process. The root of a stopped
//! container is mounted in a mount namespace of this command. Resolve paths in a root only by
//! openat2(2) with RESOLVE_IN_ROOT (`sys::beneath`), because the container controls the links in
//! its root.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::Engine;
use super::condition::{MAX_TRANSITION, Pauses, no_such};
use crate::container::files::Files;
use crate::container::record::Record;
use crate::container::state::{Condition, State, is_watched, lives};
use crate::error::{Result, fail};
use crate::raw;
use crate::runtime::spec::{IdMap, Mount, MountSource, Root};
use crate::runtime::view;
use crate::store::{self, Lock};
use crate::volume::mounted;

/// A container's open root directory.
pub(super) struct OpenRoot {
    pub root: OwnedFd,
    /// The ID map, if the container runs in a user namespace. The owners of the files in `root` are
    /// then IDs of the host.
    pub ids: Option<IdMap>,
    /// The lock that prevents a start of a stopped container.
    _stopped: Option<Lock>,
}

/// The state of a container whose files are to be read.
pub(super) enum StoppedOrRunning {
    /// The container is stopped. While the lock is held, it cannot start.
    Stopped(Lock),
    Running(State),
}

impl Engine {
    /// Opens the root with the container's mounts. For a stopped container, the root has only the
    /// mounts of files, directories and volumes of the host.
    pub(super) fn open_root(&self, record: &Record) -> Result<OpenRoot> {
        let mounts = || {
            let mut mounts = self.name_mounts(record);
            let files = Files::new(&self.roots, &record.id);
            let theirs = record.mounts.iter();
            mounts.extend(theirs.map(|mount| super::spec::mount(record, mount, &files)));
            // Leave out tmpfs and image mounts, and missing sources: the files for name resolution
            // are missing before the first start, and the user may have removed the source of a
            // bind.
            mounts.retain(|mount| match &mount.source {
                MountSource::Bind(path) | MountSource::Copy(path) => path.exists(),
                _ => false,
            });
            mounts
        };
        // The closure runs in a mount namespace that only this command has, so the mounts end with
        // the command.
        let prepare = || {
            let mut mounts = record.mounts.iter().filter(|mount| mount.has_options);
            mounts.try_for_each(|mount| {
                let name = mount.volume.as_deref().unwrap_or_default();
                mounted::mount_here(&self.roots, name)
            })
        };
        self.open_root_by(record, view::running, mounts, prepare)
    }

    /// Opens the root without the mounts in it.
    pub(super) fn open_bare_root(&self, record: &Record) -> Result<OpenRoot> {
        self.open_root_by(record, view::running_root, Vec::new, || Ok(()))
    }

    fn open_root_by(
        &self,
        record: &Record,
        running: fn(i32, u64) -> Result<OwnedFd>,
        mounts: impl Fn() -> Vec<Mount>,
        prepare: impl Fn() -> Result<()>,
    ) -> Result<OpenRoot> {
        const MAX_TRIES: u32 = 16;
        for _ in 0..MAX_TRIES {
            let state = match self.stopped_or_running(record)? {
                StoppedOrRunning::Running(state) => state,
                StoppedOrRunning::Stopped(lock) => {
                    let root = self.root_of(record)?;
                    let root = view::at_rest(&root, &mounts(), &self.mount_point()?, &prepare)?;
                    return Ok(OpenRoot { root, ids: None, _stopped: Some(lock) });
                }
            };
            match running(state.pid, state.start_time) {
                // The container has just exited, so read its files as those of a stopped container.
                Err(_) if self.is_ending(&state) => {}
                root => return Ok(OpenRoot { root: root?, ids: record.ids(), _stopped: None }),
            }
        }
        fail!("container {} restarts again and again; try again", record.name)
    }

    /// Opens the root of the container's image.
    pub(super) fn open_layers(&self, record: &Record) -> Result<OwnedFd> {
        let layers: Vec<PathBuf> =
            record.layers.iter().map(|layer| raw::path(layer).into()).collect();
        view::of_layers(&layers, &self.mount_point()?)
    }

    /// Returns a lock that prevents a start of the container, or the state if the container runs. A
    /// container that waits for a restart counts as stopped, because its monitor takes the same
    /// lock before the restart.
    pub(super) fn stopped_or_running(&self, record: &Record) -> Result<StoppedOrRunning> {
        let files = Files::new(&self.roots, &record.id);
        let mut pauses = Pauses::within(MAX_TRANSITION);
        loop {
            if let Condition::Running(state) = self.condition(record)? {
                return Ok(StoppedOrRunning::Running(state));
            }
            let Some(lock) = files.lock_changes()? else { return Err(no_such(&record.name)) };
            // The container may have started or ended before the lock was taken.
            let is_stopped = if is_watched(&files)? {
                matches!(store::read_json(&files.state())?, Some(State { pid: 0, .. }))
            } else {
                files.parked_outcome().exists()
                    || (!files.run.exists() && !lives(&self.roots, record)?)
            };
            if is_stopped {
                return Ok(StoppedOrRunning::Stopped(lock));
            }
            drop(lock);
            if !pauses.wait() {
                fail!("container {} restarts again and again; try again", record.name);
            }
        }
    }

    /// Returns the root of a container: its own directory (`--rootfs`), or the layers of its image
    /// with the container's writable layer.
    pub(super) fn root_of(&self, record: &Record) -> Result<Root> {
        let files = Files::new(&self.roots, &record.id);
        Ok(match &record.rootfs {
            Some(directory) => Root::Directory { path: raw::path(directory).into(), mapped: true },
            None => Root::Overlay {
                lower: {
                    let image = record.layers.iter().map(|layer| raw::path(layer).into());
                    image.chain([self.placeholders(&record.layers)?]).collect()
                },
                upper: files.upper(),
                work: files.work(),
                volatile: false,
            },
        })
    }

    /// Makes the directory that this command uses as a mount point in its own mount namespace.
    pub(super) fn mount_point(&self) -> Result<PathBuf> {
        let place = self.roots.run.join("view");
        store::make_dir(&place)?;
        Ok(place)
    }
}

/// Returns the paths in a root where the runtime mounts, without the first slash. A mount point is
/// not a change that the container made: the container cannot reach a file that a mount hides.
pub(super) fn mount_points(record: &Record) -> Vec<Vec<u8>> {
    let ours = ["etc/hosts", "etc/resolv.conf", "etc/hostname", "dev", "proc", "sys"];
    let targets = record.mounts.iter().map(|mount| mount.target.trim_start_matches('/'));
    ours.into_iter().chain(targets).map(|path| raw::decode(path).into_owned()).collect()
}

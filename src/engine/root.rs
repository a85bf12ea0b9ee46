//! The files of a container from outside: which view of them a command needs, and how it is had.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::Engine;
use crate::container::record::{Files, Record};
use crate::container::state::{Condition, State, is_watched};
use crate::error::{Result, fail};
use crate::runtime::spec::{IdMap, MountSource, Root};
use crate::runtime::view;
use crate::store::{self, Lock};

/// A container's root directory, open.
pub(super) struct OpenRoot {
    pub root: OwnedFd,
    /// Running in a user namespace: its files' owners are seen as the host knows them.
    pub ids: Option<IdMap>,
    /// Keeps a container at rest from starting meanwhile.
    _at_rest: Option<Lock>,
}

impl Engine {
    /// The root as the container sees it, volumes included.
    pub(super) fn open_root(&self, record: &Record) -> Result<OpenRoot> {
        match self.at_rest(record)? {
            Err(state) => {
                let root = view::running(state.pid, state.start_time)?;
                Ok(OpenRoot { root, ids: record.ids(), _at_rest: None })
            }
            Ok(lock) => {
                let mut mounts = self.name_mounts(record);
                // Before the first start they aren't there.
                mounts.retain(|mount| match &mount.source {
                    MountSource::Bind(path) => path.exists(),
                    MountSource::Tmpfs { .. } => false,
                });
                mounts.extend(record.mounts.iter().map(|mount| super::spec::mount(record, mount)));
                let root = view::at_rest(&self.root_of(record)?, &mounts, &self.mount_point()?)?;
                Ok(OpenRoot { root, ids: None, _at_rest: Some(lock) })
            }
        }
    }

    /// The root without what is mounted in it.
    pub(super) fn open_bare_root(&self, record: &Record) -> Result<OpenRoot> {
        match self.at_rest(record)? {
            Err(state) => {
                let root = view::running_root(state.pid, state.start_time)?;
                Ok(OpenRoot { root, ids: record.ids(), _at_rest: None })
            }
            Ok(lock) => {
                let root = view::at_rest(&self.root_of(record)?, &[], &self.mount_point()?)?;
                Ok(OpenRoot { root, ids: None, _at_rest: Some(lock) })
            }
        }
    }

    /// What the container's image holds.
    pub(super) fn open_layers(&self, record: &Record) -> Result<OwnedFd> {
        let layers: Vec<PathBuf> = record.layers.iter().map(PathBuf::from).collect();
        view::of_layers(&layers, &self.mount_point()?)
    }

    /// Either keeps the container from starting, or tells how it runs.
    pub(super) fn at_rest(&self, record: &Record) -> Result<Result<Lock, State>> {
        if let Condition::Running(state) = self.condition(record)? {
            return Ok(Err(state));
        }
        let files = Files::new(&self.roots, &record.id);
        let Some(lock) = files.lock_changes()? else { fail!("container {} is gone", record.name) };
        // Started before the lock was ours.
        match self.condition(record)? {
            Condition::Running(state) => Ok(Err(state)),
            _ if is_watched(&files)? => {
                fail!("container {} is starting or ending at this moment; try again", record.name)
            }
            _ => Ok(Ok(lock)),
        }
    }

    pub(super) fn root_of(&self, record: &Record) -> Result<Root> {
        let files = Files::new(&self.roots, &record.id);
        Ok(match &record.rootfs {
            Some(directory) => Root::Directory(directory.into()),
            None => Root::Overlay {
                lower: {
                    let image = record.layers.iter().map(PathBuf::from);
                    image.chain(self.placeholders(&record.layers)?).collect()
                },
                upper: files.upper(),
                work: files.work(),
                volatile: false,
            },
        })
    }

    /// Where this process mounts, in a namespace of its own.
    fn mount_point(&self) -> Result<PathBuf> {
        let place = self.roots.run.join("view");
        store::make_dir(&place)?;
        Ok(place)
    }
}

/// What the runtime itself puts into a root to mount on: no change of the container's, which can't
/// reach what lies below a mount. Paths without the first slash.
pub(super) fn mount_points(record: &Record) -> Vec<Vec<u8>> {
    let ours = ["etc/hosts", "etc/resolv.conf", "etc/hostname", "dev", "proc", "sys"];
    let targets = record.mounts.iter().map(|mount| mount.target.trim_start_matches('/'));
    ours.into_iter().chain(targets).map(|path| path.as_bytes().to_vec()).collect()
}

//! Mounts volumes that have options (mount(2), umount(2)). When the first container with the volume
//! starts, the volume is mounted on the host at `volumes/NAME/_data`, so that all containers see
//! one file system. The mount is removed after the last container has ended.
//!
//! The run root has a mark for each container that uses the volume: `.volumes/NAME/<id>`. The mark
//! is written before the mount, and counts only while its container is alive. So a kill leaves at
//! most a mark that does not count, and a mount. The reclaim of the container, the end of another
//! container with the volume, `volume rm` or `system check --repair` removes the mount; a reboot
//! removes marks and mounts. Marks and the host's mounts are changed under the lock of the volume's
//! directory.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use super::options::{self, MountCall};
use super::{data, read};
use crate::container_id::ContainerId;
use crate::error::{Context, Error, Result, fail};
use crate::store::{self, Lock, LockMode, Roots};
use crate::sys::{self, trace::Traced};

/// A function that returns whether the container with this id is alive.
pub type IsAlive = fn(&Roots, &ContainerId) -> bool;

/// The most mounts on top of each other that are removed. Only the administrator makes more than
/// one.
const MAX_MOUNTS: usize = 16;

/// Records that the container `user` uses the volume, and mounts the volume if it is not mounted.
/// Does nothing for a volume without options. Fails if the volume does not exist or cannot be
/// mounted, or if the mark cannot be written.
pub fn acquire(roots: &Roots, name: &str, user: &ContainerId) -> Result<()> {
    let _change = lock(roots, name)?;
    let Some(given) = read(roots, name)?.options else { return Ok(()) };
    let call = options::parse(&given)?;
    store::make_dir(&roots.run)?;
    store::make_dir(&marks(roots))?;
    store::make_dir(&marks(roots).join(name))?;
    let mark = marks(roots).join(name).join(user);
    fs::write(&mark, "").context(|| format!("write {}", mark.display()))?;
    let target = data(roots, name);
    if is_mounted(&target) {
        return Ok(());
    }
    make(&call, &target)
        .traced("mount", || format!("volume {name}: {} {}", call.name(), call.device))
        .map_err(|error| explain(error, name, &call))
        .inspect_err(|_| {
            // Return the failure to mount, and ignore the error of this removal: the mark of a
            // container that is gone does not count.
            let _ = fs::remove_file(&mark);
        })
}

/// Mounts a volume that has options, unless it is mounted already. The caller has its own mount
/// namespace, and the mount ends with that namespace.
pub fn mount_here(roots: &Roots, name: &str) -> Result<()> {
    let target = data(roots, name);
    match read(roots, name)?.options {
        Some(given) if !is_mounted(&target) => {
            let call = options::parse(&given)?;
            make(&call, &target).map_err(|error| explain(error, name, &call))
        }
        _ => Ok(()),
    }
}

/// Records that the container `user` no longer uses any volume, and unmounts each of its volumes
/// that no living container uses. Tries all volumes, and then returns the first error.
pub fn release(roots: &Roots, user: &ContainerId, is_alive: IsAlive) -> Result<()> {
    let mut first = Ok(());
    for name in store::list(&marks(roots))? {
        let place = marks(roots).join(&name);
        if !place.join(user).exists() {
            continue;
        }
        let released = lock(roots, &name).and_then(|_change| {
            store::remove_file(&place.join(user))?;
            let users = store::list(&place)?;
            let mut ids = users.iter().filter_map(|user| ContainerId::parse(user));
            if ids.any(|id| is_alive(roots, &id)) {
                return Ok(());
            }
            users.iter().try_for_each(|other| store::remove_file(&place.join(other)))?;
            take_off(roots, &name)
        });
        first = first.and(released);
    }
    first
}

/// Unmounts a volume with options. The caller knows that no living container uses the volume. A
/// mount on a volume without options stays, because the administrator made it.
pub fn unmount_unused(roots: &Roots, name: &str) -> Result<()> {
    let _change = lock(roots, name)?;
    if read(roots, name)?.options.is_none() {
        return Ok(());
    }
    store::remove_tree(&marks(roots).join(name))?;
    take_off(roots, name)
}

/// Whether something is mounted on the volume's directory.
pub fn is_mounted(data: &Path) -> bool {
    // If the directory is missing, nothing is mounted on it.
    sys::mount::is_mount_root(CWD, data).unwrap_or_default()
}

fn lock(roots: &Roots, name: &str) -> Result<Lock> {
    match Lock::wait_existing(&roots.volumes().join(name), LockMode::Exclusive)? {
        Some(lock) => Ok(lock),
        None => Err(Error::absent(format!("no such volume: {name}"))),
    }
}

fn marks(roots: &Roots) -> PathBuf {
    roots.run.join(".volumes")
}

fn make(call: &MountCall, target: &Path) -> Result<()> {
    let MountCall { kind, device, flags, .. } = call;
    if let Some(kind) = kind {
        let data = std::ffi::CString::new(call.resolved()?)
            .map_err(|_| Error::new("the options have a byte 0"))?;
        return mount(device.as_str(), target, kind.as_str(), *flags, data.as_c_str())
            .map_err(Error::from);
    }
    let how = *flags & (MountFlags::BIND | MountFlags::REC);
    mount(device.as_str(), target, "", how, c"")?;
    // The kernel applies the other flags of a bind only in a remount.
    let others = *flags - how;
    if others.is_empty() {
        return Ok(());
    }
    mount_remount(target, MountFlags::BIND | others, c"").map_err(|error| {
        // Remove the mount, which must not be used without these flags.
        let _ = unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        Error::from(error)
    })
}

fn explain(error: Error, name: &str, call: &MountCall) -> Error {
    let MountCall { kind, device, data, .. } = call;
    let hint = match error.errno() {
        Some(Errno::NODEV) if kind.is_some() => {
            format!("; this kernel has no file system '{}'", call.name())
        }
        Some(Errno::NOENT) => format!("; there is no {device}"),
        Some(Errno::INVAL) if call.name().starts_with("nfs") && !data.contains("addr=") => {
            "; nfs needs o=addr=SERVER".to_owned()
        }
        Some(Errno::INVAL) => {
            "; the file system refuses the options, or is of another type".to_owned()
        }
        _ => String::new(),
    };
    let kind = call.name();
    let with = if data.is_empty() { String::new() } else { format!(" with {data}") };
    Error::new(format!("mount volume {name}: {kind} {device}{with}: {error}{hint}"))
}

/// Detaches the mounts: a plain unmount fails while a shell is in the directory, and can wait for a
/// server that does not answer.
fn take_off(roots: &Roots, name: &str) -> Result<()> {
    let target = data(roots, name);
    for _ in 0..=MAX_MOUNTS {
        let done = unmount(&target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
            .traced("umount2", || format!("volume {name}"));
        match done {
            // Nothing is mounted on `target`. Do not ask first: statx(2) could wait for a server
            // that does not answer.
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            done => done.context(|| format!("unmount {}", target.display()))?,
        }
    }
    fail!("{} has more than {MAX_MOUNTS} mounts on it", target.display())
}

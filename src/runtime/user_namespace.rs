//! A container's user namespace (user_namespaces(7)): its root has no rights on the host.
//!
//! Only the host's root can build a container: the kernel refuses overlay, idmapped mounts and
//! device nodes to any other user. So the first process is not made in the namespace; it enters at
//! the very end, just before it becomes the user. The namespaces that must belong to the user
//! namespace (mounts, network, host name, IPC) are made by a short-lived process, the holder,
//! which then only waits; the first process joins them through descriptors. The PID namespace belongs
//! to the host's user namespace, since no right of a container depends on its owner.
//!
//! No file is copied or changes its owner: image layers, the overlay's upper directory and volumes are
//! idmapped mounts, in which UID 0 on disk is the container's root. So the disk holds the same
//! with any range of IDs and without one. Files of IDs beyond the range belong to `nobody` inside.
//!
//! Until it enters, the first process makes files as the container's root, the one user with an ID in
//! the mapped mounts, and keeps the host's capabilities (`become_builder`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::Pid;
use rustix::thread::{
    Gid, LinkNameSpaceType, Uid, move_into_link_name_space, set_thread_res_gid, set_thread_res_uid,
};

use super::namespaces::Joined;
use super::spec::{IdMap, IdMaps, IdRange, Mount, Namespace, Namespaces};
use super::{capabilities, namespaces};
use crate::error::{Context, Result, fail};
use crate::sys::clone::{Child, Flags, Fork, clone3};
use crate::sys::{self, packet};

/// A user namespace with its mapping.
#[derive(Clone, Copy)]
pub struct UserNamespace<'a> {
    pub fd: BorrowedFd<'a>,
    pub ids: &'a IdMaps,
}

impl UserNamespace<'_> {
    /// Moves the calling thread, the only one of its process, into the namespace, as its root. The
    /// process must have no supplementary groups.
    pub fn enter(&self) -> Result<()> {
        move_into_link_name_space(self.fd, Some(LinkNameSpaceType::User))
            .context(|| "enter the user namespace")?;
        set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)
            .context(|| "become the user namespace's root group")?;
        set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)
            .context(|| "become the user namespace's root")
    }
}

/// From now on the calling thread's files belong to the container's root; it keeps the capabilities
/// of the host's root.
pub fn become_builder(ids: &IdMaps) -> Result<()> {
    let (uid, gid) = root_of(ids)?;
    set_thread_res_gid(Gid::ROOT, gid, Gid::ROOT)
        .and_then(|()| set_thread_res_uid(Uid::ROOT, uid, Uid::ROOT))
        .context(|| "make files as the container's root")?;
    // The change from UID 0 made them ineffective.
    capabilities::raise_permitted()
}

/// The host's IDs of the container's root.
pub fn root_of(ids: &IdMaps) -> Result<(Uid, Gid)> {
    match (ids.host_uid(0), ids.host_gid(0)) {
        (Some(uid), Some(gid)) => Ok((Uid::from_raw(uid), Gid::from_raw(gid))),
        _ => fail!("the user namespace has no user 0 or no group 0; map both"),
    }
}

/// Becomes the host's root again.
pub fn become_host() -> Result<()> {
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)
        .and_then(|()| set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT))
        .context(|| "become the host's root again")
}

/// Shows the files of the detached tree `tree` with the owners of the user namespace; `path` is the
/// tree's source. A mount below it that can't be mapped keeps its owners, which are `nobody` there.
pub fn map_owners(tree: BorrowedFd<'_>, fd: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let mapped =
        sys::mount::map_owners(tree, fd, true).or_else(|_| sys::mount::map_owners(tree, fd, false));
    match mapped {
        Err(Errno::NOSYS) => fail!(
            "this kernel can't map the owners of files (idmapped mounts, Linux 5.12); use \
             --userns host"
        ),
        Err(Errno::INVAL | Errno::PERM) => fail!(
            "the file system of {} can't be shown with mapped owners: use --userns host; a bind \
             mount can also be had as it is, by the option noidmap",
            path.display()
        ),
        result => result.context(|| format!("map the owners in {}", path.display())),
    }
}

/// Why containers whose files lie in `directory` can't have a user namespace on this host, if so.
pub fn shortcoming(directory: &Path) -> Option<String> {
    let try_out = || -> Result<()> {
        let namespaces = Namespaces::of_host(Namespace::Private);
        let holder = Holder::make(&IdMap { uid: 1, gid: 1, size: 1 }.into(), &namespaces)?;
        let joined = Joined::open(&namespaces, Some(holder.pid()))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(CWD, directory, flags, Mode::empty())
            .and_then(|directory| sys::mount::copy_tree(directory.as_fd(), false))
            .context(|| format!("open {}", directory.display()))?;
        joined.user().map_or(Ok(()), |fd| map_owners(opened.as_fd(), fd, directory))?;
        if kernel_maps_layers() {
            Ok(())
        } else {
            fail!("overlayfs takes no layers with mapped owners before Linux 5.19")
        }
    };
    try_out().err().map(|error| error.to_string())
}

/// Whether overlayfs takes mapped mounts as layers: since Linux 5.19.
pub fn kernel_maps_layers() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(5), Some(19))
}

/// The process that is cloned into the new namespaces and holds them until the first process has joined
/// them. It ends when this value is dropped, or with its parent.
pub struct Holder {
    child: Child,
    socket: OwnedFd,
}

impl Holder {
    /// Makes a holder of a user namespace, a new one or another container's, and of those of `namespaces`
    /// that must belong to it.
    pub fn make(ids: &IdMaps, namespaces: &Namespaces) -> Result<Holder> {
        let joined = match &namespaces.user {
            Namespace::Of { pid, .. } => Some(open(*pid)?),
            Namespace::Path(path) => Some(namespaces::open_path(path)?),
            _ => None,
        };
        let (ours, theirs) = packet::pair().context(|| "make a socket pair")?;
        let (born, made) = match joined {
            Some(_) => (Flags::default(), owned(namespaces)),
            None => (Flags::USER.with(owned(namespaces)), Flags::default()),
        };
        let child = match clone3(born, None) {
            Ok(Fork::Child) => {
                drop(ours);
                hold(joined, made, theirs.as_fd())
            }
            Ok(Fork::Parent(child)) => child,
            Err(Errno::INVAL) if !Path::new("/proc/self/ns/user").exists() => fail!(
                "this kernel was built without user namespaces (CONFIG_USER_NS); use --userns host"
            ),
            Err(Errno::NOSPC) => fail!(
                "this host allows no more user namespaces; raise \
                 /proc/sys/user/max_user_namespaces or use --userns host"
            ),
            Err(error) => return Err(error).context(|| "clone a process into a user namespace"),
        };
        drop(theirs);
        let holder = Holder { child, socket: ours };
        match joined {
            Some(_) => holder.await_joined()?,
            None => {
                holder.map("uid_map", &ids.uids)?;
                holder.map("gid_map", &ids.gids)?;
            }
        }
        Ok(holder)
    }

    fn await_joined(&self) -> Result<()> {
        match packet::receive(self.socket.as_fd(), &mut [0], RecvFlags::empty()) {
            Ok(1) => Ok(()),
            _ => fail!("the other container's user namespace can't be joined; has it ended?"),
        }
    }

    /// The process ID of the holder.
    pub fn pid(&self) -> Pid {
        self.child.pid
    }

    fn map(&self, file: &str, ranges: &[IdRange]) -> Result<()> {
        let line = |range: &IdRange| format!("{} {} {}\n", range.inside, range.outside, range.size);
        let lines: String = ranges.iter().map(line).collect();
        let path = format!("/proc/{}/{file}", self.child.pid.as_raw_nonzero());
        // In one write, because the kernel takes no second.
        openat(CWD, &path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .and_then(|map| rustix::io::write(&map, lines.as_bytes()))
            .map(drop)
            .context(|| format!("write '{}' to {file}", lines.trim_end()))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        super::end(self.child.pidfd.as_fd());
    }
}

/// The mappings of the user namespace that a path of the host leads to.
pub fn ids_of(path: &Path) -> Result<IdMaps> {
    let namespaces = Namespaces::of_host(Namespace::Path(path.to_owned()));
    let none = IdMaps { uids: Vec::new(), gids: Vec::new() };
    let holder = Holder::make(&none, &namespaces)?;
    let read = |file: &str| -> Result<Vec<IdRange>> {
        let path = format!("/proc/{}/{file}", holder.pid().as_raw_nonzero());
        let text = std::fs::read_to_string(&path).context(|| format!("read {path}"))?;
        let range = |line: &str| {
            let mut numbers = line.split_whitespace().map(|number| number.parse().ok());
            let mut next = || numbers.next().flatten();
            Some(IdRange { inside: next()?, outside: next()?, size: next()? })
        };
        Ok(text.lines().filter_map(range).collect())
    };
    Ok(IdMaps { uids: read("uid_map")?, gids: read("gid_map")? })
}

/// A user namespace for each mount with an ID mapping of its own: the kernel takes a mapping only as a
/// user namespace.
pub fn of_mounts(mounts: &[Mount]) -> Result<Vec<OwnedFd>> {
    let owners = mounts.iter().filter_map(|mount| mount.owners.as_ref());
    owners
        .map(|owners| {
            let holder = Holder::make(&owners.ids, &Namespaces::of_host(Namespace::Private))?;
            open(holder.pid().as_raw_nonzero().get())
        })
        .collect()
}

/// Which namespaces must belong to the user namespace.
fn owned(namespaces: &Namespaces) -> Flags {
    let private = [
        (&namespaces.ipc, Flags::IPC),
        (&namespaces.uts, Flags::UTS),
        (&namespaces.network, Flags::NETWORK),
    ];
    let private = private.into_iter().filter(|(namespace, _)| **namespace == Namespace::Private);
    private.fold(Flags::MOUNT, |flags, (_, flag)| flags.with(flag))
}

/// The user namespace of a process.
pub fn open(pid: i32) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    sys::process::open_in_proc(pid, "ns/user", flags)
        .context(|| "open the container's user namespace")
}

/// Makes itself invisible to every process in its namespaces, creates the namespaces that clone3 did
/// not create, and waits to be killed.
fn hold(joined: Option<OwnedFd>, made: Flags, parent: BorrowedFd<'_>) -> ! {
    let ready = namespaces::hide().is_ok()
        && joined.is_none_or(|user| {
            move_into_link_name_space(user.as_fd(), Some(LinkNameSpaceType::User)).is_ok()
                && sys::clone::unshare(made).is_ok()
                && packet::send(parent, &[b"j"], None, SendFlags::empty()).is_ok()
        });
    if ready {
        let _ = packet::receive(parent, &mut [0], RecvFlags::empty());
    }
    sys::exec::exit_now(0)
}

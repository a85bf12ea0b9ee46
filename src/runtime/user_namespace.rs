//! A container's user namespace, in which root has no capabilities on the host
//! (user_namespaces(7)).
//!
//! Only the host's root may create device nodes and idmapped mounts, and mount overlays of idmapped
//! mounts. So init enters the user namespace late, shortly before init becomes the user. A
//! short-lived process, the holder, creates the namespaces that the user namespace must own
//! (mounts, network, host name, IPC), and init joins them. While init builds the root, it creates
//! files as the container's root (`become_builder`).
//!
//! For a container of the engine, layers and volumes keep their owners on disk: init mounts them
//! idmapped, so that UID 0 on disk is the container's root. A file of an ID outside the mapping
//! belongs to `nobody` in the container.

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
use crate::sys::trace::Traced;
use crate::sys::{self, packet};

/// An open user namespace and its ID mapping.
#[derive(Clone, Copy)]
pub struct UserNamespace<'a> {
    pub fd: BorrowedFd<'a>,
    pub ids: &'a IdMaps,
}

impl UserNamespace<'_> {
    /// Moves the calling thread, the only one of its process, into the user namespace. There the
    /// thread becomes root, or takes the lowest IDs if the mapping has no ID 0. The process must
    /// have no supplementary groups, because the groups would stay (setns(2)).
    pub fn enter(&self) -> Result<()> {
        move_into_link_name_space(self.fd, Some(LinkNameSpaceType::User))
            .traced("setns", || "join the user namespace".to_owned())
            .context(|| "enter the user namespace")?;
        let (user, group) = lowest(self.ids)?;
        let (uid, gid) = (Uid::from_raw(user.inside), Gid::from_raw(group.inside));
        set_thread_res_gid(gid, gid, gid).context(|| "become the user namespace's root group")?;
        set_thread_res_uid(uid, uid, uid).context(|| "become the user namespace's root")
    }
}

/// Makes the calling thread create files as the container's root. The thread keeps the capabilities
/// of the host's root.
pub fn become_builder(ids: &IdMaps) -> Result<()> {
    let (uid, gid) = root_of(ids)?;
    set_thread_res_gid(Gid::ROOT, gid, Gid::ROOT)
        .and_then(|()| set_thread_res_uid(Uid::ROOT, uid, Uid::ROOT))
        .context(|| "make files as the container's root")?;
    // The change from UID 0 has emptied the effective set.
    capabilities::raise_permitted()
}

/// The host's IDs for the container's root, or for the lowest IDs if the mapping has no ID 0. Fails
/// if the mapping is empty.
pub fn root_of(ids: &IdMaps) -> Result<(Uid, Gid)> {
    let (user, group) = lowest(ids)?;
    Ok((Uid::from_raw(user.outside), Gid::from_raw(group.outside)))
}

/// The ranges of user IDs and of group IDs that contain the lowest IDs in the user namespace.
fn lowest(ids: &IdMaps) -> Result<(&IdRange, &IdRange)> {
    let users = ids.uids.iter().min_by_key(|range| range.inside);
    let groups = ids.gids.iter().min_by_key(|range| range.inside);
    match (users, groups) {
        (Some(users), Some(groups)) => Ok((users, groups)),
        _ => fail!("the user namespace has no users or no groups"),
    }
}

/// Reverts [`become_builder`]: the calling thread is the host's root again.
pub fn become_host() -> Result<()> {
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)
        .and_then(|()| set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT))
        .context(|| "become the host's root again")
}

/// Maps the owners in the detached tree `tree`, and in the mounts below it, to the user namespace
/// `fd`. `path` is the tree's source, for errors. If a mount below the tree cannot be mapped, maps
/// `tree` alone. The files in the mounts below then keep the host's owners, which normally appear
/// as `nobody` in the container. Fails before Linux 5.12, or if the file system of `tree` supports
/// no idmapped mounts.
pub fn map_owners(tree: BorrowedFd<'_>, fd: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let mapped =
        sys::mount::map_owners(tree, fd, true).or_else(|_| sys::mount::map_owners(tree, fd, false));
    match mapped {
        Err(Errno::NOSYS) => fail!(
            "this kernel can't map the owners of files (idmapped mounts, Linux 5.12); run \
             the container in the host's user namespace"
        ),
        Err(Errno::INVAL | Errno::PERM) => fail!(
            "the file system of {} can't be shown with mapped owners: run the container in the \
             host's user namespace, or give a bind mount the option noidmap",
            path.display()
        ),
        result => result.context(|| format!("map the owners in {}", path.display())),
    }
}

/// The reason why containers with files in `directory` cannot have a user namespace on this host;
/// `None` if they can.
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

/// Whether this kernel's overlayfs accepts idmapped mounts as layers (Linux 5.19).
pub fn kernel_maps_layers() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(5), Some(19))
}

/// A process that keeps namespaces until another process has joined or opened them. The holder is
/// killed when this value is dropped, and ends when its parent ends.
pub struct Holder {
    child: Child,
    socket: OwnedFd,
}

impl Holder {
    /// Clones a holder into a new user namespace with the mapping `ids`, or lets the holder join
    /// the existing user namespace that `namespaces` names. Also creates the private namespaces
    /// that the user namespace must own. Fails if the user namespace cannot be created, mapped or
    /// joined.
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
                "this kernel was built without user namespaces (CONFIG_USER_NS); run the \
                 container in the host's user namespace"
            ),
            Err(Errno::NOSPC) => fail!(
                "this host allows no more user namespaces; raise \
                 /proc/sys/user/max_user_namespaces or run the container in the host's user \
                 namespace"
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

    /// The PID of the holder.
    pub fn pid(&self) -> Pid {
        self.child.pid
    }

    fn map(&self, file: &str, ranges: &[IdRange]) -> Result<()> {
        let line = |range: &IdRange| format!("{} {} {}\n", range.inside, range.outside, range.size);
        let lines: String = ranges.iter().map(line).collect();
        let path = format!("/proc/{}/{file}", self.child.pid.as_raw_nonzero());
        // The kernel accepts only one write to this file.
        openat(CWD, &path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .and_then(|map| rustix::io::write(&map, lines.as_bytes()))
            .map(drop)
            .traced("write", || format!("{} to {path}", lines.trim_end().replace('\n', ", ")))
            .context(|| format!("write '{}' to {file}", lines.trim_end()))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        super::end(self.child.pidfd.as_fd());
    }
}

/// Reads the ID mapping of the user namespace at a path of the host.
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

/// Creates a user namespace for each mount with its own ID mapping, in the order of `mounts`.
/// mount_setattr(2) accepts a mapping only as a user namespace.
pub fn of_mounts(mounts: &[Mount]) -> Result<Vec<OwnedFd>> {
    let owners = mounts.iter().filter_map(|mount| mount.owners.as_ref());
    owners
        .map(|owners| {
            let holder = Holder::make(&owners.ids, &Namespaces::of_host(Namespace::Private))?;
            open(holder.pid().as_raw_nonzero().get())
        })
        .collect()
}

/// The kinds of new namespaces that the user namespace must own.
fn owned(namespaces: &Namespaces) -> Flags {
    let private = [
        (&namespaces.ipc, Flags::IPC),
        (&namespaces.uts, Flags::UTS),
        (&namespaces.network, Flags::NETWORK),
    ];
    let private = private.into_iter().filter(|(namespace, _)| **namespace == Namespace::Private);
    private.fold(Flags::MOUNT, |flags, (_, flag)| flags.with(flag))
}

/// Opens the user namespace of the process `pid`.
pub fn open(pid: i32) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    sys::process::open_in_proc(pid, "ns/user", flags)
        .context(|| "open the container's user namespace")
}

/// The holder: hides from the processes in its namespaces, joins the user namespace `joined` if
/// there is one, creates the namespaces `made` in it, and waits until the holder is killed or the
/// parent ends.
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

//! Which namespaces a container's first process is cloned into and which ones it joins
//! (namespaces(7), clone(2), setns(2)). Namespaces of another container are opened by its pid and
//! checked by its start time afterwards, so that a recycled pid is never joined. The user namespace
//! itself is `user_namespace`'s; the cgroup namespace is unshared later, in `init`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space, move_into_thread_name_spaces,
};

use super::spec::{Namespace, Namespaces};
use super::user_namespace::Holder;
use crate::error::{Context, Error, Result, fail};
use crate::sys;
use crate::sys::clone::Flags;

/// The clone flags: always a mount namespace, and the others that are private, except those that a
/// holder (see `user_namespace`) has created already. The cgroup namespace is unshared later,
/// because its root is the cgroup of the process that creates it.
pub fn clone_flags(namespaces: &Namespaces, held: bool) -> Flags {
    if held {
        return match namespaces.pid {
            Namespace::Private => Flags::PID,
            _ => Flags::default(),
        };
    }
    [
        (namespaces.pid, Flags::PID),
        (namespaces.ipc, Flags::IPC),
        (namespaces.uts, Flags::UTS),
        (namespaces.network, Flags::NETWORK),
    ]
    .into_iter()
    .filter(|(namespace, _)| *namespace == Namespace::Private)
    .fold(Flags::MOUNT, |flags, (_, flag)| flags.with(flag))
}

/// What the clone made, for the log of `--debug`.
pub fn describe(namespaces: &Namespaces, child: Pid) -> String {
    let mut text = format!("CLONE_NEWNS: init, process {}", child.as_raw_nonzero());
    let all = [
        (namespaces.pid, "PID"),
        (namespaces.ipc, "IPC"),
        (namespaces.uts, "UTS"),
        (namespaces.network, "NET"),
    ];
    for (namespace, name) in all.into_iter().rev() {
        match namespace {
            Namespace::Private => text.insert_str(0, &format!("CLONE_NEW{name}|")),
            Namespace::Host => text += &format!(", {name} the host's"),
            Namespace::Of { pid, .. } => text += &format!(", {name} that of process {pid}"),
        }
    }
    text
}

/// The kernel options of the namespaces that this kernel was built without, to explain a clone that
/// failed with EINVAL.
pub fn missing() -> Vec<&'static str> {
    let kinds = [
        ("mnt", "CONFIG_NAMESPACES"),
        ("pid", "CONFIG_PID_NS"),
        ("ipc", "CONFIG_IPC_NS"),
        ("uts", "CONFIG_UTS_NS"),
        ("net", "CONFIG_NET_NS"),
    ];
    let lacks = |name: &str| !Path::new("/proc/self/ns").join(name).exists();
    kinds.into_iter().filter(|(name, _)| lacks(name)).map(|(_, option)| option).collect()
}

/// Open namespaces of other containers, and of this container's holder process.
pub struct Joined {
    pid: Option<OwnedFd>,
    ipc: Option<OwnedFd>,
    uts: Option<OwnedFd>,
    network: Option<OwnedFd>,
    /// The mount namespace of the container whose IPC namespace is joined, for its /dev/shm.
    pub ipc_mounts: Option<OwnedFd>,
    /// The container's own mount namespace, if a holder created it.
    mounts: Option<OwnedFd>,
    user: Option<OwnedFd>,
}

impl Joined {
    /// All open descriptors.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let Joined { pid, ipc, uts, network, ipc_mounts, mounts, user } = self;
        let all = [pid, ipc, uts, network, ipc_mounts, mounts, user];
        all.into_iter().flatten().map(AsFd::as_fd).collect()
    }

    /// Opens the namespaces to join. Fails if a container that shares its namespace has exited.
    pub fn open(namespaces: &Namespaces, holder: Option<&Holder>) -> Result<Joined> {
        let holder = holder.map(|holder| holder.pid().as_raw_nonzero().get());
        let join = |namespace, name| match (namespace, holder) {
            (Namespace::Of { pid, .. }, _) | (Namespace::Private, Some(pid)) => open(pid, name),
            _ => Ok(None),
        };
        let other = |namespace, name| match namespace {
            Namespace::Of { pid, .. } => open(pid, name),
            _ => Ok(None),
        };
        let held = |name| holder.map_or(Ok(None), |pid| open(pid, name));
        let joined = Joined {
            pid: other(namespaces.pid, "pid")?,
            ipc: join(namespaces.ipc, "ipc")?,
            uts: join(namespaces.uts, "uts")?,
            network: join(namespaces.network, "net")?,
            ipc_mounts: other(namespaces.ipc, "mnt")?,
            mounts: held("mnt")?,
            user: held("user")?,
        };
        // The process still runs after everything was opened, so its pid was not another process's
        // before.
        for namespace in [namespaces.pid, namespaces.ipc, namespaces.uts, namespaces.network] {
            if let Namespace::Of { pid, start_time } = namespace {
                let found = sys::process::find(pid, start_time);
                if found.context(|| format!("look for process {pid}"))?.living().is_none() {
                    fail!("the container that shares its namespaces has just exited");
                }
            }
        }
        Ok(joined)
    }

    /// The container's user namespace, if a holder created it.
    pub fn user(&self) -> Option<BorrowedFd<'_>> {
        self.user.as_ref().map(AsFd::as_fd)
    }

    /// Puts the caller's next child into the joined PID namespace; the caller stays in its own
    /// (pid_namespaces(7)).
    pub fn enter_pid_namespace(&self) -> Result<()> {
        enter(&self.pid, LinkNameSpaceType::ProcessID)
    }

    /// Joins the IPC, UTS and network namespaces.
    pub fn enter(&self) -> Result<()> {
        enter(&self.ipc, LinkNameSpaceType::InterProcessCommunication)?;
        enter(&self.uts, LinkNameSpaceType::HostNameAndNISDomainName)?;
        enter(&self.network, LinkNameSpaceType::Network)
    }

    /// Joins the mount namespace that the holder created: a copy of the host's mounts, owned by the
    /// user namespace.
    pub fn enter_mounts(&self) -> Result<()> {
        enter(&self.mounts, LinkNameSpaceType::Mount)
    }
}

fn open(pid: i32, name: &str) -> Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = sys::process::open_in_proc(pid, &format!("ns/{name}"), flags);
    opened.map(Some).context(|| format!("open the {name} namespace of process {pid}"))
}

/// Moves the calling thread, the only one of its process, into the namespaces `which` of the
/// process `pid`, open as `pidfd`. A main thread that has exited has no namespaces (ESRCH); then
/// those of another thread are joined one by one.
pub fn join(pidfd: BorrowedFd<'_>, pid: i32, which: ThreadNameSpaceType) -> Result<(), Errno> {
    /// The mount namespace comes last, because /proc is gone after it.
    const KINDS: [(ThreadNameSpaceType, LinkNameSpaceType, &str); 6] = [
        (ThreadNameSpaceType::PROCESS_ID, LinkNameSpaceType::ProcessID, "ns/pid"),
        (
            ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME,
            LinkNameSpaceType::HostNameAndNISDomainName,
            "ns/uts",
        ),
        (
            ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION,
            LinkNameSpaceType::InterProcessCommunication,
            "ns/ipc",
        ),
        (ThreadNameSpaceType::NETWORK, LinkNameSpaceType::Network, "ns/net"),
        (ThreadNameSpaceType::CONTROL_GROUP, LinkNameSpaceType::ControlGroup, "ns/cgroup"),
        (ThreadNameSpaceType::MOUNT, LinkNameSpaceType::Mount, "ns/mnt"),
    ];
    match move_into_thread_name_spaces(pidfd, which) {
        Err(Errno::SRCH) => {}
        result => return result,
    }
    let mut opened = Vec::with_capacity(KINDS.len());
    for (_, kind, name) in KINDS.into_iter().filter(|(flag, ..)| which.contains(*flag)) {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        opened.push((kind, sys::process::open_in_proc(pid, name, flags)?));
    }
    // The process has not exited, so `pid` was its number all the time.
    if sys::process::has_ended(pidfd)? {
        return Err(Errno::SRCH);
    }
    let mut opened = opened.iter();
    opened.try_for_each(|(kind, fd)| move_into_link_name_space(fd.as_fd(), Some(*kind)))
}

fn enter(namespace: &Option<OwnedFd>, kind: LinkNameSpaceType) -> Result<()> {
    let Some(fd) = namespace else { return Ok(()) };
    move_into_link_name_space(fd.as_fd(), Some(kind))
        .map_err(Error::from)
        .context(|| format!("join a namespace ({kind:?})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_of_a_process_that_has_another_ones_number_are_not_joined() {
        let own = rustix::process::getpid();
        let start = sys::process::start_time(own).unwrap().unwrap();
        let pid = own.as_raw_nonzero().get();
        for which in 0..4 {
            let at = |start_time| {
                let of = |position| {
                    if position == which {
                        Namespace::Of { pid, start_time }
                    } else {
                        Namespace::Private
                    }
                };
                Namespaces {
                    pid: of(0),
                    ipc: of(1),
                    uts: of(2),
                    network: of(3),
                    user: Namespace::Host,
                    host_cgroups: false,
                }
            };
            assert!(Joined::open(&at(start), None).is_ok(), "namespace {which}");
            assert!(Joined::open(&at(start + 1), None).is_err(), "namespace {which}");
        }
    }
}

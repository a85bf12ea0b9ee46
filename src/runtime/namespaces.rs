//! Which namespaces a container is born into, and which it joins (namespaces(7), setns(2)).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space, move_into_thread_name_spaces,
};

use super::spec::{Namespace, Namespaces};
use super::user_namespace::Holder;
use crate::error::{Context, Error, Result, fail};
use crate::sys;
use crate::sys::clone::Flags;

/// A mount namespace always; the others as asked, but for those that a holder (see
/// `user_namespace`) has made already. The cgroup namespace comes later, by unshare, since its root
/// is the cgroup that its maker is in.
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

/// What a clone that failed with EINVAL lacked: the kinds of namespace that this kernel was built
/// without.
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

/// Namespaces of other containers, opened while they are known to run, and those of this
/// container's holder.
pub struct Joined {
    pid: Option<OwnedFd>,
    ipc: Option<OwnedFd>,
    uts: Option<OwnedFd>,
    network: Option<OwnedFd>,
    /// The mount namespace of the container whose IPC namespace is joined: its /dev/shm goes along.
    pub ipc_mounts: Option<OwnedFd>,
    /// The container's own, if that was made for it.
    mounts: Option<OwnedFd>,
    user: Option<OwnedFd>,
}

impl Joined {
    /// All that is open here.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let Joined { pid, ipc, uts, network, ipc_mounts, mounts, user } = self;
        let all = [pid, ipc, uts, network, ipc_mounts, mounts, user];
        all.into_iter().flatten().map(AsFd::as_fd).collect()
    }

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
        // Still there after all was opened: its number was no other's in between.
        for namespace in [namespaces.pid, namespaces.ipc, namespaces.uts, namespaces.network] {
            if let Namespace::Of { pid, start_time } = namespace {
                let found = sys::process::find(pid, start_time);
                if found.context(|| format!("look for process {pid}"))?.living().is_none() {
                    fail!("the container whose namespaces are to be joined has just ended");
                }
            }
        }
        Ok(joined)
    }

    pub fn user(&self) -> Option<BorrowedFd<'_>> {
        self.user.as_ref().map(AsFd::as_fd)
    }

    /// Makes the caller's next child a member of the joined PID namespace; the caller stays where
    /// it is (pid_namespaces(7)).
    pub fn enter_pid_namespace(&self) -> Result<()> {
        enter(&self.pid, LinkNameSpaceType::ProcessID)
    }

    /// Joins the others, but for that of the mounts.
    pub fn enter(&self) -> Result<()> {
        enter(&self.ipc, LinkNameSpaceType::InterProcessCommunication)?;
        enter(&self.uts, LinkNameSpaceType::HostNameAndNISDomainName)?;
        enter(&self.network, LinkNameSpaceType::Network)
    }

    /// Leaves the host's mounts for a copy of them that belongs to the user namespace.
    pub fn enter_mounts(&self) -> Result<()> {
        enter(&self.mounts, LinkNameSpaceType::Mount)
    }
}

fn open(pid: i32, name: &str) -> Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = sys::process::open_in_proc(pid, &format!("ns/{name}"), flags);
    opened.map(Some).context(|| format!("open the {name} namespace of process {pid}"))
}

/// Moves the calling thread, a process's only one, into the namespaces `which` of the process that
/// `pidfd` stands for and that has the number `pid`. A main thread that has ended has none any more
/// (ESRCH): then those of another thread are entered, one by one.
pub fn join(pidfd: BorrowedFd<'_>, pid: i32, which: ThreadNameSpaceType) -> Result<(), Errno> {
    /// That of the mounts comes last: it takes /proc away.
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
    // Not ended by now, the process has had the number all the while.
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

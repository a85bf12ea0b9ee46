//! Selects the namespaces into which init is cloned, and joins existing ones (namespaces(7),
//! clone(2), setns(2)).
//!
//! A namespace of another container is opened by the PID of that container's first process. The
//! start time of this process is checked afterwards. So if another process has got the PID, init
//! does not join that process's namespaces. `user_namespace` creates the user namespace, and `init`
//! unshares the cgroup namespace.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux_raw_sys::general::NSFS_MAGIC;
use rustix::fs::{CWD, Mode, OFlags, fstatfs, openat};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Pid, set_dumpable_behavior};
use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space, move_into_thread_name_spaces,
};

use super::spec::{Namespace, Namespaces, TimeOffset};
use crate::error::{Context, Error, Result, fail};
use crate::sys;
use crate::sys::clone::{Child, Flags, Fork};
use crate::sys::trace::Traced;

/// The flags for the clone of init: those of the mount, PID, IPC, UTS and network namespaces that
/// are private. With `held`, a holder (`user_namespace`) has created all of these namespaces except
/// the PID namespace. `init` creates the time namespace. After init has entered its cgroups, `init`
/// also creates the cgroup namespace, whose root is the cgroup of the creating process.
pub fn clone_flags(namespaces: &Namespaces, held: bool) -> Flags {
    if held {
        return match &namespaces.pid {
            Namespace::Private => Flags::PID,
            _ => Flags::default(),
        };
    }
    [
        (&namespaces.mount, Flags::MOUNT),
        (&namespaces.pid, Flags::PID),
        (&namespaces.ipc, Flags::IPC),
        (&namespaces.uts, Flags::UTS),
        (&namespaces.network, Flags::NETWORK),
    ]
    .into_iter()
    .filter(|(namespace, _)| **namespace == Namespace::Private)
    .fold(Flags::default(), |flags, (_, flag)| flags.with(flag))
}

/// Describes the result of the clone, for the log of `--debug`.
pub fn describe(namespaces: &Namespaces, child: Pid) -> String {
    let mut text = format!("init, process {}", child.as_raw_nonzero());
    let all = [
        (&namespaces.mount, "NS"),
        (&namespaces.pid, "PID"),
        (&namespaces.ipc, "IPC"),
        (&namespaces.uts, "UTS"),
        (&namespaces.network, "NET"),
    ];
    for (namespace, name) in all.into_iter().rev() {
        match namespace {
            Namespace::Private => text.insert_str(0, &format!("CLONE_NEW{name} ")),
            Namespace::Host => text += &format!(", {name} the host's"),
            Namespace::Of { pid, .. } => text += &format!(", {name} that of process {pid}"),
            Namespace::Path(path) => text += &format!(", {name} that of {}", path.display()),
        }
    }
    text
}

/// Sets the loopback interface of this process's network namespace up.
pub fn bring_loopback_up() -> Result<()> {
    sys::loopback::bring_up()
        .traced("ioctl", || "SIOCSIFFLAGS: lo up".to_owned())
        .context(|| "bring the loopback interface up")
}

/// As [`bring_loopback_up`], in the network namespace of process `pid`. Returns false if the
/// namespace cannot be opened.
pub fn bring_loopback_up_of(pid: Pid) -> Result<bool> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = sys::process::open_in_proc(pid.as_raw_nonzero().get(), "ns/net", flags);
    // Init is not dumpable, so the kernel refuses the open without CAP_SYS_PTRACE.
    let Ok(namespace) = opened else { return Ok(false) };
    sys::process::in_network(namespace.as_fd(), bring_loopback_up)?;
    Ok(true)
}

/// The kernel options of the kinds of namespaces that this kernel lacks. `start` reports them if
/// the clone of init fails with EINVAL.
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

/// Open namespaces: those of other containers, those at a path of the host, those of this
/// container's holder, and those of `user_namespace::of_mounts`. The parent enters the PID
/// namespace for the clone of init. Init joins most of the other namespaces. Init enters
/// `ipc_mounts` and `network_mounts` only to copy a mount, and uses `user` and `owners` to map the
/// owners of mounts.
pub struct Joined {
    pid: Option<OwnedFd>,
    ipc: Option<OwnedFd>,
    uts: Option<OwnedFd>,
    network: Option<OwnedFd>,
    /// The mount namespace of the container whose IPC namespace is joined and whose /dev/shm is
    /// shared.
    pub ipc_mounts: Option<OwnedFd>,
    /// The mount namespace of the container whose network namespace is joined and whose files such
    /// as /etc/hosts are shared.
    pub network_mounts: Option<OwnedFd>,
    /// The container's own mount namespace, if a holder has created it, or the one that the spec
    /// names.
    mounts: Option<OwnedFd>,
    user: Option<OwnedFd>,
    cgroup: Option<OwnedFd>,
    time: Option<OwnedFd>,
    /// The user namespaces of the mounts that have their own ID mapping, in the order of the
    /// mounts.
    pub owners: Vec<OwnedFd>,
}

impl Joined {
    /// All descriptors in this value.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let Joined {
            pid,
            ipc,
            uts,
            network,
            ipc_mounts,
            network_mounts,
            mounts,
            user,
            cgroup,
            time,
            owners,
        } = self;
        let all = [pid, ipc, uts, network, ipc_mounts, network_mounts, mounts, user, cgroup, time];
        all.into_iter().flatten().chain(owners).map(AsFd::as_fd).collect()
    }

    /// Opens the existing namespaces that `namespaces` names, and the namespaces that the process
    /// `holder` has created. Leaves `owners` empty. Fails if a namespace cannot be opened, if a
    /// container whose namespace is shared has ended, or if a path is not a namespace.
    pub fn open(namespaces: &Namespaces, holder: Option<Pid>) -> Result<Joined> {
        let holder = holder.map(|holder| holder.as_raw_nonzero().get());
        let other = |namespace: &Namespace, name| match namespace {
            Namespace::Of { pid, .. } => open(*pid, name),
            Namespace::Path(path) => open_path(path).map(Some),
            Namespace::Private | Namespace::Host => Ok(None),
        };
        let join = |namespace: &Namespace, name| match (namespace, holder) {
            (Namespace::Private, Some(pid)) => open(pid, name),
            _ => other(namespace, name),
        };
        let mounts_of = |namespace: &Namespace| match namespace {
            Namespace::Of { pid, .. } => open(*pid, "mnt"),
            _ => Ok(None),
        };
        let held = |name| holder.map_or(Ok(None), |pid| open(pid, name));
        let joined = Joined {
            pid: other(&namespaces.pid, "pid")?,
            ipc: join(&namespaces.ipc, "ipc")?,
            uts: join(&namespaces.uts, "uts")?,
            network: join(&namespaces.network, "net")?,
            ipc_mounts: mounts_of(&namespaces.ipc)?,
            network_mounts: mounts_of(&namespaces.network)?,
            mounts: join(&namespaces.mount, "mnt")?,
            user: held("user")?,
            cgroup: other(&namespaces.cgroup, "cgroup")?,
            time: other(&namespaces.time, "time")?,
            owners: Vec::new(),
        };
        // If the process still runs after its namespaces were opened, no other process has had its
        // PID.
        for namespace in [&namespaces.pid, &namespaces.ipc, &namespaces.uts, &namespaces.network] {
            if let Namespace::Of { pid, start_time } = namespace {
                let found = sys::process::find(*pid, *start_time);
                if found.context(|| format!("look for process {pid}"))?.living().is_none() {
                    fail!("the container that shares its namespaces has just exited");
                }
            }
        }
        Ok(joined)
    }

    /// The container's user namespace; `None` without a holder.
    pub fn user(&self) -> Option<BorrowedFd<'_>> {
        self.user.as_ref().map(AsFd::as_fd)
    }

    /// Runs `clone` so that its child starts in the joined PID namespace. Later children of the
    /// caller start in the caller's PID namespace again (pid_namespaces(7)).
    pub fn in_pid_namespace(
        &self,
        clone: impl FnOnce() -> Result<Fork<Child>>,
    ) -> Result<Fork<Child>> {
        if self.pid.is_none() {
            return clone();
        }
        let own = open_path(Path::new("/proc/self/ns/pid")).map(Some)?;
        enter(&self.pid, LinkNameSpaceType::ProcessID, "pid")?;
        let cloned = clone();
        // The child stays in the joined namespace, because a process never changes its own PID
        // namespace.
        if matches!(cloned, Ok(Fork::Child)) {
            return cloned;
        }
        enter(&own, LinkNameSpaceType::ProcessID, "pid")?;
        cloned
    }

    /// Joins the IPC, UTS, network and time namespaces that are open in this value.
    pub fn enter(&self) -> Result<()> {
        enter(&self.ipc, LinkNameSpaceType::InterProcessCommunication, "ipc")?;
        enter(&self.uts, LinkNameSpaceType::HostNameAndNISDomainName, "uts")?;
        enter(&self.network, LinkNameSpaceType::Network, "network")?;
        enter(&self.time, LinkNameSpaceType::Time, "time")
    }

    /// Joins the cgroup namespace, if one is open in this value.
    pub fn enter_cgroup_namespace(&self) -> Result<()> {
        enter(&self.cgroup, LinkNameSpaceType::ControlGroup, "cgroup")
    }

    /// Joins the mount namespace that the spec names or that the holder has created, if there is
    /// one. The holder's mount namespace is a copy of the host's, and the user namespace owns it.
    pub fn enter_mounts(&self) -> Result<()> {
        enter(&self.mounts, LinkNameSpaceType::Mount, "mount")
    }
}

/// Opens the namespace at a path of the host. Fails if the file is not a namespace.
pub fn open_path(path: &Path) -> Result<OwnedFd> {
    // Open without blocking, because the path may lead to a FIFO.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = openat(CWD, path, flags, Mode::empty());
    let opened = opened.context(|| format!("open the namespace {}", path.display()))?;
    let found = fstatfs(&opened).context(|| format!("look at {}", path.display()))?;
    if found.f_type as u32 != NSFS_MAGIC {
        fail!("{} is not a namespace", path.display());
    }
    Ok(opened)
}

fn open(pid: i32, name: &str) -> Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = sys::process::open_in_proc(pid, &format!("ns/{name}"), flags);
    opened.map(Some).context(|| format!("open the {name} namespace of process {pid}"))
}

/// Creates a time namespace with these offsets of its clocks, and moves the calling process into
/// this namespace. The process must have only one thread, and the mounted /proc must show the
/// process (time_namespaces(7)).
pub fn create_time_namespace(offsets: &[TimeOffset]) -> Result<()> {
    sys::clone::unshare(sys::clone::Flags::TIME).context(|| "create a time namespace")?;
    let mut text = String::new();
    for TimeOffset { clock, seconds, nanoseconds } in offsets {
        text += &format!("{clock} {seconds} {nanoseconds}\n");
    }
    if !text.is_empty() {
        std::fs::write("/proc/self/timens_offsets", &text)
            .context(|| format!("set the time namespace's offsets '{}'", text.trim_end()))?;
    }
    // unshare(2) moves only later children to the new time namespace. setns(2) moves this process
    // too.
    let created = open_path(Path::new("/proc/self/ns/time_for_children")).map(Some)?;
    enter(&created, LinkNameSpaceType::Time, "time")
}

/// Moves the calling thread, the only one of its process, into the namespaces `which` of the
/// process `pid`. `pidfd` refers to the same process. If the main thread of `pid` has ended,
/// setns(2) fails with ESRCH. In this case the calling thread joins the namespaces of another
/// thread one by one. Fails with ESRCH or ENOENT if the whole process has ended.
pub fn join(pidfd: BorrowedFd<'_>, pid: i32, which: ThreadNameSpaceType) -> Result<(), Errno> {
    const KINDS: [(ThreadNameSpaceType, LinkNameSpaceType, &str); 7] = [
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
        (ThreadNameSpaceType::TIME, LinkNameSpaceType::Time, "ns/time"),
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
    // If the process has not ended by now, no other process has had its PID.
    if sys::process::has_ended(pidfd)? {
        return Err(Errno::SRCH);
    }
    let mut opened = opened.iter();
    opened.try_for_each(|(kind, fd)| move_into_link_name_space(fd.as_fd(), Some(*kind)))
}

fn enter(namespace: &Option<OwnedFd>, kind: LinkNameSpaceType, name: &str) -> Result<()> {
    let Some(fd) = namespace else { return Ok(()) };
    let what = || format!("join the {name} namespace");
    move_into_link_name_space(fd.as_fd(), Some(kind))
        .map_err(Error::from)
        .traced("setns", what)
        .context(what)
}

/// Makes this process undumpable (PR_SET_DUMPABLE, prctl(2)). Then no process in the container
/// without CAP_SYS_PTRACE can trace it or open its files in /proc, such as its descriptors and its
/// executable (CVE-2016-9962, CVE-2019-5736). execve(2) normally makes the process dumpable again.
pub fn hide() -> Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "make this process undumpable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_of_a_process_with_a_reused_pid_are_not_joined() {
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
                    mount: Namespace::Private,
                    pid: of(0),
                    ipc: of(1),
                    uts: of(2),
                    network: of(3),
                    user: Namespace::Host,
                    cgroup: Namespace::Private,
                    time: Namespace::Host,
                    time_offsets: Vec::new(),
                }
            };
            assert!(Joined::open(&at(start), None).is_ok(), "namespace {which}");
            assert!(Joined::open(&at(start + 1), None).is_err(), "namespace {which}");
        }
    }
}

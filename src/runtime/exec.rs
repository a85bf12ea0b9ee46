//! Starts a further process in a running container (`exec`).
//!
//! The start time of the container's first process is compared with the recorded one. So a process
//! that has got the same PID later is not entered. A helper process (the go-between) keeps only the
//! descriptors that the program gets and a few of its own. The helper joins the container's cgroups
//! and namespaces, and takes the program's user, capabilities and filter. Then the helper forks the
//! process that the container can see, so a tracer of this process gains no rights on the host
//! (CVE-2016-9962, CVE-2024-21626).
//!
//! The helper reaps the process and exits with its status. With `exec_and_leave` (the OCI runtime)
//! the helper ends at once, and the nearest subreaper or the host's init becomes the parent of the
//! process (prctl(2)).

use std::convert::Infallible;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{
    Pid, WaitId, WaitIdOptions, WaitOptions, chroot, fchdir, ioctl_tiocsctty, setsid, waitid,
    waitpid,
};
use rustix::thread::ThreadNameSpaceType;

use super::process::Program;
use super::seccomp::listener::Agent;
use super::spec::{IdMaps, Process};
use super::user_namespace::UserNamespace;
use super::{Stdio, cgroup, namespaces, process, report, terminal, user_namespace};
use crate::error::{Context, EXIT_ENGINE, Error, Result, fail};
use crate::sys;
use crate::sys::clone::{Child, Flags, Fork, clone3};
use crate::sys::process::Found;
use crate::sys::trace::{self, Traced};

/// The exit status by which the helper marks an error that an ending container causes: the first
/// process has left its namespaces (ESRCH, ENOENT), or fork(2) into its PID namespace fails with
/// ENOMEM.
const ENDS: u8 = 0;

/// The running container that `exec` joins.
pub struct Target<'a> {
    /// The PID of the container's first process.
    pub pid: i32,
    /// The start time of that process; see `sys::process::start_time`.
    pub start_time: u64,
    pub cgroups: &'a [String],
    /// Whether to fail if the container's v2 cgroup accepts no process (EBUSY). If this is false,
    /// the new process then joins the present v2 cgroup of the container's first process. An init
    /// such as systemd moves to a cgroup below the container's, so that the container's cgroup can
    /// delegate controllers.
    pub must_be_there: bool,
    /// Whether the container's time namespace may differ from the host's.
    pub has_time: bool,
    /// Whether the container is in the host's mount namespace. Then the new process gets the root
    /// of the first process by chroot(2).
    pub has_hosts_mounts: bool,
    /// The ID mapping of the container's user namespace, if it has one.
    pub ids: Option<IdMaps>,
}

impl<'a> Target<'a> {
    /// Returns the target for a container of the engine. Such a container has a mount namespace of
    /// its own and is in the host's time namespace.
    pub fn new(
        pid: i32,
        start_time: u64,
        cgroups: &'a [String],
        ids: Option<IdMaps>,
    ) -> Target<'a> {
        Target {
            pid,
            start_time,
            cgroups,
            must_be_there: false,
            has_time: false,
            has_hosts_mounts: false,
            ids,
        }
    }
}

/// Starts `process` in the container. Returns the helper, a child of the caller, which exits after
/// the process and with the process's status. Also returns the master of the terminal, if the
/// process has one. Fails if the container is not running, or with the error and exit status of the
/// failed step.
pub fn exec(
    target: &Target<'_>,
    process: &Process,
    stdio: Stdio,
) -> Result<(Child, Option<OwnedFd>)> {
    let (helper, console, _) = begin(target, process, stdio, false)?;
    Ok((helper, console))
}

/// As `exec`, but the helper ends before this function returns. Returns the PID of the process
/// itself. The process is a child of the caller only if the caller is a subreaper
/// (PR_SET_CHILD_SUBREAPER). Also fails if the helper was killed before it sent the PID.
pub fn exec_and_leave(
    target: &Target<'_>,
    process: &Process,
    stdio: Stdio,
) -> Result<(Pid, Option<OwnedFd>)> {
    let (helper, console, pid) = begin(target, process, stdio, true)?;
    let _ = waitid(WaitId::PidFd(helper.pidfd.as_fd()), WaitIdOptions::EXITED);
    match pid {
        Some(pid) => Ok((pid, console)),
        None => fail!("the process ended before its PID was known"),
    }
}

fn begin(
    target: &Target<'_>,
    process: &Process,
    stdio: Stdio,
    leaves: bool,
) -> Result<(Child, Option<OwnedFd>, Option<Pid>)> {
    let found = sys::process::find(target.pid, target.start_time);
    let Found::Living(pidfd) = found.context(|| format!("look for process {}", target.pid))? else {
        fail!("the container is not running")
    };
    let (ours, theirs) = sys::packet::pair().context(|| "make a socket pair")?;
    // Clone the helper directly into the v2 cgroup, so that the helper's child starts there too.
    // The helper cannot clone the child into the cgroup, because the seccomp filter may forbid
    // clone3(2).
    let directory = cgroup::open_v2(target.cgroups)?;
    let born_in =
        |cgroup: &Option<OwnedFd>| clone3(Flags::default(), cgroup.as_ref().map(AsFd::as_fd));
    let cloned = match born_in(&directory) {
        Err(Errno::BUSY) if !target.must_be_there => born_in(&cgroup::present_v2(target.pid)?),
        cloned => cloned,
    };
    let helper = match cloned {
        Ok(Fork::Child) => {
            drop(ours);
            match helper(target, process, stdio, pidfd, &theirs, leaves) {
                Ok(_) if leaves => sys::exec::exit_now(0),
                Ok(child) => {
                    drop(theirs);
                    stay(child)
                }
                Err(error) => {
                    report::send_failure(theirs.as_fd(), &error);
                    sys::exec::exit_now(error.exit_code())
                }
            }
        }
        Ok(Fork::Parent(helper)) => helper,
        Err(error) => return Err(error).context(|| "clone a process into the container's cgroup"),
    };
    let has_console = matches!(stdio, Stdio::Terminal);
    drop((theirs, stdio));
    match report::await_left(ours.as_fd(), has_console) {
        Ok((console, pid)) => Ok((helper, console, pid)),
        Err(error) if error.exit_code() == ENDS => {
            if is_ended(&pidfd)? {
                fail!("the container is not running")
            } else {
                Err(error.exit_with(EXIT_ENGINE))
            }
        }
        Err(error) => {
            // Wait for the helper's end, after which no more output arrives.
            let _ = waitid(WaitId::PidFd(helper.pidfd.as_fd()), WaitIdOptions::EXITED);
            Err(error)
        }
    }
}

/// Enters the container and forks the process there. Runs in the helper.
fn helper(
    target: &Target<'_>,
    process: &Process,
    stdio: Stdio,
    pidfd: OwnedFd,
    parent: &OwnedFd,
    leaves: bool,
) -> Result<Pid> {
    namespaces::hide()?;
    sys::title::replace(process::TITLE, false);
    // For the OCI runtime the caller decides what the process inherits, for example the OOM score.
    if !leaves {
        sys::inherited::reset();
    }
    setsid().context(|| "start a new session")?;
    let null = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .context(|| "open /dev/null")?;
    let terminal = matches!(stdio, Stdio::Terminal);
    let streams = match &stdio {
        Stdio::Given(streams) => streams.each_ref().map(AsFd::as_fd),
        // Use /dev/null until the terminal is open: the container must not see the caller's
        // streams.
        Stdio::Terminal => [null.as_fd(); 3],
    };
    sys::fds::become_stdio(streams).context(|| "set up the standard streams")?;
    drop(stdio);
    process::set_cpus(process.scheduling.first_cpus.as_deref())?;
    // Enter the cgroups before the mount namespace changes, because the cgroups' paths are paths of
    // the host.
    for directory in target.cgroups.iter().map(Path::new) {
        match cgroup::enter(directory) {
            // A v2 cgroup has no file `tasks`. The helper was already cloned into the v2 cgroup.
            Err(error) if error.errno() == Some(Errno::NOENT) => {}
            entered => entered?,
        }
    }
    // Open the user namespace now, because the open needs the host's /proc. As for the first
    // process, `process::confine` enters the user namespace after the other namespaces. If the PID
    // has been reused, `namespaces::join` below fails, because it uses the pidfd.
    let user_namespace = match &target.ids {
        Some(_) => Some(user_namespace::open(target.pid).map_err(|error| match error.errno() {
            Some(Errno::NOENT | Errno::SRCH) => error.exit_with(ENDS),
            _ => error,
        })?),
        None => None,
    };
    let agent = Agent::connect(&process.seccomp, "running", Some(target.pid))?;
    let root = if target.has_hosts_mounts {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = sys::process::open_in_proc(target.pid, "root", flags);
        Some(opened.map_err(not_running).context(|| "open the container's root")?)
    } else {
        None
    };
    let keep = [Some(&pidfd), Some(parent), Some(&null), user_namespace.as_ref(), root.as_ref()];
    let mut keep: Vec<BorrowedFd<'_>> = keep.into_iter().flatten().map(AsFd::as_fd).collect();
    keep.extend(agent.as_ref().map(Agent::descriptor));
    keep.extend(trace::descriptor());
    sys::fds::close_after(process.preserved, &keep).context(|| "close the caller's descriptors")?;
    let mut joined = ThreadNameSpaceType::PROCESS_ID
        | ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::NETWORK;
    // If the container has no cgroups, the kernel may lack cgroup namespaces, and setns(2) into one
    // would fail.
    if !target.cgroups.is_empty() {
        joined |= ThreadNameSpaceType::CONTROL_GROUP;
    }
    if target.has_time {
        joined |= ThreadNameSpaceType::TIME;
    }
    namespaces::join(pidfd.as_fd(), target.pid, joined)
        .traced("setns", || format!("join the namespaces of process {} but user", target.pid))
        .map_err(not_running)
        .context(|| "join the container's namespaces")?;
    drop(pidfd);
    // A process that joins the host's mount namespace gets the host's root.
    if let Some(root) = root {
        fchdir(&root).and_then(|()| chroot(".")).context(|| "chroot into the container's root")?;
    }
    if terminal {
        let root = openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .context(|| "open the container's /")?;
        let pty = terminal::open(root.as_fd(), process.window)?;
        report::send_console(parent.as_fd(), pty.master.as_fd())?;
        sys::fds::become_stdio([pty.slave.as_fd(); 3]).context(|| "set up the terminal")?;
    }
    // `process::confine` closes the descriptor of the user namespace with `sys::fds::close_after`,
    // so no drop may close this descriptor again.
    let user_namespace = ManuallyDrop::new(user_namespace);
    let fd = user_namespace.as_ref().map(AsFd::as_fd);
    let user_namespace = fd.zip(target.ids.as_ref()).map(|(fd, ids)| UserNamespace { fd, ids });
    // Confine the helper before the fork. The container sees the forked process: with more rights
    // than the container, that process would be a target for a tracer with CAP_SYS_PTRACE.
    let (make_cwd, init, stays) = (false, false, true);
    let die_with_parent = false;
    let entry = process::Entry {
        user_namespace,
        make_cwd,
        init,
        stays,
        die_with_parent,
        agent: agent.as_ref(),
    };
    let mut keep = vec![parent.as_fd(), null.as_fd()];
    keep.extend(agent.as_ref().map(Agent::descriptor));
    keep.extend(trace::descriptor());
    let program = process::confine(process, &entry, parent, &keep)?.install_filter()?;
    let forked = sys::clone::fork();
    let takes_none = forked.as_ref().err() == Some(&Errno::NOMEM);
    let forked = forked.context(|| "fork a process into the container");
    match forked.map_err(|error| if takes_none { error.exit_with(ENDS) } else { error })? {
        Fork::Child => {
            let Err(error) = run(&program, terminal);
            Err(error)
        }
        Fork::Parent(child) => {
            if leaves {
                report::send_pid(parent.as_fd(), child)?;
            }
            // Release the streams, so that their reader sees the end of file when the process ends.
            // If the release fails, the reader sees the end of file when the helper ends.
            let _ = sys::fds::become_stdio([null.as_fd(); 3]);
            Ok(child)
        }
    }
}

fn run(program: &Program<'_>, terminal: bool) -> Result<Infallible> {
    setsid().context(|| "start a new session")?;
    if terminal {
        ioctl_tiocsctty(rustix::stdio::stdin()).context(|| "adopt the terminal")?;
    }
    program.exec()
}

/// Waits at most 5 s for the end of the container's first process. As PID 1 of a PID namespace,
/// this process ends after all others in the namespace. Returns whether the first process has
/// ended.
fn is_ended(pidfd: &OwnedFd) -> Result<bool> {
    let limit = Timespec { tv_sec: 5, tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&limit));
    Ok(ended.context(|| "wait for the container to exit")? > 0)
}

/// Waits for the process and exits with its status.
fn stay(child: Pid) -> ! {
    loop {
        match waitpid(Some(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => sys::exec::exit_now(super::exit_code(status)),
            Err(Errno::INTR) | Ok(None) => {}
            Err(_) => sys::exec::exit_now(EXIT_ENGINE),
        }
    }
}

/// Returns the go-betweens of `exec` among `members`, the PIDs in the container's cgroup. The
/// container's first process has the PID `first`.
pub fn go_betweens(members: &[i32], first: i32) -> Vec<Pid> {
    let is_go_between = |&pid: &Pid| {
        let parent = sys::process::parent(pid).map_or(0, |parent| parent.as_raw_nonzero().get());
        // A process of the container may set the same title. If the container has its own PID
        // namespace, such a process is the first one or has its parent in the cgroup.
        if pid.as_raw_nonzero().get() == first || members.contains(&parent) {
            return false;
        }
        let path = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
        let title = sys::procfs::read_start(path, process::TITLE.len() + 1).unwrap_or_default();
        title.strip_suffix(b"\0").unwrap_or(&title) == process::TITLE
    };
    members.iter().filter_map(|&pid| Pid::from_raw(pid)).filter(is_go_between).collect()
}

fn not_running(error: Errno) -> Error {
    match error {
        Errno::SRCH | Errno::NOENT => Error::new("the container is not running").exit_with(ENDS),
        error => error.into(),
    }
}

//! A further process in a running container (`exec`).
//!
//! The target's pidfd is opened and checked against its start time, so that a recycled PID is never
//! entered. A go-between, not yet visible inside, lets go of everything of the host but the new
//! process's streams and one socket, joins the cgroups and, by one setns(2) on the pidfd, all
//! namespaces; only then does it clone the process that the container can see. That one is not
//! dumpable, and even a container that may trace anything finds nothing of the host in it: no
//! descriptor, no root or working directory (CVE-2016-9962, CVE-2024-21626).
//!
//! The go-between stays, to reap the process and end as it ended, whoever else is gone by then: the
//! container can't end before all its processes are reaped, and not every host's PID 1 reaps what
//! it is left.

use std::convert::Infallible;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, WaitOptions, setsid, waitid, waitpid};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::spec::{IdMap, Process};
use super::user_namespace::UserNamespace;
use super::{Stdio, cgroup, process, report, terminal, user_namespace};
use crate::error::{Context, EXIT_ENGINE, Result, fail};
use crate::sys;
use crate::sys::clone::{Child, Flags, Fork, clone3};

/// The container to join.
pub struct Target<'a> {
    /// Its first process.
    pub pid: i32,
    pub start_time: u64,
    pub cgroups: &'a [String],
    /// The IDs of its user namespace, if it has one.
    pub ids: Option<IdMap>,
}

/// Begins `process` in the container; gives a child of ours that ends when and as it does and, if it
/// has a terminal, that one's master.
pub fn exec(
    target: &Target<'_>,
    process: &Process,
    stdio: Stdio,
) -> Result<(Child, Option<OwnedFd>)> {
    let Some(pidfd) = sys::process::open(target.pid, target.start_time) else {
        fail!("the container is not running")
    };
    let (ours, theirs) = sys::packet::pair().context(|| "make a socket pair")?;
    let go_between = match clone3(Flags::default(), None) {
        Ok(Fork::Child) => {
            drop(ours);
            let Err(error) = go_between(target, process, stdio, pidfd, &theirs);
            report::send_failure(theirs.as_fd(), &error);
            sys::exec::exit_now(error.exit_code())
        }
        Ok(Fork::Parent(go_between)) => go_between,
        Err(error) => return Err(error).context(|| "clone a process"),
    };
    drop((theirs, stdio, pidfd));
    match report::await_exec(ours.as_fd()) {
        Ok(console) => Ok((go_between, console)),
        Err(error) => {
            // It ends with the process, which has said its last.
            let _ = waitid(WaitId::PidFd(go_between.pidfd.as_fd()), WaitIdOptions::EXITED);
            Err(error)
        }
    }
}

/// Enters the container and clones the process there.
fn go_between(
    target: &Target<'_>,
    process: &Process,
    stdio: Stdio,
    pidfd: OwnedFd,
    parent: &OwnedFd,
) -> Result<Infallible> {
    process::hide()?;
    sys::title::replace(process::TITLE);
    setsid().context(|| "begin a new session")?;
    let null = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .context(|| "open /dev/null")?;
    let terminal = matches!(stdio, Stdio::Terminal);
    let streams = match &stdio {
        Stdio::Given(streams) => streams.each_ref().map(AsFd::as_fd),
        // Until it has its own; the caller's must not be seen inside.
        Stdio::Terminal => [null.as_fd(); 3],
    };
    sys::fds::become_stdio(streams).context(|| "set up the standard streams")?;
    drop(stdio);
    // By the host's paths, so before the mount namespace changes. That of v2 is the birthplace.
    for directory in target.cgroups.iter().map(Path::new) {
        if directory.join("tasks").exists() {
            cgroup::enter(directory)?;
        }
    }
    let birthplace = cgroup::birthplace(target.cgroups)?;
    // Entered last of all, as by the first process. If the PID has passed to another, joining by the
    // pidfd below fails.
    let user_namespace = match target.ids {
        Some(_) => Some(user_namespace::open(target.pid)?),
        None => None,
    };
    let keep =
        [Some(&pidfd), Some(parent), Some(&null), birthplace.as_ref(), user_namespace.as_ref()];
    let keep: Vec<BorrowedFd<'_>> = keep.into_iter().flatten().map(AsFd::as_fd).collect();
    sys::fds::close_all_but(&keep).context(|| "close the caller's descriptors")?;
    let mut namespaces = ThreadNameSpaceType::PROCESS_ID
        | ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::NETWORK;
    // A kernel may have no cgroups.
    if !target.cgroups.is_empty() {
        namespaces |= ThreadNameSpaceType::CONTROL_GROUP;
    }
    move_into_thread_name_spaces(pidfd.as_fd(), namespaces)
        .map_err(not_running)
        .context(|| "join the container's namespaces")?;
    drop(pidfd);
    match clone3(Flags::default(), birthplace.as_ref().map(AsFd::as_fd)) {
        Ok(Fork::Child) => {
            drop((birthplace, null));
            // Closed by number with all others before the program begins: never to be dropped.
            let user_namespace = ManuallyDrop::new(user_namespace);
            let fd = user_namespace.as_ref().map(AsFd::as_fd);
            let user_namespace = fd.zip(target.ids).map(|(fd, ids)| UserNamespace { fd, ids });
            run(process, terminal, user_namespace, parent)
        }
        Ok(Fork::Parent(child)) => stay(&child, null.as_fd()),
        Err(error) => Err(error).context(|| "clone a process into the container"),
    }
}

/// Waits for the process and ends as it did.
fn stay(child: &Child, null: BorrowedFd<'_>) -> ! {
    // The streams and the socket are the process's alone from here on: who reads them waits for
    // their end. Where that fails it comes with ours.
    let _ = sys::fds::become_stdio([null; 3]);
    let _ = sys::fds::close_all_but(&[]);
    loop {
        match waitpid(Some(child.pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => sys::exec::exit_now(super::exit_code(status)),
            Err(Errno::INTR) | Ok(None) => {}
            Err(_) => sys::exec::exit_now(EXIT_ENGINE),
        }
    }
}

fn not_running(error: Errno) -> crate::error::Error {
    match error {
        Errno::SRCH => crate::error::Error::new("the container is not running"),
        error => error.into(),
    }
}

fn run(
    process: &Process,
    terminal: bool,
    user_namespace: Option<UserNamespace<'_>>,
    parent: &OwnedFd,
) -> Result<Infallible> {
    setsid().context(|| "begin a new session")?;
    if terminal {
        let root = openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .context(|| "open the container's /")?;
        let pty = terminal::open(root.as_fd(), process.window)?;
        report::send_console(parent.as_fd(), pty.master.as_fd())?;
        terminal::adopt(pty.slave.as_fd()).context(|| "adopt the terminal")?;
    }
    let (make_cwd, init) = (false, false);
    let entry = process::Entry { user_namespace, make_cwd, init, die_with_parent: false };
    process::enter(process, &entry, parent)
}

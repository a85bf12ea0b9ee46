//! A further process in a running container (`exec`).
//!
//! The target's pidfd is opened and checked against its start time, so that a recycled PID is never
//! entered. A go-between, not yet visible inside, lets go of everything of the host but the new
//! process's streams and one socket, joins the cgroups and, by one setns(2) on the pidfd, all
//! namespaces; only then is the process cloned that the container can see, as our own child
//! (CLONE_PARENT). It is not dumpable, and even a container that may trace anything finds nothing
//! of the host in it: no descriptor, no root or working directory (CVE-2016-9962, CVE-2024-21626).

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, setsid, waitid};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::spec::Process;
use super::{Stdio, cgroup, process, report, terminal};
use crate::error::{Context, Result, fail};
use crate::sys;
use crate::sys::clone::{Child, Flags, Fork, clone3};

/// The container to join.
pub struct Target<'a> {
    /// Its first process.
    pub pid: i32,
    pub start_time: u64,
    pub cgroups: &'a [String],
}

/// Begins `process` in the container; gives the child and, if it has a terminal, its master.
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
    let child = report::await_child(ours.as_fd());
    // It ends as soon as it has said so.
    let _ = waitid(WaitId::PidFd(go_between.pidfd.as_fd()), WaitIdOptions::EXITED);
    let child = child?;
    report::go(ours.as_fd());
    match report::await_exec(ours.as_fd()) {
        Ok(console) => Ok((child, console)),
        Err(error) => {
            super::end(child.pidfd.as_fd());
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
    let terminal = matches!(stdio, Stdio::Terminal);
    let streams = match stdio {
        Stdio::Given(streams) => streams,
        // Until it has its own; the caller's must not be seen inside.
        Stdio::Terminal => {
            let null = || openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
            let nulls = || -> Result<_, Errno> { Ok([null()?, null()?, null()?]) };
            nulls().context(|| "open /dev/null")?
        }
    };
    let [stdin, stdout, stderr] = &streams;
    sys::fds::become_stdio([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])
        .context(|| "set up the standard streams")?;
    drop(streams);
    // By the host's paths, so before the mount namespace changes. That of v2 is the birthplace.
    for directory in target.cgroups.iter().map(Path::new) {
        if directory.join("tasks").exists() {
            cgroup::enter(directory)?;
        }
    }
    let birthplace = cgroup::birthplace(target.cgroups)?;
    let keep = [Some(&pidfd), Some(parent), birthplace.as_ref()];
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
    match clone3(Flags::PARENT, birthplace.as_ref().map(AsFd::as_fd)) {
        Ok(Fork::Child) => {
            drop(birthplace);
            run(process, terminal, parent)
        }
        Ok(Fork::Parent(child)) => {
            // A caller that is gone needs no word.
            report::send_child(parent.as_fd(), &child);
            sys::exec::exit_now(0)
        }
        Err(error) => Err(error).context(|| "clone a process into the container"),
    }
}

fn not_running(error: Errno) -> crate::error::Error {
    match error {
        Errno::SRCH => crate::error::Error::new("the container is not running"),
        error => error.into(),
    }
}

fn run(process: &Process, terminal: bool, parent: &OwnedFd) -> Result<Infallible> {
    // So that what is said of this process comes before what it says itself.
    report::await_go(parent.as_fd())?;
    setsid().context(|| "begin a new session")?;
    if terminal {
        let root = openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .context(|| "open the container's /")?;
        let pty = terminal::open(root.as_fd(), process.window)?;
        report::send_console(parent.as_fd(), pty.master.as_fd())?;
        terminal::adopt(pty.slave.as_fd()).context(|| "adopt the terminal")?;
    }
    let entry = process::Entry { make_cwd: false, init: false, die_with_parent: false };
    process::enter(process, &entry, parent)
}

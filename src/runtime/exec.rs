//! A further process in a running container (`exec`).
//!
//! The target's pidfd is opened and checked against its start time, so that a recycled PID is never
//! entered. The caller moves its future children into the PID namespace, clones one, and that one
//! joins the cgroups and, by one setns(2) on the pidfd, all other namespaces. It holds nothing but
//! its streams and one socket by then, and is not dumpable: there is nothing in it that the
//! container could take (CVE-2016-9962, CVE-2024-21626).

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::setsid;
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::spec::Process;
use super::{Stdio, cgroup, process, report, terminal};
use crate::error::{Context, Result, fail};
use crate::sys::{self, clone::Child};

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
    // Before the child is born: from its first moment it is visible in the container's PID
    // namespace.
    process::hide()?;
    let joined = move_into_thread_name_spaces(pidfd.as_fd(), ThreadNameSpaceType::PROCESS_ID);
    joined.map_err(not_running)?;
    let birthplace = cgroup::birthplace(target.cgroups)?;
    let birthplace = birthplace.as_ref().map(AsFd::as_fd);
    let child = match sys::clone::clone3(sys::clone::Flags::default(), birthplace) {
        Ok(sys::clone::Fork::Child) => {
            drop(ours);
            main(target, process, stdio, pidfd, theirs)
        }
        Ok(sys::clone::Fork::Parent(child)) => child,
        Err(error) => return Err(error).context(|| "clone a process into the container"),
    };
    drop((theirs, stdio));
    match report::await_exec(ours.as_fd()) {
        Ok(console) => Ok((child, console)),
        Err(error) => {
            super::end(child.pidfd.as_fd());
            Err(error)
        }
    }
}

fn not_running(error: Errno) -> crate::error::Error {
    match error {
        Errno::SRCH => crate::error::Error::new("the container is not running"),
        error => error.into(),
    }
}

fn main(
    target: &Target<'_>,
    process: &Process,
    stdio: Stdio,
    pidfd: OwnedFd,
    parent: OwnedFd,
) -> ! {
    let Err(error) = run(target, process, stdio, pidfd.as_fd(), &parent);
    report::send_failure(parent.as_fd(), &error);
    sys::exec::exit_now(error.exit_code())
}

fn run(
    target: &Target<'_>,
    process: &Process,
    stdio: Stdio,
    pidfd: BorrowedFd<'_>,
    parent: &OwnedFd,
) -> Result<Infallible> {
    sys::title::replace(process::TITLE);
    setsid().context(|| "begin a new session")?;
    // By the host's paths, so before the mount namespace changes. That of v2 is our birthplace.
    for directory in target.cgroups.iter().map(Path::new) {
        if directory.join("tasks").exists() {
            cgroup::enter(directory)?;
        }
    }
    let namespaces = ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::CONTROL_GROUP
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::NETWORK;
    move_into_thread_name_spaces(pidfd, namespaces)
        .map_err(not_running)
        .context(|| "join the container's namespaces")?;
    match stdio {
        Stdio::Given([stdin, stdout, stderr]) => {
            sys::fds::become_stdio([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])
                .context(|| "set up the standard streams")?;
        }
        Stdio::Terminal => {
            let root = openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
                .context(|| "open the container's /")?;
            let pty = terminal::open(root.as_fd(), process.window)?;
            report::send_console(parent.as_fd(), pty.master.as_fd())?;
            terminal::adopt(pty.slave.as_fd()).context(|| "adopt the terminal")?;
        }
    }
    let entry = process::Entry { make_cwd: false, init: false, die_with_parent: false };
    process::enter(process, &entry, parent)
}

//! Turns a `Spec` into a running process. The callers look up images and containers first.
//!
//! `start` makes the v2 cgroup and clones a child, init, into this cgroup and into new namespaces.
//! If the container has a user namespace, a holder creates most of them (`user_namespace`). Init
//! builds the root while the parent makes the v1 cgroups and prepares the network. The parent then
//! sends one byte over a socket, and init goes on. If init fails, init sends a message and an exit
//! status over the same socket. The socket is close-on-exec, so its end of file means that the
//! program runs or that init was killed. With `Caller::Leaves`, init waits before execve(2) until
//! `release`, and then reports to the process that called `release`.

mod bind_source;
pub mod capabilities;
pub mod cgroup;
pub mod copies;
pub mod copy_up;
pub mod devices;
pub mod exec;
pub mod hooks;
pub mod host_ps;
pub mod ids;
mod init;
pub mod label;
mod mounts;
mod namespaces;
mod pid1;
mod process;
mod propagation;
mod report;
mod rootfs;
pub mod seccomp;
pub mod spec;
pub mod sysctl;
mod terminal;
pub mod user;
pub mod user_namespace;
pub mod view;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitStatus, waitid};

use crate::error::{Context, Error, Result, fail};
use crate::sys;
use crate::sys::trace::{self, Traced};
use cgroup::Cgroup;
pub use process::{DEFAULT_PATH, rlimits};
use spec::{Namespace, Spec};
use user_namespace::Holder;

/// The version of the OCI runtime specification that mydocker implements.
pub const OCI_VERSION: &str = "1.3.0";

/// The standard streams of a new process in a container.
pub enum Stdio {
    /// The descriptors for 0, 1 and 2.
    Given([OwnedFd; 3]),
    /// The slave of a new pseudo-terminal in the container's devpts (pts(4)).
    Terminal,
}

/// Whether the process that calls `start` stays as long as the container runs.
pub enum Caller<'a> {
    /// The caller stays. Init executes the program without `release`. If the caller ends, the
    /// kernel kills the container's first process (PR_SET_PDEATHSIG, prctl(2)).
    Stays,
    /// The caller may end before the container.
    Leaves {
        /// Init waits on this listening socket until a process connects to it and calls `release`.
        /// Without a listener, init waits on `Running::socket`.
        listener: Option<OwnedFd>,
        /// Called with init's PID when the root and the spec's mounts are made, before the root
        /// becomes `/`. A hook that enters init's mount namespace then finds the mounts below
        /// `Spec::mount_point`.
        mounted: Option<&'a mut dyn FnMut(Pid) -> Result<()>>,
    },
}

/// A container whose program runs, or whose first process waits for `release`.
pub struct Running {
    pub pid: Pid,
    pub pidfd: OwnedFd,
    pub cgroup: Cgroup,
    /// The master of the pseudo-terminal, if the first process has one.
    pub console: Option<OwnedFd>,
    /// The socket for `release`, if the caller leaves and init has no listener. If the socket is
    /// closed before `release`, init ends.
    pub socket: Option<OwnedFd>,
}

/// Creates the container of `spec`. With `Caller::Stays`, also starts the program. `copies` is the
/// result of `copies::make`. While init builds the root, `start` calls `prepare` with the PID of a
/// process in the container's network namespace, so that `prepare` can set up the network. If the
/// spec names an existing network namespace, the process may not have joined this namespace yet.
/// After an error neither init nor a cgroup is left, unless the removal of a cgroup fails too.
/// Mounts are left only if the container is in the host's mount namespace. Fails with the error and
/// exit status of the failed step.
pub fn start(
    spec: &Spec,
    stdio: Stdio,
    caller: Caller<'_>,
    copies: Option<BorrowedFd<'_>>,
    prepare: &mut dyn FnMut(Pid) -> Result<()>,
) -> Result<Running> {
    let holder = match &spec.ids {
        Some(ids) => Some(Holder::make(ids, &spec.namespaces)?),
        None => None,
    };
    let mut joined = namespaces::Joined::open(&spec.namespaces, holder.as_ref().map(Holder::pid))?;
    joined.owners = user_namespace::of_mounts(&spec.mounts)?;
    let (ours, theirs) = sys::packet::pair().context(|| "make a socket pair")?;
    let mut cgroup = Cgroup::plan(spec)?;
    let cloned = cgroup.make_v2(spec).and_then(|()| {
        joined.in_pid_namespace(|| {
            let flags = namespaces::clone_flags(&spec.namespaces, holder.is_some());
            match sys::clone::clone3(flags, cgroup.v2_directory()) {
                Err(Errno::INVAL) if !namespaces::missing().is_empty() => fail!(
                    "this kernel was built without {}: containers need it",
                    namespaces::missing().join(", ")
                ),
                result => result.context(|| "clone a process into new namespaces"),
            }
        })
    });
    let child = match cloned {
        Ok(sys::clone::Fork::Child) => {
            drop(ours);
            // Only the parent ends the holder. Init must not drop the holder.
            std::mem::forget(holder);
            trace::become_process(trace::Process::Init);
            init::main(spec, stdio, caller, joined, copies, &cgroup, theirs)
        }
        Ok(sys::clone::Fork::Parent(child)) => {
            trace::step("clone3", || namespaces::describe(&spec.namespaces, child.pid));
            child
        }
        Err(error) => return Err(discard(&cgroup, error)),
    };
    let has_console = matches!(stdio, Stdio::Terminal);
    let (waits, has_listener, mounted) = match caller {
        Caller::Stays => (false, false, None),
        Caller::Leaves { listener, mounted } => (true, listener.is_some(), mounted),
    };
    drop((theirs, stdio));
    let started = (|| {
        cgroup.make(spec)?;
        prepare(holder.as_ref().map_or(child.pid, Holder::pid))?;
        let is_up = spec.loopback_by_caller
            && spec.namespaces.network == Namespace::Private
            && namespaces::bring_loopback_up_of(holder.as_ref().map_or(child.pid, Holder::pid))?;
        drop(holder);
        report::go(ours.as_fd(), is_up);
        trace::step("sendmsg", || "let init go on: cgroups and network are ready".to_owned());
        if let Some(mounted) = mounted {
            report::await_mounts(ours.as_fd())?;
            mounted(child.pid)?;
            report::go(ours.as_fd(), is_up);
        }
        if waits && has_listener {
            return report::await_ready(ours.as_fd(), has_console);
        }
        if waits {
            return report::await_pause(ours.as_fd(), has_console);
        }
        report::await_exec(ours.as_fd(), has_console)
            .traced("recvmsg", || "wait until execve closes init's end of the socket".to_owned())
    })();
    match started {
        Ok(console) => {
            let socket = (waits && !has_listener).then_some(ours);
            Ok(Running { pid: child.pid, pidfd: child.pidfd, cgroup, console, socket })
        }
        Err(error) => {
            end(child.pidfd.as_fd());
            // `error` may only say that init has ended. Init's own message says why.
            let error = report::failure(ours.as_fd()).unwrap_or(error);
            Err(discard(&cgroup, error))
        }
    }
}

/// Lets the first process at the other end of `connection` go on, and waits until the first process
/// has executed the program. Fails if the first process reports an error. The first process then
/// ends.
pub fn release(connection: BorrowedFd<'_>) -> Result<()> {
    report::go(connection, false);
    report::await_exec(connection, false).map(drop)
}

/// Removes the cgroups of a container whose start failed with `error`. Returns `error`, followed by
/// the error of the removal if there is one.
fn discard(cgroup: &Cgroup, error: Error) -> Error {
    match cgroup::remove(&cgroup.paths()) {
        Ok(()) => error,
        Err(leftover) => Error::new(format!("{error}; {leftover}")).exit_with(error.exit_code()),
    }
}

/// The exit status that a shell reports: the program's own, or 128 + the number of the signal that
/// ended the program.
pub fn exit_code(status: WaitStatus) -> u8 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code as u8,
        (None, Some(signal)) => 128 + signal as u8,
        // The process has stopped or continued. The callers do not request these states from
        // waitpid(2).
        (None, None) => crate::error::EXIT_ENGINE,
    }
}

/// The mount points below any of `directories` in the caller's mount namespace, in the reverse
/// order of /proc/self/mountinfo. Fails if this file cannot be read.
pub fn mounts_below(directories: &[&Path]) -> Result<Vec<PathBuf>> {
    let mut points = mount_points()?;
    points.retain(|point| {
        directories.iter().any(|directory| point != directory && point.starts_with(directory))
    });
    points.reverse();
    Ok(points)
}

/// The number of mounts that are stacked on `directory` in the caller's mount namespace. Fails if
/// /proc/self/mountinfo cannot be read.
pub fn count_mounts_on(directory: &Path) -> Result<usize> {
    Ok(mount_points()?.iter().filter(|point| *point == directory).count())
}

/// The mount points of the caller's mount namespace, in the order of /proc/self/mountinfo.
fn mount_points() -> Result<Vec<PathBuf>> {
    let mounts = propagation::mountinfo()?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    Ok(points.map(propagation::unescape).collect())
}

/// Kills a child of this process and waits for its end.
pub fn end(pidfd: BorrowedFd<'_>) {
    // An error means that the child has already ended.
    let _ = sys::process::send_signal(pidfd, sys::signal::Signal::KILL);
    let _ = waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED);
}

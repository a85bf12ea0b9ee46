//! The container's first process, from clone3(2) to execve(2) of the program.
//!
//! Init starts in new namespaces, but with the host's file systems and the privileges of the host's
//! root. `run` builds the root in numbered steps, and the last two steps take both away. Where the
//! order matters, the step's comment says why. The parent works at the same time
//! (`runtime::start`).

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::process::{setsid, umask};
use rustix::thread::CapabilitySet;

use super::cgroup::Cgroup;
use super::hooks::Place;
use super::namespaces::Joined;
use super::seccomp::listener::Agent;
use super::spec::{DeviceAccess, Namespace, Spec};
use super::user_namespace::{self, UserNamespace};
use super::{
    Caller, Stdio, hooks, mounts, namespaces, process, propagation, report, rootfs, terminal,
};
use crate::error::{Context, Result};
use crate::sys;
use crate::sys::trace::{self, Traced};

/// Executes the container's program. If a step fails, sends the error to `parent` and exits with
/// the error's status.
pub fn main(
    spec: &Spec,
    stdio: Stdio,
    caller: Caller<'_>,
    joined: Joined,
    copies: Option<BorrowedFd<'_>>,
    cgroup: &Cgroup,
    mut parent: OwnedFd,
) -> ! {
    let Err(error) = run(spec, stdio, &caller, &joined, copies, cgroup, &mut parent);
    report::send_failure(parent.as_fd(), &error);
    sys::exec::exit_now(error.exit_code())
}

fn run(
    spec: &Spec,
    stdio: Stdio,
    caller: &Caller<'_>,
    joined: &Joined,
    copies: Option<BorrowedFd<'_>>,
    cgroup: &Cgroup,
    parent: &mut OwnedFd,
) -> Result<Infallible> {
    // 1. Make this process undumpable before it joins namespaces: another container's programs may
    // already run in these namespaces, and must not trace this process.
    namespaces::hide().traced("prctl", || {
        "PR_SET_DUMPABLE 0: nothing inside may trace or open this process".to_owned()
    })?;
    // Close this process's copies of the monitor's lock and sockets before any call can block. No
    // copy may stay open after the monitor ends.
    let mut keep = vec![parent.as_fd()];
    keep.extend(trace::descriptor());
    keep.extend(copies);
    if let Caller::Leaves { listener: Some(listener), .. } = caller {
        keep.push(listener.as_fd());
    }
    close_the_monitors(&stdio, joined, cgroup, spec.process.preserved, &keep)?;
    sys::title::replace(process::TITLE, false);
    // Without a umask, each file gets exactly the mode of the call that creates it.
    umask(Mode::empty());
    setsid().context(|| "start a new session")?;
    joined.enter()?;

    if spec.namespaces.time == Namespace::Private {
        namespaces::create_time_namespace(&spec.namespaces.time_offsets)?;
    }

    // 2. Create /proc and sysfs now. With a user namespace, this process next joins a mount
    // namespace that the user namespace owns. There the kernel refuses a new /proc if a part of
    // the host's /proc is covered.
    let fresh = mounts::Fresh::make(spec)?;
    joined.enter_mounts()?;
    let user_namespace = match (joined.user(), &spec.ids) {
        (Some(fd), Some(ids)) => Some(UserNamespace { fd, ids }),
        _ => None,
    };
    if let Some(UserNamespace { ids, .. }) = &user_namespace {
        user_namespace::become_builder(ids)?;
    }

    // 3. Build the root and its mounts, while the host's /proc and paths are still reachable.
    let open_devices =
        matches!(spec.device_access, DeviceAccess::All) || cgroup.restricts_devices();
    let agent = Agent::connect(&spec.process.seccomp, "creating", None)?;
    let shared = propagation::copy_shared(spec)?;
    let is_hosts = spec.namespaces.mount == Namespace::Host;
    let root = rootfs::assemble(&spec.root, &spec.mount_point, is_hosts, joined.user(), copies)?;
    if !open_devices {
        sys::mount::add_attributes(root.as_fd(), MountAttrFlags::MOUNT_ATTR_NODEV, false)
            .context(|| "block the image's device nodes")?;
    }
    mounts::mount_all(root.as_fd(), fresh, spec, joined, copies, open_devices, shared)?;

    // 4. Set up the new network and UTS namespaces.
    let has_loopback = spec.namespaces.network == Namespace::Private;
    if has_loopback && !spec.loopback_by_caller {
        namespaces::bring_loopback_up()?;
    }
    // The UTS namespace of another container keeps its name. A namespace that a bundle gives by
    // path gets the bundle's name.
    let has_names = matches!(spec.namespaces.uts, Namespace::Private | Namespace::Path(_));
    if has_names && let Some(name) = &spec.hostname {
        rustix::system::sethostname(name.as_bytes())
            .traced("sethostname", || name.clone())
            .context(|| format!("set the host name to '{name}'"))?;
    }
    if has_names && let Some(name) = &spec.system.domainname {
        rustix::system::setdomainname(name.as_bytes())
            .context(|| format!("set the domain name to '{name}'"))?;
    }

    // 5. Wait until the parent has made the cgroups and set up the network. Enter the cgroups,
    // which become the root of a private cgroup namespace.
    if user_namespace.is_some() {
        user_namespace::become_host()?;
    }
    let is_up = report::await_go(parent.as_fd())?;
    // A parent without CAP_SYS_PTRACE cannot open the network namespace to set loopback up, so set
    // it up here.
    if has_loopback && spec.loopback_by_caller && !is_up {
        namespaces::bring_loopback_up()?;
    }
    cgroup.enter().traced("write", || format!("enter {}", cgroup.paths().join(" ")))?;
    joined.enter_cgroup_namespace()?;
    if spec.namespaces.cgroup == Namespace::Private {
        let own_view = || "CLONE_NEWCGROUP: these cgroups become the root of its view".to_owned();
        match sys::clone::unshare(sys::clone::Flags::CGROUP).traced("unshare", own_view) {
            // The container has no cgroups, so there is no cgroup to hide.
            Err(Errno::INVAL) if cgroup.paths().is_empty() => {}
            result => result.context(|| "unshare the cgroup namespace")?,
        }
    }
    mounts::mount_cgroups(root.as_fd(), spec, &cgroup.hierarchies())?;

    if let Caller::Leaves { mounted: Some(_), .. } = caller {
        report::send_ready(parent.as_fd())?;
        report::await_go(parent.as_fd())?;
    }
    if !spec.hooks.create_container.is_empty() {
        let pid = sys::process::own_pid_in_proc().context(|| "read /proc/self")?;
        let input = hooks::input(&spec.hooks.state, "creating", pid);
        let place = Place::Host(&spec.hooks.directory);
        hooks::run_all("createContainer", &spec.hooks.create_container, place, &input)?;
    }

    // 6. Replace the host's root by the new root with pivot_root(2). In the host's mount namespace
    // use chroot(2) instead, because pivot_root(2) would change the root of the host's processes.
    let new_root =
        || format!("{} becomes /, the host's root is unmounted", spec.mount_point.display());
    let entered = if is_hosts {
        rootfs::chroot_into(root.as_fd())
    } else {
        rootfs::pivot_into(root.as_fd(), spec.propagates())
    };
    entered.traced("pivot_root", new_root)?;
    if let Some(propagation) = spec.root_propagation {
        rootfs::propagate(propagation)?;
    }
    drop(root);
    standard_streams(stdio, spec.process.window, parent.as_fd())?;

    // 7. Take the user, the capabilities and the seccomp filter of the program, and execute the
    // program.
    let (make_cwd, init) = (true, spec.system.init);
    let entry = process::Entry {
        user_namespace,
        make_cwd,
        init,
        stays: init,
        die_with_parent: matches!(caller, Caller::Stays),
        agent: agent.as_ref(),
    };
    let mut process = spec.process.clone();
    if !open_devices {
        process.capabilities.bounding &= !CapabilitySet::MKNOD.bits();
    }
    let mut keep = vec![parent.as_fd()];
    keep.extend(agent.as_ref().map(Agent::descriptor));
    keep.extend(trace::descriptor());
    if let Caller::Leaves { listener: Some(listener), .. } = caller {
        keep.push(listener.as_fd());
    }
    let confined = process::confine(&process, &entry, parent, &keep)?;
    if let Caller::Leaves { listener, .. } = caller {
        confined.check()?;
        // READY lets the OCI command `create` end. With a listener, later errors go to the process
        // of the OCI command `start`.
        report::send_ready(parent.as_fd())?;
        match listener {
            Some(listener) => *parent = report::await_start(listener.as_fd())?,
            None => drop(report::await_go(parent.as_fd())?),
        }
        let input = hooks::input(
            &spec.hooks.state,
            "created",
            rustix::process::getpid().as_raw_nonzero().get(),
        );
        let hooks = &spec.hooks.start_container;
        let place =
            Place::Container { confine: &|| confined.confine_hook(), env: confined.variables() };
        hooks::run_all("startContainer", hooks, place, &input)?;
    }
    confined.install_filter()?.exec()
}

/// Closes all descriptors except 0 to 2 and those that init or the program needs.
fn close_the_monitors(
    stdio: &Stdio,
    joined: &Joined,
    cgroup: &Cgroup,
    preserved: u32,
    kept: &[BorrowedFd<'_>],
) -> Result<()> {
    let mut keep = joined.descriptors();
    keep.extend(cgroup.v2_directory());
    keep.extend(kept);
    if let Stdio::Given(streams) = stdio {
        keep.extend(streams.iter().map(AsFd::as_fd));
    }
    sys::fds::close_after(preserved, &keep).context(|| "close the monitor's descriptors")
}

fn standard_streams(
    stdio: Stdio,
    window: Option<(u16, u16)>,
    parent: BorrowedFd<'_>,
) -> Result<()> {
    match stdio {
        Stdio::Given([stdin, stdout, stderr]) => {
            sys::fds::become_stdio([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])
                .context(|| "set up the standard streams")
        }
        Stdio::Terminal => {
            let root = openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
                .context(|| "open the container's /")?;
            let pty = terminal::open(root.as_fd(), window)?;
            terminal::mount_console(root.as_fd(), pty.slave.as_fd())?;
            report::send_console(parent, pty.master.as_fd())?;
            terminal::adopt(pty.slave.as_fd()).context(|| "adopt the terminal")
        }
    }
}

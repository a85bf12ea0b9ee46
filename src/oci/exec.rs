//! `exec`: starts another process in a created or running container, or with `--ignore-paused` in a
//! paused one (`runtime::exec::exec_and_leave`). With `--process`, a process.json describes the
//! process. Otherwise flags and operands change a copy of the container's own `process`. This
//! command is the parent of the process, and waits until the process ends. With `--detach`, no
//! process of mydocker stays. Then the parent is the nearest ancestor that is a subreaper
//! (PR_SET_CHILD_SUBREAPER in prctl(2)), or the host's init.

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::process::{PidfdFlags, getpid, pidfd_open, set_child_subreaper};

use super::args::Args;
use super::state::{Container, Status};
use linux_raw_sys::general::{SCHED_DEADLINE, SCHED_FLAG_RESET_ON_FORK};

use super::{Globals, config, foreground, linux, process, scheduling};
use crate::error::{Context, Result, fail};
use crate::json::{self, Node};
use crate::runtime::capabilities::names;
use crate::runtime::exec::{Target, exec_and_leave};
use crate::runtime::label::{self, Label};
use crate::runtime::spec::{Identity, Namespace, Process, Scheduler};
use crate::runtime::{self, Stdio, cgroup};
use crate::sys::schedule::set_scheduler;

/// The command `exec`. Returns its exit status.
pub fn exec(globals: &Globals, args: &Args) -> Result<u8> {
    let Some((id, command)) = args.operands.split_first() else {
        fail!("the container id is missing")
    };
    let container = Container::look(&globals.root, id)?;
    match container.status()? {
        Status::Running | Status::Created => {}
        Status::Paused if args.has("ignore-paused") => {}
        Status::Paused => {
            fail!("cannot exec in a paused container (use --ignore-paused to override)")
        }
        Status::Creating => fail!("cannot exec in a container that is being created"),
        Status::Stopped => fail!("cannot exec in a stopped container"),
    }
    let bytes = config::read(&container.config())?;
    let value = json::parse("config.json", &bytes)?;
    let root = Node::root("config.json", &value);
    let none = json::parse("config.json", b"{}")?;
    let linux = root.get("linux")?.unwrap_or(Node::root("config.json", &none));
    let own = parse(&root.need("process")?)?;
    let mut process = match args.value("process") {
        Some(path) => {
            // The file names the program, so the container's id must be the only operand.
            args.id()?;
            let bytes = config::read_given(path.as_ref())?;
            let value = json::parse("process.json", &bytes)?;
            from_file(&Node::root("process.json", &value), own)?
        }
        None => from_flags(own, args, command)?,
    };
    scheduling::of_linux(&linux, &mut process.scheduling)?;
    let (capabilities, state) = (process.capabilities.bounding, &container.state);
    process.seccomp =
        linux::seccomp(&linux, capabilities, id, state.bundle.as_ref(), &state.annotations)?;
    process.preserved = super::preserved(args, 0)?;
    let namespaces = linux::namespaces(&linux)?;
    let target = Target {
        pid: container.state.pid,
        start_time: container.state.start_time,
        cgroups: &cgroups(&container, args)?,
        must_be_there: args.has("cgroup"),
        has_time: namespaces.time != Namespace::Host,
        has_hosts_mounts: namespaces.mount == Namespace::Host,
        ids: linux::ids(&linux, &namespaces)?,
    };
    let detached = args.has("detach");
    if process.terminal && detached && !args.has("console-socket") {
        fail!("a terminal needs --console-socket with --detach");
    }
    let stdio = if process.terminal { Stdio::Terminal } else { super::own_stdio()? };
    if !detached {
        set_child_subreaper(Some(getpid())).context(|| "reap the process")?;
    }
    // A process with SCHED_DEADLINE cannot fork, and the child of a process with RESET_ON_FORK
    // gets the default policy. So this command sets such a scheduler after the fork.
    let is_late = |scheduler: &mut Scheduler| {
        scheduler.policy == SCHED_DEADLINE
            || scheduler.flags & u64::from(SCHED_FLAG_RESET_ON_FORK) != 0
    };
    let scheduler = process.scheduling.scheduler.take_if(is_late);
    let (pid, mut console) = exec_and_leave(&target, &process, stdio)?;
    // pidfd_open(2) fails if the process has ended already and its parent has reaped it.
    let pidfd = pidfd_open(pid, PidfdFlags::empty());
    let handed = (|| -> Result<()> {
        if let Some(scheduler) = scheduler {
            match set_scheduler(Some(pid), &scheduler) {
                // The process has ended already.
                Err(Errno::SRCH) => {}
                set => set.context(|| "set process.scheduler")?,
            }
        }
        super::send_console(args, &mut console)?;
        if let Ok(pidfd) = &pidfd {
            super::send_pidfd(args, pidfd.as_fd())?;
        }
        super::write_pid_file(args, pid)
    })();
    if let Err(error) = handed {
        if let Ok(pidfd) = pidfd {
            runtime::end(pidfd.as_fd());
        }
        return Err(error);
    }
    if detached {
        return Ok(0);
    }
    foreground::follow(pid, pidfd.context(|| "look at the process")?.as_fd(), console)
}

/// Parses a process with its `execCPUAffinity`.
fn parse(node: &Node<'_>) -> Result<Process> {
    let mut process = process::parse(node)?;
    scheduling::affinity(node, &mut process.scheduling)?;
    Ok(process)
}

/// The process of a process.json. Capabilities, rlimits, umask, scheduler, I/O priority, CPU
/// affinity and label that the file lacks are taken from the container's `own` process.
fn from_file(node: &Node<'_>, own: Process) -> Result<Process> {
    let mut process = parse(node)?;
    let has = |key| Ok::<_, crate::error::Error>(node.get(key)?.is_some());
    if !has("capabilities")? {
        process.capabilities = own.capabilities;
    }
    if !has("rlimits")? {
        process.limits.rlimits = own.limits.rlimits;
    }
    let has_umask = match node.get("user")? {
        Some(user) => user.get("umask")?.is_some(),
        None => false,
    };
    if !has_umask {
        process.umask = own.umask;
    }
    if !has("scheduler")? {
        process.scheduling.scheduler = own.scheduling.scheduler;
    }
    if !has("ioPriority")? {
        process.scheduling.io_priority = own.scheduling.io_priority;
    }
    if !has("execCPUAffinity")? {
        (process.scheduling.first_cpus, process.scheduling.cpus) =
            (own.scheduling.first_cpus, own.scheduling.cpus);
    }
    // `unconfined` asks for no label, so the container's own label must not replace it.
    if node.text("apparmorProfile")? != label::UNCONFINED {
        process.label = process.label.or(own.label);
    }
    Ok(process)
}

/// The cgroups that the process joins. Without `--cgroup`, these are the container's cgroups.
/// `--cgroup PATH` replaces each cgroup by the cgroup PATH below it. `--cgroup CONTROLLER,…:PATH`
/// replaces only the cgroups of the named controllers.
fn cgroups(container: &Container, args: &Args) -> Result<Vec<String>> {
    let own = container.cgroups();
    let mut cgroups = own.clone();
    for asked in args.values("cgroup") {
        let (controllers, below) = asked.rsplit_once(':').unwrap_or(("", asked));
        if below.split('/').any(|part| part == "..") {
            fail!(
                "--cgroup {asked}: bad sub cgroup path: it should be below the container's cgroup"
            );
        }
        let below = below.trim_matches('/');
        for controller in controllers.split(',') {
            let place = |path: &String| {
                controller.is_empty() || cgroup::belongs_to(path, controller).unwrap_or_default()
            };
            if !cgroups.iter().any(place) {
                fail!("--cgroup {asked}: unknown controller {controller}");
            }
            for (path, whole) in cgroups.iter_mut().zip(&own).filter(|(path, _)| place(path)) {
                let joined =
                    if below.is_empty() { whole.to_owned() } else { format!("{whole}/{below}") };
                if !std::path::Path::new(&joined).is_dir() {
                    fail!("--cgroup {asked}: adding pid to {joined}: no such file or directory");
                }
                *path = joined;
            }
        }
    }
    Ok(cgroups)
}

/// The container's own process, changed by the flags, with `command` as its arguments.
fn from_flags(own: Process, args: &Args, command: &[String]) -> Result<Process> {
    if command.is_empty() {
        fail!("the command is missing");
    }
    let mut process =
        Process { args: command.to_vec(), terminal: args.has("tty"), window: None, ..own };
    if let Some(cwd) = args.value("cwd") {
        if !cwd.starts_with('/') {
            fail!("--cwd should be an absolute path, not '{cwd}'");
        }
        process.cwd = cwd.to_owned();
    }
    for pair in args.values("env") {
        let Some((name, _)) = pair.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            fail!("--env should be NAME=value, not '{pair}'")
        };
        process.env.retain(|known| known.split('=').next() != Some(name));
        process.env.push(pair.to_owned());
    }
    let number = |text: &str| match text.parse::<u32>() {
        Ok(number) => Ok(number),
        Err(_) => fail!("'{text}' should be the number of a user or group"),
    };
    if let (Some(user), Identity::Numbers { uid, gid, .. }) =
        (args.value("user"), &mut process.user)
    {
        let (user, group) = user.split_once(':').unwrap_or((user, ""));
        *uid = number(user)?;
        if !group.is_empty() {
            *gid = number(group)?;
        }
        process.env.retain(|pair| !pair.starts_with("HOME="));
    }
    if let Identity::Numbers { groups, .. } = &mut process.user {
        for group in args.values("additional-gids") {
            groups.push(number(group)?);
        }
    }
    for name in args.values("cap") {
        match names::bit(name) {
            Some(bit) => {
                process.capabilities.bounding |= bit;
                process.capabilities.not_permitted &= !bit;
            }
            None => super::warn(&format!("--cap: no capability is called '{name}'; left out")),
        }
    }
    if args.has("no-new-privs") {
        process.no_new_privileges = true;
    }
    if let Some(profile) = args.value("apparmor") {
        label::check_apparmor(profile).context(|| "--apparmor")?;
        process.label = Some(Label::AppArmor(profile.to_owned()));
    }
    if let Some(context) = args.value("process-label") {
        label::check_selinux(context).context(|| "--process-label")?;
        process.label = Some(Label::Selinux(context.to_owned()));
    }
    Ok(process)
}

//! `create`, `start`, `run`, `kill`, `delete`, `pause` and `resume`: the life cycle of runtime.md.
//!
//! `create` ends when the first process needs only its seccomp filter and its program: it waits on a
//! socket in the container's directory (`runtime::Caller::Leaves`). Its parent is then the process that
//! reaps the caller's orphans, such as an engine's shim; no process of mydocker stays. A hook that fails
//! ends the container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use super::args::Args;
use super::config::{self, Config, HostHooks};
use super::state::{Container, START, Status};
use super::{Globals, foreground, net_devices, notify, systemd, warn};
use crate::error::{Context, Error, Result, fail};
use crate::runtime::spec::Hook;
use crate::runtime::{self, Caller, Stdio, cgroup, hooks};
use crate::store::{self, Durability};
use crate::sys;
use crate::sys::clone::{Flags, Fork, clone3};
use crate::sys::signal::Signal;

/// What `create` and `run` made.
pub struct Made {
    pub container: Container,
    pub pid: Pid,
    pub pidfd: OwnedFd,
    /// The terminal's master, if it was not sent to `--console-socket`.
    pub console: Option<OwnedFd>,
    /// Those that are still to run.
    pub hooks: HostHooks,
}

/// `create`
pub fn create(globals: &Globals, args: &Args) -> Result<u8> {
    make(globals, args, false)?;
    Ok(0)
}

/// `run`: create and start. Without `--detach`, also wait for the end and delete.
pub fn run(globals: &Globals, args: &Args) -> Result<u8> {
    let detached = args.has("detach");
    let made = make(globals, args, !detached)?;
    let Made { container, pid, pidfd, console, hooks } = made;
    let ready = match begin(&container, &hooks.poststart) {
        Ok(ready) => ready,
        Err(error) => {
            remove(container, hooks.poststop)?;
            return Err(error);
        }
    };
    // Others may pause, kill or delete it while this waits.
    drop(container);
    let number = pid.as_raw_nonzero().get();
    if let Some(ready) = ready {
        if detached {
            notify::relay(&ready, pidfd.as_fd(), number)?;
        } else {
            relay_beside(&ready, pidfd.as_fd(), number)?;
        }
    }
    if detached {
        return Ok(0);
    }
    let code = foreground::follow(pid, pidfd.as_fd(), console)?;
    if !args.has("keep") {
        remove(Container::open(&globals.root, args.id()?)?, hooks.poststop)?;
    }
    Ok(code)
}

fn make(globals: &Globals, args: &Args, foreground: bool) -> Result<Made> {
    let id = args.id()?;
    let bundle = PathBuf::from(args.value("bundle").unwrap_or("."));
    let bundle = std::fs::canonicalize(&bundle)
        .context(|| format!("open the bundle {}", bundle.display()))?;
    let bytes = config::read(&bundle.join("config.json"))?;
    let scratch = globals.root.join(id);
    super::state::check_id(id)?;
    let mut config = config::parse(&bytes, id, &bundle, &scratch, globals.by_systemd)?;
    let process = &mut config.spec.process;
    let sockets = super::sockets()?;
    process.preserved = super::preserved(args, sockets)?;
    if sockets > 0 {
        // The program is PID 1 of its namespace, or takes itself for that behind an init.
        process.env.retain(|pair| !pair.starts_with("LISTEN_"));
        process.env.extend([format!("LISTEN_FDS={sockets}"), "LISTEN_PID=1".to_owned()]);
    }
    process.new_keyring = !args.has("no-new-keyring");
    match (process.terminal, args.has("console-socket"), foreground) {
        (true, false, false) => {
            fail!("config.json: process.terminal needs --console-socket, because nothing stays")
        }
        (false, true, _) => fail!("--console-socket needs process.terminal in config.json"),
        _ => {}
    }
    let mut container = Container::make(&globals.root, id)?;
    let mut has_hooked = false;
    match build(&mut container, &mut config, &bytes, &bundle, &mut has_hooked) {
        Ok(running) => finish(container, running, config.host_hooks, args),
        Err(error) => {
            // The first error is the one to report. What a hook has set up, a later one takes down.
            let poststop = if has_hooked { config.host_hooks.poststop } else { Vec::new() };
            let _ = remove(container, poststop);
            Err(error)
        }
    }
}

fn build(
    container: &mut Container,
    config: &mut Config,
    bytes: &[u8],
    bundle: &Path,
    has_hooked: &mut bool,
) -> Result<runtime::Running> {
    let spec = &mut config.spec;
    if let Some(root) = container.dir.parent() {
        cgroup::find_or_warn(root, |reason| {
            warn(&format!("containers run without limits: {reason}"));
        })?;
    }
    let cgroups = cgroup::possible_paths("", spec.cgroup.path.trim_matches('/'))?;
    // Checked before the state names these cgroups, because `delete` removes every cgroup that it names.
    cgroup::must_be_free(&cgroups).context(|| "config.json: linux.cgroupsPath")?;
    container.state.cgroups = cgroups;
    container.state.boot_id = sys::process::boot_id();
    container.state.bundle = bundle.display().to_string();
    container.state.rootfs = config.rootfs.clone();
    container.state.unit = config.unit.as_ref().map(|unit| unit.name.clone());
    container.state.annotations = config.annotations.clone();
    container.state.created = crate::time::Instant::now().to_rfc3339();
    store::replace(&container.config(), bytes, Durability::Lazy)?;
    // Saved before anything is made, so that `delete` finds what a killed `create` leaves.
    container.save()?;
    spec.hooks.state = container.document();
    notify::offer(container, spec)?;
    let stdio = if spec.process.terminal { Stdio::Terminal } else { super::own_stdio()? };
    let listener = container.listen()?;
    let host = &config.host_hooks;
    let state = &spec.hooks.state;
    let devices = &config.net_devices;
    let mut prepare = |pid: Pid| {
        net_devices::move_all(devices, pid)?;
        let input = hooks::input(state, "creating", pid.as_raw_nonzero().get());
        *has_hooked = true;
        hooks::run_all("prestart", &host.prestart, &input)?;
        hooks::run_all("createRuntime", &host.create_runtime, &input)
    };
    let held = match &config.unit {
        Some(unit) => Some(systemd::start(unit, &container.state.id, &spec.cgroup.resources)?),
        None => None,
    };
    let running = runtime::start(spec, stdio, Caller::Leaves(listener), None, &mut prepare);
    drop(held);
    running
}

/// Gives the caller the terminal and the PID.
fn finish(
    mut container: Container,
    running: runtime::Running,
    hooks: HostHooks,
    args: &Args,
) -> Result<Made> {
    let runtime::Running { pid, pidfd, mut console, .. } = running;
    let handed = (|| -> Result<()> {
        super::send_console(args, &mut console)?;
        container.state.pid = pid.as_raw_nonzero().get();
        let start_time = sys::process::start_time(pid).context(|| "look at the first process")?;
        container.state.start_time = start_time.unwrap_or_default();
        container.save()?;
        super::write_pid_file(args, pid)
    })();
    if let Err(error) = handed {
        runtime::end(pidfd.as_fd());
        let _ = remove(container, hooks.poststop);
        return Err(error);
    }
    Ok(Made { container, pid, pidfd, console, hooks })
}

/// `start`
pub fn start(globals: &Globals, args: &Args) -> Result<u8> {
    let container = Container::open(&globals.root, args.id()?)?;
    match container.status()? {
        Status::Created => {}
        Status::Stopped => fail!("cannot start a container that has stopped"),
        Status::Running | Status::Paused => fail!("cannot start an already running container"),
    }
    let process = container.process()?;
    let pid = container.state.pid;
    let ready = begin(&container, &kept_hooks(&container)?.poststart)?;
    // The lock is released, so that others can pause, kill or delete the container during the wait.
    drop(container);
    if let (Some(ready), Some(process)) = (ready, process) {
        notify::relay(&ready, process.as_fd(), pid)?;
    }
    Ok(0)
}

/// Lets the first process go. Returns the socket of its readiness if the caller waits for that.
fn begin(container: &Container, poststart: &[Hook]) -> Result<Option<OwnedFd>> {
    let ready = notify::listen(container)?;
    let connection = container.connect()?;
    let released = runtime::release(connection.as_fd());
    // If the release failed, the first process has ended; in both cases the socket has no further use.
    store::remove_file(&container.dir.join(START))?;
    released?;
    let input = hooks::input(&container.document(), "running", container.state.pid);
    let outcome = hooks::run_all("poststart", poststart, &input);
    if outcome.is_err() {
        kill_all(container)?;
    }
    outcome.map(|()| ready)
}

/// Relays the readiness, as `start` does, in a child process beside a `run` in the foreground.
fn relay_beside(ready: &OwnedFd, process: BorrowedFd<'_>, pid: i32) -> Result<()> {
    match clone3(Flags::default(), None).context(|| "fork")? {
        Fork::Child => {
            // An error is dropped: the container must go on, although its caller never gets READY=1.
            let _ = sys::fds::close_all_but(&[ready.as_fd(), process])
                .map_err(Error::from)
                .and_then(|()| notify::relay(ready, process, pid));
            sys::exec::exit_now(0)
        }
        Fork::Parent(_) => Ok(()),
    }
}

/// The hooks in the configuration that `create` kept.
fn kept_hooks(container: &Container) -> Result<HostHooks> {
    config::host_hooks(&config::read(&container.config())?)
}

/// `kill`
pub fn kill(globals: &Globals, args: &Args) -> Result<u8> {
    let (id, signal) = match args.operands.as_slice() {
        [id] => (id, "TERM"),
        [id, signal] => (id, signal.as_str()),
        _ => fail!("kill takes a container id and a signal"),
    };
    let Some(signal) = Signal::parse(signal) else { fail!("unknown signal '{signal}'") };
    let container = Container::open(&globals.root, id)?;
    let all = args.has("all");
    if container.status()? == Status::Stopped && !all {
        fail!("container not running");
    }
    if all || signal == Signal::KILL {
        // In a PID namespace of its own all end with the first; otherwise they are known by the cgroup.
        cgroup::signal(&container.state.cgroups, signal);
    }
    if let Some(pidfd) = container.process()? {
        match sys::process::send_signal(pidfd.as_fd(), signal) {
            // It has just ended.
            Err(rustix::io::Errno::SRCH) => {}
            sent => sent.context(|| format!("send {signal}"))?,
        }
        if signal == Signal::KILL {
            thaw(&container)?;
        }
    }
    Ok(0)
}

/// A process that is frozen ends only once it is thawed.
fn thaw(container: &Container) -> Result<()> {
    let cgroups = &container.state.cgroups;
    if cgroup::freezer::is_switched(cgroups) {
        cgroup::freezer::switch(cgroups, false)?;
    }
    Ok(())
}

/// Ends the container and waits for that.
fn kill_all(container: &Container) -> Result<()> {
    let pidfd = container.process()?;
    if let Some(pidfd) = &pidfd {
        let _ = sys::process::send_signal(pidfd.as_fd(), Signal::KILL);
    }
    cgroup::signal(&container.state.cgroups, Signal::KILL);
    thaw(container)?;
    let Some(pidfd) = pidfd else { return Ok(()) };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    match sys::process::ends_by(pidfd.as_fd(), Some(deadline)) {
        Ok(true) => Ok(()),
        _ => fail!("the container's first process does not end"),
    }
}

/// `delete`
pub fn delete(globals: &Globals, args: &Args) -> Result<u8> {
    let force = args.has("force");
    let container = match Container::open(&globals.root, args.id()?) {
        Err(error) if error.is_absent() && force => return Ok(0),
        container => container?,
    };
    match container.status()? {
        Status::Stopped => {}
        _ if force => kill_all(&container)?,
        status => fail!(
            "cannot delete container {} that is not stopped: {}",
            container.state.id,
            status.word()
        ),
    }
    // A container that was half made, or whose bundle is gone, is removed too.
    let hooks = kept_hooks(&container).map(|hooks| hooks.poststop).unwrap_or_default();
    remove(container, hooks)?;
    Ok(0)
}

/// Removes a stopped container and runs its poststop hooks, whose failure is a warning.
fn remove(container: Container, poststop: Vec<Hook>) -> Result<()> {
    let input = hooks::input(&container.document(), "stopped", 0);
    container.remove()?;
    for hook in poststop {
        if let Err(error) = hooks::run_all("poststop", &[hook], &input) {
            warn(&error.to_string());
        }
    }
    Ok(())
}

/// `pause` and `resume`
pub fn freeze(globals: &Globals, args: &Args, frozen: bool) -> Result<u8> {
    let container = Container::open(&globals.root, args.id()?)?;
    match (container.status()?, frozen) {
        (Status::Running, true) | (Status::Paused, false) => {}
        (Status::Created, true) => {}
        (status, true) => fail!("container is {}, not running", status.word()),
        (status, false) => fail!("container is {}, not paused", status.word()),
    }
    cgroup::freezer::switch(&container.state.cgroups, frozen)?;
    Ok(0)
}

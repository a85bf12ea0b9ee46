//! `create`, `start`, `run`, `kill`, `delete`, `pause` and `resume`: the life cycle of runtime.md.
//!
//! At the end of `create`, the first process waits on a socket in the container's directory
//! (`runtime::Caller::Leaves`). A `run` without startContainer hooks uses a socket pair instead.
//! Only the startContainer hooks, no_new_privs, the seccomp filter and the program are left for
//! `start`. A `run` in the foreground stays until the container ends. After a `create` or a
//! detached `run`, the first process becomes a child of the nearest ancestor that is a subreaper,
//! such as an engine's shim. A poststop hook that fails causes only a warning; any other hook that
//! fails ends the container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use super::args::Args;
use super::config::{self, Config, HostHooks};
use super::state::{Container, START, Status};
use super::{Globals, foreground, net_devices, notify, systemd, warn};
use crate::error::{Context, Error, Result, fail};
use crate::runtime::spec::{Hook, Namespace};
use crate::runtime::{self, Caller, Stdio, cgroup, hooks};
use crate::store::{self, Durability};
use crate::sys;
use crate::sys::clone::{Flags, Fork, clone3};
use crate::sys::signal::Signal;

/// The container that `create` or `run` has made.
pub struct Made {
    pub container: Container,
    pub pid: Pid,
    pub pidfd: OwnedFd,
    /// The terminal's master, unless it was sent to `--console-socket`.
    pub console: Option<OwnedFd>,
    /// This command's end of the socket pair on which the first process waits for its start; `None`
    /// if the first process waits on the socket `start`.
    pub socket: Option<OwnedFd>,
    /// The hooks on the host's side. `poststart` and `poststop` have not run yet.
    pub hooks: HostHooks,
    pub has_process: bool,
}

/// The command `create`. Returns the exit status.
pub fn create(globals: &Globals, args: &Args) -> Result<u8> {
    make(globals, args, Starter::Another)?;
    Ok(0)
}

/// The process that starts the container.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Starter {
    /// A later `start`.
    Another,
    /// This `run`, which then leaves the container.
    Detached,
    /// This `run`, which waits for the container's end.
    Foreground,
}

/// The command `run`: creates and starts the container. Without `--detach` also waits for its end,
/// and deletes it unless `--keep` is given. Returns the exit status.
pub fn run(globals: &Globals, args: &Args) -> Result<u8> {
    let detached = args.has("detach");
    let made = make(globals, args, if detached { Starter::Detached } else { Starter::Foreground })?;
    let Made { container, pid, pidfd, console, socket, hooks, has_process } = made;
    let ready = match begin(&container, socket, &hooks, has_process) {
        Ok(ready) => ready,
        Err(error) => {
            // The first process may still wait for its start, and would wait without an end.
            runtime::end(pidfd.as_fd());
            remove(container, hooks.poststop)?;
            return Err(error);
        }
    };
    // Unlock the container, so that other commands may pause, kill or delete it during the wait.
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

fn make(globals: &Globals, args: &Args, starter: Starter) -> Result<Made> {
    let id = args.id()?;
    let bundle = PathBuf::from(args.value("bundle").unwrap_or("."));
    let bundle = std::fs::canonicalize(&bundle)
        .context(|| format!("open the bundle {}", bundle.display()))?;
    let bytes = config::read(&bundle.join(args.value("config").unwrap_or("config.json")))?;
    let scratch = globals.root.join(id);
    super::state::check_id(id)?;
    let mut config = config::parse(&bytes, id, &bundle, &scratch, globals.by_systemd)?;
    let process = &mut config.spec.process;
    let sockets = super::sockets()?;
    process.preserved = super::preserved(args, sockets)?;
    if sockets > 0 {
        // The first process completes `LISTEN_PID=` with its own PID (`runtime::process`).
        process.env.retain(|pair| !pair.starts_with("LISTEN_"));
        process.env.extend([format!("LISTEN_FDS={sockets}"), "LISTEN_PID=".to_owned()]);
    }
    process.new_keyring = !args.has("no-new-keyring");
    match (process.terminal, args.has("console-socket"), starter) {
        (true, false, Starter::Another | Starter::Detached) => {
            fail!("config.json: process.terminal needs --console-socket, because no process stays")
        }
        (false, true, _) => fail!("--console-socket needs process.terminal in config.json"),
        _ => {}
    }
    let mut container = Container::make(&globals.root, id)?;
    let mut reached_hooks = false;
    match build(&mut container, &mut config, &bytes, &bundle, starter, &mut reached_hooks) {
        Ok(running) => finish(container, running, config, args),
        Err(error) => {
            // Report this error and ignore an error of the removal. Poststop hooks undo what
            // earlier hooks have set up, so run them only if `build` came as far as its hooks.
            let poststop = if reached_hooks { config.host_hooks.poststop } else { Vec::new() };
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
    starter: Starter,
    reached_hooks: &mut bool,
) -> Result<runtime::Running> {
    let spec = &mut config.spec;
    if let Some(root) = container.dir.parent() {
        cgroup::find_or_warn(root, |reason| {
            warn(&format!("containers run without limits: {reason}"));
        })?;
    }
    let cgroups = cgroup::possible_paths("", spec.cgroup.path.trim_matches('/'))?;
    // Check this before the state names the cgroups: `delete` removes every cgroup in the state.
    cgroup::must_be_free(&cgroups).context(|| "config.json: linux.cgroupsPath")?;
    container.state.cgroups = cgroups;
    container.state.boot_id = sys::process::boot_id();
    container.state.bundle = bundle.display().to_string();
    container.state.rootfs = config.rootfs.clone();
    if spec.namespaces.mount == Namespace::Host {
        container.state.mounts_before = Some(runtime::count_mounts_on(Path::new(&config.rootfs))?);
    }
    container.state.unit = config.unit.as_ref().map(|unit| unit.name.clone());
    container.state.annotations = config.annotations.clone();
    container.state.created = crate::time::Instant::now().to_rfc3339();
    store::replace(&container.config(), bytes, Durability::Lazy)?;
    // Save the state before anything of the container is made outside its directory, so that
    // `delete` can remove what a killed `create` leaves.
    container.save()?;
    spec.hooks.state = container.document();
    notify::offer(container, spec)?;
    let stdio = if spec.process.terminal { Stdio::Terminal } else { super::own_stdio()? };
    // A startContainer hook may take long. Until it has ended, the socket in the directory shows
    // that the container is only created.
    let needs_listener = starter == Starter::Another || !spec.hooks.start_container.is_empty();
    let listener = needs_listener.then(|| container.listen()).transpose()?;
    let host = &config.host_hooks;
    let state = &spec.hooks.state;
    let devices = &config.net_devices;
    let mut prepare = |pid: Pid| {
        *reached_hooks = true;
        net_devices::move_all(devices, &spec.namespaces, pid)
    };
    let place = hooks::Place::Host(bundle);
    let mut run_hooks = |pid: Pid| {
        let input = hooks::input(state, "creating", pid.as_raw_nonzero().get());
        hooks::run_all("prestart", &host.prestart, place, &input)?;
        hooks::run_all("createRuntime", &host.create_runtime, place, &input)
    };
    let has_hooks = !(host.prestart.is_empty() && host.create_runtime.is_empty());
    let mounted: Option<&mut dyn FnMut(Pid) -> Result<()>> =
        if has_hooks { Some(&mut run_hooks) } else { None };
    let held = match &config.unit {
        Some(unit) => {
            Some(systemd::start(unit, &container.state.id, &spec.cgroup, &config.annotations)?)
        }
        None => None,
    };
    let caller = Caller::Leaves { listener, mounted };
    let running = runtime::start(spec, stdio, caller, None, &mut prepare);
    drop(held);
    running
}

/// Sends the terminal and the pidfd to the caller, saves the PID, and writes the PID file. If one
/// of these steps fails, ends and removes the container.
fn finish(
    mut container: Container,
    running: runtime::Running,
    config: Config,
    args: &Args,
) -> Result<Made> {
    let has_process = config.has_process();
    let hooks = config.host_hooks;
    let runtime::Running { pid, pidfd, mut console, socket, .. } = running;
    let handed = (|| -> Result<()> {
        super::send_console(args, &mut console)?;
        super::send_pidfd(args, pidfd.as_fd())?;
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
    Ok(Made { container, pid, pidfd, console, socket, hooks, has_process })
}

/// The command `start`. Returns the exit status.
pub fn start(globals: &Globals, args: &Args) -> Result<u8> {
    let container = Container::open(&globals.root, args.id()?)?;
    match container.status()? {
        Status::Created => {}
        Status::Creating | Status::Stopped => fail!("cannot start a container that has stopped"),
        Status::Running => fail!("cannot start an already running container"),
        Status::Paused => fail!("cannot start a paused container"),
    }
    let process = container.process()?;
    let pid = container.state.pid;
    let (hooks, has_process) = kept(&container)?;
    let ready = begin(&container, None, &hooks, has_process)?;
    // Unlock the container, so that other commands may pause, kill or delete it during the wait.
    drop(container);
    if let (Some(ready), Some(process)) = (ready, process) {
        notify::relay(&ready, process.as_fd(), pid)?;
    }
    Ok(0)
}

/// Lets the first process execute the program, and runs the poststart hooks. `socket` leads to the
/// first process; without it, this function connects to the socket `start` in the container's
/// directory. If a hook fails, kills the container and fails. Without `has_process`, only fails.
/// Returns the socket of `notify::listen` for the container's READY=1, if there is one.
fn begin(
    container: &Container,
    socket: Option<OwnedFd>,
    hooks: &HostHooks,
    has_process: bool,
) -> Result<Option<OwnedFd>> {
    if !has_process {
        fail!("config.json: process is missing, so there is no program to start");
    }
    let ready = notify::listen(container)?;
    if let Some(socket) = socket {
        runtime::release(socket.as_fd())?;
    } else {
        let connection = container.connect()?;
        let released = runtime::release(connection.as_fd());
        // The socket `start` is no longer needed. If the release failed, the first process has
        // ended.
        store::remove_file(&container.dir.join(START))?;
        released?;
    }
    let input = hooks::input(&container.document(), "running", container.state.pid);
    let place = hooks::Place::Host(container.state.bundle.as_ref());
    let outcome = hooks::run_all("poststart", &hooks.poststart, place, &input);
    if outcome.is_err() {
        kill_all(container)?;
    }
    outcome.map(|()| ready)
}

/// Relays READY=1 in a child process, while `run` stays in the foreground.
fn relay_beside(ready: &OwnedFd, process: BorrowedFd<'_>, pid: i32) -> Result<()> {
    match clone3(Flags::default(), None).context(|| "fork")? {
        Fork::Child => {
            // Ignore an error: the container must continue, and its caller only lacks READY=1.
            let _ = sys::fds::close_all_but(&[ready.as_fd(), process])
                .map_err(Error::from)
                .and_then(|()| notify::relay(ready, process, pid));
            sys::exec::exit_now(0)
        }
        Fork::Parent(_) => Ok(()),
    }
}

/// Reads the container's own copy of config.json. Returns its host hooks, and whether it has the
/// object `process`.
fn kept(container: &Container) -> Result<(HostHooks, bool)> {
    config::parse_again(&config::read(&container.config())?)
}

/// The command `kill`. Returns the exit status.
pub fn kill(globals: &Globals, args: &Args) -> Result<u8> {
    let (id, signal) = match args.operands.as_slice() {
        [id] => (id, "TERM"),
        [id, signal] => (id, signal.as_str()),
        _ => fail!("kill takes a container id and a signal"),
    };
    // As in kill(2), 0 is no signal. With 0, this command only checks that the container has not
    // stopped, and --all skips the check.
    let sent = Signal::parse(signal);
    if sent.is_none() && signal != "0" {
        fail!("unknown signal '{signal}'");
    }
    let container = Container::open(&globals.root, id)?;
    let all = args.has("all");
    // If the container has no PID namespace of its own, its other processes may outlive the first.
    let ends_others = sent == Some(Signal::KILL) && has_processes(&container);
    if container.status()? == Status::Stopped && !all && !ends_others {
        fail!("container not running");
    }
    let Some(signal) = sent else { return Ok(0) };
    if all || signal == Signal::KILL {
        // In a PID namespace of the container's own, SIGKILL to PID 1 ends all processes. Without
        // such a namespace, only the cgroup lists the processes.
        cgroup::signal(&container.state.cgroups, signal);
    }
    if let Some(pidfd) = container.process()? {
        match sys::process::send_signal(pidfd.as_fd(), signal) {
            // The process has just ended.
            Err(rustix::io::Errno::SRCH) => {}
            sent => sent.context(|| format!("send {signal}"))?,
        }
    }
    if signal == Signal::KILL {
        thaw(&container)?;
    }
    Ok(0)
}

fn has_processes(container: &Container) -> bool {
    !cgroup::members(&container.cgroups()).is_empty()
}

/// Thaws the container's processes: with cgroup v1, a frozen process does not end before it is
/// thawed.
fn thaw(container: &Container) -> Result<()> {
    let cgroups = &container.state.cgroups;
    if cgroup::freezer::is_frozen_in(cgroups) {
        cgroup::freezer::set_frozen(cgroups, false)?;
    }
    Ok(())
}

/// Kills the container's processes and waits for the end of the first, at most 10 seconds.
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

/// The command `delete`. Returns the exit status.
pub fn delete(globals: &Globals, args: &Args) -> Result<u8> {
    let force = args.has("force");
    let container = match Container::open(&globals.root, args.id()?) {
        Err(error) if error.is_absent() && force => return Ok(0),
        container => container?,
    };
    match container.status()? {
        Status::Stopped if container.is_damaged && !force && has_processes(&container) => fail!(
            "cannot delete container {}: its state.json is damaged, but it has processes; use \
             --force to kill them",
            container.state.id
        ),
        Status::Stopped => {}
        _ if force => kill_all(&container)?,
        status => fail!(
            "cannot delete container {} that is not stopped: {}",
            container.state.id,
            status.word()
        ),
    }
    // Ignore an error: a half-made container, or one without its config.json, must be removed too.
    let hooks = kept(&container).map(|(hooks, _)| hooks.poststop).unwrap_or_default();
    remove(container, hooks)?;
    Ok(0)
}

/// Removes a stopped container and runs its poststop hooks. If a hook fails, prints a warning.
fn remove(container: Container, poststop: Vec<Hook>) -> Result<()> {
    let input = hooks::input(&container.document(), "stopped", 0);
    let bundle = PathBuf::from(&container.state.bundle);
    container.remove()?;
    for hook in poststop {
        if let Err(error) = hooks::run_all("poststop", &[hook], hooks::Place::Host(&bundle), &input)
        {
            warn(&error.to_string());
        }
    }
    Ok(())
}

/// The command `pause` if `frozen`, otherwise `resume`. Returns the exit status.
pub fn freeze(globals: &Globals, args: &Args, frozen: bool) -> Result<u8> {
    let container = Container::open(&globals.root, args.id()?)?;
    match (container.status()?, frozen) {
        (Status::Running, true) | (Status::Paused, false) => {}
        (Status::Created, true) => {}
        (status, true) => fail!("container is {}, not running", status.word()),
        (status, false) => fail!("container is {}, not paused", status.word()),
    }
    cgroup::freezer::set_frozen(&container.state.cgroups, frozen)?;
    Ok(0)
}

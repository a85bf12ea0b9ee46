//! The OCI runtime: the command line of runc and crun over the same `runtime` that Docker's command
//! line uses. It runs if the binary's name is that of a runtime (`is_called`), or by `mydocker
//! oci`.
//!
//! `config` turns config.json into a `Spec`, `lifecycle` has the commands of the life cycle, and
//! `state` reads and writes a container's directory. An error is one line on stderr, and one line
//! in the file of `--log`: engines show this file's errors to their users. A failure exits with 1,
//! or with 255 for `exec`. A `run` or `exec` that waits exits with the status of its process.

mod args;
mod config;
mod dbus;
mod exec;
mod features;
mod field;
mod foreground;
mod lifecycle;
mod linux;
mod mounts;
mod net_devices;
mod notify;
mod process;
mod properties;
mod resources;
mod scheduling;
mod state;
mod stats;
mod systemd;
mod update;
mod view;

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;

use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
};
use rustix::process::Pid;

use crate::error::{Context, Error, Result, fail};
use crate::runtime::{OCI_VERSION, Stdio};
use crate::sys;
use crate::sys::trace::Form;
use args::{Args, Flag};

const DEFAULT_ROOT: &str = "/run/mydocker-runtime";
/// The exit status of all failures except those of `exec`.
const EXIT_FAILURE: u8 = 1;
/// The exit status of a failed `exec`, the same as runc's.
const EXIT_EXEC: u8 = 255;
/// The maximum number of file descriptors that are passed to a container.
const MAX_PRESERVED: u32 = 1 << 16;

const GLOBAL_FLAGS: [Flag; 10] = [
    ("root", ' ', true),
    ("log", ' ', true),
    ("log-format", ' ', true),
    ("debug", ' ', false),
    ("systemd-cgroup", ' ', false),
    ("cgroup-manager", ' ', true),
    ("rootless", ' ', true),
    ("criu", ' ', true),
    ("version", 'v', false),
    ("help", 'h', false),
];

const CREATE_FLAGS: [Flag; 8] = [
    ("bundle", 'b', true),
    ("config", 'f', true),
    ("console-socket", ' ', true),
    ("pid-file", ' ', true),
    ("preserve-fds", ' ', true),
    ("pidfd-socket", ' ', true),
    ("no-pivot", ' ', false),
    ("no-new-keyring", ' ', false),
];

/// The flags of `run` in addition to those of `create`.
const RUN_FLAGS: [Flag; 3] =
    [("detach", 'd', false), ("keep", ' ', false), ("no-subreaper", ' ', false)];

const EXEC_FLAGS: [Flag; 18] = [
    ("process", 'p', true),
    ("cwd", ' ', true),
    ("env", 'e', true),
    ("tty", 't', false),
    ("user", 'u', true),
    ("additional-gids", 'g', true),
    ("cap", 'c', true),
    ("apparmor", ' ', true),
    ("process-label", ' ', true),
    ("no-new-privs", ' ', false),
    ("ignore-paused", ' ', false),
    ("cgroup", ' ', true),
    ("console-socket", ' ', true),
    ("pid-file", ' ', true),
    ("preserve-fds", ' ', true),
    ("pidfd-socket", ' ', true),
    ("detach", 'd', false),
    ("no-subreaper", ' ', false),
];

const HELP: &str = "\
Usage: mydocker-runtime [--root DIR] [--log FILE] [--log-format text|json] COMMAND

An OCI runtime for Podman, Docker, containerd and Kubernetes.

  create [-b BUNDLE] [--console-socket PATH] [--pid-file PATH] ID   Create a container
  start ID                       Let a created container run
  run [-d] [-b BUNDLE] ID        Create, start, wait and delete
  state ID                       Print the state as JSON
  kill [--all] ID [SIGNAL]       Send a signal to the first process
  delete [--force] ID            Delete a stopped container
  exec [-d] [-t] ID COMMAND      Run a further process
  ps ID                          List the processes
  list [-q]                      List the containers
  pause ID, resume ID            Freeze and thaw the processes
  events [--stats] ID            Print what the container uses, once or again and again
  update ID                      Change the limits
  features                       Print what this runtime supports
  spec                           Write a config.json to start from
";

/// The global flags, which come before the command.
pub struct Globals {
    root: PathBuf,
    /// `--systemd-cgroup`, or crun's `--cgroup-manager systemd`: systemd makes the cgroups.
    by_systemd: bool,
}

/// The file of `--log`, for errors, warnings and the steps that `--debug` logs.
struct Log {
    path: PathBuf,
    form: Form,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Whether a binary named `name` acts as the OCI runtime: `mydocker-runtime`, `runc` or `crun`.
pub fn is_called(name: &OsStr) -> bool {
    let name = Path::new(name).file_name().and_then(OsStr::to_str);
    matches!(name, Some("mydocker-runtime" | "runc" | "crun"))
}

/// Runs the command in `arguments`, which do not include the program's name. Returns the exit
/// status.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let globals = Args::parse(arguments, &GLOBAL_FLAGS, Some(1));
    let command = globals.as_ref().ok().and_then(|globals| globals.operands.first());
    let failure = if command.is_some_and(|name| name == "exec") { EXIT_EXEC } else { EXIT_FAILURE };
    match globals.and_then(|globals| run(&globals)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            report("error", &message(&error));
            ExitCode::from(failure)
        }
    }
}

fn run(globals: &Args) -> Result<u8> {
    let form = match globals.value("log-format").unwrap_or("text") {
        "json" => Form::LogJson,
        "text" => Form::LogText,
        other => fail!("--log-format should be text or json, not '{other}'"),
    };
    if let Some(path) = globals.value("log").filter(|path| !path.is_empty()) {
        // As in crun, `file:` may precede the path. crun's other destinations, `journald:` and
        // `syslog:`, are not supported.
        let path = match path.split_once(':') {
            Some(("file", path)) => path,
            Some(("journald" | "syslog", _)) => fail!("--log {path} should be a file"),
            _ => path,
        };
        let path = std::path::absolute(path).context(|| "find the log")?;
        let log = Log { path, form };
        // Fail at once, as runc and crun do: the caller looks for errors in this file. Close the
        // file again, because its descriptor could count as one of --preserve-fds.
        log.open().context(|| format!("open the log {}", log.path.display()))?;
        // Nothing else sets the log, so this can't fail.
        let _ = LOG.set(log);
    }
    if globals.has("debug") {
        start_trace()?;
    }
    if globals.has("version") {
        return print_text(&format!(
            "mydocker-runtime version {}\nspec: {}\n",
            env!("CARGO_PKG_VERSION"),
            OCI_VERSION
        ));
    }
    let first = globals.operands.get(1).map(String::as_str);
    let asks_for_help = globals.has("help") || matches!(first, Some("--help" | "-h"));
    let Some(command) = globals.operands.first().filter(|_| !asks_for_help) else {
        return print_text(HELP);
    };
    if let Some(rootless) = globals.value("rootless")
        && !matches!(rootless, "true" | "false" | "auto")
    {
        fail!("--rootless should be true, false or auto, not '{rootless}'");
    }
    let root = PathBuf::from(globals.value("root").unwrap_or(DEFAULT_ROOT));
    let root = std::path::absolute(root).context(|| "find --root")?;
    let by_systemd = match globals.value("cgroup-manager") {
        None => globals.has("systemd-cgroup"),
        Some("systemd") => true,
        Some("cgroupfs") => false,
        Some(other) => fail!("--cgroup-manager should be cgroupfs or systemd, not '{other}'"),
    };
    let root = Globals { root, by_systemd };
    let rest: Vec<OsString> = globals.operands[1..]
        .iter()
        .map(|text| crate::raw::path(text).as_os_str().to_owned())
        .collect();
    let parse = |flags: &[Flag]| Args::parse(&rest, flags, None);
    // These commands run a process of mydocker inside a container. Through this process, the
    // container's programs must not reach a writable copy of the binary (CVE-2019-5736).
    if matches!(command.as_str(), "create" | "run" | "exec") {
        sys::binary::run_read_only();
    }
    match command.as_str() {
        "create" => lifecycle::create(&root, &parse(&CREATE_FLAGS)?),
        "run" => lifecycle::run(&root, &parse(&[&CREATE_FLAGS[..], &RUN_FLAGS].concat())?),
        "start" => lifecycle::start(&root, &parse(&[])?),
        "state" => view::state(&root, &parse(&[])?),
        "kill" => lifecycle::kill(&root, &parse(&[("all", 'a', false)])?),
        "delete" => lifecycle::delete(&root, &parse(&[("force", 'f', false)])?),
        "exec" => {
            // With --process the command comes from a file, so flags may also follow the
            // container's id.
            let args = Args::parse(&rest, &EXEC_FLAGS, Some(1))?;
            exec::exec(&root, &if args.has("process") { parse(&EXEC_FLAGS)? } else { args })
        }
        "ps" => view::ps(&root, &Args::parse(&rest, &[("format", 'f', true)], Some(1))?),
        "list" => {
            let args = parse(&[("quiet", 'q', false), ("format", 'f', true)])?;
            view::list(&root, args.without_operands()?)
        }
        "pause" => lifecycle::freeze(&root, &parse(&[])?, true),
        "resume" => lifecycle::freeze(&root, &parse(&[])?, false),
        "events" => view::events(&root, &parse(&[("stats", ' ', false), ("interval", ' ', true)])?),
        "features" => parse(&[])?.without_operands().and_then(|_| features::features()),
        "spec" => {
            let args = parse(&[("bundle", 'b', true), ("rootless", ' ', false)])?;
            view::spec(args.without_operands()?)
        }
        "checkpoint" | "restore" => fail!("{command} is not supported: there is no CRIU here"),
        "update" => update::update(&root, &parse(&update::flags())?),
        other => fail!("'{other}' is not a command; see --help"),
    }
}

/// Logs each step of a container's start, to the file of `--log` or otherwise to stderr.
fn start_trace() -> Result<()> {
    let Some(log) = LOG.get() else {
        sys::trace::start(Form::LogText);
        return Ok(());
    };
    let file = log.open().context(|| format!("open {}", log.path.display()))?;
    sys::trace::start_on(file.as_fd(), log.form);
    Ok(())
}

fn print_text(text: &str) -> Result<u8> {
    sys::stdio::stdout().write_all(text.as_bytes()).context(|| "write to the standard output")?;
    Ok(0)
}

/// The text of an error. If a program was not found, adds the words by which engines recognise this
/// error.
fn message(error: &Error) -> String {
    if error.is_not_in_path() {
        format!("{error}: executable file not found in $PATH")
    } else {
        error.to_string()
    }
}

/// Prints a warning. The command continues.
fn warn(text: &str) {
    report("warning", text);
}

/// Prints a line on stderr, and appends a line to the log. Ignores errors of both writes.
fn report(level: &str, text: &str) {
    // A hostile config.json must not send control sequences to the terminal.
    let text = text.replace(char::is_control, " ");
    let _ = writeln!(sys::stdio::stderr(), "mydocker-runtime: {text}");
    let Some(log) = LOG.get() else { return };
    let line = sys::trace::log_line(log.form, level, &text);
    let _ = log.open().and_then(|mut file| file.write_all(line.as_bytes()));
}

impl Log {
    fn open(&self) -> std::io::Result<std::fs::File> {
        let mut options = std::fs::OpenOptions::new();
        options.append(true).create(true).mode(0o644).open(&self.path)
    }
}

/// Copies of this process's standard streams, for a process of the container.
fn own_stdio() -> Result<Stdio> {
    let copy = |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, 3);
    let streams = || {
        Ok([
            copy(rustix::stdio::stdin())?,
            copy(rustix::stdio::stdout())?,
            copy(rustix::stdio::stderr())?,
        ])
    };
    let streams: Result<_, rustix::io::Errno> = streams();
    streams.map(Stdio::Given).context(|| "take the standard streams")
}

/// The number of sockets that the caller passes by socket activation (sd_listen_fds(3)).
fn sockets() -> Result<u32> {
    let Ok(count) = std::env::var("LISTEN_FDS") else { return Ok(0) };
    count.parse().or_else(|_| fail!("LISTEN_FDS should be a number, not '{count}'"))
}

/// The number of descriptors from 3 on that the process inherits: `--preserve-fds` plus `sockets`.
fn preserved(args: &Args, sockets: u32) -> Result<u32> {
    let count = args.number("preserve-fds")?.unwrap_or(0).saturating_add(sockets);
    if count > MAX_PRESERVED {
        fail!("--preserve-fds {count} is more than {MAX_PRESERVED}");
    }
    for number in 0..count {
        let descriptor = number + 3;
        if Path::new(&format!("/proc/self/fd/{descriptor}")).exists() {
            continue;
        }
        // crun and youki accept a descriptor that is not open. Occupy its number, so that no
        // descriptor of mydocker gets it and counts as inherited. execve(2) closes it.
        rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), descriptor as i32)
            .map(IntoRawFd::into_raw_fd)
            .context(|| format!("occupy descriptor {descriptor}"))?;
    }
    Ok(count)
}

/// Sends the terminal's master to the socket `--console-socket`. Does nothing if the flag or the
/// terminal is missing.
fn send_console(args: &Args, console: &mut Option<OwnedFd>) -> Result<()> {
    let Some(path) = args.value("console-socket") else { return Ok(()) };
    let Some(master) = console.take() else { return Ok(()) };
    send_descriptor(path, b"/dev/ptmx", master.as_fd())
        .context(|| format!("send the terminal to --console-socket {path}"))
}

/// Sends the process's pidfd to the socket `--pidfd-socket`. Does nothing if the flag is missing.
fn send_pidfd(args: &Args, pidfd: BorrowedFd<'_>) -> Result<()> {
    let Some(path) = args.value("pidfd-socket") else { return Ok(()) };
    send_descriptor(path, b"pidfd", pidfd)
        .context(|| format!("send the pidfd to --pidfd-socket {path}"))
}

fn send_descriptor(path: &str, name: &[u8], descriptor: BorrowedFd<'_>) -> Result<()> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    sys::packet::send(socket.as_fd(), &[name], Some(descriptor), SendFlags::empty())?;
    Ok(())
}

/// Writes the PID to the file of `--pid-file`. A complete file is renamed into place, so that no
/// reader finds a part of it.
fn write_pid_file(args: &Args, pid: Pid) -> Result<()> {
    let Some(path) = args.value("pid-file") else { return Ok(()) };
    let path = Path::new(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    std::fs::write(&temporary, pid.as_raw_nonzero().to_string())
        .and_then(|()| std::fs::rename(&temporary, path))
        .context(|| format!("write {}", path.display()))
}

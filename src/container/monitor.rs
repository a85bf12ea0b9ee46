//! The monitor: the parent process of a running container, and the only process of mydocker that stays.
//! It is a plain fork of the command that started it, in a session and a cgroup of its own, with
//! one thread. It holds the container's lock, the program's output pipes (or the terminal's master)
//! and the attach socket, and sleeps in one poll(2) without a buffer. Output goes to the log and to
//! every client (`clients`); nothing is dropped. When the program exits, the monitor kills the remaining
//! processes. Then it restarts the program if the policy says so; otherwise it records the outcome,
//! sends the clients the exit status and exits. Probes of a health check run in processes of their own
//! (`probes`).

use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, setsid, waitpid};
use rustix::termios::{Winsize, tcsetwinsize};

use super::clients::{Client, Clients, Hold};
use super::events::{self, Networks};
use super::files::Files;
use super::probes::{self, Probes};
use super::protocol::{self, MAX_DATA, MAX_PACKET, Reply, Request, Stream};
use super::record::Record;
use super::restart::{Backoff, RestartPolicy};
use super::state::{self, MONITOR_TITLE, Outcome, Span, State, StopMark};
use super::updated::Updated;
use super::{held_ports, id_range, joined, logs};
use crate::container_id::short;
use crate::error::{Context, Error, Result};
use crate::event::Event;
use crate::runtime::spec::{Process, Spec};
use crate::runtime::{self, Caller, Stdio, cgroup};
use crate::store::{Durability, HiddenTree, Lock, Roots, journal};
use crate::sys::trace::{self, Traced};
use crate::sys::{self, clone::Fork, packet, signal::Signal};
use crate::time;

/// After this much silence the monitor expects more silence, and frees its buffers.
const SHORT_SLEEP: Duration = Duration::from_secs(1);
/// How often a monitor that waits to start its program again checks that its run directory
/// still exists. Longer than `SHORT_SLEEP`, so that it sleeps with its buffers freed.
const LOOK: Duration = Duration::from_secs(2);

/// The caller's work on the host at a container's start and end, outside of `runtime`: networks and
/// volumes. The OCI runtime-spec calls this hooks.
pub trait Hooks {
    /// Called while the first process, `pid`, builds its root. Returns the sockets that hold its
    /// published ports, and the networks that it joined.
    fn set_up(&mut self, pid: Pid) -> Result<(Vec<OwnedFd>, Networks)>;
    /// Called when the container has exited, or could not start. Returns the networks that it left.
    fn take_down(&mut self) -> Result<Networks>;
    /// Called before the record of a container with `--rm` is removed. Returns the events.
    fn remove(&mut self) -> Vec<Event>;
}

/// Everything that a monitor needs.
pub struct Watch<'a> {
    pub roots: &'a Roots,
    pub record: &'a Record,
    pub spec: Spec,
    /// The container's monitor lock, taken by the caller and kept by the monitor.
    pub lock: Lock,
    /// The outcome of the container's last run.
    pub before: Span,
    /// Whether the first client wants the output.
    pub attached: bool,
    pub hooks: &'a mut dyn Hooks,
    /// The first process of a record's container, for its health check.
    pub process: fn(&Record) -> Result<Process>,
    /// The `Spec` of a container that `update` has changed, for its next start by the policy.
    pub renew: &'a dyn Fn(&Record) -> Result<Spec>,
    /// Where the output goes besides the log.
    pub forward: Option<logs::Destination>,
}

/// Forks the monitor. Returns the client's end of its first connection.
pub fn spawn(watch: Watch<'_>) -> Result<OwnedFd> {
    let (ours, theirs) = packet::pair().context(|| "make a socket pair")?;
    let cgroup = cgroup::monitors(&watch.record.cgroup_parent);
    let fork = |cgroup| sys::clone::clone3(sys::clone::Flags::default(), cgroup);
    // A cgroup may refuse processes, for example a threaded one.
    let forked = fork(cgroup.as_ref().map(AsFd::as_fd)).or_else(|_| fork(None));
    match forked.context(|| "fork the monitor")? {
        Fork::Parent(monitor) => {
            trace::step("clone3", || {
                let pid = monitor.pid.as_raw_nonzero();
                format!("fork the monitor, process {pid}, which stays beside the container")
            });
            Ok(ours)
        }
        Fork::Child => {
            drop(ours);
            trace::become_process(trace::Process::Monitor);
            let code = run(watch, theirs);
            sys::exec::exit_now(code)
        }
    }
}

fn take_title(name: &str, id: &str) {
    sys::title::replace(format!("{MONITOR_TITLE}{name} ({id})").as_bytes(), true);
}

fn run(watch: Watch<'_>, client: OwnedFd) -> u8 {
    let Watch { roots, record, spec, lock, before, attached, hooks, process, renew, forward } =
        watch;
    let mut life = Life {
        roots,
        record,
        policy: record.lifecycle.restart,
        hooks,
        process,
        before,
        started: 0,
        restarts: 0,
        left: Vec::new(),
        has_begun: false,
        joined: Networks::new(),
        events: Vec::new(),
        name: None,
    };
    let mut keep = vec![client.as_fd(), lock.as_fd()];
    keep.extend(trace::descriptor());
    let begun = detach_from_caller(&keep)
        .and_then(|()| Ok((Monitor::open(roots, record, forward)?, life.begin(&spec)?)));
    let (mut monitor, mut program) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            life.note_start(Start::First { attached });
            let error = life.failed(error, &lock);
            // Release the lock before the client gets the answer, because it may start the
            // container again at once.
            drop(lock);
            let reply = Reply::Failed { code: error.exit_code(), message: &error.to_string() };
            // A client that has gone needs no answer.
            let _ = reply.send(client.as_fd(), SendFlags::empty());
            return error.exit_code();
        }
    };
    // Before the start is answered, so that a user who asks for events after it finds this one.
    life.note_start(Start::First { attached });
    life.publish();
    if !attached {
        // A reader of the caller's stderr must not wait for the container's end.
        trace::stop();
    }
    // Only a restart needs these again.
    let mut spec = record.may_restart().then_some(spec);
    let (pid, start_time) = (program.pid.as_raw_nonzero().get(), program.start_time);
    if (Reply::Started { pid, start_time }).send(client.as_fd(), SendFlags::empty()).is_ok() {
        monitor.clients.add(Client::first(client, attached));
    }
    // After the start was answered, because it takes time. The title is what other users of the
    // host see.
    take_title(&record.name, short(&record.id));
    let mut backoff = Backoff::new();
    let outcome = loop {
        let begun = Instant::now();
        let code = monitor.watch(&mut program, &life);
        let outcome = life.program_ended(&mut monitor, &mut program, code);
        if outcome.stopped {
            break outcome;
        }
        life.follow_update();
        let lock_file = Files::new(roots, &record.id).monitor_lock();
        if !life.goes_on(&outcome, &program) {
            break outcome;
        }
        // Without a run directory no command could find the next program.
        let is_wiped = || !lock.stands_for(&lock_file);
        if is_wiped() {
            break wiped(outcome);
        }
        let deadline = Instant::now() + backoff.after(begun.elapsed());
        // The next program, or another program that uses the port, claims it.
        program.held.clear();
        if life.rest(&outcome).is_err() {
            break outcome;
        }
        monitor.pause(deadline, &|| life.stop_mark().is_some() || is_wiped());
        if life.stop_mark().is_some() {
            break Outcome { stopped: life.stop_mark() == Some(StopMark::User), ..outcome };
        }
        if is_wiped() {
            if lock_file.exists() {
                // The container was started again, and its run directory belongs to the new monitor.
                monitor.send_exit(outcome.exit_code);
                return outcome.exit_code;
            }
            break wiped(outcome);
        }
        life.restarts += 1;
        // A command that reads the files of a stopped container holds this lock.
        let change = Files::new(roots, &record.id).lock_changes();
        // An `update` may have come while the monitor waited. None comes while it has the lock.
        let updated = life.follow_update();
        if updated.is_some() && !life.goes_on(&outcome, &program) {
            break outcome;
        }
        let renewed = updated.as_ref().map(renew).transpose();
        let begun = renewed.and_then(|renewed| match renewed.or(spec.take()) {
            Some(mut next) => {
                let begun = life.begin_again(&mut next);
                spec = Some(next);
                begun
            }
            None => renew(record).and_then(|mut next| life.begin_again(&mut next)),
        });
        drop(change);
        life.note_start(Start::Again);
        program = match begun {
            Ok(program) => program,
            Err(error) => {
                life.note_end(error.exit_code(), false);
                break life.outcome(error.exit_code(), error.to_string());
            }
        };
        life.publish();
        if life.stop_mark().is_some() {
            // The restart was prevented while it was under way, and the command that did so may not
            // have seen the program.
            sys::process::kill_group(program.pid, Signal::KILL);
        }
    };
    if let Some(log) = &monitor.log {
        monitor.clients.gather(log);
    }
    // Free the ports before the container is reported as ended.
    program.held.clear();
    // If this fails, the next command that reads the container's state finds the lock released and
    // does it.
    let left = life.leave(&outcome, &lock);
    life.publish();
    drop(lock);
    monitor.send_exit(outcome.exit_code);
    // Freeing disk blocks takes as long as everything before it, so it comes when no client waits.
    if let Ok(Some(tree)) = left {
        let _ = tree.remove();
    }
    monitor.clients.finish(monitor.log.as_ref(), outcome.exit_code);
    outcome.exit_code
}

/// The end of a container that its restart policy would have started again.
fn wiped(outcome: Outcome) -> Outcome {
    let error = "its restart policy did not start it again: its run directory was removed";
    Outcome { error: error.to_owned(), ..outcome }
}

/// Starts a new session, and drops the caller's terminal, pipes, locks and signals.
fn detach_from_caller(keep: &[BorrowedFd<'_>]) -> Result<()> {
    setsid()
        .traced("setsid", || "leave the caller's session and terminal".to_owned())
        .context(|| "start a new session")?;
    sys::fds::close_all_but(keep).context(|| "close the caller's descriptors")?;
    let null = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .context(|| "open /dev/null")?;
    sys::fds::become_stdio([null.as_fd(), null.as_fd(), null.as_fd()])
        .context(|| "let go of the caller's streams")?;
    rustix::process::chdir("/").context(|| "go to /")?;
    sys::inherited::shed();
    // Blocked and never read: a SIGTERM to all processes must not end the process that cleans up.
    let all = (1..=64).filter_map(Signal::from_number);
    sys::signal::block(all).context(|| "block signals")
}

/// Both ends of the program's streams.
struct Streams {
    theirs: Stdio,
    outputs: Vec<(Stream, OwnedFd)>,
    stdin: Option<OwnedFd>,
}

impl Streams {
    fn new(record: &Record) -> Result<Streams> {
        let make = || -> Result<Streams, Errno> {
            if record.streams.tty {
                return Ok(Streams { theirs: Stdio::Terminal, outputs: Vec::new(), stdin: None });
            }
            let (stdin_theirs, stdin) = if record.streams.interactive {
                let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
                rustix::io::ioctl_fionbio(&write, true)?;
                (read, Some(write))
            } else {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                (openat(CWD, "/dev/null", flags, Mode::empty())?, None)
            };
            let (stdout, stdout_theirs) = pipe_with(PipeFlags::CLOEXEC)?;
            let (stderr, stderr_theirs) = pipe_with(PipeFlags::CLOEXEC)?;
            rustix::io::ioctl_fionbio(&stdout, true)?;
            rustix::io::ioctl_fionbio(&stderr, true)?;
            Ok(Streams {
                theirs: Stdio::Given([stdin_theirs, stdout_theirs, stderr_theirs]),
                outputs: vec![(Stream::Stdout, stdout), (Stream::Stderr, stderr)],
                stdin,
            })
        };
        make()
            .traced("pipe2", || {
                if record.streams.tty {
                    "a pseudo-terminal will carry stdin, stdout and stderr".to_owned()
                } else {
                    "make the container's stdin, stdout and stderr".to_owned()
                }
            })
            .context(|| "make the container's standard streams")
    }
}

/// Which start of the container it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// By a client, which may stay attached.
    First { attached: bool },
    /// By the restart policy.
    Again,
}

/// One container from its first start to its last exit, with the restarts in between.
struct Life<'a> {
    roots: &'a Roots,
    record: &'a Record,
    /// The restart policy, which `update` may change.
    policy: RestartPolicy,
    hooks: &'a mut dyn Hooks,
    process: fn(&Record) -> Result<Process>,
    before: Span,
    /// When the present program started; zero if none runs.
    started: i64,
    restarts: u32,
    /// The cgroups of the last program, if they could not be removed.
    left: Vec<String>,
    /// Whether a program has started whose end is not in the journal yet.
    has_begun: bool,
    /// The networks that the present program joined, until their event is written.
    joined: Networks,
    /// Events to be written: all of a start, or of an end, in one append.
    events: Vec<Event>,
    /// The new name, if the container was renamed since its start.
    name: Option<String>,
}

impl Life<'_> {
    /// Creates the program's streams and starts it.
    fn begin(&mut self, spec: &Spec) -> Result<Program> {
        let streams = Streams::new(self.record)?;
        probes::prepare(&Files::new(self.roots, &self.record.id), self.record)?;
        let (hooks, joined) = (&mut *self.hooks, &mut self.joined);
        let mut held = Vec::new();
        let mut prepare = |pid| {
            (held, *joined) = hooks.set_up(pid)?;
            Ok(())
        };
        let copies = runtime::copies::make(spec)?;
        // Before the network is set up, because that writes to them.
        if let Some(copies) = &copies {
            offer_copies(&self.roots.name_files(&self.record.id), copies)?;
        }
        let ours = copies.as_ref().map(AsFd::as_fd);
        let running = runtime::start(spec, streams.theirs, Caller::Stays, ours, &mut prepare)?;
        let state = match self.write_down(&running) {
            Ok(state) => state,
            Err(error) => {
                // No command could find the program later, so it must not run.
                sys::process::kill_group(running.pid, Signal::KILL);
                let _ = waitpid(Some(running.pid), WaitOptions::empty());
                let _ = cgroup::remove(&running.cgroup.paths());
                return Err(error);
            }
        };
        self.started = state.started;
        self.has_begun = true;
        let mut outputs = streams.outputs;
        let mut stdin = streams.stdin;
        if let Some(console) = running.console {
            rustix::io::ioctl_fionbio(&console, true)
                .context(|| "make the console non-blocking")?;
            if self.record.streams.interactive {
                stdin = Some(console.try_clone().context(|| "duplicate the console")?);
            }
            outputs.push((Stream::Stdout, console));
        }
        let probes = Probes::of(self.record, &state);
        let (pid, pidfd, start_time) = (running.pid, running.pidfd, state.start_time);
        let cgroups = state.cgroups;
        let _copies = copies;
        Ok(Program { pid, pidfd, start_time, outputs, stdin, held, cgroups, probes, _copies })
    }

    /// Records which process the program is.
    fn write_down(&self, running: &runtime::Running) -> Result<State> {
        let started = sys::process::start_time(running.pid)
            .and_then(|start_time| start_time.ok_or(Errno::SRCH))
            .context(|| "find out when the container's first process started")?;
        let state = State {
            pid: running.pid.as_raw_nonzero().get(),
            start_time: started,
            boot_id: sys::process::boot_id(),
            started: time::Instant::now().0,
            cgroups: running.cgroup.paths(),
            restarts: self.restarts,
            last: None,
            frozen: None,
        };
        state::write(self.roots, &self.record.id, &state)?;
        Ok(state)
    }

    fn begin_again(&mut self, spec: &mut Spec) -> Result<Program> {
        self.record.make_sources()?;
        spec.namespaces = joined::namespaces(self.roots, self.record)?;
        self.begin(spec)
    }

    /// Cleans up after a failed start. Returns the error, with the failures of the cleanup added.
    fn failed(&mut self, error: Error, lock: &Lock) -> Error {
        let outcome = self.outcome(error.exit_code(), error.to_string());
        let outcome = match self.started {
            0 => Outcome { kept: outcome.kept, ..Outcome::not_begun(&error, self.before) },
            _ => outcome,
        };
        let left =
            self.leave(&outcome, lock).and_then(|tree| tree.map_or(Ok(()), HiddenTree::remove));
        self.publish();
        match left {
            Ok(()) => error,
            Err(leftover) => {
                Error::new(format!("{error}; {leftover}")).exit_with(error.exit_code())
            }
        }
    }

    /// Reads the record again if `update` has changed it since the program started, and takes its
    /// restart policy.
    fn follow_update(&mut self) -> Option<Record> {
        if !Files::new(self.roots, &self.record.id).updated().exists() {
            return None;
        }
        // If the record can't be read, the policy of the start stays.
        let record = Record::read(self.roots, &self.record.id).ok()?;
        self.policy = record.lifecycle.restart;
        Some(record)
    }

    /// Adds an event of the container.
    fn note(&mut self, action: &str, facts: &[(&str, &str)]) {
        let event = match &self.name {
            Some(name) => {
                events::of(&Record { name: name.clone(), ..self.record.clone() }, action, facts)
            }
            None => events::of(self.record, action, facts),
        };
        self.events.push(event);
    }

    /// Adds the events of a start, which may have failed. At the first one the container may be new, and
    /// its creation is an event too.
    fn note_start(&mut self, start: Start) {
        if start != Start::Again && self.record.run {
            self.note("create", &[]);
            if let Some(event) = self.events.last_mut() {
                event.time = self.record.created;
            }
        }
        if start == (Start::First { attached: true }) {
            self.note("attach", &[]);
        }
        let joined = std::mem::take(&mut self.joined);
        self.events.extend(events::of_networks(&self.record.id, "connect", &joined));
        if self.has_begun {
            self.events.extend(events::of_mounts(self.record));
            self.note("start", &[]);
        }
    }

    /// Adds the events of a program's end.
    fn note_end(&mut self, exit_code: u8, oom_killed: bool) {
        if oom_killed {
            self.note("oom", &[]);
        }
        self.note("die", &[("exitCode", &exit_code.to_string())]);
    }

    /// Adds the events of the cleanup after a program that has left `networks`.
    fn note_clean_up(&mut self, networks: &Networks) {
        self.events.extend(events::of_networks(&self.record.id, "disconnect", networks));
        if std::mem::take(&mut self.has_begun) {
            self.events.extend(events::of_unmounts(self.record));
        }
    }

    /// Writes the events to the journal.
    fn publish(&mut self) {
        journal::append(self.roots, &std::mem::take(&mut self.events));
    }

    fn outcome(&self, exit_code: u8, error: String) -> Outcome {
        let mark = self.stop_mark();
        Outcome {
            started: self.started,
            finished: if self.started == 0 { 0 } else { time::Instant::now().0 },
            exit_code,
            oom_killed: false,
            stopped: mark == Some(StopMark::User),
            restarts: self.restarts,
            error,
            kept: (mark == Some(StopMark::Restart)).then_some(true),
        }
    }

    fn stop_mark(&self) -> Option<StopMark> {
        state::stop_mark(&Files::new(self.roots, &self.record.id))
    }

    /// Kills the processes that the program left, then reads the rest of its output.
    fn program_ended(
        &mut self,
        monitor: &mut Monitor<'_>,
        program: &mut Program,
        code: u8,
    ) -> Outcome {
        let oom_killed = cgroup::oom_killed(&program.cgroups);
        let files = Files::new(self.roots, &self.record.id);
        if let Ok(Some(Updated { cgroups, .. })) = Updated::read(&files) {
            program.cgroups.extend(cgroups);
        }
        if cgroup::remove(&program.cgroups).is_err() {
            self.left.append(&mut program.cgroups);
        }
        if let Some(probes) = &mut program.probes {
            probes.end();
        }
        monitor.drain(program);
        self.name = monitor.name.take().or(self.name.take());
        self.note_end(code, oom_killed);
        Outcome { oom_killed, ..self.outcome(code, String::new()) }
    }

    fn goes_on(&self, outcome: &Outcome, program: &Program) -> bool {
        // The monitor ended the program because it was unhealthy.
        let replaced = self.record.restarts_unhealthy()
            && program.probes.as_ref().is_some_and(Probes::is_ending);
        self.stop_mark().is_none()
            && (replaced || self.policy.applies(outcome.exit_code, outcome.restarts))
    }

    fn tend(&self, program: &mut Program) {
        if let Some(probes) = &mut program.probes {
            probes.tend(self.roots, self.record, self.process, program.pidfd.as_fd());
        }
    }

    /// Waits between two runs of the program.
    fn rest(&mut self, outcome: &Outcome) -> Result<()> {
        let networks = self.hooks.take_down()?;
        self.note_clean_up(&networks);
        self.publish();
        let state = State {
            pid: 0,
            start_time: 0,
            boot_id: sys::process::boot_id(),
            started: outcome.started,
            cgroups: Vec::new(),
            restarts: self.restarts,
            last: Some(outcome.clone()),
            frozen: None,
        };
        state::write(self.roots, &self.record.id, &state)
    }

    /// Cleans up and records the end. `lock` is the monitor's lock. Returns the trees that must still be
    /// removed if the container has --rm.
    fn leave(&mut self, outcome: &Outcome, lock: &Lock) -> Result<Option<HiddenTree>> {
        let taken_down = self
            .hooks
            .take_down()
            .traced("netlink", || "take back addresses, links and firewall rules".to_owned());
        self.note_clean_up(taken_down.as_ref().unwrap_or(&Networks::new()));
        // If the cgroups still can't be removed, the run directory stays, and the next command that
        // reads the state cleans up.
        cgroup::remove(&self.left)?;
        if self.record.lifecycle.remove && outcome.kept != Some(true) {
            self.events.extend(self.hooks.remove());
            let (id, name) = (&self.record.id, &self.record.name);
            let tree = state::hide(self.roots, id, name, Durability::Lazy)
                .traced("rename", || format!("--rm: hide {name}, then remove its files"))?;
            self.note("destroy", &[]);
            id_range::give_back(self.roots, self.record)?;
            return taken_down.map(|_| Some(tree));
        }
        let is_wiped = !lock.stands_for(&Files::new(self.roots, &self.record.id).monitor_lock());
        let settle = if is_wiped { state::settle_wiped } else { state::settle };
        settle(self.roots, self.record, outcome)
            .traced("rename", || format!("record the exit status {}", outcome.exit_code))?;
        taken_down.map(|_| None)
    }
}

/// Makes `link` lead to the directory `copies`, which is not mounted at any path. When this process has
/// ended, the link leads nowhere.
fn offer_copies(link: &Path, copies: &OwnedFd) -> Result<()> {
    let process = rustix::process::getpid().as_raw_nonzero();
    let target = format!("/proc/{process}/fd/{}", copies.as_raw_fd());
    let make = || std::os::unix::fs::symlink(&target, link);
    let made = make().or_else(|error| match error.kind() {
        // The link of the program before.
        ErrorKind::AlreadyExists => std::fs::remove_file(link).and_then(|()| make()),
        _ => Err(error),
    });
    made.context(|| format!("make the link {}", link.display()))
}

/// The running program.
struct Program {
    pid: Pid,
    pidfd: OwnedFd,
    start_time: u64,
    outputs: Vec<(Stream, OwnedFd)>,
    /// The write end of its stdin while that is open.
    stdin: Option<OwnedFd>,
    /// The sockets that hold its published ports.
    held: Vec<OwnedFd>,
    cgroups: Vec<String>,
    probes: Option<Probes>,
    /// The directory with the name files, kept open so that other commands can write them through it.
    _copies: Option<OwnedFd>,
}

struct Monitor<'a> {
    /// The container's short id.
    id: &'a str,
    listener: OwnedFd,
    clients: Clients,
    /// `None` with `--log-driver none`.
    log: Option<logs::Writer>,
    /// With `--log-driver syslog` or `journald`.
    forwarder: Option<logs::Forwarder>,
    terminal: bool,
    /// Whether the program's stdin stays open when a client's input ends.
    keeps_stdin: bool,
    /// The container's new name, if a client reported one.
    name: Option<String>,
    /// Bytes from a client that the program has not read yet.
    typed: Vec<u8>,
    buffer: Vec<u8>,
}

/// The descriptors that a turn of the loop found ready.
#[derive(Default)]
struct Ready {
    ended: bool,
    connection: bool,
    stdin: bool,
    outputs: [bool; 2],
    clients: Vec<usize>,
}

impl<'a> Monitor<'a> {
    fn open(
        roots: &Roots,
        record: &'a Record,
        forward: Option<logs::Destination>,
    ) -> Result<Monitor<'a>> {
        let files = Files::new(roots, &record.id);
        let open = || logs::Writer::open(&files.log(), record.log.max_size, record.log.max_file);
        Ok(Monitor {
            id: short(&record.id),
            log: if record.log.disabled { None } else { Some(open()?) },
            forwarder: forward.map(logs::Forwarder::connect).transpose()?,
            listener: protocol::serve(&files.run)?,
            clients: Clients { list: Vec::new() },
            terminal: record.streams.tty,
            keeps_stdin: record.streams.keeps_stdin,
            name: None,
            typed: Vec::new(),
            buffer: Vec::new(),
        })
    }

    /// Serves until the program has exited. Returns its exit status.
    fn watch(&mut self, program: &mut Program, life: &Life<'_>) -> u8 {
        loop {
            let wake = program.probes.as_ref().and_then(Probes::wake);
            if self.turn(Some(program), wake)
                && let Ok(Some((_, status))) = waitpid(Some(program.pid), WaitOptions::NOHANG)
            {
                let code = runtime::exit_code(status);
                trace::step("waitid", || {
                    format!("process {} ended with status {code}", program.pid.as_raw_nonzero())
                });
                return code;
            }
            life.tend(program);
        }
    }

    /// Serves the clients until `deadline` or until `is_cancelled`, which is asked at each wake.
    fn pause(&mut self, deadline: Instant, is_cancelled: &dyn Fn() -> bool) {
        while !is_cancelled() && Instant::now() < deadline {
            self.turn(None, Some(deadline.min(Instant::now() + LOOK)));
        }
    }

    /// Waits for an event and handles it. Returns true if the program has exited.
    fn turn(&mut self, mut program: Option<&mut Program>, deadline: Option<Instant>) -> bool {
        let hold = match self.clients.hold(self.log.as_ref()) {
            Hold::Until(until) => Some(until),
            _ => None,
        };
        let wake = deadline.into_iter().chain(hold).min();
        let left = || wake.map(|wake| wake.saturating_duration_since(Instant::now()));
        let short = left().map_or(SHORT_SLEEP, |left| left.min(SHORT_SLEEP));
        let poll = |fds: &mut [PollFd<'_>], timeout: Option<&Timespec>| poll(fds, timeout);
        let mut ready = self.wait(program.as_deref(), Some(short), poll);
        if ready.is_none() && left() != Some(Duration::ZERO) {
            // Free the buffers and drop unused pages before a long sleep, so that an idle monitor
            // costs little memory.
            self.buffer = Vec::new();
            self.typed.shrink_to_fit();
            ready = self.wait(program.as_deref(), left(), sys::memory::poll_released);
        }
        let Some(ready) = ready else { return false };
        if self.buffer.is_empty() {
            self.buffer = vec![0; MAX_PACKET];
        }
        if let Some(program) = program.as_deref_mut() {
            if ready.stdin {
                self.pass_on_typed(program);
            }
            // Stdout first: of two lines that came at the same time, the first was most likely there.
            let mut at = 0;
            for is_ready in ready.outputs {
                let is_read = is_ready && self.clients.hold(self.log.as_ref()) == Hold::No;
                if !is_read || self.read_output(program, at) {
                    at += 1;
                }
            }
        }
        // From the back, so that a removal does not move the others. Reading output may have
        // removed some; the next turn then finds the rest.
        for &at in ready.clients.iter().rev() {
            if at < self.clients.list.len() && !self.serve_client(at, program.as_deref_mut()) {
                self.clients.list.remove(at);
            }
        }
        if ready.connection
            && let Ok(socket) = accept_with(&self.listener, SocketFlags::CLOEXEC)
        {
            // A client's first message says what it wants.
            self.clients.add(Client::new(socket));
        }
        ready.ended
    }

    /// Waits in poll(2) for an event; `None` if the time is over.
    fn wait(
        &self,
        program: Option<&Program>,
        timeout: Option<Duration>,
        poll: fn(&mut [PollFd<'_>], Option<&Timespec>) -> Result<usize, Errno>,
    ) -> Option<Ready> {
        let mut fds = Vec::with_capacity(8);
        fds.push(PollFd::new(&self.listener, PollFlags::IN));
        let program_at = fds.len();
        fds.extend(program.map(|program| PollFd::new(&program.pidfd, PollFlags::IN)));
        let outputs_at = fds.len();
        if let Some(program) = program
            && self.clients.hold(self.log.as_ref()) == Hold::No
        {
            fds.extend(program.outputs.iter().map(|(_, fd)| PollFd::new(fd, PollFlags::IN)));
        }
        let stdin_at = fds.len();
        let stdin = program.and_then(|program| program.stdin.as_ref());
        if let Some(stdin) = stdin.filter(|_| !self.typed.is_empty()) {
            fds.push(PollFd::new(stdin, PollFlags::OUT));
        }
        let clients_at = fds.len();
        let mut clients = Vec::new();
        for (at, client) in self.clients.list.iter().enumerate() {
            let mut events = PollFlags::empty();
            if self.listens_to(client) {
                events |= PollFlags::IN;
            }
            if client.lags() {
                events |= PollFlags::OUT;
            }
            // Leave the descriptor out instead of asking for no events: poll reports a hang-up
            // anyway, and would never sleep.
            if !events.is_empty() {
                fds.push(PollFd::new(&client.socket, events));
                clients.push(at);
            }
        }
        let probes = program.and_then(|program| program.probes.as_ref());
        let prober = probes.and_then(Probes::pidfd);
        fds.extend(prober.map(|pidfd| PollFd::new(pidfd, PollFlags::IN)));
        // A time beyond the kernel's range is no limit.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
        let is_ready = |at: usize| !fds[at].revents().is_empty();
        let mut ready = Ready {
            connection: is_ready(0),
            ended: (program_at..outputs_at).any(is_ready),
            ..Ready::default()
        };
        for at in outputs_at..stdin_at {
            ready.outputs[at - outputs_at] = is_ready(at);
        }
        ready.stdin = (stdin_at..clients_at).any(is_ready);
        let found = clients.into_iter().enumerate();
        ready.clients =
            found.filter(|(nth, _)| is_ready(clients_at + nth)).map(|(_, at)| at).collect();
        Some(ready)
    }

    /// If the program does not read, the client's input stays in the client's socket.
    fn listens_to(&self, client: &Client) -> bool {
        self.typed.is_empty() || !client.greeted
    }

    /// Reads once from an output. Returns false if it has ended and was removed.
    fn read_output(&mut self, program: &mut Program, at: usize) -> bool {
        let (stream, fd) = &program.outputs[at];
        match rustix::io::read(fd, &mut self.buffer[..MAX_DATA]) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            // EIO: the last process closed the terminal.
            Ok(0) | Err(_) => {
                program.outputs.remove(at);
                return false;
            }
            Ok(length) => self.pass_on(*stream, length),
        }
        true
    }

    /// Writes the first `length` bytes of the buffer to the log and to the clients.
    fn pass_on(&mut self, stream: Stream, length: usize) {
        let data = &self.buffer[..length];
        let mark = self.log.as_mut().and_then(|log| {
            self.clients.drop_outrun(log);
            // A full disk loses log lines, never the container.
            log.append(stream, data).ok()
        });
        if let Some(forwarder) = &mut self.forwarder {
            forwarder.pass_on(stream, data);
        }
        self.clients.offer(stream, data, self.log.as_ref(), mark);
    }

    /// Reads one message of a client. Returns false if the client is gone or its message is
    /// malformed.
    fn serve_client(&mut self, at: usize, program: Option<&mut Program>) -> bool {
        let listens = self.listens_to(&self.clients.list[at]);
        let client = &mut self.clients.list[at];
        if client.lags() && !client.feed(self.log.as_ref(), &mut self.buffer) {
            return false;
        }
        if !listens {
            return true;
        }
        let flags = RecvFlags::DONTWAIT;
        let received = packet::receive_with_fd(client.socket.as_fd(), &mut self.buffer, flags);
        let (length, came) = match received {
            Err(Errno::AGAIN) => return true,
            // The client disconnected or died; the container goes on.
            Ok((0, _)) | Err(_) => return false,
            Ok(received) => received,
        };
        match (Request::parse(&self.buffer[..length]), program) {
            (None, _) => return false,
            (Some(Request::Hello { output }), _) => {
                (client.greeted, client.output) = (true, output);
            }
            // A client must greet before it sends input, so that it can't get ahead of others.
            (Some(_), _) if !client.greeted => return false,
            (Some(Request::Renamed(name)), _) => {
                take_title(name, self.id);
                self.name = Some(name.to_owned());
            }
            (Some(request @ (Request::Hold | Request::Release(_))), program) => {
                let reply = match program {
                    Some(program) => {
                        held_ports::serve(&mut program.held, &request, came);
                        Reply::Done
                    }
                    None => Reply::Failed { code: 1, message: "the container is not running now" },
                };
                return reply.send(client.socket.as_fd(), SendFlags::DONTWAIT).is_ok();
            }
            // Input without a running program is dropped, as at a terminal.
            (Some(_), None) => {}
            (Some(Request::Stdin(data)), Some(program)) => {
                self.typed.extend_from_slice(data);
                self.pass_on_typed(program);
            }
            (Some(Request::StdinEnd), Some(program)) => {
                // The end of input is a key on a terminal; closing it would hang up the program.
                if !self.terminal && !self.keeps_stdin {
                    program.stdin = None;
                }
            }
            (Some(Request::Resize { rows, columns }), Some(program)) => {
                if let Some((_, console)) = program.outputs.first().filter(|_| self.terminal) {
                    let size =
                        Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
                    // A terminal that is being closed needs no size.
                    let _ = tcsetwinsize(console, size);
                }
            }
        }
        true
    }

    fn pass_on_typed(&mut self, program: &mut Program) {
        let Some(stdin) = &program.stdin else { return self.typed.clear() };
        while !self.typed.is_empty() {
            match rustix::io::write(stdin, &self.typed) {
                Ok(length) => drop(self.typed.drain(..length)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // The program closed its input.
                Err(_) => {
                    self.typed.clear();
                    program.stdin = None;
                    return;
                }
            }
        }
    }

    /// Reads the rest from the pipes after every process that could write has exited: at most what
    /// the pipes hold.
    fn drain(&mut self, program: &mut Program) {
        self.typed.clear();
        self.buffer.resize(MAX_PACKET, 0);
        for (stream, fd) in std::mem::take(&mut program.outputs) {
            while let Ok(length @ 1..) = rustix::io::read(&fd, &mut self.buffer[..MAX_DATA]) {
                self.pass_on(stream, length);
            }
        }
        if let Some(forwarder) = &mut self.forwarder {
            forwarder.end_lines();
        }
    }

    /// Sends the exit status to every client that keeps up, after the container has ended.
    fn send_exit(&mut self, code: u8) {
        // A client that connected after the last turn of the loop waits for the exit status.
        while let Ok(socket) = accept_with(&self.listener, SocketFlags::CLOEXEC) {
            self.clients.add(Client::new(socket));
        }
        self.buffer.resize(MAX_PACKET, 0);
        self.clients.send_exit(self.log.as_ref(), code, &mut self.buffer);
        self.buffer = Vec::new();
    }
}

//! The monitor: the process of mydocker that stays beside a running container, as the parent of its
//! program.
//!
//! The monitor is a fork of the command that started the container, with one thread, in its own
//! session and, if possible, in a cgroup for monitors. The monitor holds the container's lock, the
//! program's output pipes or terminal's master, and the attach socket, and sleeps in one poll(2).
//! Output goes to the log and to each client that wants output (`clients`). The probes of a health
//! check run in processes of their own (`probes`).
//!
//! When the program ends, the monitor kills the remaining processes. Then the monitor restarts the
//! program if the policy says so. Otherwise the monitor records the outcome or, with `--rm`, hides
//! the container. Then the monitor sends the exit status to the clients, removes the files of a
//! hidden container, and exits.

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
use crate::error::{Context, Error, Result};
use crate::event::Event;
use crate::runtime::spec::{Process, Spec};
use crate::runtime::{self, Caller, Stdio, cgroup};
use crate::store::{Durability, HiddenTree, Lock, Roots, journal};
use crate::sys::trace::{self, Traced};
use crate::sys::{self, clone::Fork, packet, signal::Signal};
use crate::time;

/// After this time without an event the monitor expects a longer sleep and frees its buffers. The
/// time is well below a second, so that a monitor that probes the container's health every second
/// frees its buffers between two probes.
const SHORT_SLEEP: Duration = Duration::from_millis(250);
/// A monitor that waits for a restart looks for a stop mark and for its run directory at least once
/// in this time. The time is longer than `SHORT_SLEEP`, so the monitor frees its buffers between
/// two looks.
const LOOK: Duration = Duration::from_secs(2);

/// The engine's work on the host at a container's start and end: networks and volumes. The hooks of
/// the OCI runtime specification have a similar purpose.
pub trait Hooks {
    /// Called at a start while init builds its root. `pid` is a process in the container's network
    /// namespace. Returns the sockets that reserve the container's published ports, and the
    /// networks that the container has joined.
    fn set_up(&mut self, pid: Pid) -> Result<(Vec<OwnedFd>, Networks)>;
    /// Called when a program has ended or could not start, also before a restart. Returns the
    /// networks that the container has left.
    fn take_down(&mut self) -> Result<Networks>;
    /// Called before a container with `--rm` is removed. Removes the container's anonymous volumes
    /// that no other container has. Returns the events of the removals.
    fn remove(&mut self) -> Vec<Event>;
}

/// The arguments of [`spawn`].
pub struct Watch<'a> {
    pub roots: &'a Roots,
    pub record: &'a Record,
    pub spec: Spec,
    /// The container's monitor lock. The caller has taken the lock, and the monitor keeps it.
    pub lock: Lock,
    /// The start and end of the container's last run, for the outcome of a failed start.
    pub before: Span,
    /// Whether the first client wants the program's output.
    pub attached: bool,
    pub hooks: &'a mut dyn Hooks,
    /// Makes the settings of the container's first process. The probes of the health check get most
    /// of these settings.
    pub process: fn(&Record) -> Result<Process>,
    /// Makes the `Spec` of a record for a restart, for example after the record has changed.
    pub renew: &'a dyn Fn(&Record) -> Result<Spec>,
    /// The destination of the output in addition to the log.
    pub forward: Option<logs::Destination>,
}

/// Forks the monitor. Returns the client's end of a socket pair, whose other end the monitor has.
/// Fails with the errors of clone3(2) and socketpair(2). An error of the start comes as a message
/// over the socket pair.
pub fn spawn(watch: Watch<'_>) -> Result<OwnedFd> {
    let (ours, theirs) = packet::pair().context(|| "make a socket pair")?;
    let cgroup = cgroup::monitors(&watch.record.cgroup_parent);
    let fork = |cgroup| sys::clone::clone3(sys::clone::Flags::default(), cgroup);
    // A cgroup may refuse processes, for example one of the type "domain invalid" (cgroups(7)).
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

fn take_title(name: &str, short_id: &str) {
    sys::title::replace(format!("{MONITOR_TITLE}{name} ({short_id})").as_bytes(), true);
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
        state_lock: None,
        left: Vec::new(),
        has_begun: false,
        joined: Networks::new(),
        events: Vec::new(),
        name: None,
    };
    let mut keep = vec![client.as_fd(), lock.as_fd()];
    keep.extend(trace::descriptor());
    let (mut opened, mut forward) = (None, forward);
    let mut open = || {
        opened = Some(Monitor::open(roots, record, forward.take())?);
        Ok(())
    };
    let started = detach_from_caller(&keep).and_then(|()| life.begin(&spec, &mut open));
    let started = started.and_then(|program| {
        let monitor = opened.ok_or_else(|| Error::new("the monitor has opened no log"))?;
        Ok((monitor, program))
    });
    let (mut monitor, mut program) = match started {
        Ok(started) => started,
        Err(error) => {
            life.note_start(Start::First { attached });
            let error = life.failed(error, &lock);
            // Release the lock before the client gets the answer, because the client may start the
            // container again at once.
            drop(lock);
            let reply = Reply::Failed { code: error.exit_code(), message: &error.to_string() };
            // An error means that the client has ended.
            let _ = reply.send(client.as_fd(), SendFlags::empty());
            return error.exit_code();
        }
    };
    // Write the events before the client gets its answer, so that a later `events` includes them.
    life.note_start(Start::First { attached });
    life.publish();
    if !attached {
        // Stop the trace, which writes to the caller's stderr, so that a reader of that stderr does
        // not wait for the container's end.
        trace::stop();
    }
    // Only a restart needs the spec again.
    let mut spec = record.may_restart().then_some(spec);
    let (pid, start_time) = (program.pid.as_raw_nonzero().get(), program.start_time);
    if (Reply::Started { pid, start_time }).send(client.as_fd(), SendFlags::empty()).is_ok() {
        monitor.clients.add(Client::first(client, attached));
    }
    // Set the title after the client got its answer, because setting a title takes time. The title
    // hides the command line and its `-e` values from other users of the host.
    take_title(&record.name, record.id.short());
    let mut backoff = Backoff::new(record.lifecycle.restart_delay_ms.map(Duration::from_millis));
    let outcome = 'life: loop {
        let started = Instant::now();
        let code = monitor.watch(&mut program, &life);
        let mut outcome = life.program_ended(&mut monitor, &mut program, code);
        if outcome.stopped {
            break outcome;
        }
        life.follow_update();
        let mut run = started.elapsed();
        // A failed restart counts as an end of the program, so the policy decides again. A restart
        // fails for example if another program has bound a published port.
        program = loop {
            let lock_file = Files::new(roots, &record.id).monitor_lock();
            if !life.will_restart(&outcome, &program) {
                break 'life outcome;
            }
            // Do not restart without the run directory, where the files of a running container
            // belong.
            let is_wiped = || !lock.is_still_at(&lock_file);
            if is_wiped() {
                break 'life wiped(outcome);
            }
            let deadline = Instant::now() + backoff.after(run);
            // Release the ports, so that the next start or another program can bind them.
            program.port_sockets.clear();
            let prepared = life.prepare_restart(&outcome);
            monitor.pause(deadline, &|| life.stop_mark().is_some() || is_wiped());
            if life.stop_mark().is_some() {
                break 'life Outcome {
                    stopped: life.stop_mark() == Some(StopMark::User),
                    ..outcome
                };
            }
            if is_wiped() {
                if lock_file.exists() {
                    // Another `start` has started the container, and the run directory belongs to
                    // the new monitor.
                    monitor.send_exit(outcome.exit_code);
                    return outcome.exit_code;
                }
                break 'life wiped(outcome);
            }
            life.restarts += 1;
            // Wait for a command that reads the files of a stopped container: such a command holds
            // this lock.
            let change = Files::new(roots, &record.id).lock_changes();
            // An `update` may have happened during the wait. While this monitor holds the lock,
            // none can happen.
            let updated = life.follow_update();
            if updated.is_some() && !life.will_restart(&outcome, &program) {
                break 'life outcome;
            }
            // If the cleanup after the last program failed, try the cleanup again before the
            // restart.
            let prepared = prepared.or_else(|_| life.prepare_restart(&outcome));
            let renewed = prepared.and_then(|()| updated.as_ref().map(renew).transpose());
            let started = renewed.and_then(|renewed| match renewed.or(spec.take()) {
                Some(mut next) => {
                    let started = life.begin_again(&mut next);
                    spec = Some(next);
                    started
                }
                None => renew(record).and_then(|mut next| life.begin_again(&mut next)),
            });
            drop(change);
            life.note_start(Start::Again);
            match started {
                Ok(program) => break program,
                Err(error) => {
                    life.note_end(error.exit_code(), false);
                    outcome = life.outcome(error.exit_code(), error.to_string());
                    run = Duration::ZERO;
                }
            }
        };
        life.publish();
        if life.stop_mark().is_some() {
            // A command has set the stop mark during the restart, and may not have seen the new
            // program.
            sys::process::kill_group(program.pid, Signal::KILL);
        }
    };
    if let Some(log) = &monitor.log {
        monitor.clients.open_unread(log);
    }
    // Release the ports before the container is reported as ended.
    program.port_sockets.clear();
    // If the cleanup fails, the run directory may stay. Then the next command that reads the
    // container's state finds the lock released and cleans up.
    let left = life.clean_up(&outcome, &lock);
    life.publish();
    drop(lock);
    monitor.send_exit(outcome.exit_code);
    // Remove the files after `send_exit`, because freeing disk blocks may take long.
    if let Ok(Some(tree)) = left {
        let _ = tree.remove();
    }
    monitor.clients.finish(monitor.log.as_ref(), outcome.exit_code);
    outcome.exit_code
}

/// The outcome of a container that cannot be restarted because its run directory was removed.
fn wiped(outcome: Outcome) -> Outcome {
    let error = "its restart policy did not start it again: its run directory was removed";
    Outcome { error: error.to_owned(), ..outcome }
}

/// Starts a new session, closes the caller's descriptors except `keep`, and blocks signals.
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
    sys::inherited::reset();
    // Block the signals and never read them: a SIGTERM to all processes must not end the process
    // that cleans up.
    let all = (1..=64).filter_map(Signal::from_number);
    sys::signal::block(all).context(|| "block signals")
}

/// The ends of the program's standard streams: `theirs` is for the program, and `outputs` and
/// `stdin` are for the monitor. With a terminal, `Life::begin` adds the monitor's ends.
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

/// The reason for a start of the container.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// A client has started the container, and may stay attached.
    First { attached: bool },
    /// The monitor has restarted the container.
    Again,
}

/// The life of a container under one monitor: the start by a client, the restarts and the end.
struct Life<'a> {
    roots: &'a Roots,
    record: &'a Record,
    /// The restart policy, which `update` may change.
    policy: RestartPolicy,
    hooks: &'a mut dyn Hooks,
    process: fn(&Record) -> Result<Process>,
    before: Span,
    /// The start of the last program, in nanoseconds since 1970; 0 before the first.
    started: i64,
    restarts: u32,
    /// The lock on state.json, which is released at the latest with the monitor's lock.
    state_lock: Option<Lock>,
    /// The cgroups that could not be removed after a program's end.
    left: Vec<String>,
    /// Whether a program has started and `note_clean_up` has not added the events of its cleanup
    /// yet.
    has_begun: bool,
    /// The networks that the container has joined at this start. `note_start` takes the value.
    joined: Networks,
    /// Events that `publish` writes in one append.
    events: Vec<Event>,
    /// The container's new name, if it was renamed since its start.
    name: Option<String>,
}

impl Life<'_> {
    /// Creates the program's streams and starts the program. Calls `beside` while init builds the
    /// container's root.
    fn begin(&mut self, spec: &Spec, beside: &mut dyn FnMut() -> Result<()>) -> Result<Program> {
        let streams = Streams::new(self.record)?;
        probes::prepare(&Files::new(self.roots, &self.record.id), self.record)?;
        let (hooks, joined) = (&mut *self.hooks, &mut self.joined);
        let mut port_sockets = Vec::new();
        let mut prepare = |pid| {
            runtime::copies::save(spec)?;
            beside()?;
            (port_sockets, *joined) = hooks.set_up(pid)?;
            Ok(())
        };
        let copies = runtime::copies::make(spec)?;
        // Offer the copies before the network is set up, because the hooks change the copy of the
        // hosts file.
        if let Some(copies) = &copies {
            offer_copies(&self.roots.hosts_files(&self.record.id), copies)?;
        }
        let ours = copies.as_ref().map(AsFd::as_fd);
        let running = runtime::start(spec, streams.theirs, Caller::Stays, ours, &mut prepare)?;
        let state = match self.write_down(&running) {
            Ok(state) => state,
            Err(error) => {
                // The start fails without state.json, so end the program.
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
        Ok(Program {
            pid,
            pidfd,
            start_time,
            outputs,
            stdin,
            port_sockets,
            cgroups,
            probes,
            _copies,
        })
    }

    /// Writes the program's PID and start time to state.json.
    fn write_down(&mut self, running: &runtime::Running) -> Result<State> {
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
        self.state_lock = Some(state::write(self.roots, &self.record.id, &state)?);
        Ok(state)
    }

    fn begin_again(&mut self, spec: &mut Spec) -> Result<Program> {
        self.record.make_sources()?;
        spec.namespaces = joined::namespaces(self.roots, self.record)?;
        self.begin(spec, &mut || Ok(()))
    }

    /// Cleans up after a failed start. Returns `error`. If the cleanup fails too, adds its error.
    fn failed(&mut self, error: Error, lock: &Lock) -> Error {
        let outcome = self.outcome(error.exit_code(), error.to_string());
        let outcome = match self.started {
            0 => Outcome { kept: outcome.kept, ..Outcome::not_started(&error, self.before) },
            _ => outcome,
        };
        let left =
            self.clean_up(&outcome, lock).and_then(|tree| tree.map_or(Ok(()), HiddenTree::remove));
        self.publish();
        match left {
            Ok(()) => error,
            Err(leftover) => {
                Error::new(format!("{error}; {leftover}")).exit_with(error.exit_code())
            }
        }
    }

    /// If the update mark exists, reads the record again and takes over the record's restart
    /// policy. `None` if the mark does not exist or the record cannot be read.
    fn follow_update(&mut self) -> Option<Record> {
        if !Files::new(self.roots, &self.record.id).updated().exists() {
            return None;
        }
        // If the record cannot be read, the old policy still applies.
        let record = Record::read(self.roots, &self.record.id).ok()?;
        self.policy = record.lifecycle.restart;
        Some(record)
    }

    /// Adds an event of the container to the events to write.
    fn note(&mut self, action: &str, facts: &[(&str, &str)]) {
        let event = match &self.name {
            Some(name) => {
                events::of(&Record { name: name.clone(), ..self.record.clone() }, action, facts)
            }
            None => events::of(self.record, action, facts),
        };
        self.events.push(event);
    }

    /// Adds the events of a start, which may have failed. The start by `run` also adds the event of
    /// the container's creation.
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

    /// Adds the events of the cleanup after a program. `networks` are those that the container has
    /// left.
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

    /// Kills the processes that are left in the program's cgroups, then reads the rest of the
    /// output. Returns the outcome of the run.
    fn program_ended(
        &mut self,
        monitor: &mut Monitor<'_>,
        program: &mut Program,
        code: u8,
    ) -> Outcome {
        let oom_killed = cgroup::oom_kills(&program.cgroups) > 0;
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

    fn will_restart(&self, outcome: &Outcome, program: &Program) -> bool {
        // True if this monitor has ended the program because the program was unhealthy.
        let replaced = self.record.restarts_unhealthy()
            && program.probes.as_ref().is_some_and(Probes::is_ending);
        self.stop_mark().is_none()
            && (replaced || self.policy.applies(outcome.exit_code, outcome.restarts))
    }

    fn run_probes(&self, program: &mut Program) {
        if let Some(probes) = &mut program.probes {
            probes.advance(self.roots, self.record, self.process, program.pidfd.as_fd());
        }
    }

    /// Cleans up between two runs of the program, and writes the state of a container that will be
    /// restarted.
    fn prepare_restart(&mut self, outcome: &Outcome) -> Result<()> {
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
        self.state_lock = Some(state::write(self.roots, &self.record.id, &state)?);
        Ok(())
    }

    /// Cleans up after the last program, then records the outcome. A container with `--rm` is
    /// hidden instead, unless `restart` keeps the container. The caller must remove the returned
    /// files of a hidden container. `lock` is the monitor's lock.
    fn clean_up(&mut self, outcome: &Outcome, lock: &Lock) -> Result<Option<HiddenTree>> {
        self.state_lock = None;
        let taken_down = self
            .hooks
            .take_down()
            .traced("netlink", || "take back addresses, links and firewall rules".to_owned());
        self.note_clean_up(taken_down.as_ref().unwrap_or(&Networks::new()));
        // If the cgroups still cannot be removed, the run directory stays. The next command that
        // reads the state then cleans up.
        cgroup::remove(&self.left)?;
        if self.record.lifecycle.remove && outcome.kept != Some(true) {
            self.events.extend(self.hooks.remove());
            let (id, name) = (&self.record.id, &self.record.name);
            let tree = state::hide(self.roots, id, name, Durability::Lazy)
                .traced("rename", || format!("--rm: hide {name}, then remove its files"))?;
            self.note("destroy", &[]);
            id_range::release_assigned(self.roots, self.record)?;
            return taken_down.map(|_| Some(tree));
        }
        let is_wiped = !lock.is_still_at(&Files::new(self.roots, &self.record.id).monitor_lock());
        let record = if is_wiped { state::record_outcome_of_wiped } else { state::record_outcome };
        record(self.roots, self.record, outcome)
            .traced("rename", || format!("record the exit status {}", outcome.exit_code))?;
        taken_down.map(|_| None)
    }
}

/// Makes `link` lead to the directory with the copies of hosts, resolv.conf and hostname
/// (`runtime::copies`), which is mounted at no path. After the end of this process the link is
/// dangling.
fn offer_copies(link: &Path, copies: &OwnedFd) -> Result<()> {
    let process = rustix::process::getpid().as_raw_nonzero();
    let target = format!("/proc/{process}/fd/{}", copies.as_raw_fd());
    let make = || std::os::unix::fs::symlink(&target, link);
    let made = make().or_else(|error| match error.kind() {
        // The link of the last program exists.
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
    /// The monitor's end of the program's stdin, while that end is open.
    stdin: Option<OwnedFd>,
    /// The sockets that reserve the program's published ports.
    port_sockets: Vec<OwnedFd>,
    cgroups: Vec<String>,
    probes: Option<Probes>,
    /// The directory with the copies of hosts, resolv.conf and hostname. It stays open, so that
    /// other commands can write the copies through the link of `offer_copies`.
    _copies: Option<OwnedFd>,
}

struct Monitor<'a> {
    /// The container's short id.
    id: &'a str,
    listener: OwnedFd,
    clients: Clients,
    /// The log; `None` with `--log-driver none`.
    log: Option<logs::Writer>,
    /// The connection to the daemon of `--log-driver syslog` or `journald`.
    forwarder: Option<logs::Forwarder>,
    terminal: bool,
    /// Whether the program's stdin stays open after the end of a client's input.
    keeps_stdin: bool,
    /// The container's new name, if a client has sent one.
    name: Option<String>,
    /// Input from clients that is not yet written to the program's stdin.
    typed: Vec<u8>,
    buffer: Vec<u8>,
}

/// The descriptors that poll(2) reported in one turn of the loop.
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
            id: record.id.short(),
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

    /// Serves the clients until the program has ended. Returns its exit status.
    fn watch(&mut self, program: &mut Program, life: &Life<'_>) -> u8 {
        loop {
            let wake = program.probes.as_ref().and_then(Probes::wake);
            if self.turn(Some(program), wake)
                && let Ok(Some((_, status))) = waitpid(Some(program.pid), WaitOptions::NOHANG)
            {
                let code = runtime::exit_code(status);
                trace::step("wait4", || {
                    format!("process {} ended with status {code}", program.pid.as_raw_nonzero())
                });
                return code;
            }
            life.run_probes(program);
        }
    }

    /// Serves the clients until `deadline`, or until `is_cancelled` returns true. Calls
    /// `is_cancelled` before each turn, at least every `LOOK`.
    fn pause(&mut self, deadline: Instant, is_cancelled: &dyn Fn() -> bool) {
        while !is_cancelled() && Instant::now() < deadline {
            self.turn(None, Some(deadline.min(Instant::now() + LOOK)));
        }
    }

    /// Waits for events, at most until `deadline`, and handles them. Returns true if the program
    /// has ended.
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
            // needs little memory.
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
            // Read stdout first: if both streams are ready, the line on stdout was most likely
            // written first.
            let mut at = 0;
            for is_ready in ready.outputs {
                let is_read = is_ready && self.clients.hold(self.log.as_ref()) == Hold::No;
                if !is_read || self.read_output(program, at) {
                    at += 1;
                }
            }
        }
        // Go backwards, so that a removal does not move a client that is still to be served.
        // Reading output may have removed some clients; the next turn serves the rest.
        for &at in ready.clients.iter().rev() {
            if at < self.clients.list.len() && !self.serve_client(at, program.as_deref_mut()) {
                self.clients.list.remove(at);
            }
        }
        if ready.connection
            && let Ok(socket) = accept_with(&self.listener, SocketFlags::CLOEXEC)
        {
            // The first message of a client says whether it wants the output.
            self.clients.add(Client::new(socket));
        }
        ready.ended
    }

    /// Waits in poll(2) for an event; `None` after `timeout` or an error such as EINTR.
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
            // Leave out a client without requested events: poll(2) would still report its hang-up,
            // and would return at once each time.
            if !events.is_empty() {
                fds.push(PollFd::new(&client.socket, events));
                clients.push(at);
            }
        }
        let probes = program.and_then(|program| program.probes.as_ref());
        let prober = probes.and_then(Probes::pidfd);
        fds.extend(prober.map(|pidfd| PollFd::new(pidfd, PollFlags::IN)));
        // Wait without a limit if `timeout` is too long for a `Timespec`.
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

    /// Whether the monitor reads from a client. If the program does not read its input, the monitor
    /// leaves the messages of a greeted client in the socket.
    fn listens_to(&self, client: &Client) -> bool {
        self.typed.is_empty() || !client.greeted
    }

    /// Reads once from an output. Returns false if the output has ended and was removed.
    fn read_output(&mut self, program: &mut Program, at: usize) -> bool {
        let (stream, fd) = &program.outputs[at];
        match rustix::io::read(fd, &mut self.buffer[..MAX_DATA]) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            // EIO means that the last process has closed the terminal.
            Ok(0) | Err(_) => {
                program.outputs.remove(at);
                return false;
            }
            Ok(length) => self.pass_on(*stream, length),
        }
        true
    }

    /// Sends the first `length` bytes of the buffer to the log, the forwarder and the clients.
    fn pass_on(&mut self, stream: Stream, length: usize) {
        let data = &self.buffer[..length];
        let mark = self.log.as_mut().and_then(|log| {
            self.clients.disconnect_slow(log);
            // On a full disk the log lacks this output, but the container goes on.
            log.append(stream, data).ok()
        });
        if let Some(forwarder) = &mut self.forwarder {
            forwarder.pass_on(stream, data);
        }
        self.clients.send_output(stream, data, self.log.as_ref(), mark);
    }

    /// Sends a lagging client more output and handles at most one message of the client. Returns
    /// false if the client must be removed, for example because the client has closed its
    /// connection or has sent a malformed message.
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
            // The client has closed its connection or has ended.
            Ok((0, _)) | Err(_) => return false,
            Ok(received) => received,
        };
        match (Request::parse(&self.buffer[..length]), program) {
            (None, _) => return false,
            (Some(Request::Hello { output }), _) => {
                (client.greeted, client.output) = (true, output);
            }
            // A client must send `Hello` before any input.
            (Some(_), _) if !client.greeted => return false,
            (Some(Request::Renamed(name)), _) => {
                take_title(name, self.id);
                self.name = Some(name.to_owned());
            }
            (Some(request @ (Request::Hold | Request::Release(_))), program) => {
                let reply = match program {
                    Some(program) => {
                        held_ports::serve(&mut program.port_sockets, &request, came);
                        Reply::Done
                    }
                    None => Reply::Failed { code: 1, message: "the container is not running now" },
                };
                return reply.send(client.socket.as_fd(), SendFlags::DONTWAIT).is_ok();
            }
            // Without a running program, input and sizes of terminals are dropped.
            (Some(_), None) => {}
            (Some(Request::Stdin(data)), Some(program)) => {
                self.typed.extend_from_slice(data);
                self.pass_on_typed(program);
            }
            (Some(Request::StdinEnd), Some(program)) => {
                // On a terminal the user ends the input with a key such as Ctrl-D, so the end of a
                // client's input does not end the program's input.
                if !self.terminal && !self.keeps_stdin {
                    program.stdin = None;
                }
            }
            (Some(Request::Resize { rows, columns }), Some(program)) => {
                if let Some((_, console)) = program.outputs.first().filter(|_| self.terminal) {
                    let size =
                        Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
                    // An error means that the terminal is being closed.
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
                // The program has closed its input.
                Err(_) => {
                    self.typed.clear();
                    program.stdin = None;
                    return;
                }
            }
        }
    }

    /// Reads the rest of the output, after the program's processes have been killed.
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

    /// After the container's end, sends the exit status to every client that has read all output.
    fn send_exit(&mut self, code: u8) {
        // A client may have connected after the last turn of the loop.
        while let Ok(socket) = accept_with(&self.listener, SocketFlags::CLOEXEC) {
            self.clients.add(Client::new(socket));
        }
        self.buffer.resize(MAX_PACKET, 0);
        self.clients.send_exit(self.log.as_ref(), code, &mut self.buffer);
        self.buffer = Vec::new();
    }
}

//! The process that watches over one container: its parent, and all that is left of mydocker while
//! it runs.
//!
//! A plain fork of the command that started it, in a session and a cgroup of its own. It holds the
//! container's lock, the reading ends of the program's output (or the terminal's master) and the
//! attach socket, and sleeps in one poll(2). What the program writes goes to the log and to every
//! client (`audience`), and nothing is ever dropped. When the program ends the monitor removes what
//! it leaves behind, begins it anew if the restart policy says so, or else writes down how it
//! ended, tells the clients and goes. One thread, and when it sleeps it holds no buffer. A health
//! check runs in processes of its own (`probes`); the sleep ends when the next one is due.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, setsid, waitpid};
use rustix::termios::{Winsize, tcsetwinsize};

use super::audience::{Audience, Client, Hold};
use super::probes::{self, Probes};
use super::protocol::{self, MAX_DATA, MAX_PACKET, Reply, Request, Stream};
use super::record::{Files, Record, short};
use super::restart::Backoff;
use super::state::{self, Outcome, Span, State, StopMark};
use super::{id_range, joined, logs, volumes};
use crate::error::{Context, Error, Result};
use crate::runtime::spec::{Process, Spec};
use crate::runtime::{self, Stdio, cgroup};
use crate::store::{Durability, HiddenTree, Lock, Roots};
use crate::sys::{self, clone::Fork, packet, signal::Signal};
use crate::time;

/// After so much silence the monitor expects more of it.
const SHORT_SLEEP: Duration = Duration::from_secs(1);

/// What is done on the host for a container beside what `runtime` does: its network.
pub trait Surroundings {
    /// Called while the first process, `pid`, builds its root.
    fn set_up(&mut self, pid: Pid) -> Result<()>;
    /// Called when the container has ended, or could not begin.
    fn take_down(&mut self) -> Result<()>;
}

/// All that a monitor is to know.
pub struct Watch<'a> {
    pub roots: &'a Roots,
    pub record: &'a Record,
    pub spec: Spec,
    /// The container's monitor lock, taken by the caller; the monitor keeps it.
    pub lock: Lock,
    /// The container's last run.
    pub before: Span,
    /// Whether the first client wants the output.
    pub attached: bool,
    pub surroundings: &'a mut dyn Surroundings,
    /// The first process of a record's container, for its health check.
    pub process: fn(&Record) -> Process,
}

/// Forks the monitor off; gives the client's end of its first connection.
pub fn spawn(watch: Watch<'_>) -> Result<OwnedFd> {
    let (ours, theirs) = packet::pair().context(|| "make a socket pair")?;
    let cgroup = cgroup::monitors(&watch.record.cgroup_parent);
    let fork = |cgroup| sys::clone::clone3(sys::clone::Flags::default(), cgroup);
    // A cgroup may take no process, as a threaded one does.
    let forked = fork(cgroup.as_ref().map(AsFd::as_fd)).or_else(|_| fork(None));
    match forked.context(|| "fork the monitor")? {
        Fork::Parent(_) => Ok(ours),
        Fork::Child => {
            drop(ours);
            let code = run(watch, theirs);
            sys::exec::exit_now(code)
        }
    }
}

/// How a monitor's title begins; the container's name and its short id in parentheses follow.
const TITLE: &str = "mydocker: monitor of ";

/// Whether a process is the monitor of container `id`, by its title.
pub fn is_titled(pid: Pid, id: &str) -> bool {
    let path = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
    let title = std::fs::read_to_string(path).unwrap_or_default();
    let title = title.trim_end_matches('\0');
    title.starts_with(TITLE) && title.ends_with(&format!("({})", short(id)))
}

fn run(watch: Watch<'_>, client: OwnedFd) -> u8 {
    let Watch { roots, record, spec, lock, before, attached, surroundings, process } = watch;
    let left = Vec::new();
    let mut life =
        Life { roots, record, surroundings, process, before, started: 0, restarts: 0, left };
    let begun = detach_from_caller(&[client.as_fd(), lock.as_fd()])
        .and_then(|()| Ok((Monitor::open(roots, record)?, life.begin(&spec)?)));
    let (mut monitor, mut program) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            let error = life.failed(error);
            // Let go before the client hears of it: it may start the container again at once.
            drop(lock);
            let reply = Reply::Failed { code: error.exit_code(), message: &error.to_string() };
            // A client that is gone needs no answer.
            let _ = reply.send(client.as_fd(), SendFlags::empty());
            return error.exit_code();
        }
    };
    // Only a restart needs it again.
    let mut spec = record.may_restart().then_some(spec);
    let (pid, start_time) = (program.pid.as_raw_nonzero().get(), program.start_time);
    if (Reply::Started { pid, start_time }).send(client.as_fd(), SendFlags::empty()).is_ok() {
        monitor.audience.admit(Client::first(client, attached));
    }
    // Once nobody waits for the start. The host's other users see it for as long as this runs.
    let title = format!("{TITLE}{} ({})", record.name, short(&record.id));
    sys::title::replace(title.as_bytes(), true);
    let mut backoff = Backoff::new();
    let outcome = loop {
        let begun = Instant::now();
        let code = monitor.watch(&mut program, &life);
        let outcome = life.program_ended(&mut monitor, &mut program, code);
        let (Some(spec), false) = (&mut spec, outcome.stopped) else { break outcome };
        if !life.goes_on(&outcome, &program) {
            break outcome;
        }
        let deadline = Instant::now() + backoff.after(begun.elapsed());
        if life.rest(&outcome).is_err() {
            break outcome;
        }
        monitor.pause(deadline, &|| life.stop_mark().is_some());
        if life.stop_mark().is_some() {
            break Outcome { stopped: life.stop_mark() == Some(StopMark::User), ..outcome };
        }
        life.restarts += 1;
        // A command that reads the files of a container at rest holds this lock.
        let change = Files::new(roots, &record.id).lock_changes();
        let begun = life.begin_again(spec);
        drop(change);
        program = match begun {
            Ok(program) => program,
            Err(error) => break life.outcome(error.exit_code(), error.to_string()),
        };
        if life.stop_mark().is_some() {
            // Called off while it was being begun: whoever did may not have seen it yet.
            sys::process::kill_group(program.pid, Signal::KILL);
        }
    };
    if let Some(log) = &monitor.log {
        monitor.audience.gather(log);
    }
    // What can't be done now is done by the next command that looks: the lock is let go of, so
    // that it will find it.
    let left = life.leave(&outcome);
    drop(lock);
    monitor.say_goodbye(outcome.exit_code);
    // Freeing blocks takes a disk as long as all the rest: nobody waits for it.
    if let Ok(Some(tree)) = left {
        let _ = tree.remove();
    }
    monitor.audience.see_out(monitor.log.as_ref(), outcome.exit_code);
    outcome.exit_code
}

/// A session of its own, nothing of the caller's terminal, pipes or locks, and no signal that isn't
/// meant for it.
fn detach_from_caller(keep: &[BorrowedFd<'_>]) -> Result<()> {
    setsid().context(|| "begin a new session")?;
    sys::fds::close_all_but(keep).context(|| "close the caller's descriptors")?;
    let null = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .context(|| "open /dev/null")?;
    sys::fds::become_stdio([null.as_fd(), null.as_fd(), null.as_fd()])
        .context(|| "let go of the caller's streams")?;
    rustix::process::chdir("/").context(|| "go to /")?;
    sys::inherited::shed();
    // Blocked, never read: a stray SIGTERM to everything must not end the one who cleans up.
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
            if record.tty {
                return Ok(Streams { theirs: Stdio::Terminal, outputs: Vec::new(), stdin: None });
            }
            let (stdin_theirs, stdin) = if record.interactive {
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
        make().context(|| "make the container's standard streams")
    }
}

/// One container from its first program's beginning to its last one's end.
struct Life<'a> {
    roots: &'a Roots,
    record: &'a Record,
    surroundings: &'a mut dyn Surroundings,
    process: fn(&Record) -> Process,
    before: Span,
    /// When the present program began; zero: none has.
    started: i64,
    restarts: u32,
    /// The cgroups of the last program that could not be removed.
    left: Vec<String>,
}

impl Life<'_> {
    /// Makes the program's streams and begins it.
    fn begin(&mut self, spec: &Spec) -> Result<Program> {
        let streams = Streams::new(self.record)?;
        probes::prepare(&Files::new(self.roots, &self.record.id), self.record)?;
        let surroundings = &mut *self.surroundings;
        let running = runtime::start(spec, streams.theirs, &mut |pid| surroundings.set_up(pid))?;
        let state = match self.write_down(&running) {
            Ok(state) => state,
            Err(error) => {
                // No command could find the program, so it must not run.
                sys::process::kill_group(running.pid, Signal::KILL);
                let _ = waitpid(Some(running.pid), WaitOptions::empty());
                let _ = cgroup::remove(&running.cgroup.paths());
                return Err(error);
            }
        };
        self.started = state.started;
        let mut outputs = streams.outputs;
        let mut stdin = streams.stdin;
        if let Some(console) = running.console {
            rustix::io::ioctl_fionbio(&console, true)
                .context(|| "make the console non-blocking")?;
            if self.record.interactive {
                stdin = Some(console.try_clone().context(|| "duplicate the console")?);
            }
            outputs.push((Stream::Stdout, console));
        }
        let probes = Probes::of(self.record, &state);
        let (pid, pidfd, start_time) = (running.pid, running.pidfd, state.start_time);
        Ok(Program { pid, pidfd, start_time, outputs, stdin, cgroups: state.cgroups, probes })
    }

    /// Writes down which process the program is.
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
        };
        state::write(self.roots, &self.record.id, &state)?;
        Ok(state)
    }

    fn begin_again(&mut self, spec: &mut Spec) -> Result<Program> {
        self.record.make_sources()?;
        spec.namespaces = joined::namespaces(self.roots, self.record)?;
        self.begin(spec)
    }

    /// The container could not begin. Gives the error back, with what went wrong on top of it.
    fn failed(&mut self, error: Error) -> Error {
        let outcome = self.outcome(error.exit_code(), error.to_string());
        let outcome = match self.started {
            0 => Outcome { kept: outcome.kept, ..Outcome::not_begun(&error, self.before) },
            _ => outcome,
        };
        let left = self.leave(&outcome).and_then(|tree| tree.map_or(Ok(()), HiddenTree::remove));
        match left {
            Ok(()) => error,
            Err(leftover) => {
                Error::new(format!("{error}; {leftover}")).exit_with(error.exit_code())
            }
        }
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

    /// Ends whatever the program has left running, then takes the last of its output.
    fn program_ended(&mut self, monitor: &mut Monitor, program: &mut Program, code: u8) -> Outcome {
        let oom_killed = cgroup::oom_killed(&program.cgroups);
        if cgroup::remove(&program.cgroups).is_err() {
            self.left.append(&mut program.cgroups);
        }
        if let Some(probes) = &mut program.probes {
            probes.end();
        }
        monitor.drain(program);
        Outcome { oom_killed, ..self.outcome(code, String::new()) }
    }

    fn goes_on(&self, outcome: &Outcome, program: &Program) -> bool {
        // Ended by the monitor itself, because it was unhealthy.
        let replaced = self.record.restarts_unhealthy()
            && program.probes.as_ref().is_some_and(Probes::is_ending);
        self.stop_mark().is_none()
            && (replaced || self.record.restart.applies(outcome.exit_code, outcome.restarts))
    }

    fn tend(&self, program: &mut Program) {
        if let Some(probes) = &mut program.probes {
            probes.tend(self.roots, self.record, self.process, program.pidfd.as_fd());
        }
    }

    /// Between two programs.
    fn rest(&mut self, outcome: &Outcome) -> Result<()> {
        self.surroundings.take_down()?;
        let state = State {
            pid: 0,
            start_time: 0,
            boot_id: sys::process::boot_id(),
            started: outcome.started,
            cgroups: Vec::new(),
            restarts: self.restarts,
            last: Some(outcome.clone()),
        };
        state::write(self.roots, &self.record.id, &state)
    }

    /// Gives what is yet to be removed of a container that goes with its end.
    fn leave(&mut self, outcome: &Outcome) -> Result<Option<HiddenTree>> {
        let taken_down = self.surroundings.take_down();
        // Where they still can't be removed, the run directory stays, and the next command that
        // looks takes all of it back.
        cgroup::remove(&self.left)?;
        if self.record.remove && outcome.kept != Some(true) {
            volumes::remove_anonymous(self.roots, self.record);
            let (id, name) = (&self.record.id, &self.record.name);
            let tree = state::hide(self.roots, id, name, Durability::Lazy)?;
            id_range::give_back(self.roots, self.record)?;
            return taken_down.map(|()| Some(tree));
        }
        state::settle(self.roots, self.record, outcome)?;
        taken_down.map(|()| None)
    }
}

/// The program as the monitor has hold of it.
struct Program {
    pid: Pid,
    pidfd: OwnedFd,
    start_time: u64,
    outputs: Vec<(Stream, OwnedFd)>,
    /// Its standard input, as long as it is open.
    stdin: Option<OwnedFd>,
    cgroups: Vec<String>,
    probes: Option<Probes>,
}

struct Monitor {
    listener: OwnedFd,
    audience: Audience,
    /// `None` with `--log-driver none`.
    log: Option<logs::Writer>,
    terminal: bool,
    /// Received from a client and not yet taken by the program.
    typed: Vec<u8>,
    buffer: Vec<u8>,
}

/// What a turn of the loop found ready.
#[derive(Default)]
struct Ready {
    ended: bool,
    connection: bool,
    stdin: bool,
    outputs: [bool; 2],
    clients: Vec<usize>,
}

impl Monitor {
    fn open(roots: &Roots, record: &Record) -> Result<Monitor> {
        let files = Files::new(roots, &record.id);
        let open = || logs::Writer::open(&files.log(), record.log_max_size, record.log_max_file);
        Ok(Monitor {
            log: if record.log_disabled { None } else { Some(open()?) },
            listener: protocol::serve(&files.run)?,
            audience: Audience { clients: Vec::new() },
            terminal: record.tty,
            typed: Vec::new(),
            buffer: Vec::new(),
        })
    }

    /// Until the program has ended; gives its exit status.
    fn watch(&mut self, program: &mut Program, life: &Life<'_>) -> u8 {
        loop {
            let wake = program.probes.as_ref().and_then(Probes::wake);
            if self.turn(Some(program), wake)
                && let Ok(Some((_, status))) = waitpid(Some(program.pid), WaitOptions::NOHANG)
            {
                return runtime::exit_code(status);
            }
            life.tend(program);
        }
    }

    /// Serves the clients until `deadline` or until `is_called_off`, which is asked at each wake.
    fn pause(&mut self, deadline: Instant, is_called_off: &dyn Fn() -> bool) {
        while !is_called_off() && Instant::now() < deadline {
            self.turn(None, Some(deadline));
        }
    }

    /// Waits for something to do and does it. True if the program has ended.
    fn turn(&mut self, mut program: Option<&mut Program>, deadline: Option<Instant>) -> bool {
        let hold = match self.audience.hold(self.log.as_ref()) {
            Hold::Until(until) => Some(until),
            _ => None,
        };
        let wake = deadline.into_iter().chain(hold).min();
        let left = || wake.map(|wake| wake.saturating_duration_since(Instant::now()));
        let short = left().map_or(SHORT_SLEEP, |left| left.min(SHORT_SLEEP));
        let poll = |fds: &mut [PollFd<'_>], timeout: Option<&Timespec>| poll(fds, timeout);
        let mut ready = self.wait(program.as_deref(), Some(short), poll);
        if ready.is_none() && left() != Some(Duration::ZERO) {
            // For long now it costs next to nothing: no buffers, and of the program itself only
            // what the sleep needs.
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
            for at in (0..program.outputs.len()).rev() {
                if ready.outputs[at] && self.audience.hold(self.log.as_ref()) == Hold::No {
                    self.read_output(program, at);
                }
            }
        }
        // From the back, so that removing one leaves the others' places alone. Reading output may
        // have removed some: then the next turn finds again what there is to do.
        for &at in ready.clients.iter().rev() {
            if at < self.audience.clients.len() && !self.serve_client(at, program.as_deref_mut()) {
                self.audience.clients.remove(at);
            }
        }
        if ready.connection
            && let Ok(socket) = accept_with(&self.listener, SocketFlags::CLOEXEC)
        {
            // It says what it wants in its first message.
            self.audience.admit(Client::new(socket));
        }
        ready.ended
    }

    /// Waits by `poll` for something to do; `None` if nothing is within the time.
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
            && self.audience.hold(self.log.as_ref()) == Hold::No
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
        for (at, client) in self.audience.clients.iter().enumerate() {
            let mut events = PollFlags::empty();
            if self.listens_to(client) {
                events |= PollFlags::IN;
            }
            if client.lags() {
                events |= PollFlags::OUT;
            }
            // Left out rather than asked for nothing: a hang-up is told all the same, and would
            // keep us awake.
            if !events.is_empty() {
                fds.push(PollFd::new(&client.socket, events));
                clients.push(at);
            }
        }
        let probes = program.and_then(|program| program.probes.as_ref());
        let prober = probes.and_then(Probes::pidfd);
        fds.extend(prober.map(|pidfd| PollFd::new(pidfd, PollFlags::IN)));
        // More seconds than the kernel can count are as good as no end.
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

    /// What a client types while the program isn't reading stays in the client's socket.
    fn listens_to(&self, client: &Client) -> bool {
        self.typed.is_empty() || !client.greeted
    }

    fn read_output(&mut self, program: &mut Program, at: usize) {
        let (stream, fd) = &program.outputs[at];
        match rustix::io::read(fd, &mut self.buffer[..MAX_DATA]) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            // EIO: the last process let go of the terminal.
            Ok(0) | Err(_) => drop(program.outputs.remove(at)),
            Ok(length) => self.pass_on(*stream, length),
        }
    }

    /// Keeps the first `length` bytes of the buffer and hands them to the clients.
    fn pass_on(&mut self, stream: Stream, length: usize) {
        let data = &self.buffer[..length];
        let mark = self.log.as_mut().and_then(|log| {
            self.audience.leave_behind(log);
            // A full disk costs log lines, not the container.
            log.append(stream, data).ok()
        });
        self.audience.offer(stream, data, self.log.as_ref(), mark);
    }

    /// False if the client is gone, or said what no client of ours says.
    fn serve_client(&mut self, at: usize, program: Option<&mut Program>) -> bool {
        let listens = self.listens_to(&self.audience.clients[at]);
        let client = &mut self.audience.clients[at];
        if client.lags() && !client.feed(self.log.as_ref(), &mut self.buffer) {
            return false;
        }
        if !listens {
            return true;
        }
        let flags = RecvFlags::DONTWAIT;
        let length = match sys::packet::receive(client.socket.as_fd(), &mut self.buffer, flags) {
            Err(Errno::AGAIN) => return true,
            // It hung up, or died: the container lives on.
            Ok(0) | Err(_) => return false,
            Ok(length) => length,
        };
        match (Request::parse(&self.buffer[..length]), program) {
            (None, _) => return false,
            (Some(Request::Hello { output }), _) => {
                (client.greeted, client.output) = (true, output);
            }
            // Whoever types before it greets would be heard while others wait their turn.
            (Some(_), _) if !client.greeted => return false,
            // What is typed while there is no program goes nowhere, as at a terminal.
            (Some(_), None) => {}
            (Some(Request::Stdin(data)), Some(program)) => {
                self.typed.extend_from_slice(data);
                self.pass_on_typed(program);
            }
            (Some(Request::StdinEnd), Some(program)) => {
                // A terminal's end of input is a key; closing it would hang the program up.
                if !self.terminal {
                    program.stdin = None;
                }
            }
            (Some(Request::Resize { rows, columns }), Some(program)) => {
                if let Some((_, console)) = program.outputs.first().filter(|_| self.terminal) {
                    let size =
                        Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
                    // A terminal that is just going needs no size.
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

    /// After the end of all who could write: what is still in the pipes. No more than they hold
    /// can come.
    fn drain(&mut self, program: &mut Program) {
        self.typed.clear();
        self.buffer.resize(MAX_PACKET, 0);
        for (stream, fd) in std::mem::take(&mut program.outputs) {
            while let Ok(length @ 1..) = rustix::io::read(&fd, &mut self.buffer[..MAX_DATA]) {
                self.pass_on(stream, length);
            }
        }
    }

    /// The container is over: everyone who keeps up gets the exit status.
    fn say_goodbye(&mut self, code: u8) {
        // Connected after the last turn of the loop: waiting for this very word.
        while let Ok(socket) = accept_with(&self.listener, SocketFlags::CLOEXEC) {
            self.audience.admit(Client::new(socket));
        }
        self.buffer.resize(MAX_PACKET, 0);
        self.audience.say_goodbye(self.log.as_ref(), code, &mut self.buffer);
        self.buffer = Vec::new();
    }
}

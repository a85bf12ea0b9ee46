//! The process that watches over one container: its parent, and all that is left of mydocker while
//! it runs.
//!
//! A plain fork of the command that started it, in a session of its own. It holds the container's
//! lock, the reading ends of the program's output (or the terminal's master) and the attach socket,
//! and sleeps in one poll(2). What the program writes goes to the log and to every client; a client
//! that doesn't read holds the program up, as a slow pipe would, and nothing is ever dropped. When
//! the program ends it writes down how, removes what the container leaves behind, tells the clients
//! and goes. One thread, no allocation in the loop but for the buffer, which is given back before
//! it sleeps.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, setsid, waitpid};
use rustix::termios::{Winsize, tcsetwinsize};

use super::logs;
use super::protocol::{self, MAX_DATA, MAX_PACKET, Reply, Request, Stream};
use super::record::{Files, Record};
use super::state::{self, Outcome, State};
use crate::error::{Context, Error, Result};
use crate::runtime::spec::Spec;
use crate::runtime::{self, Stdio, cgroup};
use crate::store::{self, Lock, Roots};
use crate::sys::{self, clone::Fork, packet};
use crate::time::Instant;

/// Clients that may be connected at once; more are turned away.
const MAX_CLIENTS: usize = 64;

/// After so much silence the monitor expects more of it.
const SHORT_SLEEP: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

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
    /// Whether the first client wants the output.
    pub attached: bool,
    pub surroundings: &'a mut dyn Surroundings,
}

/// Forks the monitor off; gives the client's end of its first connection.
pub fn spawn(watch: Watch<'_>) -> Result<OwnedFd> {
    let (ours, theirs) = packet::pair().context(|| "make a socket pair")?;
    match sys::clone::fork().context(|| "fork the monitor")? {
        Fork::Parent(_) => Ok(ours),
        Fork::Child => {
            drop(ours);
            let code = run(watch, theirs);
            sys::exec::exit_now(code)
        }
    }
}

fn run(watch: Watch<'_>, client: OwnedFd) -> u8 {
    let Watch { roots, record, spec, lock, attached, surroundings } = watch;
    let mut finish = Finish { roots, record, surroundings, started: 0 };
    let begun = detach_from_caller(&[client.as_fd(), lock.as_fd()])
        .and_then(|()| begin(&spec, &mut finish));
    drop(spec);
    let (mut monitor, pid) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            let error = finish.failed(error);
            // Let go before the client hears of it: it may start the container again at once.
            drop(lock);
            let reply = Reply::Failed { code: error.exit_code(), message: &error.to_string() };
            // A client that is gone needs no answer.
            let _ = reply.send(client.as_fd(), SendFlags::empty());
            return error.exit_code();
        }
    };
    let reply = Reply::Started { pid: pid.as_raw_nonzero().get(), start_time: monitor.start_time };
    if reply.send(client.as_fd(), SendFlags::empty()).is_ok() {
        monitor.clients.push(Client { socket: client, output: attached, waiting: false });
    }
    let code = monitor.watch(pid);
    let rest = monitor.drain();
    finish.ended(&monitor, code);
    drop(lock);
    for (stream, data) in rest {
        monitor.deliver(stream, &data);
    }
    monitor.say_goodbye(code);
    code
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
    // Blocked, never read: a stray SIGTERM to everything must not end the one who cleans up.
    let all = (1..=64).filter_map(sys::signal::Signal::from_number);
    sys::signal::block(all).context(|| "block signals")
}

/// Makes the program's streams and begins it.
fn begin(spec: &Spec, finish: &mut Finish<'_>) -> Result<(Monitor, Pid)> {
    let record = finish.record;
    let files = Files::new(finish.roots, &record.id);
    let log = match record.log_disabled {
        true => None,
        false => Some(logs::Writer::open(&files.log(), record.log_max_size, record.log_max_file)?),
    };
    let listener = protocol::serve(&files.run)?;
    let streams = Streams::new(record)?;
    let surroundings = &mut *finish.surroundings;
    let running = runtime::start(spec, streams.theirs, &mut |pid| surroundings.set_up(pid))?;
    let state = State {
        pid: running.pid.as_raw_nonzero().get(),
        start_time: sys::process::start_time(running.pid).unwrap_or(0),
        boot_id: sys::process::boot_id(),
        started: Instant::now().0,
        cgroups: running.cgroup.paths(),
    };
    finish.started = state.started;
    if let Err(error) = state::write(finish.roots, &record.id, &state) {
        // Nobody could find it: better none than a lost one.
        sys::process::kill_group(running.pid, sys::signal::Signal::KILL);
        let _ = waitpid(Some(running.pid), WaitOptions::empty());
        return Err(error);
    }
    let mut outputs = streams.outputs;
    let mut stdin = streams.stdin;
    if let Some(console) = running.console {
        rustix::io::ioctl_fionbio(&console, true).context(|| "make the console non-blocking")?;
        if record.interactive {
            stdin = Some(console.try_clone().context(|| "duplicate the console")?);
        }
        outputs.push((Stream::Stdout, console));
    }
    let monitor = Monitor {
        pidfd: running.pidfd,
        listener,
        outputs,
        stdin,
        terminal: record.tty,
        clients: Vec::new(),
        chunk: Vec::new(),
        chunk_stream: Stream::Stdout,
        typed: Vec::new(),
        log,
        cgroups: state.cgroups,
        start_time: state.start_time,
    };
    Ok((monitor, running.pid))
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

/// What is to be done at the end, whatever that is.
struct Finish<'a> {
    roots: &'a Roots,
    record: &'a Record,
    surroundings: &'a mut dyn Surroundings,
    started: i64,
}

impl Finish<'_> {
    /// The container could not begin. Gives the error back, with what went wrong on top of it.
    fn failed(&mut self, error: Error) -> Error {
        let mut outcome = Outcome {
            started: self.started,
            finished: Instant::now().0,
            exit_code: error.exit_code(),
            error: error.to_string(),
            oom_killed: false,
        };
        if self.started == 0 {
            outcome.finished = 0;
        }
        match self.leave(&outcome) {
            Ok(()) => error,
            Err(leftover) => {
                Error::new(format!("{error}; {leftover}")).exit_with(error.exit_code())
            }
        }
    }

    fn ended(&mut self, monitor: &Monitor, code: u8) {
        let outcome = Outcome {
            started: self.started,
            finished: Instant::now().0,
            exit_code: code,
            oom_killed: cgroup::oom_killed(&monitor.cgroups),
            error: String::new(),
        };
        // What can't be removed now is removed by the next command that looks: the lock is let go
        // of, so that it will find it.
        let _ = cgroup::remove(&monitor.cgroups);
        let _ = self.leave(&outcome);
    }

    fn leave(&mut self, outcome: &Outcome) -> Result<()> {
        let taken_down = self.surroundings.take_down();
        if self.record.remove {
            remove_anonymous_volumes(self.roots, self.record);
            state::erase(self.roots, &self.record.id, &self.record.name)?;
            return taken_down;
        }
        outcome.write(self.roots, self.record)?;
        store::remove_tree(&Files::new(self.roots, &self.record.id).run)?;
        taken_down
    }
}

/// `--rm` removes the volumes that have no name, as Docker does.
pub fn remove_anonymous_volumes(roots: &Roots, record: &Record) {
    for volume in record.mounts.iter().filter(|mount| mount.anonymous) {
        if let Some(name) = &volume.volume {
            // Left behind, it shows in `volume ls` and goes by `volume prune`.
            let _ = store::remove_tree(&roots.volumes().join(name));
        }
    }
}

struct Client {
    socket: OwnedFd,
    /// Wants what the program writes.
    output: bool,
    /// Has not taken the present chunk yet.
    waiting: bool,
}

struct Monitor {
    pidfd: OwnedFd,
    listener: OwnedFd,
    outputs: Vec<(Stream, OwnedFd)>,
    /// The program's standard input, as long as it is open.
    stdin: Option<OwnedFd>,
    terminal: bool,
    clients: Vec<Client>,
    /// Read from the program, logged, and not yet taken by every client.
    chunk: Vec<u8>,
    chunk_stream: Stream,
    /// Received from a client and not yet taken by the program.
    typed: Vec<u8>,
    /// `None` with `--log-driver none`.
    log: Option<logs::Writer>,
    cgroups: Vec<String>,
    start_time: u64,
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
    /// Until the program has ended; gives its exit status.
    fn watch(&mut self, pid: Pid) -> u8 {
        let mut buffer = Vec::new();
        loop {
            let ready = match self.ready(Some(SHORT_SLEEP)) {
                Some(ready) => ready,
                None => {
                    // For long now it costs next to nothing: no buffers, and of the program itself
                    // only what the sleep needs (of 1.1 MB, 0.2 are left).
                    buffer = Vec::new();
                    self.chunk.shrink_to_fit();
                    self.typed.shrink_to_fit();
                    sys::memory::release_program();
                    let Some(ready) = self.ready(None) else { continue };
                    ready
                }
            };
            if buffer.is_empty() {
                buffer = vec![0; MAX_PACKET];
            }
            if ready.stdin {
                self.pass_on_typed();
            }
            // From the back, so that removing one leaves the others' places alone.
            for &at in ready.clients.iter().rev() {
                self.serve_client(at, &mut buffer);
            }
            for at in (0..self.outputs.len()).rev() {
                if ready.outputs[at] && self.is_delivered() {
                    self.read_output(at, &mut buffer);
                }
            }
            if ready.connection {
                self.accept();
            }
            if ready.ended
                && let Ok(Some((_, status))) = waitpid(Some(pid), WaitOptions::NOHANG)
            {
                return runtime::exit_code(status);
            }
        }
    }

    fn is_delivered(&self) -> bool {
        self.clients.iter().all(|client| !client.waiting)
    }

    /// Waits for something to do; `None` if nothing is within the time.
    fn ready(&self, timeout: Option<Timespec>) -> Option<Ready> {
        let mut fds = Vec::with_capacity(5 + self.clients.len());
        fds.push(PollFd::new(&self.pidfd, PollFlags::IN));
        let listening =
            if self.clients.len() < MAX_CLIENTS { PollFlags::IN } else { PollFlags::empty() };
        fds.push(PollFd::new(&self.listener, listening));
        let outputs_at = fds.len();
        if self.is_delivered() {
            fds.extend(self.outputs.iter().map(|(_, fd)| PollFd::new(fd, PollFlags::IN)));
        }
        let stdin_at = fds.len();
        if let Some(stdin) = self.stdin.as_ref().filter(|_| !self.typed.is_empty()) {
            fds.push(PollFd::new(stdin, PollFlags::OUT));
        }
        let clients_at = fds.len();
        let mut polled = Vec::with_capacity(self.clients.len());
        for (at, client) in self.clients.iter().enumerate() {
            let mut events = PollFlags::empty();
            // What a client types while the program isn't reading stays in the client's socket.
            if self.typed.is_empty() {
                events |= PollFlags::IN;
            }
            if client.waiting {
                events |= PollFlags::OUT;
            }
            // One of whom nothing is wanted is left out: poll would tell at once, and again and
            // again, that it has hung up.
            if !events.is_empty() {
                polled.push(at);
                fds.push(PollFd::new(&client.socket, events));
            }
        }
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
        let is_ready = |at: usize| !fds[at].revents().is_empty();
        let mut ready = Ready { ended: is_ready(0), connection: is_ready(1), ..Ready::default() };
        for at in outputs_at..stdin_at {
            ready.outputs[at - outputs_at] = is_ready(at);
        }
        ready.stdin = (stdin_at..clients_at).any(is_ready);
        let clients = polled.into_iter().enumerate();
        ready.clients =
            clients.filter(|(at, _)| is_ready(clients_at + at)).map(|(_, client)| client).collect();
        Some(ready)
    }

    fn accept(&mut self) {
        let accepted = accept_with(&self.listener, SocketFlags::CLOEXEC);
        if let Ok(socket) = accepted
            && self.clients.len() < MAX_CLIENTS
        {
            // It says what it wants in its first message.
            self.clients.push(Client { socket, output: false, waiting: false });
        }
    }

    fn read_output(&mut self, at: usize, buffer: &mut [u8]) {
        let (stream, fd) = &self.outputs[at];
        match rustix::io::read(fd, &mut buffer[..MAX_DATA]) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            // EIO: the last process let go of the terminal.
            Ok(0) | Err(_) => drop(self.outputs.remove(at)),
            Ok(length) => {
                let stream = *stream;
                self.keep(stream, &buffer[..length]);
                self.offer(stream, &buffer[..length]);
            }
        }
    }

    fn keep(&mut self, stream: Stream, data: &[u8]) {
        if let Some(log) = &mut self.log {
            // A full disk costs log lines, not the container.
            let _ = log.append(stream, data);
        }
    }

    /// Sends a chunk to every client that wants it; keeps it for those whose socket is full.
    fn offer(&mut self, stream: Stream, data: &[u8]) {
        self.chunk.clear();
        self.chunk_stream = stream;
        self.clients.retain_mut(|client| {
            if !client.output {
                return true;
            }
            match reply(stream, data).send(client.socket.as_fd(), SendFlags::DONTWAIT) {
                Ok(()) => true,
                Err(Errno::AGAIN) => {
                    client.waiting = true;
                    true
                }
                Err(_) => false,
            }
        });
        if !self.is_delivered() {
            self.chunk.extend_from_slice(data);
        }
    }

    fn serve_client(&mut self, at: usize, buffer: &mut [u8]) {
        let client = &mut self.clients[at];
        if client.waiting {
            let chunk = reply(self.chunk_stream, &self.chunk);
            match chunk.send(client.socket.as_fd(), SendFlags::DONTWAIT) {
                Ok(()) => client.waiting = false,
                Err(Errno::AGAIN) => {}
                Err(_) => {
                    self.clients.remove(at);
                    return;
                }
            }
        }
        if !self.typed.is_empty() {
            // Its socket may only have been reported for having hung up.
            return;
        }
        let client = &mut self.clients[at];
        let length = match protocol::receive(client.socket.as_fd(), buffer, RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN) => return,
            Ok(0) | Err(_) => {
                // It hung up, or died: the container lives on.
                self.clients.remove(at);
                return;
            }
            Ok(length) => length,
        };
        match Request::parse(&buffer[..length]) {
            Some(Request::Hello { output }) => client.output = output,
            Some(Request::Stdin(data)) => {
                self.typed.extend_from_slice(data);
                self.pass_on_typed();
            }
            Some(Request::StdinEnd) => {
                // A terminal's end of input is a key; closing it would hang the program up.
                if !self.terminal {
                    self.stdin = None;
                }
            }
            Some(Request::Resize { rows, columns }) => {
                if let Some((_, console)) = self.outputs.first().filter(|_| self.terminal) {
                    let size =
                        Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
                    // A terminal that is just going needs no size.
                    let _ = tcsetwinsize(console, size);
                }
            }
            None => drop(self.clients.remove(at)),
        }
    }

    fn pass_on_typed(&mut self) {
        let Some(stdin) = &self.stdin else { return self.typed.clear() };
        while !self.typed.is_empty() {
            match rustix::io::write(stdin, &self.typed) {
                Ok(length) => drop(self.typed.drain(..length)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // The program closed its input.
                Err(_) => {
                    self.typed.clear();
                    self.stdin = None;
                    return;
                }
            }
        }
    }

    /// After the program's end: what is still in its pipes. No more than they hold can come.
    fn drain(&mut self) -> Vec<(Stream, Vec<u8>)> {
        let mut rest = Vec::new();
        if !self.is_delivered() {
            // Those who took it already are marked so.
            rest.push((self.chunk_stream, std::mem::take(&mut self.chunk)));
        }
        let mut buffer = vec![0; MAX_DATA];
        for (stream, fd) in std::mem::take(&mut self.outputs) {
            while let Ok(length @ 1..) = rustix::io::read(&fd, &mut buffer) {
                self.keep(stream, &buffer[..length]);
                rest.push((stream, buffer[..length].to_vec()));
            }
        }
        rest
    }

    /// Sends a chunk to every client, waiting for each as long as it lives.
    fn deliver(&mut self, stream: Stream, data: &[u8]) {
        let resumed = !self.is_delivered();
        for client in &mut self.clients {
            client.waiting = client.output && (client.waiting || !resumed);
        }
        while self.clients.iter().any(|client| client.waiting) {
            self.clients.retain_mut(|client| {
                if !client.waiting {
                    return true;
                }
                match reply(stream, data).send(client.socket.as_fd(), SendFlags::DONTWAIT) {
                    Ok(()) => client.waiting = false,
                    Err(Errno::AGAIN) => {}
                    Err(_) => return false,
                }
                true
            });
            let waiting = self.clients.iter().filter(|client| client.waiting);
            let mut fds: Vec<_> =
                waiting.map(|client| PollFd::new(&client.socket, PollFlags::OUT)).collect();
            if !fds.is_empty() {
                // Interrupted or not: tried again above.
                let _ = poll(&mut fds, None);
            }
        }
    }

    fn say_goodbye(&mut self, code: u8) {
        // Connected after the last turn of the loop: waiting for this very word.
        while let Ok(socket) = accept_with(&self.listener, SocketFlags::CLOEXEC) {
            self.clients.push(Client { socket, output: false, waiting: false });
        }
        for client in &self.clients {
            // One that is gone needs no goodbye; one that is full has read too little to wait for.
            let _ = Reply::Exited { code }.send(client.socket.as_fd(), SendFlags::empty());
        }
    }
}

fn reply(stream: Stream, data: &[u8]) -> Reply<'_> {
    match stream {
        Stream::Stdout => Reply::Stdout(data),
        Stream::Stderr => Reply::Stderr(data),
    }
}

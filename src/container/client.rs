//! A client of a monitor, for `run` in the foreground, `start -a`, `attach` and the step of a
//! build.
//!
//! The client relays data between its standard streams and the monitor's socket, and reports the
//! size of its terminal to the monitor. Signals go directly to the program. The client's loop never
//! blocks on the socket, so client and monitor cannot wait for each other. The loop does block on
//! the client's own stdout, so a slow reader of that stdout can slow the program down (`clients`
//! says when).

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustix::stdio::{stderr, stdin, stdout};

use super::detach::Detector;
use super::protocol::{MAX_DATA, MAX_PACKET, Reply, Request};
use crate::error::{Context, Error, Result};
use crate::sys::process::Found;
use crate::sys::signal::Signal;
use crate::sys::{self, stdio};
use crate::tty;

/// The reason why the connection ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// The container, or the process of an `exec`, has ended with this exit status.
    Exited(u8),
    /// The user typed the detach keys, or a client without output has sent all its input.
    Detached,
    /// The reader of this process's stdout or stderr has closed its end.
    Unread,
    /// This process got a signal that it does not forward.
    Signalled(Signal),
    /// The monitor closed the connection without an exit status, or sent a message that the client
    /// does not expect.
    Lost,
}

/// A function that gets a program's output piece by piece.
pub type TakeOutput<'a> = &'a dyn Fn(&[u8]);

/// The options of a client: its streams, terminal, signals and detach keys.
pub struct Attach<'a> {
    /// Whether to send this process's stdin to the program.
    pub stdin: bool,
    /// Whether to print the program's stdout.
    pub stdout: bool,
    /// Whether to print the program's stderr.
    pub stderr: bool,
    /// Whether the program has a terminal.
    pub terminal: bool,
    /// Whether to make the program draw its screen again, for this terminal.
    pub redraw: bool,
    /// Whether to forward signals. Has no effect with a terminal, whose keys reach the program as
    /// bytes.
    pub sig_proxy: bool,
    pub detach_keys: &'a [u8],
    /// A function that gets the output, for the step of a build. If it is set, stdout and stderr
    /// get no output.
    pub output: Option<TakeOutput<'a>>,
}

/// Waits for the monitor's first message. Returns the program's PID and start time. If the
/// container could not start, fails with the monitor's message and exit status. Also fails if the
/// monitor died before the start or if the socket cannot be read.
pub fn await_start(socket: &OwnedFd) -> Result<(i32, u64)> {
    let mut buffer = [0; 4200];
    let length = sys::packet::receive(socket.as_fd(), &mut buffer, RecvFlags::empty())
        .context(|| "read from the monitor")?;
    match Reply::parse(&buffer[..length]) {
        Some(Reply::Started { pid, start_time }) => Ok((pid, start_time)),
        Some(Reply::Failed { code, message }) => Err(Error::new(message).exit_with(code)),
        _ => Err(Error::new("the monitor died before the container started")),
    }
}

/// Waits for the container's end and ignores its output. Returns `End::Lost` if the monitor closes
/// the connection. Fails if the monitor reports a failure or if the socket cannot be read.
pub fn await_end(socket: &OwnedFd) -> Result<End> {
    let mut buffer = [0; 4200];
    loop {
        let length = sys::packet::receive(socket.as_fd(), &mut buffer, RecvFlags::empty())
            .context(|| "read from the monitor")?;
        match Reply::parse(&buffer[..length]) {
            Some(Reply::Exited { code }) => return Ok(End::Exited(code)),
            Some(Reply::Failed { code, message }) => {
                return Err(Error::new(message).exit_with(code));
            }
            _ if length == 0 => return Ok(End::Lost),
            _ => {}
        }
    }
}

/// The signals that a client with a terminal reads: SIGWINCH, and the common signals that would end
/// the client while the terminal is raw.
pub fn signals_of_terminal() -> Vec<Signal> {
    let numbers =
        [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGWINCH].into_iter();
    numbers.filter_map(Signal::from_number).collect()
}

/// The signals that a client without a terminal forwards: all except those in `NEVER`.
fn forwarded_signals() -> Vec<Signal> {
    const NEVER: [i32; 11] = [
        libc::SIGKILL,
        libc::SIGSTOP,
        libc::SIGCHLD,
        libc::SIGPIPE,
        libc::SIGURG,
        libc::SIGXFSZ,
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGABRT,
    ];
    let numbers = (1..=64).filter(|number| !NEVER.contains(number));
    numbers.filter_map(Signal::from_number).collect()
}

/// Attaches this process to the container. Returns when the container ends, when the user detaches,
/// or for another reason in [`End`]. `program` is the process that gets forwarded signals, as PID
/// and start time.
pub fn attach(socket: &OwnedFd, program: Option<(i32, u64)>, options: &Attach<'_>) -> Result<End> {
    let taken = if options.terminal {
        signals_of_terminal()
    } else if options.sig_proxy {
        forwarded_signals()
    } else {
        Vec::new()
    };
    let signals = sys::signal::receive(taken).context(|| "receive signals")?;
    let raw = if options.terminal && options.stdin { tty::Raw::enter()? } else { None };
    let mut client = Client {
        socket,
        signals,
        program,
        options,
        detector: Detector::new(if options.terminal { options.detach_keys } else { &[] }),
        reading: options.stdin,
        typed: Vec::new(),
        end_typed: false,
        resized: options.terminal,
    };
    if options.redraw
        && let Some((rows, columns)) = tty::size()
    {
        // Send a wrong size first and then the right one. A change of the size causes a SIGWINCH,
        // so the program draws its screen again.
        let wrong = Request::Resize { rows: rows + 1, columns };
        wrong.send(socket.as_fd(), SendFlags::empty()).context(|| "send to the monitor")?;
    }
    let end = client.run();
    drop(raw);
    end
}

struct Client<'a> {
    socket: &'a OwnedFd,
    signals: OwnedFd,
    program: Option<(i32, u64)>,
    options: &'a Attach<'a>,
    detector: Detector,
    /// Whether stdin is still read.
    reading: bool,
    /// Bytes from stdin that are not sent yet.
    typed: Vec<u8>,
    /// Whether the end of the input must still be sent.
    end_typed: bool,
    /// Whether a new window size must still be sent.
    resized: bool,
}

impl Client<'_> {
    fn run(&mut self) -> Result<End> {
        let mut buffer = vec![0; MAX_PACKET];
        loop {
            self.send_pending()?;
            let sending = !self.typed.is_empty() || self.end_typed || self.resized;
            // A client without output has nothing left to do after the end of its input.
            let input_alone = !self.options.stdout && !self.options.stderr;
            if input_alone && !self.reading && !sending {
                return Ok(End::Detached);
            }
            let mut events = PollFlags::IN;
            if sending {
                events |= PollFlags::OUT;
            }
            let input = stdin();
            let mut fds =
                vec![PollFd::new(self.socket, events), PollFd::new(&self.signals, PollFlags::IN)];
            if self.reading && !sending {
                fds.push(PollFd::new(&input, PollFlags::IN));
            }
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).context(|| "wait for the container"),
            }
            let ready: Vec<PollFlags> = fds.iter().map(|fd| fd.revents()).collect();
            drop(fds);
            if !ready[1].is_empty()
                && let Some(end) = self.take_signals()?
            {
                return Ok(end);
            }
            if ready[0].intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR)
                && let Some(end) = self.take_reply(&mut buffer)?
            {
                return Ok(end);
            }
            if ready.get(2).is_some_and(|ready| !ready.is_empty())
                && self.take_input(&mut buffer)?
            {
                return Ok(End::Detached);
            }
        }
    }

    /// Sends the pending input and window size as far as the socket accepts them. Does not block.
    fn send_pending(&mut self) -> Result<()> {
        let flags = SendFlags::DONTWAIT;
        let send = |request: Request<'_>| match request.send(self.socket.as_fd(), flags) {
            Ok(()) => Ok(true),
            Err(Errno::AGAIN) => Ok(false),
            // The monitor has closed the connection, but its last messages can still be read.
            Err(Errno::PIPE | Errno::CONNRESET) => Ok(true),
            Err(error) => Err(error).context(|| "send to the monitor"),
        };
        if self.resized
            && let Some((rows, columns)) = tty::size()
            && !send(Request::Resize { rows, columns })?
        {
            return Ok(());
        }
        self.resized = false;
        if !self.typed.is_empty() && send(Request::Stdin(&self.typed))? {
            self.typed.clear();
        }
        if self.typed.is_empty() && self.end_typed && send(Request::StdinEnd)? {
            self.end_typed = false;
        }
        Ok(())
    }

    fn take_signals(&mut self) -> Result<Option<End>> {
        while let Some(signal) = sys::signal::next(self.signals.as_fd()) {
            if self.options.terminal {
                if signal == Signal::WINCH {
                    self.resized = true;
                    continue;
                }
                // The keys of a raw terminal do not arrive as signals, so this signal is for the
                // client itself.
                return Ok(Some(End::Signalled(signal)));
            }
            let Some((pid, start)) = self.program else { continue };
            let found = sys::process::find(pid, start);
            if let Found::Living(program) = found.context(|| format!("look for process {pid}"))? {
                // An error means that the program has ended.
                let _ = sys::process::send_signal(program.as_fd(), signal);
            }
        }
        Ok(None)
    }

    fn take_reply(&mut self, buffer: &mut [u8]) -> Result<Option<End>> {
        let received = sys::packet::receive(self.socket.as_fd(), buffer, RecvFlags::DONTWAIT);
        let length = match received {
            Err(Errno::AGAIN) => return Ok(None),
            Ok(0) => return Ok(Some(End::Lost)),
            result => result.context(|| "read from the monitor")?,
        };
        let written = match Reply::parse(&buffer[..length]) {
            Some(Reply::Stdout(data) | Reply::Stderr(data))
                if let Some(output) = self.options.output =>
            {
                output(data);
                Ok(())
            }
            Some(Reply::Stdout(_)) if !self.options.stdout => Ok(()),
            Some(Reply::Stderr(_)) if !self.options.stderr => Ok(()),
            Some(Reply::Stdout(data)) => stdio::write_all(stdout(), data),
            Some(Reply::Stderr(data)) => stdio::write_all(stderr(), data),
            Some(Reply::Exited { code }) => return Ok(Some(End::Exited(code))),
            Some(Reply::Started { pid, start_time }) => {
                self.program = Some((pid, start_time));
                Ok(())
            }
            Some(Reply::Failed { code, message }) => {
                return Err(Error::new(message).exit_with(code));
            }
            Some(Reply::Done) | None => return Ok(Some(End::Lost)),
        };
        match written {
            Ok(()) => Ok(None),
            Err(Errno::PIPE) => Ok(Some(End::Unread)),
            Err(error) => Err(error).context(|| "write the container's output"),
        }
    }

    /// Reads from stdin. Returns true if the user typed the detach keys.
    fn take_input(&mut self, buffer: &mut [u8]) -> Result<bool> {
        match rustix::io::read(stdin(), &mut buffer[..MAX_DATA]) {
            Err(Errno::INTR | Errno::AGAIN) => Ok(false),
            // EIO (read(2)): the terminal cannot be read any more, so the input has ended.
            Ok(0) | Err(Errno::IO) => {
                self.reading = false;
                self.end_typed = true;
                Ok(false)
            }
            Err(error) => Err(error).context(|| "read the standard input"),
            Ok(length) => Ok(self.detector.pass(&buffer[..length], &mut self.typed)),
        }
    }
}

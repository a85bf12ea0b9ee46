//! A build in a process of its own.
//!
//! The caller stays outside: it shows the messages that the build sends through a pipe, and takes signals.
//! SIGINT, SIGTERM and SIGHUP end a build at any point, also in the middle of a copy, a pull or a read from
//! stdin: the caller kills the build, whose child processes die with it, and then does what the next
//! build does after a kill. Layers that are whole come into the cache, everything else goes. From then on
//! a second signal ends the caller too. Kernel interfaces: signalfd(2), PR_SET_PDEATHSIG of prctl(2).

use std::cell::RefCell;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use miniserde::{Deserialize, Serialize, json};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::Options;
use super::report::{Message, Report, Show};
use crate::engine::Engine;
use crate::engine::child::{Background, fork_with};
use crate::error::{Context, Error, Result, fail};
use crate::sys::signal::{self, Signal};

/// The signals that end a build.
const ENDING: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];
/// How often the time that has passed is shown.
const TICK: Duration = Duration::from_millis(100);
/// The processes of a killed build die in this time; what one of them still holds the next build removes.
const DYING: Duration = Duration::from_secs(10);
/// What the process of a build or a stage may send before the end of a line or of its result.
const MAX_MESSAGE: usize = 64 << 20;

/// A process that sends messages, and its result after a zero byte and as one line.
pub struct Worker {
    process: Background,
    received: Vec<u8>,
}

/// The result of a build.
#[derive(Serialize, Deserialize)]
struct Ending {
    /// Empty if no image was kept.
    id: String,
    error: Option<String>,
}

/// Builds the image; returns its id. The error of a build that fails has the exit status 1, that of one
/// that a signal ended 128 and the signal's number.
pub fn build(engine: &Engine, options: &Options, show: &mut dyn Show) -> Result<String> {
    let signals = Signals::receive()?;
    let mut worker = Worker::start("the process of the build", &|report| {
        let (id, error) = match super::build_here(engine, options, report) {
            Ok(id) => (id, None),
            Err(error) => (String::new(), Some(error.to_string())),
        };
        json::to_string(&Ending { id, error })
    })?;
    let result = loop {
        let fds = [worker.reader(), signals.fd.as_fd()];
        let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let ready = wait(&mut fds, show.is_live().then_some(TICK))?;
        if let Some(signal) = signal::next(signals.fd.as_fd()) {
            drop(signals);
            worker.kill();
            show.end();
            engine.sweep_builds()?;
            let code = u8::try_from(128 + signal.number()).unwrap_or(u8::MAX);
            let error = Error::new(format!("the build was interrupted by {signal}"));
            return Err(error.exit_with(code));
        }
        show.tick();
        if ready && let Some(result) = worker.receive(&mut |message| show.message(message))? {
            break result;
        }
    };
    show.end();
    worker.wait()?;
    let Ok(Ending { id, error }) = json::from_str::<Ending>(&result) else {
        engine.sweep_builds()?;
        fail!("the process of the build was killed");
    };
    match error {
        None => Ok(id),
        Some(text) => Err(Error::new(text).exit_with(1)),
    }
}

/// The signals that end a build come from a descriptor until this is dropped.
struct Signals {
    fd: OwnedFd,
    taken: Vec<Signal>,
}

impl Signals {
    fn receive() -> Result<Signals> {
        // nohup(1) ignores SIGHUP; blocked, it would come nevertheless.
        let taken: Vec<Signal> =
            ENDING.into_iter().filter(|signal| !signal::is_ignored(*signal)).collect();
        let fd = signal::receive(taken.iter().copied()).context(|| "receive signals")?;
        Ok(Signals { fd, taken })
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        signal::unblock(self.taken.iter().copied());
    }
}

/// Waits until one of `fds` is ready, for at most `most`.
fn wait(fds: &mut [PollFd<'_>], most: Option<Duration>) -> Result<bool> {
    let most = most.map(|most| Timespec { tv_sec: 0, tv_nsec: most.subsec_nanos().into() });
    match poll(fds, most.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(!fds[0].revents().is_empty()),
        Err(error) => Err(error).context(|| "wait for the build"),
    }
}

impl Worker {
    /// Starts a process in which `work` reports and returns its result, one line.
    pub fn start(name: &'static str, work: &dyn Fn(&Report<'_>) -> String) -> Result<Worker> {
        let process = fork_with(name, &|pipe: &mut dyn Write| {
            let pipe = RefCell::new(pipe);
            // The parent kills this process if it can't read on.
            let send = |text: &str| drop(pipe.borrow_mut().write_all(text.as_bytes()));
            let result = work(&Report::new(&|message| send(&message.to_line())));
            send(&format!("\0{result}\n"));
        })?;
        Ok(Worker { process, received: Vec::new() })
    }

    /// Reads what came, and passes the messages on. Returns the result at the end; it is empty if the
    /// process was killed.
    pub fn receive(&mut self, pass: &mut dyn FnMut(Message<'_>)) -> Result<Option<String>> {
        let mut piece = vec![0; 64 << 10];
        let count = match self.process.read(&mut piece) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(None),
            count => count.context(|| "read from the process of a build")?,
        };
        self.received.extend_from_slice(&piece[..count]);
        if self.received.len() > MAX_MESSAGE {
            fail!("the process of a build sends more than {MAX_MESSAGE} bytes in one line");
        }
        let end = self.received.iter().position(|&byte| byte == 0);
        let messages = &self.received[..end.unwrap_or(self.received.len())];
        let whole = messages.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        let text = String::from_utf8_lossy(&messages[..whole]);
        text.lines().filter_map(Message::parse).for_each(&mut *pass);
        self.received.drain(..whole);
        if count > 0 && !(self.received.first() == Some(&0) && self.received.ends_with(b"\n")) {
            return Ok(None);
        }
        let result = String::from_utf8_lossy(&self.received);
        Ok(Some(result.trim_matches(['\0', '\n']).to_owned()))
    }

    /// Waits for the end of a process that sent its result.
    pub fn wait(self) -> Result<()> {
        self.process.wait()
    }

    /// What it sends can be read.
    pub fn reader(&self) -> BorrowedFd<'_> {
        self.process.reader()
    }

    /// Kills the process, and waits until its child processes have died too: they have the pipe.
    pub fn kill(mut self) {
        self.process.kill();
        let begun = Instant::now();
        let mut piece = vec![0; 64 << 10];
        while let Some(left) = DYING.checked_sub(begun.elapsed()) {
            let mut fds = [PollFd::from_borrowed_fd(self.process.reader(), PollFlags::IN)];
            let ready = wait(&mut fds, Some(left.min(TICK))).unwrap_or(false);
            // Only its end is of interest.
            if ready && matches!(self.process.read(&mut piece), Ok(0) | Err(_)) {
                break;
            }
        }
        // It is dead, and its status is known.
        let _ = self.process.wait();
    }
}

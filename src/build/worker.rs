//! Runs a build in a child process.
//!
//! The caller shows the messages that the build sends through a pipe, and receives signals. SIGINT,
//! SIGTERM and SIGHUP end a build at any point, even during a copy, a pull or a read from stdin,
//! unless the caller ignores the signal. The caller kills the build. The workers of the build
//! (`engine::child`) die with it (PR_SET_PDEATHSIG of prctl(2)), but the container of a RUN step
//! does not. Then the caller cleans up as the next build would: the container of a RUN step is
//! removed, complete layers go into the cache, and the other files of the build are removed. The
//! signals are unblocked before the clean-up, so a second signal ends the caller.

use std::cell::RefCell;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use miniserde::{Deserialize, Serialize, json};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::Options;
use super::report::{Message, Report, Show};
use crate::digest::ImageId;
use crate::engine::Engine;
use crate::engine::child::{Background, fork_with};
use crate::error::{Context, Error, Result, fail};
use crate::sys::signal::{self, Signal};

/// The signals that end a build.
const ENDING: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];
/// The interval at which the elapsed time is shown.
const TICK: Duration = Duration::from_millis(100);
/// The longest wait for the child processes of a killed build. If a child process lives longer, the
/// next build removes the files of the killed build.
const DYING: Duration = Duration::from_secs(10);
/// The most bytes that a line, or the result, of a build or a stage may have.
const MAX_MESSAGE: usize = 64 << 20;

/// A child process that sends messages, then a zero byte, and then its result as one line.
pub struct Worker {
    process: Background,
    received: Vec<u8>,
}

/// The result of a build.
#[derive(Serialize, Deserialize)]
struct Ending {
    /// The image's id; `None` if no output keeps the image, or if the build failed.
    id: Option<ImageId>,
    error: Option<String>,
}

/// Builds the image and returns its id, or `None` if no output keeps the image. The error that the
/// build itself reports has the exit status 1. If a signal to this process ended the build, the
/// exit status is 128 plus the signal's number.
pub fn build(engine: &Engine, options: &Options, show: &mut dyn Show) -> Result<Option<ImageId>> {
    let signals = Signals::receive()?;
    let mut worker = Worker::start("the process of the build", &|report| {
        let (id, error) = match super::build_here(engine, options, report) {
            Ok(id) => (id, None),
            Err(error) => (None, Some(error.to_string())),
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

/// While this value exists, the signals that end a build are blocked, and `fd` receives them.
struct Signals {
    fd: OwnedFd,
    taken: Vec<Signal>,
}

impl Signals {
    fn receive() -> Result<Signals> {
        // Under nohup(1) SIGHUP is ignored. A signalfd receives even ignored signals, so leave
        // ignored signals out.
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

/// Waits until one of `fds` is ready, but no longer than `most`, which is less than a second.
/// Reports whether the first of `fds` is ready.
fn wait(fds: &mut [PollFd<'_>], most: Option<Duration>) -> Result<bool> {
    let most = most.map(|most| Timespec { tv_sec: 0, tv_nsec: most.subsec_nanos().into() });
    match poll(fds, most.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(!fds[0].revents().is_empty()),
        Err(error) => Err(error).context(|| "wait for the build"),
    }
}

impl Worker {
    /// Starts a child process that runs `work`. `work` gets a report for its messages and returns
    /// its result as one line.
    pub fn start(name: &'static str, work: &dyn Fn(&Report<'_>) -> String) -> Result<Worker> {
        let process = fork_with(name, &|pipe: &mut dyn Write| {
            let pipe = RefCell::new(pipe);
            // If the write fails, the parent does not read the pipe any more, so ignore the error.
            let send = |text: &str| drop(pipe.borrow_mut().write_all(text.as_bytes()));
            let result = work(&Report::new(&|message| send(&message.to_line())));
            send(&format!("\0{result}\n"));
        })?;
        Ok(Worker { process, received: Vec::new() })
    }

    /// Reads the available data once and gives the messages to `pass`. Returns the result when it
    /// is complete, and `None` before. If the process was killed, the result is empty or cut off.
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

    /// Waits until the process has ended. Fails only if waitpid(2) fails.
    pub fn wait(self) -> Result<()> {
        self.process.wait()
    }

    /// The read end of the process's pipe, for poll(2).
    pub fn reader(&self) -> BorrowedFd<'_> {
        self.process.reader()
    }

    /// Kills the process and waits, at most for `DYING`, until the child processes that hold the
    /// pipe have died too. The monitor of a RUN step does not hold the pipe and still runs.
    pub fn kill(mut self) {
        self.process.kill();
        let started = Instant::now();
        let mut piece = vec![0; 64 << 10];
        while let Some(left) = DYING.checked_sub(started.elapsed()) {
            let mut fds = [PollFd::from_borrowed_fd(self.process.reader(), PollFlags::IN)];
            let ready = wait(&mut fds, Some(left.min(TICK))).unwrap_or(false);
            // Read until the end; the data itself is dropped.
            if ready && matches!(self.process.read(&mut piece), Ok(0) | Err(_)) {
                break;
            }
        }
        // The process was killed, so ignore its status.
        let _ = self.process.wait();
    }
}

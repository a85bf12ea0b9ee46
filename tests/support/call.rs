//! One call of a program: run to its end (`Done`), or still running (`Background`).
//!
//! Threads collect stdout and stderr, so that a full pipe does not block the program. A `Done`
//! checks the status and the output.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;

/// A call that has ended. If a test does not check its status, dropping the `Done` checks that the
/// call has succeeded.
pub struct Done {
    line: String,
    status: i32,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    is_checked: bool,
}

pub fn run(command: Command, input: Option<Vec<u8>>) -> Done {
    let mut background = Background::spawn(command);
    if let Some(input) = input {
        background.type_in(input);
    }
    background.close_stdin();
    background.wait()
}

impl Done {
    /// The call exited with `status`, or the signal `status` - 128 killed it.
    #[track_caller]
    pub fn exits(mut self, status: i32) -> Done {
        self.is_checked = true;
        assert!(self.status == status, "should exit with {status}: {}", self.transcript());
        self
    }

    /// All of stdout is `expected`.
    #[track_caller]
    pub fn stdout(mut self, expected: &str) -> Done {
        self.check();
        assert!(self.out() == expected, "should write {expected:?}: {}", self.transcript());
        self
    }

    /// All of stderr is `expected`.
    #[track_caller]
    pub fn stderr(mut self, expected: &str) -> Done {
        self.check();
        let stderr = String::from_utf8_lossy(&self.stderr);
        assert!(stderr == expected, "should complain {expected:?}: {}", self.transcript());
        self
    }

    /// stdout contains `part`.
    #[track_caller]
    pub fn stdout_has(mut self, part: &str) -> Done {
        assert_ne!(part, "", "each text contains this part");
        self.check();
        assert!(self.out().contains(part), "should write …{part:?}…: {}", self.transcript());
        self
    }

    #[track_caller]
    pub fn stdout_lacks(mut self, part: &str) -> Done {
        self.check();
        assert!(!self.out().contains(part), "should not write …{part:?}…: {}", self.transcript());
        self
    }

    /// stderr contains `part`.
    #[track_caller]
    pub fn stderr_has(mut self, part: &str) -> Done {
        assert_ne!(part, "", "each text contains this part");
        self.check();
        let stderr = String::from_utf8_lossy(&self.stderr);
        assert!(stderr.contains(part), "should complain …{part:?}…: {}", self.transcript());
        self
    }

    /// mydocker refused the call, with one line that contains `part`. The status is 1 or 125.
    #[track_caller]
    pub fn refused(mut self, part: &str) -> Done {
        self.is_checked = true;
        assert!(matches!(self.status, 1 | 125), "should be refused: {}", self.transcript());
        self.stdout("").complains(part)
    }

    /// stderr is one line that starts with mydocker's name and contains `part`.
    #[track_caller]
    pub fn complains(self, part: &str) -> Done {
        let stderr = String::from_utf8_lossy(&self.stderr).into_owned();
        assert!(stderr.starts_with("mydocker"), "not under our name: {}", self.transcript());
        assert!(stderr.lines().count() == 1, "should be one line: {}", self.transcript());
        self.stderr_has(part)
    }

    /// stdout without white space around it.
    #[track_caller]
    pub fn text(mut self) -> String {
        self.check();
        self.out().trim().to_owned()
    }

    /// All of stderr.
    #[track_caller]
    pub fn stderr_text(mut self) -> String {
        self.check();
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The bytes of stdout.
    #[track_caller]
    pub fn bytes(mut self) -> Vec<u8> {
        self.check();
        std::mem::take(&mut self.stdout)
    }

    /// The lines of `text`.
    #[track_caller]
    pub fn lines(self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    /// The exit status, for a test that checks it itself.
    pub fn status(mut self) -> i32 {
        self.is_checked = true;
        self.status
    }

    /// Whether the call exited with 0, for a test that continues in both cases.
    pub fn succeeded(&self) -> bool {
        self.status == 0
    }

    fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    #[track_caller]
    fn check(&mut self) {
        if !std::mem::replace(&mut self.is_checked, true) {
            assert!(self.status == 0, "should succeed: {}", self.transcript());
        }
    }

    /// The command line and its result, for error messages.
    pub fn transcript(&self) -> String {
        const MOST: usize = 4000;
        let mut story = format!("{}\n  status {}", self.line, self.status);
        for (name, bytes) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(MOST)]).into_owned();
            let _ = write!(story, "\n  {name} ({} bytes): {shown:?}", bytes.len());
        }
        story
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check();
        }
    }
}

/// A call that is still running, with its standard streams piped. Dropping this before the end
/// kills it.
pub struct Background {
    line: String,
    child: Child,
    chunks: Receiver<(usize, Vec<u8>)>,
    /// The bytes of stdout and stderr that were received from `chunks`.
    seen: [Vec<u8>; 2],
}

impl Background {
    pub fn spawn(mut command: Command) -> Background {
        let line = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, chunks) = channel();
        collect(child.stdout.take().unwrap(), 0, sender.clone());
        collect(child.stderr.take().unwrap(), 1, sender);
        Background { line, child, chunks, seen: [Vec::new(), Vec::new()] }
    }

    /// Writes to the call's stdin, without waiting until the call reads it. An `input` of more than
    /// 4096 bytes also closes stdin at its end.
    pub fn type_in(&mut self, input: impl Into<Vec<u8>>) {
        let mut stdin = self.child.stdin.take().unwrap();
        let input = input.into();
        if input.len() <= 4096 {
            // This fits into the pipe, so write at once and keep stdin open.
            let _ = stdin.write_all(&input);
            self.child.stdin = Some(stdin);
        } else {
            // Ignore an error: the program may not read all.
            std::thread::spawn(move || drop(stdin.write_all(&input)));
        }
    }

    pub fn close_stdin(&mut self) {
        self.child.stdin = None;
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until the call has written `part` to stdout.
    #[track_caller]
    pub fn expect(&mut self, part: &str) {
        self.expect_on(0, part);
    }

    /// Waits until the call has written `part` to stderr.
    #[track_caller]
    pub fn expect_error(&mut self, part: &str) {
        self.expect_on(1, part);
    }

    #[track_caller]
    fn expect_on(&mut self, stream: usize, part: &str) {
        let started = Instant::now();
        while !String::from_utf8_lossy(&self.seen[stream]).contains(part) {
            let left = PATIENCE.saturating_sub(started.elapsed());
            match self.chunks.recv_timeout(left) {
                Ok((stream, chunk)) => self.seen[stream].extend(chunk),
                Err(_) => panic!("never wrote {part:?}: {}\n{:?}", self.line, self.seen),
            }
        }
    }

    /// Waits for the end of the call.
    #[track_caller]
    pub fn wait(mut self) -> Done {
        let started = Instant::now();
        // The streams end when all processes of the call have closed them. If a process keeps a
        // stream open, `wait` fails after `PATIENCE`.
        loop {
            let left = PATIENCE.saturating_sub(started.elapsed());
            match self.chunks.recv_timeout(left) {
                Ok((stream, chunk)) => self.seen[stream].extend(chunk),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(_) => panic!("hangs: {}\n{:?}", self.line, self.seen),
            }
        }
        let status = self.child.wait().unwrap();
        let [stdout, stderr] = std::mem::take(&mut self.seen);
        Done {
            line: self.line.clone(),
            status: status.code().unwrap_or_else(|| 128 + status.signal().unwrap()),
            stdout,
            stderr,
            is_checked: false,
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Usually the call has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(mut from: impl Read + Send + 'static, stream: usize, to: Sender<(usize, Vec<u8>)>) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if to.send((stream, buffer[..length].to_vec())).is_err() {
                break;
            }
        }
    });
}

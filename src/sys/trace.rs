//! The log of `--debug` has a line for each traced step of a container's start and end: the call,
//! the process that made the call, the time since the log's start, and the result.
//!
//! The log goes to `DESCRIPTOR`, a close-on-exec duplicate of the command's stderr or of the OCI
//! runtime's log file. The monitor and init inherit the descriptor by fork, so they can log after
//! pivot_root. Without `--debug` a step costs one load of the static. A step is one write(2), so
//! that the lines of different processes do not mix. A process logs no step after it has installed
//! a seccomp filter, because a filter may refuse write(2).

use std::fmt::{Display, Write};
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU64, Ordering::Relaxed};

use rustix::time::{ClockId, clock_gettime};

/// The log's descriptor, or -1 if the log is off.
static DESCRIPTOR: AtomicI32 = AtomicI32::new(-1);
/// The log's start on the monotonic clock, in nanoseconds.
static START_NS: AtomicU64 = AtomicU64::new(0);
static PROCESS: AtomicU8 = AtomicU8::new(Process::Client as u8);
static FORM: AtomicU8 = AtomicU8::new(Form::Text as u8);

/// The three processes that start a container.
#[derive(Clone, Copy)]
pub enum Process {
    Client,
    Monitor,
    Init,
}

/// The names of the processes in the log, in the order of `Process`.
const NAMES: [&str; 3] = ["client", "monitor", "init"];

/// How a line of the log looks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Text,
    /// One JSON object per line.
    Json,
    /// A line of an OCI runtime's log, `time="…" level=debug msg="…"`.
    LogText,
    /// A line of an OCI runtime's log as a JSON object.
    LogJson,
}

/// A line of an OCI runtime's log, in the form that engines read. Every `form` other than `LogJson`
/// means `LogText`.
pub fn log_line(form: Form, level: &str, text: &str) -> String {
    let time = crate::time::Instant::now().to_rfc3339();
    let mut quoted = String::with_capacity(text.len() + 2);
    push_quoted(&mut quoted, text);
    if form == Form::LogJson {
        format!("{{\"level\":\"{level}\",\"msg\":{quoted},\"time\":\"{time}\"}}\n")
    } else {
        format!("time=\"{time}\" level={level} msg={quoted}\n")
    }
}

/// The number from which `start_on` first looks for a free descriptor. The caller of an OCI runtime
/// may pass descriptors with lower numbers to the program (`--preserve-fds`).
const LOWEST: i32 = 512;

/// Starts the log on stderr. Does nothing if the log is already on, or if stderr cannot be
/// duplicated.
pub fn start(form: Form) {
    start_on(rustix::stdio::stderr(), form);
}

/// As [`start`], on `file`.
pub fn start_on(file: BorrowedFd<'_>, form: Form) {
    if is_on() {
        return;
    }
    // If the limit on descriptors (RLIMIT_NOFILE) forbids `LOWEST`, a lower number is used.
    let copy = rustix::io::fcntl_dupfd_cloexec(file, LOWEST);
    // If both calls fail, there is no log: `file` is closed, or no descriptor is free.
    let Ok(copy) = copy.or_else(|_| rustix::io::fcntl_dupfd_cloexec(file, 3)) else { return };
    START_NS.store(now_ns(), Relaxed);
    FORM.store(form as u8, Relaxed);
    DESCRIPTOR.store(copy.into_raw_fd(), Relaxed);
}

/// Ends the log and closes its descriptor.
pub fn stop() {
    let number = DESCRIPTOR.swap(-1, Relaxed);
    if number >= 0 {
        // SAFETY: `start_on` moved the descriptor into the static, and `swap` has moved it out
        // again.
        drop(unsafe { OwnedFd::from_raw_fd(number) });
    }
}

/// Whether steps are logged.
pub fn is_on() -> bool {
    DESCRIPTOR.load(Relaxed) >= 0
}

/// Sets the process name in the log's following lines.
pub fn become_process(process: Process) {
    PROCESS.store(process as u8, Relaxed);
}

/// The log's descriptor, for callers that close all other descriptors; `None` if the log is off.
pub fn descriptor() -> Option<BorrowedFd<'static>> {
    let number = DESCRIPTOR.load(Relaxed);
    // SAFETY: no caller keeps the borrow until `stop`. A child may have closed all descriptors
    // (`close_all_but`). In that child a use of the number cannot break memory safety.
    (number >= 0).then(|| unsafe { BorrowedFd::borrow_raw(number) })
}

/// Logs a step that has no result, or whose result another step reports. `call` names the system
/// call, the netlink message or the tool, and `what` says what the call does.
pub fn step(call: &str, what: impl FnOnce() -> String) {
    if is_on() {
        write(call, &what(), Outcome::None);
    }
}

/// Logs a step with its result.
pub trait Traced: Sized {
    /// Logs this result and returns it. `call` and `what` are those of [`step`].
    fn traced(self, call: &str, what: impl FnOnce() -> String) -> Self;
}

impl<T, E: Display> Traced for Result<T, E> {
    fn traced(self, call: &str, what: impl FnOnce() -> String) -> Self {
        if is_on() {
            let error = self.as_ref().err().map(E::to_string);
            write(call, &what(), error.as_deref().map_or(Outcome::Ok, Outcome::Error));
        }
        self
    }
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The result of a step in the log.
enum Outcome<'a> {
    /// The step has no result.
    None,
    Ok,
    Error(&'a str),
}

#[cold]
fn write(call: &str, what: &str, outcome: Outcome<'_>) {
    let Some(descriptor) = descriptor() else { return };
    let process = NAMES[usize::from(PROCESS.load(Relaxed)) % NAMES.len()];
    let micros = now_ns().saturating_sub(START_NS.load(Relaxed)) / 1000;
    let (millis, micros) = (micros / 1000, micros % 1000);
    let result = match outcome {
        Outcome::None => None,
        Outcome::Ok => Some("ok"),
        // Remove std's suffix, such as " (os error 2)".
        Outcome::Error(error) => error.split(" (os error").next(),
    };
    let mut line = String::with_capacity(160);
    let form = FORM.load(Relaxed);
    let log_form = [Form::LogText, Form::LogJson].into_iter().find(|known| *known as u8 == form);
    // Writing to a String can't fail.
    let _ = if let Some(form) = log_form {
        let result = result.map(|result| format!(" = {result}")).unwrap_or_default();
        let text = format!("{process} {call} {what}{result} ({millis}.{micros:03} ms)");
        line = log_line(form, "debug", &text);
        Ok(())
    } else if form == Form::Json as u8 {
        let _ = write!(line, "{{\"ms\":{millis}.{micros:03},\"process\":\"{process}\",\"call\":");
        push_quoted(&mut line, call);
        line.push_str(",\"what\":");
        push_quoted(&mut line, what);
        line.push_str(",\"result\":");
        match result {
            Some(result) => push_quoted(&mut line, result),
            None => line.push_str("null"),
        }
        writeln!(line, "}}")
    } else {
        let _ = write!(line, "{millis:>4}.{micros:03} ms  {process:<7}  {call:<16} ");
        line.extend(what.chars().map(|letter| if letter.is_control() { ' ' } else { letter }));
        if let Some(result) = result {
            let _ = write!(line, " = {result}");
        }
        // If the client has set the terminal to raw mode, a line must end in a carriage return too.
        let is_terminal = rustix::termios::isatty(descriptor);
        line.write_str(if is_terminal { "\r\n" } else { "\n" })
    };
    // An error of the log must not stop the container.
    let _ = rustix::io::write(descriptor, line.as_bytes());
}

fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        // Writing to a String can't fail.
        let _ = match letter {
            '"' | '\\' => write!(out, "\\{letter}"),
            letter if letter.is_control() => write!(out, "\\u{:04x}", u32::from(letter)),
            letter => out.write_char(letter),
        };
    }
    out.push('"');
}

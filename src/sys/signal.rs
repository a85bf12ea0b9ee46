//! Signals: names and numbers (signal(7)), blocking, resetting, and reading from a descriptor
//! (signalfd(2)). A process that waits for signals reads them in its poll loop and not in handlers,
//! because code in a handler would run asynchronously. The numbers are those of Linux on x86_64 and
//! aarch64.

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use super::last_errno;

/// A signal's number, from 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signal(i32);

const LAST: i32 = linux_raw_sys::general::_NSIG as i32;

const NAMES: [(&str, i32); 33] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("IOT", libc::SIGIOT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("POLL", libc::SIGPOLL),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

impl Signal {
    /// The names of the signals, without SIG. Real-time signals have no name here.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// SIGKILL: ends a process, which cannot catch the signal.
    pub const KILL: Signal = Signal(libc::SIGKILL);
    /// SIGINT: the terminal sends this signal on Ctrl-C.
    pub const INT: Signal = Signal(libc::SIGINT);
    /// SIGQUIT: the terminal sends this signal on Ctrl-\.
    pub const QUIT: Signal = Signal(libc::SIGQUIT);
    /// SIGHUP: the terminal has hung up.
    pub const HUP: Signal = Signal(libc::SIGHUP);
    /// SIGTERM: asks a process to exit.
    pub const TERM: Signal = Signal(libc::SIGTERM);
    /// SIGCHLD: a child has stopped, continued or ended.
    pub const CHLD: Signal = Signal(libc::SIGCHLD);
    /// SIGXFSZ: a process has tried to extend a file beyond its limit (RLIMIT_FSIZE).
    pub const XFSZ: Signal = Signal(libc::SIGXFSZ);
    /// SIGCONT: continues a stopped process.
    pub const CONT: Signal = Signal(libc::SIGCONT);
    /// SIGSTOP: stops a process, which cannot catch the signal.
    pub const STOP: Signal = Signal(libc::SIGSTOP);
    /// SIGWINCH: the terminal's size has changed.
    pub const WINCH: Signal = Signal(libc::SIGWINCH);

    /// The signal with this number; `None` unless the number is from 1 to 64.
    pub fn from_number(number: i32) -> Option<Signal> {
        (1..=LAST).contains(&number).then_some(Signal(number))
    }

    /// Parses a name or number: `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`, `RTMAX-1`.
    pub fn parse(text: &str) -> Option<Signal> {
        if let Ok(number) = text.parse() {
            return Signal::from_number(number);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Some(Signal(*number));
        }
        // As in Docker, RTMIN is 34: glibc reserves 32 and 33 for itself.
        let real_time = |base: i32, rest: &str| match rest {
            "" => Some(base),
            rest => Some(base + rest.parse::<i32>().ok()?),
        };
        let number = match name.split_at_checked(5)? {
            ("RTMIN", rest) if !rest.starts_with('-') => real_time(34, rest)?,
            ("RTMAX", rest) if !rest.starts_with('+') => real_time(LAST, rest)?,
            _ => return None,
        };
        (34..=LAST).contains(&number).then_some(Signal(number))
    }

    /// The signal's number, from 1 to 64.
    pub fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Blocks `signals` in this thread (sigprocmask(2)).
pub fn block(signals: impl IntoIterator<Item = Signal>) -> Result<(), Errno> {
    block_set(&set_of(signals))
}

/// Blocks `signals` in this thread and returns a non-blocking descriptor that receives them
/// (signalfd(2)). Read the descriptor with [`next`].
pub fn receive(signals: impl IntoIterator<Item = Signal>) -> Result<OwnedFd, Errno> {
    let set = set_of(signals);
    block_set(&set)?;
    // SAFETY: with -1 signalfd(2) returns a new descriptor, and no other value owns it.
    unsafe {
        match libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(last_errno()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

fn set_of(signals: impl IntoIterator<Item = Signal>) -> libc::sigset_t {
    // SAFETY: sigset_t holds integers only, and sigemptyset makes it valid. Numbers are in 1..=64.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, signal.0);
        }
        set
    }
}

fn block_set(set: &libc::sigset_t) -> Result<(), Errno> {
    // SAFETY: `set` is initialised. A null pointer means that the old mask is not returned.
    match unsafe { libc::sigprocmask(libc::SIG_BLOCK, set, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// Reads the next pending signal from a descriptor of [`receive`]; `None` if no signal is pending
/// or the read fails.
pub fn next(signalfd: BorrowedFd<'_>) -> Option<Signal> {
    // SAFETY: signalfd_siginfo holds integers only, for which zeroes are valid.
    let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
    let size = std::mem::size_of::<libc::signalfd_siginfo>();
    // SAFETY: the buffer has `size` bytes, and any bytes are a valid signalfd_siginfo.
    let read = unsafe { libc::read(signalfd.as_raw_fd(), (&raw mut info).cast(), size) };
    (read == size as isize).then(|| Signal::from_number(info.ssi_signo as i32)).flatten()
}

/// Sets the default action for `signal` and unblocks it.
pub fn reset(signal: Signal) {
    set_default(signal.0);
    unblock([signal]);
}

/// Unblocks `signals` in this thread.
pub fn unblock(signals: impl IntoIterator<Item = Signal>) {
    let set = set_of(signals);
    // SAFETY: `set` is initialised. A null pointer means that the old mask is not returned.
    unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) };
}

/// Ignores `signal` in this process and in its later children.
pub fn ignore(signal: Signal) {
    set_action(signal.0, libc::SIG_IGN);
}

/// Whether this process ignores `signal`.
#[cfg(feature = "build")]
pub fn is_ignored(signal: Signal) -> bool {
    let (mut old, mask_size) = ([0u64; 4], size_of::<u64>());
    let none = std::ptr::null::<u64>();
    // SAFETY: the kernel writes one struct sigaction, which is not larger than `old`.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal.0, none, old.as_mut_ptr(), mask_size) };
    old[0] == libc::SIG_IGN as u64
}

fn set_default(number: i32) {
    set_action(number, libc::SIG_DFL);
}

/// Sets the action of a signal; `handler` is SIG_DFL or SIG_IGN.
fn set_action(number: i32, handler: libc::sighandler_t) {
    // The kernel's struct sigaction: handler, flags, restorer and mask.
    let action = [handler as u64, 0, 0, 0];
    let (old, mask_size) = (std::ptr::null_mut::<u64>(), size_of::<u64>());
    // SAFETY: the kernel reads one struct sigaction from `action`. The kernel refuses SIGKILL and
    // SIGSTOP, whose action is always the default. The raw system call is needed because libc's
    // sigaction also refuses the signals that libc uses itself.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, number, &raw const action, old, mask_size) };
}

/// Sets the default action for every signal and unblocks all signals, as a program expects at its
/// start. The program that started mydocker may have ignored signals: nohup ignores SIGHUP, and
/// musl's posix_spawn can leave 32 to 34 ignored. Rust's start-up code ignores SIGPIPE.
pub fn reset_all() {
    (1..=LAST).for_each(set_default);
    // SAFETY: sigemptyset initialises the set before the kernel reads it.
    unsafe {
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_names_and_numbers() {
        for text in ["TERM", "SIGTERM", "sigterm", "15"] {
            assert_eq!(Signal::parse(text), Some(Signal::TERM), "{text}");
        }
        assert_eq!(Signal::parse("RTMIN+3"), Signal::from_number(37));
        assert_eq!(Signal::parse("SIGRTMAX-1"), Signal::from_number(63));
        for bad in ["", "0", "65", "-9", "FOO", "RTMIN+31", "SIG", "RTMAX+1"] {
            assert_eq!(Signal::parse(bad), None, "{bad}");
        }
    }
}

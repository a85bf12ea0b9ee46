//! Other processes, by descriptor: the kernel may reuse a PID for another process, but a pidfd
//! (pidfd_open(2)) always means the same one. The start time (proc_pid_stat(5), field 22) shows
//! whether a recorded PID still means the same process.
//!
//! A process is a group of threads. It has ended when all of them have, which its pidfd reports by
//! being readable. The state in /proc/PID/stat is the main thread's alone: a program whose main
//! thread has ended (pthread_exit(3)) is a zombie there and runs on.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::last_errno;
use super::signal::Signal;

/// The present state of a process that was recorded by PID and start time.
pub enum Found {
    /// It runs. The descriptor always means this process.
    Living(OwnedFd),
    /// It has ended, and its parent has not waited for it yet.
    Ended,
    /// No process has the PID.
    Missing,
    /// Another process has the PID.
    Replaced,
}

impl Found {
    /// The process if it runs, for callers that treat the other three states alike.
    pub fn living(self) -> Option<OwnedFd> {
        match self {
            Found::Living(pidfd) => Some(pidfd),
            Found::Ended | Found::Missing | Found::Replaced => None,
        }
    }
}

/// Looks for the process `pid` that started at `start`. An error means that the state could not be
/// determined (no descriptor is left, for example), never that the process is gone.
pub fn find(pid: i32, start: u64) -> Result<Found, Errno> {
    // `from_raw` must not see a negative number.
    let Some(pid) = Some(pid).filter(|pid| *pid > 0).and_then(Pid::from_raw) else {
        return Ok(Found::Missing);
    };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(Found::Missing),
        // The PID is now a thread ID of another process: EINVAL, or ENOENT since Linux 6.14.
        Err(Errno::INVAL | Errno::NOENT) => return Ok(Found::Replaced),
        result => result?,
    };
    // Read while the descriptor is held: from here on the PID can't pass to another process.
    match (start_time(pid)?, has_ended(pidfd.as_fd())?) {
        (Some(found), _) if found != start => Ok(Found::Replaced),
        (Some(_), false) => Ok(Found::Living(pidfd)),
        (Some(_), true) => Ok(Found::Ended),
        (None, true) => Ok(Found::Missing),
        // It lives, but /proc doesn't show it.
        (None, false) => Err(Errno::NOSYS),
    }
}

/// When a process started, in clock ticks since boot; `None` if /proc shows no such process.
pub fn start_time(pid: Pid) -> Result<Option<u64>, Errno> {
    Ok(stat_fields(pid, [22])?.map(|[start]| start))
}

/// This process's PID in the PID namespace of the /proc that it sees: the host's PID, also for a
/// container's first process while it still sees the host's /proc.
pub fn own_pid_in_proc() -> Result<i32, Errno> {
    let link = rustix::fs::readlink("/proc/self", Vec::new())?;
    link.to_str().ok().and_then(|pid| pid.parse().ok()).ok_or(Errno::NOSYS)
}

/// A process's parent; `None` if there is none or /proc shows no such process.
pub fn parent(pid: Pid) -> Option<Pid> {
    Pid::from_raw(parent_and_session(pid)?.0)
}

/// A process's parent and its session (setsid(2)); `None` if /proc shows no such process.
pub fn parent_and_session(pid: Pid) -> Option<(i32, i32)> {
    let [parent, session] = stat_fields(pid, [4, 6]).ok()??.map(i32::try_from);
    Some((parent.ok()?, session.ok()?))
}

/// Numbers of /proc/PID/stat, by their fields as proc_pid_stat(5) counts them, from the third on.
fn stat_fields<const N: usize>(pid: Pid, fields: [usize; N]) -> Result<Option<[u64; N]>, Errno> {
    let stat = match fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())) {
        Ok(stat) => stat,
        Err(error) => {
            return match Errno::from_io_error(&error) {
                Some(Errno::NOENT | Errno::SRCH) => Ok(None),
                error => Err(error.unwrap_or(Errno::IO)),
            };
        }
    };
    // The command's name, field 2, may contain anything; it ends at the last parenthesis.
    let after_name = stat.iter().rposition(|&byte| byte == b')').map_or(&[][..], |at| &stat[at..]);
    let text = std::str::from_utf8(after_name).map_err(|_| Errno::IO)?;
    let mut numbers = [0; N];
    for (number, field) in numbers.iter_mut().zip(fields) {
        let found = text.split(' ').nth(field - 2).and_then(|word| word.trim_end().parse().ok());
        *number = found.ok_or(Errno::IO)?;
    }
    Ok(Some(numbers))
}

/// Whether all threads of the process have ended.
pub fn has_ended(pidfd: BorrowedFd<'_>) -> Result<bool, Errno> {
    ends_by(pidfd, Some(Instant::now()))
}

/// Waits until all threads of the process have ended. Returns false if they have not at `deadline`;
/// `None` waits without limit.
pub fn ends_by(pidfd: BorrowedFd<'_>, deadline: Option<Instant>) -> Result<bool, Errno> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // More seconds than the kernel can count are no deadline.
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], left.as_ref()) {
            Err(Errno::INTR) => {}
            result => return result.map(|ready| ready > 0),
        }
    }
}

/// Opens `name`, such as `root` or `ns/net`, in /proc's directory of process `pid`. A
/// thread that has ended has no root and no namespaces; if the main thread has, those of
/// another thread are opened. The caller must check afterwards that the PID still means that process.
pub fn open_in_proc(pid: i32, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let open = |directory: &Path| openat(CWD, directory.join(name), flags, Mode::empty());
    let process = PathBuf::from(format!("/proc/{pid}"));
    match open(&process) {
        Err(Errno::NOENT) => {}
        result => return result,
    }
    let threads = fs::read_dir(process.join("task")).into_iter().flatten().flatten();
    threads.map(|thread| open(&thread.path())).find(Result::is_ok).unwrap_or(Err(Errno::NOENT))
}

/// pidfd_send_signal(2), for any signal number.
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: Signal) -> Result<(), Errno> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo asks the kernel to fill it as kill(2) does.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal.number(), no_info, 0)
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Whether process `pid` has a file open whose path ends in `path`, removed or not.
pub fn holds_file(pid: Pid, path: &str) -> bool {
    let open = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()));
    open.into_iter().flatten().flatten().any(|file| {
        // The kernel adds this to the path of a removed file (proc_pid_fd(5)).
        let target = fs::read_link(file.path()).unwrap_or_default();
        let target = target.to_string_lossy();
        target.strip_suffix(" (deleted)").unwrap_or(&target).ends_with(path)
    })
}

/// All processes.
pub fn all() -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(Pid::from_raw).collect()
}

/// All processes that lead a session (setsid(2)).
pub fn session_leaders() -> Vec<Pid> {
    let leads = |pid: &Pid| {
        parent_and_session(*pid).is_some_and(|(_, session)| session == pid.as_raw_nonzero().get())
    };
    all().into_iter().filter(leads).collect()
}

/// kill(2) of a child's process group, or of the child itself while it has no group yet. Succeeds if the
/// child is already gone.
pub fn kill_group(child: Pid, signal: Signal) {
    let pid = child.as_raw_nonzero().get();
    // SAFETY: kill takes any numbers.
    unsafe {
        if libc::kill(-pid, signal.number()) != 0 {
            libc::kill(pid, signal.number());
        }
    }
}

/// The id of the host's boot: random text that differs each time (random(4)).
pub fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn id(child: &Child) -> Pid {
        Pid::from_child(child)
    }

    fn started(pid: Pid) -> u64 {
        start_time(pid).unwrap().unwrap()
    }

    fn look(pid: Pid, start: u64) -> Found {
        find(pid.as_raw_nonzero().get(), start).unwrap()
    }

    #[test]
    fn a_process_is_known_by_its_start_time() {
        let own = rustix::process::getpid();
        assert!(matches!(look(own, started(own)), Found::Living(_)));
        assert!(matches!(look(own, started(own) + 1), Found::Replaced));
        assert!(matches!(find(0, 0).unwrap(), Found::Missing));
        assert!(matches!(find(-1, 0).unwrap(), Found::Missing));
    }

    #[test]
    fn a_process_that_has_ended_is_not_living() {
        let mut child = Command::new("/bin/true").spawn().unwrap();
        let pid = id(&child);
        let start = started(pid);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        assert_eq!(ends_by(pidfd.as_fd(), None), Ok(true));
        assert!(matches!(look(pid, start), Found::Ended));
        child.wait().unwrap();
        assert!(matches!(look(pid, start), Found::Missing | Found::Replaced));
    }

    #[test]
    fn a_threads_number_is_another_process() {
        let start = started(rustix::process::getpid());
        let found = std::thread::spawn(move || look(rustix::thread::gettid(), start)).join();
        assert!(matches!(found.unwrap(), Found::Replaced));
    }

    /// The kernel takes the name from the path, and shows it as it is.
    #[test]
    fn a_name_with_a_parenthesis_hides_no_field() {
        let dir = std::env::temp_dir().join(format!("process-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let program = dir.join("x) S 1 2 3");
        std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
        let mut child = Command::new(&program).arg("1000").spawn().unwrap();
        let seen = parent(id(&child));
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_dir_all(dir).unwrap();
        assert_eq!(seen, Some(rustix::process::getpid()));
    }
}

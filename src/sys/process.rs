//! Functions on processes. The kernel may reuse a PID for another process, but a pidfd
//! (pidfd_open(2)) always refers to the same process. The start time (proc_pid_stat(5), field 22)
//! shows whether a recorded PID still belongs to the recorded process.
//!
//! A process has ended when all its threads have ended; its pidfd is readable from then on. The
//! state in /proc/PID/stat is the main thread's. If only the main thread has ended
//! (pthread_exit(3)), /proc shows a zombie although the process still runs.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::last_errno;
use super::procfs::read_record;
use super::signal::Signal;
use crate::error::Context;

/// The present state of a process that was recorded by PID and start time.
pub enum Found {
    /// The process runs. The pidfd refers to the process.
    Living(OwnedFd),
    /// The process has ended, but /proc still showed the process (a zombie).
    Ended,
    /// No process has the PID.
    Missing,
    /// Another process, or a thread of another process, has the PID.
    Replaced,
}

impl Found {
    /// The pidfd if the process runs, for callers that handle the other three states alike.
    pub fn living(self) -> Option<OwnedFd> {
        match self {
            Found::Living(pidfd) => Some(pidfd),
            Found::Ended | Found::Missing | Found::Replaced => None,
        }
    }
}

/// Finds the state of the process with PID `pid` that started at `start` (see [`start_time`]). An
/// error means that the state could not be determined, for example because of EMFILE. An error
/// never means that the process is gone.
pub fn find(pid: i32, start: u64) -> Result<Found, Errno> {
    // In a debug build `from_raw` panics on a negative number.
    let Some(pid) = Some(pid).filter(|pid| *pid > 0).and_then(Pid::from_raw) else {
        return Ok(Found::Missing);
    };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(Found::Missing),
        // The PID is now a thread ID of another process: EINVAL, or ENOENT in newer kernels.
        Err(Errno::INVAL | Errno::NOENT) => return Ok(Found::Replaced),
        result => result?,
    };
    // Read /proc first, then check the pidfd: a process keeps its PID as long as it runs. If the
    // pidfd's process still runs, /proc has shown this process.
    match (start_time(pid)?, has_ended(pidfd.as_fd())?) {
        (Some(found), _) if found != start => Ok(Found::Replaced),
        (Some(_), false) => Ok(Found::Living(pidfd)),
        (Some(_), true) => Ok(Found::Ended),
        (None, true) => Ok(Found::Missing),
        // The process runs, but /proc does not show it.
        (None, false) => Err(Errno::NOSYS),
    }
}

/// The start time of a process, in clock ticks since the boot (proc_pid_stat(5), field 22); `None`
/// if /proc shows no such process.
pub fn start_time(pid: Pid) -> Result<Option<u64>, Errno> {
    Ok(stat_fields(pid, [22])?.map(|[start]| start))
}

/// The PID of this process in the PID namespace of the mounted /proc. For a container's first
/// process this is the PID on the host, as long as the host's /proc is mounted. Fails with the
/// errors of readlink(2), and with ENOSYS if the link is no number.
pub fn own_pid_in_proc() -> Result<i32, Errno> {
    let link = rustix::fs::readlink("/proc/self", Vec::new())?;
    link.to_str().ok().and_then(|pid| pid.parse().ok()).ok_or(Errno::NOSYS)
}

/// The parent of a process; `None` if the process has no parent or cannot be found in /proc.
pub fn parent(pid: Pid) -> Option<Pid> {
    Pid::from_raw(parent_and_session(pid)?.0)
}

/// The PIDs of a process's parent and of its session's leader (setsid(2)); `None` if the process
/// cannot be found in /proc.
pub fn parent_and_session(pid: Pid) -> Option<(i32, i32)> {
    let [parent, session] = stat_fields(pid, [4, 6]).ok()??.map(i32::try_from);
    Some((parent.ok()?, session.ok()?))
}

/// Reads numbers from /proc/PID/stat. `fields` are field numbers of proc_pid_stat(5), from 4 up.
/// `None` if /proc shows no such process.
pub(super) fn stat_fields<const N: usize>(
    pid: Pid,
    fields: [usize; N],
) -> Result<Option<[u64; N]>, Errno> {
    let stat = match read_record(format!("/proc/{}/stat", pid.as_raw_nonzero())) {
        Err(Errno::NOENT | Errno::SRCH) => return Ok(None),
        stat => stat?,
    };
    // Field 2, the command's name, may contain parentheses and ends at the last parenthesis.
    let after_name = stat.iter().rposition(|&byte| byte == b')').map_or(&[][..], |at| &stat[at..]);
    let text = std::str::from_utf8(after_name).map_err(|_| Errno::IO)?;
    let mut numbers = [0; N];
    for (number, field) in numbers.iter_mut().zip(fields) {
        let found = text.split(' ').nth(field - 2).and_then(|word| word.trim_end().parse().ok());
        *number = found.ok_or(Errno::IO)?;
    }
    Ok(Some(numbers))
}

/// Whether all threads of the process have ended. Fails with the errors of poll(2).
pub fn has_ended(pidfd: BorrowedFd<'_>) -> Result<bool, Errno> {
    ends_by(pidfd, Some(Instant::now()))
}

/// Waits until all threads of the process have ended. Returns false at `deadline` if a thread still
/// runs. A `deadline` of `None` means no limit. Fails with the errors of poll(2).
pub fn ends_by(pidfd: BorrowedFd<'_>, deadline: Option<Instant>) -> Result<bool, Errno> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // If the time is too long for a timespec, wait without limit.
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], left.as_ref()) {
            Err(Errno::INTR) => {}
            result => return result.map(|ready| ready > 0),
        }
    }
}

/// Opens `name`, such as `root` or `ns/net`, in the directory of process `pid` in /proc.
///
/// A thread that has ended has no root and no namespaces. If the main thread has ended, opens the
/// file of another thread. The caller must check afterwards that the PID still belongs to the
/// expected process. Fails with ENOENT if the file of no thread can be opened, and with the errors
/// of open(2).
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

/// Calls `act` in a network namespace, and returns to the former namespace. The process must have
/// only one thread: setns(2) moves the calling thread, but /proc/self shows the main thread.
pub fn in_network<T>(
    namespace: BorrowedFd<'_>,
    act: impl FnOnce() -> crate::error::Result<T>,
) -> crate::error::Result<T> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let ours = openat(CWD, "/proc/self/ns/net", flags, Mode::empty())
        .context(|| "open our own network namespace")?;
    let enter = |fd: BorrowedFd<'_>| {
        move_into_link_name_space(fd, Some(LinkNameSpaceType::Network))
            .context(|| "enter a network namespace")
    };
    enter(namespace)?;
    let done = act();
    enter(ours.as_fd())?;
    done
}

/// Sends `signal` to a process. Fails with the errors of pidfd_send_signal(2), for example with
/// ESRCH if the process has ended and its parent has waited for it.
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: Signal) -> Result<(), Errno> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: with a null siginfo the kernel fills in the siginfo, as for kill(2).
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal.number(), no_info, 0)
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Whether process `pid` has a file open whose path ends in `path`. The file may have been removed
/// since.
pub fn holds_file(pid: Pid, path: &str) -> bool {
    let open = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()));
    open.into_iter().flatten().flatten().any(|file| {
        // The kernel appends " (deleted)" to the path of a removed file.
        let target = fs::read_link(file.path()).unwrap_or_default();
        let target = target.to_string_lossy();
        target.strip_suffix(" (deleted)").unwrap_or(&target).ends_with(path)
    })
}

/// The PIDs of all processes in /proc.
pub fn all() -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(Pid::from_raw).collect()
}

/// The PIDs of all processes that lead a session (setsid(2)).
pub fn session_leaders() -> Vec<Pid> {
    let leads = |pid: &Pid| {
        parent_and_session(*pid).is_some_and(|(_, session)| session == pid.as_raw_nonzero().get())
    };
    all().into_iter().filter(leads).collect()
}

/// Sends `signal` to the process group that a child leads (kill(2)). If the child leads none, sends
/// the signal to the child alone. Ignores errors: the child may have ended already.
pub fn kill_group(child: Pid, signal: Signal) {
    let pid = child.as_raw_nonzero().get();
    // SAFETY: kill(2) takes numbers only.
    unsafe {
        if libc::kill(-pid, signal.number()) != 0 {
            libc::kill(pid, signal.number());
        }
    }
}

/// The boot id of the host: a random UUID that differs at each boot (random(4)). Empty if the boot
/// id cannot be read.
pub fn boot_id() -> String {
    let id = read_record("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    String::from_utf8_lossy(&id).trim_end().to_owned()
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
    fn the_id_of_another_thread_is_no_process() {
        let start = started(rustix::process::getpid());
        let found = std::thread::spawn(move || look(rustix::thread::gettid(), start)).join();
        assert!(matches!(found.unwrap(), Found::Replaced));
    }

    /// The kernel takes the command's name from the path and does not escape a parenthesis there.
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

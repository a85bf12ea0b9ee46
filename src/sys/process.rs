//! Other processes, by descriptor: a number may be another process's by the time it is used, a
//! pidfd (pidfd_open(2)) never is, and the start time tells whether a number still means whom it
//! meant when it was written down.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::clone::last_errno;
use super::signal::Signal;

/// When a process began, in clock ticks since boot (proc_pid_stat(5), field 22).
pub fn start_time(pid: Pid) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The command's name, field 2, may hold anything; it ends at the last parenthesis.
    let after_name = stat.iter().rposition(|&byte| byte == b')')?;
    let text = std::str::from_utf8(&stat[after_name + 2..]).ok()?;
    let mut fields = text.split(' ');
    let state = fields.next()?;
    // A zombie has ended: it only waits to be asked.
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// A descriptor for process `pid` if it is still the one that began at `start`.
pub fn open(pid: i32, start: u64) -> Option<OwnedFd> {
    let pid = Pid::from_raw(pid)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // Asked after the descriptor is held: from here on the number can't pass to another process.
    (start_time(pid) == Some(start)).then_some(pidfd)
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

/// kill(2) of a child's process group, or of the child itself while it has none yet. That it is
/// gone already is no error to anyone.
pub fn kill_group(child: Pid, signal: Signal) {
    let pid = child.as_raw_nonzero().get();
    // SAFETY: kill takes any numbers.
    unsafe {
        if libc::kill(-pid, signal.number()) != 0 {
            libc::kill(pid, signal.number());
        }
    }
}

/// The host's boot, as random text that differs each time (random(4)).
pub fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim_end().to_owned()
}

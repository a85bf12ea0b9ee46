//! Resets settings that a process inherits from its caller: ignored signals, resource limits,
//! scheduling policy and priority, CPUs, OOM score, personality, use of huge pages, timer slack
//! (execve(2), fork(2)).
//!
//! A command keeps most of its caller's settings. A monitor and a process of `exec` start with a
//! service's settings. So a container is the same whether a shell, cron or a real-time program
//! started it. A container of the OCI runtime keeps most of the caller's settings. If a capability
//! for a setting is missing, the setting stays unchanged. Only a soft limit is still set, to at
//! most the hard limit.

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::signal::{self, Signal};

/// Soft and hard limits (getrlimit(2)); `None` is RLIM_INFINITY. The last three are the limits of
/// Docker's systemd service, the others are the defaults of Linux 5.16 and later.
const LIMITS: [(Resource, Option<u64>, Option<u64>); 13] = [
    (Resource::Cpu, None, None),
    (Resource::Fsize, None, None),
    (Resource::Data, None, None),
    (Resource::Rss, None, None),
    (Resource::As, None, None),
    (Resource::Locks, None, None),
    (Resource::Rttime, None, None),
    (Resource::Stack, Some(8 << 20), None),
    (Resource::Memlock, Some(8 << 20), Some(8 << 20)),
    (Resource::Msgqueue, Some(819_200), Some(819_200)),
    (Resource::Nproc, None, None),
    (Resource::Core, None, None),
    (Resource::Nofile, Some(1024), Some(524_288)),
];

/// Prepares a command's process, before the command does anything. Resets SIGCHLD: if the caller
/// ignores SIGCHLD, wait(2) reports no child. Removes the limit on file sizes (RLIMIT_FSIZE). If
/// this process may not remove the limit, ignores SIGXFSZ, so that a write beyond the limit fails
/// with EFBIG and does not end this process.
pub fn prepare_command() {
    signal::reset(Signal::CHLD);
    if !limit(Resource::Fsize, Rlimit { current: None, maximum: None }) {
        signal::ignore(Signal::XFSZ);
    }
}

/// The soft limit on the size of a file that this process writes (RLIMIT_FSIZE), in bytes; `None`
/// means no limit.
pub fn file_size_limit() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// Resets the settings that this file's head lists, except for signals. A monitor blocks all
/// signals, and a process that enters a container resets all signals before it executes the
/// program. Errors are ignored.
pub fn reset() {
    for (resource, current, maximum) in LIMITS {
        limit(resource, Rlimit { current, maximum });
    }
    // Take these three limits from the host's first process: the kernel computes the limit on
    // pending signals from the size of the memory, and the host may have set the other two.
    for resource in [Resource::Sigpending, Resource::Nice, Resource::Rtprio] {
        if let Some(first) = limit_of_first(resource) {
            limit(resource, first);
        }
    }
    let _ = rustix::process::setpriority_process(None, 0);
    let (own, every_cpu) = (0, [u64::MAX; 128]);
    let plain = libc::sched_param { sched_priority: 0, ..zeroed_param() };
    // SAFETY: the kernel reads one sched_param, and `size` bytes of the CPU mask. The kernel
    // ignores the mask's bits for missing CPUs. The other calls take numbers only.
    // sched_setscheduler(2) is a raw system call because musl's function always fails with
    // ENOSYS.
    unsafe {
        libc::syscall(libc::SYS_sched_setscheduler, own, libc::SCHED_OTHER, &raw const plain);
        let size = size_of_val(&every_cpu);
        libc::syscall(libc::SYS_sched_setaffinity, own, size, &raw const every_cpu);
        libc::syscall(libc::SYS_personality, 0);
        libc::prctl(libc::PR_SET_THP_DISABLE, 0, 0, 0, 0);
        // The kernel's default, in nanoseconds. Zero would mean the value inherited from the
        // caller.
        libc::prctl(libc::PR_SET_TIMERSLACK, 50_000, 0, 0, 0);
    }
    let _ =
        openat(CWD, "/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .and_then(|file| rustix::io::write(&file, b"0"));
}

/// Sets a limit and returns whether `wanted` was allowed. Without CAP_SYS_RESOURCE a process cannot
/// raise its hard limit. If the kernel refuses `wanted`, only the soft limit is set, to at most the
/// hard limit.
fn limit(resource: Resource, wanted: Rlimit) -> bool {
    let most = |value: Option<u64>| value.unwrap_or(u64::MAX);
    if setrlimit(resource, wanted).is_ok() {
        return true;
    }
    let maximum = getrlimit(resource).maximum;
    let current = if most(wanted.current) < most(maximum) { wanted.current } else { maximum };
    let _ = setrlimit(resource, Rlimit { current, maximum });
    false
}

fn zeroed_param() -> libc::sched_param {
    // SAFETY: sched_param holds integers only, for which zeroes are valid.
    unsafe { std::mem::zeroed() }
}

/// The limit of the process with PID 1; `None` if prlimit(2) fails.
fn limit_of_first(resource: Resource) -> Option<Rlimit> {
    let number = resource as libc::c_int;
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the new limit is a null pointer, so no limit changes. The kernel writes one rlimit64.
    let got = unsafe {
        let none = std::ptr::null::<libc::rlimit64>();
        libc::syscall(libc::SYS_prlimit64, 1, number, none, &raw mut limit)
    };
    let value = |value| (value != u64::MAX).then_some(value);
    (got == 0).then(|| Rlimit { current: value(limit.rlim_cur), maximum: value(limit.rlim_max) })
}

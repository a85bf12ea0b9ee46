//! What a process inherits from its caller besides descriptors: ignored and blocked signals,
//! resource limits, priority, CPUs, OOM score, personality (execve(2) and fork(2) list them).
//!
//! A command is its caller's process and keeps most of it. A monitor and a process that enters a
//! container start with the settings of a service's process, so that a container is the same
//! whether a shell, cron or a real-time program started it. Settings that can't be changed (for lack of
//! a capability) stay as they are.

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::signal::{self, Signal};

/// Soft and hard limits, `None` for none: the kernel's defaults, and for the last four those of Docker's
/// service.
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

/// Called at a command's start: the kernel reports the ends of its children, and no file that it writes
/// is cut short. If the limit on file sizes can't be lifted, a write beyond it fails with
/// EFBIG instead of a signal that ends this process.
pub fn lift_for_command() {
    signal::reset(Signal::CHLD);
    if !limit(Resource::Fsize, Rlimit { current: None, maximum: None }) {
        signal::ignore(Signal::XFSZ);
    }
}

/// The most bytes that this process may write into a file; `None` for no limit.
pub fn file_size_limit() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// Resets what the caller left, except for signals: a monitor blocks them all, and a process that enters
/// a container resets them before it executes the program.
pub fn shed() {
    for (resource, current, maximum) in LIMITS {
        limit(resource, Rlimit { current, maximum });
    }
    // The default for pending signals depends on the machine's memory; the other two are mostly zero.
    for resource in [Resource::Sigpending, Resource::Nice, Resource::Rtprio] {
        if let Some(first) = limit_of_first(resource) {
            limit(resource, first);
        }
    }
    let _ = rustix::process::setpriority_process(None, 0);
    let (own, every_cpu) = (0, [u64::MAX; 128]);
    let plain = libc::sched_param { sched_priority: 0, ..zeroed_param() };
    // SAFETY: the kernel reads a priority, and as many bytes of the CPU mask as it is long; CPUs
    // that aren't there are passed over. The other two take numbers. Not by libc, whose scheduler
    // calls musl leaves out.
    unsafe {
        libc::syscall(libc::SYS_sched_setscheduler, own, libc::SCHED_OTHER, &raw const plain);
        let size = size_of_val(&every_cpu);
        libc::syscall(libc::SYS_sched_setaffinity, own, size, &raw const every_cpu);
        libc::syscall(libc::SYS_personality, 0);
        libc::prctl(libc::PR_SET_THP_DISABLE, 0, 0, 0, 0);
        // The kernel's default in nanoseconds. Zero means the caller's.
        libc::prctl(libc::PR_SET_TIMERSLACK, 50_000, 0, 0, 0);
    }
    let _ =
        openat(CWD, "/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .and_then(|file| rustix::io::write(&file, b"0"));
}

/// Sets a limit. Without CAP_SYS_RESOURCE, which may raise the hard limit, sets it as far as that allows.
/// Returns whether the limit is the wanted one.
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
    // SAFETY: plain integers.
    unsafe { std::mem::zeroed() }
}

/// The limit that the host's first process has.
fn limit_of_first(resource: Resource) -> Option<Rlimit> {
    let number = resource as libc::c_int;
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a null pointer changes nothing, and the kernel writes one rlimit64.
    let got = unsafe {
        let none = std::ptr::null::<libc::rlimit64>();
        libc::syscall(libc::SYS_prlimit64, 1, number, none, &raw mut limit)
    };
    let value = |value| (value != u64::MAX).then_some(value);
    (got == 0).then(|| Rlimit { current: value(limit.rlim_cur), maximum: value(limit.rlim_max) })
}

//! Sets a thread's scheduling, I/O priority, NUMA policy and execution domain: sched_setattr(2),
//! ioprio_set(2), set_mempolicy(2) and personality(2). The settings normally survive fork(2) and
//! execve(2). libc lacks wrappers for most of these calls. The struct follows linux/sched/types.h.
//! The caller passes the kernel's constants.

use rustix::io::Errno;
use rustix::process::Pid;

use super::last_errno;

/// struct sched_attr of sched_setattr(2), with the size that it has in Linux 4.14.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scheduler {
    size: u32,
    /// SCHED_* of sched(7).
    pub policy: u32,
    /// SCHED_FLAG_* of sched_setattr(2).
    pub flags: u64,
    /// -20 to 19, for SCHED_OTHER and SCHED_BATCH.
    pub nice: i32,
    /// 1 to 99, for SCHED_FIFO and SCHED_RR.
    pub priority: u32,
    /// In nanoseconds, for SCHED_DEADLINE. The same holds for `deadline` and `period`.
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

/// The number of CPUs on which this thread may run; 1 if the number cannot be read.
/// `std::thread::available_parallelism` would also read cgroups, which needs more code.
pub fn cpus() -> usize {
    rustix::thread::sched_getaffinity(None).map_or(1, |cpus| cpus.count().max(1) as usize)
}

/// Sets the scheduling policy and priority of `thread`, or of the calling thread if `thread` is
/// `None` (sched_setattr(2)).
pub fn set_scheduler(thread: Option<Pid>, scheduler: &Scheduler) -> Result<(), Errno> {
    let size = std::mem::size_of::<Scheduler>() as u32;
    let attributes = Scheduler { size, ..*scheduler };
    let thread = Pid::as_raw(thread);
    // SAFETY: the kernel reads `size` bytes of plain integers and writes nothing.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, thread, &raw const attributes, 0) })
}

/// Sets the I/O class of this thread (1 real-time, 2 best-effort, 3 idle) and its level in the
/// class, from 0, the highest, to 7 (ioprio_set(2)).
pub fn set_io_priority(class: u8, level: u8) -> Result<(), Errno> {
    /// IOPRIO_WHO_PROCESS of linux/ioprio.h.
    const WHO_PROCESS: libc::c_int = 1;
    let value = libc::c_int::from(class) << 13 | libc::c_int::from(level);
    // SAFETY: the call takes three integers.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, value) })
}

/// Sets the NUMA policy of this thread: `mode` is one of MPOL_* with its flags, and `nodes` is a
/// bit mask of nodes (set_mempolicy(2)).
pub fn set_memory_policy(mode: u32, nodes: &[u64]) -> Result<(), Errno> {
    // The kernel subtracts 1 from the number of bits.
    let bits = nodes.len() * 64 + 1;
    let mask = if nodes.is_empty() { std::ptr::null() } else { nodes.as_ptr() };
    let bits = if nodes.is_empty() { 0 } else { bits };
    // SAFETY: the kernel reads as many bits as the slice has and writes nothing.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode as libc::c_long, mask, bits) })
}

/// Sets the execution domain of this thread, one of PER_* (personality(2)).
pub fn set_personality(domain: u32) -> Result<(), Errno> {
    // SAFETY: the call takes one integer.
    check(unsafe { libc::syscall(libc::SYS_personality, libc::c_ulong::from(domain)) }.min(0))
}

fn check(result: libc::c_long) -> Result<(), Errno> {
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

#[cfg(test)]
mod tests {
    use linux_raw_sys::general::SCHED_BATCH;

    use super::*;

    /// Runs on its own thread, because the settings apply to one thread and end with it.
    #[test]
    fn a_thread_gets_the_requested_settings() {
        std::thread::spawn(|| {
            let scheduler = Scheduler { policy: SCHED_BATCH, nice: 5, ..Scheduler::default() };
            set_scheduler(None, &scheduler).unwrap();
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
            // nice and policy: fields 19 and 41 of proc_pid_stat(5).
            assert_eq!((fields[16], fields[38]), ("5", "3"));
            set_io_priority(2, 6).unwrap();
            assert_eq!(set_io_priority(5, 0), Err(Errno::INVAL));
            const PREFERRED: u32 = 1;
            set_memory_policy(PREFERRED, &[1]).unwrap();
            set_memory_policy(0, &[]).unwrap();
            set_personality(0).unwrap();
        })
        .join()
        .unwrap();
    }
}

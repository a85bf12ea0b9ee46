//! Installs a BPF filter of system calls on the calling thread: seccomp(2) with
//! SECCOMP_SET_MODE_FILTER. A filter cannot be removed, and every later child inherits it.
//! `runtime::seccomp` makes the filter's program, and the kernel checks its instructions.

use std::os::fd::{FromRawFd, OwnedFd};

use linux_raw_sys::ptrace::{
    SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, SECCOMP_SET_MODE_FILTER, sock_fprog,
};
use rustix::io::Errno;

use super::clone::{note_filter, require_one_thread};
use super::last_errno;

pub use linux_raw_sys::ptrace::sock_filter as Instruction;

/// Flags of SECCOMP_SET_MODE_FILTER (seccomp(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// SECCOMP_FILTER_FLAG_LOG: the kernel logs the filter's actions except ALLOW. The
    /// administrator can exclude other actions too.
    pub const LOG: Flags = Flags(SECCOMP_FILTER_FLAG_LOG);
    /// SECCOMP_FILTER_FLAG_SPEC_ALLOW: the kernel does not disable speculative store bypass because
    /// of the filter.
    pub const SPEC_ALLOW: Flags = Flags(SECCOMP_FILTER_FLAG_SPEC_ALLOW);
    /// SECCOMP_FILTER_FLAG_NEW_LISTENER: the call returns a descriptor by which an agent reads and
    /// answers system calls (seccomp_unotify(2)).
    pub const NEW_LISTENER: Flags = Flags(SECCOMP_FILTER_FLAG_NEW_LISTENER);
    /// SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: after the agent has read a system call, only a fatal
    /// signal interrupts the call (Linux 5.19).
    pub const WAIT_KILLABLE_RECV: Flags = Flags(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);

    /// The union of both sets of flags.
    pub fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// These flags except those of `other`.
    pub fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }

    /// Whether all flags of `other` are set.
    pub fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Installs `program` on this thread. With `NEW_LISTENER` returns the listener's descriptor,
/// otherwise `None`. Fails with EDEADLK if this process has a second thread, because that thread
/// would get no filter. Also fails with the errors of seccomp(2), such as EINVAL for a bad program,
/// or EACCES for a thread with neither CAP_SYS_ADMIN nor no_new_privs.
pub fn install(program: &[Instruction], flags: Flags) -> Result<Option<OwnedFd>, Errno> {
    require_one_thread()?;
    let length = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let filter = sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel reads `len` instructions, which outlive the call. The kernel writes
    // nothing.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags.0, &raw const filter)
    };
    if result >= 0 {
        note_filter();
    }
    match i32::try_from(result) {
        Ok(descriptor @ 0..) if flags.has(Flags::NEW_LISTENER) => {
            // SAFETY: the kernel returned a new descriptor, and no other value owns it.
            Ok(Some(unsafe { OwnedFd::from_raw_fd(descriptor) }))
        }
        Ok(0) => Ok(None),
        _ => Err(last_errno()),
    }
}

//! seccomp(2) with SECCOMP_SET_MODE_FILTER: installs a BPF filter of system calls on this thread.
//! The filter can't be removed, and every later child inherits it. The program comes from
//! `runtime::seccomp`; it is not checked here, because the kernel checks it.

use std::os::fd::{FromRawFd, OwnedFd};

use rustix::io::Errno;

use super::last_errno;

pub use libc::sock_filter as Instruction;

/// Flags of SECCOMP_SET_MODE_FILTER.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// What the filter refuses is logged (audit).
    pub const LOG: Flags = Flags(1 << 1);
    /// The kernel does not switch speculation off.
    pub const SPEC_ALLOW: Flags = Flags(1 << 2);
    /// The call returns a descriptor with the calls that an agent decides.
    pub const NEW_LISTENER: Flags = Flags(1 << 3);
    /// Once the agent has a call, only SIGKILL interrupts it (Linux 5.19).
    pub const WAIT_KILLABLE_RECV: Flags = Flags(1 << 5);

    /// Both together.
    pub fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether all of `other` are set.
    pub fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Installs `program` on this thread. Needs CAP_SYS_ADMIN or no_new_privs; otherwise EACCES. With
/// `NEW_LISTENER` it returns the listener's descriptor.
pub fn install(program: &[Instruction], flags: Flags) -> Result<Option<OwnedFd>, Errno> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let filter = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel reads `len` instructions, which outlive the call, and writes nothing.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags.0, &raw const filter)
    };
    match i32::try_from(result) {
        Ok(descriptor @ 0..) if flags.has(Flags::NEW_LISTENER) => {
            // SAFETY: the kernel returned a new descriptor, which nothing else owns.
            Ok(Some(unsafe { OwnedFd::from_raw_fd(descriptor) }))
        }
        Ok(0) => Ok(None),
        _ => Err(last_errno()),
    }
}

//! seccomp(2) with SECCOMP_SET_MODE_FILTER: installs a BPF filter of system calls on this thread.
//! The filter can't be removed, and every later child inherits it. The program comes from
//! `runtime::seccomp`; it is not checked here, because the kernel checks it.

use rustix::io::Errno;

use super::clone::last_errno;

pub use libc::sock_filter as Instruction;

/// Installs `program` on this thread. Needs CAP_SYS_ADMIN or no_new_privs; otherwise EACCES.
pub fn install(program: &[Instruction]) -> Result<(), Errno> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let filter = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel reads `len` instructions, which outlive the call, and writes nothing.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter)
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

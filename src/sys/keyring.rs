//! keyctl(2) with KEYCTL_JOIN_SESSION_KEYRING. A process inherits the session keyring of its
//! caller, and a container must not read the caller's keys. Only the session keyring is replaced:
//! user keyrings follow the user ID, and the seccomp profile denies keyctl in the container.

use rustix::io::Errno;

use super::clone::last_errno;

/// Joins a new anonymous session keyring. A kernel without keyrings has nothing to share.
pub fn join_new_session() -> Result<(), Errno> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    let anonymous = std::ptr::null::<libc::c_char>();
    // SAFETY: the operation takes a string or null (anonymous).
    match unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, anonymous) } {
        -1 => match last_errno() {
            Errno::NOSYS => Ok(()),
            error => Err(error),
        },
        _ => Ok(()),
    }
}

//! keyctl(2): a container must not share the caller's session keyring.

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

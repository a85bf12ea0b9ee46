//! Replaces a process's session keyring: keyctl(2) with KEYCTL_JOIN_SESSION_KEYRING.
//!
//! A process inherits its caller's session keyring, and a container must not read the caller's
//! keys. This file does not replace the user keyring, which belongs to the user ID. The default
//! seccomp profile denies keyctl(2) in the container.

use rustix::io::Errno;

use super::last_errno;

/// Joins a new anonymous session keyring. Succeeds without a change on a kernel without keyrings
/// (ENOSYS). Fails with the other errors of keyctl(2), such as EDQUOT.
pub fn join_new_session() -> Result<(), Errno> {
    let anonymous = std::ptr::null::<libc::c_char>();
    // SAFETY: the operation takes a C string, or null for an anonymous keyring.
    match unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, anonymous) } {
        -1 => match last_errno() {
            Errno::NOSYS => Ok(()),
            error => Err(error),
        },
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The calling thread's session keyring (KEYCTL_GET_KEYRING_ID of KEY_SPEC_SESSION_KEYRING).
    fn session() -> libc::c_long {
        let session = libc::KEY_SPEC_SESSION_KEYRING;
        // SAFETY: the operation takes two numbers.
        unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_GET_KEYRING_ID, session, 0) }
    }

    #[test]
    fn each_session_keyring_is_new() {
        // A session keyring belongs to a thread, so this thread's keyrings do not affect other
        // tests.
        let seen = std::thread::spawn(|| {
            [(); 2].map(|()| {
                join_new_session().unwrap();
                session()
            })
        });
        let [first, second] = seen.join().unwrap();
        assert!(first > 0 && second > 0, "{first} {second}");
        assert_ne!(first, second);
    }
}

//! keyctl(2) with KEYCTL_JOIN_SESSION_KEYRING. A process inherits the session keyring of its
//! caller, and a container must not read the caller's keys. Only the session keyring is replaced:
//! user keyrings follow the user ID, and the seccomp profile denies keyctl in the container.

use rustix::io::Errno;

use super::last_errno;

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

#[cfg(test)]
mod tests {
    use super::*;

    /// The calling thread's session keyring (KEYCTL_GET_KEYRING_ID of KEY_SPEC_SESSION_KEYRING).
    fn session() -> libc::c_long {
        const GET_KEYRING_ID: libc::c_int = 0;
        const SESSION: libc::c_int = -3;
        // SAFETY: the operation takes two numbers.
        unsafe { libc::syscall(libc::SYS_keyctl, GET_KEYRING_ID, SESSION, 0) }
    }

    #[test]
    fn each_session_keyring_is_new() {
        // Of a thread's own, so that no other test sees it.
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

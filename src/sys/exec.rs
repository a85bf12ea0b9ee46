//! execve(2), execveat(2) and _exit(2), which rustix lacks or marks as unsafe.
//!
//! `Vectors` holds the arguments and the environment in the kernel's layout, so `execve` itself
//! allocates nothing. This file does not search PATH; `runtime::process` does.

use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char};
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::last_errno;

/// Argument and environment vectors in the layout of execve(2).
pub struct Vectors {
    _args: Vec<CString>,
    env: Vec<CString>,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
}

impl Vectors {
    /// The environment variables, as `NAME=value`.
    pub fn variables(&self) -> &[CString] {
        &self.env
    }

    /// Makes the vectors of execve(2) from `args` and `env`.
    pub fn new(args: Vec<CString>, env: Vec<CString>) -> Vectors {
        let pointers = |strings: &[CString]| {
            let pointers = strings.iter().map(|string| string.as_ptr());
            pointers.chain([std::ptr::null()]).collect::<Vec<_>>()
        };
        let (argv, envp) = (pointers(&args), pointers(&env));
        // The pointers stay valid: the bytes of a CString do not move when the CString moves.
        Vectors { _args: args, env, argv, envp }
    }
}

/// Replaces this process's program by the program at `path`. Returns only if execve(2) fails.
pub fn execve(path: &CStr, vectors: &Vectors) -> Result<Infallible, Errno> {
    // SAFETY: both vectors end in a null pointer and point to strings that `vectors` owns.
    unsafe { libc::execve(path.as_ptr(), vectors.argv.as_ptr(), vectors.envp.as_ptr()) };
    Err(last_errno())
}

/// As [`execve`], for a program that is open as `file` (execveat(2), AT_EMPTY_PATH).
pub fn execve_descriptor(file: BorrowedFd<'_>, vectors: &Vectors) -> Result<Infallible, Errno> {
    let (argv, envp) = (vectors.argv.as_ptr(), vectors.envp.as_ptr());
    // SAFETY: both vectors end in a null pointer and point to strings that `vectors` owns. The path
    // is an empty C string.
    unsafe {
        let (file, empty) = (file.as_raw_fd(), c"".as_ptr());
        libc::syscall(libc::SYS_execveat, file, empty, argv, envp, libc::AT_EMPTY_PATH);
    }
    Err(last_errno())
}

/// Ends this process with `status` (_exit(2)). Runs no destructors and no atexit(3) handlers,
/// because in a forked child they belong to the parent. If a seccomp filter makes exit_group(2)
/// fail, abort(3) ends the process by a signal. In this case musl's _exit could loop forever.
pub fn exit_now(status: u8) -> ! {
    // SAFETY: the call takes an integer, and has no precondition.
    unsafe { libc::syscall(libc::SYS_exit_group, libc::c_int::from(status)) };
    std::process::abort()
}

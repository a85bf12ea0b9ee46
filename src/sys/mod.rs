//! The fence: the only place of `unsafe`, and of system calls that need an explanation.
//!
//! Each file is one kernel interface. Functions are a few lines, take and return owned or borrowed
//! descriptors, and say in `// SAFETY:` why each unsafe block is sound. Calls that rustix already
//! makes safe are called where they are needed, and not wrapped again here.

#![allow(unsafe_code)]

pub mod beneath;
pub mod binary;
pub mod bpf;
pub mod clone;
pub mod contained;
pub mod exec;
pub mod fds;
pub mod heap;
pub mod inherited;
pub mod keyring;
pub mod loopback;
pub mod memory;
pub mod mount;
pub mod netfilter;
pub mod netlink;
pub mod packet;
pub mod process;
pub mod procfs;
pub mod schedule;
pub mod seccomp;
pub mod signal;
pub mod stdio;
pub mod title;
pub mod trace;
#[cfg(all(panic = "abort", not(debug_assertions), not(test)))]
mod unwind;

/// This thread's errno(3), as the last failed system call set it.
fn last_errno() -> rustix::io::Errno {
    // SAFETY: __errno_location gives this thread's errno, always valid to read.
    rustix::io::Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

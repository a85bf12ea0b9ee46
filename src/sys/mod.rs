//! All `unsafe` code of the library, and the system calls that rustix lacks.
//!
//! Most files wrap one kernel interface. Functions take and return owned or borrowed descriptors.
//! Each unsafe block has a `// SAFETY:` comment, which says why the block is sound. If rustix has a
//! safe function for a system call, the rest of the code calls rustix.

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
pub mod quota;
pub mod schedule;
pub mod seccomp;
pub mod signal;
pub mod stdio;
pub mod title;
pub mod trace;
#[cfg(all(panic = "abort", not(debug_assertions), not(test)))]
mod unwind;

/// The error of this thread's last failed libc call (errno(3)).
fn last_errno() -> rustix::io::Errno {
    // SAFETY: __errno_location returns the address of this thread's errno, which is always
    // readable.
    rustix::io::Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

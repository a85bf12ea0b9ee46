//! Compiles rules on system calls to BPF programs for seccomp(2).
//!
//! A crate of its own because two programs need it: mydocker's build.rs compiles the default profile,
//! and mydocker compiles the filters that a user describes. `profile` reads the default profile's text
//! and is used by build.rs and the tests alone. What a container gets of all this, and the tests, are in
//! mydocker's `runtime::seccomp`. Nothing here makes a system call or knows the running machine.

#![forbid(unsafe_code)]

pub mod bpf;
pub mod capabilities;
pub mod profile;
pub mod syscalls;

//! Compiles rules on system calls to BPF programs for seccomp(2).
//!
//! This is a crate because two programs need it: mydocker's build.rs compiles the default profile,
//! and mydocker compiles the filters that a user describes. `profile` reads the text of the default
//! profile; only build.rs and tests use it. mydocker's `runtime::seccomp` installs the filters and
//! has the tests. This crate does not depend on the machine that it runs on.

#![forbid(unsafe_code)]

pub mod bpf;
pub mod capabilities;
pub mod profile;
pub mod syscalls;

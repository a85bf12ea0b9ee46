//! mydocker: a container engine in one static binary, without a daemon.
//!
//! The binary is `main.rs`, which sets the allocator and calls [`main`]. The library exists so that
//! the benchmarks and fuzz targets call the product's own code, through [`bench`] and `fuzz`. Only
//! these two, [`main`] and the allocator are public, so that the compiler finds dead code.
//!
//! Layers, from the top: `cli` → `compose`, `build` → `engine` → `image`, `network`, `volume`,
//! `container` → `runtime` → `store` → `sys`, and `oci` → `runtime` and the links of `network`.
//! Imports only point down.

#![deny(unsafe_code)]
// Some functions are used only by one feature. Without the feature the compiler drops them.
#![cfg_attr(
    not(all(feature = "build", feature = "compose", feature = "oci", feature = "pull")),
    allow(dead_code, unused_imports)
)]
// A fuzz target calls only the functions of `fuzz`.
#![cfg_attr(fuzzing, allow(dead_code))]

mod address;
#[cfg(feature = "build")]
mod build;
mod chmod;
mod cli;
#[cfg(feature = "compose")]
mod compose;
mod container;
mod container_id;
mod digest;
mod engine;
mod error;
mod event;
mod glob;
mod healthcheck;
mod hello;
mod hex;
mod image;
mod image_name;
mod json;
mod meter;
mod name;
mod network;
mod network_name;
#[cfg(feature = "oci")]
mod oci;
mod order;
mod path;
mod port;
mod raw;
mod reference;
mod regex;
mod resolver;
mod runtime;
mod seccomp_profile;
mod store;
mod suggest;
mod sys;
mod template;
mod time;
mod tty;
mod units;
mod volume;
mod words;

use std::process::ExitCode;

pub use sys::heap::Heap;

// Unit tests use the product's allocator.
#[cfg(test)]
#[global_allocator]
static HEAP: Heap = Heap::global();

/// System calls by which `make bench` measures the kernel's part of a container's time.
pub mod bench {
    pub use crate::sys::clone::{Flags, Fork, clone3};
    pub use crate::sys::exec::{Vectors, execve, exit_now};
}

/// The functions that fuzz targets call. Each takes the fuzzer's input.
#[cfg(any(test, fuzzing))]
pub mod fuzz {
    #[cfg(feature = "build")]
    pub use crate::build::dockerfile::fuzz::dockerfile;
    pub use crate::image::fuzz::{documents, load, reference, unpack};
    pub use crate::template::fuzz::template;
}

/// Runs this process as the program `hello`, as an OCI runtime, or as Docker's command line,
/// depending on argv[0] and on whether argv[1] is `oci`. Returns the exit status.
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    // The built-in image `hello` executes the binary by this name.
    if arguments.first().is_some_and(|name| name == "/hello") {
        return hello::main();
    }
    sys::inherited::prepare_command();
    #[cfg(feature = "oci")]
    match arguments.as_slice() {
        [name, rest @ ..] if oci::is_called(name) => return oci::main(rest),
        [_, verb, rest @ ..] if verb == "oci" => return oci::main(rest),
        _ => {}
    }
    cli::main(arguments.into_iter())
}

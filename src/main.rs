//! mydocker: a container engine in one static binary, without a daemon.
//!
//! `main` only chooses the face: called as `hello` inside the built-in image it greets, else it is
//! Docker's command line. Layers, from the top: `cli` → `engine` → `image`, `network`, `volume`,
//! `container` → `runtime` → `store` → `sys`; imports only point down that list.

#![deny(unsafe_code)]
// What registries alone need stands among the rest; without them the compiler leaves it out.
#![cfg_attr(not(feature = "pull"), allow(dead_code))]

mod address;
mod cli;
mod container;
mod engine;
mod error;
mod healthcheck;
mod hello;
mod image;
mod json;
mod network;
mod port;
mod raw;
mod runtime;
mod store;
mod sys;
mod template;
mod time;
mod units;
mod volume;

use std::process::ExitCode;

#[global_allocator]
static HEAP: sys::heap::Heap = sys::heap::Heap::new();

fn main() -> ExitCode {
    // Only the built-in image has the binary under this name.
    if std::env::args_os().next().is_some_and(|name| name == "/hello") {
        return hello::main();
    }
    sys::inherited::lift_for_command();
    cli::main(std::env::args_os())
}

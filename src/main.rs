//! mydocker: a container engine in one static binary, without a daemon.
//!
//! `main` only chooses the face: called as `hello` inside the built-in image it greets, else it is
//! Docker's command line. Layers, from the top: `cli` → `engine` → `image`, `volume`, `container` →
//! `runtime` → `store` → `sys`; imports only point down that list.

#![deny(unsafe_code)]

mod cli;
#[allow(unused)]
mod container;
#[allow(unused)]
mod engine;
mod error;
mod hello;
#[allow(unused)]
mod image;
#[allow(unused)]
mod network;
#[allow(unused)]
mod runtime;
#[allow(unused)]
mod store;
#[allow(unused)]
mod sys;
mod time;
mod units;
#[allow(unused)]
mod volume;

fn main() -> std::process::ExitCode {
    // Inside the container of the built-in image the same binary is its only program.
    if std::env::args_os().next().is_some_and(|name| name == "/hello") {
        return hello::main();
    }
    cli::main(std::env::args_os())
}

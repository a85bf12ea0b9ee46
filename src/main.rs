//! mydocker: a container engine in one static binary, without a daemon.
//!
//! `main` only chooses the face: called as `hello` inside the built-in image it greets, else it is
//! Docker's command line. Layers, from the top: `cli` → `engine` → `image`, `volume`, `container` →
//! `runtime` → `store` → `sys`; imports only point down that list.

#![deny(unsafe_code)]

mod container;
#[allow(unused)]
mod engine;
mod error;
#[allow(unused)]
mod image;
mod runtime;
mod store;
mod sys;
mod time;
mod volume;

fn main() {}

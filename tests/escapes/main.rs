//! Known escapes from containers, and attacks on the engine from a container, of the past ten
//! years. Each test runs an attack against the real binary. Comments name the advisories, and the
//! guards that stop the attacks.
//!
//! Attacks that need more than a shell are functions of this test binary, marked `#[ignore]`.
//! `attack` returns the command that runs such a function inside a container.

#[path = "../support/mod.rs"]
mod support;

mod binary;
mod copies;
mod entering;
mod kernel;
mod mounts;
mod names;
mod neighbours;
mod processes;
mod threads;
mod users;

use std::path::PathBuf;

use support::{Background, Done, Host};

/// The path of this test binary inside a container.
const ATTACK: &str = "/attack";

/// The value of `-v` that mounts this test binary into a container.
fn with_attack() -> String {
    format!("{}:{ATTACK}:ro", std::env::current_exe().unwrap().display())
}

/// The command that runs the attack `name`, given as `module::function`, inside a container.
fn attack(name: &str) -> [&str; 6] {
    [ATTACK, "--ignored", "--exact", "--nocapture", "--test-threads=1", name]
}

/// Fails outside of a test's container, so that no attack runs on the host.
fn must_be_inside() {
    assert!(std::path::Path::new(ATTACK).exists(), "an attack is run in a container only");
}

/// Runs a command to its end, with an empty stdin.
fn call(command: std::process::Command) -> Done {
    let mut running = Background::spawn(command);
    running.close_stdin();
    running.wait()
}

/// A directory of the host with a file that no container may reach.
fn canary(host: &Host) -> PathBuf {
    let canary = host.scratch().join("canary");
    std::fs::create_dir_all(&canary).unwrap();
    std::fs::write(canary.join("secret"), CANARY).unwrap();
    canary
}

const CANARY: &str = "this is the host's own";

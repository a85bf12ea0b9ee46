//! Every known way out of a container, or into the engine from one, of the past ten years: one test
//! (or a family) for each advisory, which runs the attack against the real binary. The comment over
//! a test says what the advisory was; a test fails when the guard that its comment names is taken
//! out.
//!
//! Attacks that need more than a shell are functions of this very program, marked `ignored`:
//! `attack` mounts it into a container and runs one of them there.

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

/// Where this program is inside a container.
const ATTACK: &str = "/attack";

/// The flags that bring this program into a container.
fn with_attack() -> String {
    format!("{}:{ATTACK}:ro", std::env::current_exe().unwrap().display())
}

/// The command that runs the attack `name` there: `module::function`.
fn attack(name: &str) -> [&str; 6] {
    [ATTACK, "--ignored", "--exact", "--nocapture", "--test-threads=1", name]
}

/// Keeps an attack from being run anywhere but in a container of a test's.
fn must_be_inside() {
    assert!(std::path::Path::new(ATTACK).exists(), "an attack is run in a container only");
}

/// Runs a command that isn't quite `mydocker ARGS`, to its end.
fn call(command: std::process::Command) -> Done {
    let mut running = Background::spawn(command);
    running.close_stdin();
    running.wait()
}

/// A directory of the host's with a file that no container may reach.
fn canary(host: &Host) -> PathBuf {
    let canary = host.scratch().join("canary");
    std::fs::create_dir_all(&canary).unwrap();
    std::fs::write(canary.join("secret"), CANARY).unwrap();
    canary
}

const CANARY: &str = "this is the host's own";

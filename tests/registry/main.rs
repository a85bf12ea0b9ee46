//! Images from and to a real registry: Debian's docker-registry on loopback, filled by skopeo. A
//! proxy in front of it imitates the faults of networks.
//!
//! The files beside this one have the tests, and the servers that the tests use. The registry is a
//! real one, because a registry of our own could repeat our errors.

#[path = "../support/mod.rs"]
mod support;

mod choice;
mod faults;
mod login;
mod parallel;
mod proxy;
mod pull;
mod push;
mod server;
mod tls;
mod token;

use support::{Done, Host};

/// Runs the image's `cat` with the argument `path`.
fn cat(host: &Host, image: &str, path: &str) -> Done {
    host.mydocker(["run", "--rm", "--net", "none", "--pull", "never", image, "cat", path])
}

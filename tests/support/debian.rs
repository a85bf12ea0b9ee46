//! Root file systems of Debian: the minimal system with further packages, made by debootstrap and
//! stored as a tar. The packages are downloaded once for all images.
//!
//! Tests of real programs, such as nginx and a compiler, run on them. The tars stay below
//! `target/rootfs` for later runs; no test changes them.

use std::path::PathBuf;
use std::process::Command;

use super::{cache, cached};

/// The tar of the image with `packages`. If the tar is missing, the call makes it, which takes a
/// minute or two.
pub fn archive(packages: &[&str]) -> PathBuf {
    let name = match packages {
        [] => "debian.tar".to_owned(),
        _ => format!("debian-{}.tar", packages.join("-")),
    };
    cached(&name, |partial| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/debian-image");
        let made = Command::new(script)
            .env("CACHE", cache())
            .arg(partial)
            .args(packages)
            .output()
            .unwrap();
        assert!(made.status.success(), "{script}: {}", String::from_utf8_lossy(&made.stderr));
    })
}

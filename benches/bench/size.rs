//! The sizes of the stripped binaries.
//!
//! Shared libraries of the peers are not counted, and each peer has other features, so the figure
//! is a rough guide.

use std::fs;

use super::peers::{Bench, CRUN, PODMAN, RUNC};
use super::table::{Budget, Table, Value};

pub fn measure(bench: &Bench, table: &mut Table) {
    let size =
        |path: &str| fs::metadata(path).ok().map(|file| Value::KiB(file.len() as f64 / 1024.0));
    let ours = size(env!("CARGO_BIN_EXE_mydocker")).expect("our own binary");
    table.alone("binary", ours, Budget::Absolute(Value::KiB(2500.0)));
    // If MYDOCKER_SMALL is set, it is the path of a binary that was built without TLS.
    if let Some(small) = std::env::var("MYDOCKER_SMALL").ok().and_then(|path| size(&path)) {
        table.alone("binary without TLS", small, Budget::Absolute(Value::KiB(1000.0)));
    }
    for peer in [CRUN, RUNC, PODMAN].into_iter().filter(|name| bench.has(name)) {
        let paths = [format!("/usr/bin/{peer}"), format!("/usr/sbin/{peer}")];
        if let Some(theirs) = paths.iter().find_map(|path| size(path)) {
            table.against("binary", ours, peer, theirs, Budget::None);
        }
    }
}

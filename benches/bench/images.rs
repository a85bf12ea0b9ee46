//! Unpacking a root file system that is made from this host's files: `import` beside tar.
//!
//! tar sets the floor: it writes the same files to the same disk, but keeps no digests and no
//! record. `import` downloads nothing here. The topic also has the measurements of `pull`.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::peers::{Bench, US};
use super::table::{Budget, Table, Value};
use super::turns::{Contender, output, take, time};

/// The content of the archive: many small files and some large ones.
const SOURCES: [&str; 3] = ["usr/sbin", "usr/share/doc", "etc"];

pub fn measure(bench: &Bench, table: &mut Table) {
    let plain = bench.dir.join("files.tar");
    let gzipped = bench.dir.join("files.tar.gz");
    output(Command::new("tar").args(["-C", "/", "-cf"]).arg(&plain).args(SOURCES));
    output(Command::new("tar").args(["-C", "/", "-czf"]).arg(&gzipped).args(SOURCES));
    for (topic, what, archive, flag) in [
        ("import-tar", "import of a tar archive", &plain, "-xf"),
        ("import-gzip", "import of a tar.gz archive", &gzipped, "-xzf"),
    ] {
        let figures = take(
            topic,
            bench.rounds.min(10),
            vec![
                Contender::new(US, || import(bench, archive)),
                Contender::new("tar", || untar(bench, archive, flag)),
            ],
        );
        let ours = Value::Milliseconds(figures.median(US));
        for (peer, theirs) in figures.peers() {
            table.against(what, ours, peer, Value::Milliseconds(theirs), Budget::AtMost(1.0));
        }
    }
    super::pull::measure(bench, table);
}

/// The time of `import`. The image is removed afterwards, because otherwise the next import would
/// find the layer.
fn import(bench: &Bench, archive: &Path) -> f64 {
    let took = time(bench.us().arg("import").arg(archive).arg("files"));
    output(bench.us().args(["rmi", "files"]));
    took
}

/// The time of tar and a sync of the file system, because `import` also syncs.
fn untar(bench: &Bench, archive: &Path, flag: &str) -> f64 {
    let directory = bench.dir.join("untarred");
    fs::create_dir_all(&directory).expect("make a directory");
    let took = time(
        Command::new("sh")
            .args(["-c", "tar \"$1\" \"$2\" -C \"$3\" && sync -f \"$3\"", "sh", flag])
            .arg(archive)
            .arg(&directory),
    );
    fs::remove_dir_all(&directory).expect("remove what tar made");
    took
}

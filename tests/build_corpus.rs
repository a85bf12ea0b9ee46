//! Builds the Dockerfiles of `tests/corpus` with mydocker, Docker's classic builder and `buildah
//! bud`, and compares the images: files with type, mode, owner and content, the config, and with
//! Docker also the history. Each known difference is listed with its case. A case can also list
//! lines that our image must have (`@has`), for example if no peer builds the case (`@only none`).
//!
//! The peers' results are kept below `target/rootfs` under a digest of all cases, because Docker
//! takes half a minute for them. If a case changes, the peers build again.

mod corpus {
    pub mod cases;
    pub mod image;
}
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use corpus::cases::{self, Case};
use corpus::image;
use support::Host;
use support::dockerd::Dockerd;

/// The lines that describe each image. A failed build has two lines: `FAILED` and the last line of
/// its stderr.
type Answers = BTreeMap<String, Vec<String>>;

const FAILED: &str = "the build fails";
/// The number of parallel builds of one program.
const AT_ONCE: usize = 3;

#[test]
fn images_are_those_of_docker_and_buildah() {
    let cases = cases::read();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    let host = Host::with_busybox();
    let contexts: Vec<PathBuf> = cases.iter().map(|case| case.write(&host)).collect();
    let peers = |peer: &'static str| -> Vec<(&Case, &Path)> {
        let all = cases.iter().zip(&contexts);
        all.filter(|(case, _)| case.is_for(peer)).map(|(case, at)| (case, at.as_path())).collect()
    };
    let (docker, buildah) = std::thread::scope(|scope| {
        let docker = scope.spawn(|| kept("docker", || ask_docker(&host, &peers("docker"))));
        let buildah = scope.spawn(|| kept("buildah", || ask_buildah(&host, &peers("buildah"))));
        (docker.join().unwrap(), buildah.join().unwrap())
    });
    let ours = ask_ours(
        &host,
        &cases.iter().zip(contexts.iter().map(PathBuf::as_path)).collect::<Vec<_>>(),
    );
    let mut faults = String::new();
    let (mut same, mut justified) = (0, 0);
    for case in &cases {
        let ours = &ours[&case.name];
        if (ours[0] == FAILED) != case.fails() {
            let _ = writeln!(faults, "{}: {ours:?}", case.name);
        }
        for line in case.expected.iter().filter(|line| !ours.contains(line)) {
            let _ = writeln!(faults, "{}: should have: {line}\n  has {ours:#?}", case.name);
        }
        for (peer, answers) in [("docker", &docker), ("buildah", &buildah)] {
            if !case.is_for(peer) {
                continue;
            }
            let (found, printed) =
                (differences(peer, ours, &answers[&case.name]), case.differences_from(peer));
            match found == printed {
                true if printed.is_empty() => same += 1,
                true => justified += 1,
                false => {
                    let _ = writeln!(faults, "{} beside {peer} (< ours, > theirs):", case.name);
                    for line in found.iter().filter(|line| !printed.contains(line)) {
                        let _ = writeln!(faults, "  {line}");
                    }
                    for line in printed.iter().filter(|line| !found.contains(line)) {
                        let _ = writeln!(faults, "  no longer: {line}");
                    }
                }
            }
        }
    }
    let story = format!(
        "{} Dockerfiles: {same} images are the same, {justified} differ for a reason\n",
        cases.len()
    );
    // println would not work: cargo hides its output for a test that passes.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), story.as_bytes());
    assert!(faults.is_empty(), "\n{faults}");
}

/// The lines that only one of the two lists has.
fn differences(peer: &str, ours: &[String], theirs: &[String]) -> Vec<String> {
    // Do not compare these: buildah's history has its own wording, and its RUN leaves the files on
    // which it mounts.
    let places = ["history ", "/etc/hosts:", "/etc/hostname:", "/etc/resolv.conf:", "/run:"];
    let compared =
        |line: &&String| peer == "docker" || !places.iter().any(|place| line.starts_with(place));
    let only = |mark: &'static str, these: &[String], those: &[String]| -> Vec<String> {
        let these = these.iter().filter(compared);
        these.filter(|line| !those.contains(line)).map(|line| format!("{mark} {line}")).collect()
    };
    if ours.first().map(String::as_str) == Some(FAILED)
        || theirs.first().map(String::as_str) == Some(FAILED)
    {
        let (ours, theirs) = (&ours[..1], &theirs[..1]);
        return match ours[0] == theirs[0] {
            true => Vec::new(),
            false if ours[0] == FAILED => vec![format!("< {FAILED}")],
            false => vec![format!("> {FAILED}")],
        };
    }
    [only("<", ours, theirs), only(">", theirs, ours)].concat()
}

/// The results of a peer; those of an earlier run if the cases are the same.
fn kept(peer: &str, ask: impl FnOnce() -> Result<Answers, String>) -> Answers {
    let name = format!("build-corpus-{peer}-{:016x}.txt", cases::fingerprint());
    let file = support::cached(&name, |partial| {
        let answers = ask().unwrap_or_else(|reason| panic!("{peer}: {reason}"));
        let mut text = String::new();
        for (case, lines) in &answers {
            let _ = writeln!(text, "= {case}");
            lines.iter().for_each(|line| text.push_str(&format!("{line}\n")));
        }
        std::fs::write(partial, text).unwrap();
    });
    let mut answers = Answers::new();
    let mut lines = &mut Vec::new();
    let text = std::fs::read_to_string(file).unwrap();
    for line in text.lines() {
        match line.strip_prefix("= ") {
            Some(case) => lines = answers.entry(case.to_owned()).or_default(),
            None => lines.push(line.to_owned()),
        }
    }
    answers
}

/// Builds each case, and describes the images of all successful builds from one archive.
fn ask(
    host: &Host,
    peer: &str,
    cases: &[(&Case, &Path)],
    build: impl Fn(&Case, &Path) -> Command + Sync,
    save: impl FnOnce(&[&str], &Path) -> Command,
) -> Answers {
    let answers = Mutex::new(Answers::new());
    let built = Mutex::new(Vec::new());
    let one = |case: &Case, directory: &Path| {
        let output = build(case, directory).output().unwrap();
        if output.status.success() {
            built.lock().unwrap().push(case.name.clone());
        } else {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            let printed = stderr.lines().last().unwrap_or_default().to_owned();
            answers.lock().unwrap().insert(case.name.clone(), vec![FAILED.to_owned(), printed]);
        }
    };
    let (late, early): (Vec<_>, Vec<_>) = cases.iter().partition(|(case, _)| case.is_late(cases));
    for wave in [early, late] {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    while let Some((case, at)) = wave.get(next.fetch_add(1, Ordering::Relaxed)) {
                        one(case, at);
                    }
                });
            }
        });
    }
    let (mut answers, built) = (answers.into_inner().unwrap(), built.into_inner().unwrap());
    let built: Vec<&str> = built.iter().map(String::as_str).collect();
    let archive = host.scratch().join(format!("{peer}.tar"));
    let output = save(&built, &archive).output().unwrap();
    assert!(output.status.success(), "{peer}: {}", String::from_utf8_lossy(&output.stderr));
    for (name, lines) in image::describe(&std::fs::read(&archive).unwrap()) {
        answers.insert(name, lines);
    }
    std::fs::remove_file(archive).unwrap();
    answers
}

fn ask_ours(host: &Host, cases: &[(&Case, &Path)]) -> Answers {
    let build = |case: &Case, directory: &Path| {
        let mut command = host.command(["build", "-t", &case.name]);
        command.args(&case.flags).arg(directory);
        command
    };
    let save = |names: &[&str], archive: &Path| {
        let mut command = host.command(["save", "-o"]);
        command.arg(archive).args(names);
        command
    };
    ask(host, "ours", cases, build, save)
}

fn ask_docker(host: &Host, cases: &[(&Case, &Path)]) -> Result<Answers, String> {
    let docker = Dockerd::start(host, "10.78.0.1/24")?;
    docker.docker(["import", support::busybox_archive().to_str().unwrap(), "bb"]);
    let build = |case: &Case, directory: &Path| {
        let mut command = docker.command(["build", "--network", "none", "-t", &case.name]);
        command.env("DOCKER_BUILDKIT", "0").args(&case.flags).arg(directory);
        command
    };
    let save = |names: &[&str], archive: &Path| {
        let mut command = docker.command(["save", "-o"]);
        command.arg(archive).args(names);
        command
    };
    Ok(ask(host, "docker", cases, build, save))
}

fn ask_buildah(host: &Host, cases: &[(&Case, &Path)]) -> Result<Answers, String> {
    let mut import = host.podman();
    let imported = import.arg("import").arg(support::busybox_archive()).arg("bb").output().unwrap();
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let build = |case: &Case, directory: &Path| {
        let mut command = host.buildah();
        command.args([
            "bud",
            "--format",
            "docker",
            "--isolation",
            "chroot",
            "--pull-never",
            "-t",
            &case.name,
        ]);
        command.args(&case.flags).arg(directory);
        command
    };
    let save = |names: &[&str], archive: &Path| {
        let mut command = host.podman();
        command.args(["save", "-m", "-o"]).arg(archive);
        command.args(names.iter().map(|name| format!("localhost/{name}")));
        command
    };
    Ok(ask(host, "buildah", cases, build, save))
}

//! Builds: mydocker, buildah and Docker's classic builder with the same Dockerfile and context.
//!
//! One Dockerfile has 20 steps, RUN and COPY alternating; another copies many small files. buildah
//! commits each step only with `--layers`; without `--layers` it commits once, which is faster. The
//! builds without a cache run buildah without `--layers`.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::dockerd::Dockerd;
use super::peers::{Bench, US, is_installed};
use super::table::{Budget, Table, Value};
use super::turns::{Contender, output, take, time};

const BUILDAH: &str = "buildah";
const DOCKER: &str = "docker";
/// The number of files in the large context.
const FILES: usize = 20_000;
/// The maximum number of turns. It is low, because builds without a cache take long.
const MAX_ROUNDS: usize = 5;

pub fn measure(bench: &Bench, table: &mut Table) {
    let peers = Peers::start(bench);
    let (steps, many) = (bench.dir.join("steps"), bench.dir.join("many"));
    make_steps(&steps);
    make_many(&many);
    let changes = Cell::new(0);
    let mut row = |topic: &'static str, what: &str, work: Work, dir: &Path, budget: Budget| {
        let mut contenders = Vec::new();
        for name in peers.names() {
            let (peers, changes) = (&peers, &changes);
            contenders.push(Contender::new(name, move || {
                if matches!(work, Work::Changed) {
                    changes.set(changes.get() + 1);
                    let text = format!("change {}", changes.get());
                    fs::write(dir.join("f5"), text).expect("change a file");
                }
                time(&mut peers.build(bench, name, work, dir))
            }));
        }
        let figures = take(topic, bench.rounds.min(MAX_ROUNDS), contenders);
        let ours = Value::Milliseconds(figures.median(US));
        for (peer, theirs) in figures.peers() {
            let budget = if peer == BUILDAH { budget } else { Budget::AtMost(1.0) };
            table.against(what, ours, peer, Value::Milliseconds(theirs), budget);
        }
        if matches!(work, Work::Cached) {
            let most = Budget::Absolute(Value::Milliseconds(50.0));
            table.alone(&format!("{what}, alone"), ours, most);
        }
    };
    let quarter = Budget::AtMost(0.25);
    row("build-new", "build of 20 steps without a cache", Work::New, &steps, quarter);
    row("build-cached", "build of 20 steps, all cached", Work::Cached, &steps, quarter);
    row("build-changed", "build of 20 steps, the 12th changed", Work::Changed, &steps, quarter);
    row("build-many", "build with 20,000 small files, no cache", Work::New, &many, quarter);
}

/// How much of the build is in the cache.
#[derive(Clone, Copy)]
enum Work {
    New,
    Cached,
    /// One file has changed. A step in the middle copies this file.
    Changed,
}

struct Peers {
    buildah: bool,
    docker: Option<Dockerd>,
}

impl Peers {
    fn start(bench: &Bench) -> Peers {
        let buildah = is_installed(BUILDAH);
        if buildah {
            let id = output(Peers::buildah(bench).args(["from", "scratch"]));
            output(Peers::buildah(bench).args(["add", "-q", &id]).arg(bench.archive()).arg("/"));
            output(Peers::buildah(bench).args(["commit", "-q", &id, "bb"]));
        } else {
            eprintln!("bench: buildah is not installed; left out");
        }
        Peers { buildah, docker: Dockerd::start(bench, DOCKER) }
    }

    fn names(&self) -> Vec<&'static str> {
        let mut names = vec![US];
        names.extend(self.buildah.then_some(BUILDAH));
        names.extend(self.docker.as_ref().map(|_| DOCKER));
        names
    }

    fn buildah(bench: &Bench) -> Command {
        let mut command = Command::new(BUILDAH);
        command.arg("--root").arg(bench.dir.join("buildah"));
        command.arg("--runroot").arg(bench.dir.join("run/buildah"));
        command.args(["--storage-driver", "overlay"]);
        command
    }

    fn build(&self, bench: &Bench, name: &str, work: Work, dir: &Path) -> Command {
        let is_new = matches!(work, Work::New);
        let mut command = match (name, &self.docker) {
            (DOCKER, Some(docker)) => {
                let mut command = docker.command(DOCKER);
                // Drop stderr: docker prints at each build that this builder is deprecated.
                command.env("DOCKER_BUILDKIT", "0").stderr(Stdio::null());
                command.args(["build", "--network", "none"]);
                command
            }
            (BUILDAH, _) => {
                let mut command = Peers::buildah(bench);
                command.args(["bud", "--network", "none", "--ulimit", "nofile=1024:1024"]);
                command.args(if is_new { &[][..] } else { &["--layers"] });
                command
            }
            _ => {
                let mut command = bench.us();
                command.args(["build", "--network", "none"]);
                command
            }
        };
        command.args(if is_new { &["--no-cache"][..] } else { &[] });
        command.args(["-q", "-t", "built"]).arg(dir);
        command
    }
}

/// Makes a context with a Dockerfile of 20 steps. Each COPY copies a different file.
fn make_steps(dir: &Path) {
    fs::create_dir_all(dir).expect("make a context");
    let mut dockerfile = "FROM bb\n".to_owned();
    for step in 0..10 {
        dockerfile += &format!("RUN echo made >/r{step}\nCOPY f{step} /c{step}\n");
        fs::write(dir.join(format!("f{step}")), "x".repeat(1000 * step)).expect("write a file");
    }
    fs::write(dir.join("Dockerfile"), dockerfile).expect("write the Dockerfile");
}

fn make_many(dir: &Path) {
    for at in 0..FILES {
        let parent = dir.join(format!("files/{}", at / 200));
        if at % 200 == 0 {
            fs::create_dir_all(&parent).expect("make a directory");
        }
        fs::write(parent.join(at.to_string()), format!("file {at}\n")).expect("write a file");
    }
    fs::write(dir.join("Dockerfile"), "FROM bb\nCOPY files /files\n")
        .expect("write the Dockerfile");
}

//! Builds: mydocker, buildah and Docker's classic builder with the same Dockerfile and context.
//!
//! The file has 20 steps, RUN and COPY in turn. buildah commits each step only with `--layers`; without
//! them it commits once, which is its fastest form and the one that a build without a cache is
//! compared with. Docker has a daemon of its own for this, started here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::peers::{Bench, US};
use super::table::{Budget, Table, Value};
use super::turns::{Contender, output, take, time};

const BUILDAH: &str = "buildah";
const DOCKER: &str = "docker";
/// Files of the large context.
const FILES: usize = 20_000;
/// A build takes a second or more with the peers.
const MAX_ROUNDS: usize = 5;
/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn measure(bench: &Bench, table: &mut Table) {
    let peers = Peers::start(bench);
    let (steps, many) = (bench.dir.join("steps"), bench.dir.join("many"));
    make_steps(&steps);
    make_many(&many);
    let mut turn = 0;
    let mut row = |topic: &'static str, what: &str, work: Work, dir: &Path, budget: Budget| {
        let mut contenders = Vec::new();
        let turn = std::cell::RefCell::new(&mut turn);
        for name in peers.names() {
            let (peers, turn) = (&peers, &turn);
            contenders.push(Contender::new(name, move || {
                if matches!(work, Work::Changed) {
                    let mut turn = turn.borrow_mut();
                    **turn += 1;
                    fs::write(dir.join("f5"), format!("change {turn}")).expect("change a file");
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
    row("build-changed", "build of 20 steps, the 10th changed", Work::Changed, &steps, quarter);
    row("build-many", "build with 20,000 small files, no cache", Work::New, &many, quarter);
}

/// What a build finds.
#[derive(Clone, Copy)]
enum Work {
    New,
    Cached,
    /// A file that a step in the middle copies is new.
    Changed,
}

struct Peers {
    buildah: bool,
    daemon: Option<Daemon>,
}

struct Daemon {
    child: Child,
    socket: PathBuf,
}

impl Peers {
    fn start(bench: &Bench) -> Peers {
        let installed = |name: &str| Command::new(name).arg("--version").output().is_ok();
        let buildah = installed(BUILDAH);
        if buildah {
            let id = output(Peers::buildah(bench).args(["from", "scratch"]));
            output(Peers::buildah(bench).args(["add", "-q", &id]).arg(bench.archive()).arg("/"));
            output(Peers::buildah(bench).args(["commit", "-q", &id, "bb"]));
        } else {
            eprintln!("bench: buildah is not installed; left out");
        }
        let daemon = if installed("dockerd") { Daemon::start(bench) } else { None };
        match &daemon {
            Some(daemon) => {
                output(daemon.docker().arg("import").arg(bench.archive()).arg("bb"));
            }
            None => eprintln!("bench: there is no dockerd here; left out"),
        }
        Peers { buildah, daemon }
    }

    fn names(&self) -> Vec<&'static str> {
        let mut names = vec![US];
        names.extend(self.buildah.then_some(BUILDAH));
        names.extend(self.daemon.as_ref().map(|_| DOCKER));
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
        let mut command = match (name, &self.daemon) {
            (DOCKER, Some(daemon)) => {
                let mut command = daemon.docker();
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

impl Daemon {
    fn start(bench: &Bench) -> Option<Daemon> {
        let (data, run) = (bench.dir.join("docker"), bench.dir.join("run/docker"));
        fs::create_dir_all(&run).expect("make docker's run directory");
        let socket = run.join("docker.sock");
        let child = Command::new("dockerd")
            .arg("--data-root")
            .arg(&data)
            .arg("--exec-root")
            .arg(run.join("exec"))
            .arg("--pidfile")
            .arg(run.join("docker.pid"))
            .arg("-H")
            .arg(format!("unix://{}", socket.display()))
            .args(["--bridge", "none", "--iptables=false", "--ip6tables=false"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let daemon = Daemon { child, socket };
        let started = Instant::now();
        while !daemon.docker().arg("info").output().is_ok_and(|done| done.status.success()) {
            if started.elapsed() > PATIENCE {
                return None;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Some(daemon)
    }

    fn docker(&self) -> Command {
        let mut command = Command::new(DOCKER);
        command.env("DOCKER_BUILDKIT", "0").env_remove("DOCKER_HOST");
        command.arg("-H").arg(format!("unix://{}", self.socket.display()));
        command
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It ends its containerd itself when it is asked to end.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// 20 steps, each of a file of its own.
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

//! A project of ten services on one network, brought up and taken down: `mydocker compose` beside
//! Debian's docker-compose with a dockerd that runs already. dockerd has a network namespace of its
//! own, so that its bridge and its firewall rules stay away from the host's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::peers::{Bench, US, is_installed};
use super::table::{Budget, Table, Value};
use super::turns::{Contender, output, take, time};

const COMPOSE: &str = "docker-compose";
const SERVICES: usize = 10;
/// After so long dockerd has surely failed.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn measure(bench: &Bench, table: &mut Table) {
    let project = bench.dir.join("project");
    fs::create_dir_all(&project).expect("make the project's directory");
    let mut text = String::from("services:\n");
    for number in 0..SERVICES {
        text.push_str(&format!("  s{number}: {{image: bb, command: sleep 100000}}\n"));
    }
    fs::write(project.join("compose.yaml"), text).expect("write the compose file");
    let docker = Docker::start(bench);
    for (topic, what, is_up) in [
        ("compose-up", "compose up -d, 10 services", true),
        ("compose-down", "compose down, 10 services", false),
    ] {
        let mut contenders = vec![Contender::new(US, || ours(bench, &project, is_up))];
        if let Some(docker) = &docker {
            contenders.push(Contender::new(COMPOSE, || docker.turn(&project, is_up)));
        }
        let figures = take(topic, bench.rounds.min(5), contenders);
        let ours = Value::Milliseconds(figures.median(US));
        if docker.is_none() {
            table.alone(what, ours, Budget::None);
        }
        for (peer, theirs) in figures.peers() {
            table.against(what, ours, peer, Value::Milliseconds(theirs), Budget::AtMost(0.1));
        }
    }
}

/// The time of `up` or of `down`; both are done.
fn ours(bench: &Bench, project: &Path, is_up: bool) -> f64 {
    let compose = |words: &[&str]| {
        let mut command = bench.us();
        command.arg("compose").args(words).current_dir(project).stderr(Stdio::null());
        time(&mut command)
    };
    let times = (compose(&["up", "-d"]), compose(&["down", "-t", "0"]));
    if is_up { times.0 } else { times.1 }
}

/// A dockerd, ended when dropped.
struct Docker {
    daemon: Child,
    socket: String,
    namespace: String,
}

impl Docker {
    /// `None` if it is not installed or does not start, with a word about it.
    fn start(bench: &Bench) -> Option<Docker> {
        if ![COMPOSE, "dockerd", "docker", "ip"].iter().all(|program| is_installed(program)) {
            eprintln!("bench: docker-compose or dockerd is not installed; left out");
            return None;
        }
        let dir = bench.dir.join("docker");
        fs::create_dir_all(&dir).expect("make dockerd's directory");
        let path = |name: &str| -> PathBuf { dir.join(name) };
        let namespace = format!("mdbench{}", std::process::id());
        output(Command::new("ip").args(["netns", "add", &namespace]));
        output(Command::new("ip").args(["-n", &namespace, "link", "set", "lo", "up"]));
        let socket = format!("unix://{}", path("socket").display());
        let log = fs::File::create(path("log")).expect("make dockerd's log");
        fs::write(path("none.json"), "{}").expect("write dockerd's configuration");
        // Not by `ip netns exec`, which hides the cgroups behind a /sys of its own.
        let mut daemon = Command::new("nsenter");
        daemon.arg(format!("--net=/run/netns/{namespace}"));
        daemon.args(["unshare", "-m", "--propagation", "private"]);
        daemon.arg("dockerd").arg("--data-root").arg(path("data"));
        daemon.arg("--exec-root").arg(path("exec")).arg("--pidfile").arg(path("pid"));
        daemon.arg("--config-file").arg(path("none.json")).args(["--host", &socket]);
        daemon.stdin(Stdio::null()).stdout(log.try_clone().expect("duplicate")).stderr(log);
        let daemon = daemon.spawn().expect("start dockerd");
        let mut docker = Docker { daemon, socket, namespace };
        let begun = Instant::now();
        while !docker
            .command("docker")
            .arg("version")
            .output()
            .is_ok_and(|out| out.status.success())
        {
            let has_ended = docker.daemon.try_wait().is_ok_and(|status| status.is_some());
            if has_ended || begun.elapsed() > PATIENCE {
                eprintln!("bench: dockerd does not start, see {}; left out", path("log").display());
                return None;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        output(docker.command("docker").arg("import").arg(bench.archive()).arg("bb"));
        Some(docker)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("DOCKER_HOST", &self.socket);
        command
    }

    fn turn(&self, project: &Path, is_up: bool) -> f64 {
        let compose = |words: &[&str]| {
            let mut command = self.command(COMPOSE);
            command.args(["-f", "compose.yaml"]).args(words).current_dir(project);
            time(command.stderr(Stdio::null()))
        };
        let times = (compose(&["up", "-d"]), compose(&["down", "-t", "0"]));
        if is_up { times.0 } else { times.1 }
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // By its own process, so that it takes its containers and mounts with it.
        let _ = kill_process(Pid::from_child(&self.daemon), Signal::TERM);
        let _ = self.daemon.wait();
        output(Command::new("ip").args(["netns", "del", &self.namespace]));
    }
}

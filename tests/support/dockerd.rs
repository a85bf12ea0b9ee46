//! Docker itself, Debian's package docker.io, as the oracle of tests that compare: a dockerd with
//! state of its own on a socket of its own, in the network namespace of the test's machine, where
//! its bridge and firewall rules stay, and in a mount namespace of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::machine::{Machine, Side};
use super::{Done, Host, call, remove_cgroup, unique};

// By path: another docker may come first in the PATH.
const DOCKER: &str = "/usr/bin/docker";
const DOCKERD: &str = "/usr/sbin/dockerd";

/// A running dockerd. When it is dropped its containers are removed and it is ended.
pub struct Dockerd {
    dir: PathBuf,
    daemon: Child,
    cgroup: String,
    machine: Machine,
}

impl Dockerd {
    /// Starts dockerd with its files below the scratch directory of `host`. `bip` is the host's
    /// address on its default network. The error says why it can't run here.
    pub fn start(host: &Host, bip: &str) -> Result<Dockerd, String> {
        Dockerd::start_with(host, bip, &[])
    }

    /// As `start`, with further flags.
    pub fn start_with(host: &Host, bip: &str, flags: &[&str]) -> Result<Dockerd, String> {
        let version = Command::new(DOCKER).arg("--version").output();
        let version = version.map_err(|error| {
            format!("{DOCKER} can't be run ({error}): apt-get install docker.io")
        })?;
        let version = String::from_utf8_lossy(&version.stdout).into_owned();
        if !version.contains(" 20.10.") {
            return Err(format!("the oracle is Docker 20.10, and this is {}", version.trim()));
        }
        let dir = host.scratch().join("docker");
        std::fs::create_dir(&dir).unwrap();
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let machine = Machine::new();
        let cgroup = unique("mydocker-oracle-");
        let unshare = ["unshare", "--mount", "--propagation", "private"];
        let mut daemon = machine.command(Side::Here, &unshare);
        daemon.arg(DOCKERD).args(["--bip", bip]).args(flags);
        daemon.arg("--cgroup-parent").arg(format!("/{cgroup}"));
        daemon.arg("--data-root").arg(dir.join("data"));
        daemon.arg("--exec-root").arg(dir.join("run"));
        daemon.arg("--pidfile").arg(dir.join("pid"));
        daemon.arg("--config-file").arg(dir.join("none.json"));
        daemon.arg("--host").arg(format!("unix://{}", dir.join("socket").display()));
        std::fs::write(dir.join("none.json"), "{}").unwrap();
        daemon.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let daemon = daemon.spawn().unwrap();
        let mut dockerd = Dockerd { dir, daemon, cgroup, machine };
        loop {
            if dockerd.command(["version"]).output().unwrap().status.success() {
                return Ok(dockerd);
            }
            if dockerd.daemon.try_wait().unwrap().is_some() {
                let log = std::fs::read_to_string(dockerd.dir.join("log")).unwrap();
                let last: Vec<&str> = log.lines().rev().take(3).collect();
                return Err(format!("dockerd doesn't start: {}", last.join(" | ")));
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// The command line `docker ARGS` for this daemon.
    pub fn command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(DOCKER);
        command.env("DOCKER_HOST", format!("unix://{}", self.dir.join("socket").display()));
        command.env("DOCKER_CONFIG", self.dir.join("config")).args(args);
        command
    }

    /// A line of shell that executes `docker "$@"` for this daemon.
    pub fn shell_line(&self) -> String {
        let dir = self.dir.display();
        format!("DOCKER_HOST=unix://{dir}/socket DOCKER_CONFIG={dir}/config exec {DOCKER} \"$@\"")
    }

    /// Where its bridge and published ports are.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Runs `docker ARGS` to its end.
    pub fn docker<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Done {
        call::run(self.command(args), None)
    }

    /// Where its images, containers and volumes are.
    pub fn data_root(&self) -> PathBuf {
        self.dir.join("data")
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        let listed = self.command(["ps", "-aq"]).output().unwrap();
        for id in String::from_utf8_lossy(&listed.stdout).lines() {
            let _ = self.command(["rm", "-f", "-v", id]).output();
        }
        let _ = kill_process(Pid::from_child(&self.daemon), Signal::TERM);
        let _ = self.daemon.wait();
        remove_cgroup(&self.cgroup);
        self.machine.stop();
    }
}

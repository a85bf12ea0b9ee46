//! Docker from Debian's package docker.io, for tests that compare with it or make mydocker its
//! runtime. This dockerd has its own state and socket, and its own network and mount namespaces
//! (`daemon.rs`). So the host's Docker is not touched.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::daemon::Daemon;
use super::machine::Machine;
use super::{Done, Host, call, unique};

// Full paths, because PATH may contain another docker.
const DOCKER: &str = "/usr/bin/docker";
const DOCKERD: &str = "/usr/sbin/dockerd";

/// A running dockerd. Dropping this removes its containers and stops it.
pub struct Dockerd {
    dir: PathBuf,
    daemon: Daemon,
}

impl Dockerd {
    /// Starts dockerd with its files below the scratch directory of `host`. `bip` is the address
    /// and prefix of the bridge of Docker's default network. The error contains the reason why
    /// dockerd can't run here.
    pub fn start(host: &Host, bip: &str) -> Result<Dockerd, String> {
        Dockerd::start_with(host, bip, &[])
    }

    /// As `start`, with more flags.
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
        std::fs::write(dir.join("none.json"), "{}").unwrap();
        let cgroup = unique("mydocker-oracle-");
        let line = format!(
            "{DOCKERD} --bip {bip} --cgroup-parent /{cgroup} --data-root {0}/data \
             --exec-root {0}/run --pidfile {0}/pid --config-file {0}/none.json \
             --host unix://{0}/socket",
            dir.display()
        );
        let line: Vec<&str> = line.split(' ').chain(flags.iter().copied()).collect();
        let daemon = Daemon::start(&line, &dir.join("log"), &cgroup, client(&dir, ["version"]))?;
        Ok(Dockerd { dir, daemon })
    }

    /// The command `docker ARGS` for this daemon.
    pub fn command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        client(&self.dir, args)
    }

    /// A line of shell that executes `docker "$@"` for this daemon.
    pub fn shell_line(&self) -> String {
        let dir = self.dir.display();
        format!("DOCKER_HOST=unix://{dir}/socket DOCKER_CONFIG={dir}/config exec {DOCKER} \"$@\"")
    }

    /// The machine with the daemon's bridge and published ports.
    pub fn machine(&self) -> &Machine {
        &self.daemon.machine
    }

    /// Runs `docker ARGS` to its end.
    pub fn docker<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Done {
        call::run(self.command(args), None)
    }

    /// The directory of the daemon's images, containers and volumes.
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
    }
}

/// The command `docker ARGS` for the daemon with its files in `dir`.
fn client<'a>(dir: &Path, args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(DOCKER);
    command.env("DOCKER_HOST", format!("unix://{}", dir.join("socket").display()));
    command.env("DOCKER_CONFIG", dir.join("config")).args(args);
    command
}

//! A dockerd to measure beside, with its state in the benchmark's directory and the image `bb`. It
//! has its own network namespace, which keeps its bridge and firewall rules off the host. It starts
//! before the first turn, so its start is not measured.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::peers::{Bench, is_installed};
use super::turns::output;

/// If dockerd does not answer within this time, it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running dockerd, which stops when this value is dropped.
pub struct Dockerd {
    daemon: Child,
    socket: String,
    namespace: String,
}

impl Dockerd {
    /// Starts dockerd. Prints a line and returns `None` if a program is not installed or dockerd
    /// does not start.
    pub fn start(bench: &Bench, client: &str) -> Option<Dockerd> {
        if let Some(missing) =
            [client, "dockerd", "docker", "ip"].iter().find(|program| !is_installed(program))
        {
            eprintln!("bench: {missing} is not installed; Docker is left out");
            return None;
        }
        let (dir, run) = (bench.dir.join("docker"), bench.dir.join("run/docker"));
        fs::create_dir_all(&dir).expect("make dockerd's directory");
        let path = |name: &str| dir.join(name);
        let namespace = format!("mdbench{}", std::process::id());
        output(Command::new("ip").args(["netns", "add", &namespace]));
        output(Command::new("ip").args(["-n", &namespace, "link", "set", "lo", "up"]));
        let socket = format!("unix://{}", path("socket").display());
        let log = fs::File::create(path("log")).expect("make dockerd's log");
        fs::write(path("none.json"), "{}").expect("write dockerd's configuration");
        // Use nsenter: `ip netns exec` would mount a new /sys, which has no cgroups.
        let mut daemon = Command::new("nsenter");
        daemon.arg(format!("--net=/run/netns/{namespace}"));
        daemon.args(["unshare", "-m", "--propagation", "private"]);
        daemon.arg("dockerd").arg("--data-root").arg(path("data"));
        daemon.arg("--exec-root").arg(run).arg("--pidfile").arg(path("pid"));
        daemon.arg("--config-file").arg(path("none.json")).args(["--host", &socket]);
        daemon.stdin(Stdio::null()).stdout(log.try_clone().expect("duplicate")).stderr(log);
        let daemon = daemon.spawn().expect("start dockerd");
        let mut dockerd = Dockerd { daemon, socket, namespace };
        let started = Instant::now();
        while !dockerd
            .command("docker")
            .arg("version")
            .output()
            .is_ok_and(|out| out.status.success())
        {
            let has_ended = dockerd.daemon.try_wait().is_ok_and(|status| status.is_some());
            if has_ended || started.elapsed() > PATIENCE {
                let log = fs::read_to_string(path("log")).unwrap_or_default();
                let last = log.lines().last().unwrap_or_default();
                eprintln!("bench: dockerd does not start: {last}; Docker is left out");
                return None;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        output(dockerd.command("docker").arg("import").arg(bench.archive()).arg("bb"));
        Some(dockerd)
    }

    /// A command of the client `program` for this dockerd.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("DOCKER_HOST", &self.socket);
        command
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // Send SIGTERM, so that dockerd stops its containers and removes its mounts.
        let _ = kill_process(Pid::from_child(&self.daemon), Signal::TERM);
        let _ = self.daemon.wait();
        output(Command::new("ip").args(["netns", "del", &self.namespace]));
    }
}

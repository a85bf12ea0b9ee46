//! Engines that people have, with mydocker as their OCI runtime: Podman, Docker and containerd from
//! Debian's packages, driven as their users do. Each has its state in the test's directory and its
//! daemon on a socket there; Docker and containerd are in a network namespace of the test's own.

mod support;

use std::path::PathBuf;
use std::process::Command;

use support::daemon::Daemon;
use support::dockerd::Dockerd;
use support::{Background, Done, Host, MYDOCKER, Terminal, eventually, run_command, unique};

/// The binary under the name by which engines call a runtime.
fn runtime(host: &Host) -> PathBuf {
    let link = host.scratch().join("mydocker-runtime");
    if !link.exists() {
        std::fs::hard_link(MYDOCKER, &link)
            .or_else(|_| std::fs::copy(MYDOCKER, &link).map(drop))
            .unwrap();
    }
    link
}

/// Podman with its image `bb`.
struct Podman {
    host: Host,
    /// Removed with its containers and pods.
    has_pods: bool,
}

/// Without these Podman asks for more than this process may give.
const ULIMITS: [&str; 6] =
    ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000", "--network", "none"];

impl Podman {
    fn new() -> Podman {
        let podman = Podman { host: Host::new(), has_pods: false };
        // Locks in shared memory would be the whole machine's.
        let limits = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1000:1000\"]\n\
                      [engine]\nlock_type = \"file\"\n";
        podman.host.file("containers.conf", limits);
        podman.host.file("ids", "containers:1000000:65536\n");
        podman.call(&["import", support::busybox_archive().to_str().unwrap(), "bb"]).text();
        podman
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.host.podman();
        command.arg("--runtime").arg(runtime(&self.host)).args(["--cgroup-manager", "cgroupfs"]);
        command.env("CONTAINERS_CONF", self.host.scratch().join("containers.conf"));
        command.args(args);
        command
    }

    /// A call with IDs for `--userns auto`, which takes them from /etc/subuid and no flag.
    fn call_with_ids(&self, args: &[&str]) -> Done {
        let podman = self.command(args);
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "slave", "sh", "-c"]);
        command.arg(
            "mount --bind \"$IDS\" /etc/subuid && mount --bind \"$IDS\" /etc/subgid && exec \"$@\"",
        );
        command.arg("sh").arg(podman.get_program()).args(podman.get_args());
        command.env("CONTAINERS_CONF", self.host.scratch().join("containers.conf"));
        command.env("IDS", self.host.scratch().join("ids"));
        run_command(command)
    }

    fn call(&self, args: &[&str]) -> Done {
        run_command(self.command(args))
    }

    /// `podman run ARGS`
    fn run(&self, args: &[&str]) -> Done {
        self.call(&[&["run"], &ULIMITS[..], args].concat())
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.command(&["rm", "-f", "-a", "-t", "0"]).output();
        if self.has_pods {
            let _ = self.command(&["pod", "rm", "-f", "-a", "-t", "0"]).output();
        }
    }
}

#[test]
fn podman_runs_executes_logs_and_restarts() {
    let podman = Podman::new();
    podman.run(&["--rm", "bb", "echo", "hi"]).stdout("hi\n");
    podman.run(&["--rm", "bb", "sh", "-c", "exit 7"]).exits(7).stdout("");
    podman.run(&["--rm", "bb", "nothing-of-this-name"]).exits(127).stderr_has("not found");
    podman.run(&["-d", "--name", "c", "bb", "sh", "-c", "echo begun; exec sleep 1000"]).text();
    podman.call(&["exec", "c", "cat", "/proc/1/comm"]).stdout("sleep\n");
    podman.call(&["exec", "c", "sh", "-c", "exit 5"]).exits(5).stdout("");
    podman
        .call(&[
            "exec",
            "-u",
            "7:8",
            "-w",
            "/tmp",
            "-e",
            "A=b",
            "c",
            "sh",
            "-c",
            "id -u; pwd; echo $A",
        ])
        .stdout("7\n/tmp\nb\n");
    podman.call(&["logs", "c"]).stdout("begun\n");
    podman.call(&["restart", "-t", "0", "c"]).text();
    podman.call(&["logs", "c"]).stdout("begun\nbegun\n");
    podman.call(&["inspect", "-f", "{{.OCIRuntime}} {{.State.Status}}", "c"]).stdout_has("running");
    podman.call(&["top", "c", "comm"]).stdout_has("sleep");
    podman.call(&["stats", "--no-stream", "--format", "{{.PIDs}}", "c"]).stdout("1\n");
    podman.call(&["stop", "-t", "0", "c"]).text();
    podman.call(&["inspect", "-f", "{{.State.ExitCode}}", "c"]).stdout("137\n");
}

#[test]
fn podman_pauses_and_has_read_only_init_and_user_namespaces() {
    let podman = Podman::new();
    podman.run(&["-d", "--name", "c", "bb", "sleep", "1000"]).text();
    podman.call(&["pause", "c"]).text();
    podman.call(&["inspect", "-f", "{{.State.Status}}", "c"]).stdout("paused\n");
    podman.call(&["unpause", "c"]).text();
    podman.call(&["exec", "c", "true"]).stdout("");
    podman.run(&["--rm", "--read-only", "bb", "touch", "/x"]).exits(1).stderr_has("Read-only");
    podman
        .run(&["--rm", "--read-only", "bb", "touch", "/run/x", "/tmp/x", "/dev/shm/x"])
        .stdout("");
    podman.run(&["--rm", "--init", "bb", "cat", "/proc/1/comm"]).stdout("podman-init\n");
    let auto = ["--rm", "--userns", "auto:size=1024", "bb", "cat", "/proc/self/uid_map"];
    let mapped = podman.call_with_ids(&[&["run"], &ULIMITS[..], &auto[..]].concat()).text();
    let numbers: Vec<&str> = mapped.split_whitespace().collect();
    assert_eq!((numbers[0], numbers[2]), ("0", "1024"), "{mapped}");
    let maps = ["--uidmap", "0:100000:1024", "--gidmap", "0:100000:1024", "bb", "sleep", "1000"];
    podman.run(&[&["-d", "--name", "u"], &maps[..]].concat()).text();
    podman.call(&["exec", "u", "id", "-u"]).stdout("0\n");
    let limits = ["-m", "64m", "--cpus", "0.5", "--pids-limit", "9", "--cap-drop", "ALL"];
    let status = "grep CapEff /proc/self/status; cat /sys/fs/cgroup/pids/pids.max; \
                  cat /sys/fs/cgroup/memory/memory.limit_in_bytes";
    podman
        .run(&[&["--rm"], &limits[..], &["bb", "sh", "-c", status]].concat())
        .stdout("CapEff:\t0000000000000000\n9\n67108864\n");
}

#[test]
fn podman_checks_health_and_attaches_a_terminal() {
    let podman = Podman::new();
    let check = ["--health-cmd", "test -e /tmp/well", "--health-interval", "disable"];
    podman.run(&[&["-d", "--name", "h"], &check[..], &["bb", "sleep", "1000"]].concat()).text();
    podman.call(&["healthcheck", "run", "h"]).exits(1);
    podman.call(&["exec", "h", "touch", "/tmp/well"]).stdout("");
    podman.call(&["healthcheck", "run", "h"]).stdout("");

    let run =
        [&["run"], &ULIMITS[..], &["--rm", "-it", "bb", "sh", "-c", "tty; read x; echo got $x"]];
    let mut terminal = Terminal::spawn(&podman.command(&run.concat()));
    terminal.expect("/dev/pts/0");
    terminal.type_in("word\r");
    terminal.expect("got word");
    terminal.wait();

    podman.run(&["-dit", "--name", "t", "bb", "sh"]).text();
    let mut terminal = Terminal::spawn(&podman.command(&["attach", "t"]));
    terminal.type_in("echo $((40+2))\r");
    terminal.expect("42");
    terminal.type_in("exit 3\r");
    // Its status is lost by this version, whatever the runtime.
    terminal.wait();
    podman.call(&["wait", "t"]).stdout("3\n");
}

#[test]
fn the_containers_of_a_podman_pod_share_a_network() {
    let mut podman = Podman::new();
    podman.has_pods = true;
    podman.call(&["pod", "create", "--name", "p", "--network", "none"]).text();
    let in_pod = |args: &[&str]| {
        let ulimits = &ULIMITS[..4];
        podman.call(&[&["run"], ulimits, &["--pod", "p"], args].concat())
    };
    in_pod(&[
        "-d",
        "--name",
        "web",
        "bb",
        "sh",
        "-c",
        "ip link set lo up; nc -l -p 80 -e echo here",
    ])
    .text();
    in_pod(&["-d", "--name", "other", "bb", "sleep", "1000"]).text();
    let namespace =
        |name: &str| podman.call(&["exec", name, "readlink", "/proc/self/ns/net"]).text();
    assert_eq!(namespace("web"), namespace("other"));
    podman.call(&["pod", "ps", "--format", "{{.Status}}"]).stdout("Running\n");
    podman.call(&["pod", "stop", "-t", "0", "p"]).text();
}

#[test]
fn podman_builds_images() {
    let podman = Podman::new();
    let file =
        podman.host.file("Dockerfile", "FROM bb\nRUN echo made > /made && id -u\nCMD cat /made\n");
    let context = podman.host.scratch();
    let (file, context) = (file.to_str().unwrap(), context.to_str().unwrap());
    podman
        .call(&[
            "build",
            "--network",
            "none",
            "--ulimit",
            "nofile=1024:1024",
            "-t",
            "made",
            "-f",
            file,
            context,
        ])
        .stdout_has("STEP 2/3");
    podman.run(&["--rm", "made"]).stdout("made\n");
}

/// A dockerd whose default runtime is mydocker, with the image `bb`.
fn docker(host: &Host) -> Result<Dockerd, String> {
    let runtime = format!("mydocker={}", runtime(host).display());
    let args = ["--add-runtime", &runtime, "--default-runtime", "mydocker"];
    let docker = Dockerd::start_with(host, "10.233.7.1/24", &args)?;
    docker.docker(["import", support::busybox_archive().to_str().unwrap(), "bb"]).text();
    Ok(docker)
}

#[test]
fn docker_runs_executes_updates_and_restarts() {
    let host = Host::new();
    let docker = match docker(&host) {
        Ok(docker) => docker,
        Err(reason) => skip!("{reason}"),
    };
    let call = |args: &[&str]| docker.docker(args.iter().copied());
    call(&["run", "--rm", "bb", "echo", "hi"]).stdout("hi\n");
    call(&["run", "--rm", "bb", "sh", "-c", "exit 7"]).exits(7).stdout("");
    call(&["run", "--rm", "bb", "nothing-of-this-name"]).exits(127).stderr_has("not found");
    let script = "echo begun; exec sleep 1000";
    let limits = ["-m", "64m", "--cpus", "0.5"];
    call(&[&["run", "-d", "--name", "main"], &limits[..], &["bb", "sh", "-c", script]].concat())
        .text();
    call(&["exec", "main", "cat", "/proc/1/comm"]).stdout("sleep\n");
    call(&["exec", "main", "sh", "-c", "exit 5"]).exits(5).stdout("");
    call(&["logs", "main"]).stdout("begun\n");
    let limit = ["exec", "main", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    call(&limit).stdout("67108864\n");
    call(&["update", "-m", "128m", "--memory-swap", "256m", "--cpus", "1", "main"]).text();
    call(&limit).stdout("134217728\n");
    call(&["exec", "main", "cat", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"]).stdout("100000\n");
    call(&["stats", "--no-stream", "--format", "{{.PIDs}}", "main"]).stdout("1\n");
    call(&["top", "main"]).stdout_has("sleep 1000");
    call(&["pause", "main"]).text();
    call(&["inspect", "-f", "{{.State.Status}}", "main"]).stdout("paused\n");
    call(&["unpause", "main"]).text();
    call(&["restart", "-t", "0", "main"]).text();
    call(&["logs", "main"]).stdout("begun\nbegun\n");
    call(&["stop", "-t", "0", "main"]).text();
    call(&["inspect", "-f", "{{.State.ExitCode}} {{.State.Status}}", "main"])
        .stdout("137 exited\n");
    call(&[
        "run",
        "-d",
        "--name",
        "again",
        "--restart",
        "on-failure:3",
        "bb",
        "sh",
        "-c",
        "exit 3",
    ])
    .text();
    eventually("Docker gives up", || {
        call(&["inspect", "-f", "{{.RestartCount}} {{.State.Status}}", "again"]).text()
            == "3 exited"
    });
    call(&["run", "--rm", "--init", "bb", "cat", "/proc/1/comm"]).stdout("docker-init\n");
    call(&["run", "--rm", "-t", "bb", "tty"]).stdout_has("/dev/pts/0");
    call(&["run", "--rm", "--read-only", "--tmpfs", "/run", "bb", "touch", "/run/x"]).stdout("");
    let held = "id -u; ulimit -n; grep -E 'CapBnd|NoNewPrivs' /proc/self/status";
    let flags = ["--ulimit", "nofile=100", "-u", "1000:1000", "--cap-drop", "ALL"];
    let no_new = ["--security-opt", "no-new-privileges", "bb", "sh", "-c", held];
    call(&[&["run", "--rm"], &flags[..], &no_new[..]].concat())
        .stdout("1000\n100\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n");
}

#[test]
fn docker_runs_fifty_at_once() {
    let host = Host::new();
    let docker = match docker(&host) {
        Ok(docker) => docker,
        Err(reason) => skip!("{reason}"),
    };
    let started: Vec<Background> = (0..50)
        .map(|number| {
            let name = format!("many{number}");
            Background::spawn(docker.command(["run", "-d", "--name", &name, "bb", "sleep", "1000"]))
        })
        .collect();
    started.into_iter().for_each(|started| drop(started.wait().text()));
    assert_eq!(docker.docker(["ps", "-q"]).lines().len(), 50);
    let names: Vec<String> = (0..50).map(|number| format!("many{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    docker.docker([&["rm", "-f"], &names[..]].concat()).text();
}

/// containerd on a socket of its own, without the plugin for Kubernetes.
struct Containerd {
    // Ended before its files go.
    _daemon: Daemon,
    host: Host,
    namespace: String,
}

impl Containerd {
    fn start() -> Result<Containerd, String> {
        let host = Host::new();
        let dir = host.scratch();
        let config = format!(
            "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = \"{0}/socket\"\n",
            dir.display()
        );
        let config = host.file("containerd.toml", config);
        let line = ["containerd", "-c", config.to_str().unwrap()];
        // Its cgroup has the name of the namespace.
        let namespace = unique("mydocker-ctr-");
        let client = ctr(&host, &namespace, &["version"]);
        let daemon = Daemon::start(&line, &dir.join("log"), &namespace, client)?;
        Ok(Containerd { _daemon: daemon, host, namespace })
    }

    fn ctr(&self, args: &[&str]) -> Done {
        run_command(ctr(&self.host, &self.namespace, args))
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        for task in ["one", "two"] {
            for end in [&["kill", "-s", "KILL"][..], &["rm", "-f"]] {
                let args = [&["tasks"], end, &[task]].concat();
                let _ = ctr(&self.host, &self.namespace, &args).output();
            }
        }
    }
}

/// `ctr ARGS` for the containerd of `host`.
fn ctr(host: &Host, namespace: &str, args: &[&str]) -> Command {
    let mut command = Command::new("ctr");
    command.arg("-a").arg(host.scratch().join("socket"));
    command.args(["-n", namespace]).args(args);
    command
}

#[test]
fn containerd_runs_tasks_by_its_shim() {
    let containerd = match Containerd::start() {
        Ok(containerd) => containerd,
        Err(reason) => skip!("{reason}"),
    };
    let ctr = |args: &[&str]| containerd.ctr(args);
    let archive = containerd.host.scratch().join("bb.tar");
    let target = format!("docker-archive:{}:docker.io/library/bb:latest", archive.display());
    let source = format!("tarball:{}", support::busybox_archive().display());
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["--insecure-policy", "copy", "-q", &source, &target]);
    run_command(skopeo).text();
    ctr(&["images", "import", archive.to_str().unwrap()]).text();
    let binary = runtime(&containerd.host);
    let run =
        |args: &[&str]| ctr(&[&["run", "--runc-binary", binary.to_str().unwrap()], args].concat());
    let image = "docker.io/library/bb:latest";
    // Once, on a busy machine, ctr printed nothing of a task that ended at once.
    eventually("a task's output", || run(&["--rm", image, "one", "echo", "hi"]).text() == "hi");
    run(&["--rm", image, "one", "sh", "-c", "exit 7"]).exits(7);
    run(&["-d", image, "two", "sleep", "1000"]).text();
    ctr(&["tasks", "ls"]).stdout_has("RUNNING");
    ctr(&["tasks", "exec", "--exec-id", "x", "two", "cat", "/proc/1/comm"]).stdout("sleep\n");
    ctr(&["tasks", "pause", "two"]).text();
    ctr(&["tasks", "ls"]).stdout_has("PAUSED");
    ctr(&["tasks", "resume", "two"]).text();
    ctr(&["tasks", "metrics", "two"]).stdout_has("pids.current");
    ctr(&["tasks", "kill", "-s", "KILL", "two"]).text();
    eventually("containerd sees the end", || ctr(&["tasks", "ls"]).text().contains("STOPPED"));
    ctr(&["tasks", "rm", "two"]).stderr_has("non-zero exit code 137");
    ctr(&["containers", "rm", "two"]).text();
}

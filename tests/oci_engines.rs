//! Podman, Docker and containerd with mydocker as their OCI runtime. The engines are from Debian's
//! packages. Their usual clients drive them, and the Kubernetes interface (CRI) also drives
//! containerd. The state of each engine, and the sockets of the daemons, are in the test's
//! directory. Docker and containerd run in the test's own network namespace.
//!
//! Not tested here are a kubelet, k3s and CRI's streams. `tests/host` tests cgroups by systemd,
//! with systemd as PID 1.

mod support;

use std::path::PathBuf;
use std::process::Command;

use support::cri::{self, Message};
use support::daemon::Daemon;
use support::dockerd::Dockerd;
use support::{Background, Done, Host, MYDOCKER, Terminal, eventually, run_command, unique};

/// The binary under the name by which engines call the runtime.
fn runtime(host: &Host) -> PathBuf {
    let link = host.scratch().join("mydocker-runtime");
    if !link.exists() {
        std::fs::hard_link(MYDOCKER, &link)
            .or_else(|_| std::fs::copy(MYDOCKER, &link).map(drop))
            .unwrap();
    }
    link
}

/// Podman with an image `bb`.
struct Podman {
    host: Host,
    /// Whether there are pods to remove at the end.
    has_pods: bool,
}

/// Flags of `podman run`: no network, and limits that this process may set. Podman's default limits
/// may be higher than this process's.
const ULIMITS: [&str; 6] =
    ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000", "--network", "none"];

impl Podman {
    fn new() -> Podman {
        let podman = Podman { host: Host::new(), has_pods: false };
        // Locks in shared memory would be shared with the whole machine.
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

    /// A call with IDs for `--userns auto`. Podman reads these IDs from /etc/subuid and
    /// /etc/subgid.
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

    /// Runs `podman run ARGS` with the flags `ULIMITS`.
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
    // Ignore the status of `podman attach`, which may not be the status of the container.
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

/// A dockerd with mydocker as its default runtime and an image `bb`.
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

/// A containerd with its own socket.
struct Containerd {
    // This field is the first, so that the daemon ends before `host` removes the daemon's files.
    _daemon: Daemon,
    host: Host,
    namespace: String,
}

impl Containerd {
    /// Starts containerd without the plugin for Kubernetes.
    fn start() -> Result<Containerd, String> {
        Containerd::start_with(
            Host::new(),
            "disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n",
            "",
        )
    }

    /// Starts containerd with settings before and after the sections that all tests use.
    fn start_with(host: Host, before: &str, after: &str) -> Result<Containerd, String> {
        let dir = host.scratch();
        let config = format!(
            "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\n{before}\
             [grpc]\naddress = \"{0}/socket\"\n{after}",
            dir.display()
        );
        let config = host.file("containerd.toml", config);
        let line = ["containerd", "-c", config.to_str().unwrap()];
        // The containers' cgroup gets the name of this namespace.
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

/// The command `ctr ARGS` for the containerd of `host`.
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
    let image = cri::IMAGE;
    // Repeat this: on a busy machine, ctr may print no output of a task that ends at once.
    eventually("a task's output", || run(&["--rm", image, "one", "echo", "hi"]).text() == "hi");
    run(&["--rm", image, "one", "sh", "-c", "exit 7"]).exits(7);
    run(&["-d", image, "two", "sleep", "1000"]).text();
    ctr(&["tasks", "ls"]).stdout_has("RUNNING");
    ctr(&["tasks", "exec", "--exec-id", "x", "two", "cat", "/proc/1/comm"]).stdout("sleep\n");
    // The shim must be the parent of a detached process, to get its exit status.
    let exits = containerd.host.scratch().join("events");
    let mut events = self::ctr(&containerd.host, &containerd.namespace, &["events"]);
    events.stdout(std::fs::File::create(&exits).unwrap());
    let mut events = events.spawn().unwrap();
    let mut number = 0;
    // Repeat this: `ctr events` misses what happens before it has subscribed.
    eventually("the exit status of a detached process", || {
        number += 1;
        let name = format!("y{number}");
        let exec = ["tasks", "exec", "-d", "--exec-id", &name, "two", "sh", "-c", "exit 6"];
        ctr(&exec).stdout("");
        std::fs::read_to_string(&exits).unwrap().contains("\"exit_status\":6")
    });
    events.kill().unwrap();
    events.wait().unwrap();
    ctr(&["tasks", "pause", "two"]).text();
    ctr(&["tasks", "ls"]).stdout_has("PAUSED");
    ctr(&["tasks", "resume", "two"]).text();
    ctr(&["tasks", "metrics", "two"]).stdout_has("pids.current");
    ctr(&["tasks", "kill", "-s", "KILL", "two"]).text();
    eventually("containerd sees the end", || ctr(&["tasks", "ls"]).text().contains("STOPPED"));
    ctr(&["tasks", "rm", "two"]).stderr_has("non-zero exit code 137");
    ctr(&["containers", "rm", "two"]).text();
}

/// containerd configured for a kubelet: the runtime class `mydocker`, and a default runtime that
/// always fails.
struct Kubernetes {
    containerd: Containerd,
    /// The pods to remove at the end, with their containers.
    pods: std::cell::RefCell<Vec<String>>,
}

impl Kubernetes {
    fn start() -> Result<Kubernetes, String> {
        let host = Host::new();
        let dir = host.scratch();
        let archive = dir.join("bb.tar");
        // The pod's sandbox container also uses this image, and runs until the pod ends.
        let busybox = support::busybox_archive();
        let command = ["-c", "CMD [\"sleep\", \"100000\"]", busybox.to_str().unwrap(), "bb"];
        host.mydocker([&["import"], &command[..]].concat()).text();
        host.mydocker(["save", "-o", archive.to_str().unwrap(), "bb"]).text();
        let network = format!(
            "{{\"cniVersion\":\"0.4.0\",\"name\":\"pods\",\"plugins\":[{{\"type\":\"ptp\",\"ipam\":\
             {{\"type\":\"host-local\",\"subnet\":\"10.99.0.0/24\",\"dataDir\":\"{}/ipam\"}}}}]}}",
            dir.display()
        );
        std::fs::create_dir(dir.join("cni")).unwrap();
        std::fs::write(dir.join("cni/10-pods.conflist"), network).unwrap();
        let plugin = "plugins.\"io.containerd.grpc.v1.cri\"";
        // The test may lack the privilege to set kubelet's OOM score of -998.
        let config = format!(
            "[{plugin}]\nrestrict_oom_score_adj = true\nsandbox_image = \"{}\"\n\
             [{plugin}.cni]\nbin_dir = \"/usr/lib/cni\"\nconf_dir = \"{}/cni\"\n\
             [{plugin}.containerd]\ndefault_runtime_name = \"other\"\n\
             [{plugin}.containerd.runtimes.other]\nruntime_type = \"io.containerd.runc.v2\"\n\
             [{plugin}.containerd.runtimes.other.options]\nBinaryName = \"/bin/false\"\n\
             [{plugin}.containerd.runtimes.mydocker]\nruntime_type = \"io.containerd.runc.v2\"\n\
             [{plugin}.containerd.runtimes.mydocker.options]\nBinaryName = \"{}\"\n",
            cri::IMAGE,
            dir.display(),
            runtime(&host).display(),
        );
        let containerd = Containerd::start_with(host, "", &config)?;
        let socket = containerd.host.scratch().join("socket");
        let ready = || cri::call(&socket, "Status", &Message::default()).is_ok();
        eventually("the plugin for Kubernetes answers", ready);
        let import = ["images", "import", archive.to_str().unwrap()];
        run_command(ctr(&containerd.host, "k8s.io", &import)).text();
        Ok(Kubernetes { containerd, pods: Default::default() })
    }

    #[track_caller]
    fn call(&self, method: &str, message: Message) -> cri::Answer {
        let socket = self.containerd.host.scratch().join("socket");
        cri::call(&socket, method, &message).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Runs a pod with this name, on the node's network if `on_node`. Returns its configuration,
    /// the id of its sandbox, and `on_node`.
    fn pod(&self, name: &str, on_node: bool) -> (Message, String, bool) {
        let logs = self.containerd.host.scratch().join("logs");
        let pod = cri::pod(name, &logs, &format!("/{}", self.containerd.namespace), on_node);
        let request = Message::default().with(1, pod.clone()).text(2, "mydocker");
        let id = self.call("RunPodSandbox", request).text(1);
        self.pods.borrow_mut().push(id.clone());
        (pod, id, on_node)
    }

    /// Creates and starts a container in a pod. Returns the container's id.
    fn container(&self, pod: &(Message, String, bool), name: &str, script: &str) -> String {
        let config = cri::container(name, script, pod.2);
        let request = Message::default().text(1, &pod.1).with(2, config).with(3, pod.0.clone());
        let id = self.call("CreateContainer", request).text(1);
        self.call("StartContainer", Message::default().text(1, &id));
        id
    }

    /// The output and the exit status of a command in a container.
    fn exec(&self, container: &str, script: &str) -> (String, u64) {
        let answer = self.call("ExecSync", cri::exec(container, script));
        (answer.text(1), answer.number(3))
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        let socket = self.containerd.host.scratch().join("socket");
        for pod in self.pods.borrow().iter() {
            for method in ["StopPodSandbox", "RemovePodSandbox"] {
                let _ = cri::call(&socket, method, &Message::default().text(1, pod));
            }
        }
    }
}

#[test]
fn the_pods_of_kubernetes_run_in_a_runtime_class() {
    let kubernetes = match Kubernetes::start() {
        Ok(kubernetes) => kubernetes,
        Err(reason) => skip!("{reason}"),
    };
    let pod = kubernetes.pod("web", false);
    let script = "echo begun; hostname; id -u; touch /x; exec sleep 1000";
    let first = kubernetes.container(&pod, "first", script);
    let (said, status) = kubernetes.exec(
        &first,
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes; ip -4 addr show eth0; exit 3",
    );
    assert!(said.starts_with("67108864\n") && said.contains("inet 10.99.0."), "{said}");
    assert_eq!(status, 3);
    // The containers of a pod share its network and IPC namespaces, but neither mounts nor PIDs.
    let second = kubernetes.container(&pod, "second", "exec sleep 1000");
    let of = |container: &str, kind: &str| {
        kubernetes.exec(container, &format!("readlink /proc/self/ns/{kind}")).0
    };
    for (kind, is_shared) in [("net", true), ("ipc", true), ("mnt", false), ("pid", false)] {
        assert_eq!(of(&first, kind) == of(&second, kind), is_shared, "{kind}");
    }
    kubernetes.call("UpdateContainerResources", cri::update(&first, 128 << 20));
    let limit = kubernetes.exec(&first, "cat /sys/fs/cgroup/memory/memory.limit_in_bytes").0;
    assert_eq!(limit, "134217728\n");
    let log = kubernetes.containerd.host.scratch().join("logs/first.log");
    // containerd reads the two streams separately, so their lines may come in either order.
    let lines_of = |stream: &str| -> Vec<String> {
        let text = std::fs::read_to_string(&log).unwrap();
        // Each line is "TIME STREAM TAG TEXT".
        let lines = text.lines().map(|line| line.splitn(4, ' ').collect::<Vec<_>>());
        lines.filter(|line| line[1] == stream).map(|line| line[3].to_owned()).collect()
    };
    let output = ["begun", "host-of-web", "1000"];
    eventually("the log has the output", || lines_of("stdout") == output);
    let errors = ["touch: /x: Read-only file system"];
    eventually("the log has the errors", || lines_of("stderr") == errors);
    let status = |container: &str| {
        let answer = kubernetes.call("ContainerStatus", Message::default().text(1, container));
        let status = answer.bytes(1).unwrap();
        (status.number(3), status.number(7))
    };
    const RUNNING: u64 = 1;
    const EXITED: u64 = 2;
    assert_eq!(status(&first), (RUNNING, 0));
    kubernetes.call("StopContainer", Message::default().text(1, &first).number(2, 1));
    assert_eq!(status(&first), (EXITED, 137));
    kubernetes.call("RemoveContainer", Message::default().text(1, &first));
    // Stopping a pod ends the containers that are left.
    kubernetes.call("StopPodSandbox", Message::default().text(1, &pod.1));
    eventually("the second has ended", || status(&second).0 == EXITED);

    let pod = kubernetes.pod("node", true);
    let container = kubernetes.container(&pod, "c", "exec sleep 1000");
    let uts = std::fs::read_link("/proc/self/ns/uts").unwrap();
    assert_eq!(of(&container, "uts").trim(), uts.to_str().unwrap());
    // The first process in the container's PID namespace is the sandbox's.
    assert_eq!(kubernetes.exec(&container, "tr '\\0' ' ' < /proc/1/cmdline").0, "sleep 100000 ");
}

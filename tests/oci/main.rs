//! The binary as an OCI runtime, called directly on bundles made of busybox. `tests/oci_engines.rs`
//! tests it as the runtime of Podman, Docker and containerd.
//!
//! The runtime specification (runtime.md, config.md) says what must happen; where it is silent, the
//! tests follow runc and crun. `conformance.rs` checks the specification's demands one by one.

#[path = "../support/mod.rs"]
mod support;

mod conformance;
mod features;
mod lifecycle;
mod namespaces;
mod sockets;
mod systemd;
mod update;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Done, Host, MYDOCKER, eventually, run_command, unique};

/// A bundle, and a runtime root for this test only.
struct Bundle {
    host: Host,
    id: String,
}

impl Bundle {
    /// A bundle with the `config.json` of `spec`, without a terminal.
    fn new() -> Bundle {
        let bundle = Bundle { host: Host::new(), id: unique("oci-") };
        std::fs::create_dir(bundle.rootfs()).unwrap();
        bundle.fill_root();
        bundle.call(&["spec", "--bundle", &bundle.path()]).stdout("");
        bundle.edit("\"terminal\": true", "\"terminal\": false");
        bundle
    }

    fn fill_root(&self) {
        let mut tar = Command::new("tar");
        tar.arg("-xf").arg(support::busybox_archive());
        assert!(tar.arg("-C").arg(self.rootfs()).status().unwrap().success());
    }

    fn dir(&self) -> PathBuf {
        self.host.scratch()
    }

    fn path(&self) -> String {
        self.dir().display().to_string()
    }

    fn rootfs(&self) -> PathBuf {
        self.dir().join("rootfs")
    }

    fn root(&self) -> PathBuf {
        self.dir().join("run")
    }

    /// The text of config.json.
    fn config(&self) -> String {
        std::fs::read_to_string(self.dir().join("config.json")).unwrap()
    }

    fn set_config(&self, text: impl AsRef<[u8]>) {
        std::fs::write(self.dir().join("config.json"), text).unwrap();
    }

    /// Replaces a part of config.json.
    #[track_caller]
    fn edit(&self, part: &str, by: &str) {
        self.set_config_with(&self.config(), part, by);
    }

    /// Writes `text` as config.json, with a part of it replaced.
    #[track_caller]
    fn set_config_with(&self, text: &str, part: &str, by: &str) {
        assert!(text.contains(part), "{part} is not in {text}");
        self.set_config(text.replacen(part, by, 1));
    }

    fn runs(&self, script: &str) {
        let script = script.replace('"', "\\\"");
        self.edit("[\"sh\"]", &format!("[\"sh\",\"-c\",\"{script}\"]"));
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(MYDOCKER);
        command.arg("oci").arg("--root").arg(self.root()).args(args);
        command
    }

    fn call(&self, args: &[&str]) -> Done {
        run_command(self.command(args))
    }

    /// The output of `run`, whether it fails or not.
    fn output_of_run(&self) -> std::process::Output {
        self.command(&["run", "--bundle", &self.path(), &self.id]).output().unwrap()
    }

    fn run(&self) -> Done {
        self.call(&["run", "--bundle", &self.path(), &self.id])
    }

    fn create(&self) {
        self.create_by(self.command(&["create", "--bundle", &self.path(), &self.id]));
    }

    /// Runs `command`, which must succeed. Its output goes to a file, because the container's
    /// process keeps the streams longer than the call.
    fn create_by(&self, mut command: Command) {
        let output = std::fs::File::create(self.dir().join("output")).unwrap();
        command.stdin(std::process::Stdio::null());
        command.stdout(output.try_clone().unwrap()).stderr(output);
        let status = command.status().unwrap();
        assert!(status.success(), "{}", self.output());
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.dir().join("output")).unwrap()
    }

    fn state(&self) -> String {
        self.call(&["state", &self.id]).text()
    }

    /// The PID that the container's first process has on the host.
    fn pid(&self) -> String {
        let state = self.state();
        let (_, pid) = state.split_once("\"pid\": ").unwrap();
        pid.split(',').next().unwrap().to_owned()
    }

    /// The content of a file of the container's cgroups (v1).
    fn limit(&self, file: &str) -> String {
        let (controller, file) = file.split_once('/').unwrap();
        let path = format!("/sys/fs/cgroup/{controller}/{}/{file}", self.id);
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    fn has_status(&self, status: &str) -> bool {
        self.state().contains(&format!("\"status\": \"{status}\""))
    }

    /// Whether the container has a cgroup in any hierarchy.
    fn has_cgroup(&self) -> bool {
        !support::cgroups(&self.id).is_empty()
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.command(&["delete", "--force", &self.id]).output();
    }
}

#[test]
fn run_gives_the_output_and_the_status_and_leaves_nothing() {
    let bundle = Bundle::new();
    bundle.runs("id -u; hostname; cat /proc/1/comm; touch /x; exit 3");
    let done = bundle.run().exits(3);
    done.stdout("0\nmydocker\nsh\n").stderr_has("Read-only file system");
    bundle.call(&["list", "-q"]).stdout("");
    assert!(!bundle.has_cgroup());
    assert_eq!(std::fs::read_dir(bundle.root()).unwrap().count(), 0);
}

#[test]
fn a_container_is_created_started_killed_and_deleted() {
    let bundle = Bundle::new();
    bundle.runs("echo begun; exec sleep 1000");
    bundle.create();
    let id = bundle.id.as_str();
    assert!(bundle.has_status("created") && bundle.output().is_empty());
    bundle.call(&["create", "--bundle", &bundle.path(), id]).exits(1).stderr_has("already exists");
    bundle.call(&["delete", id]).exits(1).stderr_has("not stopped");
    bundle.call(&["pause", id]).stdout("");
    assert!(bundle.has_status("paused"));
    bundle.call(&["start", id]).exits(1).stderr_has("cannot start a paused container");
    bundle.call(&["resume", id]).stdout("");
    assert!(bundle.has_status("created") && bundle.output().is_empty());
    bundle.call(&["start", id]).stdout("");
    eventually("it has begun", || bundle.output() == "begun\n");
    assert!(bundle.has_status("running") && bundle.has_cgroup());
    bundle.call(&["start", id]).exits(1).stderr_has("already running");
    bundle.call(&["exec", id, "sh", "-c", "echo $$ $HOME; exit 4"]).exits(4).stdout_has("/root");
    bundle.call(&["pause", id]).stdout("");
    assert!(bundle.has_status("paused"));
    bundle.call(&["exec", id, "true"]).exits(255).stderr_has("paused container");
    bundle.call(&["resume", id]).stdout("");
    bundle.call(&["ps", "--format", "json", id]).stdout_has("[");
    bundle.call(&["delete", id]).exits(1).stderr_has("not stopped: running");
    bundle.call(&["kill", id, "KILL"]).stdout("");
    eventually("it has stopped", || bundle.has_status("stopped"));
    bundle.call(&["kill", id, "KILL"]).exits(1).stderr_has("not running");
    bundle.call(&["start", id]).exits(1).stderr_has("has stopped");
    bundle.call(&["delete", id]).stdout("");
    bundle.call(&["state", id]).exits(1).stderr_has("does not exist");
    bundle.call(&["delete", "--force", id]).stdout("");
    assert!(!bundle.has_cgroup());
}

#[test]
fn nothing_of_mydocker_stays_beside_a_container() {
    let bundle = Bundle::new();
    bundle.runs("exec sleep 1000");
    bundle.create();
    bundle.call(&["start", &bundle.id]).stdout("");
    assert_eq!(bundle.host.processes(), []);
}

#[test]
fn hooks_run_in_their_order_with_the_state_to_read() {
    let bundle = Bundle::new();
    bundle.runs("true");
    let log = bundle.dir().join("hooks");
    let hook = |kind: &str| {
        let script = format!("echo {kind} $(cat | tr -d '\\\"') >> {}", log.display());
        format!(
            "\"{kind}\":[{{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"{script}\"],\
             \"env\":[\"PATH=/bin:/usr/bin\"]}}]"
        )
    };
    let kinds = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    let all = kinds.map(hook).join(",");
    bundle.edit("\"hostname\"", &format!("\"hooks\":{{{all}}},\"hostname\""));
    bundle.run().stdout("");
    let text = std::fs::read_to_string(&log).unwrap();
    let seen: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(seen, kinds);
    let status = |kind: &str| text.lines().find(|line| line.starts_with(kind)).unwrap().to_owned();
    assert!(status("createContainer").contains("status:creating,pid:"), "{text}");
    assert!(status("poststop").contains("status:stopped"), "{text}");
}

#[test]
fn time_offsets_user_and_groups_are_set() {
    let bundle = Bundle::new();
    bundle.runs("id -u; id -G; umask; cut -d. -f1 /proc/uptime");
    bundle.edit("\"gid\": 0", "\"gid\": 7, \"additionalGids\": [9, 11], \"umask\": 63");
    bundle.edit(
        "\"namespaces\": [",
        "\"timeOffsets\":{\"boottime\":{\"secs\":1000000}},\"namespaces\": [{\"type\":\"time\"},",
    );
    let text = bundle.run().text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..3], ["0", "7 9 11", "0077"]);
    assert!(lines[3].parse::<u64>().unwrap() > 1_000_000, "{text}");
}

#[test]
fn every_limit_is_in_its_file_or_an_error_that_names_it() {
    let bundle = Bundle::new();
    let good = bundle.config();
    let device = std::fs::read_dir("/sys/block").unwrap().flatten().next().unwrap().path();
    let device = std::fs::read_to_string(device.join("dev")).unwrap();
    let (major, minor) = device.trim().split_once(':').unwrap();
    let asks = |resources: &str| {
        let by = format!("\"resources\": {{ {resources}, \"devices\"");
        bundle.set_config_with(&good, "\"resources\": { \"devices\"", &by);
    };
    asks(&format!(
        r#""memory":{{"limit":67108864,"reservation":33554432,"kernel":0,"useHierarchy":true,
           "checkBeforeUpdate":true,"swappiness":10}},
        "cpu":{{"shares":512,"quota":50000,"period":100000,"burst":1000,"cpus":"0","mems":"0"}},
        "pids":{{"limit":77}},"hugepageLimits":[{{"pageSize":"2MB","limit":4194304}}],
        "blockIO":{{"throttleReadBpsDevice":[{{"major":{major},"minor":{minor},"rate":1048576}}],
           "throttleWriteIOPSDevice":[{{"major":{major},"minor":{minor},"rate":9}}]}}"#
    ));
    bundle.create();
    for (file, value) in [
        ("memory/memory.limit_in_bytes", "67108864"),
        ("memory/memory.soft_limit_in_bytes", "33554432"),
        ("memory/memory.swappiness", "10"),
        ("cpu/cpu.shares", "512"),
        ("cpu/cpu.cfs_quota_us", "50000"),
        ("cpu/cpu.cfs_burst_us", "1000"),
        ("cpuset/cpuset.cpus", "0"),
        ("pids/pids.max", "77"),
        ("hugetlb/hugetlb.2MB.limit_in_bytes", "4194304"),
        ("hugetlb/hugetlb.2MB.rsvd.limit_in_bytes", "4194304"),
        ("blkio/blkio.throttle.read_bps_device", &format!("{major}:{minor} 1048576")),
        ("blkio/blkio.throttle.write_iops_device", &format!("{major}:{minor} 9")),
    ] {
        assert_eq!(bundle.limit(file), value, "{file}");
    }
    bundle.call(&["delete", "--force", &bundle.id]).stdout("");
    for (resources, words) in [
        ("\"pids\":{\"limit\":\"x\"}", "linux.resources.pids.limit should be a whole number"),
        ("\"unified\":{\"memory.high\":\"1\"}", "linux.resources.unified.memory.high can't be"),
        ("\"unified\":{\"../x\":\"1\"}", "linux.resources.unified.../x should be named"),
        ("\"rdma\":{\"mlx\":{\"hcaHandles\":1}}", "linux.resources.rdma.mlx can't be applied"),
        ("\"network\":{\"classID\":1}", "linux.resources.network.classID can't be applied"),
        (
            "\"network\":{\"priorities\":[{\"name\":\"lo\",\"priority\":1}]}",
            "linux.resources.network.priorities can't be applied",
        ),
        ("\"blockIO\":{\"leafWeight\":10}", "linux.resources.blockIO.leafWeight can't be"),
        ("\"blockIO\":{\"weight\":5}", "blockIO.weight should be from 10 to 1000"),
        ("\"memory\":{\"kernel\":4096}", "linux.resources.memory.kernel is not supported"),
        (
            "\"hugepageLimits\":[{\"pageSize\":\"3kb\",\"limit\":1}]",
            "hugepageLimits[0].pageSize should be a size such as 2MB",
        ),
        (
            "\"hugepageLimits\":[{\"pageSize\":\"3MB\",\"limit\":1}]",
            "linux.resources.hugepageLimits can't be applied: this kernel has no hugetlb.3MB",
        ),
    ] {
        asks(resources);
        bundle.run().exits(1).stdout("").stderr_has(words);
        assert!(!bundle.has_cgroup(), "{resources}");
    }
}

#[test]
fn the_scheduling_of_a_process_is_set() {
    let bundle = Bundle::new();
    bundle.runs("cut -d' ' -f19,41 /proc/self/stat; uname -m; ionice; exec sleep 1000");
    bundle.edit(
        "\"cwd\"",
        "\"scheduler\":{\"policy\":\"SCHED_BATCH\",\"nice\":5},\
         \"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":6},\
         \"execCPUAffinity\":{\"initial\":\"0\",\"final\":\"0\"},\"cwd\"",
    );
    bundle.edit(
        "\"namespaces\"",
        "\"personality\":{\"domain\":\"LINUX32\"},\
         \"memoryPolicy\":{\"mode\":\"MPOL_PREFERRED\",\"nodes\":\"0\"},\"namespaces\"",
    );
    bundle.create();
    bundle.call(&["start", &bundle.id]).stdout("");
    let machine = if cfg!(target_arch = "x86_64") { "i686" } else { "armv8l" };
    let expected = format!("5 3\n{machine}\nbest-effort: prio 6\n");
    eventually("its words", || bundle.output() == expected);
    let cpus = ["exec", &bundle.id, "grep", "Cpus_allowed_list", "/proc/self/status"];
    bundle.call(&cpus).stdout("Cpus_allowed_list:\t0\n");
    let traced = [&["--debug"], &cpus[..]].concat();
    bundle.call(&traced).stderr_has("sched_setaffinity affinity: 0x1 = ok");
    let maps = ["exec", &bundle.id, "sh", "-c", "head -1 /proc/self/numa_maps"];
    bundle.call(&maps).stdout_has(" prefer");
    bundle.call(&["exec", &bundle.id, "cut", "-d ", "-f19,41", "/proc/self/stat"]).stdout("5 3\n");
}

/// A task with a deadline cannot fork, and with RESET_ON_FORK its child would lose the deadline. So
/// the policy must be set on the process of `exec` after the last fork.
#[test]
fn a_process_of_exec_may_have_a_deadline() {
    let bundle = Bundle::new();
    bundle.runs("exec sleep 1000");
    bundle.create();
    bundle.call(&["start", &bundle.id]).stdout("");
    for flags in ["", "\"flags\":[\"SCHED_FLAG_RESET_ON_FORK\"],"] {
        let (process, pid) = (bundle.dir().join("process.json"), bundle.dir().join("pid"));
        let text = format!(
            "{{\"cwd\":\"/\",\"args\":[\"sleep\",\"1000\"],\"scheduler\":{{\"policy\":\"SCHED_DEADLINE\",\
             {flags}\"runtime\":42000,\"deadline\":100000,\"period\":1000000}}}}"
        );
        std::fs::write(&process, text).unwrap();
        let (process, file) = (process.to_str().unwrap(), pid.to_str().unwrap());
        let args = ["exec", "-d", "--pid-file", file, "--process", process, &bundle.id];
        // The streams are files, because the process keeps them longer than the call.
        bundle.create_by(bundle.command(&args));
        let pid = std::fs::read_to_string(&pid).unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        assert_eq!(stat.split(' ').nth(40), Some("6"), "{stat}");
    }
}

#[test]
fn crun_flags_name_the_configuration_and_the_cgroup_manager() {
    let bundle = Bundle::new();
    bundle.runs("echo ok");
    std::fs::create_dir(bundle.dir().join("sub")).unwrap();
    std::fs::rename(bundle.dir().join("config.json"), bundle.dir().join("sub/c.json")).unwrap();
    let (path, id) = (bundle.path(), bundle.id.as_str());
    let run = |manager: &str| {
        let call = ["--cgroup-manager", manager, "run", "--config", "sub/c.json", "-b", &path, id];
        bundle.call(&call)
    };
    run("cgroupfs").stdout("ok\n");
    run("other").exits(1).stderr_has("--cgroup-manager should be cgroupfs or systemd");
    bundle.call(&["run", "-b", &path, id]).exits(1).stderr_has("config.json");
}

#[test]
fn a_bad_bundle_gets_one_line_that_names_the_field() {
    let bundle = Bundle::new();
    let good = bundle.config();
    let refused = |part: &str| {
        let done = bundle.run().exits(1).stdout("").stderr_has(part);
        assert_eq!(done.stderr_text().lines().count(), 1);
        assert!(!bundle.root().join(&bundle.id).exists());
    };
    for (part, by, words) in [
        ("\"cwd\": \"/\"", "\"cwd\": 1", "process.cwd should be a string"),
        ("\"type\": \"pid\"", "\"type\": \"foo\"", "linux.namespaces[0].type should be one of pid"),
        ("RLIMIT_NOFILE", "RLIMIT_FOO", "process.rlimits[0].type should be"),
        ("\"rootfs\"", "\"../..\"", "root.path"),
        ("\"args\": [\"sh\"]", "\"args\": []", "process.args should be"),
        (
            "\"maskedPaths\"",
            "\"intelRdt\":{\"closID\":\"x\"},\"maskedPaths\"",
            "linux.intelRdt: this host has no resctrl",
        ),
        ("\"namespaces\"", "\"sysctl\":{\"vm.swappiness\":\"1\"},\"namespaces\"", "vm.swappiness"),
        ("\"namespaces\"", "\"cgroupsPath\":\"/../x\",\"namespaces\"", "linux.cgroupsPath"),
        ("\"namespaces\"", "\"cgroupsPath\":\"/\",\"namespaces\"", "linux.cgroupsPath"),
        // The name of a field reaches the terminal without its control characters.
        (
            "\"namespaces\"",
            "\"sysctl\":{\"a\\u001b[31m\\nb\":\"1\"},\"namespaces\"",
            "sysctl.a [31m b should",
        ),
    ] {
        bundle.set_config_with(&good, part, by);
        refused(words);
    }
    bundle.set_config("");
    refused("is empty");
    bundle.set_config(&good[..good.len() / 2]);
    refused("not valid JSON");
    bundle.set_config("[".repeat(100_000));
    refused("levels deep");
    bundle.set_config(vec![b' '; 10 << 20]);
    refused("at most");
    std::fs::remove_file(bundle.dir().join("config.json")).unwrap();
    refused("No such file");
    bundle.call(&["state", "../x"]).exits(1).stderr_has("invalid container id");
}

#[test]
fn links_of_a_bundle_lead_nowhere() {
    let bundle = Bundle::new();
    let good = bundle.config();
    symlink("/", bundle.dir().join("link")).unwrap();
    bundle.edit("\"rootfs\"", "\"link\"");
    bundle.run().exits(1).stderr_has("symbolic link");
    // The target of a mount lies behind a link that points out of the root.
    let canary = bundle.dir().join("canary");
    std::fs::create_dir(&canary).unwrap();
    symlink(&canary, bundle.rootfs().join("out")).unwrap();
    bundle.set_config(good);
    bundle.runs("true");
    bundle.edit(
        "\"mounts\": [",
        "\"mounts\": [{\"destination\":\"/out/x\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"},",
    );
    bundle.run().exits(1);
    assert_eq!(std::fs::read_dir(&canary).unwrap().count(), 0);
}

#[test]
fn a_half_made_container_is_stopped_and_can_be_deleted() {
    let bundle = Bundle::new();
    let dir = bundle.root().join(&bundle.id);
    std::fs::create_dir_all(&dir).unwrap();
    assert!(bundle.has_status("stopped"));
    std::fs::write(dir.join("state.json"), "{\"id\":").unwrap();
    assert!(bundle.has_status("stopped"));
    bundle.call(&["delete", &bundle.id]).stdout("");
    assert!(!dir.exists());
}

#[test]
fn a_container_whose_state_is_damaged_can_be_deleted_by_force() {
    let bundle = Bundle::new();
    let id = bundle.id.as_str();
    for damaged in ["", "{\"id\":", "[1,2]"] {
        bundle.create();
        let pid = bundle.pid();
        std::fs::write(bundle.root().join(id).join("state.json"), damaged).unwrap();
        assert!(bundle.has_status("stopped"));
        bundle.call(&["list", "-q"]).stdout(&format!("{id}\n"));
        bundle.call(&["start", id]).exits(1).stderr_has("has stopped");
        bundle.call(&["delete", id]).exits(1).stderr_has("its state.json is damaged");
        bundle.call(&["delete", "--force", id]).stdout("");
        assert!(!bundle.has_cgroup() && !bundle.root().join(id).exists());
        eventually("its process has ended", || !Path::new(&format!("/proc/{pid}")).exists());
    }
}

#[test]
fn errors_reach_the_callers_log() {
    let bundle = Bundle::new();
    bundle.edit("[\"sh\"]", "[\"nothing-of-this-name\"]");
    let log = bundle.dir().join("log");
    let (log, path) = (log.to_str().unwrap(), bundle.path());
    let args = ["--log", log, "--log-format", "json", "run", "--bundle", &path, &bundle.id];
    bundle.call(&args).exits(1).stderr_has("executable file not found in $PATH");
    let text = std::fs::read_to_string(log).unwrap();
    assert!(
        text.starts_with("{\"level\":\"error\",\"msg\":\"exec: 'nothing-of-this-name'"),
        "{text}"
    );
    // `file:` is crun's spelling of a log file. crun can also log to syslog, which is refused here.
    bundle.call(&["--log", &format!("file:{log}"), "state", "nope"]).exits(1);
    assert!(std::fs::read_to_string(log).unwrap().contains("container does not exist: nope"));
    bundle.call(&["--log", "syslog:x", "list"]).exits(1).stderr_has("should be a file");
    bundle.call(&["--log", "", "list", "-q"]).stdout("");
    bundle.call(&["--log-format", "xml", "list"]).exits(1).stderr_has("should be text or json");
    let args = ["--log", "/nowhere/log", "run", "--bundle", &path, &bundle.id];
    let done = bundle.call(&args).exits(1);
    assert_eq!(
        done.stderr_text(),
        "mydocker-runtime: open the log /nowhere/log: No such file or directory\n"
    );
}

#[test]
fn exec_completes_process_json_from_the_container() {
    let bundle = Bundle::new();
    bundle.runs("exec sleep 1000");
    bundle.edit("\"soft\": 1024", "\"soft\": 77");
    bundle.edit("\"gid\": 0", "\"gid\": 0, \"umask\": 63");
    bundle.create();
    let id = bundle.id.as_str();
    let file = bundle.dir().join("process.json");
    let script = "grep CapBnd /proc/self/status; ulimit -Sn; umask; pwd";
    let text = format!("{{\"args\":[\"sh\",\"-c\",\"{script}\"],\"cwd\":\"/bin\"}}");
    std::fs::write(&file, &text).unwrap();
    let own = "CapBnd:\t0000000020000420\n77\n0077\n/bin\n";
    bundle.call(&["exec", "--process", file.to_str().unwrap(), id]).stdout(own);
    let done = bundle.call(&["exec", "--process", file.to_str().unwrap(), id, "true"]);
    done.exits(255).stderr_has("unexpected argument 'true'");
    let none = text.replace("\"cwd\"", "\"capabilities\":{},\"cwd\"");
    std::fs::write(&file, none).unwrap();
    let done = bundle.call(&["exec", "--process", file.to_str().unwrap(), id]);
    done.stdout("CapBnd:\t0000000000000000\n77\n0077\n/bin\n");
    let mask = "\"user\":{\"uid\":0,\"gid\":0,\"umask\":7},\"cwd\"";
    std::fs::write(&file, text.replace("\"cwd\"", mask)).unwrap();
    bundle.call(&["exec", "--process", file.to_str().unwrap(), id]).stdout_has("77\n0007\n");
    // A shell's process substitution is a pipe.
    let mut piped = Command::new("bash");
    let runtime = bundle.command(&["exec", "--process"]);
    piped.args(["-c", &format!("\"$0\" \"$@\" <(echo '{text}') {id}")]);
    run_command({
        piped.arg(runtime.get_program()).args(runtime.get_args());
        piped
    })
    .stdout(own);
    std::fs::write(&file, text.replace("\"cwd\"", "\"selinuxLabel\":\"x\",\"cwd\"")).unwrap();
    let done = bundle.call(&["exec", "--process", file.to_str().unwrap(), id]).exits(255);
    done.stderr_has("process.json: selinuxLabel: this host has no SELinux");
    bundle.call(&["exec", "--cwd", "tmp", id, "true"]).exits(255).stderr_has("an absolute path");
    for pair in ["A", "=b"] {
        let done = bundle.call(&["exec", "--env", pair, id, "true"]).exits(255);
        done.stderr_has(&format!("--env should be NAME=value, not '{pair}'"));
    }
    let done = bundle.call(&["exec", "--cap", "CAP_NOPE", id, "true"]);
    done.stderr_has("--cap: no capability is called 'CAP_NOPE'; left out");
    bundle
        .call(&["exec", "-e", "A=1", "-e", "HOME=", id, "sh", "-c", "env | sort"])
        .stdout_has("HOME=/root");
}

#[test]
fn exec_joins_the_cgroups_that_it_is_given() {
    let bundle = Bundle::new();
    bundle.create();
    let id = bundle.id.as_str();
    let exec = |cgroups: &[&str]| {
        let flags = cgroups.iter().flat_map(|cgroup| ["--cgroup", cgroup]);
        let mut args = vec!["exec"];
        args.extend(flags);
        args.extend([id, "cat", "/proc/self/cgroup"]);
        bundle.call(&args)
    };
    for controller in ["cpu", "pids"] {
        let path = format!("/sys/fs/cgroup/{controller}/{id}/sub");
        std::fs::create_dir(path).unwrap();
    }
    exec(&["/"]).stdout_has(":cpu:/\n");
    exec(&["cpu,pids:sub"]).stdout_has(":cpu:/sub\n");
    exec(&["cpu:/sub", "pids:/"]).stdout_has(":pids:/\n");
    exec(&[".."]).exits(255).stderr_has("bad sub cgroup path");
    exec(&["sub"]).exits(255).stderr_has("sub: no such file or directory");
    exec(&["nope:/"]).exits(255).stderr_has("unknown controller nope");
}

#[test]
fn the_pidfd_of_a_process_reaches_the_socket() {
    let bundle = Bundle::new();
    bundle.runs("exec sleep 1000");
    let socket = bundle.dir().join("pidfd.sock");
    let script = "import array, os, signal, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1)
print('listens', flush=True)
c, _ = s.accept()
data, found, _, _ = c.recvmsg(100, socket.CMSG_SPACE(4))
fd = array.array('i', found[0][2])[0]
signal.pidfd_send_signal(fd, signal.SIGKILL)";
    let mut agent = Command::new("python3");
    agent.args(["-c", script]).arg(&socket).stdout(std::process::Stdio::piped());
    let mut agent = agent.spawn().unwrap();
    eventually("it listens", || socket.exists());
    let path = socket.display().to_string();
    bundle.create_by(bundle.command(&[
        "create",
        "--bundle",
        &bundle.path(),
        "--pidfd-socket",
        &path,
        &bundle.id,
    ]));
    assert!(agent.wait().unwrap().success());
    eventually("it has been killed", || bundle.has_status("stopped"));
}

#[test]
fn debug_logs_each_step_in_the_form_of_the_log() {
    let bundle = Bundle::new();
    bundle.runs("exec sleep 1000");
    let log = bundle.dir().join("log");
    let flags = ["--debug", "--log-format", "json", "--log", log.to_str().unwrap()];
    let with = |args: &[&str]| bundle.command(&[&flags, args].concat());
    bundle.create_by(with(&["create", "--bundle", &bundle.path(), &bundle.id]));
    assert_eq!(bundle.output(), "");
    run_command(with(&["start", &bundle.id])).stdout("");
    run_command(with(&["exec", &bundle.id, "true"])).stdout("");
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.lines().all(|line| line.starts_with("{\"level\":\"debug\",\"msg\":\"")), "{text}");
    for step in ["init pivot_root", "setresuid become user 0", "seccomp no filter"] {
        assert!(text.contains(step), "{step}: {text}");
    }
    bundle
        .call(&["--debug", "--rootless", "soon", "list"])
        .exits(1)
        .stderr_has("--rootless should");
}

#[test]
fn a_tmpfs_has_the_mode_of_the_directory_that_it_covers() {
    let bundle = Bundle::new();
    bundle.runs("stat -c %a /a /b /c");
    use std::os::unix::fs::PermissionsExt;
    let covered = bundle.rootfs().join("a");
    std::fs::create_dir(&covered).unwrap();
    std::fs::set_permissions(&covered, std::fs::Permissions::from_mode(0o3710)).unwrap();
    let mount = |at: &str, options: &str| {
        format!(
            "{{\"destination\":\"/{at}\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[{options}]}},"
        )
    };
    let all = [mount("a", ""), mount("b", ""), mount("c", "\"mode=0410\"")].concat();
    bundle.edit("\"mounts\": [", &format!("\"mounts\": [{all}"));
    bundle.run().stdout("3710\n1777\n410\n");
    // The directories exist now, so a tmpfs without `mode=` has the mode of its directory.
    bundle.run().stdout("3710\n755\n410\n");
}

#[test]
fn kill_ends_what_outlives_the_first_process() {
    let bundle = Bundle::new();
    bundle.runs("sleep 1000 & exec sleep 1000");
    bundle.edit("{ \"type\": \"pid\" }, ", "");
    bundle.create();
    bundle.call(&["start", &bundle.id]).stdout("");
    let procs = || bundle.limit("pids/cgroup.procs").lines().count();
    eventually("both run", || procs() == 2);
    let first = rustix::process::Pid::from_raw(bundle.pid().parse().unwrap()).unwrap();
    rustix::process::kill_process(first, rustix::process::Signal::KILL).unwrap();
    eventually("the first has ended", || bundle.has_status("stopped"));
    bundle.call(&["kill", &bundle.id, "TERM"]).exits(1).stderr_has("not running");
    bundle.call(&["kill", &bundle.id, "KILL"]).stdout("");
    eventually("the other has ended", || procs() == 0);
}

#[test]
fn frozen_processes_of_a_stopped_container_are_killed_and_removed() {
    let bundle = Bundle::new();
    bundle.runs("sleep 1000 & exec sleep 1000");
    bundle.edit("{ \"type\": \"pid\" }, ", "");
    let id = bundle.id.as_str();
    for command in [&["kill", id, "KILL"][..], &["delete", id]] {
        bundle.create();
        bundle.call(&["start", id]).stdout("");
        let procs = || bundle.limit("freezer/cgroup.procs").lines().count();
        eventually("both run", || procs() == 2);
        let first = rustix::process::Pid::from_raw(bundle.pid().parse().unwrap()).unwrap();
        rustix::process::kill_process(first, rustix::process::Signal::KILL).unwrap();
        eventually("the first has ended", || bundle.has_status("stopped"));
        let state = format!("/sys/fs/cgroup/freezer/{id}/freezer.state");
        std::fs::write(&state, "FROZEN").unwrap();
        eventually("the other is frozen", || bundle.limit("freezer/freezer.state") == "FROZEN");
        bundle.call(command).stdout("");
        eventually("the other has ended", || !bundle.has_cgroup() || procs() == 0);
        bundle.call(&["delete", "--force", id]).stdout("");
        assert!(!bundle.has_cgroup());
    }
}

#[test]
fn a_rootless_specification_runs() {
    let bundle = Bundle::new();
    std::fs::remove_file(bundle.dir().join("config.json")).unwrap();
    bundle.call(&["spec", "--rootless", "--bundle", &bundle.path()]).stdout("");
    bundle.edit("\"terminal\": true", "\"terminal\": false");
    bundle.runs("tr -s ' ' < /proc/self/uid_map; ls -d /sys/class/net; grep -c . /proc/net/dev");
    bundle.run().stdout_has(" 0 0 1\n/sys/class/net\n");
}

/// Most hosts no longer mount net_cls and net_prio (cgroup v1), so the test mounts them in a mount
/// namespace of its own.
#[test]
fn network_classes_and_priorities_are_set_where_the_host_mounts_them() {
    let bundle = Bundle::new();
    bundle.runs(
        "cat /sys/fs/cgroup/net_cls,net_prio/net_cls.classid; \
                 grep lo /sys/fs/cgroup/net_cls,net_prio/net_prio.ifpriomap",
    );
    let network =
        "\"network\":{\"classID\":1048577,\"priorities\":[{\"name\":\"lo\",\"priority\":5}]}";
    bundle.edit("\"resources\": {", &format!("\"resources\": {{{network},"));
    let own = bundle.command(&["run", "--bundle", &bundle.path(), &bundle.id]);
    let run = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script, own.get_program().to_str().unwrap()]);
        command.args(own.get_args());
        run_command(command)
    };
    let mounted = "mount -t tmpfs none /mnt && mkdir /mnt/n && \
                   mount -t cgroup -o net_cls,net_prio none /mnt/n || exit 77
                   \"$0\" \"$@\" </dev/null; status=$?
                   rmdir /mnt/n/mydocker-runtime; umount /mnt/n; exit $status";
    let can_mount = run_command({
        let mut try_it = Command::new("unshare");
        let script = "mount -t tmpfs none /mnt && mount -t cgroup -o net_cls,net_prio none /mnt \
                      2>/dev/null && umount /mnt && echo yes; exit 0";
        try_it.args(["-m", "sh", "-c", script]);
        try_it
    });
    if can_mount.text() != "yes" {
        skip!("this kernel has no cgroup v1 controllers net_cls and net_prio");
    }
    run(mounted).stdout("1048577\nlo 5\n");
    let none = "\"$0\" \"$@\" </dev/null";
    run(none).exits(1).stderr_has("linux.resources.network.classID can't be applied");
    // The kernel keeps the hierarchy if the container's cgroup is still dying at the last umount.
    // containerd then reads no metrics, because every process has a cgroup in a hierarchy that is
    // not mounted. Another umount removes the hierarchy, a moment after umount(8) has returned.
    support::eventually("the hierarchy is gone", || {
        run_command({
            let mut mount_again = Command::new("unshare");
            let script = "mount -t cgroup -o net_cls,net_prio none /mnt && umount /mnt; sleep 0.3";
            mount_again.args(["-m", "sh", "-c", script]);
            mount_again
        });
        let text = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        !text.contains("net_cls")
    });
}

//! Limits on the real kernel: each limit has its effect, and a limit that the kernel lacks is
//! refused.
//!
//! Most tests read the limit back from the cgroup's file or exceed it on purpose. The tests run
//! with cgroup v1 or v2, whichever the host has.

mod support;

use std::path::PathBuf;
use std::process::Command;

use support::{Host, eventually};

/// The container's cgroup directory that has the files of `controller`, with v1 or v2.
fn cgroup(host: &Host, name: &str, controller: &str) -> PathBuf {
    let lines = std::fs::read_to_string(format!("/proc/{}/cgroup", host.pid(name))).unwrap();
    for line in lines.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next().unwrap(), fields.next().unwrap());
        if controllers.split(',').any(|name| name == controller) {
            return PathBuf::from(format!("/sys/fs/cgroup/{controllers}{path}"));
        }
    }
    let path = lines.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
    PathBuf::from(format!("/sys/fs/cgroup{path}"))
}

/// The content of the first of `files` that exists, without the end of line. `files` are the names
/// with v1 and v2.
fn setting(host: &Host, name: &str, controller: &str, files: [&str; 2]) -> String {
    let dir = cgroup(host, name, controller);
    let found = files.iter().find_map(|file| std::fs::read_to_string(dir.join(file)).ok());
    found.unwrap_or_else(|| panic!("no {files:?} in {}", dir.display())).trim().to_owned()
}

fn is_v2() -> bool {
    std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// The limits as flags of `run` and `update`.
const LIMITS: &str = "-m 64m --memory-swap 96m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 \
                      --cpuset-cpus 0 --cpuset-mems 0 --pids-limit 20";

/// Fails unless the container `c` has the limits of `LIMITS` in the kernel, and most of them in
/// `inspect`.
fn hold(host: &Host) {
    let is = |controller: &str, files: [&str; 2], v1: &str, v2: &str| {
        let expected = if is_v2() { v2 } else { v1 };
        assert_eq!(setting(host, "c", controller, files), expected, "{files:?}");
    };
    is("memory", ["memory.limit_in_bytes", "memory.max"], "67108864", "67108864");
    is("memory", ["memory.memsw.limit_in_bytes", "memory.swap.max"], "100663296", "33554432");
    is("memory", ["memory.soft_limit_in_bytes", "memory.low"], "33554432", "33554432");
    is("cpu", ["cpu.cfs_quota_us", "cpu.max"], "50000", "50000 100000");
    is("cpu", ["cpu.shares", "cpu.weight"], "512", "59");
    is("cpuset", ["cpuset.cpus", "cpuset.cpus"], "0", "0");
    is("cpuset", ["cpuset.mems", "cpuset.mems"], "0", "0");
    is("pids", ["pids.max", "pids.max"], "20", "20");
    for (field, value) in [
        ("Memory", "67108864"),
        ("MemorySwap", "100663296"),
        ("NanoCpus", "500000000"),
        ("CpuShares", "512"),
        ("PidsLimit", "20"),
    ] {
        assert_eq!(host.inspect("c", &format!("{{{{.HostConfig.{field}}}}}")), value, "{field}");
    }
}

#[test]
fn every_limit_is_set_in_the_kernel() {
    let host = Host::with_busybox();
    let args = ["run", "-d", "--name", "c"].into_iter().chain(LIMITS.split_whitespace());
    host.mydocker(args.chain(["bb", "sleep", "1000"]));
    hold(&host);
}

#[test]
fn a_quota_and_a_period_are_set() {
    let host = Host::with_busybox();
    host.mydocker([
        "run",
        "-d",
        "--name",
        "c",
        "--cpu-quota",
        "20000",
        "--cpu-period",
        "50000",
        "bb",
        "sleep",
        "1000",
    ]);
    let quota = setting(&host, "c", "cpu", ["cpu.cfs_quota_us", "cpu.max"]);
    assert!(quota == "20000" || quota == "20000 50000", "{quota}");
    host.mydocker(["run", "--cpus", "1", "--cpu-quota", "1000", "bb", "true"]).refused("--cpus");
}

#[test]
fn out_of_memory_exits_with_137_and_is_reported() {
    let host = Host::with_busybox();
    let eat = "tail /dev/zero";
    host.mydocker(["run", "--name", "o", "-m", "16m", "bb", "sh", "-c", &format!("exec {eat}")])
        .exits(137);
    assert_eq!(host.inspect("o", "{{.State.OOMKilled}} {{.State.ExitCode}}"), "true 137");
    host.mydocker(["run", "--name", "k", "bb", "sh", "-c", "exit 137"]).exits(137);
    assert_eq!(host.inspect("k", "{{.State.OOMKilled}}"), "false");
    // The limit is for the whole container, so it includes the processes of `exec`.
    host.mydocker(["run", "-d", "--name", "e", "-m", "16m", "bb", "sleep", "1000"]);
    host.mydocker(["exec", "e", "sh", "-c", &format!("exec {eat}")]).exits(137);
}

#[test]
fn stress_reaches_the_memory_limit() {
    let host = Host::new();
    host.debian("stress", &["stress-ng"]);
    let stress = |flags: &[&str], args: &[&str]| {
        let mut all = vec!["run", "--rm"];
        all.extend(flags);
        all.extend(["stress", "stress-ng", "--quiet", "--timeout", "2s"]);
        all.extend(args);
        host.mydocker(all)
    };
    let vm = ["--vm", "1", "--vm-bytes", "96m", "--oomable"];
    stress(&["-m", "256m"], &vm).exits(0);
    host.mydocker([
        "run",
        "-d",
        "--name",
        "m",
        "-m",
        "64m",
        "--memory-swap",
        "64m",
        "stress",
        "stress-ng",
        "--quiet",
        "--vm",
        "1",
        "--vm-bytes",
        "256m",
        "--vm-populate",
    ]);
    let most = || -> u64 {
        let files = ["memory.max_usage_in_bytes", "memory.peak"];
        setting(&host, "m", "memory", files).parse().unwrap()
    };
    eventually("it is at its limit", || most() > 60 << 20);
    assert!(most() <= 64 << 20);
    let killed = || {
        let dir = cgroup(&host, "m", "memory");
        let files = ["memory.oom_control", "memory.events"];
        let text = files.iter().find_map(|file| std::fs::read_to_string(dir.join(file)).ok());
        let text = text.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap().to_owned();
        line.parse::<u64>().unwrap() > 0
    };
    eventually("its children are killed", killed);
    host.mydocker(["rm", "-f", "m"]);
}

#[test]
fn stress_reaches_the_cpu_limit() {
    let host = Host::new();
    host.debian("stress", &["stress-ng"]);
    host.mydocker([
        "run",
        "-d",
        "--name",
        "c",
        "--cpus",
        "0.25",
        "stress",
        "stress-ng",
        "--quiet",
        "--cpu",
        "2",
    ]);
    let throttled = || {
        let text = std::fs::read_to_string(cgroup(&host, "c", "cpu").join("cpu.stat")).unwrap();
        let line =
            text.lines().find_map(|line| line.strip_prefix("nr_throttled ")).unwrap().to_owned();
        line.parse::<u64>().unwrap()
    };
    eventually("it is throttled", || throttled() > 5);
    // Compare the CPU time of the container's processes with the wall time, for three seconds.
    let ticks = || -> u64 {
        let procs =
            std::fs::read_to_string(cgroup(&host, "c", "cpu").join("cgroup.procs")).unwrap();
        let stats = procs
            .lines()
            .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok());
        let used = |stat: String| -> u64 {
            let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
            fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
        };
        stats.map(used).sum()
    };
    // A delay makes the measured time longer and the share smaller, so no delay fails the test.
    let (started, before) = (std::time::Instant::now(), ticks());
    std::thread::sleep(std::time::Duration::from_secs(3));
    let share = (ticks() - before) as f64 / 100.0 / started.elapsed().as_secs_f64();
    assert!(share < 0.32, "used {share} of a CPU");
}

#[test]
fn forks_stop_at_the_pids_limit() {
    let host = Host::with_busybox();
    let script = "for i in $(seq 40); do sleep 1000 & done; echo no";
    host.mydocker(["run", "--rm", "--pids-limit", "10", "bb", "sh", "-c", script])
        .exits(2)
        .stderr_has("can't fork");
    let host = Host::new();
    host.debian("stress", &["stress-ng"]);
    host.mydocker([
        "run",
        "-d",
        "--name",
        "p",
        "--pids-limit",
        "30",
        "stress",
        "stress-ng",
        "--quiet",
        "--fork",
        "4",
        "--fork-max",
        "64",
    ]);
    let hits = || {
        let text = setting(&host, "p", "pids", ["pids.events", "pids.events"]);
        text.strip_prefix("max ").unwrap().parse::<u64>().unwrap()
    };
    eventually("it meets the limit", || hits() > 10);
    let now: u64 = setting(&host, "p", "pids", ["pids.current", "pids.current"]).parse().unwrap();
    assert!(now <= 30, "{now} processes");
}

#[test]
fn a_cpuset_is_visible_inside() {
    let host = Host::with_busybox();
    let script = "grep Cpus_allowed_list /proc/self/status; nproc";
    host.mydocker(["run", "--rm", "--cpuset-cpus", "0", "bb", "sh", "-c", script])
        .stdout("Cpus_allowed_list:\t0\n1\n");
}

#[test]
fn a_user_can_choose_the_cgroup_parent() {
    let host = Host::with_busybox();
    let parent = support::unique("mydockertest");
    let flag = format!("/{parent}/deep");
    let id = host
        .mydocker([
            "run",
            "-d",
            "--name",
            "c",
            "--cgroup-parent",
            &flag,
            "-m",
            "32m",
            "--cpuset-cpus",
            "0",
            "bb",
            "sleep",
            "1000",
        ])
        .text();
    let dir = cgroup(&host, "c", "memory");
    assert!(dir.ends_with(format!("{parent}/deep/{id}")), "{}", dir.display());
    host.mydocker(["rm", "-f", "c"]);
    assert!(!dir.exists());
    // The cgroups of --cgroup-parent stay, also their `monitors`, so the test removes them.
    for dir in ["deep/monitors", "deep", ""] {
        support::remove_cgroup(&format!("{parent}/{dir}"));
    }
    for bad in ["../..", "/..", "a/../../b"] {
        host.mydocker(["run", "--cgroup-parent", bad, "bb", "true"]).refused("--cgroup-parent");
    }
}

#[test]
fn an_unsupported_limit_is_refused() {
    let host = Host::with_busybox();
    for (flags, part) in [
        (["--cpuset-cpus", "4095"], "4095"),
        (["--cpuset-mems", "63"], "63"),
        (["--cpus", "100000"], "cpus"),
        (["-m", "1k"], "6m"),
    ] {
        host.mydocker(["run", "--rm", flags[0], flags[1], "bb", "true"]).refused(part);
    }
    host.mydocker(["ps", "-aq"]).stdout("");
}

#[test]
fn the_weight_of_disks_is_set_or_refused() {
    let host = Host::with_busybox();
    let run = ["run", "-d", "--name", "c", "--blkio-weight", "500", "bb", "sleep", "1000"];
    let done = host.mydocker(run);
    // A kernel without BFQ may have no such weight.
    if std::fs::exists("/sys/module/bfq").unwrap() || done.succeeded() {
        drop(done.exits(0));
        let weight = setting(&host, "c", "blkio", ["blkio.bfq.weight", "io.weight"]);
        assert!(weight == "500" || weight == "default 4950", "{weight}");
    } else {
        done.refused("--blkio-weight");
    }
}

#[test]
fn a_container_without_limits_has_a_limit_of_processes() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "c", "bb", "sleep", "1000"]);
    let pids = setting(&host, "c", "pids", ["pids.max", "pids.max"]);
    assert_eq!(pids, "2048");
    assert_eq!(host.inspect("c", "{{.HostConfig.Memory}}"), "0");
    host.mydocker(["run", "-d", "--pids-limit", "-1", "--name", "d", "bb", "sleep", "1000"]);
    assert_eq!(setting(&host, "d", "pids", ["pids.max", "pids.max"]), "max");
}

#[test]
fn missing_cpus_are_refused_and_the_error_lists_the_present_ones() {
    let host = Host::with_busybox();
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    let available = format!("available: {}", online.trim());
    for list in ["4000", "0,4000", "0-4000"] {
        host.mydocker(["run", "--cpuset-cpus", list, "bb", "true"]).refused(&available);
    }
    host.mydocker(["create", "--cpuset-mems", "99", "bb", "true"]).refused("available: 0");
    host.mydocker(["create", "--cpus", "4000", "bb", "true"]).refused("CPUs available");
    host.mydocker(["ps", "-aq"]).stdout("");
}

/// Starts the container `c`, a shell with two child processes, without flags for limits.
fn unlimited(host: &Host) {
    host.mydocker(["run", "-d", "--name", "c", "bb", "sh", "-c", "sleep 1000 & sleep 1000; wait"]);
}

#[test]
fn update_changes_the_limits_of_a_running_container_and_of_its_next_start() {
    let host = Host::with_busybox();
    unlimited(&host);
    let args = ["update"].into_iter().chain(LIMITS.split_whitespace()).chain(["c"]);
    host.mydocker(args).stdout("c\n");
    hold(&host);
    // All processes of the container, also new ones, are in the cgroups that the update has made.
    let members = |controller: &str| {
        let procs = cgroup(&host, "c", controller).join("cgroup.procs");
        std::fs::read_to_string(procs).unwrap()
    };
    assert_eq!(members("cpu"), members("memory"));
    host.mydocker(["exec", "-d", "c", "sleep", "1000"]);
    assert_eq!(members("cpu"), members("memory"));
    let made = cgroup(&host, "c", "cpu");
    host.mydocker(["restart", "-t", "0", "c"]);
    hold(&host);
    host.mydocker(["kill", "c"]);
    assert!(!made.exists());
    // Memory is set above the former sum of memory and swap, then lowered again.
    host.mydocker(["start", "c"]);
    host.mydocker(["update", "-m", "256m", "--memory-swap", "512m", "c"]);
    host.mydocker(["container", "update", "-m", "32m", "--memory-swap", "48m", "c"]);
    let memory = setting(&host, "c", "memory", ["memory.limit_in_bytes", "memory.max"]);
    assert_eq!(memory, "33554432");
    host.mydocker(["kill", "c"]);
    assert!(!made.exists());
    host.mydocker(["update", "--pids-limit", "30", "c"]);
    host.mydocker(["start", "c"]);
    assert_eq!(setting(&host, "c", "pids", ["pids.max", "pids.max"]), "30");
}

#[test]
fn an_update_that_fails_changes_nothing() {
    let host = Host::with_busybox();
    unlimited(&host);
    host.mydocker(["update", "--pids-limit", "50", "c"]);
    for (status, flags, part) in [
        (1, "", "nothing to change"),
        (125, "--pids-limit x", "bad number"),
        (1, "--pids-limit 60 -m 1m", "6m"),
        (1, "--pids-limit 60 --memory-swap 64m", "--memory"),
        (1, "--pids-limit 60 --cpuset-cpus 4000", "available"),
        (1, "--pids-limit 60 --cpus 1 --cpu-quota 2000", "--cpu-quota"),
        (1, "--pids-limit 60 --restart never", "never"),
        (125, "--pids-limit 60 --kernel-memory 8m", "5.16"),
    ] {
        let args = ["update"].into_iter().chain(flags.split_whitespace()).chain(["c"]);
        host.mydocker(args).exits(status).complains(part);
        assert_eq!(setting(&host, "c", "pids", ["pids.max", "pids.max"]), "50");
        assert_eq!(host.inspect("c", "{{.HostConfig.PidsLimit}}"), "50");
    }
    host.mydocker(["update", "-m", "64m", "none", "c"]).exits(1).stdout("c\n").stderr_has("none");
    // The record is written last. Here its directory is read-only, so the update fails at the end.
    let pids = cgroup(&host, "c", "pids").join("pids.max");
    let dir = host.state_root().join("containers").join(host.inspect("c", "{{.Id}}"));
    let script = "mount --bind $0 $0; mount -o remount,ro,bind $0; exec \"$@\"";
    let update = host.command(["update", "--pids-limit", "60", "--cpus", "0.5", "c"]);
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(&dir).arg(update.get_program());
    let done = command.args(update.get_args()).output().unwrap();
    let stderr = String::from_utf8_lossy(&done.stderr);
    assert!(stderr.contains("Read-only file system"), "{stderr}");
    assert_eq!(std::fs::read_to_string(pids).unwrap(), "50\n");
    assert_eq!(host.inspect("c", "{{.HostConfig.PidsLimit}} {{.HostConfig.NanoCpus}}"), "50 0");
    host.mydocker(["system", "check"]);
}

#[test]
fn an_update_that_was_killed_is_undone() {
    let host = Host::with_busybox();
    unlimited(&host);
    // Imitate a kill between writing the kernel's files and the record.
    let pids = cgroup(&host, "c", "pids").join("pids.max");
    let half_done = || {
        let mark = host.run_root().join(host.inspect("c", "{{.Id}}")).join("updated.json");
        std::fs::write(mark, r#"{"finished":false,"cgroups":[]}"#).unwrap();
        std::fs::write(&pids, "77").unwrap();
    };
    half_done();
    host.mydocker(["system", "check"])
        .exits(1)
        .stdout_has("an update of container c was cut short");
    host.mydocker(["system", "check", "--repair"]);
    assert_eq!(std::fs::read_to_string(&pids).unwrap(), "2048\n");
    half_done();
    host.mydocker(["update", "-m", "64m", "c"]);
    assert_eq!(std::fs::read_to_string(&pids).unwrap(), "2048\n");
    host.mydocker(["system", "check"]);
}

#[test]
fn an_updated_restart_policy_applies_to_the_next_exit() {
    let host = Host::with_busybox();
    let script = "echo run; while [ ! -e /tmp/stop ]; do sleep 0.1; done; rm /tmp/stop";
    host.mydocker(["run", "-d", "--name", "c", "bb", "sh", "-c", script]);
    let runs = || host.mydocker(["logs", "c"]).text().lines().count();
    let exit = || drop(host.mydocker(["exec", "c", "touch", "/tmp/stop"]));
    host.mydocker(["update", "--restart", "on-failure:3", "c"]);
    host.mydocker(["update", "--restart", "always", "--pids-limit", "40", "c"]).stdout("c\n");
    exit();
    eventually("it starts again", || runs() == 2);
    eventually("it runs", || host.is_running("c"));
    assert_eq!(setting(&host, "c", "pids", ["pids.max", "pids.max"]), "40");
    assert_eq!(host.inspect("c", "{{.HostConfig.RestartPolicy.Name}}"), "always");
    host.mydocker(["update", "--restart", "no", "c"]);
    exit();
    host.mydocker(["wait", "c"]);
    eventually("it stays stopped", || !host.is_running("c"));
    assert_eq!(runs(), 2);
    host.mydocker(["run", "-d", "--rm", "--name", "r", "bb", "sleep", "1000"]);
    host.mydocker(["update", "--restart", "always", "r"]).exits(1).complains("--rm");
}

/// `ip netns exec` gives its program a new /sys, without the host's cgroups. The test imitates this
/// with unshare(1).
#[test]
fn containers_have_their_limits_under_ip_netns_exec_too() {
    let host = Host::with_busybox();
    let there = |args: &[&str]| {
        let script = "umount -l /sys && mount -t sysfs none /sys && exec \"$@\"";
        let command = host.command(args);
        let mut wrapped = Command::new("unshare");
        wrapped.args(["--mount", "--propagation", "slave", "sh", "-c", script, "sh"]);
        let done = wrapped.arg(command.get_program()).args(command.get_args()).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let run = ["run", "-d", "--network", "none", "-m", "64m"];
    let command = ["bb", "sleep", "1000"];
    there(&[&run[..], &["--name", "there"], &command].concat());
    host.mydocker([&run[..], &["--name", "here"], &command].concat());
    for name in ["there", "here"] {
        let cgroups = "grep -E ':memory:|^0::/$' /proc/self/cgroup | cut -d: -f3";
        for text in [
            there(&["exec", name, "sh", "-c", cgroups]),
            host.mydocker(["exec", name, "sh", "-c", cgroups]).text() + "\n",
        ] {
            assert_eq!(text, "/\n", "exec enters the cgroups of {name}");
        }
        let stats = ["stats", "--no-stream", "--format", "{{.MemUsage}}", name];
        assert!(there(&stats).ends_with("/ 64MiB\n") && !there(&stats).starts_with("0B"));
        there(&["pause", name]);
        assert_eq!(host.inspect(name, "{{.State.Status}}"), "paused");
        there(&["unpause", name]);
        there(&["update", "-m", "65m", name]);
        host.mydocker(stats).stdout_has("/ 65MiB");
        there(&["kill", name]);
        eventually("it has ended", || host.inspect(name, "{{.State.ExitCode}}") == "137");
        there(&["rm", name]);
    }
}

//! Kills any process of mydocker, at random moments. Once the killed processes have ended, a repair
//! leaves only what belongs to a container of `ps -a`, and `system check` finds nothing.
//!
//! The moments come from a seed, which is printed. A power cut that loses unwritten data is tested
//! in a virtual machine (`tests/host/power.rs`).

mod support;

use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use support::chance::Chance;
use support::{Host, eventually, remove_cgroup};

fn kill(pid: i32) {
    // Ignore an error: the process may have ended already.
    let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
}

fn parent_of(pid: i32) -> i32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    line.map_or(0, |pid| pid.trim().parse().unwrap())
}

/// The PIDs of this host's commands and monitors.
fn processes(host: &Host) -> Vec<i32> {
    host.processes().into_iter().map(|(pid, _)| pid).collect()
}

fn spawn(host: &Host, args: &[&str]) -> Child {
    let null = Stdio::null;
    host.command(args).stdin(null()).stdout(null()).stderr(null()).spawn().unwrap()
}

/// Repairs until `system check` finds nothing. Fails if a name or a directory is left that belongs
/// to no container of `ps -a`, or if a mount is left below the run root.
fn assert_clean(host: &Host) {
    // A killed process may need some time to end, and holds its lock until then.
    eventually("a repair leaves nothing to find", || {
        host.mydocker(["system", "check", "--repair"]);
        host.mydocker(["system", "check"]).status() == 0
    });
    let count = |path: std::path::PathBuf| std::fs::read_dir(path).unwrap().count();
    let by_id = |path: std::path::PathBuf| {
        let entries = std::fs::read_dir(path).unwrap().flatten();
        entries.filter(|entry| entry.file_name().len() == 64).count()
    };
    let containers = host.state_root().join("containers");
    // A monitor may be at its last step, so wait.
    eventually("all is owned", || {
        let owned = host.mydocker(["ps", "-aq"]).lines().len();
        count(containers.join("names")) == owned
            && by_id(containers.clone()) == owned
            && by_id(host.run_root()) <= owned
    });
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(host.run_root().to_str().unwrap()));
}

/// The cgroups of these containers, whether they run or not.
fn cgroups(ids: &[String]) -> Vec<std::path::PathBuf> {
    ids.iter().flat_map(|id| support::cgroups(&format!("mydocker/{id}"))).collect()
}

#[test]
fn fifty_containers_start_at_the_same_time() {
    let host = Host::with_busybox();
    let names: Vec<String> = (0..50).map(|number| format!("c{number}")).collect();
    let mut starts: Vec<Child> = names
        .iter()
        .map(|name| spawn(&host, &["run", "-d", "--name", name, "bb", "sleep", "1000"]))
        .collect();
    for start in &mut starts {
        assert!(start.wait().unwrap().success());
    }
    assert_eq!(host.mydocker(["ps", "-q"]).lines().len(), 50);
    for name in &names {
        host.mydocker(["exec", name, "hostname"]);
    }
    let mut removals: Vec<Child> =
        names.iter().map(|name| spawn(&host, &["rm", "-f", name])).collect();
    for removal in &mut removals {
        assert!(removal.wait().unwrap().success());
    }
    host.mydocker(["ps", "-aq"]).stdout("");
    host.mydocker(["system", "check"]).stdout("");
}

#[test]
fn a_killed_monitor_is_reported() {
    let host = Host::with_busybox();
    let id = host.mydocker(["run", "-d", "--name", "c", "bb", "sleep", "1000"]).text();
    let program = host.pid("c");
    kill(parent_of(program));
    eventually("the program goes with its monitor", || {
        host.mydocker(["ps", "-a"]).text().contains("Exited (137)")
    });
    assert!(host.inspect("c", "{{.State.Error}}").contains("monitor was killed"));
    assert!(cgroups(&[id]).is_empty());
    let its_files = std::path::PathBuf::from(format!("/proc/{program}"));
    eventually("the program is reaped", || !its_files.exists());
    host.mydocker(["start", "c"]);
    assert!(host.is_running("c"));
    host.mydocker(["system", "check"]).stdout("");
}

#[test]
fn two_hundred_kills_at_random_moments() {
    let host = Host::with_busybox();
    let mut chance = Chance::new();
    let mut ids = Vec::new();
    for round in 0..200 {
        let name = format!("r{}", chance.below(20));
        let kept = ["run", "-d", "--name", &name, "-v", "/data", "bb", "sleep", "1000"];
        let foreground = ["run", "--rm", "--name", &name, "bb", "sleep", "0.02"];
        let (start, remove) = (["start", name.as_str()], ["rm", "-f", name.as_str()]);
        let other = format!("r{}", chance.below(20));
        let rename = ["rename", name.as_str(), other.as_str()];
        let restart = ["run", "-d", "--restart", "always", "--name", &name, "bb", "false"];
        let line: &[&str] = match chance.below(8) {
            0..=2 => &kept,
            3 => &foreground,
            4 => &start,
            5 => &remove,
            6 => &rename,
            _ => &restart,
        };
        let mut command = spawn(&host, line);
        std::thread::sleep(Duration::from_micros(chance.below(12_000)));
        let all = processes(&host);
        match chance.below(3) {
            // Kill the command of this round.
            0 => kill(command.id() as i32),
            // Kill any process: a command or a monitor, of this round or an earlier one.
            1 if !all.is_empty() => kill(all[chance.below(all.len() as u64) as usize]),
            _ => all.iter().for_each(|pid| kill(*pid)),
        }
        let _ = command.wait();
        ids.extend(host.mydocker(["ps", "-aq", "--no-trunc"]).lines());
        if round % 20 == 19 {
            assert_clean(&host);
        }
    }
    for id in host.mydocker(["ps", "-aq"]).lines() {
        host.mydocker(["rm", "-fv", &id]);
    }
    assert_clean(&host);
    host.mydocker(["ps", "-aq"]).stdout("");
    ids.sort();
    ids.dedup();
    assert_eq!(cgroups(&ids), [] as [std::path::PathBuf; 0]);
}

#[test]
fn after_a_power_cut_boot_starts_the_containers_again() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "plain", "bb", "sleep", "1000"]);
    host.mydocker(["run", "-d", "--name", "gone", "--rm", "bb", "sleep", "1000"]);
    for (name, policy) in
        [("always", "always"), ("unless", "unless-stopped"), ("stopped", "unless-stopped")]
    {
        host.mydocker(["run", "-d", "--name", name, "--restart", policy, "bb", "sleep", "1000"]);
    }
    host.mydocker(["create", "--name", "made", "--restart", "always", "bb", "true"]);
    host.mydocker(["kill", "stopped"]);
    let ids = host.mydocker(["ps", "-aq", "--no-trunc"]).lines();
    for pid in processes(&host) {
        kill(pid);
    }
    eventually("all monitors are gone", || processes(&host).is_empty());
    std::fs::remove_dir_all(host.run_root()).unwrap();
    ids.iter().for_each(|id| remove_cgroup(&format!("mydocker/{id}")));
    host.mydocker(["ps", "-q"]).stdout("");
    let status = |name: &str| host.inspect(name, "{{.State.Status}}");
    assert_eq!(status("plain"), "exited");
    assert_eq!(host.inspect("plain", "{{.State.ExitCode}}"), "255");
    host.mydocker(["inspect", "gone"]).exits(1);
    let mut started = host.mydocker(["boot"]).lines();
    started.sort();
    assert_eq!(started, ["always", "unless"]);
    host.mydocker(["boot"]).stdout("");
    assert_eq!((status("always"), status("stopped")), ("running".into(), "exited".into()));
    assert_eq!((status("made"), status("plain")), ("created".into(), "exited".into()));
    host.mydocker(["halt", "-t", "0"]);
    host.mydocker(["ps", "-q"]).stdout("");
    assert_eq!(host.mydocker(["boot"]).lines().len(), 2);
    // The containers that did not start again still have the leases of their addresses, which the
    // check reports. So repair first.
    host.mydocker(["system", "check", "--repair"]);
    host.mydocker(["system", "check"]).stdout("");
}

#[test]
fn restart_policies_start_a_program_again() {
    let host = Host::with_busybox();
    let script = "echo x >>/runs; exit 3";
    host.mydocker([
        "run",
        "-d",
        "--name",
        "three",
        "--restart",
        "on-failure:3",
        "bb",
        "sh",
        "-c",
        script,
    ]);
    host.mydocker(["wait", "three"]).stdout("3\n");
    assert_eq!(host.inspect("three", "{{.RestartCount}}"), "3");
    host.mydocker(["run", "-d", "--name", "fine", "--restart", "on-failure", "bb", "true"]);
    host.mydocker(["wait", "fine"]).stdout("0\n");
    // Stop the container while its monitor waits for the next attempt.
    host.mydocker(["run", "-d", "--name", "ever", "--restart", "always", "bb", "false"]);
    eventually("it waits a while", || {
        host.inspect("ever", "{{.RestartCount}}").parse::<u32>().unwrap() >= 3
    });
    host.mydocker(["stop", "ever"]);
    assert_eq!(host.inspect("ever", "{{.State.Status}}"), "exited");
    host.mydocker(["start", "ever"]);
    host.mydocker(["rm", "-f", "ever"]);
    host.mydocker(["run", "-d", "--name", "up", "--restart", "always", "bb", "sleep", "1000"]);
    let before = host.pid("up");
    kill(before);
    eventually("it is begun again", || host.is_running("up") && host.pid("up") != before);
    host.mydocker(["stop", "-t", "0", "up"]);
    assert!(!host.is_running("up"));
    host.mydocker(["run", "--rm", "--restart", "always", "bb"]).refused("--restart");
}

#[test]
fn two_commands_at_the_same_time_on_one_container() {
    let host = Host::with_busybox();
    for _ in 0..15 {
        host.mydocker(["create", "--name", "c", "bb", "sleep", "0.01"]);
        let commands: [&[&str]; 6] = [
            &["start", "c"],
            &["rename", "c", "d"],
            &["start", "c"],
            &["rm", "-f", "c"],
            &["rename", "c", "e"],
            &["rm", "-f", "d"],
        ];
        let mut children: Vec<Child> = commands.iter().map(|line| spawn(&host, line)).collect();
        for child in &mut children {
            child.wait().unwrap();
        }
        for id in host.mydocker(["ps", "-aq"]).lines() {
            host.mydocker(["rm", "-f", &id]);
        }
        host.mydocker(["system", "check"]).stdout("");
    }
}

#[test]
fn the_check_repairs_its_findings() {
    let host = Host::with_busybox();
    let id = host.mydocker(["create", "--name", "good", "bb", "true"]).text();
    let containers = host.state_root().join("containers");
    let made = "0123456789abcdef".repeat(4);
    std::fs::create_dir_all(containers.join(&made).join("upper")).unwrap();
    std::os::unix::fs::symlink(format!("../{made}"), containers.join("names/half")).unwrap();
    std::fs::create_dir_all(containers.join(format!(".{made}.removing/upper"))).unwrap();
    std::fs::remove_file(containers.join("names/good")).unwrap();
    std::fs::write(containers.join(&id).join(".config.json.4194305.tmp"), "{").unwrap();
    // The next four names contain the PID of a running process, which has none of the four open.
    let manifests = host.state_root().join("images/manifests");
    let leases = host.state_root().join("networks/n/leases");
    std::fs::create_dir_all(&manifests).unwrap();
    host.mydocker(["network", "create", "n"]);
    std::fs::create_dir_all(&leases).unwrap();
    let reused = std::process::id();
    std::fs::write(manifests.join(format!(".00.{reused}.tmp")), "{").unwrap();
    std::fs::write(leases.join(format!(".10.0.0.1.{reused}.tmp")), "{").unwrap();
    std::fs::write(containers.join(&id).join(format!(".config.json.{reused}.tmp")), "{").unwrap();
    std::fs::create_dir_all(host.state_root().join(format!("volumes/.w.{reused}.new/_data")))
        .unwrap();
    let living = containers.join(&id).join(format!(".state.json.{reused}.tmp"));
    let held = std::fs::File::create(&living).unwrap();
    std::fs::create_dir_all(host.run_root().join("fedcba9876543210".repeat(4))).unwrap();
    std::fs::create_dir_all(host.state_root().join("layers/.unpack-0/fs")).unwrap();
    std::fs::create_dir_all(host.state_root().join("volumes/.v.4194305.new/_data")).unwrap();
    let found = host.mydocker(["system", "check"]).exits(1).lines();
    assert_eq!(found.len(), 12, "{found:#?}");
    assert_eq!(
        host.mydocker(["system", "check"]).exits(1).lines(),
        found,
        "a look changes nothing"
    );
    let mended = host.mydocker(["system", "check", "--repair"]).lines();
    assert!(mended.iter().all(|line| line.ends_with(": repaired")), "{mended:#?}");
    host.mydocker(["system", "check"]).stdout("");
    assert!(living.exists(), "its maker writes it still");
    drop(held);
    host.mydocker(["system", "check", "--repair"]);
    assert!(!living.exists());
    host.mydocker(["start", "-a", "good"]);
}

/// Without the monitor, no process would reap the container's processes, read the container's
/// output or notice the container's end.
#[test]
fn a_container_ends_with_its_monitor() {
    let host = Host::with_busybox();
    for flags in [&[][..], &["--init"], &["-u", "1000"]] {
        let run = ["run", "-d", "--name", "c"].iter().chain(flags);
        host.mydocker(run.chain(&["bb", "sleep", "100000"]));
        let process = format!("/proc/{}", host.pid("c"));
        host.kill(host.monitor("c"));
        eventually("it has ended", || !std::path::Path::new(&process).exists());
        host.mydocker(["rm", "-f", "c"]);
    }
}

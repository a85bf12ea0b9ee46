//! Attacks by limits, sysctls and sockets.
//!
//! The limits and sysctls come from a user's flags. The engine must refuse a wrong value at once
//! and with one line, and must not change the host with it.

use super::call;
use super::support::Host;

/// CVE-2018-20699: `--cpuset-cpus 0-4294967295` was expanded CPU by CPU and used up the engine's
/// memory.
#[test]
fn a_giant_cpuset_is_refused_at_once() {
    let host = Host::with_busybox();
    for flag in ["--cpuset-cpus", "--cpuset-mems"] {
        let like = host.command(["run", "--rm", flag, "0-4294967295", "bb", "true"]);
        let mut command = std::process::Command::new("prlimit");
        command.arg("--as=33554432").arg(like.get_program()).args(like.get_args());
        // The parser refuses the list by its largest number, before anything expands the list.
        call(command).refused("4294967295 is above the largest").stderr_has(flag);
    }
}

/// CVE-2022-0811 and similar: the value of a sysctl contained another sysctl.
#[test]
fn sysctls_are_one_key_and_one_value_of_the_containers_own() {
    let host = Host::with_busybox();
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let before = read("/proc/sys/kernel/core_pattern");
    // Use the present value, so that the host keeps its core pattern even if the guard fails.
    let core_pattern = format!("kernel.core_pattern={}", before.trim_end());
    for bad in [
        core_pattern.as_str(),
        &format!("kernel.shm_rmid_forced=1+{core_pattern}"),
        &core_pattern.replace('.', "/"),
        &format!("net.ipv4.ip_forward=1\n{core_pattern}"),
        "net.ipv4.ip_forward",
        "=1",
        &core_pattern.replace("kernel.", "net/../kernel/"),
        &core_pattern.replace("kernel.", "net.ipv4...kernel."),
        "vm.overcommit_memory=0",
        "fs.nr_open=1048576",
    ] {
        host.mydocker(["run", "--rm", "--sysctl", bad, "bb", "true"]).refused("sysctl");
    }
    let args = ["run", "--rm", "--net", "host", "--sysctl", "net.ipv4.ip_forward=1", "bb", "true"];
    host.mydocker(args).refused("sysctl");
    assert_eq!(read("/proc/sys/kernel/core_pattern"), before);
}

/// CVE-2020-15257: the control socket was an abstract socket, which every container on the host's
/// network could open.
#[test]
fn no_control_socket_is_in_reach() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "box", "--net", "host", "bb", "sleep", "1000"]);
    let sockets = host.mydocker(["exec", "box", "cat", "/proc/net/unix"]).text();
    let run_root = host.run_root().display().to_string();
    for line in sockets.lines() {
        let abstract_one = line.split_whitespace().nth(7).is_some_and(|path| path.starts_with('@'));
        assert!(!(abstract_one && line.contains("mydocker")), "an abstract socket: {line}");
    }
    // Another user of the host can reach neither the socket nor the files beside it.
    let id = host.inspect("box", "{{.Id}}");
    for path in
        [run_root.clone(), format!("{run_root}/{id}"), format!("{run_root}/{id}/attach.sock")]
    {
        let seen = std::process::Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "ls", &path])
            .output();
        let seen = seen.unwrap();
        assert!(!seen.status.success(), "a user can list {path}");
        assert!(String::from_utf8_lossy(&seen.stderr).contains("Permission denied"), "{path}");
    }
}

//! `exec`: another process in a running container.
//!
//! Unless a flag of `exec` changes them, the process must get the same view, limits and rights as
//! the first process of the container. Attacks on such a process are in
//! `tests/escapes/entering.rs`.

mod support;

use support::{Host, eventually};

fn sleeper(flags: &[&str]) -> Host {
    let host = Host::with_busybox();
    let mut args = vec!["run", "-d", "--name", "c"];
    args.extend(flags);
    args.extend(["bb", "sleep", "1000"]);
    host.mydocker(args);
    host
}

#[test]
fn exec_returns_the_status_and_output_of_the_command() {
    let host = sleeper(&[]);
    host.mydocker(["exec", "c", "sh", "-c", "echo out; echo err >&2; exit 7"])
        .exits(7)
        .stdout("out\n")
        .stderr("err\n");
    host.mydocker(["exec", "c", "sh", "-c", "kill -9 $$"]).exits(137);
    host.mydocker(["exec", "c", "nothing"]).exits(127).complains("nothing");
    host.mydocker(["exec", "c", "/etc"]).exits(126).complains("/etc");
}

#[test]
fn only_i_connects_stdin() {
    let host = sleeper(&[]);
    host.feed("typed\n", ["exec", "c", "cat"]).stdout("");
    host.feed("typed\n", ["exec", "-i", "c", "cat"]).stdout("typed\n");
    let data = vec![b'x'; 20 << 20];
    let back = host.feed(data.clone(), ["exec", "-i", "c", "cat"]).bytes();
    assert!(back == data, "{} bytes came back", back.len());
}

#[test]
fn exec_joins_the_namespaces_and_the_cgroup() {
    let host = sleeper(&["-m", "64m"]);
    let pid = host.pid("c");
    for kind in ["pid", "mnt", "uts", "ipc", "net", "cgroup"] {
        let theirs = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        host.mydocker(["exec", "c", "readlink", &format!("/proc/self/ns/{kind}")])
            .stdout(&format!("{}\n", theirs.display()));
    }
    host.mydocker(["exec", "c", "ps", "-o", "pid,args"]).stdout_has("1 sleep 1000");
    let mut further = host.background(["exec", "c", "sh", "-c", "echo in; sleep 1000; true"]);
    further.expect("in");
    let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    eventually("three are in the container's cgroup", || members(&cgroup).len() >= 3);
    host.mydocker(["kill", "c"]);
    further.wait().exits(137);
}

/// Returns the PIDs in a container's cgroup: in the memory cgroup on v1, in the cgroup on v2.
/// `cgroup` is the content of /proc/PID/cgroup for a process of the container.
fn members(cgroup: &str) -> Vec<String> {
    let v1 = cgroup.lines().find_map(|line| line.split_once(":memory:")).map(|(_, path)| path);
    let path = match v1 {
        Some(path) => format!("/sys/fs/cgroup/memory{path}"),
        None => {
            let path = cgroup.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
            format!("/sys/fs/cgroup{path}")
        }
    };
    let procs = std::fs::read_to_string(format!("{path}/cgroup.procs")).unwrap();
    procs.lines().map(str::to_owned).collect()
}

#[test]
fn exec_has_an_environment_a_directory_and_a_user() {
    let host = sleeper(&["-e", "A=run", "-e", "B=run", "-w", "/tmp", "-u", "app", "-h", "box"]);
    host.mydocker([
        "exec",
        "-e",
        "A=exec",
        "--env",
        "C=exec",
        "c",
        "sh",
        "-c",
        "echo $A $B $C $HOME $HOSTNAME",
    ])
    .stdout("exec run exec /home/app box\n");
    host.mydocker(["exec", "c", "sh", "-c", "pwd; id -un"]).stdout("/tmp\napp\n");
    host.mydocker(["exec", "-w", "/etc", "-u", "root", "c", "sh", "-c", "pwd; id -u; echo $HOME"])
        .stdout("/etc\n0\n/root\n");
    host.mydocker(["exec", "-u", "0:staff", "c", "id", "-g"]).stdout("50\n");
    host.mydocker(["exec", "-w", "/nowhere", "c", "pwd"]).exits(126).complains("/nowhere");
    host.mydocker(["exec", "-u", "nobodyknows", "c", "id"]).exits(126).complains("nobodyknows");
    host.mydocker(["exec", "-d", "-u", "nobodyknows", "c", "id"]).exits(1).complains("nobodyknows");
    // The process does not get the caller's environment.
    let mut command = host.command(["exec", "c", "env"]);
    let output = command.env("LEAK", "never").output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stdout).contains("LEAK"));
}

#[test]
fn exec_has_the_containers_capabilities_unless_privileged() {
    let host = sleeper(&[]);
    let caps = |flags: &[&str]| {
        let mut args = vec!["exec"];
        args.extend(flags);
        args.extend(["c", "awk", "/CapEff|CapInh/{print $2}", "/proc/self/status"]);
        host.mydocker(args).lines()
    };
    assert_eq!(caps(&[]), ["0000000000000000", "00000000a80425fb"]);
    let all = caps(&["--privileged"]);
    assert_eq!(all[0], "0000000000000000");
    assert!(
        u64::from_str_radix(&all[1], 16).unwrap() & (1 << 21) != 0,
        "no CAP_SYS_ADMIN: {all:?}"
    );
    assert_eq!(caps(&["-u", "app"])[1], "0000000000000000");
}

#[test]
fn exec_runs_in_the_background() {
    let host = sleeper(&[]);
    host.mydocker(["exec", "-d", "c", "sh", "-c", "sleep 0.2; echo done >/done"]).stdout("");
    eventually("it has run", || host.mydocker(["exec", "c", "test", "-e", "/done"]).status() == 0);
    host.mydocker(["exec", "-d", "c", "nothing"]).exits(1).complains("nothing");
}

#[test]
fn exec_needs_a_running_container() {
    let host = sleeper(&[]);
    host.mydocker(["create", "--name", "new", "bb", "true"]);
    host.mydocker(["exec", "new", "true"]).exits(1).complains("not running");
    host.mydocker(["kill", "c"]);
    host.mydocker(["exec", "c", "true"]).exits(1).complains("not running");
    host.mydocker(["exec", "nobody", "true"]).exits(1).complains("nobody");
}

#[test]
fn exec_has_only_three_descriptors() {
    let host = sleeper(&[]);
    let file = std::fs::File::open("/etc/passwd").unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    host.mydocker(["exec", "c", "ls", "/proc/self/fd"]).stdout("0\n1\n2\n3\n");
}

#[test]
fn exec_and_the_first_process_see_each_others_files() {
    let host = Host::with_busybox();
    let script = "echo one >/f; until [ -e /g ]; do sleep 0.02; done; cat /g; sleep 1000";
    host.mydocker(["run", "-d", "--name", "c", "bb", "sh", "-c", script]);
    eventually("the file is there", || {
        host.mydocker(["exec", "c", "test", "-e", "/f"]).status() == 0
    });
    host.mydocker(["exec", "c", "sh", "-c", "cat /f; echo two >/g"]).stdout("one\n");
    eventually("the answer is read", || host.mydocker(["logs", "c"]).text() == "two");
}

#[test]
fn orphans_of_an_exec_delay_no_command() {
    let host = sleeper(&["--init"]);
    host.mydocker(["exec", "c", "sh", "-c", "sleep 1000 & echo left"]).stdout("left\n");
}

//! `run`: a command in a new container, and its output and status.
//!
//! The tests call the binary and compare stdout, stderr and the exit status. Many flags have tests
//! in other files, such as `mounts.rs` and `limits.rs`.

mod support;

use rustix::process::Signal;
use support::{Host, eventually};

#[test]
fn the_first_command_of_the_readme() {
    let host = Host::with_busybox();
    host.mydocker(["run", "--rm", "bb", "echo", "hi"]).stdout("hi\n").stderr("");
    host.mydocker(["ps", "-aq"]).stdout("");
}

#[test]
fn run_returns_the_status_of_the_command() {
    let host = Host::with_busybox();
    for status in [0, 1, 3, 255] {
        host.mydocker(["run", "--rm", "bb", "sh", "-c", &format!("exit {status}")]).exits(status);
    }
    // PID 1 of a PID namespace ignores SIGKILL from inside. With --init the shell is not PID 1.
    host.mydocker(["run", "--rm", "--init", "bb", "sh", "-c", "kill -9 $$"]).exits(137);
}

#[test]
fn a_program_that_cannot_be_executed_is_126_and_a_missing_one_127() {
    let host = Host::with_busybox();
    for (command, status, part) in [
        ("/bin/nothing", 127, "/bin/nothing"),
        ("nothing", 127, "nothing"),
        ("/etc/passwd", 126, "/etc/passwd"),
        ("/etc", 126, "/etc"),
    ] {
        host.mydocker(["run", "--rm", "bb", command]).exits(status).stdout("").complains(part);
    }
    host.mydocker(["ps", "-aq"]).stdout("");
    // A file whose dynamic loader or interpreter is missing exists, although execve(2) says ENOENT.
    let script = "printf '#!/no/loader\\n' >/bin/orphan; chmod 755 /bin/orphan";
    host.mydocker(["run", "--name", "made", "bb", "sh", "-c", script]).stdout("");
    host.mydocker(["commit", "made", "made"]).text();
    for command in ["orphan", "/bin/orphan"] {
        let done = host.mydocker(["run", "--rm", "made", command]).exits(127);
        done.complains(
            "exec '/bin/orphan' in the container: its dynamic loader, or the program after #!,",
        );
    }
    // A file in PATH is no directory, so the program is not there.
    let done = host.mydocker(["run", "--rm", "-e", "PATH=/etc/passwd", "bb", "orphan"]);
    done.exits(127).complains("'orphan' not found in the container's PATH");
}

#[test]
fn stdout_and_stderr_stay_separate() {
    let host = Host::with_busybox();
    host.mydocker(["run", "--rm", "bb", "sh", "-c", "echo out; echo err >&2"])
        .stdout("out\n")
        .stderr("err\n");
}

#[test]
fn stdin_is_passed_only_with_i() {
    let host = Host::with_busybox();
    host.feed("heard\n", ["run", "--rm", "bb", "cat"]).stdout("");
    host.feed("heard\n", ["run", "--rm", "-i", "bb", "cat"]).stdout("heard\n");
    // The end of the input is passed on, but only after the whole input.
    let mut cat = host.background(["run", "--rm", "-i", "bb", "cat"]);
    cat.type_in("one\n");
    cat.expect("one\n");
    cat.type_in("two\n");
    cat.expect("two\n");
    cat.close_stdin();
    cat.wait().stdout("one\ntwo\n");
}

#[test]
fn the_end_of_a_clients_input_ends_no_detached_container() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "-i", "--name", "c", "bb", "cat"]).exits(0);
    host.mydocker(["inspect", "-f", "{{.Config.StdinOnce}}", "c"]).stdout("false\n");
    let mut first = host.background(["attach", "c"]);
    first.type_in("one\n");
    first.expect("one\n");
    first.close_stdin();
    let mut second = host.background(["attach", "c"]);
    second.type_in("two\n");
    second.expect("two\n");
    second.close_stdin();
    // As with Docker, both clients stay until the container ends.
    host.mydocker(["rm", "-f", "c"]).exits(0);
    first.wait().exits(137).stdout("one\ntwo\n");
    second.wait().exits(137).stdout("two\n");
    // With StdinOnce, the container's input ends with the input of `start -ai`.
    host.mydocker(["create", "-i", "--name", "d", "bb", "cat"]).exits(0);
    host.mydocker(["inspect", "-f", "{{.Config.StdinOnce}}", "d"]).stdout("true\n");
    host.feed("three\n", ["start", "-ai", "d"]).stdout("three\n");
}

#[test]
fn a_hundred_megabytes_pass_unchanged_in_both_directions() {
    let host = Host::with_busybox();
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let data: Vec<u8> = (0..100 << 17)
        .flat_map(|_| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed.to_le_bytes()
        })
        .collect();
    let run = ["run", "--rm", "-i", "--log-driver", "none", "bb", "cat"];
    let back = host.feed(data.clone(), run).bytes();
    assert!(back == data, "{} bytes came back of {}", back.len(), data.len());
}

#[test]
fn the_last_output_is_never_lost() {
    let host = Host::with_busybox();
    let script = "head -c 200000 /dev/zero | tr '\\0' x; echo end >&2; exit 7";
    let done = host.mydocker(["run", "--rm", "bb", "sh", "-c", script]).exits(7).stderr("end\n");
    assert_eq!(done.bytes().len(), 200_000);
}

#[test]
fn a_closed_output_ends_the_client_quietly() {
    let host = Host::with_busybox();
    let run = "\"$0\" \"$@\" run --rm bb yes 2>&1 | head -n 1";
    let mut command = host.command([""; 0]);
    let flags: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    command = std::process::Command::new("sh");
    command.args(["-c", run, support::MYDOCKER]).args(flags);
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "y\n");
    // As with Docker, the container continues, and its output only goes to its log.
    assert_eq!(host.mydocker(["ps", "-q"]).lines().len(), 1);
}

#[test]
fn a_detached_run_prints_the_id() {
    let host = Host::with_busybox();
    let id = host.mydocker(["run", "-d", "--name", "bg", "bb", "sleep", "1000"]).text();
    assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    host.mydocker(["ps", "-q", "--no-trunc"]).stdout(&format!("{id}\n"));
    host.mydocker(["rm", "-f", "bg"]).stdout("bg\n");
}

#[test]
fn top_in_the_background_needs_no_input() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "top", "bb", "top"]);
    host.mydocker(["run", "-d", "--name", "toptty", "-t", "bb", "top"]);
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert!(host.is_running("top") && host.is_running("toptty"));
    eventually("top has drawn", || !host.mydocker(["logs", "top"]).text().is_empty());
}

#[test]
fn a_shell_with_input_waits_in_the_background() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-di", "--name", "waits", "bb", "sh"]);
    host.mydocker(["run", "-d", "--name", "ends", "bb", "sh"]);
    host.mydocker(["wait", "ends"]).stdout("0\n");
    assert!(host.is_running("waits"));
    let mut attached = host.background(["attach", "waits"]);
    attached.type_in("echo back $((6 * 7)); exit 5\n");
    attached.wait().exits(5).stdout("back 42\n");
}

#[test]
fn rm_removes_a_container_however_it_ends() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--rm", "--name", "gone", "bb", "sleep", "1000"]);
    host.mydocker(["kill", "gone"]);
    eventually("it is removed", || host.mydocker(["ps", "-aq"]).text().is_empty());
    eventually("all its bytes are freed", || {
        let left = std::fs::read_dir(host.state_root().join("containers")).unwrap();
        left.map(|entry| entry.unwrap().file_name()).eq(["names"])
    });
    eventually("nothing of it is in the run root", || {
        let mut left = std::fs::read_dir(host.run_root()).unwrap();
        !left.any(|entry| entry.unwrap().file_name().len() == 64)
    });
}

#[test]
fn signals_reach_the_command() {
    let host = Host::with_busybox();
    let script = "trap 'echo caught; exit 9' USR1; echo ready; while :; do sleep 0.05; done";
    let mut run = host.background(["run", "--rm", "bb", "sh", "-c", script]);
    run.expect("ready");
    run.signal(Signal::USR1);
    run.wait().exits(9).stdout("ready\ncaught\n");
    // With --sig-proxy=false only the client gets the signal, and the container continues.
    let args = ["run", "--sig-proxy=false", "--name", "stays", "bb", "sh", "-c", script];
    let mut run = host.background(args);
    run.expect("ready");
    run.signal(Signal::TERM);
    run.wait().exits(143);
    assert!(host.is_running("stays"));
}

#[test]
fn a_killed_client_does_not_end_the_container() {
    let host = Host::with_busybox();
    let script = "echo ready; while :; do echo tick; sleep 0.05; done";
    let mut run = host.background(["run", "--name", "lives", "bb", "sh", "-c", script]);
    run.expect("ready");
    run.signal(Signal::KILL);
    run.wait().exits(137);
    assert!(host.is_running("lives"));
    let before = host.mydocker(["logs", "lives"]).lines().len();
    eventually("it goes on", || host.mydocker(["logs", "lives"]).lines().len() > before + 2);
}

#[test]
fn a_killed_client_leaves_the_monitor_idle() {
    let host = Host::with_busybox();
    // The program never reads, so its input buffer is full when the client is killed.
    let mut run = host.background(["run", "-i", "--name", "deaf", "bb", "sleep", "1000"]);
    run.type_in(vec![b'x'; 4 << 20]);
    eventually("it runs", || host.mydocker(["ps", "-q"]).text() != "");
    std::thread::sleep(std::time::Duration::from_millis(300));
    run.signal(Signal::KILL);
    run.wait().exits(137);
    let parent = status_field(host.pid("deaf"), "PPid");
    let ticks = || -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{parent}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    std::thread::sleep(std::time::Duration::from_millis(1000));
    assert!(ticks() - before < 10, "the monitor spins: {} ticks", ticks() - before);
}

fn status_field(pid: i32, field: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

#[test]
fn names_are_unique() {
    let host = Host::with_busybox();
    let id = host.mydocker(["create", "--name", "one", "bb", "true"]).text();
    host.mydocker(["run", "--name", "one", "bb", "true"]).refused("one").stderr_has(&id[..12]);
    host.mydocker(["rm", "one"]);
    host.mydocker(["run", "--name", "one", "bb", "true"]);
    assert_eq!(host.mydocker(["ps", "-aq"]).lines().len(), 1);
}

#[test]
fn cidfile_holds_the_id_and_is_never_overwritten() {
    let host = Host::with_busybox();
    let file = host.scratch().join("cid");
    let path = file.to_str().unwrap();
    let id = host.mydocker(["run", "-d", "--cidfile", path, "bb", "true"]).text();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), id);
    host.mydocker(["run", "--cidfile", path, "bb", "true"]).refused("exists");
}

#[test]
fn labels_are_kept_and_override_the_images() {
    let host = Host::with_busybox();
    let run = ["create", "-l", "a=1", "--label", "b", "--label=c=x=y", "--name", "l", "bb", "true"];
    host.mydocker(run);
    assert_eq!(host.inspect("l", "{{json .Config.Labels}}"), r#"{"a":"1","b":"","c":"x=y"}"#);
    host.mydocker(["ps", "-a", "--filter", "label=a=1", "--format", "{{.Names}}"]).stdout("l\n");
    host.mydocker(["ps", "-a", "--filter", "label=a=2", "--format", "{{.Names}}"]).stdout("");
}

#[test]
fn flags_end_at_the_image_and_quoting_is_kept() {
    let host = Host::with_busybox();
    let words = ["--rm", "-d", "a  b", "", "*", "$HOME", "'q'", "\"d\"", "\\", "new\nline", "ü"];
    let mut args = vec!["run", "--rm", "bb", "printf", "<%s>"];
    args.extend(words);
    let expected: String = words.iter().map(|word| format!("<{word}>")).collect();
    host.mydocker(args).stdout(&expected);
    host.mydocker(["run", "--rm", "--", "bb", "echo", "--", "-x"]).stdout("-- -x\n");
}

#[test]
fn hello_needs_no_image_file() {
    let host = Host::new();
    let hello = host.mydocker(["run", "--rm", "--memory", "64m", "-h", "box", "hello"]);
    hello
        .stdout_has("I am PID        1\n")
        .stdout_has("on host         box\n")
        .stdout_has("64")
        .stdout_has("/proc ");
    host.mydocker(["run", "hello"]);
    assert_eq!(host.mydocker(["images", "-q"]).lines().len(), 1);
    host.mydocker(["ps", "-a", "--format", "{{.Image}} {{.State}}"]).stdout("hello exited\n");
}

#[test]
fn many_containers_at_the_same_time() {
    let host = Host::with_busybox();
    let runs: Vec<_> = (0..50)
        .map(|number| host.background(["run", "--rm", "bb", "echo", &number.to_string()]))
        .collect();
    for (number, run) in runs.into_iter().enumerate() {
        run.wait().stdout(&format!("{number}\n"));
    }
    host.mydocker(["ps", "-aq"]).stdout("");
}

#[test]
fn a_flag_with_an_empty_value_is_not_given() {
    let host = Host::with_busybox();
    let empty = "--name= --hostname= --workdir= --ip= --mac-address= --stop-signal= \
        --cidfile= --cpuset-cpus= --cpuset-mems= --log-driver= --cgroup-parent= --user= \
        --restart= --pull= --platform= --pid= --ipc= --uts= --userns= --publish-default-ip=";
    let empty: Vec<&str> = empty.split_whitespace().collect();
    let run = [&["run", "-d", "--detach-keys="], &empty[..], &["bb", "sleep", "1000"]].concat();
    let id = host.mydocker(&run).text();
    let apart: Vec<&str> = empty.iter().map(|flag| flag.trim_end_matches('=')).collect();
    let apart: Vec<&str> = apart.iter().flat_map(|flag| [*flag, ""]).collect();
    let create = [&["create"], &apart[..], &["bb", "true"]].concat();
    let other = host.mydocker(&create).text();
    for (name, id) in [(&id, &id), (&other, &other)] {
        let facts = "{{.Config.Hostname}} {{.HostConfig.NetworkMode}} {{.HostConfig.CpusetCpus}} \
            {{.Config.WorkingDir}} {{.HostConfig.RestartPolicy.Name}}";
        let facts = host.inspect(name, facts);
        let words: Vec<&str> = facts.split_whitespace().collect();
        assert_eq!([words[0], words[1]], [&id[..12], "bridge"], "{facts}");
    }
    let c = &id[..12];
    let pwd = ["exec", "-w", "", "-u", "", "--detach-keys", "", c, "pwd"];
    host.mydocker(pwd).stdout("/\n");
    host.mydocker(["logs", "--since", "", "--until=", "--tail", "", c]).stdout("");
    host.mydocker(["ps", "-q", "--filter", "", "--format", ""]).stdout(&format!("{c}\n"));
    assert_eq!(host.mydocker(["images", "-q", "--filter="]).lines().len(), 1);
    host.mydocker(["inspect", "--format=", "--type=", c]).stdout_has("\"Id\"");
    host.mydocker(["save", "-o", "", "bb"]).stdout_has("manifest.json");
    host.mydocker(["stop", "-s", "", "-t", "0", c]).stdout(&format!("{c}\n"));
    host.mydocker(["start", "--detach-keys=", c]);
    host.mydocker(["kill", "-s", "", c]).stdout(&format!("{c}\n"));
    // For these flags, an empty value is an error.
    for flag in ["-e", "-p", "--net", "--label", "--memory", "--device", "--mount"] {
        host.mydocker(["create", flag, "", "bb"]).refused(flag);
    }
}

#[test]
fn debug_names_the_namespaces_the_maps_and_the_kernel_parameters() {
    let host = Host::on_machine();
    host.mydocker(["network", "create", "--ipv6", "--subnet", "fd00:77::/64", "six"]).text();
    let flags = ["--network", "six", "-p", "8080:80", "--sysctl", "net.core.somaxconn=100"];
    let run = [&["run", "--rm", "--debug", "--userns", "auto"][..], &flags, &["bb", "true"]];
    let log = host.mydocker(run.concat()).stderr_text();
    for part in [
        "join the network namespace = ok",
        "join the user namespace = ok",
        " 65536 to /proc/",
        "100 to /proc/sys/net/core/somaxconn = ok",
        "ip6tables        -t nat -A MYDOCKER-DNAT",
    ] {
        assert!(log.contains(part), "no {part} in {log}");
    }
}

/// The calls of one process in a log, in order.
fn logged_calls<'a>(log: &'a str, process: &str) -> Vec<&'a str> {
    let lines = log.lines().filter_map(|line| line.split_once(" ms  "));
    let lines = lines.map(|(_, rest)| rest.split_whitespace().collect::<Vec<_>>());
    lines.filter(|words| words[0] == process).map(|words| words[1]).collect()
}

#[test]
fn debug_logs_the_start_and_the_end_of_a_container_in_order() {
    let host = Host::on_machine();
    let flags = ["--rm", "--pids-limit", "77", "-v", "/etc:/given:ro", "--ulimit", "nofile=99:99"];
    let run = [&["run", "--debug"][..], &flags, &["bb", "echo", "hi"]].concat();
    let done = host.mydocker(run).stdout("hi\n");
    let log = done.stderr_text();
    let init = logged_calls(&log, "init");
    let order = ["mount", "unshare", "pivot_root", "prctl", "capset", "seccomp"];
    let at = |call: &str| init.iter().rposition(|known| *known == call);
    let find = |call: &&str| at(call).unwrap_or_else(|| panic!("no {call} in {log}"));
    let places: Vec<usize> = order.iter().map(find).collect();
    assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{log}");
    assert_eq!(init.last(), Some(&"execve"), "{log}");
    let monitor = logged_calls(&log, "monitor");
    for call in ["clone3", "mkdir", "RTM_NEWLINK", "RTM_NEWADDR", "recvmsg", "wait4", "rmdir"] {
        assert!(monitor.contains(&call), "no {call} of the monitor in {log}");
    }
    for text in [
        "CLONE_NEWPID",
        "upperdir=",
        "77 to ",
        "evices",
        "/given from /etc, read-only",
        "default via",
    ] {
        assert!(log.contains(text), "no {text} in {log}");
    }
    // How the rules for devices are set depends on the version of cgroups.
    assert!(log.contains("c 1:3 rwm to ") || log.contains("rules for devices"), "{log}");
    assert!(log.contains("nofile=99:99 = ok") && log.contains("NET_BIND_SERVICE"), "{log}");
    // A step is logged after its call, with the result.
    let made = log.find("/pids/mydocker/").or_else(|| log.find("/mydocker/"));
    let written = log.find("77 to ").unwrap();
    assert!(made.is_some_and(|made| made < written), "{log}");
    let without = ["mkdir ", "setresuid ", "capset ", "write "];
    let of_those = |line: &&str| without.iter().any(|call| line.contains(call));
    let lacking = log.lines().filter(of_those).find(|line| !line.contains(" = "));
    assert_eq!(lacking, None);
    // The program does not get the log's descriptor.
    let list = ["run", "--rm", "-D", "--network", "none", "bb", "ls", "/proc/self/fd"];
    host.mydocker(list).stdout("0\n1\n2\n3\n").stderr_has("execve");
    let failed = host.mydocker(["-D", "run", "--rm", "--network", "none", "bb", "/no/such"]);
    let log = failed.exits(127).stderr_text();
    assert!(log.contains(" = exec '/no/such' in the container: No such file"), "{log}");
    // Without --debug nothing is logged. With --debug, a detached container does not hold stderr
    // open.
    host.mydocker(["run", "--rm", "--network", "none", "bb", "true"]).stderr("");
    let behind = ["run", "-d", "--debug", "--network", "none", "bb", "sleep", "1000"];
    assert!(host.mydocker(behind).stderr_text().contains("execve"));
    let id = host.mydocker(["ps", "-lq"]).text();
    let log = host.mydocker(["-D", "exec", &id, "true"]).stderr_text();
    let calls = logged_calls(&log, "client");
    let at = |call| calls.iter().position(|known| *known == call);
    assert!(at("setns").is_some() && at("setns") < at("execve"), "{log}");
}

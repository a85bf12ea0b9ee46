//! Flags of Docker's `run` and `create`, tested mostly by their effect inside the container.
//!
//! A flag that exists but has no effect would pass a test of the parser alone. The parser's own
//! tests are beside the tables in `src/cli/run`.

mod support;

use support::{Host, eventually};

/// Runs `run --rm --network none FLAGS bb sh -c SCRIPT`.
fn shell(host: &Host, flags: &[&str], script: &str) -> support::Done {
    let run = ["run", "--rm", "--network", "none"];
    host.mydocker([&run[..], flags, &["bb", "sh", "-c", script]].concat())
}

/// Starts a container `c` that runs until it is removed.
fn running(host: &Host, flags: &[&str]) {
    let run = ["run", "-d", "--name", "c", "--network", "none"];
    host.mydocker([&run[..], flags, &["bb", "sleep", "1000"]].concat());
}

#[test]
fn group_add_takes_names_and_numbers() {
    let host = Host::with_busybox();
    shell(&host, &["--group-add", "audio", "--group-add", "777"], "id -G").stdout("0 29 777\n");
    let of_app = ["--user", "app", "--group-add", "777", "--group-add", "1234"];
    shell(&host, &of_app, "id -G").stdout("1234 29 50 777\n");
    shell(&host, &["--group-add", "nobodys"], "true").exits(125).stderr_has("no group 'nobodys'");
    running(&host, &["--group-add", "777"]);
    host.mydocker(["exec", "c", "id", "-G"]).stdout("0 777\n");
    assert_eq!(host.inspect("c", "{{json .HostConfig.GroupAdd}}"), "[\"777\"]");
}

#[test]
fn empty_zero_and_repeated_values_mean_what_they_mean_to_docker() {
    let host = Host::with_busybox();
    let size = "df -k /dev/shm | tail -1 | awk '{print $2}'";
    shell(&host, &["--shm-size", "0"], size).stdout("65536\n");
    let twice = ["-v", "/tmp:/a", "-v", "/tmp:/a", "-v", "", "--dns-option", ""];
    shell(&host, &twice, "grep -c ' /a ' /proc/mounts").stdout("1\n");
    shell(&host, &["-v", "/tmp:/a", "-v", "/usr:/a"], "true").exits(125).stderr_has("'/a'");
    running(&host, &["--pids-limit", "-7"]);
    assert_eq!(host.inspect("c", "{{.HostConfig.PidsLimit}}"), "-1");
}

#[test]
fn the_last_tmpfs_of_a_target_counts() {
    let host = Host::with_busybox();
    let twice = ["--tmpfs", "/a", "--tmpfs", "/a:size=1m,noatime,nr_inodes=1k"];
    shell(&host, &twice, "grep ' /a ' /proc/mounts")
        .stdout("tmpfs /a tmpfs rw,nosuid,nodev,noexec,noatime,size=1024k,nr_inodes=1024 0 0\n");
    let clash = ["--tmpfs", "/a", "--mount", "type=tmpfs,dst=/a"];
    shell(&host, &clash, "true").refused("two mounts on '/a'");
}

#[test]
fn a_host_name_may_start_with_any_character() {
    let host = Host::with_busybox();
    for name in ["-x", ".x", "x_y"] {
        shell(&host, &["--hostname", name], "hostname").stdout(&format!("{name}\n"));
    }
    shell(&host, &["--hostname", "a b"], "true").refused("bad host name 'a b'");
}

#[test]
fn a_container_can_be_below_the_root_of_the_cgroups() {
    let host = Host::with_busybox();
    let flags = ["--cgroup-parent", "/", "--cgroupns", "host"];
    running(&host, &flags);
    let id = host.inspect("c", "{{.Id}}");
    host.mydocker(["exec", "c", "cat", "/proc/1/cgroup"]).stdout_has(&format!(":/{id}\n"));
    host.mydocker(["rm", "-f", "c"]);
    assert!(support::cgroups(&id).is_empty());
}

#[test]
fn an_empty_security_option_is_the_default() {
    let host = Host::with_busybox();
    let options = ["label=", "apparmor=", "no-new-privileges=1"];
    let flags: Vec<&str> = options.iter().flat_map(|option| ["--security-opt", option]).collect();
    shell(&host, &flags, "grep NoNewPrivs /proc/self/status").stdout("NoNewPrivs:\t1\n");
}

#[test]
fn inspect_shows_mounts_links_and_volumes_from_as_they_were_given() {
    let host = Host::on_machine();
    host.mydocker(["create", "--name", "db", "-v", "data:/data", "-v", "/own", "bb", "true"]);
    let options = "type=bind,src=/tmp,dst=/b,bind-propagation=RSLAVE,bind-nonrecursive";
    let tmpfs = "TYPE=Tmpfs,DST=/t,tmpfs-size=1m,tmpfs-mode=0700";
    let given = ["--link", "db:store", "--volumes-from", "db:ro", "--mount", options];
    let create = [&["create", "--name", "web"], &given[..], &["--mount", tmpfs, "bb"]].concat();
    host.mydocker([&create[..], &["true"]].concat()).exits(0);
    for (field, shown) in [
        ("HostConfig.Links", r#"["/db:/web/store"]"#),
        ("HostConfig.VolumesFrom", r#"["db:ro"]"#),
        ("HostConfig.Binds", "null"),
        ("Config.Volumes", "null"),
        (
            "HostConfig.Mounts",
            r#"[{"Type":"bind","Source":"/tmp","Target":"/b","BindOptions":{"Propagation":"rslave","NonRecursive":true}},{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":1048576,"Mode":448}}]"#,
        ),
    ] {
        assert_eq!(host.inspect("web", &format!("{{{{json .{field}}}}}")), shown, "{field}");
    }
    let format = "{{range .Mounts}}{{.Type}} {{.Destination}} {{.Mode}} {{.RW}};{{end}}";
    let mut mounts: Vec<String> =
        host.inspect("web", format).split_terminator(';').map(str::to_owned).collect();
    mounts.sort();
    assert_eq!(
        mounts,
        ["bind /b  true", "tmpfs /t  true", "volume /data  false", "volume /own  false"]
    );
}

#[test]
fn a_container_on_anothers_network_takes_no_settings_of_its_own_network() {
    let host = Host::with_busybox();
    running(&host, &[]);
    let run = |mode: &str, flags: &[&str]| {
        host.mydocker([&["run", "--rm", "--network", mode], flags, &["bb", "true"]].concat())
    };
    for flags in [["--dns", "192.0.2.1"], ["--add-host", "a:192.0.2.1"], ["--expose", "80"]] {
        run("container:c", &flags).exits(125).refused("can't go with --net container:");
    }
    // As in Docker 20.10, some flags are refused with some modes, and have no effect with others.
    let mac = ["--mac-address", "02:42:ac:11:00:09"];
    let ip = ["--ip", "192.0.2.7"];
    for (flags, refused, taken) in [
        (mac, &["container:c", "host"][..], &["none"][..]),
        (ip, &["none", "host"], &["container:c"]),
        (["--network-alias", "a"], &["container:c", "none", "host"], &[]),
        (["--link", "c"], &["container:c", "none", "host"], &[]),
        (["--link-local-ip", "169.254.0.7"], &[], &["container:c", "none", "host"]),
        (["--dns-search", "lan"], &[], &["container:c"]),
        (["--dns-option", "ndots:2"], &[], &["container:c"]),
    ] {
        for mode in refused {
            run(mode, &flags).exits(125).refused(&format!("{} needs a network", flags[0]));
        }
        for mode in taken {
            let warning = format!("{} has no effect with --net", flags[0]);
            run(mode, &flags).exits(0).stderr_has(&warning);
        }
    }
}

#[test]
fn dns_flags_are_in_resolv_conf() {
    let host = Host::with_busybox();
    let flags = ["--dns-option", "ndots:2", "--dns-opt", "rotate", "--dns", "192.0.2.1"];
    let text = shell(&host, &flags, "grep -v ^search /etc/resolv.conf").text();
    assert_eq!(text, "nameserver 192.0.2.1\noptions ndots:2 rotate");
    let search = ["--dns-search", "."];
    shell(&host, &search, "grep ^search /etc/resolv.conf").exits(1).stdout("");
    for bad in ["a_b", "a..b", "-a", "1"] {
        shell(&host, &["--dns-search", bad], "true").refused("bad domain");
    }
    assert!(!host.succeeds(["run", "--rm", "--dns-option", "a b", "bb", "true"]));
}

#[test]
fn the_hosts_file_has_the_domain_and_no_name_twice() {
    let host = Host::on_machine();
    host.mydocker(["network", "create", "--subnet", "10.79.0.0/24", "lan"]);
    for network in ["lan", "bridge"] {
        let named = ["--name", "mail", "-h", "mail", "--domainname", "example.org"];
        let run = [&["run", "--rm", "--network", network], &named[..], &["bb"]].concat();
        let text = host.mydocker([&run[..], &["grep", "mail", "/etc/hosts"]].concat()).text();
        let (_, names) = text.split_once('\t').unwrap();
        let names: Vec<&str> = names.split(' ').collect();
        assert_eq!(names[..2], ["mail.example.org", "mail"], "{network}");
        // On a user-defined network, the container's short id follows.
        assert_eq!(names.len(), if network == "lan" { 3 } else { 2 }, "{names:?}");
    }
}

/// Docker writes the line of the container's own address last, and scripts read the address from
/// the last line.
#[test]
fn the_last_line_of_the_hosts_file_has_the_containers_own_address() {
    let host = Host::on_machine();
    host.mydocker(["network", "create", "--subnet", "10.79.0.0/24", "lan"]);
    for network in ["lan", "bridge"] {
        let names = [format!("a-{network}"), format!("b-{network}")];
        for name in &names {
            host.mydocker([
                "run",
                "-d",
                "--name",
                name,
                "--network",
                network,
                "bb",
                "sleep",
                "999",
            ]);
        }
        for name in &names {
            let last = "tail -1 /etc/hosts | cut -f1; awk 'END{print $1}' /etc/hosts";
            let address =
                host.inspect(name, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
            host.mydocker(["exec", name, "sh", "-c", last])
                .stdout(&format!("{address}\n{address}\n"));
        }
    }
}

#[test]
fn a_container_can_have_a_domain_name() {
    let host = Host::with_busybox();
    let read = "cat /proc/sys/kernel/domainname; hostname";
    shell(&host, &["--domainname", "example.org", "-h", "web"], read).stdout("example.org\nweb\n");
    let before = std::fs::read_to_string("/proc/sys/kernel/domainname").unwrap();
    running(&host, &["--domainname", "example.org"]);
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/domainname").unwrap(), before);
    assert_eq!(host.inspect("c", "{{.Config.Domainname}}"), "example.org");
    let clash = ["--domainname", "x", "--uts", "host"];
    shell(&host, &clash, "true").refused("--domainname can't be set");
}

#[test]
fn the_hosts_cgroups_are_visible_only_on_request() {
    let host = Host::with_busybox();
    let own = "cat /proc/self/cgroup | cut -d: -f3 | sort -u";
    shell(&host, &[], own).stdout("/\n");
    shell(&host, &["--cgroupns", "private"], own).stdout("/\n");
    running(&host, &["--cgroupns", "host"]);
    let id = host.inspect("c", "{{.Id}}");
    host.mydocker(["exec", "c", "cat", "/proc/1/cgroup"]).stdout_has(&id);
    assert_eq!(host.inspect("c", "{{.HostConfig.CgroupnsMode}}"), "host");
    let ns = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/cgroup")).unwrap();
    assert_eq!(ns(&host.pid("c").to_string()), ns("self"));
}

#[test]
fn the_hosts_cgroups_are_read_only_before_linux_5_12() {
    let host = Host::with_busybox();
    let run = ["run", "--rm", "--network", "none", "--cgroupns", "host", "bb"];
    let run = host.command(run.iter().chain(&["grep", "/sys/fs/cgroup", "/proc/self/mounts"]));
    // Kernels before 5.12 lack mount_setattr(2).
    let mut strace = std::process::Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "inject=mount_setattr:error=ENOSYS"]);
    strace.arg(run.get_program()).args(run.get_args());
    let mounts = support::run(strace, None).text();
    let is_read_only = |line: &str| line.split(' ').nth(3).is_some_and(|o| o.starts_with("ro,"));
    assert!(!mounts.is_empty() && mounts.lines().all(is_read_only), "{mounts}");
}

#[test]
fn an_ipc_namespace_without_shared_memory() {
    let host = Host::with_busybox();
    let look = "test -e /dev/shm && echo shm; readlink /proc/self/ns/ipc";
    let text = shell(&host, &["--ipc", "none"], look).text();
    assert!(!text.contains("shm") && text.starts_with("ipc:"), "{text}");
    let ours = std::fs::read_link("/proc/self/ns/ipc").unwrap();
    assert_ne!(text, ours.to_str().unwrap());
    for mode in ["private", "shareable", ""] {
        shell(&host, &["--ipc", mode], look).stdout_has("shm\n");
    }
    running(&host, &["--ipc", "none"]);
    assert_eq!(host.inspect("c", "{{.HostConfig.IpcMode}}"), "none");
}

/// As in Docker 20.10, a container has a private IPC namespace by default, and no other container
/// can join a private one.
#[test]
fn only_a_shareable_ipc_namespace_can_be_joined() {
    let host = Host::with_busybox();
    for (name, flags) in [
        ("default", &[][..]),
        ("private", &["--ipc", "private"]),
        ("none", &["--ipc", "none"]),
        ("shared", &["--ipc", "shareable"]),
        ("joined", &["--ipc", "container:shared"]),
        ("hosts", &["--ipc", "host"]),
    ] {
        let run = [&["run", "-d", "--name", name], flags, &["bb", "sleep", "1000"]].concat();
        host.mydocker(run);
    }
    assert_eq!(host.inspect("default", "{{.HostConfig.IpcMode}}"), "private");
    let join = |name: &str, command: &str| {
        let mode = format!("container:{name}");
        shell(&host, &["--ipc", &mode], command)
    };
    for name in ["default", "private", "none"] {
        let refusal = format!("the IPC namespace of container {name}: it is private");
        join(name, "true").exits(125).refused(&refusal);
    }
    let theirs = host.mydocker(["exec", "shared", "readlink", "/proc/self/ns/ipc"]).text();
    for name in ["shared", "joined"] {
        join(name, "readlink /proc/self/ns/ipc").stdout(&format!("{theirs}\n"));
    }
    join("hosts", "true").exits(0);
    // `create` accepts a private namespace, because the other container may be replaced before
    // `start`. `start` refuses a private namespace.
    host.mydocker(["create", "--name", "late", "--ipc", "container:default", "bb", "true"]);
    host.mydocker(["start", "late"]).exits(1).stderr_has("--ipc shareable");
}

#[test]
fn labels_come_from_a_file_and_annotations_are_kept() {
    let host = Host::with_busybox();
    let file = host.file("labels", "# mine\na=1\n\n  b\nc=x=y\n");
    let file = file.to_str().unwrap();
    running(&host, &["--label-file", file, "--label", "a=2", "--annotation", "k=v"]);
    assert_eq!(host.inspect("c", "{{json .Config.Labels}}"), r#"{"a":"2","b":"","c":"x=y"}"#);
    assert_eq!(host.inspect("c", "{{json .HostConfig.Annotations}}"), r#"{"k":"v"}"#);
    let missing = ["--label-file", "/no/such/file"];
    shell(&host, &missing, "true").refused("label file /no/such/file");
}

#[test]
fn swappiness_oom_killer_and_device_rates_are_set() {
    let host = Host::with_busybox();
    if !std::path::Path::new("/sys/fs/cgroup/memory/memory.oom_control").exists() {
        skip!("the memory controller is not on cgroup v1");
    }
    let read = "cat /sys/fs/cgroup/memory/memory.swappiness; \
                grep disable /sys/fs/cgroup/memory/memory.oom_control";
    shell(&host, &["--memory-swappiness", "7", "--oom-kill-disable", "-m", "64m"], read)
        .stdout("7\noom_kill_disable 1\n");
    for bad in ["101", "-2", "x"] {
        shell(&host, &["--memory-swappiness", bad], "true").refused("bad number");
    }
    let disks = std::fs::read_dir("/sys/block").unwrap().flatten();
    let disk = disks
        .map(|disk| disk.file_name().into_string().unwrap())
        .find(|name| std::path::Path::new("/dev").join(name).exists() && !name.starts_with("loop"));
    let Some(disk) = disk else { skip!("this host has no disk") };
    let numbers = std::fs::read_to_string(format!("/sys/block/{disk}/dev")).unwrap();
    let flags =
        [("read-bps", "1mb"), ("write-bps", "2mb"), ("read-iops", "30"), ("write-iops", "40")];
    let flags = flags.map(|(flag, rate)| format!("--device-{flag}=/dev/{disk}:{rate}"));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let files = ["read_bps", "write_bps", "read_iops", "write_iops"];
    let files = files.map(|file| format!("/sys/fs/cgroup/blkio/blkio.throttle.{file}_device"));
    let rates = [1 << 20, 2 << 20, 30, 40].map(|rate| format!("{} {rate}\n", numbers.trim()));
    shell(&host, &flags, &format!("cat {}", files.join(" "))).stdout(&rates.concat());
    running(&host, &flags);
    let rates = host.inspect("c", "{{json .HostConfig.BlkioDeviceReadBps}}");
    assert_eq!(rates, format!(r#"[{{"Path":"/dev/{disk}","Rate":1048576}}]"#));
    for (bad, part) in [
        ("/dev/null:1mb", "not a block device"),
        ("/etc:1mb", "lies in /dev"),
        ("/dev/sda", "write DEVICE:RATE"),
    ] {
        shell(&host, &["--device-read-bps", bad], "true").refused(part);
    }
    let missing = ["--device-read-bps", "/dev/none:1mb"];
    shell(&host, &missing, "true").exits(127).complains("/dev/none");
    // As in Docker, the last rate of a device counts, and 0 means no limit.
    let lifted = format!("--device-read-bps=/dev/{disk}:0");
    host.mydocker(["create", "--name", "lifted", flags[0], &lifted, "bb", "true"]);
    assert_eq!(host.inspect("lifted", "{{len .HostConfig.BlkioDeviceReadBps}}"), "0");
}

#[test]
fn only_the_streams_of_attach_are_connected() {
    let host = Host::with_busybox();
    let script = "echo out; echo err >&2";
    shell(&host, &["-a", "stdout"], script).stdout("out\n").stderr("");
    shell(&host, &["--attach", "STDERR"], script).stdout("").stderr("err\n");
    shell(&host, &["-a", "stdout", "-a", "stderr"], script).stdout("out\n").stderr("err\n");
    let cat = ["run", "--rm", "-i", "-a", "stdin", "-a", "stdout", "bb", "cat"];
    host.feed("typed", cat).stdout("typed");
    // The container's stdin is open, but is not connected to the caller's stdin.
    let read = ["sh", "-c", "read -t 1 line; echo got=$line"];
    let unread = [&["run", "--rm", "-i", "-a", "stdout", "bb"][..], &read].concat();
    host.feed("typed\n", unread).stdout("got=\n");
    // If only stdin is attached, `run` prints the id, and the output goes only to the log.
    let cat = ["run", "-i", "-a", "stdin", "--network", "none", "bb", "cat"];
    let id = host.feed("typed", cat).text();
    host.mydocker(["wait", &id]);
    host.mydocker(["logs", &id]).stdout("typed");
    for bad in [&["-a", "everything"][..], &["-d", "-a", "stdout"]] {
        assert!(!host.succeeds([&["run", "--rm"][..], bad, &["bb", "true"]].concat()));
    }
}

#[test]
fn unsupported_flags_are_refused_and_harmless_ones_accepted() {
    let host = Host::with_busybox();
    for flags in [
        ["--runtime", "runc"],
        ["--runtime", "mydocker"],
        ["--isolation", "default"],
        ["--volume-driver", "local"],
        ["--m", "100m"],
    ] {
        shell(&host, &flags, "echo ok").stdout("ok\n");
    }
    for (flags, part) in [
        (["--gpus", "all"], "GPUs need a vendor's runtime hook"),
        (["--runtime", "kata"], "cannot use 'kata'"),
        (["--isolation", "hyperv"], "exists only on Windows"),
        (["--volume-driver", "nfs"], "no volume driver 'nfs'"),
        (["--kernel-memory", "1g"], "Linux 5.16 dropped"),
        (["--storage-opt", "size=1g"], "enforces no limits of projects"),
        (["--storage-opt", "size=much"], "bad size 'much'"),
        (["--storage-opt", "inodes=9"], "unknown storage option 'inodes'"),
        (["--cpu-rt-runtime", "95000"], "no share of real time"),
        (["--cpu-rt-period", "95000"], "no share of real time"),
        (["--blkio-weight-device", "/dev/sda:100"], "one for all disks"),
        (["--device", "vendor.com/gpu=all"], "CDI device name"),
        (["--use-api-socket", "--rm"], "no daemon"),
    ] {
        shell(&host, &flags, "true").refused(part);
    }
}

#[test]
fn log_options_are_checked_and_shown() {
    let host = Host::with_busybox();
    let options = ["mode=non-blocking", "max-buffer-size=4m", "compress=true", "tag={{.Name}}"];
    let mut flags = Vec::new();
    options.iter().for_each(|option| flags.extend(["--log-opt", option]));
    running(&host, &[&flags[..], &["--log-opt", "labels=a,b", "--log-opt", "env=X"]].concat());
    let shown = host.inspect("c", "{{json .HostConfig.LogConfig.Config}}");
    for part in [r#""mode":"non-blocking""#, r#""compress":"true""#, r#""env":"X""#] {
        assert!(shown.contains(part), "{shown}");
    }
    for bad in ["mode=fast", "compress=yes", "max-buffer-size=x", "speed=1"] {
        assert!(!host.succeeds(["run", "--rm", "--log-opt", bad, "bb", "true"]), "{bad}");
    }
}

#[test]
fn a_restart_sends_the_given_signal() {
    let host = Host::with_busybox();
    let script = "trap 'echo asked; exit' USR1; echo started; while :; do sleep 0.05; done";
    host.mydocker(["run", "-d", "--name", "c", "--network", "none", "bb", "sh", "-c", script]);
    eventually("it has started", || host.mydocker(["logs", "c"]).text() == "started");
    host.mydocker(["restart", "-s", "USR1", "c"]);
    eventually("it was asked and starts again", || {
        host.mydocker(["logs", "c"]).text() == "started\nasked\nstarted"
    });
}

/// Starts the container `name`, which runs `script`.
fn on(host: &Host, name: &str, flags: &[&str], script: &str) {
    let run = ["run", "-d", "--name", name];
    host.mydocker([&run[..], flags, &["bb", "sh", "-c", script]].concat());
}

#[test]
fn network_takes_keys_and_values() {
    let host = Host::on_machine();
    host.mydocker(["network", "create", "--subnet", "10.77.0.0/24", "front"]);
    host.mydocker(["network", "create", "--subnet", "10.78.0.0/24", "back"]);
    let front = "name=front,alias=one,alias=two,ip=10.77.0.9,mac-address=02:00:00:00:00:09";
    let flags = ["--network", front, "--network", "name=back,ip=10.78.0.7"];
    on(&host, "a", &flags, "sleep 1000");
    let seen = host.mydocker(["exec", "a", "ip", "addr"]).text();
    for part in ["10.77.0.9/24", "10.78.0.7/24", "02:00:00:00:00:09"] {
        assert!(seen.contains(part), "{seen}");
    }
    let run = ["run", "--rm", "--network", "front", "bb", "sh", "-c"];
    let script =
        "grep -o '10.77.0.9.a one two' /etc/hosts; ping -c 1 -W 5 two >/dev/null && echo there";
    host.mydocker([&run[..], &[script]].concat()).stdout("10.77.0.9\ta one two\nthere\n");
    let back = ["run", "--rm", "--network", "back", "bb", "grep", "one", "/etc/hosts"];
    host.mydocker(back).exits(1).stdout("");
    for (flags, part) in [
        (&["--network", "name=front,ip=10.77.0.8", "--ip", "10.77.0.7"][..], "leave one out"),
        (&["--network", "alias=x"], "names no network"),
        (&["--network", "name=front,speed=9"], "unknown key 'speed'"),
        (&["--network", "name=none,alias=x"], "needs a network, not --net none"),
        (&["--network", "name=nowhere"], "nowhere"),
    ] {
        host.mydocker([&["run", "--rm"][..], flags, &["bb", "true"]].concat()).refused(part);
    }
}

#[test]
fn a_link_gives_the_name_ports_and_variables() {
    let host = Host::on_machine();
    on(&host, "store", &["--expose", "5432", "-e", "USER=me"], "sleep 1000");
    let address = host.mydocker(["exec", "store", "hostname", "-i"]).text();
    let run = |flags: &[&str], script: &str| {
        host.mydocker(
            [&["run", "--rm", "--name", "web"][..], flags, &["bb", "sh", "-c", script]].concat(),
        )
    };
    let script = "ping -c 1 -W 5 db >/dev/null && ping -c 1 -W 5 store >/dev/null && \
                  env | grep ^DB_ | sort";
    let port = "DB_PORT_5432_TCP";
    run(&["--link", "store:db"], script).stdout(&format!(
        "DB_ENV_USER=me\nDB_NAME=/web/db\nDB_PORT=tcp://{address}:5432\n\
         {port}=tcp://{address}:5432\n{port}_ADDR={address}\n{port}_PORT=5432\n{port}_PROTO=tcp\n"
    ));
    run(&["--link", "store:db", "-e", "DB_PORT=mine"], "echo $DB_PORT").stdout("mine\n");
    // At each start, `later` gets the current address of `store`.
    host.mydocker([
        "create", "--name", "later", "--link", "store", "bb", "ping", "-c", "1", "store",
    ]);
    host.mydocker(["stop", "-t", "0", "store"]);
    on(&host, "filler", &[], "sleep 1000");
    host.mydocker(["start", "later"])
        .exits(1)
        .stderr_has("store, which --link names, is not running");
    host.mydocker(["start", "store"]);
    assert_ne!(host.inspect("store", "{{.NetworkSettings.IPAddress}}"), address);
    host.mydocker(["start", "-a", "later"]).stdout_has("1 packets received");
    host.mydocker(["network", "create", "other"]);
    for (flags, part) in [
        (&["--link", "nobody"][..], "no such container: nobody"),
        (&["--link", "store", "--network", "other"], "on none of this container's networks"),
        (&["--link", "store", "--network", "none"], "--link needs a network"),
        (&["--link", "store:a b"], "bad host name 'a b'"),
    ] {
        run(flags, "true").refused(part);
    }
}

#[test]
fn ps_prints_sizes_on_request() {
    let host = Host::with_busybox();
    running(&host, &[]);
    host.mydocker(["exec", "c", "sh", "-c", "head -c 3000 /dev/zero >/file"]);
    host.mydocker(["ps"]).stdout_lacks("SIZE");
    let table = host.mydocker(["ps", "-s"]).text();
    assert!(table.lines().next().unwrap().ends_with("NAMES     SIZE"), "{table}");
    let size = host.mydocker(["ps", "--size", "--format", "{{.Size}}"]).text();
    let (own, all) = size.split_once(" (virtual ").unwrap();
    assert!(own.ends_with("kB") && all.ends_with("MB)"), "{size}");
    let kilobytes: f64 = own.trim_end_matches("kB").parse().unwrap();
    assert!((3.0..20.0).contains(&kilobytes), "{size}");
}

//! Tests published ports from each place where they must answer, and the firewall's rules. Many
//! tests run with each back end. Each test runs on its own machine (`support::machine`).
//!
//! A port that is not bound to one address must answer on loopback, on the host's addresses, from
//! another machine and from the container itself. `tests/network.rs` and `tests/network_options.rs`
//! test networks.

mod support;

use std::net::UdpSocket;

use support::Host;
use support::eventually;
use support::machine::{MACHINE, OUTSIDE, Side};

by_each_firewall!(a_port_answers_from_everywhere);

fn a_port_answers_from_everywhere(host: Host) {
    host.mydocker(["network", "create", "--subnet", "10.1.0.0/24", "n"]);
    host.web("web", &["--net", "n", "-p", "8080:80"], "hello");
    host.idle("neighbour", &["--net", "n"]);
    for address in [MACHINE, "127.0.0.1", "127.1.2.3", "10.1.0.1"] {
        host.answers(Side::Here, &format!("{address}:8080"), "hello");
    }
    host.answers(Side::Here, "10.1.0.2:80", "hello");
    host.answers(Side::Outside, &format!("{MACHINE}:8080"), "hello");
    // The container itself and its neighbour reach the port by hairpin.
    for container in ["web", "neighbour"] {
        for address in [MACHINE, "10.1.0.1"] {
            host.answers_within(container, address, 8080, "hello");
        }
    }
    host.mydocker(["port", "web"]).stdout("80/tcp -> 0.0.0.0:8080\n");
    host.mydocker(["port", "web", "80"]).stdout("0.0.0.0:8080\n");
    host.mydocker(["port", "web", "81"]).exits(1).stderr_has("no port 81/tcp");
    host.mydocker(["create", "--name", "later", "-p", "8081:80", "bb", "true"]);
    host.mydocker(["port", "later"]).stdout("");
    host.mydocker(["port", "later", "80"]).exits(1).stderr_has("no port 80/tcp");
    let ports = host.mydocker(["ps", "--filter", "name=web", "--format", "{{.Ports}}"]);
    ports.stdout("0.0.0.0:8080->80/tcp\n");
    host.mydocker(["ps", "-a", "--format", "json"]).stdout_has("\"Addresses\":\"10.1.0.2\"");
}

by_each_firewall!(ports_follow_the_networks_of_a_running_container);

fn ports_follow_the_networks_of_a_running_container(host: Host) {
    for name in ["a", "b"] {
        host.mydocker(["network", "create", name]);
    }
    host.web("web", &["--net", "a", "-p", "8080:80"], "hello");
    // With this container network b has its rules before `web` is connected to it.
    host.idle("neighbour", &["--net", "b"]);
    let answers = || {
        host.answers(Side::Here, "127.0.0.1:8080", "hello");
        // The answer leaves by the default route.
        host.answers(Side::Outside, &format!("{MACHINE}:8080"), "hello");
    };
    answers();
    host.mydocker(["network", "connect", "b", "web"]);
    host.mydocker(["network", "disconnect", "a", "web"]);
    answers();
    host.mydocker(["network", "disconnect", "b", "web"]);
    assert!(host.machine().fetch(Side::Outside, &format!("{MACHINE}:8080")).is_none());
    host.mydocker(["network", "connect", "b", "web"]);
    answers();
}

by_each_firewall!(rules_are_removed_and_added_with_the_container);

fn rules_are_removed_and_added_with_the_container(host: Host) {
    host.web("web", &["-p", "8080:80"], "hello");
    let id = host.inspect("web", "{{.Id}}");
    assert_eq!(host.rules_with(&id).len(), 1);
    host.mydocker(["stop", "-t0", "web"]);
    assert_eq!(host.rules_with(&id), [""; 0]);
    host.mydocker(["start", "web"]);
    host.answers(Side::Outside, &format!("{MACHINE}:8080"), "hello");
    // The next command reclaims what a killed monitor left.
    host.kill(host.monitor("web"));
    host.mydocker(["ps"]);
    assert_eq!(host.rules_with(&id), [""; 0]);
    host.mydocker(["start", "web"]);
    host.answers(Side::Outside, &format!("{MACHINE}:8080"), "hello");
    host.mydocker(["rm", "-f", "web"]);
    assert_eq!(host.rules_with(&id), [""; 0]);
}

by_each_firewall!(rules_that_were_flushed_are_restored);

fn rules_that_were_flushed_are_restored(host: Host) {
    host.web("web", &["-p", "8080:80"], "hello");
    let rules = host.rules();
    assert_eq!(host.rules_with("dport 8080").len(), 1);
    host.flush_rules();
    assert!(host.machine().fetch(Side::Outside, &format!("{MACHINE}:8080")).is_none());
    host.mydocker(["network", "reload"]);
    host.answers(Side::Outside, &format!("{MACHINE}:8080"), "hello");
    host.flush_rules();
    // The next start makes all rules again, even if the new container publishes no port.
    host.mydocker(["run", "--rm", "bb", "true"]);
    host.answers(Side::Outside, &format!("{MACHINE}:8080"), "hello");
    // Each rule exists only once, whichever command made it.
    assert_eq!(host.rules().len(), rules.len(), "{rules:#?} {:#?}", host.rules());
    host.flush_rules();
    host.mydocker(["rm", "-f", "web"]);
    assert_eq!(host.rules_with("dport 8080"), [""; 0]);
}

#[test]
fn other_programs_iptables_rules_cause_no_work() {
    let host = Host::with_firewall("iptables");
    // This iptables records each of its runs.
    let tools = host.scratch().join("tools");
    std::fs::create_dir_all(&tools).unwrap();
    let printed = tools.join("told");
    let multi = tools.join("xtables-nft-multi");
    let lines = format!("echo x >> {}\nexec /usr/sbin/${{0##*/}} \"$@\"", printed.display());
    support::script(&multi, &lines);
    for tool in ["iptables-restore", "iptables-save"] {
        std::os::unix::fs::symlink(&multi, tools.join(tool)).unwrap();
    }
    let path = support::path_with(&tools);
    let runs_of_iptables = || {
        let _ = std::fs::remove_file(&printed);
        let run = ["run", "--rm", "-p", "8080:80", "bb", "true"];
        let run = host.command(run).env("PATH", &path).output().unwrap();
        assert!(run.status.success(), "{run:?}");
        std::fs::read_to_string(&printed).unwrap_or_default().lines().count()
    };
    let iptables = |args: &[&str]| host.machine().run(Side::Here, args);
    assert_ne!(runs_of_iptables(), 0);
    assert_eq!(runs_of_iptables(), 0);
    iptables(&["iptables", "-A", "FORWARD", "-s", OUTSIDE, "-j", "ACCEPT"]);
    assert_eq!(runs_of_iptables(), 0);
    // Another program removes one of mydocker's rules.
    let jump = &host.rules_with("-A POSTROUTING")[0];
    let delete = jump.replace("-A", "iptables -t nat -D");
    iptables(&delete.split(' ').collect::<Vec<_>>());
    assert_ne!(runs_of_iptables(), 0);
    assert_eq!(host.rules_with("-A POSTROUTING").len(), 1);
    assert_eq!(runs_of_iptables(), 0);
}

/// With iptables-nft, mydocker adds and deletes the rules of ports itself, but a reload makes them
/// by iptables-restore.
#[test]
fn port_rules_are_those_that_iptables_makes() {
    let host = Host::with_firewall("iptables");
    let create =
        ["network", "create", "--ipv6", "--subnet", "fd00:1::/64", "--subnet", "10.1.0.0/24"];
    host.mydocker(create.iter().copied().chain(["six"]));
    host.idle("other", &["--net", "six", "-p", "9000:90"]);
    let ports = ["-p", "8080-8081:80-81", "-p", "127.0.0.1:53:5353/udp", "-p", "[::1]:99:98"];
    host.idle("web", &[&["--net", "six"][..], &ports].concat());
    let rules = || {
        let save = ["sh", "-c", "iptables-save -t nat; ip6tables-save -t nat"];
        let saved = host.machine().run(Side::Here, &save);
        let ours = saved.lines().filter(|line| line.contains("--to-destination"));
        ours.map(str::to_owned).collect::<Vec<_>>()
    };
    let made = rules();
    assert_eq!(made.len(), 2 + 4 + 1 + 1, "{made:#?}");
    host.mydocker(["network", "reload"]);
    let mut by_the_tool = rules();
    assert_eq!(sorted(by_the_tool.clone()), sorted(made.clone()));
    // mydocker deletes rules that iptables has made, and iptables deletes a rule of mydocker.
    host.mydocker(["rm", "-f", "web"]);
    by_the_tool.retain(|rule| rule.contains("--dport 9000"));
    assert_eq!(rules(), by_the_tool);
    host.idle("web", &["--net", "six", "-p", "127.0.0.1:8080:80"]);
    let rule = rules().into_iter().find(|rule| rule.contains("--dport 8080")).unwrap();
    let delete = rule.replace("-A", "iptables -t nat -D");
    host.machine().run(Side::Here, &delete.split(' ').collect::<Vec<_>>());
    assert_eq!(rules(), by_the_tool);
    // Because a rule is missing, mydocker makes all rules again. `other` then has its rules.
    host.mydocker(["rm", "-f", "web"]);
    assert_eq!(sorted(rules()), sorted(by_the_tool));
}

#[test]
fn the_last_network_with_ipv6_leaves_no_rules() {
    let host = Host::with_firewall("iptables");
    host.mydocker(["network", "create", "--ipv6", "six"]);
    host.idle("plain", &["-p", "8080:80"]);
    host.mydocker(["run", "--rm", "--net", "six", "-p", "8081:80", "bb", "true"]);
    let rules = || host.machine().run(Side::Here, &["ip6tables-save"]);
    assert!(rules().contains("MYDOCKER"));
    // The default network keeps its rules, which are IPv4.
    host.mydocker(["network", "rm", "six"]);
    assert!(!rules().contains("MYDOCKER"), "{}", rules());
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[test]
fn other_programs_nftables_rules_cause_no_work() {
    let host = Host::with_firewall("nftables");
    let nft = |command: &str| host.machine().run(Side::Here, &["sh", "-ec", command]);
    // The handles show whether a rule was made again.
    let ours = || {
        let listed = nft("nft -a list ruleset");
        let rules = listed.lines().filter(|line| line.contains("mydocker"));
        rules.map(str::to_owned).collect::<Vec<_>>()
    };
    host.mydocker(["run", "--rm", "bb", "true"]);
    let made = ours();
    nft("nft add table ip theirs");
    host.mydocker(["run", "--rm", "bb", "true"]);
    assert_eq!(ours(), made);
    // Another program removes the rules of one of mydocker's chains.
    let table = host.rules_with("table ip mydocker")[0].replace(" {", "");
    nft(&format!("nft flush chain {} forward", table.replace("table ", "")));
    assert_ne!(ours().len(), made.len());
    host.mydocker(["run", "--rm", "bb", "true"]);
    assert_eq!(ours().len(), made.len());
}

by_each_firewall!(unrecorded_rules_are_removed_too);

fn unrecorded_rules_are_removed_too(host: Host) {
    host.idle("first", &[]);
    host.idle("web", &["-p", "8080:80"]);
    let id = host.inspect("web", "{{.Id}}");
    // Imitate a kill between adding the rule and recording it.
    let path = host.run_root().join("firewall.json");
    let noted = std::fs::read_to_string(&path).unwrap();
    let (stamp, _) = noted.split_once("\",\"fingerprint\"").unwrap();
    let stamp = stamp.rsplit('"').next().unwrap();
    let forgotten = noted.replace(&format!("\"{id}\""), "").replace(stamp, "other");
    assert_eq!(forgotten.matches("other").count(), 1);
    let fingerprint = forgotten.split("\"fingerprint\":\"").nth(1).unwrap();
    let fingerprint = fingerprint.split('"').next().unwrap();
    std::fs::write(&path, forgotten.replace(fingerprint, "")).unwrap();
    host.mydocker(["rm", "-f", "web"]);
    assert_eq!(host.rules_with(&id), [""; 0]);
}

#[test]
fn legacy_iptables_works_too() {
    let host = Host::with_firewall("iptables");
    let legacy = host.scratch().join("legacy");
    std::fs::create_dir_all(&legacy).unwrap();
    for tool in ["iptables-restore", "iptables-save", "ip6tables-restore", "ip6tables-save"] {
        std::os::unix::fs::symlink("/usr/sbin/xtables-legacy-multi", legacy.join(tool)).unwrap();
    }
    let path = support::path_with(&legacy);
    let mydocker = |args: &[&str]| {
        let done = host.command(args).env("PATH", &path).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let site = format!("{}:/www", host.site("web", "hello"));
    let server = ["bb", "httpd", "-f", "-p", "80", "-h", "/www"];
    let run = ["run", "-d", "--name", "web", "-p", "8080:80", "-v", &site];
    mydocker(&[&run[..], &server[..]].concat());
    for side in [Side::Here, Side::Outside] {
        host.answers(side, &format!("{MACHINE}:8080"), "hello");
    }
    host.answers(Side::Here, "127.0.0.1:8080", "hello");
    assert_eq!(host.rules_with(""), [""; 0], "nothing by nf_tables");
    let saved = || host.machine().run(Side::Here, &["iptables-legacy-save"]);
    assert!(saved().contains("--dport 8080"));
    host.machine().run(Side::Here, &["iptables-legacy", "-F"]);
    host.machine().run(Side::Here, &["iptables-legacy", "-t", "nat", "-F"]);
    mydocker(&["run", "--rm", "bb", "true"]);
    host.answers(Side::Outside, &format!("{MACHINE}:8080"), "hello");
    mydocker(&["rm", "-f", "web"]);
    assert!(!saved().contains("--dport"), "{}", saved());
    mydocker(&["network", "prune", "-f"]);
    assert!(!saved().contains("MYDOCKER"), "{}", saved());
}

/// Runs `mydocker ARGS` with iptables made not executable. Returns whether it succeeded, and its
/// stderr.
fn without_iptables(host: &Host, args: &[&str]) -> (bool, String) {
    let hide = "for tool in /usr/sbin/xtables-*-multi; do mount --bind /dev/null $tool; done";
    let script = format!("{hide} && exec \"$@\"");
    let command = host.command(args);
    let line: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_str().unwrap().to_owned())
        .collect();
    let mut unshared = std::process::Command::new("unshare");
    unshared.args(["-m", "sh", "-c", &script, "sh"]).args(line);
    if let Some(firewall) = host.firewall {
        unshared.env("MYDOCKER_FIREWALL", firewall);
    }
    let done = unshared.output().unwrap();
    (done.status.success(), String::from_utf8(done.stderr).unwrap())
}

#[test]
fn without_iptables_nftables_is_used() {
    let mut host = Host::on_machine();
    let site = format!("{}:/www", host.site("web", "hello"));
    let server = ["bb", "httpd", "-f", "-p", "80", "-h", "/www"];
    let run = ["run", "-d", "--name", "web", "-p", "8080:80", "-v", &site];
    let started = without_iptables(&host, &[&run[..], &server[..]].concat());
    assert_eq!(started, (true, String::new()));
    for side in [Side::Here, Side::Outside] {
        host.answers(side, &format!("{MACHINE}:8080"), "hello");
    }
    host.serve(Side::Outside, 80, "outside");
    host.answers_within("web", OUTSIDE, 80, "outside");
    assert_eq!(host.rules_with(""), [""; 0], "nothing by iptables");
    // iptables can be executed now, but the state names nftables, so nftables stays in use.
    host.idle("other", &["-p", "8081:80"]);
    assert_eq!(host.rules_with(""), [""; 0], "nothing by iptables");
    host.firewall = Some("nftables");
    assert_eq!(host.rules_with("dport 8081").len(), 1);
    host.firewall = None;
    host.mydocker(["rm", "-f", "web", "other"]);
    host.firewall = Some("nftables");
    assert_eq!(host.rules_with("dport"), [""; 0]);
}

#[test]
fn without_iptables_everything_but_ports_works() {
    let host = Host::with_firewall("iptables");
    let hidden = |args: &[&str]| without_iptables(&host, args);
    let (made, printed) = hidden(&["network", "create", "--subnet", "10.1.0.0/24", "n"]);
    assert!(
        made && printed.contains("no iptables-restore") && printed.contains("nftables"),
        "{printed}"
    );
    for name in ["a", "b"] {
        let run = ["run", "-d", "--name", name, "--net", "n", "bb", "sleep", "1000"];
        assert_eq!(hidden(&run), (true, String::new()));
    }
    host.mydocker(["exec", "a", "ping", "-c1", "-W60", "b"]);
    assert!(host.machine().pings(Side::Here, "10.1.0.2"));
    let (made, printed) = hidden(&["run", "-d", "-p", "8080:80", "bb", "sleep", "1000"]);
    assert!(!made && printed.contains("can't be published by iptables"), "{printed}");
    assert!(hidden(&["rm", "-f", "a", "b"]).0);
}

#[test]
fn another_back_end_replaces_all_rules() {
    let mut host = Host::with_firewall("iptables");
    host.web("web", &["-p", "8080:80"], "hello");
    let by = |host: &mut Host, firewall: &'static str| {
        host.firewall = Some(firewall);
        host.rules_with("dport 8080").len()
    };
    for (next, other) in [("nftables", "iptables"), ("iptables", "nftables")] {
        host.firewall = Some(next);
        host.mydocker(["run", "--rm", "bb", "true"]);
        host.answers(Side::Outside, &format!("{MACHINE}:8080"), "hello");
        assert_eq!((by(&mut host, next), by(&mut host, other)), (1, 0), "{next}");
        host.firewall = Some(other);
        assert_eq!(host.rules(), [""; 0], "{next} left something of {other}");
    }
    // Without MYDOCKER_FIREWALL the back end stays. The removal of a container removes its rules
    // even if the variable names another back end.
    host.firewall = None;
    host.mydocker(["run", "--rm", "bb", "true"]);
    assert_eq!((by(&mut host, "iptables"), by(&mut host, "nftables")), (1, 0));
    host.firewall = Some("nftables");
    host.mydocker(["rm", "-f", "web"]);
    assert_eq!((by(&mut host, "iptables"), by(&mut host, "nftables")), (0, 0));
    host.firewall = Some("pf");
    host.mydocker(["ps"]).exits(1).stderr_has("known: auto iptables nftables");
    host.firewall = None;
}

#[test]
fn a_taken_port_is_refused_and_its_owner_named() {
    let host = Host::on_machine();
    host.web("web", &["-p", "8080:80"], "hello");
    let port = |port: &str| host.mydocker(["run", "--rm", "-p", port, "bb", "echo", "ran"]);
    port("8080:80").exits(125).stdout("").stderr_has("8080/tcp is in use by container web");
    port("127.0.0.1:8080:80").exits(125).stderr_has("in use by container web");
    port("8080:80/udp").stdout("ran\n");
    host.serve(Side::Here, 9090, "busy");
    port("9090:80").exits(125).stdout("").stderr_has("9090/tcp is in use by process");
    port("9090:80").exits(125).stderr_has("(busybox)");
    port("198.51.100.1:81:80").exits(125).stderr_has("is not an address of the host");
    // The host can't bind a port that a container publishes.
    let taken = host
        .machine()
        .within(Side::Here, || std::net::TcpListener::bind("0.0.0.0:8080").unwrap_err().kind());
    assert_eq!(taken, std::io::ErrorKind::AddrInUse);
    // A container whose start failed stays, and can start once the port is free.
    host.mydocker(["create", "--name", "late", "-p", "8080:80", "bb", "sleep", "1000"]);
    host.mydocker(["start", "late"]).exits(1).stderr_has("in use by container web");
    host.mydocker(["rm", "-f", "web"]);
    host.mydocker(["start", "late"]);
}

by_each_firewall!(ports_of_a_container_change_while_it_runs);

fn ports_of_a_container_change_while_it_runs(host: Host) {
    host.web("web", &["-p", "8080:80"], "hello");
    let at = |port: u16| format!("{MACHINE}:{port}");
    let silent = |port| assert!(host.machine().fetch(Side::Outside, &at(port)).is_none(), "{port}");
    let update = |flags: &str| {
        let args = ["update"].into_iter().chain(flags.split(' ')).chain(["web"]);
        host.mydocker(args)
    };
    let bind =
        |port| host.machine().within(Side::Here, || std::net::TcpListener::bind(("0.0.0.0", port)));
    let pid = host.pid("web");
    update("--publish-add 8081:80 --publish-add 127.0.0.1:8082:80").stdout("web\n");
    host.answers(Side::Outside, &at(8080), "hello");
    host.answers(Side::Outside, &at(8081), "hello");
    host.answers(Side::Here, "127.0.0.1:8081", "hello");
    host.answers(Side::Here, "127.0.0.1:8082", "hello");
    host.answers_within("web", MACHINE, 8081, "hello");
    silent(8082);
    // The monitor holds the port, so no other program can bind it.
    bind(8081).unwrap_err();
    let ports = "80/tcp -> 0.0.0.0:8080\n80/tcp -> 0.0.0.0:8081\n80/tcp -> 127.0.0.1:8082\n";
    host.mydocker(["port", "web"]).stdout(ports);
    let shown = host.mydocker(["ps", "--format", "{{.Ports}}"]).text();
    assert_eq!(shown, "0.0.0.0:8080->80/tcp, 0.0.0.0:8081->80/tcp, 127.0.0.1:8082->80/tcp");
    let bindings = "{{range index .HostConfig.PortBindings \"80/tcp\"}}{{.HostPort}} {{end}}";
    assert_eq!(host.inspect("web", bindings), "8080 8081 8082");
    let ports = bindings.replace("HostConfig.PortBindings", "NetworkSettings.Ports");
    assert_eq!(host.inspect("web", &ports), "8080 8081 8082");
    update("--publish-rm 8080:80");
    silent(8080);
    drop(bind(8080).unwrap());
    host.answers(Side::Outside, &at(8081), "hello");
    assert_eq!(host.rules_with(&host.inspect("web", "{{.Id}}")).len(), 2);
    // The host port 8081 leads to another container port, and stays bound.
    update("--publish-rm 8081:80 --publish-add 8081:81");
    silent(8081);
    bind(8081).unwrap_err();
    host.mydocker(["exec", "-d", "web", "httpd", "-f", "-p", "81", "-h", "/www"]);
    host.answers(Side::Outside, &at(8081), "hello");
    // A port that the engine chose keeps its number.
    update("--publish-add 82");
    let chosen = host.mydocker(["port", "web", "82"]).text();
    update("--publish-add 83:83/udp -m 64m");
    host.mydocker(["port", "web", "82"]).stdout(&format!("{chosen}\n"));
    update(&format!("--publish-rm {}:82", chosen.strip_prefix("0.0.0.0:").unwrap()));
    // The ports survive a restart.
    let ports = "81/tcp -> 0.0.0.0:8081\n80/tcp -> 127.0.0.1:8082\n83/udp -> 0.0.0.0:83\n";
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(host.pid("web"), pid);
    assert_eq!(sorted(&host.mydocker(["port", "web"]).text()), sorted(ports));
    host.mydocker(["restart", "-t", "0", "web"]);
    assert_eq!(sorted(&host.mydocker(["port", "web"]).text()), sorted(ports));
    host.mydocker(["stop", "-t", "0", "web"]);
    drop(bind(8081).unwrap());
    update("--publish-rm 81 --publish-rm 83/udp --publish-add 8084-8085:80-81");
    update("--publish-rm 81");
    assert_eq!(host.inspect("web", bindings), "8082 8084");
    host.mydocker(["start", "web"]);
    host.answers(Side::Outside, &at(8084), "hello");
    host.mydocker(["rm", "-f", "web"]);
    assert_eq!(host.rules_with("8084"), [""; 0]);
    host.mydocker(["system", "check"]);
}

#[test]
fn a_change_of_ports_that_fails_changes_nothing() {
    let host = Host::on_machine();
    host.web("other", &["-p", "9001:80"], "other");
    host.web("web", &["-p", "8080:80"], "hello");
    host.mydocker(["run", "-d", "--name", "bare", "--net", "none", "bb", "sleep", "1000"]);
    host.serve(Side::Here, 9090, "busy");
    // Sort the rules, because those of two containers may be in another order.
    let rules = || {
        let mut rules = host.rules();
        rules.sort();
        rules
    };
    let former_rules = rules();
    let record = "{{json .HostConfig}} {{json .NetworkSettings.Ports}}";
    let before = host.inspect("web", record);
    for (flags, part) in [
        ("--publish-add 8081:80 --publish-add 9001:80", "in use by container other"),
        ("--publish-rm 80 --publish-add 8081:80 --publish-add 9090:80", "in use by process"),
        ("-m 64m --publish-add 198.51.100.1:81:80", "is not an address of the host"),
        ("--publish-add 8080:81", "publishes 8080:80/tcp already"),
        ("--publish-add 8081-8082:80-81 --publish-rm 81", "does not publish 81/tcp"),
        ("--publish-rm 80/udp", "does not publish 80/udp"),
        ("--publish-add 8081:80 -m 1m", "6m"),
        ("--publish-add 10000-15000:10000-15000", "more than 4096"),
        ("--publish-add 8081:80 --cpuset-cpus 4000", "available"),
    ] {
        let args = ["update"].into_iter().chain(flags.split(' ')).chain(["web"]);
        host.mydocker(args).exits(1).complains(part);
        assert_eq!(host.inspect("web", record), before, "{flags}");
        assert_eq!(rules(), former_rules, "{flags}");
        let free = || std::net::TcpListener::bind("0.0.0.0:8081").map(drop);
        host.machine().within(Side::Here, free).unwrap();
    }
    host.mydocker(["update", "--publish-add", "80", "bare"]).exits(1).stderr_has("--net none");
    host.mydocker(["update", "--publish-add", "x", "web"]).exits(125).stderr_has("bad port");
    host.answers(Side::Outside, &format!("{MACHINE}:8080"), "hello");
    // The ports are changed before the record, which can't be written here.
    let dir = host.state_root().join("containers").join(host.inspect("web", "{{.Id}}"));
    let script = "mount --bind $0 $0; mount -o remount,ro,bind $0; exec \"$@\"";
    let update = host.command(["update", "--publish-rm", "80", "--publish-add", "8081:80", "web"]);
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(&dir).arg(update.get_program());
    let done = support::run_command({
        command.args(update.get_args());
        command
    });
    done.exits(1).stderr_has("Read-only file system");
    assert_eq!(host.inspect("web", record), before);
    assert_eq!(rules(), former_rules);
    host.answers(Side::Outside, &format!("{MACHINE}:8080"), "hello");
    host.mydocker(["system", "check"]);
}

#[test]
fn a_change_of_ports_that_was_killed_is_undone() {
    let host = Host::on_machine();
    host.web("web", &["-p", "8079:80", "-p", "8080:80"], "hello");
    let record = "{{json .HostConfig.PortBindings}} {{json .NetworkSettings.Ports}}";
    let former = (host.inspect("web", record), host.rules());
    let update =
        host.command(["update", "--publish-rm", "8080:80", "--publish-add", "81:80", "web"]);
    let mut kills = 0;
    // Kill the command before each of these calls in turn. The changes on the host use these calls.
    for calls in ["sendmsg,sendto", "rename,renameat,renameat2", "fork,vfork,clone,clone3"] {
        for nth in 1.. {
            let mut strace = std::process::Command::new("strace");
            let inject = format!("inject={calls}:signal=KILL:when={nth}");
            strace.args(["-o", "/dev/null", "-e", &inject]).arg(update.get_program());
            let changed = strace.args(update.get_args()).output().unwrap().status.success();
            let repaired = host.command(["system", "check", "--repair"]).output().unwrap();
            assert!(repaired.status.success(), "{calls} {nth}: {repaired:?}");
            host.mydocker(["system", "check"]);
            if changed {
                break;
            }
            kills += 1;
            let now = (host.inspect("web", record), host.rules());
            if now != former {
                // The kill came after the record was written, so the new ports stay.
                host.mydocker(["port", "web"])
                    .stdout("80/tcp -> 0.0.0.0:8079\n80/tcp -> 0.0.0.0:81\n");
                host.mydocker([
                    "update",
                    "--publish-rm",
                    "81:80",
                    "--publish-add",
                    "8080:80",
                    "web",
                ]);
            }
            let bound = host.machine().within(Side::Here, || {
                [81, 8079, 8080].map(|port| std::net::TcpListener::bind(("0.0.0.0", port)).is_ok())
            });
            assert_eq!(bound, [true, false, false], "{calls} {nth}");
            host.answers(Side::Outside, &format!("{MACHINE}:8080"), "hello");
        }
        host.mydocker(["update", "--publish-rm", "81:80", "--publish-add", "8080:80", "web"]);
    }
    assert!(kills > 10, "{kills}");
}

by_each_firewall!(ports_can_be_ranges_any_free_port_or_all_exposed);

fn ports_can_be_ranges_any_free_port_or_all_exposed(host: Host) {
    host.web("range", &["-p", "8000-8002:80-82", "-p", "127.0.0.1:9000:80"], "range");
    host.answers(Side::Outside, &format!("{MACHINE}:8000"), "range");
    host.answers(Side::Here, "127.0.0.1:9000", "range");
    assert!(host.machine().fetch(Side::Outside, &format!("{MACHINE}:9000")).is_none());
    let ports = host.mydocker(["ps", "--filter", "name=range", "--format", "{{.Ports}}"]).text();
    assert_eq!(ports, "0.0.0.0:8000-8002->80-82/tcp, 127.0.0.1:9000->80/tcp");
    // The container gets the first free port of the range.
    host.web("one-of", &["-p", "8000-8010:80"], "one-of");
    host.answers(Side::Outside, &format!("{MACHINE}:8003"), "one-of");
    host.web("any", &["-P", "--expose", "80"], "any");
    assert_eq!(host.inspect("any", "{{.HostConfig.PublishAllPorts}}"), "true");
    assert_eq!(host.inspect("any", "{{json .HostConfig.PortBindings}}"), "{}");
    let any = host.mydocker(["port", "any", "80"]).text();
    host.answers(Side::Outside, &any.replace("0.0.0.0", MACHINE), "any");
    host.web("random", &["-p", "127.0.0.1:0:80/TCP", "-p", "0:81/UDP"], "random");
    let random = host.mydocker(["port", "random", "80/TCP"]).text();
    assert!(random.starts_with("127.0.0.1:") && !random.ends_with(":0"), "{random}");
    host.answers(Side::Here, &random, "random");
    host.mydocker(["port", "random", "81/udp"]).stdout_has("0.0.0.0:");
    host.mydocker(["run", "--rm", "-p", "80:80/sctp", "bb", "true"])
        .exits(125)
        .stderr_has("a port of protocol sctp can't be published; known: tcp udp");
    host.web("bound", &["-p", "8888:80", "--publish-default-ip", "127.0.0.1"], "bound");
    host.answers(Side::Here, "127.0.0.1:8888", "bound");
    assert!(host.machine().fetch(Side::Outside, &format!("{MACHINE}:8888")).is_none());
    host.mydocker(["network", "create", "--opt", "publish-ip=127.0.0.1", "shy"]);
    host.web("shy", &["--net", "shy", "-p", "8889:80"], "shy");
    assert!(host.machine().fetch(Side::Outside, &format!("{MACHINE}:8889")).is_none());
    host.answers(Side::Here, "127.0.0.1:8889", "shy");
}

by_each_firewall!(port_80_of_another_machine_is_not_redirected);

fn port_80_of_another_machine_is_not_redirected(host: Host) {
    host.web("web", &["-p", "80:80"], "ours");
    host.serve(Side::Outside, 80, "theirs");
    host.idle("a", &[]);
    for container in ["web", "a"] {
        host.answers_within(container, OUTSIDE, 80, "theirs");
    }
    host.answers(Side::Here, &format!("{OUTSIDE}:80"), "theirs");
}

by_each_firewall!(the_administrators_rules_come_first);

fn the_administrators_rules_come_first(host: Host) {
    host.web("web", &["-p", "8080:80"], "hello");
    let port = format!("{MACHINE}:8080");
    // With nftables, the administrator uses a separate table.
    let (drops, lets) = match host.firewall {
        Some("nftables") => (
            format!(
                "nft add table ip owner; \
                 nft add chain ip owner forward {{ type filter hook forward priority -10 \\; }}; \
                 nft add rule ip owner forward ip saddr {OUTSIDE} drop"
            ),
            "nft delete table ip owner".to_owned(),
        ),
        _ => (
            format!("iptables -I MYDOCKER-USER -s {OUTSIDE} -j DROP"),
            format!("iptables -D MYDOCKER-USER -s {OUTSIDE} -j DROP"),
        ),
    };
    let shell = |script: &str| host.machine().run(Side::Here, &["sh", "-ec", script]);
    shell(&drops);
    assert!(host.machine().fetch(Side::Outside, &port).is_none());
    // The administrator's rules outlive commands of mydocker.
    host.mydocker(["network", "reload"]);
    host.mydocker(["restart", "-t0", "web"]);
    assert!(host.machine().fetch(Side::Outside, &port).is_none());
    shell(&lets);
    host.answers(Side::Outside, &port, "hello");
}

by_each_firewall!(state_roots_on_one_host_keep_their_own_rules);

/// With iptables, state roots share the chain `MYDOCKER-USER`. The first root makes the chain, and
/// the last root removes it if it has no rule.
fn state_roots_on_one_host_keep_their_own_rules(host: Host) {
    let others = [host.neighbour(), host.neighbour()];
    std::thread::scope(|scope| {
        for host in [&host, &others[0], &others[1]] {
            scope.spawn(|| {
                for _ in 0..20 {
                    host.mydocker(["run", "--rm", "bb", "true"]);
                    host.mydocker(["network", "prune", "-f"]);
                }
            });
        }
    });
    assert_eq!(host.rules(), [""; 0]);
}

#[test]
fn a_host_that_drops_forwarded_packets_still_works() {
    let host = Host::with_firewall("iptables");
    host.machine().run(Side::Here, &["iptables", "-P", "FORWARD", "DROP"]);
    host.serve(Side::Outside, 80, "outside");
    host.web("web", &["-p", "8080:80"], "hello");
    host.answers(Side::Outside, &format!("{MACHINE}:8080"), "hello");
    host.answers_within("web", OUTSIDE, 80, "outside");
    host.answers_within("web", MACHINE, 8080, "hello");
}

by_each_firewall!(containers_cant_reach_the_hosts_loopback);

fn containers_cant_reach_the_hosts_loopback(host: Host) {
    host.web("web", &["-p", "127.0.0.1:8080:80", "-p", "8081:80"], "hello");
    host.idle("later", &[]);
    let bridge = "com.docker.network.bridge.name=own0";
    host.mydocker(["network", "create", "-o", bridge, "own"]);
    host.web("named", &["--net", "own", "-p", "127.0.0.1:8082:80"], "hello");
    let assert_safe = |when: &str| {
        for container in ["web", "later", "named"] {
            assert_eq!(knock_at_loopback(&host, container), ["the gateway"], "{container} {when}");
        }
    };
    assert_safe("with the rules");
    assert_safe_after_flushes(&host, &assert_safe);
    // A published port still answers, also by hairpin.
    for address in ["127.0.0.1:8080", "127.1.2.3:8081", "127.0.0.1:8082"] {
        host.answers(Side::Here, address, "hello");
    }
    host.answers_within("web", MACHINE, 8081, "hello");
}

/// Flushes the rules in several ways, as administrators, firewalld and ufw do. After each flush,
/// calls `assert_safe` and makes the rules again.
fn assert_safe_after_flushes(host: &Host, assert_safe: &dyn Fn(&str)) {
    // firewalld's reload flushes and deletes chains in several tables of iptables. ufw does this
    // with the filter table only.
    let firewalld = "for table in filter nat mangle raw; do \
                     iptables -w -t $table -F; iptables -w -t $table -X; done";
    let ufw = "for chain in INPUT OUTPUT FORWARD; do iptables -P $chain ACCEPT; \
               iptables -F $chain; done; iptables -F; iptables -X";
    for flush in [
        "iptables -F",
        "iptables -t nat -F",
        "iptables -F; iptables -t nat -F",
        "nft flush ruleset",
        firewalld,
        ufw,
    ] {
        // Ignore errors: a chain that is in use can't be deleted.
        host.machine().run(Side::Here, &["sh", "-c", &format!("{{ {flush}; }} 2>&1; true")]);
        assert_safe(flush);
        host.mydocker(["network", "reload"]);
    }
    assert_safe("after the last reload");
}

/// Sends datagrams to the host's 127.0.0.1 from a container, in raw frames with up to three VLAN
/// tags. A last datagram goes to the gateway. Returns the datagrams that arrived.
fn knock_at_loopback(host: &Host, container: &str) -> Vec<String> {
    const PORT: u16 = 7071;
    let of_network = |field: &str| {
        host.inspect(
            container,
            &format!("{{{{range .NetworkSettings.Networks}}}}{{{{{field}}}}}{{{{end}}}}"),
        )
    };
    let (gateway, own) = (of_network(".Gateway"), of_network(".IPAddress"));
    let links = host.machine().run(Side::Here, &["ip", "-o", "addr"]);
    let bridge = links.lines().find(|line| line.contains(&format!("inet {gateway}/"))).unwrap();
    let bridge = bridge.split_whitespace().nth(1).unwrap();
    let link = host.machine().run(Side::Here, &["ip", "-br", "link", "show", bridge]);
    let mac: Vec<u8> = link
        .split_whitespace()
        .nth(2)
        .unwrap()
        .split(':')
        .map(|part| u8::from_str_radix(part, 16).unwrap())
        .collect();
    let mut frames: Vec<Vec<u8>> = (0..4)
        .map(|tags| frame(&mac, tags, &own, "127.0.0.1", PORT, &format!("with {tags} tags")))
        .collect();
    frames.push(frame(&mac, 0, &own, &gateway, PORT, "the gateway"));
    let server = host.machine().within(Side::Here, || UdpSocket::bind(("0.0.0.0", PORT)).unwrap());
    server.set_read_timeout(Some(support::PATIENCE)).unwrap();
    send_frames(host.pid(container), frames);
    let mut arrived: Vec<String> = Vec::new();
    while arrived.last().is_none_or(|last| last != "the gateway") {
        let mut buffer = [0; 64];
        let length = server.recv(&mut buffer).expect("the last one arrives");
        arrived.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
    }
    arrived
}

/// An Ethernet frame with an IPv4 UDP datagram and `tags` VLAN tags.
fn frame(to: &[u8], tags: usize, from: &str, address: &str, port: u16, text: &str) -> Vec<u8> {
    let octets = |address: &str| address.parse::<std::net::Ipv4Addr>().unwrap().octets();
    let length = 20 + 8 + text.len() as u16;
    let mut header = vec![0x45, 0];
    header.extend(length.to_be_bytes());
    header.extend([0, 0, 0, 0, 64, libc::IPPROTO_UDP as u8, 0, 0]);
    header.extend(octets(from));
    header.extend(octets(address));
    let words = header.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut frame = to.to_vec();
    frame.extend([2, 0, 0, 0, 0, 9]);
    frame.extend([0x81, 0, 0, 0].repeat(tags));
    frame.extend([8, 0]);
    frame.extend(header);
    for word in [port, port, 8 + text.len() as u16, 0] {
        frame.extend(word.to_be_bytes());
    }
    frame.extend(text.as_bytes());
    frame
}

/// Sends frames through eth0 in the network namespace of process `pid`.
fn send_frames(pid: i32, frames: Vec<Vec<u8>>) {
    use std::os::fd::{AsFd, FromRawFd, OwnedFd};
    let namespace = std::fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
    let send = move || {
        let kind = Some(rustix::thread::LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(namespace.as_fd(), kind).unwrap();
        // SAFETY: the only pointer is to a literal; nothing else owns the new descriptor.
        let (socket, index) = unsafe {
            let socket = libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0);
            assert!(socket >= 0);
            (OwnedFd::from_raw_fd(socket), libc::if_nametoindex(c"eth0".as_ptr()))
        };
        // SAFETY: a `sockaddr_ll` of zero bytes is valid.
        let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        to.sll_family = libc::AF_PACKET as u16;
        to.sll_ifindex = index as i32;
        for frame in &frames {
            let (bytes, length) = (frame.as_ptr().cast(), frame.len());
            let socket = std::os::fd::AsRawFd::as_raw_fd(&socket);
            let size = std::mem::size_of_val(&to) as libc::socklen_t;
            // SAFETY: frame and address are valid during the call and have the given lengths.
            let sent =
                unsafe { libc::sendto(socket, bytes, length, 0, (&raw const to).cast(), size) };
            assert_eq!(sent, length as isize);
        }
    };
    std::thread::spawn(send).join().unwrap();
}

/// This is not a test: the test binary, which is static, answers datagrams inside a container.
#[test]
#[ignore = "is the service that `udp_ports_answer_too` runs in its container"]
fn udp_echo_service() {
    let socket = UdpSocket::bind("0.0.0.0:53").unwrap();
    let mut buffer = [0; 512];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).unwrap();
        let _ = socket.send_to(&buffer[..length], peer);
    }
}

by_each_firewall!(udp_ports_answer_too);

fn udp_ports_answer_too(host: Host) {
    let binary = std::env::current_exe().unwrap();
    let volume = format!("{}:/echo:ro", binary.display());
    let run = ["run", "-d", "--name", "echo", "-p", "5353:53/udp", "-v", &volume];
    let service = ["bb", "/echo", "--ignored", "--exact", "udp_echo_service"];
    host.mydocker(run.iter().chain(&service));
    for (side, address) in [
        (Side::Outside, format!("{MACHINE}:5353")),
        (Side::Here, format!("{MACHINE}:5353")),
        (Side::Here, "127.0.0.1:5353".to_owned()),
    ] {
        assert_eq!(host.machine().ask(side, &address, "hello"), "hello", "{side:?} {address}");
    }
    host.mydocker(["port", "echo"]).stdout("53/udp -> 0.0.0.0:5353\n");
}

by_each_firewall!(a_udp_client_that_never_pauses_reaches_a_new_container);

fn a_udp_client_that_never_pauses_reaches_a_new_container(host: Host) {
    let volume = format!("{}:/echo:ro", std::env::current_exe().unwrap().display());
    let service = ["bb", "/echo", "--ignored", "--exact", "udp_echo_service"];
    host.machine().within(Side::Outside, || {
        let socket = UdpSocket::bind(format!("{OUTSIDE}:4000")).unwrap();
        socket.connect(format!("{MACHINE}:5353")).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
        let mut sent = 0;
        let mut answered = || {
            sent += 1;
            let hello = format!("hello {sent}");
            // While no container is there, the datagram is refused or not answered.
            let _ = socket.send(hello.as_bytes());
            let mut buffer = [0; 512];
            // Ignore a late answer to an earlier datagram.
            while let Ok(length) = socket.recv(&mut buffer) {
                if buffer[..length] == *hello.as_bytes() {
                    return true;
                }
            }
            false
        };
        assert!(!answered());
        let run = ["run", "-d", "--name", "echo", "-p", "5353:53/udp", "-v", &volume];
        host.mydocker(run.iter().chain(&service));
        eventually("the first container answers", &mut answered);
        host.idle("between", &[]);
        host.mydocker(["rm", "-f", "echo"]);
        assert!(!answered());
        // This container takes the free address, so the second `echo` gets a different one.
        host.idle("in-its-place", &[]);
        host.mydocker(run.iter().chain(&service));
        eventually("the second container answers", &mut answered);
    });
}

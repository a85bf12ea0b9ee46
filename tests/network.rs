//! Networks: bridges, addresses and names. Nearly all tests run on their own machine
//! (`support::machine`).
//!
//! Published ports are in `tests/network_ports.rs`, and the options of networks and interfaces in
//! `tests/network_options.rs`.

mod support;

use std::process::Command;

use support::Host;
use support::machine::{MACHINE, OUTSIDE, Side};
use support::{eventually, unique};

fn address(host: &Host, name: &str) -> String {
    host.inspect(name, "{{.NetworkSettings.IPAddress}}")
}

by_each_firewall!(containers_reach_the_host_each_other_and_beyond);

fn containers_reach_the_host_each_other_and_beyond(host: Host) {
    host.mydocker(["network", "create", "--subnet", "10.1.0.0/24", "talk"]);
    for name in ["a", "b"] {
        host.idle(name, &["--net", "talk"]);
    }
    for target in ["10.1.0.1", "10.1.0.3", "b", MACHINE, OUTSIDE] {
        host.mydocker(["exec", "a", "ping", "-c1", "-W60", target]);
    }
    // `a` started before `b`, and `b` finds it too.
    host.mydocker(["exec", "b", "ping", "-c1", "-W60", "a"]);
    assert!(host.machine().pings(Side::Here, "10.1.0.2"));
    // Packets leave with the machine's own address, because other machines have no route to the
    // containers.
    host.serve(Side::Outside, 80, "outside");
    host.answers_within("a", OUTSIDE, 80, "outside");
}

#[test]
fn the_default_network_exists_without_being_created() {
    let host = Host::on_machine();
    host.idle("a", &[]);
    host.idle("b", &["--net", "bridge"]);
    let listed =
        host.mydocker(["network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Containers}}"]);
    listed.stdout("bridge bridge 2\nhost host 0\nnone null 0\n");
    host.mydocker(["ps", "--format", "{{.Networks}}"]).stdout("bridge\nbridge\n");
    let by_name = host.inspect("a", "{{.NetworkSettings.Networks.bridge.IPAddress}}");
    assert_eq!(by_name, address(&host, "a"));
    host.mydocker(["exec", "a", "ping", "-c1", "-W60", &address(&host, "b")]);
    host.mydocker(["exec", "a", "ping", "-c1", "-W60", OUTSIDE]);
    // Only networks that a user has made resolve the names of containers.
    host.mydocker(["exec", "a", "ping", "-c1", "b"]).exits(1);
    for name in ["bridge", "mydocker0", "host", "none"] {
        host.mydocker(["network", "rm", name]).exits(1).stderr_has("always exists");
        host.mydocker(["network", "create", name]).exits(1).stderr_has("the name is reserved");
    }
}

by_each_firewall!(options_of_a_network_have_their_effect);

fn options_of_a_network_have_their_effect(host: Host) {
    let bridge = "mydocker-lan";
    let option = |name: &str, value: &str| format!("com.docker.network.bridge.{name}={value}");
    let (name, icc) = (option("name", bridge), option("enable_icc", "false"));
    let own = ["network", "create", "-o", &name, "-o", &icc, "--subnet", "10.1.0.0/24"];
    let more = ["--aux-address", "router=10.1.0.2", "--attachable", "--ipam-driver", "default"];
    let rest = ["--ipam-opt", "a=b", "--scope", "local", "apart"];
    host.mydocker(own.iter().chain(&more).chain(&rest));
    assert!(host.machine().run(Side::Here, &["ip", "link", "show", bridge]).contains("UP"));
    host.idle("a", &["--net", "apart"]);
    host.idle("b", &["--net", "apart"]);
    // No container gets the auxiliary address.
    assert_eq!((address(&host, "a"), address(&host, "b")), ("10.1.0.3".into(), "10.1.0.4".into()));
    host.mydocker(["run", "--net", "apart", "--ip", "10.1.0.2", "bb", "true"])
        .exits(125)
        .stderr_has("reserved by --aux-address");
    // The containers can't reach each other, but reach the host and other machines.
    host.mydocker(["exec", "a", "ping", "-c1", "-W1", "10.1.0.4"]).exits(1);
    host.mydocker(["exec", "a", "ping", "-c1", "-W60", OUTSIDE]);
    host.mydocker(["exec", "a", "ping", "-c1", "-W60", "10.1.0.1"]);
    let shown = "{{json .Options}} {{.Attachable}} {{json .IPAM}}";
    let shown = host.mydocker(["network", "inspect", "-f", shown, "apart"]).text();
    assert_eq!(
        shown,
        format!(
            "{{\"com.docker.network.bridge.enable_icc\":\"false\",\
             \"com.docker.network.bridge.name\":\"{bridge}\"}} true \
             {{\"Driver\":\"default\",\"Options\":{{\"a\":\"b\"}},\"Config\":[{{\"Subnet\":\"10.1.0.0/24\",\
             \"Gateway\":\"10.1.0.1\",\"AuxiliaryAddresses\":{{\"router\":\"10.1.0.2\"}}}}]}}"
        )
    );
    // Without the host's address as source, other machines have no route for their answers.
    let bare = option("enable_ip_masquerade", "false");
    host.mydocker(["network", "create", "-o", &bare, "--subnet", "10.2.0.0/24", "bare"]);
    host.idle("c", &["--net", "bare"]);
    host.mydocker(["exec", "c", "ping", "-c1", "-W1", OUTSIDE]).exits(1);
    drop(host.machine().run(Side::Outside, &["ip", "route", "add", "10.2.0.0/24", "via", MACHINE]));
    host.mydocker(["exec", "c", "ping", "-c1", "-W60", OUTSIDE]);
}

#[test]
fn options_that_a_network_cannot_have_are_refused() {
    let host = Host::on_machine();
    let bridge = "mydocker-lan";
    let create = |flags: &str| {
        let flags = flags.replace("BR", "com.docker.network.bridge");
        host.mydocker(["network", "create"].into_iter().chain(flags.split(' ')).chain(["n"]))
    };
    create("--config-from x").exits(125).stderr_has("for a cluster's nodes");
    for (flags, word) in [
        ("-o mtu", "bad MTU ''"),
        ("--ipam-driver dhcp", "known: default null"),
        ("--scope swarm", "networks here are local"),
        ("--aux-address 10.1.0.2", "write NAME=IP"),
        ("-o BR.enable_icc=maybe", "is true or false"),
        ("--config-only", "for a cluster's nodes"),
        ("-o BR.name=lo", "has an interface named"),
        ("-o BR.name=all", "a link's name has"),
        ("-o BR.name=mydocker/x", "a link's name has"),
        ("-o BR.name=mydocker-0123456789", "1 to 15 letters"),
        ("-o BR.gateway_mode_ipv4=routed", "only the mode nat"),
        ("-o BR.inhibit_ipv4=maybe", "is true or false"),
        ("-o BR.default_bridge=true", "has no meaning here"),
        ("-o com.docker.network.container_iface_prefix=a/b", "bad interface prefix"),
        ("-o BR.enable_icc=false -d macvlan", "an option of bridges"),
        ("--ipam-driver null", "a bridge needs a subnet"),
        (
            "--ipam-driver null --subnet 10.1.0.0/24 -d macvlan",
            "leave out --subnet, --gateway, --ip-range and --ipv6",
        ),
        ("--ipam-driver null -d ipvlan -o ipvlan_mode=l3", "use l2"),
        ("--subnet 10.1.0.0/24 --aux-address a=10.2.0.1", "lies in no subnet"),
        ("--subnet 10.1.0.0/24 --aux-address a=10.1.0.1", "is the gateway's"),
    ] {
        create(flags).exits(1).stderr_has(word);
    }
    // As in Docker, an unknown option is kept and printed. mydocker also prints a warning.
    create("-o BR.gateway_mode_ipv4=nat -o a=b").stderr_has("-o a has no effect on a bridge");
    host.mydocker(["network", "inspect", "-f", "{{.Options.a}}", "n"]).stdout("b\n");
    host.mydocker(["network", "rm", "n"]);
    drop(host.machine().run(Side::Here, &["ip", "link", "add", bridge, "type", "bridge"]));
    create(&format!("-o BR.name={bridge}")).exits(1).stderr_has("has an interface named");
    host.mydocker(["network", "ls", "-q", "-f", "type=custom"]).stdout("");
    host.idle("a", &[]);
    for (flag, value, word) in [
        ("--link", "a:b", "need a network of your own"),
        ("--alias", "b", "need a network of your own"),
        ("--link-local-ip", "57.1.2.3", "no link-local address"),
        ("--driver-opt", "x=y", "unknown option 'x'"),
        ("--driver-opt", "com.docker.network.endpoint.ifname=a/b", "bad interface name"),
        ("--driver-opt", "com.docker.network.endpoint.sysctls=kernel.x=1", "bad sysctl"),
    ] {
        host.mydocker(["network", "connect", flag, value, "bridge", "a"]).exits(1).stderr_has(word);
    }
}

#[test]
fn records_with_the_former_name_of_the_default_network_are_read() {
    let host = Host::on_machine();
    host.idle("a", &[]);
    host.idle("b", &[]);
    // Write the records as an earlier version did.
    let (state, run, id) = (host.state_root(), host.run_root(), host.inspect("a", "{{.Id}}"));
    let container = state.join("containers").join(&id);
    for (file, times) in [
        (state.join("networks/mydocker0/config.json"), 1),
        (container.join("config.json"), 2),
        (run.join(&id).join("network.json"), 1),
    ] {
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.matches(":\"bridge\"").count(), times, "{text}");
        let old = text.replace(":\"bridge\"", ":\"mydocker0\"");
        std::fs::write(&file, old).unwrap();
    }
    let hosts = std::fs::read_to_string(container.join("hosts")).unwrap();
    std::fs::write(container.join("hosts"), hosts.replace("network bridge", "network mydocker0"))
        .unwrap();

    host.mydocker([
        "network",
        "ls",
        "--filter",
        "type=builtin",
        "--format",
        "{{.Name}} {{.Containers}}",
    ])
    .stdout("bridge 2\nhost 0\nnone 0\n");
    let settings = "{{.HostConfig.NetworkMode}} {{.NetworkSettings.Networks.bridge.IPAddress}}";
    assert_eq!(host.inspect("a", settings), format!("bridge {}", address(&host, "a")));
    host.mydocker(["exec", "a", "ping", "-c1", "-W60", &address(&host, "b")]);
    host.mydocker(["network", "disconnect", "mydocker0", "a"]);
    let hosts = std::fs::read_to_string(container.join("hosts")).unwrap();
    assert!(!hosts.contains("network"), "{hosts}");
    host.mydocker(["network", "connect", "bridge", "a"]);
    host.mydocker(["restart", "-t", "0", "a"]);
    host.mydocker([
        "run",
        "--rm",
        "--net",
        "mydocker0",
        "bb",
        "ping",
        "-c1",
        "-W60",
        &address(&host, "a"),
    ]);
}

#[test]
fn networks_are_listed_filtered_and_found_by_id_as_in_docker() {
    let host = Host::on_machine();
    host.mydocker(["network", "create", "--label", "a=1", "--label", "b", "net1"]);
    host.mydocker(["network", "create", "--label", "a=2", "net2"]);
    host.idle("a", &["--net", "net2"]);
    let short = host.mydocker(["network", "ls", "-q", "-f", "name=net1"]).text();
    let full = host.mydocker(["network", "ls", "-q", "--no-trunc", "-f", "name=net1"]).text();
    assert_eq!((short.len(), full.len(), &full[..12]), (12, 64, &short[..]));
    host.mydocker(["network", "ls"])
        .stdout_has("NETWORK ID     NAME      DRIVER    SCOPE\n")
        .stdout_has(&format!("{short}   net1      bridge    local\n"));
    let listed = |filters: &str| {
        let mut args = vec!["network", "ls", "--format", "{{.Name}}"];
        args.extend(filters.split(' ').flat_map(|filter| ["--filter", filter]));
        host.mydocker(&args).text().replace('\n', " ")
    };
    for (filters, names) in [
        ("type=custom", "net1 net2"),
        ("type=builtin", "bridge host none"),
        ("dangling=true", "net1"),
        ("dangling=0", "bridge host net2 none"),
        ("driver=null driver=host", "host none"),
        ("scope=local driver=null", "none"),
        ("scope=swarm", ""),
        ("label=a", "net1 net2"),
        ("label=a label=b", "net1"),
        ("label=a=2", "net2"),
        ("name=net name=ridge", "bridge net1 net2"),
        ("name=^net1$", "net1"),
        ("name=^et1", ""),
        ("name=net[13]", "net1"),
        (&format!("id={short}"), "net1"),
    ] {
        assert_eq!(listed(filters), names, "{filters}");
    }
    for (filter, word) in [
        ("type=x", "type is builtin or custom"),
        ("dangling=x", "dangling is true or false"),
        ("x=y", "unknown filter 'x'; known: id name driver"),
    ] {
        host.mydocker(["network", "ls", "-f", filter]).exits(1).stderr_has(word);
    }
    host.mydocker(["network", "ls", "-f", "x"]).exits(125).stderr_has("write KEY=VALUE");
    // Ids and prefixes of ids can be used in place of names.
    let name = |id: &str| host.mydocker(["network", "inspect", "-f", "{{.Name}}", id]).text();
    assert_eq!(name(&short), "net1");
    let none = host.mydocker(["network", "inspect", "-f", "{{.Id}}", "none"]).text();
    assert_eq!((none.len(), name(&none)), (64, "none".to_owned()));
    let addresses =
        ["run", "--rm", "--net", &short[..11], "bb", "ip", "-4", "addr", "show", "eth0"];
    host.mydocker(addresses).stdout_has("inet ");
    host.mydocker(["network", "connect", &full, "a"]);
    host.mydocker(["run", "--net", "net1", "--net", &short, "bb", "true"])
        .exits(125)
        .stderr_has("--net net1 was given twice");
    host.mydocker(["network", "disconnect", &short, "a"]);
    host.mydocker(["network", "rm", &none]).exits(1).stderr_has("always exists");
    host.mydocker(["network", "rm", &short[..10]]);
    host.mydocker(["network", "inspect", &short]).exits(1).stderr_has("no such network");
}

#[test]
fn a_taken_subnet_is_refused_and_its_network_named() {
    let host = Host::on_machine();
    host.mydocker(["network", "create", "--subnet", "10.1.0.1/24", "one"]);
    host.mydocker([
        "network",
        "ls",
        "--filter",
        "name=one",
        "--format",
        "{{.Subnet}} {{.Gateway}}",
    ])
    .stdout_has("10.1.0.0/24")
    .stdout_has("10.1.0.1\n");
    let create = |subnet: &str| host.mydocker(["network", "create", "--subnet", subnet, "two"]);
    create("10.1.0.128/25").exits(1).stderr_has("overlaps network one, which has 10.1.0.0/24");
    create("203.0.113.0/25").exits(1).stderr_has("overlaps the host's route to 203.0.113.0/24");
    create("10.1.1.0/31").exits(1).stderr_has("too small");
    create("10.1.1/24").exits(1).stderr_has("bad subnet '10.1.1/24'");
    host.mydocker(["network", "create", "one"]).exits(1).stderr_has("network one already exists");
    host.mydocker(["network", "create", "host"]).exits(1).stderr_has("the name is reserved");
    // Without --subnet, mydocker chooses a free subnet.
    host.mydocker(["network", "create", "three"]);
    host.idle("a", &["--net", "three"]);
    host.mydocker(["exec", "a", "ping", "-c1", "-W60", OUTSIDE]);
}

#[test]
fn routes_of_a_vpn_leave_subnets_free() {
    let host = Host::on_machine();
    let route = |to: &str| {
        drop(host.machine().run(Side::Here, &["ip", "route", "add", to, "via", OUTSIDE]));
    };
    route("0.0.0.0/1");
    route("128.0.0.0/1");
    host.mydocker(["network", "create", "--subnet", "10.1.0.0/24", "given"]);
    host.mydocker(["network", "create", "chosen"]);
    host.mydocker(["network", "rm", "chosen"]);
    route("10.0.0.0/8");
    route("172.16.0.0/12");
    host.mydocker(["run", "--rm", "bb", "true"])
        .exits(125)
        .stderr_has("no free subnet is left")
        .stderr_has("network create --subnet");
}

#[test]
fn host_names_and_short_ids_are_known_on_a_network_but_container_names_count_more() {
    let host = Host::on_machine();
    host.mydocker(["network", "create", "--subnet", "10.1.0.0/24", "n"]);
    for (name, flags) in [
        ("a", &["-h", "etcd-0"][..]),
        ("b", &["-h", "etcd-0"]),
        ("c", &["-h", "etcd-0.lan", "--network-alias", "sea"]),
        ("d", &["-h", "a"]),
        ("etcd-0", &[]),
    ] {
        host.idle(name, &[&["--net", "n"], flags].concat());
    }
    let own = |name: &str| host.mydocker(["exec", name, "hostname", "-i"]).text();
    for name in ["a", "b", "c", "d", "etcd-0"] {
        assert_eq!(own(name), address(&host, name), "{name}");
    }
    // `d` has the host name `a`. For the other containers, `a` is the container with this name.
    let finds = |from: &str, name: &str| {
        let found = host.command(["exec", from, "ping", "-c1", "-W60", name]).output().unwrap();
        let found = String::from_utf8(found.stdout).unwrap();
        found.split_once('(').map(|(_, rest)| rest.split(')').next().unwrap().to_owned())
    };
    assert_eq!(finds("b", "a"), Some(address(&host, "a")));
    assert_eq!(finds("d", "etcd-0"), Some(address(&host, "etcd-0")));
    assert_eq!(finds("d", "sea"), Some(address(&host, "c")));
    let id = host.mydocker(["inspect", "-f", "{{.Id}}", "c"]).text();
    for name in ["etcd-0.lan", id.get(..12).unwrap()] {
        assert_eq!(finds("d", name), Some(address(&host, "c")), "{name}");
    }
    let aliases = "{{.NetworkSettings.Networks.n.Aliases}}";
    host.mydocker(["inspect", "-f", aliases, "c"])
        .stdout(&format!("[sea {} etcd-0.lan]\n", id.get(..12).unwrap()));
    host.mydocker(["rename", "etcd-0", "other"]);
    host.mydocker(["exec", "a", "ping", "-c1", "-W60", "other"]);
    assert_eq!(own("a"), address(&host, "a"));
    // A container that joins the network namespace of `b` also gets the host name of `b`.
    let joined = ["run", "--rm", "--net", "container:b", "bb", "sh", "-c"];
    host.mydocker(
        joined.iter().chain(&["hostname; hostname -i; echo $HOSTNAME; cat /etc/hostname"]),
    )
    .stdout(&format!("etcd-0\n{}\netcd-0\netcd-0\n", address(&host, "b")));
    // A container that joins this namespace through a second container gets this host name too.
    host.idle("through", &["--net", "container:b"]);
    host.mydocker(["run", "--rm", "--net", "container:through", "bb", "cat", "/etc/hostname"])
        .stdout("etcd-0\n");
    host.mydocker(["run", "--rm", "-h", "x", "--net", "container:b", "bb", "true"])
        .exits(125)
        .stderr_has("--hostname can't be set with --network container:NAME");
}

/// What `mydocker ARGS` prints on stdout and stderr, on a host with this resolv.conf. If `upstream`
/// is not empty, the host also has a resolv.conf of systemd-resolved with this content.
fn resolving_by(host: &Host, resolv_conf: &str, upstream: &str, args: &[&str]) -> (String, String) {
    let file = host.file("host-resolv.conf", resolv_conf);
    let script = format!(
        "mount --bind {} /etc/resolv.conf && mount -t tmpfs none /run && cd /run && \
         if [ -n '{upstream}' ]; then mkdir -p systemd/resolve && \
         echo '{upstream}' > systemd/resolve/resolv.conf; fi && exec \"$@\"",
        file.display()
    );
    let command = host.command(args);
    let mut words = command.get_args().map(|word| word.to_str().unwrap());
    let namespace = words.next().unwrap();
    let mut within = std::process::Command::new(command.get_program());
    within.args([namespace, "unshare", "-m", "sh", "-c", &script, "sh"]).args(words);
    let done = within.output().unwrap();
    assert!(done.status.success(), "{done:?}");
    (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap())
}

/// A UDP socket on this address of the machine. A process that another test forks at this moment
/// may hold the previous socket for a short time, so `bind` may have to be called again.
fn listen(host: &Host, address: &str) -> std::net::UdpSocket {
    let mut socket = None;
    eventually(&format!("{address} is free"), || {
        let bound = host.machine().within(Side::Here, || std::net::UdpSocket::bind(address));
        socket = bound.ok();
        socket.is_some()
    });
    socket.unwrap()
}

#[test]
fn containers_of_a_host_with_a_local_resolver_have_name_servers() {
    let host = Host::on_machine();
    host.mydocker(["network", "create", "--subnet", "10.1.0.0/24", "n"]);
    let run = ["run", "--rm", "--net", "n", "bb", "grep", "-v", "options", "/etc/resolv.conf"];
    let stub = "nameserver 127.0.0.53\noptions edns0\nsearch lan\n";
    let upstream = "nameserver 192.0.2.53\nsearch lan";
    let silent = |text: &str| (text.to_owned(), String::new());
    let by = |resolv_conf, upstream| resolving_by(&host, resolv_conf, upstream, &run);
    assert_eq!(by(stub, upstream), silent("nameserver 192.0.2.53\nsearch lan\n"));
    // Without other name servers, containers use the public ones, and mydocker reports this once.
    let (found, printed) = by(stub, "");
    assert_eq!(found, "search lan\nnameserver 8.8.8.8\nnameserver 8.8.4.4\n");
    assert!(
        printed.contains("they use 8.8.8.8 and 8.8.4.4") && printed.lines().count() == 1,
        "{printed}"
    );
    assert_eq!(by("", ""), silent("nameserver 8.8.8.8\nnameserver 8.8.4.4\n"));
    // A name server of the host listens on all addresses or only on the bridge's.
    for address in ["0.0.0.0:53", "10.1.0.1:53", "[::]:53"] {
        let _server = listen(&host, address);
        assert_eq!(by("nameserver 127.0.0.1\n", ""), silent("nameserver 10.1.0.1\n"), "{address}");
    }
    let _server = listen(&host, "127.0.0.1:53");
    assert!(by("nameserver 127.0.0.1\n", "").0.contains("8.8.8.8"));
    // A name server that the user gives is the only one.
    let given = ["run", "--rm", "--dns", "192.0.2.1", "bb", "cat", "/etc/resolv.conf"];
    assert_eq!(resolving_by(&host, "", "", &given), silent("nameserver 192.0.2.1\n"));
}

#[test]
fn an_interface_has_the_options_of_its_network() {
    let host = Host::on_machine();
    let create = ["network", "create", "--subnet", "10.1.0.0/24", "--gateway", "10.1.0.9"];
    host.mydocker(create.iter().chain(&["--opt", "mtu=1400", "--ip-range", "10.1.0.64/28", "n"]));
    let mac = "02:00:00:00:00:07";
    host.idle("a", &["--net", "n", "--ip", "10.1.0.77", "--mac-address", mac]);
    let shown = host.mydocker(["exec", "a", "ip", "addr", "show", "eth0"]).text();
    for part in ["inet 10.1.0.77/24", "mtu 1400", mac] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let routes = host.mydocker(["exec", "a", "ip", "route"]).text();
    assert!(routes.contains("default via 10.1.0.9"), "{routes}");
    host.idle("b", &["--net", "n"]);
    assert_eq!(address(&host, "b"), "10.1.0.64");
    host.mydocker(["run", "--rm", "--net", "n", "--ip", "10.1.0.77", "bb", "true"])
        .exits(125)
        .stderr_has("10.1.0.77 of network n is in use");
    host.mydocker(["run", "--rm", "--net", "n", "--ip", "10.2.0.1", "bb", "true"])
        .exits(125)
        .stderr_has("outside of network n's subnet");
    host.mydocker(["exec", "a", "ip", "addr", "show", "lo"]).stdout_has("127.0.0.1/8");
}

#[test]
fn a_container_can_join_and_leave_several_networks() {
    let host = Host::on_machine();
    for (name, subnet) in [("one", "10.1.0.0/24"), ("two", "10.2.0.0/24"), ("three", "10.3.0.0/24")]
    {
        host.mydocker(["network", "create", "--subnet", subnet, name]);
    }
    host.idle("a", &["--net", "one,two"]);
    host.idle("b", &["--net", "two", "--network-alias", "bee"]);
    host.mydocker(["exec", "a", "ping", "-c1", "-W60", "bee"]);
    host.mydocker(["exec", "b", "ping", "-c1", "-W60", "a"]);
    host.idle("c", &["--net", "three"]);
    host.mydocker(["exec", "a", "ping", "-c1", "c"]).exits(1);
    host.mydocker(["network", "connect", "--ip", "10.3.0.33", "--alias", "ay", "three", "a"]);
    host.mydocker(["exec", "a", "ping", "-c1", "-W60", "c"]);
    host.mydocker(["exec", "c", "ping", "-c1", "-W60", "ay"]).stdout_has("10.3.0.33");
    host.mydocker(["network", "connect", "three", "a"]).exits(1).stderr_has("already");
    host.mydocker(["network", "disconnect", "two", "a"]);
    host.mydocker(["exec", "b", "ping", "-c1", "a"]).exits(1);
    host.mydocker(["exec", "a", "ping", "-c1", "b"]).exits(1);
    // The change survives a restart.
    host.mydocker(["restart", "-t0", "a"]);
    host.mydocker(["exec", "c", "ping", "-c1", "-W60", "a"]).stdout_has("10.3.0.33");
    host.mydocker(["exec", "b", "ping", "-c1", "a"]).exits(1);
    host.mydocker(["network", "rm", "three"]).exits(1).stderr_has("in use");
    host.mydocker(["rm", "-f", "a", "b", "c"]);
    host.mydocker(["network", "rm", "one", "two", "three"]);
    eventually("all is gone", || host.traces().is_empty());
}

#[test]
fn names_follow_starts_restarts_and_renames() {
    let host = Host::on_machine();
    host.mydocker(["network", "create", "n"]);
    host.idle("a", &["--net", "n"]);
    host.idle("b", &["--net", "n"]);
    let finds = |name: &str| host.succeeds(["exec", "a", "ping", "-c1", "-W60", name]);
    assert!(finds("b"));
    host.mydocker(["stop", "-t0", "b"]);
    assert!(!finds("b"));
    host.idle("c", &["--net", "n"]);
    host.mydocker(["start", "b"]);
    assert!(finds("b") && finds("c"));
    host.mydocker(["rename", "b", "bb8"]);
    assert!(finds("bb8") && !finds("b"));
    host.mydocker(["restart", "-t0", "bb8"]);
    assert!(finds("bb8"));
    host.mydocker(["rm", "-f", "c"]);
    assert!(!finds("c"));
}

#[test]
fn a_shared_network_namespace_loses_its_links_with_its_owner() {
    let host = Host::on_machine();
    host.mydocker(["network", "create", "--subnet", "10.1.0.0/24", "n"]);
    let hosts_ends = || {
        let links = host.machine().run(Side::Here, &["ip", "-br", "link"]);
        links.lines().filter(|line| line.starts_with("mdv")).count()
    };
    let links_of = |name: &str| host.mydocker(["exec", name, "ls", "/sys/class/net"]).text();
    host.idle("base", &["--net", "n"]);
    host.idle("dep", &["--net", "container:base"]);
    assert_eq!((hosts_ends(), links_of("dep").as_str()), (1, "eth0\nlo"));
    host.mydocker(["restart", "-t0", "base"]);
    assert_eq!((hosts_ends(), links_of("dep").as_str()), (1, "lo"));
    host.mydocker(["restart", "-t0", "dep"]);
    assert_eq!(links_of("dep"), "eth0\nlo");
    host.mydocker(["stop", "-t0", "base"]);
    assert_eq!((hosts_ends(), links_of("dep").as_str()), (0, "lo"));
    host.mydocker(["start", "base"]);
    host.mydocker(["restart", "-t0", "dep"]);
    // The next command reclaims what a killed monitor left.
    host.kill(host.monitor("base"));
    host.mydocker(["ps"]);
    assert_eq!((hosts_ends(), links_of("dep").as_str()), (0, "lo"));
    host.mydocker(["restart", "-t0", "dep"]).exits(1).stderr_has("base").stderr_has("not running");
    host.mydocker(["rm", "base"]);
    let id = host.inspect("dep", "{{.HostConfig.NetworkMode}}").replace("container:", "");
    let gone = format!(
        "container {}, whose network namespace this container shares, was removed",
        &id[..12]
    );
    host.mydocker(["start", "dep"]).exits(1).stderr_has(&gone);
    host.mydocker(["restart", "dep"]).exits(1).stderr_has(&gone);
}

#[test]
fn a_namespace_that_outlives_its_container_does_not_answer() {
    let host = Host::on_machine();
    host.idle("a", &[]);
    let was = address(&host, "a");
    let namespace = format!("--net=/proc/{}/ns/net", host.pid("a"));
    host.machine().start(Side::Here, &["nsenter", &namespace, "sleep", "100000"]);
    let holds = || {
        let mut programs = std::fs::read_dir("/proc").unwrap().flatten();
        let own = std::fs::read_link(namespace.trim_start_matches("--net=")).unwrap();
        programs.any(|program| {
            let is_sleep = std::fs::read(program.path().join("cmdline"))
                .is_ok_and(|line| line == b"sleep\x00100000\x00");
            is_sleep
                && std::fs::read_link(program.path().join("ns/net")).is_ok_and(|net| net == own)
                && std::fs::read_link(program.path().join("root")).is_ok_and(|root| root == *"/")
        })
    };
    eventually("it is inside", holds);
    assert!(host.machine().pings(Side::Here, &was));
    host.mydocker(["stop", "-t0", "a"]);
    let ping = ["ping", "-c1", "-W1", &was];
    assert!(!host.machine().succeeds(Side::Here, &ping));
    host.machine().stop();
}

by_each_firewall!(networks_cannot_reach_each_other);

fn networks_cannot_reach_each_other(host: Host) {
    for (name, subnet) in [("one", "10.1.0.0/24"), ("two", "10.2.0.0/24")] {
        host.mydocker(["network", "create", "--subnet", subnet, name]);
    }
    host.web("a", &["--net", "one", "-p", "8080:80"], "a");
    host.idle("b", &["--net", "two"]);
    host.answers(Side::Outside, &format!("{MACHINE}:8080"), "a");
    host.mydocker(["exec", "b", "ping", "-c1", "-W1", "10.1.0.2"]).exits(1);
    assert_eq!(host.fetch_within("b", "10.1.0.2", 80), "");
    // For `b`, the port that `a` publishes does not answer at the gateway of `one` either.
    assert_eq!(host.fetch_within("b", "10.1.0.1", 8080), "");
    // Packets from outside only reach published ports.
    host.machine().run(Side::Outside, &["ip", "route", "add", "10.1.0.0/24", "via", MACHINE]);
    assert!(host.machine().fetch(Side::Outside, "10.1.0.2:80").is_none());
    host.answers(Side::Outside, &format!("{MACHINE}:8080"), "a");
}

by_each_firewall!(an_internal_network_has_no_way_out);

fn an_internal_network_has_no_way_out(host: Host) {
    host.mydocker(["network", "create", "--internal", "--subnet", "10.1.0.0/24", "in"]);
    host.idle("a", &["--net", "in"]);
    host.idle("b", &["--net", "in"]);
    host.mydocker(["exec", "a", "ping", "-c1", "-W60", "b"]);
    host.mydocker(["exec", "a", "ping", "-c1", "-W1", OUTSIDE]).exits(1);
    let routes = host.mydocker(["exec", "a", "ip", "route"]).text();
    assert!(!routes.contains("default"), "{routes}");
    // A route that the container adds itself does not help.
    let escape = ["run", "--rm", "--cap-add", "NET_ADMIN", "--net", "in", "bb", "sh", "-c"];
    let script = format!("ip route add default via 10.1.0.1 && ! ping -c1 -W1 {OUTSIDE}");
    // The machine outside counts the packets from the container that arrive, answered or not.
    let count = "nft add table ip seen; \
                 nft add chain ip seen input { type filter hook input priority 0 \\; }; \
                 nft add rule ip seen input ip saddr 10.1.0.0/24 counter";
    host.machine().run(Side::Outside, &["sh", "-ec", count]);
    host.mydocker(escape.iter().copied().chain([script.as_str()]));
    let seen = host.machine().run(Side::Outside, &["nft", "list", "table", "ip", "seen"]);
    assert!(seen.contains("counter packets 0"), "{seen}");
    host.mydocker(["run", "--rm", "--net", "in", "-p", "80:80", "bb", "true"])
        .exits(125)
        .stderr_has("network in is internal");
}

#[test]
fn addresses_are_released_however_a_container_ends() {
    let host = Host::on_machine();
    host.mydocker(["network", "create", "--subnet", "10.1.0.0/29", "n"]);
    // The subnet has six addresses, and the gateway takes one.
    for name in ["a", "b", "c", "d", "e"] {
        host.idle(name, &["--net", "n"]);
    }
    host.mydocker(["run", "--rm", "--net", "n", "bb", "true"])
        .exits(125)
        .stderr_has("network n has no free address left in 10.1.0.0/29");
    // A killed monitor does not release its container's address. The next command does.
    let (monitor, lost) = (host.monitor("c"), address(&host, "c"));
    host.kill(monitor);
    let given = host.mydocker(["run", "--rm", "--net", "n", "bb", "ip", "addr"]).text();
    assert!(given.contains(&format!("inet {lost}/29")), "{lost}: {given}");
    host.mydocker(["stop", "-t0", "a"]);
    host.mydocker(["kill", "b"]);
    host.mydocker(["run", "--rm", "--net", "n", "bb", "true"]);
    host.mydocker(["start", "a", "b", "c"]);
    let mut given: Vec<String> =
        ["a", "b", "c", "d", "e"].iter().map(|name| address(&host, name)).collect();
    given.sort();
    given.dedup();
    assert_eq!(given.len(), 5, "{given:?}");
    host.mydocker(["rm", "-f", "a", "b", "c", "d", "e"]);
    let leases = host.state_root().join("networks/n/leases");
    assert_eq!(std::fs::read_dir(leases).unwrap().count(), 0);
}

by_each_firewall!(many_containers_start_at_the_same_time_and_leave_nothing);

fn many_containers_start_at_the_same_time_and_leave_nothing(host: Host) {
    const COUNT: usize = 60;
    host.mydocker(["network", "create", "--subnet", "10.1.0.0/24", "n"]);
    std::thread::scope(|scope| {
        for part in 0..4 {
            let host = &host;
            scope.spawn(move || {
                for number in (part..COUNT).step_by(4) {
                    host.idle(&format!("c{number}"), &["--net", "n"]);
                }
            });
        }
    });
    let names: Vec<String> = (0..COUNT).map(|number| format!("c{number}")).collect();
    let script =
        format!("for n in {}; do ping -qc1 -W60 $n >/dev/null || echo $n; done", names.join(" "));
    host.mydocker(["exec", "c0", "sh", "-c", &script]).stdout("");
    host.mydocker(["exec", "c59", "sh", "-c", &script]).stdout("");
    let remove = ["rm", "-f"].into_iter().chain(names.iter().map(String::as_str));
    host.mydocker(remove);
    host.mydocker(["network", "rm", "n"]);
    eventually("all is gone", || host.traces().is_empty());
}

by_each_firewall!(ipv6_has_all_that_ipv4_has);

fn ipv6_has_all_that_ipv4_has(host: Host) {
    let create =
        ["network", "create", "--ipv6", "--subnet", "fd00:1::/64", "--subnet", "10.1.0.0/24"];
    host.mydocker(create.iter().copied().chain(["six"]));
    host.web("a", &["--net", "six", "-p", "8080:80"], "six");
    host.idle("b", &["--net", "six"]);
    host.mydocker(["exec", "b", "ping", "-6", "-c1", "-W60", "fd00:1::2"]);
    host.mydocker(["exec", "b", "ping", "-6", "-c1", "-W60", support::machine::OUTSIDE_6]);
    for side in [Side::Outside, Side::Here] {
        host.answers(side, "[2001:db8::1]:8080", "six");
    }
    assert_eq!(host.inspect("b", "{{.NetworkSettings.GlobalIPv6Address}}"), "fd00:1::3");
    host.mydocker(["network", "create", "--subnet", "fd00:2::/64", "x"])
        .exits(1)
        .stderr_has("--ipv6");
}

by_each_firewall!(two_state_roots_share_a_host);

fn two_state_roots_share_a_host(one: Host) {
    let two = one.neighbour();
    one.web("a", &["-p", "8081:80"], "one");
    two.idle("b", &["-p", "8082:80"]);
    // The containers can't reach each other, and the end of one does not affect the other.
    two.mydocker(["exec", "b", "ping", "-c1", "-W1", &address(&one, "a")]).exits(1);
    two.mydocker(["rm", "-f", "b"]);
    two.mydocker(["network", "prune", "-f"]);
    one.answers(Side::Outside, &format!("{MACHINE}:8081"), "one");
    one.mydocker(["exec", "a", "ping", "-c1", "-W60", OUTSIDE]);
}

#[test]
fn listings_and_prune() {
    let host = Host::on_machine();
    let name = unique("net");
    host.mydocker(["network", "create", "--label", "x=1", "--subnet", "10.7.0.0/24", &name]);
    host.mydocker(["network", "ls", "--format", "{{.Name}}", "--filter", "label=x=1"])
        .stdout(&format!("{name}\n"));
    let json = host.mydocker(["network", "list", "--filter", "driver=bridge", "--format", "json"]);
    json.stdout_has("\"Subnet\":\"10.7.0.0/24\"");
    host.idle("a", &["--net", &name]);
    host.mydocker(["network", "inspect", "--format", "{{json .Containers}}", &name])
        .stdout_has("\"IPv4Address\":\"10.7.0.2/24\"")
        .stdout_has("\"Name\":\"a\"");
    host.mydocker(["network", "prune", "-f"]).stdout("");
    host.mydocker(["rm", "-f", "a"]);
    host.mydocker(["network", "prune", "-f"]).stdout(&format!("Deleted Networks:\n{name}\n\n"));
    host.mydocker(["network", "inspect", &name]).exits(1).stderr_has("no such network");
}

#[test]
fn prune_goes_on_after_a_network_or_volume_that_cannot_be_removed() {
    let host = Host::on_machine();
    for name in ["first", "second", "third"] {
        host.mydocker(["network", "create", name]);
        host.mydocker(["volume", "create", name]);
    }
    // A directory on which something is mounted can be neither renamed nor removed.
    let busy =
        [host.state_root().join("networks/second"), host.state_root().join("volumes/second/_data")];
    for path in &busy {
        let mounted = Command::new("mount").arg("--bind").args([path, path]).status().unwrap();
        assert!(mounted.success());
    }
    let networks = host.mydocker(["network", "prune", "-f"]);
    let volumes = host.mydocker(["volume", "prune", "-af"]);
    let events =
        host.mydocker(["events", "--since", "0", "--until", "0s", "--filter", "event=destroy"]);
    for path in &busy {
        assert!(Command::new("umount").arg(path).status().unwrap().success());
    }
    networks.stdout("Deleted Networks:\nfirst\nthird\n\n").stderr_has("not removed: ");
    volumes
        .stdout("Deleted Volumes:\nfirst\nthird\n\nTotal reclaimed space: 0B\n")
        .stderr_has("not removed: volume second has something mounted on ");
    assert_eq!(events.text().lines().count(), 4);
}

by_each_firewall!(boot_makes_only_the_networks_again);

fn boot_makes_only_the_networks_again(host: Host) {
    host.mydocker(["network", "create", "--subnet", "10.8.0.0/24", "web"]);
    let forever = ["run", "-d", "--name", "c", "--net", "none", "--restart", "always"];
    host.mydocker(forever.iter().chain(&["bb", "sleep", "100000"]));
    host.mydocker(["halt", "-t", "0"]);
    let bridge = host.mydocker(["network", "inspect", "-f", "{{.Bridge}}", "web"]).text();
    host.machine().run(Side::Here, &["ip", "link", "del", &bridge]);
    host.mydocker(["boot"]).stdout("c\n");
    let addresses = host.machine().run(Side::Here, &["ip", "addr", "show", &bridge]);
    assert!(addresses.contains("10.8.0.1/24"), "{addresses}");
    assert_eq!(host.rules(), [""; 0], "nobody needs one");
    host.mydocker(["boot"]).stdout("");
}

#[test]
fn a_kill_during_the_first_rules_is_found_and_repaired() {
    let host = Host::with_firewall("iptables");
    let path =
        path_with_restore(&host, "nft", "/usr/sbin/iptables-nft-restore \"$@\"; kill -KILL $PPID");
    let mut run = host.command(["run", "-d", "--name", "c", "bb", "sleep", "100000"]);
    assert!(!run.env("PATH", path).output().unwrap().status.success());
    assert_ne!(host.rules(), [""; 0], "they were made");
    host.mydocker(["rm", "-f", "c"]);
    assert_half_made_rules_are_removed(&host);
}

#[test]
fn a_change_of_networks_that_is_killed_is_finished_by_the_next() {
    let host = Host::with_firewall("iptables");
    // Use legacy iptables: with the nft kind, mydocker changes ports without iptables-restore, so
    // no script could kill mydocker.
    let restore = "/usr/sbin/iptables-legacy-restore \"$@\"";
    let plain = path_with_restore(&host, "legacy", restore);
    let killing = path_with_restore(&host, "legacy", &format!("{restore}; kill -KILL $PPID"));
    let succeeds = |args: &[&str], path: &str| {
        host.command(args).env("PATH", path).output().unwrap().status.success()
    };
    let mydocker = |args: &[&str]| assert!(succeeds(args, &plain), "{args:?}");
    for network in ["one", "two"] {
        mydocker(&["network", "create", network]);
    }
    let run = ["run", "-d", "--name", "c", "--net", "one", "-p", "8080:80", "bb"];
    mydocker(&[&run[..], &["sleep", "100000"]].concat());
    let killed = |verb: &str, network: &str| {
        assert!(!succeeds(&["network", verb, network, "c"], &killing), "{verb} {network}");
    };
    let interfaces = || host.mydocker(["exec", "c", "ls", "/sys/class/net"]).text();
    // After this kill, the link exists but the record lacks the network. `disconnect` removes the
    // link.
    killed("connect", "two");
    assert_eq!(interfaces(), "eth0\neth1\nlo");
    mydocker(&["network", "disconnect", "two", "c"]);
    assert_eq!(interfaces(), "eth0\nlo");
    host.mydocker(["network", "disconnect", "two", "c"]).exits(1).complains("is not on network");
    mydocker(&["network", "rm", "two"]);
    mydocker(&["network", "create", "two"]);
    // After the same kill, `connect` completes the connection.
    killed("connect", "two");
    mydocker(&["network", "connect", "two", "c"]);
    assert_eq!(interfaces(), "eth0\neth1\nlo");
    // The ports lead to the network `one`. After a kill of its disconnection, the next `disconnect`
    // leads the ports to the other network.
    killed("disconnect", "one");
    assert_eq!(interfaces(), "eth1\nlo");
    mydocker(&["network", "disconnect", "one", "c"]);
    let address = host.mydocker(["exec", "c", "ip", "-4", "-o", "addr", "show", "eth1"]).text();
    let address = address.split_whitespace().nth(3).unwrap().split('/').next().unwrap().to_owned();
    let saved = host.machine().run(Side::Here, &["iptables-legacy-save"]);
    assert!(saved.contains(&format!("--to-destination {address}:80")), "{saved}");
    mydocker(&["network", "rm", "one"]);
    mydocker(&["rm", "-f", "c"]);
}

#[test]
fn the_last_of_two_state_roots_removes_the_users_chain() {
    let host = Host::with_firewall("iptables");
    host.mydocker(["run", "--rm", "bb", "true"]);
    let iptables = |args: &[&str]| host.machine().run(Side::Here, &[&["iptables"], args].concat());
    iptables(&["-N", "MYDOCKER-FORWARD-other"]);
    iptables(&["-A", "MYDOCKER-FORWARD-other", "-j", "MYDOCKER-USER"]);
    // Imitate the other root: it removes its chain after this root has listed the rules.
    let go = "iptables -F MYDOCKER-FORWARD-other; iptables -X MYDOCKER-FORWARD-other";
    let script = format!("({go}) 2>/dev/null; /usr/sbin/iptables-nft-restore \"$@\"");
    let path = path_with_restore(&host, "nft", &script);
    let pruned = host.command(["network", "prune", "-f"]).env("PATH", path).status().unwrap();
    assert!(pruned.success());
    assert_eq!(host.rules(), [""; 0]);
}

/// A PATH with `script` as iptables-restore of this kind, nft or legacy.
fn path_with_restore(host: &Host, kind: &str, script: &str) -> String {
    let tools = host.scratch().join(unique("tools"));
    std::fs::create_dir(&tools).unwrap();
    let link = |tool: &str, to: &str| std::os::unix::fs::symlink(to, tools.join(tool)).unwrap();
    for tool in ["iptables-save", "ip6tables-restore", "ip6tables-save"] {
        link(tool, &format!("/usr/sbin/xtables-{kind}-multi"));
    }
    // mydocker takes the kind of iptables from the name of the link's target.
    let name = format!("script-{kind}");
    link("iptables-restore", &name);
    support::script(&tools.join(name), script);
    support::path_with(&tools)
}

by_each_firewall!(half_made_rules_are_found_and_repaired);

fn half_made_rules_are_found_and_repaired(host: Host) {
    host.mydocker(["run", "--rm", "bb", "true"]);
    // Write the state file as it is while mydocker makes all rules again.
    let path = host.run_root().join("firewall.json");
    let noted = std::fs::read_to_string(&path).unwrap();
    let maker = format!("\"backend\":\"{}\"", host.firewall.unwrap());
    assert!(noted.contains(&maker), "{noted}");
    std::fs::write(&path, noted.replace(&maker, "\"backend\":\"\"")).unwrap();
    assert_half_made_rules_are_removed(&host);
}

#[track_caller]
fn assert_half_made_rules_are_removed(host: &Host) {
    let finding = "a change of the firewall's rules was cut short";
    host.mydocker(["system", "check"]).exits(1).stdout_has(finding);
    host.mydocker(["system", "check", "--repair"]).stdout(&format!("{finding}: repaired\n"));
    host.mydocker(["system", "check"]).stdout("");
    host.mydocker(["network", "prune", "-f"]);
    assert_eq!(host.traces(), [""; 0]);
}

#[test]
fn bridges_that_no_network_needs_are_found_and_removed() {
    let host = Host::on_machine();
    for name in ["web", "kept"] {
        host.mydocker(["network", "create", name]);
    }
    host.idle("c", &["--net", "web"]);
    std::fs::remove_dir_all(host.state_root().join("networks/web")).unwrap();
    host.mydocker(["system", "check"]).stdout("");
    host.mydocker(["rm", "-f", "c"]);
    // The kernel removes the container's port of the bridge some time later.
    eventually("it is found", || !host.succeeds(["system", "check"]));
    let found = host.mydocker(["system", "check"]).exits(1).text();
    let whose = format!("was made for web of {}, which is gone", host.state_root().display());
    assert!(found.ends_with(&whose) && found.lines().count() == 1, "{found}");
    host.mydocker(["system", "check", "--repair"]);
    host.mydocker(["system", "check"]).stdout("");
    let kept = host.mydocker(["network", "inspect", "-f", "{{.Bridge}}", "kept"]).text();
    let links = host.machine().run(Side::Here, &["ip", "-br", "link"]);
    assert_eq!(links.matches("mydocker").count(), 1, "{links}");
    assert!(links.contains(&kept));
}

#[test]
fn a_network_that_is_removed_while_a_container_starts_leaves_nothing() {
    let host = Host::on_machine();
    host.mydocker(["network", "create", "web"]);
    let bridge = host.mydocker(["network", "inspect", "-f", "{{.Bridge}}", "web"]).text();
    let dir = host.state_root().join("networks/web");
    let lock = std::fs::File::open(dir.join(".lock")).unwrap();
    lock.lock().unwrap();
    let run = host.background(["run", "--rm", "--net", "web", "bb", "true"]);
    let inode = std::os::unix::fs::MetadataExt::ino(&lock.metadata().unwrap()).to_string();
    eventually("it waits for the network", || {
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        locks.lines().any(|line| line.contains("->") && line.contains(&format!(":{inode} ")))
    });
    host.machine().run(Side::Here, &["ip", "link", "del", &bridge]);
    std::fs::remove_dir_all(&dir).unwrap();
    drop(lock);
    run.wait().exits(125).stderr_has("network web was removed at the same time");
    assert!(!dir.exists());
    assert_eq!(host.traces(), [""; 0]);
}

/// A machine with a macvlan network on its LAN, whose containers get addresses from 203.0.113.129
/// on.
fn with_macvlan() -> Host {
    let host = Host::on_machine();
    let create = ["network", "create", "-d", "macvlan", "--subnet", "203.0.113.0/24"];
    let more = ["--gateway", OUTSIDE, "--ip-range", "203.0.113.128/25", "-o", "parent=wire0"];
    host.mydocker(create.iter().chain(&more).chain(&[
        "--aux-address",
        "router=203.0.113.128",
        "lan",
    ]));
    host
}

#[test]
fn containers_of_a_macvlan_network_are_neighbours_of_the_host() {
    let host = with_macvlan();
    let warned = ["run", "-d", "--name", "a", "--net", "lan", "-p", "80:80", "bb", "sleep", "1000"];
    host.mydocker(warned).stderr_has("-p has no effect on a macvlan");
    host.idle("b", &["--net", "lan", "--ip", "203.0.113.7", "--mac-address", "02:11:22:33:44:55"]);
    assert_eq!(address(&host, "a"), "203.0.113.129");
    for target in [OUTSIDE, "203.0.113.7", "b"] {
        host.mydocker(["exec", "a", "ping", "-c1", "-W60", target]);
    }
    assert!(host.machine().pings(Side::Outside, "203.0.113.7"));
    let neighbours = host.machine().run(Side::Outside, &["ip", "neigh", "show", "203.0.113.7"]);
    assert!(neighbours.contains("02:11:22:33:44:55"), "{neighbours}");
    // The kernel lets no packet pass to the host, and the firewall needs no rule for this.
    host.mydocker(["exec", "a", "ping", "-c1", "-W1", MACHINE]).exits(1);
    let routes = host.mydocker(["exec", "a", "ip", "route"]).text();
    assert!(routes.contains(&format!("default via {OUTSIDE} dev eth0")), "{routes}");
    let links = host.machine().run(Side::Here, &["ip", "link"]);
    assert!(!links.contains(": mdv"), "{links}");
    let networks = host.mydocker(["network", "ls", "--filter", "driver=macvlan"]).text();
    assert!(networks.contains("lan") && networks.contains("macvlan"), "{networks}");
    host.mydocker(["network", "inspect", "-f", "{{.Driver}} {{.Options.parent}}", "lan"])
        .stdout("macvlan wire0\n");
    assert_eq!(host.inspect("b", "{{.NetworkSettings.MacAddress}}"), "02:11:22:33:44:55");
    assert_eq!(host.inspect("a", "{{json .NetworkSettings.Ports}}"), "{}");
    let explained = host.mydocker(["explain", "lan"]).text();
    for part in ["macvlan, mode bridge", "wire0, of the host", "203.0.113.129"] {
        assert!(explained.contains(part), "no {part} in {explained}");
    }
    assert!(host.mydocker(["explain", "a"]).text().contains("macvlan, mode bridge"));
    host.mydocker(["network", "rm", "lan"]).exits(1).stderr_has("in use by container");
    host.mydocker(["rm", "-f", "a", "b"]);
    host.mydocker(["system", "check"]).stdout("");
    host.mydocker(["network", "rm", "lan"]);
    // The parent belongs to the host and stays.
    assert!(host.machine().pings(Side::Outside, MACHINE));
}

#[test]
fn macvlan_interfaces_come_and_go_while_containers_run() {
    let host = with_macvlan();
    host.idle("c", &["-p", "8080:80"]);
    let interfaces = |name| host.mydocker(["exec", name, "ls", "/sys/class/net"]).text();
    host.mydocker(["network", "connect", "--alias", "see", "lan", "c"]);
    assert_eq!(interfaces("c"), "eth0\neth1\nlo");
    assert!(host.machine().pings(Side::Outside, "203.0.113.129"));
    // After a restart the container has both interfaces, and its port is published.
    host.mydocker(["restart", "-t", "0", "c"]);
    assert_eq!(interfaces("c"), "eth0\neth1\nlo");
    host.mydocker(["port", "c"]).stdout("80/tcp -> 0.0.0.0:8080\n");
    host.mydocker(["network", "disconnect", "lan", "c"]);
    assert_eq!(interfaces("c"), "eth0\nlo");
    // The interface is removed with its container, even if another container keeps the namespace.
    host.idle("owner", &["--net", "lan"]);
    host.idle("guest", &["--net", "container:owner"]);
    assert_eq!(interfaces("guest"), "eth0\nlo");
    host.mydocker(["rm", "-f", "owner"]);
    assert_eq!(interfaces("guest"), "lo");
    // The interface is also removed if the monitor is killed.
    host.idle("owner", &["--net", "lan"]);
    host.mydocker(["rm", "-f", "guest"]);
    host.idle("guest", &["--net", "container:owner"]);
    host.kill(host.monitor("owner"));
    eventually("the interface goes", || {
        host.mydocker(["ps", "-a"]);
        interfaces("guest") == "lo"
    });
    // Without network.json in the run root, mydocker finds the interface from the leases.
    host.idle("lost", &["--net", "lan"]);
    let attachment = host.run_root().join(host.inspect("lost", "{{.Id}}")).join("network.json");
    std::fs::remove_file(attachment).unwrap();
    assert_eq!(
        host.inspect("lost", "{{.NetworkSettings.Networks.lan.IPAddress}}"),
        "203.0.113.129"
    );
    host.mydocker(["network", "disconnect", "lan", "lost"]);
    assert_eq!(interfaces("lost"), "lo");
    host.mydocker(["rm", "-f", "c", "guest", "owner", "lost"]);
    host.mydocker(["system", "check"]).stdout("");
}

#[test]
fn macvlan_and_ipvlan_networks_have_modes_and_parents() {
    let host = Host::on_machine();
    let create = |line: &str| {
        host.mydocker(["network", "create"].into_iter().chain(line.split_whitespace()))
    };
    for (line, part) in [
        ("-d macvlan -o parent=nowhere x", "the host has no such link"),
        ("-d macvlan -o parent=nowhere.5 x", "the host has no such link"),
        ("-d macvlan -o parent=lo x", "loopback"),
        ("-d macvlan -o parent=wire0123456789ab x", "1 to 15 bytes"),
    ] {
        create(line).exits(1).stderr_has(part);
    }
    for (line, part) in [
        ("-d macvlan -o macvlan_mode=l2 x", "known: bridge private vepa passthru"),
        ("-d ipvlan -o ipvlan_mode=bridge x", "known: l2 l3 l3s"),
    ] {
        create(line).refused(part);
    }
    create("-d overlay x").exits(1).stderr_has("known: bridge macvlan ipvlan");
    host.mydocker(["network", "inspect", "-v", "-f", "{{.Name}}", "bridge"]).stdout("bridge\n");
    create("-d macvlan -o parent=wire0 -o macvlan_mode=passthru alone");
    create("-d macvlan -o parent=wire0 second").exits(1).stderr_has("network alone");
    create("-d ipvlan -o parent=wire0 second").exits(1).stderr_has("network alone");
    let mac = ["--mac-address", "02:11:22:33:44:55"];
    host.mydocker(["run", "--net", "alone"].iter().chain(&mac).chain(&["bb", "true"]))
        .exits(125)
        .stderr_has("its parent's MAC address");
    let show = ["run", "--rm", "--net", "alone", "bb", "cat", "/sys/class/net/eth0/address"];
    let shown = host.mydocker(show).text();
    let parent = host.machine().run(Side::Here, &["ip", "link", "show", "wire0"]);
    assert!(parent.contains(&shown), "{shown} is not the MAC address of {parent}");
    host.mydocker(["network", "rm", "alone"]);
    // An internal network has no default route.
    create("-d macvlan -o parent=wire0 --internal inside");
    let routes = host.mydocker(["run", "--rm", "--net", "inside", "bb", "ip", "route"]).text();
    assert!(!routes.contains("default"), "{routes}");
    create("-d macvlan -o parent=wire0 beside");
    host.mydocker(["run", "--rm", "--net", "beside", "bb", "true"]);
    host.mydocker(["network", "prune", "-f"]);
    // A macvlan network without `-o parent` gets a dummy link, which is removed with the network.
    let links = || host.machine().run(Side::Here, &["ip", "-o", "link"]);
    let has_dummies =
        host.machine().succeeds(Side::Here, &["ip", "link", "add", "d", "type", "dummy"]);
    if has_dummies {
        create("-d macvlan free");
        assert!(links().contains("dm-"));
        host.mydocker(["run", "--rm", "--net", "free", "bb", "ip", "link", "show", "eth0"]);
        host.mydocker(["network", "rm", "free"]);
    } else {
        create("-d macvlan free").exits(1).stderr_has("this kernel makes no dummy links");
    }
    assert!(!links().contains("dm-"));
    host.mydocker(["network", "inspect", "free"]).exits(1);
}

#[test]
fn kills_at_any_moment_leave_no_macvlan_interface() {
    let host = with_macvlan();
    host.idle("c", &[]);
    let seed = std::process::id();
    println!("SEED={seed}");
    let mut chance = seed;
    for round in 0..60 {
        chance = chance.wrapping_mul(1_103_515_245).wrapping_add(12345);
        let line: &[&str] = match round % 3 {
            0 => &["run", "-d", "--name", "r", "--net", "lan", "bb", "sleep", "1000"],
            1 => &["network", "connect", "lan", "c"],
            _ => &["network", "disconnect", "lan", "c"],
        };
        let mut command = host.command(line);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut command = command.spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_micros(u64::from(chance >> 16) % 12_000));
        // Ignore an error: the command may have ended.
        let _ = command.kill();
        command.wait().unwrap();
        host.command(["rm", "-f", "r"]).output().unwrap();
    }
    // These commands complete the killed ones.
    host.command(["network", "connect", "lan", "c"]).output().unwrap();
    host.mydocker(["network", "disconnect", "lan", "c"]);
    host.mydocker(["exec", "c", "ls", "/sys/class/net"]).stdout("eth0\nlo\n");
    host.mydocker(["rm", "-f", "c"]);
    eventually("a repair leaves nothing to find", || {
        host.mydocker(["system", "check", "--repair"]);
        host.mydocker(["system", "check"]).status() == 0
    });
    host.mydocker(["network", "rm", "lan"]);
}

#[test]
fn a_container_is_named_with_a_slash_and_never_finds_itself() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "/db", "-v", "/data", "bb", "sleep", "1000"]);
    assert_eq!(host.inspect("/db", "{{.Name}}"), "/db");
    let run = |flags: &str| {
        let args = ["run", "--rm"].into_iter().chain(flags.split(' '));
        host.mydocker(args.chain(["bb", "true"]))
    };
    run("--volumes-from /db").exits(0);
    run("--volumes-from /db:ro").exits(0);
    run("--link /db").exits(0);
    run("--link /db:alias").exits(0);
    run("--net container:/db").exits(0);
    run("--pid container:/db").exits(0);
    run("--depends-on /db").exits(0);
    host.mydocker(["run", "--rm", "--link", "/db", "bb", "grep", "-w", "db", "/etc/hosts"]);
    // A container can't refer to itself by its name.
    for flag in ["--volumes-from me", "--link me", "--pid container:me"] {
        run(&format!("--name me {flag}")).refused("no such container");
    }
    for own in ["me", "/me"] {
        run(&format!("--name me --net container:{own}")).refused("cannot join own network");
    }
    // A container can't refer to itself by the first digit of its id either. The id is random, so
    // try each digit several times, except the first digit of the id of `db`.
    let taken = host.inspect("db", "{{.Id}}");
    for digit in "0123456789abcdef".chars().filter(|&digit| !taken.starts_with(digit)) {
        for _ in 0..4 {
            run(&format!("--volumes-from {digit}")).refused("no such container");
        }
    }
    host.mydocker(["rename", "db", "/new"]);
    assert_eq!(host.inspect("new", "{{.Name}}"), "/new");
}

//! Docker's options of networks and interfaces: names of bridges and interfaces, sysctls,
//! link-local addresses, links, and networks without addresses. Each test runs on its own machine
//! (`support::machine`).

mod support;

use support::Host;
use support::machine::{OUTSIDE, Side};

/// A network option. `key` is the end of its full key.
fn option(key: &str, value: &str) -> String {
    format!("com.docker.network.{key}={value}")
}

fn create(host: &Host, options: &[&str], subnet: &str, name: &str) {
    let options = options.iter().flat_map(|option| ["-o", option]);
    let create = ["network", "create"].into_iter().chain(options);
    host.mydocker(create.chain(["--subnet", subnet, name]));
}

#[test]
fn an_interface_has_the_users_name_sysctls_and_addresses() {
    let host = Host::on_machine();
    create(&host, &[&option("container_iface_prefix", "lan")], "10.1.0.0/24", "one");
    create(&host, &[], "10.2.0.0/24", "two");
    let sysctls = "net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.conf.IFNAME.arp_announce=2";
    let endpoint = format!(
        "name=two,link-local-ip=169.254.7.8,driver-opt={},\"driver-opt={}\"",
        option("endpoint.ifname", "wan"),
        option("endpoint.sysctls", sysctls)
    );
    host.idle("a", &["--net", "one", "--net", &endpoint]);
    let shown = |interface: &str| host.mydocker(["exec", "a", "ip", "addr", "show", interface]);
    shown("lan0").stdout_has("10.1.0.2/24");
    shown("wan").stdout_has("10.2.0.2/24").stdout_has("169.254.7.8/16");
    let sysctl = |interface: &str, name: &str| {
        let path = format!("/proc/sys/net/ipv4/conf/{interface}/{name}");
        host.mydocker(["exec", "a", "cat", &path]).text()
    };
    assert_eq!(
        (sysctl("wan", "log_martians"), sysctl("wan", "arp_announce")),
        ("1".into(), "2".into())
    );
    assert_eq!(sysctl("lan0", "arp_announce"), "0");
    let settings = "{{json .NetworkSettings.Networks.two.IPAMConfig}}";
    assert_eq!(host.inspect("a", settings), "{\"LinkLocalIPs\":[\"169.254.7.8\"]}");

    // A running container gets the options too. Interface names are numbered for each prefix.
    create(&host, &[], "10.3.0.0/24", "three");
    let ifname = option("endpoint.ifname", "wan");
    host.mydocker(["network", "connect", "--driver-opt", &ifname, "three", "a"])
        .exits(1)
        .stderr_has("interface name wan: the container's interface on network two has it");
    host.mydocker(["network", "connect", "--link-local-ip", "fe80::99", "three", "a"]);
    shown("eth0").stdout_has("10.3.0.2/24").stdout_has("fe80::99/64");
    // The options survive a restart.
    host.mydocker(["restart", "-t", "0", "a"]);
    shown("wan").stdout_has("169.254.7.8/16");
    shown("eth0").stdout_has("fe80::99/64");
    assert_eq!(sysctl("wan", "arp_announce"), "2");
    // Two containers reach each other at link-local addresses.
    host.mydocker([
        "run",
        "--rm",
        "--net",
        "two",
        "--link-local-ip",
        "169.254.7.9",
        "bb",
        "ping",
        "-c1",
        "-W60",
        "169.254.7.8",
    ]);
}

#[test]
fn a_link_is_a_name_that_only_one_container_knows() {
    let host = Host::on_machine();
    create(&host, &[], "10.1.0.0/24", "n");
    host.idle("db", &["--net", "n"]);
    for name in ["web", "other"] {
        host.idle(name, &["--net", "none"]);
    }
    host.mydocker(["network", "connect", "--link", "db:database", "--link", "other", "n", "web"]);
    host.mydocker(["network", "connect", "n", "other"]);
    let finds = |container: &str, name: &str| {
        host.mydocker(["exec", container, "ping", "-c1", "-W60", name])
    };
    finds("web", "database").stdout_has("10.1.0.2");
    finds("web", "other");
    finds("other", "db");
    finds("other", "database").exits(1);
    let links = "{{json .NetworkSettings.Networks.n.Links}}";
    assert_eq!(host.inspect("web", links), "[\"db:database\",\"other:other\"]");
    // The link leads to the new address of `db`, and survives a restart of `web`.
    host.mydocker(["network", "disconnect", "n", "db"]);
    host.mydocker(["network", "connect", "--ip", "10.1.0.77", "n", "db"]);
    finds("web", "database").stdout_has("10.1.0.77");
    host.mydocker(["restart", "-t", "0", "web"]);
    finds("web", "database").stdout_has("10.1.0.77");
    // In Docker, `none` must be disconnected before another network is joined. This order works
    // here too.
    host.idle("last", &["--net", "none"]);
    host.mydocker(["network", "disconnect", "none", "last"]);
    host.mydocker(["network", "connect", "n", "last"]);
    finds("last", "db");
    host.mydocker(["run", "--name", "self", "--net", "container:self", "bb", "true"])
        .exits(125)
        .stderr_has("cannot join own network");
}

by_each_firewall!(networks_with_chosen_bridge_names_cannot_reach_each_other);

fn networks_with_chosen_bridge_names_cannot_reach_each_other(host: Host) {
    create(&host, &[&option("bridge.name", "br-one")], "10.1.0.0/24", "one");
    create(&host, &[&option("bridge.name", "two0")], "10.2.0.0/24", "two");
    create(&host, &[], "10.3.0.0/24", "three");
    host.web("a", &["--net", "one", "-p", "127.0.0.1:8080:80"], "one");
    host.idle("b", &["--net", "two"]);
    host.idle("c", &["--net", "three"]);
    host.answers(Side::Here, "127.0.0.1:8080", "one");
    let pings = |container: &str, address: &str| {
        host.mydocker(["exec", container, "ping", "-c1", "-W1", address]).status() == 0
    };
    for (from, to) in [
        ("a", "10.2.0.2"),
        ("a", "10.3.0.2"),
        ("b", "10.1.0.2"),
        ("b", "10.3.0.2"),
        ("c", "10.1.0.2"),
    ] {
        assert!(!pings(from, to), "{from} reaches {to}");
    }
    host.mydocker(["exec", "a", "ping", "-c1", "-W60", OUTSIDE]);
    // In a container, 127.0.0.1 does not lead to a port that is published on the host's 127.0.0.1.
    assert_eq!(host.fetch_within("b", "127.0.0.1", 8080), "");

    let bridge = option("bridge.name", "two0");
    host.mydocker(["network", "create", "-o", &bridge, "again"])
        .exits(1)
        .stderr_has("belongs to network two");
    host.mydocker(["rm", "-f", "b"]);
    // Another program's link with this name is neither used nor removed.
    drop(host.machine().run(Side::Here, &["ip", "link", "del", "two0"]));
    drop(host.machine().run(Side::Here, &["ip", "link", "add", "two0", "type", "bridge"]));
    host.mydocker(["run", "--net", "two", "bb", "true"])
        .exits(125)
        .stderr_has("another program made a link two0");
    host.mydocker(["network", "rm", "two"]);
    drop(host.machine().run(Side::Here, &["ip", "link", "show", "two0"]));
    host.mydocker(["rm", "-f", "a"]);
    host.mydocker(["network", "rm", "one"]);
    assert!(!host.machine().succeeds(Side::Here, &["ip", "link", "show", "br-one"]));
}

#[test]
fn a_bridge_without_an_address_leaves_the_gateway_to_another_machine() {
    let host = Host::on_machine();
    let options = [option("bridge.inhibit_ipv4", "1"), option("bridge.name", "bare0")];
    create(&host, &[&options[0], &options[1]], "10.1.0.0/24", "n");
    host.idle("a", &["--net", "n"]);
    let addresses = host.machine().run(Side::Here, &["ip", "-4", "addr", "show", "bare0"]);
    assert!(!addresses.contains("inet"), "{addresses}");
    host.mydocker(["exec", "a", "ip", "route"]).stdout_has("default via 10.1.0.1");
    host.idle("b", &["--net", "n"]);
    host.mydocker(["exec", "a", "ping", "-c1", "-W60", "b"]);
}

#[test]
fn containers_of_a_network_without_addresses_have_none_and_are_counted() {
    let host = Host::on_machine();
    drop(host.machine().run(Side::Here, &["ip", "link", "set", "wire0", "up"]));
    let null = ["network", "create", "--ipam-driver", "null", "-d", "macvlan"];
    host.mydocker(null.into_iter().chain(["-o", "parent=wire0", "wire"]));
    for name in ["a", "b"] {
        host.idle(name, &["--net", "wire"]);
    }
    host.mydocker(["exec", "a", "ip", "addr", "show", "eth0"]).stdout_lacks("inet");
    let mac = |name: &str| host.inspect(name, "{{.NetworkSettings.Networks.wire.MacAddress}}");
    let before = mac("a");
    assert_ne!(before, mac("b"));
    host.mydocker(["restart", "-t", "0", "a"]);
    assert_eq!(mac("a"), before);
    let members = "{{len .Containers}} {{.IPAM.Driver}} {{len .IPAM.Config}}";
    host.mydocker(["network", "inspect", "-f", members, "wire"]).stdout("2 null 0\n");
    host.mydocker(["network", "rm", "wire"]).exits(1).stderr_has("is in use by container");
    host.mydocker(["run", "--net", "wire", "--ip", "10.1.1.1", "bb", "true"])
        .exits(125)
        .stderr_has("has no subnet");
    host.mydocker(["run", "--net", "wire", "--add-host", "h:host-gateway", "bb", "true"])
        .exits(125)
        .stderr_has("has no addresses");
    // If a cleaner of temporary files removes network.json, the MAC address is still known.
    let id = host.inspect("a", "{{.Id}}");
    std::fs::remove_file(host.run_root().join(&id).join("network.json")).unwrap();
    assert_eq!(mac("a"), before);
    host.mydocker(["rm", "-f", "a", "b"]);
    host.mydocker(["system", "check"]).stdout("");
    host.mydocker(["network", "rm", "wire"]);
}

#[test]
fn events_of_a_network_name_its_driver() {
    let host = Host::on_machine();
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    host.mydocker(["network", "create", "plain"]);
    host.mydocker(["network", "create", "-d", "macvlan", "-o", "parent=wire0", "wire"]);
    host.mydocker(["run", "--rm", "--net", "wire", "bb", "true"]);
    host.mydocker(["network", "rm", "wire", "plain"]);
    let format = "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}";
    let since = since.as_secs().to_string();
    let events = ["events", "--since", &since, "--until", "0s", "--filter", "type=network"];
    host.mydocker(events.into_iter().chain(["--format", format])).stdout(
        "create plain bridge\ncreate wire macvlan\nconnect wire macvlan\ndisconnect wire macvlan\n\
         destroy wire macvlan\ndestroy plain bridge\n",
    );
}

#[test]
fn the_mtu_is_that_of_a_default_route_with_several_hops() {
    let host = Host::on_machine();
    host.machine().run(Side::Here, &["ip", "link", "set", "wire0", "mtu", "1380"]);
    let hops = ["ip", "route", "replace", "default", "nexthop", "via", OUTSIDE, "nexthop", "via"];
    host.machine().run(Side::Here, &[&hops[..], &["203.0.113.3"]].concat());
    host.mydocker(["run", "--rm", "bb", "cat", "/sys/class/net/eth0/mtu"]).stdout("1380\n");
}

#[test]
fn ports_that_lead_to_no_address_are_refused() {
    let host = Host::on_machine();
    let binding = option("bridge.host_binding_ipv4", "::1");
    host.mydocker(["network", "create", "-o", &binding, "six"]);
    for port in ["80", "8080:80", "8080-8082:80"] {
        host.mydocker(["run", "--rm", "--net", "six", "-p", port, "bb", "true"])
            .exits(125)
            .stderr_has("no address of a family that its network publishes");
    }
    host.mydocker(["run", "--rm", "-p", "192.0.2.9:8000-8002:80", "bb", "true"])
        .exits(125)
        .stderr_has("192.0.2.9 is not an address of the host");
}

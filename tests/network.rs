//! Networks: bridges, addresses, names. Each test has networks of its own, so that they run beside
//! each other.

mod support;

use support::Host;

/// A network's subnet without its last part: no other test uses it.
struct Net(&'static str);

impl Net {
    fn address(&self, last: u8) -> String {
        format!("{}.{last}", self.0)
    }

    fn cidr(&self) -> String {
        format!("{}.0/24", self.0)
    }
}

#[test]
fn containers_reach_the_host_and_each_other() {
    let (host, net) = (Host::with_busybox(), Net("10.97.1"));
    host.mydocker(["network", "create", "--subnet", &net.cidr(), "talk"]);
    for name in ["a", "b"] {
        host.mydocker(["run", "-d", "--name", name, "--net", "talk", "bb", "sleep", "1000"]);
    }
    host.mydocker(["exec", "a", "ping", "-c1", &net.address(1)]);
    host.mydocker(["exec", "a", "ping", "-c1", &net.address(3)]);
    host.mydocker(["exec", "a", "ping", "-c1", "b"]);
    // `a` was there before `b` came, and is known to it as well.
    host.mydocker(["exec", "b", "ping", "-c1", "a"]);
    host.mydocker(["network", "rm", "talk"])
        .exits(1)
        .stderr_has("in use by container a and others");
    host.mydocker(["rm", "-f", "a", "b"]);
    host.mydocker(["network", "rm", "talk"]).stdout("talk\n");
}

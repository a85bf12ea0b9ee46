//! Checks of published ports and of connections to another machine, with nf_tables on hosts without
//! iptables.
//!
//! The scripts run inside the guest, which has its own network, so they may use any port.
//! `tests/network_ports.rs` has the finer tests, for this machine alone.

use crate::checks::check;
use crate::host::Check;

pub fn ports() -> Vec<Check> {
    vec![
        check(
            "published port",
            "mydocker run -d --name served -p 8080:80 bb sh -c 'echo served >/tmp/page; httpd -f -h /tmp' >/dev/null
             address=$(ip -4 addr show mydocker0 | grep -o 'inet [0-9.]*' | cut -d' ' -f2)
             eventually wget -qO- http://127.0.0.1:8080/page
             wget -qO- http://$address:8080/page
             mydocker run --rm bb wget -qO- http://$address:8080/page
             mydocker rm -f served
             wget -qO- http://$address:8080/page 2>/dev/null; echo $?",
            "served
             served
             served
             served
             1",
        ),
        check(
            "another machine",
            "unshare -n sleep 1000 & machine=$!
             sleep 1
             # busybox's ip names the other end itself.
             ip link add out type veth && ip link set veth0 netns $machine
             ip addr add 192.0.2.1/24 dev out; ip link set out up
             there() { nsenter -t $machine -n \"$@\"; }
             there ip addr add 192.0.2.2/24 dev veth0; there ip link set veth0 up
             mkdir -p /run/page; echo far >/run/page/page
             there httpd -p 192.0.2.2:80 -f -v -h /run/page 2>/run/clients & server=$!
             mydocker run -d --name served -p 8080:80 bb sh -c 'echo served >/tmp/page; httpd -f -h /tmp' >/dev/null
             eventually nsenter -t $machine -n wget -qO- http://192.0.2.1:8080/page
             # No route leads back from there: only by the host's own address does an answer come.
             mydocker run --rm bb wget -qO- http://192.0.2.2/page
             grep -o '192.0.2.1' /run/clients | sort -u
             mydocker rm -f served
             kill $server $machine",
            "served
             far
             192.0.2.1
             served",
        ),
    ]
}

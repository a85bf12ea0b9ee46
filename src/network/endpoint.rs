//! One container's interface on one network: a veth(4) pair, one end a port of the bridge, the other
//! born inside the container's network namespace.
//!
//! The host's end has a random name, new at each start: names made from ids would meet those of
//! similar ids, and of the interface before it, which the kernel removes with its namespace only
//! some milliseconds after the container's end.

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::config::{Network, random_digits};
use super::link::{self, Link, Mac, Veth};
use super::{bridge, guard};
use crate::error::{Context, Error, Result};
use crate::sys;
use crate::sys::netlink::{Batch, Socket};

/// What the host's ends of our pairs begin with.
const VETH_PREFIX: &str = "mdv";

/// A network namespace, and a socket that acts inside it.
pub struct Inside {
    namespace: OwnedFd,
    socket: Socket,
}

impl Inside {
    /// The namespace of process `pid`.
    pub fn open(pid: Pid) -> Result<Inside> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let ours = openat(CWD, "/proc/self/ns/net", flags, Mode::empty())
            .context(|| "open our own network namespace")?;
        let pid = pid.as_raw_nonzero().get();
        let namespace = sys::process::open_in_proc(pid, "ns/net", flags)
            .context(|| format!("open the network namespace of process {pid}"))?;
        let enter = |fd: &OwnedFd| {
            move_into_link_name_space(fd.as_fd(), Some(LinkNameSpaceType::Network))
                .context(|| "enter a network namespace")
        };
        enter(&namespace)?;
        let socket = Socket::route();
        // The one way back is to a namespace that we were in a moment ago.
        enter(&ours)?;
        Ok(Inside { namespace, socket: socket? })
    }
}

/// What an interface is to be.
pub struct Plan<'a> {
    /// Of the host's end.
    pub name: &'a str,
    /// Inside: `eth0` and so on.
    pub interface: &'a str,
    pub mac: Mac,
    pub addresses: &'a [IpAddr],
    /// Whether this is the container's way to everywhere else.
    pub is_default: bool,
}

/// A name for the host's end.
pub fn invent_name() -> Result<String> {
    let digits = random_digits()?;
    Ok(format!("{VETH_PREFIX}{}", &digits[..link::MAX_NAME - VETH_PREFIX.len()]))
}

/// Makes the pair and wires both ends. Gives what `plug` does.
pub fn connect(
    host: &mut Socket,
    inside: &mut Inside,
    bridge: Link,
    network: &Network,
    plan: &Plan<'_>,
) -> Result<bool> {
    let mut batch = Batch::default();
    let veth = Veth {
        name: plan.name,
        mtu: bridge.mtu,
        peer: plan.interface,
        peer_mac: plan.mac,
        peer_namespace: inside.namespace.as_fd(),
    };
    link::add_veth(&mut batch, &veth);
    // By itself: what follows must not touch a link of that name that isn't this one.
    host.send(batch)?;
    let guarded = plug(host, plan.name, network, bridge)?;

    let Some(interface) = link::find(&mut inside.socket, plan.interface)? else {
        return Err(Error::from(Errno::NODEV))
            .context(|| format!("find {} in the container", plan.interface));
    };
    let mut batch = Batch::default();
    let mut has_ipv6 = false;
    for &address in plan.addresses {
        if let Some(pool) = network.pool(address.is_ipv4()) {
            link::add_address(&mut batch, interface.index, address, &pool.subnet);
            has_ipv6 |= !address.is_ipv4();
        }
    }
    link::set_up(&mut batch, plan.interface, has_ipv6);
    if plan.is_default && !network.internal {
        for pool in &network.pools {
            link::add_default_route(&mut batch, interface.index, pool.gateway);
        }
    }
    let sent = inside.socket.send(batch);
    sent.context(|| format!("set up {} in the container", plan.interface))?;
    Ok(guarded)
}

/// Makes the host's end a port of the bridge, whatever it was; one that is gone stays so. False if
/// nothing keeps the container off the host's loopback: then the bridge doesn't lead there either.
pub fn plug(host: &mut Socket, name: &str, network: &Network, bridge: Link) -> Result<bool> {
    // Before the first packet can arrive.
    let guarded = guard::set(host, name)?;
    if !guarded {
        bridge::route_localnet(&network.bridge, false)?;
    }
    let mut batch = Batch::default();
    link::add_port(&mut batch, name, bridge.index);
    match host.send(batch) {
        Err(error) if error.errno() == Some(Errno::NODEV) => Ok(guarded),
        result => result.map(|()| guarded),
    }
}

/// Silences the host's end: nothing that still lives in the container's namespace, and not the
/// namespace itself, answers for an address that is given to another container. The kernel removes
/// the pair with the namespace. To wait for that (20 ms on a kernel that waits for an RCU grace
/// period) would cost more than all the rest.
pub fn silence(host: &mut Socket, name: &str) -> Result<()> {
    guard::close(host, name)?;
    let mut batch = Batch::default();
    link::flush_port(&mut batch, name);
    match host.send(batch) {
        Err(error) if matches!(error.errno(), Some(Errno::NODEV | Errno::OPNOTSUPP)) => Ok(()),
        result => result,
    }
}

//! One container's interface on one network: a veth(4) pair. One end is a port of the bridge. The
//! other end is created inside the container's network namespace (network_namespaces(7)).
//!
//! The host's end gets a random name at each start. A name derived from the container's id could
//! clash with the name of a similar id, or with the container's previous pair: the kernel removes
//! that pair some milliseconds after the container has exited.

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::Pid;

use super::interface::link_local_subnet;
use super::link::{self, Link, Veth};
use super::record::{ENABLE_ICC, Network};
use super::subnet::Family;
use super::{bridge, guard};
use crate::address::Mac;
use crate::error::{Context, Error, Result, fail};
use crate::hex::random_digits;
use crate::sys;
use crate::sys::netlink::{Batch, Socket};
use crate::sys::process::in_network;
use crate::sys::trace::Traced;

/// The prefix of the name of the host's end.
const VETH_PREFIX: &str = "mdv";

/// A container's network namespace, and a netlink socket that acts inside it.
pub struct NetworkNamespace {
    pub(super) descriptor: OwnedFd,
    pub(super) socket: Socket,
}

impl NetworkNamespace {
    /// Opens the namespace of process `pid`, and a netlink socket in it.
    pub fn open(pid: Pid) -> Result<NetworkNamespace> {
        let pid = pid.as_raw_nonzero().get();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let descriptor = sys::process::open_in_proc(pid, "ns/net", flags)
            .context(|| format!("open the network namespace of process {pid}"))?;
        NetworkNamespace::of(descriptor)
    }

    /// Opens a netlink socket in the namespace `descriptor`.
    pub fn of(descriptor: OwnedFd) -> Result<NetworkNamespace> {
        let socket = in_network(descriptor.as_fd(), Socket::route)?;
        Ok(NetworkNamespace { descriptor, socket })
    }

    /// Sets sysctls of one interface. Enters the namespace, because /proc/sys/net shows a process
    /// the sysctls of its own namespace.
    fn set_sysctls(&self, interface: &str, sysctls: &[(String, String)]) -> Result<()> {
        if sysctls.is_empty() {
            return Ok(());
        }
        let set = |(path, value): &(String, String)| {
            bridge::set(&format!("/proc/sys/{}", path.replace("IFNAME", interface)), value)
        };
        in_network(self.descriptor.as_fd(), || sysctls.iter().try_for_each(set))
    }

    /// Moves the host's link `name` into the namespace, renames it to `inside` and sets it up. The
    /// kernel drops the link's addresses at the move, so the permanent, global ones are added
    /// again.
    pub fn move_link_in(&mut self, host: &mut Socket, name: &str, inside: &str) -> Result<()> {
        let Some(found) = link::find(host, name)? else { fail!("there is no such interface") };
        if link::find(&mut self.socket, inside)?.is_some() {
            fail!("the container's network has an interface '{inside}' already");
        }
        let addresses = link::lasting_addresses(host, found.index)?;
        let known = link::indices(&mut self.socket)?;
        let mut batch = Batch::default();
        link::hand_over(&mut batch, found.index, inside, self.descriptor.as_fd());
        host.send(batch)?;
        // The index changes if another link of the namespace has it already.
        let there = link::indices(&mut self.socket)?;
        let Some(index) = there.into_iter().find(|index| !known.contains(index)) else {
            return Err(Error::from(Errno::NODEV)).context(|| "find it in the container");
        };
        let mut batch = Batch::default();
        for address in &addresses {
            link::give_address(&mut batch, index, address);
        }
        link::set_up_by_index(&mut batch, index);
        self.socket.send(batch)
    }
}

/// The interface that `connect` makes.
pub struct Plan<'a> {
    /// The name of the host's end. On a network without a bridge, the alias of the interface.
    pub name: &'a str,
    /// The name in the container, such as `eth0`.
    pub interface: &'a str,
    /// `None` if the interface has the parent's MAC address.
    pub mac: Option<Mac>,
    pub addresses: &'a [IpAddr],
    /// `--link-local-ip`: further addresses.
    pub link_local: &'a [IpAddr],
    /// Paths and values, as in `InterfaceOptions`.
    pub sysctls: &'a [(String, String)],
    /// Whether the container's default route leads through this interface.
    pub is_default: bool,
}

/// A random name for the host's end.
pub fn invent_name() -> Result<String> {
    let digits = random_digits()?;
    Ok(format!("{VETH_PREFIX}{}", &digits[..link::MAX_NAME - VETH_PREFIX.len()]))
}

/// Makes the veth pair and sets up both ends. Returns the result of `attach_to_bridge`.
pub fn connect(
    host: &mut Socket,
    namespace: &mut NetworkNamespace,
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
        peer_namespace: namespace.descriptor.as_fd(),
    };
    link::add_veth(&mut batch, &veth);
    // Send this message in a batch of its own: if the name is taken, this call must not change the
    // other link of that name.
    host.send(batch).traced("RTM_NEWLINK", || {
        let Plan { name, interface, .. } = plan;
        format!("veth {name}, its peer {interface} in the container, mtu {}", bridge.mtu)
    })?;
    let guarded = attach_to_bridge(host, plan.name, network, bridge)
        .traced("RTM_SETLINK", || {
            format!("{} becomes a port of {}", plan.name, network.bridge.as_deref().unwrap_or("?"))
        })?;
    configure(namespace, network, plan)?;
    Ok(guarded)
}

/// Gives the interface in the container its sysctls, addresses and routes, and sets it up.
pub fn configure(
    namespace: &mut NetworkNamespace,
    network: &Network,
    plan: &Plan<'_>,
) -> Result<()> {
    let Some(interface) = link::find(&mut namespace.socket, plan.interface)? else {
        return Err(Error::from(Errno::NODEV))
            .context(|| format!("find {} in the container", plan.interface));
    };
    namespace.set_sysctls(plan.interface, plan.sysctls)?;
    let mut batch = Batch::default();
    let leased = plan
        .addresses
        .iter()
        .filter_map(|&address| Some((address, network.pool(Family::of(address))?.subnet)));
    let local = plan.link_local.iter().map(|&address| (address, link_local_subnet(address)));
    for (address, subnet) in leased.chain(local) {
        link::add_address(&mut batch, interface.index, address, &subnet);
    }
    let has_ipv6 = plan.addresses.iter().any(IpAddr::is_ipv6);
    link::set_up(&mut batch, plan.interface, has_ipv6);
    let routed = plan.is_default && !network.internal;
    for pool in network.pools.iter().filter(|_| routed) {
        let gateway = network.gateway(pool);
        link::add_default_route(&mut batch, interface.index, pool.subnet.family(), gateway);
    }
    let sent = namespace.socket.send(batch).traced("RTM_NEWADDR", || {
        let each = plan.addresses.iter().filter_map(|address| {
            let pool = network.pool(Family::of(*address))?;
            let route = match network.gateway(pool) {
                Some(gateway) if routed => format!(", default via {gateway}"),
                None if routed => ", default".to_owned(),
                _ => String::new(),
            };
            Some(format!("{address}/{}{route}", pool.subnet.prefix()))
        });
        format!("{}: {}, up", plan.interface, each.collect::<Vec<_>>().join(", "))
    });
    sent.context(|| format!("set up {} in the container", plan.interface))
}

/// Adds a default route through the container's interface on `network` for each family that has no
/// default route. Does nothing if the network is internal, or if the interface does not exist.
pub fn add_missing_routes(
    namespace: &mut NetworkNamespace,
    network: &Network,
    interface: &str,
) -> Result<()> {
    if network.internal {
        return Ok(());
    }
    let Some(found) = link::find(&mut namespace.socket, interface)? else { return Ok(()) };
    for pool in &network.pools {
        let mut batch = Batch::default();
        let (family, gateway) = (pool.subnet.family(), network.gateway(pool));
        link::add_missing_default_route(&mut batch, found.index, family, gateway);
        match namespace.socket.send(batch) {
            Err(error) if error.errno() == Some(Errno::EXIST) => {}
            sent => sent.context(|| format!("add a route through {interface}"))?,
        }
    }
    Ok(())
}

/// Makes the host's end a port of the bridge. A missing link is no error. If the kernel can't keep
/// the container off the host's loopback, clears the bridge's `route_localnet` and returns false.
pub fn attach_to_bridge(
    host: &mut Socket,
    name: &str,
    network: &Network,
    bridge: Link,
) -> Result<bool> {
    // The filter must be there before the first packet can arrive.
    let guarded = guard::set(host, name)?;
    if !guarded {
        bridge::route_localnet(network.bridge()?, false)?;
    }
    let mut batch = Batch::default();
    link::add_port(&mut batch, name, bridge.index, !network.enables(ENABLE_ICC));
    match host.send(batch) {
        Err(error) if error.errno() == Some(Errno::NODEV) => Ok(guarded),
        result => result.map(|()| guarded),
    }
}

/// Cuts the host's end off, if the kernel has the filter of `guard`. Then the container's namespace
/// no longer answers for an address that another container may get. The pair is not deleted here: a
/// deletion would wait for an RCU grace period, and the kernel deletes the pair with the namespace.
pub fn isolate(host: &mut Socket, name: &str) -> Result<()> {
    guard::close(host, name)?;
    let mut batch = Batch::default();
    link::flush_port(&mut batch, name);
    match host.send(batch) {
        Err(error) if matches!(error.errno(), Some(Errno::NODEV | Errno::OPNOTSUPP)) => Ok(()),
        result => result,
    }
}

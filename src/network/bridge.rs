//! The bridge of a network on the host, with the gateway's address and the bridge's sysctls. The
//! commands `network create` and `boot` make the bridges of the networks that users created. The
//! default network's bridge, and any missing bridge, is made when a container needs it. `endpoint`
//! attaches the containers' interfaces, and `firewall` adds the rules. References: rtnetlink(7),
//! and ip-sysctl.rst of the kernel.

use std::net::IpAddr;
use std::path::Path;

use super::alias;
use super::link::{self, Link};
use super::naming::hash;
use super::record::Network;
use super::subnet::Family;
use crate::address::Mac;
use crate::container_id::ContainerId;
use crate::error::{Context, Result, fail};
use crate::store::Roots;
use crate::sys::netlink::{Batch, Socket};
use crate::sys::trace::Traced;

/// The MTU in bytes if the host has no default route.
const DEFAULT_MTU: u32 = 1500;
/// The smallest MTU that IPv6 allows, in bytes (RFC 8200, section 5).
pub const MIN_MTU: u32 = 1280;

/// Returns the network's bridge, and whether this call created it or set it up. Fails for example
/// if `alias::refuse_others` refuses a link that has the bridge's name.
pub fn ensure(socket: &mut Socket, roots: &Roots, network: &Network) -> Result<(Link, bool)> {
    let name = network.bridge()?;
    let found = link::find(socket, name)?;
    if found.is_some() {
        alias::refuse_others(socket, roots, network)?;
    }
    if let Some(link) = found.filter(|link| link.is_up) {
        return Ok((link, false));
    }
    let _change = network.lock(roots)?;
    let mtu = match network.mtu {
        Some(mtu) => mtu,
        None => host_mtu(socket)?,
    };
    if link::find(socket, name)?.is_none() {
        let mut batch = Batch::default();
        let alias = alias::of(roots, &network.name);
        link::add_bridge(&mut batch, name, &alias, mac(network), mtu);
        socket.send(batch).traced("RTM_NEWLINK", || format!("bridge {name}, mtu {mtu}"))?;
    }
    let Some(found) = link::find(socket, name)? else {
        fail!("bridge {name} was removed right after it was created");
    };
    refuse_advertised_routes(name)?;
    // The filter that keeps containers off the host's loopback (`guard`) sees only the destination
    // address in the header. A source-routed packet (RFC 791) would pass the filter and still reach
    // 127.0.0.1.
    set(&format!("/proc/sys/net/ipv4/conf/{name}/accept_source_route"), "0")?;
    // Set the bridge up after it has its sysctls and addresses: other commands take a bridge that
    // is up for a complete one.
    let mut batch = Batch::default();
    for pool in network.bridge_pools() {
        link::add_address(&mut batch, found.index, pool.gateway.0, &pool.subnet);
    }
    let has_ipv6 = network.pool(Family::V6).is_some();
    link::set_up(&mut batch, name, has_ipv6);
    socket
        .send(batch)
        .traced("RTM_NEWADDR", || {
            let gateways: Vec<_> =
                network.bridge_pools().map(|pool| pool.gateway.to_string()).collect();
            format!("{name}: {}, up", gateways.join(", "))
        })
        .context(|| format!("set up bridge {name}"))?;
    forward(network)?;
    Ok((link::find(socket, name)?.unwrap_or(found), true))
}

/// Makes the host ignore router advertisements on the bridge: a container that sends them must not
/// become the host's IPv6 router (CVE-2020-13401).
fn refuse_advertised_routes(bridge: &str) -> Result<()> {
    let path = format!("/proc/sys/net/ipv6/conf/{bridge}/accept_ra");
    // A host without IPv6 has no such file.
    if Path::new(&path).exists() { set(&path, "0") } else { Ok(()) }
}

/// Enables IP forwarding. Without it, no packet gets from a container to another machine.
pub fn forward(network: &Network) -> Result<()> {
    set("/proc/sys/net/ipv4/ip_forward", "1")?;
    if network.pool(Family::V6).is_some() {
        set("/proc/sys/net/ipv6/conf/all/forwarding", "1")?;
    }
    Ok(())
}

/// Sets the bridge's `route_localnet`: whether packets from 127.0.0.1 may leave through the bridge
/// to a published port. The sysctl also lets containers reach the host's loopback (CVE-2020-8558),
/// so every container's link must have the filter of `guard` first.
pub fn route_localnet(bridge: &str, open: bool) -> Result<()> {
    let path = format!("/proc/sys/net/ipv4/conf/{bridge}/route_localnet");
    set(&path, if open { "1" } else { "0" })
}

/// Writes a sysctl. Does nothing if the sysctl has the value already: then its file may even be
/// read-only.
pub fn set(path: &str, value: &str) -> Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|present| present.trim_end() == value) {
        return Ok(());
    }
    std::fs::write(path, value).context(|| format!("write {value} to {path}"))
}

/// The MTU, in bytes, of the link of the host's default route, because that link sends no larger
/// packets. At least `MIN_MTU`. Without a default route, `DEFAULT_MTU`.
fn host_mtu(socket: &mut Socket) -> Result<u32> {
    let routes = link::routes(socket)?;
    let default = routes.iter().find(|route| route.to.is_none());
    let Some(link) = default.and_then(|route| route.link) else { return Ok(DEFAULT_MTU) };
    let mtu = link::get(socket, link)?.map_or(DEFAULT_MTU, |link| link.mtu);
    Ok(mtu.max(MIN_MTU))
}

/// The bridge's MAC address: locally administered, and derived from the network's id, so it never
/// changes.
fn mac(network: &Network) -> Mac {
    let [a, b, c, d] = hash(network.id.as_bytes()).to_be_bytes();
    Mac([0x02, 0x42, a, b, c, d])
}

/// The default MAC address of a container's interface, derived from the first IP address: if
/// another container gets the IP address later, the neighbours' ARP entries stay valid. Without an
/// IP address, the MAC address is derived from the container's id, so that a DHCP server recognises
/// the container.
pub fn container_mac(addresses: &[IpAddr], id: &ContainerId) -> Mac {
    let tail = match addresses.first() {
        Some(IpAddr::V4(address)) => address.octets(),
        Some(IpAddr::V6(address)) => hash(&address.octets()).to_be_bytes(),
        None => hash(id.as_bytes()).to_be_bytes(),
    };
    Mac([0x02, 0x42, tail[0], tail[1], tail[2], tail[3]])
}

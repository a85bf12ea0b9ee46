//! The bridge of a network on the host, with the gateway's address, and the sysctls that it needs:
//! made when the first container needs it, and again after a reboot. Containers' ports are added in
//! `endpoint`; the firewall is `firewall`'s. References: rtnetlink(7), ip-sysctl.rst.

use std::net::IpAddr;
use std::path::Path;

use super::alias;
use super::link::{self, Link};
use super::naming::hash;
use super::record::Network;
use super::subnet::Family;
use crate::address::Mac;
use crate::error::{Context, Result, fail};
use crate::store::Roots;
use crate::sys::netlink::{Batch, Socket};
use crate::sys::trace::Traced;

/// The MTU where the host has no default route to take one from.
const DEFAULT_MTU: u32 = 1500;
/// The least MTU of IPv6 (RFC 8200).
pub const MIN_MTU: u32 = 1280;

/// Returns the network's bridge, and whether it had to be created or set up.
pub fn ensure(socket: &mut Socket, roots: &Roots, network: &Network) -> Result<(Link, bool)> {
    let found = link::find(socket, &network.bridge)?;
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
    if link::find(socket, &network.bridge)?.is_none() {
        let mut batch = Batch::default();
        let alias = alias::of(roots, &network.name);
        link::add_bridge(&mut batch, &network.bridge, &alias, mac(network), mtu);
        socket
            .send(batch)
            .traced("RTM_NEWLINK", || format!("bridge {}, mtu {mtu}", network.bridge))?;
    }
    let Some(found) = link::find(socket, &network.bridge)? else {
        fail!("bridge {} was removed right after it was created", network.bridge);
    };
    refuse_advertised_routes(&network.bridge)?;
    // A source-routed packet (RFC 791) would reach 127.0.0.1 past the guard, which sees another
    // destination.
    set(&format!("/proc/sys/net/ipv4/conf/{}/accept_source_route", network.bridge), "0")?;
    // The flag up is set last, so that a bridge that is up is ready.
    let mut batch = Batch::default();
    for pool in network.bridge_pools() {
        link::add_address(&mut batch, found.index, pool.gateway.0, &pool.subnet);
    }
    let has_ipv6 = network.pool(Family::V6).is_some();
    link::set_up(&mut batch, &network.bridge, has_ipv6);
    socket
        .send(batch)
        .traced("RTM_NEWADDR", || {
            let gateways: Vec<_> =
                network.bridge_pools().map(|pool| pool.gateway.to_string()).collect();
            format!("{}: {}, up", network.bridge, gateways.join(", "))
        })
        .context(|| format!("set up bridge {}", network.bridge))?;
    forward(network)?;
    Ok((link::find(socket, &network.bridge)?.unwrap_or(found), true))
}

/// A container that sends router advertisements must not become the host's IPv6 router
/// (CVE-2020-13401).
fn refuse_advertised_routes(bridge: &str) -> Result<()> {
    let path = format!("/proc/sys/net/ipv6/conf/{bridge}/accept_ra");
    // A host without IPv6 has no such file.
    if Path::new(&path).exists() { set(&path, "0") } else { Ok(()) }
}

/// Enables IP forwarding; without it containers reach only the host.
pub fn forward(network: &Network) -> Result<()> {
    set("/proc/sys/net/ipv4/ip_forward", "1")?;
    if network.pool(Family::V6).is_some() {
        set("/proc/sys/net/ipv6/conf/all/forwarding", "1")?;
    }
    Ok(())
}

/// Sets whether packets from 127.0.0.1 may leave through the bridge, to reach a published port. It
/// also lets containers reach the host's loopback (CVE-2020-8558), so the guard must be there
/// first.
pub fn route_localnet(bridge: &str, open: bool) -> Result<()> {
    let path = format!("/proc/sys/net/ipv4/conf/{bridge}/route_localnet");
    set(&path, if open { "1" } else { "0" })
}

/// Writes a sysctl if it has another value: on a prepared host the file may be read-only.
pub fn set(path: &str, value: &str) -> Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|present| present.trim_end() == value) {
        return Ok(());
    }
    std::fs::write(path, value).context(|| format!("write {value} to {path}"))
}

/// The MTU of the host's default route, because larger packets can't leave through it.
fn host_mtu(socket: &mut Socket) -> Result<u32> {
    let routes = link::routes(socket)?;
    let Some(default) = routes.iter().find(|route| route.to.is_none()) else {
        return Ok(DEFAULT_MTU);
    };
    let mtu = link::get(socket, default.link)?.map_or(DEFAULT_MTU, |link| link.mtu);
    Ok(mtu.max(MIN_MTU))
}

/// The bridge's MAC address: locally administered, and always the same for a network.
fn mac(network: &Network) -> Mac {
    let [a, b, c, d] = hash(network.id.as_bytes()).to_be_bytes();
    Mac([0x02, 0x42, a, b, c, d])
}

/// The default MAC address of a container's interface. It is made from the IP address, so that an
/// ARP entry stays right when another container gets that address. Without an address it is made from
/// the container's id, so that a server on the wire knows the container again.
pub fn container_mac(addresses: &[IpAddr], id: &str) -> Mac {
    let tail = match addresses.first() {
        Some(IpAddr::V4(address)) => address.octets(),
        Some(IpAddr::V6(address)) => hash(&address.octets()).to_be_bytes(),
        None => hash(id.as_bytes()).to_be_bytes(),
    };
    Mac([0x02, 0x42, tail[0], tail[1], tail[2], tail[3]])
}

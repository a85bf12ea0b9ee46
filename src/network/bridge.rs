//! A network's bridge: the host's end of it, with the gateway's address.

use std::net::IpAddr;
use std::path::Path;

use super::config::{self, BRIDGE_PREFIX, Network, hash};
use super::link::{self, Link};
use crate::error::{Context, Result, fail};
use crate::store::{DEFAULT_ROOT, Roots};
use crate::sys::netlink::{Batch, Socket};

/// The MTU where the host has no default route to take one from.
const DEFAULT_MTU: u32 = 1500;
/// IPv6 doesn't work below (RFC 8200); nothing else of today does either.
pub const MIN_MTU: u32 = 1280;

/// The network's bridge; one that isn't there, or isn't ready, is made so. The second value tells
/// whether that was needed.
pub fn ensure(socket: &mut Socket, roots: &Roots, network: &Network) -> Result<(Link, bool)> {
    if let Some(link) = link::find(socket, &network.bridge)?.filter(|link| link.is_up) {
        return Ok((link, false));
    }
    let _change = network.lock(roots)?;
    let mtu = match network.mtu {
        Some(mtu) => mtu,
        None => host_mtu(socket)?,
    };
    if link::find(socket, &network.bridge)?.is_none() {
        let mut batch = Batch::default();
        let alias = alias(roots, &network.name);
        link::add_bridge(&mut batch, &network.bridge, &alias, mac(network), mtu);
        socket.send(batch)?;
    }
    let Some(found) = link::find(socket, &network.bridge)? else {
        fail!("bridge {} is gone just after it was made", network.bridge);
    };
    refuse_advertised_routes(&network.bridge)?;
    // A packet with a route of its own (RFC 791) would reach 127.0.0.1 past the guard, which sees
    // another destination.
    set(&format!("/proc/sys/net/ipv4/conf/{}/accept_source_route", network.bridge), "0")?;
    // Up comes last: a bridge that is up is ready.
    let mut batch = Batch::default();
    for pool in &network.pools {
        link::add_address(&mut batch, found.index, pool.gateway, &pool.subnet);
    }
    let has_ipv6 = network.pool(false).is_some();
    link::set_up(&mut batch, &network.bridge, has_ipv6);
    socket.send(batch).context(|| format!("set up bridge {}", network.bridge))?;
    forward(network)?;
    Ok((link::find(socket, &network.bridge)?.unwrap_or(found), true))
}

/// What a bridge says of itself.
fn alias(roots: &Roots, network: &str) -> String {
    format!("{network}{OF}{}", roots.state.display())
}

/// Between the network and its state root. No network's name has a space.
const OF: &str = " of ";

/// Bridges, each with what it says of itself, that no network needs: its record was removed by
/// other hands than ours. One with a port stays, until its containers end. Those of a state root
/// that is gone as a whole are the default one's to find.
pub fn orphans(roots: &Roots) -> Result<Vec<(String, String)>> {
    if !roots.networks().is_dir() {
        return Ok(Vec::new());
    }
    // Who removes a network takes its bridge first.
    let _choice = config::lock_all(roots)?;
    let mut bridges = link::idle_aliases(&mut Socket::route()?)?;
    let known = config::known(roots)?;
    bridges.retain(|(bridge, alias)| {
        bridge.starts_with(BRIDGE_PREFIX)
            && is_ours_to_find(roots, alias)
            && !known.iter().any(|network| network.bridge == *bridge)
    });
    Ok(bridges)
}

/// Whether it is for this state root to tell if a bridge with this alias is needed.
fn is_ours_to_find(roots: &Roots, alias: &str) -> bool {
    let Some((_, root)) = alias.split_once(OF) else { return false };
    let root = Path::new(root);
    root == roots.state || (roots.state.as_os_str() == DEFAULT_ROOT && !root.exists())
}

/// A container that says it is an IPv6 router must not become the host's way to the world
/// (CVE-2020-13401).
fn refuse_advertised_routes(bridge: &str) -> Result<()> {
    let path = format!("/proc/sys/net/ipv6/conf/{bridge}/accept_ra");
    // A host without IPv6 has no such file.
    if Path::new(&path).exists() { set(&path, "0") } else { Ok(()) }
}

/// Switches forwarding on: without it nothing leaves the bridge but to the host itself.
pub fn forward(network: &Network) -> Result<()> {
    set("/proc/sys/net/ipv4/ip_forward", "1")?;
    if network.pool(false).is_some() {
        set("/proc/sys/net/ipv6/conf/all/forwarding", "1")?;
    }
    Ok(())
}

/// Whether packets of 127.0.0.1 may leave by the bridge, to reach a published port. It lets the
/// containers reach the host's loopback in turn (CVE-2020-8558): the guard must be there first.
pub fn route_localnet(bridge: &str, open: bool) -> Result<()> {
    let path = format!("/proc/sys/net/ipv4/conf/{bridge}/route_localnet");
    set(&path, if open { "1" } else { "0" })
}

/// Written only if it isn't so already: the file may be read-only on a host that was prepared.
fn set(path: &str, value: &str) -> Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|present| present.trim_end() == value) {
        return Ok(());
    }
    std::fs::write(path, value).context(|| format!("write {value} to {path}"))
}

/// That of the host's default route, as containers can't send larger packets through it.
fn host_mtu(socket: &mut Socket) -> Result<u32> {
    let routes = link::routes(socket)?;
    let Some(default) = routes.iter().find(|route| route.to.is_none()) else {
        return Ok(DEFAULT_MTU);
    };
    let mtu = link::get(socket, default.link)?.map_or(DEFAULT_MTU, |link| link.mtu);
    Ok(mtu.max(MIN_MTU))
}

/// A hardware address of the locally administered kind that is always the same for a network.
fn mac(network: &Network) -> link::Mac {
    let [a, b, c, d] = hash(network.id.as_bytes()).to_be_bytes();
    [0x02, 0x42, a, b, c, d]
}

/// What a container's interface has by default: made from its address, so that whoever knew the
/// address before it was given again still has the right one.
pub fn container_mac(addresses: &[IpAddr]) -> link::Mac {
    let tail = match addresses.first() {
        Some(IpAddr::V4(address)) => address.octets(),
        Some(IpAddr::V6(address)) => hash(&address.octets()).to_be_bytes(),
        None => [0; 4],
    };
    [0x02, 0x42, tail[0], tail[1], tail[2], tail[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_root_asks_for_bridges_of_roots_that_are_gone() {
        let roots = |state: &str| Roots::new(Some(state.into()), None).unwrap();
        let (default, other) = (roots(DEFAULT_ROOT), roots("/"));
        let tells = |roots, of: &Roots| is_ours_to_find(roots, &alias(of, "web"));
        assert!(tells(&default, &default) && tells(&other, &other));
        assert!(tells(&default, &roots("/nowhere")) && !tells(&other, &roots("/nowhere")));
        assert!(!tells(&default, &other) && !is_ours_to_find(&default, "web"));
    }
}

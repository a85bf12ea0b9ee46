//! Rebuilds the attachment of a container whose `network.json` is gone, from the container's
//! leases.
//!
//! A cleaner of temporary files may remove the run directory while the container runs. The leases
//! are in the state root. Each lease also has what the file says of the interface, the host's link
//! and the published ports. After a power cut, leases of dead containers may remain, but the host
//! no longer has the links that they name.

use std::net::IpAddr;

use super::record::{self, Address, Attachment, Endpoint};
use crate::address::{Ip, Mac};
use crate::container_id::ContainerId;
use crate::error::Result;
use crate::network::ipam::{self, Lease};
use crate::network::ports::PortMap;
use crate::network::record::{Network, known};
use crate::network::subnet::Family;
use crate::network::{bridge, link};
use crate::order;
use crate::store::{OrEmpty, Roots};
use crate::sys::netlink::Socket;

/// Reads the attachment of a container that runs, or that ended and was not cleaned up.
pub fn find(roots: &Roots, id: &ContainerId) -> Result<Attachment> {
    match Attachment::read_if_present(roots, id)? {
        Some(attachment) => Ok(attachment),
        None => Ok(by_leases(roots, Some(id))?.pop().map(|(_, found)| found).unwrap_or_default()),
    }
}

/// All attachments, each with its container's id: those with a file, and those whose leases and
/// interface still exist.
pub fn all(roots: &Roots) -> Result<Vec<(ContainerId, Attachment)>> {
    let mut all = Vec::new();
    for id in record::all_ids(roots)? {
        if let Some(attachment) = Attachment::read_if_present(roots, &id)? {
            all.push((id, attachment));
        }
    }
    let mut lost = by_leases(roots, None)?;
    lost.retain(|(id, _)| !all.iter().any(|(known, _)| known == id));
    for (id, attachment) in lost {
        if has_link(&attachment)? {
            all.push((id, attachment));
        }
    }
    Ok(all)
}

/// Whether an interface of the attachment exists. If so, the container's network namespace exists
/// too.
pub fn has_link(attachment: &Attachment) -> Result<bool> {
    let mut host = Socket::route()?;
    for endpoint in attachment.endpoints.iter().filter(|endpoint| !endpoint.link.is_empty()) {
        let (link, interface) = (&endpoint.link, &endpoint.interface);
        let is_there = if endpoint.is_direct() {
            link::find_elsewhere(&mut host, link, interface)?.is_some()
        } else {
            link::find(&mut host, link)?.is_some()
        };
        if is_there {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The attachments that the leases describe: of container `only`, or of all containers.
fn by_leases(roots: &Roots, only: Option<&ContainerId>) -> Result<Vec<(ContainerId, Attachment)>> {
    let mut found: Vec<(ContainerId, Attachment)> = Vec::new();
    for network in known(roots)? {
        let mut leases = ipam::leases(roots, &network)?;
        leases.retain(|lease| only.is_none_or(|id| *id == lease.owner));
        for lease in leases {
            let at = found.iter().position(|(id, _)| *id == lease.owner).unwrap_or_else(|| {
                let name = lease.names.first().cloned().unwrap_or_default();
                let ports = lease.ports.split(' ').filter_map(read_port).collect();
                found
                    .push((lease.owner.clone(), Attachment { name, endpoints: Vec::new(), ports }));
                found.len() - 1
            });
            add(&mut found[at].1.endpoints, &network, &lease);
        }
    }
    for (_, attachment) in &mut found {
        order::sort_by(&mut attachment.endpoints, |a, b| a.interface.cmp(&b.interface));
    }
    Ok(found)
}

/// Adds a lease on `network` to the container's endpoint there. Makes the endpoint if it is
/// missing.
fn add(endpoints: &mut Vec<Endpoint>, network: &Network, lease: &Lease) {
    let pool = lease.address.map(|address| network.pool(Family::of(address)));
    // Skip an address if the network has no subnet of its family.
    if pool == Some(None) {
        return;
    }
    let mut words = lease.interface.split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let (interface, link, chosen) = (word(), word(), word());
    let known = endpoints.iter().position(|known| known.network_id == network.id);
    let at = known.unwrap_or_else(|| {
        let direct = network.direct.is_some().then_some(true);
        let (network, network_id) = (network.name.clone(), network.id.clone());
        let mac = None;
        endpoints.push(Endpoint {
            network,
            network_id,
            interface,
            link,
            mac,
            addresses: Vec::new(),
            direct,
        });
        endpoints.len() - 1
    });
    let endpoint = &mut endpoints[at];
    endpoint.addresses.extend(lease.address.zip(pool.flatten()).map(|(address, pool)| Address {
        address: Ip(address),
        prefix: pool.subnet.prefix(),
        gateway: OrEmpty(network.gateway(pool).map(Ip)),
    }));
    let addresses: Vec<IpAddr> = endpoint.ip_addresses().collect();
    endpoint.mac = chosen.parse().ok().or_else(|| mac(network, &addresses, &lease.owner));
}

/// The default MAC address of an interface. `None` if the interface has the parent's MAC address.
pub fn mac(network: &Network, addresses: &[IpAddr], id: &ContainerId) -> Option<Mac> {
    match &network.direct {
        Some(direct) if direct.kind.has_mac_of_parent() => None,
        _ => Some(bridge::container_mac(addresses, id)),
    }
}

/// The line of a lease that describes the interface: its name, its link, and its MAC address if the
/// user chose one.
pub fn write_interface(interface: &str, link: &str, mac: Option<Mac>) -> String {
    let mac = mac.map(|mac| mac.to_string()).unwrap_or_default();
    format!("{interface} {link} {mac}")
}

/// The line of a lease that lists the published ports, each as
/// PROTOCOL/HOST-ADDRESS/HOST-PORT/PORT, such as `tcp/0.0.0.0/8080/80`.
pub fn write_ports(ports: &[PortMap]) -> String {
    let word = |map: &PortMap| {
        format!("{}/{}/{}/{}", map.protocol, map.address, map.port, map.container_port)
    };
    ports.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Parses a word of [`write_ports`]. `None` if the word is malformed.
pub(super) fn read_port(word: &str) -> Option<PortMap> {
    let mut parts = word.split('/');
    let (protocol, address) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let (port, container_port) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(PortMap { protocol, address, port, container_port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_they_were_written() {
        let words = "tcp/0.0.0.0/8080/80 udp/::1/53/5353";
        let ports: Vec<PortMap> = words.split(' ').filter_map(read_port).collect();
        assert_eq!(ports.len(), 2);
        assert_eq!(write_ports(&ports), words);
        assert_eq!(read_port(""), None);
        assert_eq!(read_port("tcp/0.0.0.0/8080"), None);
    }
}

//! The published ports of a container: the claims on the host's ports, the firewall's rules, and
//! the way from the host's 127.0.0.1.
//!
//! Claims come first, because a port that another program has must fail the start before anything
//! is made on the host. The way from 127.0.0.1 comes last, because it needs the guard at every
//! container's link. How a port is written is in `port`.

use std::os::fd::OwnedFd;

use super::record::{self, Attachment};
use super::rules;
use crate::error::{Result, fail};
use crate::network::firewall::Choice;
use crate::network::firewall::rules::PortRule;
use crate::network::ports::{self, Claimed, Defaults};
use crate::network::record::Network;
use crate::network::subnet::Family;
use crate::network::{bridge, conntrack};
use crate::port::Publish;
use crate::store::Roots;
use crate::sys::netlink::Socket;

/// Claims the host's ports, before anything is made on the host. Returns the sockets that hold
/// them.
pub fn claim(
    roots: &Roots,
    attachment: &mut Attachment,
    networks: &[Network],
    publish: &[Publish],
) -> Result<Vec<OwnedFd>> {
    if publish.is_empty() {
        return Ok(Vec::new());
    }
    let Some(network) = networks.iter().find(|network| !network.internal) else {
        fail!("ports can't be published: network {} is internal", networks[0].name)
    };
    let default = |family: Family| {
        attachment.target(family).and_then(|_| match network.publish_address {
            None => Some(family.unspecified()),
            // An address of one family does not open the other family to all.
            Some(address) => Some(address.0).filter(|&address| family.has(address)),
        })
    };
    let defaults = Defaults { ipv4: default(Family::V4), ipv6: default(Family::V6) };
    let find_container = |protocol, at| {
        let attachments = record::all_ids(roots).ok()?.into_iter();
        // One that can't be read is passed over; the kernel refuses the port anyway.
        attachments
            .filter_map(|id| Attachment::read(roots, &id).ok())
            .find(|other| other.ports.iter().any(|map| map.meets(protocol, at)))
            .map(|other| other.name)
    };
    let Claimed { maps, held } = ports::claim(publish, &defaults, &find_container)?;
    let has_no_target = |address| attachment.target(Family::of(address)).is_none();
    if let Some(map) = maps.iter().find(|map| has_no_target(map.address.0)) {
        fail!(
            "port {} can't be published on {}: the container has no address of its family",
            map.container_port,
            map.address
        );
    }
    attachment.ports = maps;
    Ok(held)
}

/// Makes the firewall let the networks and the ports through.
pub fn open(
    roots: &Roots,
    choice: Choice,
    host: &mut Socket,
    networks: &[&Network],
    attachment: &Attachment,
    id: &str,
) -> Result<()> {
    rules::set_up(roots, choice, networks, id, attachment)?;
    conntrack::forget(host, &attachment.port_rules(id))
}

/// Lets the host's 127.0.0.1 reach the ports, if the containers are `guarded`: kept off it. On a
/// kernel that can't do that, ports answer on the host's other addresses only.
pub fn open_loopback(networks: &[&Network], rules: &[PortRule], guarded: bool) -> Result<()> {
    let Some(rule) = rules.iter().find(|rule| rule.to.is_ipv4()) else { return Ok(()) };
    if !guarded {
        return match rules.iter().find(|rule| rule.from.ip().is_loopback()) {
            Some(rule) => fail!(
                "port {} can't be published: the kernel lacks sch_ingress or cls_bpf, by which \
                 containers are kept off the host's loopback; choose another address",
                rule.from
            ),
            None => Ok(()),
        };
    }
    let leads =
        |network: &&&Network| network.pools.iter().any(|pool| pool.subnet.contains(rule.to.ip()));
    match networks.iter().find(leads) {
        Some(network) => bridge::route_localnet(&network.bridge, true),
        None => Ok(()),
    }
}

/// Removes the rules of the container's ports, and takes the ports off its attachment.
pub fn close(roots: &Roots, id: &str, attachment: &Attachment) -> Result<()> {
    if attachment.ports.is_empty() {
        return Ok(());
    }
    let without = Attachment { ports: Vec::new(), ..attachment.clone() };
    rules::take_down(roots, id, attachment, &without)
}

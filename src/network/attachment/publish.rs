//! The published ports of a container: the claims on the host's ports, the firewall's rules, and
//! the way from the host's 127.0.0.1.
//!
//! Claims come first, because a port that another program has must fail the start before anything
//! is made on the host. The way from 127.0.0.1 comes last, because it needs the guard at every
//! container's link. How a port is written is in `port`.

use super::record::Attachment;
use super::{recover, rules};
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

/// Claims the host's ports, before anything is made on the host.
pub fn claim(roots: &Roots, networks: &[Network], publish: &[Publish]) -> Result<Claimed> {
    if publish.is_empty() {
        return Ok(Claimed::default());
    }
    let Some(network) = networks.iter().find(|network| network.can_publish()) else {
        // As in Docker: such a container answers at its own address.
        if networks.iter().any(|network| network.direct.is_some()) {
            return Ok(Claimed::default());
        }
        fail!("ports can't be published: network {} is internal", networks[0].name)
    };
    // A port leads to the container's address of its family on a network with a way out.
    let has_target = |family: Family| {
        networks.iter().any(|network| network.can_publish() && network.pool(family).is_some())
    };
    let default = |family: Family| match network.publish_address {
        _ if !has_target(family) => None,
        None => Some(family.unspecified()),
        // An address of one family does not open the other family to all.
        Some(address) => Some(address.0).filter(|&address| family.has(address)),
    };
    let defaults = Defaults { ipv4: default(Family::V4), ipv6: default(Family::V6) };
    let find_container = |protocol, at| {
        // The name is left out if an attachment can't be read; the kernel refuses the port anyway.
        let mut attachments = recover::all(roots).ok()?.into_iter().map(|(_, other)| other);
        let holder =
            attachments.find(|other| other.ports.iter().any(|map| map.meets(protocol, at)));
        holder.map(|other| other.name)
    };
    let claimed = ports::claim(publish, &defaults, &find_container)?;
    let has_no_target = |address| !has_target(Family::of(address));
    if let Some(map) = claimed.maps.iter().find(|map| has_no_target(map.address.0)) {
        fail!(
            "port {} can't be published on {}: the container has no address of its family",
            map.container_port,
            map.address
        );
    }
    Ok(claimed)
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
    let mut bridged = networks.iter().filter(|network| network.direct.is_none());
    match bridged.find(leads) {
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

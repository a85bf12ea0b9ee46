//! The published ports of a container: the claims on the host's ports, the firewall's rules, and
//! the route from the host's 127.0.0.1.
//!
//! Ports are claimed first: if another program has a port, the start must fail before it has made a
//! link or a rule on the host. 127.0.0.1 is opened after the links and the rules, because every
//! container's link must have its filter (`network::guard`) by then. The module `port` parses and
//! prints ports.

use super::record::Attachment;
use super::{recover, rules};
use crate::container_id::ContainerId;
use crate::error::{Result, fail};
use crate::network::firewall::Choice;
use crate::network::firewall::rules::PortRule;
use crate::network::ports::{self, Claimed, Defaults};
use crate::network::record::Network;
use crate::network::subnet::Family;
use crate::network::{bridge, conntrack, guard};
use crate::port::Publish;
use crate::store::Roots;
use crate::sys::netlink::Socket;

/// Claims the host's ports `publish`. Fails for example if a port is taken, if all networks are
/// internal bridges, or if the user chose a host address of a family in which the container has no
/// address.
pub fn claim(roots: &Roots, networks: &[Network], publish: &[Publish]) -> Result<Claimed> {
    // As in Docker, `-p` is ignored without a network.
    let Some(first) = networks.first().filter(|_| !publish.is_empty()) else {
        return Ok(Claimed::default());
    };
    let Some(network) = networks.iter().find(|network| network.can_publish()) else {
        // As in Docker, a macvlan or ipvlan container answers on its own address, and `-p` is
        // ignored.
        if networks.iter().any(|network| network.direct.is_some()) {
            return Ok(Claimed::default());
        }
        fail!("ports can't be published: network {} is internal", first.name)
    };
    // A port on a host address leads to the container's address of the same family, on a network
    // that can publish.
    let has_target = |family: Family| {
        networks.iter().any(|network| network.can_publish() && network.pool(family).is_some())
    };
    let default = |family: Family| match network.publish_address {
        _ if !has_target(family) => None,
        None => Some(family.unspecified()),
        // A `-p` without an address gets the network's default host address, so it publishes no
        // port of the other family.
        Some(address) => Some(address.0).filter(|&address| family.has(address)),
    };
    let defaults = Defaults { ipv4: default(Family::V4), ipv6: default(Family::V6) };
    let find_container = |protocol, at| {
        // If an attachment can't be read, the error lacks the container's name. The kernel still
        // refuses the port.
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

/// Adds the firewall's rules for the networks and the container's ports, and deletes the UDP flows
/// that the ports had before.
pub fn open(
    roots: &Roots,
    choice: Choice,
    host: &mut Socket,
    networks: &[&Network],
    attachment: &Attachment,
    id: &ContainerId,
) -> Result<()> {
    rules::set_up(roots, choice, networks, id, attachment)?;
    conntrack::delete_flows(host, &attachment.port_rules(id))
}

/// Opens the ports of a running container, after its networks changed: for the host's loopback too.
/// Rules that the ports have already stay.
pub fn lead(
    roots: &Roots,
    choice: Choice,
    attachment: &Attachment,
    id: &ContainerId,
) -> Result<()> {
    let rules = attachment.port_rules(id);
    if rules.is_empty() {
        return Ok(());
    }
    let mut host = Socket::route()?;
    let (mut networks, mut guarded) = (Vec::new(), true);
    for endpoint in &attachment.endpoints {
        guarded &= guard::set(&mut host, &endpoint.link)?;
        networks.extend(Network::read(roots, &endpoint.network)?);
    }
    open(roots, choice, &mut host, &[], attachment, id)?;
    open_loopback(&networks.iter().collect::<Vec<_>>(), &rules, guarded)
}

/// Lets the host's 127.0.0.1 reach the ports, if the kernel has the filter of `network::guard`,
/// which keeps the containers off the host's loopback. `guarded` says whether the kernel has the
/// filter. Without the filter, ports answer on the host's other addresses only, and a port that is
/// published on an IPv4 loopback address is an error.
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
        Some(network) => bridge::route_localnet(network.bridge()?, true),
        None => Ok(()),
    }
}

/// Removes the rules of the container's ports, and takes the ports off its attachment.
pub fn close(roots: &Roots, id: &ContainerId, attachment: &Attachment) -> Result<()> {
    if attachment.ports.is_empty() {
        return Ok(());
    }
    let without = Attachment { ports: Vec::new(), ..attachment.clone() };
    rules::take_down(roots, id, attachment, &without)
}

//! Changes the published ports of a running container.
//!
//! A plan claims the new ports and changes nothing else. The caller gives the claimed sockets to
//! the process that holds the container's ports, carries the plan out, and then closes the sockets
//! of removed ports. In this order, each port in the attachment is held at every moment. If the
//! caller is killed in between, a later command releases all ports of the container, and carries
//! out a new plan for the ports of the container's record.

use std::os::fd::OwnedFd;

use super::record::Attachment;
use super::{publish, recover, rules};
use crate::container_id::ContainerId;
use crate::error::Result;
use crate::network::firewall::Choice;
use crate::network::ports::PortMap;
use crate::network::record::Network;
use crate::network::{conntrack, guard, ipam};
use crate::order;
use crate::port::{PortRange, Publish, socket_name};
use crate::store::Roots;
use crate::sys::netlink::Socket;

/// A container's published ports before and after a change.
pub struct Plan {
    before: Attachment,
    after: Attachment,
    networks: Vec<Network>,
    /// The sockets that hold the new ports.
    pub held: Vec<OwnedFd>,
}

impl Plan {
    /// Plans a change to the ports `wanted`. A port that the container already has keeps its host
    /// port. If the container's ports are not `held` by a process, they are claimed again. Fails
    /// for example if a port is taken.
    pub fn new(roots: &Roots, id: &ContainerId, wanted: &[Publish], held: bool) -> Result<Plan> {
        let before = recover::find(roots, id)?;
        let mut networks = Vec::with_capacity(before.endpoints.len());
        for endpoint in &before.endpoints {
            networks.extend(Network::read(roots, &endpoint.network)?);
        }
        let (mut kept, mut unclaimed) = keep(&before.ports, wanted);
        if !held {
            unclaimed.splice(0..0, kept.drain(..).map(|map| exactly(&map)));
        }
        let claimed = publish::claim(roots, &networks, &unclaimed)?;
        let mut ports: Vec<PortMap> = kept.into_iter().chain(claimed.maps).collect();
        // Use the order of the container's record, as a start does.
        let units: Vec<Publish> = wanted.iter().flat_map(Publish::each).collect();
        order::sort_by_key(&mut ports, |map| {
            units
                .iter()
                .position(|unit| has_host_port_of(map, unit) && has_container_port_of(map, unit))
        });
        let after = Attachment { ports, ..before.clone() };
        Ok(Plan { before, after, networks, held: claimed.held })
    }

    /// The names (`port::socket_name`) of the sockets to close after `carry_out`.
    pub fn unneeded(&self) -> Vec<String> {
        let names = |ports: &[PortMap]| {
            let name = |map: &PortMap| socket_name(map.protocol, map.from());
            ports.iter().map(name).collect::<Vec<_>>()
        };
        let after = names(&self.after.ports);
        let mut before = names(&self.before.ports);
        before.retain(|name| !after.contains(name));
        before
    }

    /// The plan that undoes this plan. Claims no ports.
    pub fn inverse(self) -> Plan {
        Plan { before: self.after, after: self.before, held: Vec::new(), ..self }
    }

    /// Writes the attachment, makes the firewall's rules again, deletes old UDP flows, lets the
    /// host's 127.0.0.1 reach the ports, and writes the ports into the leases.
    pub fn carry_out(&self, roots: &Roots, choice: Choice, id: &ContainerId) -> Result<()> {
        self.after.write(roots, id)?;
        let rules = self.after.port_rules(id);
        if !rules.is_empty() || !self.before.ports.is_empty() {
            rules::reload(roots, choice, &[])?;
        }
        let mut host = Socket::route()?;
        conntrack::delete_flows(&mut host, &rules)?;
        let mut is_guarded = true;
        for endpoint in self.after.endpoints.iter().filter(|_| !rules.is_empty()) {
            is_guarded &= guard::set(&mut host, &endpoint.link)?;
        }
        let networks: Vec<&Network> = self.networks.iter().collect();
        publish::open_loopback(&networks, &rules, is_guarded)?;
        let words = recover::write_ports(&self.after.ports);
        for network in networks {
            let _change = network.lock(roots)?;
            for mut lease in ipam::leases(roots, network)? {
                if lease.owner == *id {
                    lease.ports.clone_from(&words);
                    ipam::rewrite(roots, network, &lease)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether the host port of `map` is one that `unit` requests.
pub fn has_host_port_of(map: &PortMap, unit: &Publish) -> bool {
    map.protocol == unit.protocol
        && unit.address.is_none_or(|address| address == map.address.0)
        && unit.host.is_none_or(|host| host.ports().contains(&map.port))
}

/// Whether `map` leads to the container port of `unit`.
pub fn has_container_port_of(map: &PortMap, unit: &Publish) -> bool {
    unit.container == PortRange::one(map.container_port)
}

/// Splits `wanted`: the ports of `maps` that stay, and the requests that no port of `maps` serves.
fn keep(maps: &[PortMap], wanted: &[Publish]) -> (Vec<PortMap>, Vec<Publish>) {
    let mut rest = maps.to_vec();
    let mut kept = Vec::new();
    let mut unclaimed = Vec::new();
    let mut units: Vec<Publish> = wanted.iter().flat_map(Publish::each).collect();
    // First serve the requests with an address. A request without an address gets any matching port
    // that is left.
    order::sort_by_key(&mut units, |unit| unit.address.is_none());
    let mut others = Vec::new();
    for unit in units {
        match rest
            .iter()
            .find(|map| has_host_port_of(map, &unit) && has_container_port_of(map, &unit))
            .map(|map| map.port)
        {
            Some(port) => kept.extend(rest.extract_if(.., |map| {
                has_host_port_of(map, &unit)
                    && has_container_port_of(map, &unit)
                    && map.port == port
            })),
            None => others.push(unit),
        }
    }
    // A request for one host port takes this port from the rest, and gives it a new container port.
    for unit in others {
        let is_fixed = unit.host.is_some_and(|host| host.len() == 1);
        let before = kept.len();
        if is_fixed {
            kept.extend(rest.extract_if(.., |map| has_host_port_of(map, &unit)));
        }
        for map in &mut kept[before..] {
            map.container_port = *unit.container.ports().start();
        }
        if kept.len() == before {
            unclaimed.push(unit);
        }
    }
    (kept, unclaimed)
}

/// The request for exactly this port.
fn exactly(map: &PortMap) -> Publish {
    Publish {
        address: Some(map.address.0),
        host: Some(PortRange::one(map.port)),
        container: PortRange::one(map.container_port),
        protocol: map.protocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::attachment::recover::{read_port, write_ports};

    fn kept(maps: &str, wanted: &[&str]) -> (String, String) {
        let maps: Vec<PortMap> = maps.split(' ').filter_map(read_port).collect();
        let wanted: Vec<Publish> = wanted.iter().map(|text| text.parse().unwrap()).collect();
        let (kept, unclaimed) = keep(&maps, &wanted);
        let unclaimed: Vec<String> = unclaimed.iter().map(Publish::to_string).collect();
        (write_ports(&kept), unclaimed.join(" "))
    }

    #[test]
    fn ports_that_stay_and_ports_to_claim() {
        let of = |kept: &str, unclaimed: &str| (kept.to_owned(), unclaimed.to_owned());
        let both = "tcp/0.0.0.0/8080/80 tcp/::/8080/80";
        assert_eq!(kept(both, &["8080:80"]), of(both, ""));
        assert_eq!(kept(both, &["8080:80", "90"]), of(both, "90/tcp"));
        assert_eq!(kept(both, &["8080:80/udp"]), of("", "8080:80/udp"));
        assert_eq!(kept(both, &[]), of("", ""));
        // A port that the kernel chose stays the same, and two such ports are distinguished.
        assert_eq!(kept("tcp/0.0.0.0/49153/80", &["80"]), of("tcp/0.0.0.0/49153/80", ""));
        let two = "tcp/0.0.0.0/49153/80 tcp/0.0.0.0/49154/80";
        assert_eq!(kept(two, &["80", "80", "80"]), of(two, "80/tcp"));
        assert_eq!(kept("tcp/0.0.0.0/8003/80", &["8000-8010:80"]), of("tcp/0.0.0.0/8003/80", ""));
        let range = "tcp/0.0.0.0/8000/80 tcp/0.0.0.0/8001/81";
        assert_eq!(kept(range, &["8000-8002:80-82"]), of(range, "8002:82/tcp"));
        // The same host port leads to another container port.
        assert_eq!(kept(both, &["8080:81"]).0, "tcp/0.0.0.0/8080/81 tcp/::/8080/81");
        let own = "tcp/127.0.0.1/8080/80 tcp/192.0.2.1/8080/80";
        assert_eq!(kept(own, &["8080:80", "127.0.0.1:8080:80"]), of(own, ""));
    }
}

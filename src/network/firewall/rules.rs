//! The rules of one state root as data: what the packet filter must do for each network and each
//! published port.
//!
//! The caller makes the rules from its records. The firewall puts the rules into the kernel, and
//! reads no records. To add a container's ports the firewall needs only the rules of this
//! container. To make all rules again, the firewall calls the caller's function `Collect`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::container_id::ContainerId;
use crate::error::Result;
use crate::network::naming::BRIDGE_PREFIX;
use crate::network::subnet::{Family, Subnet};
use crate::port::Protocol;

/// The rules that one network needs.
pub struct NetworkRules {
    /// The network's id.
    pub id: String,
    pub bridge: String,
    pub subnets: Vec<Subnet>,
    pub internal: bool,
    /// Whether the network's containers may reach each other.
    pub has_neighbours: bool,
    /// Whether packets to other machines get the host's address as their source.
    pub masquerades: bool,
}

/// The rule that one published port needs.
#[derive(Clone, PartialEq, Eq)]
pub struct PortRule {
    /// The id of the container, which becomes the rule's comment.
    pub owner: ContainerId,
    pub protocol: Protocol,
    /// The address and port on the host. An unspecified address means all addresses of the host.
    pub from: SocketAddr,
    /// The address and port of the container.
    pub to: SocketAddr,
}

/// All rules of a state root.
#[derive(Default)]
pub struct Rules {
    pub networks: Vec<NetworkRules>,
    pub ports: Vec<PortRule>,
}

/// Collects the rules of a state root: the rules of the networks with the given ids, and the rules
/// of the networks and the published ports of all containers except the given container.
pub type Collect<'a> = dyn Fn(&[&str], Option<&ContainerId>) -> Result<Rules> + 'a;

impl Rules {
    /// An example network and an example port. A rehearsal of their rules shows what the kernel
    /// supports.
    pub fn example() -> Rules {
        let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let subnets = vec![Subnet::around(address, 24)];
        let (from, to) = (SocketAddr::new(address, 1), SocketAddr::new(address, 1));
        let (owner, protocol) = (ContainerId::of_none(), Protocol::Tcp);
        let (id, bridge) = (String::new(), BRIDGE_PREFIX.to_owned());
        Rules {
            networks: vec![NetworkRules {
                id,
                bridge,
                subnets,
                internal: false,
                has_neighbours: true,
                masquerades: true,
            }],
            ports: vec![PortRule { owner, protocol, from, to }],
        }
    }

    /// Whether a network has an IPv6 subnet.
    pub fn has_ipv6(&self) -> bool {
        self.networks.iter().any(|network| network.has(Family::V6))
    }

    /// The bridges without mydocker's prefix, each of which needs rules of its own.
    pub fn unprefixed(&self) -> impl Iterator<Item = &str> {
        let bridges = self.networks.iter().map(|network| network.bridge.as_str());
        bridges.filter(|bridge| !bridge.starts_with(BRIDGE_PREFIX))
    }

    /// The ids of the containers that publish ports, without duplicates.
    pub fn owners(&self) -> Vec<ContainerId> {
        let mut owners: Vec<ContainerId> =
            self.ports.iter().map(|port| port.owner.clone()).collect();
        owners.dedup();
        owners
    }
}

impl NetworkRules {
    /// Whether the network has a subnet of this family.
    pub fn has(&self, family: Family) -> bool {
        self.subnets.iter().any(|subnet| subnet.family() == family)
    }
}

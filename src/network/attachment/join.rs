//! One endpoint of a container: its leases, its interface, and the container's names in the hosts
//! files on the network. A start and `network connect` on a running container call the same
//! functions.

use std::net::IpAddr;

use super::record::{Address, Endpoint};
use super::recover::{self, mac};
use crate::address::{Ip, Mac};
use crate::container_id::ContainerId;
use crate::error::{Context, Error, Result, fail};
use crate::network::endpoint::{self, NetworkNamespace, Plan};
use crate::network::interface::InterfaceOptions;
use crate::network::ipam::{self, IsAlive, LeaseRequest};
use crate::network::naming::DEFAULT;
use crate::network::ports::PortMap;
use crate::network::record::{DEFAULT_DRIVER, Network};
use crate::network::subnet::Family;
use crate::network::{bridge, link, names, parent, subinterface};
use crate::store::{OrEmpty, Roots};
use crate::sys::netlink::Socket;

/// A network that a container joins (Docker's EndpointSettings).
#[derive(Clone, Debug, Default)]
pub struct EndpointConfig {
    pub network: String,
    /// The first address of each family counts. If a family has none, `ipam` chooses a free
    /// address.
    pub addresses: Vec<IpAddr>,
    pub mac: Option<Mac>,
    /// The container's name and its aliases on this network.
    pub names: Vec<String>,
    /// `--link`: the name of another container, and an alias for it in this container only.
    pub links: Vec<(String, String)>,
    /// `--link-local-ip`: further addresses of the interface.
    pub link_local: Vec<IpAddr>,
    pub options: InterfaceOptions,
}

/// The container that joins a network.
pub struct Container<'a> {
    pub id: &'a ContainerId,
    pub name: &'a str,
    /// The host name, with the domain name if there is one.
    pub hostname: String,
    pub is_alive: IsAlive,
}

/// Leases the addresses of a new endpoint. `others` are the container's other endpoints. Fails for
/// example if `config` does not fit the network, or if an address or the interface's name is taken.
/// A failure releases the addresses that were leased.
pub fn lease(
    roots: &Roots,
    container: &Container<'_>,
    config: &EndpointConfig,
    network: &Network,
    others: &[Endpoint],
    ports: &[PortMap],
) -> Result<Endpoint> {
    for &address in &config.addresses {
        if network.pool(Family::of(address)).is_none() {
            fail!("address {address}: network {} has no subnet of its family", network.name);
        }
    }
    if let Some(direct) = &network.direct
        && direct.kind.has_mac_of_parent()
        && config.mac.is_some()
    {
        fail!(
            "network {}: an interface of {} {} has its parent's MAC address; leave --mac-address \
             out",
            network.name,
            direct.kind.driver(),
            direct.kind.mode()
        );
    }
    let mut addresses: Vec<Address> = Vec::with_capacity(network.pools.len());
    let mut leased: Vec<IpAddr> = Vec::with_capacity(network.pools.len());
    let (interface, link) = (name_interface(config, network, others)?, endpoint::invent_name()?);
    let interface_words = recover::write_interface(&interface, &link, config.mac);
    let ports_words = recover::write_ports(ports);
    let _change = network.lock(roots)?;
    let request = |address| LeaseRequest {
        address,
        id: container.id,
        names: &config.names,
        hostname: &container.hostname,
        interface: &interface_words,
        ports: &ports_words,
        links: &config.links,
        is_alive: container.is_alive,
    };
    for pool in &network.pools {
        let family = pool.subnet.family();
        let wanted = config.addresses.iter().copied().find(|&address| family.has(address));
        let address = ipam::lease(roots, network, pool, &request(wanted)).inspect_err(|_| {
            for &address in &leased {
                // Report the first failure. A lease that stays behind is reclaimed later.
                let _ = ipam::release(roots, network, Some(address), container.id);
            }
        })?;
        leased.push(address);
        addresses.push(Address {
            address: Ip(address),
            prefix: pool.subnet.prefix(),
            gateway: OrEmpty(network.gateway(pool).map(Ip)),
        });
    }
    if network.pools.is_empty() {
        ipam::enroll(roots, network, &request(None))?;
    }
    Ok(Endpoint {
        network: network.name.clone(),
        network_id: network.id.clone(),
        interface,
        link,
        mac: config.mac.or_else(|| mac(network, &leased, container.id)),
        addresses,
        direct: network.direct.is_some().then_some(true),
    })
}

/// The name of a new interface: the user's choice, otherwise the network's prefix and the first
/// free number.
fn name_interface(
    config: &EndpointConfig,
    network: &Network,
    others: &[Endpoint],
) -> Result<String> {
    let holder = |name: &str| others.iter().find(|other| other.interface == name);
    if let Some(name) = &config.options.name {
        return match holder(name) {
            None => Ok(name.clone()),
            Some(other) => fail!(
                "interface name {name}: the container's interface on network {} has it; choose \
                 another",
                other.network
            ),
        };
    }
    let prefix = network.interface_prefix();
    let mut names = (0..=others.len()).map(|number| format!("{prefix}{number}"));
    // The list has one name more than `others`, so at least one name is free.
    Ok(names.find(|name| holder(name).is_none()).unwrap_or_default())
}

/// Makes the veth pair, or the interface on the parent. Returns false if the kernel can't keep the
/// container off the host's loopback.
pub fn connect(
    roots: &Roots,
    host: &mut Socket,
    namespace: &mut NetworkNamespace,
    network: &Network,
    endpoint: &Endpoint,
    config: &EndpointConfig,
    is_default: bool,
) -> Result<bool> {
    let addresses: Vec<IpAddr> = endpoint.ip_addresses().collect();
    let plan = Plan {
        name: &endpoint.link,
        interface: &endpoint.interface,
        mac: endpoint.mac,
        addresses: &addresses,
        link_local: &config.link_local,
        sysctls: &config.options.sysctls,
        is_default,
    };
    let mut connect = || match &network.direct {
        None => {
            let (bridge, _) = bridge::ensure(host, roots, network)?;
            endpoint::connect(host, namespace, bridge, network, &plan)
        }
        Some(direct) => {
            let parent = parent::ensure(host, roots, network, direct)?;
            subinterface::connect(host, namespace, parent, network, direct, &plan)?;
            // This interface needs no filter: mydocker sets `route_localnet` only on bridges.
            Ok(true)
        }
    };
    connect().context(|| format!("connect to network {}", network.name))
}

/// Removes the endpoint's interface. Removing the host's end of a veth pair removes the other end
/// too.
pub fn delete(host: &mut Socket, endpoint: &Endpoint) -> Result<()> {
    if endpoint.is_direct() {
        subinterface::remove(host, &endpoint.link, &endpoint.interface)
    } else {
        link::delete(host, &endpoint.link)
    }
}

/// Adds the container to the hosts files of all containers on the network, and the other containers
/// to its own file. On the default network, writes only the container's own addresses into its own
/// file. Returns the errors of files that could not be written.
pub fn write_names(
    roots: &Roots,
    container: &Container<'_>,
    network: &Network,
    endpoint: &Endpoint,
) -> Result<Vec<Error>> {
    let addresses: Vec<IpAddr> = endpoint.ip_addresses().collect();
    if !has_names(network) {
        let (id, hostname) = (container.id, &container.hostname);
        let written = names::write_own_section(roots, id, &network.name, &addresses, hostname);
        return Ok(written.err().into_iter().collect());
    }
    let _change = network.lock(roots)?;
    Ok(names::write_sections(roots, &network.name, &ipam::leases(roots, network)?))
}

/// A network that a container has left.
pub struct Left {
    pub driver: &'static str,
    /// The errors of hosts files that could not be written.
    pub unwritten: Vec<Error>,
}

/// Releases an endpoint's leases and removes the container from the other containers' hosts files.
pub fn leave(roots: &Roots, id: &ContainerId, endpoint: &Endpoint) -> Result<Left> {
    let Some(network) = Network::read(roots, &endpoint.network)? else {
        return Ok(Left { driver: DEFAULT_DRIVER, unwritten: Vec::new() });
    };
    let mut left = Left { driver: network.driver(), unwritten: Vec::new() };
    let _change = network.lock(roots)?;
    for address in endpoint.ip_addresses() {
        ipam::release(roots, &network, Some(address), id)?;
    }
    if endpoint.addresses.is_empty() {
        ipam::release(roots, &network, None, id)?;
    }
    if has_names(&network) {
        let leases = ipam::leases(roots, &network)?;
        left.unwritten = names::write_sections(roots, &network.name, &leases);
    }
    Ok(left)
}

/// Whether containers on the network find each other by name. As in Docker, containers on the
/// default network do so only by `--link`.
pub fn has_names(network: &Network) -> bool {
    network.name != DEFAULT
}

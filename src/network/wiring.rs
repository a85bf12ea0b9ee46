//! What one running container has of networks, from its start to its end.
//!
//! `<run>/<id>/network.json` says what there is: written before anything is made on the host, so
//! that whoever cleans up after the container, however it ended, knows what to take back. In order:
//! leases and ports, the file, the links, the firewall's rules, the names. The file goes last when
//! all is undone: killed before that, it is all done again.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use miniserde::{Deserialize, Serialize};
use rustix::process::Pid;

use super::config::{self, Network};
pub use super::endpoint::Inside;
use super::endpoint::{self, Plan};
use super::firewall::PortRule;
use super::ipam::{self, Applicant, IsAlive};
use super::link::{self, Mac, format_mac, parse_mac};
use super::ports::{self, Claimed, Defaults, PortMap, Publish};
use super::{bridge, conntrack, firewall, names};
use crate::error::{Context, Error, Result, fail};
use crate::store::{self, Durability, Roots};
use crate::sys::netlink::Socket;

/// A network that a container is to be on.
#[derive(Clone, Debug, Default)]
pub struct Want {
    pub network: String,
    /// One of a family at most; the others are chosen.
    pub addresses: Vec<IpAddr>,
    pub mac: Option<Mac>,
    /// What it is called there: its name and aliases.
    pub names: Vec<String>,
}

/// Who is wired up.
pub struct Who<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub hostname: &'a str,
    pub is_alive: IsAlive,
}

/// The file's content.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Wiring {
    /// The container's name.
    pub name: String,
    pub endpoints: Vec<Endpoint>,
    pub ports: Vec<PortMap>,
}

/// One interface of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    pub network: String,
    pub network_id: String,
    /// Inside the container.
    pub interface: String,
    /// The host's end.
    pub link: String,
    pub mac: String,
    pub addresses: Vec<Address>,
}

/// One address of an interface.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Address {
    pub address: String,
    pub prefix: u8,
    /// Empty in an internal network.
    pub gateway: String,
}

impl Wiring {
    /// What the container has now; nothing if it isn't on a network.
    pub fn read(roots: &Roots, id: &str) -> Result<Wiring> {
        Ok(store::read_json(&path(roots, id))?.unwrap_or_default())
    }

    /// The rules that the firewall needs for it: ports lead to the first address of their family by
    /// which the container has a way out.
    pub fn port_rules(&self, id: &str) -> Result<Vec<PortRule>> {
        let mut rules = Vec::with_capacity(self.ports.len());
        for map in &self.ports {
            let from = map.socket_address()?;
            if let Some(target) = self.target(from.is_ipv4()) {
                rules.push(PortRule {
                    owner: id.to_owned(),
                    protocol: map.protocol(),
                    from,
                    to: SocketAddr::new(target, map.container_port),
                });
            }
        }
        Ok(rules)
    }

    fn target(&self, ipv4: bool) -> Option<IpAddr> {
        let addresses = self.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
        let open = addresses.filter(|address| !address.gateway.is_empty());
        let mut open = open.filter_map(|address| address.address.parse::<IpAddr>().ok());
        open.find(|address| address.is_ipv4() == ipv4)
    }

    fn write(&self, roots: &Roots, id: &str) -> Result<()> {
        store::replace_json(&path(roots, id), self, Durability::Lazy)
    }
}

impl Endpoint {
    /// All addresses, as types.
    pub fn ip_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().filter_map(|address| address.address.parse().ok())
    }
}

/// The ids of all containers that have, or may have, something of networks.
pub fn all_ids(roots: &Roots) -> Result<Vec<String>> {
    let mut names = store::list(&roots.run)?;
    // What else lies there is no container's.
    names.retain(|name| name.len() == 64);
    Ok(names)
}

fn path(roots: &Roots, id: &str) -> PathBuf {
    roots.run_dir(id).join("network.json")
}

/// Wires a container up whose first process is `pid`; gives the sockets that hold its published
/// ports. If it fails, `take_down` takes back what was done.
pub fn set_up(
    roots: &Roots,
    choice: firewall::Choice,
    pid: Pid,
    who: &Who<'_>,
    wants: &[Want],
    publish: &[Publish],
) -> Result<Vec<OwnedFd>> {
    if wants.is_empty() {
        return Ok(Vec::new());
    }
    let (name, endpoints, ports) = (who.name.to_owned(), Vec::new(), Vec::new());
    let mut wiring = Wiring { name, endpoints, ports };
    let mut networks = Vec::with_capacity(wants.len());
    for want in wants {
        let network = Network::open(roots, &want.network)?;
        let endpoint = lease(roots, who, want, &network, wiring.endpoints.len());
        wiring.endpoints.push(endpoint.inspect_err(|_| give_back(roots, who.id, &wiring))?);
        networks.push(network);
    }
    let held = claim(roots, &mut wiring, &networks, publish)
        .and_then(|held| wiring.write(roots, who.id).map(|()| held))
        .inspect_err(|_| give_back(roots, who.id, &wiring))?;
    let mut host = Socket::route()?;
    let mut inside = Inside::open(pid)?;
    let default = networks.iter().position(|network| !network.internal);
    let mut guarded = true;
    for (at, (network, endpoint)) in networks.iter().zip(&wiring.endpoints).enumerate() {
        let is_default = default == Some(at);
        guarded &= connect_endpoint(roots, &mut host, &mut inside, network, endpoint, is_default)?;
    }
    let members: Vec<&Network> = networks.iter().collect();
    open_ports(roots, choice, &mut host, &members, &wiring, who.id)?;
    open_loopback(&members, &wiring.port_rules(who.id)?, guarded)?;
    for (network, endpoint) in networks.iter().zip(&wiring.endpoints) {
        // The monitor has nobody to warn: a container whose file can't be written lacks the names.
        tell(roots, who, network, endpoint)?;
    }
    Ok(held)
}

/// Claims the host's ports, before anything is made on the host.
fn claim(
    roots: &Roots,
    wiring: &mut Wiring,
    networks: &[Network],
    publish: &[Publish],
) -> Result<Vec<OwnedFd>> {
    if publish.is_empty() {
        return Ok(Vec::new());
    }
    let Some(network) = networks.iter().find(|network| !network.internal) else {
        fail!("ports can't be published: network {} is internal", networks[0].name)
    };
    let default = |ipv4: bool| {
        wiring.target(ipv4).map(|_| match network.publish_address {
            Some(address) if address.is_ipv4() == ipv4 => address,
            _ => ports::anywhere(ipv4),
        })
    };
    let mut defaults = Defaults { ipv4: default(true), ipv6: default(false) };
    // Who narrowed one family down didn't mean the other to be open to all.
    match network.publish_address {
        Some(IpAddr::V4(_)) => defaults.ipv6 = None,
        Some(IpAddr::V6(_)) => defaults.ipv4 = None,
        None => {}
    }
    let Claimed { maps, held } = ports::claim(roots, publish, &defaults)?;
    if let Some(map) = maps
        .iter()
        .find(|map| map.socket_address().is_ok_and(|from| wiring.target(from.is_ipv4()).is_none()))
    {
        fail!(
            "port {} can't be published on {}: the container has no address of its family",
            map.container_port,
            map.address
        );
    }
    wiring.ports = maps;
    Ok(held)
}

/// Sees to it that the firewall lets the networks and the ports through.
fn open_ports(
    roots: &Roots,
    choice: firewall::Choice,
    host: &mut Socket,
    networks: &[&Network],
    wiring: &Wiring,
    id: &str,
) -> Result<()> {
    let rules = wiring.port_rules(id)?;
    firewall::set_up(roots, choice, networks, id, &rules)?;
    conntrack::forget(host, &rules)
}

/// Lets the host's 127.0.0.1 reach the ports, if the containers are kept off it. On a kernel that
/// can't do that, ports answer on the other addresses only.
fn open_loopback(networks: &[&Network], rules: &[PortRule], guarded: bool) -> Result<()> {
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

/// Takes back all that a container has of networks, whoever ended it. What is gone already is no
/// error; of several failures the first is told, and the rest done.
pub fn take_down(roots: &Roots, id: &str) -> Result<()> {
    let wiring = Wiring::read(roots, id)?;
    if wiring.endpoints.is_empty() {
        return Ok(());
    }
    let mut first = close_ports(roots, id, &wiring);
    let mut host = Socket::route()?;
    // The namespace lives on with the container that joined it, so the links must be removed here.
    let mark = roots.network_joined_mark(id);
    let is_joined = mark.exists();
    for endpoint in &wiring.endpoints {
        let cut_off = match is_joined {
            true => link::delete(&mut host, &endpoint.link),
            false => endpoint::silence(&mut host, &endpoint.link),
        };
        let left = leave(roots, id, endpoint).map(drop);
        first = first.and(cut_off).and(left);
    }
    first?;
    if is_joined {
        store::remove_file(&mark)?;
    }
    store::remove_file(&path(roots, id))
}

/// Takes the rules of the container's ports away, and strikes the ports from its wiring.
fn close_ports(roots: &Roots, id: &str, wiring: &Wiring) -> Result<()> {
    if wiring.ports.is_empty() {
        return Ok(());
    }
    let without = Wiring { ports: Vec::new(), ..wiring.clone() };
    firewall::take_down(roots, id, &wiring.port_rules(id)?, || without.write(roots, id))
}

/// Connects a running container to one more network. Returns why hosts files could not be written.
///
/// The order is: leases, the wiring, the link, the firewall's rules, the names; the caller then puts
/// the network on the container's record. Killed before that, `finish` undoes it.
pub fn connect(
    roots: &Roots,
    choice: firewall::Choice,
    mut inside: Inside,
    who: &Who<'_>,
    want: &Want,
) -> Result<Vec<Error>> {
    let mut wiring = Wiring::read(roots, who.id)?;
    let network = Network::open(roots, &want.network)?;
    if wiring.endpoints.iter().any(|endpoint| endpoint.network == network.name) {
        fail!("the container is on network {} already", network.name);
    }
    let number = (0..).find(|number| {
        !wiring.endpoints.iter().any(|endpoint| endpoint.interface == format!("eth{number}"))
    });
    let endpoint = lease(roots, who, want, &network, number.unwrap_or(0))?;
    wiring.endpoints.push(endpoint.clone());
    wiring.write(roots, who.id)?;
    let mut make = || -> Result<Vec<Error>> {
        let mut host = Socket::route()?;
        let is_default = wiring.endpoints.len() == 1;
        connect_endpoint(roots, &mut host, &mut inside, &network, &endpoint, is_default)?;
        firewall::set_up(roots, choice, &[&network], who.id, &[])?;
        tell(roots, who, &network, &endpoint)
    };
    make().inspect_err(|_| {
        // The user must see the failure to connect.
        let _ = disconnect(roots, who.id, &network.name);
    })
}

/// Disconnects a running container from a network. Returns why hosts files could not be written.
///
/// The caller has taken the network off the container's record. The endpoint leaves the wiring after
/// the link and the leases are gone: killed before that, `finish` does all of it again. A step that
/// is done already is no failure.
pub fn disconnect(roots: &Roots, id: &str, network: &str) -> Result<Vec<Error>> {
    let mut wiring = Wiring::read(roots, id)?;
    let Some(at) = wiring.endpoints.iter().position(|endpoint| endpoint.network == network) else {
        return Ok(Vec::new());
    };
    let endpoint = &wiring.endpoints[at];
    link::delete(&mut Socket::route()?, &endpoint.link)?;
    let mut unwritten = leave(roots, id, endpoint)?;
    unwritten.extend(names::put_section(roots, id, network, "").err());
    // The way that its ports took may have been this one.
    let before = wiring.port_rules(id)?;
    wiring.endpoints.remove(at);
    let after = wiring.port_rules(id)?;
    if before == after {
        wiring.write(roots, id)?;
    } else {
        // The ports stay in the wiring: killed before they have their new rules, `finish` makes them.
        firewall::take_down(roots, id, &before, || wiring.write(roots, id))?;
        firewall::set_up(roots, firewall::Choice::Auto, &[], id, &after)?;
    }
    Ok(unwritten)
}

/// Repairs a running container that a killed `connect` or `disconnect` left half-changed. `recorded`
/// says whether the container's record names a network: an endpoint of any other one goes, and so
/// does a lease on `network` without an endpoint. Returns whether an endpoint on `network` went.
pub fn finish(
    roots: &Roots,
    id: &str,
    network: &Network,
    recorded: impl Fn(&str) -> bool,
) -> Result<bool> {
    let mut finished = false;
    for endpoint in Wiring::read(roots, id)?.endpoints {
        if !recorded(&endpoint.network) {
            // The killed command is gone: its warnings are of no use.
            let _unwritten = disconnect(roots, id, &endpoint.network)?;
            finished |= endpoint.network == network.name;
        }
    }
    let wiring = Wiring::read(roots, id)?;
    let rules = wiring.port_rules(id)?;
    if !rules.is_empty() {
        firewall::set_up(roots, firewall::Choice::Auto, &[], id, &rules)?;
    }
    if !wiring.endpoints.iter().any(|endpoint| endpoint.network == network.name) {
        let _change = network.lock(roots)?;
        for lease in ipam::leases(roots, network)? {
            ipam::release(roots, network, lease.address, id)?;
        }
    }
    Ok(finished)
}

/// Makes again what others took away from running containers: bridges, ports of bridges, forwarding
/// and the firewall's rules.
pub fn reload(roots: &Roots, choice: firewall::Choice) -> Result<()> {
    let mut host = Socket::route()?;
    let mut used = Vec::new();
    let mut guarded = true;
    for id in all_ids(roots)? {
        for endpoint in Wiring::read(roots, &id)?.endpoints {
            let Some(network) = Network::read(roots, &endpoint.network)? else { continue };
            let (bridge, _) = bridge::ensure(&mut host, roots, &network)?;
            guarded &= endpoint::plug(&mut host, &endpoint.link, &network, bridge)?;
            if !used.iter().any(|other: &Network| other.id == network.id) {
                bridge::forward(&network)?;
                used.push(network);
            }
        }
    }
    let used: Vec<&Network> = used.iter().collect();
    firewall::reload(roots, choice, &used)?;
    for id in all_ids(roots)? {
        open_loopback(&used, &Wiring::read(roots, &id)?.port_rules(&id)?, guarded)?;
    }
    Ok(())
}

/// After a boot: makes the bridges of the networks that were created, used or not; and all else, if
/// containers run whose rules are lost. What isn't needed isn't touched.
pub fn restore(roots: &Roots, choice: firewall::Choice) -> Result<()> {
    let mut networks = config::known(roots)?;
    // That one's is made when it is used.
    networks.retain(|network| network.name != config::DEFAULT);
    if !networks.is_empty() {
        let mut host = Socket::route()?;
        networks
            .iter()
            .try_for_each(|network| bridge::ensure(&mut host, roots, network).map(drop))?;
    }
    match firewall::flaws(roots)?.is_empty() {
        true => Ok(()),
        false => reload(roots, choice),
    }
}

/// Changes what a running container is called: `new` for `old`.
pub fn rename(roots: &Roots, id: &str, old: &str, new: &str) -> Result<()> {
    let mut wiring = Wiring::read(roots, id)?;
    if wiring.endpoints.is_empty() {
        return Ok(());
    }
    wiring.name = new.to_owned();
    wiring.write(roots, id)?;
    for endpoint in &wiring.endpoints {
        let Some(network) = Network::read(roots, &endpoint.network)? else { continue };
        let _names = network.lock(roots)?;
        let mut leases = ipam::leases(roots, &network)?;
        for lease in leases.iter_mut().filter(|lease| lease.owner == id) {
            for name in lease.names.iter_mut().filter(|name| *name == old) {
                *name = new.to_owned();
            }
            ipam::rename(roots, &network, lease)?;
        }
        if knows_names(&network) {
            // The container has its new name, whatever a neighbour does to its hosts file.
            let _unwritten = names::tell(roots, &network.name, &leases);
        }
    }
    Ok(())
}

/// As in Docker, the default network is too large a company for everyone to know everyone.
fn knows_names(network: &Network) -> bool {
    network.name != config::DEFAULT
}

fn lease(
    roots: &Roots,
    who: &Who<'_>,
    want: &Want,
    network: &Network,
    number: usize,
) -> Result<Endpoint> {
    for address in &want.addresses {
        if network.pool(address.is_ipv4()).is_none() {
            fail!("address {address}: network {} has no subnet of its family", network.name);
        }
    }
    let mut addresses: Vec<Address> = Vec::with_capacity(network.pools.len());
    let mut taken: Vec<IpAddr> = Vec::with_capacity(network.pools.len());
    let _giving_out = network.lock(roots)?;
    for pool in &network.pools {
        let ipv4 = pool.subnet.is_ipv4();
        let wanted = want.addresses.iter().copied().find(|address| address.is_ipv4() == ipv4);
        let Who { id, hostname, is_alive, .. } = *who;
        let applicant = Applicant { id, names: &want.names, hostname, is_alive };
        let leased = ipam::lease(roots, network, pool, wanted, &applicant).inspect_err(|_| {
            for &address in &taken {
                // The failure is what the user must hear of; a stray lease is reclaimed.
                let _ = ipam::release(roots, network, address, who.id);
            }
        })?;
        taken.push(leased);
        let gateway = if network.internal { String::new() } else { pool.gateway.to_string() };
        let prefix = pool.subnet.prefix();
        addresses.push(Address { address: leased.to_string(), prefix, gateway });
    }
    let mac = want.mac.unwrap_or_else(|| bridge::container_mac(&taken));
    Ok(Endpoint {
        network: network.name.clone(),
        network_id: network.id.clone(),
        interface: format!("eth{number}"),
        link: endpoint::invent_name()?,
        mac: format_mac(mac),
        addresses,
    })
}

fn connect_endpoint(
    roots: &Roots,
    host: &mut Socket,
    inside: &mut Inside,
    network: &Network,
    endpoint: &Endpoint,
    is_default: bool,
) -> Result<bool> {
    let (bridge, _) = bridge::ensure(host, roots, network)?;
    let addresses: Vec<IpAddr> = endpoint.ip_addresses().collect();
    let plan = Plan {
        name: &endpoint.link,
        interface: &endpoint.interface,
        mac: parse_mac(&endpoint.mac)?,
        addresses: &addresses,
        is_default,
    };
    endpoint::connect(host, inside, bridge, network, &plan)
        .context(|| format!("connect to network {}", network.name))
}

/// Puts the container into the hosts files of the others on the network, and them into its own.
/// Returns why files could not be written.
fn tell(
    roots: &Roots,
    who: &Who<'_>,
    network: &Network,
    endpoint: &Endpoint,
) -> Result<Vec<Error>> {
    let addresses: Vec<IpAddr> = endpoint.ip_addresses().collect();
    if !knows_names(network) {
        let told = names::tell_itself(roots, who.id, &network.name, &addresses, who.hostname);
        return Ok(told.err().into_iter().collect());
    }
    let _names = network.lock(roots)?;
    Ok(names::tell(roots, &network.name, &ipam::leases(roots, network)?))
}

/// Gives an endpoint's leases back and takes the container out of the others' hosts files. Returns
/// why files could not be written.
fn leave(roots: &Roots, id: &str, endpoint: &Endpoint) -> Result<Vec<Error>> {
    let Some(network) = Network::read(roots, &endpoint.network)? else { return Ok(Vec::new()) };
    let _change = network.lock(roots)?;
    for address in endpoint.ip_addresses() {
        ipam::release(roots, &network, address, id)?;
    }
    if !knows_names(&network) {
        return Ok(Vec::new());
    }
    Ok(names::tell(roots, &network.name, &ipam::leases(roots, &network)?))
}

fn give_back(roots: &Roots, id: &str, wiring: &Wiring) {
    for endpoint in &wiring.endpoints {
        // The user must see the failure that led here; a stray lease is reclaimed.
        let _ = leave(roots, id, endpoint);
    }
}

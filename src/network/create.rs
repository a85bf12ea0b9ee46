//! Creates networks: those of the user, and the default network when it is first needed. Also finds
//! the network that a user names.
//!
//! If the user chose no name for a bridge, the name is a prefix and random digits, so that two
//! state roots don't choose the same name. The exception is the default network of the default
//! state root: its bridge has a fixed name. This file writes the record and makes no link. A kill
//! leaves either no record or a complete one.

use std::net::IpAddr;

use super::alias;
use super::direct::Origin;
use super::link;
use super::naming::{
    BRIDGE_PREFIX, DEFAULT, DEFAULT_BRIDGE, WITHOUT_BRIDGE, fixed_id, given, is_default_root,
    is_valid,
};
use super::parent::{self, DirectOptions};
use super::pool::{self, PoolOptions};
use super::record::{Network, VERSION, known, lock_all};
use super::subnet::Subnet;
use crate::address::Ip;
use crate::error::{Error, Result, fail};
use crate::hex::random_digits;
use crate::store::Roots;
use crate::sys::netlink::Socket;
use crate::time::Instant;

/// The options of `network create`.
#[derive(Clone, Debug, Default)]
pub struct NetworkOptions {
    pub name: String,
    pub internal: bool,
    pub pools: PoolOptions,
    pub mtu: Option<u32>,
    pub publish_address: Option<IpAddr>,
    pub labels: Vec<(String, String)>,
    /// The `-o` options as given.
    pub options: Vec<(String, String)>,
    /// The bridge's name; if `None`, one is generated.
    pub bridge: Option<String>,
    pub attachable: bool,
    /// `--aux-address`: pairs of a name and an address that containers never get.
    pub auxiliary: Vec<(String, IpAddr)>,
    pub ipam_options: Vec<(String, String)>,
    /// `--ipam-driver null`: the network leases no addresses.
    pub without_addresses: bool,
    /// Set for the drivers macvlan and ipvlan.
    pub direct: Option<DirectOptions>,
    /// `--config-only`, which fails: mydocker has no networks that are templates of others.
    pub config_only: bool,
}

/// The network with this name. The default network is created if it does not exist.
pub fn open(roots: &Roots, name: &str) -> Result<Network> {
    match Network::read(roots, name)? {
        Some(network) => Ok(network),
        None if name == DEFAULT => make_default(roots),
        None => {
            fail!("no such network: {name}; `mydocker network ls` lists the networks")
        }
    }
}

/// All networks, in the order of `known`. Creates the default network if it does not exist.
pub fn all(roots: &Roots) -> Result<Vec<Network>> {
    open(roots, DEFAULT)?;
    known(roots)
}

/// A network that a user named.
pub enum Found {
    Network(Box<Network>),
    /// The names `host` and `none`, which have no bridge.
    WithoutBridge(&'static str),
}

/// The network with this name, otherwise the network whose id starts with `name`. Fails if there is
/// no such network, or if several ids start with `name`.
pub fn find(roots: &Roots, name: &str) -> Result<Found> {
    let name = given(name);
    if let Some(special) = WITHOUT_BRIDGE.iter().find(|special| **special == name) {
        return Ok(Found::WithoutBridge(special));
    }
    if name == DEFAULT {
        return Ok(Found::Network(Box::new(open(roots, name)?)));
    }
    if is_valid(name)
        && let Some(network) = Network::read(roots, name)?
    {
        return Ok(Found::Network(Box::new(network)));
    }
    let mut found: Vec<Found> = Vec::new();
    if !name.is_empty() && name.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        let networks = all(roots)?.into_iter().filter(|network| network.id.starts_with(name));
        found.extend(networks.map(|network| Found::Network(Box::new(network))));
        let special = WITHOUT_BRIDGE.into_iter();
        let special = special.filter(|special| fixed_id(roots, special).starts_with(name));
        found.extend(special.map(Found::WithoutBridge));
    }
    match (found.len(), found.pop()) {
        (1, Some(found)) => Ok(found),
        (0, _) | (_, None) => Err(Error::absent(format!(
            "no such network: {name}; `mydocker network ls` lists the networks"
        ))),
        _ => fail!("'{name}' is ambiguous: several network ids start with it"),
    }
}

/// Creates a network: chooses its subnets and writes its record. Fails for example if the name is
/// taken.
pub fn create(roots: &Roots, options: &NetworkOptions) -> Result<Network> {
    let _choice = lock_all(roots)?;
    if Network::read(roots, &options.name)?.is_some() || options.name == DEFAULT {
        fail!("network {} already exists", options.name);
    }
    let network = describe(roots, options)?;
    network.write(roots)?;
    Ok(network)
}

fn make_default(roots: &Roots) -> Result<Network> {
    let _choice = lock_all(roots)?;
    if let Some(network) = Network::read(roots, DEFAULT)? {
        return Ok(network);
    }
    let options = NetworkOptions { name: DEFAULT.to_owned(), ..NetworkOptions::default() };
    let mut network = describe(roots, &options)?;
    if is_default_root(roots) {
        network.bridge = Some(DEFAULT_BRIDGE.to_owned());
    }
    network.write(roots)?;
    Ok(network)
}

fn describe(roots: &Roots, options: &NetworkOptions) -> Result<Network> {
    let mut socket = Socket::route()?;
    let others = known(roots)?;
    let taken: Vec<(&str, Subnet)> = others
        .iter()
        .flat_map(|other| other.pools.iter().map(|pool| (other.name.as_str(), pool.subnet)))
        .collect();
    let shares_subnet = options.direct.is_some();
    let routes = link::routes(&mut socket)?;
    let pools = if options.without_addresses {
        refuse_addresses(options)?;
        Vec::new()
    } else {
        pool::plan(roots, &options.pools, &taken, &routes, shares_subnet)?
    };
    for (name, address) in &options.auxiliary {
        let Some(pool) = pools.iter().find(|pool| pool.subnet.contains(*address)) else {
            fail!("--aux-address {name}={address} lies in no subnet of the network");
        };
        if pool.gateway.0 == *address {
            fail!("--aux-address {name}={address} is the gateway's; choose another");
        }
    }
    let id = random_digits()?;
    let alias = alias::of(roots, &options.name);
    let direct = match &options.direct {
        Some(wanted) => Some(parent::choose(&mut socket, &id, &alias, wanted, &others)?),
        None => None,
    };
    let bridge = match &options.bridge {
        _ if direct.is_some() => None,
        Some(name) => Some(free_bridge_name(&mut socket, &alias, name, &others)?),
        None => Some(bridge_name(&mut socket, &id, &others)?),
    };
    let list = |items: Vec<(String, String)>| Some(items).filter(|items| !items.is_empty());
    let auxiliary: Vec<(String, Ip)> =
        options.auxiliary.iter().map(|(name, address)| (name.clone(), Ip(*address))).collect();
    Ok(Network {
        version: VERSION,
        name: options.name.clone(),
        created: Instant::now().0,
        bridge,
        id,
        pools,
        // As in Docker, a network on a dummy interface is internal: no packet leaves through the
        // dummy.
        internal: options.internal
            || direct.as_ref().is_some_and(|direct| direct.origin == Origin::Dummy),
        mtu: options.mtu,
        publish_address: options.publish_address.map(Ip),
        labels: options.labels.clone(),
        options: options.options.clone(),
        attachable: Some(true).filter(|_| options.attachable),
        auxiliary: Some(auxiliary).filter(|auxiliary| !auxiliary.is_empty()),
        ipam_options: list(options.ipam_options.clone()),
        direct,
    })
}

/// Fails if an option is about addresses, although the network leases none. Also fails if the
/// network needs addresses, because it has a bridge or its parent routes. On a network that leases
/// no addresses, a DHCP server on the parent's LAN can assign them.
fn refuse_addresses(options: &NetworkOptions) -> Result<()> {
    let pools = &options.pools;
    let is_plain = pools.subnets.is_empty() && pools.gateways.is_empty() && pools.ranges.is_empty();
    if !is_plain || pools.ipv6 {
        fail!(
            "--ipam-driver null gives no addresses: leave out --subnet, --gateway, --ip-range and --ipv6"
        );
    }
    match &options.direct {
        Some(direct) if direct.kind.has_gateway() => Ok(()),
        Some(_) => fail!(
            "--ipam-driver null: in this mode the parent routes by the containers' addresses; use l2"
        ),
        None => fail!(
            "--ipam-driver null: a bridge needs a subnet; the drivers macvlan and ipvlan do without"
        ),
    }
}

/// The name that the user chose for a bridge. Fails if the name is bad or reserved for the default
/// network, if a link or another network's record has the name already, or if the name lacks
/// mydocker's prefix and `alias` is too long. Docker uses an existing bridge. mydocker refuses an
/// existing bridge: the bridge's other ports would be on the network too, and `network rm` could
/// not know whether to remove the bridge.
fn free_bridge_name(
    socket: &mut Socket,
    alias: &str,
    name: &str,
    others: &[Network],
) -> Result<String> {
    if !link::is_plain_name(name) {
        fail!("bad bridge name '{name}': {}", link::NAME_RULE);
    }
    if !name.starts_with(BRIDGE_PREFIX) && alias.len() > link::MAX_ALIAS {
        fail!(
            "bridge name '{name}': the path of the state directory is too long to mark the bridge \
             with it; choose a name that starts with {BRIDGE_PREFIX}"
        );
    }
    if let Some(other) = others.iter().find(|other| other.bridge.as_deref() == Some(name)) {
        fail!("bridge name '{name}' belongs to network {}; choose another", other.name);
    }
    if name == DEFAULT_BRIDGE || link::find(socket, name)?.is_some() {
        fail!("the host has an interface named '{name}'; choose another");
    }
    Ok(name.to_owned())
}

/// A bridge name that is not in use, derived from the network's id.
fn bridge_name(socket: &mut Socket, id: &str, others: &[Network]) -> Result<String> {
    for start in (0..60).step_by(6) {
        let name = format!("{BRIDGE_PREFIX}-{}", &id[start..start + 6]);
        let is_taken = others.iter().any(|other| other.bridge.as_deref() == Some(&name));
        if !is_taken && link::find(socket, &name)?.is_none() {
            return Ok(name);
        }
    }
    fail!("no free name for a bridge was found")
}

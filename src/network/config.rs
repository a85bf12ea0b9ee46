//! Networks on record: `networks/<name>/config.json`.
//!
//! The default network is made when it is first needed. A network's bridge has a name of its own,
//! `mydocker-` and random digits: all bridges of ours can be told from others by one pattern, which
//! the firewall's rules use, and two state roots don't collide.

use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use miniserde::{Deserialize, Serialize};

use super::firewall;
use super::ipam::{self, IsAlive};
use super::link;
use super::pool::{self, Pool};
use super::subnet::Subnet;
use crate::error::{Context, Error, Result, fail};
use crate::store::{self, DEFAULT_ROOT, Durability, Lock, LockMode, Roots};
use crate::sys::netlink::Socket;
use crate::time::Instant;

/// The network that containers join by default; every state root has its own of that name.
pub const DEFAULT: &str = "mydocker0";
/// What every bridge of ours begins with.
pub const BRIDGE_PREFIX: &str = "mydocker";

const VERSION: u32 = 1;

/// A network.
#[derive(Clone, Debug)]
pub struct Network {
    pub name: String,
    /// 64 hexadecimal digits.
    pub id: String,
    /// Nanoseconds since 1970.
    pub created: i64,
    pub bridge: String,
    /// One of a family.
    pub pools: Vec<Pool>,
    /// No way out, and no published ports.
    pub internal: bool,
    /// `None`: that of the host's default route.
    pub mtu: Option<u32>,
    /// Where ports are published that say no address.
    pub publish_address: Option<IpAddr>,
    pub labels: Vec<(String, String)>,
    /// As given.
    pub options: Vec<(String, String)>,
}

/// What `network create` asks for.
#[derive(Clone, Debug, Default)]
pub struct NetworkOptions {
    pub name: String,
    pub internal: bool,
    pub ipv6: bool,
    /// Each with the address it was written with.
    pub subnets: Vec<(Subnet, IpAddr)>,
    pub gateways: Vec<IpAddr>,
    pub ranges: Vec<Subnet>,
    pub mtu: Option<u32>,
    pub publish_address: Option<IpAddr>,
    pub labels: Vec<(String, String)>,
    pub options: Vec<(String, String)>,
}

/// The file's content.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    name: String,
    id: String,
    created: i64,
    bridge: String,
    pools: Vec<StoredPool>,
    internal: bool,
    mtu: Option<u32>,
    publish_address: Option<String>,
    labels: Vec<(String, String)>,
    options: Vec<(String, String)>,
}

#[derive(Serialize, Deserialize)]
struct StoredPool {
    subnet: String,
    gateway: String,
    range: Option<String>,
}

impl Network {
    /// The network of that name; the default one is made if it isn't there yet.
    pub fn open(roots: &Roots, name: &str) -> Result<Network> {
        match Network::read(roots, name)? {
            Some(network) => Ok(network),
            None if name == DEFAULT => make_default(roots),
            None => {
                fail!("no such network: {name}; `mydocker network ls` lists the networks")
            }
        }
    }

    /// Reads the record of a network; `None` if there is none.
    pub fn read(roots: &Roots, name: &str) -> Result<Option<Network>> {
        let path = dir(roots, name).join("config.json");
        let Some(stored) = store::read_json::<Stored>(&path)? else { return Ok(None) };
        if stored.version != VERSION {
            fail!("{} is of version {}, not {VERSION}", path.display(), stored.version);
        }
        stored.lift().context(|| format!("read {}", path.display())).map(Some)
    }

    /// All networks, by name, the default one among them.
    pub fn all(roots: &Roots) -> Result<Vec<Network>> {
        Network::open(roots, DEFAULT)?;
        known(roots)
    }

    /// The one of `name`, or whose id begins so.
    pub fn resolve(roots: &Roots, name: &str) -> Result<Network> {
        if is_valid(name)
            && let Some(network) = Network::read(roots, name)?
        {
            return Ok(network);
        }
        let mut networks = Network::all(roots)?;
        networks.retain(|network| network.name == name || network.id.starts_with(name));
        match (networks.len(), networks.pop()) {
            (1, Some(network)) => Ok(network),
            (0, _) | (_, None) => fail!("no such network: {name}"),
            _ => fail!("'{name}' is ambiguous: several network ids start with it"),
        }
    }

    /// The pool that `address` is of the family of.
    pub fn pool(&self, ipv4: bool) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.subnet.is_ipv4() == ipv4)
    }

    /// Held while addresses are given out and names are told. Nobody gets it for a network that was
    /// removed meanwhile: what would be made then is on no record.
    pub fn lock(&self, roots: &Roots) -> Result<Lock> {
        let path = dir(roots, &self.name).join(".lock");
        let lock = match Lock::wait(&path, LockMode::Exclusive) {
            Err(error) if error.errno() == Some(rustix::io::Errno::NOENT) => None,
            lock => Some(lock?),
        };
        match (lock, Network::read(roots, &self.name)?) {
            (Some(lock), Some(present)) if present.id == self.id => Ok(lock),
            _ => fail!("network {} was removed at the same time", self.name),
        }
    }

    /// Writes the directory and the file: killed between them there is an empty directory, which
    /// the next `create` of that name takes over.
    fn write(&self, roots: &Roots) -> Result<()> {
        let dir = dir(roots, &self.name);
        store::make_dir(&roots.networks())?;
        match fs::DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => made.context(|| format!("make {}", dir.display()))?,
        }
        let stored = Stored {
            version: VERSION,
            name: self.name.clone(),
            id: self.id.clone(),
            created: self.created,
            bridge: self.bridge.clone(),
            pools: self
                .pools
                .iter()
                .map(|pool| StoredPool {
                    subnet: pool.subnet.to_string(),
                    gateway: pool.gateway.to_string(),
                    range: pool.range.map(|range| range.to_string()),
                })
                .collect(),
            internal: self.internal,
            mtu: self.mtu,
            publish_address: self.publish_address.map(|address| address.to_string()),
            labels: self.labels.clone(),
            options: self.options.clone(),
        };
        store::replace_json(&dir.join("config.json"), &stored, Durability::Synced)?;
        store::sync_parent(&dir)
    }
}

impl Stored {
    fn lift(self) -> Result<Network> {
        let address = |text: &str| -> Result<IpAddr> {
            text.parse().map_err(|_| Error::new(format!("'{text}' is no IP address")))
        };
        let mut pools = Vec::with_capacity(self.pools.len());
        for pool in &self.pools {
            pools.push(Pool {
                subnet: Subnet::parse(&pool.subnet)?.0,
                gateway: address(&pool.gateway)?,
                range: match &pool.range {
                    Some(range) => Some(Subnet::parse(range)?.0),
                    None => None,
                },
            });
        }
        if !self.bridge.starts_with(BRIDGE_PREFIX) || self.bridge.len() > link::MAX_NAME {
            fail!("'{}' is not a bridge of mydocker", self.bridge);
        }
        Ok(Network {
            name: self.name,
            id: self.id,
            created: self.created,
            bridge: self.bridge,
            pools,
            internal: self.internal,
            mtu: self.mtu,
            publish_address: self.publish_address.as_deref().map(address).transpose()?,
            labels: self.labels,
            options: self.options,
        })
    }
}

/// Where a network's files lie.
pub fn dir(roots: &Roots, name: &str) -> PathBuf {
    roots.networks().join(name)
}

/// Whether `name` can be a network's: also one component of a path.
pub fn is_valid(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// All networks that are on record.
pub fn known(roots: &Roots) -> Result<Vec<Network>> {
    let mut networks = Vec::new();
    let mut names = store::list(&roots.networks())?;
    names.sort_unstable();
    for name in names {
        networks.extend(Network::read(roots, &name)?);
    }
    Ok(networks)
}

/// One `create` at a time chooses a subnet.
pub(super) fn lock_all(roots: &Roots) -> Result<Lock> {
    store::make_dir(&roots.networks())?;
    Lock::wait(&roots.networks().join(".lock"), LockMode::Exclusive)
}

/// Records a new network.
pub fn create(roots: &Roots, options: &NetworkOptions) -> Result<Network> {
    let _choice = lock_all(roots)?;
    if Network::read(roots, &options.name)?.is_some() || options.name == DEFAULT {
        fail!("network {} already exists", options.name);
    }
    let network = describe(roots, options)?;
    network.write(roots)?;
    Ok(network)
}

/// Removes a network that nobody uses: its bridge, then its files. Killed in between, the network is
/// there and its bridge is made again when it is needed. Once it has come back, a power cut doesn't
/// bring the network back either.
pub fn remove(roots: &Roots, network: &Network, is_alive: IsAlive) -> Result<()> {
    let _choice = lock_all(roots)?;
    let _change = network.lock(roots)?;
    take_bridge_down(roots, network, is_alive)?;
    let removing = roots.networks().join(format!("{REMOVING}{}", network.id));
    let dir = dir(roots, &network.name);
    fs::rename(&dir, &removing).context(|| format!("remove {}", dir.display()))?;
    store::sync_parent(&dir)?;
    store::remove_tree(&removing)
}

/// How the hidden names of networks begin that are being removed.
const REMOVING: &str = ".removing-";

/// What removals that were cut short have left.
pub fn removals(roots: &Roots) -> Result<Vec<PathBuf>> {
    if !roots.networks().is_dir() {
        return Ok(Vec::new());
    }
    // Who removes one holds it.
    let _choice = lock_all(roots)?;
    store::hidden(&roots.networks(), |name| name.starts_with(REMOVING))
}

/// Removes the networks that no container uses and that are `wanted`, and returns their names. The
/// default one stays on record, without its bridge.
pub fn prune(
    roots: &Roots,
    is_alive: IsAlive,
    wanted: &dyn Fn(&Network) -> bool,
) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for network in known(roots)? {
        let is_used =
            ipam::leases(roots, &network)?.iter().any(|lease| is_alive(roots, &lease.owner));
        match network.name.as_str() {
            _ if is_used || !wanted(&network) => {}
            DEFAULT => {
                let _change = network.lock(roots)?;
                take_bridge_down(roots, &network, is_alive)?;
            }
            _ => {
                remove(roots, &network, is_alive)?;
                removed.push(network.name);
            }
        }
    }
    Ok(removed)
}

/// The caller holds the network's lock.
fn take_bridge_down(roots: &Roots, network: &Network, is_alive: IsAlive) -> Result<()> {
    ipam::reclaim(roots, network, is_alive)?;
    let leases = ipam::leases(roots, network)?;
    if let Some(lease) = leases.first() {
        let name = lease.names.first().map_or("", String::as_str);
        fail!(
            "network {} is in use by container {name}{}; stop or disconnect it first",
            network.name,
            if leases.len() > 1 { " and others" } else { "" }
        );
    }
    firewall::forget(roots, network)?;
    link::delete(&mut Socket::route()?, &network.bridge)
}

fn make_default(roots: &Roots) -> Result<Network> {
    let _choice = lock_all(roots)?;
    if let Some(network) = Network::read(roots, DEFAULT)? {
        return Ok(network);
    }
    let options = NetworkOptions { name: DEFAULT.to_owned(), ..NetworkOptions::default() };
    let mut network = describe(roots, &options)?;
    if roots.state.as_os_str() == DEFAULT_ROOT {
        network.bridge = DEFAULT.to_owned();
    }
    network.write(roots)?;
    Ok(network)
}

fn describe(roots: &Roots, options: &NetworkOptions) -> Result<Network> {
    let mut socket = Socket::route()?;
    let others = known(roots)?;
    let pools = pool::plan(roots, options, &others, &link::routes(&mut socket)?)?;
    let id = random_digits()?;
    Ok(Network {
        name: options.name.clone(),
        created: Instant::now().0,
        bridge: bridge_name(&mut socket, &id, &others)?,
        id,
        pools,
        internal: options.internal,
        mtu: options.mtu,
        publish_address: options.publish_address,
        labels: options.labels.clone(),
        options: options.options.clone(),
    })
}

/// A bridge name that nobody has.
fn bridge_name(socket: &mut Socket, id: &str, others: &[Network]) -> Result<String> {
    for start in (0..60).step_by(6) {
        let name = format!("{BRIDGE_PREFIX}-{}", &id[start..start + 6]);
        let is_taken = others.iter().any(|other| other.bridge == name);
        if !is_taken && link::find(socket, &name)?.is_none() {
            return Ok(name);
        }
    }
    fail!("no free name for a bridge was found")
}

/// 64 random hexadecimal digits.
pub fn random_digits() -> Result<String> {
    let mut bytes = [0u8; 32];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .context(|| "get random bytes")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// FNV-1a: tells state roots apart, nothing more.
pub fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

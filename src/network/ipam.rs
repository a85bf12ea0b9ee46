//! Addresses of containers: one file `networks/<name>/leases/<address>` for each leased address. On
//! a network without addresses, the file `leases/<id>` says that the container is on the network.
//!
//! Creating the file exclusively is the allocation, so no address is leased twice. The file's lines
//! are the container's id, its names on this network, its host name, its interface, its published
//! ports, and its links. A lease ends when its container ends or leaves the network. A lease that a
//! crash left is reclaimed later, for example when a user requests the address, when no other
//! address is free, or by `system check --repair`.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::naming::dir;
use super::pool::Pool;
use super::record::Network;
use super::subnet::Family;
use crate::container_id::ContainerId;
use crate::error::{Context, Result, fail};
use crate::order;
use crate::store::{self, Durability, Roots};

/// The lease of a container on a network.
#[derive(Clone, Debug)]
pub struct Lease {
    /// `None` on a network without addresses.
    pub address: Option<IpAddr>,
    /// The container's id.
    pub owner: ContainerId,
    /// The container's names on this network.
    pub names: Vec<String>,
    /// The container's own host name.
    pub hostname: String,
    /// The result of `attachment::recover::write_interface`; empty in leases of older versions.
    pub interface: String,
    /// The result of `attachment::recover::write_ports`; empty in leases of older versions.
    pub ports: String,
    /// `--link`: the name of another container, and an alias for it in this container only.
    pub links: Vec<(String, String)>,
}

/// A lease that no running container has.
pub struct StaleLease {
    /// The name of its file.
    key: String,
    /// `None` on a network without addresses.
    pub address: Option<IpAddr>,
    /// `None` if the lease was cut off while it was written.
    pub owner: Option<ContainerId>,
}

/// A lease's file.
enum LeaseFile {
    Whole(Lease),
    /// The file does not have the container's whole id, for example because the command that wrote
    /// the file was killed.
    CutOff,
}

impl LeaseFile {
    fn owner(&self) -> Option<&ContainerId> {
        match self {
            LeaseFile::Whole(lease) => Some(&lease.owner),
            LeaseFile::CutOff => None,
        }
    }
}

/// Returns whether the container with this id runs or starts.
pub type IsAlive = fn(&Roots, &ContainerId) -> bool;

/// A request for a lease.
pub struct LeaseRequest<'a> {
    /// The address that the user chose; `None` for any free one.
    pub address: Option<IpAddr>,
    /// The container's id.
    pub id: &'a ContainerId,
    pub names: &'a [String],
    pub hostname: &'a str,
    pub interface: &'a str,
    pub ports: &'a str,
    pub links: &'a [(String, String)],
    pub is_alive: IsAlive,
}

/// Leases an address of `pool`. Fails if the requested address is in use, reserved or outside of
/// the subnet, or if no address is free. The caller holds the network's lock.
pub fn lease(
    roots: &Roots,
    network: &Network,
    pool: &Pool,
    request: &LeaseRequest<'_>,
) -> Result<IpAddr> {
    if let Some(address) = request.address {
        check_wanted(network, pool, address)?;
        let key = address.to_string();
        if !take(roots, network, &key, request)? {
            match read(roots, network, &key)? {
                Some(LeaseFile::Whole(lease)) if (request.is_alive)(roots, &lease.owner) => fail!(
                    "address {address} of network {} is in use by container {}",
                    network.name,
                    lease.owner.short()
                ),
                _ => store::remove_file(&path(roots, network, &key))?,
            }
            take(roots, network, &key, request)?;
        }
        return Ok(address);
    }
    if let Some(address) = take_free(roots, network, pool, request)? {
        return Ok(address);
    }
    reclaim(roots, network, request.is_alive)?;
    match take_free(roots, network, pool, request)? {
        Some(address) => Ok(address),
        None => fail!(
            "network {} has no free address left in {}: stop containers that use it, or make a \
             network with a larger subnet",
            network.name,
            pool.range.unwrap_or(pool.subnet)
        ),
    }
}

/// Records that the container is on a network without addresses. The caller holds the network's
/// lock.
pub fn enroll(roots: &Roots, network: &Network, request: &LeaseRequest<'_>) -> Result<()> {
    store::remove_file(&path(roots, network, request.id))?;
    take(roots, network, request.id, request).map(drop)
}

fn check_wanted(network: &Network, pool: &Pool, address: IpAddr) -> Result<()> {
    if !pool.subnet.contains(address) {
        fail!("address {address} is outside of network {}'s subnet {}", network.name, pool.subnet);
    }
    if !is_hosts(pool, address) {
        fail!("address {address} of network {} is reserved for the network itself", network.name);
    }
    if network.is_auxiliary(address) {
        fail!("address {address} of network {} is reserved by --aux-address", network.name);
    }
    Ok(())
}

/// Whether the address is neither the subnet's first, nor IPv4's broadcast, nor the gateway.
fn is_hosts(pool: &Pool, address: IpAddr) -> bool {
    let subnet = &pool.subnet;
    let is_broadcast = subnet.family() == Family::V4 && address == subnet.last();
    address != subnet.first() && !is_broadcast && address != pool.gateway.0
}

/// Leases the first free address; `None` if no address is free.
fn take_free(
    roots: &Roots,
    network: &Network,
    pool: &Pool,
    request: &LeaseRequest<'_>,
) -> Result<Option<IpAddr>> {
    let keys = keys(roots, network)?;
    let given: HashSet<IpAddr> = keys.iter().filter_map(|key| key.parse().ok()).collect();
    let from = pool.range.unwrap_or(pool.subnet);
    // Unavailable are only the leased addresses, the addresses of --aux-address and three reserved
    // addresses. The loop tries one address more than their number, so it finds a free address
    // unless the range ends before.
    let kept = network.auxiliary.as_ref().map_or(0, Vec::len) + 3;
    for offset in 0..=(given.len() + kept) as u128 {
        let Some(address) = from.nth(offset) else { break };
        let is_free =
            is_hosts(pool, address) && !given.contains(&address) && !network.is_auxiliary(address);
        if is_free && take(roots, network, &address.to_string(), request)? {
            return Ok(Some(address));
        }
    }
    Ok(None)
}

/// Creates the lease's file. Returns false if it exists.
fn take(roots: &Roots, network: &Network, key: &str, request: &LeaseRequest<'_>) -> Result<bool> {
    let path = path(roots, network, key);
    let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let opened = match open() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            store::make_dir(&dir(roots, &network.name).join("leases"))?;
            open()
        }
        opened => opened,
    };
    match opened {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        opened => {
            let LeaseRequest { id, names, hostname, interface, ports, links, .. } = *request;
            let text =
                content([id, &names.join(" "), hostname, interface, ports, &write_links(links)]);
            let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
            written.context(|| format!("write {}", path.display()))?;
            Ok(true)
        }
    }
}

fn content(lines: [&str; 6]) -> String {
    lines.map(|line| format!("{line}\n")).concat()
}

/// Writes links as `db/database`, separated by spaces. Names contain no slash and no space.
fn write_links(links: &[(String, String)]) -> String {
    let words: Vec<String> = links.iter().map(|(name, alias)| format!("{name}/{alias}")).collect();
    words.join(" ")
}

fn read_links(line: &str) -> Vec<(String, String)> {
    let links = line.split(' ').filter_map(|word| word.split_once('/'));
    links.map(|(name, alias)| (name.to_owned(), alias.to_owned())).collect()
}

/// Removes the leases of containers that no longer run, and those that were cut off. The caller
/// holds the network's lock.
pub fn reclaim(roots: &Roots, network: &Network, is_alive: IsAlive) -> Result<()> {
    for lease in stale(roots, network, is_alive)? {
        store::remove_file(&path(roots, network, &lease.key))?;
    }
    Ok(())
}

/// The leases of containers that no longer run, and those that were cut off, sorted by address. The
/// caller holds the network's lock.
pub fn stale(roots: &Roots, network: &Network, is_alive: IsAlive) -> Result<Vec<StaleLease>> {
    let mut stale = Vec::new();
    for key in keys(roots, network)? {
        let Some(found) = read(roots, network, &key)? else { continue };
        let owner = found.owner().cloned();
        if owner.as_ref().is_none_or(|owner| !is_alive(roots, owner)) {
            stale.push(StaleLease { address: key.parse().ok(), key, owner });
        }
    }
    order::sort_by(&mut stale, |a, b| (a.address, &a.owner).cmp(&(b.address, &b.owner)));
    Ok(stale)
}

/// All leases of a network, sorted by address, without those that were cut off.
pub fn leases(roots: &Roots, network: &Network) -> Result<Vec<Lease>> {
    let mut leases = Vec::new();
    for key in keys(roots, network)? {
        if let Some(LeaseFile::Whole(lease)) = read(roots, network, &key)? {
            leases.push(lease);
        }
    }
    order::sort_by(&mut leases, |a, b| (a.address, &a.owner).cmp(&(b.address, &b.owner)));
    Ok(leases)
}

/// Removes the lease of an address, if the container still has it. Without an address, removes the
/// file that `enroll` made.
pub fn release(
    roots: &Roots,
    network: &Network,
    address: Option<IpAddr>,
    owner: &ContainerId,
) -> Result<()> {
    let key = key_of(address, owner);
    remove_if_of(roots, network, &key, Some(owner))
}

/// Removes a stale lease, unless another container has leased its address by now.
pub fn release_stale(roots: &Roots, network: &Network, stale: &StaleLease) -> Result<()> {
    remove_if_of(roots, network, &stale.key, stale.owner.as_ref())
}

fn remove_if_of(
    roots: &Roots,
    network: &Network,
    key: &str,
    owner: Option<&ContainerId>,
) -> Result<()> {
    match read(roots, network, key)? {
        Some(found) if found.owner() == owner => store::remove_file(&path(roots, network, key)),
        _ => Ok(()),
    }
}

/// The name of a lease's file: the address, or without an address the container's id.
fn key_of(address: Option<IpAddr>, owner: &ContainerId) -> String {
    address.map_or_else(|| owner.to_string(), |address| address.to_string())
}

/// Replaces the file of a lease whose names or ports have changed.
pub fn rewrite(roots: &Roots, network: &Network, lease: &Lease) -> Result<()> {
    let Lease { owner, names, hostname, interface, ports, links, .. } = lease;
    let text = content([owner, &names.join(" "), hostname, interface, ports, &write_links(links)]);
    let path = path(roots, network, &key_of(lease.address, owner));
    store::replace(&path, text.as_bytes(), Durability::Lazy)
}

/// The names of the leases' files.
fn keys(roots: &Roots, network: &Network) -> Result<Vec<String>> {
    let mut keys = store::list(&dir(roots, &network.name).join("leases"))?;
    keys.retain(|key| key.parse::<IpAddr>().is_ok() || ContainerId::parse(key).is_some());
    Ok(keys)
}

fn read(roots: &Roots, network: &Network, key: &str) -> Result<Option<LeaseFile>> {
    let Some(bytes) = store::read(&path(roots, network, key))? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    // A lease that a crash cut off in the first line has no owner, and is reclaimed.
    let owner = lines.next().unwrap_or_default();
    let names = lines.next().unwrap_or_default().split(' ').map(str::to_owned).collect();
    let mut line = || lines.next().unwrap_or_default().to_owned();
    let (hostname, interface, ports, links) = (line(), line(), line(), read_links(&line()));
    let address = key.parse().ok();
    // On a network without addresses, the file's name is the owner's id, so there is an owner even
    // if the file is cut off.
    let owner = if address.is_none() { key } else { owner };
    let Some(owner) = ContainerId::parse(owner) else { return Ok(Some(LeaseFile::CutOff)) };
    let lease = Lease { address, owner, names, hostname, interface, ports, links };
    Ok(Some(LeaseFile::Whole(lease)))
}

fn path(roots: &Roots, network: &Network, key: &str) -> PathBuf {
    dir(roots, &network.name).join("leases").join(key)
}

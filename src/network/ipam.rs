//! Addresses of containers: `networks/<name>/leases/<address>`, one file for each leased address.
//!
//! The exclusive creation of the file is the allocation, so no address is leased twice. The file's
//! lines are the container's id, its names on this network, its own host name, and its interface and
//! published ports, by which `attachment::recover` finds what a running container has. A lease ends with
//! its container. If a crash or a power cut left a lease, it is reclaimed when its address is requested
//! or no other is free.

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
use crate::error::{Context, Result, fail};
use crate::store::{self, Durability, Roots};

/// A leased address.
#[derive(Clone, Debug)]
pub struct Lease {
    pub address: IpAddr,
    /// The container's id.
    pub owner: String,
    /// The container's names on this network.
    pub names: Vec<String>,
    /// The container's own host name.
    pub hostname: String,
    /// Empty in a lease that an older version wrote, as `ports`.
    pub interface: String,
    pub ports: String,
}

/// Returns whether the container with this id runs.
pub type IsAlive = fn(&Roots, &str) -> bool;

/// A request for an address.
pub struct LeaseRequest<'a> {
    /// The address that the user chose; otherwise any free one.
    pub address: Option<IpAddr>,
    /// The container's id.
    pub id: &'a str,
    pub names: &'a [String],
    pub hostname: &'a str,
    pub interface: &'a str,
    pub ports: &'a str,
    pub is_alive: IsAlive,
}

/// Leases an address of `pool`. The caller holds the network's lock.
pub fn lease(
    roots: &Roots,
    network: &Network,
    pool: &Pool,
    request: &LeaseRequest<'_>,
) -> Result<IpAddr> {
    if let Some(address) = request.address {
        check_wanted(network, pool, address)?;
        if !take(roots, network, address, request)? {
            match read(roots, network, address)? {
                Some(lease) if (request.is_alive)(roots, &lease.owner) => fail!(
                    "address {address} of network {} is in use by container {}",
                    network.name,
                    lease.owner.get(..12).unwrap_or(&lease.owner)
                ),
                _ => store::remove_file(&path(roots, network, address))?,
            }
            take(roots, network, address, request)?;
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

/// Whether a container may have the address: it is not the subnet's, the broadcast's or the
/// gateway's.
fn is_hosts(pool: &Pool, address: IpAddr) -> bool {
    let subnet = &pool.subnet;
    let is_broadcast = subnet.family() == Family::V4 && address == subnet.last();
    address != subnet.first() && !is_broadcast && address != pool.gateway.0
}

/// The first address that is free, or `None`.
fn take_free(
    roots: &Roots,
    network: &Network,
    pool: &Pool,
    request: &LeaseRequest<'_>,
) -> Result<Option<IpAddr>> {
    let given: HashSet<IpAddr> = addresses(roots, network)?.into_iter().collect();
    let from = pool.range.unwrap_or(pool.subnet);
    // Only leased addresses, those of --aux-address and the three reserved ones can be in the way.
    let kept = network.auxiliary.as_ref().map_or(0, Vec::len) + 3;
    for offset in 0..=(given.len() + kept) as u128 {
        let Some(address) = from.nth(offset) else { break };
        let is_free =
            is_hosts(pool, address) && !given.contains(&address) && !network.is_auxiliary(address);
        if is_free && take(roots, network, address, request)? {
            return Ok(Some(address));
        }
    }
    Ok(None)
}

/// Creates the lease's file. Returns false if it exists.
fn take(
    roots: &Roots,
    network: &Network,
    address: IpAddr,
    request: &LeaseRequest<'_>,
) -> Result<bool> {
    let path = path(roots, network, address);
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
            let LeaseRequest { id, names, hostname, interface, ports, .. } = *request;
            let text = content([id, &names.join(" "), hostname, interface, ports]);
            let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
            written.context(|| format!("write {}", path.display()))?;
            Ok(true)
        }
    }
}

fn content(lines: [&str; 5]) -> String {
    lines.map(|line| format!("{line}\n")).concat()
}

/// Removes the leases of containers that are gone. The caller holds the network's lock.
pub fn reclaim(roots: &Roots, network: &Network, is_alive: IsAlive) -> Result<()> {
    for lease in stale(roots, network, is_alive)? {
        store::remove_file(&path(roots, network, lease.address))?;
    }
    Ok(())
}

/// The leases of containers that are gone. The caller holds the network's lock.
pub fn stale(roots: &Roots, network: &Network, is_alive: IsAlive) -> Result<Vec<Lease>> {
    let mut stale = leases(roots, network)?;
    stale.retain(|lease| lease.owner.is_empty() || !is_alive(roots, &lease.owner));
    Ok(stale)
}

/// All leases of a network, by address.
pub fn leases(roots: &Roots, network: &Network) -> Result<Vec<Lease>> {
    let mut leases = Vec::new();
    for address in addresses(roots, network)? {
        leases.extend(read(roots, network, address)?);
    }
    leases.sort_unstable_by_key(|lease| lease.address);
    Ok(leases)
}

/// Removes the lease of an address, if it is still the container's.
pub fn release(roots: &Roots, network: &Network, address: IpAddr, owner: &str) -> Result<()> {
    match read(roots, network, address)? {
        Some(lease) if lease.owner == owner => store::remove_file(&path(roots, network, address)),
        _ => Ok(()),
    }
}

/// Writes a lease with other names or ports.
pub fn rewrite(roots: &Roots, network: &Network, lease: &Lease) -> Result<()> {
    let Lease { owner, names, hostname, interface, ports, .. } = lease;
    let text = content([owner, &names.join(" "), hostname, interface, ports]);
    store::replace(&path(roots, network, lease.address), text.as_bytes(), Durability::Lazy)
}

fn addresses(roots: &Roots, network: &Network) -> Result<Vec<IpAddr>> {
    let names = store::list(&dir(roots, &network.name).join("leases"))?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

fn read(roots: &Roots, network: &Network, address: IpAddr) -> Result<Option<Lease>> {
    let Some(bytes) = store::read(&path(roots, network, address))? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    // A lease that was cut off while it was written has no owner, and is reclaimed.
    let owner = lines.next().unwrap_or_default().to_owned();
    let names = lines.next().unwrap_or_default().split(' ').map(str::to_owned).collect();
    let mut line = || lines.next().unwrap_or_default().to_owned();
    let (hostname, interface, ports) = (line(), line(), line());
    Ok(Some(Lease { address, owner, names, hostname, interface, ports }))
}

fn path(roots: &Roots, network: &Network, address: IpAddr) -> PathBuf {
    dir(roots, &network.name).join("leases").join(address.to_string())
}

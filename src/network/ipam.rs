//! Addresses of containers: `networks/<name>/leases/<address>`, a file for each that is given out.
//!
//! Creating the file exclusively is the allocation, so that no address is ever given twice. Its
//! first line is the container's id, its second the names that the container answers to on this
//! network, its third the host name that the container itself has for the address. A lease is as good as its container is alive: one that was left behind (a crash, a power
//! cut) is taken back when its address is asked for or none is free.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::config::{Network, dir};
use super::pool::Pool;
use crate::error::{Context, Result, fail};
use crate::store::{self, Durability, Roots};

/// An address that is given out.
#[derive(Clone, Debug)]
pub struct Lease {
    pub address: IpAddr,
    /// The container's id.
    pub owner: String,
    /// What it is called on this network.
    pub names: Vec<String>,
    /// What it calls itself.
    pub hostname: String,
}

/// Whether the container of that id lives.
pub type IsAlive = fn(&Roots, &str) -> bool;

/// Who asks for an address.
pub struct Applicant<'a> {
    pub id: &'a str,
    pub names: &'a [String],
    pub hostname: &'a str,
    pub is_alive: IsAlive,
}

/// Leases an address of `pool`, the `wanted` one if that is given. The caller holds the network's
/// lock.
pub fn lease(
    roots: &Roots,
    network: &Network,
    pool: &Pool,
    wanted: Option<IpAddr>,
    applicant: &Applicant<'_>,
) -> Result<IpAddr> {
    if let Some(address) = wanted {
        check_wanted(network, pool, address)?;
        if !take(roots, network, address, applicant)? {
            match read(roots, network, address)? {
                Some(lease) if (applicant.is_alive)(roots, &lease.owner) => fail!(
                    "address {address} of network {} is in use by container {}",
                    network.name,
                    lease.owner.get(..12).unwrap_or(&lease.owner)
                ),
                _ => store::remove_file(&path(roots, network, address))?,
            }
            take(roots, network, address, applicant)?;
        }
        return Ok(address);
    }
    if let Some(address) = take_free(roots, network, pool, applicant)? {
        return Ok(address);
    }
    reclaim(roots, network, applicant.is_alive)?;
    match take_free(roots, network, pool, applicant)? {
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
    Ok(())
}

/// Whether a container may have it: not the subnet's, not the broadcast's, not the gateway's.
fn is_hosts(pool: &Pool, address: IpAddr) -> bool {
    let subnet = &pool.subnet;
    let is_broadcast = subnet.is_ipv4() && address == subnet.last();
    address != subnet.first() && !is_broadcast && address != pool.gateway
}

/// The first address that is free, or `None`.
fn take_free(
    roots: &Roots,
    network: &Network,
    pool: &Pool,
    applicant: &Applicant<'_>,
) -> Result<Option<IpAddr>> {
    let given: HashSet<IpAddr> = addresses(roots, network)?.into_iter().collect();
    let from = pool.range.unwrap_or(pool.subnet);
    // At most as many as are given out, and the three that nobody gets, are in the way.
    for offset in 0..=given.len() as u128 + 3 {
        let Some(address) = from.nth(offset) else { break };
        let is_free = is_hosts(pool, address) && !given.contains(&address);
        if is_free && take(roots, network, address, applicant)? {
            return Ok(Some(address));
        }
    }
    Ok(None)
}

/// Makes the lease's file unless it is there.
fn take(
    roots: &Roots,
    network: &Network,
    address: IpAddr,
    applicant: &Applicant<'_>,
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
            let text = content(applicant.id, applicant.names, applicant.hostname);
            let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
            written.context(|| format!("write {}", path.display()))?;
            Ok(true)
        }
    }
}

fn content(id: &str, names: &[String], hostname: &str) -> String {
    format!("{id}\n{}\n{hostname}\n", names.join(" "))
}

/// Takes back the leases of containers that are no more. The caller holds the network's lock.
pub fn reclaim(roots: &Roots, network: &Network, is_alive: IsAlive) -> Result<()> {
    for lease in stale(roots, network, is_alive)? {
        store::remove_file(&path(roots, network, lease.address))?;
    }
    Ok(())
}

/// The leases of containers that are no more. The caller holds the network's lock.
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

/// Gives an address back, if it is still the container's.
pub fn release(roots: &Roots, network: &Network, address: IpAddr, owner: &str) -> Result<()> {
    match read(roots, network, address)? {
        Some(lease) if lease.owner == owner => store::remove_file(&path(roots, network, address)),
        _ => Ok(()),
    }
}

/// Puts other names on a lease.
pub fn rename(roots: &Roots, network: &Network, lease: &Lease) -> Result<()> {
    let text = content(&lease.owner, &lease.names, &lease.hostname);
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
    // Cut off while it was written: nobody's, and taken back as such.
    let owner = lines.next().unwrap_or_default().to_owned();
    let names = lines.next().unwrap_or_default().split(' ').map(str::to_owned).collect();
    let hostname = lines.next().unwrap_or_default().to_owned();
    Ok(Some(Lease { address, owner, names, hostname }))
}

fn path(roots: &Roots, network: &Network, address: IpAddr) -> PathBuf {
    dir(roots, &network.name).join("leases").join(address.to_string())
}

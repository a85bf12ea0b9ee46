//! Removes networks (`network rm`, `network prune`), and lists what interrupted removals left.
//!
//! The order is: check that no running container is on the network; remove the firewall's rules,
//! then the bridge or parent that mydocker made; hide the record by one rename. A kill leaves the
//! network or a hidden directory. The network's bridge or parent is made again when a container
//! needs it. `system check --repair` removes the hidden directory.

use std::fs;
use std::path::PathBuf;

use super::alias;
use super::attachment;
use super::ipam::{self, IsAlive};
use super::link;
use super::naming::{BRIDGE_PREFIX, DEFAULT, dir};
use super::parent;
use super::record::{Network, known, lock_all};
use crate::error::{Context, Error, Result, fail};
use crate::event::NetworkFacts;
use crate::store::{self, Roots};
use crate::sys::netlink::Socket;

/// Removes a network. Fails if a running container is on the network, or if another command has
/// removed the network. After success, a power cut does not bring the network back.
pub fn remove(roots: &Roots, network: &Network, is_alive: IsAlive) -> Result<()> {
    let _choice = lock_all(roots)?;
    let _change = network.lock(roots)?;
    take_link_down(roots, network, is_alive)?;
    let removing = roots.networks().join(format!("{REMOVING}{}", network.id));
    let dir = dir(roots, &network.name);
    fs::rename(&dir, &removing).context(|| format!("remove {}", dir.display()))?;
    store::sync_parent(&dir)?;
    store::remove_tree(&removing)
}

/// The prefix of the hidden name of a network that is being removed.
const REMOVING: &str = ".removing-";

/// The hidden directories that killed or failed removals left.
pub fn removals(roots: &Roots) -> Result<Vec<PathBuf>> {
    if !roots.networks().is_dir() {
        return Ok(Vec::new());
    }
    // A running removal holds this lock, so the directories belong to killed or failed removals.
    let _choice = lock_all(roots)?;
    store::hidden(&roots.networks(), |name| name.starts_with(REMOVING))
}

/// Removes the networks that are `wanted` and that no running container uses, and returns them. Of
/// the default network, removes only the bridge with its rules, and keeps the record. Passes the
/// error of a network that cannot be removed to `keep`, and removes the others.
pub fn prune(
    roots: &Roots,
    is_alive: IsAlive,
    wanted: &dyn Fn(&Network) -> bool,
    keep: &dyn Fn(Error),
) -> Result<Vec<NetworkFacts>> {
    let mut removed = Vec::new();
    for network in known(roots)? {
        let is_used =
            ipam::leases(roots, &network)?.iter().any(|lease| is_alive(roots, &lease.owner));
        if is_used || !wanted(&network) {
            continue;
        }
        let done = if network.name == DEFAULT {
            let lock = network.lock(roots);
            lock.and_then(|_change| take_link_down(roots, &network, is_alive)).map(|()| None)
        } else {
            remove(roots, &network, is_alive).map(|()| Some(network.facts()))
        };
        match done {
            Ok(facts) => removed.extend(facts),
            Err(error) => keep(error),
        }
    }
    Ok(removed)
}

/// Removes the firewall's rules of the network, and the bridge or parent that mydocker made for the
/// network. Keeps a parent that another network uses too. Fails if a running container is on the
/// network. The caller holds the network's lock.
fn take_link_down(roots: &Roots, network: &Network, is_alive: IsAlive) -> Result<()> {
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
    let mut host = Socket::route()?;
    if let Some(direct) = &network.direct {
        return parent::remove(&mut host, roots, network, direct);
    }
    attachment::rules::forget(roots, network)?;
    let bridge = network.bridge()?;
    if bridge.starts_with(BRIDGE_PREFIX) {
        return link::delete(&mut host, bridge);
    }
    alias::remove_own(&mut host, roots, bridge)
}

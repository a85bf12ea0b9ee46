//! The alias of a link that mydocker made for a network: the network's name and its state root. By
//! the alias, `system check` finds links whose network has no record any more. `remove_own` keeps a
//! link whose alias names no state root, or another state root that still exists. The removal of a
//! network does not look at the alias if the bridge's name starts with `mydocker`: this prefix is
//! mydocker's own.

use std::path::Path;

use super::link;
use super::naming::{BRIDGE_PREFIX, is_default_root};
use super::record::{self, Network};
use crate::error::{Result, fail};
use crate::store::Roots;
use crate::sys::netlink::Socket;

/// Separates the network's name from the state root's path. A network's name contains no space.
const OF: &str = " of ";

/// The alias of the host's link of `network`, in the state root of `roots`.
pub fn of(roots: &Roots, network: &str) -> String {
    format!("{network}{OF}{}", roots.state.display())
}

/// Fails if a link has the bridge's name, and this state root may not remove the link
/// (`is_ours_to_find`). A name that starts with `mydocker` is not checked.
pub fn refuse_others(host: &mut Socket, roots: &Roots, network: &Network) -> Result<()> {
    let bridge = network.bridge()?;
    // The prefix is mydocker's own.
    if bridge.starts_with(BRIDGE_PREFIX) {
        return Ok(());
    }
    match link::alias(host, bridge)? {
        Some(found) if !is_ours_to_find(roots, &found) => fail!(
            "another program made a link {bridge}, which is the name of network {}'s bridge; remove \
             one of the two",
            network.name
        ),
        _ => Ok(()),
    }
}

/// Removes the link `link`. Does nothing if this state root may not remove it (`is_ours_to_find`).
pub fn remove_own(host: &mut Socket, roots: &Roots, link: &str) -> Result<()> {
    match link::alias(host, link)? {
        Some(found) if !is_ours_to_find(roots, &found) => Ok(()),
        _ => link::delete(host, link),
    }
}

/// The links whose alias names this state root, but whose name is in no network's record, for
/// example because a user deleted the record. Each link comes with its alias. A bridge is left out
/// while it has a port. The default state root also finds the links of state roots whose directory
/// is gone.
pub fn orphans(roots: &Roots) -> Result<Vec<(String, String)>> {
    if !roots.networks().is_dir() {
        return Ok(Vec::new());
    }
    // Keep removals out until the links and then the records are read. Otherwise a link would seem
    // to have no record if its network is removed in between.
    let _choice = record::lock_all(roots)?;
    let mut links = link::idle_aliases(&mut Socket::route()?)?;
    let known = record::known(roots)?;
    links.retain(|(link, alias)| {
        is_ours_to_find(roots, alias) && !known.iter().any(|network| network.link() == Some(link))
    });
    Ok(links)
}

/// Whether this state root may remove links with this alias: the alias names this root. The default
/// root may also remove links of roots whose directory is gone.
pub fn is_ours_to_find(roots: &Roots, alias: &str) -> bool {
    let Some((_, root)) = alias.split_once(OF) else { return false };
    let root = Path::new(root);
    // Another program's alias may be any text, such as "Port 3 of switch A".
    root == roots.state || (is_default_root(roots) && root.is_absolute() && !root.exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::DEFAULT_ROOT;

    #[test]
    fn the_default_root_finds_links_of_roots_that_are_gone() {
        let roots = |state: &str| Roots::new(Some(state.into()), None).unwrap();
        let (default, other) = (roots(DEFAULT_ROOT), roots("/"));
        let finds = |roots, root: &Roots| is_ours_to_find(roots, &of(root, "web"));
        assert!(finds(&default, &default) && finds(&other, &other));
        assert!(finds(&default, &roots("/nowhere")) && !finds(&other, &roots("/nowhere")));
        assert!(!finds(&default, &other) && !is_ours_to_find(&default, "web"));
        assert!(!is_ours_to_find(&default, "port 3 of switch A"));
    }
}

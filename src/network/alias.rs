//! The alias of a link that was made for a network: the network's name and its state root. By it
//! `system check` finds links whose record is gone, and no command removes the link of another
//! program or of another state root.

use std::path::Path;

use super::link;
use super::naming::{BRIDGE_PREFIX, is_default_root};
use super::record::{self, Network};
use crate::error::{Result, fail};
use crate::store::Roots;
use crate::sys::netlink::Socket;

/// Between the network and its state root. No network's name has a space.
const OF: &str = " of ";

/// The alias of a link of `network`.
pub fn of(roots: &Roots, network: &str) -> String {
    format!("{network}{OF}{}", roots.state.display())
}

/// Refuses a bridge that another program made, with the name that a user chose for a network's.
pub fn refuse_others(host: &mut Socket, roots: &Roots, network: &Network) -> Result<()> {
    let bridge = &network.bridge;
    // No other program uses this prefix.
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

/// Removes a link, unless another program made it while ours was gone.
pub fn remove_own(host: &mut Socket, roots: &Roots, link: &str) -> Result<()> {
    match link::alias(host, link)? {
        Some(found) if !is_ours_to_find(roots, &found) => Ok(()),
        _ => link::delete(host, link),
    }
}

/// Links that no network needs, each with its alias: something other than mydocker removed the
/// record. A bridge with a port is left out until its containers exit. The default state root also
/// finds the links of state roots that no longer exist.
pub fn orphans(roots: &Roots) -> Result<Vec<(String, String)>> {
    if !roots.networks().is_dir() {
        return Ok(Vec::new());
    }
    // A removal of a network deletes its link before the record.
    let _choice = record::lock_all(roots)?;
    let mut links = link::idle_aliases(&mut Socket::route()?)?;
    let known = record::known(roots)?;
    links.retain(|(link, alias)| {
        is_ours_to_find(roots, alias) && !known.iter().any(|network| network.link() == link)
    });
    Ok(links)
}

/// Whether this state root decides if a link with this alias is needed.
pub fn is_ours_to_find(roots: &Roots, alias: &str) -> bool {
    let Some((_, root)) = alias.split_once(OF) else { return false };
    let root = Path::new(root);
    root == roots.state || (is_default_root(roots) && !root.exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::DEFAULT_ROOT;

    #[test]
    fn the_default_root_asks_for_links_of_roots_that_are_gone() {
        let roots = |state: &str| Roots::new(Some(state.into()), None).unwrap();
        let (default, other) = (roots(DEFAULT_ROOT), roots("/"));
        let finds = |roots, root: &Roots| is_ours_to_find(roots, &of(root, "web"));
        assert!(finds(&default, &default) && finds(&other, &other));
        assert!(finds(&default, &roots("/nowhere")) && !finds(&other, &roots("/nowhere")));
        assert!(!finds(&default, &other) && !is_ours_to_find(&default, "web"));
    }
}

//! Restores parts of networks that other programs or a reboot removed: bridges and their ports,
//! parents, IP forwarding, the firewall's rules. `reload` restores these parts for the running
//! containers. `restore` makes bridges, and calls `reload` only if the firewall's rules have a
//! fault.

use super::{publish, recover, rules};
use crate::error::Result;
use crate::network::firewall::Choice;
use crate::network::naming::DEFAULT;
use crate::network::record::{Network, known};
use crate::network::{bridge, endpoint, parent};
use crate::store::Roots;
use crate::sys::netlink::Socket;

/// Makes the missing bridges and parents of running containers. Connects the containers' links to
/// the bridges, and makes all firewall rules again.
pub fn reload(roots: &Roots, choice: Choice) -> Result<()> {
    let mut host = Socket::route()?;
    let mut used: Vec<Network> = Vec::new();
    let mut guarded = true;
    let all = recover::all(roots)?;
    for (_, attachment) in &all {
        for endpoint in &attachment.endpoints {
            let Some(network) = Network::read(roots, &endpoint.network)? else { continue };
            if let Some(direct) = &network.direct {
                parent::ensure(&mut host, roots, &network, direct)?;
                continue;
            }
            let (bridge, _) = bridge::ensure(&mut host, roots, &network)?;
            guarded &= endpoint::attach_to_bridge(&mut host, &endpoint.link, &network, bridge)?;
            if !used.iter().any(|other| other.id == network.id) {
                bridge::forward(&network)?;
                used.push(network);
            }
        }
    }
    let used: Vec<&Network> = used.iter().collect();
    rules::reload(roots, choice, &used)?;
    for (id, attachment) in &all {
        publish::open_loopback(&used, &attachment.port_rules(id), guarded)?;
    }
    Ok(())
}

/// For the command `boot`: makes the bridge of each bridge network that a user created. If
/// `rules::flaws` finds a fault, calls `reload`.
pub fn restore(roots: &Roots, choice: Choice) -> Result<()> {
    let mut networks = known(roots)?;
    // Leave out the links that are made when a container uses them: the default network's bridge,
    // and the parents of macvlan and ipvlan networks. A parent may be a VLAN (`eth0.20`) on an
    // interface that appears late.
    networks.retain(|network| network.name != DEFAULT && network.direct.is_none());
    if !networks.is_empty() {
        let mut host = Socket::route()?;
        networks
            .iter()
            .try_for_each(|network| bridge::ensure(&mut host, roots, network).map(drop))?;
    }
    if rules::flaws(roots)?.is_empty() { Ok(()) } else { reload(roots, choice) }
}

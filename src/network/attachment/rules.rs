//! The firewall rules that a state root needs, collected from the records of its networks and of
//! its running containers.
//!
//! `firewall` reads neither kind of record. It calls the collector only if it has to make all rules
//! again. Normally a container's start and end change only the rules of the container's own ports.

use super::record::Attachment;
use super::recover;
use crate::container_id::ContainerId;
use crate::error::Result;
use crate::network::firewall::rules::{NetworkRules, Rules};
use crate::network::firewall::{self, Choice};
use crate::network::record::{ENABLE_ICC, ENABLE_MASQUERADE, Network, known};
use crate::store::Roots;

/// The function that collects all rules of a state root for the firewall.
fn collector(roots: &Roots) -> impl Fn(&[&str], Option<&ContainerId>) -> Result<Rules> {
    move |networks, except| collect(roots, networks, except)
}

fn collect(roots: &Roots, networks: &[&str], except: Option<&ContainerId>) -> Result<Rules> {
    let mut attachments = recover::all(roots)?;
    attachments.retain(|(id, _)| except != Some(id));
    let is_used = |network: &Network| {
        let mut endpoints = attachments.iter().flat_map(|(_, attachment)| &attachment.endpoints);
        endpoints.any(|endpoint| endpoint.network_id == network.id)
    };
    let mut rules = Rules::default();
    for network in known(roots)? {
        let Some(bridge) = network.bridge.clone() else { continue };
        if networks.contains(&network.id.as_str()) || is_used(&network) {
            rules.networks.push(NetworkRules {
                has_neighbours: network.enables(ENABLE_ICC),
                masquerades: network.enables(ENABLE_MASQUERADE),
                subnets: network.pools.iter().map(|pool| pool.subnet).collect(),
                id: network.id,
                bridge,
                internal: network.internal,
            });
        }
    }
    for (id, attachment) in &attachments {
        rules.ports.extend(attachment.port_rules(id));
    }
    Ok(rules)
}

/// The ids of the networks that have a bridge. mydocker makes no rules for macvlan and ipvlan
/// networks.
fn bridged<'a>(networks: &[&'a Network]) -> Vec<&'a str> {
    let bridged = networks.iter().filter(|network| network.direct.is_none());
    bridged.map(|network| network.id.as_str()).collect()
}

/// Adds the missing rules of `networks`, and of the ports of container `id`.
pub(super) fn set_up(
    roots: &Roots,
    choice: Choice,
    networks: &[&Network],
    id: &ContainerId,
    attachment: &Attachment,
) -> Result<()> {
    let networks = bridged(networks);
    if networks.is_empty() && attachment.ports.is_empty() {
        return Ok(());
    }
    firewall::set_up(roots, choice, &networks, id, &attachment.port_rules(id), &collector(roots))
}

/// Removes the rules of the container's published ports, then writes `after` as its attachment.
pub(super) fn take_down(
    roots: &Roots,
    id: &ContainerId,
    before: &Attachment,
    after: &Attachment,
) -> Result<()> {
    let forget = || after.write(roots, id);
    firewall::take_down(roots, id, &before.port_rules(id), &collector(roots), forget)
}

/// Makes all rules again, including those of `networks`.
pub(super) fn reload(roots: &Roots, choice: Choice, networks: &[&Network]) -> Result<()> {
    let networks = bridged(networks);
    firewall::reload(roots, choice, &networks, &collector(roots))
}

/// Removes the rules of a network that is about to be removed.
pub fn forget(roots: &Roots, network: &Network) -> Result<()> {
    firewall::forget(roots, &network.id, &collector(roots))
}

/// The faults of the firewall's rules, one sentence each. `reload` repairs them.
pub fn flaws(roots: &Roots) -> Result<Vec<String>> {
    firewall::flaws(roots, || {
        let mut attachments = recover::all(roots)?;
        attachments.retain(|(_, attachment)| !attachment.endpoints.is_empty());
        Ok(attachments.into_iter().map(|(id, _)| id).collect())
    })
}

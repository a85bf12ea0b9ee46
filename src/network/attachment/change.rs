//! Changes of a running container's networks: `network connect`, `network disconnect`, and
//! `rename`.
//!
//! A command that changes the networks can be killed between any two steps. The container's record
//! says which networks the container is on, and `finish` makes the attachment follow the record.

use super::join::{self, Container, EndpointConfig};
use super::record::{self, Attachment};
use super::{publish, recover, rules};
use crate::container_id::ContainerId;
use crate::error::{Error, Result, fail};
use crate::network::endpoint::{self, NetworkNamespace};
use crate::network::firewall::Choice;
use crate::network::record::Network;
use crate::network::{create, ipam, names};
use crate::store::Roots;
use crate::sys::netlink::Socket;

/// Connects a running container to one more network. Returns the errors of hosts files that could
/// not be written.
///
/// The steps are: leases, the attachment, the link, the firewall's rules, the names. Then the
/// caller adds the network to the container's record. If the command is killed before that,
/// `finish` removes the endpoint from the attachment.
pub fn connect(
    roots: &Roots,
    choice: Choice,
    mut namespace: NetworkNamespace,
    container: &Container<'_>,
    config: &EndpointConfig,
) -> Result<Vec<Error>> {
    let before = recover::find(roots, container.id)?;
    let mut attachment = before.clone();
    let network = create::open(roots, &config.network)?;
    if attachment.endpoint(&network.name).is_some() {
        fail!("the container is on network {} already", network.name);
    }
    let Attachment { endpoints, ports, .. } = &attachment;
    let endpoint = join::lease(roots, container, config, &network, endpoints, ports)?;
    attachment.endpoints.push(endpoint.clone());
    attachment.write(roots, container.id)?;
    let mut make = || -> Result<Vec<Error>> {
        let mut host = Socket::route()?;
        let is_default = attachment.endpoints.len() == 1;
        let namespace = &mut namespace;
        join::connect(roots, &mut host, namespace, &network, &endpoint, config, is_default)?;
        add_missing_routes(roots, namespace, &attachment)?;
        rules::set_up(roots, choice, &[&network], container.id, &Attachment::default())?;
        move_ports(roots, choice, container.id, &before, &attachment)?;
        join::write_names(roots, container, &network, &endpoint)
    };
    make().inspect_err(|_| {
        // Report the failure to connect, and ignore a failure of this clean-up.
        let _ = disconnect(roots, container.id, &network.name);
    })
}

/// Disconnects a running container from a network. Returns the errors of hosts files that could not
/// be written.
///
/// The container's record must not name the network. The endpoint leaves the attachment after its
/// link and its leases are removed. If the command is killed before that, `finish` repeats the
/// steps. A step that is done already succeeds again.
pub fn disconnect(roots: &Roots, id: &ContainerId, network: &str) -> Result<Vec<Error>> {
    let before = recover::find(roots, id)?;
    let Some(endpoint) = before.endpoint(network) else { return Ok(Vec::new()) };
    join::delete(&mut Socket::route()?, endpoint)?;
    let mut unwritten = join::leave(roots, id, endpoint)?.unwritten;
    unwritten.extend(names::write_section(roots, id, network, "").err());
    let mut after = before.clone();
    after.endpoints.retain(|endpoint| endpoint.network != network);
    // Keep the ports in the attachment: if this command is killed before the ports have their new
    // rules, `finish` adds the rules.
    move_ports(roots, Choice::Auto, id, &before, &after)?;
    Ok(unwritten)
}

/// Restores the default route of a running container that was disconnected from the network of this
/// route. For each IP family without a default route, adds one through the first of the container's
/// networks that offers one, as in Docker.
pub fn restore_routes(
    roots: &Roots,
    id: &ContainerId,
    namespace: &mut NetworkNamespace,
) -> Result<()> {
    add_missing_routes(roots, namespace, &recover::find(roots, id)?)
}

fn add_missing_routes(
    roots: &Roots,
    namespace: &mut NetworkNamespace,
    attachment: &Attachment,
) -> Result<()> {
    for endpoint in &attachment.endpoints {
        if let Some(network) = Network::read(roots, &endpoint.network)? {
            endpoint::add_missing_routes(namespace, &network, &endpoint.interface)?;
        }
    }
    Ok(())
}

/// Writes the attachment `after`, and leads the published ports to its addresses instead of those
/// of `before`. Changes no rule if the ports lead to the same addresses.
fn move_ports(
    roots: &Roots,
    choice: Choice,
    id: &ContainerId,
    before: &Attachment,
    after: &Attachment,
) -> Result<()> {
    if before.port_rules(id) == after.port_rules(id) {
        return after.write(roots, id);
    }
    rules::take_down(roots, id, before, after)?;
    publish::lead(roots, choice, after, id)
}

/// Repairs a running container that a killed `connect` or `disconnect` left half-changed.
/// `recorded` returns whether the container's record names a network. Removes the endpoints on
/// networks that the record does not name. Adds missing rules of the published ports. If the
/// container has no endpoint on `network`, removes its leases there. Returns whether an endpoint on
/// `network` was removed.
pub fn finish(
    roots: &Roots,
    id: &ContainerId,
    network: &Network,
    recorded: impl Fn(&str) -> bool,
) -> Result<bool> {
    let mut finished = false;
    for endpoint in recover::find(roots, id)?.endpoints {
        if !recorded(&endpoint.network) {
            // Drop the errors of hosts files: they are about the killed command.
            let _unwritten = disconnect(roots, id, &endpoint.network)?;
            finished |= endpoint.network == network.name;
        }
    }
    let attachment = recover::find(roots, id)?;
    publish::lead(roots, Choice::Auto, &attachment, id)?;
    if attachment.endpoint(&network.name).is_none() {
        let _change = network.lock(roots)?;
        for lease in ipam::leases(roots, network)? {
            ipam::release(roots, network, lease.address, id)?;
        }
    }
    Ok(finished)
}

/// Renames a running container from `old` to `new` in its attachment, its leases and the hosts
/// files on its networks.
pub fn rename(roots: &Roots, id: &ContainerId, old: &str, new: &str) -> Result<()> {
    let mut attachment = recover::find(roots, id)?;
    // A stopped container has neither an attachment file nor a link, but a power cut may have left
    // its leases.
    let is_up = record::path(roots, id).exists() || recover::has_link(&attachment)?;
    if attachment.endpoints.is_empty() || !is_up {
        return Ok(());
    }
    attachment.name = new.to_owned();
    attachment.write(roots, id)?;
    for endpoint in &attachment.endpoints {
        let Some(network) = Network::read(roots, &endpoint.network)? else { continue };
        let _change = network.lock(roots)?;
        let mut leases = ipam::leases(roots, &network)?;
        for lease in leases.iter_mut().filter(|lease| lease.owner == *id) {
            for name in lease.names.iter_mut().filter(|name| *name == old) {
                *name = new.to_owned();
            }
            ipam::rewrite(roots, &network, lease)?;
        }
        if join::has_names(&network) {
            // The rename succeeds even if a hosts file can't be written.
            let _unwritten = names::write_sections(roots, &network.name, &leases);
        }
    }
    Ok(())
}

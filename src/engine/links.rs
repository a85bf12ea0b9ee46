//! `--link`: adds the address of another container to /etc/hosts, under an alias.
//!
//! On the default network, a link also adds the other container's ports and variables to the
//! environment, as in Docker. Addresses are looked up when a command starts the container, and
//! again for the variables of each `exec`. If a linked container gets another address later,
//! /etc/hosts has the new address after the next `start`. A restart by the restart policy keeps the
//! old address.
//! On a user-defined network containers know each other by name without a link, so a link only adds
//! the alias.

use std::net::IpAddr;

use super::Engine;
use crate::container::record::Record;
use crate::container::state;
use crate::container_id::ContainerId;
use crate::error::{Result, fail};
use crate::network::attachment;
use crate::network::naming::DEFAULT;
use crate::order;

/// The host names and variables that the links of a container add.
#[derive(Default)]
pub(super) struct Links {
    /// Names and addresses for /etc/hosts.
    pub hosts: Vec<(String, IpAddr)>,
    pub variables: Vec<String>,
}

impl Engine {
    /// Returns the ids of the containers that `--link` names, with their aliases.
    pub(super) fn linked(&self, links: &[(String, String)]) -> Result<Vec<(ContainerId, String)>> {
        let mut found = Vec::with_capacity(links.len());
        for (name, alias) in links {
            found.push((self.record(name)?.id, alias.clone()));
        }
        Ok(found)
    }

    /// Looks up the containers that `--link` names. Fails if one of them does not run, or is on
    /// none of this container's networks.
    pub(super) fn links(&self, record: &Record) -> Result<Links> {
        let mut links = Links::default();
        for (id, alias) in &record.links {
            let other = Record::read(&self.roots, id)?;
            if state::running(&self.roots, &other)?.is_none() {
                fail!(
                    "container {}, which --link names, is not running; start it first",
                    other.name
                );
            }
            let attachment = attachment::find(&self.roots, id)?;
            let common = attachment.endpoints.iter().find(|endpoint| {
                record.networks.iter().any(|network| network.name == endpoint.network)
            });
            let Some((endpoint, address)) =
                common.and_then(|endpoint| Some((endpoint, endpoint.addresses.first()?)))
            else {
                fail!(
                    "container {}, which --link names, is on none of this container's networks",
                    other.name
                );
            };
            links.hosts.push((alias.clone(), address.address.0));
            if endpoint.network == DEFAULT {
                if other.name != *alias {
                    links.hosts.push((other.name.clone(), address.address.0));
                }
                add_variables(&mut links.variables, record, &other, alias, address.address.0);
            }
        }
        Ok(links)
    }
}

/// Adds the variables of a link, such as `DB_PORT_5432_TCP_ADDR=172.17.0.2`, with Docker's names.
fn add_variables(
    variables: &mut Vec<String>,
    record: &Record,
    other: &Record,
    alias: &str,
    address: IpAddr,
) {
    let prefix = alias.to_uppercase().replace(['-', '.'], "_");
    let port = |text: &String| -> Option<(u16, String)> {
        let (number, protocol) = text.split_once('/')?;
        Some((number.parse().ok()?, protocol.to_owned()))
    };
    let exposed = other.exposed_ports();
    let mut ports: Vec<(u16, String)> = exposed.iter().filter_map(port).collect();
    order::sort(&mut ports);
    for (at, (number, protocol)) in ports.iter().enumerate() {
        let url = format!("{protocol}://{address}:{number}");
        if at == 0 {
            variables.push(format!("{prefix}_PORT={url}"));
        }
        let one = format!("{prefix}_PORT_{number}_{}", protocol.to_uppercase());
        variables.push(format!("{one}={url}"));
        variables.push(format!("{one}_ADDR={address}"));
        variables.push(format!("{one}_PORT={number}"));
        variables.push(format!("{one}_PROTO={protocol}"));
    }
    variables.push(format!("{prefix}_NAME=/{}/{alias}", record.name));
    for pair in &other.env {
        let name = pair.split('=').next().unwrap_or_default();
        if !matches!(name, "HOME" | "PATH" | "HOSTNAME") {
            variables.push(format!("{prefix}_ENV_{pair}"));
        }
    }
}

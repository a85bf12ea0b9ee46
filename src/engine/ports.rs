//! A container's published ports and addresses, for `ps` and `port`.
//!
//! The published ports and the addresses come from the record that `network` keeps of a running
//! container's endpoints, not from the kernel. So a command needs no netlink and does not enter the
//! container's network namespace.

use super::Engine;
use super::view::PublishedPort;
use crate::address::Ip;
use crate::container::record::Summary;
use crate::container::state::Condition;
use crate::error::{Result, fail};
use crate::network::attachment;
use crate::network::ports::PortMap;

/// The ports and addresses at which a running container can be reached.
#[derive(Default)]
pub(super) struct Reachable {
    pub published: Vec<PublishedPort>,
    /// The exposed ports that are not published.
    pub exposed: Vec<String>,
    pub addresses: Vec<Ip>,
}

fn published(map: &PortMap) -> PublishedPort {
    PublishedPort { container_port: map.container_port, protocol: map.protocol, host: map.from() }
}

impl Engine {
    /// Returns the ports and addresses of a running container. Returns none if the record of its
    /// endpoints cannot be read.
    pub(super) fn reachable_at(&self, record: &Summary) -> Reachable {
        if !record.has_networks() {
            return Reachable { exposed: record.exposed.clone(), ..Reachable::default() };
        }
        // `inspect` reports why an endpoint cannot be read.
        let Ok(attachment) = attachment::find(&self.roots, &record.id) else {
            return Reachable::default();
        };
        let is_published = |exposed: &&String| {
            attachment
                .ports
                .iter()
                .any(|map| format!("{}/{}", map.container_port, map.protocol) == **exposed)
        };
        let exposed = record.exposed.iter().filter(|exposed| !is_published(exposed));
        let addresses = attachment.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
        Reachable {
            published: attachment.ports.iter().map(published).collect(),
            exposed: exposed.cloned().collect(),
            addresses: addresses.map(|address| address.address).collect(),
        }
    }

    /// Returns the published ports of a container, or only those of its port `port` (`80`,
    /// `53/udp`). A container that does not run has none. Fails if `port` is not published.
    pub fn ports(&self, name: &str, port: Option<&str>) -> Result<Vec<PublishedPort>> {
        let record = self.record(name)?;
        let ports = match self.condition(&record)? {
            Condition::Running(_) => attachment::find(&self.roots, &record.id)?.ports,
            _ => Vec::new(),
        };
        let Some(port) = port else { return Ok(ports.iter().map(published).collect()) };
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let wanted = |map: &&PortMap| {
            map.container_port.to_string() == number
                && map.protocol.name().eq_ignore_ascii_case(protocol)
        };
        let found: Vec<PublishedPort> = ports.iter().filter(wanted).map(published).collect();
        if found.is_empty() {
            fail!("container {name} has published no port {number}/{protocol}");
        }
        Ok(found)
    }
}

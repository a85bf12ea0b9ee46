//! A container's networks, published ports and addresses for `ps` and `port`. The facts come
//! from the endpoints that `network` recorded at the start, not from the kernel: reading them needs
//! no netlink and works for a container in another namespace.

use std::net::IpAddr;

use super::Engine;
use super::options::PortFilter;
use super::view::PublishedPort;
use crate::address::Ip;
use crate::container::record::Record;
use crate::container::state::Condition;
use crate::error::{Result, fail};
use crate::network::attachment;
use crate::network::ports::PortMap;

impl Engine {
    /// The ports and addresses of a running container, as `ps` shows them.
    pub(super) fn reachable_at(&self, record: &Record) -> (Vec<String>, Vec<Ip>) {
        if record.networks.is_empty() {
            return (record.exposed.clone(), Vec::new());
        }
        // An endpoint that can't be read shows nothing; `inspect` says why.
        let Ok(attachment) = attachment::find(&self.roots, &record.id) else {
            return Default::default();
        };
        let is_published = |exposed: &&String| {
            attachment
                .ports
                .iter()
                .any(|map| format!("{}/{}", map.container_port, map.protocol) == **exposed)
        };
        let exposed = record.exposed.iter().filter(|exposed| !is_published(exposed));
        let ports = shown(&attachment.ports, exposed);
        let addresses = attachment.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
        (ports, addresses.map(|address| address.address).collect())
    }

    /// The published ports of a container, or only those of the container's `port` (`80`, `53/udp`).
    /// A container that doesn't run has none. Fails if `port` is not published.
    pub fn ports(&self, name: &str, port: Option<&str>) -> Result<Vec<PublishedPort>> {
        let record = self.record(name)?;
        let attachment = match self.condition(&record)? {
            Condition::Running(_) => attachment::find(&self.roots, &record.id)?,
            _ => return Ok(Vec::new()),
        };
        let view = |map: &PortMap| PublishedPort {
            container_port: map.container_port,
            protocol: map.protocol,
            host: map.from(),
        };
        let Some(port) = port else { return Ok(attachment.ports.iter().map(view).collect()) };
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let wanted = |map: &&PortMap| {
            map.container_port.to_string() == number
                && map.protocol.name().eq_ignore_ascii_case(protocol)
        };
        let found: Vec<PublishedPort> = attachment.ports.iter().filter(wanted).map(view).collect();
        if found.is_empty() {
            fail!("container {name} has published no port {number}/{protocol}");
        }
        Ok(found)
    }
}

/// Whether a line of `shown` publishes one of the wanted ports of the host.
pub(super) fn is_published_in(line: &str, wanted: &PortFilter) -> bool {
    let Some((host, container)) = line.split_once("->") else { return false };
    let range = host.rsplit(':').next().unwrap_or_default();
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else { return false };
    container.ends_with(&format!("/{}", wanted.protocol))
        && first <= wanted.last
        && last >= wanted.first
}

/// `80/tcp` for an exposed port, `0.0.0.0:8080->80/tcp` for a published one, and ranges for neighbouring
/// ports. In Docker's order: ports with one number come first, each by the container's port.
fn shown<'a>(maps: &[PortMap], exposed: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut runs: Vec<(PortMap, u16)> = Vec::new();
    let mut sorted: Vec<&PortMap> = maps.iter().collect();
    sorted.sort_unstable_by_key(|map| {
        (map.address, map.protocol.name(), map.container_port, map.port)
    });
    for map in sorted {
        match runs.last_mut() {
            Some((first, length))
                if (first.address, first.protocol) == (map.address, map.protocol)
                    && first.port.checked_add(*length) == Some(map.port)
                    && first.container_port.checked_add(*length) == Some(map.container_port) =>
            {
                *length += 1;
            }
            _ => runs.push((map.clone(), 1)),
        }
    }
    let line = |(map, length): &(PortMap, u16)| {
        let range = |first: u16| match length {
            1 => first.to_string(),
            _ => format!("{first}-{}", first + (length - 1)),
        };
        let address = match map.address.0 {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let line = format!(
            "{address}:{}->{}/{}",
            range(map.port),
            range(map.container_port),
            map.protocol
        );
        (map.port != map.container_port, map.container_port, line)
    };
    let number =
        |exposed: &str| exposed.split(['/', '-']).next().and_then(|port| port.parse().ok());
    let exposed = exposed.map(|port| (false, number(port).unwrap_or(0), port.clone()));
    let mut lines: Vec<(bool, u16, String)> = exposed.chain(runs.iter().map(line)).collect();
    lines.sort_by_key(|(is_mapped, port, _)| (*is_mapped, *port));
    lines.into_iter().map(|(_, _, line)| line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Protocol;

    #[test]
    fn neighbouring_ports_are_shown_as_ranges() {
        let map = |port, container_port| PortMap {
            protocol: Protocol::Tcp,
            address: "0.0.0.0".parse().unwrap(),
            port,
            container_port,
        };
        assert_eq!(
            shown(&[map(8001, 81), map(8000, 80), map(9000, 82)], [].iter()),
            ["0.0.0.0:8000-8001->80-81/tcp", "0.0.0.0:9000->82/tcp"]
        );
    }

    #[test]
    fn ports_are_sorted_by_the_containers_number() {
        let map = |protocol, port, container_port| PortMap {
            protocol,
            address: "0.0.0.0".parse().unwrap(),
            port,
            container_port,
        };
        let maps = [map(Protocol::Tcp, 8090, 80), map(Protocol::Udp, 9053, 53)];
        let maps = [&maps[..], &[map(Protocol::Tcp, 443, 443)]].concat();
        assert_eq!(
            shown(&maps, ["25/tcp".to_owned(), "9000/tcp".to_owned()].iter()),
            [
                "25/tcp",
                "0.0.0.0:443->443/tcp",
                "9000/tcp",
                "0.0.0.0:9053->53/udp",
                "0.0.0.0:8090->80/tcp"
            ]
        );
    }
}

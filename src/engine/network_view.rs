//! What `ps`, `port` and `inspect` show of a container's networks and published ports, under
//! Docker's field names. The facts come from the endpoints that `network` recorded at the start,
//! not from the kernel, so reading them needs no netlink and works for a container in another
//! namespace.

use std::net::IpAddr;

use miniserde::json::{Object, Value, to_string};

use super::Engine;
use super::inspect::{array, instant, map, number, object, text};
use crate::address::Ip;
use crate::container::record::Record;
use crate::container::state::Condition;
use crate::error::{Context, Result, fail};
use crate::network::attachment;
use crate::network::attachment::record::{Address, Attachment, Endpoint};
use crate::network::naming::DEFAULT;
use crate::network::ports::PortMap;
use crate::network::subnet::Family;
use crate::network::{create, ipam};

/// Under Docker's names.
pub(super) fn network_names(record: &Record) -> Vec<String> {
    match record.networks.as_slice() {
        [] => vec![record.network.clone()],
        networks => networks.iter().map(|network| network.name.clone()).collect(),
    }
}

/// `-p` as asked for: `{"80/tcp": [{"HostIp": …, "HostPort": …}]}`.
pub(super) fn port_bindings(record: &Record) -> Value {
    let mut bindings = Object::new();
    for publish in &record.publish {
        let key = format!("{}/{}", publish.container, publish.protocol);
        let host = publish.host.map(|range| range.to_string()).unwrap_or_default();
        let address = publish.address.map(|address| address.to_string()).unwrap_or_default();
        push(&mut bindings, key, object([("HostIp", text(address)), ("HostPort", text(host))]));
    }
    Value::Object(bindings)
}

/// Adds to the array under `key`.
fn push(object: &mut Object, key: String, value: Value) {
    match object.get_mut(&key) {
        Some(Value::Array(values)) => values.push(value),
        _ => drop(object.insert(key, array([value]))),
    }
}

impl Engine {
    /// The ports and addresses of a running container, as `ps` shows them.
    pub(super) fn reachable_at(&self, record: &Record) -> (Vec<String>, Vec<Ip>) {
        if record.networks.is_empty() {
            return (record.exposed.clone(), Vec::new());
        }
        // One that can't be read has nothing to show; `inspect` says why.
        let Ok(attachment) = attachment::find(&self.roots, &record.id) else {
            return Default::default();
        };
        let mut ports = published(&attachment.ports);
        let is_published = |exposed: &&String| {
            attachment
                .ports
                .iter()
                .any(|map| format!("{}/{}", map.container_port, map.protocol) == **exposed)
        };
        ports.extend(record.exposed.iter().filter(|exposed| !is_published(exposed)).cloned());
        let addresses = attachment.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
        (ports, addresses.map(|address| address.address).collect())
    }

    /// `port`: lines such as `80/tcp -> 0.0.0.0:8080`, or with a port only what it leads to.
    pub fn ports(&self, name: &str, port: Option<&str>) -> Result<Vec<String>> {
        let record = self.record(name)?;
        let attachment = match self.condition(&record)? {
            Condition::Running(_) => attachment::find(&self.roots, &record.id)?,
            _ => return Ok(Vec::new()),
        };
        let Some(port) = port else {
            let line = |map: &PortMap| {
                format!("{}/{} -> {}", map.container_port, map.protocol, map.from())
            };
            return Ok(attachment.ports.iter().map(line).collect());
        };
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let wanted = |map: &&PortMap| {
            map.container_port.to_string() == number
                && map.protocol.name().eq_ignore_ascii_case(protocol)
        };
        let found: Vec<String> =
            attachment.ports.iter().filter(wanted).map(|map| map.from().to_string()).collect();
        if found.is_empty() {
            fail!("container {name} has published no port {number}/{protocol}");
        }
        Ok(found)
    }

    pub(super) fn network_settings(&self, record: &Record, runs: bool) -> Result<Value> {
        let read = if runs { attachment::find } else { Attachment::read };
        let attachment = read(&self.roots, &record.id)
            .context(|| format!("inspect the networks of container {}", record.name))?;
        let mut networks = Object::new();
        for wanted in &record.networks {
            let endpoint = attachment.endpoint(&wanted.name);
            let aliases = wanted.aliases.iter().map(text);
            networks.insert(wanted.name.clone(), settings(endpoint, array(aliases)));
        }
        if record.networks.is_empty() && !record.network.contains(':') {
            networks.insert(record.network.clone(), settings(None, array([])));
        }
        let mut ports = Object::new();
        for map in &attachment.ports {
            let key = format!("{}/{}", map.container_port, map.protocol);
            let host = text(map.port);
            push(&mut ports, key, object([("HostIp", text(map.address)), ("HostPort", host)]));
        }
        for exposed in &record.exposed {
            if ports.get(exposed).is_none() {
                ports.insert(exposed.clone(), Value::Null);
            }
        }
        let Value::Object(mut all) = settings(attachment.endpoints.first(), array([])) else {
            fail!("network settings are an object")
        };
        all.insert("Ports".to_owned(), Value::Object(ports));
        all.insert("Networks".to_owned(), Value::Object(networks));
        Ok(Value::Object(all))
    }

    /// `network inspect`
    pub(super) fn network_inspect(&self, name: &str) -> Result<String> {
        if matches!(name, "none" | "host") {
            let driver = if name == "none" { "null" } else { "host" };
            return Ok(to_string(&object([
                ("Name", text(name)),
                ("Driver", text(driver)),
                ("Scope", text("local")),
            ])));
        }
        let network = match name {
            "bridge" | "default" | DEFAULT => create::open(&self.roots, DEFAULT)?,
            name => create::resolve(&self.roots, name)?,
        };
        let pools = network.pools.iter().map(|pool| {
            object([
                ("Subnet", text(pool.subnet)),
                ("Gateway", text(pool.gateway)),
                ("IPRange", text(pool.range.map(|range| range.to_string()).unwrap_or_default())),
            ])
        });
        let mut containers = Object::new();
        for lease in ipam::leases(&self.roots, &network)? {
            let Ok(attachment) = attachment::find(&self.roots, &lease.owner) else { continue };
            let endpoint = attachment.endpoint(&network.name);
            if let Some(endpoint) = endpoint {
                containers.insert(lease.owner, member(&attachment.name, endpoint));
            }
        }
        Ok(to_string(&object([
            ("Name", text(&network.name)),
            ("Id", text(&network.id)),
            ("Created", instant(network.created)),
            ("Scope", text("local")),
            ("Driver", text("bridge")),
            ("EnableIPv6", Value::Bool(network.pool(Family::V6).is_some())),
            ("IPAM", object([("Driver", text("default")), ("Config", array(pools))])),
            ("Internal", Value::Bool(network.internal)),
            ("Bridge", text(&network.bridge)),
            ("Containers", Value::Object(containers)),
            ("Options", map(&network.options)),
            ("Labels", map(&network.labels)),
        ])))
    }
}

/// A container in `network inspect`.
fn member(name: &str, endpoint: &Endpoint) -> Value {
    let address = |family| {
        let address = endpoint.address(family);
        text(address.map_or(String::new(), |found| format!("{}/{}", found.address, found.prefix)))
    };
    object([
        ("Name", text(name)),
        ("MacAddress", text(endpoint.mac)),
        ("IPv4Address", address(Family::V4)),
        ("IPv6Address", address(Family::V6)),
    ])
}

/// Docker's fields of one endpoint; empty without one.
fn settings(endpoint: Option<&Endpoint>, aliases: Value) -> Value {
    let address = |family| endpoint.and_then(|endpoint| endpoint.address(family));
    let field =
        |family, of: fn(&Address) -> String| text(address(family).map_or_else(String::new, of));
    let ip = |address: &Address| address.address.to_string();
    let gateway = |address: &Address| address.gateway.to_string();
    let prefix = |family| number(address(family).map_or(0, |address| address.prefix.into()));
    object([
        ("Aliases", aliases),
        ("NetworkID", text(endpoint.map_or("", |endpoint| &endpoint.network_id))),
        (
            "MacAddress",
            text(endpoint.map_or_else(String::new, |endpoint| endpoint.mac.to_string())),
        ),
        ("IPAddress", field(Family::V4, ip)),
        ("IPPrefixLen", prefix(Family::V4)),
        ("Gateway", field(Family::V4, gateway)),
        ("GlobalIPv6Address", field(Family::V6, ip)),
        ("GlobalIPv6PrefixLen", prefix(Family::V6)),
        ("IPv6Gateway", field(Family::V6, gateway)),
    ])
}

/// `0.0.0.0:8080->80/tcp`, neighbouring ports as ranges.
fn published(maps: &[PortMap]) -> Vec<String> {
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
        format!("{address}:{}->{}/{}", range(map.port), range(map.container_port), map.protocol)
    };
    runs.iter().map(line).collect()
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
            published(&[map(8001, 81), map(8000, 80), map(9000, 82)]),
            ["0.0.0.0:8000-8001->80-81/tcp", "0.0.0.0:9000->82/tcp"]
        );
    }
}

//! What `ps`, `port` and `inspect` show of a container's networks and published ports, under
//! Docker's field names. The facts come from the endpoints that `network` recorded at the start,
//! not from the kernel, so reading them needs no netlink and works for a container in another
//! namespace.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Engine;
use super::inspect::{array, map, number, object, or_nil_list, text};
use crate::address::Ip;
use crate::container::record::Record;
use crate::container::state::Condition;
use crate::error::{Context, Result, fail};
use crate::network::attachment;
use crate::network::attachment::record::{Address, Attachment, Endpoint};
use crate::network::naming::{self, DEFAULT};
use crate::network::ports::PortMap;
use crate::network::subnet::Family;
use crate::network::{create, ipam};
use crate::template::{Value, omit_empty};
use crate::time::Instant;

/// Under Docker's names.
pub(super) fn network_names(record: &Record) -> Vec<String> {
    match record.networks.as_slice() {
        [] => vec![record.network.clone()],
        networks => networks.iter().map(|network| network.name.clone()).collect(),
    }
}

/// `-p` as asked for: `{"80/tcp": [{"HostIp": …, "HostPort": …}]}`.
pub(super) fn port_bindings(record: &Record) -> Value {
    let mut bindings = Bindings::new();
    for publish in &record.publish {
        let key = format!("{}/{}", publish.container, publish.protocol);
        let host = publish.host.map(|range| range.to_string()).unwrap_or_default();
        let address = publish.address.map(|address| address.to_string()).unwrap_or_default();
        let binding = object([("HostIp", text(address)), ("HostPort", text(host))]);
        bindings.entry(key).or_default().push(binding);
    }
    of_bindings(bindings)
}

/// A port of a container, and where it is reached.
type Bindings = BTreeMap<String, Vec<Value>>;

/// A port that is only exposed has a list that was never made.
fn of_bindings(bindings: Bindings) -> Value {
    Value::map(bindings.into_iter().map(|(port, hosts)| (port, or_nil_list(Value::list(hosts)))))
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

    pub(super) fn network_settings(&self, record: &Record, condition: &Condition) -> Result<Value> {
        let pid = match condition {
            Condition::Running(state) => Some(state.pid),
            _ => None,
        };
        let read = if pid.is_some() { attachment::find } else { Attachment::read };
        let attachment = read(&self.roots, &record.id)
            .context(|| format!("inspect the networks of container {}", record.name))?;
        let mut networks = BTreeMap::new();
        for wanted in &record.networks {
            let endpoint = attachment.endpoint(&wanted.name);
            networks.insert(
                wanted.name.clone(),
                settings(endpoint, &wanted.aliases, wanted.driver_options.as_deref()),
            );
        }
        if record.networks.is_empty() && !record.network.contains(':') {
            networks.insert(record.network.clone(), settings(None, &[], None));
        }
        let mut ports = Bindings::new();
        for map in &attachment.ports {
            let key = format!("{}/{}", map.container_port, map.protocol);
            let binding = object([("HostIp", text(map.address)), ("HostPort", text(map.port))]);
            ports.entry(key).or_default().push(binding);
        }
        if pid.is_some() {
            for exposed in &record.exposed {
                ports.entry(exposed.clone()).or_default();
            }
        }
        let first = Addresses(attachment.endpoints.first());
        let namespace = pid.map(|pid| format!("/proc/{pid}/ns/net")).unwrap_or_default();
        Ok(object([
            ("Bridge", text("")),
            // A container has one network namespace, so its id names that too.
            ("SandboxID", text(pid.map_or("", |_| &record.id))),
            ("HairpinMode", Value::Bool(false)),
            ("LinkLocalIPv6Address", text("")),
            ("LinkLocalIPv6PrefixLen", number(0)),
            ("Ports", of_bindings(ports)),
            ("SandboxKey", text(namespace)),
            ("SecondaryIPAddresses", Value::NilList),
            ("SecondaryIPv6Addresses", Value::NilList),
            ("EndpointID", text("")),
            ("Gateway", first.gateway(Family::V4)),
            ("GlobalIPv6Address", first.address(Family::V6)),
            ("GlobalIPv6PrefixLen", first.prefix(Family::V6)),
            ("IPAddress", first.address(Family::V4)),
            ("IPPrefixLen", first.prefix(Family::V4)),
            ("IPv6Gateway", first.gateway(Family::V6)),
            ("MacAddress", first.mac()),
            ("Networks", Value::map(networks)),
        ]))
    }

    /// `network inspect`
    pub(super) fn network_inspect(&self, name: &str) -> Result<Value> {
        let found = match create::find(&self.roots, name)? {
            create::Found::Network(found) => found,
            create::Found::WithoutBridge(name) => {
                let driver = if name == "none" { "null" } else { "host" };
                let created = Value::Time(Instant(create::open(&self.roots, DEFAULT)?.created));
                let parts = Parts { driver, created, ..Parts::default() };
                return Ok(network(name, &naming::fixed_id(&self.roots, name), parts));
            }
        };
        let mut options = found.options.clone();
        if found.name == DEFAULT {
            // As Docker shows its own.
            let option = |key: &str, value: &str| {
                (format!("com.docker.network.bridge.{key}"), value.to_owned())
            };
            options.extend([
                option("default_bridge", "true"),
                option("enable_icc", "true"),
                option("enable_ip_masquerade", "true"),
                option("host_binding_ipv4", "0.0.0.0"),
                option("name", &found.bridge),
            ]);
        }
        let pools = found.pools.iter().map(|pool| {
            let auxiliary = found.auxiliary.iter().flatten();
            let auxiliary = auxiliary.filter(|(_, address)| pool.subnet.contains(address.0));
            let auxiliary = auxiliary.map(|(name, address)| (name, text(address)));
            let range = pool.range.map(|range| range.to_string()).unwrap_or_default();
            object([
                ("Subnet", text(pool.subnet)),
                ("IPRange", omit_empty(text(range))),
                ("Gateway", omit_empty(text(pool.gateway))),
                ("AuxiliaryAddresses", omit_empty(Value::map(auxiliary))),
            ])
        });
        let mut containers = BTreeMap::new();
        for lease in ipam::leases(&self.roots, &found)? {
            let Ok(attachment) = attachment::find(&self.roots, &lease.owner) else { continue };
            let endpoint = attachment.endpoint(&found.name);
            if let Some(endpoint) = endpoint {
                containers.insert(lease.owner, member(&attachment.name, endpoint));
            }
        }
        let parts = Parts {
            driver: "bridge",
            created: Value::Time(Instant(found.created)),
            ipv6: found.pool(Family::V6).is_some(),
            pools: pools.collect(),
            internal: found.internal,
            containers,
            options: map(&options),
            ipam_options: map(found.ipam_options.as_deref().unwrap_or_default()),
            attachable: found.attachable.unwrap_or(false),
            labels: map(&found.labels),
            bridge: &found.bridge,
        };
        Ok(network(&found.name, &found.id, parts))
    }
}

/// What `network inspect` prints of a network beside its name and id.
struct Parts<'a> {
    driver: &'a str,
    created: Value,
    ipv6: bool,
    pools: Vec<Value>,
    internal: bool,
    containers: BTreeMap<String, Value>,
    options: Value,
    ipam_options: Value,
    attachable: bool,
    labels: Value,
    bridge: &'a str,
}

impl Default for Parts<'_> {
    fn default() -> Self {
        Parts {
            driver: "",
            created: Value::Nil,
            ipv6: false,
            pools: Vec::new(),
            internal: false,
            containers: BTreeMap::new(),
            options: map(&[]),
            ipam_options: Value::NilMap,
            attachable: false,
            labels: map(&[]),
            bridge: "",
        }
    }
}

fn network(name: &str, id: &str, parts: Parts<'_>) -> Value {
    let ipam = object([
        ("Driver", text("default")),
        ("Options", parts.ipam_options),
        ("Config", Value::list(parts.pools)),
    ]);
    object([
        ("Name", text(name)),
        ("Id", text(id)),
        ("Created", parts.created),
        ("Scope", text("local")),
        ("Driver", text(parts.driver)),
        ("EnableIPv6", Value::Bool(parts.ipv6)),
        ("IPAM", ipam),
        ("Internal", Value::Bool(parts.internal)),
        ("Attachable", Value::Bool(parts.attachable)),
        ("Ingress", Value::Bool(false)),
        ("ConfigFrom", object([("Network", text(""))])),
        ("ConfigOnly", Value::Bool(false)),
        ("Containers", Value::map(parts.containers)),
        ("Options", parts.options),
        ("Labels", parts.labels),
        // Ours: the name of the interface.
        ("Bridge", omit_empty(text(parts.bridge))),
    ])
}

/// A container in `network inspect`.
fn member(name: &str, endpoint: &Endpoint) -> Value {
    let address = |family| {
        let address = endpoint.address(family);
        text(address.map_or(String::new(), |found| format!("{}/{}", found.address, found.prefix)))
    };
    object([
        ("Name", text(name)),
        ("EndpointID", text("")),
        ("MacAddress", text(endpoint.mac)),
        ("IPv4Address", address(Family::V4)),
        ("IPv6Address", address(Family::V6)),
    ])
}

/// The addresses of an endpoint as Docker's fields; empty without one.
struct Addresses<'a>(Option<&'a Endpoint>);

impl Addresses<'_> {
    fn of(&self, family: Family, of: fn(&Address) -> String) -> Value {
        let address = self.0.and_then(|endpoint| endpoint.address(family));
        text(address.map_or_else(String::new, of))
    }

    fn address(&self, family: Family) -> Value {
        self.of(family, |found| found.address.to_string())
    }

    fn gateway(&self, family: Family) -> Value {
        self.of(family, |found| found.gateway.to_string())
    }

    fn prefix(&self, family: Family) -> Value {
        let address = self.0.and_then(|endpoint| endpoint.address(family));
        number(address.map_or(0, |found| found.prefix.into()))
    }

    fn mac(&self) -> Value {
        text(self.0.map_or_else(String::new, |endpoint| endpoint.mac.to_string()))
    }
}

/// Docker's fields of one endpoint; empty without one.
fn settings(
    endpoint: Option<&Endpoint>,
    aliases: &[String],
    driver_options: Option<&[(String, String)]>,
) -> Value {
    let addresses = Addresses(endpoint);
    object([
        ("IPAMConfig", Value::Nil),
        ("Links", Value::NilList),
        ("Aliases", or_nil_list(array(aliases.iter().map(text)))),
        ("NetworkID", text(endpoint.map_or("", |endpoint| &endpoint.network_id))),
        ("EndpointID", text("")),
        ("Gateway", addresses.gateway(Family::V4)),
        ("IPAddress", addresses.address(Family::V4)),
        ("IPPrefixLen", addresses.prefix(Family::V4)),
        ("IPv6Gateway", addresses.gateway(Family::V6)),
        ("GlobalIPv6Address", addresses.address(Family::V6)),
        ("GlobalIPv6PrefixLen", addresses.prefix(Family::V6)),
        ("MacAddress", addresses.mac()),
        ("DriverOpts", driver_options.map_or(Value::NilMap, map)),
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

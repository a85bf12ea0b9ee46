//! `network inspect`: a network's pools, options and labels, and its containers.
//!
//! The facts come from the network's record, its leases and the recorded endpoints of its
//! containers, not from the kernel. `none` and `host` have no bridge and no pool, and show Docker's
//! empty fields.

use std::collections::BTreeMap;

use super::value::{mac, map, object, text};
use crate::container_id::ContainerId;
use crate::engine::Engine;
use crate::error::Result;
use crate::network::attachment;
use crate::network::attachment::record::Endpoint;
use crate::network::naming::{self, DEFAULT};
use crate::network::subnet::Family;
use crate::network::{create, ipam};
use crate::template::{Value, omit_empty};
use crate::time::Instant;

impl Engine {
    /// Returns the document of a network. Fails if the network does not exist.
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
            // Docker shows these options for its default network.
            let option = |key: &str, value: &str| {
                (format!("com.docker.network.bridge.{key}"), value.to_owned())
            };
            let mtu = ("com.docker.network.driver.mtu".to_owned(), "1500".to_owned());
            options.extend([
                mtu,
                option("default_bridge", "true"),
                option("enable_icc", "true"),
                option("enable_ip_masquerade", "true"),
                option("host_binding_ipv4", "0.0.0.0"),
                option("name", found.bridge()?),
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
                containers.insert(
                    lease.owner.to_string(),
                    member(&attachment.name, endpoint, &lease.owner),
                );
            }
        }
        let parts = Parts {
            driver: found.driver(),
            created: Value::Time(Instant(found.created)),
            ipv6: found.pool(Family::V6).is_some(),
            pools: pools.collect(),
            internal: found.internal,
            containers,
            options: map(&options),
            ipam_options: match &found.ipam_options {
                None if found.name == DEFAULT => Value::NilMap,
                options => map(options.as_deref().unwrap_or_default()),
            },
            attachable: found.attachable.unwrap_or(false),
            labels: map(&found.labels),
            bridge: found.link().unwrap_or_default(),
            ipam_driver: if found.pools.is_empty() { "null" } else { "default" },
        };
        Ok(network(&found.name, &found.id, parts))
    }
}

/// What `network inspect` prints about a network, besides its name and id.
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
    /// The driver of the address management.
    ipam_driver: &'a str,
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
            ipam_driver: "default",
        }
    }
}

fn network(name: &str, id: &str, parts: Parts<'_>) -> Value {
    let ipam = object([
        ("Driver", text(parts.ipam_driver)),
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
        // The name of the bridge or of the parent interface. Docker lacks this field.
        ("Bridge", omit_empty(text(parts.bridge))),
    ])
}

/// Returns a container's entry in `network inspect`.
fn member(name: &str, endpoint: &Endpoint, owner: &ContainerId) -> Value {
    let address = |family| {
        let address = endpoint.address(family);
        text(address.map_or(String::new(), |found| format!("{}/{}", found.address, found.prefix)))
    };
    object([
        ("Name", text(name)),
        ("EndpointID", text(endpoint.id(owner))),
        ("MacAddress", mac(endpoint)),
        ("IPv4Address", address(Family::V4)),
        ("IPv6Address", address(Family::V6)),
    ])
}

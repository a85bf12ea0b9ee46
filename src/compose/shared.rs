//! The namespaces and volumes that a service shares with other services: `network_mode`, `pid` and
//! `ipc` with `service:NAME`, and `volumes_from`.
//!
//! A service depends on the services whose namespaces or volumes it shares. `up` keeps the ids of
//! their containers in a label, and so notices if such a container was made again. `settings` makes
//! the flags; this file only finds the names.

use super::node::Node;

/// Returns the names of the services whose namespaces or volumes a container of this service
/// shares.
pub fn joined(node: &Node) -> Vec<&str> {
    let mut services = Vec::new();
    for key in ["network_mode", "pid", "ipc"] {
        services.extend(node.get_text(key).and_then(|mode| mode.strip_prefix("service:")));
    }
    for element in node.elements_of("volumes_from") {
        let from = element.as_text();
        if !from.starts_with("container:") {
            services.push(from.split_once(':').map_or(from, |(service, _)| service));
        }
    }
    services
}

//! The namespaces and volumes that a service shares with other services: `network_mode`, `pid` and
//! `ipc` with `service:NAME`, and `volumes_from`.
//!
//! Such a service depends on the other services. When a container of another service is made again,
//! so is the container that shares its namespaces. `settings` makes the flags; this file only finds
//! the names.

use super::node::Node;
use crate::error::Result;

/// Returns the names of the services whose namespaces or volumes a container of this service
/// shares.
pub fn joined(node: &Node) -> Result<Vec<String>> {
    let mut services = Vec::new();
    for key in ["network_mode", "pid", "ipc"] {
        let mode = node.get_text(key)?.unwrap_or_default();
        services.extend(mode.strip_prefix("service:").map(str::to_owned));
    }
    for element in node.get("volumes_from").iter().flat_map(|node| node.elements()) {
        let from = element.scalar()?;
        if !from.starts_with("container:") {
            services.push(from.split(':').next().unwrap_or_default().to_owned());
        }
    }
    Ok(services)
}

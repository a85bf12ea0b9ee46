//! What a service shares with other services: their network, PID and IPC namespaces
//! (`network_mode: service:NAME` and its like) and their volumes (`volumes_from`). Such a service
//! depends on them, and its container is made again when theirs is.

use super::node::Node;
use crate::error::Result;

/// The services whose namespaces or volumes a container of this service shares.
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

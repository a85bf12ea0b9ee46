//! The networks of one running container, from its start to its end.
//!
//! The order of `set_up` is: ports, leases, the attachment's file (`record`), the links, the
//! firewall's rules, the names in hosts files. `take_down` reads the file, undoes these steps and
//! removes the file last. The firewall's rules of the networks stay. If `take_down` is killed
//! before the end, a later command calls it again.
//!
//! Imports go one way: a module knows only those above it in this list, which a test reads.
//!
//! 1. `record`: the file `network.json` of one container
//! 2. `recover`: rebuilds the attachment from the leases if the file was removed
//! 3. `rules`: the firewall rules for all networks and attachments
//! 4. `join`: the steps for one endpoint
//! 5. `publish`: the container's published ports
//! 6. `change`: connects, disconnects and renames a running container
//! 7. `reload`: restores what other programs or a reboot removed
//! 8. `republish`: changes the published ports of a running container

pub mod change;
mod join;
mod publish;
pub mod record;
mod recover;
pub mod reload;
pub mod republish;
pub mod rules;

use std::os::fd::OwnedFd;

use rustix::process::Pid;

pub use self::join::{Container, EndpointConfig};
use self::record::Attachment;
pub use self::recover::find;
use super::create;
use super::endpoint::{self, NetworkNamespace};
use super::firewall::Choice;
use super::ports::Claimed;
use super::record::{DEFAULT_DRIVER, Network};
use crate::container_id::ContainerId;
use crate::error::Result;
use crate::event::NetworkFacts;
use crate::port::Publish;
use crate::store::{self, Roots};
use crate::sys::netlink::Socket;
use crate::sys::trace::Traced;

/// The networks that a container was connected to, or was disconnected from.
pub type Joined = Vec<NetworkFacts>;

/// The result of [`set_up`].
#[derive(Default)]
pub struct Connected {
    /// The sockets that hold the published ports.
    pub port_sockets: Vec<OwnedFd>,
    pub networks: Joined,
    /// The network namespace, if one of the networks is macvlan or ipvlan. The caller keeps the
    /// namespace open until `take_down`, which removes the interface. Otherwise the namespace can
    /// end first, and the kernel removes the interface some time later. Until then the next start
    /// cannot use the same MAC address.
    pub namespace: Option<OwnedFd>,
}

/// Connects a starting container, whose first process is `pid`, to its networks. If this fails, the
/// caller must call `take_down`.
pub fn set_up(
    roots: &Roots,
    choice: Choice,
    pid: Pid,
    container: &Container<'_>,
    configs: &[EndpointConfig],
    publish: &[Publish],
) -> Result<Connected> {
    if configs.is_empty() {
        return Ok(Default::default());
    }
    let id = container.id;
    let networks: Result<Vec<Network>> =
        configs.iter().map(|config| create::open(roots, &config.network)).collect();
    let networks = networks?;
    let Claimed { maps: ports, held } = publish::claim(roots, &networks, publish)?;
    let (name, endpoints) = (container.name.to_owned(), Vec::new());
    let mut attachment = Attachment { name, endpoints, ports };
    for (config, network) in configs.iter().zip(&networks) {
        let Attachment { endpoints, ports, .. } = &attachment;
        let endpoint = join::lease(roots, container, config, network, endpoints, ports)
            .inspect_err(|_| release(roots, id, &attachment))?;
        attachment.endpoints.push(endpoint);
    }
    attachment.write(roots, id).inspect_err(|_| release(roots, id, &attachment))?;
    let mut host = Socket::route()?;
    let mut namespace = NetworkNamespace::open(pid)?;
    let default = networks.iter().position(|network| !network.internal);
    let mut guarded = true;
    for (at, (network, endpoint)) in networks.iter().zip(&attachment.endpoints).enumerate() {
        let (config, is_default) = (&configs[at], default == Some(at));
        let namespace = &mut namespace;
        guarded &=
            join::connect(roots, &mut host, namespace, network, endpoint, config, is_default)?;
    }
    let members: Vec<&Network> = networks.iter().collect();
    publish::open(roots, choice, &mut host, &members, &attachment, id)?;
    publish::open_loopback(&members, &attachment.port_rules(id), guarded)?;
    for (network, endpoint) in networks.iter().zip(&attachment.endpoints) {
        // The monitor can't print a warning. A container whose hosts file can't be written lacks
        // the names.
        let _unwritten = join::write_names(roots, container, network, endpoint)?;
    }
    let is_direct = networks.iter().any(|network| network.direct.is_some());
    Ok(Connected {
        port_sockets: held,
        networks: networks.iter().map(Network::facts).collect(),
        namespace: is_direct.then_some(namespace.descriptor),
    })
}

/// Disconnects a container from all its networks and returns the networks. Works after a normal
/// exit and after a crash: what is already gone is no error. A failure at one network does not stop
/// the steps for the others, but the attachment's file stays. Returns the first error.
pub fn take_down(roots: &Roots, id: &ContainerId) -> Result<Joined> {
    undo(roots, id, &recover::find(roots, id)?)
}

/// As [`take_down`], for a container that was started without a network. Reads only the
/// attachment's file, which exists if `network connect` connected the container later.
pub fn take_down_recorded(roots: &Roots, id: &ContainerId) -> Result<Joined> {
    undo(roots, id, &Attachment::read(roots, id)?)
}

fn undo(roots: &Roots, id: &ContainerId, attachment: &Attachment) -> Result<Joined> {
    if attachment.endpoints.is_empty() {
        return Ok(Joined::new());
    }
    let was_removed = !record::path(roots, id).exists();
    let mut left_networks = Joined::new();
    let mut first = publish::close(roots, id, attachment);
    let mut host = Socket::route()?;
    // If another container has joined this network namespace, the namespace stays, so remove the
    // links. A mark in the run directory says that a container has joined. A cleaner of temporary
    // files that removed the attachment's file may have removed the mark too. Then assume that a
    // container has joined.
    let mark = roots.network_joined_mark(id);
    let is_joined = mark.exists() || was_removed;
    for endpoint in &attachment.endpoints {
        let cut_off = if is_joined || endpoint.is_direct() {
            join::delete(&mut host, endpoint)
        } else {
            endpoint::isolate(&mut host, &endpoint.link)
        }
        .traced("RTM_DELLINK", || format!("{} leaves {}", endpoint.link, endpoint.network));
        let left = join::leave(roots, id, endpoint);
        left_networks.push(NetworkFacts {
            id: endpoint.network_id.clone(),
            name: endpoint.network.clone(),
            driver: left.as_ref().map_or(DEFAULT_DRIVER, |left| left.driver),
        });
        first = first.and(cut_off).and(left.map(drop));
    }
    first?;
    if is_joined {
        store::remove_file(&mark)?;
    }
    store::remove_file(&record::path(roots, id))?;
    Ok(left_networks)
}

/// Releases the leases of a start that failed.
fn release(roots: &Roots, id: &ContainerId, attachment: &Attachment) {
    for endpoint in &attachment.endpoints {
        // Drop this error: the start's own error is reported. If a lease stays behind, a later
        // request reclaims it.
        let _ = join::leave(roots, id, endpoint);
    }
}

//! The networks of one running container, from its start to its end.
//!
//! The order of `set_up` is: ports, leases, the record (`record`), the links, the firewall's
//! rules, the names in hosts files. `take_down` undoes all of it by the record, whichever command
//! runs it, and removes the record last: a kill before that only means that the next command does
//! it all again.
//!
//! Imports go one way: a module knows only those above it in this list, which a test reads.
//!
//! 1. `record`: the file
//! 2. `recover`: the same facts, if the file was removed
//! 3. `rules`: the firewall rules that follow from all records
//! 4. `join`: the steps of one endpoint
//! 5. `publish`: the container's published ports
//! 6. `change`: networks of a container that runs
//! 7. `reload`: what other programs or a reboot removed, made again
//! 8. `republish`: other published ports of a container that runs

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
use crate::error::Result;
use crate::event::NetworkFacts;
use crate::port::Publish;
use crate::store::{self, Roots};
use crate::sys::netlink::Socket;
use crate::sys::trace::Traced;

/// The networks that a container was connected to, or disconnected from.
pub type Joined = Vec<NetworkFacts>;

/// Connects a starting container, whose first process is `pid`, to its networks. Returns the
/// sockets that hold its published ports, and the networks. If it fails, `take_down` undoes what was
/// done.
pub fn set_up(
    roots: &Roots,
    choice: Choice,
    pid: Pid,
    container: &Container<'_>,
    configs: &[EndpointConfig],
    publish: &[Publish],
) -> Result<(Vec<OwnedFd>, Joined)> {
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
        // The monitor can't print a warning: a container whose file can't be written lacks the
        // names.
        let _unwritten = join::write_names(roots, container, network, endpoint)?;
    }
    Ok((held, networks.iter().map(Network::facts).collect()))
}

/// Undoes everything that a container has on its networks, however it ended. Things that are gone
/// already are no error. If steps fail, the others are still done, and the first failure is returned.
/// Otherwise returns the networks.
pub fn take_down(roots: &Roots, id: &str) -> Result<Joined> {
    undo(roots, id, &recover::find(roots, id)?)
}

/// As [`take_down`], for a container that was started without a network: only the record says
/// whether it was connected to one since.
pub fn take_down_recorded(roots: &Roots, id: &str) -> Result<Joined> {
    undo(roots, id, &Attachment::read(roots, id)?)
}

fn undo(roots: &Roots, id: &str, attachment: &Attachment) -> Result<Joined> {
    if attachment.endpoints.is_empty() {
        return Ok(Joined::new());
    }
    let was_removed = !record::path(roots, id).exists();
    let mut left_networks = Joined::new();
    let mut first = publish::close(roots, id, attachment);
    let mut host = Socket::route()?;
    // The namespace lives on with the container that joined it, so the links must be removed here.
    // A cleaner of temporary files removes the mark with the record.
    let mark = roots.network_joined_mark(id);
    let is_joined = mark.exists() || was_removed;
    for endpoint in &attachment.endpoints {
        let cut_off = if is_joined || endpoint.is_direct() {
            join::delete(&mut host, endpoint)
        } else {
            endpoint::silence(&mut host, &endpoint.link)
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
fn release(roots: &Roots, id: &str, attachment: &Attachment) {
    for endpoint in &attachment.endpoints {
        // The user must see the failure that led here; a lease that is left is reclaimed.
        let _ = join::leave(roots, id, endpoint);
    }
}

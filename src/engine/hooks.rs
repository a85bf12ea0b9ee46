//! What a container has on the host outside its own namespaces: endpoints, published ports and
//! volumes.
//!
//! The network is set up while the container's first process builds its root, and is taken down
//! when that process has exited. Volumes with options are then unmounted, unless another running
//! container uses them. The monitor calls these functions as hooks and knows neither networks nor
//! volumes.

use std::os::fd::OwnedFd;

use rustix::process::Pid;

use super::network::{container, endpoint_config, is_alive};
use super::{Engine, anonymous_volumes};
use crate::container::events::Networks;
use crate::container::monitor::Hooks;
use crate::container::record::Record;
use crate::container_id::ContainerId;
use crate::error::Result;
use crate::event::Event;
use crate::network::attachment::{self, EndpointConfig};
use crate::network::firewall;
use crate::store::Roots;
use crate::volume::mounted;

/// The endpoints, published ports and volumes of one container.
pub(super) struct HostResources<'a> {
    roots: &'a Roots,
    firewall: firewall::Choice,
    record: &'a Record,
    has_begun: bool,
    /// True if `set_up` was called for a container with networks since the last successful
    /// `take_down`.
    is_up: bool,
    /// The container's network namespace, which stays open until `take_down` if a network is
    /// macvlan or ipvlan. `attachment::Connected` gives the reason.
    namespace: Option<OwnedFd>,
}

impl<'a> HostResources<'a> {
    /// Makes the value for the container of `record`. Nothing is set up yet.
    pub fn new(engine: &'a Engine, record: &'a Record) -> Self {
        let (roots, firewall) = (&engine.roots, engine.firewall);
        HostResources { roots, firewall, record, has_begun: false, is_up: false, namespace: None }
    }
}

/// Unmounts the container's volumes that have options, except those that another living container
/// uses.
pub(super) fn release_volumes(roots: &Roots, record: &Record) -> Result<()> {
    if record.mounts.iter().any(|mount| mount.has_options) {
        mounted::release(roots, &record.id, is_alive)?;
    }
    Ok(())
}

/// Takes down a container's network and volumes, for a command that cleans up after a killed
/// monitor.
pub(super) fn take_down(roots: &Roots, id: &ContainerId) -> Result<Networks> {
    let networks = attachment::take_down(roots, id)?;
    mounted::release(roots, id, is_alive)?;
    Ok(networks)
}

impl Hooks for HostResources<'_> {
    fn set_up(&mut self, pid: Pid) -> Result<(Vec<OwnedFd>, Networks)> {
        // At a restart by the restart policy, read the record again: the container may have been
        // renamed or connected to networks since its last start.
        let present = if std::mem::replace(&mut self.has_begun, true) {
            Some(Record::read(self.roots, &self.record.id)?)
        } else {
            None
        };
        let record = present.as_ref().unwrap_or(self.record);
        let configs: Vec<EndpointConfig> =
            record.networks.iter().map(|network| endpoint_config(record, network)).collect();
        let (container, publish) = (container(record), &record.publish);
        self.is_up = !configs.is_empty();
        let connected =
            attachment::set_up(self.roots, self.firewall, pid, &container, &configs, publish)?;
        self.namespace = connected.namespace;
        Ok((connected.port_sockets, connected.networks))
    }

    fn take_down(&mut self) -> Result<Networks> {
        let networks = if self.is_up {
            attachment::take_down(self.roots, &self.record.id)?
        } else {
            attachment::take_down_recorded(self.roots, &self.record.id)?
        };
        self.namespace = None;
        release_volumes(self.roots, self.record)?;
        self.is_up = false;
        Ok(networks)
    }

    fn remove(&mut self) -> Vec<Event> {
        anonymous_volumes::remove(self.roots, self.record)
    }
}

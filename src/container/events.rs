//! Creates the events of a container for the command `events`, with Docker's attributes, such as
//! the image, the name and the labels. Also creates the events of the container's networks and
//! volumes. The monitor and the commands append the events to the journal (`store::journal`).

use super::record::{MountRecord, Record};
use crate::container_id::ContainerId;
use crate::event::{self, Event, Kind, NetworkFacts};
use crate::runtime::spec::Propagation;

/// The networks that a container joined or left.
pub type Networks = Vec<NetworkFacts>;

/// An event of a container. `facts` are further attributes, as name and value.
pub fn of(record: &Record, action: &str, facts: &[(&str, &str)]) -> Event {
    let event = Event::new(Kind::Container, action, &record.id);
    let event = event.with("image", &record.image.to_string()).with("name", &record.name);
    let event = facts.iter().fold(event, |event, (key, value)| event.with(key, value));
    event.with_labels(&record.labels)
}

/// The events of the networks that a container has joined or left. `action` is `connect` or
/// `disconnect`.
pub fn of_networks(id: &ContainerId, action: &str, networks: &[NetworkFacts]) -> Vec<Event> {
    let of = |network| event::of_network(action, network).with("container", id);
    networks.iter().map(of).collect()
}

/// The `mount` events of a container's volumes, for its start or for `cp`.
pub fn of_mounts(record: &Record) -> Vec<Event> {
    let mounted = |(name, mount): (&str, &MountRecord)| {
        event::of_volume("mount", name)
            .with("container", &record.id)
            .with("destination", &mount.target)
            .with("read/write", if mount.read_only { "false" } else { "true" })
            .with("propagation", propagation(mount))
    };
    volumes(record).map(mounted).collect()
}

/// The `unmount` events of a container's volumes, for its end or for `cp`.
pub fn of_unmounts(record: &Record) -> Vec<Event> {
    let unmounted = |(name, _): (&str, &MountRecord)| {
        event::of_volume("unmount", name).with("container", &record.id)
    };
    volumes(record).map(unmounted).collect()
}

/// The propagation as Docker's events show it; empty for the default.
fn propagation(mount: &MountRecord) -> &'static str {
    match mount.access.propagation {
        Propagation::Private => "",
        Propagation::Slave => "rslave",
        Propagation::Shared => "rshared",
    }
}

fn volumes(record: &Record) -> impl Iterator<Item = (&str, &MountRecord)> {
    record.mounts.iter().filter_map(|mount| Some((mount.volume.as_deref()?, mount)))
}

//! Removes the anonymous volumes of a container, as `--rm` and `rm -v` do.
//!
//! Another container can have such a volume too, for example by `--volumes-from`. The volume then
//! stays. No count of users is stored, because a crash could make the count wrong. Instead, before
//! an anonymous volume is removed, the records of the other containers are searched for it.

use crate::container::files::Files;
use crate::container::record::{Record, all_ids};
use crate::event::{self, Event};
use crate::store::{self, Durability, Roots};
use crate::volume::mounted;

/// Removes the anonymous volumes of a container, except those that another container has too. A
/// volume that cannot be removed is left to `volume prune` or `system check`. Returns the events.
pub(super) fn remove(roots: &Roots, record: &Record) -> Vec<Event> {
    let mut events = Vec::new();
    for volume in record.mounts.iter().filter(|mount| mount.anonymous) {
        if let Some(name) = &volume.volume
            && !is_volume_of_another(roots, record, name)
        {
            let removed =
                if volume.has_options { mounted::unmount_unused(roots, name) } else { Ok(()) };
            let place = roots.volumes().join(name);
            let removed = removed.and_then(|()| store::remove_hidden(&place, Durability::Lazy));
            events.extend(removed.is_ok().then(|| event::of_volume("destroy", name)));
        }
    }
    events
}

/// Reports whether another container has the volume. Returns true if a record cannot be read,
/// because its container may have the volume.
fn is_volume_of_another(roots: &Roots, record: &Record, volume: &str) -> bool {
    let Ok(mut ids) = all_ids(roots) else { return true };
    ids.retain(|id| *id != record.id && Files::new(roots, id).config().exists());
    ids.iter().any(|id| match Record::read(roots, id) {
        Ok(other) => other.mounts.iter().any(|mount| mount.volume.as_deref() == Some(volume)),
        Err(_) => Files::new(roots, id).config().exists(),
    })
}

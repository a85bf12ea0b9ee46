//! `--userns` at creation: the range of host IDs that a container gets, and the options that
//! contradict `--userns`.
//!
//! `auto` leases a range that no other container has leased (`container::id_range`). Only
//! containers with the same ID map can share a namespace, because each namespace belongs to one
//! user namespace (user_namespaces(7)).

use super::Engine;
use super::options::{CreateOptions, UserNamespaceOption};
use crate::container::id_range;
use crate::container::record::{Record, UserNamespaceRecord};
use crate::container_id::ContainerId;
use crate::error::{Result, fail};
use crate::store;

impl Engine {
    /// Returns the user namespace of a new container. With `auto` and without `--rm`, syncs the
    /// lease to disk, because the caller then writes a record that names the range. Fails if no
    /// range is free.
    pub(super) fn user_namespace(
        &self,
        options: &CreateOptions,
        id: &ContainerId,
    ) -> Result<Option<UserNamespaceRecord>> {
        let (ids, auto) = match options.userns {
            UserNamespaceOption::Host => return Ok(None),
            UserNamespaceOption::Auto => (id_range::lease(&self.roots, id)?, true),
            UserNamespaceOption::Given(ids) => (ids, false),
        };
        if auto && !options.lifecycle.remove {
            store::sync_parent(&self.roots.ids().join(ids.uid.to_string()))?;
        }
        let unmapped = options.mounts.iter().filter(|mount| mount.unmapped);
        let unmapped = unmapped.map(|mount| mount.target.clone()).collect();
        Ok(Some(UserNamespaceRecord { ids, auto, unmapped }))
    }

    /// Fails if the container is privileged in a user namespace, or joins a namespace of a
    /// container with another ID map.
    pub(super) fn check_user_namespace(&self, record: &Record) -> Result<()> {
        if record.privileged && record.user_namespace.is_some() {
            fail!(
                "--privileged gives the host's devices and settings, which --userns withholds; \
                 leave one of them out"
            );
        }
        let joined = [
            ("--network", record.network.container()),
            ("--pid", record.namespaces.pid.container()),
            ("--ipc", record.namespaces.ipc.container()),
            ("--uts", record.namespaces.uts.container()),
        ];
        for (flag, other) in joined {
            let Some(id) = other else { continue };
            let other = Record::read(&self.roots, id)?;
            if other.ids() != record.ids() {
                fail!(
                    "{flag} container:{name}: {name} is in another user namespace; give both the \
                     same --userns UID:GID:SIZE, or none",
                    name = other.name
                );
            }
        }
        Ok(())
    }
}

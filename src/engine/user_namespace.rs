//! `--userns`: which range of IDs a container gets, and what can't go with one.

use super::Engine;
use super::options::{CreateOptions, UserNamespaceOption};
use crate::container::id_range;
use crate::container::record::{Record, UserNamespaceRecord};
use crate::error::{Result, fail};
use crate::store;

impl Engine {
    /// Leases a range if one is to be had; its lease is on disk before the record that says so.
    pub(super) fn user_namespace(
        &self,
        options: &CreateOptions,
        id: &str,
    ) -> Result<Option<UserNamespaceRecord>> {
        let (ids, auto) = match options.userns {
            UserNamespaceOption::Host => return Ok(None),
            UserNamespaceOption::Auto => (id_range::lease(&self.roots, id)?, true),
            UserNamespaceOption::Given(ids) => (ids, false),
        };
        if auto && !options.remove {
            store::sync_parent(&self.roots.ids().join(ids.uid.to_string()))?;
        }
        let unmapped = options.mounts.iter().filter(|mount| mount.unmapped);
        let unmapped = unmapped.map(|mount| mount.target.clone()).collect();
        Ok(Some(UserNamespaceRecord { ids, auto, unmapped }))
    }

    /// Refuses what the container couldn't be: powers over the host, or a share in the namespaces of
    /// a container whose IDs are others.
    pub(super) fn check_user_namespace(&self, record: &Record) -> Result<()> {
        if record.privileged && record.user_namespace.is_some() {
            fail!(
                "--privileged is to have the host's devices and settings, which --userns keeps \
                 away; leave one of them out"
            );
        }
        let joined = [
            ("--network", &record.network),
            ("--pid", &record.pid),
            ("--ipc", &record.ipc),
            ("--uts", &record.uts),
        ];
        for (flag, mode) in joined {
            let Some(id) = mode.strip_prefix("container:") else { continue };
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

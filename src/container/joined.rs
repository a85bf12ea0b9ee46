//! Determines the namespaces of a container, including those of other containers
//! (`--network container:NAME`, `--pid`, `--ipc`, `--uts`). The monitor looks up the other
//! container at every start and restart, because that container may have been restarted as well.
//!
//! As in Docker, the network interfaces of a container are removed at its end, even if another
//! container has joined its network namespace. The namespace then outlives the container, so the
//! container's monitor must remove the interfaces itself. The joining container's monitor leaves a
//! mark in the run directory of the other container, whose monitor reads the mark.

use super::files::Files;
use super::mode::{NamespaceMode, NetworkMode};
use super::record::Record;
use super::state;
use crate::container_id::ContainerId;
use crate::error::{Result, fail};
use crate::runtime::spec::{Namespace, Namespaces};
use crate::store::{self, Roots};

/// The namespaces of the container of `record`, including those of other containers. Fails if
/// another container whose namespace is joined does not run or was removed, or if its IPC namespace
/// is private.
pub fn namespaces(roots: &Roots, record: &Record) -> Result<Namespaces> {
    let pid = namespace(roots, "PID", &record.namespaces.pid)?;
    let ipc = ipc_namespace(roots, &record.namespaces.ipc)?;
    let uts = namespace(roots, "UTS", &record.namespaces.uts)?;
    let network = match &record.network {
        NetworkMode::Host => Namespace::Host,
        NetworkMode::Container(id) => {
            let (namespace, _) = of_container(roots, "network", id)?;
            // Write the mark before the namespace is opened. If the other container ends before,
            // opening the namespace fails. If the other container ends later, its monitor finds the
            // mark.
            store::replace_in_new_dir(&roots.network_joined_mark(id), b"")?;
            namespace
        }
        NetworkMode::None | NetworkMode::Network(_) => Namespace::Private,
    };
    // All joined namespaces belong to containers with the same ID mapping.
    let other =
        [&network, &pid, &ipc, &uts].into_iter().find(|n| matches!(n, Namespace::Of { .. }));
    let user = other.unwrap_or(&Namespace::Private).clone();
    let cgroup = if record.namespaces.host_cgroups { Namespace::Host } else { Namespace::Private };
    let (mount, time, time_offsets) = (Namespace::Private, Namespace::Host, Vec::new());
    Ok(Namespaces { mount, pid, ipc, uts, network, user, cgroup, time, time_offsets })
}

fn namespace(roots: &Roots, kind: &str, mode: &NamespaceMode<ContainerId>) -> Result<Namespace> {
    match mode {
        NamespaceMode::Host => Ok(Namespace::Host),
        NamespaceMode::Container(id) => Ok(of_container(roots, kind, id)?.0),
        NamespaceMode::Private | NamespaceMode::None | NamespaceMode::Shareable => {
            Ok(Namespace::Private)
        }
    }
}

/// The IPC namespace. As in Docker, a container keeps its own IPC namespace private, unless it was
/// made with `--ipc shareable`: other containers could read and change its shared memory.
fn ipc_namespace(roots: &Roots, mode: &NamespaceMode<ContainerId>) -> Result<Namespace> {
    let NamespaceMode::Container(id) = mode else { return namespace(roots, "IPC", mode) };
    let (namespace, other) = of_container(roots, "IPC", id)?;
    if matches!(other.namespaces.ipc, NamespaceMode::Private | NamespaceMode::None) {
        fail!(
            "can't join the IPC namespace of container {}: it is private; create that container \
             again with --ipc shareable",
            other.name
        );
    }
    Ok(namespace)
}

/// The namespace of the container `id`, by its first process, and the container's record. Fails if
/// that container was removed or is not running.
fn of_container(roots: &Roots, kind: &str, id: &ContainerId) -> Result<(Namespace, Record)> {
    let files = Files::new(roots, id);
    if !files.dir.exists() {
        fail!(
            "container {}, whose {kind} namespace this container shares, was removed; create this \
             container again with another one",
            id.short()
        );
    }
    let other = Record::read(roots, id)?;
    let Some(state) = state::running(roots, &other)? else {
        fail!(
            "container {}, whose {kind} namespace this container shares, is not running; start it \
             first",
            other.name
        );
    };
    Ok((Namespace::Of { pid: state.pid, start_time: state.start_time }, other))
}

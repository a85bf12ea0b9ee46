//! Determines the namespaces of a container. Some of them may belong to other containers
//! (`--network container:NAME`, `--pid`, `--ipc`, `--uts`). The other containers are looked up at
//! every start and restart, because those containers may have been restarted as well.
//!
//! As in Docker, the network interfaces of a container are removed at its end, even if another
//! container has joined its network namespace. The namespace then outlives the container, so the
//! kernel does not remove the interfaces together with the namespace. Therefore `namespaces` leaves
//! a mark in the run directory of the container whose network namespace is joined. At the end of
//! that container, `network::attachment` finds the mark and removes the interfaces.

use super::files::Files;
use super::mode::{NamespaceMode, NetworkMode};
use super::record::Record;
use super::state;
use crate::container_id::ContainerId;
use crate::error::{Result, fail};
use crate::runtime::spec::{Namespace, Namespaces};
use crate::store::{self, Roots};

/// The namespaces of the container of `record`, including those of other containers. Fails if
/// another container whose namespace is joined does not run or was removed, or if the IPC namespace
/// to join is private.
pub fn namespaces(roots: &Roots, record: &Record) -> Result<Namespaces> {
    let pid = namespace(roots, "PID", &record.namespaces.pid)?;
    let ipc = ipc_namespace(roots, &record.namespaces.ipc)?;
    let uts = namespace(roots, "UTS", &record.namespaces.uts)?;
    let network = match &record.network {
        NetworkMode::Host => Namespace::Host,
        NetworkMode::Container(id) => {
            let (namespace, _) = of_container(roots, "network", id)?;
            // Write the mark before the runtime opens the namespace. If the other container ends
            // before the opening, the opening fails. If the other container ends later, its monitor
            // finds the mark.
            store::replace_in_new_dir(&roots.network_joined_mark(id), b"")?;
            namespace
        }
        NetworkMode::None | NetworkMode::Network(_) => Namespace::Private,
    };
    // Take the user namespace of the first joined container: all joined containers have the same ID
    // mapping (`check_user_namespace`).
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

/// The IPC namespace of a container. As in Docker, other containers can join a container's own IPC
/// namespace only if the container was made with `--ipc shareable`, because containers in the same
/// IPC namespace can read and change the same shared memory.
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

/// The namespace of the container `id`, named by the container's first process, and the container's
/// record. Fails if that container was removed or is not running.
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

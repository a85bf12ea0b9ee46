//! Which kernel parameters belong to a namespace (sysctl(8), ipc_namespaces(7), uts_namespaces(7)). All
//! others belong to the whole host. The caller decides whether a container may set one: Docker's face
//! allows fewer than the OCI face.

/// The kind of namespace that a kernel parameter belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Ipc,
    Network,
    Uts,
}

/// The parameter that only the OCI face lets a container set: Docker's list lacks it.
pub const NEXT_SHM_ID: &str = "kernel.shm_next_id";

/// The namespace that `key`, such as `net.core.somaxconn`, belongs to; `None` is the host.
pub fn owner(key: &str) -> Option<Owner> {
    let is_below = |prefix| key.strip_prefix(prefix).is_some_and(|rest: &str| !rest.is_empty());
    match key {
        "kernel.msgmax"
        | "kernel.msgmnb"
        | "kernel.msgmni"
        | "kernel.sem"
        | "kernel.shmall"
        | "kernel.shmmax"
        | "kernel.shmmni"
        | "kernel.shm_rmid_forced"
        | NEXT_SHM_ID => Some(Owner::Ipc),
        "kernel.domainname" | "kernel.hostname" => Some(Owner::Uts),
        _ if is_below("fs.mqueue.") => Some(Owner::Ipc),
        _ if is_below("net.") => Some(Owner::Network),
        _ => None,
    }
}

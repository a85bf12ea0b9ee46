//! Decides by the name of a kernel parameter to which kind of namespace the parameter belongs
//! (sysctl(8), ipc_namespaces(7), uts_namespaces(7)). The caller decides whether a container may
//! set the parameter, because Docker allows fewer parameters than an OCI bundle can set.

/// The kind of namespace to which a kernel parameter belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Ipc,
    Network,
    Uts,
}

/// A parameter that Docker does not allow and only an OCI bundle can set.
pub const NEXT_SHM_ID: &str = "kernel.shm_next_id";

/// The kind of namespace to which `key`, such as `net.core.somaxconn`, belongs. `None` for all
/// other parameters, most of which belong to the whole host. Also `None` for the host name: `run`
/// has a flag for the host name, and an OCI bundle has a field.
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
        "kernel.domainname" => Some(Owner::Uts),
        _ if is_below("fs.mqueue.") => Some(Owner::Ipc),
        _ if is_below("net.") => Some(Owner::Network),
        _ => None,
    }
}

//! Decides to which namespace a kernel parameter belongs (sysctl(8), ipc_namespaces(7),
//! uts_namespaces(7)). A parameter of no namespace belongs to the whole host. The caller decides
//! whether a container may set a parameter, because Docker allows fewer parameters than an OCI
//! bundle can set.

/// The kind of namespace to which a kernel parameter belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Ipc,
    Network,
    Uts,
}

/// A parameter that Docker does not allow and only an OCI bundle can set.
pub const NEXT_SHM_ID: &str = "kernel.shm_next_id";

/// The kind of namespace to which `key`, such as `net.core.somaxconn`, belongs; `None` means the
/// host. Also `None` for the host name, for which `run` has a flag and an OCI bundle a field.
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

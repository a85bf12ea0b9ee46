//! Which namespaces a container is to have, with those of other containers that it joins
//! (`--network container:NAME` and its kin). They are looked for at every start, also at one by the
//! restart policy: the other container may have begun anew in between.

use super::record::Record;
use super::state;
use crate::error::{Result, fail};
use crate::runtime::spec::{Namespace, Namespaces};
use crate::store::Roots;

pub fn namespaces(roots: &Roots, record: &Record) -> Result<Namespaces> {
    let pid = namespace(roots, "PID", &record.pid)?;
    let ipc = namespace(roots, "IPC", &record.ipc)?;
    let uts = namespace(roots, "UTS", &record.uts)?;
    let network = namespace(roots, "network", &record.network)?;
    // All are of containers with the same IDs.
    let other = [network, pid, ipc, uts].into_iter().find(|n| matches!(n, Namespace::Of { .. }));
    let user = other.unwrap_or(Namespace::Private);
    Ok(Namespaces { pid, ipc, uts, network, user })
}

fn namespace(roots: &Roots, kind: &str, mode: &str) -> Result<Namespace> {
    match (mode, mode.strip_prefix("container:")) {
        ("host", _) => Ok(Namespace::Host),
        (_, None) => Ok(Namespace::Private),
        (_, Some(id)) => {
            let other = Record::read(roots, id)?;
            let Some(state) = state::running(roots, id)? else {
                fail!(
                    "container {}, whose {kind} namespace is to be joined, is not running",
                    other.name
                );
            };
            Ok(Namespace::Of { pid: state.pid, start_time: state.start_time })
        }
    }
}

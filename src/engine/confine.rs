//! How a container is confined: what was asked on the command line, checked against this host and
//! put on record when the container is made, and turned into what the core enforces when it starts.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::thread::CapabilitySet;

use super::options::{Confinement, SeccompOption};
use crate::container::record::{ConfinementRecord, Record};
use crate::error::{Context, Result, fail};
use crate::runtime::capabilities::{self, names};
use crate::runtime::label::{self, Label};
use crate::runtime::seccomp::{Seccomp, docker};

const UNCONFINED: &str = "unconfined";

/// What goes on record; refuses what this host can't do.
pub(super) fn describe(asked: &Confinement) -> Result<ConfinementRecord> {
    let seccomp = match &asked.seccomp {
        SeccompOption::Default => String::new(),
        SeccompOption::Unconfined => UNCONFINED.to_owned(),
        SeccompOption::File(path) => {
            let text = read_profile(path)?;
            // Now, rather than when it starts.
            docker::compile(&text, capabilities::DEFAULT)
                .context(|| format!("--security-opt seccomp={}", path.display()))?;
            text
        }
    };
    if let Some(profile) = &asked.apparmor
        && profile != UNCONFINED
        && !label::apparmor_is_on()
    {
        fail!("--security-opt apparmor={profile}: this host has no AppArmor");
    }
    let selinux: Vec<String> =
        asked.selinux.iter().filter(|part| *part != "disable").cloned().collect();
    if !selinux.is_empty() && !label::selinux_is_on() {
        fail!("--security-opt label={}: this host has no SELinux", selinux[0]);
    }
    for name in asked.cap_add.iter().filter(|name| *name != ALL) {
        if names::bit(name).is_none_or(|bit| capabilities::all() & bit == 0) {
            fail!("--cap-add {name}: it is not to be had here, by this kernel or this user");
        }
    }
    Ok(ConfinementRecord {
        cap_add: asked.cap_add.clone(),
        cap_drop: asked.cap_drop.clone(),
        seccomp,
        no_new_privileges: asked.no_new_privileges,
        apparmor: asked.apparmor.clone(),
        selinux,
        system_paths_unconfined: asked.system_paths_unconfined,
    })
}

fn read_profile(path: &Path) -> Result<String> {
    let read = || -> Result<String> {
        let mut text = String::new();
        File::open(path)?.take(docker::MAX_PROFILE + 1).read_to_string(&mut text)?;
        if text.len() as u64 > docker::MAX_PROFILE {
            fail!("it is longer than {} bytes", docker::MAX_PROFILE);
        }
        Ok(text)
    };
    read().context(|| format!("--security-opt seccomp={}", path.display()))
}

const ALL: &str = "ALL";

/// Docker's rules: ALL added comes first and less what is dropped, ALL dropped leaves what is
/// added, else the default set less what is dropped and with what is added.
pub(super) fn capabilities(record: &Record) -> u64 {
    let all = capabilities::all();
    if record.privileged {
        return all;
    }
    let ConfinementRecord { cap_add, cap_drop, .. } = &record.confinement;
    let has_all = |names: &[String]| names.iter().any(|name| name == ALL);
    let bits = |names: &[String]| {
        names.iter().filter_map(|name| names::bit(name)).fold(0, |bits, bit| bits | bit)
    };
    let (add, drop) = (bits(cap_add), bits(cap_drop));
    let kept = match (has_all(cap_add), has_all(cap_drop)) {
        (true, _) => all & !drop,
        (false, true) => add,
        (false, false) => capabilities::DEFAULT & !drop | add,
    };
    kept & all
}

/// Capabilities beyond the default set by which a program becomes root of the host, or reads all that
/// the host has, unless a user namespace confines them. The README's section on security gives the way
/// of each.
const HOST_ROOT: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::SYS_MODULE)
    .union(CapabilitySet::SYS_RAWIO)
    .union(CapabilitySet::SYS_BOOT)
    .union(CapabilitySet::BPF)
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::MAC_ADMIN);

/// What the user should read before a container starts with capabilities that give the host away.
/// `--privileged` says so by its name, and a user namespace keeps them inside.
pub(super) fn warning(record: &Record) -> Option<String> {
    if record.privileged || record.user_namespace.is_some() {
        return None;
    }
    let mut dangerous = HOST_ROOT;
    // These reach what is the host's only where its namespace is shared.
    if record.pid == "host" {
        dangerous |= CapabilitySet::SYS_PTRACE;
    }
    if record.network == "host" {
        dangerous |= CapabilitySet::NET_ADMIN;
    }
    let given = capabilities(record) & !capabilities::DEFAULT & dangerous.bits();
    let names: Vec<&str> = names::NAMES
        .iter()
        .enumerate()
        .filter(|(bit, _)| given >> bit & 1 == 1)
        .map(|(_, name)| *name)
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "--cap-add {}: a program with this can become root of the host; \
             --userns auto keeps it in the container",
            names.join(", ")
        )
    })
}

pub(super) fn seccomp(record: &Record) -> Seccomp {
    match record.confinement.seccomp.as_str() {
        _ if record.privileged => Seccomp::Unconfined,
        "" => Seccomp::Default,
        UNCONFINED => Seccomp::Unconfined,
        profile => Seccomp::Profile(profile.to_owned()),
    }
}

/// The label of the security module that this host has.
pub(super) fn label(record: &Record) -> Option<Label> {
    let confinement = &record.confinement;
    if !confinement.selinux.is_empty() {
        return Some(Label::Selinux(selinux_context(&confinement.selinux)));
    }
    match &confinement.apparmor {
        Some(profile) => (profile != UNCONFINED).then(|| Label::AppArmor(profile.clone())),
        None if record.privileged => None,
        None => label::default_apparmor(),
    }
}

/// As `--security-opt` would give them; a seccomp profile as its text, as Docker shows it.
pub(super) fn options(confinement: &ConfinementRecord) -> Vec<String> {
    let mut options: Vec<String> =
        confinement.selinux.iter().map(|part| format!("label={part}")).collect();
    if confinement.no_new_privileges {
        options.push("no-new-privileges".to_owned());
    }
    if !confinement.seccomp.is_empty() {
        options.push(format!("seccomp={}", confinement.seccomp));
    }
    if let Some(profile) = &confinement.apparmor {
        options.push(format!("apparmor={profile}"));
    }
    if confinement.system_paths_unconfined {
        options.push("systempaths=unconfined".to_owned());
    }
    options
}

/// `user:role:type:level`, of containers unless told else.
fn selinux_context(parts: &[String]) -> String {
    let part = |name: &str, default: &str| {
        let given =
            parts.iter().rev().find_map(|part| part.split_once(':').filter(|(k, _)| *k == name));
        given.map_or(default, |(_, value)| value).to_owned()
    };
    let (user, role) = (part("user", "system_u"), part("role", "system_r"));
    format!("{user}:{role}:{}:{}", part("type", "container_t"), part("level", "s0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selinux_context_is_a_containers_unless_told_else() {
        assert_eq!(selinux_context(&[]), "system_u:system_r:container_t:s0");
        let parts = ["level:s0:c1,c2".to_owned(), "type:spc_t".to_owned()];
        assert_eq!(selinux_context(&parts), "system_u:system_r:spc_t:s0:c1,c2");
    }
}

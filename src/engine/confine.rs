//! The confinement of a container: capabilities, seccomp, and AppArmor or SELinux. The masked paths
//! are in `filesystems`.
//!
//! At creation `describe` checks the flags against this host and makes their part of the record. At
//! each start this part becomes the settings that `runtime` enforces. The defaults are Docker's.
//! Capabilities that give a container control of the host cause a warning; the README's section on
//! security explains each.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::thread::CapabilitySet;

use super::warning::Warning;
use crate::container::mode::{NamespaceMode, NetworkMode};
use crate::container::record::{Record, SeccompOption, SecurityOptions};
use crate::error::{Context, Error, Result, fail};
use crate::runtime::capabilities::{self, names};
use crate::runtime::label::{self, Label, UNCONFINED};
use crate::runtime::seccomp::Seccomp;
use crate::seccomp_profile;

/// Docker's AppArmor profile. mydocker uses the profile if it is loaded, but does not load it.
pub(super) const DEFAULT_APPARMOR: &str = "docker-default";

/// Makes the flags' part of the record. Fails for example if this host lacks what a flag requires,
/// or if the seccomp profile cannot be read or is not valid.
pub(super) fn describe(asked: &SecurityOptions<PathBuf>) -> Result<SecurityOptions> {
    let seccomp = match &asked.seccomp {
        SeccompOption::Default => SeccompOption::Default,
        SeccompOption::Unconfined => SeccompOption::Unconfined,
        SeccompOption::Profile(path) => {
            let text = read_profile(path).map_err(Error::of_usage)?;
            // Compile the profile now, so that a broken one fails at creation and not at the start.
            seccomp_profile::of_file(&text, capabilities::DEFAULT)
                .context(|| format!("--security-opt seccomp={}", path.display()))
                .map_err(Error::of_usage)?;
            SeccompOption::Profile(text)
        }
    };
    if let Some(profile) = &asked.apparmor
        && profile != UNCONFINED
    {
        label::check_apparmor(profile).context(|| format!("--security-opt apparmor={profile}"))?;
    }
    let selinux: Vec<String> =
        asked.selinux.iter().filter(|part| *part != "disable").cloned().collect();
    if let [first, ..] = selinux.as_slice() {
        label::check_selinux(&selinux_context(&selinux))
            .context(|| format!("--security-opt label={first}"))?;
    }
    for name in asked.cap_add.iter().filter(|name| *name != ALL) {
        if names::bit(name).is_none_or(|bit| capabilities::all() & bit == 0) {
            fail!("--cap-add {name}: this kernel or this user does not have it");
        }
    }
    Ok(SecurityOptions {
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
        File::open(path)?.take(seccomp_profile::MAX_PROFILE + 1).read_to_string(&mut text)?;
        if text.len() as u64 > seccomp_profile::MAX_PROFILE {
            fail!("it is longer than {} bytes", seccomp_profile::MAX_PROFILE);
        }
        Ok(text)
    };
    read().context(|| format!("--security-opt seccomp={}", path.display()))
}

const ALL: &str = "ALL";

/// Returns the capabilities of a container as a bit set, by Docker's rules. A privileged container
/// has all. `--cap-add ALL` gives all except the dropped ones. `--cap-drop ALL` leaves only the
/// added ones. Otherwise the container gets the default set without the dropped and with the added
/// ones.
pub(super) fn capabilities(record: &Record) -> u64 {
    let all = capabilities::all();
    if record.privileged {
        return all;
    }
    let SecurityOptions { cap_add, cap_drop, .. } = &record.confinement;
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

/// Capabilities beyond the default set with which a program can become root of the host or read all
/// files of the host. A user namespace prevents this.
const HOST_ROOT: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::SYS_MODULE)
    .union(CapabilitySet::SYS_RAWIO)
    .union(CapabilitySet::SYS_BOOT)
    .union(CapabilitySet::BPF)
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::MAC_ADMIN);

/// Returns the warning about capabilities that give a container control of the host. There is no
/// warning for `--privileged`, which requests this explicitly, and none in a user namespace, which
/// confines the capabilities.
pub(super) fn warning(record: &Record) -> Option<Warning> {
    if record.privileged || record.user_namespace.is_some() {
        return None;
    }
    let mut dangerous = HOST_ROOT;
    // These capabilities affect the host only if the container shares the host's namespace.
    if record.namespaces.pid == NamespaceMode::Host {
        dangerous |= CapabilitySet::SYS_PTRACE;
    }
    if record.network == NetworkMode::Host {
        dangerous |= CapabilitySet::NET_ADMIN;
    }
    let given = capabilities(record) & !capabilities::DEFAULT & dangerous.bits();
    let names: Vec<&str> = names::NAMES
        .iter()
        .enumerate()
        .filter(|(bit, _)| given >> bit & 1 == 1)
        .map(|(_, name)| *name)
        .collect();
    (!names.is_empty()).then_some(Warning::GivesHostAway(names))
}

/// Returns the filter of system calls. Compiles a custom profile for the container's capabilities.
pub(super) fn seccomp(record: &Record) -> Result<Seccomp> {
    Ok(match &record.confinement.seccomp {
        _ if record.privileged => Seccomp::Unconfined,
        SeccompOption::Default => Seccomp::Default,
        SeccompOption::Unconfined => Seccomp::Unconfined,
        SeccompOption::Profile(profile) => {
            let mut filter = seccomp_profile::of_file(profile, capabilities(record))?;
            if let Some(listener) = &mut filter.listener {
                listener.id = record.id.to_string();
            }
            Seccomp::Filter(Box::new(filter))
        }
    })
}

/// Returns the label for the host's security module, if the container gets one.
pub(super) fn label(record: &Record) -> Option<Label> {
    let confinement = &record.confinement;
    if !confinement.selinux.is_empty() {
        return Some(Label::Selinux(selinux_context(&confinement.selinux)));
    }
    match &confinement.apparmor {
        Some(profile) => (profile != UNCONFINED).then(|| Label::AppArmor(profile.clone())),
        None if record.privileged => None,
        None => has_default_apparmor().then(|| Label::AppArmor(DEFAULT_APPARMOR.to_owned())),
    }
}

/// Returns the AppArmor profile for `inspect`: the given one, or the one that the container gets.
/// Empty if it gets none.
pub(super) fn apparmor_profile(record: &Record) -> String {
    if let Some(given) = &record.confinement.apparmor {
        return given.clone();
    }
    match label(record) {
        Some(Label::AppArmor(profile)) => profile,
        _ => String::new(),
    }
}

/// Reports whether AppArmor is on and has Docker's profile, which Docker or the administrator
/// loads.
pub(super) fn has_default_apparmor() -> bool {
    label::apparmor_has(DEFAULT_APPARMOR)
}

/// Returns the values of `--security-opt` for `inspect`. A seccomp profile is its text, as in
/// Docker.
pub(super) fn options(confinement: &SecurityOptions) -> Vec<String> {
    let mut options: Vec<String> =
        confinement.selinux.iter().map(|part| format!("label={part}")).collect();
    if confinement.no_new_privileges {
        options.push("no-new-privileges".to_owned());
    }
    if confinement.seccomp != SeccompOption::Default {
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

/// Returns the SELinux context `user:role:type:level`, with the defaults for containers.
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
    fn a_selinux_context_has_the_defaults_of_containers() {
        assert_eq!(selinux_context(&[]), "system_u:system_r:container_t:s0");
        let parts = ["level:s0:c1,c2".to_owned(), "type:spc_t".to_owned()];
        assert_eq!(selinux_context(&parts), "system_u:system_r:spc_t:s0:c1,c2");
    }
}

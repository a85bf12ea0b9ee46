//! `info`: facts about this host (kernel, cgroups, security modules, file system), the number of
//! containers and images, and warnings about what the host lacks.
//!
//! Each command reads the facts again; no file stores them. `cli::info` has Docker's names for the
//! facts.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::Engine;
use super::confine;
use super::registry::RegistrySettings;
use super::transfer;
use super::view::{InfoView, Status};
use crate::error::Result;
use crate::image::ImageStore;
use crate::image::platform::native_architecture;
use crate::runtime::cgroup::Layout;
use crate::runtime::{label, user_namespace};
use crate::store::file_system;
use crate::sys::schedule;

/// The size in bytes up to which an os-release file (os-release(5)) is used.
const MAX_OS_RELEASE: usize = 64 << 10;

impl Engine {
    /// Returns this machine's architecture by Go's and Docker's name.
    pub fn go_architecture() -> &'static str {
        native_architecture()
    }

    /// Reads the facts. Fails if the containers, the images or the cgroup hierarchies cannot be
    /// listed. Any other fact that cannot be read gets a default or becomes a warning.
    pub fn info(&self) -> Result<InfoView> {
        let containers = self.containers(true, &[])?;
        let count = |is: fn(&Status) -> bool| {
            containers.iter().filter(|container| is(&container.status)).count()
        };
        let listed = ImageStore::open(&self.roots).list()?;
        let images: BTreeSet<_> = listed.iter().map(|image| &image.id).collect();
        let layout = Layout::detect()?;
        let host = rustix::system::uname();
        let memory = rustix::system::sysinfo();
        let text = |value: &std::ffi::CStr| value.to_string_lossy().into_owned();
        let os_release = os_release();
        let mut warnings = shortcomings(layout);
        let registries = transfer::settings().unwrap_or_else(|error| {
            warnings.push(error.to_string());
            RegistrySettings::default()
        });
        let is_on = |path: &str| fs::read_to_string(path).is_ok_and(|value| value.trim() == "1");
        let running = count(|status| matches!(status, Status::Running { paused: false, .. }));
        let paused = count(|status| matches!(status, Status::Running { paused: true, .. }));
        let has = |controller: &str| has(layout, controller);
        Ok(InfoView {
            containers: containers.len(),
            running,
            paused,
            stopped: containers.len() - running - paused,
            images: images.len(),
            state_directory: self.roots.state.display().to_string(),
            run_directory: self.roots.run.display().to_string(),
            file_system: file_system::name(&self.roots.containers()),
            cgroup_version: match (layout.v1.is_empty(), &layout.v2) {
                (false, _) => "1",
                (true, Some(_)) => "2",
                (true, None) => "",
            },
            cgroup_controllers: cgroup_controllers(layout),
            has_memory: has("memory"),
            has_cpu: has("cpu"),
            has_cpuset: has("cpuset"),
            has_pids: has("pids"),
            // cgroup v2 cannot switch off the OOM killer.
            has_oom_control: layout.v1_with("memory").is_some(),
            forwards_ipv4: is_on("/proc/sys/net/ipv4/ip_forward"),
            bridge_iptables: is_on("/proc/sys/net/bridge/bridge-nf-call-iptables"),
            bridge_ip6tables: is_on("/proc/sys/net/bridge/bridge-nf-call-ip6tables"),
            kernel: text(host.release()),
            architecture: text(host.machine()),
            name: text(host.nodename()),
            operating_system: os_value(&os_release, "PRETTY_NAME").unwrap_or("Linux".to_owned()),
            os_version: os_value(&os_release, "VERSION_ID").unwrap_or_default(),
            cpus: schedule::cpus(),
            memory: memory.totalram as u64 * u64::from(memory.mem_unit),
            confinements: confinements(),
            user_namespaces: user_namespace::shortcoming(&self.roots.containers())
                .map_or(Ok(()), |reason| Err(reason.to_string())),
            mirrors: registries.mirrors,
            insecure_registries: registries.insecure,
            http_proxy: transfer::proxy("HTTP_PROXY"),
            https_proxy: transfer::proxy("HTTPS_PROXY"),
            no_proxy: transfer::proxy("NO_PROXY"),
            warnings,
        })
    }
}

/// Returns the text of the first file of os-release(5) that can be read. A file of more than
/// `MAX_OS_RELEASE` bytes is not used. Without a file, returns an empty text.
fn os_release() -> String {
    let read = |path| fs::read(path).ok().filter(|bytes| bytes.len() <= MAX_OS_RELEASE);
    let bytes = read("/etc/os-release").or_else(|| read("/usr/lib/os-release"));
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

/// Returns the value of a line `KEY="VALUE"` of os-release(5).
fn os_value(text: &str, key: &str) -> Option<String> {
    let mut values = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let value = values.next()?.trim().trim_matches(['"', '\'']);
    Some(value.to_owned()).filter(|value| !value.is_empty())
}

fn has_seccomp() -> bool {
    Path::new("/proc/sys/kernel/seccomp/actions_avail").exists()
}

/// Reports whether this host has the cgroup controller `controller`.
fn has(layout: &Layout, controller: &str) -> bool {
    layout.v1_with(controller).is_some() || layout.v2_has(controller)
}

/// Returns Docker's names of the confinements that a default container gets on this host.
fn confinements() -> Vec<&'static str> {
    let known = [
        ("apparmor", confine::has_default_apparmor()),
        ("seccomp", has_seccomp()),
        ("cgroupns", Path::new("/proc/self/ns/cgroup").exists()),
    ];
    known.into_iter().filter_map(|(name, is_there)| is_there.then_some(name)).collect()
}

/// Returns warnings about limits and confinements that this host lacks.
fn shortcomings(layout: &Layout) -> Vec<String> {
    let mut found = Vec::new();
    let mut unless = |is_there: bool, shortcoming: &str| {
        if !is_there {
            found.push(shortcoming.to_owned());
        }
    };
    let has_cgroups = !layout.v1.is_empty() || layout.v2.is_some();
    unless(has_cgroups, "no cgroups are mounted: limits can't be applied");
    unless(has_seccomp(), "no seccomp: containers may make every system call");
    let has = |controller: &str| has(layout, controller);
    unless(has("pids"), "no pids controller: the number of processes is not limited");
    unless(has("memory"), "no memory controller: -m can't be applied");
    unless(has("cpu"), "no cpu controller: --cpus can't be applied");
    let has_devices = layout.v1_with("devices").is_some() || layout.v2.is_some();
    unless(has_devices, "no devices controller: device files can't be opened in containers");
    unless(
        !label::apparmor_is_on() || confine::has_default_apparmor(),
        &format!(
            "AppArmor is on, but its profile {} is not loaded: containers run without a profile",
            confine::DEFAULT_APPARMOR
        ),
    );
    unless(
        !label::selinux_is_on(),
        "SELinux is on: containers run with the caller's label unless --security-opt label= asks \
         for one",
    );
    found
}

fn cgroup_controllers(layout: &Layout) -> Vec<String> {
    let v1 = layout.v1.iter().flat_map(|hierarchy| hierarchy.controllers.iter());
    let v2 = layout.v2.iter().flat_map(|unified| unified.controllers.iter());
    v1.chain(v2).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_os_release_lose_their_quotes() {
        let text = "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_ID='12'\nEMPTY=\n";
        assert_eq!(os_value(text, "PRETTY_NAME").as_deref(), Some("Debian GNU/Linux 12"));
        assert_eq!(os_value(text, "VERSION_ID").as_deref(), Some("12"));
        assert_eq!((os_value(text, "EMPTY"), os_value(text, "VERSION")), (None, None));
    }
}

//! `info`: facts about this host (kernel, cgroups, security modules, packet filter), the number of
//! containers and images, and warnings about what the host lacks. Everything is read at the call;
//! nothing is cached. The labels follow `docker info` where it has the same fact.

use std::path::Path;

use super::view::Status;
use super::{Engine, confine};
use crate::error::Result;
use crate::image::ImageStore;
use crate::runtime::cgroup::Layout;
use crate::runtime::{label, user_namespace};

impl Engine {
    /// Returns labels and values, in the order to print them.
    pub fn info(&self) -> Result<Vec<(String, String)>> {
        let containers = self.containers(true, &[])?;
        let count = |is: fn(&Status) -> bool| {
            containers.iter().filter(|container| is(&container.status)).count().to_string()
        };
        let images = ImageStore::open(&self.roots).list()?;
        let layout = Layout::detect()?;
        let host = rustix::system::uname();
        let memory = rustix::system::sysinfo();
        let text = |value: &std::ffi::CStr| value.to_string_lossy().into_owned();
        let line = |label: &str, value: String| (label.to_owned(), value);
        let mut lines = vec![
            line("Containers", containers.len().to_string()),
            line(" Running", count(|status| matches!(status, Status::Running { .. }))),
            line(" Paused", count(|status| status.name() == "paused")),
            line(" Stopped", count(|status| !matches!(status, Status::Running { .. }))),
            line("Images", images.len().to_string()),
            line("State directory", self.roots.state.display().to_string()),
            line("Run directory", self.roots.run.display().to_string()),
            line("Storage driver", "overlay".to_owned()),
            line("Cgroup version", cgroup_version(&layout).to_owned()),
            line("Cgroup controllers", cgroup_controllers(&layout)),
            line("Kernel version", text(host.release())),
            line("Architecture", text(host.machine())),
            line("Name", text(host.nodename())),
            line("CPUs", std::thread::available_parallelism().map_or(1, usize::from).to_string()),
            line("Total memory", {
                let bytes = memory.totalram as u64 * u64::from(memory.mem_unit);
                format!("{:.2}GiB", bytes as f64 / f64::from(1 << 30))
            }),
            line("Security options", confinements().join(" ")),
            line(
                "User namespaces",
                match user_namespace::shortcoming(&self.roots.containers()) {
                    None => "supported (--userns auto)".to_owned(),
                    Some(reason) => format!("not supported: {reason}"),
                },
            ),
        ];
        lines.extend(shortcomings(&layout).into_iter().map(|lack| line("WARNING", lack)));
        Ok(lines)
    }
}

fn has_seccomp() -> bool {
    Path::new("/proc/sys/kernel/seccomp/actions_avail").exists()
}

/// What a default container is held by here, beside namespaces and capabilities.
fn confinements() -> Vec<&'static str> {
    let known = [
        ("seccomp", has_seccomp()),
        ("apparmor", confine::has_default_apparmor()),
        ("cgroupns", Path::new("/proc/self/ns/cgroup").exists()),
    ];
    known.into_iter().filter_map(|(name, is_there)| is_there.then_some(name)).collect()
}

/// What a default container would be held by elsewhere, but not on this host.
fn shortcomings(layout: &Layout) -> Vec<String> {
    let mut lacks = Vec::new();
    let mut unless = |is_there: bool, lack: &str| {
        if !is_there {
            lacks.push(lack.to_owned());
        }
    };
    unless(has_seccomp(), "no seccomp: containers may make every system call");
    let has = |controller: &str| layout.v1_with(controller).is_some() || layout.v2_has(controller);
    unless(has("pids"), "no pids controller: the number of processes is not limited");
    unless(has("memory"), "no memory controller: -m can't be applied");
    unless(has("cpu"), "no cpu controller: --cpus can't be applied");
    let has_devices = layout.v1_with("devices").is_some() || layout.v2.is_some();
    unless(has_devices, "no devices controller: device files can't be opened in containers");
    unless(
        !label::apparmor_is_on() || confine::has_default_apparmor(),
        &format!(
            "AppArmor is on, but its profile {} is not loaded: containers run without",
            confine::DEFAULT_APPARMOR
        ),
    );
    unless(
        !label::selinux_is_on(),
        "SELinux is on: containers run with the caller's label unless --security-opt label= asks \
         for one",
    );
    lacks
}

fn cgroup_version(layout: &Layout) -> &'static str {
    match (layout.v1.is_empty(), &layout.v2) {
        (true, Some(_)) => "2",
        (false, Some(_)) => "1 and 2 (hybrid)",
        (false, None) => "1",
        (true, None) => "none mounted: limits can't be applied",
    }
}

fn cgroup_controllers(layout: &Layout) -> String {
    let v1 = layout.v1.iter().flat_map(|hierarchy| hierarchy.controllers.iter());
    let v2 = layout.v2.iter().flat_map(|unified| unified.controllers.iter());
    let names: Vec<&str> = v1.chain(v2).map(String::as_str).collect();
    names.join(" ")
}

//! A container's cgroups: a directory of its own in each hierarchy that its limits or our defaults
//! need, written to by hand (cgroups(7)).
//!
//! `plan` finds for each limit the hierarchy that can hold it, v1 or v2, and refuses the container
//! if none can: a limit is never silently dropped. `make` creates the directories and writes the
//! limits; on v2 that happens before the clone, so that the process is born inside; on v1 the
//! parent does it while the child builds its root, and the child enters by itself. `Update`
//! writes new limits to a running container's.

mod devices;
pub mod freezer;
mod layout;
mod removal;
mod setting;
mod update;
pub mod usage;
mod v1;
mod v2;

use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::spec::{self, DeviceAccess, RateKind, Resources, Spec};
use crate::error::{Context, Result, fail};
use crate::sys::trace;
pub use layout::{Layout, find_or_warn};
pub use removal::{kill, remove, signal};
use setting::{Setting, Settings, or_max};
pub use update::{Applied, Update};
pub use v2::weight_of_shares;

/// The parent of the containers' directories without `--cgroup-parent`.
pub const DEFAULT_PARENT: &str = "/mydocker";

/// Controllers that every container gets: memory counts OOM kills, pids and devices protect the host.
const ALWAYS: [&str; 3] = ["memory", "pids", "devices"];

/// A container's directories, planned or made.
pub struct Cgroup {
    /// v1 first.
    directories: Vec<Directory>,
    /// The v2 directory once it is made. The first process is cloned into it.
    unified: Option<OwnedFd>,
    /// Whether this cgroup keeps its processes from other devices than the given ones.
    restricts_devices: bool,
}

struct Directory {
    path: PathBuf,
    /// `None` is the v2 hierarchy.
    hierarchy: Option<layout::Hierarchy>,
    mount: PathBuf,
    /// v2: the controllers that must be delegated.
    controllers: Vec<String>,
    /// v2: the controllers to delegate if that is possible.
    other_controllers: Vec<String>,
    settings: Vec<Setting>,
}

/// The directories of a container while they are planned.
struct Plan<'a> {
    layout: &'a Layout,
    /// The path below each hierarchy's root.
    name: &'a Path,
    directories: Vec<Directory>,
}

impl Plan<'_> {
    /// The directory in the v1 hierarchy that has `controller`.
    fn in_v1(&mut self, controller: &str) -> Option<&mut Directory> {
        let found = self.layout.v1_with(controller)?;
        Some(self.directory(&found.mount, Some(found)))
    }

    /// The directory in the v2 hierarchy, to which `controller` must be delegated.
    fn in_v2(&mut self, controller: &str) -> Option<&mut Directory> {
        let is_offered = self.layout.v2_has(controller);
        let directory = self.directory(&self.layout.v2.as_ref()?.mount, None);
        let is_known = directory.controllers.iter().any(|known| known == controller);
        if is_offered && !is_known {
            directory.controllers.push(controller.to_owned());
        }
        Some(directory)
    }

    fn directory(&mut self, mount: &Path, hierarchy: Option<&layout::Hierarchy>) -> &mut Directory {
        let path = mount.join(self.name);
        let known = self.directories.iter().position(|known| known.path == path);
        let at = known.unwrap_or_else(|| {
            self.directories.push(Directory {
                path,
                hierarchy: hierarchy.cloned(),
                mount: mount.to_owned(),
                controllers: Vec::new(),
                other_controllers: Vec::new(),
                settings: Vec::new(),
            });
            self.directories.len() - 1
        });
        &mut self.directories[at]
    }

    /// Finds a place for each limit. Fails if this host has none.
    fn place_limits(&mut self, cgroup: &spec::Cgroup) -> Result<()> {
        for setting in v1::settings(cgroup) {
            if let Some(directory) = self.in_v1(&setting.controller) {
                directory.settings.push(setting);
            }
        }
        for setting in v2::settings(cgroup)? {
            let controller = setting.controller.as_ref();
            let v1_name = if controller == "io" { "blkio" } else { controller };
            let in_v1 = self.layout.v1_with(v1_name).is_some();
            if in_v1 && !is_unified(&setting) {
                continue;
            }
            // The files of every cgroup (`cgroup.*`) belong to no controller.
            if self.layout.v2_has(controller) || controller == "cgroup" {
                let controller = controller.to_owned();
                if let Some(directory) = self.in_v2(&controller) {
                    directory.settings.push(setting);
                    continue;
                }
            }
            if !setting.optional {
                let version = if in_v1 || is_unified(&setting) { " in cgroup v2" } else { "" };
                fail!(
                    "{} can't be applied: this host has no cgroup controller '{}'{version}",
                    (cgroup.name_limit)(&setting.limit),
                    setting.controller
                );
            }
        }
        Ok(())
    }

    /// Adds every controller that this host has.
    fn place_everywhere(&mut self) {
        let layout = self.layout;
        for hierarchy in layout.v1.iter().chain(&layout.named) {
            self.directory(&hierarchy.mount, Some(hierarchy));
        }
        if let Some(unified) = layout.v2.as_ref().filter(|unified| !unified.controllers.is_empty())
        {
            let directory = self.directory(&unified.mount, None);
            directory.other_controllers.clone_from(&unified.controllers);
        }
    }
}

/// Whether a value is for a file of v2 that the user named.
fn is_unified(setting: &Setting) -> bool {
    setting.limit.starts_with("unified.")
}

impl Cgroup {
    /// Finds a place for each limit. Creates nothing.
    pub fn plan(spec: &Spec) -> Result<Cgroup> {
        let layout = Layout::detect()?;
        let name = Path::new(spec.cgroup.path.trim_matches('/'));
        let mut plan = Plan { layout, name, directories: Vec::new() };
        for controller in ALWAYS {
            // v2 has no controller for devices, but a directory there can have a program for it.
            let v2_can = layout.v2_has(controller) || controller == "devices";
            if plan.in_v1(controller).is_none() && v2_can {
                plan.in_v2(controller);
            }
        }
        plan.place_limits(&spec.cgroup)?;
        if spec.cgroup.every_controller {
            plan.place_everywhere();
        }
        let restricts_devices = layout.v1_with("devices").is_some();
        Ok(Cgroup { directories: plan.directories, unified: None, restricts_devices })
    }

    /// Makes the v2 directory, before the first process is cloned into it.
    pub fn make_birthplace(&mut self, spec: &Spec) -> Result<()> {
        for directory in self.directories.iter().filter(|directory| directory.hierarchy.is_none()) {
            directory.make(spec)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let opened = openat(CWD, &directory.path, flags, Mode::empty())
                .context(|| format!("open {}", directory.path.display()))?;
            if let (DeviceAccess::Only(rules), false) =
                (&spec.device_access, self.restricts_devices)
            {
                self.restricts_devices = devices::restrict_v2(opened.as_fd(), rules)?;
            }
            self.unified = Some(opened);
        }
        Ok(())
    }

    /// If this is false, other means must keep the host's devices from the container: it may make no
    /// node, and no image or volume may show one.
    pub fn restricts_devices(&self) -> bool {
        self.restricts_devices
    }

    /// The cgroup v2 directory into which the first process is cloned (CLONE_INTO_CGROUP).
    pub fn birthplace(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(AsFd::as_fd)
    }

    /// Makes the v1 directories.
    pub fn make(&self, spec: &Spec) -> Result<()> {
        self.v1().try_for_each(|directory| directory.make(spec))
    }

    /// Moves the calling thread into the v1 directories.
    pub fn enter(&self) -> Result<()> {
        self.v1().try_for_each(|directory| enter(&directory.path))
    }

    fn v1(&self) -> impl Iterator<Item = &Directory> {
        self.directories.iter().filter(|directory| directory.hierarchy.is_some())
    }

    /// What the container sees below /sys/fs/cgroup: the v1 hierarchies by their controllers' names,
    /// or one without a name for a v2 host; each with the container's own directory in it.
    pub fn hierarchies(&self) -> Vec<(String, &Path)> {
        let v1 = self.directories.iter().filter_map(|directory| {
            let hierarchy = directory.hierarchy.as_ref()?;
            Some((hierarchy.controllers.join(","), directory.path.as_path()))
        });
        let v1: Vec<_> = v1.collect();
        match self.directories.first() {
            Some(unified) if v1.is_empty() => vec![(String::new(), unified.path.as_path())],
            _ => v1,
        }
    }

    /// The paths of all directories.
    pub fn paths(&self) -> Vec<String> {
        self.directories.iter().map(|directory| directory.path.display().to_string()).collect()
    }
}

impl Directory {
    fn make(&self, spec: &Spec) -> Result<()> {
        match &self.hierarchy {
            Some(hierarchy) => {
                v1::make(hierarchy, &self.path)?;
                let holds_devices = hierarchy.controllers.iter().any(|name| name == "devices");
                if let (DeviceAccess::Only(rules), true) = (&spec.device_access, holds_devices) {
                    devices::restrict_v1(&self.path, rules)?;
                }
            }
            None => {
                v2::make(&self.mount, &self.path, &self.controllers, &self.other_controllers)?;
            }
        }
        trace::step("mkdir", || self.path.display().to_string());
        setting::apply(&self.settings, &self.path, &spec.cgroup)
    }
}

/// Fails if one of these cgroups exists with processes of another program: they would count as the
/// container's, and end with it.
pub fn must_be_free(paths: &[String]) -> Result<()> {
    for path in paths.iter().filter(|path| Path::new(path).is_dir()) {
        let own = std::slice::from_ref(path);
        if let Some(pid) = members(own).first() {
            fail!("cgroup {path} is in use: process {pid} is in it; the container needs its own");
        }
        if freezer::is_switched(own) {
            fail!("cgroup {path} is frozen: thaw it, or choose another");
        }
    }
    Ok(())
}

/// Moves the calling thread, its process's only one, into a v1 cgroup, by `tasks`. To move another
/// process, or to use `cgroup.procs`, the kernel waits until no process on the host is in the middle
/// of a fork or an exit, which takes some 10 ms each time.
pub fn enter(directory: &Path) -> Result<()> {
    let path = directory.join("tasks");
    openat(CWD, &path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|file| rustix::io::write(&file, b"0"))
        .map(drop)
        .context(|| format!("enter cgroup {}", directory.display()))
}

/// The container's v2 cgroup, into which a further process of it is cloned.
pub fn birthplace(paths: &[String]) -> Result<Option<OwnedFd>> {
    let is_v2 = |path: &&String| !Path::new(path.as_str()).join("tasks").exists();
    let Some(path) = paths.iter().find(is_v2) else { return Ok(None) };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).map(Some).context(|| format!("open cgroup {path}"))
}

/// Whether the kernel's OOM killer has struck in one of these cgroups.
pub fn oom_killed(paths: &[String]) -> bool {
    paths.iter().any(|path| {
        let files = ["memory.events", "memory.oom_control"];
        let text =
            files.iter().find_map(|file| fs::read_to_string(Path::new(path).join(file)).ok());
        let kills = text.as_deref().unwrap_or_default().lines().find_map(|line| {
            line.strip_prefix("oom_kill ").and_then(|count| count.trim().parse::<u64>().ok())
        });
        kills.is_some_and(|kills| kills > 0)
    })
}

/// The v2 cgroup, beside the containers below `parent`, in which their monitors live. systemd assigns
/// a process to a unit by its v2 cgroup, so a monitor in the caller's cgroup would end with the service
/// or session that started it. `None` if no such cgroup can be made: the monitor stays in the caller's.
pub fn monitors(parent: &str) -> Option<OwnedFd> {
    let unified = Layout::detect().ok()?.v2.as_ref()?;
    let path = unified.mount.join(parent.trim_matches('/')).join("monitors");
    make_directory(&path).ok()?;
    openat(CWD, &path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// Every path on this host where the container's cgroup may be, whatever its limits were.
pub fn possible_paths(parent: &str, id: &str) -> Result<Vec<String>> {
    let layout = Layout::detect()?;
    let name = Path::new(parent.trim_matches('/')).join(id);
    let v1 = layout.v1.iter().chain(&layout.named);
    let mounts = v1.map(|hierarchy| &hierarchy.mount);
    let mounts = mounts.chain(layout.v2.as_ref().map(|unified| &unified.mount));
    Ok(mounts.map(|mount| mount.join(&name).display().to_string()).collect())
}

/// The processes of a container: those in the first of its cgroups and in the cgroups below.
pub fn members(paths: &[String]) -> Vec<i32> {
    fn add(path: &Path, pids: &mut Vec<i32>) {
        let members = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        pids.extend(members.lines().filter_map(|line| line.parse::<i32>().ok()));
        for child in fs::read_dir(path).into_iter().flatten().flatten() {
            if child.file_type().is_ok_and(|kind| kind.is_dir()) {
                add(&child.path(), pids);
            }
        }
    }
    let mut pids = Vec::new();
    if let Some(first) = paths.first() {
        add(Path::new(first), &mut pids);
    }
    pids
}

fn make_directory(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => fs::create_dir_all(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
    .context(|| format!("make cgroup {}", path.display()))
}

/// Quota and period in microseconds, if they are set.
fn cpu_bandwidth(resources: &Resources) -> (Option<i64>, Option<u64>) {
    const DEFAULT_PERIOD_US: u64 = 100_000;
    let Some(nano) = resources.nano_cpus else {
        return (resources.cpu_quota, resources.cpu_period);
    };
    let period = resources.cpu_period.unwrap_or(DEFAULT_PERIOD_US);
    (Some((nano * (period / 1000) / 1_000_000) as i64), Some(period))
}

/// The limits that both versions write alike. `huge_page_limit` is how the names of the files of
/// huge pages end.
fn both(settings: &mut Settings, cgroup: &spec::Cgroup, huge_page_limit: &str) {
    let further = &cgroup.further;
    if let Some(pids) = cgroup.resources.pids {
        settings.set("pids", "pids.max", or_max(pids), "pids.limit");
    } else if let Some(pids) = cgroup.default_pids {
        // The default limit: left out if the host can't set it.
        settings.set("pids", "pids.max", pids, "pids.limit").optional = true;
    }
    for limit in &further.huge_pages {
        let file = |kind| format!("hugetlb.{}.{kind}{huge_page_limit}", limit.size);
        settings.set("hugetlb", file(""), limit.bytes, "hugepageLimits");
        // Since Linux 5.7.
        settings.set("hugetlb", file("rsvd."), limit.bytes, "hugepageLimits").optional = true;
    }
    if let Some(class) = further.network_class {
        settings.set("net_cls", "net_cls.classid", class, "network.classID");
    }
    for (interface, priority) in &further.network_priorities {
        let value = format!("{interface} {priority}");
        settings.set("net_prio", "net_prio.ifpriomap", value, "network.priorities");
    }
    for limit in &further.rdma {
        let mut value = limit.device.clone();
        value.extend(limit.handles.map(|handles| format!(" hca_handle={handles}")));
        value.extend(limit.objects.map(|objects| format!(" hca_object={objects}")));
        settings.set("rdma", "rdma.max", value, format!("rdma.{}", limit.device));
    }
}

fn cpuset(settings: &mut Settings, resources: &Resources) {
    if let Some(cpus) = &resources.cpuset_cpus {
        settings.set("cpuset", "cpuset.cpus", cpus, "cpu.cpus");
    }
    if let Some(mems) = &resources.cpuset_mems {
        settings.set("cpuset", "cpuset.mems", mems, "cpu.mems");
    }
}

/// Bytes of memory and swap together, -1 for no limit: as asked for, otherwise the caller's default.
fn memory_and_swap(cgroup: &spec::Cgroup) -> Option<i64> {
    let resources = &cgroup.resources;
    let unlimited = (resources.memory == Some(-1)).then_some(-1);
    resources.memory_swap.or(cgroup.default_memory_swap).or(unlimited)
}

/// The specification's name for a rate.
fn rate_name(kind: RateKind) -> &'static str {
    match kind {
        RateKind::ReadBytes => "blockIO.throttleReadBpsDevice",
        RateKind::WriteBytes => "blockIO.throttleWriteBpsDevice",
        RateKind::ReadOperations => "blockIO.throttleReadIOPSDevice",
        RateKind::WriteOperations => "blockIO.throttleWriteIOPSDevice",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_become_quota_and_period() {
        let mut resources = Resources { nano_cpus: Some(1_500_000_000), ..Resources::default() };
        assert_eq!(cpu_bandwidth(&resources), (Some(150_000), Some(100_000)));
        resources.cpu_period = Some(50_000);
        assert_eq!(cpu_bandwidth(&resources), (Some(75_000), Some(50_000)));
        resources.nano_cpus = None;
        assert_eq!(cpu_bandwidth(&resources), (None, Some(50_000)));
        resources.cpu_quota = Some(20_000);
        assert_eq!(cpu_bandwidth(&resources), (Some(20_000), Some(50_000)));
    }
}

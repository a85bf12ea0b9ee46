//! A container's cgroups: a directory in each hierarchy that a limit of the container or a default
//! of mydocker needs (cgroups(7)). A container of an OCI bundle gets a directory in each v1
//! hierarchy, and in v2 if v2 has a controller.
//!
//! `plan` finds for each limit a hierarchy, v1 or v2, that has the controller. If no hierarchy has
//! the controller of a limit that the user set, the start fails. `make_v2` and `make` create
//! the directories and write the limits. The v2 directory is made before clone3(2), so that init
//! starts in it. The parent makes the v1 directories while init builds the root, and init enters
//! them. `Update` changes the limits of a running container.

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
use crate::sys::procfs::read_record;
use crate::sys::trace::Traced;
pub use layout::{Layout, adopt, find_or_warn};
pub use removal::{kill, remove, signal};
use setting::{Setting, Settings, or_max};
pub use update::{Applied, Update};
pub use v2::weight_of_shares;

/// The parent cgroup of the containers without `--cgroup-parent`.
pub const DEFAULT_PARENT: &str = "/mydocker";

/// The controllers of every container, as far as the host has them: memory counts OOM kills, pids
/// and devices protect the host.
const ALWAYS: [&str; 3] = ["memory", "pids", "devices"];

/// A container's directories, planned or made.
pub struct Cgroup {
    /// At most one directory in each hierarchy, in the order in which `plan` added them.
    directories: Vec<Directory>,
    /// The open v2 directory, once it is made. Init is cloned into this cgroup.
    unified: Option<OwnedFd>,
    /// Whether a cgroup can deny devices to the container's processes.
    restricts_devices: bool,
}

struct Directory {
    path: PathBuf,
    /// `None` stands for the v2 hierarchy.
    hierarchy: Option<layout::Hierarchy>,
    mount: PathBuf,
    /// Only v2: the controllers that must be delegated to this cgroup.
    controllers: Vec<String>,
    /// Only v2: the controllers that are delegated to this cgroup if that is possible.
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
    /// Plans and returns the directory in the v1 hierarchy that has `controller`; `None` if no v1
    /// hierarchy has it.
    fn in_v1(&mut self, controller: &str) -> Option<&mut Directory> {
        let found = self.layout.v1_with(controller)?;
        Some(self.directory(&found.mount, Some(found)))
    }

    /// Plans and returns the directory in the v2 hierarchy; `None` without cgroup v2. If v2 offers
    /// `controller`, adds it to the controllers that must be delegated to this directory.
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

    /// Finds a directory for each limit. Fails if this host lacks the controller of a limit that is
    /// not optional, or if a limit cannot be converted for v2.
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
            // The files `cgroup.*` exist in every v2 cgroup and belong to no controller.
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

    /// Adds a directory in each v1 hierarchy, and in v2 if v2 offers a controller.
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

/// Whether the user named the v2 file of this value (`unified` in the OCI runtime specification).
fn is_unified(setting: &Setting) -> bool {
    setting.limit.starts_with("unified.")
}

impl Cgroup {
    /// Finds a directory for each limit of `spec`. Creates nothing. Fails if the hierarchies cannot
    /// be read, if this host lacks the controller of a limit that is not optional, or if a limit
    /// cannot be converted for v2.
    pub fn plan(spec: &Spec) -> Result<Cgroup> {
        let layout = Layout::detect()?;
        let name = Path::new(spec.cgroup.path.trim_matches('/'));
        let mut plan = Plan { layout, name, directories: Vec::new() };
        for controller in ALWAYS {
            // cgroup v2 has no controller for devices, but a device program can be attached to any
            // v2 cgroup.
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

    /// Creates the v2 directory, writes its limits and opens it. If the spec restricts devices and
    /// v1 has no devices controller, attaches the device program. Must be called before the first
    /// process is cloned.
    pub fn make_v2(&mut self, spec: &Spec) -> Result<()> {
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

    /// Whether a cgroup can restrict the container's devices. If not, a container with restricted
    /// devices may not create device nodes, and the mounts of its image and volumes are nodev.
    pub fn restricts_devices(&self) -> bool {
        self.restricts_devices
    }

    /// The open v2 directory, into which the first process is cloned (CLONE_INTO_CGROUP).
    pub fn v2_directory(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(AsFd::as_fd)
    }

    /// Creates the v1 directories and writes their limits and device rules.
    pub fn make(&self, spec: &Spec) -> Result<()> {
        self.v1().try_for_each(|directory| directory.make(spec))
    }

    /// Moves the calling thread, the only one of its process, into the v1 cgroups.
    pub fn enter(&self) -> Result<()> {
        self.v1().try_for_each(|directory| enter(&directory.path))
    }

    fn v1(&self) -> impl Iterator<Item = &Directory> {
        self.directories.iter().filter(|directory| directory.hierarchy.is_some())
    }

    /// The hierarchies that the container sees below /sys/fs/cgroup: for each its controllers,
    /// joined by commas, and the path of the container's cgroup. A v1 hierarchy without controllers
    /// has its name instead (`name=systemd`). The v2 cgroup is listed, with an empty text, only if
    /// the container has no v1 cgroup.
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

    /// The paths of all directories of this container.
    pub fn paths(&self) -> Vec<String> {
        self.directories.iter().map(|directory| directory.path.display().to_string()).collect()
    }
}

impl Directory {
    fn make(&self, spec: &Spec) -> Result<()> {
        let path = || self.path.display().to_string();
        match &self.hierarchy {
            Some(hierarchy) => {
                v1::make(hierarchy, &self.path).traced("mkdir", path)?;
                let holds_devices = hierarchy.controllers.iter().any(|name| name == "devices");
                if let (DeviceAccess::Only(rules), true) = (&spec.device_access, holds_devices) {
                    devices::restrict_v1(&self.path, rules)?;
                }
            }
            None => {
                v2::make(&self.mount, &self.path, &self.controllers, &self.other_controllers)
                    .traced("mkdir", path)?;
            }
        }
        setting::apply(&self.settings, &self.path, &spec.cgroup)
    }
}

/// Fails if one of these cgroups exists and contains a process or is frozen. A process of another
/// program would count as the container's, and would be killed at the container's end.
pub fn must_be_free(paths: &[String]) -> Result<()> {
    for path in paths.iter().filter(|path| Path::new(path).is_dir()) {
        let own = std::slice::from_ref(path);
        if let Some(pid) = members(own).first() {
            fail!("cgroup {path} is in use: process {pid} is in it; the container needs its own");
        }
        if freezer::is_frozen_in(own) {
            fail!("cgroup {path} is frozen: thaw it, or choose another");
        }
    }
    Ok(())
}

/// Moves the calling thread, the only one of its process, into a v1 cgroup by the file `tasks`. A
/// write to `cgroup.procs` takes about 10 ms, and so does a write of another process's PID. In both
/// cases the kernel waits until no process on the host is in a fork, an execve or an exit.
pub fn enter(directory: &Path) -> Result<()> {
    let path = directory.join("tasks");
    openat(CWD, &path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|file| rustix::io::write(&file, b"0"))
        .map(drop)
        .context(|| format!("enter cgroup {}", directory.display()))
}

/// Opens the container's v2 cgroup, into which `exec` clones a process; `None` if all of `paths`
/// are v1 cgroups.
pub fn open_v2(paths: &[String]) -> Result<Option<OwnedFd>> {
    let is_v2 = |path: &&String| !Path::new(path.as_str()).join("tasks").exists();
    let Some(path) = paths.iter().find(is_v2) else { return Ok(None) };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).map(Some).context(|| format!("open cgroup {path}"))
}

/// The number of processes in these cgroups that the kernel's OOM killer has killed; 0 if no cgroup
/// has the controller memory.
pub fn oom_kills(paths: &[String]) -> u64 {
    // At most one of the cgroups has the controller memory.
    let files =
        |path| ["memory.events", "memory.oom_control"].map(|file| Path::new(path).join(file));
    let record = paths.iter().flat_map(files).find_map(|file| read_record(file).ok());
    let text = String::from_utf8_lossy(record.as_deref().unwrap_or_default());
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// Creates and opens the v2 cgroup `monitors` below `parent`. systemd assigns a process to a unit
/// by its v2 cgroup. In the caller's cgroup a monitor would end with the service or session that
/// started it. `None` without cgroup v2, or if the cgroup cannot be made or opened: the monitor
/// then stays in the caller's cgroup.
pub fn monitors(parent: &str) -> Option<OwnedFd> {
    let unified = Layout::detect().ok()?.v2.as_ref()?;
    let path = unified.mount.join(parent.trim_matches('/')).join("monitors");
    make_directory(&path).ok()?;
    openat(CWD, &path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// Every path on this host at which the container `id` below `parent` may have a cgroup. Fails if
/// the hierarchies cannot be read.
pub fn possible_paths(parent: &str, id: &str) -> Result<Vec<String>> {
    let layout = Layout::detect()?;
    let name = Path::new(parent.trim_matches('/')).join(id);
    let v1 = layout.v1.iter().chain(&layout.named);
    let mounts = v1.map(|hierarchy| &hierarchy.mount);
    let mounts = mounts.chain(layout.v2.as_ref().map(|unified| &unified.mount));
    Ok(mounts.map(|mount| mount.join(&name).display().to_string()).collect())
}

/// Whether the directory `path` is in the v1 hierarchy that has `controller`. A hierarchy without
/// controllers is given by its name, such as `name=systemd`.
pub fn belongs_to(path: &str, controller: &str) -> Result<bool> {
    let layout = Layout::detect()?;
    let named = layout.named.iter().find(|hierarchy| hierarchy.controllers == [controller]);
    let found = layout.v1_with(controller).or(named);
    Ok(found.is_some_and(|hierarchy| Path::new(path).starts_with(&hierarchy.mount)))
}

/// Opens the v2 cgroup in which process `pid` is now; `None` if the host has no cgroup v2, or if
/// /proc/PID/cgroup does not list it. The process may have started in another cgroup.
pub fn present_v2(pid: i32) -> Result<Option<OwnedFd>> {
    let Some(unified) = &Layout::detect()?.v2 else { return Ok(None) };
    let path = format!("/proc/{pid}/cgroup");
    let text = fs::read_to_string(&path).context(|| format!("read {path}"))?;
    let Some(below) = text.lines().find_map(|line| line.strip_prefix("0::/")) else {
        return Ok(None);
    };
    let path = unified.mount.join(below);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, &path, flags, Mode::empty())
        .map(Some)
        .context(|| format!("open cgroup {}", path.display()))
}

/// The PIDs in the first of the cgroups `paths` and in all cgroups below it. Each cgroup of a
/// container has all of the container's processes.
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

/// Makes a cgroup and its missing parents. Returns false if the cgroup exists already.
fn make_directory(path: &Path) -> Result<bool> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => fs::create_dir_all(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        result => result,
    }
    .context(|| format!("make cgroup {}", path.display()))?;
    Ok(true)
}

/// The CPU quota and period in microseconds, if they are set.
fn cpu_bandwidth(resources: &Resources) -> (Option<i64>, Option<u64>) {
    const DEFAULT_PERIOD_US: u64 = 100_000;
    let Some(nano) = resources.nano_cpus else {
        return (resources.cpu_quota, resources.cpu_period);
    };
    let period = resources.cpu_period.unwrap_or(DEFAULT_PERIOD_US);
    (Some((nano * (period / 1000) / 1_000_000) as i64), Some(period))
}

/// Adds the limits whose files have the same names in both versions, or exist in v1 alone (net_cls,
/// net_prio). The file names of hugetlb end in `huge_page_limit`, which depends on the version.
fn add_common_limits(settings: &mut Settings, cgroup: &spec::Cgroup, huge_page_limit: &str) {
    let further = &cgroup.further;
    if let Some(pids) = cgroup.resources.pids {
        settings.set("pids", "pids.max", or_max(pids), "pids.limit");
    } else if let Some(pids) = cgroup.default_pids {
        // The default limit is skipped if the host cannot set it.
        settings.set("pids", "pids.max", pids, "pids.limit").optional = true;
    }
    for limit in &further.huge_pages {
        let file = |kind| format!("hugetlb.{}.{kind}{huge_page_limit}", limit.size);
        settings.set("hugetlb", file(""), limit.bytes, "hugepageLimits");
        // The kernel has this file since Linux 5.7.
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

/// The limit of memory and swap together in bytes; -1 means no limit. If the user set no limit, the
/// default of the spec applies. Without a default the result is -1 if the memory limit is -1, and
/// otherwise `None`.
fn memory_and_swap(cgroup: &spec::Cgroup) -> Option<i64> {
    let resources = &cgroup.resources;
    let unlimited = (resources.memory == Some(-1)).then_some(-1);
    resources.memory_swap.or(cgroup.default_memory_swap).or(unlimited)
}

/// The name of a rate in the OCI runtime specification.
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

//! A container's cgroups: a directory of its own in each hierarchy that its limits or our defaults
//! need, written to by hand (cgroups(7)).
//!
//! `plan` finds for each limit the hierarchy that can hold it, v1 or v2, and refuses the container
//! if none can: a limit is never silently dropped. `make` creates the directories and writes the
//! limits; on v2 that happens before the clone, so that the process is born inside; on v1 the
//! parent does it while the child builds its root, and the child enters by itself. `remove` kills
//! what is left and removes them.

mod devices;
pub mod freezer;
mod layout;
pub mod usage;
mod v1;
mod v2;

use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::Pid;

use super::spec::{self, DeviceAccess, Resources, Spec};
use crate::error::{Context, Result, fail};
use crate::sys;
use crate::sys::trace::{self, Traced};
pub use layout::{Layout, mount_missing};

/// The parent of the containers' directories without `--cgroup-parent`.
pub const DEFAULT_PARENT: &str = "/mydocker";

/// Made even without a limit: memory counts OOM kills, pids and devices keep the host safe.
const ALWAYS: [&str; 3] = ["memory", "pids", "devices"];

/// How long processes may take to leave a cgroup after SIGKILL before it is given up.
const MAX_REMOVAL: Duration = Duration::from_secs(10);

/// One value to write.
#[derive(Debug)]
struct Setting {
    controller: &'static str,
    file: &'static str,
    value: String,
    /// The flag to name when it can't be had.
    flag: &'static str,
    /// A default that goes with another limit: left out where the kernel lacks the file.
    optional: bool,
}

/// A container's directories, planned or made.
pub struct Cgroup {
    /// v1 first.
    directories: Vec<Directory>,
    /// The v2 directory, once made: the clone's birthplace.
    unified: Option<OwnedFd>,
    /// Whether devices but those given can't be opened in it.
    restricts_devices: bool,
}

struct Directory {
    path: PathBuf,
    /// `None` is the v2 hierarchy.
    hierarchy: Option<layout::Hierarchy>,
    mount: PathBuf,
    /// v2: the controllers to hand down.
    controllers: Vec<&'static str>,
    settings: Vec<Setting>,
}

impl Cgroup {
    /// Finds a place for each limit; nothing is made yet.
    pub fn plan(spec: &Spec) -> Result<Cgroup> {
        let layout = Layout::detect()?;
        let name = Path::new(spec.cgroup.parent.trim_matches('/')).join(&spec.id);
        let mut directories: Vec<Directory> = Vec::new();
        let mut place = |controller: &'static str, is_v2: bool| -> Option<usize> {
            let (hierarchy, mount) = if is_v2 {
                (None, layout.v2.as_ref()?.mount.clone())
            } else {
                let found = layout.v1_with(controller)?;
                let controllers = found.controllers.clone();
                let hierarchy = layout::Hierarchy { mount: found.mount.clone(), controllers };
                (Some(hierarchy), found.mount.clone())
            };
            let path = mount.join(&name);
            let at = directories.iter().position(|known| known.path == path).unwrap_or_else(|| {
                let (controllers, settings) = (Vec::new(), Vec::new());
                directories.push(Directory { path, hierarchy, mount, controllers, settings });
                directories.len() - 1
            });
            let missing = !directories[at].controllers.contains(&controller);
            if is_v2 && missing && layout.v2_has(controller) {
                directories[at].controllers.push(controller);
            }
            Some(at)
        };
        for controller in ALWAYS {
            // v2 has no controller for devices, but a directory there can have a program for it.
            let v2_can = layout.v2_has(controller) || controller == "devices";
            if place(controller, false).is_none() && v2_can {
                place(controller, true);
            }
        }
        let mut placed = Vec::new();
        for setting in v1::settings(&spec.cgroup) {
            if let Some(at) = place(setting.controller, false) {
                placed.push((at, setting));
            }
        }
        for setting in v2::settings(&spec.cgroup) {
            let v1_name = if setting.controller == "io" { "blkio" } else { setting.controller };
            if layout.v1_with(v1_name).is_some() {
                continue;
            }
            if !layout.v2_has(setting.controller) && setting.optional {
                continue;
            }
            if !layout.v2_has(setting.controller) {
                fail!(
                    "{} can't be applied: this host has no cgroup controller '{}'",
                    setting.flag,
                    setting.controller
                );
            }
            let at = place(setting.controller, true);
            placed.extend(at.map(|at| (at, setting)));
        }
        for (at, setting) in placed {
            directories[at].settings.push(setting);
        }
        let restricts_devices = layout.v1_with("devices").is_some();
        Ok(Cgroup { directories, unified: None, restricts_devices })
    }

    /// Makes the v2 directory, in which the process is to be born.
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

    /// Where this says no, the devices of the host must be kept from the container by other means:
    /// no node of its own making, none in an image or a volume.
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

    /// What the container sees below /sys/fs/cgroup: the v1 hierarchies by their controllers'
    /// names, or `[""]` for a v2 host.
    pub fn hierarchies(&self) -> Vec<String> {
        let v1: Vec<String> = self
            .directories
            .iter()
            .filter_map(|directory| directory.hierarchy.as_ref())
            .map(|hierarchy| hierarchy.controllers.join(","))
            .collect();
        if v1.is_empty() && !self.directories.is_empty() { vec![String::new()] } else { v1 }
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
            None => v2::make(&self.mount, &self.path, &self.controllers)?,
        }
        trace::step("mkdir", || self.path.display().to_string());
        for setting in &self.settings {
            self.apply(setting)?;
        }
        Ok(())
    }

    fn apply(&self, setting: &Setting) -> Result<()> {
        let path = self.path.join(setting.file);
        match fs::OpenOptions::new().write(true).open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if setting.optional {
                    return Ok(());
                }
                fail!("{} can't be applied: this kernel has no {}", setting.flag, setting.file)
            }
            Err(error) => Err(error).context(|| format!("open {}", path.display())),
            Ok(file) => {
                let written = rustix::io::write(&file, setting.value.as_bytes())
                    .traced("write", || format!("{} to {}", setting.value, path.display()));
                written.map(drop).context(|| {
                    format!("{}: write '{}' to {}", setting.flag, setting.value, path.display())
                })
            }
        }
    }
}

/// Moves the calling thread, a process's only one, into a v1 cgroup. Into `tasks` and by itself: to
/// move another, or by `cgroup.procs`, the kernel waits until no process on the host is in the midst
/// of a fork or an exit, which takes some 10 ms each time.
pub fn enter(directory: &Path) -> Result<()> {
    let path = directory.join("tasks");
    openat(CWD, &path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|file| rustix::io::write(&file, b"0"))
        .map(drop)
        .context(|| format!("enter cgroup {}", directory.display()))
}

/// Of a container's cgroups, the one of v2, in which a further process of it is to be born.
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

/// The directory of cgroup v2, beside the containers below `parent`, that holds their monitors.
/// systemd assigns a process to a unit by it: in its caller's directory a monitor would end with
/// the service or session that started it. `None` if there is none that can be written: there it
/// does.
pub fn monitors(parent: &str) -> Option<OwnedFd> {
    let unified = Layout::detect().ok()?.v2?;
    let path = unified.mount.join(parent.trim_matches('/')).join("monitors");
    make_directory(&path).ok()?;
    openat(CWD, &path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// Everywhere on this host where a container's cgroup may be, whatever its limits were.
pub fn possible_paths(parent: &str, id: &str) -> Result<Vec<String>> {
    let layout = Layout::detect()?;
    let name = Path::new(parent.trim_matches('/')).join(id);
    let mounts = layout.v1.iter().map(|hierarchy| &hierarchy.mount);
    let mounts = mounts.chain(layout.v2.as_ref().map(|unified| &unified.mount));
    Ok(mounts.map(|mount| mount.join(&name).display().to_string()).collect())
}

/// The processes of a container, by the first of its cgroups and those below.
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

/// Removes these cgroups, with what is below them, killing every process that is still inside.
pub fn remove(paths: &[String]) -> Result<()> {
    paths.iter().try_for_each(|path| {
        remove_one(Path::new(path)).traced("rmdir", || format!("kill what is left in {path}"))
    })
}

fn remove_one(path: &Path) -> Result<()> {
    let deadline = std::time::Instant::now() + MAX_REMOVAL;
    let mut pause = Duration::from_micros(200);
    loop {
        match fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() != ErrorKind::ResourceBusy => {
                return Err(error).context(|| format!("remove cgroup {}", path.display()));
            }
            Err(_) => {}
        }
        kill_all(path);
        for child in fs::read_dir(path).into_iter().flatten().flatten() {
            if child.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove_one(&child.path())?;
            }
        }
        if std::time::Instant::now() > deadline {
            fail!("cgroup {} can't be removed: its processes do not exit", path.display());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Kills every process in these cgroups.
pub fn kill(paths: &[String]) {
    paths.iter().for_each(|path| kill_all(Path::new(path)));
}

/// SIGKILL to every process in a cgroup: at once where the kernel can (cgroup.kill, Linux 5.14).
fn kill_all(path: &Path) {
    if fs::write(path.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    let members = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    for pid in members.lines().filter_map(|line| line.parse().ok()).filter_map(Pid::from_raw) {
        kill_member(path, pid);
    }
}

/// SIGKILL to the process `pid` if it is in the cgroup.
fn kill_member(path: &Path, pid: Pid) {
    let flags = rustix::process::PidfdFlags::empty();
    let Ok(pidfd) = rustix::process::pidfd_open(pid, flags) else { return };
    // Read with the descriptor held: the number may have passed to a process elsewhere.
    let members = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    let number = pid.as_raw_nonzero().to_string();
    if members.lines().any(|line| line == number) {
        // It may have ended by itself since.
        let _ = sys::process::send_signal(pidfd.as_fd(), sys::signal::Signal::KILL);
    }
}

fn make_directory(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => fs::create_dir_all(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
    .context(|| format!("make cgroup {}", path.display()))
}

/// (quota, period) in microseconds.
fn cpu_bandwidth(resources: &Resources) -> Option<(i64, u64)> {
    const DEFAULT_PERIOD_US: u64 = 100_000;
    let period = resources.cpu_period.unwrap_or(DEFAULT_PERIOD_US);
    match (resources.nano_cpus, resources.cpu_quota) {
        (Some(nano), _) => Some(((nano * (period / 1000) / 1_000_000) as i64, period)),
        (None, Some(quota)) => Some((quota, period)),
        (None, None) => resources.cpu_period.map(|period| (-1, period)),
    }
}

/// Bytes of memory and swap together, -1 for no limit: Docker's default is as much swap as memory.
pub fn memory_and_swap(resources: &Resources) -> Option<i64> {
    match (resources.memory_swap, resources.memory) {
        (Some(total), _) => Some(total),
        (None, Some(memory)) => i64::try_from(memory).ok().map(|memory| memory.saturating_mul(2)),
        (None, None) => None,
    }
}

fn or_max(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

/// The limit of processes that a container has without asking, where the host can.
fn default_pids(cgroup: &spec::Cgroup) -> Option<Setting> {
    let value = cgroup.default_pids?.to_string();
    let (controller, file, flag) = ("pids", "pids.max", "--pids-limit");
    Some(Setting { controller, file, value, flag, optional: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Here a plain directory stands for the cgroup.
    #[test]
    fn only_a_process_that_is_in_the_cgroup_is_killed() {
        let dir = std::env::temp_dir().join(format!("cgroup-kill-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32).unwrap();
        // It left, or its number belongs to another process by now.
        fs::write(dir.join("cgroup.procs"), format!("{}0\n", child.id())).unwrap();
        kill_member(&dir, pid);
        std::thread::sleep(Duration::from_millis(50));
        let lives = child.try_wait().unwrap().is_none();
        fs::write(dir.join("cgroup.procs"), format!("1\n{}\n", child.id())).unwrap();
        kill_member(&dir, pid);
        let _ = lives && child.wait().unwrap().success();
        fs::remove_dir_all(&dir).unwrap();
        assert!(lives);
    }

    #[test]
    fn cpus_become_quota_and_period() {
        let mut resources = Resources { nano_cpus: Some(1_500_000_000), ..Resources::default() };
        assert_eq!(cpu_bandwidth(&resources), Some((150_000, 100_000)));
        resources.cpu_period = Some(50_000);
        assert_eq!(cpu_bandwidth(&resources), Some((75_000, 50_000)));
        resources.nano_cpus = None;
        assert_eq!(cpu_bandwidth(&resources), Some((-1, 50_000)));
        resources.cpu_quota = Some(20_000);
        assert_eq!(cpu_bandwidth(&resources), Some((20_000, 50_000)));
    }

    #[test]
    fn swap_defaults_to_as_much_as_memory() {
        let mut resources = Resources { memory: Some(64), ..Resources::default() };
        assert_eq!(memory_and_swap(&resources), Some(128));
        resources.memory_swap = Some(-1);
        assert_eq!(memory_and_swap(&resources), Some(-1));
        assert_eq!(memory_and_swap(&Resources::default()), None);
    }
}

//! What a container is to be, as plain data: the only thing that crosses into the core.
//!
//! Both faces end here: the engine makes a `Spec` from a container's record, the OCI face from a
//! bundle's config.json. Nothing in it is checked again below.

use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::path::PathBuf;

use miniserde::{Deserialize, Serialize};

pub use super::ids::{IdMap, IdMaps, IdRange};
use super::label::Label;
use super::seccomp::Seccomp;
use crate::store::stored_flat;
pub use crate::sys::schedule::Scheduler;

/// Everything that the core needs to make one container's first process.
pub struct Spec {
    pub root: Root,
    pub system: SystemSettings,
    /// Scratch directory of this container on the host where the root is mounted in the making.
    pub mount_point: PathBuf,
    pub process: Process,
    pub hostname: Option<String>,
    pub namespaces: Namespaces,
    /// The IDs of its user namespace; `None`: it is in the host's.
    pub ids: Option<IdMaps>,
    /// All mounts in their order, those of the kernel's file systems among them. cgroups come last.
    pub mounts: Vec<Mount>,
    /// Nodes beside the standard ones, in /dev as a rule.
    pub devices: Vec<DeviceNode>,
    pub device_access: DeviceAccess,
    pub cgroup: Cgroup,
    /// Set before `system.sysctls`, where the kernel has them and takes the value.
    pub default_sysctls: Vec<(&'static str, String)>,
    /// Absolute paths in the container that are hidden: directories are empty, files are the null
    /// device. A path that is missing is passed over; a link on the way to one is an error.
    pub masked: Vec<String>,
    /// As `masked`, but read-only.
    pub read_only_paths: Vec<String>,
    /// The propagation of the container's `/` if it is not private.
    pub root_propagation: Option<LastPropagation>,
    /// SELinux's label of the files in new file systems.
    pub mount_label: Option<String>,
    pub hooks: Hooks,
}

impl Spec {
    /// Whether any mount is not private at the end.
    pub fn propagates(&self) -> bool {
        let is_other = |mount: &Mount| !mount.is_private() || mount.last_propagation.is_some();
        self.root_is_slave() || self.mounts.iter().any(is_other)
    }

    /// Whether what the host mounts below the root directory shows in the container.
    pub fn root_is_slave(&self) -> bool {
        self.root_propagation.is_some_and(|last| last.kind == PropagationKind::Slave)
    }
}

/// Where the root file system comes from.
pub enum Root {
    /// overlayfs: `lower` is base first.
    Overlay { lower: Vec<PathBuf>, upper: PathBuf, work: PathBuf, volatile: bool },
    /// A plain directory. With `mapped` the owners on disk are the user namespace's own.
    Directory { path: PathBuf, mapped: bool },
}

/// The propagation that a mount gets once all mounts are made (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastPropagation {
    pub kind: PropagationKind,
    /// Of the mounts below it too.
    pub recursive: bool,
}

/// A type of propagation other than private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropagationKind {
    /// The mount and its later copies form a group of their own.
    Shared,
    Slave,
    Unbindable,
}

/// Programs that run at fixed points of a container's birth in its first process. Those of the host
/// are the caller's.
#[derive(Default)]
pub struct Hooks {
    /// In the container's namespaces, while the host's paths are still there.
    pub create_container: Vec<Hook>,
    /// Inside the container, just before its program.
    pub start_container: Vec<Hook>,
    /// What a hook reads from its standard input: a JSON object without its closing brace, to which
    /// the status and the process ID are added.
    pub state: String,
}

/// A program that runs at a point of a container's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Absolute.
    pub path: String,
    /// With the program's name first; empty is `path` alone.
    pub args: Vec<String>,
    /// `NAME=value`
    pub env: Vec<String>,
    /// In seconds.
    pub timeout: Option<u64>,
}

/// A process in a container: what to execute, and with which rights.
#[derive(Clone)]
pub struct Process {
    pub args: Vec<String>,
    /// `NAME=value`
    pub env: Vec<String>,
    pub cwd: String,
    pub user: Identity,
    /// PATH, and TERM on a terminal, are set if `env` lacks them. HOME always is.
    pub completes_env: bool,
    pub terminal: bool,
    /// Rows and columns of the terminal at first.
    pub window: Option<(u16, u16)>,
    /// Bounding and permitted: one bit for each CAP_ number, as capabilities(7) counts them.
    pub capabilities: u64,
    pub inheritable: u64,
    pub ambient: u64,
    pub seccomp: Seccomp,
    /// No program that it executes may raise its privileges (PR_SET_NO_NEW_PRIVS).
    pub no_new_privileges: bool,
    pub label: Option<Label>,
    pub limits: ProcessLimits,
    pub scheduling: Scheduling,
    pub umask: u32,
    /// A session keyring of its own.
    pub new_keyring: bool,
    /// The program inherits the caller's descriptors 3 to 2 + this.
    pub preserved: u32,
}

/// How the kernel schedules a process; `None` is as its creator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// Policy and priority (sched(7)).
    pub scheduler: Option<Scheduler>,
    /// The I/O class, 1 to 3, and the level in it, 0 to 7 (ioprio_set(2)).
    pub io_priority: Option<(u8, u8)>,
    /// The NUMA policy with its flags, and the nodes as bits (set_mempolicy(2)).
    pub memory_policy: Option<(u32, Vec<u64>)>,
    /// The execution domain (personality(2)).
    pub personality: Option<u32>,
    /// The CPUs of a further process until it joins the cgroup, and after that.
    pub first_cpus: Option<Vec<u32>>,
    pub cpus: Option<Vec<u32>>,
}

/// Which user a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Looked up inside the container.
    Named {
        /// `user[:group]`, names or numbers; `None` is root.
        user: Option<String>,
        /// Further groups, names or numbers.
        groups: Vec<String>,
    },
    /// As given; `groups` are exactly the supplementary ones.
    Numbers { uid: u32, gid: u32, groups: Vec<u32> },
}

/// The namespaces of a container.
pub struct Namespaces {
    pub pid: Namespace,
    pub ipc: Namespace,
    pub uts: Namespace,
    pub network: Namespace,
    /// With `Spec::ids`: a new one, or one that exists and has those IDs.
    pub user: Namespace,
    /// If it is not private, the container sees the host's cgroups, not only its own.
    pub cgroup: Namespace,
    pub time: Namespace,
    /// What a new time namespace's clocks are ahead of the host's (time_namespaces(7)).
    pub time_offsets: Vec<TimeOffset>,
}

impl Namespaces {
    /// The host's, but for the user namespace.
    pub fn of_host(user: Namespace) -> Namespaces {
        Namespaces {
            pid: Namespace::Host,
            ipc: Namespace::Host,
            uts: Namespace::Host,
            network: Namespace::Host,
            user,
            cgroup: Namespace::Host,
            time: Namespace::Host,
            time_offsets: Vec::new(),
        }
    }
}

/// The offset of a clock in a time namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOffset {
    /// CLOCK_MONOTONIC or CLOCK_BOOTTIME.
    pub clock: i32,
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// Where one namespace comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Namespace {
    /// A new one.
    Private,
    /// The host's.
    Host,
    /// The one that this path of the host leads to, such as /proc/PID/ns/net.
    Path(PathBuf),
    /// That of a running process (a container's first).
    Of {
        pid: i32,
        /// proc_pid_stat(5) field 22, by which it is known from a later one with the same number.
        start_time: u64,
    },
}

/// One mount in a container.
pub struct Mount {
    pub source: MountSource,
    /// Absolute, inside the container.
    pub target: PathBuf,
    pub read_only: bool,
    /// In a user namespace: the owners on disk are IDs of the container. Otherwise they are IDs of
    /// the host, which the container doesn't know.
    pub mapped: bool,
    /// A bind: the owners on disk are shown by a mapping of this mount's own.
    pub owners: Option<Owners>,
    /// A volume: if it is empty, fill it with what the image has at `target`, as Docker does. A new
    /// file system: the same, with what the container has there by then.
    pub copy_up: bool,
    /// A bind: only this part of the source, which nothing in it can lead out of.
    pub subpath: Option<PathBuf>,
    pub propagation: Propagation,
    /// Of the mounts below a bind's own.
    pub propagation_below: Propagation,
    /// A bind that is a slave or shared, but whose source is in no peer group of the host, is an error.
    pub needs_group: bool,
    pub last_propagation: Option<LastPropagation>,
    pub recursion: Recursion,
    pub attributes: Attributes,
}

/// Whose the files of a mount are (mount_setattr(2), "ID-mapped mounts").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owners {
    /// `inside` is the ID on disk, `outside` the host's ID that it is shown as.
    pub ids: IdMaps,
    /// In the mounts below it too.
    pub recursive: bool,
}

/// Attributes of a mount and of all below it, as masks of MOUNT_ATTR_ (mount_setattr(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub set: u32,
    pub clear: u32,
    /// Of those below it too.
    pub set_recursive: u32,
    pub clear_recursive: u32,
}

impl Mount {
    /// `source` on `target`: writable, with the host's owners.
    pub fn new(source: MountSource, target: impl Into<PathBuf>) -> Mount {
        Mount {
            source,
            target: target.into(),
            read_only: false,
            mapped: false,
            owners: None,
            copy_up: false,
            subpath: None,
            propagation: Propagation::Private,
            propagation_below: Propagation::Private,
            needs_group: false,
            last_propagation: None,
            recursion: Recursion::Enabled,
            attributes: Attributes::default(),
        }
    }

    /// Whether nothing that the host mounts later shows in it.
    pub fn is_private(&self) -> bool {
        [self.propagation, self.propagation_below] == [Propagation::Private; 2]
    }

    /// Whether a part of it is in the peer group of its source.
    pub fn is_shared(&self) -> bool {
        [self.propagation, self.propagation_below].contains(&Propagation::Shared)
    }
}

/// Whether later mounts below a bind show on the other side (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    #[default]
    Private,
    /// The host's in the container.
    Slave,
    /// Those of either side.
    Shared,
}

/// What of the mounts below a bind's source the container sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recursion {
    /// All; read-only where the bind is.
    #[default]
    Enabled,
    /// None.
    Disabled,
    /// All; even of a read-only bind they can be written to.
    Writable,
}

/// What is mounted.
pub enum MountSource {
    /// A host directory or file, with what is mounted below it.
    Bind(PathBuf),
    /// A file with the content of this file of the host's, in memory and with a bound (`copies`). If
    /// the container shares another's network namespace, the other's copy.
    Copy(PathBuf),
    /// A new file system of the kernel's, such as proc or devpts. `options` as mount(8) writes them.
    /// The way to the target may hold no symbolic link.
    Kernel { kind: Cow<'static, CStr>, options: Cow<'static, str> },
    /// Any other file system. `options` and the links on the way are as for a tmpfs.
    Filesystem { kind: CString, source: String, options: String },
    /// A tmpfs with the standard device nodes, links and mount points, and with `Spec::devices`.
    Devices { options: Cow<'static, str> },
    /// POSIX shared memory (shm_overview(7)) of this many bytes. If the container shares another's
    /// IPC namespace, the other's.
    SharedMemory { size: u64 },
    /// The container's own cgroups, as its cgroup namespace shows them.
    Cgroups,
    /// The mount that is at the target already: only its attributes change.
    Remount,
    /// `options` as mount(8) writes them: `size=64m,mode=1777`.
    Tmpfs { options: String },
    /// An image's layers, base first, and an empty directory: overlayfs takes no single one, and a
    /// plain bind of a layer could be made writable by a container that may mount.
    Image { layers: Vec<PathBuf> },
}

stored_flat! {
    /// Settings of the whole container, which options, records and `Spec` have alike.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct SystemSettings {
        /// The root file system is read-only.
        pub read_only: bool,
        /// A reaping, signal-forwarding PID 1 of ours stands before the command.
        pub init: bool,
        /// The NIS domain (setdomainname(2)).
        pub domainname: Option<String>,
        pub sysctls: Vec<(String, String)>,
    }
}

stored_flat! {
    /// Limits of a process itself, beside those of its cgroup.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct ProcessLimits {
        pub rlimits: Vec<Rlimit>,
        /// -1000 to 1000 (proc_pid_oom_score_adj(5)); `None` is as its creator.
        pub oom_score_adj: Option<i32>,
    }
}

/// A `setrlimit` of the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// As prlimit(1) spells it: `nofile`, `nproc`, …
    pub name: String,
    /// `u64::MAX` is no limit.
    pub soft: u64,
    pub hard: u64,
}

/// A device node from the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub source: String,
    pub target: String,
    /// Some of `rwm`.
    pub access: String,
}

/// What a device node stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    Block,
    Character,
    /// A named pipe, which has no numbers.
    Fifo,
}

/// A device node in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceNode {
    /// Absolute, in the container.
    pub path: String,
    pub kind: NodeKind,
    pub major: u32,
    pub minor: u32,
    /// The permission bits.
    pub mode: u32,
    /// As the container's users count; the node of an ID that the container lacks is root's.
    pub uid: u32,
    pub gid: u32,
}

/// The devices that a container may use.
#[derive(PartialEq, Eq)]
pub enum DeviceAccess {
    All,
    /// None but what these rules allow, of which a later one counts more, and the standard ones,
    /// which no rule takes away.
    Only(Vec<(DeviceVerdict, DeviceRule)>),
}

/// What a rule does with the accesses that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceVerdict {
    Allow,
    Deny,
}

/// Accesses to devices, as a rule of the devices cgroup names them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    pub kind: DeviceKind,
    /// `None` is any.
    pub major: Option<u32>,
    pub minor: Option<u32>,
    /// Some of `rwm`.
    pub access: String,
}

impl DeviceRule {
    /// Whether the rule names every access to every device.
    pub fn is_all(&self) -> bool {
        let DeviceRule { kind, major, minor, access } = self;
        let is_any = *kind == DeviceKind::Any && (major, minor) == (&None, &None);
        is_any && "rwm".chars().all(|letter| access.contains(letter))
    }
}

/// The kind of device in a cgroup's rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceKind {
    Any,
    Block,
    Character,
}

/// The cgroup of a container.
pub struct Cgroup {
    /// Its directory below each hierarchy's root: `/mydocker/ID`. No part of it is `..`.
    pub path: String,
    pub resources: Resources,
    pub further: FurtherLimits,
    /// Most processes and threads if `resources` doesn't say, where the host can.
    pub default_pids: Option<u32>,
    /// Bytes of memory and swap together if `resources` doesn't say, where the host can.
    pub default_memory_swap: Option<i64>,
    /// It is in every hierarchy and has every controller of the host, even without a limit. The
    /// caller has checked that it is free (`cgroup::must_be_free`).
    pub every_controller: bool,
    /// What the user calls a limit, for errors, by its name in the OCI runtime specification
    /// (`memory.limit`).
    pub name_limit: fn(&str) -> String,
}

/// Limits of which a container's record knows nothing: those of the OCI runtime specification alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FurtherLimits {
    /// Microseconds.
    pub cpu_burst: Option<u64>,
    /// Runs only when nothing else wants the CPU (SCHED_IDLE).
    pub cpu_idle: Option<bool>,
    /// Microseconds in each period.
    pub cpu_realtime_runtime: Option<i64>,
    /// Microseconds.
    pub cpu_realtime_period: Option<u64>,
    /// Bytes of TCP buffers; -1 is no limit.
    pub kernel_tcp_memory: Option<i64>,
    /// 10 to 1000, against the cgroups below.
    pub blkio_leaf_weight: Option<u16>,
    pub device_weights: Vec<DeviceWeight>,
    pub huge_pages: Vec<HugePageLimit>,
    /// The class of its packets (net_cls).
    pub network_class: Option<u32>,
    /// The priority of its packets on an interface of the host (net_prio).
    pub network_priorities: Vec<(String, u32)>,
    pub rdma: Vec<RdmaLimit>,
    /// Files of cgroup v2 and what to write into them, a line at a time.
    pub unified: Vec<(String, String)>,
}

/// The share of a block device that a container gets when others want it too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceWeight {
    pub major: u32,
    pub minor: u32,
    /// 10 to 1000.
    pub weight: Option<u16>,
    pub leaf_weight: Option<u16>,
}

/// Most bytes of huge pages of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HugePageLimit {
    /// As the kernel writes it: `2MB`.
    pub size: String,
    pub bytes: u64,
}

/// What a container may use of an RDMA device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RdmaLimit {
    pub device: String,
    pub handles: Option<u32>,
    pub objects: Option<u32>,
}

/// Limits, as asked; `None` is no limit of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Bytes; -1 is no limit.
    pub memory: Option<i64>,
    /// Bytes of memory and swap together; -1 is no limit.
    pub memory_swap: Option<i64>,
    /// Bytes; -1 is no limit.
    pub memory_reservation: Option<i64>,
    /// Billionths of a CPU (`--cpus 1.5` is 1,500,000,000).
    pub nano_cpus: Option<u64>,
    /// v1 scale, 2 to 262,144.
    pub cpu_shares: Option<u64>,
    /// Microseconds in each period; -1 is no limit.
    pub cpu_quota: Option<i64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    /// As cpuset(7)'s list format: `0-3,7`.
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    /// Processes and threads; -1 is no limit.
    pub pids: Option<i64>,
    /// 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// 0 to 100.
    pub memory_swappiness: Option<u64>,
    pub oom_kill_disable: Option<bool>,
    pub device_rates: Option<Vec<DeviceRate>>,
}

/// How much a container may read from or write to a device each second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRate {
    /// On the host.
    pub path: String,
    /// `MAJOR:MINOR`, found at each start.
    pub numbers: Option<String>,
    pub kind: RateKind,
    pub rate: u64,
}

/// What a rate of a block device limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RateKind {
    ReadBytes,
    WriteBytes,
    ReadOperations,
    WriteOperations,
}

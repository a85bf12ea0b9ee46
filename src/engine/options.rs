//! The options of most commands: typed values that the command line or another front end fills in.
//!
//! A front end checks each value. The engine checks what depends on the host, on other containers
//! or on other options, when it uses the options. Sizes are in bytes and times in seconds unless a
//! field says otherwise. Most undocumented fields have the meaning of Docker's flag or key with the
//! same name.

use std::net::IpAddr;
use std::path::PathBuf;

pub use crate::address::{HostAddress, Ip};
pub use crate::container::health::OnFailure;
pub use crate::container::logs::{Address as LogAddress, LogOptions, Syslog};
pub use crate::container::mode::{NamespaceMode, NamespaceModes, NetworkMode};
pub use crate::container::record::{
    Attached, DeviceOptions, EndpointSettings, Lifecycle, MountAccess, MountKind, SeccompOption,
    SecurityOptions, StreamOptions,
};
pub use crate::container::restart::RestartPolicy;
pub use crate::container::stop_signal::StopSignal;
pub use crate::healthcheck::Healthcheck;
pub use crate::image::ArchiveFormat;
pub use crate::image::platform::Platform;
pub use crate::image_name::ImageName;
pub use crate::network::create::NetworkOptions;
pub use crate::network::direct::Kind;
pub use crate::network::firewall::Choice as FirewallChoice;
#[cfg(feature = "compose")]
pub use crate::network::interface::NAME as INTERFACE_NAME;
pub use crate::network::interface::{InterfaceOptions, check_prefix, parse_link_local};
pub use crate::network::parent::DirectOptions;
pub use crate::network::record::{
    ENABLE_ICC, ENABLE_MASQUERADE, INHIBIT_IPV4, INTERFACE_PREFIX, truth,
};
pub use crate::network::subnet::Subnet;
pub use crate::port::{Protocol, Publish};
pub use crate::reference::Reference;
use crate::regex::Regex;
pub use crate::resolver::Resolver;
pub use crate::runtime::capabilities::names as capabilities;
pub use crate::runtime::spec::{
    Device, DeviceKind, DeviceRate, DeviceRule, IdMap, NamedUser, ProcessLimits, Propagation,
    RateKind, Recursion, Resources, Rlimit, SystemSettings,
};
pub use crate::runtime::{rlimits, sysctl};
pub use crate::sys::signal::Signal;

/// The options of `create` and `run`.
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {
    /// `None` if `rootfs` or `layers` is set.
    pub image: Option<ImageName>,
    /// `--rootfs`: a directory to run from instead of an image.
    pub rootfs: Option<PathBuf>,
    /// The layers of a build step to run from instead of an image. The base layer is first.
    pub layers: Option<Vec<PathBuf>>,
    /// The command and its arguments: the words after the image.
    pub command: Vec<String>,
    pub name: Option<String>,
    pub lifecycle: Lifecycle,
    pub health: HealthOptions,
    /// `--quiet`: print no progress of the pull. Only the command line reads this field.
    pub quiet: bool,
    /// `--platform`. If set, an image for another platform causes no warning.
    pub platform: Option<Platform>,
    pub streams: StreamOptions,
    /// `--env` and `--env-file`, each as `NAME=value`; env files come first. `NAME` without a value
    /// removes the image's variable.
    pub env: Vec<String>,
    pub mounts: Vec<MountOption>,
    /// Targets and names of anonymous volumes of an earlier container. Each is mounted where this
    /// container would get a new anonymous volume.
    pub inherited_volumes: Vec<(String, String)>,
    /// Files whose content the caller supplies.
    pub files: Vec<FileOption>,
    pub volumes_from: Vec<VolumesFrom>,
    pub workdir: Option<String>,
    pub user: NamedUser,
    pub hostname: Option<String>,
    /// `--entrypoint`: one word, as in Docker. An empty word removes the image's entrypoint.
    pub entrypoint: Option<String>,
    pub system: SystemSettings,
    pub privileged: bool,
    pub confinement: SecurityOptions<PathBuf>,
    pub stop_signal: Option<StopSignal>,
    pub labels: Vec<(String, String)>,
    pub annotations: Vec<(String, String)>,
    pub cidfile: Option<PathBuf>,
    pub limits: ProcessLimits,
    /// `--shm-size`, in bytes.
    pub shm_size: Option<u64>,
    /// `--storage-opt size=`
    pub storage_size: Option<StorageSize>,
    /// `--add-host`: host names and addresses.
    pub add_hosts: Vec<(String, HostAddress)>,
    pub resolver: Resolver,
    /// `--network`, in the order of the interfaces. Empty means the default network.
    pub networks: Vec<EndpointOption>,
    /// `--link`: a container, and its name in this container.
    pub links: Vec<(String, String)>,
    /// `--ip`, `--link-local-ip` and `--mac-address` on the first of the networks;
    /// `--network-alias` on each.
    pub endpoint: EndpointSettings,
    pub publish: Vec<Publish>,
    /// `--publish-all`
    pub publish_all: bool,
    /// `--publish-default-ip`: the host address of published ports for which none was given.
    pub publish_address: Option<IpAddr>,
    /// `--expose`, each in the form `80/tcp`.
    pub expose: Vec<String>,
    pub namespaces: NamespaceModes<String>,
    pub userns: UserNamespaceOption,
    pub cgroup_parent: Option<String>,
    pub resources: Resources,
    pub devices: DeviceOptions,
    pub log: LogOptions,
}

/// `--no-healthcheck` and the `--health-*` flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthOptions {
    /// A zero or empty field keeps the image's value.
    pub check: Healthcheck,
    /// `--no-healthcheck`
    pub disabled: bool,
    /// `--health-on-failure`
    pub on_failure: OnFailure,
}

/// `--userns`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UserNamespaceOption {
    #[default]
    /// No user namespace.
    Host,
    /// A range that no other container has.
    Auto,
    /// `UID:GID:SIZE`: the first host IDs and the size of the range.
    Given(IdMap),
}

/// One `--network`, such as `web` or `name=web,alias=a,ip=10.0.0.2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointOption {
    pub network: NetworkMode,
    pub settings: EndpointSettings,
}

impl EndpointOption {
    /// Makes an endpoint without settings.
    pub fn new(network: NetworkMode) -> EndpointOption {
        EndpointOption { network, settings: EndpointSettings::default() }
    }
}

/// One `--mount`, `--volume` or `--tmpfs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOption {
    pub kind: MountKind,
    /// Bind: an absolute host path. Volume: the volume's name, or `None` for an anonymous volume.
    pub source: Option<String>,
    /// Image: the image's name.
    pub image: Option<ImageName>,
    /// An absolute path in the container.
    pub target: String,
    pub read_only: bool,
    /// Tmpfs: the options in the form of mount(8).
    pub tmpfs_options: String,
    /// The options of `--volume` or `--tmpfs` as the user typed them; `None` for `--mount`.
    pub given: Option<String>,
    /// Volume: do not fill an empty volume from the image.
    pub no_copy: bool,
    /// Bind: in a user namespace the files keep the host's owners (`noidmap`).
    pub unmapped: bool,
    /// Bind: make a missing host directory, as for `-v`. If false, a missing source is an error, as
    /// for `--mount`.
    pub make_source: bool,
    pub access: MountAccess,
    /// Volume: the labels of a new volume.
    pub labels: Vec<(String, String)>,
    /// Volume: the driver options of a new volume.
    pub volume_options: Vec<(String, String)>,
    /// Image: the layers of a build stage, base first, instead of an image.
    pub layers: Vec<PathBuf>,
}

impl MountOption {
    /// Makes a mount on `target` without other options.
    pub fn new(kind: MountKind, target: String) -> MountOption {
        MountOption {
            kind,
            source: None,
            image: None,
            target,
            read_only: false,
            tmpfs_options: String::new(),
            given: None,
            no_copy: false,
            unmapped: false,
            make_source: false,
            access: MountAccess::default(),
            labels: Vec::new(),
            volume_options: Vec::new(),
            layers: Vec::new(),
        }
    }
}

/// One `--volumes-from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumesFrom {
    /// The container that has the volumes.
    pub container: String,
    /// Mount the volumes read-only. If false, a volume is read-only only if `container` has it
    /// read-only.
    pub read_only: bool,
    /// The value as the user typed it, which `inspect` shows.
    pub given: String,
}

/// A file whose content the caller supplies: a secret or a config of a compose file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOption {
    /// An absolute path in the container.
    pub target: String,
    pub content: Vec<u8>,
    /// The permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// How `run`, `start -a` and `attach` connect this process's streams and signals to the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachOptions {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// `--sig-proxy`: forward most signals that this process receives, unless the container has a
    /// terminal.
    pub sig_proxy: bool,
    /// The key sequence that detaches, as bytes.
    pub detach_keys: Vec<u8>,
}

impl Default for AttachOptions {
    fn default() -> Self {
        // The detach keys are Ctrl+P Ctrl+Q.
        AttachOptions {
            stdin: true,
            stdout: true,
            stderr: true,
            sig_proxy: true,
            detach_keys: vec![0x10, 0x11],
        }
    }
}

/// The options of `rm`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Kill a running container, and remove a container whose record cannot be read.
    pub force: bool,
    /// Remove the container's anonymous volumes too.
    pub volumes: bool,
}

/// The options of `update`. `None` or an empty list changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateOptions {
    pub resources: Resources,
    pub restart: Option<RestartPolicy>,
    pub publish_add: Vec<Publish>,
    /// The ports to remove. A value without a port of the host matches each port of the host.
    pub publish_remove: Vec<Publish>,
}

/// The most that a container may write to its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageSize {
    pub bytes: u64,
    /// The value as the user typed it, which `inspect` shows.
    pub given: String,
}

/// The source of an archive for `import`.
pub enum ImportSource {
    Stdin,
    File(PathBuf),
    /// An http or https URL.
    Url(String),
}

/// The options of `exec`.
#[derive(Clone, Debug, Default)]
pub struct ExecOptions {
    pub container: String,
    pub command: Vec<String>,
    pub detach: bool,
    pub interactive: bool,
    pub tty: bool,
    pub privileged: bool,
    pub env: Vec<String>,
    pub workdir: Option<String>,
    pub user: Option<String>,
    pub detach_keys: Vec<u8>,
}

/// The options of `logs`.
#[derive(Clone, Debug, Default)]
pub struct LogsOptions {
    pub follow: bool,
    pub timestamps: bool,
    /// Print the tag, labels and variables of `--log-opt` before each line.
    pub details: bool,
    /// Print only this number of last lines. `None` prints all lines.
    pub tail: Option<u64>,
    pub since: Option<crate::time::Instant>,
    pub until: Option<crate::time::Instant>,
}

/// `ps`: one `--filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    Id(String),
    /// Matches NAME or, as Docker stores it, /NAME.
    Name(Regex),
    Status(String),
    /// The exit status of a container that has ended.
    Exited(i32),
    /// `starting`, `healthy`, `unhealthy`, or `none` for a container that does not run or has no
    /// health check.
    Health(String),
    /// `key` or `key=value`.
    Label(String),
    /// An image's name or id.
    Ancestor(String),
    /// Created after this container.
    Since(String),
    /// Created before this container.
    Before(String),
    /// A volume's name, or the source of a bind mount, or the target of a mount.
    Volume(String),
    /// A network's name or id.
    Network(String),
    /// Published ports of the host, and their protocol.
    Publish(PortFilter),
    /// Exposed ports of a running container. A published port counts as exposed.
    Expose(PortFilter),
    /// Accepted for compatibility with Docker. Each container matches.
    Isolation,
}

/// A port or a range of ports, such as `80` or `8000-8080/udp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortFilter {
    pub first: u16,
    pub last: u16,
    pub protocol: Protocol,
}

/// The value of `inspect --type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InspectKind {
    Container,
    Image,
    Volume,
    Network,
}

/// The options of `commit`.
#[derive(Clone, Debug, Default)]
pub struct CommitOptions {
    pub container: String,
    pub image: Option<Reference>,
    pub message: String,
    pub author: String,
    /// `--change`: Dockerfile instructions.
    pub changes: Vec<String>,
    /// Freeze the container's processes during the commit.
    pub pause: bool,
    /// `--output`: write the root file system to this file and make no image.
    pub output: Option<PathBuf>,
}

/// The source or the destination of a `cp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A path of the host.
    Host(String),
    Container {
        name: String,
        path: String,
    },
    /// A tar on the standard input or output.
    Stream,
}

/// The options of `cp`.
#[derive(Clone, Debug)]
pub struct CopyOptions {
    pub from: Place,
    pub to: Place,
    /// Keep owners, setuid and setgid bits, file capabilities and devices. If false, root owns the
    /// copies, and a device is an error. Has no effect on a [`Place::Stream`].
    pub archive: bool,
    /// Follow a source that is a symbolic link instead of copying the link.
    pub follow: bool,
}

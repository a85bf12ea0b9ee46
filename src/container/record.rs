//! The record of a container, `containers/ID/config.json`: its configuration, resolved once at the
//! creation.
//!
//! `create` writes the record, and a command that changes the container, such as `rename`, replaces
//! it. The present state is in `state`, not in the record. A new field must be an `Option` or
//! `optional`, so that older records can still be read. Groups of fields that the options, the
//! record and `Spec` share are structs in the code, but their fields are flat in the file
//! (`store::fields`).

use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use miniserde::{Deserialize, Serialize};

use super::files::Files;
use super::health::{HealthRecord, OnFailure};
use super::logs::LogOptions;
use super::mode::{NamespaceModes, NetworkMode};
use super::restart::RestartPolicy;
use super::stop_signal::StopSignal;
use crate::address::{HostAddress, Ip, Mac};
use crate::container_id::ContainerId;
use crate::digest::ImageId;
use crate::error::{Context, EXIT_NOT_FOUND, Error, Result, fail};
use crate::image_name::ImageName;
use crate::network_name;
use crate::order;
use crate::port::Publish;
use crate::raw;
use crate::resolver::Resolver;
use crate::runtime::spec::{
    Device, DeviceRule, IdMap, NamedUser, ProcessLimits, Propagation, Recursion, Resources,
    SystemSettings,
};
use crate::store::{self, Directory, Durability, OrEmpty, Roots, stored_as_text, stored_flat};

/// The version of the format. The version grows when a field changes its meaning, and a record of
/// another version is refused.
pub const VERSION: u32 = 1;

stored_flat! {
    /// The content of config.json.
    #[derive(Clone)]
    pub struct Record {
        pub version: u32,
        pub id: ContainerId,
        pub name: String,
        /// The time of creation in nanoseconds since 1970.
        pub created: i64,
        /// Whether `run` has created the container and starts it at once. Such a container has no
        /// outcome until its first end.
        pub run: bool,
        pub lifecycle: Lifecycle => flat,
        /// The image's health check with the changes of the flags. Its test may be `NONE`.
        pub health: Option<HealthRecord>,
        /// The image as the user named it. A container of `--rootfs` or of a build's step has none.
        pub image: OrEmpty<ImageName>,
        pub image_id: OrEmpty<ImageId>,
        /// The image's layer directories, base first.
        pub layers: Vec<String>,
        /// The directory of `--rootfs`.
        pub rootfs: Option<String>,
        /// The entrypoint of the user or the image. `command` follows the entrypoint.
        pub entrypoint: Vec<String>,
        pub command: Vec<String>,
        /// The variables of the user and the image. Each process also gets default variables
        /// (`engine::spec`). Older records have the default variables here.
        pub env: Vec<String>,
        /// The working directory; empty means `/`.
        pub cwd: String,
        pub user: NamedUser => flat,
        pub hostname: String,
        pub streams: StreamOptions => flat,
        pub system: SystemSettings => flat,
        pub privileged: bool,
        pub confinement: SecurityOptions,
        pub stop_signal: StopSignal,
        pub labels: Vec<(String, String)>,
        pub annotations: Vec<(String, String)> => optional,
        pub limits: ProcessLimits => flat,
        /// The size of /dev/shm in bytes.
        pub shm_size: u64,
        /// The value of `--storage-opt size=` as given. `quota` has set the limit at the creation.
        pub storage_size: Option<String> => optional,
        pub add_hosts: Vec<(String, HostAddress)>,
        pub resolver: Resolver => flat,
        pub network: NetworkMode<ContainerId>,
        /// The values of `--link`: another container's ID, and its name in this container.
        pub links: Vec<(ContainerId, String)> => optional,
        /// The container's networks, in the order of its interfaces.
        pub networks: Vec<NetworkRecord>,
        pub namespaces: NamespaceModes => flat,
        /// The user namespace; `None` means the host's.
        pub user_namespace: Option<UserNamespaceRecord>,
        pub cgroup_parent: String,
        pub resources: Resources,
        pub devices: DeviceOptions => flat,
        pub mounts: Vec<MountRecord>,
        /// The values of `--volumes-from` as given.
        pub volumes_from: Vec<String> => optional,
        pub publish: Vec<Publish>,
        /// Whether `publish` has each exposed port (`-P`).
        pub publish_all: bool => optional,
        pub exposed: Vec<String>,
        pub log: LogOptions => flat,
    }
}

stored_flat! {
    /// The settings for a container's start and end.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Lifecycle {
        /// Whether the container is removed at its end (`--rm`).
        pub remove: bool,
        pub restart: RestartPolicy,
        /// The pause before each restart, if a compose file sets it.
        pub restart_delay_ms: Option<u64> => optional,
        /// The values of `--depends-on`: `NAME` or `NAME:healthy`.
        pub depends_on: Vec<String> => optional,
        /// The time between the stop signal and SIGKILL in seconds; -1 means no limit, and `None`
        /// the default of 10.
        pub stop_timeout: Option<i64>,
    }
}

stored_flat! {
    /// The settings of the program's standard streams.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct StreamOptions {
        pub tty: bool,
        pub interactive: bool,
        /// Whether stdin stays open at the end of a client's input, as after `run -d -i`.
        pub keeps_stdin: bool => optional,
        pub attached: Attached => flat,
    }
}

stored_flat! {
    /// The streams to which `run` attaches: none with `-d`, otherwise those of `-a`. Without `-d`
    /// and `-a` these are stdout, stderr and, with `-i`, stdin. A record keeps the values for
    /// `inspect`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Attached {
        pub stdin: bool as "attach_stdin" => optional,
        pub stdout: bool as "attach_stdout" => optional,
        pub stderr: bool as "attach_stderr" => optional,
    }
}

/// The part of a record that a list of containers needs. Reading a summary takes less time than
/// reading the whole record.
#[derive(Deserialize)]
pub struct Summary {
    version: u32,
    pub id: ContainerId,
    pub name: String,
    pub created: i64,
    run: bool,
    remove: bool,
    pub image: OrEmpty<ImageName>,
    pub image_id: OrEmpty<ImageId>,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    pub labels: Vec<(String, String)>,
    health: Option<HealthRecord>,
    network: NetworkMode<ContainerId>,
    networks: Vec<NetworkRecord>,
    pub mounts: Vec<MountRecord>,
    pub publish: Vec<Publish>,
    pub exposed: Vec<String>,
}

/// The facts in a record on which a container's state depends.
#[derive(Clone, Copy)]
pub struct Origin {
    /// The time of creation in nanoseconds since 1970.
    pub created: i64,
    /// Whether `run` has created the container and starts it at once.
    pub run: bool,
    /// Whether the container is removed at its end (`--rm`).
    pub remove: bool,
}

stored_flat! {
    /// The values of `--device` and `--device-cgroup-rule`.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct DeviceOptions {
        pub given: Vec<Device> as "devices",
        pub rules: Vec<DeviceRule> as "device_rules",
    }
}

/// The value of `--userns`, unless it is `host`.
#[derive(Clone, Serialize, Deserialize)]
pub struct UserNamespaceRecord {
    pub ids: IdMap,
    /// Whether the range was assigned by `id_range`.
    pub auto: bool,
    /// The targets of binds that keep the host's owners (`noidmap`).
    pub unmapped: Vec<String>,
}

stored_flat! {
    /// The values of `--cap-add`, `--cap-drop` and `--security-opt`. `Profile` is the type of a
    /// seccomp profile: the path of a file in the options, and the file's content in the record.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct SecurityOptions<Profile = String> {
        /// Names such as `CAP_NET_ADMIN`, or `ALL`.
        pub cap_add: Vec<String>,
        pub cap_drop: Vec<String>,
        pub seccomp: SeccompOption<Profile>,
        pub no_new_privileges: bool,
        /// The name of an AppArmor profile, or `unconfined`; `None` means the default.
        pub apparmor: Option<String>,
        /// Parts of the SELinux label: `user:…`, `role:…`, `type:…` or `level:…`. The options may
        /// also have `disable`.
        pub selinux: Vec<String>,
        /// `systempaths=unconfined`: mask no path in /proc and /sys and make none read-only.
        pub system_paths_unconfined: bool,
    }
}

/// The value of `--security-opt seccomp=`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SeccompOption<Profile> {
    #[default]
    Default,
    Unconfined,
    /// A profile in Docker's JSON format.
    Profile(Profile),
}

/// The value in a record, which stores it as text: empty, `unconfined`, or the profile itself.
pub type SeccompRecord = SeccompOption<String>;

stored_as_text!(SeccompRecord);

const UNCONFINED: &str = "unconfined";

impl fmt::Display for SeccompRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SeccompRecord::Default => "",
            SeccompRecord::Unconfined => UNCONFINED,
            SeccompRecord::Profile(profile) => profile,
        })
    }
}

impl FromStr for SeccompRecord {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<SeccompRecord, Infallible> {
        Ok(match text {
            "" => SeccompRecord::Default,
            UNCONFINED => SeccompRecord::Unconfined,
            profile => SeccompRecord::Profile(profile.to_owned()),
        })
    }
}

stored_flat! {
    /// The settings of a container on one of its networks, as the user gave them.
    #[derive(Clone)]
    pub struct NetworkRecord {
        pub name: String,
        pub settings: EndpointSettings => flat,
    }
}

stored_flat! {
    /// The settings of a container on one network, in the flags and in the record.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct EndpointSettings {
        /// The values of `--ip` and `--ip6`, at most one of each.
        pub addresses: Vec<Ip>,
        pub mac: Option<Mac>,
        /// Names of the container on this network, in addition to its own.
        pub aliases: Vec<String>,
        /// The values of `--driver-opt` as given. `InterfaceOptions::parse` has checked the values.
        pub driver_options: Vec<(String, String)> => optional,
        /// The values of `--link-local-ip`.
        pub link_local: Vec<Ip> => optional,
        /// The values of `network connect --link`: another container's name, and its name in this
        /// container.
        pub links: Vec<(String, String)> => optional,
    }
}

stored_flat! {
    /// One mount of a container.
    #[derive(Clone)]
    pub struct MountRecord {
        pub kind: MountKind,
        /// The name of the volume, if the mount is a volume.
        pub volume: Option<String>,
        /// Whether the volume is anonymous. `rm -v` and `--rm` remove anonymous volumes with the
        /// container.
        pub anonymous: bool,
        /// The path on the host, or an image's name as given. A tmpfs and the layers of a build
        /// have none.
        pub source: OrEmpty<String>,
        pub target: String,
        pub read_only: bool,
        /// Whether a missing source is created, as `-v` and `bind-create-src` of `--mount` request.
        pub make_source: bool => optional,
        /// Whether an empty volume is filled with the image's files.
        pub copy_up: bool,
        pub tmpfs_options: String,
        pub access: MountAccess => flat,
        /// For a mount of an image: the image that `source` names.
        pub image: Option<ImageMount>,
        /// Whether the volume has options. Such a volume is mounted on the host while a container
        /// uses it.
        pub has_options: bool => optional,
        /// The options as `-v` or `--tmpfs` gave them.
        pub given: Option<String>,
        /// Whether the mount comes from another container by `--volumes-from`.
        pub borrowed: bool => optional,
    }
}

stored_flat! {
    /// The part of a mount's source that the container sees, and how later mounts in the source
    /// propagate. The options and the record share this group.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct MountAccess {
        pub propagation: Propagation => optional,
        pub recursion: Recursion => optional,
        /// The path in the volume or image that is mounted.
        pub subpath: Option<String>,
    }
}

impl MountRecord {
    /// A writable mount of `source` without options.
    pub fn new(kind: MountKind, source: Option<String>, target: String) -> MountRecord {
        MountRecord {
            kind,
            volume: None,
            anonymous: false,
            source: OrEmpty(source),
            target,
            read_only: false,
            make_source: false,
            copy_up: false,
            tmpfs_options: String::new(),
            access: Default::default(),
            image: None,
            has_options: false,
            given: None,
            borrowed: false,
        }
    }
}

/// The type of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountKind {
    Bind,
    Volume,
    Tmpfs,
    Image,
}

/// The image of `--mount type=image`.
#[derive(Clone, Serialize, Deserialize)]
pub struct ImageMount {
    /// The image's ID. The layers of a build have none.
    pub id: OrEmpty<ImageId>,
    /// The image's layer directories, base first.
    pub layers: Vec<String>,
}

fn exposed_ports(exposed: &[String], publish: &[Publish]) -> Vec<String> {
    let mut all = exposed.to_vec();
    for publish in publish {
        let ports = publish.container.ports();
        all.extend(ports.map(|port| format!("{port}/{}", publish.protocol)));
    }
    order::sort(&mut all);
    all.dedup();
    all
}

impl Summary {
    /// As [`Record::read`], but reads only the summary, below the directory of all containers.
    /// `None` if there is no record.
    pub fn read(containers: &Directory, id: &ContainerId) -> Result<Option<Summary>> {
        let name = format!("{id}/config.json");
        let Some(mut summary) = containers.read_json::<Summary>(&name)? else { return Ok(None) };
        check_version(Path::new(&name), summary.version)?;
        summary.networks.iter_mut().for_each(|network| network_name::recorded(&mut network.name));
        Ok(Some(summary))
    }

    /// The summary of a record.
    pub fn of(record: &Record) -> Summary {
        Summary {
            version: record.version,
            id: record.id.clone(),
            name: record.name.clone(),
            created: record.created,
            run: record.run,
            remove: record.lifecycle.remove,
            image: record.image.clone(),
            image_id: record.image_id,
            entrypoint: record.entrypoint.clone(),
            command: record.command.clone(),
            labels: record.labels.clone(),
            health: record.health.clone(),
            network: record.network.clone(),
            networks: record.networks.clone(),
            mounts: record.mounts.clone(),
            publish: record.publish.clone(),
            exposed: record.exposed.clone(),
        }
    }

    /// The facts on which the container's state depends.
    pub fn origin(&self) -> Origin {
        Origin { created: self.created, run: self.run, remove: self.remove }
    }

    /// Whether the container has a health check that runs.
    pub fn has_health_check(&self) -> bool {
        self.health.as_ref().is_some_and(|health| health.check.runs())
    }

    /// Whether the container has networks. Otherwise it has no network, or that of the host or of
    /// another container.
    pub fn has_networks(&self) -> bool {
        !self.networks.is_empty()
    }

    /// As [`Record::exposed_ports`].
    pub fn exposed_ports(&self) -> Vec<String> {
        exposed_ports(&self.exposed, &self.publish)
    }

    /// The names of the container's networks, or its network mode if it has no network.
    pub fn network_names(&self) -> Vec<String> {
        match self.networks.as_slice() {
            [] => vec![self.network.to_string()],
            networks => networks.iter().map(|network| network.name.clone()).collect(),
        }
    }
}

fn check_version(path: &Path, version: u32) -> Result<()> {
    if version != VERSION {
        fail!("{} is of version {version}, not {VERSION}", path.display());
    }
    Ok(())
}

impl Record {
    /// The facts on which the container's state depends.
    pub fn origin(&self) -> Origin {
        Origin { created: self.created, run: self.run, remove: self.lifecycle.remove }
    }

    /// The arguments of the first process: the entrypoint and the command.
    pub fn args(&self) -> Vec<String> {
        self.entrypoint.iter().chain(&self.command).cloned().collect()
    }

    /// The host name, with the NIS domain name after a dot if there is one.
    pub fn full_hostname(&self) -> String {
        match &self.system.domainname {
            Some(domain) => format!("{}.{domain}", self.hostname),
            None => self.hostname.clone(),
        }
    }

    /// The ID mapping of the container's user namespace, if it has one.
    pub fn ids(&self) -> Option<IdMap> {
        self.user_namespace.as_ref().map(|namespace| namespace.ids)
    }

    /// The container's health check, if it has one that runs.
    pub fn health_check(&self) -> Option<&HealthRecord> {
        self.health.as_ref().filter(|health| health.check.runs())
    }

    /// The exposed ports, such as `80/tcp`, sorted. A published port counts as exposed.
    pub fn exposed_ports(&self) -> Vec<String> {
        exposed_ports(&self.exposed, &self.publish)
    }

    /// Whether the container is on the network of that name, or will be when it starts.
    pub fn is_on(&self, network: &str) -> bool {
        self.networks.iter().any(|known| known.name == network)
    }

    /// Whether the monitor may restart the container.
    pub fn may_restart(&self) -> bool {
        !self.lifecycle.restart.is_no() || self.restarts_unhealthy()
    }

    /// Whether the container has a health check whose action is `restart`.
    pub fn restarts_unhealthy(&self) -> bool {
        self.health_check().is_some_and(|health| health.on_failure == OnFailure::Restart)
    }

    /// Creates the missing sources of binds with `make_source`. Called at each start and restart.
    /// Fails if the source of a bind without `make_source` is missing.
    pub fn make_sources(&self) -> Result<()> {
        for mount in self.mounts.iter().filter(|mount| mount.kind == MountKind::Bind) {
            let source = raw::path(mount.source.as_deref().unwrap_or_default());
            if source.exists() {
                continue;
            }
            if !mount.make_source {
                return Err(Error::new(format!(
                    "bind source {} does not exist; create it, or use -v, which creates it",
                    mount.source
                ))
                .exit_with(EXIT_NOT_FOUND));
            }
            std::fs::create_dir_all(&source)
                .context(|| format!("make bind source {}", mount.source))?;
        }
        Ok(())
    }

    /// The durability of the container's files. A container with `--rm`, or of a build's step
    /// (which has layers and no image), need not survive a power cut.
    pub fn durability(&self) -> Durability {
        let is_step = self.image_id.is_none() && self.rootfs.is_none();
        if self.lifecycle.remove || is_step { Durability::Lazy } else { Durability::Synced }
    }

    /// Writes config.json, and replaces an older one atomically (rename(2)).
    pub fn write(&self, roots: &Roots) -> Result<()> {
        let files = Files::new(roots, &self.id);
        store::replace_json(&files.config(), self, self.durability()).context(|| {
            format!("keep the labels, variables and other facts of container {}", self.name)
        })
    }

    /// Reads the record of the container `id`. Fails if the record is missing, damaged or of
    /// another version.
    pub fn read(roots: &Roots, id: &ContainerId) -> Result<Record> {
        let path = Files::new(roots, id).config();
        let mut record: Record = store::read_json(&path)?.ok_or_else(|| {
            Error::new(format!(
                "the creation of container {} was cut short; remove it with `rm`",
                id.short()
            ))
        })?;
        check_version(&path, record.version)?;
        record.networks.iter_mut().for_each(|network| network_name::recorded(&mut network.name));
        Ok(record)
    }
}

/// The IDs of all containers, unordered.
pub fn all_ids(roots: &Roots) -> Result<Vec<ContainerId>> {
    let names = store::list(Path::new(&roots.containers()))?;
    Ok(names.iter().filter_map(|name| ContainerId::parse(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record that an older mydocker wrote, before the fields were grouped, with most keys.
    const OLD: &str = r#"
        {"version":1,"id":"1fd14b828ac5587c1fd14b828ac5587c1fd14b828ac5587c1fd14b828ac5587c",
        "name":"web","created":1795958743564783725,"run":false,"remove":false,
        "restart":{"mode":"OnFailure","max_retries":3},"health":{"check":{"test":["CMD-SHELL","true"],
        "interval":5000000000,"timeout":0,"start_period":0,"start_interval":0,"retries":0},
        "on_failure":"None"},"depends_on":["db"],"image":"bb",
        "image_id":"sha256:0aa36fdff78da6840aa36fdff78da6840aa36fdff78da6840aa36fdff78da684",
        "layers":["/l"],"entrypoint":["sh"],"command":["-c","x"],"env":["A=1"],"cwd":"/tmp",
        "user":"0:0","groups":["5"],"hostname":"box","domainname":"dom","tty":true,"interactive":true,
        "keeps_stdin":true,"read_only":true,"init":true,"privileged":false,
        "confinement":{"cap_add":["CAP_NET_ADMIN"],"cap_drop":["CAP_CHOWN"],"seccomp":"",
        "no_new_privileges":true,"selinux":[],"system_paths_unconfined":true},"stop_signal":"USR1",
        "stop_timeout":4,"labels":[["a","b"]],"annotations":[["c","d"]],"rlimits":[{"name":"nofile",
        "soft":10,"hard":20}],"sysctls":[["net.ipv4.ip_forward","1"]],"shm_size":1048576,
        "add_hosts":[["x","1.2.3.4"]],"dns":["1.1.1.1"],"dns_search":["lan"],"dns_options":["ndots:2"],
        "network":"bridge","links":[["f5b384bb4cc0a03ef5b384bb4cc0a03ef5b384bb4cc0a03ef5b384bb4cc0a03e",
        "db"]],"networks":[{"name":"bridge","addresses":["10.148.160.77"],"mac":"02:42:0a:01:02:03",
        "aliases":["al"]}],
        "pid":"container:f5b384bb4cc0a03ef5b384bb4cc0a03ef5b384bb4cc0a03ef5b384bb4cc0a03e","ipc":"host",
        "uts":"private","host_cgroups":true,"cgroup_parent":"/z","resources":{"memory":67108864,
        "memory_swap":-1,"nano_cpus":500000000,"pids":20},"oom_score_adj":5,
        "devices":[{"source":"/dev/zero","target":"/dev/zz","access":"r"}],
        "device_rules":[{"kind":"Character","major":1,"minor":3,"access":"rw"}],
        "mounts":[{"kind":"Volume","volume":"vol","anonymous":false,"source":"/v/vol/_data",
        "target":"/vol","read_only":false,"copy_up":true,"tmpfs_options":""},{"kind":"Bind",
        "anonymous":false,"source":"/tmp","target":"/t","read_only":true,"make_source":true,
        "copy_up":false,"tmpfs_options":"","propagation":"Slave"},{"kind":"Tmpfs","anonymous":false,
        "source":"","target":"/tt","read_only":false,"copy_up":false,"tmpfs_options":"size=1048576"},
        {"kind":"Image","anonymous":false,"source":"bb","target":"/img","read_only":true,
        "copy_up":false,"tmpfs_options":"",
        "image":{"id":"sha256:0aa36fdff78da6840aa36fdff78da6840aa36fdff78da6840aa36fdff78da684",
        "layers":["/l"]}},{"kind":"Bind","anonymous":false,"source":"/tmp","target":"/b",
        "read_only":false,"copy_up":false,"tmpfs_options":"","recursion":"Disabled"}],
        "publish":["8080:80/tcp"],"exposed":["90/udp"],"log_disabled":false,"log_driver":"local",
        "log_max_size":1048576,"log_max_file":2,"log_options":[["max-size","1m"],["max-file","2"]]}
    "#;

    /// The same object with sorted keys and without nulls.
    fn sorted(text: &str) -> String {
        let value: miniserde::json::Value = miniserde::json::from_str(text).unwrap();
        crate::json::without_nulls(&miniserde::json::to_string(&value))
    }

    #[test]
    fn an_old_record_is_read_and_written_with_the_same_keys_and_values() {
        let record: Record = miniserde::json::from_str(OLD).unwrap();
        assert_eq!(sorted(&miniserde::json::to_string(&record)), sorted(OLD));
        assert!(record.streams.keeps_stdin && record.log.max_file == 2);
        assert_eq!(
            (record.limits.oom_score_adj, record.lifecycle.stop_timeout),
            (Some(5), Some(4))
        );
    }

    #[test]
    fn old_images_and_mounts_are_read_and_written_as_they_were() {
        let id = format!("sha256:{}", "0123456789abcdef".repeat(4));
        let image = format!(r#"{{"id":"{id}","layers":["/l"]}}"#);
        for (kind, source, image) in [
            ("Bind", "/srv/www", "null".to_owned()),
            ("Tmpfs", "", "null".to_owned()),
            ("Image", "box:1", image.clone()),
            ("Image", "", image.replace(&id, "")),
        ] {
            let mount = format!(
                r#"{{"kind":"{kind}","volume":null,"anonymous":false,"source":"{source}","target":"/t","read_only":false,"make_source":null,"copy_up":false,"tmpfs_options":"","propagation":null,"recursion":null,"subpath":null,"image":{image},"has_options":null,"given":null,"borrowed":null}}"#
            );
            let read: MountRecord = miniserde::json::from_str(&mount).unwrap();
            assert_eq!(read.source.as_deref().unwrap_or_default(), source);
            assert_eq!(miniserde::json::to_string(&read), mount);
        }
        for text in ["\"box\"", "\"sha256:01\"", "\"\"", &format!("\"{id}\"")] {
            let read: OrEmpty<ImageName> = miniserde::json::from_str(text).unwrap();
            assert_eq!(read.is_none(), text == "\"\"");
            assert_eq!(miniserde::json::to_string(&read), text);
        }
        for (text, expected) in [
            ("\"\"", SeccompRecord::Default),
            ("\"unconfined\"", SeccompRecord::Unconfined),
            (r#""{\"x\":1}""#, SeccompRecord::Profile(r#"{"x":1}"#.to_owned())),
        ] {
            let read: SeccompRecord = miniserde::json::from_str(text).unwrap();
            assert_eq!(miniserde::json::to_string(&read), text);
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn old_networks_and_ports_are_read_and_written_as_they_were() {
        let network = r#"{"name":"web","addresses":["10.1.2.3","fd00::3"],"mac":"02:42:0a:01:02:03","aliases":["db"]}"#;
        let read: NetworkRecord = miniserde::json::from_str(network).unwrap();
        let newer = r#"],"driver_options":null,"link_local":null,"links":null}"#;
        let written = |text: &str| text.replace("]}", newer);
        assert_eq!(miniserde::json::to_string(&read), written(network));
        assert_eq!(read.settings.mac, Some(Mac([2, 0x42, 10, 1, 2, 3])));
        let plain = r#"{"name":"mydocker0","addresses":[],"mac":null,"aliases":[]}"#;
        let read: NetworkRecord = miniserde::json::from_str(plain).unwrap();
        assert_eq!(miniserde::json::to_string(&read), written(plain));
        let publish = r#"["8080:80/tcp","127.0.0.1::53/udp","[::1]:8000-8001:80-81/tcp","80/tcp"]"#;
        let read: Vec<Publish> = miniserde::json::from_str(publish).unwrap();
        assert_eq!(miniserde::json::to_string(&read), publish);
        let hosts = r#"[["db","10.9.9.9"],["gate","host-gateway"]]"#;
        let read: Vec<(String, HostAddress)> = miniserde::json::from_str(hosts).unwrap();
        assert_eq!(miniserde::json::to_string(&read), hosts);
    }
}

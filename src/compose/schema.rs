//! The compose specification as data: its keys, and the kind of value of each key.
//!
//! The kind decides how `canonical` checks a value and converts it to its canonical form, and how
//! `merge` merges the values of two files. If mydocker does not support a key, the error has the
//! reason. For an unknown key, the error suggests a similar key of the specification
//! (compose-spec.io), if there is one.

use super::node::Node;
use super::scope::Scope;
use super::short;
use crate::error::Result;

/// A key and the kind of its value.
pub type Key = (&'static str, Kind);

/// The kind of value that a key has. Unless a variant says otherwise, a later file replaces the
/// value.
pub enum Kind {
    Text,
    Bool,
    Number,
    /// A path of the host. A relative path is resolved from `Scope::dir`.
    Path,
    /// A command line: a list, or a text that is split at blanks like a shell does.
    Words,
    /// One text or a list of texts. A later file adds to the list.
    List,
    /// Like `List`, but an element of a later file replaces one for which the function returns the
    /// same text.
    ListBy(fn(&str) -> &str),
    /// A map of texts, or a list of `KEY=VALUE`. Maps of two files are merged by key.
    Dict,
    /// A map with known keys. Maps of two files are merged by key.
    Object(&'static [Key]),
    /// Like `Object`, but a later file with another `driver` replaces the whole map.
    Driver(&'static [Key]),
    /// A map whose keys the user chooses. All values have the same kind. Maps of two files are
    /// merged by key.
    Named(&'static Kind),
    /// A list of objects. `ListOf` says how the list is read and merged.
    Entries(&'static ListOf),
    /// A value that may have a short form. The function converts the value to the given kind, which
    /// also decides how values are merged.
    Short(fn(&Node, &Scope) -> Result<Node>, &'static Kind),
    /// A value that `canonical` does not check.
    Any,
    /// A key that mydocker does not support. The text is the reason and what to do.
    Refused(&'static str),
}

/// How a list of objects is read and merged. `Kind::Entries` has only a reference to a `ListOf`, so
/// that a `Kind` stays small: the tables have a `Kind` for each key.
pub struct ListOf {
    /// Converts an element in its short or its long form to elements in the long form.
    pub long: fn(&Node, &Scope) -> Result<Vec<Node>>,
    pub keys: &'static [Key],
    /// The keys whose values identify an element. An element of a later file replaces an element
    /// with the same identity. Without keys, elements are only added.
    pub identity: &'static [&'static str],
}

use Kind::{
    Any, Bool, Dict, Driver, Entries, List, ListBy, Named, Number, Object, Path, Refused, Short,
    Text, Words,
};

const SWARM: &str = "mydocker manages one host and no cluster; remove the key";
const MODELS: &str = "mydocker runs no models; remove the key";
const WINDOWS: &str = "it exists only on Windows; remove the key";
const DRIVERS: &str = "mydocker has no plugins for drivers; remove the key";

/// The keys at the top of a file.
pub static ROOT: Kind = Object(&[
    ("version", Text),
    ("name", Text),
    ("include", Any),
    ("services", Named(&SERVICE)),
    ("networks", Named(&NETWORK)),
    ("volumes", Named(&VOLUME)),
    ("secrets", Named(&FILE)),
    ("configs", Named(&FILE)),
    ("models", Refused(MODELS)),
]);

/// The keys of a service.
pub static SERVICE: Kind = Object(&[
    ("annotations", Dict),
    ("attach", Bool),
    ("blkio_config", Object(BLKIO)),
    ("build", Short(short::build, &Object(BUILD))),
    ("cap_add", List),
    ("cap_drop", List),
    ("cgroup", Text),
    ("cgroup_parent", Text),
    ("command", Words),
    ("configs", Entries(&ListOf { long: short::config, keys: GRANT, identity: &["target"] })),
    ("container_name", Text),
    ("cpu_count", Refused(WINDOWS)),
    ("cpu_percent", Refused(WINDOWS)),
    ("cpu_period", Text),
    ("cpu_quota", Text),
    ("cpu_rt_period", Refused("mydocker sets no real-time limits; remove the key")),
    ("cpu_rt_runtime", Refused("mydocker sets no real-time limits; remove the key")),
    ("cpu_shares", Number),
    ("cpus", Number),
    ("cpuset", Text),
    ("credential_spec", Refused(WINDOWS)),
    ("depends_on", Short(short::depends_on, &Named(&Object(DEPENDENCY)))),
    ("deploy", Object(DEPLOY)),
    ("develop", Refused("mydocker does not watch files; remove the key")),
    ("device_cgroup_rules", List),
    ("devices", Short(short::devices, &ListBy(short::device_target))),
    ("dns", List),
    ("dns_opt", List),
    ("dns_search", List),
    ("domainname", Text),
    ("entrypoint", Words),
    ("env_file", Entries(&ListOf { long: short::env_file, keys: ENV_FILE, identity: &["path"] })),
    ("environment", Dict),
    ("expose", List),
    ("extends", Short(short::extends, &Object(&[("service", Text), ("file", Path)]))),
    ("external_links", List),
    ("extra_hosts", Short(short::extra_hosts, &List)),
    ("gpus", Refused("GPUs need a vendor's hook, which mydocker does not run; use devices")),
    ("group_add", List),
    ("healthcheck", Object(HEALTH)),
    ("hostname", Text),
    ("image", Text),
    ("init", Bool),
    ("ipc", Text),
    ("isolation", Text),
    ("label_file", Short(short::paths, &List)),
    ("labels", Dict),
    ("links", List),
    ("logging", Driver(&[("driver", Text), ("options", Dict)])),
    ("mac_address", Text),
    ("mem_limit", Text),
    ("mem_reservation", Text),
    ("mem_swappiness", Number),
    ("memswap_limit", Text),
    ("models", Refused(MODELS)),
    ("network_mode", Text),
    ("networks", Short(short::names, &Named(&Object(ENDPOINT)))),
    ("oom_kill_disable", Bool),
    ("oom_score_adj", Number),
    ("pid", Text),
    ("pids_limit", Number),
    ("platform", Text),
    (
        "ports",
        Entries(&ListOf {
            long: short::port,
            keys: PORT,
            identity: &["host_ip", "target", "published", "protocol"],
        }),
    ),
    ("post_start", HOOKS),
    ("pre_stop", HOOKS),
    ("privileged", Bool),
    ("profiles", List),
    ("provider", Refused("mydocker has no plugins for services; remove the key")),
    ("pull_policy", Text),
    ("pull_refresh_after", Text),
    ("read_only", Bool),
    ("restart", Text),
    ("runtime", Text),
    ("scale", Number),
    ("secrets", SECRETS),
    ("security_opt", Short(short::security, &List)),
    ("shm_size", Text),
    ("stdin_open", Bool),
    ("stop_grace_period", Text),
    ("stop_signal", Text),
    ("storage_opt", Dict),
    ("sysctls", Dict),
    ("tmpfs", List),
    ("tty", Bool),
    ("ulimits", Named(&Short(short::ulimit, &Object(&[("soft", Text), ("hard", Text)])))),
    ("use_api_socket", Refused("mydocker has no daemon and so no socket; remove the key")),
    ("user", Text),
    ("userns_mode", Text),
    ("uts", Text),
    ("volumes", Entries(&ListOf { long: short::volume, keys: MOUNT, identity: &["target"] })),
    ("volumes_from", List),
    ("working_dir", Text),
]);

const SECRETS: Kind = Entries(&ListOf { long: short::secret, keys: GRANT, identity: &["target"] });
const HOOKS: Kind = Entries(&ListOf { long: short::as_it_is, keys: HOOK, identity: &[] });

static BLKIO: &[Key] = &[
    ("weight", Number),
    ("weight_device", Refused("mydocker sets one weight for all devices; use weight")),
    ("device_read_bps", RATES),
    ("device_read_iops", RATES),
    ("device_write_bps", RATES),
    ("device_write_iops", RATES),
];
const RATES: Kind = Entries(&ListOf {
    long: short::as_it_is,
    keys: &[("path", Text), ("rate", Text)],
    identity: &["path"],
});

static BUILD: &[Key] = &[
    ("context", Text),
    ("dockerfile", Text),
    ("dockerfile_inline", Text),
    ("args", Dict),
    ("target", Text),
    ("tags", List),
    ("labels", Dict),
    ("cache_from", Short(short::caches, &List)),
    ("cache_to", Short(short::caches, &List)),
    ("no_cache", Bool),
    ("no_cache_filter", List),
    ("pull", Bool),
    ("network", Text),
    ("platforms", List),
    ("shm_size", Text),
    ("ssh", Refused("a build forwards no SSH agent; copy what it needs into the context")),
    ("secrets", SECRETS),
    ("extra_hosts", Short(short::extra_hosts, &List)),
    ("additional_contexts", Short(short::contexts, &Dict)),
    ("entitlements", Refused("steps have no further rights; remove the key")),
    ("isolation", Text),
    ("privileged", Bool),
    ("provenance", Any),
    ("sbom", Any),
    ("ulimits", Named(&Short(short::ulimit, &Object(&[("soft", Text), ("hard", Text)])))),
];

static DEPENDENCY: &[Key] = &[("condition", Text), ("required", Bool), ("restart", Bool)];

static DEPLOY: &[Key] = &[
    ("mode", Text),
    ("replicas", Number),
    (
        "resources",
        Object(&[
            ("limits", Object(&[("cpus", Number), ("memory", Text), ("pids", Number)])),
            (
                "reservations",
                Object(&[
                    ("cpus", Number),
                    ("memory", Text),
                    ("devices", Refused("mydocker runs no vendor's hook for devices; use devices")),
                    ("generic_resources", Refused(SWARM)),
                ]),
            ),
        ]),
    ),
    (
        "restart_policy",
        Object(&[
            ("condition", Text),
            ("max_attempts", Number),
            ("delay", Text),
            ("window", Refused("a restart counts as an attempt at once; remove the key")),
        ]),
    ),
    ("endpoint_mode", Text),
    ("labels", Refused(SWARM)),
    ("placement", Refused(SWARM)),
    ("update_config", Refused(SWARM)),
    ("rollback_config", Refused(SWARM)),
];

static ENV_FILE: &[Key] = &[("path", Path), ("required", Bool), ("format", Text)];

static HEALTH: &[Key] = &[
    ("test", Short(short::health_test, &Words)),
    ("interval", Text),
    ("timeout", Text),
    ("retries", Number),
    ("start_period", Text),
    ("start_interval", Text),
    ("disable", Bool),
];

static ENDPOINT: &[Key] = &[
    ("aliases", List),
    ("ipv4_address", Text),
    ("ipv6_address", Text),
    ("link_local_ips", List),
    ("mac_address", Text),
    ("interface_name", Text),
    ("driver_opts", Dict),
    ("gw_priority", Number),
    ("priority", Number),
];

static PORT: &[Key] = &[
    ("name", Text),
    ("mode", Text),
    ("host_ip", Text),
    ("target", Number),
    ("published", Text),
    ("protocol", Text),
    ("app_protocol", Text),
];

static GRANT: &[Key] =
    &[("source", Text), ("target", Text), ("uid", Text), ("gid", Text), ("mode", Text)];

static HOOK: &[Key] = &[
    ("command", Words),
    ("user", Text),
    ("privileged", Bool),
    ("working_dir", Text),
    ("environment", Dict),
];

static MOUNT: &[Key] = &[
    ("type", Text),
    ("source", Text),
    ("target", Text),
    ("read_only", Bool),
    ("consistency", Text),
    (
        "bind",
        Object(&[
            ("propagation", Text),
            ("create_host_path", Bool),
            // Accepted and ignored, like `z` of `run -v`. Only `security_opt` gives a container an
            // SELinux label.
            ("selinux", Text),
            ("recursive", Text),
        ]),
    ),
    ("volume", Object(&[("nocopy", Bool), ("labels", Dict), ("subpath", Text)])),
    ("tmpfs", Object(&[("size", Text), ("mode", Text)])),
    ("image", Object(&[("subpath", Text)])),
];

/// The keys of a network.
static NETWORK: Kind = Object(&[
    ("attachable", Bool),
    ("driver", Text),
    ("driver_opts", Dict),
    ("enable_ipv4", Bool),
    ("enable_ipv6", Bool),
    ("external", Any),
    ("internal", Bool),
    (
        "ipam",
        Object(&[
            ("driver", Text),
            ("options", Dict),
            (
                "config",
                Entries(&ListOf { long: short::as_it_is, keys: POOL, identity: &["subnet"] }),
            ),
        ]),
    ),
    ("labels", Dict),
    ("name", Text),
]);

static POOL: &[Key] =
    &[("subnet", Text), ("ip_range", Text), ("gateway", Text), ("aux_addresses", Dict)];

static VOLUME: Kind = Object(&[
    ("driver", Text),
    ("driver_opts", Short(short::volume_options, &Dict)),
    ("external", Any),
    ("labels", Dict),
    ("name", Text),
]);

/// The keys of a secret or a config.
static FILE: Kind = Object(&[
    ("file", Path),
    ("environment", Text),
    ("content", Text),
    ("external", Refused("mydocker keeps no secrets and configs; use file or environment")),
    ("driver", Refused(DRIVERS)),
    ("driver_opts", Refused(DRIVERS)),
    ("template_driver", Refused(DRIVERS)),
    ("labels", Dict),
    ("name", Text),
]);

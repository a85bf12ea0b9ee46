//! `explain`: how a container, an image or a network is made, as a tree of facts.
//!
//! Most facts of a running container come from the kernel: /proc, the cgroup files and the
//! firewall. Such facts show the present state and not what the record requests. `cli::explain` has
//! the headings, words and colours. `explain` enters no namespace. References: namespaces(7),
//! proc_pid_mountinfo(5), cgroups(7), capabilities(7).

use std::fs;
use std::path::Path;

use super::{Engine, confine};
use crate::container::files::Files;
use crate::container::record::{MountKind, MountRecord, Record, SeccompOption};
use crate::container::state::{self, Condition, State};
use crate::container::{names, updated};
use crate::container_id::ContainerId;
use crate::error::{Result, fail};
use crate::hex::short;
use crate::image::{Image, ImageStore};
use crate::network::attachment::record::{Attachment, Endpoint};
use crate::network::direct::{Direct, Origin};
use crate::network::record::Network;
use crate::network::subnet::Family;
use crate::network::{create, firewall, ipam};
use crate::runtime::capabilities;
use crate::store::Roots;
use crate::units::push_human_size;
use crate::volume;

/// One fact and the facts below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The name of the fact, such as `bridge`. The name is fixed, except that a mount has its
    /// target as the name, and a limit has the kernel's name.
    pub key: String,
    pub value: String,
    pub parts: Vec<Fact>,
}

/// The most mounts of a running container, firewall rules and sharers of a namespace that are
/// shown.
const MAX_SHOWN: usize = 200;

/// The files of cgroup v1 and v2 whose values are shown.
const CGROUP_FILES: [&str; 27] = [
    "memory.limit_in_bytes",
    "memory.memsw.limit_in_bytes",
    "memory.soft_limit_in_bytes",
    "memory.max",
    "memory.swap.max",
    "memory.low",
    "memory.high",
    "memory.current",
    "memory.usage_in_bytes",
    "pids.max",
    "pids.current",
    "cpu.cfs_quota_us",
    "cpu.cfs_period_us",
    "cpu.max",
    "cpu.shares",
    "cpu.weight",
    "cpuset.cpus",
    "cpuset.mems",
    "blkio.bfq.weight",
    "blkio.throttle.read_bps_device",
    "blkio.throttle.write_bps_device",
    "blkio.throttle.read_iops_device",
    "blkio.throttle.write_iops_device",
    "io.bfq.weight",
    "io.weight",
    "io.max",
    "devices.list",
];

fn fact(key: &str, value: impl ToString) -> Fact {
    Fact { key: key.to_owned(), value: value.to_string(), parts: Vec::new() }
}

fn group(key: &str, value: impl ToString, parts: Vec<Fact>) -> Fact {
    Fact { parts, ..fact(key, value) }
}

impl Engine {
    /// Returns the facts of the container, image or network `name`, searched in this order. Fails
    /// if there is none, and for the networks `host` and `none`.
    pub fn explain(&self, name: &str) -> Result<Fact> {
        match names::find(&self.roots, name) {
            // No container has this name, but an image or a network may.
            Ok(names::Match::None) | Err(_) => {}
            Ok(found) => return self.explain_container(&self.record_of(&found.one(name)?, name)?),
        }
        // A name of a network may be no valid name of an image.
        if let Ok(image) = name.parse()
            && let Some(image) = ImageStore::open(&self.roots).resolve(&image)?
        {
            return self.explain_image(name, &image);
        }
        match create::find(&self.roots, name) {
            Ok(create::Found::Network(network)) => self.explain_network(&network),
            Ok(create::Found::WithoutBridge(special)) => {
                fail!("network {special} has neither a bridge nor addresses to explain")
            }
            Err(_) => fail!("no such container, image or network: {name}"),
        }
    }

    fn explain_container(&self, record: &Record) -> Result<Fact> {
        let condition = self.condition(record)?;
        let state = match &condition {
            Condition::Running(state) => Some(state),
            _ => None,
        };
        let mut parts = vec![self.process(record, state)];
        if let Some(state) = state {
            parts.push(self.namespaces(record, state.pid)?);
        }
        parts.push(self.root_file_system(record)?);
        parts.push(mounts(&self.roots, record, state));
        if let Some(state) = state {
            let paths = updated::cgroups(&Files::new(&self.roots, &record.id), state);
            let cgroups = paths.iter().map(|path| cgroup(Path::new(path)));
            parts.push(group("cgroups", "", cgroups.collect()));
            parts.push(self.container_network(record)?);
        }
        parts.extend(confinement(record, state)?);
        if let Some(state) = state {
            parts.push(limits(state.pid));
            parts.push(self.monitor(record, state));
        }
        let word = if state.is_some() { "running" } else { "not running" };
        Ok(group("container", format!("{} ({}), {word}", record.name, short(&record.id)), parts))
    }

    fn process(&self, record: &Record, state: Option<&State>) -> Fact {
        let mut parts = vec![fact("command", record.args().join(" "))];
        parts.extend(state.map(|state| fact("pid", state.pid)));
        parts.push(fact("user", record.user.name.as_deref().unwrap_or("root")));
        parts.push(fact("cwd", if record.cwd.is_empty() { "/" } else { &record.cwd }));
        parts.push(fact("image", &record.image));
        group("process", "", parts)
    }

    /// Returns each namespace of a container's first process: its inode, and whether the host or
    /// another container has the same namespace.
    fn namespaces(&self, record: &Record, pid: i32) -> Result<Fact> {
        let link = |pid: &str, name: &str| {
            let link = fs::read_link(format!("/proc/{pid}/ns/{name}")).ok()?;
            Some(link.to_string_lossy().into_owned())
        };
        let others = self.records()?.into_iter().filter(|other| other.id != record.id);
        // Skip a container whose state cannot be read.
        let others: Vec<(String, String)> = others
            .filter_map(|other| {
                let state = state::running(&self.roots, &other).ok().flatten()?;
                Some((other.name, state.pid.to_string()))
            })
            .collect();
        let kinds = [
            ("cgroup", None),
            ("ipc", record.namespaces.ipc.container()),
            ("mnt", None),
            ("net", record.network.container()),
            ("pid", record.namespaces.pid.container()),
            ("time", None),
            ("user", None),
            ("uts", record.namespaces.uts.container()),
        ];
        let parts = kinds.into_iter().filter_map(|(name, other)| {
            let own = link(&pid.to_string(), name)?;
            let inode = own.trim_start_matches(|letter| letter != '[').trim_matches(['[', ']']);
            let other = other.map(|id| self.name_of(id));
            let sharers = others.iter().filter(|(_, pid)| link(pid, name).as_ref() == Some(&own));
            let sharers: Vec<&str> =
                sharers.take(MAX_SHOWN).map(|(sharer, _)| sharer.as_str()).collect();
            let owner = match other {
                Some(other) => format!("of {other}"),
                None if link("self", name)? == own => "host".to_owned(),
                None if sharers.is_empty() => "private".to_owned(),
                None => format!("shared with {}", sharers.join(", ")),
            };
            Some(fact(name, format!("{inode} {owner}")))
        });
        Ok(group("namespaces", "", parts.collect()))
    }

    /// Returns the name of a container, or its short id if its record cannot be read.
    pub(super) fn name_of(&self, id: &ContainerId) -> String {
        Record::read(&self.roots, id).map_or_else(|_| short(id).to_owned(), |record| record.name)
    }

    /// Returns the parts of the root: the directory of `--rootfs`, or the layers of the overlay
    /// from the top down. If the image still exists, returns the image's instructions too.
    fn root_file_system(&self, record: &Record) -> Result<Fact> {
        if let Some(directory) = &record.rootfs {
            return Ok(group("root", directory, vec![]));
        }
        let files = Files::new(&self.roots, &record.id);
        let lower = self.roots.layers().join("DIGEST/fs");
        let upper = fact("upper", files.upper().display());
        let mut parts =
            vec![upper, fact("lower", format!("{}, one for each layer", lower.display()))];
        let images = ImageStore::open(&self.roots);
        let image = record.image_id.map(|id| images.resolve(&id.into())).transpose()?.flatten();
        match image {
            Some(image) => parts.extend(layers(&images, &image)?),
            None => {
                parts.extend(record.layers.iter().rev().map(|layer| fact("layer", layer)));
            }
        }
        Ok(group("root", "overlay", parts))
    }

    fn container_network(&self, record: &Record) -> Result<Fact> {
        let attachment = Attachment::read(&self.roots, &record.id)?;
        let mut parts = Vec::new();
        let mut wanted = Vec::new();
        for endpoint in &attachment.endpoints {
            let mut way = mac_and_link(endpoint);
            match Network::read(&self.roots, &endpoint.network)? {
                Some(Network { direct: Some(direct), .. }) => {
                    way.push(fact("driver", driver(&direct)));
                    way.push(fact("parent", direct.parent));
                }
                Some(Network { bridge: Some(bridge), .. }) => {
                    way.push(fact("bridge", &bridge));
                    wanted.push(bridge);
                }
                _ => {}
            }
            for address in &endpoint.addresses {
                way.push(fact("address", format!("{}/{}", address.address, address.prefix)));
                if address.gateway.0.is_some() {
                    way.push(fact("gateway", address.gateway));
                }
            }
            let value = format!("{} on {}", endpoint.interface, endpoint.network);
            parts.push(group("interface", value, way));
        }
        for map in &attachment.ports {
            let to = format!("{}/{}", map.container_port, map.protocol);
            parts.push(fact("port", format!("{} to {to}", map.from())));
        }
        if !attachment.ports.is_empty() {
            wanted.push(record.id.to_string());
        }
        parts.extend(self.rules(&wanted));
        let network = match record.network.container() {
            Some(id) => format!("container:{}", self.name_of(id)),
            None => record.network.to_string(),
        };
        Ok(group("network", network, parts))
    }

    /// Returns the firewall's rules that name one of `wanted`.
    fn rules(&self, wanted: &[String]) -> Option<Fact> {
        if wanted.is_empty() {
            return None;
        }
        Some(match firewall::show(&self.roots, wanted) {
            Ok((backend, rules)) => {
                let rules = rules.into_iter().take(MAX_SHOWN).map(|rule| fact("rule", rule));
                group("rules", backend, rules.collect())
            }
            // The rest of the tree is useful without the rules.
            Err(error) => fact("rules", error),
        })
    }

    fn monitor(&self, record: &Record, state: &State) -> Fact {
        let files = Files::new(&self.roots, &record.id);
        let mut parts = Vec::new();
        let status = read(&format!("/proc/{}/status", state.pid));
        parts.extend(field(&status, "PPid:").map(|pid| fact("pid", pid)));
        parts.push(fact("socket", files.run.join("attach.sock").display()));
        let log =
            if record.log.disabled { "none".to_owned() } else { files.log().display().to_string() };
        parts.push(fact("log", log));
        parts.push(fact("state", files.state().display()));
        group("monitor", "", parts)
    }

    fn explain_image(&self, name: &str, image: &Image) -> Result<Fact> {
        let images = ImageStore::open(&self.roots);
        let config = &image.config;
        let defaults = &config.config;
        let mut settings = Vec::new();
        let words = |words: &Option<Vec<String>>| words.as_ref().map(|words| words.join(" "));
        settings.extend(words(&defaults.entrypoint).map(|words| fact("entrypoint", words)));
        settings.extend(words(&defaults.cmd).map(|words| fact("command", words)));
        if !defaults.user.is_empty() {
            settings.push(fact("user", &defaults.user));
        }
        if !defaults.working_dir.is_empty() {
            settings.push(fact("cwd", &defaults.working_dir));
        }
        settings.extend(defaults.env.iter().map(|pair| fact("env", pair)));
        settings.extend(defaults.exposed_ports.iter().map(|port| fact("exposed port", port)));
        settings.extend(defaults.volumes.iter().map(|target| fact("volume", target)));
        settings.extend(defaults.stop_signal.iter().map(|signal| fact("stop signal", signal)));
        let check = defaults.healthcheck.as_ref();
        settings.extend(check.map(|check| fact("health check", check.test.join(" "))));
        let labels = defaults.labels.iter().map(|(key, value)| format!("{key}={value}"));
        settings.extend(labels.map(|label| fact("label", label)));
        let users = self.users_of(&image.id)?.into_iter().map(|user| fact("container", user));
        let parts = vec![
            fact("id", image.id),
            fact("platform", format!("{}/{}", config.os, config.architecture)),
            group("layers", config.diff_ids.len(), layers(&images, image)?),
            group("settings", "", settings),
            group("users", "", users.collect()),
        ];
        Ok(group("image", name, parts))
    }

    fn explain_network(&self, network: &Network) -> Result<Fact> {
        let mut parts: Vec<Fact> =
            network.bridge.iter().map(|bridge| fact("bridge", bridge)).collect();
        if let Some(direct) = &network.direct {
            parts.extend([fact("driver", driver(direct)), parent(direct)]);
        }
        parts.extend(
            network.options.iter().map(|(key, value)| fact("option", format!("{key}={value}"))),
        );
        for pool in &network.pools {
            parts.push(group("subnet", pool.subnet, vec![fact("gateway", pool.gateway)]));
        }
        parts.push(fact("internal", network.internal));
        // These sysctls matter only for a network with a bridge.
        if let Some(bridge) = &network.bridge {
            let ipv6 = network.pools.iter().any(|pool| pool.subnet.family() == Family::V6);
            let names = [
                Some("ipv4/ip_forward".to_owned()),
                Some(format!("ipv4/conf/{bridge}/route_localnet")),
                ipv6.then(|| "ipv6/conf/all/forwarding".to_owned()),
            ];
            let mut sysctls = Vec::new();
            for name in names.into_iter().flatten() {
                let path = format!("/proc/sys/net/{name}");
                let value = read(&path);
                if !value.is_empty() {
                    sysctls.push(fact("sysctl", format!("{path} = {}", value.trim())));
                }
            }
            parts.push(group("sysctls", "", sysctls));
        }
        let mut members = Vec::new();
        for lease in ipam::leases(&self.roots, network)? {
            let Ok(attachment) = Attachment::read(&self.roots, &lease.owner) else { continue };
            let own = |endpoint: &&_| is_on(endpoint, network);
            let Some(endpoint) = attachment.endpoints.iter().find(own) else { continue };
            let mut way: Vec<Fact> =
                lease.address.iter().map(|address| fact("address", address)).collect();
            way.push(fact("interface", &endpoint.interface));
            way.extend(mac_and_link(endpoint));
            members.push(group("container", &attachment.name, way));
        }
        parts.push(group("members", "", members));
        if let Some(bridge) = &network.bridge {
            parts.extend(self.rules(std::slice::from_ref(bridge)));
        }
        Ok(group("network", &network.name, parts))
    }
}

/// Returns the hardware address of an interface and, if it is one end of a veth pair, the host's
/// end.
fn mac_and_link(endpoint: &Endpoint) -> Vec<Fact> {
    let mac = endpoint.mac.map_or_else(|| "its parent's".to_owned(), |mac| mac.to_string());
    let link = Some(&endpoint.link).filter(|_| !endpoint.is_direct());
    std::iter::once(fact("mac", mac)).chain(link.map(|link| fact("link", link))).collect()
}

fn driver(direct: &Direct) -> String {
    format!("{}, mode {}", direct.kind.driver(), direct.kind.mode())
}

fn parent(direct: &Direct) -> Fact {
    let made = match direct.origin {
        Origin::Host => "of the host",
        Origin::Dummy => "a dummy made for it",
        Origin::Vlan => "a VLAN made for it",
    };
    fact("parent", format!("{}, {made}", direct.parent))
}

fn is_on(endpoint: &Endpoint, network: &Network) -> bool {
    endpoint.network == network.name
}

/// Returns an image's history from the top down: the layers, with the instructions that made them
/// if known, and the instructions that made no layer.
fn layers(images: &ImageStore, image: &Image) -> Result<Vec<Fact>> {
    let mut diff_ids = image.config.diff_ids.iter();
    let mut facts = Vec::new();
    for (step, size) in images.history(&image.config)? {
        let made_by = fact("instruction", &step.created_by);
        if step.empty_layer {
            facts.push(made_by);
            continue;
        }
        let Some(diff_id) = diff_ids.next() else { continue };
        let mut text = format!("{} ", diff_id.short());
        push_human_size(&mut text, size);
        let made_by = if step.created_by.is_empty() { vec![] } else { vec![made_by] };
        facts.push(group("layer", text, made_by));
    }
    facts.reverse();
    Ok(facts)
}

/// Returns the mounts in the kernel's table. For a stopped container, returns the mounts in the
/// record.
fn mounts(roots: &Roots, record: &Record, state: Option<&State>) -> Fact {
    let Some(state) = state else {
        let asked = record.mounts.iter().map(|mount| {
            let source = match mount.kind {
                MountKind::Tmpfs => "tmpfs",
                _ => mount.source.as_deref().unwrap_or_default(),
            };
            group(&mount.target, source, of_volume(roots, mount))
        });
        return group("next_mounts", "", asked.collect());
    };
    let table = read(&format!("/proc/{}/mountinfo", state.pid));
    let parts = table.lines().take(MAX_SHOWN).filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let before: Vec<&str> = before.split(' ').collect();
        let after: Vec<&str> = after.split(' ').collect();
        let (root, target, options) = (before.get(3)?, before.get(4)?, before.get(5)?);
        let kind = after.first()?;
        let of = record.mounts.iter().find(|mount| mount.target == *target);
        let source = of.and_then(|mount| mount.source.as_deref());
        let mut value = format!("{kind} {options}");
        if let Some(source) = source.or(Some(*root).filter(|root| *root != "/")) {
            value.push_str(" from ");
            value.push_str(source);
        }
        let parts = of.map(|mount| of_volume(roots, mount)).unwrap_or_default();
        Some(group(target, value, parts))
    });
    group("mounts", "", parts.collect())
}

/// Returns the volume of a mount, and the options with which the volume is mounted.
fn of_volume(roots: &Roots, mount: &MountRecord) -> Vec<Fact> {
    let Some(name) = &mount.volume else { return Vec::new() };
    let mut parts = vec![fact("volume", name)];
    // A removed volume has no options.
    let options = volume::read(roots, name).ok().and_then(|found| found.options);
    let options = options.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    let options: Vec<String> = options.collect();
    if !options.is_empty() {
        parts.push(fact("options", options.join(" ")));
    }
    parts
}

fn cgroup(path: &Path) -> Fact {
    let parts = CGROUP_FILES.into_iter().filter_map(|name| {
        let value = fs::read_to_string(path.join(name)).ok()?;
        let value = value.trim().replace('\n', ", ");
        // These values mean that there is no limit.
        let unlimited = matches!(value.as_str(), "" | "max" | "-1" | "9223372036854771712")
            || (name, value.as_str()) == ("memory.low", "0");
        (!unlimited).then(|| fact(name, value))
    });
    group("cgroup", path.display(), parts.collect())
}

fn confinement(record: &Record, state: Option<&State>) -> Result<Vec<Fact>> {
    let held = match state {
        Some(state) => capabilities::bounding_set(state.pid),
        None => confine::capabilities(record),
    };
    let lacking = capabilities::all() & !held;
    // A program that does not run as root has fewer effective capabilities than its bounding set,
    // usually none.
    let effective = state.map(|state| capabilities::effective_set(state.pid));
    let effective = effective.filter(|effective| *effective != held);
    let mut capabilities = Vec::new();
    let limit = match effective {
        None => "held",
        Some(effective) => {
            capabilities.push(fact("held", capabilities::list_names(effective)));
            "bounding"
        }
    };
    capabilities.extend([
        fact(limit, capabilities::list_names(held)),
        fact("dropped", capabilities::list_names(lacking)),
    ]);
    let profile = match record.confinement.seccomp {
        _ if record.privileged => "unconfined",
        SeccompOption::Default => "default",
        SeccompOption::Unconfined => "unconfined",
        SeccompOption::Profile(_) => "custom",
    };
    let mut seccomp = Vec::new();
    if let Some(refused) = confine::seccomp(record)?.refused(held) {
        seccomp.push(fact("refused", refused.join(" ")));
    }
    let no_new = fact("no_new_privileges", record.confinement.no_new_privileges);
    Ok(vec![group("capabilities", "", capabilities), group("seccomp", profile, seccomp), no_new])
}

/// Returns the resource limits that are set, soft and hard (/proc/PID/limits).
fn limits(pid: i32) -> Fact {
    let table = read(&format!("/proc/{pid}/limits"));
    let rows = table.lines().skip(1).filter_map(|line| {
        // The columns have a fixed width: name, soft, hard, units.
        let (name, rest) = line.split_at_checked(26)?;
        let mut fields = rest.split_whitespace();
        let (soft, hard) = (fields.next()?, fields.next()?);
        let set = (soft, hard) != ("unlimited", "unlimited");
        set.then(|| fact(name.trim(), format!("{soft} of {hard}")))
    });
    group("limits", "", rows.collect())
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// Returns the text of a file of the kernel, or an empty text if the file cannot be read.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

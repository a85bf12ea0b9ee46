//! Converts a service to the flags of `run` that make its container: `mem_limit: 1g` becomes
//! `--memory 1g`.
//!
//! The command line's table of flags parses and checks the settings, so a setting has the same
//! meaning as the flag on a command line. Each setting keeps its place in the file. Keys are those
//! of the compose specification, "Services". This module makes no container: `up` does.

use std::path::Path;

#[cfg(feature = "build")]
use super::bases::built_before;
use super::files::read_bytes;
use super::node::{Node, Place, Value};
use super::project::{Project, Service};
use crate::address::Ip;
use crate::engine::options::{CreateOptions, FileOption, INTERFACE_NAME, ImageName};
use crate::error::{Context, Result, fail};
use crate::order;
use crate::port::Publish;
use crate::units::parse_duration_ns;

/// The most bytes of a host's file that is copied into a container as a secret or config.
const MAX_CONTENT: u64 = 1 << 20;

/// The CPU weight that stands for one reserved CPU, as in Kubernetes.
const SHARES_PER_CPU: f64 = 1024.0;
/// The smallest CPU weight of the kernel (cpu.shares).
const MIN_SHARES: f64 = 2.0;

/// One flag with its value, and the place in the compose file from which the flag comes.
pub struct Setting {
    pub place: Place,
    /// The flag's name without `--`.
    pub flag: &'static str,
    /// The value as the user would type it; `true` or `false` for a switch.
    pub value: String,
}

/// The settings that have been collected up to now.
pub struct Settings {
    list: Vec<Setting>,
}

/// A key, and the flag that it becomes. A list becomes a flag for each element, and a map a flag
/// for each entry.
type Pair = (&'static str, &'static str);

/// Keys of a service that are flags of `run`.
const RUN: &[Pair] = &[
    ("annotations", "annotation"),
    ("cap_add", "cap-add"),
    ("cap_drop", "cap-drop"),
    ("cgroup", "cgroupns"),
    ("cgroup_parent", "cgroup-parent"),
    ("cpu_period", "cpu-period"),
    ("cpu_quota", "cpu-quota"),
    ("cpu_shares", "cpu-shares"),
    ("cpus", "cpus"),
    ("cpuset", "cpuset-cpus"),
    ("device_cgroup_rules", "device-cgroup-rule"),
    ("devices", "device"),
    ("dns", "dns"),
    ("dns_opt", "dns-option"),
    ("dns_search", "dns-search"),
    ("domainname", "domainname"),
    ("environment", ENV),
    ("expose", "expose"),
    ("external_links", "link"),
    ("extra_hosts", "add-host"),
    ("group_add", "group-add"),
    ("hostname", "hostname"),
    ("init", "init"),
    ("isolation", "isolation"),
    ("labels", "label"),
    ("mac_address", "mac-address"),
    ("mem_limit", "memory"),
    ("mem_reservation", "memory-reservation"),
    ("mem_swappiness", "memory-swappiness"),
    ("memswap_limit", "memory-swap"),
    ("oom_kill_disable", "oom-kill-disable"),
    ("oom_score_adj", "oom-score-adj"),
    ("pids_limit", "pids-limit"),
    ("platform", "platform"),
    ("privileged", "privileged"),
    ("read_only", "read-only"),
    ("restart", "restart"),
    ("runtime", "runtime"),
    ("security_opt", "security-opt"),
    ("shm_size", "shm-size"),
    ("stdin_open", "interactive"),
    ("stop_signal", "stop-signal"),
    ("storage_opt", "storage-opt"),
    ("sysctls", "sysctl"),
    ("tmpfs", "tmpfs"),
    ("tty", "tty"),
    ("user", "user"),
    ("userns_mode", "userns"),
    ("uts", "uts"),
    ("working_dir", "workdir"),
];

/// The flag for variables. `Project::complete` has filled in the values from the caller's
/// environment. For a variable that still has no value, `--env NAME` removes the image's variable.
const ENV: &str = "env";

/// Keys of a service's `build` section that are flags of the command `build`.
#[cfg(feature = "build")]
const BUILD: &[Pair] = &[
    ("cache_from", "cache-from"),
    ("cache_to", "cache-to"),
    ("extra_hosts", "add-host"),
    ("isolation", "isolation"),
    ("labels", "label"),
    ("network", "network"),
    ("no_cache", "no-cache"),
    ("no_cache_filter", "no-cache-filter"),
    ("platforms", "platform"),
    ("pull", "pull"),
    ("shm_size", "shm-size"),
    ("tags", "tag"),
    ("target", "target"),
];

const HEALTH: &[Pair] = &[
    ("interval", "health-interval"),
    ("retries", "health-retries"),
    ("start_interval", "health-start-interval"),
    ("start_period", "health-start-period"),
    ("timeout", "health-timeout"),
];

const NETWORK: &[Pair] = &[
    ("attachable", "attachable"),
    ("driver_opts", "opt"),
    ("enable_ipv6", "ipv6"),
    ("internal", "internal"),
    ("labels", "label"),
];

/// Returns the settings of a container of `service`. Fails for a bad `stop_grace_period`, for a
/// value of `deploy` that mydocker does not support, and for `networks` beside `network_mode`.
pub fn settings(project: &Project, service: &Service) -> Result<Vec<Setting>> {
    let node = &service.node;
    let mut settings = Settings { list: Vec::new() };
    settings.put(node, RUN);
    settings.ulimits(node);
    if let Some(logging) = node.given("logging") {
        settings.put(logging, &[("driver", "log-driver"), ("options", "log-opt")]);
    }
    if let Some(health) = node.given("healthcheck") {
        let is_none = health.elements_of("test").first().is_some_and(|w| w.as_text() == "NONE");
        if is_none || health.get_bool("disable") {
            settings.add(health, "no-healthcheck", "true".to_owned());
        } else {
            settings.put(health, HEALTH);
        }
    }
    if let Some(period) = node.given("stop_grace_period") {
        let seconds = duration_ns(period)?.div_ceil(1_000_000_000);
        settings.add(period, "stop-timeout", seconds.to_string());
    }
    settings.deploy(node)?;
    settings.blkio(node);
    settings.mounts(project, node);
    settings.networks(project, service)?;
    Ok(settings.list)
}

fn duration_ns(node: &Node) -> Result<u64> {
    let text = node.as_text();
    match parse_duration_ns(text) {
        Some(ns) if ns >= 0 => Ok(ns.unsigned_abs()),
        _ => Err(node.wrong(format_args!("bad duration '{text}': write it like 30s"))),
    }
}

/// Returns the settings of a service's build, as flags of the command `build`. `node` is the
/// service's `build` section.
#[cfg(feature = "build")]
pub fn build_settings(project: &Project, node: &Node) -> Result<Vec<Setting>> {
    let mut settings = Settings { list: Vec::new() };
    settings.put(node, BUILD);
    if let Some(second) = node.elements_of("platforms").get(1) {
        return Err(second.wrong("build.platforms: an image is for one platform"));
    }
    for (name, context) in node.entries_of("additional_contexts") {
        let text = context.as_text();
        let text = if text.starts_with("service:") {
            format!("{name}=docker-image://{}", image(project, built_before(project, context)?)?)
        } else {
            format!("{name}={text}")
        };
        settings.add(context, "build-context", text);
    }
    settings.ulimits(node);
    Ok(settings.list)
}

/// Returns the settings of a network, as flags of `network create`.
pub fn network_settings(node: &Node) -> Result<Vec<Setting>> {
    let mut settings = Settings { list: Vec::new() };
    if let Some(ipv4) = node.given("enable_ipv4").filter(|_| !node.get_bool("enable_ipv4")) {
        return Err(ipv4.wrong("enable_ipv4: every network has IPv4; remove the key"));
    }
    settings.put(node, NETWORK);
    if node.get_text("driver") != Some("default") {
        settings.put(node, &[("driver", "driver")]);
    }
    let Some(ipam) = node.given("ipam") else { return Ok(settings.list) };
    settings.put(ipam, &[("driver", "ipam-driver"), ("options", "ipam-opt")]);
    let pool_flags: &[Pair] = &[
        ("subnet", "subnet"),
        ("ip_range", "ip-range"),
        ("gateway", "gateway"),
        ("aux_addresses", "aux-address"),
    ];
    for pool in ipam.elements_of("config") {
        settings.put(pool, pool_flags);
    }
    Ok(settings.list)
}

impl Settings {
    fn add(&mut self, node: &Node, flag: &'static str, value: String) {
        self.list.push(Setting { place: node.place.clone(), flag, value });
    }

    /// Adds the flags of the keys in `table` that `node` has.
    fn put(&mut self, node: &Node, table: &[Pair]) {
        for (key, flag) in table {
            let Some(value) = node.given(key) else { continue };
            match &value.value {
                Value::List(elements) => {
                    for element in elements {
                        self.add(element, flag, element.as_text().to_owned());
                    }
                }
                Value::Map(entries) => {
                    for (name, value) in entries {
                        let text = if value.value == Value::Null && *flag == ENV {
                            name.clone()
                        } else {
                            format!("{name}={}", value.as_text())
                        };
                        self.add(value, flag, text);
                    }
                }
                _ => self.add(value, flag, value.as_text().to_owned()),
            }
        }
    }

    fn ulimits(&mut self, node: &Node) {
        for (name, limit) in node.entries_of("ulimits") {
            let part = |key: &str| limit.get_text(key).unwrap_or("-1");
            self.add(limit, "ulimit", format!("{name}={}:{}", part("soft"), part("hard")));
        }
    }

    fn deploy(&mut self, node: &Node) -> Result<()> {
        let Some(deploy) = node.given("deploy") else { return Ok(()) };
        if let Some(mode) = deploy.given("mode") {
            match mode.as_text() {
                "global" if deploy.given("replicas").is_some() => {
                    return Err(mode.wrong("deploy.mode: global is one replica; remove replicas"));
                }
                "replicated" | "global" => {}
                other => {
                    return Err(mode.wrong(format_args!(
                        "deploy.mode: unknown '{other}'; known: replicated global"
                    )));
                }
            }
        }
        if let Some(mode) = deploy.given("endpoint_mode")
            && mode.as_text() != "dnsrr"
        {
            return Err(mode.wrong(
                "deploy.endpoint_mode: a service's name leads to its replicas; write dnsrr",
            ));
        }
        let resources = deploy.given("resources");
        if let Some(limits) = resources.and_then(|resources| resources.given("limits")) {
            self.put(limits, &[("cpus", "cpus"), ("memory", "memory"), ("pids", "pids-limit")]);
        }
        if let Some(reserved) = resources.and_then(|resources| resources.given("reservations")) {
            // A weight stands for the reservation: the weight decides how a busy host divides its
            // CPUs.
            if let Some(cpus) = reserved.given("cpus") {
                let shares = cpus.as_text().parse::<f64>().unwrap_or_default() * SHARES_PER_CPU;
                self.add(cpus, "cpu-shares", shares.max(MIN_SHARES).round().to_string());
            }
            self.put(reserved, &[("memory", "memory-reservation")]);
        }
        if let Some(policy) = deploy.given("restart_policy") {
            let text = match (policy.get_text("condition"), policy.get_text("max_attempts")) {
                (Some("none"), _) => "no".to_owned(),
                (Some("on-failure"), Some(attempts)) => format!("on-failure:{attempts}"),
                (Some("on-failure"), None) => "on-failure".to_owned(),
                (Some("any") | None, _) => "always".to_owned(),
                (Some(other), _) => {
                    return Err(policy.wrong(format_args!(
                        "deploy.restart_policy.condition: unknown '{other}'; known: none \
                         on-failure any"
                    )));
                }
            };
            self.add(policy, "restart", text);
        }
        Ok(())
    }

    fn blkio(&mut self, node: &Node) {
        let Some(blkio) = node.given("blkio_config") else { return };
        self.put(blkio, &[("weight", "blkio-weight")]);
        for (key, flag) in [
            ("device_read_bps", "device-read-bps"),
            ("device_read_iops", "device-read-iops"),
            ("device_write_bps", "device-write-bps"),
            ("device_write_iops", "device-write-iops"),
        ] {
            for rate in blkio.elements_of(key) {
                let part = |key: &str| rate.get_text(key).unwrap_or_default();
                self.add(rate, flag, format!("{}:{}", part("path"), part("rate")));
            }
        }
    }

    fn mounts(&mut self, project: &Project, node: &Node) {
        for mount in node.elements_of("volumes") {
            let kind = mount.get_text("type").unwrap_or("volume");
            let mut fields = Fields(format!("type={kind}"));
            if let Some(source) = mount.get_text("source") {
                let name = match kind {
                    "volume" => project.real_name("volumes", source),
                    _ => None,
                };
                fields.pair("source", name.unwrap_or(source));
            }
            fields.pair("target", mount.get_text("target").unwrap_or_default());
            if mount.get_bool("read_only") {
                fields.word("readonly");
            }
            for (section, key, field) in [
                ("bind", "propagation", "bind-propagation"),
                ("bind", "recursive", "bind-recursive"),
                ("volume", "subpath", "volume-subpath"),
                ("tmpfs", "size", "tmpfs-size"),
                ("tmpfs", "mode", "tmpfs-mode"),
                ("image", "subpath", "image-subpath"),
            ] {
                if let Some(value) = mount.get(section).and_then(|options| options.get_text(key)) {
                    // YAML writes an octal number as `0o644`, and `--mount` as `644`.
                    fields.pair(field, value.strip_prefix("0o").unwrap_or(value));
                }
            }
            if let Some(volume) = mount.given("volume") {
                for (key, value) in volume.entries_of("labels") {
                    fields.pair("volume-label", &format!("{key}={}", value.as_text()));
                }
                if volume.get_bool("nocopy") {
                    fields.word("volume-nocopy");
                }
            }
            // Like Docker Compose, make the missing source of a bind mount, unless
            // `create_host_path` is false.
            let create = mount.get("bind").and_then(|bind| bind.get_text("create_host_path"));
            if kind == "bind" && create != Some("false") {
                fields.word("bind-create-src");
            }
            self.add(mount, "mount", fields.0);
        }
        // Mount the secrets and configs that are files of the host, unless the service sets their
        // owner or mode. The function `files` below copies all others.
        for section in ["secrets", "configs"] {
            for grant in node.elements_of(section) {
                let Some(file) =
                    project.granted(section, grant).and_then(|node| node.given("file"))
                else {
                    continue;
                };
                if has_owner(grant) {
                    continue;
                }
                let mut fields = Fields("type=bind".to_owned());
                fields.pair("source", file.as_text());
                fields.pair("target", &grant_target(section, grant));
                fields.word("readonly");
                self.add(grant, "mount", fields.0);
            }
        }
        for from in node.elements_of("volumes_from") {
            let text = from.as_text();
            let text = text.strip_prefix("container:").map_or_else(
                || match text.split_once(':') {
                    Some((service, mode)) => {
                        format!("{}:{mode}", first_container(project, service))
                    }
                    None => first_container(project, text),
                },
                str::to_owned,
            );
            self.add(from, "volumes-from", text);
        }
    }

    fn networks(&mut self, project: &Project, service: &Service) -> Result<()> {
        let node = &service.node;
        for (key, flag) in [("network_mode", "net"), ("pid", "pid"), ("ipc", "ipc")] {
            let Some(mode) = node.given(key) else { continue };
            let text = match mode.as_text().strip_prefix("service:") {
                Some(service) => format!("container:{}", first_container(project, service)),
                None => mode.as_text().to_owned(),
            };
            self.add(mode, flag, text);
        }
        if node.given("network_mode").is_some() {
            if let Some(networks) = node.given("networks").filter(|n| !n.entries().is_empty()) {
                return Err(networks.wrong(format_args!(
                    "services.{}: networks and network_mode can't go together",
                    service.name
                )));
            }
            return Ok(());
        }
        let priority = |endpoint: &Node| -> [i64; 2] {
            ["gw_priority", "priority"]
                .map(|key| endpoint.get_text(key).and_then(|text| text.parse().ok()).unwrap_or(0))
        };
        let mut networks: Vec<&(String, Node)> = node.entries_of("networks").iter().collect();
        // Sort by priority, because the first network that is not internal gets the default route.
        order::sort_by(&mut networks, |one, other| priority(&other.1).cmp(&priority(&one.1)));
        for (key, endpoint) in networks {
            let name = project.real_name("networks", key).unwrap_or(key);
            // `host` and `none` always exist, and containers have no names on them.
            if ["host", "none"].contains(&name) {
                self.add(endpoint, "net", name.to_owned());
                continue;
            }
            let mut fields = Fields(format!("name={name},alias={}", service.name));
            for (key, field) in [("aliases", "alias"), ("link_local_ips", "link-local-ip")] {
                for element in endpoint.elements_of(key) {
                    fields.pair(field, element.as_text());
                }
            }
            for (key, field) in
                [("ipv4_address", "ip"), ("ipv6_address", "ip6"), ("mac_address", "mac-address")]
            {
                if let Some(value) = endpoint.get_text(key) {
                    fields.pair(field, value);
                }
            }
            if let Some(name) = endpoint.get_text("interface_name") {
                fields.pair("driver-opt", &format!("{INTERFACE_NAME}={name}"));
            }
            for (key, value) in endpoint.entries_of("driver_opts") {
                fields.pair("driver-opt", &format!("{key}={}", value.as_text()));
            }
            self.add(endpoint, "net", fields.0);
        }
        for link in node.elements_of("links") {
            let text = link.as_text();
            let (name, alias) = text.split_once(':').unwrap_or((text, text));
            self.add(link, "link", format!("{}:{alias}", first_container(project, name)));
        }
        Ok(())
    }
}

/// The fields of a value of `--mount` or `--net`, which is a line of CSV: a field with a comma or a
/// quote is quoted.
struct Fields(String);

impl Fields {
    fn pair(&mut self, key: &str, value: &str) {
        self.word(&format!("{key}={value}"));
    }

    fn word(&mut self, field: &str) {
        self.0.push(',');
        if field.contains([',', '"']) {
            self.0.push_str(&format!("\"{}\"", field.replace('"', "\"\"")));
        } else {
            self.0.push_str(field);
        }
    }
}

/// Reports whether a grant, which is an entry of a service's `secrets` or `configs`, sets an owner
/// or a mode. Its file is then copied, because a bind-mounted file keeps the host's owner and mode.
fn has_owner(grant: &Node) -> bool {
    ["uid", "gid", "mode"].iter().any(|key| grant.given(key).is_some())
}

/// Returns the secrets and configs whose content is copied into the container. The content comes
/// from a variable or the compose file or, if the grant sets an owner or a mode, from a file of the
/// host. The mode is 0444 by default. Fails if a variable is not set, if a file cannot be read or
/// is larger than 1 MiB, and if an owner or a mode is not valid.
pub fn files(project: &Project, service: &Service) -> Result<Vec<FileOption>> {
    let mut files = Vec::new();
    for section in ["secrets", "configs"] {
        for grant in service.node.elements_of(section) {
            let Some(resource) = project.granted(section, grant) else { continue };
            let content = if let Some(content) = resource.get_text("content") {
                content.as_bytes().to_vec()
            } else if let Some(variable) = resource.given("environment") {
                let path = format!("{section}.{}", grant.get_text("source").unwrap_or_default());
                variable_of(project, &path, variable)?.into_bytes()
            } else if let Some(file) = resource.given("file").filter(|_| has_owner(grant)) {
                let path = Path::new(file.as_text());
                read_bytes(path, MAX_CONTENT).context(|| file.place.to_string())?
            } else {
                continue;
            };
            let number = |key: &str| match grant.given(key) {
                None => Ok(0),
                Some(node) => node.convert(|text| match text.parse() {
                    Ok(number) => Ok(number),
                    Err(_) => fail!("{key}: bad number '{text}'"),
                }),
            };
            files.push(FileOption {
                target: grant_target(section, grant),
                content,
                mode: grant.given("mode").map_or(Ok(0o444), |node| node.convert(parse_mode))?,
                uid: number("uid")?,
                gid: number("gid")?,
            });
        }
    }
    Ok(files)
}

/// Returns the value of the variable that a secret or config comes from. Fails if it is not set.
/// `path` is the key in the file, for the error.
pub fn variable_of(project: &Project, path: &str, variable: &Node) -> Result<String> {
    let name = variable.as_text();
    let value = project.variable(name);
    value.ok_or_else(|| variable.wrong(format_args!("{path}: the variable {name} is not set")))
}

/// Parses permission bits. A leading zero is required: without it, the number could be meant as
/// octal or as decimal.
fn parse_mode(text: &str) -> Result<u32> {
    let digits = text.strip_prefix("0o").or_else(|| text.strip_prefix('0'));
    match digits.map(|digits| u32::from_str_radix(digits, 8)) {
        Some(Ok(mode)) if mode <= 0o7777 => Ok(mode),
        _ => fail!("bad mode '{text}': write it in octal digits with a leading zero, as in 0440"),
    }
}

/// Returns the path of a secret or a config in the container. A relative target, or the source's
/// name if there is no target, is below `/run/secrets` for a secret and below `/` for a config.
fn grant_target(section: &str, grant: &Node) -> String {
    let target = grant.get_text("target").or(grant.get_text("source")).unwrap_or_default();
    let directory = if section == "configs" { "/" } else { "/run/secrets/" };
    if target.starts_with('/') { target.to_owned() } else { format!("{directory}{target}") }
}

/// Returns the name of a service's first container, even if no active profile enables the service.
fn first_container(project: &Project, service: &str) -> String {
    match project.find(service) {
        Some(service) => container_name(project, service, 1),
        None => format!("{}-{service}-1", project.name),
    }
}

/// Returns the name of container `number` of a service.
pub fn container_name(project: &Project, service: &Service, number: u32) -> String {
    match service.node.get_text("container_name") {
        Some(fixed) => fixed.to_owned(),
        None => format!("{}-{}-{number}", project.name, service.name),
    }
}

/// Returns the image of a service. A service without `image` has the image `PROJECT-SERVICE`, which
/// its build makes. Fails if the name is not valid.
pub fn image(project: &Project, service: &Service) -> Result<ImageName> {
    let place = service.node.get("image").unwrap_or(&service.node);
    image_text(project, service).parse().map_err(|error| place.wrong(error))
}

/// Like [`image`], but returns the name without checking it.
pub fn image_text(project: &Project, service: &Service) -> String {
    match service.node.get_text("image") {
        Some(named) => named.to_owned(),
        None => format!("{}-{}", project.name, service.name),
    }
}

/// Returns the published ports of a service. Fails for a bad address or mode, and as
/// [`Publish::of_parts`] does.
pub fn ports(node: &Node) -> Result<Vec<Publish>> {
    let publish = |port: &Node| {
        // On a single host, both modes are the same.
        if let Some(mode) = port.given("mode")
            && !["host", "ingress"].contains(&mode.as_text())
        {
            return Err(mode.wrong("ports.mode: write host or ingress"));
        }
        let address = match port.given("host_ip").filter(|address| !address.as_text().is_empty()) {
            Some(address) => {
                let parsed = address.as_text().parse::<Ip>();
                Some(
                    parsed
                        .map_err(|error| address.wrong(format_args!("ports.host_ip: {error}")))?,
                )
            }
            None => None,
        };
        let address = address.map(|Ip(address)| address);
        let part = |key: &str| port.get_text(key).unwrap_or_default();
        Publish::of_parts(address, part("published"), part("target"), part("protocol"))
            .map_err(|error| port.wrong(format_args!("ports: {error}")))
    };
    node.elements_of("ports").iter().map(publish).collect()
}

/// Sets the command, and the values that no flag of `run` can express: an entrypoint of several
/// words, the delay of a restart, and a health check without a shell. Fails for a bad delay or
/// `healthcheck.test`.
pub fn set_commands(options: &mut CreateOptions, node: &Node) -> Result<()> {
    let words = |node: &Node| -> Vec<String> {
        node.elements().iter().map(|word| word.as_text().to_owned()).collect()
    };
    options.command = node.given("command").map(words).unwrap_or_default();
    if let Some(entrypoint) = node.given("entrypoint") {
        let mut entrypoint = words(entrypoint).into_iter();
        // An empty entrypoint removes the image's entrypoint.
        options.entrypoint = Some(entrypoint.next().unwrap_or_default());
        options.command.splice(0..0, entrypoint);
    }
    let policy = node.get("deploy").and_then(|deploy| deploy.get("restart_policy"));
    if let Some(delay) = policy.and_then(|policy| policy.given("delay")) {
        options.lifecycle.restart_delay_ms = Some(duration_ns(delay)? / 1_000_000);
    }
    let test = node.given("healthcheck").and_then(|health| health.given("test"));
    if let Some(test) = test.filter(|_| !options.health.disabled) {
        let words = words(test);
        match words.first().map(String::as_str) {
            Some("CMD" | "CMD-SHELL") if words.len() > 1 => options.health.check.test = words,
            _ => {
                return Err(test.wrong(
                    "healthcheck.test: a list starts with CMD, CMD-SHELL or NONE, and a command",
                ));
            }
        }
    }
    Ok(())
}

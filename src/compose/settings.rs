//! Converts a service to the flags of `run` that make its container: `mem_limit: 1g` becomes
//! `--memory 1g`.
//!
//! The command line's table of flags parses and checks the values, so that a compose file and a
//! command line have the same meaning and the same errors. Each setting keeps its place in the
//! file. Keys are those of the compose specification, "Services". This module makes no container:
//! `up` does.

use std::path::Path;

#[cfg(feature = "build")]
use super::bases::built_before;
use super::files::read_bytes;
use super::node::{Node, Place, Value};
use super::project::{Project, Service};
use crate::engine::options::{CreateOptions, FileOption, INTERFACE_NAME, ImageName};
use crate::error::{Context, Result, fail};
use crate::units::parse_duration_ns;

/// The most bytes of a secret or config that is copied into a container.
const MAX_CONTENT: u64 = 1 << 20;

/// One flag with its value, and the place of the key in the compose file.
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

/// Pairs of a key and the flag whose value is the key's text.
const TEXTS: &[(&str, &str)] = &[
    ("hostname", "hostname"),
    ("isolation", "isolation"),
    ("domainname", "domainname"),
    ("user", "user"),
    ("platform", "platform"),
    ("working_dir", "workdir"),
    ("mac_address", "mac-address"),
    ("stop_signal", "stop-signal"),
    ("shm_size", "shm-size"),
    ("mem_limit", "memory"),
    ("mem_reservation", "memory-reservation"),
    ("memswap_limit", "memory-swap"),
    ("mem_swappiness", "memory-swappiness"),
    ("cpu_shares", "cpu-shares"),
    ("cpu_quota", "cpu-quota"),
    ("cpu_period", "cpu-period"),
    ("cpuset", "cpuset-cpus"),
    ("cpus", "cpus"),
    ("pids_limit", "pids-limit"),
    ("oom_score_adj", "oom-score-adj"),
    ("cgroup", "cgroupns"),
    ("cgroup_parent", "cgroup-parent"),
    ("userns_mode", "userns"),
    ("uts", "uts"),
    ("restart", "restart"),
];

/// Pairs of a key and the flag that is given once for each element.
const LISTS: &[(&str, &str)] = &[
    ("cap_add", "cap-add"),
    ("cap_drop", "cap-drop"),
    ("dns", "dns"),
    ("dns_opt", "dns-option"),
    ("dns_search", "dns-search"),
    ("group_add", "group-add"),
    ("security_opt", "security-opt"),
    ("tmpfs", "tmpfs"),
    ("devices", "device"),
    ("device_cgroup_rules", "device-cgroup-rule"),
    ("expose", "expose"),
    ("extra_hosts", "add-host"),
    ("external_links", "link"),
];

/// Pairs of a key and the flag that is a switch.
const SWITCHES: &[(&str, &str)] = &[
    ("init", "init"),
    ("privileged", "privileged"),
    ("read_only", "read-only"),
    ("tty", "tty"),
    ("stdin_open", "interactive"),
    ("oom_kill_disable", "oom-kill-disable"),
];

/// Pairs of a key and the flag that is given once for each entry of the map.
const DICTS: &[(&str, &str)] =
    &[("annotations", "annotation"), ("labels", "label"), ("sysctls", "sysctl")];

/// Pairs of a key of `build` and the flag of `build` whose value is the key's text.
#[cfg(feature = "build")]
const BUILD_TEXTS: &[(&str, &str)] = &[
    ("isolation", "isolation"),
    ("network", "network"),
    ("shm_size", "shm-size"),
    ("target", "target"),
];

/// Pairs of a key of `build` and the flag of `build` that is given once for each element.
#[cfg(feature = "build")]
const BUILD_LISTS: &[(&str, &str)] = &[
    ("cache_from", "cache-from"),
    ("cache_to", "cache-to"),
    ("extra_hosts", "add-host"),
    ("platforms", "platform"),
    ("tags", "tag"),
];

/// Pairs of a key of `healthcheck` and the flag whose value is the key's text.
const HEALTH: &[(&str, &str)] = &[
    ("interval", "health-interval"),
    ("timeout", "health-timeout"),
    ("retries", "health-retries"),
    ("start_period", "health-start-period"),
    ("start_interval", "health-start-interval"),
];

/// Returns the settings of a container of `service`. Fails for a value that no flag can express.
pub fn settings(project: &Project, service: &Service) -> Result<Vec<Setting>> {
    let node = &service.node;
    let mut settings = Settings { list: Vec::new() };
    settings.texts(node, TEXTS)?;
    settings.switches(node, SWITCHES);
    for (key, flag) in LISTS {
        for element in node.get(key).iter().flat_map(|node| node.elements()) {
            settings.add(element, flag, element.scalar()?);
        }
    }
    for (key, flag) in DICTS {
        settings.pairs(node.get(key), flag)?;
    }
    for (name, value) in node.get("environment").iter().flat_map(|node| node.entries()) {
        // A name without a value is not set in the caller's environment: remove the image's
        // variable.
        let text = match value.value {
            Value::Null => name.clone(),
            _ => format!("{name}={}", value.scalar()?),
        };
        settings.add(value, "env", text);
    }
    settings.ulimits(node)?;
    if let Some(logging) = node.given("logging") {
        settings.texts(logging, &[("driver", "log-driver")])?;
        settings.pairs(logging.get("options"), "log-opt")?;
    }
    if let Some(health) = node.given("healthcheck") {
        let test = health.get("test").map(Node::elements).unwrap_or_default();
        let is_none = test.first().is_some_and(|word| word.scalar().is_ok_and(|w| w == "NONE"));
        if is_none || health.get_bool("disable") {
            settings.add(health, "no-healthcheck", "true")
        } else {
            settings.texts(health, HEALTH)?
        }
    }
    if let Some(period) = node.given("stop_grace_period") {
        let text = period.scalar()?;
        match parse_duration_ns(&text) {
            Some(ns) if ns >= 0 => {
                let seconds = ns.unsigned_abs().div_ceil(1_000_000_000);
                settings.add(period, "stop-timeout", seconds.to_string());
            }
            _ => return Err(period.wrong(format_args!("bad duration '{text}': write it like 30s"))),
        }
    }
    settings.deploy(node)?;
    settings.blkio(node)?;
    settings.ports(node)?;
    settings.mounts(project, node)?;
    settings.networks(project, service)?;
    Ok(settings.list)
}

/// Returns the settings of a service's build, as flags of `build`. `node` is the service's `build`.
#[cfg(feature = "build")]
pub fn build_settings(project: &Project, node: &Node) -> Result<Vec<Setting>> {
    let mut settings = Settings { list: Vec::new() };
    settings.texts(node, BUILD_TEXTS)?;
    settings.switches(node, &[("no_cache", "no-cache"), ("pull", "pull")]);
    for (key, flag) in BUILD_LISTS {
        let flag = *flag;
        let elements = node.get(key).map(Node::elements).unwrap_or_default();
        if flag == "platform" && elements.len() > 1 {
            return Err(elements[1].wrong("build.platforms: an image is for one platform"));
        }
        for element in elements {
            settings.add(element, flag, element.scalar()?);
        }
    }
    settings.pairs(node.get("labels"), "label")?;
    for (name, context) in node.get("additional_contexts").iter().flat_map(|node| node.entries()) {
        let text = context.scalar()?;
        let text = match text.strip_prefix("service:") {
            Some(_) => {
                format!("docker-image://{}", image(project, built_before(project, context)?)?)
            }
            None => text,
        };
        settings.add(context, "build-context", format!("{name}={text}"));
    }
    settings.ulimits(node)?;
    Ok(settings.list)
}

/// Returns the settings of a network, as flags of `network create`.
pub fn network_settings(node: &Node) -> Result<Vec<Setting>> {
    let mut settings = Settings { list: Vec::new() };
    if let Some(ipv4) = node.given("enable_ipv4").filter(|_| !node.get_bool("enable_ipv4")) {
        return Err(ipv4.wrong("enable_ipv4: every network has IPv4; remove the key"));
    }
    settings.switches(
        node,
        &[("internal", "internal"), ("attachable", "attachable"), ("enable_ipv6", "ipv6")],
    );
    if node
        .given("driver")
        .is_some_and(|driver| driver.scalar().is_ok_and(|text| text != "default"))
    {
        settings.texts(node, &[("driver", "driver")])?;
    }
    settings.pairs(node.get("driver_opts"), "opt")?;
    settings.pairs(node.get("labels"), "label")?;
    let Some(ipam) = node.given("ipam") else { return Ok(settings.list) };
    settings.texts(ipam, &[("driver", "ipam-driver")])?;
    settings.pairs(ipam.get("options"), "ipam-opt")?;
    for pool in ipam.get("config").iter().flat_map(|node| node.elements()) {
        settings.texts(
            pool,
            &[("subnet", "subnet"), ("ip_range", "ip-range"), ("gateway", "gateway")],
        )?;
        settings.pairs(pool.get("aux_addresses"), "aux-address")?;
    }
    Ok(settings.list)
}

impl Settings {
    fn add(&mut self, node: &Node, flag: &'static str, value: impl Into<String>) {
        self.list.push(Setting { place: node.place.clone(), flag, value: value.into() });
    }

    fn texts(&mut self, node: &Node, table: &[(&str, &'static str)]) -> Result<()> {
        for (key, flag) in table {
            if let Some(value) = node.given(key) {
                self.add(value, flag, value.scalar()?);
            }
        }
        Ok(())
    }

    fn switches(&mut self, node: &Node, table: &[(&str, &'static str)]) {
        for (key, flag) in table {
            if let Some(value) = node.given(key) {
                self.add(value, flag, if node.get_bool(key) { "true" } else { "false" });
            }
        }
    }

    fn pairs(&mut self, node: Option<&Node>, flag: &'static str) -> Result<()> {
        for (key, value) in node.iter().flat_map(|node| node.entries()) {
            self.add(value, flag, format!("{key}={}", value.scalar()?));
        }
        Ok(())
    }

    fn ulimits(&mut self, node: &Node) -> Result<()> {
        for (name, limit) in node.get("ulimits").iter().flat_map(|node| node.entries()) {
            let part = |key: &str| -> Result<String> {
                Ok(limit.get_text(key)?.unwrap_or_else(|| "-1".to_owned()))
            };
            let text = format!("{name}={}:{}", part("soft")?, part("hard")?);
            self.add(limit, "ulimit", text);
        }
        Ok(())
    }

    fn deploy(&mut self, node: &Node) -> Result<()> {
        let Some(deploy) = node.given("deploy") else { return Ok(()) };
        if let Some(mode) = deploy.given("mode")
            && mode.scalar()? != "replicated"
        {
            return Err(mode.wrong("deploy.mode: one host has one mode; write replicated"));
        }
        let resources = deploy.given("resources");
        if let Some(limits) = resources.and_then(|resources| resources.given("limits")) {
            let limit = [("cpus", "cpus"), ("memory", "memory"), ("pids", "pids-limit")];
            self.texts(limits, &limit)?;
        }
        if let Some(reserved) = resources.and_then(|resources| resources.given("reservations")) {
            if let Some(cpus) = reserved.given("cpus") {
                return Err(cpus.wrong(
                    "deploy.resources.reservations.cpus: CPUs can't be reserved; use cpu_shares",
                ));
            }
            self.texts(reserved, &[("memory", "memory-reservation")])?;
        }
        if let Some(policy) = deploy.given("restart_policy") {
            let attempts = policy.get_text("max_attempts")?;
            let text = match policy.get_text("condition")?.as_deref() {
                Some("none") => "no".to_owned(),
                Some("on-failure") => match attempts {
                    Some(attempts) => format!("on-failure:{attempts}"),
                    None => "on-failure".to_owned(),
                },
                Some("any") | None => "always".to_owned(),
                Some(other) => {
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

    fn blkio(&mut self, node: &Node) -> Result<()> {
        let Some(blkio) = node.given("blkio_config") else { return Ok(()) };
        self.texts(blkio, &[("weight", "blkio-weight")])?;
        for (key, flag) in [
            ("device_read_bps", "device-read-bps"),
            ("device_read_iops", "device-read-iops"),
            ("device_write_bps", "device-write-bps"),
            ("device_write_iops", "device-write-iops"),
        ] {
            for rate in blkio.get(key).iter().flat_map(|node| node.elements()) {
                let part =
                    |key: &str| -> Result<String> { Ok(rate.get_text(key)?.unwrap_or_default()) };
                let text = format!("{}:{}", part("path")?, part("rate")?);
                self.add(rate, flag, text);
            }
        }
        Ok(())
    }

    fn ports(&mut self, node: &Node) -> Result<()> {
        for port in node.get("ports").iter().flat_map(|node| node.elements()) {
            let part =
                |key: &str| -> Result<String> { Ok(port.get_text(key)?.unwrap_or_default()) };
            // On a single host, both modes are the same.
            if let Some(mode) = port.given("mode")
                && !["host", "ingress"].contains(&mode.scalar()?.as_str())
            {
                return Err(mode.wrong("ports.mode: write host or ingress"));
            }
            let address = part("host_ip")?;
            let mut text = if address.is_empty() {
                String::new()
            } else if address.contains(':') {
                format!("[{address}]:")
            } else {
                format!("{address}:")
            };
            let published = part("published")?;
            if !published.is_empty() || !address.is_empty() {
                text.push_str(&published);
                text.push(':');
            }
            text.push_str(&part("target")?);
            text.push('/');
            text.push_str(&part("protocol")?);
            self.add(port, "publish", text);
        }
        Ok(())
    }

    fn mounts(&mut self, project: &Project, node: &Node) -> Result<()> {
        for mount in node.get("volumes").iter().flat_map(|node| node.elements()) {
            let kind = mount.get_text("type")?.unwrap_or_else(|| "volume".to_owned());
            let mut fields = vec![format!("type={kind}")];
            if let Some(source) = mount.get_text("source")? {
                let name = match kind.as_str() {
                    "volume" => project.real_name("volumes", &source)?,
                    _ => None,
                };
                fields.push(format!("source={}", name.unwrap_or(source)));
            }
            fields.push(format!("target={}", mount.get_text("target")?.unwrap_or_default()));
            if mount.get_bool("read_only") {
                fields.push("readonly".to_owned());
            }
            for (section, key, field) in [
                ("bind", "propagation", "bind-propagation"),
                ("bind", "recursive", "bind-recursive"),
                ("volume", "subpath", "volume-subpath"),
                ("tmpfs", "size", "tmpfs-size"),
                ("tmpfs", "mode", "tmpfs-mode"),
                ("image", "subpath", "image-subpath"),
            ] {
                if let Some(value) = mount.given(section).and_then(|options| options.given(key)) {
                    fields.push(format!("{field}={}", value.scalar()?));
                }
            }
            let labels = mount.given("volume").and_then(|options| options.get("labels"));
            for (key, value) in labels.iter().flat_map(|node| node.entries()) {
                fields.push(format!("volume-label={key}={}", value.scalar()?));
            }
            let volume = mount.given("volume");
            if volume.is_some_and(|volume| volume.get_bool("nocopy")) {
                fields.push("volume-nocopy".to_owned());
            }
            // Docker Compose makes a missing directory unless the file forbids it.
            let create = mount.given("bind").and_then(|bind| bind.given("create_host_path"));
            if kind == "bind" && create.is_none_or(|create| create.value == Value::Bool(true)) {
                fields.push("bind-create-src".to_owned());
            }
            let fields: Vec<String> = fields.into_iter().map(quoted).collect();
            self.add(mount, "mount", fields.join(","));
        }
        // Mount secrets and configs that are files of the host; `files` copies all others.
        for section in ["secrets", "configs"] {
            for grant in node.get(section).iter().flat_map(|node| node.elements()) {
                let source = grant.get_text("source")?.unwrap_or_default();
                let resource = project.root.get(section).and_then(|all| all.get(&source));
                let Some(file) = resource.and_then(|node| node.given("file")) else { continue };
                if has_owner(grant) {
                    continue;
                }
                let (file, target) = (file.scalar()?, grant_target(section, grant)?);
                let fields = [
                    "type=bind".to_owned(),
                    format!("source={file}"),
                    format!("target={target}"),
                    "readonly".to_owned(),
                ];
                self.add(grant, "mount", fields.map(quoted).join(","));
            }
        }
        for from in node.get("volumes_from").iter().flat_map(|node| node.elements()) {
            let text = from.scalar()?;
            let text = text.strip_prefix("container:").map_or_else(
                || match text.split_once(':') {
                    Some((service, mode)) => {
                        format!("{}:{mode}", first_container(project, service))
                    }
                    None => first_container(project, &text),
                },
                str::to_owned,
            );
            self.add(from, "volumes-from", text);
        }
        Ok(())
    }

    fn networks(&mut self, project: &Project, service: &Service) -> Result<()> {
        let node = &service.node;
        let other = |mode: &str| match mode.strip_prefix("service:") {
            Some(service) => format!("container:{}", first_container(project, service)),
            None => mode.to_owned(),
        };
        for (key, flag) in [("network_mode", "net"), ("pid", "pid"), ("ipc", "ipc")] {
            if let Some(mode) = node.given(key) {
                self.add(mode, flag, other(&mode.scalar()?));
            }
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
        let mut networks: Vec<(i64, &(String, Node))> = Vec::new();
        for entry in node.get("networks").iter().flat_map(|node| node.entries()) {
            let priority = entry.1.get_text("priority")?;
            networks.push((priority.and_then(|text| text.parse().ok()).unwrap_or(0), entry));
        }
        // The first network gets the default route.
        networks.sort_by_key(|(priority, _)| -priority);
        for (_, (key, endpoint)) in networks {
            let name = project.real_name("networks", key)?.unwrap_or_else(|| key.clone());
            let mut text = format!("name={name},alias={}", service.name);
            for alias in endpoint.get("aliases").iter().flat_map(|node| node.elements()) {
                text.push_str(&format!(",alias={}", alias.scalar()?));
            }
            for (key, field) in
                [("ipv4_address", "ip"), ("ipv6_address", "ip6"), ("mac_address", "mac-address")]
            {
                if let Some(value) = endpoint.get_text(key)? {
                    text.push_str(&format!(",{field}={value}"));
                }
            }
            for address in endpoint.get("link_local_ips").iter().flat_map(|node| node.elements()) {
                text.push_str(&format!(",link-local-ip={}", address.scalar()?));
            }
            if let Some(name) = endpoint.get_text("interface_name")? {
                text.push_str(&format!(",driver-opt={INTERFACE_NAME}={name}"));
            }
            for (key, value) in endpoint.get("driver_opts").iter().flat_map(|node| node.entries()) {
                let option = quoted(format!("driver-opt={key}={}", value.scalar()?));
                text.push_str(&format!(",{option}"));
            }
            self.add(endpoint, "net", text);
        }
        for link in node.get("links").iter().flat_map(|node| node.elements()) {
            let text = link.scalar()?;
            let (name, alias) = text.split_once(':').unwrap_or((&text, &text));
            self.add(link, "link", format!("{}:{alias}", first_container(project, name)));
        }
        Ok(())
    }
}

/// Quotes a field of `--mount`, whose value is a line of CSV.
fn quoted(field: String) -> String {
    if field.contains([',', '"']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}

/// Reports whether a grant sets an owner or a mode. A bind-mounted file keeps its own, so such a
/// file is copied.
fn has_owner(grant: &Node) -> bool {
    ["uid", "gid", "mode"].iter().any(|key| grant.given(key).is_some())
}

/// Returns the secrets and configs whose content is copied into the container. These come from a
/// variable or from the compose file. Files of the host are copied only if the grant sets an owner
/// or a mode. The mode is 0444 by default. Fails if a variable is not set or a file is larger than
/// 1 MiB.
pub fn files(project: &Project, service: &Service) -> Result<Vec<FileOption>> {
    let mut files = Vec::new();
    for section in ["secrets", "configs"] {
        for grant in service.node.get(section).iter().flat_map(|node| node.elements()) {
            let source = grant.get_text("source")?.unwrap_or_default();
            let Some(resource) = project.root.get(section).and_then(|all| all.get(&source)) else {
                continue;
            };
            let content = if let Some(content) = resource.get_text("content")? {
                content.into_bytes()
            } else if let Some(variable) = resource.given("environment") {
                variable_of(project, &format!("{section}.{source}"), variable)?.into_bytes()
            } else if let Some(file) = resource.given("file").filter(|_| has_owner(grant)) {
                let path = file.scalar()?;
                read_bytes(Path::new(&path), MAX_CONTENT).context(|| file.place.to_string())?
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
                target: grant_target(section, grant)?,
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
    let name = variable.scalar()?;
    let value = project.variable(&name);
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

/// Returns the path of a secret or a config in the container. Relative paths are below
/// `/run/secrets`.
pub fn grant_target(section: &str, grant: &Node) -> Result<String> {
    let source = grant.get_text("source")?.unwrap_or_default();
    let target = grant.get_text("target")?.unwrap_or_else(|| match section {
        "secrets" => source.clone(),
        _ => format!("/{source}"),
    });
    Ok(if target.starts_with('/') { target } else { format!("/run/secrets/{target}") })
}

/// Returns the name of a service's first container, even if no active profile enables the service.
fn first_container(project: &Project, service: &str) -> String {
    let fixed =
        project.find(service).and_then(|service| service.node.get_text("container_name").ok());
    fixed.flatten().unwrap_or_else(|| format!("{}-{service}-1", project.name))
}

/// Returns the name of container `number` of a service.
pub fn container_name(project: &Project, service: &Service, number: u32) -> Result<String> {
    let fixed = service.node.get_text("container_name")?;
    Ok(fixed.unwrap_or_else(|| format!("{}-{}-{number}", project.name, service.name)))
}

/// Returns the image of a service. A service without `image` has the image `PROJECT-SERVICE`, which
/// its build makes. Fails if the name is not valid.
pub fn image(project: &Project, service: &Service) -> Result<ImageName> {
    let place = service.node.get("image").unwrap_or(&service.node);
    image_text(project, service)?.parse().map_err(|error| place.wrong(error))
}

/// Returns the image of a service as the file has it. The name may not be valid.
pub fn image_text(project: &Project, service: &Service) -> Result<String> {
    let named = service.node.get_text("image")?;
    Ok(named.unwrap_or_else(|| format!("{}-{}", project.name, service.name)))
}

/// Sets the values that no flag of `run` can express: an entrypoint of several words and a health
/// check without a shell. Fails for a bad `healthcheck.test`.
pub fn set_commands(options: &mut CreateOptions, node: &Node) -> Result<()> {
    let words = |key: &str| -> Result<Option<Vec<String>>> {
        let Some(list) = node.given(key) else { return Ok(None) };
        list.elements().iter().map(Node::scalar).collect::<Result<_>>().map(Some)
    };
    options.command = words("command")?.unwrap_or_default();
    if let Some(entrypoint) = words("entrypoint")? {
        let mut entrypoint = entrypoint.into_iter();
        // An empty entrypoint removes the image's.
        options.entrypoint = Some(entrypoint.next().unwrap_or_default());
        options.command.splice(0..0, entrypoint);
    }
    let test = node.given("healthcheck").and_then(|health| health.given("test"));
    if let Some(test) = test.filter(|_| !options.health.disabled) {
        let words: Vec<String> = test.elements().iter().map(Node::scalar).collect::<Result<_>>()?;
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

//! A project: the merged tree of its files and its services in dependency order.
//!
//! The tree is completed: env files become variables, networks and volumes get their names, and
//! services with neither `networks` nor `network_mode` join the default network. The tree is
//! checked: a service may use only declared networks, volumes, secrets and configs, and
//! dependencies must not form a circle. `up` and `resources` make what the tree describes. See the
//! compose specification, "Services".

use std::path::Path;

use super::dotenv;
use super::files::{Choice, Environment, load, read_text, shown};
use super::node::{Node, Place, Tag, Value};
use super::print::json;
use super::shared::joined;
use super::short::add_needs;
use crate::digest::Digest;
use crate::engine::project::PREFIX;
use crate::error::{Context, Result, fail};
use crate::suggest::hint;

/// The most replicas of a service.
pub const MAX_SCALE: u32 = 1000;

/// A project as its files describe it.
pub struct Project {
    pub name: String,
    /// The absolute paths of its files; `-` for the standard input.
    pub files: Vec<String>,
    /// The project directory, from which most relative paths are resolved.
    pub directory: String,
    /// The completed tree without the disabled services.
    pub root: Node,
    /// The enabled services in dependency order.
    pub services: Vec<Service>,
    /// The services that no active profile enables.
    pub disabled: Vec<Service>,
    /// The variables that the files use without a default and that are not set.
    pub missing: Vec<String>,
    environment: Environment,
}

/// A service of a project.
#[derive(Clone, Debug)]
pub struct Service {
    pub name: String,
    /// The service's completed part of the tree.
    pub node: Node,
    pub profiles: Vec<String>,
    pub depends_on: Vec<Dependency>,
    /// The number of replicas in the file: `scale`, `deploy.replicas` or 1.
    pub scale: u32,
    /// The hash of the service's configuration, in hex; empty for a disabled service. If the hash
    /// changes, `up` makes the containers again, unless `--no-recreate` is given.
    pub hash: String,
}

/// A service that the depending service names in `depends_on` or `links`, or whose namespaces or
/// volumes the depending service shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    pub service: String,
    /// What must be true before the depending service starts.
    pub condition: Need,
    /// If false, the depending service starts even if the condition fails.
    pub required: bool,
    /// If true, the depending service restarts after `up` starts or `restart` restarts this
    /// dependency.
    pub restart: bool,
}

/// The condition of `depends_on` (compose specification, "depends_on").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The service has started.
    Started,
    /// The health check of the service succeeds.
    Healthy,
    /// The service has ended with the exit status 0.
    Completed,
}

impl Project {
    /// Reads the project that `choice` names. The profiles of the services `wanted` are active too.
    /// A service with profiles of which none is active is disabled. Fails if a file is missing or
    /// has a mistake, or if a wanted service does not exist.
    pub fn read(choice: &Choice, wanted: &[String]) -> Result<Project> {
        Project::read_with(choice, wanted, true)
    }

    /// Reads the project for a command that makes no containers. Does not read the files of
    /// `env_file` and `label_file`, so that a missing file does not stop `down`.
    pub fn read_existing(choice: &Choice) -> Result<Project> {
        Project::read_with(choice, &[], false)
    }

    fn read_with(choice: &Choice, wanted: &[String], with_files: bool) -> Result<Project> {
        let source = load(choice)?;
        let mut project = Project {
            name: source.name,
            files: source.files,
            directory: source.directory,
            root: source.root,
            services: Vec::new(),
            disabled: Vec::new(),
            missing: source.missing,
            environment: source.environment,
        };
        let Some(services) = project.root.get("services").cloned() else {
            fail!("{}: there are no services", project.files.join(", "));
        };
        // If the user names a service, its profiles are active for all services.
        let mut active = source.profiles;
        for (_, node) in services.entries().iter().filter(|(name, _)| wanted.contains(name)) {
            active.extend(profiles_of(node));
        }
        let is_active = |profiles: &[String]| {
            profiles.is_empty() || active.iter().any(|on| on == "*" || profiles.contains(on))
        };
        let mut all = Vec::new();
        for (name, node) in services.entries() {
            let node = match &node.value {
                Value::Map(_) => {
                    let mut node = node.clone();
                    // A disabled service does not start, so its files need not exist.
                    if !with_files || !is_active(&profiles_of(&node)) {
                        node.take("env_file");
                        node.take("label_file");
                    }
                    project.complete(node)?
                }
                _ => return Err(node.wrong(format_args!("services.{name} should be a map"))),
            };
            all.push(project.service(name, node)?);
        }
        for name in wanted {
            if !all.iter().any(|service| service.name == *name) {
                let names = all.iter().map(|service| service.name.as_str());
                fail!("no such service: {name}{}", hint(name, names));
            }
        }
        let (enabled, disabled): (Vec<Service>, Vec<Service>) =
            all.into_iter().partition(|service| is_active(&service.profiles));
        project.disabled = disabled;
        project.services = project.in_order(enabled)?;
        let mut root = services.map();
        for service in &project.services {
            root.set(&service.name, service.node.clone());
        }
        root.sort();
        project.root.set("services", root);
        project.complete_rest()?;
        for service in &mut project.services {
            service.hash = hash(&project.root, service, &project.environment);
        }
        Ok(project)
    }

    /// Makes a project that has only a name, without a file. Labels identify the project's
    /// containers, networks and volumes.
    pub fn named(name: &str) -> Project {
        let place = Place { file: name.into(), line: 0 };
        Project {
            name: name.to_owned(),
            files: Vec::new(),
            directory: String::new(),
            root: Node { place, tag: Tag::None, value: Value::Map(Vec::new()) },
            services: Vec::new(),
            disabled: Vec::new(),
            missing: Vec::new(),
            environment: Environment::of_process(),
        }
    }

    /// Returns the value of a variable from the process's environment or from a `.env` file.
    pub fn variable(&self, name: &str) -> Option<String> {
        self.environment.get(name)
    }

    /// Returns the service with this name, enabled or not.
    pub fn find(&self, name: &str) -> Option<&Service> {
        self.services.iter().chain(&self.disabled).find(|service| service.name == name)
    }

    /// Returns the enabled service with this name.
    pub fn get(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    /// Returns the services `wanted` and the services that they depend on, in dependency order.
    /// Returns all enabled services if `wanted` is empty.
    pub fn with_dependencies(&self, wanted: &[String]) -> Vec<&Service> {
        if wanted.is_empty() {
            return self.services.iter().collect();
        }
        let mut needed: Vec<&Service> = Vec::new();
        // A dependency comes before its users, so walk from the end.
        for service in self.services.iter().rev() {
            let is_needed =
                |user: &&Service| user.depends_on.iter().any(|on| on.service == service.name);
            if wanted.contains(&service.name) || needed.iter().any(is_needed) {
                needed.push(service);
            }
        }
        needed.reverse();
        needed
    }

    /// Like [`Project::with_dependencies`]. If `with_dependencies` is false and `wanted` is not
    /// empty, returns only the services `wanted`.
    pub fn selected(&self, wanted: &[String], with_dependencies: bool) -> Vec<&Service> {
        let mut services = self.with_dependencies(wanted);
        if !with_dependencies && !wanted.is_empty() {
            services.retain(|service| wanted.contains(&service.name));
        }
        services
    }

    /// Returns the name of a network or volume on the host. `section` is `networks` or `volumes`,
    /// and `key` is the key in the section. Returns `None` if the section has no such key.
    pub fn real_name(&self, section: &str, key: &str) -> Option<&str> {
        self.resource(section, key)?.get_text("name")
    }

    /// Returns the network, volume, secret or config `key` of its section, or `None` if the section
    /// has no such key.
    pub fn resource(&self, section: &str, key: &str) -> Option<&Node> {
        self.root.get(section)?.get(key)
    }

    /// Returns the secret or config that `grant`, an entry of a service's `section`, names.
    pub fn granted(&self, section: &str, grant: &Node) -> Option<&Node> {
        self.resource(section, grant.get_text("source")?)
    }

    /// Completes a service: adds the missing keys of `depends_on`, the variables of its env files,
    /// the labels of its label files, and the default network if the service has neither a network
    /// nor `network_mode`. A variable without a value gets the value that the process's environment
    /// or a `.env` file has for it.
    fn complete(&self, mut node: Node) -> Result<Node> {
        if let Some(mut depends_on) = node.get("depends_on").cloned() {
            add_needs(&mut depends_on);
            node.set("depends_on", depends_on);
        }
        let mut environment = node.map();
        if let Some(files) = node.take("env_file") {
            for file in files.elements() {
                let path = Path::new(file.get_text("path").unwrap_or_default());
                if file.get_text("required") == Some("false") && !path.exists() {
                    continue;
                }
                let text = read_text(path).context(|| format!("{}: env_file", file.place))?;
                let find = |name: &str| self.environment.get(name);
                let pairs = match file.get_text("format") {
                    None => dotenv::parse(&shown(path), &text, &find)?,
                    Some("raw") => raw_pairs(&text),
                    Some(other) => {
                        return Err(file.wrong(format_args!(
                            "unknown format '{other}' of an env file; known: raw"
                        )));
                    }
                };
                for (name, value) in pairs {
                    let value = value.or_else(|| find(&name));
                    if let Some(value) = value {
                        environment.set(&name, file.text(value));
                    }
                }
            }
        }
        if let Some(own) = node.take("environment") {
            for (name, value) in own.entries() {
                let value = match (&value.value, self.environment.get(name)) {
                    (Value::Null, Some(found)) => value.text(found),
                    _ => value.clone(),
                };
                environment.set(name, value);
            }
        }
        if !environment.entries().is_empty() {
            node.set("environment", environment);
        }
        if let Some(files) = node.take("label_file") {
            let mut labels = files.map();
            for file in files.elements() {
                let text = read_text(Path::new(file.as_text()))
                    .context(|| format!("{}: label_file", file.place))?;
                for (name, value) in raw_pairs(&text) {
                    labels.set(&name, file.text(value.unwrap_or_default()));
                }
            }
            for (name, value) in node.take("labels").iter().flat_map(Node::entries) {
                labels.set(name, value.clone());
            }
            node.set("labels", labels);
        }
        if node.given("network_mode").is_none()
            && node.given("networks").is_none_or(|networks| networks.entries().is_empty())
        {
            let mut networks = node.map();
            networks.set("default", node.with(Value::Null));
            node.set("networks", networks);
        }
        Ok(node)
    }

    fn service(&self, name: &str, node: Node) -> Result<Service> {
        let mut depends_on: Vec<Dependency> = Vec::new();
        for (service, dependency) in node.entries_of("depends_on") {
            let condition = match dependency.get_text("condition") {
                Some("service_started") | None => Need::Started,
                Some("service_healthy") => Need::Healthy,
                Some("service_completed_successfully") => Need::Completed,
                Some(other) => {
                    return Err(dependency.wrong(format_args!(
                        "unknown condition '{other}'; known: service_started service_healthy \
                         service_completed_successfully"
                    )));
                }
            };
            let restart = dependency.get_bool("restart");
            let required = dependency.get_bool("required");
            let service = service.clone();
            depends_on.push(Dependency { service, condition, required, restart });
        }
        // A service also depends on the services whose namespaces or volumes it shares, and on the
        // services that it links to.
        let mut implied = joined(&node);
        for link in node.elements_of("links") {
            implied.push(link.as_text().split_once(':').map_or(link.as_text(), |(name, _)| name));
        }
        for service in implied {
            let service = service.to_owned();
            if !depends_on.iter().any(|known| known.service == service) {
                let condition = Need::Started;
                depends_on.push(Dependency { service, condition, required: true, restart: true });
            }
        }
        check_labels(&format!("services.{name}"), &node)?;
        agree(name, &node)?;
        let scale = scale(&node)?;
        if scale > 1
            && let Some(fixed) = node.given("container_name")
        {
            return Err(fixed.wrong(format_args!(
                "services.{name}: a container_name can't go with {scale} replicas"
            )));
        }
        let profiles = profiles_of(&node);
        if node.given("image").is_none() && node.given("build").is_none() {
            return Err(node.wrong(format_args!("services.{name} has neither image nor build")));
        }
        let (name, hash) = (name.to_owned(), String::new());
        Ok(Service { name, node, profiles, depends_on, scale, hash })
    }

    /// Sorts services so that each comes after the services that it depends on. Fails if a required
    /// dependency does not exist or is disabled, and if dependencies form a circle.
    fn in_order(&self, mut waiting: Vec<Service>) -> Result<Vec<Service>> {
        for service in &waiting {
            for other in &service.depends_on {
                let is_known = waiting.iter().any(|known| known.name == other.service);
                if is_known || !other.required {
                    continue;
                }
                let place = service.node.get("depends_on").unwrap_or(&service.node);
                let is_disabled = self.disabled.iter().any(|known| known.name == other.service);
                return Err(place.wrong(if is_disabled {
                    format!(
                        "service {} depends on {}, which no active profile enables",
                        service.name, other.service
                    )
                } else {
                    format!(
                        "service {} depends on {}, which does not exist",
                        service.name, other.service
                    )
                }));
            }
        }
        let names: Vec<String> = waiting.iter().map(|service| service.name.clone()).collect();
        for service in &mut waiting {
            service.depends_on.retain(|other| names.contains(&other.service));
        }
        let mut done: Vec<Service> = Vec::new();
        while !waiting.is_empty() {
            let is_ready = |service: &Service| {
                service
                    .depends_on
                    .iter()
                    .all(|other| done.iter().any(|known| known.name == other.service))
            };
            let Some(at) = waiting.iter().position(is_ready) else {
                let names: Vec<&str> = waiting.iter().map(|each| each.name.as_str()).collect();
                return Err(waiting[0].node.wrong(format_args!(
                    "these services depend on each other in a circle: {}",
                    names.join(", ")
                )));
            };
            done.push(waiting.remove(at));
        }
        Ok(done)
    }

    /// Sets the names of networks, volumes, secrets and configs. Fails if a service uses a resource
    /// that is not declared, or if a declaration has a mistake.
    fn complete_rest(&mut self) -> Result<()> {
        for (section, one) in [
            ("networks", "network"),
            ("volumes", "volume"),
            ("secrets", "secret"),
            ("configs", "config"),
        ] {
            let mut all = self.root.take(section).filter(|all| all.value != Value::Null);
            let used: Vec<(&str, &Node)> =
                self.services.iter().flat_map(|service| service.uses(section)).collect();
            if section == "networks" && used.iter().any(|(name, _)| *name == "default") {
                let all = all.get_or_insert_with(|| self.root.map());
                if all.get("default").is_none() {
                    let node = all.with(Value::Null);
                    all.set("default", node);
                }
            }
            for (name, node) in &used {
                if all.as_ref().and_then(|all| all.get(name)).is_none() {
                    let known = all.as_ref().map(Node::entries).unwrap_or_default();
                    let hint = hint(name, known.iter().map(|(name, _)| name.as_str()));
                    return Err(node.wrong(format_args!(
                        "no such {one}: {name}; declare it below '{section}:'{hint}"
                    )));
                }
            }
            let Some(mut all) = all else { continue };
            if let Value::Map(entries) = &mut all.value {
                for (key, node) in entries {
                    complete_resource(&self.name, section, key, node)?;
                }
            }
            self.root.set(section, all);
        }
        let name = self.root.text(self.name.clone());
        self.root.take("version");
        self.root.take("name");
        // The name comes first, as Docker Compose prints it.
        if let Value::Map(entries) = &mut self.root.value {
            entries.insert(0, ("name".to_owned(), name));
        }
        Ok(())
    }
}

fn complete_resource(project: &str, section: &str, key: &str, node: &mut Node) -> Result<()> {
    if node.value == Value::Null {
        node.value = Value::Map(Vec::new());
    }
    check_labels(&format!("{section}.{key}"), node)?;
    let external = node.take("external");
    let mut is_external = false;
    let mut name = node.get_text("name").map(str::to_owned);
    match external.as_ref().map(|external| &external.value) {
        None | Some(Value::Null | Value::Bool(false)) => {}
        Some(Value::Bool(true)) => is_external = true,
        // Older files have a map here: `external: {name: NAME}`.
        Some(Value::Map(_)) => {
            is_external = true;
            let given = external.as_ref().and_then(|external| external.given("name"));
            name = given.map(Node::scalar).transpose()?.map(str::to_owned);
        }
        Some(Value::Text(text)) if text == "true" => is_external = true,
        Some(Value::Text(text)) if text == "false" => {}
        Some(_) => return Err(node.wrong(format_args!("{section}.{key}.external: write true"))),
    }
    let has_source = ["file", "environment", "content"].map(|key| node.given(key).is_some());
    let is_file = matches!(section, "secrets" | "configs");
    if is_file && has_source.iter().filter(|has| **has).count() != 1 {
        return Err(node.wrong(format_args!(
            "{section}.{key} needs exactly one of file, environment and content"
        )));
    }
    let name = name
        .unwrap_or_else(|| if is_external { key.to_owned() } else { format!("{project}_{key}") });
    let name = node.text(name);
    node.set("name", name);
    if is_external {
        if let Some((other, value)) = node.entries().iter().find(|(key, _)| key != "name") {
            return Err(value.wrong(format_args!(
                "{section}.{key} is external and made elsewhere; remove {other}"
            )));
        }
        let external = node.with(Value::Bool(true));
        node.set("external", external);
    }
    if let Some(driver) = node.given("driver") {
        let known: &[&str] = if section == "networks" {
            &["bridge", "macvlan", "ipvlan", "default"]
        } else {
            &["local", "default"]
        };
        let text = driver.as_text();
        if !known.contains(&text) {
            return Err(driver.wrong(format_args!(
                "{section}.{key}.driver: mydocker has no driver '{text}', only {}",
                known.join(" ")
            )));
        }
    }
    Ok(())
}

impl Need {
    /// Returns the name of the condition in the compose specification.
    pub fn name(self) -> &'static str {
        match self {
            Need::Started => "service_started",
            Need::Healthy => "service_healthy",
            Need::Completed => "service_completed_successfully",
        }
    }
}

impl Service {
    /// Returns the networks, volumes, secrets or configs that the service uses: for each, its key
    /// in the file's `section`, and the service's node that names the key.
    pub fn uses(&self, section: &str) -> Vec<(&str, &Node)> {
        let mut used = Vec::new();
        for (name, endpoint) in self.node.entries_of(section) {
            used.push((name.as_str(), endpoint));
        }
        for element in self.node.elements_of(section) {
            // A mount without a type is a volume.
            let is_named = section != "volumes"
                || element.get_text("type").is_none_or(|kind| kind == "volume");
            used.extend(element.get_text("source").filter(|_| is_named).zip(Some(element)));
        }
        used
    }
}

/// Returns the profiles that a service's map lists.
fn profiles_of(service: &Node) -> Vec<String> {
    let profiles = service.elements_of("profiles").iter();
    profiles.map(|profile| profile.as_text().to_owned()).collect()
}

/// Fails if a key and the key of `deploy` for the same setting have different values. `cpu_shares`
/// and a reservation of CPUs always contradict each other.
fn agree(name: &str, node: &Node) -> Result<()> {
    let Some(deploy) = node.given("deploy") else { return Ok(()) };
    for (key, path) in [
        ("scale", &["replicas"][..]),
        ("cpus", &["resources", "limits", "cpus"]),
        ("mem_limit", &["resources", "limits", "memory"]),
        ("pids_limit", &["resources", "limits", "pids"]),
        ("mem_reservation", &["resources", "reservations", "memory"]),
        ("cpu_shares", &["resources", "reservations", "cpus"]),
    ] {
        let other = path.iter().try_fold(deploy, |node, key| node.given(key));
        if let (Some(one), Some(other)) = (node.given(key), other)
            && (key == "cpu_shares" || !is_same(one.as_text(), other.as_text()))
        {
            return Err(one.wrong(format_args!(
                "services.{name}: {key} and deploy.{} contradict each other; remove one",
                path.join(".")
            )));
        }
    }
    Ok(())
}

/// Reports whether two values are the same. Compares numbers by value: `0.50` is `.5`. Compares
/// other texts without regard to case: `1G` is `1g`.
fn is_same(one: &str, other: &str) -> bool {
    let numbers = [one, other].map(|text| text.parse::<f64>().ok());
    one.eq_ignore_ascii_case(other) || numbers[0].is_some() && numbers[0] == numbers[1]
}

/// Fails if the file sets a label with compose's prefix, because compose finds a project's
/// containers, networks and volumes by these labels.
fn check_labels(path: &str, node: &Node) -> Result<()> {
    match node.entries_of("labels").iter().find(|(key, _)| key.starts_with(PREFIX)) {
        Some((key, label)) => Err(label
            .wrong(format_args!("{path}: compose itself sets the labels {PREFIX}*; remove {key}"))),
        None => Ok(()),
    }
}

fn scale(node: &Node) -> Result<u32> {
    let replicas = node.get("deploy").and_then(|deploy| deploy.given("replicas"));
    node.given("scale").or(replicas).map_or(Ok(1), |count| count.convert(parse_scale))
}

/// Parses a number of replicas. Fails unless it is 0 to [`MAX_SCALE`].
pub fn parse_scale(text: &str) -> Result<u32> {
    match text.parse() {
        Ok(scale) if scale <= MAX_SCALE => Ok(scale),
        _ => fail!("bad number of replicas '{text}': write 0 to {MAX_SCALE}"),
    }
}

/// Parses lines of `NAME=value` (`format: raw`). Quotes and variables in a value are taken
/// literally.
fn raw_pairs(text: &str) -> Vec<(String, Option<String>)> {
    let lines = text.lines().map(str::trim_start);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| match line.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (line.to_owned(), None),
        })
        .collect()
}

/// Returns the hash of the configuration of a service's containers. Leaves out settings that change
/// no container, such as when or how often the service runs and how its image is built.
fn hash(root: &Node, service: &Service, environment: &Environment) -> String {
    let mut node = service.node.clone();
    for key in ["build", "depends_on", "profiles", "scale", "pull_policy", "attach"] {
        node.take(key);
    }
    if let Some(mut deploy) = node.take("deploy") {
        deploy.take("replicas");
        if !deploy.entries().is_empty() {
            node.set("deploy", deploy);
        }
    }
    let mut text = json(&node, true);
    // If a network, volume, secret or config changes, the container must be made again.
    for section in ["networks", "volumes", "secrets", "configs"] {
        for (name, _) in service.uses(section) {
            if let Some(node) = root.get(section).and_then(|all| all.get(name)) {
                text.push_str(&json(node, true));
                // If a secret or config comes from a variable, the variable's value counts too.
                if let Some(variable) = node.get_text("environment") {
                    text.push_str(&environment.get(variable).unwrap_or_default());
                }
            }
        }
    }
    Digest::of(text.as_bytes()).hex()
}

//! Computes the record of a new container: the user's options override the image's config.
//!
//! These functions read the records of the containers that the options name. `create::make` writes
//! the new record. The rules for entrypoint, command, environment and working directory are
//! Docker's.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{Source, checks};
use crate::container::health::HealthRecord;
use crate::container::record::{MountRecord, Record, VERSION};
use crate::container_id::ContainerId;
use crate::engine::options::{
    CreateOptions, HealthOptions, NamespaceMode, NetworkMode, Publish, StopSignal,
};
use crate::engine::{Engine, confine, log_driver, project};
use crate::error::{Result, fail};
use crate::healthcheck::Healthcheck;
use crate::hex::short;
use crate::image::ContainerConfig;
use crate::raw;
use crate::runtime::cgroup::DEFAULT_PARENT;
use crate::runtime::spec::NamedUser;
use crate::time::Instant;

/// The default size of /dev/shm in bytes, as in Docker.
const DEFAULT_SHM_SIZE: u64 = 64 << 20;

impl Engine {
    /// Returns the record of the new container. The caller adds the user namespace. Fails for
    /// example if options contradict each other or there is no command.
    pub(super) fn describe(
        &self,
        options: &CreateOptions,
        source: &Source,
        id: ContainerId,
        name: String,
        mounts: Vec<MountRecord>,
        run: bool,
    ) -> Result<Record> {
        let config = source.config();
        let (entrypoint, command) = command_line(options, config);
        if entrypoint.is_empty() && command.is_empty() {
            match &options.image {
                Some(image) => fail!("no command given, and image '{image}' names none"),
                None => fail!("no command given"),
            }
        }
        let (network, networks) = self.networks(options)?;
        let exposed = exposed(options, config);
        let joined = network.container();
        let hostname = match (&options.hostname, options.namespaces.uts == NamespaceMode::Host) {
            (Some(_), true) => fail!("--hostname can't be set with --uts host"),
            _ if options.system.domainname.is_some()
                && options.namespaces.uts == NamespaceMode::Host =>
            {
                fail!("--domainname can't be set with --uts host")
            }
            (Some(_), _) if joined.is_some() => fail!(
                "--hostname can't be set with --network container:NAME: that container's is used"
            ),
            // Use the host name of the other container, whose hosts file this container has.
            (None, false) if let Some(other) = joined => Record::read(&self.roots, other)?.hostname,
            (Some(hostname), _) => hostname.clone(),
            (None, false) if network != NetworkMode::Host => short(&id).to_owned(),
            (None, _) => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        };
        checks::check_sysctls(options, &network)?;
        let mut labels = config.labels.clone();
        // Compose finds its containers by these labels, so an image must not set them
        // (CVE-2026-53488).
        labels.retain(|(key, _)| !project::is_label(key));
        for (key, value) in &options.labels {
            labels.retain(|(known, _)| known != key);
            labels.push((key.clone(), value.clone()));
        }
        let record = Record {
            version: VERSION,
            env: environment(options, config),
            id,
            name,
            created: Instant::now().0,
            run,
            lifecycle: options.lifecycle.clone(),
            health: health(&options.health, config)?,
            image: options.image.clone().into(),
            image_id: source.image_id().into(),
            layers: source.layers(),
            rootfs: source.directory(),
            entrypoint,
            command,
            cwd: working_directory(options, config)?,
            user: user(options, config),
            hostname,
            streams: options.streams,
            system: options.system.clone(),
            privileged: options.privileged,
            confinement: confine::describe(&options.confinement)?,
            stop_signal: match (&options.stop_signal, &config.stop_signal) {
                (Some(given), _) => given.clone(),
                (None, Some(named)) => named.parse().unwrap_or_default(),
                (None, None) => StopSignal::default(),
            },
            labels,
            annotations: options.annotations.clone(),
            limits: options.limits.clone(),
            shm_size: options.shm_size.unwrap_or(DEFAULT_SHM_SIZE),
            storage_size: options.storage_size.as_ref().map(|size| size.given.clone()),
            add_hosts: options.add_hosts.clone(),
            resolver: options.resolver.clone(),
            links: self.linked(&options.links)?,
            network,
            networks,
            namespaces: options.namespaces.find(|name| Ok(self.record(name)?.id))?,
            user_namespace: None,
            cgroup_parent: options.cgroup_parent.clone().unwrap_or_else(|| DEFAULT_PARENT.into()),
            resources: options.resources.clone(),
            devices: options.devices.clone(),
            mounts,
            volumes_from: options.volumes_from.iter().map(|from| from.given.clone()).collect(),
            publish: published(options, &exposed)?,
            publish_all: options.publish_all,
            exposed,
            log: options.log.clone(),
        };
        // A bad tag of `--log-opt` must fail at the creation and not at `logs --details`.
        log_driver::details(&record)?;
        Ok(record)
    }
}

/// Returns the image's health check, changed by `options`.
fn health(options: &HealthOptions, config: &ContainerConfig) -> Result<Option<HealthRecord>> {
    let image = config.healthcheck.as_ref().map(|check| Healthcheck {
        test: check.test.iter().map(|word| raw::encode(word.as_bytes())).collect(),
        ..check.clone()
    });
    let check = if options.disabled {
        Healthcheck::none()
    } else {
        options.check.clone().over(image.as_ref())
    };
    if options.on_failure.acts() && !check.runs() {
        fail!("--health-on-failure needs a health check; give one by --health-cmd");
    }
    let shell = Some(words(&config.shell)).filter(|words| !words.is_empty());
    let on_failure = options.on_failure;
    Ok((!check.test.is_empty()).then_some(HealthRecord { check, shell, on_failure }))
}

/// Returns the image's exposed ports and those of `--expose`.
fn exposed(options: &CreateOptions, config: &ContainerConfig) -> Vec<String> {
    let mut exposed: Vec<String> = Vec::new();
    for port in config.exposed_ports.iter().chain(&options.expose) {
        let port = port.to_ascii_lowercase();
        if !exposed.contains(&port) {
            exposed.push(port);
        }
    }
    exposed
}

/// Returns the ports of `-p`. With `-P`, adds each other exposed port, for which each start chooses
/// a port of the host.
fn published(options: &CreateOptions, exposed: &[String]) -> Result<Vec<Publish>> {
    let mut publish = options.publish.clone();
    if options.publish_all {
        for port in exposed {
            let port = Publish::exposed(port)?;
            let is_given = |given: &Publish| {
                given.container == port.container && given.protocol == port.protocol
            };
            if !publish.iter().any(is_given) {
                publish.push(port);
            }
        }
    }
    for port in &mut publish {
        port.address = port.address.or(options.publish_address);
    }
    Ok(publish)
}

/// Returns entrypoint and command by Docker's rule: `--entrypoint` drops the image's command, and
/// words after the image's name replace the command.
fn command_line(options: &CreateOptions, config: &ContainerConfig) -> (Vec<String>, Vec<String>) {
    let entrypoint = match &options.entrypoint {
        Some(word) if word.is_empty() => Vec::new(),
        Some(word) => vec![word.clone()],
        None => words(&config.entrypoint),
    };
    let command = if !options.command.is_empty() {
        options.command.clone()
    } else if options.entrypoint.is_none() {
        words(&config.cmd)
    } else {
        Vec::new()
    };
    (entrypoint, command)
}

/// Encodes words of an image's config for the record.
fn words(words: &Option<Vec<String>>) -> Vec<String> {
    words.iter().flatten().map(|word| raw::encode(word.as_bytes())).collect()
}

/// Returns the user's variables, then those of the image that the user did not set, as Docker's
/// `Config.Env` has them. If the user or the image sets a name several times, the last value
/// counts. A name without `=` removes the variable at the start of a process.
fn environment(options: &CreateOptions, config: &ContainerConfig) -> Vec<String> {
    let image: Vec<String> = config.env.iter().map(|pair| raw::encode(pair.as_bytes())).collect();
    let mut env: Vec<String> = Vec::with_capacity(options.env.len() + image.len());
    // An image may have tens of thousands of variables, so a map finds each one.
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut of_user = 0;
    for (at, pair) in options.env.iter().chain(&image).enumerate() {
        match places.entry(pair.split('=').next().unwrap_or_default()) {
            Entry::Occupied(place) if at < options.env.len() || *place.get() >= of_user => {
                env[*place.get()].clone_from(pair);
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(place) => {
                place.insert(env.len());
                env.push(pair.clone());
            }
        }
        if at < options.env.len() {
            of_user = env.len();
        }
    }
    env
}

/// Adds `NAME=value`, or replaces the value of this name.
pub(in crate::engine) fn set_env(env: &mut Vec<String>, pair: &str) {
    let name = pair.split('=').next();
    match env.iter_mut().find(|known| known.split('=').next() == name) {
        Some(known) => *known = pair.to_owned(),
        None => env.push(pair.to_owned()),
    }
}

/// Returns the user of `-u` or of the image.
fn user(options: &CreateOptions, config: &ContainerConfig) -> NamedUser {
    let name = options.user.name.as_ref().unwrap_or(&config.user);
    let name = Some(name.clone()).filter(|name| !name.is_empty());
    NamedUser { name: name.into(), groups: options.user.groups.clone() }
}

/// Returns the working directory of `-w` or of the image; empty without one.
fn working_directory(options: &CreateOptions, config: &ContainerConfig) -> Result<String> {
    let image = raw::encode(config.working_dir.as_bytes());
    let cwd = options.workdir.as_deref().unwrap_or(&image);
    if !(cwd.is_empty() || cwd.starts_with('/')) {
        fail!("working directory '{cwd}' must be absolute");
    }
    Ok(cwd.to_owned())
}

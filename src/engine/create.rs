//! `create`: from what was asked to a container's directory and record.
//!
//! Order on disk: run directory with its lock (held by us: nobody takes this for an abandoned
//! container), container directory, name, volumes, lease of user IDs, config.json. Killed before
//! config.json, what is there is a name and a lease that the next taker takes over and a directory
//! that `system check` sweeps; after it, the container is there.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Engine;
use super::options::{
    CreateOptions, HealthOptions, IdMap, MountKind, MountOption, NamespaceOption, Publish,
    UserNamespaceOption,
};
use crate::container::health::{HealthRecord, OnFailure};
use crate::container::record::{self, Files, MountRecord, Record, VERSION, new_id, short};
use crate::container::{id_range, names, state};
use crate::error::{Context, Result, fail};
use crate::healthcheck::Healthcheck;
use crate::image::{ContainerConfig, Image, ImageHold, ImageStore};
use crate::raw;
use crate::runtime::cgroup::DEFAULT_PARENT;
use crate::store::{self, Durability, Lock};
use crate::sys::signal::Signal;
use crate::time::Instant;
use crate::volume;

const DEFAULT_SHM_SIZE: u64 = 64 << 20;
const DEFAULT_STOP_SIGNAL: &str = "SIGTERM";
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Below this a container's first process can't even set itself up.
const MIN_MEMORY: u64 = 6 << 20;

/// A container that was just made, its monitor lock still ours.
pub(super) struct Created {
    pub record: Record,
    pub lock: Lock,
}

impl Engine {
    /// Makes a container; gives its id.
    pub fn create(&self, options: &CreateOptions) -> Result<String> {
        let created = self.make(options, false)?;
        // Not running: the run directory goes, and with it the lock.
        store::remove_tree(&Files::new(&self.roots, &created.record.id).run)?;
        Ok(created.record.id)
    }

    pub(super) fn make(&self, options: &CreateOptions, run: bool) -> Result<Created> {
        check(options)?;
        if let Some(cidfile) = &options.cidfile
            && cidfile.exists()
        {
            fail!(
                "--cidfile {}: the file exists; remove it if its container is gone",
                cidfile.display()
            );
        }
        for dependency in &options.depends_on {
            let name = dependency.strip_suffix(":healthy").unwrap_or(dependency);
            self.record(name).context(|| format!("--depends-on {dependency}"))?;
        }
        let source = self.source(options)?;
        let id = new_id()?;
        let name = match &options.name {
            Some(name) if !names::is_valid(name) => fail!(
                "bad container name '{name}': use letters, digits, '_', '.' and '-', and start \
                 with a letter or digit"
            ),
            name => name.clone(),
        };
        let files = Files::new(&self.roots, &id);
        let lock = files.lock_monitor()?;
        // Until it has a name, the id stands in for one: no container is named so.
        let (standin, volumes) = (id.clone(), Vec::new());
        let mut undo = Undo { engine: self, id: &id, name: standin, volumes, ids: None };
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&files.dir)
            .context(|| format!("make {}", files.dir.display()))?;
        let name = match name {
            Some(name) => names::claim(&self.roots, &name, &id).map(|()| name)?,
            None => names::claim_any(&self.roots, &id)?,
        };
        undo.name.clone_from(&name);
        if let Source::Image { image, .. } = &source {
            make_upper(&files, image.layers.last().map(PathBuf::as_path))?;
        }
        // The images that are mounted stay until the record names them.
        let mut holds = Vec::new();
        let mounts = self.mounts(options, source.config(), &mut undo.volumes, &mut holds)?;
        let user_namespace = self.user_namespace(options, &id)?;
        undo.ids = user_namespace.as_ref().map(|namespace| namespace.ids);
        let record = Record {
            user_namespace,
            ..self.describe(options, &source, id.clone(), name.clone(), mounts, run)?
        };
        self.check_user_namespace(&record)?;
        if let Some(warning) = super::confine::warning(&record) {
            (self.tell)(&warning);
        }
        record.write(&self.roots)?;
        if record.durability() == Durability::Synced {
            // The directory's own entry, and the name's.
            store::sync_parent(&files.dir)?;
            store::sync_parent(&self.roots.containers().join("names").join(&name))?;
        }
        if let Some(cidfile) = &options.cidfile {
            write_cidfile(cidfile, &id)?;
        }
        undo.keep();
        // `source` held the image until here: from now on the record does.
        Ok(Created { record, lock })
    }

    fn source(&self, options: &CreateOptions) -> Result<Source> {
        if let Some(directory) = &options.rootfs {
            let path = fs::canonicalize(directory)
                .context(|| format!("--rootfs {}", directory.display()))?;
            if !path.is_dir() {
                fail!("--rootfs {}: not a directory", directory.display());
            }
            return Ok(Source::Directory(path, ContainerConfig::default()));
        }
        let images = ImageStore::open(&self.roots);
        let id = match images.find(&options.image)? {
            None if options.image == super::hello::NAME => super::hello::make(&images)?,
            Some(id) => id,
            None => fail!(
                "no such image: '{}'; `mydocker images` lists the local images; add one with \
                 `pull`, `load` or `import`",
                options.image
            ),
        };
        let hold = images.hold(&id)?;
        Ok(Source::Image { image: images.get(&id)?, _hold: hold })
    }

    fn describe(
        &self,
        options: &CreateOptions,
        source: &Source,
        id: String,
        name: String,
        mounts: Vec<MountRecord>,
        run: bool,
    ) -> Result<Record> {
        let config = source.config();
        let (entrypoint, command) = command_line(options, config);
        if entrypoint.is_empty() && command.is_empty() {
            fail!("no command given, and image '{}' names none", options.image);
        }
        let (network, networks) = self.networks(options)?;
        let exposed = exposed(options, config);
        let joined = network.strip_prefix("container:");
        let hostname = match (&options.hostname, options.uts == NamespaceOption::Host) {
            (Some(_), true) => fail!("--hostname can't be set with --uts host"),
            _ if options.domainname.is_some() && options.uts == NamespaceOption::Host => {
                fail!("--domainname can't be set with --uts host")
            }
            (Some(_), _) if joined.is_some() => fail!(
                "--hostname can't be set with --network container:NAME: that container's is used"
            ),
            // The hosts file is the other container's, too.
            (None, false) if let Some(other) = joined => Record::read(&self.roots, other)?.hostname,
            (Some(hostname), _) => hostname.clone(),
            (None, false) if network != "host" => short(&id).to_owned(),
            (None, _) => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        };
        check_sysctls(options, &network)?;
        let mut labels = config.labels.clone();
        for (key, value) in &options.labels {
            labels.retain(|(known, _)| known != key);
            labels.push((key.clone(), value.clone()));
        }
        Ok(Record {
            version: VERSION,
            env: environment(options, config, &hostname),
            id,
            name,
            created: Instant::now().0,
            run,
            remove: options.remove,
            restart: options.restart,
            health: health(&options.health, config)?,
            depends_on: unless_empty(&options.depends_on),
            image: options.image.clone(),
            image_id: source.image_id(),
            layers: source.layers(),
            rootfs: source.directory(),
            entrypoint,
            command,
            cwd: working_directory(options, config)?,
            user: options.user.clone().unwrap_or_else(|| config.user.clone()),
            groups: unless_empty(&options.groups),
            hostname,
            domainname: options.domainname.clone(),
            tty: options.tty,
            interactive: options.interactive,
            read_only: options.read_only,
            init: options.init,
            privileged: options.privileged,
            confinement: super::confine::describe(&options.confinement)?,
            stop_signal: options
                .stop_signal
                .clone()
                // An image may name a signal that does not exist: its containers must stop all the same.
                .or_else(|| config.stop_signal.clone().filter(|name| Signal::parse(name).is_some()))
                .unwrap_or_else(|| DEFAULT_STOP_SIGNAL.to_owned()),
            stop_timeout: options.stop_timeout,
            labels,
            annotations: unless_empty(&options.annotations),
            rlimits: options.rlimits.clone(),
            sysctls: options.sysctls.clone(),
            shm_size: options.shm_size.unwrap_or(DEFAULT_SHM_SIZE),
            add_hosts: options.add_hosts.clone(),
            dns: options.dns.clone(),
            dns_search: options.dns_search.clone(),
            dns_options: unless_empty(&options.dns_options),
            links: self.linked(&options.links)?,
            network,
            networks,
            pid: self.namespace(&options.pid)?,
            ipc: self.ipc_namespace(&options.ipc)?,
            uts: self.namespace(&options.uts)?,
            user_namespace: None,
            cgroup_parent: options.cgroup_parent.clone().unwrap_or_else(|| DEFAULT_PARENT.into()),
            host_cgroups: options.host_cgroups.then_some(true),
            resources: options.resources.clone(),
            oom_score_adj: options.oom_score_adj,
            devices: options.devices.clone(),
            device_rules: options.device_rules.clone(),
            mounts,
            publish: published(options, &exposed)?,
            exposed,
            log_disabled: options.log.disabled,
            log_max_size: options.log.max_size,
            log_max_file: options.log.max_file,
            log_options: unless_empty(&options.log.others),
        })
    }

    /// `private`, `host` or `container:<id>`.
    fn namespace(&self, option: &NamespaceOption) -> Result<String> {
        Ok(match option {
            NamespaceOption::Private => "private".to_owned(),
            NamespaceOption::Host => "host".to_owned(),
            NamespaceOption::Container(name) => format!("container:{}", self.record(name)?.id),
            NamespaceOption::None => "none".to_owned(),
            NamespaceOption::Shareable => "shareable".to_owned(),
        })
    }

    fn ipc_namespace(&self, option: &NamespaceOption) -> Result<String> {
        if let NamespaceOption::Container(name) = option
            && self.record(name)?.ipc == "none"
        {
            fail!("container {name} was made with --ipc none: its IPC namespace can't be joined");
        }
        self.namespace(option)
    }

    /// The user's mounts and the image's volumes, outermost first; makes what must be made.
    fn mounts(
        &self,
        options: &CreateOptions,
        config: &ContainerConfig,
        made: &mut Vec<String>,
        holds: &mut Vec<ImageHold>,
    ) -> Result<Vec<MountRecord>> {
        let mut mounts = Vec::new();
        for mount in &options.mounts {
            mounts.push(self.mount(mount, made, holds)?);
        }
        for (name, read_only) in &options.volumes_from {
            self.add_volumes_of(name, *read_only, &mut mounts)
                .context(|| format!("--volumes-from {name}"))?;
        }
        for target in &config.volumes {
            let target = normalize(&raw::encode(target.as_bytes()));
            let taken = mounts.iter().any(|mount: &MountRecord| mount.target == target);
            if !taken && target != "/" && target.starts_with('/') {
                mounts.push(self.anonymous_volume(&target, made)?);
            }
        }
        // Stable: of two at one depth the order given counts.
        mounts.sort_by_key(|mount| Path::new(&mount.target).components().count());
        Ok(mounts)
    }

    /// Adds the volumes and binds of another container, where nothing is mounted yet.
    fn add_volumes_of(
        &self,
        name: &str,
        read_only: bool,
        mounts: &mut Vec<MountRecord>,
    ) -> Result<()> {
        for theirs in self.record(name)?.mounts {
            let taken = mounts.iter().any(|mount| mount.target == theirs.target);
            if theirs.kind != record::MountKind::Tmpfs && !taken {
                mounts.push(MountRecord { read_only: theirs.read_only || read_only, ..theirs });
            }
        }
        Ok(())
    }

    fn mount(
        &self,
        mount: &MountOption,
        made: &mut Vec<String>,
        holds: &mut Vec<ImageHold>,
    ) -> Result<MountRecord> {
        let record = |kind, source: String| MountRecord {
            kind,
            volume: None,
            anonymous: false,
            source,
            target: mount.target.clone(),
            read_only: mount.read_only,
            make_source: mount.make_source.then_some(true),
            copy_up: false,
            tmpfs_options: mount.tmpfs_options.clone(),
            propagation: Some(mount.propagation).filter(|found| *found != Default::default()),
            recursion: Some(mount.recursion).filter(|found| *found != Default::default()),
            subpath: Some(mount.subpath.clone()).filter(|path| !path.is_empty()),
            image: None,
        };
        match mount.kind {
            MountKind::Tmpfs => Ok(record(record::MountKind::Tmpfs, String::new())),
            MountKind::Image => {
                let (image, hold) = self.image_mount(&mount.source)?;
                holds.push(hold);
                let record = record(record::MountKind::Image, mount.source.clone());
                Ok(MountRecord { read_only: true, image: Some(image), ..record })
            }
            MountKind::Bind => {
                let source = &*raw::path(&mount.source);
                if !source.exists() {
                    if !mount.make_source {
                        fail!("bind source {} does not exist", mount.source);
                    }
                    fs::create_dir_all(source)
                        .context(|| format!("make bind source {}", mount.source))?;
                }
                Ok(record(record::MountKind::Bind, mount.source.clone()))
            }
            MountKind::Volume if mount.source.is_empty() => {
                let mut volume = self.anonymous_volume(&mount.target, made)?;
                (volume.read_only, volume.copy_up) = (mount.read_only, !mount.no_copy);
                Ok(volume)
            }
            MountKind::Volume => {
                let (name, created) = (mount.source.clone(), Instant::now().0);
                let labels = mount.labels.clone();
                volume::ensure(
                    &self.roots,
                    &volume::Volume { name, created, labels, anonymous: false },
                )?;
                let data = volume::data(&self.roots, &mount.source);
                Ok(MountRecord {
                    volume: Some(mount.source.clone()),
                    // What is to be found in it was put there before.
                    copy_up: !mount.no_copy && mount.subpath.is_empty(),
                    ..record(record::MountKind::Volume, raw::encode_path(&data))
                })
            }
        }
    }

    fn image_mount(&self, name: &str) -> Result<(record::ImageMount, ImageHold)> {
        let images = ImageStore::open(&self.roots);
        let Some(id) = images.find(name)? else {
            fail!("no such image: '{name}'; pull it before you mount it")
        };
        let hold = images.hold(&id)?;
        let layers = images.get(&id)?.layers;
        let layers = layers.iter().map(|layer| raw::encode_path(layer)).collect();
        Ok((record::ImageMount { id: id.to_string(), layers }, hold))
    }

    fn anonymous_volume(&self, target: &str, made: &mut Vec<String>) -> Result<MountRecord> {
        let id = new_id()?;
        volume::ensure_anonymous(&self.roots, &id)?;
        made.push(id.clone());
        Ok(MountRecord {
            kind: record::MountKind::Volume,
            source: raw::encode_path(&volume::data(&self.roots, &id)),
            volume: Some(id),
            anonymous: true,
            target: target.to_owned(),
            read_only: false,
            make_source: None,
            copy_up: true,
            tmpfs_options: String::new(),
            propagation: None,
            recursion: None,
            subpath: None,
            image: None,
        })
    }
}

/// Where the root file system comes from.
enum Source {
    /// Held: it can't be removed before the record names it.
    Image {
        image: Image,
        _hold: ImageHold,
    },
    Directory(PathBuf, ContainerConfig),
}

impl Source {
    fn config(&self) -> &ContainerConfig {
        match self {
            Source::Image { image, .. } => &image.config.config,
            Source::Directory(_, config) => config,
        }
    }

    fn image_id(&self) -> String {
        match self {
            Source::Image { image, .. } => image.id.to_string(),
            Source::Directory(..) => String::new(),
        }
    }

    fn layers(&self) -> Vec<String> {
        match self {
            Source::Image { image, .. } => {
                image.layers.iter().map(|layer| raw::encode_path(layer)).collect()
            }
            Source::Directory(..) => Vec::new(),
        }
    }

    fn directory(&self) -> Option<String> {
        match self {
            Source::Image { .. } => None,
            Source::Directory(path, _) => Some(raw::encode_path(path)),
        }
    }
}

/// Takes back a half-made container unless it is kept.
struct Undo<'a> {
    engine: &'a Engine,
    id: &'a str,
    name: String,
    /// The anonymous ones.
    volumes: Vec<String>,
    ids: Option<IdMap>,
}

impl Undo<'_> {
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        // The failure that led here is what the user must hear of.
        let _ = state::erase(&self.engine.roots, self.id, &self.name, Durability::Lazy);
        if let Some(ids) = &self.ids {
            let _ = id_range::release(&self.engine.roots, ids, self.id);
        }
        for volume in &self.volumes {
            let _ = volume::remove(&self.engine.roots, volume);
        }
    }
}

/// The overlay's upper directory looks like the image's topmost root: the merged root takes owner
/// and mode from it.
fn make_upper(files: &Files, topmost: Option<&Path>) -> Result<()> {
    let (upper, work) = (files.upper(), files.work());
    let make = || -> std::io::Result<()> {
        fs::DirBuilder::new().mode(0o755).create(&upper)?;
        fs::DirBuilder::new().mode(0o700).create(&work)?;
        if let Some(topmost) = topmost {
            let like = fs::metadata(topmost)?;
            if (like.uid(), like.gid()) != (0, 0) {
                std::os::unix::fs::chown(&upper, Some(like.uid()), Some(like.gid()))?;
            }
            if like.mode() & 0o7777 != 0o755 {
                fs::set_permissions(&upper, fs::Permissions::from_mode(like.mode() & 0o7777))?;
            }
        }
        Ok(())
    };
    make().context(|| format!("make {}", upper.display()))
}

/// What flags alone can't tell.
fn check(options: &CreateOptions) -> Result<()> {
    let resources = &options.resources;
    if let Some(memory) = resources.memory
        && memory < MIN_MEMORY
    {
        fail!("--memory {memory} is too little for any container; the least is 6m");
    }
    match (resources.memory, resources.memory_swap) {
        (None, Some(0..)) => fail!("--memory-swap needs --memory too: it counts both together"),
        (Some(memory), Some(swap)) if swap >= 0 && (swap as u64) < memory => {
            fail!("--memory-swap {swap} is less than --memory {memory}; it counts both together")
        }
        _ => {}
    }
    if options.remove && !options.restart.is_no() {
        fail!("--rm and --restart contradict each other");
    }
    if options.remove && options.health.on_failure == OnFailure::Restart {
        fail!("--rm and --health-on-failure restart contradict each other");
    }
    if let (Some(memory), Some(reservation)) = (resources.memory, resources.memory_reservation)
        && reservation > memory
    {
        fail!("--memory-reservation {reservation} is more than --memory {memory}");
    }
    if resources.nano_cpus.is_some() && resources.cpu_quota.is_some() {
        fail!("--cpus and --cpu-quota set the same limit; give only one of them");
    }
    super::cpus::check(resources)?;
    let mounts_image = options.mounts.iter().any(|mount| mount.kind == MountKind::Image);
    if mounts_image && options.userns != UserNamespaceOption::Host {
        fail!("--mount type=image can't go with a user namespace; use --userns host");
    }
    if let UserNamespaceOption::Given(ids) = &options.userns {
        id_range::check_given(ids)?;
    }
    for rate in resources.device_rates.iter().flatten() {
        super::spec::device_numbers(&rate.path)?;
    }
    for device in &options.devices {
        fs::metadata(raw::path(&device.source))
            .context(|| format!("--device {}", device.source))?;
    }
    Ok(())
}

/// A list as a record keeps those that older versions don't have.
fn unless_empty<T: Clone>(items: &[T]) -> Option<Vec<T>> {
    (!items.is_empty()).then(|| items.to_vec())
}

/// The image's health check with the changes of `options`.
fn health(options: &HealthOptions, config: &ContainerConfig) -> Result<Option<HealthRecord>> {
    let image = config.healthcheck.as_ref().map(|check| Healthcheck {
        test: check.test.iter().map(|word| raw::encode(word.as_bytes())).collect(),
        ..check.clone()
    });
    let check = match options.disabled {
        true => Healthcheck::none(),
        false => options.check.clone().over(image.as_ref()),
    };
    if options.on_failure.acts() && !check.runs() {
        fail!("--health-on-failure needs a health check; give one by --health-cmd");
    }
    let shell = Some(words(&config.shell)).filter(|words| !words.is_empty());
    let on_failure = options.on_failure;
    Ok((!check.test.is_empty()).then_some(HealthRecord { check, shell, on_failure }))
}

/// A sysctl of a namespace that isn't the container's own would be the host's.
fn check_sysctls(options: &CreateOptions, network: &str) -> Result<()> {
    for (key, _) in &options.sysctls {
        if key.starts_with("net.") && network == "host" {
            fail!("--sysctl {key} would change the host: the container uses its network");
        }
        let joins = matches!(options.ipc, NamespaceOption::Host | NamespaceOption::Container(_));
        if !key.starts_with("net.") && joins {
            fail!("--sysctl {key} would change another's IPC namespace; use --ipc private");
        }
    }
    Ok(())
}

/// The image's ports and `--expose`.
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

/// `-p`, and with `-P` a port of the host's choice for each exposed one.
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

/// Docker's rule: an entrypoint of the user's drops the image's command; words after the image
/// replace it.
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

/// Words of an image's config, as a record keeps them.
fn words(words: &Option<Vec<String>>) -> Vec<String> {
    words.iter().flatten().map(|word| raw::encode(word.as_bytes())).collect()
}

/// The image's, then ours, then the user's; of two with one name the later counts.
fn environment(options: &CreateOptions, config: &ContainerConfig, hostname: &str) -> Vec<String> {
    let mut defaults = vec![DEFAULT_PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if options.tty {
        defaults.push("TERM=xterm".to_owned());
    }
    let image: Vec<String> = config.env.iter().map(|pair| raw::encode(pair.as_bytes())).collect();
    let mut env: Vec<String> = Vec::with_capacity(defaults.len() + image.len());
    // An image may have tens of thousands of variables: each finds its place without a search.
    let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
    let mut places: HashMap<String, usize> = HashMap::new();
    for pair in defaults.iter().chain(&image).chain(&options.env) {
        match places.entry(name(pair)) {
            Entry::Occupied(place) => env[*place.get()] = pair.clone(),
            Entry::Vacant(place) => {
                place.insert(env.len());
                env.push(pair.clone());
            }
        }
    }
    // `-e NAME` without a value here removes the image's.
    let is_removal = |pair: &String| !pair.contains('=') && options.env.contains(pair);
    env.retain(|pair| pair.contains('=') || !is_removal(pair));
    env
}

/// Adds `NAME=value`, or puts it in the place of the one with that name.
pub(super) fn set_env(env: &mut Vec<String>, pair: &str) {
    let name = pair.split('=').next();
    match env.iter_mut().find(|known| known.split('=').next() == name) {
        Some(known) => *known = pair.to_owned(),
        None => env.push(pair.to_owned()),
    }
}

fn working_directory(options: &CreateOptions, config: &ContainerConfig) -> Result<String> {
    let image = raw::encode(config.working_dir.as_bytes());
    let cwd = options.workdir.as_deref().unwrap_or(&image);
    let cwd = if cwd.is_empty() { "/" } else { cwd };
    if !cwd.starts_with('/') {
        fail!("working directory '{cwd}' must be absolute");
    }
    Ok(cwd.to_owned())
}

/// Without `.`, `..` and doubled slashes.
fn normalize(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn write_cidfile(path: &Path, id: &str) -> Result<()> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path);
    let written = opened.and_then(|mut file| file.write_all(id.as_bytes()));
    match written {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fail!("--cidfile {}: the file exists", path.display())
        }
        result => result.context(|| format!("write --cidfile {}", path.display())),
    }
}

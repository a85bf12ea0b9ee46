//! The `network` commands, and the networks of a new container.
//!
//! `network connect` and `network disconnect` change the endpoints of a running container under the
//! container's lock for changes. `hooks` makes the endpoints at the container's start and removes
//! them at its end. The module `network` makes bridges, leases and firewall rules. This file gives
//! `is_alive` to the module `network`, because only the engine knows which containers are alive.

use rustix::process::Pid;

use super::Engine;
use super::options::{CreateOptions, EndpointOption, EndpointSettings, NetworkOptions};
use super::view::{NetworkView, PruneCandidate, PruneChoice};
use super::warning::Warning;
use crate::container::files::Files;
use crate::container::mode::NetworkMode;
use crate::container::record::{NetworkRecord, Record};
use crate::container::state::{State, lives_by_id, running};
use crate::container::{events, names};
use crate::container_id::ContainerId;
use crate::error::{Error, Result, fail};
use crate::event::{self, Kind};
use crate::network::attachment::{self, Container, EndpointConfig, change};
use crate::network::endpoint::NetworkNamespace;
use crate::network::interface::InterfaceOptions;
use crate::network::naming::{self, DEFAULT};
use crate::network::record::Network;
use crate::network::subnet::Family;
use crate::network::{create, firewall, ipam, lifecycle, parent};
use crate::order;
use crate::store::{Lock, Roots};
use crate::sys::netlink::Socket;
use crate::time::Instant;

/// Returns the container of a record as the type that `network` needs.
pub(super) fn container(record: &Record) -> Container<'_> {
    Container { id: &record.id, name: &record.name, hostname: record.full_hostname(), is_alive }
}

/// Reports whether a container has a monitor or starts, so that its leases are in use.
pub(super) fn is_alive(roots: &Roots, id: &ContainerId) -> bool {
    // If the state cannot be read, the leases stay.
    lives_by_id(roots, id).unwrap_or(true)
}

/// Returns the settings of a container's endpoint on one of its networks.
pub(super) fn endpoint_config(record: &Record, network: &NetworkRecord) -> EndpointConfig {
    let settings = &network.settings;
    let mut names = vec![record.name.clone()];
    names.extend(settings.aliases.iter().cloned());
    EndpointConfig {
        network: network.name.clone(),
        addresses: settings.addresses.iter().map(|address| address.0).collect(),
        mac: settings.mac,
        names,
        links: settings.links.clone(),
        link_local: settings.link_local.iter().map(|address| address.0).collect(),
        options: InterfaceOptions::parse_recorded(&settings.driver_options),
    }
}

/// Returns the error text for a container that cannot join or leave `host` or `none`.
fn fixed(special: &str) -> String {
    format!("network {special} can't be joined or left: a container has it from its creation on")
}

/// Returns the given flags that have no effect with the mode of `given`, which has no networks.
/// Docker ignores these flags. `create::checks` refuses the flags that Docker refuses.
fn without_effect(options: &CreateOptions, given: &EndpointOption) -> Vec<&'static str> {
    let settings = [&options.endpoint, &given.settings];
    let resolver = &options.resolver;
    let joins = given.network.container().is_some();
    let flags = [
        ("--ip", settings.iter().any(|settings| !settings.addresses.is_empty())),
        ("--mac-address", settings.iter().any(|settings| settings.mac.is_some())),
        ("--link-local-ip", settings.iter().any(|settings| !settings.link_local.is_empty())),
        ("driver-opt", settings.iter().any(|settings| !settings.driver_options.is_empty())),
        ("--dns-search", joins && !resolver.search.is_empty()),
        ("--dns-option", joins && !resolver.options.is_empty()),
    ];
    flags.into_iter().filter_map(|(flag, is_given)| is_given.then_some(flag)).collect()
}

impl Engine {
    /// Returns the network mode and the networks of a new container. Fails if the options
    /// contradict each other or a network does not exist.
    pub(super) fn networks(
        &self,
        options: &CreateOptions,
    ) -> Result<(NetworkMode<ContainerId>, Vec<NetworkRecord>)> {
        let mut named: Vec<(&str, Option<&EndpointOption>)> = Vec::new();
        let mut special = None;
        for (at, given) in options.networks.iter().enumerate() {
            let mode = &given.network;
            if options.networks[..at].iter().any(|other| other.network == *mode) {
                fail!("--net {mode} was given twice; remove one");
            }
            match mode {
                NetworkMode::Network(name) => named.push((name, Some(given))),
                _ => special = Some(given),
            }
        }
        if options.networks.is_empty() {
            named.push((DEFAULT, None));
        }
        if let Some(given) = special {
            let special = &given.network;
            if options.networks.len() > 1 {
                fail!("--net {special} can't go with other networks");
            }
            if special.container().is_some() && (!options.publish.is_empty() || options.publish_all)
            {
                fail!("-p can't go with --net {special}: publish the ports of that container");
            }
            let lacking = [
                ("--dns", !options.resolver.servers.is_empty()),
                ("--add-host", !options.add_hosts.is_empty()),
                ("--expose", !options.expose.is_empty()),
            ];
            if special.container().is_some()
                && let Some((flag, _)) = lacking.iter().find(|(_, given)| *given)
            {
                fail!("{flag} can't go with --net {special}: set it for that container");
            }
            if *special == NetworkMode::Host && (!options.publish.is_empty() || options.publish_all)
            {
                (self.warn)(&Warning::PublishedOnHost);
            }
            for flag in without_effect(options, given) {
                (self.warn)(&Warning::WithoutNetwork { flag, mode: special.to_string() });
            }
            let mode = special.find(|name| Ok(self.record(name)?.id))?;
            return Ok((mode, Vec::new()));
        }
        let mut networks = Vec::with_capacity(named.len());
        let mut can_publish = false;
        for (at, (name, given)) in named.into_iter().enumerate() {
            let create::Found::Network(network) = create::find(&self.roots, name)? else {
                fail!("--net {name}: give the network's name, not its id")
            };
            let first = at == 0;
            let mut settings = given.map(|given| given.settings.clone()).unwrap_or_default();
            if first && !settings.addresses.is_empty() && !options.endpoint.addresses.is_empty() {
                fail!("--ip and --network name={name},ip=… both give an address; leave one out");
            }
            can_publish |= network.direct.is_none();
            if first {
                settings.addresses.extend(&options.endpoint.addresses);
                settings.link_local.extend(&options.endpoint.link_local);
                settings.mac = settings.mac.or(options.endpoint.mac);
            }
            settings.aliases.extend_from_slice(&options.endpoint.aliases);
            networks.push(NetworkRecord { name: network.name, settings });
        }
        // The same network may be given by its name and by its id.
        for (at, network) in networks.iter().enumerate() {
            if networks[..at].iter().any(|other: &NetworkRecord| other.name == network.name) {
                fail!("--net {} was given twice; remove one", network.name);
            }
        }
        if !can_publish && !options.publish.is_empty() {
            (self.warn)(&Warning::PublishedWithoutBridge);
        }
        Ok((NetworkMode::on(networks.first().map(|first| &*first.name)), networks))
    }

    /// Fails if the new container would join its own network. Called before the container's name is
    /// claimed.
    pub(super) fn refuse_own_network(&self, options: &CreateOptions) -> Result<()> {
        let Some(own) = &options.name else { return Ok(()) };
        let mut joined = options.networks.iter().filter_map(|given| given.network.container());
        let is_own = joined.any(|name| name.strip_prefix('/').unwrap_or(name) == own);
        if is_own && names::look_up(&self.roots, own)?.is_none() {
            fail!("cannot join own network: container {own} is the one that is created");
        }
        Ok(())
    }

    /// Makes a network (`network create`) and returns its id. Fails for example if the name is
    /// taken, reserved or not valid.
    pub fn network_create(&self, options: &NetworkOptions) -> Result<String> {
        if !naming::is_valid(&options.name) {
            fail!(
                "bad network name '{}': write a letter or digit, then letters, digits, '_', '.' or \
                 '-', 128 bytes at most",
                options.name
            );
        }
        let is_reserved = |name| matches!(name, "none" | "host" | DEFAULT | "container");
        if is_reserved(naming::given(&options.name)) {
            fail!("a network can't be named {}: the name is reserved", options.name);
        }
        let network = create::create(&self.roots, options)?;
        let mut host = Socket::route()?;
        parent::make_ready(&mut host, &self.roots, &network).inspect_err(|_| {
            if network.direct.is_some() {
                // Ignore errors here: the user must see the first failure.
                let _ = lifecycle::remove(&self.roots, &network, is_alive);
            }
        })?;
        self.note(&[event::of_network("create", &network.facts())]);
        Ok(network.id)
    }

    /// Returns all networks, sorted by name (`network ls`). The three networks that always exist
    /// are included.
    pub fn network_list(&self) -> Result<Vec<NetworkView>> {
        let mut views = Vec::new();
        for network in create::all(&self.roots)? {
            let leases = ipam::leases(&self.roots, &network)?;
            let mut containers: Vec<ContainerId> =
                leases.into_iter().map(|lease| lease.owner).collect();
            containers.dedup();
            containers.retain(|owner| is_alive(&self.roots, owner));
            views.push(NetworkView {
                id: network.id.clone(),
                driver: network.driver(),
                created: Some(Instant(network.created)),
                is_builtin: network.name == DEFAULT,
                subnets: network.pools.iter().map(|pool| pool.subnet).collect(),
                gateways: network.pools.iter().map(|pool| pool.gateway).collect(),
                containers: containers.len(),
                internal: network.internal,
                ipv6: network.pool(Family::V6).is_some(),
                labels: network.labels.clone(),
                name: network.name,
            });
        }
        let default = views.iter().find(|view: &&NetworkView| view.name == DEFAULT);
        let created = default.and_then(|default| default.created);
        for name in naming::WITHOUT_BRIDGE {
            views.push(NetworkView {
                id: naming::fixed_id(&self.roots, name),
                created,
                is_builtin: true,
                name: name.to_owned(),
                driver: if name == "none" { "null" } else { "host" },
                subnets: Vec::new(),
                gateways: Vec::new(),
                containers: 0,
                internal: false,
                ipv6: false,
                labels: Vec::new(),
            });
        }
        order::sort_by(&mut views, |one, other| one.name.cmp(&other.name));
        Ok(views)
    }

    /// Removes a network (`network rm`). Fails if a running container uses the network, and for the
    /// three networks that always exist.
    pub fn network_remove(&self, name: &str) -> Result<()> {
        match create::find(&self.roots, name)? {
            create::Found::Network(network) if network.name != DEFAULT => {
                lifecycle::remove(&self.roots, &network, is_alive)?;
                self.note(&[event::of_network("destroy", &network.facts())]);
                Ok(())
            }
            _ => fail!("network {name} always exists: it can't be removed"),
        }
    }

    /// Connects a container to a network (`network connect`). A running container gets the
    /// interface now, a stopped one at its next start. The record is written last. If the process
    /// is killed before that, the next change of the running container's networks removes the
    /// interface. Returns the errors of hosts files that could not be written.
    pub fn network_connect(
        &self,
        network: &str,
        container: &str,
        settings: &EndpointSettings,
    ) -> Result<Vec<Error>> {
        let network = self.network(network)?;
        if network.name == DEFAULT && !(settings.aliases.is_empty() && settings.links.is_empty()) {
            fail!(
                "--alias and --link need a network of your own: on the default one containers do not \
                 find each other by name"
            );
        }
        let (mut record, _change) = self.change_networks(container)?;
        let state = self.running_state(&record)?;
        self.finish_change(&record, state.is_some(), &network)?;
        if record.is_on(&network.name) {
            fail!("container {container} is on network {} already", network.name);
        }
        let wanted = NetworkRecord { name: network.name.clone(), settings: settings.clone() };
        let mut unwritten = Vec::new();
        if let Some(state) = &state {
            let Some(namespace) = open_namespace(state)? else {
                fail!("container {container} ended just now; start it first");
            };
            let config = endpoint_config(&record, &wanted);
            let container = self::container(&record);
            unwritten =
                change::connect(&self.roots, self.firewall, namespace, &container, &config)?;
        }
        record.networks.push(wanted);
        record.network = NetworkMode::on(record.networks.first().map(|first| &*first.name));
        record.write(&self.roots).inspect_err(|_| {
            if state.is_some() {
                // Ignore errors here: the user must see the failure to write the record.
                let _ = change::disconnect(&self.roots, &record.id, &network.name);
            }
        })?;
        if state.is_some() {
            self.note_membership("connect", &network, &record);
        }
        Ok(unwritten)
    }

    /// Writes the event that a running container was connected to a network or disconnected from
    /// it.
    fn note_membership(&self, action: &str, network: &Network, record: &Record) {
        self.note(&events::of_networks(&record.id, action, &[network.facts()]));
    }

    /// Disconnects a container from a network (`network disconnect`). The record is written first.
    /// If the process is killed after that, a running container keeps the interface until the next
    /// change of its networks. Returns the errors of hosts files that could not be written.
    pub fn network_disconnect(&self, network: &str, container: &str) -> Result<Vec<Error>> {
        let network = match create::find(&self.roots, network)? {
            create::Found::Network(network) => *network,
            // Docker requires `network disconnect none` before a container with `none` is connected
            // to a network. mydocker does not, so the command does nothing.
            create::Found::WithoutBridge("none")
                if self.record(container)?.network == NetworkMode::None =>
            {
                return Ok(Vec::new());
            }
            create::Found::WithoutBridge(special) => fail!("{}", fixed(special)),
        };
        let (mut record, _change) = self.change_networks(container)?;
        let state = self.running_state(&record)?;
        let is_running = state.is_some();
        let finished = self.finish_change(&record, is_running, &network)?;
        if !record.is_on(&network.name) {
            if finished {
                self.restore_routes(&record, state.as_ref())?;
                return Ok(Vec::new());
            }
            fail!("container {container} is not on network {}", network.name);
        }
        record.networks.retain(|known| known.name != network.name);
        record.network = NetworkMode::on(record.networks.first().map(|first| &*first.name));
        record.write(&self.roots)?;
        if is_running {
            let unwritten = change::disconnect(&self.roots, &record.id, &network.name)?;
            self.restore_routes(&record, state.as_ref())?;
            self.note_membership("disconnect", &network, &record);
            Ok(unwritten)
        } else {
            Ok(Vec::new())
        }
    }

    /// Gives a running container a default route if a disconnection took it.
    fn restore_routes(&self, record: &Record, state: Option<&State>) -> Result<()> {
        match state.map_or(Ok(None), open_namespace)? {
            Some(mut namespace) => change::restore_routes(&self.roots, &record.id, &mut namespace),
            None => Ok(()),
        }
    }

    /// Finishes a change of a running container's networks that a kill interrupted. Returns true if
    /// `finish_change` itself removed the container from `network`.
    fn finish_change(&self, record: &Record, is_running: bool, network: &Network) -> Result<bool> {
        let recorded = |name: &str| record.is_on(name);
        Ok(is_running && change::finish(&self.roots, &record.id, network, recorded)?)
    }

    /// Returns the network with this name or id. Fails for `host` and `none`, which a container
    /// cannot join later.
    fn network(&self, name: &str) -> Result<Network> {
        match create::find(&self.roots, name)? {
            create::Found::Network(network) => Ok(*network),
            create::Found::WithoutBridge(special) => fail!("{}", fixed(special)),
        }
    }

    /// Returns the record of a container whose networks can be changed, and its lock for changes.
    fn change_networks(&self, container: &str) -> Result<(Record, Lock)> {
        // Clean up after a killed monitor before the lock is taken, because the cleanup takes it
        // too.
        self.condition(&self.record(container)?)?;
        let id = names::resolve(&self.roots, container)?;
        let Some(change) = Files::new(&self.roots, &id).lock_changes()? else {
            fail!("no such container: {container}")
        };
        let record = Record::read(&self.roots, &id)?;
        if record.network.is_shared() {
            fail!(
                "container {container} shares the network of {} and has none of its own",
                record.network
            );
        }
        Ok((record, change))
    }

    /// Returns the state of a running container. The caller holds the container's lock for changes.
    fn running_state(&self, record: &Record) -> Result<Option<State>> {
        let Some(state) = running(&self.roots, record)? else { return Ok(None) };
        Ok(state.find()?.living().map(|_| state))
    }

    /// Restores the bridges and firewall rules of running containers (`network reload`).
    pub fn network_reload(&self) -> Result<()> {
        attachment::reload::reload(&self.roots, self.firewall)
    }

    /// Returns a warning if the host has no usable packet filter. If the mark in the run root can
    /// be written, the warning appears once per boot.
    pub fn network_warning(&self) -> Option<String> {
        let mark = self.roots.run.join("no-firewall");
        if mark.exists() {
            return None;
        }
        let shortcoming = firewall::shortcoming(&self.roots, self.firewall)?;
        // If the mark can't be written, the warning appears again.
        let _ = std::fs::write(&mark, "");
        Some(format!(
            "containers reach the host and each other, but nothing beyond, and no port can be \
             published: {shortcoming}"
        ))
    }

    /// Removes the unused networks that `wanted` accepts. Of the default network, removes only the
    /// bridge. Returns the names of the other removed networks. Warns of a network that cannot be
    /// removed.
    pub fn network_prune(&self, wanted: PruneChoice<'_>) -> Result<Vec<String>> {
        let wanted = |network: &Network| {
            let created = Some(Instant(network.created));
            wanted(&PruneCandidate { created, labels: &network.labels })
        };
        let keep = |error| (self.warn)(&Warning::NotPruned(error));
        let removed = lifecycle::prune(&self.roots, is_alive, &wanted, &keep)?;
        let events = removed.iter().map(|network| event::of_network("destroy", network));
        let end = event::of_prune(Kind::Network, 0);
        self.note(&events.chain([end]).collect::<Vec<_>>());
        Ok(removed.into_iter().map(|network| network.name).collect())
    }
}

/// Opens the network namespace of a running container; `None` if the container has just ended.
fn open_namespace(state: &State) -> Result<Option<NetworkNamespace>> {
    let Some(pid) = Pid::from_raw(state.pid) else { return Ok(None) };
    let namespace = NetworkNamespace::open(pid);
    // The namespace belongs to this container only if the process still lives: the kernel reuses
    // PIDs.
    if state.find()?.living().is_none() {
        return Ok(None);
    }
    namespace.map(Some)
}

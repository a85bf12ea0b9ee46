//! The networks and volumes of a project: `up` makes them before the containers. `down` of a whole
//! project removes the networks, and with `-v` also the volumes.
//!
//! The labels of a network or volume name the project. An external network or volume must exist
//! already. If a network that is not external belongs to another project or to none, `up` fails.
//! `up` only warns of such a volume, and uses it.

use super::members::Session;
use super::node::Node;
use super::print::json;
use super::project::Service;
use crate::digest::Digest;
use crate::engine::options::NetworkOptions;
use crate::engine::project::{HASH, PROJECT, label};
use crate::error::{Context, Result, fail};

/// The label with the network's key in the compose file.
const NETWORK: &str = "com.docker.compose.network";
/// The label with the volume's key in the compose file.
const VOLUME: &str = "com.docker.compose.volume";
/// The label with the version of mydocker that made the container, network or volume.
pub const VERSION: &str = "com.docker.compose.version";

/// Makes the options of `network create` from a network's node.
pub type MakeNetwork<'a> = &'a dyn Fn(&Node) -> Result<NetworkOptions>;

impl Session<'_> {
    fn labels(&self, kind: &str, key: &str, node: &Node) -> Vec<(String, String)> {
        vec![
            (kind.to_owned(), key.to_owned()),
            (PROJECT.to_owned(), self.project.name.clone()),
            (VERSION.to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            (HASH.to_owned(), Digest::of(json(node, true).as_bytes()).hex()),
        ]
    }

    /// Returns the networks or volumes of the file that `services` use.
    fn used(&self, section: &str, services: &[&Service]) -> Vec<&(String, Node)> {
        let is_used = |key: &str| {
            services
                .iter()
                .any(|service| service.uses(section).iter().any(|(name, _)| *name == key))
        };
        let all = self.project.root.entries_of(section);
        all.iter().filter(|(key, _)| is_used(key)).collect()
    }

    /// Makes the missing networks that `services` use. Makes a network again if its configuration
    /// changed. Fails if an external network is missing, or if another of the networks exists but
    /// is not this project's. Also fails if running containers use a changed network, or if a
    /// network cannot be made.
    pub fn make_networks(&self, services: &[&Service], make: MakeNetwork<'_>) -> Result<()> {
        let used = self.used("networks", services);
        if used.is_empty() {
            return Ok(());
        }
        let known = self.engine.network_list()?;
        for (key, node) in used {
            let name = node.get_text("name").unwrap_or_default();
            let found = known.iter().find(|network| network.name == name);
            if node.get_bool("external") {
                if found.is_none() && known.iter().all(|network| !network.id.starts_with(name)) {
                    return Err(node.wrong(format_args!(
                        "the external network {name} does not exist; make it with mydocker \
                         network create {name}"
                    )));
                }
                continue;
            }
            let labels = self.labels(NETWORK, key, node);
            if let Some(found) = found {
                let is_ours = label(&found.labels, PROJECT) == Some(&self.project.name)
                    && label(&found.labels, NETWORK) == Some(key);
                if !is_ours {
                    return Err(node.wrong(format_args!(
                        "network {name} exists and is not this project's; to use it write \
                         external: true"
                    )));
                }
                if label(&found.labels, HASH) == label(&labels, HASH) {
                    continue;
                }
                if found.containers > 0 {
                    return Err(node.wrong(format_args!(
                        "network {name} has changed and containers use it; run mydocker compose \
                         down, then up again"
                    )));
                }
                self.engine.network_remove(name)?;
            }
            let mut options = make(node)?;
            name.clone_into(&mut options.name);
            options.labels.extend(labels);
            self.engine.network_create(&options).context(|| format!("{}", node.place))?;
            self.note("Network", name, "Created");
        }
        Ok(())
    }

    /// Makes the missing volumes that `services` use. Reports an existing volume that is neither
    /// external nor this project's, and a volume whose configuration changed. Fails if an external
    /// volume is missing or a volume cannot be made.
    pub fn make_volumes(&self, services: &[&Service]) -> Result<()> {
        let used = self.used("volumes", services);
        if used.is_empty() {
            return Ok(());
        }
        let known = self.engine.volumes(false)?;
        for (key, node) in used {
            let name = node.get_text("name").unwrap_or_default();
            let found = known.iter().find(|volume| volume.name == name);
            if node.get_bool("external") {
                if found.is_none() {
                    return Err(node.wrong(format_args!(
                        "the external volume {name} does not exist; make it with mydocker volume \
                         create {name}"
                    )));
                }
                continue;
            }
            match found {
                None => {
                    let mut labels = self.labels(VOLUME, key, node);
                    for (key, value) in node.entries_of("labels") {
                        labels.insert(0, (key.clone(), value.as_text().to_owned()));
                    }
                    let mut options = Vec::new();
                    for (key, value) in node.entries_of("driver_opts") {
                        options.push((key.clone(), value.as_text().to_owned()));
                    }
                    self.engine
                        .volume_create(Some(name), &labels, &options)
                        .context(|| format!("{}", node.place))?;
                    self.note("Volume", name, "Created");
                }
                Some(found) if label(&found.labels, PROJECT) != Some(&self.project.name) => {
                    (self.report)(&format!(
                        " Volume {name}  exists and is not this project's; it is used all the \
                         same, and external: true says so"
                    ));
                }
                Some(found) => {
                    let labels = self.labels(VOLUME, key, node);
                    if label(&found.labels, HASH) != label(&labels, HASH) {
                        (self.report)(&format!(
                            " Volume {name}  has changed in the file and stays as it is; mydocker \
                             compose down -v removes it with its data"
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// Removes the networks of the project. A network that a running container uses stays, which is
    /// only reported.
    pub fn remove_networks(&self) -> Result<()> {
        for network in self.engine.network_list()? {
            if label(&network.labels, PROJECT) != Some(&self.project.name) {
                continue;
            }
            if network.containers > 0 {
                self.note("Network", &network.name, "Stays: a container is on it");
                continue;
            }
            self.engine.network_remove(&network.name)?;
            self.note("Network", &network.name, "Removed");
        }
        Ok(())
    }

    /// Removes the volumes of the project. A volume that a container still uses stays, which is an
    /// error.
    pub fn remove_volumes(&self) -> Result<()> {
        let mut failed = None;
        for volume in self.engine.volumes(false)? {
            if label(&volume.labels, PROJECT) != Some(&self.project.name) {
                continue;
            }
            match self.engine.volume_remove(&volume.name, true) {
                Ok(()) => self.note("Volume", &volume.name, "Removed"),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) => fail!("{error}"),
            None => Ok(()),
        }
    }
}

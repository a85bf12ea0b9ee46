//! `system check` for images, volumes and networks.
//!
//! The checks find leftovers of killed commands, names without an image, objects that lack a part,
//! leases of containers that do not run, links without a network, and firewall rules that differ
//! from the records. Each finding has its repair, which `--repair` runs, or advice if only the user
//! can repair it. Containers are checked first, in `containers`.

use super::Findings;
use crate::container_id::ContainerId;
use crate::engine::Engine;
use crate::engine::network::is_alive;
use crate::error::Result;
use crate::image::{Flaw, ImageStore};
use crate::network::attachment::rules;
use crate::network::record::Network;
use crate::network::{alias, ipam, lifecycle, link, naming};
use crate::store;
use crate::sys::netlink::Socket;
use crate::volume::{self, mounted};

impl Engine {
    /// Checks names, images and leftovers. Each leftover is checked again before its removal,
    /// because another command may now use it.
    pub(super) fn check_images(&self, findings: &mut Findings) -> Result<()> {
        let images = ImageStore::open(&self.roots);
        for flaw in images.flaws()? {
            match flaw {
                Flaw::NoImage(name) => {
                    let what = format!("image name {} refers to no image", name.familiar());
                    findings.add(what, || images.remove_dangling(&name));
                }
                Flaw::BadName(name) => {
                    let what =
                        format!("{} holds no image id", images.reference_path(&name).display());
                    findings.add(what, || images.remove_bad_name(&name));
                }
                Flaw::Unreadable(id, reason) => {
                    let what = format!("image {} can't be read: {reason}", id.short());
                    let advice =
                        format!("remove it with `rmi {}`, then load or pull it again", id.short());
                    findings.advise(what, advice);
                }
                Flaw::NoLayer(id, layer) => {
                    let what = format!("image {} lacks its layer {layer}", id.short());
                    findings.advise(what, "load or pull the image again, or remove it".into());
                }
            }
        }
        for leftover in images.leftovers()? {
            let what = format!("{} {}", leftover.path().display(), leftover.what());
            findings.add(what, || images.remove_leftover(&leftover));
        }
        Ok(())
    }

    /// Finds what killed builds left, and files that are no entries of the build cache. Runs before
    /// the check of the images, because the repair moves the layers of a killed build into place.
    #[cfg(feature = "build")]
    pub(super) fn check_builds(&self, findings: &mut Findings) -> Result<()> {
        for path in self.dead_builds()? {
            let what = format!("{} was left by a killed build", path.display());
            findings.add(what, || self.sweep_builds());
        }
        for path in ImageStore::open(&self.roots).cache_leftovers()? {
            let what = format!("{} is no entry of the build cache", path.display());
            findings.add(what, || store::remove_tree(&path));
        }
        Ok(())
    }

    /// Finds leftovers of killed commands, damaged volumes, and mounted volumes that no container
    /// uses.
    pub(super) fn check_volumes(&self, findings: &mut Findings) -> Result<()> {
        for path in volume::leftovers(&self.roots)? {
            findings.add(format!("{} was left by a killed command", path.display()), || {
                store::remove_tree(&path)
            });
        }
        for (name, flaw) in volume::flaws(&self.roots)? {
            findings.add(format!("volume {name} {}", flaw.what()), || {
                volume::mend(&self.roots, &name, flaw)
            });
        }
        for name in self.abandoned_volumes()? {
            findings.add(format!("volume {name} is mounted, and no container uses it"), || {
                mounted::unmount_unused(&self.roots, &name)
            });
        }
        Ok(())
    }

    /// Finds networks whose removal was cut short, records that cannot be read, stale leases, links
    /// whose network or container is gone, and missing or needless rules of the firewall.
    pub(super) fn check_networks(&self, findings: &mut Findings) -> Result<()> {
        for path in lifecycle::removals(&self.roots)? {
            let what = format!("the removal of {} was cut short", path.display());
            findings.add(what, || store::remove_tree(&path));
        }
        let mut all_readable = true;
        for name in store::list(&self.roots.networks())? {
            match Network::read(&self.roots, &name) {
                Ok(Some(network)) => self.check_leases(&network, findings)?,
                Ok(None) => {}
                Err(error) => {
                    all_readable = false;
                    let place = naming::dir(&self.roots, &name);
                    findings.advise(
                        format!("network {name} can't be read: {error}"),
                        format!("remove {} and create the network again", place.display()),
                    );
                }
            }
        }
        // The links and the firewall's rules are compared with the records of all networks, so
        // these checks need each record.
        if all_readable {
            for (link, alias) in alias::orphans(&self.roots)? {
                let kind = if link.starts_with(naming::BRIDGE_PREFIX) { "bridge" } else { "link" };
                findings.add(format!("{kind} {link} was made for {alias}, which is gone"), || {
                    link::delete(&mut Socket::route()?, &link)
                });
            }
            for flaw in rules::flaws(&self.roots)? {
                findings.add(flaw, || self.network_reload());
            }
        }
        Ok(())
    }

    fn check_leases(&self, network: &Network, findings: &mut Findings) -> Result<()> {
        let stale = {
            let _giving_out = network.lock(&self.roots)?;
            ipam::stale(&self.roots, network, is_alive)?
        };
        for lease in stale {
            let (address, name) = (lease.address, &network.name);
            let owner = lease.owner.as_ref().map_or("(unknown)", ContainerId::short).to_owned();
            let what = match address {
                Some(address) => format!(
                    "address {address} of network {name} is leased to container {owner}, which is \
                     not running"
                ),
                None => format!(
                    "network {name} counts container {owner} as a member, which is not running"
                ),
            };
            findings.add(what, || {
                let _giving_out = network.lock(&self.roots)?;
                ipam::release_stale(&self.roots, network, &lease)
            });
        }
        Ok(())
    }
}

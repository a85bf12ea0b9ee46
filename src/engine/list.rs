//! `ps`: lists containers with their present state.
//!
//! Each call reads the files of each container again and finds out whether its monitor lives. So a
//! list shows the end of a container even after a killed monitor or a reboot. For most containers
//! that run or have ended, `Listed` reads only a few files. For the rest, `observe` reads the whole
//! record. A container that cannot be read does not stop the list. This file applies the filters;
//! `cli::ps` has the columns.

use std::collections::{HashMap, HashSet};
use std::mem::Discriminant;
use std::time::Duration;

use super::Engine;
use super::condition::Pauses;
use super::options::Filter;
use super::options::RemoveOptions;
use super::ports::Reachable;
use super::view::{ContainerView, HealthStatus, Status, has_label, pass, pass_by};
use crate::container::files::{Files, PAUSES};
use crate::container::health::Health;
use crate::container::record::{MountKind, Record, Summary, all_ids};
use crate::container::state::{self, Condition, Present, is_paused};
use crate::container_id::ContainerId;
use crate::digest::ImageId;
use crate::error::Result;
use crate::image::ImageStore;
use crate::network::create;
use crate::order;
use crate::store::{self, Directory, tree_size};
use crate::time::Instant;

/// The longest total wait of a list for containers that are starting.
const MAX_WAIT: Duration = Duration::from_millis(200);

impl Engine {
    /// Lists the containers, newest first; without `all`, only the active ones. With `all`, an
    /// unreadable container is listed as dead, with the reason, unless a filter needs its record.
    /// The rest of an interrupted `--rm` is removed and not listed. Fails if a filter names a
    /// container that does not exist.
    pub fn containers(&self, all: bool, filters: &[Filter]) -> Result<Vec<ContainerView>> {
        let mut views = Vec::new();
        let mut pauses = Pauses::within(MAX_WAIT);
        let (of_records, of_states) = self.split(filters)?;
        // List the run root before any outcome is read: if a container starts in between, its
        // record or its outcome shows a run that has not ended.
        let active = store::list(&self.roots.run)?.into_iter().collect();
        let may_be_paused = self.roots.run.join(PAUSES).exists();
        let containers = Directory::open(&self.roots.containers())?;
        let run = Directory::open(&self.roots.run)?;
        let listed = containers.zip(run).map(|(containers, run)| Listed {
            containers,
            run,
            active,
            may_be_paused,
        });
        for id in all_ids(&self.roots)? {
            let Some(view) = self.view(&id, listed.as_ref(), &of_records, &mut pauses) else {
                continue;
            };
            let shown = all || view.status.is_active();
            if shown && pass(&of_states, |_| false, |filter| holds_of_state(&view, filter)) {
                views.push(view);
            }
        }
        self.name_images(&mut views);
        order::sort_by(&mut views, |a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
        Ok(views)
    }

    /// Replaces an image's name by the id if the name no longer belongs to the container's image.
    fn name_images(&self, views: &mut [ContainerView]) {
        let store = ImageStore::open(&self.roots);
        let mut known: HashMap<String, Option<ImageId>> = HashMap::new();
        for view in views {
            let Some(id) = view.image_id else { continue };
            let meant = view.image.as_ref().and_then(|name| {
                let found = || store.find(name).ok().flatten();
                *known.entry(name.typed().to_owned()).or_insert_with(found)
            });
            if meant != Some(id) {
                view.image = id.short().parse().ok();
            }
        }
    }

    /// Returns one container as `containers` lists it with `all`, but with the image's recorded
    /// name. Returns `None` if `containers` would not list the container.
    pub fn look_at(&self, id: &ContainerId) -> Option<ContainerView> {
        self.view(id, None, &[], &mut Pauses::within(MAX_WAIT))
    }

    /// Adds the size on disk, in bytes, to each container.
    pub fn measure(&self, views: &mut [ContainerView]) -> Result<()> {
        let images = self.image_sizes()?;
        for view in views {
            let own = self.written(&view.id);
            let image = view.image_id.and_then(|id| images.get(&id).copied());
            view.size = Some((own, own + image.unwrap_or(0)));
        }
        Ok(())
    }

    /// Returns the bytes that a container wrote, and the sum of these and the image's bytes.
    pub(super) fn sizes(&self, record: &Record) -> Result<(u64, u64)> {
        let own = self.written(&record.id);
        let images = self.image_sizes()?;
        let image = record.image_id.and_then(|id| images.get(&id).copied());
        Ok((own, own + image.unwrap_or(0)))
    }

    /// Returns the bytes that a container wrote.
    pub(super) fn written(&self, id: &ContainerId) -> u64 {
        tree_size(&Files::new(&self.roots, id).upper())
    }

    /// Returns the bytes of each image by the image's id.
    fn image_sizes(&self) -> Result<HashMap<ImageId, u64>> {
        let images = ImageStore::open(&self.roots).list()?.into_iter();
        Ok(images.map(|image| (image.id, image.size)).collect())
    }

    /// Separates the filters that need only the record from those that need the present state,
    /// which takes more reading. Looks up the containers, images and networks that filters name.
    fn split(&self, filters: &[Filter]) -> Result<(Vec<Wanted>, Vec<Filter>)> {
        let (mut of_records, mut of_states) = (Vec::new(), Vec::new());
        for filter in filters {
            of_records.push(match filter {
                Filter::Status(_) | Filter::Health(_) | Filter::Exited(_) | Filter::Publish(_) => {
                    of_states.push(filter.clone());
                    continue;
                }
                Filter::Isolation => continue,
                Filter::Ancestor(name) => Wanted::Images(self.image_and_descendants(name)?),
                Filter::Expose(_) => {
                    // As in Docker, `expose` matches only running containers.
                    of_states.push(filter.clone());
                    Wanted::Plain(filter.clone())
                }
                Filter::Since(name) => Wanted::Since(self.record(name)?.created),
                Filter::Before(name) => Wanted::Before(self.record(name)?.created),
                Filter::Network(name) => Wanted::Network(match create::find(&self.roots, name) {
                    Ok(create::Found::Network(network)) => network.name,
                    Ok(create::Found::WithoutBridge(special)) => special.to_string(),
                    // The record of a stopped container may name a network that was removed.
                    Err(error) if error.is_absent() => name.clone(),
                    Err(error) => return Err(error),
                }),
                filter => Wanted::Plain(filter.clone()),
            });
        }
        Ok((of_records, of_states))
    }

    /// Returns the image `name` and the images that were made from it. There are none if no image
    /// has that name.
    fn image_and_descendants(&self, name: &str) -> Result<Vec<ImageId>> {
        let store = ImageStore::open(&self.roots);
        let Ok(name) = name.parse() else { return Ok(Vec::new()) };
        let Some(image) = store.resolve(&name)? else { return Ok(Vec::new()) };
        let mut ids = store.descendants(&image.config)?;
        ids.push(image.id);
        Ok(ids)
    }

    /// Returns one container. Returns `None` if the filters leave it out, if it does not exist, or
    /// if it is the rest of an interrupted `--rm`. With `listed`, first tries to read only a few of
    /// the container's files.
    fn view(
        &self,
        id: &ContainerId,
        listed: Option<&Listed>,
        wanted: &[Wanted],
        pauses: &mut Pauses,
    ) -> Option<ContainerView> {
        let glimpsed = listed.and_then(|listed| listed.glimpse(id, wanted).transpose());
        // If the record was written during the read, the read may fail, so `observe` reads the
        // record again.
        let found = match glimpsed {
            Some(Ok(seen)) => Ok(seen),
            Some(Err(_)) | None => self.observe(id, wanted, pauses),
        };
        let (summary, condition) = match found {
            Ok(Seen::Present(summary, present)) => {
                let Present { pid, started, paused } = present;
                let status = Status::Running { pid, started: Instant(started), paused };
                return Some(self.view_of(*summary, status));
            }
            Ok(Seen::Container(summary, condition)) => (*summary, condition),
            Ok(Seen::Unwanted) => return None,
            // The container is being created or removed, or its `create` was killed.
            Err(_) if !self.roots.containers().join(id).join("config.json").exists() => {
                return None;
            }
            // Only the id of an unreadable container is known.
            Err(error) => {
                let holds = |wanted: &Wanted| match wanted {
                    Wanted::Plain(Filter::Id(start)) => id.starts_with(start.as_str()),
                    _ => false,
                };
                return wanted.iter().all(holds).then(|| dead(id, error.to_string()));
            }
        };
        let status = match condition {
            Ok(Condition::Created(_) | Condition::Starting) => Status::Created,
            Ok(Condition::Running(state)) => Status::Running {
                pid: state.pid,
                started: Instant(state.started),
                paused: is_paused(&Files::new(&self.roots, id), &state),
            },
            Ok(Condition::Restarting(last)) => {
                Status::Restarting { code: last.exit_code, finished: Instant(last.finished) }
            }
            Ok(Condition::Exited(outcome)) => Status::Exited {
                code: outcome.exit_code,
                finished: Instant(outcome.finished),
                oom_killed: outcome.oom_killed,
            },
            Ok(Condition::Leftover) => {
                self.sweep(id);
                return None;
            }
            Err(error) => Status::Dead { reason: error.to_string() },
        };
        Some(self.view_of(summary, status))
    }

    fn view_of(&self, summary: Summary, status: Status) -> ContainerView {
        let running = Some(&summary).filter(|_| matches!(status, Status::Running { .. }));
        let Reachable { published, exposed, addresses } =
            running.map(|summary| self.reachable_at(summary)).unwrap_or_default();
        let health = running.filter(|summary| summary.has_health_check()).and_then(|summary| {
            // If the file cannot be read, the health status is unknown.
            let health = Health::read(&Files::new(&self.roots, &summary.id)).unwrap_or_default();
            health.map(|health| health.status)
        });
        let mounts = summary.mounts.iter();
        ContainerView {
            volumes: mounts.clone().filter_map(|mount| mount.volume.clone()).collect(),
            mounted_images: mounts.clone().filter_map(|mount| *mount.image.as_ref()?.id).collect(),
            mounts: mounts
                .filter_map(|mount| mount.volume.clone().or_else(|| mount.source.0.clone()))
                .collect(),
            networks: summary.network_names(),
            args: summary.entrypoint.into_iter().chain(summary.command).collect(),
            addresses,
            id: summary.id,
            name: summary.name,
            image: summary.image.0,
            image_id: summary.image_id.0,
            created: Instant(summary.created),
            status,
            health,
            published,
            exposed,
            labels: summary.labels,
            size: None,
        }
    }

    /// Reads the whole record and the state of a container.
    fn observe(&self, id: &ContainerId, wanted: &[Wanted], pauses: &mut Pauses) -> Result<Seen> {
        let record = Record::read(&self.roots, id)?;
        let summary = Summary::of(&record);
        if !is_wanted(&summary, wanted) {
            return Ok(Seen::Unwanted);
        }
        let condition = loop {
            match self.present_condition(&record) {
                Ok(Condition::Starting) if pauses.wait() => {}
                condition => break condition,
            }
        };
        Ok(Seen::Container(Box::new(summary), condition))
    }

    /// Removes an `--rm` container whose removal was interrupted.
    fn sweep(&self, id: &ContainerId) {
        // If the removal fails, the next command that lists containers tries again.
        let _ = self.remove(id, RemoveOptions { volumes: true, ..RemoveOptions::default() });
    }
}

/// The result of reading a container.
enum Seen {
    Unwanted,
    Present(Box<Summary>, Present),
    Container(Box<Summary>, Result<Condition>),
}

/// The open directories below which a list reads the files of all containers.
struct Listed {
    containers: Directory,
    /// The run root.
    run: Directory,
    /// The names in the run root, which has a directory for each container that has a monitor,
    /// starts or was not cleaned up.
    active: HashSet<String>,
    /// Whether a container was paused since the run root was made.
    may_be_paused: bool,
}

impl Listed {
    /// Reads the summary of a container. If the container has a run directory, also reads the state
    /// and perhaps the mark of a pause. If the container has none, reads the outcome. Returns
    /// `None` if these files do not show the container's condition.
    fn glimpse(&self, id: &ContainerId, wanted: &[Wanted]) -> Result<Option<Seen>> {
        let Some(summary) = Summary::read(&self.containers, id)? else { return Ok(None) };
        if !is_wanted(&summary, wanted) {
            return Ok(Some(Seen::Unwanted));
        }
        let summary = Box::new(summary);
        if self.active.contains::<str>(id) {
            let present = state::present(&self.run, id, self.may_be_paused)?;
            return Ok(present.map(|present| Seen::Present(summary, present)));
        }
        let outcome = self.containers.read_json(&format!("{id}/outcome.json"));
        let condition = outcome.and_then(|outcome| state::settled(summary.origin(), outcome));
        Ok(condition.transpose().map(|condition| Seen::Container(summary, condition)))
    }
}

fn is_wanted(summary: &Summary, wanted: &[Wanted]) -> bool {
    let is_label = |wanted: &Wanted| matches!(wanted, Wanted::Plain(Filter::Label(_)));
    pass_by(wanted, Wanted::kind, is_label, |wanted| wanted.holds(summary))
}

fn dead(id: &ContainerId, reason: String) -> ContainerView {
    ContainerView {
        id: id.clone(),
        name: String::new(),
        image: None,
        image_id: None,
        args: Vec::new(),
        created: Instant(0),
        status: Status::Dead { reason },
        health: None,
        published: Vec::new(),
        exposed: Vec::new(),
        labels: Vec::new(),
        mounts: Vec::new(),
        volumes: Vec::new(),
        mounted_images: Vec::new(),
        networks: Vec::new(),
        addresses: Vec::new(),
        size: None,
    }
}

/// A filter that needs only the record.
enum Wanted {
    Plain(Filter),
    Since(i64),
    Before(i64),
    Network(String),
    Images(Vec<ImageId>),
}

impl Wanted {
    /// Returns the kind of the filter. Of several filters of one kind, one must match, except that
    /// all labels must match.
    fn kind(&self) -> (Discriminant<Wanted>, Option<Discriminant<Filter>>) {
        let filter = match self {
            Wanted::Plain(filter) => Some(std::mem::discriminant(filter)),
            _ => None,
        };
        (std::mem::discriminant(self), filter)
    }

    fn holds(&self, record: &Summary) -> bool {
        match self {
            Wanted::Plain(filter) => holds_of_record(record, filter),
            Wanted::Since(created) => record.created > *created,
            Wanted::Before(created) => record.created < *created,
            Wanted::Network(name) => record.network_names().contains(name),
            Wanted::Images(ids) => record.image_id.as_ref().is_some_and(|id| ids.contains(id)),
        }
    }
}

fn holds_of_record(record: &Summary, filter: &Filter) -> bool {
    match filter {
        Filter::Id(prefix) => record.id.starts_with(prefix.as_str()),
        Filter::Name(regex) => {
            regex.is_match(&record.name) || regex.is_match(&format!("/{}", record.name))
        }
        Filter::Label(wanted) => has_label(&record.labels, wanted),
        Filter::Volume(wanted) => record.mounts.iter().any(|mount| {
            mount.volume.as_ref() == Some(wanted)
                || mount.target == *wanted
                || (mount.kind == MountKind::Bind && mount.source.as_ref() == Some(wanted))
        }),
        Filter::Expose(ports) => record.exposed_ports().iter().any(|exposed| {
            let (port, protocol) = exposed.split_once('/').unwrap_or((exposed, "tcp"));
            protocol == ports.protocol.name()
                && port.parse().is_ok_and(|port| (ports.first..=ports.last).contains(&port))
        }),
        _ => true,
    }
}

fn holds_of_state(view: &ContainerView, filter: &Filter) -> bool {
    match filter {
        Filter::Status(name) => view.status.name() == name,
        Filter::Expose(_) => matches!(view.status, Status::Running { .. }),
        Filter::Publish(wanted) => view.published.iter().any(|port| {
            port.protocol == wanted.protocol
                && (wanted.first..=wanted.last).contains(&port.host.port())
        }),
        Filter::Health(name) => view.health.map_or("none", HealthStatus::name) == name,
        Filter::Exited(wanted) => {
            matches!(view.status, Status::Exited { code, .. } if i32::from(code) == *wanted)
        }
        _ => true,
    }
}

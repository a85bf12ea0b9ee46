//! `up`, `create` and `run`: makes the containers of a project as its files describe them. Except
//! for `create`, also starts the containers, in dependency order.
//!
//! `advance` never waits for a condition. `advance` makes and starts the services whose
//! dependencies are ready, and returns. So the caller can print logs and receive signals in
//! between.
//!
//! `up` makes a container again if its configuration or its image has changed, or if it is dead.
//! `up` also makes a container again if it shares the namespaces or volumes of a container that was
//! made again. With `--force-recreate` an unchanged container is made again too, and with
//! `--no-recreate` only a dead one.
//!
//! The steps are: make the new container under a temporary name, stop and remove the old one,
//! rename the new one. If the first step fails, the old container is untouched. If the process is
//! killed between two steps, the next `up` keeps one container and gives it the right name.

use super::files::is_on;
use super::hooks;
use super::members::{self, Member, Session};
use super::project::{Dependency, Need, Project, Service};
use super::resources::{MakeNetwork, VERSION};
use super::settings::{container_name, image};
use super::shared::joined;
use crate::engine::child;
use crate::engine::options::CreateOptions;
use crate::engine::options::RemoveOptions;
use crate::engine::project::{DEPENDS_ON, HASH, NUMBER, ONEOFF, PROJECT, SERVICE, label};
use crate::engine::view::ContainerId;
use crate::engine::view::{ContainerView, HealthStatus, Status};
use crate::error::{Context, Result, fail};
use crate::order;

/// The label with the id of the image that a container was made of.
const IMAGE: &str = "com.docker.compose.image";
/// The label with the ids of the containers whose namespaces and volumes a container shares.
const JOINED: &str = "com.docker.compose.mydocker.joined";

/// The options of `up`, as docs.docker.com/reference/cli/docker/compose/up describes them.
#[derive(Clone, Debug, Default)]
pub struct UpOptions {
    /// The services to start; empty means all.
    pub wanted: Vec<String>,
    /// `--no-deps`: leave out the services that the wanted ones depend on.
    pub no_deps: bool,
    /// `--force-recreate`: make containers of wanted services again even if nothing changed.
    pub force_recreate: bool,
    /// `--always-recreate-deps`: like `force_recreate`, for the services that the wanted ones
    /// depend on.
    pub recreate_dependencies: bool,
    /// `--no-recreate`: keep existing containers, except dead ones, even if their configuration
    /// changed.
    pub no_recreate: bool,
    /// `--renew-anon-volumes`: give a container that replaces another one new anonymous volumes.
    pub renew_volumes: bool,
    /// `--remove-orphans`: remove containers of services that the file no longer has.
    pub remove_orphans: bool,
    /// `--scale`: services and their numbers of replicas. The last value for a service counts.
    pub scales: Vec<(String, u32)>,
    /// `--timeout`: the grace period of a stop, in seconds; `None` is each container's own.
    pub timeout: Option<i64>,
    /// `create` and `--no-start`: start no container.
    pub no_start: bool,
    /// `run`: the service that this `up` does not start.
    pub except: Option<String>,
}

/// The functions that make the options of containers and networks.
pub struct Makers<'a> {
    pub container: &'a dyn Fn(&Service) -> Result<CreateOptions>,
    pub network: MakeNetwork<'a>,
}

/// A container that `up` made or found.
#[derive(Clone, Debug)]
pub struct Running {
    pub id: ContainerId,
    pub service: String,
}

/// A container that exists: it was just made or is kept.
struct Placed<'a> {
    service: &'a Service,
    id: ContainerId,
    name: String,
    /// True if `up` must start the container, unless `no_start` is set.
    starts: bool,
}

/// A container that must be made.
struct Making<'a> {
    service: &'a Service,
    name: String,
    labels: Vec<(String, String)>,
    /// The container that the new one replaces.
    old: Option<Member>,
}

/// A service whose containers are made and, unless `no_start` is set, started.
struct Done {
    service: String,
    ids: Vec<ContainerId>,
    /// True if this `up` started one of the service's containers.
    changed: bool,
}

/// A project that is being started.
pub struct Up<'a> {
    session: &'a Session<'a>,
    makers: &'a Makers<'a>,
    options: &'a UpOptions,
    waiting: Vec<&'a Service>,
    done: Vec<Done>,
    reported: Reported,
}

/// The states of dependencies that were reported already.
#[derive(Default)]
pub struct Reported(Vec<(ContainerId, &'static str)>);

impl Reported {
    /// Returns true the first time that `what` is to be reported of a container.
    fn is_first(&mut self, id: &ContainerId, what: &'static str) -> bool {
        let is_known = self.0.iter().any(|(known, said)| known == id && *said == what);
        if !is_known {
            self.0.push((id.clone(), what));
        }
        !is_known
    }
}

/// Whether a service's dependencies are ready.
enum Readiness {
    Ready,
    NotYet,
    /// A dependency can never be ready. The text is the reason.
    Never(String),
}

impl<'a> Up<'a> {
    /// Makes networks and volumes, and removes or reports orphans. Fails if a service of `--scale`
    /// is not enabled or cannot have so many replicas, or if any of this work fails.
    pub fn begin(
        session: &'a Session<'a>,
        makers: &'a Makers<'a>,
        options: &'a UpOptions,
    ) -> Result<Up<'a>> {
        let project = session.project;
        for (name, scale) in &options.scales {
            let Some(service) = project.get(name) else {
                return Err(members::no_service(project, name));
            };
            if *scale > 1 && service.node.given("container_name").is_some() {
                fail!("service {name} has a container_name, so it can't have {scale} replicas");
            }
        }
        let mut waiting = selected(project, options);
        let _lock = session.engine.lock_project(&project.name)?;
        session.make_networks(&waiting, makers.network)?;
        session.make_volumes(&waiting)?;
        session.orphans(options.remove_orphans, options.timeout)?;
        waiting.retain(|service| options.except.as_ref() != Some(&service.name));
        Ok(Up {
            session,
            makers,
            options,
            waiting,
            done: Vec::new(),
            reported: Reported::default(),
        })
    }

    /// Reports whether `advance` has nothing left to do.
    pub fn is_done(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns the containers that `advance` has made or found: their services and ids.
    pub fn ids(&self) -> impl Iterator<Item = (&str, &ContainerId)> {
        self.done.iter().flat_map(|done| done.ids.iter().map(|id| (done.service.as_str(), id)))
    }

    /// Makes and starts the services whose dependencies are ready. Returns their containers. Fails
    /// if a required dependency can never be ready, if a container cannot be made or started, or if
    /// a `post_start` hook fails.
    pub fn advance(&mut self) -> Result<Vec<Running>> {
        let mut ready: Vec<&Service> = Vec::new();
        for service in std::mem::take(&mut self.waiting) {
            match self.readiness(service, &ready)? {
                Readiness::Ready => ready.push(service),
                Readiness::NotYet => self.waiting.push(service),
                Readiness::Never(reason) => fail!("service {} can't start: {reason}", service.name),
            }
        }
        if ready.is_empty() {
            return Ok(Vec::new());
        }
        let placed = self.converge(&ready)?;
        let started = self.start(&placed)?;
        for service in &ready {
            let own: Vec<&Placed> =
                placed.iter().filter(|placed| placed.service.name == service.name).collect();
            self.done.push(Done {
                service: service.name.clone(),
                ids: own.iter().map(|placed| placed.id.clone()).collect(),
                changed: own.iter().any(|placed| started.contains(&placed.id)),
            });
        }
        Ok(placed
            .into_iter()
            .map(|placed| Running { id: placed.id, service: placed.service.name.clone() })
            .collect())
    }

    /// Starts the containers that must be started, in parallel, and runs their `post_start` hooks.
    /// Returns their ids.
    fn start(&self, placed: &[Placed<'_>]) -> Result<Vec<ContainerId>> {
        let (session, engine) = (self.session, self.session.engine);
        let starting: Vec<&Placed> =
            placed.iter().filter(|placed| placed.starts && !self.options.no_start).collect();
        for placed in &starting {
            session.note("Container", &placed.name, "Starting");
        }
        let work = |placed: &&Placed| engine.start(&placed.id).map(|()| String::new());
        let mut started = Vec::with_capacity(starting.len());
        let mut failed = None;
        child::each("the start", &starting, session.parallel(), &work, &mut |placed, result| {
            let result = result.context(|| format!("service {}", placed.service.name));
            let result = result.and_then(|_| {
                session.note("Container", &placed.name, "Started");
                hooks::post_start(engine, placed.service, &placed.id)
            });
            match result {
                Ok(()) => started.push(placed.id.clone()),
                Err(error) => failed = failed.take().or(Some(error)),
            }
        });
        failed.map_or(Ok(started), Err)
    }

    /// Reports whether the dependencies allow a service to start. Fails if a required dependency
    /// can never be ready.
    pub fn is_ready(&mut self, service: &Service) -> Result<bool> {
        match self.readiness(service, &[])? {
            Readiness::Ready => Ok(true),
            Readiness::NotYet => Ok(false),
            Readiness::Never(reason) => fail!("service {} can't start: {reason}", service.name),
        }
    }

    /// Checks the dependencies of a service. A dependency in `starting` starts in this turn, so it
    /// is not ready yet.
    fn readiness(&mut self, service: &Service, starting: &[&Service]) -> Result<Readiness> {
        for need in &service.depends_on {
            let is_waited_for = self.waiting.iter().any(|other| other.name == need.service)
                || starting.iter().any(|other| other.name == need.service);
            if is_waited_for {
                return Ok(Readiness::NotYet);
            }
            // A dependency that --no-deps leaves out is not checked.
            let Some(done) = self.done.iter().find(|done| done.service == need.service) else {
                continue;
            };
            if self.options.no_start {
                continue;
            }
            for id in done.ids.clone() {
                match self.session.is_met(need, &id, &mut self.reported) {
                    Readiness::Ready => {}
                    Readiness::Never(reason) if !need.required => {
                        if self.reported.is_first(&id, "ignored") {
                            (self.session.report)(&format!(
                                " {reason}; service {} starts without it",
                                service.name
                            ));
                        }
                    }
                    other => return Ok(other),
                }
            }
        }
        Ok(Readiness::Ready)
    }

    /// Makes missing and outdated containers of `services`, in parallel. Returns all containers of
    /// these services.
    fn converge(&self, services: &[&'a Service]) -> Result<Vec<Placed<'a>>> {
        let engine = self.session.engine;
        let _lock = engine.lock_project(&self.session.project.name)?;
        let members = members::all(engine, &self.session.project.name)?;
        let mut placed = Vec::with_capacity(services.len());
        let mut making = Vec::new();
        for service in services {
            self.plan(service, &members, &mut placed, &mut making)
                .context(|| format!("service {}", service.name))?;
        }
        let mut failed = None;
        let work = |making: &Making| self.make(making).map(|id| id.to_string());
        child::each("the creation", &making, self.session.parallel(), &work, &mut |making, id| {
            let Making { service, name, .. } = making;
            let id = id.and_then(|id| id.parse());
            match id.context(|| format!("service {}", service.name)) {
                Ok(id) => placed.push(Placed { service, id, name: name.clone(), starts: true }),
                Err(error) => failed = failed.take().or(Some(error)),
            }
        });
        failed.map_or(Ok(placed), Err)
    }

    /// Compares the containers of a service with its configuration. Adds those that stay to
    /// `placed`, adds those that must be made to `making`, and removes surplus ones.
    fn plan(
        &self,
        service: &'a Service,
        members: &[Member],
        placed: &mut Vec<Placed<'a>>,
        making: &mut Vec<Making<'a>>,
    ) -> Result<()> {
        let session = self.session;
        let (engine, project) = (session.engine, session.project);
        let image = image(project, service)?;
        let image_id = engine.image_id(&image)?;
        let joined = joined_ids(service, members);
        let is_current = |view: &ContainerView| {
            label(&view.labels, HASH) == Some(&service.hash)
                && (image_id.is_none() || view.image_id == image_id)
                && label(&view.labels, JOINED).unwrap_or_default() == joined
        };
        let mut own: Vec<Member> = members
            .iter()
            .filter(|member| member.service == service.name && !member.is_oneoff)
            .cloned()
            .collect();
        // Two containers have the same number if an `up` was killed. Keep the current one.
        order::sort_by(&mut own, |one, other| {
            let rank = |member: &Member| (member.number, !is_current(&member.view));
            rank(one).cmp(&rank(other))
        });
        let mut kept: Vec<Member> = Vec::new();
        let mut surplus = Vec::new();
        let scale = self.scale(service);
        for member in own {
            let is_new = kept.last().is_none_or(|last| last.number != member.number);
            if is_new && kept.len() < scale as usize {
                kept.push(member);
            } else {
                surplus.push(member);
            }
        }
        if !surplus.is_empty() {
            session.stop(surplus.clone(), self.options.timeout)?;
            session.remove(&surplus, false)?;
        }
        let is_forced = if self.is_wanted(service) {
            self.options.force_recreate
        } else {
            self.options.recreate_dependencies
        };
        let mut restarts = service.depends_on.iter().filter(|need| need.restart);
        let restarts = restarts
            .any(|need| self.done.iter().any(|done| done.service == need.service && done.changed));
        let labels = |number: u32| {
            let mut labels = labels(project, service, number, false);
            let image_id = image_id.map(|id| id.to_string()).unwrap_or_default();
            labels.push((IMAGE.to_owned(), image_id));
            if !joined.is_empty() {
                labels.push((JOINED.to_owned(), joined.clone()));
            }
            labels
        };
        for member in &kept {
            let number = member.number;
            let name = container_name(project, service, number);
            let view = &member.view;
            let is_dead = matches!(view.status, Status::Dead { .. });
            let is_old = is_forced || !is_current(view);
            if is_dead || is_old && !self.options.no_recreate {
                let old = Some(member.clone());
                making.push(Making { service, name, labels: labels(number), old });
                continue;
            }
            if view.name != name {
                engine.rename(&view.id, &name)?;
            }
            let starts = !member.is_alive();
            if !starts && restarts && !self.options.no_start {
                session.stop(vec![member.clone()], self.options.timeout)?;
            } else if !starts {
                session.note("Container", &name, "Running");
            }
            placed.push(Placed { service, id: view.id.clone(), name, starts: starts || restarts });
        }
        let numbers: Vec<u32> = kept.iter().map(|member| member.number).collect();
        let free = (1..).filter(|number| !numbers.contains(number));
        for number in free.take((scale as usize).saturating_sub(kept.len())) {
            let name = container_name(project, service, number);
            making.push(Making { service, name, labels: labels(number), old: None });
        }
        Ok(())
    }

    /// Makes a container and returns its id. Replaces the old container, if there is one.
    fn make(&self, making: &Making<'_>) -> Result<ContainerId> {
        let session = self.session;
        let engine = session.engine;
        let Making { service, name, labels, old } = making;
        let mut options = (self.makers.container)(service)?;
        options.labels.extend(labels.iter().cloned());
        let Some(old) = old else {
            options.name = Some(name.clone());
            let id = engine.create(&options)?;
            session.note("Container", name, "Created");
            return Ok(id);
        };
        session.note("Container", name, "Recreate");
        options.name = Some(members::replacement(&old.view.id, name));
        if !self.options.renew_volumes && !matches!(old.view.status, Status::Dead { .. }) {
            options.inherited_volumes = engine.anonymous_volumes(&old.view.id)?;
        }
        let id = engine.create(&options)?;
        session.stop(vec![old.clone()], self.options.timeout)?;
        engine.remove(&old.view.id, RemoveOptions { force: true, ..RemoveOptions::default() })?;
        engine.rename(&id, name)?;
        session.note("Container", name, "Recreated");
        Ok(id)
    }

    fn is_wanted(&self, service: &Service) -> bool {
        self.options.wanted.is_empty() || self.options.wanted.contains(&service.name)
    }

    fn scale(&self, service: &Service) -> u32 {
        let given = self.options.scales.iter().rev().find(|(name, _)| *name == service.name);
        given.map_or(service.scale, |(_, scale)| *scale)
    }
}

/// Returns the services that an `up` with these options covers, in dependency order.
pub fn selected<'a>(project: &'a Project, options: &UpOptions) -> Vec<&'a Service> {
    project.selected(&options.wanted, !options.no_deps)
}

/// Returns the ids of the containers whose namespaces or volumes a container of `service` shares,
/// separated by commas.
fn joined_ids(service: &Service, members: &[Member]) -> String {
    let mut ids = Vec::new();
    for name in joined(&service.node) {
        let first = members.iter().find(|member| member.service == name && !member.is_oneoff);
        ids.extend(first.map(|member| &*member.view.id));
    }
    ids.join(",")
}

/// Returns compose's labels for a container. Neither the file nor the image can set labels with
/// these names.
pub fn labels(
    project: &Project,
    service: &Service,
    number: u32,
    is_oneoff: bool,
) -> Vec<(String, String)> {
    let needs: Vec<String> = service
        .depends_on
        .iter()
        .map(|need| format!("{}:{}:{}", need.service, need.condition.name(), need.restart))
        .collect();
    let oneoff = if is_oneoff { "True" } else { "False" };
    [
        (HASH, service.hash.clone()),
        (NUMBER, number.to_string()),
        (DEPENDS_ON, needs.join(",")),
        (ONEOFF, oneoff.to_owned()),
        (PROJECT, project.name.clone()),
        ("com.docker.compose.project.config_files", project.files.join(",")),
        ("com.docker.compose.project.working_dir", project.directory.clone()),
        (SERVICE, service.name.clone()),
        (VERSION, env!("CARGO_PKG_VERSION").to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .to_vec()
}

impl Session<'_> {
    /// Reports whether the dependencies allow `service` to start. Checks only dependencies that
    /// have containers in `members`. Fails if a required dependency can never be ready.
    pub fn may_start(
        &self,
        service: &Service,
        members: &[Member],
        reported: &mut Reported,
    ) -> Result<bool> {
        for need in &service.depends_on {
            for member in members.iter().filter(|member| member.service == need.service) {
                match self.is_met(need, &member.view.id, reported) {
                    Readiness::NotYet => return Ok(false),
                    Readiness::Never(reason) if need.required => {
                        fail!("service {} can't start: {reason}", service.name)
                    }
                    Readiness::Ready | Readiness::Never(_) => {}
                }
            }
        }
        Ok(true)
    }

    fn is_met(&self, need: &Dependency, id: &ContainerId, reported: &mut Reported) -> Readiness {
        if need.condition == Need::Started {
            return Readiness::Ready;
        }
        let Some(view) = self.engine.look_at(id) else {
            return Readiness::Never(format!("a container of service {} is gone", need.service));
        };
        let name = &view.name;
        let readiness = match (need.condition, &view.status) {
            (_, Status::Dead { reason }) => Readiness::Never(format!("container {name}: {reason}")),
            (Need::Completed, Status::Exited { code: 0, .. }) => Readiness::Ready,
            (Need::Completed, Status::Exited { code, .. }) => Readiness::Never(format!(
                "container {name} of service {} exited with {code}",
                need.service
            )),
            (Need::Completed, _) => Readiness::NotYet,
            (_, Status::Running { .. }) => match view.health {
                Some(HealthStatus::Healthy) => Readiness::Ready,
                Some(HealthStatus::Unhealthy) => Readiness::Never(format!(
                    "container {name} of service {} is unhealthy",
                    need.service
                )),
                Some(_) => Readiness::NotYet,
                None => Readiness::Never(format!(
                    "service {} has no health check, so it never becomes healthy",
                    need.service
                )),
            },
            (_, Status::Restarting { .. }) => Readiness::NotYet,
            (_, Status::Exited { code, .. }) => Readiness::Never(format!(
                "container {name} of service {} exited with {code}",
                need.service
            )),
            (_, Status::Created) => Readiness::NotYet,
        };
        let what = match (&readiness, need.condition) {
            (Readiness::NotYet, _) => "Waiting",
            (Readiness::Ready, Need::Completed) => "Exited",
            (Readiness::Ready, _) => "Healthy",
            (Readiness::Never(_), _) => "Error",
        };
        if reported.is_first(id, what) {
            self.note("Container", name, what);
        }
        readiness
    }

    /// Removes or reports the containers of services that the project no longer has. `timeout` is
    /// the grace period in seconds. COMPOSE_REMOVE_ORPHANS has the effect of `remove`. With
    /// COMPOSE_IGNORE_ORPHANS the containers are not reported.
    pub fn orphans(&self, remove: bool, timeout: Option<i64>) -> Result<()> {
        let mut orphans = members::all(self.engine, &self.project.name)?;
        // Without a compose file there are no orphans: all containers are the project's.
        orphans.retain(|member| {
            !self.project.files.is_empty()
                && !member.is_oneoff
                && self.project.find(&member.service).is_none()
        });
        let is_on = |name: &str| is_on(self.project.variable(name).as_deref());
        if orphans.is_empty() {
            return Ok(());
        }
        if remove || is_on("COMPOSE_REMOVE_ORPHANS") {
            self.stop(orphans.clone(), timeout)?;
            return self.remove(&orphans, false);
        }
        if is_on("COMPOSE_IGNORE_ORPHANS") {
            return Ok(());
        }
        let names: Vec<&str> = orphans.iter().map(|member| member.view.name.as_str()).collect();
        (self.report)(&format!(
            " containers of services that the file no longer has: {}; --remove-orphans removes \
             them",
            names.join(" ")
        ));
        Ok(())
    }
}

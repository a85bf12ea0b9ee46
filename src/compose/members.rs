//! The containers of a project, found by their labels, and the commands on them: stop, kill,
//! remove.
//!
//! A stop runs in waves against the direction of the dependencies. A container stops after the
//! containers that depend on it, and the containers of one wave stop at the same time. The waves
//! need only labels, so a project can be taken down after its file was changed or lost. `up` makes
//! and starts containers.

use super::hooks;
use super::project::{Project, Service};
use crate::engine::child::{self, Background};
use crate::engine::options::RemoveOptions;
use crate::engine::options::Signal;
use crate::engine::project::{NUMBER, ONEOFF, SERVICE, label, waves};
use crate::engine::view::{ContainerView, Status};
use crate::engine::{Engine, StopMark, Stopping};
use crate::error::{Context, Error, Result, fail};
use crate::hex;
use crate::suggest::hint;

/// The most containers that are made, started or removed at the same time.
const MAX_PARALLEL: usize = 16;

/// One container of a project.
#[derive(Clone)]
pub struct Member {
    pub view: ContainerView,
    /// The name of its service.
    pub service: String,
    /// The number of the replica, from 1; 0 if the label is missing or is no number.
    pub number: u32,
    /// True if `compose run` made the container.
    pub is_oneoff: bool,
}

impl Member {
    /// Returns the container as a member, or `None` if its labels name no service.
    pub fn of(view: ContainerView) -> Option<Member> {
        let service = label(&view.labels, SERVICE)?.to_owned();
        let number = label(&view.labels, NUMBER).and_then(|number| number.parse().ok());
        let is_oneoff = label(&view.labels, ONEOFF) == Some("True");
        Some(Member { service, number: number.unwrap_or(0), is_oneoff, view })
    }

    /// Reports whether the container runs or its restart policy will start it.
    pub fn is_alive(&self) -> bool {
        self.view.status.is_active()
    }

    /// Reports whether the container is paused.
    pub fn is_paused(&self) -> bool {
        matches!(self.view.status, Status::Running { paused: true, .. })
    }

    /// Returns the name that precedes the container's lines in a log. Like Docker Compose, omits
    /// the project's name.
    pub fn short_name(&self, project: &str) -> String {
        short_name(project, &self.view.name)
    }
}

/// Returns the name of a container without the project's name and the hyphen at its start.
pub fn short_name(project: &str, name: &str) -> String {
    let rest = name.strip_prefix(project).and_then(|rest| rest.strip_prefix('-'));
    rest.unwrap_or(name).to_owned()
}

/// Returns the temporary name of a container that replaces the container with the id `old` and will
/// be called `name`.
pub fn replacement(old: &str, name: &str) -> String {
    format!("{}_{name}", hex::short(old))
}

/// Returns the short id of the old container from the temporary name of its replacement. Returns
/// `None` if `name` does not have the form of a temporary name.
pub fn replaced(name: &str) -> Option<&str> {
    let (old, _) = name.split_once('_')?;
    let is_id = old.len() == hex::SHORT && old.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(old)
}

/// Returns the containers of a project, sorted by service and number.
pub fn all(engine: &Engine, project: &str) -> Result<Vec<Member>> {
    let views = engine.project_containers(project)?.into_iter();
    Ok(views.filter_map(Member::of).collect())
}

/// Returns the containers of the services `wanted`. If `wanted` is empty, returns the containers of
/// all services of the project. Leaves out the containers of `compose run`. Fails if a wanted
/// service is neither in the project nor the service of a container.
pub fn of_services(engine: &Engine, project: &Project, wanted: &[String]) -> Result<Vec<Member>> {
    let mut members = all(engine, &project.name)?;
    members.retain(|member| !member.is_oneoff);
    choose(members, project, wanted)
}

/// Like [`of_services`], but if `wanted` is empty, includes the containers of `compose run` of any
/// service.
pub fn with_oneoffs(engine: &Engine, project: &Project, wanted: &[String]) -> Result<Vec<Member>> {
    let all = all(engine, &project.name)?;
    let (oneoffs, others): (Vec<Member>, Vec<Member>) =
        all.into_iter().partition(|member| member.is_oneoff);
    let mut members = choose(others, project, wanted)?;
    if wanted.is_empty() {
        members.extend(oneoffs);
    }
    Ok(members)
}

fn choose(mut members: Vec<Member>, project: &Project, wanted: &[String]) -> Result<Vec<Member>> {
    for name in wanted {
        if project.find(name).is_none() && !members.iter().any(|member| member.service == *name) {
            return Err(no_service(project, name));
        }
    }
    members.retain(|member| is_chosen(project, wanted, member));
    Ok(members)
}

/// Reports whether the container's service is one of `wanted`, or, if `wanted` is empty, a service
/// of the project.
pub fn is_chosen(project: &Project, wanted: &[String], member: &Member) -> bool {
    match wanted {
        // A project that was read without a compose file has no services. Then each container
        // counts.
        [] if project.services.is_empty() && project.disabled.is_empty() => true,
        [] => project.find(&member.service).is_some(),
        _ => wanted.contains(&member.service),
    }
}

/// Returns the container number `index` of a service, if that container runs or waits for a
/// restart. If `index` is 0, returns the first such container. Fails if there is no such container.
pub fn one(engine: &Engine, project: &Project, service: &str, index: u32) -> Result<Member> {
    let members = of_services(engine, project, &[service.to_owned()])?;
    let mut members =
        members.into_iter().filter(|member| index == 0 || member.number == index).peekable();
    if members.peek().is_none() && index > 0 {
        fail!("service {service} has no container number {index}");
    }
    match members.find(Member::is_alive) {
        Some(member) => Ok(member),
        None => fail!("service {service} is not running; start it with mydocker compose up -d"),
    }
}

/// Returns the error for a service that does not exist.
pub fn no_service(project: &Project, name: &str) -> Error {
    let names = project.services.iter().chain(&project.disabled);
    let hint = hint(name, names.map(|service| service.name.as_str()));
    Error::new(format!("no such service: {name}{hint}"))
}

/// The engine, the project and the output of one command.
pub struct Session<'a> {
    pub engine: &'a Engine,
    pub project: &'a Project,
    /// Prints a line about progress.
    pub report: &'a dyn Fn(&str),
}

impl Session<'_> {
    /// Returns how many containers may be made, started or removed at the same time.
    /// COMPOSE_PARALLEL_LIMIT can lower this number.
    pub fn parallel(&self) -> usize {
        let limit = self.project.variable("COMPOSE_PARALLEL_LIMIT");
        let limit = limit.and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0);
        limit.unwrap_or(MAX_PARALLEL).min(MAX_PARALLEL)
    }

    /// Reports progress in Docker Compose's form, such as ` Container p-web-1  Started`.
    pub fn note(&self, kind: &str, name: &str, what: &str) {
        (self.report)(&format!(" {kind} {name}  {what}"));
    }

    /// Stops containers, each after the containers that depend on it. The containers of one wave
    /// stop at the same time, each with its own `pre_stop` hooks. `timeout` is the grace period in
    /// seconds; `None` is each container's own. A failure does not end the work: the first failure
    /// is returned at the end.
    pub fn stop(&self, members: Vec<Member>, timeout: Option<i64>) -> Result<()> {
        let mut failed = None;
        for wave in waves(members, |member| &member.view.labels).into_iter().rev() {
            let mut hooked = Vec::new();
            let (mut plain, mut asked) = (Vec::new(), Vec::new());
            for member in wave.iter().filter(|member| member.is_alive()) {
                self.note("Container", &member.view.name, "Stopping");
                let service = self.project.find(&member.service);
                match service.filter(|service| service.node.given("pre_stop").is_some()) {
                    Some(service) => {
                        let work = || self.stop_after_hooks(service, member, timeout);
                        hooked.push((member, child::begin("the stop", &work)));
                    }
                    None => {
                        plain.push(member);
                        asked.push(self.ask_to_stop(member, timeout));
                    }
                }
            }
            self.engine.await_exits(&mut asked);
            let end = |asked: Result<Stopping>| asked.and_then(|asked| self.engine.end_stop(asked));
            let plain = plain.into_iter().zip(asked.into_iter().map(end));
            let finish =
                |started: Result<Background>| started.and_then(Background::finish).map(drop);
            let hooked = hooked.into_iter().map(|(member, started)| (member, finish(started)));
            for (member, ended) in plain.chain(hooked) {
                match ended.context(|| format!("service {}: stop", member.service)) {
                    // A container with --rm is removed when it stops.
                    Err(error) if error.is_absent() => {}
                    Err(error) => failed = failed.or(Some(error)),
                    Ok(()) => self.note("Container", &member.view.name, "Stopped"),
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn ask_to_stop(&self, member: &Member, timeout: Option<i64>) -> Result<Stopping> {
        self.engine.ask_to_stop(&member.view.id, timeout, None, StopMark::User)
    }

    /// Runs the `pre_stop` hooks and then stops the container. If a hook fails, the container keeps
    /// running. A paused container is stopped without its hooks.
    fn stop_after_hooks(
        &self,
        service: &Service,
        member: &Member,
        timeout: Option<i64>,
    ) -> Result<String> {
        if !member.is_paused() {
            hooks::pre_stop(self.engine, service, &member.view.id)?;
        }
        let asked = self.ask_to_stop(member, timeout)?;
        self.engine.end_stop(asked).map(|()| String::new())
    }

    /// Sends a signal to the containers that run or wait for a restart. After SIGKILL, waits for
    /// the end of the containers. Returns at the first failure.
    pub fn kill(&self, members: &[Member], signal: Signal) -> Result<()> {
        let mut killed = Vec::new();
        for member in members.iter().filter(|member| member.is_alive()) {
            let sent = self.engine.kill(&member.view.id, signal);
            killed.push((member, sent.context(|| format!("service {}", member.service))?));
        }
        for (member, record) in killed {
            if let Some(record) = record {
                self.engine.await_cleanup(&record)?;
            }
            self.note("Container", &member.view.name, "Killed");
        }
        Ok(())
    }

    /// Removes stopped containers; with `volumes`, also their anonymous volumes. Child processes
    /// remove several containers at the same time, because most of the time is spent in disk syncs.
    /// A failure does not end the work: the first failure is returned at the end.
    pub fn remove(&self, members: &[Member], volumes: bool) -> Result<()> {
        let options = RemoveOptions { volumes, ..RemoveOptions::default() };
        let work = |member: &Member| match self.engine.remove(&member.view.id, options) {
            Err(error) if !error.is_absent() => Err(error),
            _ => Ok(String::new()),
        };
        let mut failed = None;
        // A container and the containers that depend on it may share an anonymous volume. The
        // volume is removed with the last container that uses it. If two containers that use the
        // volume were removed at the same time, each removal could find the volume in use, and the
        // volume would stay. So remove a container after the containers that depend on it.
        for wave in waves(members.to_vec(), |member| &member.view.labels).into_iter().rev() {
            child::each("the removal", &wave, self.parallel(), &work, &mut |member, removed| {
                match removed.context(|| format!("service {}: remove", member.service)) {
                    Ok(_) => self.note("Container", &member.view.name, "Removed"),
                    Err(error) => failed = failed.take().or(Some(error)),
                }
            });
        }
        failed.map_or(Ok(()), Err)
    }
}

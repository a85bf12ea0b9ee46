//! The containers of a project, as their labels show them, and what the commands do to them: stop,
//! kill, remove. Stops go against the dependencies: the containers of one wave stop at the same
//! time, and those that others depend on stop last. Only labels are read for this, so a project can
//! be taken down after its file has changed or is lost.

use super::hooks;
use super::project::{Project, Service};
use crate::container_id;
use crate::engine::child::{self, Background};
use crate::engine::options::RemoveOptions;
use crate::engine::options::Signal;
use crate::engine::project::{NUMBER, ONEOFF, SERVICE, label, waves};
use crate::engine::view::{ContainerView, Status};
use crate::engine::{Engine, StopMark, Stopping};
use crate::error::{Context, Error, Result, fail};
use crate::suggest::hint;

/// How many containers are made, started or removed at the same time.
const MAX_PARALLEL: usize = 16;

/// One container of a project.
#[derive(Clone)]
pub struct Member {
    pub view: ContainerView,
    pub service: String,
    pub number: u32,
    /// `compose run` made it.
    pub is_oneoff: bool,
}

impl Member {
    /// A container as a member; `None` if no service of a project has it.
    pub fn of(view: ContainerView) -> Option<Member> {
        let service = label(&view.labels, SERVICE)?.to_owned();
        let number = label(&view.labels, NUMBER).and_then(|number| number.parse().ok());
        let is_oneoff = label(&view.labels, ONEOFF) == Some("True");
        Some(Member { service, number: number.unwrap_or(0), is_oneoff, view })
    }

    /// Whether it runs, or its restart policy will start it.
    pub fn is_alive(&self) -> bool {
        self.view.status.is_active()
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        matches!(self.view.status, Status::Running { paused: true, .. })
    }

    /// The name before its lines in a log, as in Docker Compose: without the project's.
    pub fn short_name(&self, project: &str) -> String {
        short_name(project, &self.view.name)
    }
}

/// The name of a container without its project's.
pub fn short_name(project: &str, name: &str) -> String {
    let rest = name.strip_prefix(project).and_then(|rest| rest.strip_prefix('-'));
    rest.unwrap_or(name).to_owned()
}

/// The name of a container that is made to take the place of `old`, until it does.
pub fn replacement(old: &str, name: &str) -> String {
    format!("{}_{name}", container_id::short(old))
}

/// The start of the id of the container whose place one of this name will take.
pub fn replaced(name: &str) -> Option<&str> {
    let (old, _) = name.split_once('_')?;
    let is_id =
        old.len() == container_id::SHORT && old.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(old)
}

/// The containers of a project, by service and number.
pub fn all(engine: &Engine, project: &str) -> Result<Vec<Member>> {
    let views = engine.project_containers(project)?.into_iter();
    Ok(views.filter_map(Member::of).collect())
}

/// The containers of the services `wanted`, or of all, without those of `run`. A service that
/// neither the project nor a container has is an error.
pub fn of_services(engine: &Engine, project: &Project, wanted: &[String]) -> Result<Vec<Member>> {
    let mut members = all(engine, &project.name)?;
    members.retain(|member| !member.is_oneoff);
    choose(members, project, wanted)
}

/// As `of_services`. If `wanted` is empty, the containers of `run` are included, whatever their service.
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

/// Whether the service of a container is one of `wanted`, or of the project if `wanted` is empty.
pub fn is_chosen(project: &Project, wanted: &[String], member: &Member) -> bool {
    match wanted {
        // Without a file all services count, otherwise those of the file.
        [] => project.services.is_empty() || project.find(&member.service).is_some(),
        _ => wanted.contains(&member.service),
    }
}

/// The container of a service with this number, or its first one.
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

/// The error about a service that does not exist.
pub fn no_service(project: &Project, name: &str) -> Error {
    let names = project.services.iter().chain(&project.disabled);
    let hint = hint(name, names.map(|service| service.name.as_str()));
    Error::new(format!("no such service: {name}{hint}"))
}

/// What a command over a project needs.
pub struct Session<'a> {
    pub engine: &'a Engine,
    pub project: &'a Project,
    /// Prints a line about progress.
    pub report: &'a dyn Fn(&str),
}

impl Session<'_> {
    /// How many containers are made, started or removed at the same time: COMPOSE_PARALLEL_LIMIT
    /// lowers it.
    pub fn parallel(&self) -> usize {
        let limit = self.project.variable("COMPOSE_PARALLEL_LIMIT");
        let limit = limit.and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0);
        limit.unwrap_or(MAX_PARALLEL).min(MAX_PARALLEL)
    }

    /// ` Container p-web-1  Started`
    pub fn note(&self, kind: &str, name: &str, what: &str) {
        (self.report)(&format!(" {kind} {name}  {what}"));
    }

    /// Stops containers, those that others depend on last. Those of one wave stop beside each other,
    /// each with its own hooks and its own time.
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
            let finish = |begun: Result<Background>| begun.and_then(Background::finish).map(drop);
            let hooked = hooked.into_iter().map(|(member, begun)| (member, finish(begun)));
            for (member, ended) in plain.chain(hooked) {
                match ended.context(|| format!("service {}: stop", member.service)) {
                    // It was made with --rm.
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

    /// A hook that fails keeps its container running.
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

    /// Sends a signal to all, then waits for the containers that the signal ends.
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

    /// Removes stopped containers, with their anonymous volumes if `volumes`. Each is removed in a
    /// child process, several at the same time, because most of the time passes in disk syncs.
    pub fn remove(&self, members: &[Member], volumes: bool) -> Result<()> {
        let options = RemoveOptions { volumes, ..RemoveOptions::default() };
        let work = |member: &Member| match self.engine.remove(&member.view.id, options) {
            Err(error) if !error.is_absent() => Err(error),
            _ => Ok(String::new()),
        };
        let mut failed = None;
        // A container goes after the containers that depend on it. The last container that has an
        // anonymous volume removes it, and two that go at the same time would each see the other.
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

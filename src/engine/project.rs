//! The containers of compose projects, found by the labels that `compose` sets.
//!
//! The engine needs the labels to start a project's containers in order at boot. `compose` finds a
//! project's containers by the labels and keeps no file of its own about them. `create::record`
//! drops these labels if an image has them, so an image cannot make its containers part of a
//! project.

use std::path::PathBuf;

use super::Engine;
use super::options::Filter;
use super::view::ContainerView;
use crate::error::Result;
use crate::hex::{random_digits, short};
use crate::order;
use crate::store::{Lock, LockMode};

/// The prefix of all labels of compose. Docker Compose has the same labels, except for those that
/// start with `com.docker.compose.mydocker.`.
pub const PREFIX: &str = "com.docker.compose.";
/// The label with the project's name.
pub const PROJECT: &str = "com.docker.compose.project";
/// The label with the service's name.
pub const SERVICE: &str = "com.docker.compose.service";
/// The label with the number of the replica within its service, from 1.
pub const NUMBER: &str = "com.docker.compose.container-number";
/// The label that is `True` for a container of `compose run`.
pub const ONEOFF: &str = "com.docker.compose.oneoff";
/// The label with the dependencies, such as `db:service_healthy:false,cache:service_started:true`.
/// Each has a service, a condition, and whether this container restarts with the service.
pub const DEPENDS_ON: &str = "com.docker.compose.depends_on";
/// The label with the hash of the service's configuration.
pub const HASH: &str = "com.docker.compose.config-hash";

/// Returns the value of a label, or `None` if the label is missing.
pub fn label<'a>(labels: &'a [(String, String)], key: &str) -> Option<&'a str> {
    labels.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
}

/// Reports whether `key` is a label of compose.
pub fn is_label(key: &str) -> bool {
    key.starts_with(PREFIX)
}

/// Returns the services that a container depends on, each with its condition, such as
/// `service_healthy`.
pub fn dependencies(labels: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    let words = label(labels, DEPENDS_ON).unwrap_or_default().split(',');
    words.filter(|word| !word.is_empty()).map(|word| {
        let (service, rest) = word.split_once(':').unwrap_or((word, ""));
        (service, rest.split(':').next().unwrap_or_default())
    })
}

/// Groups containers into waves for their start: a container depends only on containers of earlier
/// waves. `labels` returns a container's labels. If containers depend on each other in a circle,
/// the last wave has these containers and all containers that depend on them.
pub fn waves<T>(mut waiting: Vec<T>, labels: impl Fn(&T) -> &[(String, String)]) -> Vec<Vec<T>> {
    let mut waves = Vec::new();
    while !waiting.is_empty() {
        let is_blocked = |one: &T| {
            let project = label(labels(one), PROJECT);
            project.is_some()
                && dependencies(labels(one)).any(|(service, _)| {
                    waiting.iter().any(|other| {
                        label(labels(other), PROJECT) == project
                            && label(labels(other), SERVICE) == Some(service)
                            && label(labels(one), SERVICE) != Some(service)
                    })
                })
        };
        let blocked: Vec<bool> = waiting.iter().map(is_blocked).collect();
        let is_circle = blocked.iter().all(|is_blocked| *is_blocked);
        let mut blocked = blocked.into_iter();
        let (later, wave) = waiting
            .into_iter()
            .partition(|_| blocked.next().is_some_and(|blocked| blocked && !is_circle));
        waves.push(wave);
        waiting = later;
    }
    waves
}

impl Engine {
    /// Returns the containers of a project, sorted by service, number and creation time. An empty
    /// `project` means all projects.
    pub fn project_containers(&self, project: &str) -> Result<Vec<ContainerView>> {
        let wanted = match project {
            "" => PROJECT.to_owned(),
            name => format!("{PROJECT}={name}"),
        };
        let mut views = self.containers(true, &[Filter::Label(wanted)])?;
        order::sort_by_key(&mut views, |view| {
            let number = label(&view.labels, NUMBER).and_then(|number| number.parse().ok());
            let service = label(&view.labels, SERVICE).unwrap_or_default().to_owned();
            (service, number.unwrap_or(0_u32), view.created)
        });
        Ok(views)
    }

    /// Returns twelve random hexadecimal digits, for the name of a container of `compose run`.
    pub fn random_digits() -> Result<String> {
        Ok(short(&random_digits()?).to_owned())
    }

    /// Locks a project. Hold the lock while containers are made, so that two commands do not make
    /// the same container.
    pub fn lock_project(&self, project: &str) -> Result<Lock> {
        let path: PathBuf = self.roots.run.join(format!(".compose-{project}.lock"));
        Lock::wait(&path, LockMode::Exclusive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Labels = Vec<(String, String)>;

    fn container(service: &str, depends_on: &str) -> Labels {
        let pairs = [(PROJECT, "p"), (SERVICE, service), (DEPENDS_ON, depends_on)];
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec()
    }

    fn services(waves: &[Vec<Labels>]) -> Vec<Vec<&str>> {
        let name = |labels: &'_ Labels| labels[1].1.clone();
        let names = waves.iter().map(|wave| wave.iter().map(name).collect::<Vec<_>>());
        names.map(|wave| wave.into_iter().map(|name| &*name.leak()).collect()).collect()
    }

    #[test]
    fn containers_start_after_those_that_they_depend_on() {
        let all = vec![
            container("web", "api:service_started:false,cache:service_healthy:true"),
            container("api", "db:service_healthy:false"),
            container("db", ""),
            container("cache", "gone:service_started:false"),
        ];
        let waves = waves(all, |labels| labels);
        assert_eq!(services(&waves), [vec!["db", "cache"], vec!["api"], vec!["web"]]);
    }

    #[test]
    fn containers_in_a_circle_are_in_one_wave() {
        let all = vec![container("a", "b:x:y"), container("b", "a:x:y"), container("c", "")];
        assert_eq!(services(&waves(all, |labels| labels)), [vec!["c"], vec!["a", "b"]]);
    }

    #[test]
    fn conditions_are_read_from_the_label() {
        let labels = container("web", "api:service_healthy:false,cache");
        let found: Vec<_> = dependencies(&labels).collect();
        assert_eq!(found, [("api", "service_healthy"), ("cache", "")]);
    }
}

//! Pulls or builds the images of a project's services, as `pull_policy` and `--pull` say. An image
//! that several services share is pulled or built once. Pulls and builds come before the first
//! container is created, so a pull or build that fails leaves no half-created project.

use super::super::run::{Pull, bring_image};
#[cfg(feature = "build")]
use super::build::build;
use crate::compose::bases::with_bases;
use crate::compose::project::{Project, Service};
use crate::compose::settings::image;
use crate::engine::Engine;
use crate::engine::options::{ImageName, Platform};
use crate::error::{Context, Result, fail};
use crate::time::Instant;
use crate::units::parse_duration_ns;

/// When the image of a service is pulled or built: `pull_policy` of the Compose specification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    Always,
    #[default]
    Missing,
    Never,
    Build,
    /// Pull if the image is missing, or if it got its name, by a pull or otherwise, more than this
    /// number of nanoseconds ago.
    After(i64),
    /// Like `After`, with the period that the key `pull_refresh_after` gives, by default one day.
    Refresh,
}

/// How a command gets the images of services.
#[derive(Clone, Debug, Default)]
pub struct ImageOptions {
    /// The value of `--pull`. If `None`, the service's `pull_policy` counts.
    pub policy: Option<Policy>,
    /// Build an image even if it exists.
    pub build: bool,
    pub no_build: bool,
    pub quiet: bool,
}

const DAY_NS: i64 = 24 * 60 * 60 * 1_000_000_000;

/// Parses the value of `--pull` or of `pull_policy`. Fails on an unknown policy.
pub fn parse_policy(text: &str) -> Result<Policy> {
    let policy = match text {
        "always" => Policy::Always,
        "missing" | "if_not_present" => Policy::Missing,
        "never" => Policy::Never,
        "build" => Policy::Build,
        "refresh" => Policy::Refresh,
        "daily" => Policy::After(DAY_NS),
        "weekly" => Policy::After(7 * DAY_NS),
        _ => match text.strip_prefix("every_").and_then(parse_duration_ns) {
            Some(period) if period > 0 => Policy::After(period),
            _ => fail!(
                "unknown policy '{text}'; known: always missing never build daily weekly \
                 every_DURATION, as in every_12h"
            ),
        },
    };
    Ok(policy)
}

/// Returns the `pull_policy` of a service, or `None` if the service has none. `refresh` becomes
/// `After`, with one day if `pull_refresh_after` is not given. Fails on an unknown policy, a bad
/// `pull_refresh_after`, or a `pull_refresh_after` without `pull_policy: refresh`.
pub fn policy_of(service: &Service) -> Result<Option<Policy>> {
    let node = &service.node;
    let policy = node.given("pull_policy").map(|node| node.convert(parse_policy)).transpose()?;
    match (policy, node.given("pull_refresh_after")) {
        (Some(Policy::Refresh), _) => {
            Ok(Some(Policy::After(refresh_period(service)?.unwrap_or(DAY_NS))))
        }
        (_, Some(after)) => {
            Err(after.wrong("pull_refresh_after counts with pull_policy: refresh only"))
        }
        (policy, None) => Ok(policy),
    }
}

/// Returns the `pull_refresh_after` of the service in nanoseconds, or `None` if the key is not
/// given. Fails if the value is not a duration.
fn refresh_period(service: &Service) -> Result<Option<i64>> {
    let Some(after) = service.node.given("pull_refresh_after") else { return Ok(None) };
    match parse_duration_ns(after.as_text()) {
        Some(period) => Ok(Some(period)),
        None => Err(after.wrong("pull_refresh_after: write a duration like 12h")),
    }
}

/// Pulls or builds the images of `services`, each image once. Fails at the first image that can't
/// be pulled or built, or whose service has a bad policy or platform. With `--no-build`, also fails
/// if the image of a service with `build` is missing. In all other cases the policy `Never` accepts
/// a missing image here, and the creation of the container fails later. With `Never`, a local image
/// for another platform is an error.
pub fn ensure_images(
    engine: &Engine,
    project: &Project,
    services: &[&Service],
    how: &ImageOptions,
) -> Result<()> {
    let mut done: Vec<ImageName> = Vec::new();
    for service in with_bases(project, services)? {
        let name = image(project, service)?;
        if done.contains(&name) {
            continue;
        }
        bring_one(engine, project, service, &name, how)
            .context(|| format!("service {}", service.name))?;
        done.push(name);
    }
    Ok(())
}

/// Returns the `platform` of the service, or `None` if the service has none. Fails on a bad
/// platform.
pub fn platform(service: &Service) -> Result<Option<Platform>> {
    service.node.given("platform").map(|node| node.convert(Platform::parse)).transpose()
}

fn bring_one(
    engine: &Engine,
    project: &Project,
    service: &Service,
    name: &ImageName,
    how: &ImageOptions,
) -> Result<()> {
    let policy = match how.policy {
        // `--pull refresh` has no period, so the service's period counts.
        Some(Policy::Refresh) => Policy::After(refresh_period(service)?.unwrap_or(DAY_NS)),
        Some(policy) => policy,
        None => policy_of(service)?.unwrap_or_default(),
    };
    let platform = platform(service)?;
    if service.node.given("build").is_some() {
        let exists = engine.image_exists(name)?;
        let is_outdated = how.build || policy == Policy::Build;
        if !how.no_build && (is_outdated || !exists && policy != Policy::Never) {
            return build(engine, project, service, how.quiet);
        }
        if exists {
            return Ok(());
        }
        if how.no_build {
            fail!("the image {name} is not there, and --no-build was given");
        }
    }
    let pull = match policy {
        Policy::Always => Pull::Always,
        Policy::Never => Pull::Never,
        Policy::Build => fail!("pull_policy is build, and the service has no build"),
        Policy::Missing | Policy::Refresh => Pull::Missing,
        Policy::After(period) => match engine.image_named_at(name)? {
            Some(then) if Instant::now().0.saturating_sub(then.0) > period => Pull::Always,
            _ => Pull::Missing,
        },
    };
    bring_image(engine, name, pull, platform.as_ref(), how.quiet)
}

#[cfg(not(feature = "build"))]
fn build(_: &Engine, _: &Project, service: &Service, _: bool) -> Result<()> {
    let place = service.node.get("build").unwrap_or(&service.node);
    Err(place.wrong("build: this build of mydocker reads no Dockerfiles; pull or load the image"))
}

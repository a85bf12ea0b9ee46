//! The images of a project's services: pulled as `pull_policy` and `--pull` say, or built. An image
//! that several services share is brought once. Pulls and builds come before the first container is
//! made, so that a missing image leaves nothing half-made.

use super::super::run::{Pull, bring_image};
#[cfg(feature = "build")]
use super::build::build;
use crate::compose::project::{Project, Service};
use crate::compose::settings::image;
use crate::engine::Engine;
use crate::error::{Context, Result, fail};

/// How a command brings images.
#[derive(Clone, Debug, Default)]
pub struct Bring {
    /// `--pull`; otherwise the service's `pull_policy` counts.
    pub policy: Option<String>,
    /// Build images that exist too.
    pub build: bool,
    pub no_build: bool,
    pub quiet: bool,
}

/// Checks the value of `--pull`.
pub fn parse_policy(text: &str) -> Result<String> {
    match text {
        "always" | "missing" | "if_not_present" | "never" | "build" => Ok(text.to_owned()),
        _ => fail!("unknown policy '{text}'; known: always missing never build"),
    }
}

/// Brings the images of `services`, each once.
pub fn bring(engine: &Engine, project: &Project, services: &[&Service], how: &Bring) -> Result<()> {
    let mut done: Vec<String> = Vec::new();
    for service in services {
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

fn bring_one(
    engine: &Engine,
    project: &Project,
    service: &Service,
    name: &str,
    how: &Bring,
) -> Result<()> {
    let own = service.node.given("pull_policy");
    let own = own.map(|node| node.convert(parse_policy)).transpose()?;
    let policy = how.policy.clone().or(own).unwrap_or_default();
    let platform = service.node.get_text("platform")?;
    if service.node.given("build").is_some() {
        let exists = engine.image_exists(name)?;
        if how.build || policy == "build" || (!exists && policy != "never") {
            if how.no_build {
                fail!("the image {name} is not there, and --no-build was given");
            }
            return build(engine, project, service, how.quiet);
        }
        if exists {
            return Ok(());
        }
    }
    let pull = match policy.as_str() {
        "always" => Pull::Always,
        "never" => Pull::Never,
        "build" => fail!("pull_policy is build, and the service has no build"),
        _ => Pull::Missing,
    };
    bring_image(engine, name, pull, platform, how.quiet)
}

#[cfg(not(feature = "build"))]
fn build(_: &Engine, _: &Project, service: &Service, _: bool) -> Result<()> {
    let place = service.node.get("build").unwrap_or(&service.node);
    Err(place.wrong("build: this build of mydocker reads no Dockerfiles; pull or load the image"))
}

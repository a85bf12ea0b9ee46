//! Builds that use the images of other services.
//!
//! `build.additional_contexts` may name a service as `service:NAME` (compose specification,
//! "Build"). Then that service's image is pulled or built first, if necessary, even if no active
//! profile enables the service and the user did not name it. If services need each other's images,
//! the command fails. This file only sorts: `cli` runs the builds.

use super::members::no_service;
use super::node::Node;
use super::project::{Project, Service};
use crate::error::Result;

/// Returns the service that `service:NAME` of an additional context names. Fails if the project has
/// no such service.
pub fn built_before<'a>(project: &'a Project, context: &Node) -> Result<&'a Service> {
    let name = context.as_text().strip_prefix("service:").unwrap_or_default();
    project.find(name).ok_or_else(|| context.wrong(no_service(project, name)))
}

/// Returns `services` and the services whose images their builds use. Each service comes after the
/// services whose images its build uses. Fails if services need each other's images, and as
/// [`built_before`] does.
pub fn with_bases<'a>(project: &'a Project, services: &[&'a Service]) -> Result<Vec<&'a Service>> {
    let mut ordered = Vec::new();
    for service in services {
        add_with_bases(project, service, &mut Vec::new(), &mut ordered)?;
    }
    Ok(ordered)
}

fn add_with_bases<'a>(
    project: &'a Project,
    service: &'a Service,
    above: &mut Vec<&'a str>,
    ordered: &mut Vec<&'a Service>,
) -> Result<()> {
    if ordered.iter().any(|known| known.name == service.name) {
        return Ok(());
    }
    above.push(&service.name);
    let build = service.node.get("build").unwrap_or(&service.node);
    for (_, context) in build.entries_of("additional_contexts") {
        if context.as_text().starts_with("service:") {
            let base = built_before(project, context)?;
            if above.contains(&base.name.as_str()) {
                return Err(context.wrong("additional_contexts: these builds need each other"));
            }
            add_with_bases(project, base, above, ordered)?;
        }
    }
    above.pop();
    ordered.push(service);
    Ok(())
}

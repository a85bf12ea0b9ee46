//! Builds on the images of other services: `additional_contexts` may name one as `service:NAME`. Such
//! a service is built first, also if nothing else asks for it and no profile enables it. Services that
//! need each other's images are an error. See the compose specification, "Build".

use super::members::no_service;
use super::node::Node;
use super::project::{Project, Service};
use crate::error::Result;

/// The service that `service:NAME` of an additional context names. It is built before.
pub fn built_before<'a>(project: &'a Project, context: &Node) -> Result<&'a Service> {
    let text = context.scalar()?;
    let name = text.strip_prefix("service:").unwrap_or_default();
    project.find(name).ok_or_else(|| context.wrong(no_service(project, name)))
}

/// `services`, each after those whose images its build takes as contexts.
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
    let contexts = service.node.get("build").and_then(|build| build.get("additional_contexts"));
    above.push(&service.name);
    for (_, context) in contexts.iter().flat_map(|contexts| contexts.entries()) {
        if context.scalar()?.starts_with("service:") {
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

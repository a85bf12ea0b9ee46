//! The command `compose build`: turns the `build` section of a service into the options of
//! `mydocker build`. A key that mydocker does not support is an error, which names the file's line.
//! `privileged`, `provenance` and `sbom` are accepted only with the value false. The module
//! `crate::build` builds the image.

use super::super::build::{options_of, parse_argument};
use super::super::build_progress::{Form, progress};
use super::super::flag::{Command, Flag, Group, MANY, Operand, spec};
use super::{Opened, placed};
use crate::build::{self, Secret, SecretSource};
use crate::compose::bases::with_bases;
use crate::compose::node::{Node, Value};
use crate::compose::project::{Project, Service};
use crate::compose::settings::{build_settings, image, variable_of};
use crate::compose::short::is_remote;
use crate::engine::Engine;
use crate::error::{Result, fail};

/// Returns the options of a service's build, or `None` if the service has no `build` section. Fails
/// if the section has a mistake or asks for something that mydocker does not support. Fails too if
/// the service's `image` is an id or has a digest, or if a secret cannot be used.
pub fn options(project: &Project, service: &Service) -> Result<Option<build::Options>> {
    let Some(node) = service.node.given("build") else { return Ok(None) };
    for (key, why) in [
        ("privileged", "steps are never privileged"),
        ("provenance", "an image has no attestations here"),
        ("sbom", "an image has no attestations here"),
    ] {
        if let Some(value) = node.given(key).filter(|value| !is_false(value)) {
            return Err(value.wrong(format_args!(
                "services.{}.build.{key} is not supported: {why}; write false",
                service.name
            )));
        }
    }
    if let Some(context) = node.given("context").filter(|node| is_remote(node.as_text())) {
        return Err(context.wrong(format_args!(
            "services.{}.build.context is not supported: it is remote; clone or download it first",
            service.name
        )));
    }
    let mut made = options_of(&mut placed(&build_settings(project, node)?))?;
    made.secrets = secrets(project, node)?;
    made.context = node.get_text("context").unwrap_or(&project.directory).to_owned();
    made.inline = node.get_text("dockerfile_inline").map(str::to_owned);
    match image(project, service)?.reference() {
        Some(name) => made.names.insert(0, name.clone().for_new()?),
        None => return Err(node.wrong("an image that is built needs a name, not an id")),
    }
    if let Some(file) = node.get_text("dockerfile") {
        if made.inline.is_some() {
            return Err(node.wrong("dockerfile and dockerfile_inline contradict each other"));
        }
        let path = std::path::Path::new(&made.context).join(file);
        made.file = Some(path.display().to_string());
    }
    for (name, value) in node.entries_of("args") {
        // A name without a value takes the project's variable, if that variable is set.
        let value = match value.value {
            Value::Null => project.variable(name),
            _ => Some(value.as_text().to_owned()),
        };
        made.arguments.extend(value.map(|value| format!("{name}={value}")));
    }
    Ok(Some(made))
}

/// The secrets for a build's steps. A step names a secret by `target`, or by its name if `target`
/// is not given.
fn secrets(project: &Project, node: &Node) -> Result<Vec<Secret>> {
    let mut secrets = Vec::new();
    for grant in node.elements_of("secrets") {
        for key in ["uid", "gid", "mode"] {
            if let Some(node) = grant.given(key) {
                return Err(node.wrong(format_args!(
                    "build.secrets.{key} is not supported: write it in the Dockerfile, as in RUN \
                     --mount=type=secret,id=ID,{key}=VALUE"
                )));
            }
        }
        let name = grant.get_text("source").unwrap_or_default();
        let secret = project.root.get("secrets").and_then(|all| all.get(name));
        let Some(secret) = secret else {
            return Err(
                grant.wrong(format_args!("no such secret: {name}; declare it below 'secrets:'"))
            );
        };
        let source = if let Some(file) = secret.get_text("file") {
            SecretSource::File(file.into())
        } else if let Some(variable) = secret.given("environment") {
            SecretSource::Content(
                variable_of(project, &format!("secrets.{name}"), variable)?.into_bytes(),
            )
        } else {
            return Err(secret.wrong(format_args!(
                "secrets.{name}: a build takes a secret from file or environment"
            )));
        };
        secrets.push(Secret { id: grant.get_text("target").unwrap_or(name).to_owned(), source });
    }
    Ok(secrets)
}

fn is_false(node: &Node) -> bool {
    node.as_text() == "false"
}

/// Builds the image of a service. Fails if the service has no `build` section, if the section has a
/// mistake, or if the build fails.
pub fn build(engine: &Engine, project: &Project, service: &Service, quiet: bool) -> Result<()> {
    let Some(options) = options(project, service)? else {
        fail!("there is no build in the file");
    };
    build_by(engine, &options, quiet)
}

fn build_by(engine: &Engine, options: &build::Options, quiet: bool) -> Result<()> {
    let form = if quiet { Form::Quiet } else { Form::Auto };
    build::build(engine, options, &mut *progress(form)).map(drop)
}

#[derive(Default)]
struct BuildArgs {
    no_cache: bool,
    pull: bool,
    /// The values of `--build-arg`, as `NAME=value`.
    arguments: Vec<String>,
    quiet: bool,
    with_dependencies: bool,
}

static FLAGS: &[Flag<BuildArgs>] = &[
    Flag::<BuildArgs>::value("build-arg", "NAME[=VALUE]", "Set the value of an ARG", |a, v| {
        a.arguments.extend(parse_argument(v)?);
        Ok(())
    }),
    Flag::<BuildArgs>::switch("no-cache", "Take no step from the cache", |a, on| {
        a.no_cache = on;
    }),
    Flag::<BuildArgs>::switch("pull", "Pull base images even if they are here", |a, on| {
        a.pull = on;
    }),
    Flag::<BuildArgs>::switch("with-dependencies", "Build what the services need too", |a, on| {
        a.with_dependencies = on;
    }),
    Flag::<BuildArgs>::switch("quiet", "Print no progress", |a, on| a.quiet = on).short('q'),
];

/// The command `compose build`.
pub static BUILD: Command = Command {
    name: "compose build",
    group: Group::Compose,
    usage: "[FLAGS] [SERVICE…]",
    summary: "Build the images of a project",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(FLAGS, at),
    run: |call| {
        let (args, wanted) = call.parse(FLAGS)?;
        let opened = Opened::wanted(call, &wanted)?;
        let mut built = 0;
        let project = &opened.project;
        let services = project.selected(&wanted, args.with_dependencies);
        for service in with_bases(project, &services)? {
            if let Some(mut options) = options(project, service)? {
                options.no_cache |= args.no_cache;
                options.pull |= args.pull;
                options.arguments.extend(args.arguments.iter().cloned());
                build_by(&opened.engine, &options, args.quiet)?;
                built += 1;
            }
        }
        if built == 0 {
            super::report("no service has a build");
        }
        Ok(0)
    },
};

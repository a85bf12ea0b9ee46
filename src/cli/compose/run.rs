//! The command `compose run`: runs one command in a new container of a service, as `run` does.
//! Without `--no-deps`, the services that this service depends on start first. The container has
//! its own name and does not count as a replica of the service. The service's ports are published
//! only with `--service-ports`, and the service's name resolves to the container only with
//! `--use-aliases`.

use super::super::flag::{Checker, Command, Flag, Group, MANY, Operand, spec};
use super::super::output::print_line;
use super::super::value::env::parse_env;
use super::super::value::mount::parse_volume;
use super::super::value::name::{parse_container_name, parse_label};
use super::super::value::process::parse_workdir;
use super::super::value::security::parse_capability;
use super::super::{Invocation, Outcome};
use super::images::{ImageOptions, ensure_images, parse_policy};
use super::inside::has_terminal;
use super::up::{finish, wait_until};
use super::{Opened, network_options, options};
use crate::compose::members::no_service;
use crate::compose::project::Service;
use crate::compose::up::{Makers, Up, UpOptions, labels, selected};
use crate::engine::Engine;
use crate::engine::options::AttachOptions;
use crate::engine::options::{MountOption, Publish, RestartPolicy};

#[derive(Default)]
struct RunArgs {
    images: ImageOptions,
    detach: bool,
    no_tty: bool,
    no_input: bool,
    no_deps: bool,
    remove: bool,
    service_ports: bool,
    use_aliases: bool,
    remove_orphans: bool,
    name: Option<String>,
    user: Option<String>,
    workdir: Option<String>,
    entrypoint: Option<String>,
    env: Vec<String>,
    labels: Vec<(String, String)>,
    volumes: Vec<MountOption>,
    publish: Vec<Publish>,
    cap_add: Vec<String>,
    cap_drop: Vec<String>,
}

type R = Flag<RunArgs>;

static FLAGS: &[R] = &[
    R::switch("detach", "Run in the background and print the name", |a, on| a.detach = on)
        .short('d'),
    R::switch("rm", "Remove the container when it exits", |a, on| a.remove = on),
    R::switch("no-deps", "Start nothing that the service depends on", |a, on| a.no_deps = on),
    R::switch("build", "Build the image first", |a, on| a.images.build = on),
    R::setting("pull", "WHEN", "Pull images always, missing (default) or never", |a, v| {
        a.images.policy = Some(parse_policy(v)?);
        Ok(())
    }),
    R::switch("quiet-pull", "Print no progress of pulls", |a, on| a.images.quiet = on),
    R::setting("name", "NAME", "Name the container", |a, v| {
        a.name = Some(parse_container_name(v)?.to_owned());
        Ok(())
    }),
    R::value("env", "NAME[=VALUE]", "Set a variable, or copy the caller's", |a, v| {
        a.env.push(parse_env(v)?);
        Ok(())
    })
    .short('e'),
    R::value("label", "NAME=VALUE", "Add a label", |a, v| {
        a.labels.push(parse_label(v)?);
        Ok(())
    })
    .short('l'),
    R::value("volume", "[SRC:]DEST[:OPTS]", "Mount a volume or a host path", |a, v| {
        a.volumes.push(parse_volume(v)?);
        Ok(())
    })
    .checked_by(Checker::Daemon)
    .short('v'),
    R::value("publish", "[[IP:]HOST:]PORT", "Publish a port", |a, v| {
        a.publish.push(v.parse()?);
        Ok(())
    })
    .short('p'),
    R::switch("service-ports", "Publish the ports of the service", |a, on| a.service_ports = on)
        .short('P'),
    R::switch("use-aliases", "Give the container the network aliases of the service", |a, on| {
        a.use_aliases = on;
    }),
    R::setting("user", "USER[:GROUP]", "Run as USER, by name or number", |a, v| {
        a.user = Some(v.to_owned());
        Ok(())
    })
    .short('u'),
    R::setting("workdir", "DIR", "Set the working directory in the container", |a, v| {
        a.workdir = Some(parse_workdir(v)?);
        Ok(())
    })
    .short('w'),
    R::value("entrypoint", "PROGRAM", "Replace the entrypoint", |a, v| {
        a.entrypoint = Some(v.to_owned());
        Ok(())
    }),
    R::value("cap-add", "CAPABILITY", "Add a capability", |a, v| {
        a.cap_add.push(parse_capability(v)?);
        Ok(())
    }),
    R::value("cap-drop", "CAPABILITY", "Drop a capability", |a, v| {
        a.cap_drop.push(parse_capability(v)?);
        Ok(())
    }),
    R::switch("interactive", "Keep stdin open (default true)", |a, on| a.no_input = !on).short('i'),
    R::switch("no-tty", "Allocate no terminal", |a, on| a.no_tty = on)
        .short('T')
        .also(&["--no-TTY"]),
    R::switch(
        "remove-orphans",
        "Remove containers of services that the file no longer has",
        |a, on| {
            a.remove_orphans = on;
        },
    ),
];

/// The command `compose run`.
pub static RUN: Command = Command {
    name: "compose run",
    group: Group::Compose,
    usage: "[FLAGS] SERVICE [COMMAND [ARG…]]",
    summary: "Run a command in a new container of a service",
    examples: &["mydocker compose run --rm app ./manage.py migrate"],
    operand: Operand::Nothing,
    operands: (1, MANY),
    trailing: true,
    flags: |at| spec(FLAGS, at),
    run,
};

fn run(call: &Invocation) -> Outcome {
    let (args, words) = call.parse(FLAGS)?;
    if !args.env.is_empty() {
        Engine::hide_variables();
    }
    let wanted = vec![words[0].clone()];
    let opened = Opened::wanted(call, &wanted)?;
    let (engine, project) = (&opened.engine, &opened.project);
    let Some(service) = project.get(&words[0]) else {
        return Err(no_service(project, &words[0]).into());
    };
    let options_of_up = UpOptions {
        wanted,
        no_deps: args.no_deps,
        remove_orphans: args.remove_orphans,
        except: Some(service.name.clone()),
        ..UpOptions::default()
    };
    ensure_images(engine, project, &selected(project, &options_of_up), &args.images)?;
    let session = opened.session();
    let container = |service: &Service| options(project, service);
    let makers = Makers { container: &container, network: &network_options };
    let mut up = Up::begin(&session, &makers, &options_of_up)?;
    finish(&mut up)?;
    wait_until(|| up.is_ready(service))?;

    let mut options = options(project, service)?;
    let has_tty = !args.no_tty && !args.detach && has_terminal();
    let number = Engine::random_digits()?;
    let usual = format!("{}-{}-run-{number}", project.name, service.name);
    let name = args.name.unwrap_or(usual);
    options.name = Some(name.clone());
    options.labels.extend(args.labels);
    options.labels.extend(labels(project, service, 1, true));
    options.lifecycle.remove = args.remove;
    options.lifecycle.restart = RestartPolicy::default();
    options.streams.interactive = !args.no_input && !args.detach;
    options.streams.keeps_stdin = false;
    options.streams.tty = has_tty;
    options.env.extend(args.env);
    options.user.name = args.user.or(options.user.name.0).into();
    options.workdir = args.workdir.or(options.workdir);
    options.confinement.cap_add.extend(args.cap_add);
    options.confinement.cap_drop.extend(args.cap_drop);
    options.mounts.retain(|mount| args.volumes.iter().all(|own| own.target != mount.target));
    options.mounts.extend(args.volumes);
    if !args.service_ports {
        options.publish.clear();
    }
    options.publish.extend(args.publish);
    if !args.use_aliases {
        for endpoint in &mut options.networks {
            endpoint.settings.aliases.clear();
        }
    }
    let replaced = args.entrypoint.is_some();
    if let Some(entrypoint) = args.entrypoint {
        options.entrypoint = Some(entrypoint);
        options.command.clear();
    }
    if words.len() > 1 {
        // Without `--entrypoint`, `options.command` starts with all words of `entrypoint` but the
        // first. These words stay.
        let entrypoint = service.node.elements_of("entrypoint");
        options.command.truncate(if replaced { 0 } else { entrypoint.len().saturating_sub(1) });
        options.command.extend_from_slice(&words[1..]);
    }
    if args.detach {
        engine.run_detached(&options)?;
        print_line(&name)?;
        return Ok(0);
    }
    let attach = AttachOptions { stdin: options.streams.interactive, ..AttachOptions::default() };
    Ok(engine.run_attached(&options, &attach, &|_| Ok(()))?)
}

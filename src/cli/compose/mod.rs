//! `compose`: the commands over a project of several containers. This module has the flags that
//! stand before the subcommand and reads the project; `config` and its siblings have the commands.
//! What a compose file means is `crate::compose`'s.

#[cfg(feature = "build")]
pub mod build;
pub mod config;
pub mod control;
pub mod events;
mod images;
pub mod inside;
pub mod list;
pub mod logs;
pub mod members;
pub mod run;
pub mod transfer;
pub mod up;

use super::flag::{Command, Flag, Group, MANY, Operand, Placed, specs};
use super::output::print_error;
use super::parse;
use super::style;
use super::{Failure, Invocation};
use crate::compose::files::Choice;
use crate::compose::members::{Member, Session, of_services, one};
use crate::compose::node::Node;
use crate::compose::project::{Project, Service};
use crate::compose::settings::{Setting, files, image, network_settings, set_commands, settings};
use crate::engine::Engine;
use crate::engine::options::{CreateOptions, NetworkOptions};
use crate::error::{Result, fail};

/// The flags between `compose` and the subcommand.
pub static FLAGS: &[Flag<Choice>] = &[
    Flag::<Choice>::setting("file", "FILE", "Read this compose file; may be repeated", |a, v| {
        a.files.push(v.to_owned());
        Ok(())
    })
    .short('f'),
    Flag::<Choice>::setting("project-name", "NAME", "Name the project", |a, v| {
        a.name = Some(v.to_owned());
        Ok(())
    })
    .short('p'),
    Flag::<Choice>::setting("env-file", "FILE", "Read variables from FILE, not .env", |a, v| {
        a.env_files.push(v.to_owned());
        Ok(())
    }),
    Flag::<Choice>::setting("profile", "NAME", "Enable the services of a profile", |a, v| {
        a.profiles.push(v.to_owned());
        Ok(())
    }),
    Flag::<Choice>::setting(
        "project-directory",
        "DIR",
        "Take relative paths from DIR, not the file's directory",
        |a, v| {
            a.directory = Some(v.to_owned());
            Ok(())
        },
    ),
    Flag::<Choice>::setting(
        "ansi",
        "WHEN",
        "Colour names always, never, or auto (default: on a terminal)",
        |a, v| {
            a.coloured = match v {
                "never" => Some(false),
                "always" => Some(true),
                "auto" => None,
                _ => fail!("should be never, always or auto, not '{v}'"),
            };
            Ok(())
        },
    ),
    Flag::<Choice>::setting("progress", "TYPE", "Accepted; progress is plain lines", |_, _| Ok(())),
    Flag::<Choice>::accepted("compatibility", "Accepted; names have dashes"),
];

/// The word `compose` as a command, so that its flags are parsed like those of a command.
static COMPOSE: Command = Command {
    name: "compose",
    group: Group::Compose,
    usage: "[FLAGS] COMMAND",
    summary: "",
    examples: &[],
    operand: Operand::Command,
    operands: (0, MANY),
    trailing: true,
    flags: || specs(FLAGS),
    run: |_| Ok(0),
};

/// Takes the flags between `compose` and the subcommand out of `words`.
pub fn split(words: Vec<String>) -> Result<(Vec<String>, Vec<String>), Failure> {
    if words.first().is_none_or(|first| first != "compose") {
        return Ok((Vec::new(), words));
    }
    let mut choice = Choice::default();
    let rest = match parse::split(&COMPOSE, FLAGS, &mut choice, &words[1..]) {
        // The help of the group.
        Err(Failure::Help) => return Ok((Vec::new(), vec![words[0].clone()])),
        rest => rest?,
    };
    let end = words.len() - rest.len();
    let before = words[1..end].to_vec();
    Ok((before, std::iter::once(words[0].clone()).chain(rest).collect()))
}

/// The project flags of a call.
fn choice(call: &Invocation) -> Result<Choice, Failure> {
    let mut choice = Choice::default();
    parse::split(&COMPOSE, FLAGS, &mut choice, &call.before)?;
    Ok(choice)
}

/// The project of a call, every value of it checked.
fn project(call: &Invocation, wanted: &[String]) -> Result<Project, Failure> {
    let project = Project::read(&choice(call)?, wanted)?;
    for name in &project.missing {
        print_error(&format!(
            "mydocker compose: the variable {name} is not set; an empty text takes its place\n"
        ));
    }
    for service in &project.services {
        options_but_image(&project, service)?;
        images::policy_of(service)?;
        #[cfg(feature = "build")]
        build::options(&project, service)?;
    }
    for (_, node) in project.root.get("networks").iter().flat_map(|all| all.entries()) {
        network_options(node)?;
    }
    Ok(project)
}

/// The project of a call that acts on what exists: only its services and their order count, so a bad
/// value or a missing variable is no reason to leave containers running. Where there is no file,
/// `-p` is enough: what exists is known by labels.
fn existing_project(call: &Invocation) -> Result<Project, Failure> {
    let choice = choice(call)?;
    match Project::read(&choice, &[]) {
        Err(error) if error.is_absent() => {
            let name = choice.name.or_else(|| std::env::var("COMPOSE_PROJECT_NAME").ok());
            match name.filter(|name| !name.is_empty()) {
                Some(name) => Ok(Project::named(&name)),
                None => Err(Failure::Engine(error)),
            }
        }
        project => Ok(project?),
    }
}

/// Whether the names before the lines of logs are coloured.
fn is_coloured(call: &Invocation) -> Result<bool, Failure> {
    let variable = std::env::var("COMPOSE_ANSI");
    let by_variable = match variable.as_deref() {
        Ok("never") => Some(false),
        Ok("always") => Some(true),
        _ => None,
    };
    let chosen = choice(call)?.coloured.or(by_variable);
    Ok(chosen.unwrap_or_else(style::on_stdout))
}

/// The engine and the project of a call.
struct Opened {
    engine: Engine,
    project: Project,
}

impl Opened {
    /// For a command that acts on what exists.
    fn existing(call: &Invocation) -> Result<Opened, Failure> {
        Ok(Opened { project: existing_project(call)?, engine: call.engine()? })
    }

    /// For a command that makes what the file asks for, of the services `wanted`.
    fn wanted(call: &Invocation, wanted: &[String]) -> Result<Opened, Failure> {
        Ok(Opened { project: project(call, wanted)?, engine: call.engine()? })
    }

    /// The containers of the services that are the operands, without those of `run`.
    fn members(&self, wanted: &[String]) -> Result<Vec<Member>> {
        of_services(&self.engine, &self.project, wanted)
    }

    /// The running container of a service with this number, or its first one.
    fn member(&self, service: &str, index: u32) -> Result<Member> {
        one(&self.engine, &self.project, service, index)
    }

    fn session(&self) -> Session<'_> {
        Session { engine: &self.engine, project: &self.project, report: &report }
    }
}

/// Whether the value of a `--format` that knows two formats is json, and not `other`.
fn is_json(text: &str, other: &str) -> Result<bool> {
    match text {
        "json" => Ok(true),
        _ if text == other => Ok(false),
        _ => fail!("unknown format '{text}'; known: {other} json"),
    }
}

/// Prints a line about progress.
fn report(line: &str) {
    print_error(&format!("{line}\n"));
}

/// The options of a container of `service`.
fn options(project: &Project, service: &Service) -> Result<CreateOptions> {
    let image = Some(image(project, service)?);
    Ok(CreateOptions { image, ..options_but_image(project, service)? })
}

/// The same without the image: `config` prints what can't be an image's name too.
fn options_but_image(project: &Project, service: &Service) -> Result<CreateOptions> {
    let own = settings(project, service)?;
    let made = super::run::options_of(&mut placed(&own));
    let mut options = match made {
        Ok(options) => options,
        Err(error) => {
            let message = error.to_string();
            let is_placed =
                own.iter().any(|setting| message.starts_with(&format!("{}:", setting.place)));
            if is_placed {
                fail!("service {}: {message}", service.name);
            }
            // It is about several keys of the service.
            return Err(service.node.wrong(format_args!("services.{}: {message}", service.name)));
        }
    };
    set_commands(&mut options, &service.node)?;
    options.files = files(project, service)?;
    // A project is started without a client at its stdin.
    options.streams.keeps_stdin = options.streams.interactive;
    Ok(options)
}

/// The options of a network.
fn network_options(node: &Node) -> Result<NetworkOptions> {
    super::network::options_of(&mut placed(&network_settings(node)?))
}

fn placed(settings: &[Setting]) -> impl Iterator<Item = Placed<'_>> {
    settings.iter().map(|setting| {
        let place: &dyn std::fmt::Display = &setting.place;
        (place, setting.flag, setting.value.as_str())
    })
}

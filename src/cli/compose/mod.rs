//! The commands of `compose`. This module parses the flags between `compose` and the subcommand and
//! reads the project. The other modules of this directory hold the subcommands, except `images`,
//! which gets the images of services. `crate::compose` interprets the compose file.

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

use super::flag::{Checker, Command, Flag, Group, MANY, Operand, Placed, spec};
use super::output::print_error;
use super::parse;
use super::run::{Unfit, options_of as run_options_of};
use super::style;
use super::value::name::parse_container_name;
use super::{Failure, Invocation};
use crate::compose::files::Choice;
use crate::compose::members::{Member, Session, of_services, one};
use crate::compose::node::Node;
use crate::compose::project::{Project, Service};
use crate::compose::settings::{
    Setting, files, image, network_settings, ports, set_commands, settings,
};
use crate::engine::Engine;
use crate::engine::options::{CreateOptions, NetworkOptions};
use crate::error::{Error, Result, fail};

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
    })
    .checked_by(Checker::Daemon),
    Flag::<Choice>::setting("profile", "NAME", "Enable the services of a profile", |a, v| {
        a.profiles.push(v.to_owned());
        Ok(())
    }),
    Flag::<Choice>::setting(
        "project-directory",
        "DIR",
        "Resolve relative paths from DIR, not the file's directory",
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

/// The word `compose` as a command, so that the parser accepts flags between `compose` and the
/// subcommand.
pub(super) static COMPOSE: Command = Command {
    name: "compose",
    group: Group::Compose,
    usage: "[FLAGS] COMMAND",
    summary: "",
    examples: &[],
    operand: Operand::Command,
    operands: (0, MANY),
    trailing: true,
    flags: |at| spec(FLAGS, at),
    run: |_| Ok(0),
};

/// Splits `words` into the flags between `compose` and the subcommand, and the words without these
/// flags. If the first word is not `compose`, there are no such flags. Fails if a flag is unknown,
/// or its value is bad or missing.
pub fn split(words: Vec<String>) -> Result<(Vec<String>, Vec<String>), Failure> {
    if words.first().is_none_or(|first| first != "compose") {
        return Ok((Vec::new(), words));
    }
    let mut choice = Choice::default();
    let rest = match parse::split(&COMPOSE, FLAGS, &mut choice, &words[1..]) {
        // `compose --help` prints the help of the whole group.
        Err(Failure::Help) => return Ok((Vec::new(), vec![words[0].clone()])),
        rest => rest?,
    };
    let end = words.len() - rest.len();
    let before = words[1..end].to_vec();
    Ok((before, std::iter::once(words[0].clone()).chain(rest).collect()))
}

/// Returns the flags between `compose` and the subcommand.
fn choice(call: &Invocation) -> Result<Choice, Failure> {
    let mut choice = Choice::default();
    parse::split(&COMPOSE, FLAGS, &mut choice, &call.before)?;
    Ok(choice)
}

/// Reads the project of a call and checks the values of its services and networks. Warns of
/// variables that are not set.
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
    for (_, node) in project.root.entries_of("networks") {
        network_options(node)?;
    }
    Ok(project)
}

/// Reads the project for a command that acts on existing containers. Does not read the files of
/// `env_file` and checks less than `project`, so that fewer mistakes stop `down`. Without a compose
/// file, `-p` or COMPOSE_PROJECT_NAME is enough, because the containers' labels name their project.
fn existing_project(call: &Invocation) -> Result<Project, Failure> {
    let choice = choice(call)?;
    match Project::read_existing(&choice) {
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

/// Whether `logs` and `up` print the container names in colour.
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
    /// Opens the project for a command that acts on existing containers.
    fn existing(call: &Invocation) -> Result<Opened, Failure> {
        Ok(Opened { project: existing_project(call)?, engine: call.engine()? })
    }

    /// Opens the project for a command that uses the settings of the services `wanted`, and checks
    /// the values as `project` does.
    fn wanted(call: &Invocation, wanted: &[String]) -> Result<Opened, Failure> {
        Ok(Opened { project: project(call, wanted)?, engine: call.engine()? })
    }

    /// Returns the containers of the services `wanted`, without the containers of `compose run`.
    fn members(&self, wanted: &[String]) -> Result<Vec<Member>> {
        of_services(&self.engine, &self.project, wanted)
    }

    /// Returns the container number `index` of a service, if the container runs or waits for a
    /// restart. If `index` is 0, returns the first such container. Fails if there is no such
    /// container.
    fn member(&self, service: &str, index: u32) -> Result<Member> {
        one(&self.engine, &self.project, service, index)
    }

    fn session(&self) -> Session<'_> {
        Session { engine: &self.engine, project: &self.project, report: &report }
    }
}

/// Parses a `--format` with two values. Returns true for `json` and false for `other`, and fails on
/// any other text.
fn is_json(text: &str, other: &str) -> Result<bool> {
    match text {
        "json" => Ok(true),
        _ if text == other => Ok(false),
        _ => fail!("unknown format '{text}'; known: {other} json"),
    }
}

/// Prints a line of progress on stderr.
fn report(line: &str) {
    print_error(&format!("{line}\n"));
}

/// Returns the options for creating a container of `service`.
fn options(project: &Project, service: &Service) -> Result<CreateOptions> {
    let image = Some(image(project, service)?);
    Ok(CreateOptions { image, ..options_but_image(project, service)? })
}

/// Returns what `options` returns, but without the image, because `config` also prints a project
/// with an invalid image name.
fn options_but_image(project: &Project, service: &Service) -> Result<CreateOptions> {
    let made = run_options_of(&mut placed(&settings(project, service)?));
    let mut options = made.map_err(|unfit| match unfit {
        Unfit::Setting(error) => Error::new(format!("service {}: {error}", service.name)),
        Unfit::Together(error) => {
            service.node.wrong(format_args!("services.{}: {error}", service.name))
        }
    })?;
    if let Some(name) = service.node.given("container_name") {
        name.convert(|text| parse_container_name(text).map(drop))?;
    }
    options.publish = ports(&service.node)?;
    set_commands(&mut options, &service.node)?;
    options.files = files(project, service)?;
    // `compose up` starts a container with no client at its stdin.
    options.streams.keeps_stdin = options.streams.interactive;
    options.streams.attached.stdin = false;
    Ok(options)
}

/// Parses the options of a network in the file.
fn network_options(node: &Node) -> Result<NetworkOptions> {
    super::network::options_of(&mut placed(&network_settings(node)?))
}

fn placed(settings: &[Setting]) -> impl Iterator<Item = Placed<'_>> {
    settings.iter().map(|setting| {
        let place: &dyn std::fmt::Display = &setting.place;
        (place, setting.flag, setting.value.as_str())
    })
}

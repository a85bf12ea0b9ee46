//! `compose`: the commands over a project of several containers. This module has the flags that
//! stand before the subcommand and reads the project; `config` and its siblings have the commands.
//! What a compose file means is `crate::compose`'s.

mod config;

use super::flag::{Command, Flag, Group, MANY, Operand, specs};
use super::output::print_error;
use super::parse;
use super::{Failure, Invocation};
use crate::compose::files::Choice;
use crate::compose::project::{Project, Service};
use crate::compose::settings::{Setting, settings};
use crate::engine::options::CreateOptions;
use crate::error::{Result, fail};

pub use config::CONFIG;

/// The flags between `compose` and the subcommand.
static FLAGS: &[Flag<Choice>] = &[
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
        "Accepted; NO_COLOR=1 turns colours off",
        |_, v| match v {
            "never" | "always" | "auto" => Ok(()),
            _ => fail!("should be never, always or auto, not '{v}'"),
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
        options(&project, service, &[])?;
    }
    Ok(project)
}

/// The options of a container of `service`, with `more` settings.
fn options(project: &Project, service: &Service, more: &[Setting]) -> Result<CreateOptions> {
    let container = |name: &str| match project.get(name) {
        Some(other) => crate::compose::settings::container_name(project, other, 1)
            .unwrap_or_else(|_| name.to_owned()),
        None => name.to_owned(),
    };
    let own = settings(project, service, &container)?;
    let all = own.iter().chain(more);
    let mut each = all.map(|setting| {
        let place: &dyn std::fmt::Display = &setting.place;
        (place, setting.flag, setting.value.as_str())
    });
    let image = crate::compose::settings::image(project, service)?;
    let made = super::run::options_of(&mut each, &image, Vec::new());
    let mut options = match made {
        Ok(options) => options,
        Err(error) => fail!("service {}: {error}", service.name),
    };
    crate::compose::settings::set_commands(&mut options, &service.node)?;
    Ok(options)
}

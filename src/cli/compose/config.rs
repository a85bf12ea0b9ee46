//! The command `compose config`: prints the project in canonical form. With a flag such as
//! `--services` or `--hash` the command prints only names or hashes. The values of the services and
//! networks are parsed as `run` and `network create` parse them, so the command finds invalid
//! values too. The command creates nothing and needs no root.

use super::super::flag::{Command, Flag, Group, MANY, Operand, spec};
use super::super::output::{print, print_line};
use super::super::{Invocation, Outcome};
use super::{is_json, project};
use crate::compose::print::{escape, json, yaml};
use crate::compose::settings::image_text;
use crate::order;

#[derive(Default)]
struct ConfigArgs {
    quiet: bool,
    services: bool,
    images: bool,
    volumes: bool,
    networks: bool,
    profiles: bool,
    hash: Option<String>,
    json: bool,
}

static FLAGS: &[Flag<ConfigArgs>] = &[
    Flag::<ConfigArgs>::switch("quiet", "Only check the files", |a, on| a.quiet = on).short('q'),
    Flag::<ConfigArgs>::switch("services", "Print the names of the services", |a, on| {
        a.services = on;
    }),
    Flag::<ConfigArgs>::switch("images", "Print the names of the images", |a, on| a.images = on),
    Flag::<ConfigArgs>::switch("volumes", "Print the names of the volumes", |a, on| a.volumes = on),
    Flag::<ConfigArgs>::switch("networks", "Print the names of the networks", |a, on| {
        a.networks = on;
    }),
    Flag::<ConfigArgs>::switch("profiles", "Print the names of the profiles", |a, on| {
        a.profiles = on;
    }),
    Flag::<ConfigArgs>::setting(
        "hash",
        "SERVICE",
        "Print the hash of a service's configuration, or of all with *",
        |a, v| {
            a.hash = Some(v.to_owned());
            Ok(())
        },
    ),
    Flag::<ConfigArgs>::setting("format", "FORMAT", "Print as yaml (default) or json", |a, v| {
        a.json = is_json(v, "yaml")?;
        Ok(())
    }),
];

/// The command `compose config`.
pub static CONFIG: Command = Command {
    name: "compose config",
    group: Group::Compose,
    usage: "[FLAGS] [SERVICE…]",
    summary: "Check the compose files and print them in canonical form",
    examples: &["mydocker compose config --services"],
    operand: Operand::Nothing,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(FLAGS, at),
    run: config,
};

fn config(call: &Invocation) -> Outcome {
    let (args, wanted) = call.parse(FLAGS)?;
    let mut project = project(call, &wanted)?;
    if args.quiet {
        return Ok(0);
    }
    let keys = |section: &str| -> Vec<String> {
        let all = project.root.entries_of(section);
        all.iter().map(|(name, _)| name.clone()).collect()
    };
    let mut names: Vec<String> = Vec::new();
    let only_names = args.services || args.images || args.volumes || args.networks || args.profiles;
    if args.services {
        names.extend(project.services.iter().map(|service| service.name.clone()));
    }
    if args.images {
        for service in &project.services {
            names.push(image_text(&project, service));
        }
    }
    if args.volumes {
        names.extend(keys("volumes"));
    }
    if args.networks {
        names.extend(keys("networks"));
    }
    if args.profiles {
        let all = project.services.iter().chain(&project.disabled);
        names.extend(all.flat_map(|service| service.profiles.clone()));
        order::sort(&mut names);
        names.dedup();
    }
    if let Some(wanted) = &args.hash {
        for service in &project.services {
            if wanted == "*" || wanted.split(',').any(|name| name == service.name) {
                names.push(format!("{} {}", service.name, service.hash));
            }
        }
        if names.is_empty() {
            return call.refuse(format!("no such service: {wanted}"));
        }
    }
    if only_names || args.hash.is_some() {
        for name in names {
            print_line(&name)?;
        }
        return Ok(0);
    }
    if !wanted.is_empty() {
        let kept: Vec<String> =
            project.with_dependencies(&wanted).iter().map(|each| each.name.clone()).collect();
        let mut services = project.root.map();
        for (name, node) in project.root.entries_of("services") {
            if kept.contains(name) {
                services.set(name, node.clone());
            }
        }
        project.root.set("services", services);
    }
    // Escape each `$`, so that a command that reads this output finds no variables in it.
    escape(&mut project.root);
    print(&if args.json { json(&project.root, false) + "\n" } else { yaml(&project.root) })?;
    Ok(0)
}

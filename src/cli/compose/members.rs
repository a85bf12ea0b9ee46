//! The command `compose down`: stops and removes the containers and networks of a project. Labels
//! name the project of each container, so `-p NAME` is enough and no file is needed. If there is a
//! file, the containers of services that the file lacks stay, unless `--remove-orphans` or
//! COMPOSE_REMOVE_ORPHANS is set.

use super::super::flag::{Command, Flag, Group, MANY, Operand, spec};
use super::super::lifecycle::parse_timeout;
use super::super::{Invocation, Outcome};
use super::Opened;
use crate::compose::members::{self, Member};
use crate::compose::project::Service;
use crate::compose::settings::image;
use crate::engine::options::ImageName;
use crate::error::{Result, fail};
use crate::order;

#[derive(Default)]
struct DownArgs {
    volumes: bool,
    remove_orphans: bool,
    timeout: Option<i64>,
    images: Option<Images>,
}

/// The value of `--rmi`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Images {
    All,
    /// Only images of services that have no `image` key.
    Local,
}

static DOWN_FLAGS: &[Flag<DownArgs>] = &[
    Flag::<DownArgs>::switch("volumes", "Remove the project's volumes too", |a, on| {
        a.volumes = on;
    })
    .short('v'),
    Flag::<DownArgs>::setting("rmi", "WHICH", "Remove images too: all, or local", |a, v| {
        a.images = Some(match v {
            "all" => Images::All,
            "local" => Images::Local,
            _ => fail!("should be all or local, not '{v}'"),
        });
        Ok(())
    }),
    Flag::<DownArgs>::switch(
        "remove-orphans",
        "Remove containers of services that the file no longer has",
        |a, on| a.remove_orphans = on,
    ),
    Flag::<DownArgs>::setting(
        "timeout",
        "SECONDS",
        "Kill containers that do not stop in SECONDS",
        |a, v| {
            a.timeout = Some(parse_timeout(v)?);
            Ok(())
        },
    )
    .short('t'),
];

/// The command `compose down`.
pub static DOWN: Command = Command {
    name: "compose down",
    group: Group::Compose,
    usage: "[FLAGS] [SERVICE…]",
    summary: "Stop and remove the containers and networks of a project",
    examples: &["mydocker compose down -v"],
    operand: Operand::Nothing,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(DOWN_FLAGS, at),
    run: down,
};

fn down(call: &Invocation) -> Outcome {
    let (args, wanted) = call.parse(DOWN_FLAGS)?;
    let opened = Opened::existing(call)?;
    let session = opened.session();
    // If no service is named, include the containers of `compose run`, because a network that a
    // container uses cannot be removed.
    let found = members::with_oneoffs(&opened.engine, &opened.project, &wanted)?;
    if wanted.is_empty() {
        session.orphans(args.remove_orphans, args.timeout)?;
    }
    session.stop(found.clone(), args.timeout)?;
    session.remove(&found, args.volumes)?;
    if wanted.is_empty() {
        session.remove_networks()?;
        if args.volumes {
            session.remove_volumes()?;
        }
    }
    if let Some(which) = args.images {
        remove_images(&opened, &wanted, &found, which)?;
    }
    Ok(0)
}

/// Removes images of the services `wanted`, or of all services of the project if `wanted` is empty.
/// `which` chooses the images; `Images::All` includes the images of `members`. An image that cannot
/// be removed stays, such as one that another container uses.
fn remove_images(
    opened: &Opened,
    wanted: &[String],
    members: &[Member],
    which: Images,
) -> Result<()> {
    let project = &opened.project;
    let mut names: Vec<ImageName> = Vec::new();
    let is_wanted = |service: &&Service| wanted.is_empty() || wanted.contains(&service.name);
    for service in project.services.iter().chain(&project.disabled).filter(is_wanted) {
        if which == Images::All || service.node.given("image").is_none() {
            names.push(image(project, service)?);
        }
    }
    if which == Images::All {
        names.extend(members.iter().filter_map(|member| member.view.image.clone()));
    }
    order::sort_by(&mut names, |one, other| one.typed().cmp(other.typed()));
    names.dedup();
    for name in names {
        if !opened.engine.image_exists(&name)? {
            continue;
        }
        match opened.engine.remove_image(&name, false) {
            Ok(_) => opened.session().note("Image", name.typed(), "Removed"),
            Err(error) => opened.session().note("Image", name.typed(), &format!("Stays: {error}")),
        }
    }
    Ok(())
}

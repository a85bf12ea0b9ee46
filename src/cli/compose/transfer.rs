//! `compose pull`, `push`, `images` and `version`. `pull` pulls one image after the other. An image
//! that several services share is pulled once. A service with `build` is pulled only if it also has
//! `image`. `push` pushes only images of services that have `build` and `image`.

use super::super::flag::{Command, Flag, Group, MANY, Operand, spec};
use super::super::format::push_ago;
use super::super::output::{print, print_line};
use super::super::progress::Progress;
use super::super::run::{Pull, bring_image};
use super::super::table::Table;
use super::super::version::VERSION_TEXT;
use super::super::{Invocation, Outcome};
use super::images::{Policy, parse_policy, platform, policy_of};
use super::list::json;
use super::{Opened, is_json, report};
use crate::compose::settings::image;
use crate::engine::options::{ImageName, Reference};
use crate::engine::registry::RegistryOptions;
use crate::engine::view::{ImageId, ListedImage};
use crate::error::Context;
use crate::template::Value;
use crate::time::Instant;
use crate::units::push_human_size;

#[derive(Default)]
struct PullArgs {
    quiet: bool,
    include_deps: bool,
    ignore_buildable: bool,
    ignore_failures: bool,
    policy: Option<Policy>,
}

type P = Flag<PullArgs>;

static PULL_FLAGS: &[P] = &[
    P::switch("quiet", "Print no progress", |a, on| a.quiet = on).short('q'),
    P::switch("include-deps", "Pull what the services depend on too", |a, on| a.include_deps = on),
    P::switch("ignore-buildable", "Skip services that are built", |a, on| {
        a.ignore_buildable = on;
    }),
    P::switch("ignore-pull-failures", "Continue after a failed pull", |a, on| {
        a.ignore_failures = on;
    }),
    P::setting("policy", "WHEN", "Pull always (default) or missing images", |a, v| {
        a.policy = Some(parse_policy(v)?);
        Ok(())
    }),
];

/// The command `compose pull`.
pub static PULL: Command = Command {
    name: "compose pull",
    group: Group::Compose,
    usage: "[FLAGS] [SERVICE…]",
    summary: "Pull the images of a project",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(PULL_FLAGS, at),
    run: pull,
};

fn pull(call: &Invocation) -> Outcome {
    let (args, wanted) = call.parse(PULL_FLAGS)?;
    let opened = Opened::wanted(call, &wanted)?;
    let mut done: Vec<ImageName> = Vec::new();
    for service in opened.project.selected(&wanted, args.include_deps) {
        let is_built = service.node.given("build").is_some();
        let name = image(&opened.project, service)?;
        let is_skipped =
            is_built && (args.ignore_buildable || service.node.given("image").is_none());
        if is_skipped || done.contains(&name) {
            continue;
        }
        let how = match args.policy.or(policy_of(service)?) {
            // `Build` builds the image. With `Never`, the image must be in the local store already.
            Some(Policy::Never | Policy::Build) => continue,
            Some(Policy::Missing) => Pull::Missing,
            _ => Pull::Always,
        };
        let platform = platform(service)?;
        let pulled = bring_image(&opened.engine, &name, how, platform.as_ref(), args.quiet);
        match pulled.context(|| format!("service {}", service.name)) {
            Err(error) if args.ignore_failures || is_built => report(&format!(" {error}")),
            pulled => pulled?,
        }
        done.push(name);
    }
    Ok(0)
}

#[derive(Default)]
struct PushArgs {
    quiet: bool,
    include_deps: bool,
    ignore_failures: bool,
}

static PUSH_FLAGS: &[Flag<PushArgs>] = &[
    Flag::<PushArgs>::switch("quiet", "Print no progress", |a, on| a.quiet = on).short('q'),
    Flag::<PushArgs>::switch("include-deps", "Push what the services depend on too", |a, on| {
        a.include_deps = on;
    }),
    Flag::<PushArgs>::switch("ignore-push-failures", "Continue after a failed push", |a, on| {
        a.ignore_failures = on;
    }),
];

/// The command `compose push`.
pub static PUSH: Command = Command {
    name: "compose push",
    group: Group::Compose,
    usage: "[FLAGS] [SERVICE…]",
    summary: "Push the built images of a project",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(PUSH_FLAGS, at),
    run: push,
};

fn push(call: &Invocation) -> Outcome {
    let (args, wanted) = call.parse(PUSH_FLAGS)?;
    let opened = Opened::wanted(call, &wanted)?;
    for service in opened.project.selected(&wanted, args.include_deps) {
        let is_built = service.node.given("build").is_some();
        let Some(name) = service.node.given("image").filter(|_| is_built) else { continue };
        let name = name.convert(Reference::parse)?;
        let progress = Progress::on_stderr(args.quiet);
        let note = |event| progress.note(event);
        let pushed = opened.engine.push(&name, false, &RegistryOptions::default(), &note);
        match pushed.context(|| format!("service {}", service.name)) {
            Err(error) if args.ignore_failures => report(&format!(" {error}")),
            pushed => drop(pushed?),
        }
    }
    Ok(0)
}

#[derive(Default)]
struct ImagesArgs {
    quiet: bool,
    json: bool,
}

static IMAGES_FLAGS: &[Flag<ImagesArgs>] = &[
    Flag::<ImagesArgs>::switch("quiet", "Print only ids", |a, on| a.quiet = on).short('q'),
    Flag::<ImagesArgs>::setting("format", "FORMAT", "Print as table or json", |a, v| {
        a.json = is_json(v, "table")?;
        Ok(())
    }),
];

/// The command `compose images`.
pub static IMAGES: Command = Command {
    name: "compose images",
    group: Group::Compose,
    usage: "[FLAGS] [SERVICE…]",
    summary: "List the images of a project's containers",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(IMAGES_FLAGS, at),
    run: images,
};

fn images(call: &Invocation) -> Outcome {
    let (args, wanted) = call.parse(IMAGES_FLAGS)?;
    let opened = Opened::existing(call)?;
    let engine = &opened.engine;
    let known = engine.images()?;
    let mut table =
        Table::new(["CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED"]);
    let mut objects = Vec::new();
    let mut ids: Vec<ImageId> = Vec::new();
    let found = opened.members(&wanted)?;
    for member in &found {
        let id = member.view.image_id;
        ids.extend(id.filter(|id| !ids.contains(id)));
        // An image can have several names. Show the name that the container was created with, if
        // the image still has that name.
        let of_image = || known.iter().filter(|image| Some(image.id) == id);
        let asked = member.view.image.as_ref().and_then(ImageName::reference);
        let asked = asked.map(Reference::familiar);
        let by_name = |image: &&ListedImage| {
            let (repository, tag) = (image.repository.as_deref(), image.tag.as_deref());
            asked == Some(format!("{}:{}", repository.unwrap_or(""), tag.unwrap_or("")))
        };
        let image = of_image().find(by_name).or_else(|| of_image().next());
        let repository = image.and_then(|image| image.repository.as_deref());
        let tag = image.and_then(|image| image.tag.as_deref());
        let platform = id.map(|id| engine.image_platform(&id.into())).transpose()?.flatten();
        let platform = platform.map(|platform| platform.to_string()).unwrap_or_default();
        let short = id.map(|id| id.short()).unwrap_or_default();
        let id = id.map(|id| id.to_string()).unwrap_or_default();
        let size = image.map_or(0, |image| image.size);
        let created = image.and_then(|image| image.created);
        if args.json {
            let mut object = vec![
                ("ID", Value::text(&id)),
                ("ContainerName", Value::text(&member.view.name)),
                ("Repository", Value::text(repository.unwrap_or_default())),
                ("Tag", Value::text(tag.unwrap_or_default())),
                ("Platform", Value::text(&platform)),
                ("Size", Value::Int(size.try_into().unwrap_or(i64::MAX))),
            ];
            object.extend(created.map(|time| ("Created", Value::Time(time))));
            let name = member.view.image.as_ref();
            let named = name.map(|name| engine.image_named_at(name)).transpose()?.flatten();
            object.extend(named.map(|time| ("LastTagTime", Value::Time(time))));
            objects.push(Value::object(object));
            continue;
        }
        table.cell(|out| out.push_str(&member.view.name));
        table.cell(|out| out.push_str(repository.unwrap_or("<none>")));
        table.cell(|out| out.push_str(tag.unwrap_or("<none>")));
        table.cell(|out| out.push_str(&platform));
        table.cell(|out| out.push_str(&short));
        table.cell(|out| push_human_size(out, size));
        table.cell(|out| match created {
            Some(time) => push_ago(out, time, Instant::now()),
            None => out.push_str("N/A"),
        });
    }
    if args.quiet {
        for id in ids {
            print_line(&id.hex())?;
        }
    } else if args.json {
        print_line(&json(&Value::list(objects)))?;
    } else {
        print(&table.render())?;
    }
    Ok(0)
}

#[derive(Default)]
struct VersionArgs {
    short: bool,
    json: bool,
}

static VERSION_FLAGS: &[Flag<VersionArgs>] = &[
    Flag::<VersionArgs>::switch("short", "Print only the number", |a, on| a.short = on),
    Flag::<VersionArgs>::setting("format", "FORMAT", "Print as pretty or json", |a, v| {
        a.json = is_json(v, "pretty")?;
        Ok(())
    })
    .short('f'),
];

/// The command `compose version`.
pub static VERSION: Command = Command {
    name: "compose version",
    group: Group::Compose,
    usage: "[FLAGS]",
    summary: "Print the version",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: |at| spec(VERSION_FLAGS, at),
    run: |call| {
        let (args, _) = call.parse(VERSION_FLAGS)?;
        let text = match (args.json, args.short) {
            (true, _) => format!("{{\"version\":\"{VERSION_TEXT}\"}}"),
            (false, true) => VERSION_TEXT.to_owned(),
            (false, false) => format!("mydocker compose version {VERSION_TEXT}"),
        };
        print_line(&text)?;
        Ok(0)
    },
};

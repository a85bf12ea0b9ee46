//! `system df` and the prunes of containers, images and the system. Each prune asks for
//! confirmation unless `-f` is given, and prints what it removed and the freed bytes, in Docker's
//! words. `volume prune` and `network prune` are in `volume` and `network`. `engine::disk` measures
//! sizes.

use super::flag::{Checker, Command, Flag, Group, Operand, spec};
use super::format::{Field, Format, Row, Show};
use super::image_filter::ImageFilter;
use super::output::{print, removal_confirmed};
use super::prune_filter::{self, PruneFilter};
#[cfg(feature = "build")]
use super::pruned::CACHE_HEADING;
use super::pruned::{Section, print_pruned};
use super::{Invocation, Outcome, disk_detail};
use crate::engine::Engine;
use crate::engine::view::{DiskKind, DiskUse, PruneChoice, Pruned, RemovedImage};
use crate::error::Result;
use crate::time::Instant;
use crate::units::push_human_size;

#[derive(Default)]
struct DfArgs {
    verbose: bool,
    format: String,
}

static DF_FLAGS: &[Flag<DfArgs>] = &[
    Flag::<DfArgs>::switch("verbose", "Show each image, container and volume", |a, on| {
        a.verbose = on
    })
    .short('v'),
    Flag::<DfArgs>::setting(
        "format",
        "FORMAT",
        "Print as json, or by a template such as '{{.Type}} {{.Size}}'",
        |a, v| {
            a.format = v.to_owned();
            Ok(())
        },
    ),
];

/// The command `system df`.
pub static DF: Command = Command {
    name: "system df",
    group: Group::Engine,
    usage: "[FLAGS]",
    summary: "Show the disk use of images, containers, volumes and the build cache",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: |at| spec(DF_FLAGS, at),
    run: |call| {
        let (args, _) = call.parse(DF_FLAGS)?;
        let show = Show { no_trunc: false, now: Instant::now() };
        if args.verbose {
            let template = match disk_detail::parse(&args.format) {
                Ok(template) => template,
                Err(error) => return call.refuse(format!("--format: {error}")),
            };
            let detail = call.engine()?.disk_use_of_each()?;
            print(&disk_detail::render(&detail, &show, template.as_ref())?)?;
            return Ok(0);
        }
        let format = match Format::parse(&args.format, FIELDS, COLUMNS) {
            Ok(format) => format,
            Err(error) => return call.refuse(format!("--format: {error}")),
        };
        print(&format.render(&call.engine()?.disk_use()?, FIELDS, &show)?)?;
        Ok(0)
    },
};

/// Docker's word for a kind of object.
fn kind(kind: DiskKind) -> &'static str {
    match kind {
        DiskKind::Images => "Images",
        DiskKind::Containers => "Containers",
        DiskKind::Volumes => "Local Volumes",
        DiskKind::BuildCache => "Build Cache",
    }
}

impl Row for DiskUse {
    const KIND: &'static str = "*formatter.diskUsageContext";
    const RAW: &'static str = "type: {{.Type}}\ntotal: {{.TotalCount}}\nactive: {{.Active}}\n\
        size: {{.Size}}\nreclaimable: {{.Reclaimable}}\n";
}

static COLUMNS: &[&str] = &["Type", "TotalCount", "Active", "Size", "Reclaimable"];

/// The fields of `--format`, in alphabetical order, as in Docker's JSON.
static FIELDS: &[Field<DiskUse>] = &[
    Field {
        name: "Active",
        header: "ACTIVE",
        write: |line, _, out| out.push_str(&line.active.to_string()),
    },
    Field {
        name: "Reclaimable",
        header: "RECLAIMABLE",
        write: |line, _, out| {
            push_human_size(out, line.reclaimable);
            if let Some(percent) = (line.reclaimable * 100).checked_div(line.size) {
                out.push_str(&format!(" ({percent}%)"));
            }
        },
    },
    Field { name: "Size", header: "SIZE", write: |line, _, out| push_human_size(out, line.size) },
    Field {
        name: "TotalCount",
        header: "TOTAL",
        write: |line, _, out| out.push_str(&line.total.to_string()),
    },
    Field { name: "Type", header: "TYPE", write: |line, _, out| out.push_str(kind(line.kind)) },
];

#[derive(Default)]
struct PruneArgs {
    all: bool,
    volumes: bool,
    filter: PruneFilter,
    force: bool,
}

const FORCE: Flag<PruneArgs> =
    Flag::<PruneArgs>::switch("force", "Do not ask for confirmation", |a, on| a.force = on)
        .short('f');

const FILTER: Flag<PruneArgs> =
    Flag::<PruneArgs>::value("filter", "KEY=VALUE", prune_filter::DOC, |a, v| {
        a.filter.add(v, prune_filter::KNOWN)
    })
    .checked_by(Checker::DaemonIfPair);

static CONTAINER_FLAGS: &[Flag<PruneArgs>] = &[FILTER, FORCE];

static IMAGE_FLAGS: &[Flag<PruneArgs>] = &[
    Flag::<PruneArgs>::switch("all", "Remove tagged images too", |a, on| a.all = on).short('a'),
    Flag::<PruneArgs>::setting(
        "filter",
        "KEY=VALUE",
        "Remove only matches of until=, label=, label!= or dangling=",
        |a, v| {
            if !v.starts_with("dangling=") {
                return a.filter.add(v, "dangling label until");
            }
            if let Some(ImageFilter::Dangling(dangling)) = ImageFilter::parse(v)? {
                a.all = !dangling;
            }
            Ok(())
        },
    )
    .checked_by(Checker::DaemonIfPair),
    FORCE,
];

static SYSTEM_FLAGS: &[Flag<PruneArgs>] = &[
    Flag::<PruneArgs>::switch("all", "Remove tagged images too", |a, on| a.all = on).short('a'),
    Flag::<PruneArgs>::switch("volumes", "Remove unused anonymous volumes too", |a, on| {
        a.volumes = on
    }),
    FILTER,
    FORCE,
];

/// The command `container prune`.
pub static CONTAINER_PRUNE: Command = Command {
    name: "container prune",
    group: Group::Run,
    usage: "[FLAGS]",
    summary: "Remove all containers that are not running",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: |at| spec(CONTAINER_FLAGS, at),
    run: |call| {
        let what = |_: &PruneArgs| vec!["all stopped containers"];
        prune(call, CONTAINER_FLAGS, what, |engine, args| {
            let pruned = engine.container_prune(&|candidate| args.filter.matches(candidate))?;
            Ok(vec![("Deleted Containers:", pruned)])
        })
    },
};

/// The command `image prune`.
pub static IMAGE_PRUNE: Command = Command {
    name: "image prune",
    group: Group::Images,
    usage: "[FLAGS]",
    summary: "Remove untagged images that no container uses",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: |at| spec(IMAGE_FLAGS, at),
    run: |call| {
        let what = |args: &PruneArgs| vec![images_in_words(args)];
        prune(call, IMAGE_FLAGS, what, |engine, args| {
            Ok(vec![("Deleted Images:", image_prune(engine, args)?)])
        })
    },
};

/// The command `system prune`.
pub static SYSTEM_PRUNE: Command = Command {
    name: "system prune",
    group: Group::Engine,
    usage: "[FLAGS]",
    summary: "Remove stopped containers, unused networks and images, and the build cache",
    examples: &["mydocker system prune -a --volumes"],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: |at| spec(SYSTEM_FLAGS, at),
    run: |call| {
        let what = |args: &PruneArgs| {
            let mut what = vec!["all stopped containers"];
            what.push("all networks not used by at least one container");
            if args.volumes {
                what.push("all anonymous volumes not used by at least one container");
            }
            what.push(images_in_words(args));
            what.push(if args.all { "all build cache" } else { "unused build cache" });
            what
        };
        prune(call, SYSTEM_FLAGS, what, |engine, args| {
            let wanted: PruneChoice<'_> = &|candidate| args.filter.matches(candidate);
            let mut pruned = vec![("Deleted Containers:", engine.container_prune(wanted)?)];
            let networks = Pruned { removed: engine.network_prune(wanted)?, reclaimed: 0 };
            pruned.push(("Deleted Networks:", networks));
            if args.volumes {
                pruned.push(("Deleted Volumes:", engine.volume_prune(false, wanted)?));
            }
            pruned.push(("Deleted Images:", image_prune(engine, args)?));
            #[cfg(feature = "build")]
            {
                let cache = engine.build_cache_prune(args.all, None, wanted)?;
                pruned.push((CACHE_HEADING, cache));
            }
            Ok(pruned)
        })
    },
};

/// Removes images. If no filter by label or time is set, also removes the leftovers in the image
/// store. The returned lines start with a small letter, as Docker prints them for a prune but not
/// for `rmi`.
fn image_prune(engine: &Engine, args: &PruneArgs) -> Result<Pruned> {
    let gone = engine.image_prune(args.all, &|candidate| args.filter.matches(candidate))?;
    let mut pruned = Pruned { reclaimed: gone.reclaimed, ..Pruned::default() };
    for RemovedImage { untagged, deleted } in gone.images {
        pruned.removed.extend(untagged.iter().map(|name| format!("untagged: {}", name.familiar())));
        pruned.removed.extend(deleted.iter().map(|id| format!("deleted: {id}")));
    }
    if args.filter.is_empty() {
        pruned.reclaimed += engine.leftover_prune()?;
    }
    Ok(pruned)
}

/// Returns the images that a prune removes, in Docker's words.
fn images_in_words(args: &PruneArgs) -> &'static str {
    if args.all {
        "all images without at least one container associated to them"
    } else {
        "all dangling images"
    }
}

/// Prunes and prints what was removed. Without `-f`, asks for confirmation first. `what` returns
/// the words for the objects that will be removed.
fn prune(
    call: &Invocation,
    flags: &'static [Flag<PruneArgs>],
    what: fn(&PruneArgs) -> Vec<&'static str>,
    act: fn(&Engine, &PruneArgs) -> Result<Vec<Section>>,
) -> Outcome {
    let (args, _) = call.parse(flags)?;
    if !args.force && !removal_confirmed(&what(&args))? {
        return Ok(0);
    }
    print_pruned(&act(&call.engine()?, &args)?)?;
    Ok(0)
}

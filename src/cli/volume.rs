//! `volume create`, `ls`, `inspect`, `rm` and `prune`: the commands for volumes. `create` without a
//! name makes an anonymous volume with a random name. As in Docker, `prune` removes only anonymous
//! volumes unless `-a` is given. `local` is the only driver; `volume::options` checks its options.
//! `engine::volumes` does the work.

use super::flag::{Checker, Command, Flag, Group, MANY, Operand, spec};
use super::format::{Field, Format, Row, Show, push_labels};
use super::inspect::{inspect, parse_format};
use super::output::{print, print_line, removal_confirmed};
use super::prune_filter::PruneFilter;
use super::pruned::print_pruned;
use super::value::name::{check_volume_name, parse_label, split_filter};
use super::{Invocation, Outcome};
use crate::engine::options::InspectKind;
use crate::engine::view::{VolumeView, has_label, pass};
use crate::error::fail;
use crate::regex::Regex;
use crate::template::Template;
use crate::time::Instant;
use crate::units::push_human_size;

#[derive(Default)]
struct CreateArgs {
    name: String,
    labels: Vec<(String, String)>,
    options: Vec<(String, String)>,
}

static CREATE_FLAGS: &[Flag<CreateArgs>] =
    &[
        Flag::<CreateArgs>::value("label", "KEY=VALUE", "Add a label", |a, v| {
            a.labels.push(parse_label(v)?);
            Ok(())
        }),
        Flag::<CreateArgs>::setting("name", "NAME", "Name the volume", |a, v| {
            check_volume_name(v)?;
            a.name = v.to_owned();
            Ok(())
        }),
        Flag::<CreateArgs>::value(
            "opt",
            "KEY=VALUE",
            "Mount this in the volume while it is used: type=, device=, o=",
            |a, v| match v.split_once('=') {
                Some((key, value)) if !key.is_empty() => {
                    a.options.push((key.to_owned(), value.to_owned()));
                    Ok(())
                }
                _ => fail!("bad option '{v}': write KEY=VALUE, as in type=tmpfs"),
            },
        )
        .checked_by(Checker::Daemon)
        .short('o'),
        Flag::<CreateArgs>::setting("driver", "DRIVER", "Set the driver (only local)", |_, v| {
            match v {
                "local" => Ok(()),
                _ => fail!("unknown volume driver '{v}'; known: local"),
            }
        })
        .checked_by(Checker::Daemon)
        .short('d'),
    ];

/// The command `volume create`.
pub static CREATE: Command = Command {
    name: "volume create",
    group: Group::Volumes,
    usage: "[FLAGS] [VOLUME]",
    summary: "Create a volume",
    examples: &[
        "mydocker volume create data",
        "mydocker volume create -o type=tmpfs -o device=tmpfs -o o=size=100m fast",
    ],
    operand: Operand::Nothing,
    operands: (0, 1),
    trailing: false,
    flags: |at| spec(CREATE_FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(CREATE_FLAGS)?;
        let name = match (names.first(), args.name.as_str()) {
            (Some(name), "") => Some(name.as_str()),
            (None, "") => None,
            (None, name) => Some(name),
            (Some(name), flag) => {
                return call.refuse(format!("--name {flag} and {name} both name the volume"));
            }
        };
        if let Some(name) = name {
            check_volume_name(name)?;
        }
        print_line(&call.engine()?.volume_create(name, &args.labels, &args.options)?)?;
        Ok(0)
    },
};

#[derive(Default)]
struct LsArgs {
    quiet: bool,
    filters: Vec<VolumeFilter>,
    format: String,
}

enum VolumeFilter {
    Name(Regex),
    Driver(String),
    /// Whether no container uses the volume.
    Dangling(bool),
    /// `key` or `key=value`.
    Label(String),
}

static LS_FLAGS: &[Flag<LsArgs>] = &[
    Flag::<LsArgs>::switch("quiet", "Print only names", |a, on| a.quiet = on).short('q'),
    Flag::<LsArgs>::setting(
        "filter",
        "KEY=VALUE",
        "Filter by name, driver, dangling or label",
        |a, v| {
            let Some((key, value)) = split_filter(v, "name=data")? else { return Ok(()) };
            a.filters.push(match (key.as_str(), value.as_str()) {
                ("name", name) => VolumeFilter::Name(Regex::parse(name)?),
                ("label", _) => VolumeFilter::Label(value),
                ("driver", _) => VolumeFilter::Driver(value),
                ("dangling", "true" | "1") => VolumeFilter::Dangling(true),
                ("dangling", "false" | "0") => VolumeFilter::Dangling(false),
                ("dangling", _) => fail!("bad filter '{v}': dangling is true or false"),
                _ => fail!("unknown filter '{key}'; known: name driver dangling label"),
            });
            Ok(())
        },
    )
    .checked_by(Checker::DaemonIfPair)
    .short('f'),
    Flag::<LsArgs>::setting(
        "format",
        "FORMAT",
        "Print as json, or by a template such as '{{.Name}}'",
        |a, v| {
            a.format = v.to_owned();
            Ok(())
        },
    ),
];

/// The command `volume ls`.
pub static LS: Command = Command {
    name: "volume ls",
    group: Group::Volumes,
    usage: "[FLAGS]",
    summary: "List volumes",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: |at| spec(LS_FLAGS, at),
    run: |call| {
        let (args, _) = call.parse(LS_FLAGS)?;
        let format = match Format::parse_quiet(args.quiet, &args.format, FIELDS, COLUMNS) {
            Ok(format) => format,
            Err(error) => return call.refuse(format!("--format: {error}")),
        };
        let by_users =
            args.filters.iter().any(|filter| matches!(filter, VolumeFilter::Dangling(_)));
        let mut volumes = call.engine()?.volumes(by_users)?;
        volumes.retain(|volume| passes(volume, &args.filters));
        let show = Show { no_trunc: true, now: Instant(0) };
        print(&format.render(&volumes, FIELDS, &show)?)?;
        Ok(0)
    },
};

/// Whether a volume passes the filters. All label filters must match. For each other key, at least
/// one filter must match.
fn passes(volume: &VolumeView, filters: &[VolumeFilter]) -> bool {
    let is_label = |filter: &VolumeFilter| matches!(filter, VolumeFilter::Label(_));
    pass(filters, is_label, |filter| match filter {
        VolumeFilter::Name(regex) => regex.is_match(&volume.name),
        VolumeFilter::Driver(name) => name == "local",
        VolumeFilter::Dangling(wanted) => volume.is_used != *wanted,
        VolumeFilter::Label(label) => has_label(&volume.labels, label),
    })
}

impl Row for VolumeView {
    const KIND: &'static str = "*formatter.volumeContext";
    const RAW: &'static str = "name: {{.Name}}\ndriver: {{.Driver}}\n";
    const QUIET: &'static str = "{{.Name}}";

    fn labels(&self) -> Option<&[(String, String)]> {
        Some(&self.labels)
    }
}

static COLUMNS: &[&str] = &["Driver", "Name"];

/// The fields that a template of `volume ls` can name.
pub(super) static FIELDS: &[Field<VolumeView>] = &[
    Field { name: "Driver", header: "DRIVER", write: |_, _, out| out.push_str("local") },
    Field {
        name: "Labels",
        header: "LABELS",
        write: |volume, _, out| push_labels(out, &volume.labels),
    },
    Field {
        name: "Links",
        header: "LINKS",
        write: |volume, _, out| match &volume.usage {
            Some(usage) => out.push_str(&usage.containers.to_string()),
            None => out.push_str("N/A"),
        },
    },
    Field {
        name: "Mountpoint",
        header: "MOUNTPOINT",
        write: |volume, _, out| out.push_str(&volume.mountpoint),
    },
    Field {
        name: "Name",
        header: "VOLUME NAME",
        write: |volume, _, out| out.push_str(&volume.name),
    },
    Field { name: "Scope", header: "SCOPE", write: |_, _, out| out.push_str("local") },
    Field {
        name: "Size",
        header: "SIZE",
        write: |volume, _, out| match &volume.usage {
            Some(usage) => push_human_size(out, usage.size),
            None => out.push_str("N/A"),
        },
    },
];

#[derive(Default)]
struct InspectArgs {
    format: Option<Template>,
}

static INSPECT_FLAGS: &[Flag<InspectArgs>] = &[Flag::<InspectArgs>::setting(
    "format",
    "FORMAT",
    "Print as json, or by a template such as '{{.Mountpoint}}'",
    |a, v| {
        a.format = Some(parse_format(v)?);
        Ok(())
    },
)
.checked_by(Checker::Template)
.short('f')];

/// The command `volume inspect`.
pub static INSPECT: Command = Command {
    name: "volume inspect",
    group: Group::Volumes,
    usage: "[FLAGS] VOLUME [VOLUME…]",
    summary: "Print the details of volumes",
    examples: &[],
    operand: Operand::Volume,
    operands: (1, MANY),
    trailing: false,
    flags: |at| spec(INSPECT_FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(INSPECT_FLAGS)?;
        inspect(call, &names, Some(InspectKind::Volume), args.format.as_ref(), false)
    },
};

#[derive(Default)]
struct RmArgs {
    force: bool,
}

static RM_FLAGS: &[Flag<RmArgs>] =
    &[Flag::<RmArgs>::switch("force", "Ignore missing volumes", |a, on| {
        a.force = on;
    })
    .short('f')];

/// The command `volume rm`.
pub static RM: Command = Command {
    name: "volume rm",
    group: Group::Volumes,
    usage: "[FLAGS] VOLUME [VOLUME…]",
    summary: "Remove volumes and their files",
    examples: &[],
    operand: Operand::Volume,
    operands: (1, MANY),
    trailing: false,
    flags: |at| spec(RM_FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(RM_FLAGS)?;
        let engine = call.engine()?;
        call.each_printed(&names, |name| engine.volume_remove(name, args.force))
    },
};

#[derive(Default)]
struct PruneArgs {
    all: bool,
    filter: PruneFilter,
    force: bool,
}

static PRUNE_FLAGS: &[Flag<PruneArgs>] = &[
    Flag::<PruneArgs>::switch("all", "Remove named volumes too", |a, on| a.all = on).short('a'),
    Flag::<PruneArgs>::value(
        "filter",
        "KEY=VALUE",
        "Remove only matches of until=, label= or label!=; all=true is --all",
        |a, v| match v {
            "all=true" | "all=1" => {
                a.all = true;
                Ok(())
            }
            "all=false" | "all=0" => {
                a.all = false;
                Ok(())
            }
            filter => a.filter.add(filter, "all label until"),
        },
    )
    .checked_by(Checker::DaemonIfPair),
    Flag::<PruneArgs>::switch("force", "Do not ask for confirmation", |a, on| a.force = on)
        .short('f'),
];

/// The command `volume prune`.
pub static PRUNE: Command = Command {
    name: "volume prune",
    group: Group::Volumes,
    usage: "[FLAGS]",
    summary: "Remove volumes that no container uses",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: |at| spec(PRUNE_FLAGS, at),
    run: prune,
};

fn prune(call: &Invocation) -> Outcome {
    let (args, _) = call.parse(PRUNE_FLAGS)?;
    let what = if args.all {
        "all local volumes not used by at least one container"
    } else {
        "all anonymous local volumes not used by at least one container"
    };
    if !args.force && !removal_confirmed(&[what])? {
        return Ok(0);
    }
    let pruned =
        call.engine()?.volume_prune(args.all, &|candidate| args.filter.matches(candidate))?;
    print_pruned(&[("Deleted Volumes:", pruned)])?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(name: &str) -> VolumeView {
        VolumeView {
            name: name.into(),
            mountpoint: format!("/v/{name}/_data"),
            is_used: false,
            usage: None,
            labels: vec![("a".into(), "1".into()), ("c".into(), String::new())],
        }
    }

    #[test]
    fn the_table_reads_as_dockers() {
        let show = Show { no_trunc: true, now: Instant(0) };
        let text = Format::Columns(COLUMNS).render(&[volume("data")], FIELDS, &show).unwrap();
        assert_eq!(text, "DRIVER    VOLUME NAME\nlocal     data\n");
    }

    #[test]
    fn every_label_and_one_filter_of_each_other_key_must_match() {
        let name = |part: &str| VolumeFilter::Name(Regex::parse(part).unwrap());
        let label = |label: &str| VolumeFilter::Label(label.into());
        let volume = volume("data");
        assert!(passes(&volume, &[]));
        assert!(passes(&volume, &[name("x"), name("at")]));
        assert!(passes(&volume, &[name("^da.a$")]) && !passes(&volume, &[name("^at")]));
        assert!(passes(&volume, &[name("at"), label("a=1"), label("c")]));
        assert!(!passes(&volume, &[name("at"), label("a=1"), label("b")]));
        assert!(!passes(&volume, &[name("at"), label("a=2")]));
        assert!(!passes(&volume, &[name("x"), label("a")]));
    }
}

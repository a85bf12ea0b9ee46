//! The command `history`: prints the steps that made an image, newest first, in Docker's columns.
//! Sizes and times are rounded unless `--human=false`; a long command is cut unless `--no-trunc`.
//! Only the newest step has an id, because images from registries hold no ids of the other steps.

use super::flag::{Checker, Command, Flag, Group, Operand, spec};
use super::format::{Field, Format, Show, push_ago, push_ellipsis, push_id};
use super::output::print;
use crate::engine::options::Platform;
use crate::engine::view::HistoryView;
use crate::time::Instant;
use crate::units::push_human_size;

/// The most characters of a command that are printed without `--no-trunc`.
const COMMAND_WIDTH: usize = 45;

#[derive(Default)]
struct HistoryArgs {
    platform: Option<Platform>,
    exact: bool,
    quiet: bool,
    no_trunc: bool,
    format: String,
}

/// A step, and how to print that step.
struct Row {
    step: HistoryView,
    /// Print exact times and bytes instead of rounded ones.
    exact: bool,
}

static FLAGS: &[Flag<HistoryArgs>] = &[
    Flag::<HistoryArgs>::switch(
        "human",
        "Print rounded sizes and times (default true)",
        |a, on| a.exact = !on,
    )
    .short('H'),
    Flag::<HistoryArgs>::setting(
        "platform",
        "OS/ARCH[/VARIANT]",
        "Show the history only if the image is for the platform",
        |a, v| {
            a.platform = Some(v.parse()?);
            Ok(())
        },
    )
    .checked_by(Checker::Daemon),
    Flag::<HistoryArgs>::switch("quiet", "Print only ids", |a, on| a.quiet = on).short('q'),
    Flag::<HistoryArgs>::switch("no-trunc", "Do not shorten ids and commands", |a, on| {
        a.no_trunc = on;
    }),
    Flag::<HistoryArgs>::setting(
        "format",
        "FORMAT",
        "Print as json, or by a template such as '{{.CreatedBy}}'",
        |a, v| {
            a.format = v.to_owned();
            Ok(())
        },
    ),
];

/// The command `history`.
pub static HISTORY: Command = Command {
    name: "history",
    group: Group::Images,
    usage: "[FLAGS] IMAGE",
    summary: "Show the history of an image",
    examples: &[],
    operand: Operand::Image,
    operands: (1, 1),
    trailing: false,
    flags: |at| spec(FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(FLAGS)?;
        let columns = if args.exact { EXACT_COLUMNS } else { COLUMNS };
        let format = match Format::parse_quiet(args.quiet, &args.format, FIELDS, columns) {
            Ok(format) => format,
            Err(error) => return call.refuse(format!("--format: {error}")),
        };
        let show = Show { no_trunc: args.no_trunc, now: Instant::now() };
        let engine = call.engine()?;
        let image = names[0].parse()?;
        engine.require_platform(&image, args.platform.as_ref())?;
        let steps = engine.history(&image)?.into_iter();
        let rows: Vec<Row> = steps.map(|step| Row { step, exact: args.exact }).collect();
        print(&format.render(&rows, FIELDS, &show)?)?;
        Ok(0)
    },
};

impl super::format::Row for Row {
    const KIND: &'static str = "*image.historyContext";
}

static COLUMNS: &[&str] = &["ID", "CreatedSince", "CreatedBy", "Size", "Comment"];

/// The columns for `--human=false`.
static EXACT_COLUMNS: &[&str] = &["ID", "CreatedAt", "CreatedBy", "Size", "Comment"];

/// The fields of `--format`, in alphabetical order, as in Docker's JSON.
static FIELDS: &[Field<Row>] = &[
    Field {
        name: "Comment",
        header: "COMMENT",
        write: |row, _, out| out.push_str(&row.step.comment),
    },
    Field { name: "CreatedAt", header: "CREATED AT", write: |row, _, out| push_created(out, row) },
    Field {
        name: "CreatedBy",
        header: "CREATED BY",
        write: |row, show, out| {
            if show.no_trunc {
                out.push_str(&row.step.created_by)
            } else {
                push_ellipsis(out, &row.step.created_by, COMMAND_WIDTH)
            }
        },
    },
    Field {
        name: "CreatedSince",
        header: "CREATED",
        write: |row, show, out| match row.step.created {
            // As in Docker, `--human=false` prints the time.
            Some(created) if !row.exact => push_ago(out, created, show.now),
            _ => push_created(out, row),
        },
    },
    Field {
        name: "ID",
        header: "IMAGE",
        write: |row, show, out| match &row.step.id {
            Some(id) => push_id(out, &id.to_string(), show),
            None => out.push_str("<missing>"),
        },
    },
    Field {
        name: "Size",
        header: "SIZE",
        write: |row, _, out| {
            if row.exact {
                out.push_str(&row.step.size.to_string())
            } else {
                push_human_size(out, row.step.size)
            }
        },
    },
];

/// Appends the time of a step, such as `2026-01-31T12:00:00Z`, or `N/A` if the step has no time.
fn push_created(out: &mut String, row: &Row) {
    match row.step.created {
        Some(created) => {
            let text = created.to_rfc3339();
            out.push_str(text.get(..19).unwrap_or(&text));
            out.push('Z');
        }
        None => out.push_str("N/A"),
    }
}

//! `history`: the steps by which an image came to be.

use super::flag::{Command, Flag, Group, Operand, specs};
use super::format::{Field, Format, Show, push_ago, push_ellipsis, push_id};
use super::output::print;
use crate::engine::view::HistoryView;
use crate::time::Instant;
use crate::units::push_human_size;

/// Characters of a command that a table shows.
const COMMAND_WIDTH: usize = 45;

#[derive(Default)]
struct HistoryArgs {
    quiet: bool,
    no_trunc: bool,
    format: String,
}

static FLAGS: &[Flag<HistoryArgs>] = &[
    Flag::<HistoryArgs>::switch("quiet", "Ids only", |a, on| a.quiet = on).short('q'),
    Flag::<HistoryArgs>::switch("no-trunc", "Print ids and commands in full", |a, on| {
        a.no_trunc = on;
    }),
    Flag::<HistoryArgs>::value(
        "format",
        "FORMAT",
        "json, or a template such as '{{.CreatedBy}}'",
        |a, v| {
            a.format = v.to_owned();
            Ok(())
        },
    ),
];

pub static HISTORY: Command = Command {
    name: "history",
    group: Group::Images,
    usage: "[FLAGS] IMAGE",
    summary: "Show the steps by which an image came to be",
    examples: &[],
    operand: Operand::Image,
    operands: (1, 1),
    trailing: false,
    flags: || specs(FLAGS),
    run: |call| {
        let (args, names) = call.parse(FLAGS)?;
        let template = if args.quiet { "{{.ID}}" } else { &args.format };
        let format = match Format::parse(template, FIELDS, COLUMNS) {
            Ok(format) => format,
            Err(error) => return call.refuse(format!("--format: {error}")),
        };
        let show = Show { no_trunc: args.no_trunc, now: Instant::now() };
        print(&format.render(&call.engine()?.history(&names[0])?, FIELDS, &show))?;
        Ok(0)
    },
};

static COLUMNS: &[&str] = &["ID", "CreatedSince", "CreatedBy", "Size", "Comment"];

/// In the alphabetical order of Docker's JSON.
static FIELDS: &[Field<HistoryView>] = &[
    Field { name: "Comment", header: "COMMENT", write: |step, _, out| out.push_str(&step.comment) },
    Field {
        name: "CreatedAt",
        header: "CREATED AT",
        write: |step, _, out| {
            out.push_str(&step.created.map_or("N/A".to_owned(), Instant::to_rfc3339));
        },
    },
    Field {
        name: "CreatedBy",
        header: "CREATED BY",
        write: |step, show, out| match show.no_trunc {
            true => out.push_str(&step.created_by),
            false => push_ellipsis(out, &step.created_by, COMMAND_WIDTH),
        },
    },
    Field {
        name: "CreatedSince",
        header: "CREATED",
        write: |step, show, out| match step.created {
            Some(created) => push_ago(out, created, show.now),
            None => out.push_str("N/A"),
        },
    },
    Field {
        name: "ID",
        header: "IMAGE",
        write: |step, show, out| match &step.id {
            Some(id) => push_id(out, id, show),
            None => out.push_str("<missing>"),
        },
    },
    Field { name: "Size", header: "SIZE", write: |step, _, out| push_human_size(out, step.size) },
];

//! The command `stats`: prints the resource use of containers in Docker's columns, once with
//! `--no-stream`, otherwise until the user interrupts the command or the reader closes the pipe. On
//! a terminal that takes escape sequences, each table replaces the previous table. `engine::stats`
//! measures the figures.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use super::flag::{Command, Flag, Group, MANY, Operand, spec};
use super::format::{Field, Format, Row, Show, push_id};
use super::output::{Watched, print};
use super::{Invocation, Outcome};
use super::{escape, style};
use crate::engine::Engine;
use crate::engine::view::StatsView;
use crate::error::Context;
use crate::sys::stdio;
use crate::time::Instant;
use crate::units::{push_binary_size, push_human_size};

/// The pause between two tables.
const PAUSE: Duration = Duration::from_millis(500);

/// The flags of `stats` as typed.
#[derive(Default)]
pub struct StatsArgs {
    all: bool,
    no_stream: bool,
    no_trunc: bool,
    format: String,
}

/// All flags of `stats`.
pub static FLAGS: &[Flag<StatsArgs>] = &[
    Flag::<StatsArgs>::switch("all", "Show stopped containers too", |a, on| a.all = on).short('a'),
    Flag::<StatsArgs>::switch("no-stream", "Print once and exit", |a, on| a.no_stream = on),
    Flag::<StatsArgs>::switch("no-trunc", "Do not shorten ids", |a, on| a.no_trunc = on),
    Flag::<StatsArgs>::setting(
        "format",
        "FORMAT",
        "Print as json, or by a template such as '{{.Name}} {{.CPUPerc}}'",
        |a, v| {
            a.format = v.to_owned();
            Ok(())
        },
    ),
];

/// The command `stats`.
pub static STATS: Command = Command {
    name: "stats",
    group: Group::Watch,
    usage: "[FLAGS] [CONTAINER…]",
    summary: "Show the CPU, memory, network and disk use of running containers",
    examples: &["mydocker stats --no-stream"],
    operand: Operand::Container,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(FLAGS, at),
    run: stats,
};

fn stats(call: &Invocation) -> Outcome {
    let (args, names) = call.parse(FLAGS)?;
    show(call, &call.engine()?, &args, &names)
}

/// Prints the resource use of the containers `names`. If there are no names, prints all running
/// containers, or with `--all` all containers. Without `--no-stream` the function returns only
/// after an error, or when the reader closes the pipe.
pub fn show(call: &Invocation, engine: &Engine, args: &StatsArgs, names: &[String]) -> Outcome {
    let format = match Format::parse_unchecked::<StatsView>(&args.format, COLUMNS) {
        Ok(format) => format,
        Err(error) => return call.refuse(format!("--format: {error}")),
    };
    let clears = style::on_stdout();
    let mut out = Watched::new(stdio::stdout());
    loop {
        let rows = engine.stats(names, args.all)?;
        let show = Show { no_trunc: args.no_trunc, now: Instant::now() };
        let text = format.render(&rows, FIELDS, &show)?;
        if args.no_stream {
            print(&text)?;
            return Ok(0);
        }
        // Erase the screen and start at its top.
        let start = if clears { "\x1b[H\x1b[2J" } else { "" };
        match out.write_all(format!("{start}{}", escape::text(&text)).as_bytes()) {
            // The reader closed the pipe, as in `mydocker stats | head -1`.
            Err(_) if out.closed => return Ok(0),
            written => written.context(|| "write to the standard output")?,
        }
        if stdio::wait_unread(PAUSE) {
            return Ok(0);
        }
    }
}

impl Row for StatsView {
    const KIND: &'static str = "*container.statsContext";
}

static COLUMNS: &[&str] =
    &["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"];

/// The fields of `--format`, in alphabetical order, as in Docker's JSON.
static FIELDS: &[Field<StatsView>] = &[
    Field {
        name: "BlockIO",
        header: "BLOCK I/O",
        write: |s, _, out| push_pair(out, s.read, s.written, push_human_size),
    },
    Field { name: "CPUPerc", header: "CPU %", write: |s, _, out| push_percent(out, s.cpu_percent) },
    Field {
        name: "Container",
        header: "CONTAINER",
        write: |s, show, out| {
            if s.container == s.id {
                push_id(out, &s.id, show);
            } else {
                out.push_str(&s.container);
            }
        },
    },
    Field { name: "ID", header: "CONTAINER ID", write: |s, show, out| push_id(out, &s.id, show) },
    Field {
        name: "MemPerc",
        header: "MEM %",
        write: |s, _, out| {
            push_percent(out, s.memory as f64 / s.memory_limit.max(1) as f64 * 100.0);
        },
    },
    Field {
        name: "MemUsage",
        header: "MEM USAGE / LIMIT",
        write: |s, _, out| push_pair(out, s.memory, s.memory_limit, push_binary_size),
    },
    Field { name: "Name", header: "NAME", write: |s, _, out| out.push_str(&s.name) },
    Field {
        name: "NetIO",
        header: "NET I/O",
        write: |s, _, out| push_pair(out, s.received, s.sent, push_human_size),
    },
    Field {
        name: "PIDs",
        header: "PIDS",
        write: |s, _, out| out.push_str(&s.processes.to_string()),
    },
];

fn push_percent(out: &mut String, percent: f64) {
    // Writing to a String can't fail.
    let _ = write!(out, "{percent:.2}%");
}

fn push_pair(out: &mut String, one: u64, other: u64, push: fn(&mut String, u64)) {
    push(out, one);
    out.push_str(" / ");
    push(out, other);
}

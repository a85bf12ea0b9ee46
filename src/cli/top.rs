//! The command `top`: prints the processes of a container as the host's ps(1) shows them, in
//! Docker's columns. The options of ps follow the container's name; the default is `-ef`. Without
//! ps on the host, mydocker prints the columns of `ps -ef` itself (UID, PID, PPID, C, STIME, TTY,
//! TIME, CMD), with numeric users and with STIME in UTC. `engine::top` collects the facts.

use std::fmt::Write;

use super::flag::{Command, Group, MANY, Operand, spec};
use super::lifecycle::NO_FLAGS;
use super::output::{print, print_error};
use super::table::Table;
use super::{Invocation, Outcome, escape};
use crate::engine::Engine;
use crate::error::Result;

/// The minimum width of Docker's columns, in characters.
const WIDTH: usize = 20;

/// The command `top`.
pub static TOP: Command = Command {
    name: "top",
    group: Group::Watch,
    usage: "CONTAINER [OPTIONS OF PS…]",
    summary: "List the processes of a running container",
    examples: &["mydocker top web", "mydocker top web -o pid,args"],
    operand: Operand::Container,
    operands: (1, MANY),
    trailing: true,
    flags: |at| spec(NO_FLAGS, at),
    run: top,
};

fn top(call: &Invocation) -> Outcome {
    let (_, operands) = call.parse(NO_FLAGS)?;
    print(&table(&call.engine()?, &operands[0], &operands[1..])?)?;
    Ok(0)
}

/// Returns the processes of a container as a table, made by the host's ps with `options`. Without
/// ps, or if ps fails and there are no options, the table is mydocker's own. Fails if ps fails with
/// options, or if the container does not run.
pub fn table(engine: &Engine, name: &str, options: &[String]) -> Result<String> {
    // As with Docker, one word may hold several options.
    let mut words: Vec<String> =
        options.iter().flat_map(|option| option.split_whitespace()).map(str::to_owned).collect();
    if words.is_empty() {
        words.push("-ef".to_owned());
    }
    match engine.top_by_ps(name, &words) {
        Ok(Some(lines)) => return Ok(of_ps(&lines)),
        // A process in the container may make ps fail. Without options, print mydocker's own table.
        Err(_) | Ok(None) if options.is_empty() => {}
        Ok(None) => {
            print_error("mydocker top: this host has no ps, so its options change nothing\n");
        }
        Err(error) => return Err(error),
    }
    own_table(engine, name)
}

/// Lays out the lines of ps in Docker's columns. The last column takes the rest of a line.
fn of_ps(lines: &[String]) -> String {
    let (title, rows) = lines.split_first().map_or(("", lines), |(title, rows)| (title, rows));
    let titles: Vec<&str> = title.split_whitespace().collect();
    let mut table = Table::with_width(WIDTH, titles.iter().copied());
    for row in rows {
        let mut words = row.split_whitespace();
        for _ in 1..titles.len() {
            table.cell(|out| out.push_str(&escape::line(words.next().unwrap_or_default())));
        }
        let rest: Vec<&str> = words.collect();
        table.cell(|out| out.push_str(&escape::line(&rest.join(" "))));
    }
    table.render()
}

fn own_table(engine: &Engine, name: &str) -> Result<String> {
    let titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];
    let mut table = Table::with_width(WIDTH, titles);
    for process in engine.top(name)? {
        for number in [process.uid.into(), i64::from(process.pid), process.parent.into()] {
            table.cell(|out| out.push_str(&number.to_string()));
        }
        table.cell(|out| out.push_str(&process.cpu_percent.to_string()));
        // Print the hours and minutes in UTC.
        table.cell(|out| out.push_str(&process.started.to_rfc3339()[11..16]));
        table.cell(|out| out.push_str(process.terminal.as_deref().unwrap_or("?")));
        table.cell(|out| {
            let seconds = process.cpu_seconds;
            // Writing to a String can't fail.
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let _ = write!(out, "{hours:02}:{minutes:02}:{:02}", seconds % 60);
        });
        table.cell(|out| out.push_str(&escape::line(&process.command)));
    }
    Ok(table.render())
}

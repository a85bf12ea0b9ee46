//! `top`: the processes of a container in the columns of `ps -ef` (UID, PID, PPID, C, STIME, TTY,
//! TIME, CMD), as Docker prints them. Numbers are the host's, times are UTC. Options of ps(1) are
//! not supported, because ps is not called. The facts are `engine::top`'s.

use std::fmt::Write;

use super::flag::{Command, Group, Operand, specs};
use super::lifecycle::NO_FLAGS;
use super::output::print;
use super::table::Table;
use super::{Invocation, Outcome, escape};
use crate::engine::Engine;
use crate::error::Result;

/// The command `top`.
pub static TOP: Command = Command {
    name: "top",
    group: Group::Watch,
    usage: "CONTAINER",
    summary: "List the processes of a running container",
    examples: &[],
    operand: Operand::Container,
    operands: (1, 1),
    trailing: false,
    flags: || specs(NO_FLAGS),
    run: top,
};

fn top(call: &Invocation) -> Outcome {
    let (_, names) = call.parse(NO_FLAGS)?;
    print(&table(&call.engine()?, &names[0])?)?;
    Ok(0)
}

/// The processes of a container as a table.
pub fn table(engine: &Engine, name: &str) -> Result<String> {
    let mut table = Table::new(["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
    for process in engine.top(name)? {
        for number in [process.uid.into(), i64::from(process.pid), process.parent.into()] {
            table.cell(|out| out.push_str(&number.to_string()));
        }
        table.cell(|out| out.push_str(&process.cpu_percent.to_string()));
        // Hours and minutes of the day in UTC, like all times here.
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

//! The command `compose logs`: prints the logs of a project's containers. By default the
//! container's name, without the project's name, precedes each line, in colour on a terminal.
//! Without `-f` the command prints one container's log after the other. `crate::compose::follow`
//! merges and follows logs.

use std::io::LineWriter;
use std::time::Duration;

use super::super::flag::{Checker, Command, Flag, Group, MANY, Operand, spec};
use super::super::logs::parse_tail;
use super::super::output::Watched;
use super::super::{Invocation, Outcome};
use super::{Opened, is_coloured};
use crate::compose::follow::{Follow, StartListener, Style};
use crate::compose::members::{Member, is_chosen};
use crate::engine::options::LogsOptions;
use crate::error::{Error, Result};
use crate::sys::stdio;
use crate::time::Instant;
use crate::units::parse_moment;

#[derive(Default)]
struct LogsArgs {
    logs: LogsOptions,
    no_prefix: bool,
    no_colour: bool,
    index: u32,
}

type F = Flag<LogsArgs>;

static FLAGS: &[F] = &[
    F::switch("follow", "Follow the output", |a, on| a.logs.follow = on).short('f'),
    F::setting("tail", "LINES", "Print only the last LINES of each container", |a, v| {
        a.logs.tail = parse_tail(v)?;
        Ok(())
    })
    .checked_by(Checker::Daemon)
    .short('n'),
    F::setting("since", "TIME", "Print only lines after TIME", |a, v| {
        a.logs.since = Some(parse_moment(v, Instant::now())?);
        Ok(())
    })
    .checked_by(Checker::Daemon),
    F::setting("until", "TIME", "Print only lines before TIME", |a, v| {
        a.logs.until = Some(parse_moment(v, Instant::now())?);
        Ok(())
    })
    .checked_by(Checker::Daemon),
    F::switch("timestamps", "Print the time before each line", |a, on| a.logs.timestamps = on)
        .short('t'),
    F::switch("no-log-prefix", "Print no names before the lines", |a, on| a.no_prefix = on),
    F::switch("no-color", "Print without colours", |a, on| a.no_colour = on),
    F::setting("index", "NUMBER", "Print only the container with this number", |a, v| {
        a.index = parse_index(v)?;
        Ok(())
    }),
];

/// Parses the value of `--index`: the number of a container within its service, from 1. Fails on
/// any other text.
pub fn parse_index(text: &str) -> Result<u32> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| Error::new(format!("bad number '{text}': write 1 or more")))
}

/// The command `compose logs`.
pub static LOGS: Command = Command {
    name: "compose logs",
    group: Group::Compose,
    usage: "[FLAGS] [SERVICE…]",
    summary: "Print the logs of a project's containers",
    examples: &["mydocker compose logs -f --tail 20 web"],
    operand: Operand::Nothing,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(FLAGS, at),
    run: logs,
};

fn logs(call: &Invocation) -> Outcome {
    let (args, wanted) = call.parse(FLAGS)?;
    let opened = Opened::existing(call)?;
    let project = &opened.project;
    let accepts = |member: &Member| {
        let is_chosen = is_chosen(project, &wanted, member);
        is_chosen && !member.is_oneoff && (args.index == 0 || member.number == args.index)
    };
    let starts = StartListener::listen(&opened.engine, &project.name, &accepts)?;
    let mut found = opened.members(&wanted)?;
    found.retain(accepts);
    let names: Vec<String> = found.iter().map(|member| member.short_name(&project.name)).collect();
    let style =
        Style { prefixed: !args.no_prefix, coloured: !args.no_colour && is_coloured(call)? };
    let (follows, until) = (args.logs.follow, args.logs.until);
    let names_as_text = names.iter().map(String::as_str);
    let mut follow = Follow::new(&opened.engine, args.logs, style, names_as_text);
    let mut out = Watched::new(LineWriter::new(stdio::stdout()));
    let mut err = Watched::new(stdio::stderr());
    let printed = (|| -> Result<()> {
        for (member, name) in found.iter().zip(&names) {
            if follows {
                follow.add(&member.view.id, &member.service, name)?;
            } else {
                follow.print(&member.view.id, name, &mut out, &mut err)?;
            }
        }
        follow.expect(starts);
        while !follow.is_empty() {
            follow.turn(&mut out, &mut err)?;
            let left = until.map(|until| until.0.saturating_sub(Instant::now().0));
            if left.is_some_and(|left| left <= 0) {
                break;
            }
            if !follow.is_empty() {
                follow.wait(None, left.map(|left| Duration::from_nanos(left.unsigned_abs())))?;
            }
        }
        Ok(())
    })();
    match printed {
        // The reader closed the pipe, as in `mydocker compose logs | head`.
        Err(_) if out.closed || err.closed => Ok(0),
        printed => printed.map(|()| 0).map_err(Into::into),
    }
}

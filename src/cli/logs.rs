//! The command `logs`: prints a container's output, stdout to stdout and stderr to stderr, and
//! follows the output with `-f`. If the reader closes the pipe (`mydocker logs web | head`), the
//! command ends without an error. `container::logs` selects lines by time and number.

use std::io::LineWriter;

use super::flag::{Checker, Command, Flag, Group, Operand, spec};
use super::output::Watched;
use super::{Invocation, Outcome};
use crate::engine::options::LogsOptions;
use crate::error::{Result, fail};
use crate::sys::stdio;
use crate::time::Instant;
use crate::units::parse_moment;

static FLAGS: &[Flag<LogsOptions>] = &[
    Flag::<LogsOptions>::switch("follow", "Follow the output", |a, on| a.follow = on).short('f'),
    Flag::<LogsOptions>::setting("tail", "LINES", "Print only the last LINES, or all", |a, v| {
        a.tail = parse_tail(v)?;
        Ok(())
    })
    .checked_by(Checker::Daemon)
    .short('n'),
    Flag::<LogsOptions>::setting(
        "since",
        "TIME",
        "Print only lines after TIME (10m, 2026-01-31T12:00:00Z)",
        |a, v| {
            a.since = Some(parse_moment(v, Instant::now())?);
            Ok(())
        },
    )
    .checked_by(Checker::Daemon),
    Flag::<LogsOptions>::setting("until", "TIME", "Print only lines before TIME", |a, v| {
        a.until = Some(parse_moment(v, Instant::now())?);
        Ok(())
    })
    .checked_by(Checker::Daemon),
    Flag::<LogsOptions>::switch("timestamps", "Print the time before each line", |a, on| {
        a.timestamps = on;
    })
    .short('t'),
    Flag::<LogsOptions>::switch(
        "details",
        "Print the labels and variables of --log-opt before each line",
        |a, on| a.details = on,
    ),
];

/// Parses a number of lines. As in Docker, `all` and a negative number are `None`. Fails on any
/// other text.
pub fn parse_tail(text: &str) -> Result<Option<u64>> {
    match text.parse::<i64>() {
        Ok(lines) => Ok(u64::try_from(lines).ok()),
        Err(_) if text == "all" => Ok(None),
        Err(_) => fail!("bad number of lines '{text}': write a number or all"),
    }
}

/// The command `logs`.
pub static LOGS: Command = Command {
    name: "logs",
    group: Group::Watch,
    usage: "[FLAGS] CONTAINER",
    summary: "Print the logs of a container",
    examples: &["mydocker logs -f --tail 20 web", "mydocker logs --since 10m web"],
    operand: Operand::Container,
    operands: (1, 1),
    trailing: false,
    flags: |at| spec(FLAGS, at),
    run: logs,
};

fn logs(call: &Invocation) -> Outcome {
    let (options, names) = call.parse(FLAGS)?;
    let mut out = Watched::new(LineWriter::new(stdio::stdout()));
    let mut err = Watched::new(stdio::stderr());
    let shown = call.engine()?.logs(&names[0], &options, &mut out, &mut err);
    match shown {
        // The reader closed the pipe, as in `mydocker logs web | head`.
        Err(_) if out.closed || err.closed => Ok(0),
        shown => shown.map(|()| 0).map_err(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    #[test]
    fn flags_may_follow_the_name() {
        let words: Vec<String> =
            "-ft web -n 5 --since 1970-01-01".split(' ').map(str::to_owned).collect();
        let mut options = LogsOptions::default();
        let operands = parse(&LOGS, FLAGS, &mut options, &words).ok().unwrap();
        assert_eq!(operands, ["web"]);
        assert!(options.follow && options.timestamps);
        assert_eq!((options.tail, options.since), (Some(5), Some(Instant(0))));
        assert_eq!((parse_tail("-3").unwrap(), parse_tail("all").unwrap()), (None, None));
        assert!(parse_tail("x").is_err());
    }
}

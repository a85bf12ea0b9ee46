//! The command `compose events`: prints the events of a project's containers, in the form of
//! `events` or as one JSON object a line with Docker Compose's keys. Labels on an event name its
//! project. `engine::events` reads the journal.

use std::io::Write;

use super::super::events::line;
use super::super::flag::{Checker, Command, Flag, Group, MANY, Operand, spec};
use super::super::output::Watched;
use super::super::{Invocation, Outcome, escape};
use super::Opened;
use crate::compose::members::no_service;
use crate::engine::events::{Event, EventFilter, EventsOptions};
use crate::engine::project::{PREFIX, PROJECT, SERVICE};
use crate::error::Context;
use crate::sys::stdio;
use crate::template::Value;
use crate::time::Instant;
use crate::units::parse_moment;

#[derive(Default)]
struct EventsArgs {
    options: EventsOptions,
    json: bool,
}

static FLAGS: &[Flag<EventsArgs>] = &[
    Flag::<EventsArgs>::switch("json", "Print each event as JSON", |a, on| a.json = on),
    Flag::<EventsArgs>::setting("since", "TIME", "Print the events after TIME too", |a, v| {
        a.options.since = Some(parse_moment(v, Instant::now())?);
        Ok(())
    })
    .checked_by(Checker::Daemon),
    Flag::<EventsArgs>::setting("until", "TIME", "Stop at TIME", |a, v| {
        a.options.until = Some(parse_moment(v, Instant::now())?);
        Ok(())
    })
    .checked_by(Checker::Daemon),
];

/// The command `compose events`.
pub static EVENTS: Command = Command {
    name: "compose events",
    group: Group::Compose,
    usage: "[FLAGS] [SERVICE…]",
    summary: "Print what happens to the containers of a project",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(FLAGS, at),
    run: events,
};

fn events(call: &Invocation) -> Outcome {
    let (mut args, wanted) = call.parse(FLAGS)?;
    let opened = Opened::existing(call)?;
    for name in &wanted {
        if opened.project.find(name).is_none() {
            return Err(no_service(&opened.project, name).into());
        }
    }
    args.options.filters = vec![
        EventFilter::Kind("container".to_owned()),
        EventFilter::Label(format!("{PROJECT}={}", opened.project.name)),
    ];
    let mut out = Watched::new(stdio::stdout());
    let shown = opened.engine.events(&args.options, &mut |event| {
        let service = event.attribute(SERVICE).unwrap_or_default();
        if !wanted.is_empty() && !wanted.iter().any(|name| name == service) {
            return Ok(());
        }
        let text = if args.json { json(event, service) } else { line(event) };
        // Write the whole event in one call, so that a reader gets whole lines.
        let written = out.write_all(format!("{}\n", escape::text(&text)).as_bytes());
        written.context(|| "write to the standard output")
    });
    match shown {
        // The reader closed the pipe: `mydocker compose events | head -1`.
        Err(_) if out.closed => Ok(0),
        shown => shown.map(|()| 0).map_err(Into::into),
    }
}

/// Returns an event as JSON with Docker Compose's keys. `attributes` does not contain Compose's own
/// labels.
fn json(event: &Event, service: &str) -> String {
    let own = event.attributes.iter().filter(|(key, _)| !key.starts_with(PREFIX));
    let object = Value::object(vec![
        ("time", Value::text(&Instant(event.time).to_rfc3339())),
        ("type", Value::text(event.kind.name())),
        ("service", Value::text(service)),
        ("id", Value::text(&event.id)),
        ("action", Value::text(&event.action)),
        ("attributes", Value::map(own.map(|(key, value)| (key, Value::text(value))))),
    ]);
    let mut text = String::new();
    object.push_json(&mut text);
    text
}

//! The command `events`: prints events of containers, images, networks, volumes and the build
//! cache, in Docker's words.
//!
//! Each event is a line of text, a line of JSON, or a template's output. Docker's message has
//! different names in JSON (`timeNano`) and in templates (`.TimeNano`). In mydocker a template may
//! use both kinds of name; JSON has only the names for JSON. `engine::events` reads the journal.

use std::io::Write;

use super::escape;
use super::flag::{Checker, Command, Flag, Group, Operand, spec};
use super::format::parse_template;
use super::output::Watched;
use super::value::name::split_filter;
use super::{EXIT_BAD_TEMPLATE, Failure, Invocation, Outcome};
use crate::engine::events::{Event, EventFilter, EventsOptions, Kind};
use crate::error::{Context, Error, Result, fail};
use crate::order;
use crate::sys::stdio;
use crate::template::{Struct, Template, Value};
use crate::time::Instant;
use crate::units::parse_moment;

#[derive(Default)]
struct EventsArgs {
    options: EventsOptions,
    format: String,
}

static FLAGS: &[Flag<EventsArgs>] = &[
    Flag::<EventsArgs>::setting(
        "since",
        "TIME",
        "Print the events after TIME too (10m, 2026-01-31T12:00:00Z)",
        |a, v| {
            a.options.since = Some(parse_moment(v, Instant::now())?);
            Ok(())
        },
    )
    .checked_by(Checker::Daemon),
    Flag::<EventsArgs>::setting("until", "TIME", "Stop at TIME", |a, v| {
        a.options.until = Some(parse_moment(v, Instant::now())?);
        Ok(())
    })
    .checked_by(Checker::Daemon),
    Flag::<EventsArgs>::setting(
        "filter",
        "KEY=VALUE",
        "Filter by container, event, image, label, network, scope, type or volume",
        |a, v| {
            a.options.filters.extend(parse_filter(v)?);
            Ok(())
        },
    )
    .checked_by(Checker::DaemonIfPair)
    .short('f'),
    Flag::<EventsArgs>::setting(
        "format",
        "FORMAT",
        "Print as json, or by a template such as '{{.Action}} {{.Actor.ID}}'",
        |a, v| {
            a.format = v.to_owned();
            Ok(())
        },
    ),
];

/// The command `events`.
pub static EVENTS: Command = Command {
    name: "events",
    group: Group::Watch,
    usage: "[FLAGS]",
    summary: "Print what happens to containers, images, networks and volumes",
    examples: &[
        "mydocker events --filter event=die",
        "mydocker events --since 1h --until 0s --format json",
    ],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: |at| spec(FLAGS, at),
    run: events,
};

/// Parses a `--filter`. Returns `None` for an empty text.
fn parse_filter(text: &str) -> Result<Option<EventFilter>> {
    let Some((key, value)) = split_filter(text, "event=die")? else { return Ok(None) };
    Ok(Some(match key.as_str() {
        // `inspect` prints a container's name with a slash before it, so accept the slash.
        "container" => EventFilter::Container(value.trim_start_matches('/').to_owned()),
        "event" => EventFilter::Event(value),
        "image" => EventFilter::Image(value),
        "label" => EventFilter::Label(value),
        "network" => EventFilter::Network(value),
        "scope" => EventFilter::Scope(value),
        "type" => EventFilter::Kind(value),
        "volume" => EventFilter::Volume(value),
        _ => fail!(
            "unknown filter '{key}'; known: container event image label network scope type volume"
        ),
    }))
}

fn events(call: &Invocation) -> Outcome {
    let (args, _) = call.parse(FLAGS)?;
    let template = match args.format.trim() {
        "" => None,
        "json" => Some("{{json .}}"),
        format => Some(format),
    };
    let template = match template.map(checked).transpose() {
        Ok(template) => template,
        Err(error) => {
            let error = Error::new(format!("--format: {error}"));
            return Err(Failure::Usage(error.exit_with(EXIT_BAD_TEMPLATE)));
        }
    };
    if let (Some(since), Some(until)) = (args.options.since, args.options.until)
        && since > until
    {
        return call.refuse("--since is after --until: no event can lie between them");
    }
    let mut out = Watched::new(stdio::stdout());
    let shown = call.engine()?.events(&args.options, &mut |event| {
        let text = match &template {
            Some(template) => template.render(&value(event))?,
            None => line(event),
        };
        // Write the whole event in one call, so that a reader gets whole lines.
        let written = out.write_all(format!("{}\n", escape::text(&text)).as_bytes());
        written.context(|| "write to the standard output")
    });
    match shown {
        // The reader closed the pipe, as in `mydocker events | head -1`.
        Err(_) if out.closed => Ok(0),
        shown => shown.map(|()| 0).map_err(Into::into),
    }
}

/// Parses a template. Fails on a syntax error, or on a field that no event has.
fn checked(text: &str) -> Result<Template> {
    let template = parse_template(text)?;
    let sample = Event { time: 0, ..Event::new(Kind::Container, "start", "") };
    template.check_fields(&value(&sample))?;
    Ok(template)
}

/// Returns an event as one line of text, such as `2026-01-31T12:00:00.000000000Z container start ID
/// (image=box, name=web)`.
pub fn line(event: &Event) -> String {
    let mut text = Instant(event.time).to_rfc3339();
    let mut attributes: Vec<_> = event.attributes.iter().collect();
    order::sort(&mut attributes);
    let attributes: Vec<String> =
        attributes.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    text.extend([" ", event.kind.name(), " ", &event.action, " ", &event.id]);
    if !attributes.is_empty() {
        text.extend([" (", &attributes.join(", "), ")"]);
    }
    // Escape newlines: one event must not look like two.
    escape::line(&text).into_owned()
}

/// Returns an event as Docker's message, for JSON and templates.
fn value(event: &Event) -> Value {
    let has_status = matches!(event.kind, Kind::Container | Kind::Image);
    let image = event.attribute("image").filter(|_| event.kind == Kind::Container);
    let old = |text: Option<&str>| match text {
        Some(text) if !text.is_empty() => Value::text(text),
        _ => Value::Omitted(Value::text("").into()),
    };
    let status = old(Some(&event.action).filter(|_| has_status).map(|action| action.as_str()));
    let id = old(Some(&event.id).filter(|_| has_status).map(|id| id.as_str()));
    let from = old(image);
    let seconds = Value::Int(Instant(event.time).seconds());
    let attributes = event.attributes.iter().map(|(key, value)| (key, Value::text(value)));
    let actor = vec![("ID", Value::text(&event.id)), ("Attributes", Value::map(attributes))];
    let json = [
        ("status", status.clone()),
        ("id", id.clone()),
        ("from", from.clone()),
        ("Type", Value::text(event.kind.name())),
        ("Action", Value::text(&event.action)),
        ("Actor", Value::object(actor)),
        ("scope", Value::text("local")),
        ("time", seconds.clone()),
        ("timeNano", Value::Int(event.time)),
    ];
    let template = [
        ("Status", status),
        ("ID", id),
        ("From", from),
        ("Scope", Value::text("local")),
        ("Time", seconds),
        ("TimeNano", Value::Int(event.time)),
    ];
    let template =
        template.map(|(name, value)| (name, Value::Omitted(value.shown().clone().into())));
    let fields = json.into_iter().chain(template).collect();
    Value::Struct(Struct { kind: Some("*events.Message"), fields, ..Struct::default() }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_as_dockers() {
        let event = Event::new(Kind::Container, "die", "abc");
        let event = Event { time: 1_000_000_042, ..event };
        let event = event.with("name", "web").with("image", "bb").with("exitCode", "3");
        assert_eq!(
            line(&event),
            "1970-01-01T00:00:01.000000042Z container die abc (exitCode=3, image=bb, name=web)"
        );
        let rendered = |text: &str| checked(text).unwrap().render(&value(&event)).unwrap();
        assert_eq!(
            rendered("{{json .}}"),
            "{\"status\":\"die\",\"id\":\"abc\",\"from\":\"bb\",\"Type\":\"container\",\"Action\":\"die\",\
             \"Actor\":{\"ID\":\"abc\",\"Attributes\":{\"exitCode\":\"3\",\"image\":\"bb\",\"name\":\"web\"}},\
             \"scope\":\"local\",\"time\":1,\"timeNano\":1000000042}"
        );
        assert_eq!(
            rendered("{{.Status}} {{.TimeNano}} {{.Actor.Attributes.name}}"),
            "die 1000000042 web"
        );
        assert!(checked("{{.Nope}}").is_err());
        let volume = Event { time: 0, ..Event::new(Kind::Volume, "create", "v\n1") };
        assert_eq!(line(&volume), "1970-01-01T00:00:00.000000000Z volume create v\\u000a1");
    }
}

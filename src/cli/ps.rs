//! The command `ps`: lists containers in Docker's columns and words ("Up 5 minutes", "Exited (0) 2
//! hours ago"). By default only containers that run or wait for a restart are shown. `-a` includes
//! the stopped containers. As in Docker, `-l`, a positive `-n` and a filter by status include the
//! stopped containers too. `engine::list` reads the states.

use super::flag::{Checker, Command, Flag, Group, Operand, spec};
use super::format::{
    Field, Format, Row, Show, push_ago, push_ellipsis, push_go_time, push_id, push_labels,
    push_list,
};
use super::ports::{Ports, grouped, lines};
use super::style::Style;
use super::value::name::split_filter;
use super::{Invocation, Outcome};
use crate::engine::options::{Filter, ImageName, PortFilter};
use crate::engine::view::{ContainerView, HealthStatus, Status};
use crate::error::{Error, Result, fail};
use crate::regex::Regex;
use crate::template::Value;
use crate::time::Instant;
use crate::units::{push_human_size, push_human_span};

#[derive(Default)]
struct PsArgs {
    all: bool,
    quiet: bool,
    no_trunc: bool,
    size: bool,
    latest: bool,
    /// `None` for no limit.
    last: Option<usize>,
    filters: Vec<Filter>,
    format: String,
}

static FLAGS: &[Flag<PsArgs>] = &[
    Flag::<PsArgs>::switch("all", "Show stopped containers too", |a, on| a.all = on).short('a'),
    Flag::<PsArgs>::switch("quiet", "Print only ids", |a, on| a.quiet = on).short('q'),
    Flag::<PsArgs>::switch("latest", "Show only the newest, running or not", |a, on| {
        a.latest = on;
    })
    .short('l'),
    Flag::<PsArgs>::value(
        "last",
        "NUMBER",
        "Show only the newest NUMBER, running or not",
        |a, v| {
            let last: i64 = v.parse().map_err(|_| Error::new(format!("bad number '{v}'")))?;
            // As in Docker, 0 and a negative number mean no limit.
            a.last = usize::try_from(last).ok().filter(|&last| last > 0);
            Ok(())
        },
    )
    .short('n'),
    Flag::<PsArgs>::switch("no-trunc", "Do not shorten ids and other values", |a, on| {
        a.no_trunc = on
    }),
    Flag::<PsArgs>::switch("size", "Show the size on disk", |a, on| a.size = on).short('s'),
    Flag::<PsArgs>::setting(
        "filter",
        "KEY=VALUE",
        "Filter by id, name, status, exited, health, label, ancestor, since, before, volume …",
        |a, v| {
            a.filters.extend(parse_filter(v)?);
            Ok(())
        },
    )
    .checked_by(Checker::DaemonIfPair)
    .short('f'),
    Flag::<PsArgs>::setting(
        "format",
        "FORMAT",
        "Print as json, or by a template such as '{{.ID}} {{.Names}}'",
        |a, v| {
            a.format = v.to_owned();
            Ok(())
        },
    ),
];

/// The command `ps`.
pub static PS: Command = Command {
    name: "ps",
    group: Group::Watch,
    usage: "[FLAGS]",
    summary: "List containers",
    examples: &[
        "mydocker ps -a --filter status=exited",
        "mydocker ps --format '{{.Names}} {{.Status}}'",
    ],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: |at| spec(FLAGS, at),
    run: ps,
};

/// Docker's states. `removing` matches nothing: a removal first hides the container from `ps`.
const STATES: [&str; 7] =
    ["created", "restarting", "running", "removing", "paused", "exited", "dead"];

const HEALTH: [&str; 4] = ["starting", "healthy", "unhealthy", "none"];

/// Parses a `--filter`. Returns `None` for an empty text.
fn parse_filter(text: &str) -> Result<Option<Filter>> {
    let Some((key, value)) = split_filter(text, "status=exited")? else { return Ok(None) };
    Ok(Some(match key.as_str() {
        "id" => Filter::Id(value),
        "name" => Filter::Name(Regex::parse(&value)?),
        "label" => Filter::Label(value),
        "ancestor" => Filter::Ancestor(value),
        "status" if STATES.contains(&value.as_str()) => Filter::Status(value),
        "exited" => Filter::Exited(
            value
                .parse()
                .map_err(|_| Error::new(format!("bad exit status '{value}': write a number")))?,
        ),
        "since" => Filter::Since(value),
        "before" => Filter::Before(value),
        "volume" => Filter::Volume(value),
        "network" => Filter::Network(value),
        "publish" => Filter::Publish(parse_ports(&value)?),
        "expose" => Filter::Expose(parse_ports(&value)?),
        "isolation" => Filter::Isolation,
        "health" if HEALTH.contains(&value.as_str()) => Filter::Health(value),
        "health" => fail!("unknown health '{value}'; known: {}", HEALTH.join(" ")),
        "status" => fail!("unknown status '{value}'; known: {}", STATES.join(" ")),
        _ => fail!(
            "unknown filter '{key}'; known: ancestor before exited expose health id isolation label \
             name network publish since status volume"
        ),
    }))
}

/// Parses a port or a range of ports, such as `80`, `80/udp` or `8000-8080/tcp`. The default
/// protocol is TCP. Fails on any other text.
fn parse_ports(text: &str) -> Result<PortFilter> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => {
            Ok(PortFilter { first, last, protocol: protocol.parse()? })
        }
        _ => fail!("bad port '{text}': write 80, 80/udp or 8000-8080/tcp"),
    }
}

fn ps(call: &Invocation) -> Outcome {
    let (args, _) = call.parse(FLAGS)?;
    let columns = if args.size { SIZE_COLUMNS } else { COLUMNS };
    let format = match Format::parse_quiet(args.quiet, &args.format, FIELDS, columns) {
        Ok(format) => format,
        Err(error) => return call.refuse(format!("--format: {}", in_dockers_words(&error))),
    };
    // As in Docker, a filter by status, a positive `-n` and `-l` include the stopped containers.
    let by_status = args.filters.iter().any(|filter| matches!(filter, Filter::Status(_)));
    let last = args.last.or(args.latest.then_some(1));
    let all = args.all || last.is_some() || by_status;
    let engine = call.engine()?;
    let mut containers = engine.containers(all, &args.filters)?;
    if let Some(last) = last {
        containers.truncate(last);
    }
    // As in Docker, a template with the field Size needs the size too.
    if (args.size && !args.quiet)
        || args.format.contains(".Size")
        || args.format.contains("json .}")
    {
        engine.measure(&mut containers)?;
    }
    let show = Show { no_trunc: args.no_trunc, now: Instant::now() };
    let printed = format.print_painted(&containers, FIELDS, &show);
    printed.map_err(|error| match in_dockers_words(&error) {
        words if words == error.to_string() => error,
        words => Error::new(words),
    })?;
    Ok(0)
}

/// Returns an error of a template in the words of Docker's `ps`, which name the stage that failed:
/// to parse or to execute the template. The other listings write `template parsing error` for both.
fn in_dockers_words(error: &Error) -> String {
    let text = error.to_string();
    let stage = if text.contains(": executing ") { "execute" } else { "parse" };
    text.replacen("template parsing error", &format!("failed to {stage} template"), 1)
}

impl Row for ContainerView {
    const KIND: &'static str = "*formatter.ContainerContext";
    const OURS: &'static [&'static str] = &["Addresses"];
    const RAW: &'static str = "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\n\
        created_at: {{.CreatedAt}}\nstate: {{- pad .State 1 0}}\nstatus: {{- pad .Status 1 0}}\n\
        names: {{.Names}}\nlabels: {{- pad .Labels 1 0}}\nports: {{- pad .Ports 1 0}}\n";

    fn style(&self, field: &str) -> Option<Style> {
        if field == "Status" { Some(style_of(self)) } else { None }
    }

    fn labels(&self) -> Option<&[(String, String)]> {
        Some(&self.labels)
    }

    fn typed(&self, field: &str, text: &str) -> Value {
        match field {
            "ExitCode" => text.parse().map_or(Value::Missing, Value::Int),
            "Publishers" => {
                let ports = grouped(&self.published, &self.exposed);
                Value::list(ports.iter().flat_map(publishers))
            }
            _ => Value::text(text),
        }
    }
}

/// Returns an entry of the column PORTS as Docker Compose's JSON objects, one for each port.
fn publishers(ports: &Ports<'_>) -> Vec<Value> {
    let publisher = |url: &str, target: u16, published: u16, protocol: &str| {
        Value::object(vec![
            ("URL", Value::text(url)),
            ("TargetPort", Value::Int(target.into())),
            ("PublishedPort", Value::Int(published.into())),
            ("Protocol", Value::text(protocol)),
        ])
    };
    match ports {
        Ports::Published(map, length) => {
            let (url, protocol) = (map.host.ip().to_string(), map.protocol.name());
            let one = |at| publisher(&url, map.container_port + at, map.host.port() + at, protocol);
            (0..*length).map(one).collect()
        }
        Ports::Exposed(text) => {
            let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let number = |text: &str| text.parse().unwrap_or(0);
            (number(first)..=number(last)).map(|port| publisher("", port, 0, protocol)).collect()
        }
    }
}

static COLUMNS: &[&str] = &["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"];

static SIZE_COLUMNS: &[&str] =
    &["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names", "Size"];

/// The fields of `--format`, in alphabetical order, as in Docker's JSON.
pub(super) static FIELDS: &[Field<ContainerView>] = &[
    Field {
        name: "Addresses",
        header: "ADDRESSES",
        write: |c, _, out| push_list(out, &c.addresses, ","),
    },
    Field { name: "Command", header: "COMMAND", write: push_command },
    Field {
        name: "CreatedAt",
        header: "CREATED AT",
        write: |c, _, out| push_go_time(out, c.created),
    },
    Field { name: "ID", header: "CONTAINER ID", write: |c, show, out| push_id(out, &c.id, show) },
    Field { name: "Image", header: "IMAGE", write: push_image },
    Field { name: "Labels", header: "LABELS", write: |c, _, out| push_labels(out, &c.labels) },
    Field {
        name: "LocalVolumes",
        header: "LOCAL VOLUMES",
        write: |c, _, out| out.push_str(&c.volumes.len().to_string()),
    },
    Field { name: "Mounts", header: "MOUNTS", write: push_mounts },
    Field { name: "Names", header: "NAMES", write: |c, _, out| out.push_str(&c.name) },
    Field {
        name: "Networks",
        header: "NETWORKS",
        write: |c, _, out| push_list(out, &c.networks, ","),
    },
    Field {
        name: "Ports",
        header: "PORTS",
        write: |c, _, out| push_list(out, &lines(&c.published, &c.exposed), ", "),
    },
    Field {
        name: "RunningFor",
        header: "CREATED",
        write: |c, show, out| push_ago(out, c.created, show.now),
    },
    Field { name: "Size", header: "SIZE", write: |c, _, out| push_size(out, c.size) },
    Field { name: "State", header: "STATE", write: |c, _, out| out.push_str(c.status.name()) },
    Field { name: "Status", header: "STATUS", write: |c, show, out| push_status(out, c, show.now) },
];

/// Appends the size, such as `2B (virtual 4.26MB)`. `size` holds the bytes of the container's own
/// files and of all its files.
pub fn push_size(out: &mut String, size: Option<(u64, u64)>) {
    let (own, all) = size.unwrap_or_default();
    push_human_size(out, own);
    if all > 0 {
        out.push_str(" (virtual ");
        push_human_size(out, all);
        out.push(')');
    }
}

/// Appends the name in `container.image`. An id that starts with `sha256:` is shortened unless
/// `show.no_trunc` is set.
pub fn push_image(container: &ContainerView, show: &Show, out: &mut String) {
    let typed = container.image.as_ref().map_or("", ImageName::typed);
    if typed.starts_with("sha256:") { push_id(out, typed, show) } else { out.push_str(typed) }
}

/// Appends the names of volumes and the host paths that are mounted. Each name or path is cut to
/// fifteen characters unless `show.no_trunc` is set.
pub fn push_mounts(container: &ContainerView, show: &Show, out: &mut String) {
    for (at, mount) in container.mounts.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_ellipsis(out, mount, if show.no_trunc { usize::MAX } else { 15 });
    }
}

/// Appends the command in quotes, cut to twenty characters unless `show.no_trunc` is set. As in
/// Docker, an argument with a space is in single quotes; the program's name is not.
pub fn push_command(container: &ContainerView, show: &Show, out: &mut String) {
    let mut line = String::new();
    for (at, argument) in container.args.iter().enumerate() {
        if at > 0 {
            line.push(' ');
        }
        if at > 0 && argument.contains(' ') {
            line.extend(["'", argument, "'"])
        } else {
            line.push_str(argument)
        }
        // Only the start of a long command is shown, so the rest is not joined.
        if !show.no_trunc && line.len() > 4 * 20 {
            break;
        }
    }
    let mut shown = String::new();
    push_ellipsis(&mut shown, &line, if show.no_trunc { usize::MAX } else { 20 });
    out.push('"');
    for c in shown.chars() {
        match c {
            '"' => out.push_str("\\\""),
            // Control characters of a command must not reach the terminal.
            c if c == '\\' || c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Green means that the container runs well, yellow that it is paused, starting or restarting, red
/// that it failed or is unhealthy. A container that ended well or never ran is dim.
pub fn style_of(container: &ContainerView) -> Style {
    match &container.status {
        Status::Running { paused: true, .. } | Status::Restarting { .. } => Style::Yellow,
        Status::Running { .. } => match container.health {
            Some(HealthStatus::Unhealthy) => Style::Red,
            Some(HealthStatus::Starting) => Style::Yellow,
            _ => Style::Green,
        },
        Status::Exited { code: 0, .. } | Status::Created => Style::Dim,
        Status::Exited { .. } | Status::Dead { .. } => Style::Red,
    }
}

/// Appends the status in Docker's words.
pub fn push_status(out: &mut String, container: &ContainerView, now: Instant) {
    match &container.status {
        Status::Created => out.push_str("Created"),
        Status::Running { started, paused, .. } => {
            out.push_str("Up ");
            push_human_span(out, now.seconds() - started.seconds());
            match (*paused, container.health) {
                (true, _) => out.push_str(" (Paused)"),
                (false, Some(HealthStatus::Starting)) => out.push_str(" (health: starting)"),
                (false, Some(health)) => out.extend([" (", health.name(), ")"]),
                (false, None) => {}
            }
        }
        Status::Restarting { code, finished } => {
            out.push_str("Restarting (");
            out.push_str(&code.to_string());
            out.push_str(") ");
            push_ago(out, *finished, now);
        }
        Status::Exited { code, finished, .. } => {
            out.push_str("Exited (");
            out.push_str(&code.to_string());
            out.push_str(") ");
            push_ago(out, *finished, now);
        }
        Status::Dead { .. } => out.push_str("Dead"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(args: &[&str], status: Status) -> ContainerView {
        ContainerView {
            id: "0123456789abcdef".repeat(4).parse().unwrap(),
            name: "web".into(),
            image: Some("busybox".parse().unwrap()),
            image_id: None,
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            created: Instant(0),
            status,
            health: None,
            published: Vec::new(),
            exposed: vec!["80/tcp".into(), "443/tcp".into()],
            labels: vec![("a".into(), "1".into()), ("b".into(), String::new())],
            volumes: Vec::new(),
            mounted_images: Vec::new(),
            mounts: vec!["/a/long/path/to/data".into()],
            networks: vec!["none".into()],
            addresses: vec!["10.0.0.2".parse().unwrap()],
            size: None,
        }
    }

    const SHOW: Show = Show { no_trunc: false, now: Instant(100 * 1_000_000_000) };

    #[test]
    fn the_table_reads_as_dockers() {
        let exited = Status::Exited { code: 3, finished: Instant(0), oom_killed: false };
        let rows = [container(&["sh", "-c", "echo hi there, world"], exited)];
        let text = Format::Columns(COLUMNS).render(&rows, FIELDS, &SHOW).unwrap();
        assert_eq!(
            text,
            "CONTAINER ID   IMAGE     COMMAND                  CREATED              STATUS                          PORTS             NAMES\n\
             0123456789ab   busybox   \"sh -c 'echo hi ther…\"   About a minute ago   Exited (3) About a minute ago   80/tcp, 443/tcp   web\n"
        );
    }

    #[test]
    fn json_has_dockers_names() {
        let started = Instant(95 * 1_000_000_000);
        let rows = [container(&["top"], Status::Running { pid: 1, started, paused: false })];
        let text = Format::Json.render(&rows, FIELDS, &SHOW).unwrap();
        assert_eq!(
            text,
            "{\"Addresses\":\"10.0.0.2\",\"Command\":\"\\\"top\\\"\",\"CreatedAt\":\"1970-01-01 00:00:00 +0000 UTC\",\"ID\":\"0123456789ab\",\"Image\":\"busybox\",\"Labels\":\"a=1,b=\",\"LocalVolumes\":\"0\",\"Mounts\":\"/a/long/path/t…\",\"Names\":\"web\",\"Networks\":\"none\",\"Ports\":\"80/tcp, 443/tcp\",\"RunningFor\":\"About a minute ago\",\"Size\":\"0B\",\"State\":\"running\",\"Status\":\"Up 5 seconds\"}\n"
        );
    }

    #[test]
    fn commands_are_quoted_and_escaped() {
        let shown = |args: &[&str], no_trunc| {
            let mut out = String::new();
            let show = Show { no_trunc, now: Instant(0) };
            push_command(&container(args, Status::Created), &show, &mut out);
            out
        };
        assert_eq!(shown(&["a b", "c d"], false), "\"a b 'c d'\"");
        assert_eq!(shown(&["x\u{1b}[2J", "\"\n"], false), "\"x\\u{1b}[2J \\\"\\n\"");
        assert_eq!(shown(&[&"y".repeat(30)], false), format!("\"{}…\"", "y".repeat(19)));
        assert_eq!(shown(&[&"y".repeat(30)], true), format!("\"{}\"", "y".repeat(30)));
        assert_eq!(shown(&[], false), "\"\"");
    }

    #[test]
    fn filters() {
        assert_eq!(parse_filter("exited=3").unwrap().unwrap(), Filter::Exited(3));
        let ports = PortFilter { first: 80, last: 90, protocol: crate::port::Protocol::Udp };
        assert_eq!(parse_filter("publish=80-90/udp").unwrap().unwrap(), Filter::Publish(ports));
        assert_eq!(parse_filter("label=a=b").unwrap().unwrap(), Filter::Label("a=b".into()));
        for bad in ["name", "nmae=x", "status=done", "name=*", "exited=x", "expose=90-80"] {
            assert!(parse_filter(bad).is_err(), "{bad}");
        }
    }
}

//! `compose ps` and `ls`: list the containers of a project, and the projects, in Docker Compose's
//! columns. The labels of containers name the projects, so `ls` reads no compose file. As with
//! `mydocker ps`, `-a` of `compose ps` also lists containers that do not run.

use super::super::flag::{Checker, Command, Flag, Group, MANY, Operand, spec};
use super::super::format::{
    Field, Format, Show, push_ago, push_go_time, push_id, push_labels, push_list,
};
use super::super::output::{print, print_line};
use super::super::ports::lines;
use super::super::ps::{push_command, push_image, push_mounts, push_size, push_status};
use super::super::table::Table;
use super::super::{Invocation, Outcome};
use super::{Opened, is_json};
use crate::compose::members::{self, Member};
use crate::engine::project::{PROJECT, SERVICE, label};
use crate::engine::view::{ContainerView, HealthStatus, Status};
use crate::error::{Result, fail};
use crate::order;
use crate::template::Value;
use crate::time::Instant;

#[derive(Default)]
struct PsArgs {
    all: bool,
    quiet: bool,
    services: bool,
    no_trunc: bool,
    no_orphans: bool,
    states: Vec<String>,
    format: String,
}

type P = Flag<PsArgs>;

/// The states of containers that `--status` may name, in alphabetical order.
const STATES: [&str; 6] = ["created", "dead", "exited", "paused", "restarting", "running"];

fn add_state(args: &mut PsArgs, text: &str) -> Result<()> {
    if !STATES.contains(&text) {
        fail!("unknown status '{text}'; known: {}", STATES.join(" "));
    }
    args.states.push(text.to_owned());
    Ok(())
}

static PS_FLAGS: &[P] = &[
    P::switch("all", "Show stopped containers too", |a, on| a.all = on).short('a'),
    P::switch("quiet", "Print only ids", |a, on| a.quiet = on).short('q'),
    P::switch("services", "Print only the names of the services", |a, on| a.services = on),
    P::switch("no-trunc", "Do not shorten ids and other values", |a, on| a.no_trunc = on),
    P::switch("orphans", "Show containers of other services too (default true)", |a, on| {
        a.no_orphans = !on;
    }),
    P::value("status", "STATUS", "Show only containers with this status", add_state),
    P::value("filter", "status=STATUS", "Show only containers with this status", |a, v| {
        match v.split_once('=') {
            Some(("status", state)) => add_state(a, state),
            _ => fail!("unknown filter '{v}'; known: status=STATUS"),
        }
    })
    .checked_by(Checker::DaemonIfPair),
    P::setting("format", "FORMAT", "Print as table, json or by a template", |a, v| {
        a.format = v.to_owned();
        Ok(())
    }),
];

/// The command `compose ps`.
pub static PS: Command = Command {
    name: "compose ps",
    group: Group::Compose,
    usage: "[FLAGS] [SERVICE…]",
    summary: "List the containers of a project",
    examples: &["mydocker compose ps --format json"],
    operand: Operand::Nothing,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(PS_FLAGS, at),
    run: ps,
};

fn ps(call: &Invocation) -> Outcome {
    let (args, wanted) = call.parse(PS_FLAGS)?;
    let format = match Format::parse(&args.format, FIELDS, COLUMNS) {
        Ok(format) => format,
        Err(error) => return call.refuse(format!("--format: {error}")),
    };
    let opened = Opened::existing(call)?;
    let mut found = if wanted.is_empty() && !args.no_orphans {
        members::all(&opened.engine, &opened.project.name)?
    } else {
        opened.members(&wanted)?
    };
    found.retain(|member| {
        if args.states.is_empty() {
            args.all || member.is_alive()
        } else {
            args.states.iter().any(|state| member.view.status.name() == state)
        }
    });
    if args.services {
        let mut names: Vec<&str> = found.iter().map(|member| member.service.as_str()).collect();
        names.dedup();
        for name in names {
            print_line(name)?;
        }
        return Ok(0);
    }
    let mut rows: Vec<ContainerView> = found.into_iter().map(|member| member.view).collect();
    if args.quiet {
        for row in rows {
            print_line(&row.id)?;
        }
        return Ok(0);
    }
    if args.format.contains(".Size") {
        opened.engine.measure(&mut rows)?;
    }
    let show = Show { no_trunc: args.no_trunc, now: Instant::now() };
    format.print_painted(&rows, FIELDS, &show)?;
    Ok(0)
}

static COLUMNS: &[&str] = &["Name", "Image", "Command", "Service", "RunningFor", "Status", "Ports"];

fn push_label(container: &ContainerView, key: &str, out: &mut String) {
    out.push_str(label(&container.labels, key).unwrap_or_default());
}

/// The fields of `--format`, in alphabetical order.
static FIELDS: &[Field<ContainerView>] = &[
    Field { name: "Command", header: "COMMAND", write: push_command },
    Field {
        name: "CreatedAt",
        header: "CREATED AT",
        write: |c, _, out| push_go_time(out, c.created),
    },
    Field {
        name: "ExitCode",
        header: "EXIT CODE",
        write: |c, _, out| {
            let code = match c.status {
                Status::Exited { code, .. } | Status::Restarting { code, .. } => code,
                _ => 0,
            };
            out.push_str(&code.to_string());
        },
    },
    Field {
        name: "Health",
        header: "HEALTH",
        write: |c, _, out| out.push_str(c.health.map_or("", HealthStatus::name)),
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
    Field { name: "Name", header: "NAME", write: |c, _, out| out.push_str(&c.name) },
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
    Field { name: "Project", header: "PROJECT", write: |c, _, out| push_label(c, PROJECT, out) },
    Field {
        name: "Publishers",
        header: "PUBLISHERS",
        write: |c, _, out| push_list(out, &lines(&c.published, &c.exposed), ", "),
    },
    Field {
        name: "RunningFor",
        header: "CREATED",
        write: |c, show, out| push_ago(out, c.created, show.now),
    },
    Field { name: "Service", header: "SERVICE", write: |c, _, out| push_label(c, SERVICE, out) },
    Field { name: "Size", header: "SIZE", write: |c, _, out| push_size(out, c.size) },
    Field { name: "State", header: "STATE", write: |c, _, out| out.push_str(c.status.name()) },
    Field { name: "Status", header: "STATUS", write: |c, show, out| push_status(out, c, show.now) },
];

#[derive(Default)]
struct LsArgs {
    all: bool,
    quiet: bool,
    json: bool,
    names: Vec<String>,
}

type L = Flag<LsArgs>;

static LS_FLAGS: &[L] = &[
    L::switch("all", "Show projects without a running container too", |a, on| a.all = on)
        .short('a'),
    L::switch("quiet", "Print only names", |a, on| a.quiet = on).short('q'),
    L::value("filter", "name=PART", "Show only projects whose names contain PART", |a, v| {
        match v.split_once('=') {
            Some(("name", part)) => a.names.push(part.to_owned()),
            _ => fail!("unknown filter '{v}'; known: name=PART"),
        }
        Ok(())
    })
    .checked_by(Checker::DaemonIfPair),
    L::setting("format", "FORMAT", "Print as table or json", |a, v| {
        a.json = is_json(v, "table")?;
        Ok(())
    }),
];

/// The command `compose ls`.
pub static LS: Command = Command {
    name: "compose ls",
    group: Group::Compose,
    usage: "[FLAGS]",
    summary: "List the running projects",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: |at| spec(LS_FLAGS, at),
    run: ls,
};

fn ls(call: &Invocation) -> Outcome {
    let (args, _) = call.parse(LS_FLAGS)?;
    let mut projects: Vec<(String, Vec<Member>)> = Vec::new();
    for member in members::all(&call.engine()?, "")? {
        let name = label(&member.view.labels, PROJECT).unwrap_or_default();
        match projects.iter_mut().find(|(known, _)| known == name) {
            Some((_, members)) => members.push(member),
            None => projects.push((name.to_owned(), vec![member])),
        }
    }
    order::sort_by(&mut projects, |one, other| one.0.cmp(&other.0));
    projects.retain(|(name, members)| {
        (args.all || members.iter().any(Member::is_alive))
            && (args.names.is_empty() || args.names.iter().any(|part| name.contains(part)))
    });
    if args.quiet {
        for (name, _) in &projects {
            print_line(name)?;
        }
        return Ok(0);
    }
    let mut table = Table::new(["NAME", "STATUS", "CONFIG FILES"]);
    let mut objects = Vec::new();
    for (name, members) in &projects {
        let (status, files) = (states(members), files(members));
        objects.push(Value::object(vec![
            ("Name", Value::text(name)),
            ("Status", Value::text(&status)),
            ("ConfigFiles", Value::text(files)),
        ]));
        for text in [name, &status, files] {
            table.cell(|out| out.push_str(text));
        }
    }
    if args.json {
        print_line(&json(&Value::list(objects)))?;
    } else {
        print(&table.render())?;
    }
    Ok(0)
}

/// Counts the containers by state, such as `exited(1), running(2)`.
fn states(members: &[Member]) -> String {
    let mut texts = Vec::new();
    for state in STATES {
        let count = members.iter().filter(|member| member.view.status.name() == state).count();
        if count > 0 {
            texts.push(format!("{state}({count})"));
        }
    }
    texts.join(", ")
}

/// Returns the names of the project's compose files, from the first container with a label for
/// them. Returns an empty text if there is no such label.
fn files(members: &[Member]) -> &str {
    let labels = members.iter().map(|member| &member.view.labels);
    let mut files =
        labels.filter_map(|labels| label(labels, "com.docker.compose.project.config_files"));
    files.next().unwrap_or_default()
}

/// Returns a value as one line of JSON, without a line feed.
pub fn json(value: &Value) -> String {
    let mut text = String::new();
    value.push_json(&mut text);
    text
}

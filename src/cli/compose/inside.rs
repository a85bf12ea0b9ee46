//! `compose exec`, `cp`, `top`, `port` and `stats`: the commands that look into the containers of
//! services. Each command finds the containers and does what the command of the same name does. If
//! a service has several replicas, `--index` of `exec`, `cp` and `port` chooses one replica.
//! Without `--index`, `exec` and `port` take the first replica that runs or waits for a restart.
//! `cp` copies from the first replica, or into all replicas; a tar from stdin goes into the first
//! replica.

use std::io::IsTerminal;

use super::super::cp::{CopyFlags, copy};
use super::super::flag::{Command, Flag, Group, MANY, Operand, spec};
use super::super::lifecycle::{NO_FLAGS, NoArgs};
use super::super::output::{print, print_line};
use super::super::progress::Bytes;
use super::super::value::env::parse_env;
use super::super::value::process::parse_workdir;
use super::super::{Invocation, Outcome, stats, top};
use super::Opened;
use super::logs::parse_index;
use crate::compose::members::{self, Member};
use crate::engine::Engine;
use crate::engine::options::{AttachOptions, ExecOptions, Place};
use crate::error::{Result, fail};

#[derive(Default)]
struct ExecArgs {
    options: ExecOptions,
    no_tty: bool,
    no_input: bool,
    index: u32,
}

type E = Flag<ExecArgs>;

static EXEC_FLAGS: &[E] = &[
    E::switch("detach", "Run in the background", |a, on| a.options.detach = on).short('d'),
    E::value("env", "NAME[=VALUE]", "Set a variable, or copy the caller's", |a, v| {
        a.options.env.push(parse_env(v)?);
        Ok(())
    })
    .short('e'),
    E::setting("index", "NUMBER", "Use the container with this number", |a, v| {
        a.index = parse_index(v)?;
        Ok(())
    }),
    E::switch("interactive", "Keep stdin open (default true)", |a, on| a.no_input = !on).short('i'),
    E::switch("no-tty", "Allocate no terminal", |a, on| a.no_tty = on)
        .short('T')
        .also(&["--no-TTY"]),
    E::switch("tty", "Allocate a terminal (default: if stdin and stdout are one)", |a, on| {
        a.no_tty = !on;
    })
    .short('t'),
    E::switch("privileged", "Give all capabilities", |a, on| a.options.privileged = on),
    E::setting("user", "USER[:GROUP]", "Run as USER, by name or number", |a, v| {
        a.options.user = Some(v.to_owned());
        Ok(())
    })
    .short('u'),
    E::setting("workdir", "DIR", "Set the working directory in the container", |a, v| {
        a.options.workdir = Some(parse_workdir(v)?);
        Ok(())
    })
    .short('w'),
];

/// Whether stdin and stdout are terminals. As in Docker Compose, `exec` and `run` then allocate a
/// terminal by default.
pub fn has_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// The command `compose exec`.
pub static EXEC: Command = Command {
    name: "compose exec",
    group: Group::Compose,
    usage: "[FLAGS] SERVICE COMMAND [ARG…]",
    summary: "Run a command in a running container of a service",
    examples: &["mydocker compose exec db psql -U app"],
    operand: Operand::Nothing,
    operands: (2, MANY),
    trailing: true,
    flags: |at| spec(EXEC_FLAGS, at),
    run: |call| {
        let (ExecArgs { mut options, no_tty, no_input, index }, words) = call.parse(EXEC_FLAGS)?;
        if !options.env.is_empty() {
            Engine::hide_variables();
        }
        let opened = Opened::existing(call)?;
        let member = opened.member(&words[0], index)?;
        options.container = member.view.id.to_string();
        options.command = words[1..].to_vec();
        options.interactive = !no_input && !options.detach;
        options.tty = !no_tty && !options.detach && has_terminal();
        options.detach_keys = AttachOptions::default().detach_keys;
        Ok(opened.engine.exec(&options)?)
    },
};

#[derive(Default)]
struct CpArgs {
    archive: bool,
    follow: bool,
    all: bool,
    index: u32,
}

type C = Flag<CpArgs>;

static CP_FLAGS: &[C] = &[
    C::switch("archive", "Keep owners, setuid bits and devices", |a, on| a.archive = on).short('a'),
    C::switch("follow-link", "Follow SRC if it is a symbolic link", |a, on| a.follow = on)
        .short('L'),
    C::switch("all", "Copy into containers of compose run too", |a, on| a.all = on),
    C::setting("index", "NUMBER", "Use the container with this number", |a, v| {
        a.index = parse_index(v)?;
        Ok(())
    }),
];

/// The command `compose cp`.
pub static CP: Command = Command {
    name: "compose cp",
    group: Group::Compose,
    usage: "[FLAGS] SERVICE:SRC DEST|-  or  SRC|- SERVICE:DEST",
    summary: "Copy files between a service's container and the host",
    examples: &["mydocker compose cp web:/var/log/nginx logs"],
    operand: Operand::Nothing,
    operands: (2, 2),
    trailing: false,
    flags: |at| spec(CP_FLAGS, at),
    run: cp,
};

fn cp(call: &Invocation) -> Outcome {
    let (args, words) = call.parse(CP_FLAGS)?;
    let opened = Opened::existing(call)?;
    let is_meant = |member: &Member| args.index == 0 || args.index == member.number;
    let ids = |place: &Place| -> Result<Vec<String>> {
        let Place::Container { name, .. } = place else { return Ok(vec![String::new()]) };
        let mut found = opened.members(std::slice::from_ref(name))?;
        if args.all {
            let others = members::all(&opened.engine, &opened.project.name)?.into_iter();
            found.extend(others.filter(|other| other.is_oneoff && other.service == *name));
        }
        found.retain(is_meant);
        if found.is_empty() {
            fail!("service {name} has no such container; make it with mydocker compose up -d");
        }
        // The standard input can be read only once, so it goes into one container.
        let count = if words[0] == "-" { 1 } else { found.len() };
        Ok(found.into_iter().take(count).map(|member| member.view.id.to_string()).collect())
    };
    let _shown = Bytes::show("Copying", false);
    let how = CopyFlags { archive: args.archive, follow: args.follow };
    copy(&opened.engine, &words, how, &ids)?;
    Ok(0)
}

/// The command `compose top`.
pub static TOP: Command = Command {
    name: "compose top",
    group: Group::Compose,
    usage: "[SERVICE…]",
    summary: "List the processes of a project's containers",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(NO_FLAGS, at),
    run: |call| {
        let (NoArgs, wanted) = call.parse(NO_FLAGS)?;
        let opened = Opened::existing(call)?;
        let found = opened.members(&wanted)?;
        for member in found.iter().filter(|member| member.is_alive()) {
            let table = top::table(&opened.engine, &member.view.id, &[])?;
            print(&format!("{}\n{table}\n", member.view.name))?;
        }
        Ok(0)
    },
};

#[derive(Default)]
struct PortArgs {
    protocol: Option<String>,
    index: u32,
}

static PORT_FLAGS: &[Flag<PortArgs>] = &[
    Flag::<PortArgs>::setting(
        "protocol",
        "PROTOCOL",
        "Set the protocol: tcp (default) or udp",
        |a, v| match v {
            "tcp" | "udp" => {
                a.protocol = Some(v.to_owned());
                Ok(())
            }
            _ => fail!("should be tcp or udp, not '{v}'"),
        },
    ),
    Flag::<PortArgs>::setting("index", "NUMBER", "Use the container with this number", |a, v| {
        a.index = parse_index(v)?;
        Ok(())
    }),
];

/// The command `compose port`.
pub static PORT: Command = Command {
    name: "compose port",
    group: Group::Compose,
    usage: "[FLAGS] SERVICE PORT",
    summary: "Print the host's address for a port of a service",
    examples: &[],
    operand: Operand::Nothing,
    operands: (2, 2),
    trailing: false,
    flags: |at| spec(PORT_FLAGS, at),
    run: |call| {
        let (args, words) = call.parse(PORT_FLAGS)?;
        let opened = Opened::existing(call)?;
        let member = opened.member(&words[0], args.index)?;
        let port = match &args.protocol {
            Some(protocol) => format!("{}/{protocol}", words[1]),
            None => words[1].clone(),
        };
        for line in opened.engine.ports(&member.view.name, Some(&port))? {
            print_line(&line.host.to_string())?;
        }
        Ok(0)
    },
};

/// The command `compose stats`.
pub static STATS: Command = Command {
    name: "compose stats",
    group: Group::Compose,
    usage: "[FLAGS] [SERVICE…]",
    summary: "Show the CPU, memory, network and disk use of a project's containers",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(stats::FLAGS, at),
    run: |call| {
        let (args, wanted) = call.parse(stats::FLAGS)?;
        let opened = Opened::existing(call)?;
        let mut found = opened.members(&wanted)?;
        found.retain(|member| member.is_alive());
        let names: Vec<String> = found.into_iter().map(|member| member.view.name).collect();
        if names.is_empty() {
            return call.refuse("no container of the project runs");
        }
        stats::show(call, &opened.engine, &args, &names)
    },
};

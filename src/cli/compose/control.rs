//! `compose start`, `stop`, `restart`, `kill`, `rm`, `pause`, `unpause` and `wait`: the commands
//! that change the state of a project's containers or wait for their exit. The commands act on the
//! containers of all services, or of some. Only `rm` without a service includes the containers of
//! `compose run`. Starts follow the order of the dependencies; stops follow the reverse order.

use super::super::flag::{Checker, Command, Flag, Group, MANY, Operand, spec};
use super::super::lifecycle::{NO_FLAGS, NoArgs, parse_timeout};
use super::super::output::{confirmed, print_line};
use super::super::value::process::parse_signal;
use super::super::{Invocation, Outcome};
use super::Opened;
use super::up::wait_until;
use crate::compose::hooks;
use crate::compose::members::{self, Member};
use crate::compose::up::Reported;
use crate::engine::WaitCondition;
use crate::engine::options::Signal;
use crate::engine::project::waves;
use crate::error::{Context, Result, fail};

/// Starts the containers that neither run nor wait for a restart. A container starts after the
/// containers on which it depends, and waits for the conditions of `depends_on`. Fails if there are
/// no containers, if a required condition cannot be met, or if a start or a hook fails.
fn start_all(opened: &Opened, members: Vec<Member>) -> Result<()> {
    if members.is_empty() {
        fail!("there are no containers to start; make them with mydocker compose up -d");
    }
    let session = opened.session();
    let mut reported = Reported::default();
    for wave in waves(members.clone(), |member| &member.view.labels) {
        let mut starting = Vec::new();
        for member in wave.iter().filter(|member| !member.is_alive()) {
            if let Some(service) = opened.project.get(&member.service) {
                wait_until(|| session.may_start(service, &members, &mut reported))?;
            }
            let started = opened.engine.begin_start(&member.view.id);
            starting.push((member, started.context(|| format!("service {}", member.service))?));
        }
        for (member, started) in starting {
            let started = opened.engine.end_start(started);
            started.context(|| format!("service {}", member.service))?;
            session.note("Container", &member.view.name, "Started");
            if let Some(service) = opened.project.find(&member.service) {
                hooks::post_start(&opened.engine, service, &member.view.id)?;
            }
        }
    }
    Ok(())
}

/// The command `compose start`.
pub static START: Command = Command {
    name: "compose start",
    group: Group::Compose,
    usage: "[SERVICE…]",
    summary: "Start the stopped containers of a project",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(NO_FLAGS, at),
    run: |call| {
        let (NoArgs, wanted) = call.parse(NO_FLAGS)?;
        let opened = Opened::existing(call)?;
        start_all(&opened, opened.members(&wanted)?)?;
        Ok(0)
    },
};

#[derive(Default)]
struct StopArgs {
    timeout: Option<i64>,
}

static STOP_FLAGS: &[Flag<StopArgs>] = &[Flag::<StopArgs>::setting(
    "timeout",
    "SECONDS",
    "Kill containers that do not stop in SECONDS",
    |a, v| {
        a.timeout = Some(parse_timeout(v)?);
        Ok(())
    },
)
.short('t')];

/// The command `compose stop`.
pub static STOP: Command = Command {
    name: "compose stop",
    group: Group::Compose,
    usage: "[FLAGS] [SERVICE…]",
    summary: "Stop the containers of a project",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(STOP_FLAGS, at),
    run: |call| {
        let (args, wanted) = call.parse(STOP_FLAGS)?;
        let opened = Opened::existing(call)?;
        opened.session().stop(opened.members(&wanted)?, args.timeout)?;
        Ok(0)
    },
};

#[derive(Default)]
struct RestartArgs {
    timeout: Option<i64>,
    no_deps: bool,
}

static RESTART_FLAGS: &[Flag<RestartArgs>] = &[
    Flag::<RestartArgs>::setting(
        "timeout",
        "SECONDS",
        "Kill containers that do not stop in SECONDS",
        |a, v| {
            a.timeout = Some(parse_timeout(v)?);
            Ok(())
        },
    )
    .short('t'),
    Flag::<RestartArgs>::switch(
        "no-deps",
        "Do not restart the services that depend on these by restart: true",
        |a, on| a.no_deps = on,
    ),
];

/// The command `compose restart`.
pub static RESTART: Command = Command {
    name: "compose restart",
    group: Group::Compose,
    usage: "[FLAGS] [SERVICE…]",
    summary: "Stop and start the containers of a project",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(RESTART_FLAGS, at),
    run: |call| {
        let (args, mut wanted) = call.parse(RESTART_FLAGS)?;
        let opened = Opened::existing(call)?;
        if !args.no_deps && !wanted.is_empty() {
            for service in &opened.project.services {
                let mut needs = service.depends_on.iter().filter(|need| need.restart);
                if needs.any(|need| wanted.contains(&need.service))
                    && !wanted.contains(&service.name)
                {
                    wanted.push(service.name.clone());
                }
            }
        }
        opened.session().stop(opened.members(&wanted)?, args.timeout)?;
        start_all(&opened, opened.members(&wanted)?)?;
        Ok(0)
    },
};

#[derive(Default)]
struct KillArgs {
    signal: Option<Signal>,
    remove_orphans: bool,
}

static KILL_FLAGS: &[Flag<KillArgs>] = &[
    Flag::<KillArgs>::setting("signal", "SIGNAL", "Set the signal (default KILL)", |a, v| {
        a.signal = Some(parse_signal(v)?);
        Ok(())
    })
    .checked_by(Checker::Daemon)
    .short('s'),
    Flag::<KillArgs>::switch(
        "remove-orphans",
        "Remove containers of services that the file no longer has",
        |a, on| a.remove_orphans = on,
    ),
];

/// The command `compose kill`.
pub static KILL: Command = Command {
    name: "compose kill",
    group: Group::Compose,
    usage: "[FLAGS] [SERVICE…]",
    summary: "Send a signal to the containers of a project",
    examples: &["mydocker compose kill -s HUP proxy"],
    operand: Operand::Nothing,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(KILL_FLAGS, at),
    run: |call| {
        let (args, wanted) = call.parse(KILL_FLAGS)?;
        let opened = Opened::existing(call)?;
        let session = opened.session();
        session.kill(&opened.members(&wanted)?, args.signal.unwrap_or(Signal::KILL))?;
        if args.remove_orphans {
            session.orphans(true, None)?;
        }
        Ok(0)
    },
};

#[derive(Default)]
struct RmArgs {
    force: bool,
    stop: bool,
    volumes: bool,
}

static RM_FLAGS: &[Flag<RmArgs>] = &[
    Flag::<RmArgs>::switch("force", "Do not ask", |a, on| a.force = on).short('f'),
    Flag::<RmArgs>::switch("stop", "Stop running containers first", |a, on| a.stop = on).short('s'),
    Flag::<RmArgs>::switch("volumes", "Remove the anonymous volumes too", |a, on| {
        a.volumes = on;
    })
    .short('v'),
];

/// The command `compose rm`.
pub static RM: Command = Command {
    name: "compose rm",
    group: Group::Compose,
    usage: "[FLAGS] [SERVICE…]",
    summary: "Remove the stopped containers of a project",
    examples: &["mydocker compose rm -fs web"],
    operand: Operand::Nothing,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(RM_FLAGS, at),
    run: rm,
};

fn rm(call: &Invocation) -> Outcome {
    let (args, wanted) = call.parse(RM_FLAGS)?;
    let opened = Opened::existing(call)?;
    let session = opened.session();
    let mut members = members::with_oneoffs(&opened.engine, &opened.project, &wanted)?;
    if args.stop {
        session.stop(members.clone(), None)?;
    } else {
        members.retain(|member| !member.is_alive());
    }
    if members.is_empty() {
        print_line("No stopped containers")?;
        return Ok(0);
    }
    let names: Vec<&str> = members.iter().map(|member| member.view.name.as_str()).collect();
    if args.force || confirmed(&format!("Removes {}. Go on?", names.join(", ")))? {
        session.remove(&members, args.volumes)?;
    }
    Ok(0)
}

/// The command `compose pause`.
pub static PAUSE: Command = Command {
    name: "compose pause",
    group: Group::Compose,
    usage: "[SERVICE…]",
    summary: "Pause the containers of a project",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(NO_FLAGS, at),
    run: |call| {
        let (NoArgs, wanted) = call.parse(NO_FLAGS)?;
        let opened = Opened::existing(call)?;
        let is_meant = |member: &Member| member.is_alive() && !member.is_paused();
        for member in opened.members(&wanted)?.into_iter().filter(is_meant) {
            opened.engine.pause(&member.view.id)?;
            opened.session().note("Container", &member.view.name, "Paused");
        }
        Ok(0)
    },
};

/// The command `compose unpause`.
pub static UNPAUSE: Command = Command {
    name: "compose unpause",
    group: Group::Compose,
    usage: "[SERVICE…]",
    summary: "Resume the paused containers of a project",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(NO_FLAGS, at),
    run: |call| {
        let (NoArgs, wanted) = call.parse(NO_FLAGS)?;
        let opened = Opened::existing(call)?;
        for member in opened.members(&wanted)?.into_iter().filter(Member::is_paused) {
            opened.engine.unpause(&member.view.id)?;
            opened.session().note("Container", &member.view.name, "Unpaused");
        }
        Ok(0)
    },
};

/// The command `compose wait`.
pub static WAIT: Command = Command {
    name: "compose wait",
    group: Group::Compose,
    usage: "SERVICE [SERVICE…]",
    summary: "Wait for the containers of services to exit and print their exit statuses",
    examples: &[],
    operand: Operand::Nothing,
    operands: (1, MANY),
    trailing: false,
    flags: |at| spec(NO_FLAGS, at),
    run: |call| {
        let (NoArgs, wanted) = call.parse(NO_FLAGS)?;
        let opened = Opened::existing(call)?;
        let mut waiting = Vec::new();
        for member in opened.members(&wanted)? {
            let id = &member.view.id;
            waiting.push(opened.engine.begin_wait(id, WaitCondition::NotRunning)?);
        }
        let mut status = 0;
        for waiting in waiting {
            let code = opened.engine.end_wait(waiting)?;
            print_line(&code.to_string())?;
            if status == 0 {
                status = code;
            }
        }
        Ok(status)
    },
};

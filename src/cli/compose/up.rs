//! `compose up` and `compose create`: parse the flags, get the images, then create the containers.
//! `crate::compose::up` creates and starts the containers. In the foreground
//! `crate::compose::foreground` prints their logs.

use std::io::LineWriter;
use std::time::{Duration, Instant};

use super::super::flag::{Command, Flag, Group, MANY, Operand, spec};
use super::super::lifecycle::parse_timeout;
use super::super::network::warn;
use super::super::output::Watched;
use super::super::{Invocation, Outcome};
use super::images::{ImageOptions, ensure_images, parse_policy};
use super::{Opened, is_coloured, network_options, options};
use crate::compose::follow::{Follow, StartListener, Style};
use crate::compose::foreground::{Ends, Foreground};
use crate::compose::members::{Member, Session, no_service, short_name};
use crate::compose::project::{Service, parse_scale};
use crate::compose::settings::container_name;
use crate::compose::up::{Makers, Up, UpOptions, selected};
use crate::engine::options::LogsOptions;
use crate::engine::view::ContainerId;
use crate::engine::view::{HealthStatus, Status};
use crate::error::{Error, Result, fail};
use crate::sys::stdio;
use crate::time::Instant as LogTime;

/// A container without a health check must run for this time, in nanoseconds, before `--wait`
/// counts it as started. So `--wait` does not miss a program that fails at once.
const SETTLED_NS: i64 = 500_000_000;
/// The longest pause between two checks in `wait_until`.
const MAX_PAUSE: Duration = Duration::from_millis(100);

#[derive(Default)]
struct UpArgs {
    up: UpOptions,
    images: ImageOptions,
    detach: bool,
    wait: bool,
    wait_timeout: Option<u64>,
    ends: Ends,
    no_prefix: bool,
    no_colour: bool,
    timestamps: bool,
    attached: Vec<String>,
    attach_deps: bool,
}

type F = Flag<UpArgs>;

/// All flags of `up`. `create` has only the flags from index `UP_ONLY` on.
static FLAGS: &[F] = &[
    F::switch("detach", "Run in the background", |a, on| a.detach = on).short('d'),
    F::switch("wait", "Wait until all services run and are healthy; implies -d", |a, on| {
        a.wait = on;
    }),
    F::setting("wait-timeout", "SECONDS", "Wait no longer than SECONDS", |a, v| {
        let bad = || Error::new(format!("bad number of seconds '{v}'"));
        a.wait_timeout = Some(v.parse().map_err(|_| bad())?);
        Ok(())
    }),
    F::switch("abort-on-container-exit", "Stop all containers when one exits", |a, on| {
        a.ends.on_exit = on;
    }),
    F::switch("abort-on-container-failure", "Stop all containers when one fails", |a, on| {
        a.ends.on_failure = on;
    }),
    F::setting(
        "exit-code-from",
        "SERVICE",
        "Stop all when SERVICE exits; return its status",
        |a, v| {
            a.ends.status_of = Some(v.to_owned());
            Ok(())
        },
    ),
    F::value(
        "attach",
        "SERVICE",
        "Print the logs of this service only; may be repeated",
        |a, v| {
            a.attached.push(v.to_owned());
            Ok(())
        },
    ),
    F::value("no-attach", "SERVICE", "Do not print the logs of this service", |a, v| {
        a.ends.unattached.push(v.to_owned());
        Ok(())
    }),
    F::switch("attach-dependencies", "Print the logs of dependencies too", |a, on| {
        a.attach_deps = on;
    }),
    F::switch("no-log-prefix", "Print no names before the lines", |a, on| a.no_prefix = on),
    F::switch("no-color", "Print without colours", |a, on| a.no_colour = on),
    F::switch("timestamps", "Print the time before each line", |a, on| a.timestamps = on),
    F::switch("no-start", "Create the containers without starting them", |a, on| {
        a.up.no_start = on
    }),
    F::switch("no-deps", "Leave out what the services depend on", |a, on| a.up.no_deps = on),
    F::switch("always-recreate-deps", "Recreate dependencies too", |a, on| {
        a.up.recreate_dependencies = on;
    }),
    F::switch("build", "Build images even if they exist", |a, on| a.images.build = on),
    F::switch("no-build", "Build no image", |a, on| a.images.no_build = on),
    F::setting("pull", "WHEN", "Pull images always, missing (default) or never", |a, v| {
        a.images.policy = Some(parse_policy(v)?);
        Ok(())
    }),
    F::switch("quiet-pull", "Print no progress of pulls", |a, on| a.images.quiet = on),
    F::switch("force-recreate", "Recreate all containers", |a, on| a.up.force_recreate = on),
    F::switch("no-recreate", "Keep containers whose configuration changed", |a, on| {
        a.up.no_recreate = on;
    }),
    F::switch("renew-anon-volumes", "Give recreated containers new anonymous volumes", |a, on| {
        a.up.renew_volumes = on;
    })
    .short('V'),
    F::switch(
        "remove-orphans",
        "Remove containers of services that the file no longer has",
        |a, on| {
            a.up.remove_orphans = on;
        },
    ),
    F::value("scale", "SERVICE=NUMBER", "Run NUMBER replicas of a service", |a, v| {
        let Some((service, number)) = v.split_once('=') else {
            fail!("bad scale '{v}': write SERVICE=NUMBER, as in web=3");
        };
        a.up.scales.push((service.to_owned(), parse_scale(number)?));
        Ok(())
    }),
    F::setting("timeout", "SECONDS", "Kill containers that do not stop in SECONDS", |a, v| {
        a.up.timeout = Some(parse_timeout(v)?);
        Ok(())
    })
    .short('t'),
];

const UP_ONLY: usize = 15;

static CREATE_FLAGS: &[F] = FLAGS.split_at(UP_ONLY).1;

/// The command `compose up`.
pub static UP: Command = Command {
    name: "compose up",
    group: Group::Compose,
    usage: "[FLAGS] [SERVICE…]",
    summary: "Create and start the services of a project",
    examples: &["mydocker compose up -d", "mydocker compose up -d --scale worker=3"],
    operand: Operand::Nothing,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(FLAGS, at),
    run: up,
};

/// The command `compose create`.
pub static CREATE: Command = Command {
    name: "compose create",
    group: Group::Compose,
    usage: "[FLAGS] [SERVICE…]",
    summary: "Create the containers of a project without starting them",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(CREATE_FLAGS, at),
    run: |call| {
        let (mut args, wanted) = call.parse(CREATE_FLAGS)?;
        args.up.no_start = true;
        args.detach = true;
        bring_up(call, args, wanted)
    },
};

fn up(call: &Invocation) -> Outcome {
    let (args, wanted) = call.parse(FLAGS)?;
    bring_up(call, args, wanted)
}

fn bring_up(call: &Invocation, mut args: UpArgs, wanted: Vec<String>) -> Outcome {
    if args.up.force_recreate && args.up.no_recreate {
        return call.refuse("--force-recreate and --no-recreate contradict each other");
    }
    if args.images.build && args.images.no_build {
        return call.refuse("--build and --no-build contradict each other");
    }
    let opened = Opened::wanted(call, &wanted)?;
    args.up.wanted = wanted;
    let services = selected(&opened.project, &args.up);
    ensure_images(&opened.engine, &opened.project, &services, &args.images)?;
    if services.iter().any(|service| service.node.given("networks").is_some()) {
        warn(&opened.engine);
    }
    let session = opened.session();
    let container = |service: &Service| options(&opened.project, service);
    let makers = Makers { container: &container, network: &network_options };
    let started = LogTime::now();
    let ends = std::mem::take(&mut args.ends);
    let mut up = Up::begin(&session, &makers, &args.up)?;
    if !args.detach && !args.wait && !args.up.no_start {
        return in_foreground(call, &session, up, &args, ends, started, &services);
    }
    finish(&mut up)?;
    if args.wait && !args.up.no_start {
        await_all(&opened, &up, args.wait_timeout)?;
    }
    Ok(0)
}

/// Calls `is_done` until it returns true, with pauses of 1 to 100 milliseconds. Returns the first
/// error of `is_done`.
pub fn wait_until(mut is_done: impl FnMut() -> Result<bool>) -> Result<()> {
    let mut pause = Duration::from_millis(1);
    while !is_done()? {
        std::thread::sleep(pause);
        pause = (pause * 2).min(MAX_PAUSE);
    }
    Ok(())
}

/// Advances `up` until it is done, without printing logs. Returns the first error.
pub fn finish(up: &mut Up<'_>) -> Result<()> {
    wait_until(|| {
        while !up.is_done() && !up.advance()?.is_empty() {}
        Ok(up.is_done())
    })
}

fn in_foreground(
    call: &Invocation,
    session: &Session<'_>,
    up: Up<'_>,
    args: &UpArgs,
    mut ends: Ends,
    started: LogTime,
    services: &[&Service],
) -> Outcome {
    let is_attached = |service: &Service| match args.attached.as_slice() {
        _ if service.node.given("attach").is_some_and(|_| !service.node.get_bool("attach")) => {
            false
        }
        [] => {
            args.attach_deps || args.up.wanted.is_empty() || args.up.wanted.contains(&service.name)
        }
        attached => attached.contains(&service.name),
    };
    let others = services.iter().filter(|service| !is_attached(service));
    ends.unattached.extend(others.map(|service| service.name.clone()));
    // As in Docker Compose, `up` watches for the end of a service that the user named, even if the
    // logs of this service are not printed. If the user named no service and no logs are printed,
    // `up` watches all services.
    let is_silent = |service: &Service| ends.unattached.contains(&service.name);
    let all_count = args.up.wanted.is_empty() && services.iter().all(|service| is_silent(service));
    let is_unwatched = |service: &&&Service| {
        !all_count
            && is_silent(service)
            && !args.up.wanted.contains(&service.name)
            && ends.status_of.as_ref() != Some(&service.name)
    };
    let unwatched = services.iter().filter(is_unwatched);
    ends.unwatched = unwatched.map(|service| service.name.clone()).collect();
    ends.timeout = args.up.timeout;
    if let Some(name) = &ends.status_of
        && !services.iter().any(|service| service.name == *name)
    {
        return Err(no_service(session.project, name).into());
    }
    let mut names = Vec::new();
    for service in services {
        let name = container_name(session.project, service, service.scale.max(1));
        names.push(short_name(&session.project.name, &name));
    }
    let style =
        Style { prefixed: !args.no_prefix, coloured: !args.no_colour && is_coloured(call)? };
    // Print no output that a container wrote before `started`.
    let options = LogsOptions {
        follow: true,
        timestamps: args.timestamps,
        since: Some(started),
        ..LogsOptions::default()
    };
    let mut follow = Follow::new(session.engine, options, style, names.iter().map(String::as_str));
    let accepts = |member: &Member| {
        !member.is_oneoff
            && services.iter().any(|service| service.name == member.service)
            && !ends.unwatched.contains(&member.service)
    };
    follow.silence(&ends.unattached);
    follow.expect(StartListener::listen(session.engine, &session.project.name, &accepts)?);
    let mut out = Watched::new(LineWriter::new(stdio::stdout()));
    let mut err = Watched::new(stdio::stderr());
    let foreground = Foreground { session, up, follow, ends: &ends };
    match foreground.run(&mut out, &mut err) {
        // The reader closed the pipe, as in `mydocker compose up | head`.
        Err(_) if out.closed || err.closed => Ok(0),
        status => Ok(status?),
    }
}

/// Waits until every container is ready. A container with a health check is ready when the check
/// reports healthy. A container without a check is ready when it has run for `SETTLED_NS`. A
/// container that exited with status 0 is ready too. Fails if a container is unhealthy, failed or
/// was removed, or after `limit` seconds.
fn await_all(opened: &Opened, up: &Up<'_>, limit: Option<u64>) -> Result<()> {
    let deadline = limit.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let session = opened.session();
    let mut waiting: Vec<(&str, &ContainerId)> = up.ids().collect();
    wait_until(|| {
        let mut later = Vec::new();
        for (service, id) in std::mem::take(&mut waiting) {
            let Some(view) = opened.engine.look_at(id) else {
                fail!("service {service}: its container was removed");
            };
            match (&view.status, view.health) {
                (Status::Running { .. }, Some(HealthStatus::Unhealthy)) => {
                    fail!("service {service}: container {} is unhealthy", view.name)
                }
                (Status::Running { .. }, Some(HealthStatus::Starting))
                | (Status::Restarting { .. } | Status::Created, _) => later.push((service, id)),
                (Status::Running { started, .. }, None)
                    if (0..SETTLED_NS).contains(&(LogTime::now().0 - started.0)) =>
                {
                    later.push((service, id));
                }
                (Status::Running { .. }, _) => session.note("Container", &view.name, "Healthy"),
                (Status::Exited { code: 0, .. }, _) => {
                    session.note("Container", &view.name, "Exited");
                }
                (Status::Exited { code, .. }, _) => {
                    fail!("service {service}: container {} exited with {code}", view.name)
                }
                (Status::Dead { reason }, _) => fail!("service {service}: {reason}"),
            }
        }
        if later.is_empty() {
            return Ok(true);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let names: Vec<&str> = later.iter().map(|(service, _)| *service).collect();
            fail!("these services are not healthy in time: {}", names.join(", "));
        }
        waiting = later;
        Ok(false)
    })
}

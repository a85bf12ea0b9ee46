//! The commands start, stop, restart, kill, pause, unpause, attach, wait, rename and rm. Most take
//! several containers and handle each in turn. A failure is reported on its own line, and the exit
//! status is then 1. stop, restart, kill and rm -f signal all containers before they wait for the
//! first, so that the containers exit at the same time.

use super::flag::{Checker, Command, Flag, Group, MANY, Operand, spec};
use super::output::print_line;
use super::value::process::{parse_detach_keys, parse_signal};
use super::{Invocation, Outcome};
use crate::engine::options::RemoveOptions;
use crate::engine::options::{AttachOptions, Signal};
use crate::engine::{StopMark, WaitCondition};
use crate::error::{Error, Result, fail};

#[derive(Default)]
struct StartArgs {
    attach: bool,
    interactive: bool,
    detach_keys: Option<Vec<u8>>,
    no_sig_proxy: bool,
}

static START_FLAGS: &[Flag<StartArgs>] = &[
    Flag::<StartArgs>::switch("attach", "Attach to the output and wait for the exit", |a, on| {
        a.attach = on;
    })
    .short('a'),
    Flag::<StartArgs>::switch("interactive", "Attach stdin", |a, on| {
        a.interactive = on;
    })
    .short('i'),
    Flag::<StartArgs>::setting(
        "detach-keys",
        "KEYS",
        "Set the keys that detach (default ctrl-p,ctrl-q)",
        |a, v| {
            a.detach_keys = Some(parse_detach_keys(v)?);
            Ok(())
        },
    )
    .checked_by(Checker::Daemon),
    Flag::<StartArgs>::switch(
        "sig-proxy",
        "Forward signals to the process (default true)",
        |a, on| {
            a.no_sig_proxy = !on;
        },
    ),
];

/// The command `start`.
pub static START: Command = Command {
    name: "start",
    group: Group::Run,
    usage: "[FLAGS] CONTAINER [CONTAINER…]",
    summary: "Start created or stopped containers",
    examples: &["mydocker start -ai shell"],
    operand: Operand::Container,
    operands: (1, MANY),
    trailing: false,
    flags: |at| spec(START_FLAGS, at),
    run: start,
};

fn start(call: &Invocation) -> Outcome {
    let (args, names) = call.parse(START_FLAGS)?;
    let engine = call.engine()?;
    if !args.attach && !args.interactive {
        return call.each_printed(&names, |name| engine.start(name));
    }
    let [name] = names.as_slice() else {
        return call
            .refuse("only one container can be attached to; start the others without -a and -i");
    };
    let options = AttachOptions {
        stdin: args.interactive,
        sig_proxy: !args.no_sig_proxy,
        ..detached_by(args.detach_keys)
    };
    Ok(engine.start_attached(name, &options)?)
}

/// Returns the default options for attaching the terminal, with `keys` as the detach keys if they
/// are given.
pub fn detached_by(keys: Option<Vec<u8>>) -> AttachOptions {
    let default = AttachOptions::default();
    match keys {
        Some(detach_keys) => AttachOptions { detach_keys, ..default },
        None => default,
    }
}

#[derive(Default)]
struct AttachArgs {
    no_stdin: bool,
    no_sig_proxy: bool,
    detach_keys: Option<Vec<u8>>,
}

static ATTACH_FLAGS: &[Flag<AttachArgs>] = &[
    Flag::<AttachArgs>::switch("no-stdin", "Do not attach stdin", |a, on| a.no_stdin = on),
    Flag::<AttachArgs>::switch(
        "sig-proxy",
        "Forward signals to the process (default true)",
        |a, on| {
            a.no_sig_proxy = !on;
        },
    ),
    Flag::<AttachArgs>::setting(
        "detach-keys",
        "KEYS",
        "Set the keys that detach (default ctrl-p,ctrl-q)",
        |a, v| {
            a.detach_keys = Some(parse_detach_keys(v)?);
            Ok(())
        },
    )
    .checked_by(Checker::Daemon),
];

/// The command `attach`.
pub static ATTACH: Command = Command {
    name: "attach",
    group: Group::Run,
    usage: "[FLAGS] CONTAINER",
    summary: "Attach this terminal to a running container",
    examples: &[],
    operand: Operand::Container,
    operands: (1, 1),
    trailing: false,
    flags: |at| spec(ATTACH_FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(ATTACH_FLAGS)?;
        let options = AttachOptions {
            stdin: !args.no_stdin,
            sig_proxy: !args.no_sig_proxy,
            ..detached_by(args.detach_keys)
        };
        Ok(call.engine()?.attach(&names[0], &options)?)
    },
};

#[derive(Default)]
struct StopArgs {
    timeout: Option<i64>,
    signal: Option<Signal>,
}

fn set_timeout(args: &mut StopArgs, value: &str) -> Result<()> {
    args.timeout = Some(parse_timeout(value)?);
    Ok(())
}

/// Parses the seconds between the stop signal and SIGKILL; -1 means no limit. Fails on any text
/// that is not a number from -1 to 2147483647.
pub fn parse_timeout(value: &str) -> Result<i64> {
    let seconds = value.parse().ok().filter(|seconds| (-1..=i64::from(i32::MAX)).contains(seconds));
    seconds.ok_or_else(|| {
        Error::new(format!(
            "bad number of seconds '{value}': write 0 or more, or -1 to wait without a limit"
        ))
    })
}

static STOP_FLAGS: &[Flag<StopArgs>] = &[
    Flag::<StopArgs>::value(
        "timeout",
        "SECONDS",
        "Kill after SECONDS (default 10; -1: never)",
        set_timeout,
    )
    .short('t')
    .also(&["--time"]),
    Flag::<StopArgs>::setting(
        "signal",
        "SIGNAL",
        "Set the signal that asks the process to exit",
        |a, v| {
            a.signal = Some(parse_signal(v)?);
            Ok(())
        },
    )
    .checked_by(Checker::Daemon)
    .short('s'),
];

/// The command `stop`.
pub static STOP: Command = Command {
    name: "stop",
    group: Group::Run,
    usage: "[FLAGS] CONTAINER [CONTAINER…]",
    summary: "Stop containers, and kill those that do not exit in time",
    examples: &["mydocker stop -t 3 web"],
    operand: Operand::Container,
    operands: (1, MANY),
    trailing: false,
    flags: |at| spec(STOP_FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(STOP_FLAGS)?;
        let engine = call.engine()?;
        call.each_together(
            &names,
            |name| engine.ask_to_stop(name, args.timeout, args.signal, StopMark::User),
            |stopping| engine.await_exits(stopping),
            |name, stopping| {
                engine.end_stop(stopping)?;
                print_line(name)
            },
        )
    },
};

/// The command `restart`.
pub static RESTART: Command = Command {
    name: "restart",
    group: Group::Run,
    usage: "[FLAGS] CONTAINER [CONTAINER…]",
    summary: "Stop and start containers",
    examples: &[],
    operand: Operand::Container,
    operands: (1, MANY),
    trailing: false,
    flags: |at| spec(STOP_FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(STOP_FLAGS)?;
        let engine = call.engine()?;
        call.each_together(
            &names,
            |name| engine.ask_to_stop(name, args.timeout, args.signal, StopMark::Restart),
            |stopping| engine.await_exits(stopping),
            |name, stopping| {
                engine.end_restart(stopping)?;
                print_line(name)
            },
        )
    },
};

#[derive(Default)]
struct KillArgs {
    signal: Option<Signal>,
}

static KILL_FLAGS: &[Flag<KillArgs>] = &[Flag::<KillArgs>::setting(
    "signal",
    "SIGNAL",
    "Set the signal to send (default KILL)",
    |a, v| {
        a.signal = Some(parse_signal(v)?);
        Ok(())
    },
)
.checked_by(Checker::Daemon)
.short('s')];

/// The command `kill`.
pub static KILL: Command = Command {
    name: "kill",
    group: Group::Run,
    usage: "[FLAGS] CONTAINER [CONTAINER…]",
    summary: "Send a signal to containers (default SIGKILL)",
    examples: &["mydocker kill -s HUP web"],
    operand: Operand::Container,
    operands: (1, MANY),
    trailing: false,
    flags: |at| spec(KILL_FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(KILL_FLAGS)?;
        let engine = call.engine()?;
        let signal = args.signal.unwrap_or(Signal::KILL);
        call.each_together(
            &names,
            |name| engine.kill(name, signal),
            |_| {},
            |name, killed| {
                killed.map_or(Ok(()), |record| engine.await_cleanup(&record))?;
                print_line(name)
            },
        )
    },
};

/// The arguments of a command without flags.
#[derive(Default)]
pub struct NoArgs;

/// The table of a command without flags.
pub static NO_FLAGS: &[Flag<NoArgs>] = &[];

/// The command `pause`.
pub static PAUSE: Command = Command {
    name: "pause",
    group: Group::Run,
    usage: "CONTAINER [CONTAINER…]",
    summary: "Pause all processes of containers",
    examples: &[],
    operand: Operand::Container,
    operands: (1, MANY),
    trailing: false,
    flags: |at| spec(NO_FLAGS, at),
    run: |call| {
        let (_, names) = call.parse(NO_FLAGS)?;
        let engine = call.engine()?;
        call.each_printed(&names, |name| engine.pause(name))
    },
};

/// The command `unpause`.
pub static UNPAUSE: Command = Command {
    name: "unpause",
    group: Group::Run,
    usage: "CONTAINER [CONTAINER…]",
    summary: "Resume paused containers",
    examples: &[],
    operand: Operand::Container,
    operands: (1, MANY),
    trailing: false,
    flags: |at| spec(NO_FLAGS, at),
    run: |call| {
        let (_, names) = call.parse(NO_FLAGS)?;
        let engine = call.engine()?;
        call.each_printed(&names, |name| engine.unpause(name))
    },
};

#[derive(Default)]
struct WaitArgs {
    condition: WaitCondition,
}

static WAIT_FLAGS: &[Flag<WaitArgs>] = &[Flag::<WaitArgs>::setting(
    "condition",
    "CONDITION",
    "Wait until not-running (default), next-exit, removed or healthy",
    |a, v| {
        a.condition = match v {
            "not-running" => WaitCondition::NotRunning,
            "next-exit" => WaitCondition::NextExit,
            "removed" => WaitCondition::Removed,
            "healthy" => WaitCondition::Healthy,
            _ => fail!("bad condition '{v}': write not-running, next-exit, removed or healthy"),
        };
        Ok(())
    },
)];

/// The command `wait`.
pub static WAIT: Command = Command {
    name: "wait",
    group: Group::Run,
    usage: "[FLAGS] CONTAINER [CONTAINER…]",
    summary: "Wait for containers to exit and print their exit statuses",
    examples: &["mydocker wait --condition healthy db"],
    operand: Operand::Container,
    operands: (1, MANY),
    trailing: false,
    flags: |at| spec(WAIT_FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(WAIT_FLAGS)?;
        let engine = call.engine()?;
        call.each_together(
            &names,
            |name| engine.begin_wait(name, args.condition),
            |_| {},
            |_, waiting| {
                let code = engine.end_wait(waiting)?;
                match args.condition {
                    WaitCondition::Healthy => print_line("healthy"),
                    _ => print_line(&code.to_string()),
                }
            },
        )
    },
};

/// The command `rename`.
pub static RENAME: Command = Command {
    name: "rename",
    group: Group::Run,
    usage: "CONTAINER NEW_NAME",
    summary: "Rename a container",
    examples: &[],
    operand: Operand::Container,
    operands: (2, 2),
    trailing: false,
    flags: |at| spec(NO_FLAGS, at),
    run: |call| {
        let (_, names) = call.parse(NO_FLAGS)?;
        let new = super::value::name::parse_container_name(&names[1])?;
        call.engine()?.rename(&names[0], new)?;
        Ok(0)
    },
};

#[derive(Default)]
struct RmArgs {
    force: bool,
    volumes: bool,
}

static RM_FLAGS: &[Flag<RmArgs>] = &[
    Flag::<RmArgs>::switch("force", "Kill a running container, then remove it", |a, on| {
        a.force = on
    })
    .short('f'),
    Flag::<RmArgs>::switch("volumes", "Remove the anonymous volumes too", |a, on| a.volumes = on)
        .short('v'),
];

/// The command `rm`.
pub static RM: Command = Command {
    name: "rm",
    group: Group::Run,
    usage: "[FLAGS] CONTAINER [CONTAINER…]",
    summary: "Remove containers and the files written in them",
    examples: &["mydocker rm -f $(mydocker ps -aq)"],
    operand: Operand::Container,
    operands: (1, MANY),
    trailing: false,
    flags: |at| spec(RM_FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(RM_FLAGS)?;
        let engine = call.engine()?;
        if args.force {
            return call.each_together(
                &names,
                // Ignore a failure here: `remove_killed` kills the container if it still runs, and
                // a failure of `remove_killed` is reported.
                |name| Ok(engine.kill_before_removal(name).unwrap_or(None)),
                |_| {},
                |name, killed| {
                    let removed = engine.remove_killed(name, killed, args.volumes);
                    call.ignore_absent(true, removed.and_then(|()| print_line(name)))
                },
            );
        }
        let options = RemoveOptions { volumes: args.volumes, ..RemoveOptions::default() };
        call.each_printed(&names, |name| engine.remove(name, options))
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts() {
        assert_eq!(parse_timeout("-1").unwrap(), -1);
        assert_eq!(parse_timeout("30").unwrap(), 30);
        for bad in ["", "-2", "1.5", "10s", "99999999999"] {
            assert!(parse_timeout(bad).is_err(), "{bad}");
        }
    }
}

//! The command `exec`: runs another process in a running container. The flags are a subset of
//! `run`'s flags. `-e` overrides the environment files, wherever it stands on the command line.
//! `engine::exec` enters the container.

use super::flag::{Category, Checker, Command, Flag, Group, MANY, Operand, spec};
use super::value::env::{parse_env, read_env_file};
use super::value::process::{parse_detach_keys, parse_workdir};
use super::{EXIT_FAILURE, Invocation, Outcome};
use crate::engine::Engine;
use crate::engine::options::{AttachOptions, ExecOptions};
use crate::error::Error;

#[derive(Default)]
struct ExecArgs {
    /// `options.env` has the variables of the environment files, until `resolve` appends those of
    /// `-e`.
    options: ExecOptions,
    /// The variables of `-e`.
    env: Vec<String>,
    detach_keys: Option<Vec<u8>>,
}

static FLAGS: &[Flag<ExecArgs>] = &[
    Flag::<ExecArgs>::switch("interactive", "Keep stdin open", |a, on| {
        a.options.interactive = on;
    })
    .short('i'),
    Flag::<ExecArgs>::switch("tty", "Allocate a terminal", |a, on| a.options.tty = on).short('t'),
    Flag::<ExecArgs>::switch("detach", "Run in the background", |a, on| {
        a.options.detach = on;
    })
    .short('d')
    .also(&["--d"]),
    Flag::<ExecArgs>::value(
        "env",
        "NAME[=VALUE]",
        "Set a variable, or copy the caller's",
        |a, v| {
            a.env.push(parse_env(v)?);
            Ok(())
        },
    )
    .short('e')
    .also(&["--e"]),
    Flag::<ExecArgs>::value(
        "env-file",
        "FILE",
        "Set the variables of FILE, one NAME=VALUE per line",
        |a, v| {
            a.options.env.extend(read_env_file(v)?);
            Ok(())
        },
    )
    .checked_by(Checker::Daemon),
    Flag::<ExecArgs>::setting(
        "workdir",
        "DIR",
        "Set the working directory in the container",
        |a, v| {
            a.options.workdir = Some(parse_workdir(v)?);
            Ok(())
        },
    )
    .checked_by(Checker::Runtime)
    .short('w'),
    Flag::<ExecArgs>::setting("user", "USER[:GROUP]", "Run as USER, by name or number", |a, v| {
        a.options.user = Some(v.to_owned());
        Ok(())
    })
    .short('u'),
    Flag::<ExecArgs>::switch("privileged", "Give all capabilities", |a, on| {
        a.options.privileged = on
    }),
    Flag::<ExecArgs>::setting(
        "detach-keys",
        "KEYS",
        "Set the keys that detach (default ctrl-p,ctrl-q)",
        |a, v| {
            a.detach_keys = Some(parse_detach_keys(v)?);
            Ok(())
        },
    )
    .checked_by(Checker::Daemon),
    Flag::<ExecArgs>::switch("it", "Same as -i -t", |a, on| {
        a.options.interactive = on;
        a.options.tty = on;
    })
    .also(&["--ti"])
    .under(Category::Tutorial),
];

/// The command `exec`.
pub static EXEC: Command = Command {
    name: "exec",
    group: Group::Run,
    usage: "[FLAGS] CONTAINER COMMAND [ARG…]",
    summary: "Run a command in a running container",
    examples: &["mydocker exec -it web sh", "mydocker exec -e DEBUG=1 -w /srv web ls -l"],
    operand: Operand::Container,
    operands: (2, MANY),
    trailing: true,
    flags: |at| spec(FLAGS, at),
    run: exec,
};

fn exec(call: &Invocation) -> Outcome {
    let (args, operands) = call.parse(FLAGS)?;
    if !args.env.is_empty() {
        Engine::hide_variables();
    }
    let options = resolve(args, operands);
    // As in Docker, every failure of `Engine::exec` has the status 1 if `-d` is given.
    let status = |error: Error| if options.detach { error.exit_with(EXIT_FAILURE) } else { error };
    Ok(call.engine()?.exec(&options).map_err(status)?)
}

fn resolve(args: ExecArgs, operands: Vec<String>) -> ExecOptions {
    let mut options = args.options;
    let mut operands = operands.into_iter();
    options.container = operands.next().unwrap_or_default();
    options.command = operands.collect();
    options.env.extend(args.env);
    options.detach_keys = args.detach_keys.unwrap_or(AttachOptions::default().detach_keys);
    options
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    #[test]
    fn flags_end_at_the_container() {
        let words: Vec<String> = "-it -e A=1 -w /x -u root --privileged web ls -l"
            .split(' ')
            .map(str::to_owned)
            .collect();
        let mut args = ExecArgs::default();
        let operands = parse(&EXEC, FLAGS, &mut args, &words).ok().unwrap();
        let options = resolve(args, operands);
        assert!(options.interactive && options.tty && options.privileged && !options.detach);
        assert_eq!(options.container, "web");
        assert_eq!(options.command, ["ls", "-l"]);
        assert_eq!(options.env, ["A=1"]);
        assert_eq!(options.detach_keys, [0x10, 0x11]);
    }
}

//! Turns argv into a command's arguments and its operands, by its table of flags.
//!
//! lexopt splits argv; the rules are Docker's (pflag): `--name x`, `--name=x`, `-e x`, `-ex`,
//! bundled switches `-itd`, `--rm=false`. If a flag needs a value and its token has none, the next
//! argument is the value, even if that argument starts with a dash. `--` ends the flags. If the
//! command is `trailing`, such as `run` and `exec`, all arguments after the first operand are
//! operands.
//!
//! Before lexopt reads a token as a bundle of letters, the token is compared with the flags'
//! further spellings, which are whole tokens (`-name`, `--network`).

use std::ffi::OsString;

use lexopt::{Arg, Parser};

use super::flag::{Checker, Command, Flag, FlagSpec};
use super::{EXIT_BAD_TEMPLATE, EXIT_FAILURE, Failure};
use crate::engine::options::truth;
use crate::error::{Context, EXIT_ENGINE, EXIT_NOT_EXECUTABLE, Error, Result, fail};
use crate::suggest::nearest;

/// One flag as it was typed.
struct Occurrence {
    /// The flag's index in the table.
    flag: usize,
    /// The flag's spelling, for messages.
    name: String,
    /// The value as [`Flag::set`] takes it.
    value: String,
}

/// Parses `argv` into `args` and returns the operands. Fails on an unknown flag, a missing or bad
/// value or a wrong number of operands. Returns `Failure::Help` for `--help`, and for `-h` if the
/// command has no flag `-h`.
pub fn parse<A>(
    command: &Command,
    flags: &'static [Flag<A>],
    args: &mut A,
    argv: &[String],
) -> Result<Vec<String>, Failure> {
    let operands = split(command, flags, args, argv)?;
    check_count(command, &operands)?;
    Ok(operands)
}

/// Like `parse`, but accepts any number of operands.
pub fn split<A>(
    command: &Command,
    flags: &'static [Flag<A>],
    args: &mut A,
    argv: &[String],
) -> Result<Vec<String>, Failure> {
    debug_assert_eq!(command.specs().len(), flags.len(), "{} has another table", command.name);
    // Only this closure depends on the type of the arguments; `read` works on specs.
    read(command, argv, &mut |flag, value| flags[flag].set(args, value))
}

/// Passes each typed flag to `update`, by its index in the table. Skips an empty value if the flag
/// ignores empty values. Returns the operands.
fn read(
    command: &Command,
    argv: &[String],
    update: &mut dyn FnMut(usize, &str) -> Result<()>,
) -> Result<Vec<String>, Failure> {
    let specs = command.specs();
    let (occurrences, operands) = scan(&specs, command.trailing, argv)?;
    for Occurrence { flag, name, value } in occurrences {
        if specs[flag].ignores_empty && value.is_empty() {
            continue;
        }
        update(flag, &value).context(|| name).map_err(|error| {
            let checker = if error.is_daemon() { Checker::Daemon } else { specs[flag].checker };
            Failure::Usage(error.exit_with(status_of_bad(command.name, checker, &value)))
        })?;
    }
    Ok(operands)
}

/// Docker's exit status of `command` if `checker` refuses `value`. `run` exits with 125 for each
/// bad value.
fn status_of_bad(command: &str, checker: Checker, value: &str) -> u8 {
    let is_number = |value: &str| value.starts_with(|first: char| first.is_ascii_digit());
    let is_late = match checker {
        _ if command == "run" => false,
        Checker::Runtime => return EXIT_NOT_EXECUTABLE,
        Checker::Template => return EXIT_BAD_TEMPLATE,
        Checker::Client => false,
        Checker::Daemon => true,
        Checker::DaemonIfPair => value.contains('='),
        Checker::DaemonIfOption => value.contains(['=', ':']),
        Checker::DaemonIfNumber => is_number(value.trim_start_matches('-')),
        Checker::DaemonIfTime => is_number(value),
    };
    if is_late { EXIT_FAILURE } else { EXIT_ENGINE }
}

fn check_count(command: &Command, operands: &[String]) -> Result<(), Failure> {
    let (least, most) = command.operands;
    if operands.len() < least {
        return Err(Failure::Usage(missing(command, operands.len())));
    }
    if let Some(extra) = operands.get(most) {
        return Err(usage(format!("unexpected argument '{extra}'"), command));
    }
    Ok(())
}

/// Splits argv into the typed flags, in order, and the operands.
fn scan(
    specs: &[&'static FlagSpec],
    trailing: bool,
    argv: &[String],
) -> Result<(Vec<Occurrence>, Vec<String>), Failure> {
    let (mut occurrences, mut operands) = (Vec::new(), Vec::new());
    let mut parser = Parser::from_args(argv);
    // The token that lexopt reads, for messages about one of its letters.
    let mut token = String::new();
    loop {
        let mut is_first = false;
        if let Some(mut rest) = parser.try_raw_args() {
            let Some(next) = rest.peek() else { break };
            token = text(next.to_owned());
            is_first = true;
            if token == "--" {
                operands.extend(rest.skip(1).map(text));
                break;
            }
            let (head, value) = match token.split_once('=') {
                Some((head, value)) => (head, Some(value.to_owned())),
                None => (token.as_str(), None),
            };
            if let Some(flag) = specs.iter().position(|spec| spec.also.contains(&head)) {
                rest.next();
                occurrences.push(occurrence(specs, flag, head.to_owned(), value, &mut parser)?);
                continue;
            }
        }
        match parser.next() {
            Ok(None) => break,
            Ok(Some(Arg::Value(operand))) => {
                operands.push(text(operand));
                if trailing && let Some(rest) = parser.try_raw_args() {
                    operands.extend(rest.map(text));
                }
            }
            Ok(Some(Arg::Long(long))) => {
                let name = format!("--{long}");
                let Some(flag) = specs.iter().position(|spec| spec.long == long) else {
                    return Err(if long == "help" {
                        Failure::Help
                    } else {
                        Failure::Usage(unknown(specs, &name))
                    });
                };
                let value = parser.optional_value().map(text);
                occurrences.push(occurrence(specs, flag, name, value, &mut parser)?);
            }
            Ok(Some(Arg::Short(letter))) => {
                let Some(flag) = specs.iter().position(|spec| spec.short == Some(letter)) else {
                    return Err(no_such_letter(specs, letter, is_first, &token));
                };
                let is_switch = specs[flag].value.is_none();
                // The rest of a bundle holds more switches, or the value of its last flag.
                let value = if is_switch { None } else { parser.optional_value().map(text) };
                occurrences.push(occurrence(
                    specs,
                    flag,
                    format!("-{letter}"),
                    value,
                    &mut parser,
                )?);
            }
            // lexopt returns this error for a switch with a value, as in `-t=false`.
            Err(lexopt::Error::UnexpectedValue { option, value }) => {
                let on = parse_bool(&option, &text(value)).map_err(Failure::Usage)?;
                if let Some(last) = occurrences.last_mut() {
                    last.value = on.to_string();
                }
            }
            Err(error) => return Err(Failure::Usage(Error::new(error.to_string()))),
        }
    }
    Ok((occurrences, operands))
}

/// Converts an argument back to text. The arguments came as text, so nothing is lost.
fn text(argument: OsString) -> String {
    argument.to_string_lossy().into_owned()
}

/// Returns the error for too few operands; `count` is the number of operands that were given. The
/// error shows the usage line.
pub fn missing(command: &Command, count: usize) -> Error {
    let name = command
        .usage
        .split(' ')
        .filter(|word| !word.starts_with('[') && !word.ends_with(']'))
        .nth(count)
        .unwrap_or("argument");
    Error::new(format!(
        "missing {}; usage: mydocker {} {}",
        name.trim_end_matches('…'),
        command.name,
        command.usage
    ))
    .exit_with(EXIT_FAILURE)
}

fn usage(message: String, command: &Command) -> Failure {
    let line = format!("{message}; usage: mydocker {} {}", command.name, command.usage);
    Failure::Usage(Error::new(line.trim_end().to_owned()).exit_with(EXIT_FAILURE))
}

/// Returns a flag with its value: the value in the flag's token, or otherwise the next argument. A
/// switch without a value gets `true`.
fn occurrence(
    specs: &[&'static FlagSpec],
    flag: usize,
    name: String,
    value: Option<String>,
    parser: &mut Parser,
) -> Result<Occurrence, Failure> {
    let read = || -> Result<String> {
        Ok(match (specs[flag].value, value) {
            (None, None) => true.to_string(),
            (None, Some(value)) => parse_bool(&name, &value)?.to_string(),
            (Some(_), Some(value)) => value,
            (Some(what), None) => match parser.value() {
                Ok(next) => text(next),
                Err(_) => fail!("flag '{name}' needs a value: {name} {what}"),
            },
        })
    };
    let value = read().map_err(Failure::Usage)?;
    Ok(Occurrence { flag, name, value })
}

/// Returns the failure for a letter that is not a flag, or `Failure::Help` for `-h`. `is_first`
/// says whether the letter is the first of its token.
fn no_such_letter(
    specs: &[&'static FlagSpec],
    letter: char,
    is_first: bool,
    token: &str,
) -> Failure {
    let head = token.split('=').next().unwrap_or(token);
    match (head, is_first) {
        ("-h", _) => Failure::Help,
        (_, true) => Failure::Usage(unknown(specs, head)),
        (_, false) => Failure::Usage(Error::new(format!("unknown flag '-{letter}' in '{head}'"))),
    }
}

/// Parses a truth value as Go does. Fails on any other text; the error names `name`.
pub fn parse_bool(name: &str, value: &str) -> Result<bool> {
    match truth(value) {
        Some(value) => Ok(value),
        None => fail!("{name}: '{value}' is neither true nor false"),
    }
}

fn unknown(specs: &[&'static FlagSpec], head: &str) -> Error {
    let mut known: Vec<String> = Vec::new();
    for spec in specs {
        known.push(format!("--{}", spec.long));
        known.extend(spec.also.iter().map(|&spelling| spelling.to_owned()));
    }
    // Suggest `--rm` for `-rm`, even if another flag is nearer.
    let doubled = format!("-{head}");
    let near = match known.iter().find(|&name| *name == doubled) {
        Some(name) => Some(name.as_str()),
        None => nearest(head, known.iter().map(String::as_str)),
    };
    match near {
        Some(near) => Error::new(format!("unknown flag '{head}'; did you mean '{near}'?")),
        None => Error::new(format!("unknown flag '{head}'; see --help")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::flag::{Group, MANY, Operand, spec};
    use super::*;

    #[derive(Default, Debug, PartialEq)]
    struct Args {
        interactive: bool,
        tty: bool,
        remove: bool,
        name: String,
        env: Vec<String>,
    }

    type F = Flag<Args>;

    static FLAGS: &[F] = &[
        F::switch("interactive", "", |a, on| a.interactive = on).short('i'),
        F::switch("tty", "", |a, on| a.tty = on).short('t'),
        F::switch("rm", "", |a, on| a.remove = on),
        F::setting("name", "NAME", "", |a, v| {
            a.name = v.to_owned();
            Ok(())
        })
        .also(&["-name"]),
        F::value("env", "K=V", "", |a, v| {
            if v.is_empty() {
                fail!("no value");
            }
            if v.starts_with('=') {
                fail!("no name");
            }
            a.env.push(v.to_owned());
            Ok(())
        })
        .short('e'),
    ];

    static RUN: Command = Command {
        name: "run",
        group: Group::Run,
        usage: "[FLAGS] IMAGE [COMMAND…]",
        summary: "",
        examples: &[],
        operand: Operand::Image,
        operands: (1, MANY),
        trailing: true,
        flags: |at| spec(FLAGS, at),
        run: |_| Ok(0),
    };

    #[test]
    fn an_empty_setting_is_not_given() {
        for line in ["--name= img", "--name=web --name= img", "-name= --name=web img"] {
            let (args, _) = run(line).unwrap();
            assert_eq!(args.name, if line.contains("web") { "web" } else { "" }, "{line}");
        }
        // A flag that is not a setting, such as `-e`, passes the empty value to its parser.
        assert_eq!(run("-e= img").unwrap_err(), "-e: no value");
    }

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    fn run(line: &str) -> Result<(Args, Vec<String>), String> {
        let mut args = Args::default();
        match parse(&RUN, FLAGS, &mut args, &words(line)) {
            Ok(operands) => Ok((args, operands)),
            Err(Failure::Usage(error) | Failure::Engine(error)) => Err(error.to_string()),
            Err(Failure::Help) => Err("help".to_owned()),
        }
    }

    #[test]
    fn every_way_to_give_a_value() {
        for line in ["--name x img", "--name=x img", "-name x img", "-name=x img"] {
            assert_eq!(run(line).unwrap().0.name, "x", "{line}");
        }
        for line in ["-e A=1 img", "-eA=1 img", "-e=A=1 img", "--env A=1 img", "--env=A=1 img"] {
            assert_eq!(run(line).unwrap().0.env, ["A=1"], "{line}");
        }
        assert_eq!(run("--name -1 img").unwrap().0.name, "-1");
        assert_eq!(run("--name= img").unwrap().0.name, "");
    }

    #[test]
    fn switches_bundle_in_any_order() {
        for line in ["-it img", "-ti img", "-i -t img", "-t=true --interactive=1 img"] {
            let args = run(line).unwrap().0;
            assert!(args.interactive && args.tty, "{line}");
        }
        let args = run("-iteA=1 img").unwrap().0;
        assert!(args.interactive && args.tty && args.env == ["A=1"]);
        assert!(!run("--rm --rm=false img").unwrap().0.remove);
        assert!(run("--rm=maybe img").unwrap_err().contains("neither true nor false"));
    }

    #[test]
    fn flags_end_at_the_image() {
        let (args, operands) = run("-i img -t --name x -- y").unwrap();
        assert!(!args.tty);
        assert_eq!(operands, ["img", "-t", "--name", "x", "--", "y"]);
        assert_eq!(run("-- -odd x").unwrap().1, ["-odd", "x"]);
        assert_eq!(run("- x").unwrap().1, ["-", "x"]);
    }

    #[test]
    fn mistakes_get_one_clear_line() {
        for (line, message) in [
            ("--nmae x img", "unknown flag '--nmae'; did you mean '--name'?"),
            ("-rm img", "unknown flag '-rm'; did you mean '--rm'?"),
            ("--frobnicate img", "unknown flag '--frobnicate'; see --help"),
            ("-itx img", "unknown flag '-x' in '-itx'"),
            ("--name", "flag '--name' needs a value: --name NAME"),
            ("-it", "missing IMAGE; usage: mydocker run [FLAGS] IMAGE [COMMAND…]"),
            ("-ite =1 img", "-e: no name"),
            ("--help", "help"),
            ("-h", "help"),
        ] {
            assert_eq!(run(line).unwrap_err(), message, "{line}");
        }
    }
}

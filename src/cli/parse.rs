//! Turns argv into a command's arguments and its operands, by its table of flags.
//!
//! The rules are Docker's (pflag): `--name x`, `--name=x`, `-e x`, `-ex`, bundled switches `-itd`,
//! `--rm=false`; a flag that takes a value takes the next argument whatever it looks like; `--` ends
//! the flags. Whole-token spellings of the tutorial engines (`-name`, `--it`) are matched before a
//! single dash is read as a bundle. After the first operand of `run`, `create` and `exec` nothing is
//! looked at any more.

use super::Failure;
use super::flag::{Command, Flag, FlagSpec, Update, specs};
use super::suggest::nearest;
use crate::error::{Context, Error, Result, fail};

/// One flag as it was typed.
struct Occurrence<'a> {
    /// Its place in the table.
    flag: usize,
    /// Its spelling, for messages.
    name: String,
    value: Value<'a>,
}

enum Value<'a> {
    Switch(bool),
    Text(&'a str),
}

/// Parses `argv` into `args` and returns the operands.
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

/// Flags alone: the operands aren't counted.
pub fn split<A>(
    command: &Command,
    flags: &'static [Flag<A>],
    args: &mut A,
    argv: &[String],
) -> Result<Vec<String>, Failure> {
    // Only this match is compiled for each command's arguments: all else knows specs alone.
    let mut update = |flag: usize, value: Value| match (&flags[flag].update, value) {
        (Update::Switch(update), Value::Switch(on)) => {
            update(args, on);
            Ok(())
        }
        (Update::Value(update), Value::Text(text)) => update(args, text),
        (Update::Switch(_), Value::Text(_)) | (Update::Value(_), Value::Switch(_)) => {
            unreachable!("a flag's spec says what its update takes")
        }
    };
    read(&specs(flags), command.trailing, argv, &mut update)
}

/// Passes each flag that was typed to `update`, by its place in the table; returns the operands.
fn read(
    specs: &[&'static FlagSpec],
    trailing: bool,
    argv: &[String],
    update: &mut dyn FnMut(usize, Value) -> Result<()>,
) -> Result<Vec<String>, Failure> {
    let (occurrences, operands) = scan(specs, trailing, argv)?;
    for Occurrence { flag, name, value } in occurrences {
        if specs[flag].ignores_empty && matches!(value, Value::Text("")) {
            continue;
        }
        update(flag, value).context(|| name).map_err(Failure::Usage)?;
    }
    Ok(operands)
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

/// What was typed: flags in order, and operands.
fn scan<'a>(
    specs: &[&'static FlagSpec],
    trailing: bool,
    argv: &'a [String],
) -> Result<(Vec<Occurrence<'a>>, Vec<String>), Failure> {
    let (mut occurrences, mut operands) = (Vec::new(), Vec::new());
    let mut rest = argv.iter();
    while let Some(token) = rest.next() {
        if token == "--" {
            operands.extend(rest.by_ref().cloned());
        } else if token.len() < 2 || !token.starts_with('-') {
            operands.push(token.clone());
            if trailing {
                operands.extend(rest.by_ref().cloned());
            }
        } else {
            scan_token(specs, token, &mut rest, &mut occurrences)?;
        }
    }
    Ok((occurrences, operands))
}

/// The error of too few operands, naming the first that lacks.
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
}

fn usage(message: String, command: &Command) -> Failure {
    let line = format!("{message}; usage: mydocker {} {}", command.name, command.usage);
    Failure::Usage(Error::new(line.trim_end().to_owned()))
}

/// The flags of one token, a value taken from `rest` if it must be.
fn scan_token<'a>(
    specs: &[&'static FlagSpec],
    token: &'a str,
    rest: &mut std::slice::Iter<'a, String>,
    occurrences: &mut Vec<Occurrence<'a>>,
) -> Result<(), Failure> {
    let (head, value) = match token.split_once('=') {
        Some((head, value)) => (head, Some(value)),
        None => (token, None),
    };
    if let Some(flag) = specs.iter().position(|spec| spec.is_spelled(head)) {
        let value = read_value(specs[flag], head, value, rest).map_err(Failure::Usage)?;
        occurrences.push(Occurrence { flag, name: head.to_owned(), value });
        return Ok(());
    }
    let short_help = head == "-h" && !specs.iter().any(|spec| spec.short == Some('h'));
    if head == "--help" || short_help {
        return Err(Failure::Help);
    }
    if head.starts_with("--") {
        return Err(Failure::Usage(unknown(specs, head)));
    }
    scan_bundle(specs, token, rest, occurrences).map_err(Failure::Usage)
}

/// `-itd`, `-eK=V`, `-t=false`: shorts one after the other, the last of which may have a value.
fn scan_bundle<'a>(
    specs: &[&'static FlagSpec],
    token: &'a str,
    rest: &mut std::slice::Iter<'a, String>,
    occurrences: &mut Vec<Occurrence<'a>>,
) -> Result<()> {
    for (at, letter) in token.char_indices().skip(1) {
        let Some(flag) = specs.iter().position(|spec| spec.short == Some(letter)) else {
            let head = token.split('=').next().unwrap_or(token);
            if at == 1 {
                return Err(unknown(specs, head));
            }
            fail!("unknown flag '-{letter}' in '{head}'");
        };
        let name = format!("-{letter}");
        let tail = &token[at + letter.len_utf8()..];
        let value = match tail.strip_prefix('=') {
            Some(value) => Some(value),
            None if specs[flag].value.is_some() => Some(tail).filter(|tail| !tail.is_empty()),
            None => {
                occurrences.push(Occurrence { flag, name, value: Value::Switch(true) });
                continue;
            }
        };
        let value = read_value(specs[flag], &name, value, rest)?;
        occurrences.push(Occurrence { flag, name, value });
        return Ok(());
    }
    Ok(())
}

/// The value as it stands in the token, else the next argument.
fn read_value<'a>(
    spec: &FlagSpec,
    name: &str,
    value: Option<&'a str>,
    rest: &mut std::slice::Iter<'a, String>,
) -> Result<Value<'a>> {
    match (spec.value, value) {
        (None, None) => Ok(Value::Switch(true)),
        (None, Some(value)) => Ok(Value::Switch(parse_bool(name, value)?)),
        (Some(_), Some(value)) => Ok(Value::Text(value)),
        (Some(what), None) => match rest.next() {
            Some(next) => Ok(Value::Text(next)),
            None => fail!("flag '{name}' needs a value: {name} {what}"),
        },
    }
}

fn parse_bool(name: &str, value: &str) -> Result<bool> {
    match value {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
        _ => fail!("{name}: '{value}' is neither true nor false"),
    }
}

fn unknown(specs: &[&'static FlagSpec], head: &str) -> Error {
    let mut known: Vec<String> = Vec::new();
    for spec in specs {
        known.push(format!("--{}", spec.long));
        known.extend(spec.also.iter().map(|&spelling| spelling.to_owned()));
    }
    // `-rm` is `--rm` with a dash forgotten, whatever else is near it.
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

impl FlagSpec {
    /// Whether `head` is this flag, written out.
    fn is_spelled(&self, head: &str) -> bool {
        head.strip_prefix("--") == Some(self.long) || self.also.contains(&head)
    }
}

#[cfg(test)]
mod tests {
    use super::super::flag::{Group, MANY, Operand};
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
        flags: || specs(FLAGS),
        run: |_| Ok(0),
    };

    #[test]
    fn an_empty_setting_is_not_given() {
        for line in ["--name= img", "--name=web --name= img", "-name= --name=web img"] {
            let (args, _) = run(line).unwrap();
            assert_eq!(args.name, if line.contains("web") { "web" } else { "" }, "{line}");
        }
        // A list takes it as an element.
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

//! `build`: the flags as typed, and where its progress and its result go. Progress is printed to
//! stderr, in BuildKit's plain form; with `-q` only the image's id is printed, to stdout. The work is
//! `build`'s.

use super::flag::{Command, Flag, Group, Operand, specs};
use super::output::{print_error, print_line};
use super::{Invocation, Outcome};
use crate::build::Options;
use crate::build::report::Report;
use crate::error::fail;
use crate::raw;

#[derive(Default)]
struct BuildArgs {
    options: Options,
    quiet: bool,
}

static BUILD_FLAGS: &[Flag<BuildArgs>] = &[
    Flag::<BuildArgs>::setting(
        "file",
        "FILE",
        "Read the Dockerfile FILE, or stdin for -",
        |a, v| {
            a.options.file = Some(v.to_owned());
            Ok(())
        },
    )
    .short('f'),
    Flag::<BuildArgs>::value("tag", "NAME[:TAG]", "Name the image; may be repeated", |a, v| {
        a.options.names.push(v.to_owned());
        Ok(())
    })
    .short('t'),
    Flag::<BuildArgs>::value("build-arg", "NAME[=VALUE]", "Set the value of an ARG", |a, v| {
        if v.contains('=') {
            a.options.arguments.push(raw::utf8("argument", v)?);
        } else if let Ok(value) = std::env::var(v) {
            a.options.arguments.push(format!("{v}={value}"));
        }
        Ok(())
    }),
    Flag::<BuildArgs>::setting("target", "STAGE", "Build this stage, and not the last", |a, v| {
        a.options.target = Some(v.to_owned());
        Ok(())
    }),
    Flag::<BuildArgs>::value("label", "NAME=VALUE", "Add a label to the image", |a, v| {
        let (name, value) = v.split_once('=').unwrap_or((v, ""));
        a.options.labels.push((raw::utf8("label", name)?, raw::utf8("label", value)?));
        Ok(())
    }),
    Flag::<BuildArgs>::setting("iidfile", "FILE", "Write the image's id to FILE", |a, v| {
        a.options.id_file = Some(raw::path(v).into());
        Ok(())
    }),
    Flag::<BuildArgs>::setting("network", "MODE", "Network of the RUN steps", |a, v| {
        a.options.network = Some(v.to_owned());
        Ok(())
    }),
    Flag::<BuildArgs>::switch("quiet", "Print only the image's id", |a, on| a.quiet = on)
        .short('q'),
    Flag::<BuildArgs>::setting(
        "progress",
        "FORM",
        "Form of the progress: plain, auto or quiet",
        |a, v| {
            match v {
                "plain" | "auto" => {}
                "quiet" => a.quiet = true,
                _ => fail!("'{v}' is not supported; use plain, auto or quiet"),
            }
            Ok(())
        },
    ),
    Flag::<BuildArgs>::switch("no-cache", "Take no step from the cache", |a, on| {
        a.options.no_cache = on;
    }),
    Flag::<BuildArgs>::value(
        "no-cache-filter",
        "STAGE,…",
        "Take no step of these stages from the cache",
        |a, v| {
            a.options.no_cache_stages.extend(v.split(',').map(str::to_owned));
            Ok(())
        },
    ),
    Flag::<BuildArgs>::accepted("rm", "Accepted; the containers of steps are always removed"),
    Flag::<BuildArgs>::accepted("force-rm", "Accepted; the containers of steps are always removed"),
];

/// The command `build`.
pub static BUILD: Command = Command {
    name: "build",
    group: Group::Images,
    usage: "[FLAGS] DIRECTORY|-",
    summary: "Build an image from a Dockerfile",
    examples: &["mydocker build -t site:2 .", "mydocker build --target test -f ci/Dockerfile ."],
    operand: Operand::File,
    operands: (1, 1),
    trailing: false,
    flags: || specs(BUILD_FLAGS),
    run: build,
};

fn build(call: &Invocation) -> Outcome {
    let (BuildArgs { mut options, quiet }, mut operands) = call.parse(BUILD_FLAGS)?;
    options.context = operands.swap_remove(0);
    let engine = call.engine()?;
    let print = |text: &str| {
        if !quiet {
            print_error(text);
        }
    };
    let id = crate::build::build(&engine, &options, &Report::new(&print))
        .map_err(|error| error.exit_with(super::EXIT_FAILURE))?;
    if quiet {
        print_line(&id)?;
    }
    Ok(0)
}

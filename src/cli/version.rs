//! `version` and `info`: the version of this binary, and the facts about this host. The version is
//! MYDOCKER_VERSION of the build's environment, or otherwise the package's. `version` prints a
//! client only, because there is no server. The facts of `info` are `engine::info`'s.

use super::flag::{Command, Flag, Group, Operand, specs};
use super::inspect::{parse_format, push_line};
use super::json::push_string;
use super::lifecycle::NO_FLAGS;
use super::output::print;
use super::{Invocation, Outcome};
use crate::template::Template;

/// The version as the build stamped it, otherwise the package's.
pub const VERSION_TEXT: &str = match option_env!("MYDOCKER_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

#[derive(Default)]
struct VersionArgs {
    format: Option<Template>,
}

static VERSION_FLAGS: &[Flag<VersionArgs>] = &[Flag::<VersionArgs>::setting(
    "format",
    "FORMAT",
    "Print as json, or by a template such as '{{.Version}}'",
    |a, v| {
        a.format = Some(parse_format(v)?);
        Ok(())
    },
)
.short('f')];

/// The command `version`.
pub static VERSION: Command = Command {
    name: "version",
    group: Group::Engine,
    usage: "[FLAGS]",
    summary: "Print the version",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: || specs(VERSION_FLAGS),
    run: version,
};

fn version(call: &Invocation) -> Outcome {
    let (args, _) = call.parse(VERSION_FLAGS)?;
    let Some(format) = args.format else {
        return print_line();
    };
    let mut object = String::from("{\"Version\":");
    push_string(&mut object, VERSION_TEXT);
    object.push_str(",\"Os\":\"linux\",\"Arch\":");
    push_string(&mut object, std::env::consts::ARCH);
    object.push('}');
    let mut out = String::new();
    push_line(&mut out, &format, &object)?;
    print(&out)?;
    Ok(0)
}

/// Prints the version on one line.
pub fn print_line() -> Outcome {
    let arch = std::env::consts::ARCH;
    print(&format!("mydocker version {VERSION_TEXT}, linux/{arch}\n"))?;
    Ok(0)
}

/// The command `info`.
pub static INFO: Command = Command {
    name: "info",
    group: Group::Engine,
    usage: "",
    summary: "Print facts about the host and the paths of the state",
    examples: &[],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: || specs(NO_FLAGS),
    run: info,
};

fn info(call: &Invocation) -> Outcome {
    call.parse(NO_FLAGS)?;
    let facts = call.engine()?.info()?;
    let mut text = String::new();
    for (label, value) in facts {
        text.push_str(&label);
        text.push_str(": ");
        text.push_str(&value);
        text.push('\n');
    }
    print(&text)?;
    Ok(0)
}

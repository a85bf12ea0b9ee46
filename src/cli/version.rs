//! `version` and `--version`: the version of this binary, which is MYDOCKER_VERSION of the build's
//! environment, or otherwise the package's. There is no server: client and server are this one
//! program.
//!
//! Scripts ask whether Docker is "at least 17.03". So the version that they read is that of the
//! Docker whose commands are here, with this binary's own after a plus sign, as distributions write
//! it: `20.10.0+mydocker.0.1.0`. `{{.Version}}` alone is this binary's own.

use super::flag::{Command, Flag, Group, Operand, specs};
use super::inspect::{parse_format, push_line};
use super::output::print;
use super::{Invocation, Outcome};
use crate::template::{Struct, Template, Value};

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
        print(&summary())?;
        return Ok(0);
    };
    let object = facts();
    let mut out = String::new();
    push_line(&mut out, &format, &object)?;
    print(&out)?;
    Ok(0)
}

/// The Docker whose commands, flags and formats are here.
const DOCKER_VERSION: &str = "20.10.0";

/// The version as Docker's scripts read it.
pub fn docker_version() -> String {
    format!("{DOCKER_VERSION}+mydocker.{VERSION_TEXT}")
}

/// Docker's API of the fields and formats here. Nothing speaks it: scripts compare it.
const API_VERSION: &str = "1.41";
const MIN_API_VERSION: &str = "1.12";

/// The client and the server are this one program.
fn facts() -> Value {
    let text = Value::text;
    let host = rustix::system::uname();
    let kernel = || text(&host.release().to_string_lossy());
    let platform = || Value::object(vec![("Name", text(""))]);
    let details = Value::map([
        ("ApiVersion", text(API_VERSION)),
        ("Arch", text(go_arch())),
        ("KernelVersion", kernel()),
        ("Os", text("linux")),
    ]);
    let engine = Value::object(vec![
        ("Name", text("Engine")),
        ("Version", text(&docker_version())),
        ("Details", details),
    ]);
    // Go has other names for some fields than JSON, and templates may write either.
    let api = |name: &'static str, json: &'static str| {
        [(name, Value::Omitted(text(API_VERSION).into())), (json, text(API_VERSION))]
    };
    let mut client = vec![("Platform", platform()), ("Version", text(&docker_version()))];
    client.extend(api("APIVersion", "ApiVersion"));
    client.extend([
        ("DefaultAPIVersion", text(API_VERSION)),
        ("Os", text("linux")),
        ("Arch", text(go_arch())),
        ("Context", text("default")),
        ("Experimental", Value::Bool(false)),
    ]);
    let mut server = vec![
        ("Platform", platform()),
        ("Components", Value::list([engine])),
        ("Version", text(&docker_version())),
    ];
    server.extend(api("APIVersion", "ApiVersion"));
    server.extend([
        ("MinAPIVersion", text(MIN_API_VERSION)),
        ("Os", text("linux")),
        ("Arch", text(go_arch())),
        ("KernelVersion", kernel()),
        ("Experimental", Value::Omitted(Value::Bool(false).into())),
    ]);
    Value::Struct(
        Struct {
            kind: "system.versionInfo",
            fields: vec![
                ("Client", Value::object(client)),
                ("Server", Value::object(server)),
                // As before there was a server.
                ("Version", Value::Omitted(text(VERSION_TEXT).into())),
                ("Os", Value::Omitted(text("linux").into())),
                ("Arch", Value::Omitted(text(go_arch()).into())),
            ],
            ..Struct::default()
        }
        .into(),
    )
}

/// The architecture as Go and Docker name it.
fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What `version` prints: Docker's labels, by which scripts find the lines.
fn summary() -> String {
    let (version, arch) = (docker_version(), go_arch());
    format!(
        "Client: mydocker {VERSION_TEXT}\n Version:           {version}\n API version:       {API_VERSION}\n \
         OS/Arch:           linux/{arch}\n Context:           default\n\n\
         Server: mydocker {VERSION_TEXT} (there is no daemon)\n Engine:\n  Version:          {version}\n  \
         API version:      {API_VERSION} (minimum version {MIN_API_VERSION})\n  \
         OS/Arch:          linux/{arch}\n"
    )
}

/// Prints the version on one line, whose words stand where scripts look for Docker's.
pub fn print_line() -> Outcome {
    print(&format!("Docker version {}, build linux/{}\n", docker_version(), go_arch()))?;
    Ok(0)
}

//! `version` and `--version`. The version of this binary is MYDOCKER_VERSION of the build's
//! environment, or otherwise the package's version. mydocker has no daemon, so `version` names this
//! program as the client and as the server.
//!
//! Scripts test whether Docker is "at least 17.03". So the printed version starts with a version of
//! Docker and ends with the version of this binary, as in `20.10.0+mydocker.0.1.0`. The template
//! `{{.Version}}` prints this binary's version alone.

use super::flag::{Checker, Command, Flag, Group, Operand, spec};
use super::inspect::template_of;
use super::output::{print, print_line as print_text};
use super::{Invocation, Outcome};
use crate::engine::Engine;
use crate::template::{Template, Value};

/// This binary's version: MYDOCKER_VERSION at build time, or otherwise the package's version.
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
        a.format = Some(Template::parse_named("version", template_of(v))?);
        Ok(())
    },
)
.checked_by(Checker::Template)
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
    flags: |at| spec(VERSION_FLAGS, at),
    run: version,
};

fn version(call: &Invocation) -> Outcome {
    let (args, _) = call.parse(VERSION_FLAGS)?;
    let Some(format) = args.format else {
        print(&summary())?;
        return Ok(0);
    };
    print_text(&format.render_facts(&facts())?)?;
    Ok(0)
}

/// The version of Docker that mydocker reports to scripts.
const DOCKER_VERSION: &str = "20.10.0";

/// Returns the version that scripts for Docker read: `DOCKER_VERSION`, `+mydocker.`, and this
/// binary's version.
pub fn docker_version() -> String {
    format!("{DOCKER_VERSION}+mydocker.{VERSION_TEXT}")
}

/// The version of the API of Docker 20.10. mydocker has no API, but scripts compare the version.
const API_VERSION: &str = "1.41";
const MIN_API_VERSION: &str = "1.12";

/// Returns the value for `--format`. The client and the server are both this program.
fn facts() -> Value {
    let text = Value::text;
    let host = rustix::system::uname();
    let kernel = || text(&host.release().to_string_lossy());
    let platform = || Value::object(vec![("Name", text(""))]);
    let details = Value::map([
        ("ApiVersion", text(API_VERSION)),
        ("Arch", text(Engine::go_architecture())),
        ("KernelVersion", kernel()),
        ("Os", text("linux")),
    ]);
    let engine = Value::object(vec![
        ("Name", text("Engine")),
        ("Version", text(&docker_version())),
        ("Details", details),
    ]);
    // Go and JSON have different names for some fields, and a template may use either name.
    let api = |name: &'static str, json: &'static str| {
        [(name, Value::Omitted(text(API_VERSION).into())), (json, text(API_VERSION))]
    };
    let mut client = vec![("Platform", platform()), ("Version", text(&docker_version()))];
    client.extend(api("APIVersion", "ApiVersion"));
    // Templates in scripts name these fields of Docker. mydocker has no values for the fields.
    let of_go = || {
        ["GitCommit", "GoVersion", "BuildTime"].map(|name| (name, Value::Omitted(text("").into())))
    };
    client.extend(of_go());
    client.extend([
        ("DefaultAPIVersion", text(API_VERSION)),
        ("Os", text("linux")),
        ("Arch", text(Engine::go_architecture())),
        ("Context", text("default")),
        ("Experimental", Value::Bool(false)),
    ]);
    let mut server = vec![
        ("Platform", platform()),
        ("Components", Value::list([engine])),
        ("Version", text(&docker_version())),
    ];
    server.extend(api("APIVersion", "ApiVersion"));
    server.extend(of_go());
    server.extend([
        ("MinAPIVersion", text(MIN_API_VERSION)),
        ("Os", text("linux")),
        ("Arch", text(Engine::go_architecture())),
        ("KernelVersion", kernel()),
        ("Experimental", Value::Omitted(Value::Bool(false).into())),
    ]);
    Value::of_kind(
        "system.versionInfo",
        vec![
            ("Client", Value::of_kind("system.clientVersion", client)),
            ("Server", Value::of_kind("*types.Version", server)),
            ("ServerOK", Value::Omitted(Value::Bool(true).into())),
            // Only mydocker has the next three fields, for templates such as `{{.Version}}`.
            ("Version", Value::Omitted(text(VERSION_TEXT).into())),
            ("Os", Value::Omitted(text("linux").into())),
            ("Arch", Value::Omitted(text(Engine::go_architecture()).into())),
        ],
    )
}

/// Returns the text of `version`, with Docker's labels, by which scripts find the lines.
fn summary() -> String {
    let (version, arch) = (docker_version(), Engine::go_architecture());
    format!(
        "Client: mydocker {VERSION_TEXT}\n Version:           {version}\n API version:       {API_VERSION}\n \
         OS/Arch:           linux/{arch}\n Context:           default\n\n\
         Server: mydocker {VERSION_TEXT} (there is no daemon)\n Engine:\n  Version:          {version}\n  \
         API version:      {API_VERSION} (minimum version {MIN_API_VERSION})\n  \
         OS/Arch:          linux/{arch}\n"
    )
}

/// Prints the version on one line, in the form of `docker --version`, which scripts parse.
pub fn print_line() -> Outcome {
    print(&format!(
        "Docker version {}, build linux/{}\n",
        docker_version(),
        Engine::go_architecture()
    ))?;
    Ok(0)
}

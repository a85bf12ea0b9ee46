//! The command line: turns argv into calls of the engine, and results into tables, JSON and exit
//! statuses.
//!
//! `COMMANDS` lists every command. Each command has a static table of flags (`flag`), which the
//! parser, the help, the shell completion and the man page use. A command's file turns the
//! arguments into the engine's plain types, calls the engine and prints the result. `cli` also
//! prompts, and reads environment variables and the files that flags name.

mod absent;
mod archive;
#[cfg(feature = "build")]
mod build;
#[cfg(feature = "build")]
mod build_progress;
#[cfg(feature = "build")]
mod builder;
mod completion;
#[cfg(feature = "compose")]
mod compose;
mod cp;
mod disk;
mod disk_detail;
mod escape;
mod events;
mod exec;
mod explain;
mod flag;
mod format;
mod global;
mod help;
mod history;
mod image;
mod image_filter;
mod info;
mod inspect;
mod json;
mod lifecycle;
mod logs;
mod man;
mod network;
mod output;
mod parse;
mod ports;
mod progress;
mod prompt;
mod prune_filter;
mod pruned;
mod ps;
mod registry;
mod run;
mod stats;
mod style;
mod system;
mod table;
mod top;
mod update;
mod value;
mod version;
mod volume;
mod warning;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use crate::engine::Engine;
use crate::error::{EXIT_ENGINE, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, Error, Result};
use crate::order;
use crate::raw;

use crate::suggest::nearest;

use flag::{Command, Flag};
use global::GlobalArgs;

/// Every command. The help shows the commands of each group in this order.
static COMMANDS: &[&Command] = &[
    &run::RUN,
    &run::CREATE,
    &lifecycle::START,
    &lifecycle::STOP,
    &lifecycle::RESTART,
    &lifecycle::KILL,
    &lifecycle::PAUSE,
    &lifecycle::UNPAUSE,
    &exec::EXEC,
    &cp::CP,
    &lifecycle::ATTACH,
    &lifecycle::WAIT,
    &lifecycle::RENAME,
    &update::UPDATE,
    &lifecycle::RM,
    &disk::CONTAINER_PRUNE,
    &ps::PS,
    &logs::LOGS,
    &top::TOP,
    &stats::STATS,
    &events::EVENTS,
    &network::PORT,
    &inspect::INSPECT,
    &explain::EXPLAIN,
    &registry::PULL,
    &registry::PUSH,
    &archive::DIFF,
    &image::IMAGES,
    &history::HISTORY,
    #[cfg(feature = "build")]
    &build::BUILD,
    #[cfg(feature = "build")]
    &builder::PRUNE,
    &image::IMPORT,
    &image::LOAD,
    &archive::SAVE,
    &image::TAG,
    &image::RMI,
    &registry::LOGIN,
    &registry::LOGOUT,
    &disk::IMAGE_PRUNE,
    &archive::COMMIT,
    &archive::EXPORT,
    &volume::CREATE,
    &volume::LS,
    &volume::INSPECT,
    &volume::RM,
    &volume::PRUNE,
    &network::CREATE,
    &network::LS,
    &network::INSPECT,
    &network::CONNECT,
    &network::DISCONNECT,
    &network::RELOAD,
    &network::RM,
    &network::PRUNE,
    #[cfg(feature = "compose")]
    &compose::up::UP,
    #[cfg(feature = "compose")]
    &compose::up::CREATE,
    #[cfg(feature = "compose")]
    &compose::members::DOWN,
    #[cfg(feature = "compose")]
    &compose::control::START,
    #[cfg(feature = "compose")]
    &compose::control::STOP,
    #[cfg(feature = "compose")]
    &compose::control::RESTART,
    #[cfg(feature = "compose")]
    &compose::control::KILL,
    #[cfg(feature = "compose")]
    &compose::control::RM,
    #[cfg(feature = "compose")]
    &compose::control::PAUSE,
    #[cfg(feature = "compose")]
    &compose::control::UNPAUSE,
    #[cfg(feature = "compose")]
    &compose::control::WAIT,
    #[cfg(feature = "compose")]
    &compose::inside::EXEC,
    #[cfg(feature = "compose")]
    &compose::inside::CP,
    #[cfg(feature = "compose")]
    &compose::inside::TOP,
    #[cfg(feature = "compose")]
    &compose::inside::PORT,
    #[cfg(feature = "compose")]
    &compose::inside::STATS,
    #[cfg(all(feature = "compose", feature = "build"))]
    &compose::build::BUILD,
    #[cfg(feature = "compose")]
    &compose::run::RUN,
    #[cfg(feature = "compose")]
    &compose::transfer::PULL,
    #[cfg(feature = "compose")]
    &compose::transfer::PUSH,
    #[cfg(feature = "compose")]
    &compose::transfer::IMAGES,
    #[cfg(feature = "compose")]
    &compose::transfer::VERSION,
    #[cfg(feature = "compose")]
    &compose::events::EVENTS,
    #[cfg(feature = "compose")]
    &compose::list::PS,
    #[cfg(feature = "compose")]
    &compose::list::LS,
    #[cfg(feature = "compose")]
    &compose::logs::LOGS,
    #[cfg(feature = "compose")]
    &compose::config::CONFIG,
    &system::CHECK,
    &system::BOOT,
    &system::HALT,
    &disk::DF,
    &disk::SYSTEM_PRUNE,
    &version::VERSION,
    &info::INFO,
    &help::HELP,
    &completion::COMPLETION,
    &man::MAN,
];

/// Docker's other spellings of commands. Each entry holds the spelling, the command's name, and the
/// arguments to put before those of the user.
static ALIASES: &[(&str, &str, &[&str])] = &[
    ("container ls", "ps", &[]),
    ("container list", "ps", &[]),
    ("container ps", "ps", &[]),
    ("container commit", "commit", &[]),
    ("container export", "export", &[]),
    ("container inspect", "inspect", &["--type=container"]),
    ("container remove", "rm", &[]),
    ("image ls", "images", &[]),
    ("image list", "images", &[]),
    ("image rm", "rmi", &[]),
    ("image remove", "rmi", &[]),
    #[cfg(feature = "build")]
    ("image build", "build", &[]),
    #[cfg(feature = "build")]
    ("buildx build", "build", &[]),
    #[cfg(feature = "build")]
    ("buildx prune", "builder prune", &[]),
    #[cfg(feature = "build")]
    ("builder build", "build", &[]),
    ("image history", "history", &[]),
    ("image import", "import", &[]),
    ("image pull", "pull", &[]),
    ("image push", "push", &[]),
    ("image load", "load", &[]),
    ("image save", "save", &[]),
    ("image tag", "tag", &[]),
    ("image inspect", "inspect", &["--type=image"]),
    ("volume list", "volume ls", &[]),
    ("volume remove", "volume rm", &[]),
    ("network list", "network ls", &[]),
    ("network remove", "network rm", &[]),
    ("system info", "info", &[]),
    ("system events", "events", &[]),
];

/// Whether the command may start processes in containers. `Engine::shield` protects the binary from
/// these processes. All commands of compose count, because many of them may run a service's hooks,
/// for example before a container stops.
fn enters(command: &Command) -> bool {
    let entering = ["run", "start", "restart", "exec", "boot", "build"];
    entering.contains(&command.name) || command.name.starts_with("compose ")
}

/// Docker's management words. Each is the first word of commands of two words.
const MANAGEMENT: &[&str] = &[
    "container",
    "image",
    "volume",
    "network",
    "system",
    #[cfg(feature = "build")]
    "builder",
    #[cfg(feature = "build")]
    "buildx",
    #[cfg(feature = "compose")]
    "compose",
];

/// The exit status of a failed command, as in Docker, if the command has no statuses of its own.
const EXIT_FAILURE: u8 = 1;
/// The exit status if the template of `info`, `version`, `events` or one of the `inspect` commands
/// can't be parsed, as in Docker. If the template of a listing can't be parsed, the status is 1.
const EXIT_BAD_TEMPLATE: u8 = 64;

/// The lowest exit status of a command that a signal ended. The status is 128 plus the signal's
/// number.
const FIRST_SIGNAL: u8 = 129;

/// Why a command ended early.
pub enum Failure {
    /// The command line was wrong.
    Usage(Error),
    Engine(Error),
    /// The command line asks for help, for example by `--help`.
    Help,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Engine(error)
    }
}

/// A command's exit status, or the reason why it ended early.
pub type Outcome = Result<u8, Failure>;

/// One call of one command.
pub struct Invocation {
    pub command: &'static Command,
    global: GlobalArgs,
    /// The flags between `compose` and its subcommand.
    before: Vec<String>,
    argv: Vec<String>,
}

impl Invocation {
    /// Parses the command's flags and operands. Fails on an unknown flag, a missing or bad value or
    /// a wrong number of operands. Returns `Failure::Help` for `--help`.
    pub fn parse<A: Default>(
        &self,
        flags: &'static [Flag<A>],
    ) -> Result<(A, Vec<String>), Failure> {
        let mut args = A::default();
        let operands = parse::parse(self.command, flags, &mut args, &self.argv)?;
        Ok((args, operands))
    }

    /// Opens the engine with the roots and the firewall that the global flags and the environment
    /// choose. Fails like `refuse_other_daemons`, `roots`, `firewall` and `Engine::new`.
    pub fn engine(&self) -> Result<Engine> {
        self.global.refuse_other_daemons()?;
        Engine::new(self.global.roots()?, self.global.firewall()?, |warning| {
            output::print_error(&format!("mydocker: {}\n", warning::text(warning)))
        })
    }

    /// Calls `act` with each of `names`. A failure is reported on its own line and does not stop
    /// the other calls. The exit status is 1 after a failure.
    pub fn each(&self, names: &[String], mut act: impl FnMut(&str) -> Result<()>) -> Outcome {
        let mut status = 0;
        for name in names {
            if let Err(error) = act(name) {
                self.complain(&error);
                status = 1;
            }
        }
        Ok(status)
    }

    /// Like `each`, and prints each name for which `act` succeeded.
    pub fn each_printed(
        &self,
        names: &[String],
        mut act: impl FnMut(&str) -> Result<()>,
    ) -> Outcome {
        self.each(names, |name| {
            act(name)?;
            output::print_line(name)
        })
    }

    /// Calls `first` with each name, then `between` once with all results, then `last` with each
    /// result that is not an error. So the work that `first` and `between` start runs for all names
    /// at the same time.
    pub fn each_together<T>(
        &self,
        names: &[String],
        first: impl FnMut(&String) -> Result<T>,
        between: impl FnOnce(&mut [Result<T>]),
        mut last: impl FnMut(&str, T) -> Result<()>,
    ) -> Outcome {
        let mut started: Vec<Result<T>> = names.iter().map(first).collect();
        between(&mut started);
        let mut started = started.into_iter();
        // `started` has one result for each name.
        self.each(names, |name| started.next().map_or(Ok(()), |started| last(name, started?)))
    }

    /// Prints an error on stderr, after the command's name.
    pub fn complain(&self, error: &Error) {
        complain(Some(self.command.name), error, self.global.debug || Engine::is_traced());
    }

    /// Returns the failure for a mistake in the command line.
    pub fn refuse<T>(&self, message: impl Into<String>) -> Result<T, Failure> {
        Err(Failure::Usage(self.with_status(Error::new(message))))
    }

    /// Reports and ignores the error of a forced removal if the object does not exist. Returns
    /// every other result unchanged.
    pub fn ignore_absent(&self, force: bool, result: Result<()>) -> Result<()> {
        match result {
            Err(error) if force && error.is_absent() => {
                self.complain(&error);
                Ok(())
            }
            result => result,
        }
    }

    /// Sets Docker's exit status for an error. An error of `run` keeps its status, and so does a
    /// mistake in the command line of `create`. `exec`, `compose exec` and `compose run` keep 126
    /// and 127. A status of 129 or more stays, because a signal ended the command. Every other
    /// error gets the status 1.
    fn with_status(&self, error: Error) -> Error {
        match (self.command.name, error.exit_code()) {
            ("run", _) => error,
            ("create", _) if error.is_usage() => error,
            ("exec" | "compose exec" | "compose run", EXIT_NOT_EXECUTABLE | EXIT_NOT_FOUND) => {
                error
            }
            (_, FIRST_SIGNAL..) => error,
            _ => error.exit_with(EXIT_FAILURE),
        }
    }
}

/// Runs the command line and returns the exit status. `argv` starts with the program's name.
pub fn main(argv: impl Iterator<Item = OsString>) -> ExitCode {
    let mut global = GlobalArgs::default();
    let words: Vec<String> = argv.skip(1).map(|word| raw::encode(word.as_bytes())).collect();
    let status = dispatch(&mut global, &words).unwrap_or_else(|failure| match failure {
        Failure::Usage(error) | Failure::Engine(error) => {
            complain(None, &error, global.debug || Engine::is_traced());
            error.exit_code()
        }
        Failure::Help => 0,
    });
    ExitCode::from(status)
}

fn dispatch(global: &mut GlobalArgs, words: &[String]) -> Outcome {
    let rest = match parse::split(&global::MYDOCKER, global::FLAGS, global, words) {
        Err(Failure::Help) => return help::print_overview(),
        other => other?,
    };
    if global.version {
        return version::print_line();
    }
    if rest.is_empty() {
        return help::print_overview();
    }
    #[cfg(feature = "compose")]
    let (before, rest) = compose::split(rest)?;
    #[cfg(not(feature = "compose"))]
    let before = Vec::new();
    let (command, argv) = find(&rest)?;
    if let Some(json) = global.trace() {
        Engine::trace(json);
    }
    if enters(command) {
        Engine::shield();
    }
    let invocation = Invocation { command, global: std::mem::take(global), before, argv };
    let outcome = match invocation.global.refuse_config(command.name) {
        Ok(()) => (command.run)(&invocation),
        Err(error) => Err(Failure::Usage(error)),
    };
    let outcome = match outcome {
        Err(Failure::Help) => help::print_command(command),
        Err(Failure::Usage(error)) => {
            invocation.complain(&error);
            Ok(error.exit_code())
        }
        Err(Failure::Engine(error)) => Err(Failure::Engine(invocation.with_status(error))),
        Ok(status) => Ok(status),
    };
    *global = invocation.global;
    outcome
}

/// Returns the command that `words` start with, and the arguments of that command. Fails if no
/// command has that name. If a management word stands alone or before `--help` or `-h`, prints the
/// word's help and returns `Failure::Help`.
fn find(words: &[String]) -> Result<(&'static Command, Vec<String>), Failure> {
    let by_name = |name: &str| COMMANDS.iter().copied().find(|command| command.name == name);
    let Some((first, rest)) = words.split_first() else {
        return Err(Failure::Help);
    };
    if !MANAGEMENT.contains(&first.as_str()) {
        return match by_name(first) {
            Some(command) => Ok((command, rest.to_vec())),
            None => Err(unknown_command("", first)),
        };
    }
    // As in Docker, a management word alone prints its help.
    let second = rest.first().map_or("--help", String::as_str);
    if second == "--help" || second == "-h" {
        help::print_management(first, &subcommands(first))?;
        return Err(Failure::Help);
    }
    let rest = rest.get(1..).unwrap_or_default();
    let full = format!("{first} {second}");
    if let Some((_, name, before)) = ALIASES.iter().find(|(typed, ..)| *typed == full)
        && let Some(command) = by_name(name)
    {
        let before = before.iter().map(|&word| word.to_owned());
        return Ok((command, before.chain(rest.iter().cloned()).collect()));
    }
    if let Some(command) = by_name(&full) {
        return Ok((command, rest.to_vec()));
    }
    match by_name(second) {
        Some(command) if first == "container" && is_container_command(command) => {
            Ok((command, rest.to_vec()))
        }
        _ => Err(unknown_command(first, second)),
    }
}

/// Whether the command may be typed after `container`. `container prune` does not count, because
/// its name already has the word `container`.
fn is_container_command(command: &Command) -> bool {
    matches!(command.group, flag::Group::Run | flag::Group::Watch) && !command.name.contains(' ')
}

/// The flags that may stand between a management word and the command.
fn flags_before(management: &str) -> Vec<&'static flag::FlagSpec> {
    match management {
        #[cfg(feature = "compose")]
        "compose" => compose::COMPOSE.specs(),
        _ => Vec::new(),
    }
}

/// The second words that may follow a management word.
fn subcommands(management: &str) -> Vec<&'static str> {
    let second = |name: &'static str| {
        let (first, second) = name.split_once(' ')?;
        (first == management).then_some(second)
    };
    let mut words: Vec<&str> = COMMANDS.iter().filter_map(|command| second(command.name)).collect();
    words.extend(ALIASES.iter().filter_map(|(typed, ..)| second(typed)));
    if management == "container" {
        let own = COMMANDS.iter().filter(|command| is_container_command(command));
        words.extend(own.map(|command| command.name));
    }
    order::sort(&mut words);
    words.dedup();
    words
}

fn unknown_command(management: &str, word: &str) -> Failure {
    if let Some(error) = absent::explain(management, word) {
        return Failure::Engine(error);
    }
    let candidates: Vec<&str> = match management {
        "" => {
            COMMANDS.iter().map(|command| command.name).chain(MANAGEMENT.iter().copied()).collect()
        }
        _ => subcommands(management),
    };
    let prefix = if management.is_empty() { String::new() } else { format!("{management}: ") };
    let message = match nearest(word, candidates) {
        Some(near) => format!("{prefix}unknown command '{word}'; did you mean '{near}'?"),
        None => format!("{prefix}unknown command '{word}'; see mydocker help"),
    };
    Failure::Engine(Error::new(message).exit_with(EXIT_FAILURE))
}

/// Prints an error on stderr. Without `debug` the error is one line. With `debug` each cause in the
/// error's chain has a line of its own, below the command's name.
fn complain(command: Option<&str>, error: &Error, debug: bool) {
    // Keep the message on one line, even if a name or text in it has a newline.
    let line = |message: &str| message.replace('\n', " ");
    let mut text = String::from("mydocker");
    if let Some(command) = command {
        text.push(' ');
        text.push_str(command);
    }
    if debug {
        text.push_str(":\n");
        for link in error.links() {
            text.push_str("  ");
            text.push_str(&line(link));
            text.push('\n');
        }
    } else {
        text.push_str(": ");
        text.push_str(&line(&error.to_string()));
        text.push('\n');
    }
    output::print_complaint(&text);
}

// The error for an unknown flag has the default status of `Error`, which must be Docker's 125.
const _: () = assert!(EXIT_ENGINE == 125);

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> (String, Vec<String>) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        match find(&words) {
            Ok((command, argv)) => (command.name.to_owned(), argv),
            Err(Failure::Usage(error) | Failure::Engine(error)) => (error.to_string(), vec![]),
            Err(Failure::Help) => ("help".to_owned(), vec![]),
        }
    }

    #[test]
    fn every_command_of_the_first_release_is_there() {
        for name in [
            "run",
            "create",
            "start",
            "stop",
            "restart",
            "kill",
            "rm",
            "wait",
            "ps",
            "logs",
            "exec",
            "attach",
            "inspect",
            "rename",
            "images",
            "rmi",
            "tag",
            "import",
            "load",
            "version",
            "info",
            "help",
            "completion",
            "man",
            "volume create",
            "volume ls",
            "volume rm",
            "volume inspect",
            "volume prune",
        ] {
            assert_eq!(found(name).0, name);
        }
    }

    #[test]
    fn management_spellings_are_the_same_commands() {
        for (typed, name) in [
            ("container run", "run"),
            ("container ls", "ps"),
            ("container rm", "rm"),
            ("container exec", "exec"),
            ("image ls", "images"),
            ("image rm", "rmi"),
            ("image load", "load"),
            ("volume ls", "volume ls"),
            ("volume list", "volume ls"),
            ("system info", "info"),
        ] {
            assert_eq!(found(typed).0, name, "{typed}");
        }
        assert_eq!(found("image inspect x").1, ["--type=image", "x"]);
    }

    #[test]
    fn aliases_lead_to_commands() {
        for (typed, name, _) in ALIASES {
            assert!(COMMANDS.iter().any(|command| command.name == *name), "{typed}");
        }
    }

    #[test]
    fn unknown_commands_get_the_nearest() {
        assert_eq!(found("rnu").0, "unknown command 'rnu'; did you mean 'run'?");
        assert_eq!(found("frobnicate").0, "unknown command 'frobnicate'; see mydocker help");
        assert_eq!(
            found("volume creat").0,
            "volume: unknown command 'creat'; did you mean 'create'?"
        );
        assert_eq!(
            found("container images").0,
            "container: unknown command 'images'; see mydocker help"
        );
    }

    #[test]
    fn flags_are_spelled_once_in_each_command() {
        for command in COMMANDS {
            let mut seen = std::collections::HashSet::new();
            for spec in command.specs() {
                assert!(
                    seen.insert(format!("--{}", spec.long)),
                    "{} --{}",
                    command.name,
                    spec.long
                );
                for &spelling in spec.also {
                    assert!(seen.insert(spelling.to_owned()), "{} {spelling}", command.name);
                }
                if let Some(short) = spec.short {
                    assert!(seen.insert(format!("-{short}")), "{} -{short}", command.name);
                }
                assert!(!spec.doc.is_empty() && !spec.doc.ends_with('.'), "--{}", spec.long);
            }
        }
    }
}

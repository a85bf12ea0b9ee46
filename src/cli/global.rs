//! The flags before the command: the state directories, the firewall, how errors are printed, and
//! Docker's own flags, which are accepted or refused. `MYDOCKER_ROOT`, `MYDOCKER_RUN_ROOT`,
//! `MYDOCKER_FIREWALL`, `MYDOCKER_DEBUG`, `DOCKER_HOST` and `DOCKER_CONTEXT` do the same as a flag.
//! A flag wins over its variable, except `--debug` (see `trace`). An empty variable counts as not
//! set.

use std::ffi::OsString;
use std::path::PathBuf;

use super::EXIT_FAILURE;
use super::flag::{Category, Checker, Command, Flag, Group, Operand, spec};
use crate::engine::Roots;
use crate::engine::options::FirewallChoice;
use crate::error::{Context, Error, Result, fail};
use crate::raw;

/// The flags before the command, as typed.
#[derive(Default)]
pub struct GlobalArgs {
    root: Option<PathBuf>,
    run_root: Option<PathBuf>,
    firewall: Option<FirewallChoice>,
    /// The last `--host` on the command line.
    host: Option<String>,
    /// The last `--context` on the command line.
    context: Option<String>,
    has_config: bool,
    pub debug: bool,
    pub version: bool,
}

/// The table of the flags before the command.
pub static FLAGS: &[Flag<GlobalArgs>] = &[
    Flag::<GlobalArgs>::value(
        "root",
        "DIR",
        "Store images, containers, networks and volumes in DIR (MYDOCKER_ROOT)",
        |a, v| {
            a.root = Some(raw::path(v).into());
            Ok(())
        },
    ),
    Flag::<GlobalArgs>::value(
        "run-root",
        "DIR",
        "Store the state of running containers in DIR (MYDOCKER_RUN_ROOT)",
        |a, v| {
            a.run_root = Some(raw::path(v).into());
            Ok(())
        },
    ),
    Flag::<GlobalArgs>::value(
        "firewall",
        "NAME",
        "Use iptables, nftables or auto (MYDOCKER_FIREWALL)",
        |a, v| {
            a.firewall = Some(FirewallChoice::parse(v)?);
            Ok(())
        },
    ),
    Flag::<GlobalArgs>::switch(
        "debug",
        "Log each step of a start and the causes of errors (MYDOCKER_DEBUG=1 or json)",
        |a, on| a.debug = on,
    )
    .short('D'),
    Flag::<GlobalArgs>::value(
        "host",
        "URL",
        "Refused, except for this host (DOCKER_HOST)",
        |a, v| {
            a.host = Some(v.to_owned());
            Ok(())
        },
    )
    .short('H')
    .under(Category::Docker),
    Flag::<GlobalArgs>::value(
        "context",
        "NAME",
        "Refused, except default (DOCKER_CONTEXT)",
        |a, v| {
            a.context = Some(v.to_owned());
            Ok(())
        },
    )
    .short('c')
    .under(Category::Docker),
    Flag::<GlobalArgs>::value(
        "config",
        "DIR",
        "Refused by commands that use registries; set DOCKER_CONFIG",
        |a, _| {
            a.has_config = true;
            Ok(())
        },
    )
    .under(Category::Docker),
    Flag::<GlobalArgs>::value(
        "log-level",
        "WORD",
        "Accepted; use --debug for the causes of errors",
        |_, v| match v {
            "debug" | "info" | "warn" | "error" | "fatal" => Ok(()),
            _ => fail!("unknown level '{v}'; write debug, info, warn, error or fatal"),
        },
    )
    .short('l')
    .checked_by(Checker::Daemon)
    .under(Category::Docker),
    Flag::<GlobalArgs>::accepted("tls", NO_TLS),
    Flag::<GlobalArgs>::accepted("tlsverify", NO_TLS),
    Flag::<GlobalArgs>::value("tlscacert", "FILE", NO_TLS, |_, _| Ok(())).under(Category::Docker),
    Flag::<GlobalArgs>::value("tlscert", "FILE", NO_TLS, |_, _| Ok(())).under(Category::Docker),
    Flag::<GlobalArgs>::value("tlskey", "FILE", NO_TLS, |_, _| Ok(())).under(Category::Docker),
    Flag::<GlobalArgs>::switch("version", "Print the version", |a, on| a.version = on).short('v'),
];

const NO_TLS: &str = "Accepted; there is no daemon to connect to";

/// The program itself as a `Command`, so that the parser accepts flags before the command.
pub static MYDOCKER: Command = Command {
    name: "",
    group: Group::Engine,
    usage: "[FLAGS] COMMAND [ARG…]",
    summary: "",
    examples: &[],
    operand: Operand::Command,
    operands: (0, super::flag::MANY),
    trailing: true,
    flags: |at| spec(FLAGS, at),
    run: |_| Ok(0),
};

impl GlobalArgs {
    /// The state root and the run root. A flag wins over its environment variable, and the variable
    /// wins over the default. Fails if a root is not a valid path.
    pub fn roots(&self) -> Result<Roots> {
        let from = |flag: &Option<PathBuf>, variable: &str| {
            let set = || std::env::var_os(variable).filter(|value| !value.is_empty());
            flag.clone().or_else(|| set().map(PathBuf::from))
        };
        Roots::new(from(&self.root, "MYDOCKER_ROOT"), from(&self.run_root, "MYDOCKER_RUN_ROOT"))
    }

    /// The log of the steps of a container's start: `None` for no log, `Some(true)` for JSON,
    /// `Some(false)` for text. If MYDOCKER_DEBUG is `json`, the log is JSON. If MYDOCKER_DEBUG has
    /// another value, except 0 or an empty text, the log is text. Otherwise `--debug` chooses text.
    pub fn trace(&self) -> Option<bool> {
        match std::env::var_os("MYDOCKER_DEBUG").filter(|set| !set.is_empty() && set != "0") {
            Some(set) => Some(set == "json"),
            None => self.debug.then_some(false),
        }
    }

    /// Fails if the flags or Docker's variables name another daemon than the default one of this
    /// host. Without this error the user would take this host's containers for those of another
    /// host. As in Docker, a flag wins over the variables, and DOCKER_HOST wins over
    /// DOCKER_CONTEXT. Also fails if `--host` and `--context` are both given.
    pub fn refuse_other_daemons(&self) -> Result<()> {
        const LOCAL: [&str; 4] =
            ["", "unix://", "unix:///var/run/docker.sock", "unix:///run/docker.sock"];
        if self.host.is_some() && self.context.is_some() {
            return Err(Error::new(
                "conflicting options: either specify --host or --context, not both",
            )
            .exit_with(EXIT_FAILURE));
        }
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = |value: OsString| value.to_string_lossy().into_owned();
        let (source, value, is_local) = if let Some(host) = &self.host {
            ("--host", host.clone(), LOCAL.contains(&host.as_str()))
        } else if let Some(context) = &self.context {
            ("--context", context.clone(), matches!(context.as_str(), "" | "default"))
        } else if let Some(host) = variable("DOCKER_HOST").map(text) {
            let is_local = LOCAL.contains(&host.as_str());
            ("DOCKER_HOST", host, is_local)
        } else if let Some(context) = variable("DOCKER_CONTEXT").map(text) {
            let is_local = context == "default";
            ("DOCKER_CONTEXT", context, is_local)
        } else {
            return Ok(());
        };
        if is_local {
            return Ok(());
        }
        Err(Error::new(format!(
            "{source} is '{value}', but mydocker has no daemon and works on this host only; remove \
             {source}, or run mydocker on the other host, as in ssh HOST mydocker ps"
        ))
        .exit_with(EXIT_FAILURE))
    }

    /// Fails if `--config` was given to one of the commands `WITH_CREDENTIALS`. mydocker does not
    /// read the directory of `--config`, so the command would use the credentials of another
    /// directory.
    pub fn refuse_config(&self, command: &str) -> Result<()> {
        const WITH_CREDENTIALS: [&str; 13] = [
            "run",
            "create",
            "pull",
            "push",
            "login",
            "logout",
            "build",
            "compose build",
            "compose create",
            "compose pull",
            "compose push",
            "compose run",
            "compose up",
        ];
        if self.has_config && WITH_CREDENTIALS.contains(&command) {
            fail!("--config does not reach {command}; set DOCKER_CONFIG=DIR in the environment");
        }
        Ok(())
    }

    /// The firewall back end. The flag wins over MYDOCKER_FIREWALL; without both, the choice is
    /// `Auto`. Fails if the variable has an unknown value.
    pub fn firewall(&self) -> Result<FirewallChoice> {
        match (self.firewall, std::env::var_os("MYDOCKER_FIREWALL")) {
            (Some(choice), _) => Ok(choice),
            (None, Some(set)) if !set.is_empty() => {
                FirewallChoice::parse(&set.to_string_lossy()).context(|| "MYDOCKER_FIREWALL")
            }
            _ => Ok(FirewallChoice::Auto),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::split;
    use super::*;

    #[test]
    fn flags_before_the_command_only() {
        let words = [
            "--root=/a",
            "--run-root",
            "/b",
            "--firewall=nftables",
            "--debug",
            "run",
            "--root",
            "x",
        ];
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let mut args = GlobalArgs::default();
        let rest = split(&MYDOCKER, FLAGS, &mut args, &words).ok().unwrap();
        assert_eq!(rest, ["run", "--root", "x"]);
        let roots = args.roots().unwrap();
        assert_eq!(roots.state, PathBuf::from("/a"));
        assert_eq!(roots.run, PathBuf::from("/b"));
        assert!(args.debug);
        assert_eq!(args.firewall().unwrap(), FirewallChoice::parse("nftables").unwrap());
        let words = ["--firewall=pf".to_owned()];
        assert!(split(&MYDOCKER, FLAGS, &mut args, &words).is_err());
    }
}

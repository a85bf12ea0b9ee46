//! The flags before the command: the directories of the state, the firewall, and how an error is
//! printed. Each can also be set by an environment variable (`MYDOCKER_ROOT`, `MYDOCKER_RUN_ROOT`,
//! `MYDOCKER_FIREWALL`); a flag wins over its variable, and an empty variable counts as not set.

use std::path::PathBuf;

use super::flag::{Command, Flag, Group, Operand, specs};
use crate::engine::Roots;
use crate::engine::options::FirewallChoice;
use crate::error::{Context, Result};
use crate::raw;

/// The flags before the command, as typed.
#[derive(Default)]
pub struct GlobalArgs {
    root: Option<PathBuf>,
    run_root: Option<PathBuf>,
    firewall: Option<FirewallChoice>,
    pub debug: bool,
    pub version: bool,
}

/// The table of these flags.
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
        "Log each step of a start, and the causes of an error (MYDOCKER_DEBUG=1, or =json)",
        |a, on| a.debug = on,
    )
    .short('D'),
    Flag::<GlobalArgs>::switch("version", "Print the version", |a, on| a.version = on).short('v'),
];

/// The program as a `Command`, so that its own flags are parsed like those of a command.
pub static MYDOCKER: Command = Command {
    name: "",
    group: Group::Engine,
    usage: "[FLAGS] COMMAND [ARG…]",
    summary: "",
    examples: &[],
    operand: Operand::Command,
    operands: (0, super::flag::MANY),
    trailing: true,
    flags: || specs(FLAGS),
    run: |_| Ok(0),
};

impl GlobalArgs {
    /// The roots, from the flags, otherwise from the environment, otherwise the defaults.
    pub fn roots(&self) -> Result<Roots> {
        let from = |flag: &Option<PathBuf>, variable: &str| {
            let set = || std::env::var_os(variable).filter(|value| !value.is_empty());
            flag.clone().or_else(|| set().map(PathBuf::from))
        };
        Roots::new(from(&self.root, "MYDOCKER_ROOT"), from(&self.run_root, "MYDOCKER_RUN_ROOT"))
    }

    /// Whether the steps of a container's birth are logged, and then whether as JSON: by `--debug`, or
    /// by MYDOCKER_DEBUG, where `json` asks for JSON and an empty value or 0 for no log.
    pub fn trace(&self) -> Option<bool> {
        match std::env::var_os("MYDOCKER_DEBUG").filter(|set| !set.is_empty() && set != "0") {
            Some(set) => Some(set == "json"),
            None => self.debug.then_some(false),
        }
    }

    /// The firewall, from the flag, otherwise from the environment, otherwise chosen automatically.
    pub fn firewall(&self) -> Result<FirewallChoice> {
        match (self.firewall, std::env::var("MYDOCKER_FIREWALL")) {
            (Some(choice), _) => Ok(choice),
            (None, Ok(set)) if !set.is_empty() => {
                FirewallChoice::parse(&set).context(|| "MYDOCKER_FIREWALL")
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

//! Decides what completes the value of a flag and a command's operands. For most values only the
//! flag's name matters; a few, such as filters, depend on the command too. The operands depend on
//! the command: `start` gets only containers that do not run. If there is no list of a flag's
//! possible values, as for a number or a new name, the shell completes files, which is its default.

use crate::cli::flag::{Command, FlagSpec, Operand};
use crate::cli::value::limit::LOG_DRIVERS;
use crate::engine::options::{Signal, capabilities};

/// Where completions come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Names(Names),
    /// The words of `Names`, and files.
    NamesOrFiles(Names),
    /// If a word of `marks` has been typed after the command, the words of `then`, otherwise those
    /// of `before`.
    After {
        marks: Names,
        then: Names,
        before: Names,
    },
    Files,
    Nothing,
}

/// A list of words: fixed words, and words that mydocker prints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Fixed words.
    pub words: Vec<String>,
    /// Arguments of calls of mydocker. Each call prints further words, one a line.
    pub calls: Vec<&'static str>,
}

const ALL: &str = "ps -a --format '{{.Names}}'";
const RUNNING: &str = "ps --filter status=running --format '{{.Names}}'";
const STOPPABLE: &str = "ps --format '{{.Names}}'";
const PAUSED: &str = "ps --filter status=paused --format '{{.Names}}'";
const STOPPED: &str = "ps -a --filter status=created --filter status=exited --format '{{.Names}}'";
const IMAGES: &str = "images --filter dangling=false --format '{{.Repository}}:{{.Tag}}'";
const NETWORKS: &str = "network ls --format '{{.Name}}'";
const VOLUMES: &str = "volume ls -q";
/// `NAME:` of each volume, the start of `-v NAME:PATH`.
const VOLUME_PREFIXES: &str = "volume ls --format '{{.Name}}:'";
/// Containers whose namespace another container can join.
const JOINED: &str = "ps --format 'container:{{.Names}}'";

fn names(words: &str, calls: &[&'static str]) -> Names {
    Names { words: words.split_whitespace().map(str::to_owned).collect(), calls: calls.to_vec() }
}

fn words(text: &str) -> Source {
    Source::Names(names(text, &[]))
}

fn ask(calls: &[&'static str]) -> Source {
    Source::Names(names("", calls))
}

/// Returns what completes the value of a flag of `command`.
pub fn of_value(command: &Command, flag: &FlagSpec) -> Source {
    match flag.long {
        "network" | "net" => ask(&[NETWORKS, JOINED]),
        "volume" => Source::NamesOrFiles(names("", &[VOLUME_PREFIXES])),
        "volumes-from" | "link" | "depends-on" => ask(&[ALL]),
        "restart" => words("no always unless-stopped on-failure on-failure:"),
        "stop-signal" | "signal" => words(&Signal::names().collect::<Vec<_>>().join(" ")),
        "cap-add" | "cap-drop" => words(&format!("ALL {}", capabilities::NAMES.join(" "))),
        "pull" => words("always missing never"),
        "pid" | "uts" => Source::Names(names("host private", &[JOINED])),
        "ipc" => Source::Names(names("host private shareable none", &[JOINED])),
        "cgroupns" => words("private host"),
        "userns" => words("auto host"),
        "log-driver" => words(&LOG_DRIVERS.join(" ")),
        "health-on-failure" => words("none kill restart stop"),
        "security-opt" => words("no-new-privileges seccomp= seccomp=unconfined apparmor= label="),
        "firewall" => words("auto iptables nftables"),
        "condition" => words("not-running next-exit removed healthy"),
        "type" if command.name == "inspect" => words("container image volume network"),
        "format" if command.name == "save" => words("docker-archive oci-archive"),
        "format" => words("json table"),
        "platform" => words("linux/amd64 linux/arm64 linux/arm/v7 linux/386"),
        "filter" => match command.name {
            "ps" => words(
                "ancestor= before= exited= expose= id= label= name= isolation=default network= \
                 publish= since= volume= health=healthy health=unhealthy health=starting \
                 status=created status=running status=paused status=restarting status=exited \
                 status=removing status=dead",
            ),
            "images" => {
                words("dangling=true dangling=false reference= label= before= since= until=")
            }
            "volume ls" => words("name= driver=local dangling=true dangling=false label="),
            "network ls" => words(
                "id= name= driver= scope= type=builtin type=custom dangling=true dangling=false label=",
            ),
            "events" => words(
                "container= event= image= label= network= scope= type=container type=image \
                 type=network type=volume volume=",
            ),
            "builder prune" => words("until= unused-for="),
            "image prune" => words("dangling=true dangling=false label= label!= until="),
            "volume prune" => words("all=true all=false label= label!= until="),
            "compose ps" => words("status="),
            "compose ls" => words("name="),
            _ => words("label= label!= until="),
        },
        _ => Source::Files,
    }
}

/// Returns what completes a command's operands. Some commands, such as `start`, offer only the
/// containers in the state that the command needs.
pub fn of_operands(command: &Command) -> Source {
    match command.name {
        "completion" => return words("bash zsh fish"),
        "explain" => return ask(&[ALL, IMAGES, NETWORKS]),
        "rm" => {
            let marks = names("-f --force -fv -vf", &[]);
            let (then, before) = (names("", &[ALL]), names("", &[STOPPED]));
            return Source::After { marks, then, before };
        }
        "network connect" | "network disconnect" => {
            let networks = names("", &[NETWORKS]);
            let then = names("", &[ALL]);
            return Source::After { marks: networks.clone(), then, before: networks };
        }
        "start" => return ask(&[STOPPED]),
        "unpause" => return ask(&[PAUSED]),
        "stop" => return ask(&[STOPPABLE]),
        "kill" | "pause" | "exec" | "attach" | "top" | "port" => {
            return ask(&[RUNNING]);
        }
        _ => {}
    }
    match command.operand {
        Operand::Nothing => Source::Nothing,
        Operand::Container => ask(&[ALL]),
        Operand::Image => ask(&[IMAGES]),
        Operand::Volume => ask(&[VOLUMES]),
        Operand::Network => ask(&[NETWORKS]),
        Operand::File => Source::Files,
        Operand::Command => words(&super::first_words().join(" ")),
    }
}
